"""Every table, once. Times are UTC; money is whole numbers of the smallest unit plus a currency.

`id` is an internal key and never leaves the database; `ref` is the shop's own id, kept as text (`00001` stays so);
`public_id` is random and the only id that stands in a link or a header. Queries use the Core tables at the end.

Annotations are no texts here (no `from __future__`): Pydantic and SQLAlchemy would read each of them again, a fifth of the time
that this module takes to load.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from engine.store.types import BigId, Json, Moment


class State(StrEnum):
    """What a delivery is doing. What the customer did with it are engagements, not states."""

    WAITING = "waiting"  # a later step, until its parent has ended
    PLANNED = "planned"  # may go at `next_at`, if the gate agrees
    QUEUED = "queued"  # admitted by the gate, in a batch for a worker
    SENDING = "sending"  # being handed over: written before the first byte of DATA
    SENT = "sent"  # the server or gateway took it
    FAILED = "failed"  # refused for good, or given up
    UNCERTAIN = "uncertain"  # handed over, but no reply came back: nobody knows
    SKIPPED = "skipped"  # the gate said no, with a reason
    CANCELLED = "cancelled"  # an operator or a removed file withdrew it
    HOLDOUT = "holdout"  # selected, and deliberately not messaged


OPEN_STATES = (State.WAITING, State.PLANNED, State.QUEUED, State.SENDING, State.UNCERTAIN)
AT_REST = "state NOT IN ('planned', 'queued', 'sending')"
"""Not on its way: what a query repeats, word for word, to count from the index of these."""
COMMITTED_STATES = (State.QUEUED, State.SENDING, State.SENT, State.UNCERTAIN)
"""States that use up a frequency cap, by time of admission."""


STOPPED = "stopped"
"""Reason of a later step that `stop_on` ended: the gate writes it, and planning hands it on to the steps after that."""


class Engagement(StrEnum):
    """What is learnt about a delivery afterwards, in the words of the mail world."""

    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    VIEWED = "viewed"  # opened in the browser
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    REPLIED = "replied"
    ORDERED = "ordered"


def _key() -> Any:
    return Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))


def _parent(target: str, *, nullable: bool = False, primary_key: bool = False) -> Any:
    column = Column(
        BigId, ForeignKey(target, ondelete="CASCADE"), nullable=nullable, primary_key=primary_key
    )
    return Field(sa_column=column)


def _text(*, nullable: bool = False, unique: bool = False, primary_key: bool = False) -> Any:
    column = Column(Text, nullable=nullable, unique=unique or None, primary_key=primary_key)
    return Field(default=None if nullable else ..., sa_column=column)


def _number(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else 0, sa_column=Column(BigId, nullable=nullable))


def _moment(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else ..., sa_column=Column(Moment, nullable=nullable))


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(Json, nullable=False))


def _flag() -> Any:
    return Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )


class _Row(SQLModel):
    """A table of the database. Nothing makes or checks a row as an object, so the validators are not built at start-up:
    they would be a fifth of the time that this module takes to load."""

    model_config = {"defer_build": True}


class Customer(_Row, table=True):
    """A person of the shop. `email` is normalised (trimmed, lower case), `phone` is E.164."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("ix_customers_email_hash", "email_hash"),
        Index("ix_customers_phone_hash", "phone_hash"),
        Index("ix_customers_birthday", "birthday_month", "birthday_day"),
        Index("ix_customers_joined", "joined_at"),
    )
    id: int | None = _key()
    ref: str = _text(unique=True)
    name: str | None = _text(nullable=True)
    email: str | None = _text(nullable=True)
    email_hash: str | None = _text(nullable=True)
    email_domain: str | None = _text(nullable=True)
    phone: str | None = _text(nullable=True)
    phone_hash: str | None = _text(nullable=True)
    phone_valid_until: datetime | None = _moment(nullable=True)
    gender: str | None = _text(nullable=True)
    birthday: str | None = _text(nullable=True)  # 1990-02-28, or --02-28 without a year
    birthday_month: int | None = _number(nullable=True)
    birthday_day: int | None = _number(nullable=True)
    birthday_calendar: str | None = _text(nullable=True)  # solar | lunar; NULL = solar
    timezone: str | None = _text(nullable=True)  # an IANA name, checked at import
    language: str | None = _text(nullable=True)
    province: str | None = _text(nullable=True)
    city: str | None = _text(nullable=True)
    address: str | None = _text(nullable=True)
    joined_at: datetime | None = _moment(nullable=True)
    malicious: bool = _flag()  # as imported or pushed; a tag may say so too
    attributes: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class FormerAddress(_Row, table=True):
    """An address that a customer had before: what went there counts for whoever has it now. Triggers of the database write
    it when a customer's address changes; an index of all deliveries by their random hashes would cost each of them more."""

    __tablename__ = "former_addresses"
    __table_args__ = (Index("ix_former_addresses_customer", "customer_id"),)
    address_hash: str = _text(primary_key=True)
    customer_id: int = _parent("customers.id", primary_key=True)


class MergedRef(_Row, table=True):
    """An id of the shop whose customer was merged into another one: imports go on finding that person by it."""

    __tablename__ = "merged_refs"
    __table_args__ = (Index("ix_merged_refs_customer", "customer_id"),)
    ref: str = _text(primary_key=True)
    customer_id: int = _parent("customers.id")
    merged_at: datetime = _moment()


class Tag(_Row, table=True):
    """`rule`: the rule of tagging.yaml that put it, and may take it away; NULL: a person, an import or the API did."""

    __tablename__ = "tags"
    __table_args__ = (
        UniqueConstraint("customer_id", "dimension", "value"),
        Index("ix_tags_value", "dimension", "value", "customer_id"),
        Index("ix_tags_added", "dimension", "tagged_at"),
    )
    id: int | None = _key()
    customer_id: int = _parent("customers.id")
    dimension: str = _text()
    value: str = _text()
    tagged_at: datetime = _moment()
    tagged_by: str | None = _text(nullable=True)
    rule: str | None = _text(nullable=True)


class Consent(_Row, table=True):
    """The ledger: it only grows. The newest row (highest id) per address, channel and class holds."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_current", "address_hash", "channel", "class", "id"),)
    id: int | None = _key()
    address_hash: str = _text()
    channel: str = _text()  # email | sms
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    granted: bool = _flag()
    at: datetime = _moment()
    source: str = _text()  # import | person | operator
    wording: str | None = _text(nullable=True)


class Suppression(_Row, table=True):
    """An address that gets nothing at all on a channel. Keeps only a keyed hash, so that it outlives an erasure."""

    __tablename__ = "suppressions"
    __table_args__ = (UniqueConstraint("address_hash", "channel"),)
    id: int | None = _key()
    address_hash: str = _text()
    channel: str = _text()
    reason: str = _text()  # hard_bounce | complaint | operator | import
    at: datetime = _moment()
    note: str | None = _text(nullable=True)


class Order(_Row, table=True):
    """`status`: placed paid shipped arrived received refunded closed; completed = paid to received."""

    __tablename__ = "orders"
    __table_args__ = (
        # Also what is summed: a customer's orders are added up without a look at each. The id goes before it, or SQLite looks
        # for the first order of a customer's moment among all orders of that moment.
        Index("ix_orders_customer", "customer_id", "placed_at", "id", "status", "currency", "amount"),
        Index("ix_orders_placed", "placed_at"),
        Index("ix_orders_paid", "paid_at", postgresql_where=text("paid_at IS NOT NULL"), sqlite_where=text("paid_at IS NOT NULL")),
        Index("ix_orders_shipped", "shipped_at", postgresql_where=text("shipped_at IS NOT NULL"), sqlite_where=text("shipped_at IS NOT NULL")),
        Index("ix_orders_arrived", "arrived_at", postgresql_where=text("arrived_at IS NOT NULL"), sqlite_where=text("arrived_at IS NOT NULL")),
        Index("ix_orders_received", "received_at", postgresql_where=text("received_at IS NOT NULL"), sqlite_where=text("received_at IS NOT NULL")),
        Index("ix_orders_refunded", "refunded_at", postgresql_where=text("refunded_at IS NOT NULL"), sqlite_where=text("refunded_at IS NOT NULL")),
    )  # fmt: skip
    id: int | None = _key()
    ref: str = _text(unique=True)
    customer_id: int = _parent("customers.id")
    status: str = _text()
    placed_at: datetime = _moment()
    paid_at: datetime | None = _moment(nullable=True)
    shipped_at: datetime | None = _moment(nullable=True)
    arrived_at: datetime | None = _moment(nullable=True)
    received_at: datetime | None = _moment(nullable=True)
    refunded_at: datetime | None = _moment(nullable=True)
    refunded_amount: int | None = _number(nullable=True)
    amount: int = _number()
    currency: str = _text()
    quantity: int | None = _number(nullable=True)
    coupon: str | None = _text(nullable=True)
    source: str | None = _text(nullable=True)
    attributes: dict[str, Any] = _json()


class OrderItem(_Row, table=True):
    """An order's items are replaced whole; `position` counts from 1 in file order."""

    __tablename__ = "order_items"
    __table_args__ = (UniqueConstraint("order_id", "position"),)
    id: int | None = _key()
    order_id: int = _parent("orders.id")
    position: int = _number()
    sku: str | None = _text(nullable=True)
    title: str | None = _text(nullable=True)
    category: str | None = _text(nullable=True)
    brand: str | None = _text(nullable=True)
    size: str | None = _text(nullable=True)
    quantity: int | None = _number(nullable=True)
    price: int | None = _number(nullable=True)


class Product(_Row, table=True):
    __tablename__ = "products"
    id: int | None = _key()
    sku: str = _text(unique=True)
    title: str | None = _text(nullable=True)
    category: str | None = _text(nullable=True)
    brand: str | None = _text(nullable=True)
    url: str | None = _text(nullable=True)
    image: str | None = _text(nullable=True)
    price: int | None = _number(nullable=True)
    attributes: dict[str, Any] = _json()


class Event(_Row, table=True):
    """Anything that the shop sends in; `ref` is its id, or a digest of the rest."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_kind", "kind", "at"),
        Index("ix_events_customer", "customer_id", "kind", "at"),
    )
    id: int | None = _key()
    ref: str = _text(unique=True)
    customer_id: int = _parent("customers.id")
    kind: str = _text()
    at: datetime = _moment()
    data: dict[str, Any] = _json()


class Membership(_Row, table=True):
    __tablename__ = "memberships"
    __table_args__ = (
        Index("ix_memberships_customer", "customer_id"),
        Index("ix_memberships_expires", "expires_at"),
        Index("ix_memberships_starts", "starts_at"),
    )
    id: int | None = _key()
    customer_id: int = _parent("customers.id")
    level: str = _text()
    state: str = (
        _text()
    )  # eligible | called | carded | active | …: customers.membership.levels.Standing
    starts_at: datetime | None = _moment(nullable=True)
    expires_at: datetime | None = _moment(nullable=True)
    claimed_at: datetime | None = _moment(
        nullable=True
    )  # the reply slip came back, or the card was taken
    called_at: datetime | None = _moment(nullable=True)  # the call task is done
    carded_at: datetime | None = _moment(nullable=True)  # the card task is done
    evaluated_at: datetime | None = _moment(nullable=True)
    renews_id: int | None = _number(nullable=True)  # the membership that this one follows


class GradeChange(_Row, table=True):
    __tablename__ = "grade_changes"
    __table_args__ = (UniqueConstraint("customer_id", "at"), Index("ix_grade_changes_at", "at"))
    id: int | None = _key()
    customer_id: int = _parent("customers.id")
    at: datetime = _moment()
    before: str | None = _text(nullable=True)
    after: str | None = _text(nullable=True)


class Profile(_Row, table=True):
    """What is computed about a customer in sets. `orders`, `amount`, first and last: completed orders of a lifetime;
    `period_*`, R, F, M, value, grade: of the grading period that ends at the last refresh; `evaluated_at`: the one that
    found anything of this different from before. `counted_to` and `counted_sum` say which orders the affinities hold:
    the highest id among them, and their fingerprint (customers.profiles.kept); no fingerprint: nobody knows."""

    __tablename__ = "profiles"
    __table_args__ = (
        Index("ix_profiles_last_order", "last_order_at"),
        Index("ix_profiles_first_order", "first_order_at"),
        Index("ix_profiles_grade", "grade"),
    )
    customer_id: int = _parent("customers.id", primary_key=True)
    orders: int = _number()
    amount: int = _number()
    first_order_at: datetime | None = _moment(nullable=True)
    last_order_at: datetime | None = _moment(nullable=True)
    last_order_id: int | None = _number(nullable=True)
    period_orders: int = _number()
    period_amount: int = _number()
    r: int | None = _number(nullable=True)
    f: int | None = _number(nullable=True)
    m: int | None = _number(nullable=True)
    value: int | None = _number(nullable=True)
    grade: str | None = _text(nullable=True)
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    usual_hour: int | None = _number(nullable=True)  # 0 to 23, in the customer's zone
    usual_hour_confidence: int | None = _number(nullable=True)  # percent
    cycle_seconds: int | None = _number(nullable=True)  # median time between two completed orders
    stage: str | None = _text(nullable=True)  # of the life cycle
    province: str | None = _text(nullable=True)  # as given, else read from the address
    city: str | None = _text(nullable=True)
    category_points: int | None = _number(nullable=True)  # of all affinities of that kind
    brand_points: int | None = _number(nullable=True)
    counted_to: int | None = _number(nullable=True)
    counted_sum: int | None = _number(nullable=True)
    evaluated_at: datetime = _moment()


class Affinity(_Row, table=True):
    """What a customer's completed orders and clicks say of one category or brand. The score is no column: one order
    would change that of every name. It is worked out where it is asked for, with the points of all in the profile.
    `times`: when its orders were placed, in whole seconds since 1970 with commas between, where these are three or more.
    No foreign key: whoever writes here holds the customer's row or all profiles, and its check was a third of a first count."""

    __tablename__ = "affinities"
    __table_args__ = (
        # Of categories: an order moves it. Nobody asks when a brand was last bought. A query spells the kind out.
        Index("ix_affinities_last", "name", "last_at", postgresql_where=text("kind = 'category'"), sqlite_where=text("kind = 'category'")),
        Index("ix_affinities_brand", "name", postgresql_where=text("kind = 'brand'"), sqlite_where=text("kind = 'brand'")),
        Index("ix_affinities_clicked", "customer_id", postgresql_where=text("clicks > 0"), sqlite_where=text("clicks > 0")),
        {"sqlite_with_rowid": False},
    )  # fmt: skip
    customer_id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    kind: str = _text(primary_key=True)  # category | brand
    name: str = _text(primary_key=True)
    orders: int = _number()
    quantity: int = _number()
    amount: int = _number()
    clicks: int = _number()
    first_at: datetime | None = _moment(nullable=True)
    last_at: datetime | None = _moment(nullable=True)
    cycle_seconds: int | None = _number(nullable=True)  # median time between two of these orders
    times: str | None = _text(nullable=True)


class CategoryCycle(_Row, table=True):
    """The repurchase cycle of a category over all customers: the median of `gaps` times between two orders of it."""

    __tablename__ = "category_cycles"
    category: str = _text(primary_key=True)
    gaps: int = _number()
    cycle_seconds: int = _number()


class Definition(_Row, table=True):
    """One applied version: the files it is made of (path → text), by the digest of their content.

    `kind`: campaign | care | segment | policy | tagging. One row per version; `current` marks the one in force (a removed
    definition has none).
    """

    __tablename__ = "definitions"
    __table_args__ = (
        UniqueConstraint("kind", "name", "digest"),
        Index("ix_definitions_current", "kind", "name", unique=True, postgresql_where=text("current"), sqlite_where=text("current")),
    )  # fmt: skip
    id: int | None = _key()
    kind: str = _text()
    name: str = _text()
    digest: str = _text()
    path: str = _text()
    files: dict[str, str] = _json()
    current: bool = _flag()
    git_commit: str | None = _text(nullable=True)
    applied_at: datetime = _moment()
    applied_by: str = _text()


class Run(_Row, table=True):
    """A group of deliveries of one definition: a campaign's occurrence, or a care rule's day."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("definition", "occurrence"), Index("ix_runs_state", "state"))
    id: int | None = _key()
    definition: str = _text()
    occurrence: str = _text()
    digest: str = _text()
    priority: int = _number()
    starts_at: datetime | None = _moment(nullable=True)
    state: str = _text()  # open | done | blocked | cancelled
    reason: str | None = _text(nullable=True)  # why it is blocked, or `rescheduled`
    expanded_at: datetime | None = _moment(nullable=True)
    created_at: datetime = _moment()
    done_at: datetime | None = _moment(nullable=True)


class Delivery(_Row, table=True):
    """One message to one customer for one step and one reason (`anchor`). The unique key is the promise that nobody
    gets it twice; the row is the answer to why somebody did not get it."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("definition", "step", "customer_id", "anchor"),
        Index("ix_deliveries_due", "run_id", "next_at", "id", postgresql_where=text("state = 'planned'"), sqlite_where=text("state = 'planned'")),
        Index("ix_deliveries_next", "next_at", postgresql_where=text("state = 'planned'"), sqlite_where=text("state = 'planned'")),
        # SQLite takes a partial index only where the query repeats its condition, so that is as plain as can be.
        Index("ix_deliveries_batch", "batch", postgresql_where=text("batch IS NOT NULL"), sqlite_where=text("batch IS NOT NULL")),
        Index("ix_deliveries_contacts", "customer_id", "admitted_at", postgresql_where=text("admitted_at IS NOT NULL"), sqlite_where=text("admitted_at IS NOT NULL")),
        Index("ix_deliveries_volume", "admitted_at", postgresql_where=text("admitted_at IS NOT NULL"), sqlite_where=text("admitted_at IS NOT NULL")),
        # Two in place of one over (run, state): a message changes its state three times while it is sent, and moved in it each time.
        Index("ix_deliveries_run", "run_id"),
        Index("ix_deliveries_at_rest", "run_id", "state", postgresql_where=text(AT_REST), sqlite_where=text(AT_REST)),
        Index("ix_deliveries_open", "customer_id", "not_after", postgresql_where=text("state IN ('planned', 'waiting')"), sqlite_where=text("state IN ('planned', 'waiting')")),
        # Steps that have ended and whose later steps do not know it yet: hardly ever any, and the dispatcher asks all the time.
        Index("ix_deliveries_followed", "ended_at", postgresql_where=text("followed IS NOT NULL AND ended_at IS NOT NULL"), sqlite_where=text("followed IS NOT NULL AND ended_at IS NOT NULL")),
        Index("ix_deliveries_later", "run_id", "step", "state", postgresql_where=text("parent_step IS NOT NULL"), sqlite_where=text("parent_step IS NOT NULL")),
        CheckConstraint("state IN ('waiting','planned','queued','sending','sent','failed','uncertain','skipped','cancelled','holdout')", name="known_state"),
    )  # fmt: skip
    id: int | None = _key()
    public_id: str = _text(unique=True)
    run_id: int = _parent("runs.id")
    definition: str = _text()
    step: str = _text()
    customer_id: int = _parent("customers.id")
    anchor: str = _text()
    order_id: int | None = _number(nullable=True)  # the order that the anchor names
    event_id: int | None = _number(nullable=True)  # the event that the anchor names
    digest: str = _text()  # the definition's version
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    priority: int = _number()
    state: str = _text()
    due_at: datetime = _moment()
    next_at: datetime = _moment()  # when the gate looks again; moves with each deferral
    not_after: datetime = _moment()
    deferrals: int = _number()
    reason: str | None = _text(nullable=True)  # of the last deferral, skip, failure or cancellation
    # set by admission; cleared when the row goes back to planned
    channel: str | None = _text(nullable=True)
    channel_index: int = _number()  # place in the step's channel list where the gate starts to look
    address_hash: str | None = _text(nullable=True)
    email_domain: str | None = _text(nullable=True)
    admitted_at: datetime | None = _moment(nullable=True)
    send_at: datetime | None = _moment(nullable=True)
    batch: str | None = _text(nullable=True)  # only while it is queued or sending
    enqueued_at: datetime | None = _moment(nullable=True)
    worker: str | None = _text(nullable=True)
    # the attempt
    attempts: int = _number()
    first_attempt_at: datetime | None = _moment(nullable=True)
    sent_at: datetime | None = _moment(nullable=True)
    ended_at: datetime | None = _moment(nullable=True)
    reply: str | None = _text(nullable=True)
    parts: int | None = _number(nullable=True)  # SMS parts sent
    created_at: datetime = _moment()
    # of a series
    parent_step: str | None = _text(nullable=True)  # the step that this one follows; NULL = first
    followed: bool | None = Field(default=None, sa_column=Column(Boolean, nullable=True))
    # true: a later step is to be told how this one ends; NULL: none is (any more)
    variant: str | None = _text(nullable=True)  # the wording that it was admitted with


class Attempt(_Row, table=True):
    """An attempt that did not simply succeed: retried, failed, or uncertain. (A success stands on its delivery.)"""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("delivery_id", "number"),)
    id: int | None = _key()
    delivery_id: int = _parent("deliveries.id")
    number: int = _number()
    channel: str = _text()
    worker: str | None = _text(nullable=True)
    at: datetime = _moment()
    outcome: str = _text()  # retry | failed | uncertain
    phase: str | None = _text(nullable=True)
    reply: str | None = _text(nullable=True)


class Decision(_Row, table=True):
    """A deferral or a skip of the gate, with the rule and the evidence that an operator is shown."""

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_delivery", "delivery_id", "id"),)
    id: int | None = _key()
    delivery_id: int = _parent("deliveries.id")
    at: datetime = _moment()
    verdict: str = _text()  # defer | skip
    reason: str = _text()
    until: datetime | None = _moment(nullable=True)
    rule: dict[str, Any] = _json()  # {file, line, text}
    evidence: dict[str, Any] = _json()


class Link(_Row, table=True):
    """A tracked link of one definition version; the number stands in the URL and can only choose one of these."""

    __tablename__ = "links"
    __table_args__ = (UniqueConstraint("digest", "number"),)
    id: int | None = _key()
    digest: str = _text()
    number: int = _number()
    url: str = _text()  # for a personal link: its template text
    label: str | None = _text(nullable=True)
    personal: bool = _flag()


class EngagementEvent(_Row, table=True):
    """`dedupe` makes a repeated report of the same thing (a webhook sent twice) land once; NULL never clashes."""

    __tablename__ = "engagements"
    __table_args__ = (
        UniqueConstraint("delivery_id", "kind", "dedupe"),
        Index("ix_engagements_delivery", "delivery_id", "kind"),
        Index("ix_engagements_at", "at"),
    )
    id: int | None = _key()
    delivery_id: int = _parent("deliveries.id")
    kind: str = _text()
    at: datetime = _moment()
    link: int | None = _number(nullable=True)
    scanner: str | None = _text(nullable=True)  # why it is taken for a machine; NULL = a person
    dedupe: str | None = _text(nullable=True)
    data: dict[str, Any] = _json()


class Contact(_Row, table=True):
    """A message that another system sent: it counts in the frequency caps."""

    __tablename__ = "contacts"
    __table_args__ = (UniqueConstraint("customer_id", "channel", "class", "at"),)
    id: int | None = _key()
    customer_id: int = _parent("customers.id")
    channel: str = _text()
    class_: str = Field(sa_column=Column("class", Text, nullable=False))
    at: datetime = _moment()


class CouponPool(_Row, table=True):
    __tablename__ = "coupon_pools"
    id: int | None = _key()
    name: str = _text(unique=True)


class Coupon(_Row, table=True):
    __tablename__ = "coupons"
    __table_args__ = (
        UniqueConstraint("pool_id", "code"),
        Index("ix_coupons_delivery", "delivery_id", unique=True),
    )
    id: int | None = _key()
    pool_id: int = _parent("coupon_pools.id")
    code: str = _text()
    delivery_id: int | None = _number(nullable=True)
    assigned_at: datetime | None = _moment(nullable=True)


class Task(_Row, table=True):
    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_state", "state"),)
    id: int | None = _key()
    customer_id: int = _parent("customers.id")
    delivery_id: int | None = _parent("deliveries.id", nullable=True)
    kind: str = _text()
    state: str = _text()
    data: dict[str, Any] = _json()
    created_at: datetime = _moment()
    done_at: datetime | None = _moment(nullable=True)
    dedupe: str | None = _text(
        nullable=True, unique=True
    )  # what it is for: the same is asked for once


class Pause(_Row, table=True):
    """`target` as an operator writes it: all, channel:email, domain:qq.com, campaign:ID, care:ID, run:N, delivery:ID."""

    __tablename__ = "pauses"
    id: int | None = _key()
    target: str = _text(unique=True)
    at: datetime = _moment()
    by: str = _text()


class RateState(_Row, table=True):
    """What must survive a restart about rates: measured speed, slow-downs per domain."""

    __tablename__ = "rate_states"
    key: str = _text(primary_key=True)
    data: dict[str, Any] = _json()
    updated_at: datetime = _moment()


class Lease(_Row, table=True):
    """Who may act as `name` until `expires` (the database's own clock, seconds since 1970); `epoch` fences off a
    holder that slept through its lease."""

    __tablename__ = "leases"
    name: str = _text(primary_key=True)
    holder: str = _text()
    epoch: int = _number()
    expires: float = Field(default=0.0)


class Audit(_Row, table=True):
    __tablename__ = "audit"
    id: int | None = _key()
    at: datetime = _moment()
    by: str = _text()
    action: str = _text()
    target: str | None = _text(nullable=True)
    data: dict[str, Any] = _json()


class ZoneOffset(_Row, table=True):
    """The zone database as rows: in `zone`, local time = UTC + `seconds` from `from_epoch` until before `to_epoch`."""

    __tablename__ = "zone_offsets"
    zone: str = _text(primary_key=True)
    from_epoch: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    to_epoch: int = _number()
    seconds: int = _number()


metadata = SQLModel.metadata


def _table(model: type[SQLModel]) -> Table:
    return metadata.tables[str(model.__tablename__)]


affinities = _table(Affinity)
attempts = _table(Attempt)
audit = _table(Audit)
consents = _table(Consent)
contacts = _table(Contact)
coupon_pools = _table(CouponPool)
coupons = _table(Coupon)
category_cycles = _table(CategoryCycle)
customers = _table(Customer)
decisions = _table(Decision)
definitions = _table(Definition)
deliveries = _table(Delivery)
engagements = _table(EngagementEvent)
events = _table(Event)
former_addresses = _table(FormerAddress)
grade_changes = _table(GradeChange)
leases = _table(Lease)
links = _table(Link)
memberships = _table(Membership)
merged_refs = _table(MergedRef)
order_items = _table(OrderItem)
orders = _table(Order)
pauses = _table(Pause)
products = _table(Product)
profiles = _table(Profile)
rate_states = _table(RateState)
runs = _table(Run)
suppressions = _table(Suppression)
tags = _table(Tag)
tasks = _table(Task)
zone_offsets = _table(ZoneOffset)
