"""A definition's figures step by step and wording by wording, and what the people held out bought meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, case, func, literal, select

from engine.insight.figures import GroupFigures, StepFigures
from engine.store.tables import OPEN_STATES, Engagement, State, deliveries, orders
from engine.store.types import epoch_seconds

WINDOW = timedelta(days=7)
"""Orders placed so long after the first message, or after it would have gone, are compared."""
_Rows = Sequence[Row[*tuple[Any, ...]]]
_Key = tuple[str, str | None]


def step_figures(rows: _Rows, events: _Rows) -> tuple[StepFigures, ...]:
    """Per step and variant, in the order of their first due time. `rows`: counts by step, variant and state; `events`: by
    step, variant and kind; both of one definition."""
    states: defaultdict[_Key, Counter[str]] = defaultdict(Counter)
    kinds: defaultdict[_Key, Counter[str]] = defaultdict(Counter)
    first: dict[str, datetime] = {}
    for row in rows:
        states[row.step, row.variant][row.state] += row.messages
        first[row.step] = min(first.get(row.step, row.due), row.due)
    for row in events:
        kinds[row.step, row.variant][row.kind] += row.messages
    ordered = sorted(states, key=lambda key: (first[key[0]], key[0], key[1] or ""))
    return tuple(_figures(key, states[key], kinds[key]) for key in ordered)


def _figures(key: _Key, states: Counter[str], kinds: Counter[str]) -> StepFigures:
    step, variant = key
    return StepFigures(
        step=step,
        variant=variant,
        planned=states.total() - states[State.HOLDOUT],
        open=sum(states[state] for state in OPEN_STATES if state != State.UNCERTAIN),
        sent=states[State.SENT],
        opened=kinds[Engagement.OPENED],
        clicked=kinds[Engagement.CLICKED],
        unsubscribed=kinds[Engagement.UNSUBSCRIBED],
        bounced=kinds[Engagement.BOUNCED],
        skipped=states[State.SKIPPED],
    )


def holdout_figures(
    connection: Connection, names: Iterable[str], now: datetime
) -> Mapping[str, tuple[GroupFigures, ...]]:
    """Of each definition that holds people out: what those and the others ordered within `WINDOW` of their first message.

    Only people whose window has ended by now, so that both groups had the same time.
    """
    table = deliveries.c
    since = epoch_seconds(
        case((table.state == State.SENT.value, table.sent_at), else_=table.due_at)
    )
    until = since + literal(int(WINDOW.total_seconds()), BigInteger)
    placed = epoch_seconds(orders.c.placed_at)
    bought = (
        select(func.count())
        .select_from(orders)
        .where(orders.c.customer_id == table.customer_id, placed >= since, placed < until)
        .scalar_subquery()
    )
    people = (
        select(table.definition, table.state, bought.label("orders"))
        .where(
            table.definition.in_(list(names)),
            table.parent_step.is_(None),
            table.state.in_((State.SENT.value, State.HOLDOUT.value)),
            until <= int(now.timestamp()),
        )
        .subquery()
    )
    query = select(
        people.c.definition, people.c.state, func.count().label("people"),
        func.sum(case((people.c.orders > 0, 1), else_=0)).label("buyers"),
        func.sum(people.c.orders).label("orders"),
    ).group_by(people.c.definition, people.c.state)  # fmt: skip
    found: defaultdict[str, list[GroupFigures]] = defaultdict(list)
    for row in connection.execute(query.order_by(people.c.definition, people.c.state.desc())):
        figures = GroupFigures(row.state, row.people, int(row.buyers), int(row.orders))
        found[row.definition].append(figures)
    return {name: tuple(groups) for name, groups in found.items()}
