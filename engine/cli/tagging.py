"""tag: what is known of one customer in words, put by people and by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_ERROR, EXIT_FINE

if TYPE_CHECKING:
    from sqlalchemy import Connection

Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The shop's own id.")]
Written = Annotated[
    str, typer.Argument(metavar="DIMENSION=VALUE", help="As tagging.yaml allows it.")
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who says so; you where it is not given.")
]


def register(app: typer.Typer) -> None:
    group = family("tag", "Tags of customers: add, remove, list, refresh.")
    verb(group, "add", "yanshu tag add 00001 temper=picky --by 小王")(add)
    verb(group, "remove", "yanshu tag remove 00001 temper=picky")(remove)
    verb(group, "list", "yanshu tag list 00001")(list_)
    verb(group, "refresh", "yanshu tag refresh")(refresh)
    app.add_typer(group, rich_help_panel="People")


def add(ctx: typer.Context, customer: Customer, tag: Written, by: By = None) -> int:
    """Put a tag on a customer by hand; rules never take it away."""
    from engine.customers.tags import add_tag, find_customer, parse_tag

    session = Session.of(ctx)
    tagging, who = session.policy.tagging, by or session.by
    dimension, value = parse_tag(tag, tagging)
    with session.store.write() as connection:
        person = find_customer(connection, customer)
        done = add_tag(
            connection, person, dimension, value, tagging=tagging, at=session.now(), by=who
        )
        _write_down(connection, session, "tag", customer, f"{dimension}={value}", who)
    words = "put on" if done.is_new else "was already on"
    instead = f" instead of {', '.join(done.replaced)}" if done.replaced else ""
    session.answer(
        {"customer_id": customer, "dimension": dimension, "value": value, "by": who,
         "new": done.is_new, "replaced": list(done.replaced)},
        lambda: f"{dimension}={value} {words} {customer}{instead}",
    )  # fmt: skip
    return EXIT_FINE


def remove(ctx: typer.Context, customer: Customer, tag: Written, by: By = None) -> int:
    """Take a tag that was put by hand away."""
    from engine.customers.tags import find_customer, remove_tag
    from engine.errors import YanshuError

    session = Session.of(ctx)
    dimension, _, value = (part.strip() for part in tag.partition("="))
    if not dimension or not value:
        raise YanshuError(f"{tag!r} is not a tag; write DIMENSION=VALUE")
    with session.store.write() as connection:
        # Not checked against tagging.yaml: a value that is no longer allowed must be removable.
        person = find_customer(connection, customer)
        was_there = remove_tag(connection, person, dimension, value, session.now())
        if was_there:
            written = f"{dimension}={value}"
            _write_down(connection, session, "untag", customer, written, by or session.by)
    words = "taken from" if was_there else "is not on"
    session.answer(
        {"customer_id": customer, "dimension": dimension, "value": value, "removed": was_there},
        lambda: f"{dimension}={value} {words} {customer}",
    )
    return EXIT_FINE if was_there else EXIT_ERROR


def list_(ctx: typer.Context, customer: Customer) -> int:
    """The tags of a customer: since when, and from whom or by which rule."""
    from engine.customers.tags import find_customer, tags_of
    from engine.pages.terminal import local, table

    session = Session.of(ctx)
    with session.store.read() as connection:
        found = tags_of(connection, find_customer(connection, customer))
    zone = session.zone
    rows = [
        {"dimension": one.dimension, "value": one.value, "at": one.at, "by": one.by,
         "rule": one.rule}
        for one in found
    ]  # fmt: skip
    session.answer(
        {"customer_id": customer, "tags": rows},
        lambda: table(
            ["dimension", "value", "since", "from"],
            [
                [one.dimension, one.value, local(one.at, zone),
                 f"rule {one.rule} ({one.by})" if one.rule else one.by]
                for one in found
            ],
        ),
    )  # fmt: skip
    return EXIT_FINE


def refresh(ctx: typer.Context) -> int:
    """Apply the rules of tagging.yaml to everybody now, profiles first."""
    from sqlalchemy import func, select

    from engine.customers.profiles import freshness
    from engine.pages.terminal import table
    from engine.store.tables import tags

    session = Session.of(ctx)
    with session.store.write() as connection:
        policy = freshness.counts_by(connection, session.policy)
        freshness.refresh(connection, policy, session.now())
        found = connection.execute(
            select(tags.c.rule, func.count()).where(tags.c.rule.is_not(None)).group_by(tags.c.rule)
        )
        counted: dict[str, int] = {row[0]: row[1] for row in found}
    rows = [
        {"rule": rule.name, "tag": f"{rule.dimension}={rule.value}",
         "customers": counted.get(rule.name, 0)}
        for rule in policy.tagging.rules
    ]  # fmt: skip
    if policy.tagging != session.policy.tagging:
        session.note("these rules are in force; tagging.yaml has others: `yanshu apply`")
    session.answer(
        {"rules": rows},
        lambda: table(
            ["rule", "tag", "customers"], [list(row.values()) for row in rows], right={2}
        ),
    )
    return EXIT_FINE


def _write_down(
    connection: Connection, session: Session, action: str, customer: str, tag: str, by: str
) -> None:
    from sqlalchemy import insert

    from engine.store.tables import audit

    data = {"tag": tag} if by == session.by else {"tag": tag, "for": by}
    connection.execute(
        insert(audit).values(
            at=session.now(), by=session.by, action=action, target=f"customer:{customer}", data=data
        )
    )
