"""A message of the files, rendered for one customer (or a made-up one) as a send would, but untracked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, true

from engine.audience.scope import COMPLETED
from engine.cli.context import Session
from engine.definitions.campaign import Campaign, Care, Channel, Step
from engine.delivery.letters import message_host
from engine.delivery.wordings import variant_by_share
from engine.errors import YanshuError, did_you_mean
from engine.rendering.context import MessageData, customer_context, item_context, order_context
from engine.rendering.email import Email, EmailCompiler
from engine.rendering.samples import samples
from engine.rendering.sms import Sms, SmsCompiler
from engine.store.tables import customers, order_items, orders
from engine.tokens import PUBLIC_ID_CHARS, Signer

NOBODY = "0" * PUBLIC_ID_CHARS
"""The delivery that previews carry: no row has this id, so their links name nobody."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What one customer would get of one step. `wire` is the email as it goes out; None: not by this channel."""

    definition: str
    step: str
    customer: str
    email: Email | None
    wire: bytes
    sms: Sms | None
    variant: str | None = None

    def as_json(self) -> dict[str, Any]:
        email, sms = self.email, self.sms
        return {
            "definition": self.definition,
            "step": self.step,
            "variant": self.variant,
            "customer_id": self.customer,
            "email": email
            and {
                "subject": email.subject,
                "html": email.html,
                "text": email.text,
                "bytes": len(self.wire),
            },
            "sms": sms
            and {
                "text": sms.text,
                "parts": sms.parts,
                "segments": list(sms.segments),
                "encoding": sms.encoding,
                "sms_type": sms.sms_type,
            },
        }


def render_for(
    session: Session,
    name: str,
    ref: str,
    step_id: str | None,
    channel: Channel | None,
    variant: str | None = None,
) -> Preview:
    """The step as this customer would get it, by each of its channels that reaches them (or by `channel`).

    Raises YanshuError for a name that is not there and a customer without an address, RenderingError for a template
    that fails.
    """
    definition, step = find_step(session, name, step_id)
    data = data_of(session, definition, ref)
    wanted = _channels(definition, step, data.customer, channel)
    variant = variant or _own_variant(session, definition, step, ref)
    email, wire = (None, b"")
    if "email" in wanted:
        said = wording(definition, step, "email", variant)
        compiled = email_compiler(session, definition).compile(said, data.customer["language"])
        email, wire = compiled.render(data), compiled.compose(data)
    sms = None
    if "sms" in wanted:
        sms = (
            sms_compiler(session, definition)
            .compile(wording(definition, step, "sms", variant), data.customer["language"])
            .render(data)
        )
    return Preview(name, step.id, ref, email, wire, sms, variant)


def wording(definition: Campaign | Care, step: Step, channel: Channel, variant: str | None) -> Step:
    """The step as this variant says it on the channel; the first one where none is named. Raises YanshuError for a name
    that none of the step's channels has."""
    known = {one.id for each in step.channels for one in step.choices(each)}
    if variant is not None and variant not in known:
        hint = did_you_mean(variant, known) or ("" if known else ": it has one wording only")
        raise YanshuError(f"step {step.id!r} of {definition.id} has no variant {variant!r}{hint}")
    return step if step.is_plain else step.worded(channel, variant)


def _own_variant(session: Session, definition: Campaign | Care, step: Step, ref: str) -> str | None:
    """The variant that this customer will get, where shares decide; whose turn it is is known at sending only."""
    if not step.variants:
        return None
    with session.store.read() as connection:
        query = select(customers.c.id).where(customers.c.ref == ref)
        return variant_by_share(definition.id, step, connection.execute(query).scalar_one())


def find_step(session: Session, name: str, step_id: str | None) -> tuple[Campaign | Care, Step]:
    """A step of a campaign or care rule of the files; the first where none is named."""
    known = session.definitions.sendable()
    if name not in known:
        raise YanshuError(f"no campaign or care rule {name!r}{did_you_mean(name, known)}")
    definition = known[name]
    steps = {step.id: step for step in definition.steps}
    if step_id is None:
        return definition, definition.steps[0]
    if step_id not in steps:
        raise YanshuError(f"{name} has no step {step_id!r}{did_you_mean(step_id, steps)}")
    return definition, steps[step_id]


def data_of(session: Session, definition: Campaign | Care, ref: str) -> MessageData:
    """What varies in a message to this customer; with their latest order, where an order is what calls for it (for a
    dormant rule the latest that was completed)."""
    with session.store.read() as connection:
        found = connection.execute(select(customers).where(customers.c.ref == ref)).first()
        if found is None:
            raise YanshuError(f"no customer {ref!r}")
        trigger = definition.trigger if isinstance(definition, Care) else None
        wanted = trigger is not None and trigger.has_order
        completed = trigger is not None and trigger.kind in ("dormant", "replenishment")
        order = _latest_order(connection, found.id, completed=completed) if wanted else None
        items = _items(connection, order) if order else []
    data = sample_data(session)._replace(
        customer=customer_context(found._asdict()),
        order=order_context(order) if order else None,
        items=items,
    )
    if wanted and order is None:
        session.note(f"customer {ref} has no order: a made-up one stands in for it")
        return sample_data(session)._replace(customer=data.customer)
    return data


def sample_data(session: Session) -> MessageData:
    """A made-up customer with a made-up order."""
    host = message_host(session.settings)
    sample = samples(tracked=False)[0]
    return sample._replace(delivery=NOBODY, message_id=f"<{NOBODY}@{host}>", now=session.now())


def email_compiler(session: Session, definition: Campaign | Care) -> EmailCompiler:
    found = session.definitions
    signer = Signer(session.settings.signing_keys())
    zone = found.policy.timezone
    return EmailCompiler(session.settings, signer, found.files, definition, timezone=zone)


def sms_compiler(session: Session, definition: Campaign | Care) -> SmsCompiler:
    found = session.definitions
    return SmsCompiler(session.settings, found.files, definition, timezone=found.policy.timezone)


def _channels(
    definition: Campaign | Care, step: Step, customer: Mapping[str, Any], channel: Channel | None
) -> list[Channel]:
    if channel is not None and channel not in step.channels:
        raise YanshuError(f"step {step.id!r} of {definition.id} does not go by {channel}")
    wanted = [channel] if channel is not None else list(step.channels)
    reached = [one for one in wanted if customer["email" if one == "email" else "phone"]]
    if not reached:
        ways = " or ".join(wanted)
        raise YanshuError(f"customer {customer['id']!r} has no address for {ways}")
    return reached


def _latest_order(
    connection: Connection, customer_id: int, *, completed: bool
) -> Mapping[str, Any] | None:
    """`completed`: of those that count only."""
    counts = orders.c.status.in_(COMPLETED) if completed else true()
    query = (
        select(orders)
        .where(orders.c.customer_id == customer_id, counts)
        .order_by(orders.c.placed_at.desc(), orders.c.id.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return found._asdict() if found else None


def _items(connection: Connection, order: Mapping[str, Any]) -> list[dict[str, Any]]:
    query = select(order_items).where(order_items.c.order_id == order["id"])
    rows = connection.execute(query.order_by(order_items.c.position))
    return [item_context(row._asdict()) for row in rows]


def write_files(shown: Preview, directory: Path) -> list[Path]:
    """`ID-STEP.eml`, `.html`, `.txt`, and `ID-STEP.sms.txt` with a line for each part; the paths written."""
    base = f"{shown.definition}-{shown.step}"
    contents: dict[str, bytes] = {}
    if shown.email is not None:
        contents[f"{base}.eml"] = shown.wire
        contents[f"{base}.html"] = shown.email.html.encode()
        contents[f"{base}.txt"] = shown.email.text.encode()
    if shown.sms is not None:
        contents[f"{base}.sms.txt"] = "\n".join([*shown.sms.segments, ""]).encode()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise YanshuError(f"{directory}: {error.strerror}") from error
    return [directory / name for name in contents]
