"""import, grade, segment, suppress: who the customers are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import customer
from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_ERROR, EXIT_FINE, YanshuError, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from engine.audience.compiler import Scope
    from engine.definitions.segment import Segment

SECTION = "People"

Name = Annotated[str, typer.Argument(metavar="NAME", help="A file's stem under segments/.")]
Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="An email address or a phone number.")
]


def register(app: typer.Typer) -> None:
    verb(app, "import", "yanshu import customers customers.csv", "yanshu import orders orders.csv --items items.csv", "yanshu import orders ExportOrderList.csv --mapping taobao-orders", section=SECTION)(import_)  # fmt: skip
    verb(app, "grade", "yanshu grade", "yanshu grade -o json", section=SECTION)(grade)
    segment = family("segment", "Who is in a segment: count, list, sql, explain.")
    verb(segment, "count", "yanshu segment count dormant-vip")(count)
    verb(segment, "list", "yanshu segment list dormant-vip -o json")(list_)
    verb(segment, "sql", "yanshu segment sql dormant-vip")(sql)
    verb(segment, "explain", "yanshu segment explain dormant-vip", "yanshu segment explain dormant-vip 00001")(explain)  # fmt: skip
    app.add_typer(segment, rich_help_panel=SECTION)
    customer.register(app, SECTION)
    suppress = family("suppress", "Addresses that get nothing at all: add, remove, list.")
    verb(suppress, "add", "yanshu suppress add li@example.com --note 'asked by phone'")(add)
    verb(suppress, "remove", "yanshu suppress remove li@example.com")(remove)
    verb(suppress, "list", "yanshu suppress list")(suppressed)
    app.add_typer(suppress, rich_help_panel=SECTION)


def import_(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="customers, orders, products, tags, events, contacts or suppressions.",
        ),
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, XLSX or JSON lines, with a header.")
    ],
    items: Annotated[
        Path | None, typer.Option("--items", metavar="FILE", help="The orders' items.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--mapping",
            metavar="NAME",
            help="A file's stem under mappings/; once more for the items.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, and keep none.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Orders: what the file says holds, though one is known to be further.",
        ),
    ] = False,
) -> int:
    """Bring a file in: good rows land, bad ones go to FILE.rejected.csv with line and reason."""
    from engine.cli.importing import bring_in

    session = Session.of(ctx)
    return bring_in(session, kind, file, items, mapping or (), dry_run=dry_run, overwrite=overwrite)


def grade(ctx: typer.Context) -> int:
    """Evaluate every customer now: R, F, M, value, grade and class."""
    from engine.cli.grades import distribution, evaluate

    session = Session.of(ctx)
    found = evaluate(session)
    session.answer({"customers": found}, lambda: distribution(found))
    return EXIT_FINE


def count(ctx: typer.Context, name: Name) -> int:
    """How many customers are in it, as of now."""
    from sqlalchemy import func, select

    from engine.audience.compiler import select_ids

    session = Session.of(ctx)
    with _looking(session, name) as (connection, segment, scope):
        chosen = select_ids(segment.tree, scope).subquery()
        found = connection.execute(select(func.count()).select_from(chosen)).scalar_one()
    session.answer({"segment": name, "count": found}, lambda: str(found))
    return EXIT_FINE


def list_(ctx: typer.Context, name: Name) -> int:
    """Who is in it."""
    from sqlalchemy import select

    from engine.audience.compiler import select_ids
    from engine.pages.terminal import table
    from engine.store.tables import customers

    session = Session.of(ctx)
    shown = ("name", "email", "phone", "city")
    with _looking(session, name) as (connection, segment, scope):
        query = (
            select(customers.c.ref.label("customer_id"), *(customers.c[column] for column in shown))
            .where(customers.c.id.in_(select_ids(segment.tree, scope)))
            .order_by(customers.c.ref)
        )
        rows = [row._asdict() for row in connection.execute(query)]
    session.answer(
        {"segment": name, "count": len(rows), "customers": rows},
        lambda: table(["id", *shown], [list(row.values()) for row in rows]),
    )
    return EXIT_FINE


def sql(ctx: typer.Context, name: Name) -> int:
    """The query that it becomes on this project's database."""
    from engine.audience.compiler import select_ids

    session = Session.of(ctx)
    segment, scope = _segment(session, name)
    compiled = select_ids(segment.tree, scope).compile(
        session.store.engine, compile_kwargs={"literal_binds": True}
    )
    session.answer({"segment": name, "sql": str(compiled)}, lambda: str(compiled))
    return EXIT_FINE


def explain(
    ctx: typer.Context,
    name: Name,
    customer: Annotated[
        str | None,
        typer.Argument(metavar="[CUSTOMER]", help="The shop's id of one customer: what holds?"),
    ] = None,
) -> int:
    """Its conditions as a tree: how many customers meet each, or which of them hold for one CUSTOMER."""
    from engine.cli.segments import answers_as_text, as_text, ask_nodes, count_nodes

    session = Session.of(ctx)
    if customer is not None:
        with _looking(session, name) as (connection, segment, scope):
            answer = ask_nodes(connection, segment.tree, scope, customer)
        said = {"segment": name, "customer": customer, "holds": answer.holds}
        session.answer({**said, "tree": answer.as_json()}, lambda: answers_as_text(answer))
        return EXIT_FINE
    with _looking(session, name) as (connection, segment, scope):
        root = count_nodes(connection, segment.tree, scope)
    session.answer({"segment": name, "tree": root.as_json()}, lambda: as_text(root))
    return EXIT_FINE


@contextmanager
def _looking(session: Session, name: str) -> Iterator[tuple[Connection, Segment, Scope]]:
    """The segment, and a connection to ask it on, in which profiles are up to date."""
    from engine.customers.profiles.freshness import looking
    from engine.store.zones import ensure_zones

    segment, scope = _segment(session, name)
    with session.store.write() as connection:
        ensure_zones(connection, [scope.timezone])
    with looking(session.store, scope.policy, scope.now, keeps=session.is_now) as connection:
        yield connection, segment, scope


def _segment(session: Session, name: str) -> tuple[Segment, Scope]:
    """The segment of the files, and what it is asked against."""
    from engine.audience.compiler import Scope

    definitions, now = session.definitions, session.now()
    known = definitions.segments
    if name not in known:
        raise YanshuError(f"no segment {name!r}{did_you_mean(name, known)}")
    policy = definitions.policy
    return known[name], Scope(now=now, timezone=policy.timezone, policy=policy, segments=known)


def add(
    ctx: typer.Context,
    address: Address,
    note: Annotated[str | None, typer.Option("--note", help="Why, for whoever asks.")] = None,
) -> int:
    """Never send anything to this address again."""
    from engine.cli.suppressing import suppress_address

    session = Session.of(ctx)
    channel, is_new = suppress_address(session, address, note)
    words = "suppressed" if is_new else "was already suppressed"
    session.answer(
        {"address": address, "channel": channel, "new": is_new},
        lambda: f"{address}: {words} ({channel})",
    )
    return EXIT_FINE


def remove(ctx: typer.Context, address: Address) -> int:
    """Let messages go to this address again, as far as its consent allows."""
    from engine.cli.suppressing import release_address

    session = Session.of(ctx)
    channel, was_there = release_address(session, address)
    words = "no longer suppressed" if was_there else "was not suppressed"
    session.answer(
        {"address": address, "channel": channel, "removed": was_there},
        lambda: f"{address}: {words} ({channel})",
    )
    return EXIT_FINE if was_there else EXIT_ERROR


def suppressed(ctx: typer.Context) -> int:
    """Who gets nothing, and why; an address is shown where a customer still has it."""
    from engine.cli.suppressing import list_suppressions
    from engine.pages.terminal import local, table

    session = Session.of(ctx)
    rows = list_suppressions(session)
    zone = session.zone
    session.answer(
        {"suppressions": rows},
        lambda: table(
            ["channel", "address", "customer", "reason", "since", "note"],
            [
                [row["channel"], row["address"] or row["address_hash"], row["customer_id"], row["reason"], local(row["at"], zone), row["note"]]
                for row in rows
            ],
        ),
    )  # fmt: skip
    return EXIT_FINE
