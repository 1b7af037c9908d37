"""The dates of a schedule as an edit of it sees them: which of its runs it still wants, which are no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, true

from engine.definitions.campaign import Campaign, Care
from engine.planning.due import Span
from engine.planning.occurrences import occurrence, occurrences
from engine.store.tables import customers, runs


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of one definition as its file has them now. `zone`: the shop's."""

    connection: Connection
    definition: Campaign | Care
    zone: str
    now: datetime

    def texts(self) -> list[str] | None:
        """The dates of a recurring schedule as far as runs were ever made; None where the definition has none."""
        schedule = self.definition.schedule
        if schedule is None or schedule.recurs is None:
            return None
        latest = self.connection.execute(
            select(func.max(runs.c.starts_at)).where(runs.c.definition == self.definition.id)
        ).scalar_one()
        span = Span(self.now, max(latest or self.now, self.now) + timedelta(days=2))
        zones = set(self.connection.execute(select(customers.c.timezone).distinct()).scalars())
        found = occurrences(schedule, self.zone, {each for each in zones if each}, span)
        return [one.text for one in found]

    def no_more(self) -> ColumnElement[bool] | None:
        """Runs to come that a recurring schedule does not have any more; None where it does not recur. What went out is
        no reason to ask: it goes out again and again."""
        texts = self.texts()
        if texts is None:
            return None
        ahead = (runs.c.definition == self.definition.id) & (runs.c.starts_at > self.now)
        return ahead & runs.c.occurrence.not_in(texts)

    def wanted(self) -> Select[Any]:
        """The ids of the runs of dates that the file has."""
        query = select(runs.c.id).where(runs.c.definition == self.definition.id)
        texts = self.texts()
        if texts is not None:
            query = query.where(runs.c.occurrence.in_(texts))
        elif isinstance(self.definition, Campaign):
            text = occurrence(self.definition.schedule, self.zone).text
            query = query.where(runs.c.occurrence == text)
        return query

    def filled_anew(self) -> ColumnElement[bool]:
        """Runs that the next expansion fills anew: of a recurring schedule the dates that it has. One that has begun and
        is no date of it any more keeps its rows to the end."""
        texts = self.texts()
        return true() if texts is None else runs.c.occurrence.in_(texts)
