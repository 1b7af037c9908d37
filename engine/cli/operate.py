"""status, pause, resume, cancel, retry, settle: watching the deliveries and steering them."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from engine.cli.context import Session
from engine.cli.frame import verb
from engine.errors import EXIT_FINE, UsageError, YanshuError, did_you_mean

if TYPE_CHECKING:
    from datetime import timedelta

    from engine.delivery.control import Changed
    from engine.insight.status import Status

SECTION = "Running campaigns"

Overdue = Literal["drop", "spread", "send"]
_OVERDUE = ("drop", "spread", "send")

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="campaign:ID, care:ID or the bare ID, run:N, delivery:ID, channel:email, provider:smtp, domain:qq.com, all.",
    ),
]


def register(app: typer.Typer) -> None:
    verb(app, "status", "yanshu status", "yanshu status --watch", section=SECTION)(status)
    verb(app, "pause", "yanshu pause campaign:double11", "yanshu pause domain:qq.com", section=SECTION)(pause)  # fmt: skip
    verb(app, "resume", "yanshu resume all --overdue spread --over 4h", section=SECTION)(resume)
    verb(app, "cancel", "yanshu cancel campaign:double11", section=SECTION)(cancel)
    verb(app, "retry", "yanshu retry campaign:double11 --failed", section=SECTION)(retry)
    verb(app, "settle", "yanshu settle delivery:0123456789abcdef0123 --as sent", section=SECTION)(settle)  # fmt: skip


def status(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
    ] = False,
) -> int:
    """Show how many deliveries of each run are in which state, what is blocked and what is paused."""
    session = Session.of(ctx)
    if watch and session.is_json:
        raise UsageError("--watch is for people; ask again for each JSON document")
    if watch:
        return _watch(session)
    found = _look(session)
    session.answer(found.as_json(), lambda: found.as_text(session.zone))
    return EXIT_FINE


def _look(session: Session) -> Status:
    from engine.insight.status import status as look

    with session.store.read() as connection:
        return look(connection, session.now())


def _watch(session: Session) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), screen=False, auto_refresh=False) as live:
        try:
            while True:
                live.update(Text(_look(session).as_text(session.zone)), refresh=True)
                time.sleep(2)
        except KeyboardInterrupt:
            return EXIT_FINE


def pause(ctx: typer.Context, target: Target) -> int:
    """Hold a target's messages back; at most those already on the wire still go out."""
    from engine.delivery import control

    session = Session.of(ctx)  # no question: stopping must be quick, and nothing is lost by it
    aim = _aim(session, target)
    return _changed(session, control.pause(session.store, aim, by=session.by, now=session.now()))


def resume(
    ctx: typer.Context,
    target: Target,
    overdue: Annotated[
        Overdue | None,
        typer.Option("--overdue", help="What happens to messages that became overdue meanwhile."),
    ] = None,
    over: Annotated[
        str | None, typer.Option("--over", metavar="DURATION", help="With spread: over this time.")
    ] = None,
) -> int:
    """Let a paused target go on, and say what becomes of the overdue."""
    if over is not None and overdue != "spread":
        raise UsageError("--over says how long to spread: it goes with --overdue spread")
    from engine.delivery import control

    session, spread = Session.of(ctx), _duration(over)
    aim = _aim(session, target)
    return _changed(
        session,
        control.resume(
            session.store,
            target,
            by=session.by,
            now=session.now(),
            overdue=overdue or _ask_about_overdue(session, aim),
            over=spread,
        ),
    )


def _ask_about_overdue(session: Session, target: str) -> Overdue | None:
    """Show a person the backlog and ask what becomes of it; None where there is none, or nobody to ask (then it is
    refused)."""
    from engine.cli.overdue import as_text
    from engine.delivery.control import DEFAULT_SPREAD, backlog
    from engine.delivery.targets import parse_target

    if session.common.yes or not sys.stdin.isatty():
        return None
    now, over = session.now(), DEFAULT_SPREAD
    with session.store.read() as connection:
        late = backlog(connection, parse_target(connection, target), now, over)
    if not late.count:
        return None
    typer.echo(as_text(late, now, over, session.zone), err=True)
    answer = typer.prompt("drop, spread or send them?", err=True)
    if answer not in _OVERDUE:
        raise YanshuError("nothing was changed")
    return cast("Overdue", answer)


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    from engine.definitions.values import parse_duration

    try:
        return parse_duration(text).delta
    except ValueError as error:
        raise UsageError(f"--over: {error}") from None


def cancel(ctx: typer.Context, target: Target) -> int:
    """Withdraw a target's messages that have not gone out, for good."""
    from engine.delivery import control

    session = Session.of(ctx)
    aim = _aim(session, target)
    session.confirm(f"Withdraw everything of {aim} that has not gone out?")
    return _changed(session, control.cancel(session.store, aim, by=session.by, now=session.now()))


def retry(
    ctx: typer.Context,
    target: Target,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that were refused (default).")
    ] = False,
    uncertain: Annotated[
        bool,
        typer.Option("--uncertain", help="Those without a reply: some may be received twice."),
    ] = False,
) -> int:
    """Send a target's failed or uncertain messages again."""
    from engine.delivery import control

    session = Session.of(ctx)
    twice = " Some of the uncertain ones may be received twice." if uncertain else ""
    aim = _aim(session, target)
    session.confirm(f"Try {aim} again?{twice}")
    return _changed(
        session,
        control.retry(
            session.store,
            aim,
            failed=failed or not uncertain,
            uncertain=uncertain,
            by=session.by,
            now=session.now(),
        ),
    )


def settle(
    ctx: typer.Context,
    target: Target,
    as_state: Annotated[
        Literal["sent", "failed"] | None,
        typer.Option("--as", help="What they are known to be."),
    ] = None,
) -> int:
    """Say what became of a target's uncertain messages."""
    if as_state is None:
        raise UsageError("say what they became: --as sent or --as failed")
    from engine.delivery import control

    session = Session.of(ctx)
    aim = _aim(session, target)
    session.confirm(f"Record the uncertain messages of {aim} as {as_state}?")
    return _changed(
        session,
        control.settle(session.store, aim, as_state, by=session.by, now=session.now()),
    )


def _aim(session: Session, target: str) -> str:
    """The target in full; a provider, which yanshu.toml names, is all of its channel. One that does not exist is told before
    anything is asked: raises UsageError."""
    from engine.delivery.targets import parse_target

    kind, _, name = target.partition(":")
    if kind == "provider":
        channels = {provider: channel for channel, provider in session.settings.providers().items()}
        if name not in channels:
            raise UsageError(f"unknown provider {name!r}{did_you_mean(name, channels)}")
        return f"channel:{channels[name]}"
    with session.store.read() as connection:
        return parse_target(connection, target).text


def _changed(session: Session, changed: Changed) -> int:
    session.answer(
        {"target": changed.target, "count": changed.count, "message": changed.message},
        lambda: changed.message,
    )
    return EXIT_FINE
