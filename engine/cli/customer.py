"""customer: show one, merge two."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_FINE

Id = Annotated[str, typer.Argument(metavar="ID", help="The shop's own id.")]


def register(app: typer.Typer, section: str) -> None:
    customer = family("customer", "One customer: show what is known, merge two records.")
    verb(customer, "show", "yanshu customer show 00001")(show)
    verb(customer, "merge", "yanshu customer merge 00002 00001")(merge)
    app.add_typer(customer, rich_help_panel=section)


def show(ctx: typer.Context, customer: Id) -> int:
    """What is known of a customer: facts, tags, orders, consent per channel."""
    from engine.insight.known import known_of

    session = Session.of(ctx)
    with session.store.read() as connection:
        found = known_of(connection, session.settings, customer)
    session.answer(found.as_json(), lambda: found.as_text(session.zone))
    return EXIT_FINE


def merge(
    ctx: typer.Context,
    gone: Annotated[str, typer.Argument(metavar="A", help="The record that goes.")],
    into: Annotated[str, typer.Argument(metavar="B", help="The record that stays.")],
) -> int:
    """Make A part of B: orders, tags, messages and events move; A's id goes on meaning that person."""
    from engine.customers.merging import check_merge
    from engine.customers.merging import merge as merge_records
    from engine.customers.profiles.freshness import counts_by
    from engine.store.catalog import CatalogReader

    session = Session.of(ctx)
    with session.store.read() as connection:
        check_merge(connection, gone, into)
        membership = CatalogReader().read(connection).membership
    session.confirm(f"Merge customer {gone} into {into}? This cannot be undone.")
    with session.store.write() as connection:
        done = merge_records(
            connection,
            gone,
            into,
            policy=counts_by(connection, session.policy),
            membership=membership,
            now=session.now(),
            by=session.by,
        )
    moved = ", ".join(f"{count:,} {name}" for name, count in done.moved.items() if count)
    session.answer(
        {
            "gone": done.gone,
            "into": done.into,
            "moved": dict(done.moved),
            "twice": dict(done.twice),
        },
        lambda: f"customer {done.gone} is part of {done.into} now; moved: {moved or 'nothing'}",
    )
    return EXIT_FINE
