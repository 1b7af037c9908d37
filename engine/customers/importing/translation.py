"""A mapping at work: the cells of somebody else's row → the cells of ours, as text that the import reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from engine.customers.addresses import normalise_phone
from engine.customers.chinese_address import city_of, province_of
from engine.customers.importing.cell_changes import (
    Change,
    amounts,
    cleaner,
    fits,
    property_of,
    times,
    valued,
)
from engine.customers.importing.job import CellError
from engine.customers.importing.records import Columns, Record, Records, Reject, Shape
from engine.definitions.import_columns import AMOUNTS, MOMENTS
from engine.definitions.mapping import ImportMapping, Section, Source
from engine.errors import ImportFileError, did_you_mean

Row = Sequence[str]
Fill = Callable[[Row], str]
"""Takes a row of theirs and gives one cell of ours; raises ValueError."""

_PARTS: Mapping[str, Callable[[str], str | None]] = {"province": province_of, "city": city_of}
_ALWAYS_NEEDED = frozenset(("status",))
"""A file without it would make every order received."""


class Translation:
    """One section of a mapping, for files with these columns.

    `shape`: that of the records that it makes. Raises ImportFileError, naming every needed column that is missing.
    """

    def __init__(
        self,
        mapping: ImportMapping,
        section: Section,
        columns: Columns,
        names: Sequence[str],
        *,
        extras: Mapping[str, Source] | None = None,
    ) -> None:
        check_fit(mapping, section, columns.required, names)
        filler = _Filler(mapping, names)
        wanted = {**section, **(extras or {})}
        self._plan = [
            (name, filler.fill(name, source))
            for name, source in wanted.items()
            if source.constant or source.expiry or source.theirs() & set(names)
        ]
        shape = Shape.of([name for name, _ in self._plan], columns)
        origins = {name: "/".join(s.columns) for name, s in section.items() if s.columns}
        self.shape = Shape(shape.names, shape.places, shape.extras, origins)

    def record(self, record: Record) -> Record:
        """Our record of one of theirs. Raises CellError."""
        cells = []
        for name, fill in self._plan:
            try:
                cells.append(fill(record.cells))
            except ValueError as error:
                raise CellError(f"{name}: {error}") from None
        return Record(self.shape, record.line, cells, record.written or record.cells)


def extras_of(mapping: ImportMapping, names: Sequence[str]) -> dict[str, Source]:
    """Where the attributes come from: those that the mapping names, and every column that it does not use."""
    used = mapping.theirs()
    rest = {
        name: Source(mapping.position, (name,))
        for name in names
        if name and name not in used and not fits(name, mapping.leave_out)
    }
    return {**rest, **mapping.attributes}


def check_fit(
    mapping: ImportMapping, section: Section, required: Collection[str], names: Sequence[str]
) -> None:
    """Raises ImportFileError naming each column that the file lacks, with the nearest one that it has."""
    unused = [name for name in names if name not in mapping.theirs()]
    missing = []
    for ours, source in section.items():
        needed = source.needed
        if needed is None:
            needed = ours in required or ours in _ALWAYS_NEEDED
        # Of several columns that are chosen by, the first choice says what cannot be missing.
        theirs = source.columns or tuple(source.choices[0].when if source.choices else ())
        if needed and theirs and not set(theirs) & set(names):
            near = next((hint for one in theirs if (hint := did_you_mean(one, unused))), "")
            which = " or ".join(repr(one) for one in theirs)
            missing.append(f"column {which} ({ours}) is missing{near}")
    if missing:
        raise ImportFileError(f"the file does not fit {mapping.path}: {'; '.join(missing)}")


def column_of(mapping: ImportMapping, name: str) -> Callable[[Record], str]:
    """Reads one of our columns out of their records; blank where that cannot be done."""

    @lru_cache(maxsize=1000)
    def translation(names: tuple[str, ...]) -> Translation:
        section = {name: mapping.columns[name]}
        return Translation(mapping, section, Columns((name,), (name,)), names)

    def read(record: Record) -> str:
        try:
            return translation(record.shape.names).record(record).cells[0]
        except (CellError, ImportFileError):
            return ""

    return read


class Translated:
    """The records of a file as a mapping makes them; rows that it cannot read go to `reject`."""

    def __init__(
        self, records: Records, mapping: ImportMapping, columns: Columns, reject: Reject
    ) -> None:
        self._records, self._reject = records, reject
        self.names = records.names
        self._mapping = mapping

        @lru_cache(maxsize=1000)
        def translation(names: tuple[str, ...]) -> Translation:
            extras = extras_of(mapping, names)
            return Translation(mapping, mapping.columns, columns, names, extras=extras)

        self._translation = translation

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            try:
                yield self._translation(record.shape.names).record(record)
            except (CellError, ImportFileError) as error:
                self._reject(record.line, str(error), record.cells)


class _Filler:
    """Makes the functions that fill our cells, for one header."""

    def __init__(self, mapping: ImportMapping, names: Sequence[str]) -> None:
        self._mapping = mapping
        self._places = {name: place for place, name in enumerate(names)}
        self._clean = cleaner(mapping.blank)

    def fill(self, ours: str, source: Source) -> Fill:
        if source.constant is not None:
            word = source.constant.text
            return lambda _row: word
        if source.expiry is not None:
            return lambda _row: ""  # the order's own moments tell; see `buyer_rows`
        if source.choices:
            return self._chosen(source)
        taken = self._taken(source)
        changes = list(self._changes(ours, source))
        if not changes:
            return taken
        if len(changes) == 1:
            only = changes[0]
            return lambda row: only(cell) if (cell := taken(row)) else ""
        return lambda row: _changed(taken(row), changes)

    def _taken(self, source: Source) -> Fill:
        places = [self._places[name] for name in source.columns if name in self._places]
        clean, values = self._clean, source.values
        if source.join is not None:
            between = source.join
            taken: Fill = lambda row: between.join(filter(None, [clean(row[p]) for p in places]))  # noqa: E731
        elif len(places) == 1:
            place = places[0]
            taken = lambda row: clean(row[place])  # noqa: E731
        else:
            taken = lambda row: next(filter(None, [clean(row[p]) for p in places]), "")  # noqa: E731
        if "" not in values:
            return taken
        blank = values[""].text
        return lambda row: taken(row) or blank

    def _chosen(self, source: Source) -> Fill:
        tests = [
            ([(self._places.get(name), patterns) for name, patterns in one.when.items()], one.word.text)
            for one in source.choices
        ]  # fmt: skip
        looked_at = sorted(source.theirs())
        otherwise = source.otherwise.text if source.otherwise else None
        clean, places = self._clean, self._places

        def fill(row: Row) -> str:
            for conditions, word in tests:
                if all(fits("" if p is None else clean(row[p]), some) for p, some in conditions):
                    return word
            if otherwise is not None:
                return otherwise
            seen = {name: clean(row[places[name]]) for name in looked_at if name in places}
            raise ValueError(f"the mapping has no choice for {seen}")

        return fill

    def _changes(self, ours: str, source: Source) -> Iterator[Change]:
        """What is done to a cell that is not blank, in this order."""
        if source.properties:
            names = source.properties
            yield lambda cell: property_of(cell, names)
        if source.part is not None:
            part = _PARTS[source.part]
            yield lambda cell: part(cell) or ""
        if source.lower:
            yield str.lower
        if source.values:
            yield valued(source)
        if ours in AMOUNTS and not source.values:
            yield amounts(self._mapping.amounts)
        if ours in MOMENTS and not source.values:
            yield times(self._mapping.times, self._mapping.timezone)
        if source.region is not None:
            region = source.region
            yield lambda cell: _with_country(cell, region)


def _with_country(cell: str, region: str) -> str:
    """A number with its country code; what is none stays as it is, for the import to judge."""
    try:
        return normalise_phone(cell, region)
    except ValueError:
        return cell


def _changed(cell: str, changes: Sequence[Change]) -> str:
    for change in changes:
        if not cell:
            return ""
        cell = change(cell)
    return cell
