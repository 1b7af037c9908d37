"""Many rows at once into one table: insert what is new, change what differs, leave the rest untouched.

Values are given as the database's driver takes them, so that nothing is converted row by row; SQLite gets one prepared
statement for all rows, PostgreSQL one statement with a list per column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import JSON, TypeEngine

from engine.store.types import Moment

Row = tuple[Any, ...]
Excluded = Any
Rule = Callable[[Table, Excluded], ColumnElement[Any]]
"""The new value of a column that is there already, from the row that is there and the one that came."""


class Upsert:
    """One shape of rows for one table.

    `columns`: those of each row's values, in the table's order. `key`: what makes a row the same. `kept`: written on insert only.
    `rules`: how the old and the new value are joined; elsewhere the new one replaces. `stamp`: a column that is
    written when anything else is. Without a column to change, a row that is there is left alone.
    """

    def __init__(
        self,
        table: Table,
        key: Sequence[str],
        columns: Sequence[str],
        *,
        kept: Collection[str] = (),
        rules: Mapping[str, Rule] | None = None,
        stamp: str | None = None,
    ) -> None:
        self.table, self.key, self.columns, self.stamp = table, key, columns, stamp
        self.rules = rules or {}
        self.changing = [
            name for name in columns if name not in key and name not in kept and name != stamp
        ]

    def run(
        self, connection: Connection, rows: Sequence[Row], there: Container[Any] | None = None
    ) -> int:
        """Write these rows, no two of which share a key. Returns how many were inserted or changed.

        `there`: the rows' first values that are in the table already, where that is known. SQLite, whose writers are
        alone, then takes the others in with an INSERT, at half the price.
        """
        if connection.dialect.name != "sqlite":
            return self._run_postgresql(connection, rows)
        if there is None:
            return self._run_sqlite(connection, self._upsert_text, rows)
        new = [row for row in rows if row[0] not in there]
        old = [row for row in rows if row[0] in there]
        inserted = self._run_sqlite(connection, self._insert_text, new)
        return inserted + self._run_sqlite(connection, self._upsert_text, old)

    def _run_sqlite(self, connection: Connection, statement: str, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        done = connection.exec_driver_sql(
            statement, list(rows), execution_options={"preserve_rowcount": True}
        )
        return done.rowcount

    @cached_property
    def _insert_text(self) -> str:
        return self._text(self._plain_insert())

    @cached_property
    def _upsert_text(self) -> str:
        return self._text(self._on_conflict(self._plain_insert()))

    def _plain_insert(self) -> Any:
        return sqlite.insert(self.table).values({name: bindparam(name) for name in self.columns})

    def _text(self, statement: Any) -> str:
        compiled = statement.compile(dialect=sqlite.dialect())
        assert list(compiled.positiontup) == list(self.columns), "in the table's order"
        return str(compiled)

    def _run_postgresql(self, connection: Connection, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        columns = zip(*rows, strict=True)
        documents = {
            name: json.dumps(values, ensure_ascii=False)
            for name, values in zip(self.columns, columns, strict=True)
        }
        done = connection.execute(
            self._postgresql, documents, execution_options={"preserve_rowcount": True}
        )
        return done.rowcount

    @cached_property
    def _postgresql(self) -> Any:
        """Each column comes as one JSON list: the driver takes six times as long over arrays."""
        given = select(*[_elements(name).label(name) for name in self.columns]).subquery("given")
        picked = [
            cast(given.c[name], _postgresql_type(self.table.c[name].type)) for name in self.columns
        ]
        statement = postgresql.insert(self.table).from_select(
            list(self.columns), select(*picked), include_defaults=False
        )
        return self._on_conflict(statement)

    def _on_conflict(self, statement: Any) -> Any:
        if not self.changing:
            return statement.on_conflict_do_nothing(index_elements=list(self.key))
        new = {name: self._new_value(name, statement.excluded) for name in self.changing}
        differs = or_(*[self.table.c[name].is_distinct_from(value) for name, value in new.items()])
        if self.stamp is not None:
            new[self.stamp] = statement.excluded[self.stamp]
        return statement.on_conflict_do_update(
            index_elements=list(self.key), set_=new, where=differs
        )

    def _new_value(self, name: str, excluded: Excluded) -> Any:
        rule = self.rules.get(name)
        return excluded[name] if rule is None else rule(self.table, excluded)


def _elements(parameter: str) -> ColumnElement[str]:
    """The rows of a JSON list that is bound as text, on PostgreSQL."""
    document = cast(bindparam(parameter, type_=Text()), postgresql.JSON())
    return func.json_array_elements_text(document, type_=Text())


def _postgresql_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    if isinstance(kind, Moment):
        return DateTime(timezone=True)
    return postgresql.JSONB() if isinstance(kind, JSON) else kind


def merge_json(name: str, *, on_sqlite: bool) -> Rule:
    """The rule for a JSON object: keys that came replace theirs, others stay."""

    def rule(table: Table, excluded: Excluded) -> ColumnElement[Any]:
        if on_sqlite:
            return func.json_patch(table.c[name], excluded[name])
        return table.c[name].op("||")(excluded[name])

    return rule


def find(
    connection: Connection, table: Table, key: str, values: Iterable[str], *columns: str
) -> dict[str, Any]:
    """The rows whose text column `key` is among these values: `{key: the named columns in order}`."""
    wanted = list(values)
    if not wanted:
        return {}
    statement = _finder(table, key, columns, connection.dialect.name == "sqlite")
    rows = connection.execute(statement, {"wanted": json.dumps(wanted, ensure_ascii=False)})
    return {row[0]: row[1:] for row in rows}


@lru_cache
def _finder(table: Table, key: str, columns: tuple[str, ...], on_sqlite: bool) -> Select[Any]:
    """One parameter for all values: an IN list of thousands costs more to spell than to look up."""
    question = select(table.c[key], *[table.c[name] for name in columns])
    if on_sqlite:
        listed = select(column("value", Text)).select_from(func.json_each(bindparam("wanted")))
    else:
        listed = select(_elements("wanted"))
    return question.where(table.c[key].in_(listed))
