"""Readers: what a place in a file may hold. Each turns a node into a value or reports why not, and knows its schema.

The same declaration reads files and describes them to editors (JSON Schema), so the two cannot drift. A reader
returns None where it has reported a problem; no value that it reads is None.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from engine.definitions.report import Report, clipped
from engine.definitions.yaml_nodes import Entries, Items, Node, Scalar, Span

T = TypeVar("T")
U = TypeVar("U")
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """`read(node, report)` gives the value, or None after a report; `schema` is its JSON Schema."""

    read: Callable[[Node, Report], T | None]
    schema: Schema

    def then(self, convert: Callable[[T], U], **schema: Any) -> Reader[U]:
        """Go on with `convert`, whose ValueError becomes the problem's message. `schema` adds to the schema."""

        def read(node: Node, report: Report) -> U | None:
            value = self.read(node, report)
            if value is None:
                return None
            try:
                return convert(value)
            except ValueError as error:
                report.error(node.span.position, str(error), "bad-value")
                return None

        return Reader(read, {**self.schema, **schema})


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key of a map: what it holds and what it means (shown by editors)."""

    reader: Reader[T]
    meaning: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """What stood in a map: the values that could be read, and the nodes of all known keys."""

    values: Mapping[str, Any]
    nodes: Mapping[str, Node]
    keys: Mapping[str, Scalar]
    span: Span
    refused: bool = False  # something else stands here that is not supported yet

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where the key is not given."""
        return self.values.get(key, default)

    def __contains__(self, key: str) -> bool:
        """Is the key given (be its value good or bad)?"""
        return key in self.nodes

    def at(self, key: str) -> Span:
        """Where the key stands; where it does not, the map."""
        return self.keys[key].span if key in self.keys else self.span


Check = Callable[[Fields, Report], None]


@dataclass(frozen=True, slots=True)
class Record:
    """The declaration of a map. `later`: keys that the wider design has and this version refuses by name.

    `check` looks at several keys together and runs even where one of them is bad.
    """

    keys: Mapping[str, Key[Any]]
    later: Collection[str] = field(default=frozenset())
    check: Check | None = None
    what: str = "key"

    def build(self, make: Callable[[Fields], T]) -> Reader[T]:
        """A reader of this map; `make` is called once everything in it is good."""

        def read(node: Node, report: Report) -> T | None:
            before = report.errors
            fields = self._fields(node, report)
            if fields is not None and self.check is not None:
                self.check(fields, report)
            return make(fields) if fields is not None and report.errors == before else None

        return Reader(read, self._schema())

    def _fields(self, node: Node, report: Report) -> Fields | None:
        if not isinstance(node, Entries):
            wrong_type(node, f"a map with {_or(self.keys)}", report)
            return None
        known = {key.value: (key, child) for key, child in node.pairs if key.value in self.keys}
        for name, _ in node.pairs:
            if name.value not in known:
                self._refuse(name, report)
        read = {
            name: self.keys[name].reader.read(child, report) for name, (_, child) in known.items()
        }
        fields = Fields(
            values={name: value for name, value in read.items() if value is not None},
            nodes={name: child for name, (_, child) in known.items()},
            keys={name: key for name, (key, _) in known.items()},
            span=node.span,
            refused=any(key.value in self.later for key, _ in node.pairs),
        )
        self._require(fields, report)
        return fields

    def _refuse(self, name: Scalar, report: Report) -> None:
        if name.value in self.later:
            report.not_yet(name.span.position, name.value)
        else:
            report.unknown(name.span.position, self.what, name.value, self.keys, "unknown-key")

    def _require(self, fields: Fields, report: Report) -> None:
        if fields.refused:
            return  # that key may well stand in for the missing one
        for name, key in self.keys.items():
            if key.required and name not in fields:
                report.error(fields.span.position, f"`{name}` is missing", "missing-key")

    def _schema(self) -> Schema:
        properties = {
            name: {**key.reader.schema, "description": key.meaning}
            if key.meaning
            else key.reader.schema
            for name, key in self.keys.items()
        }
        required = [name for name, key in self.keys.items() if key.required]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema


def list_of(reader: Reader[T], *, least: int = 0, most: int = 1000) -> Reader[tuple[T, ...]]:
    """A list; all its bad items are reported."""

    def read(node: Node, report: Report) -> tuple[T, ...] | None:
        if not isinstance(node, Items):
            wrong_type(node, "a list", report)
            return None
        if not least <= len(node.children) <= most:
            wanted = f"at least {least}" if len(node.children) < least else f"at most {most:,}"
            report.error(
                node.span.position,
                f"{len(node.children):,} items, where {wanted} are taken",
                "out-of-range",
            )
            return None
        values = [reader.read(child, report) for child in node.children]
        good = tuple(value for value in values if value is not None)
        return good if len(good) == len(values) else None

    return Reader(
        read, {"type": "array", "items": reader.schema, "minItems": least, "maxItems": most}
    )


def one_or_more(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """One value, or a list of at least one, each only once."""
    several = list_of(reader, least=1)

    def read(node: Node, report: Report) -> tuple[T, ...] | None:
        if not isinstance(node, Items):
            value = reader.read(node, report)
            return None if value is None else (value,)
        values = several.read(node, report)
        if values is not None and len(set(values)) < len(values):
            report.error(node.span.position, "the same value stands here twice", "bad-value")
            return None
        return values

    return Reader(read, {"anyOf": [reader.schema, several.schema]})


def map_of(
    name: Callable[[str], str], reader: Reader[T], *, most: int = 20
) -> Reader[dict[str, T]]:
    """A map with names of the author's choice; `name` checks each (ValueError)."""

    def read(node: Node, report: Report) -> dict[str, T] | None:
        if not isinstance(node, Entries) or not 0 < len(node.pairs) <= most:
            wrong_type(node, f"a map of 1 to {most} entries", report)
            return None
        before = report.errors
        values: dict[str, T] = {}
        for key, child in node.pairs:
            value = reader.read(child, report)
            try:
                checked = name(key.value)
            except ValueError as error:
                report.error(key.span.position, str(error), "bad-value")
                continue
            if value is not None:
                values[checked] = value
        return values if report.errors == before else None

    return Reader(
        read, {"type": "object", "additionalProperties": reader.schema, "minProperties": 1}
    )


def wrong_type(node: Node, wanted: str, report: Report) -> None:
    """Report that something else was expected here."""
    report.error(
        node.span.position, f"{describe(node)} stands where {wanted} is expected", "wrong-type"
    )


def describe(node: Node) -> str:
    """What a node is, for a message."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a map"
    if node.plain and node.value in ("", "~", "null", "Null", "NULL"):
        return "nothing"
    return repr(clipped(node.value))


def _or(names: Collection[str]) -> str:
    listed = [f"`{name}`" for name in names]
    if len(listed) > 8:
        listed = [*listed[:8], "…"]
    return " or ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else listed[0]
