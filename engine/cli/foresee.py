"""simulate: the future, day by day, through the same triggers and the same gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.context import Session
from engine.cli.frame import verb
from engine.errors import EXIT_FINE

SECTION = "Files"
_LONGEST = 366


def register(app: typer.Typer) -> None:
    verb(app, "simulate", "yanshu simulate --days 14", "yanshu simulate --days 40 --out future.html", section=SECTION)(simulate)  # fmt: skip


def simulate(
    ctx: typer.Context,
    days: Annotated[
        int, typer.Option("--days", min=1, max=_LONGEST, help="How many days from now on.")
    ] = 14,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a page with charts.")
    ] = None,
) -> int:
    """Play the future through: what would go out each day, what it costs, what the caps hold back. Sends nothing."""
    from datetime import timedelta

    from engine.cli.simulating import as_text, progress
    from engine.cli.writing import write_whole
    from engine.foresight.outcome import simulate as play
    from engine.foresight.page import future_page

    session = Session.of(ctx)
    definitions, span = session.definitions, timedelta(days=days)
    with progress(session, f"{days} days") as told:
        found = play(session.store, definitions, session.settings, session.now(), span, told)
    if out is not None:
        write_whole(out, future_page(found, session.settings.shop))
        session.note(f"written: {out}")
    session.answer(found.as_json(), lambda: as_text(found))
    return EXIT_FINE
