"""explain, report, diagnose: why something was sent or not, what came of it, and how the shop is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_FINE, UsageError

SECTION = "What came of it"


def register(app: typer.Typer) -> None:
    explain = family("explain", "Why a message was sent, skipped or put off: each decision, its rule, its evidence.")  # fmt: skip
    verb(
        explain,
        "customer",
        "yanshu explain customer 00042",
        "yanshu explain customer --email li@example.com -o json",
    )(customer)
    verb(explain, "delivery", "yanshu explain delivery 0123456789abcdef0123")(delivery)
    app.add_typer(explain, rich_help_panel=SECTION)
    verb(app, "report", "yanshu report", "yanshu report double11 --html report.html", section=SECTION)(report)  # fmt: skip
    verb(app, "diagnose", "yanshu diagnose", "yanshu diagnose --html diagnosis.html", section=SECTION)(diagnose)  # fmt: skip


def customer(
    ctx: typer.Context,
    ref: Annotated[str | None, typer.Argument(metavar="[ID]", help="The shop's own id.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Or by email address.")] = None,
    phone: Annotated[str | None, typer.Option("--phone", help="Or by phone number.")] = None,
) -> int:
    """Everything about one person's messages, and why each went out or did not."""
    if [ref, email, phone].count(None) != 2:
        raise UsageError("name one customer: ID, --email ADDRESS or --phone NUMBER")
    from engine.insight.explain import explain_customer

    session = Session.of(ctx)
    with session.store.read() as connection:
        found = explain_customer(
            connection,
            ref=ref,
            email=email,
            phone=phone,
            settings=session.settings,
            now=session.now(),
        )
    session.answer(found.as_json(), lambda: found.as_text(session.zone))
    return EXIT_FINE


def delivery(
    ctx: typer.Context,
    which: Annotated[
        str, typer.Argument(metavar="ID", help="As in the message's X-Delivery-Id header.")
    ],
) -> int:
    """One message: its states, decisions, attempts, and what the customer did with it."""
    from engine.insight.explain import explain_delivery

    session = Session.of(ctx)
    with session.store.read() as connection:
        found = explain_delivery(connection, which, session.now(), session.settings.channels())
    session.answer(found.as_json(), lambda: found.as_text(session.zone))
    return EXIT_FINE


def report(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Campaigns and care rules.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts.")
    ] = None,
) -> int:
    """What came of campaigns: sent, opened, clicked, unsubscribed; per link."""
    from engine.cli.reporting import as_text, figures, write_page
    from engine.insight.report import as_json

    session = Session.of(ctx)
    found = figures(session, ids or None)
    if html is not None:
        write_page(session, found, html)
        session.note(f"written: {html}")
    session.answer(as_json(found), lambda: as_text(found))
    return EXIT_FINE


def diagnose(
    ctx: typer.Context,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts.")
    ] = None,
) -> int:
    """How the shop is doing: who its customers are, when they buy, whether they come back."""
    from engine.cli.diagnosing import as_json, as_text, figures, write_page

    session = Session.of(ctx)
    found = figures(session)
    if html is not None:
        write_page(session, found, html)
        session.note(f"written: {html}")
    session.answer(as_json(found), lambda: as_text(found))
    return EXIT_FINE
