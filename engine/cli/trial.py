"""What `send-test` sends: one message to oneself, through the very way that customers' messages take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from engine.channels.base import Accepted, Envelope, Outcome
from engine.channels.smtp import send_one
from engine.cli.context import Session
from engine.cli.rendered import (
    NOBODY,
    data_of,
    email_compiler,
    find_step,
    sample_data,
    sms_compiler,
    wording,
)
from engine.customers.addresses import normalise_email, normalise_phone
from engine.definitions.campaign import Campaign, Care, Channel, Step
from engine.delivery.letters import message_host
from engine.errors import ConfigurationError, YanshuError
from engine.foresight.trials import note_trial
from engine.rendering.context import MessageData
from engine.tokens import new_public_id

MARK = "[test] "


def send(
    session: Session,
    name: str,
    to: str,
    ref: str | None,
    step_id: str | None,
    variant: str | None = None,
) -> Outcome:
    """Send the step to `to`, by email or SMS as the address is; rendered for customer `ref` or a made-up one.

    Raises YanshuError for a bad address or a step without that channel, RenderingError for a template that fails.
    """
    definition, step = find_step(session, name, step_id)
    data = data_of(session, definition, ref) if ref is not None else sample_data(session)
    channel: Channel = "email" if "@" in to else "sms"
    step = wording(definition, step, channel, variant)
    if channel == "email":
        outcome = _email(session, definition, step, data, _normal(normalise_email, to))
    elif not any(letter.isdigit() for letter in to):
        raise YanshuError(f"{to!r} is neither an e-mail address nor a phone number")
    else:
        outcome = _sms(session, definition, step, data, _normal(normalise_phone, to))
    if isinstance(outcome, Accepted):
        note_trial(
            session.store, session.definitions, definition,
            channel=channel, by=session.by, now=session.now(),
        )  # fmt: skip
    return outcome


def way_out(session: Session, to: str) -> str:
    """Who was asked to take it: the mail server or the gateway, with what starts one where it is the development inbox."""
    settings = session.settings
    if "@" not in to:
        return f"the gateway at {settings.sms.url}"
    smtp, inbox = settings.smtp, settings.inbox
    is_ours = (smtp.host, smtp.port) == (inbox.host, inbox.smtp_port)
    hint = " (`yanshu inbox` starts it)" if is_ours else ""
    return f"{smtp.host}:{smtp.port}{hint}"


def _normal(normalise: Callable[[str], str], to: str) -> str:
    try:
        return normalise(to)
    except ValueError as error:
        raise YanshuError(str(error)) from None


def _email(
    session: Session, definition: Campaign | Care, step: Step, data: MessageData, to: str
) -> Outcome:
    if step.email is None:
        raise YanshuError(f"step {step.id!r} of {definition.id} does not go by email")
    marked = replace(step, email=replace(step.email, subject=MARK + step.email.subject))
    compiler = email_compiler(session, replace(definition, steps=(marked,)))
    email = compiler.compile(marked, data.customer["language"])
    body = email.compose(
        data._replace(
            customer={**data.customer, "email": to},
            # Mailboxes drop a second message of one id, and a test is often repeated.
            message_id=f"<test.{new_public_id()}@{message_host(session.settings)}>",
        )
    )
    envelope = Envelope(NOBODY, email.sender, to, body)
    return asyncio.run(send_one(session.settings.smtp, envelope))


def _sms(
    session: Session, definition: Campaign | Care, step: Step, data: MessageData, to: str
) -> Outcome:
    if step.sms is None:
        raise YanshuError(f"step {step.id!r} of {definition.id} does not go by SMS")
    if session.settings.sms.gateway == "none":
        raise ConfigurationError("no SMS gateway: set sms.gateway in yanshu.toml")
    from engine.channels.sms_development import DevelopmentGateway  # brings an HTTP client along

    addressed = data._replace(customer={**data.customer, "phone": to})
    sms = (
        sms_compiler(session, definition).compile(step, data.customer["language"]).render(addressed)
    )
    gateway = DevelopmentGateway(session.settings.sms)
    try:
        # A gateway takes one reference only once, and a test is often repeated.
        return gateway.send(to, sms.text, f"test-{new_public_id()}", sms.sms_type)
    finally:
        gateway.close()
