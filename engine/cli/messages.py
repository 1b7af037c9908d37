"""preview, send-test: looking at the very message before any customer does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from engine.cli.context import Session
from engine.cli.frame import verb
from engine.errors import EXIT_ERROR, EXIT_FINE

if TYPE_CHECKING:
    from engine.cli.rendered import Preview

SECTION = "Files"

Id = Annotated[str, typer.Argument(metavar="ID", help="A campaign or care rule of the files.")]
Step = Annotated[str | None, typer.Option("--step", help="Which step; default: the first one.")]
Variant = Annotated[
    str | None,
    typer.Option("--variant", metavar="V", help="Which wording; default: the customer's own."),
]
Channel = Annotated[
    Literal["email", "sms"] | None,
    typer.Option("--channel", help="Default: every channel of the step that reaches them."),
]


def register(app: typer.Typer) -> None:
    verb(app, "preview", "yanshu preview double11 --customer 00042 --out previews", section=SECTION)(preview)  # fmt: skip
    verb(app, "send-test", "yanshu send-test double11 --to me@shop.example", section=SECTION)(send_test)  # fmt: skip


def preview(
    ctx: typer.Context,
    name: Id,
    customer: Annotated[
        str, typer.Option("--customer", metavar="C", help="The shop's own id of a customer.")
    ],
    step: Step = None,
    variant: Variant = None,
    channel: Channel = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write .eml, .html and .txt files there."),
    ] = None,
) -> int:
    """Show the very message that a customer would get; nothing is sent or counted."""
    from engine.cli.rendered import render_for, write_files

    session = Session.of(ctx)
    shown = render_for(session, name, customer, step, channel, variant)
    files = write_files(shown, out) if out is not None else []
    session.answer(
        {**shown.as_json(), "files": [str(path) for path in files]},
        lambda: "\n".join(str(path) for path in files) if files else _text(shown),
    )
    return EXIT_FINE


def _text(shown: Preview) -> str:
    """The subject, the text part, the SMS with its parts; the layout is in the files that `--out` writes."""
    from engine.pages.terminal import plain

    parts = []
    if shown.email is not None:
        body = "\n".join(plain(line) for line in shown.email.text.splitlines())
        parts.append(
            f"email, {len(shown.wire):,} bytes\nSubject: {plain(shown.email.subject)}\n\n{body}"
        )
    if shown.sms is not None:
        sms = shown.sms
        parts.append(f"sms, {sms.parts} parts in {sms.encoding}, sent as {sms.sms_type}")
        parts += [f"  {number}: {plain(text)}" for number, text in enumerate(sms.segments, 1)]
    return "\n".join(parts)


def send_test(
    ctx: typer.Context,
    name: Id,
    to: Annotated[
        str, typer.Option("--to", metavar="ADDR", help="Your own mailbox, or phone number.")
    ],
    customer: Annotated[
        str | None,
        typer.Option(
            "--customer", metavar="C", help="As for this customer; default: a made-up one."
        ),
    ] = None,
    step: Step = None,
    variant: Variant = None,
) -> int:
    """Send one message to yourself, marked as a test, untracked and not counted."""
    from engine.channels.base import Accepted, Unknown
    from engine.cli.trial import send, way_out

    session = Session.of(ctx)
    outcome = send(session, name, to, customer, step, variant)
    is_sent = isinstance(outcome, Accepted)
    said = outcome.detail if isinstance(outcome, Unknown) else outcome.reply
    session.answer(
        {"to": to, "sent": is_sent, "reply": said},
        lambda: (
            f"{to}: sent: {said}" if is_sent else f"{to}: not sent: {way_out(session, to)}: {said}"
        ),
    )
    return EXIT_FINE if is_sent else EXIT_ERROR
