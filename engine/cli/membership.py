"""membership, tasks: who holds a card, who is to get one, and what people have to do for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine.cli.context import Session
from engine.cli.frame import family, verb
from engine.errors import EXIT_FINE, UsageError, YanshuError, did_you_mean

if TYPE_CHECKING:
    from engine.customers.membership.figures import LevelFigures
    from engine.definitions.membership import Membership
    from engine.store.catalog import Catalog

SECTION = "People"
_STATES = Literal["eligible", "called", "carded", "active", "renewed", "lapsed", "declined", "withdrawn", "replaced", "all"]  # fmt: skip
_LAST_ID = 2**63 - 1  # that a database can be asked for


def register(app: typer.Typer) -> None:
    membership = family("membership", "Cards and levels: evaluate, list, confirm, stats, goods.")
    verb(membership, "evaluate", "yanshu membership evaluate")(evaluate)
    verb(membership, "list", "yanshu membership list", "yanshu membership list --expiring 30d")(list_)  # fmt: skip
    verb(membership, "confirm", "yanshu membership confirm 00042")(confirm)
    verb(membership, "stats", "yanshu membership stats --against 2026-01-01")(stats)
    verb(membership, "goods", "yanshu membership goods")(goods)
    app.add_typer(membership, rich_help_panel=SECTION)
    tasks = family("tasks", "What the shop's people have to do: list, done.")
    verb(tasks, "list", "yanshu tasks list --kind call")(tasks_list)
    verb(tasks, "done", "yanshu tasks done 7", "yanshu tasks done 7 --outcome declined")(done)
    app.add_typer(tasks, rich_help_panel=SECTION)


def evaluate(ctx: typer.Context) -> int:
    """Evaluate every customer now: who newly meets a level, whose card is renewed, whose lapses."""
    from dataclasses import asdict

    from engine.customers.membership.evaluation import evaluate as evaluate_all

    session = Session.of(ctx)
    catalog, levels = _in_force(session)
    with session.store.write() as connection:
        found = asdict(evaluate_all(connection, levels, catalog.policy, session.now()))
        _write_down(connection, session, "membership evaluate", None, found)
    session.answer(found, lambda: ", ".join(f"{count:,} {what}" for what, count in found.items()))
    return EXIT_FINE


def list_(
    ctx: typer.Context,
    state: Annotated[
        _STATES | None, typer.Option("--state", help="Default: cards under way, and active ones.")
    ] = None,
    level: Annotated[str | None, typer.Option("--level", help="Only of this level.")] = None,
    expiring: Annotated[
        str | None,
        typer.Option("--expiring", metavar="DURATION", help="Only those that end within it."),
    ] = None,
) -> int:
    """Who holds a card, and how far the others are on their way to one."""
    from engine.customers.membership.figures import listed
    from engine.pages.terminal import local, table

    session = Session.of(ctx)
    ends = None
    if expiring is not None:
        now = session.now()
        ends = (now, now + _duration(expiring))
    if level is not None:
        _require_level(session, level)
    with session.store.read() as connection:
        rows = listed(connection, state=state, level=level, ends=ends)
    zone = session.zone
    session.answer(
        {"memberships": rows},
        lambda: table(
            ["customer", "name", "level", "state", "evaluated", "since", "until"],
            [
                [row["customer_id"], row["name"], row["level"], row["state"]]
                + [local(row[key], zone) for key in ("evaluated_at", "starts_at", "expires_at")]
                for row in rows
            ],
        ),
    )
    return EXIT_FINE


def _require_level(session: Session, level: str) -> None:
    """Raises YanshuError for a level that is neither in force nor on any card: an empty list would say nobody has it."""
    from engine.customers.membership.figures import levels_given

    with session.store.read() as connection:
        known = levels_given(connection)
    if (membership := _catalog(session).membership) is not None:
        known |= {each.name for each in membership.levels}
    if level not in known:
        raise YanshuError(f"no level {level!r}{did_you_mean(level, known)}")


def _duration(text: str) -> Any:
    from engine.definitions.values import parse_duration
    from engine.errors import UsageError

    try:
        return parse_duration(text).delta
    except ValueError as error:
        raise UsageError(f"--expiring: {error}") from None


def confirm(
    ctx: typer.Context,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The shop's own id.")],
) -> int:
    """Record that the reply slip is back, or the card taken: from now on a member."""
    from dataclasses import asdict

    from engine.customers.membership.claims import claim
    from engine.pages.terminal import local, plain

    session = Session.of(ctx)
    catalog, levels = _in_force(session)
    with session.store.write() as connection:
        claimed = claim(connection, levels, catalog.policy, customer, session.now())
        _write_down(connection, session, "membership confirm", f"customer:{customer}", {"level": claimed.level})  # fmt: skip
    ends = local(claimed.expires_at, catalog.policy.timezone)
    session.answer(
        asdict(claimed), lambda: f"{plain(customer)}: a member of {plain(claimed.level)} until {ends}"
    )  # fmt: skip
    return EXIT_FINE


def stats(
    ctx: typer.Context,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="MOMENT", help="Growth since then; default: a year ago."),
    ] = None,
) -> int:
    """Members of each level, their growth, repeat rate and average order value."""
    from dataclasses import asdict

    from engine.clock import parse_moment
    from engine.customers.membership.figures import figures
    from engine.customers.membership.levels import local_day, start_of
    from engine.customers.profiles.grading import months_back

    session = Session.of(ctx)
    catalog, levels = _in_force(session)
    policy, now = catalog.policy, session.now()
    before = (
        parse_moment(against, policy.timezone)
        if against is not None
        else start_of(months_back(local_day(now, policy), 12), policy)
    )
    if before > now:
        raise UsageError(f"--against {against} is still to come: growth is since an earlier moment")
    with session.store.read() as connection:
        found = figures(connection, levels, policy, now, before)
    session.answer(
        {
            "at": now,
            "against": before,
            "currency": policy.prices.currency,
            "levels": [asdict(row) for row in found],
        },
        lambda: _table(found),
    )
    return EXIT_FINE


def _table(found: list[LevelFigures]) -> str:
    from engine.pages.terminal import table

    def percent(share: float | None) -> str:
        return "" if share is None else f"{share:.1%}"

    return table(
        ["level", "members", "share", "before", "growth", "", "buyers", "repeat rate", "orders", "average order"],
        [
            [row.level or "(no member)", f"{row.members:,}", percent(row.share), f"{row.before:,}", f"{row.growth:+,}", percent(row.growth_rate), f"{row.buyers:,}", percent(row.repeat_rate), f"{row.orders:,}", row.average_order_value]
            for row in found
        ],
        right=range(1, 10),
    )  # fmt: skip


def goods(ctx: typer.Context) -> int:
    """The products that take part in members' discounts, and what members pay."""
    from engine.customers.membership.figures import goods as taking_part
    from engine.pages.terminal import table

    session = Session.of(ctx)
    catalog, levels = _in_force(session)
    names = [level.name for level in levels.levels if level.discount is not None]
    with session.store.read() as connection:
        rows = taking_part(connection, levels, catalog.policy)
    session.answer(
        {"currency": catalog.policy.prices.currency, "goods": rows},
        lambda: table(
            ["sku", "title", "price", *names],
            [[row["sku"], row["title"], row["price"], *row["members"].values()] for row in rows],
            right=range(2, 3 + len(names)),
        ),
    )
    return EXIT_FINE


def tasks_list(
    ctx: typer.Context,
    state: Annotated[
        Literal["open", "done", "cancelled", "all"], typer.Option("--state", help="Which ones.")
    ] = "open",
    kind: Annotated[
        Literal["call", "card", "reply"] | None, typer.Option("--kind", help="Only this kind.")
    ] = None,
) -> int:
    """What is to be done, the oldest first."""
    from engine.customers.membership.tasks import listed
    from engine.pages.terminal import local, table

    session = Session.of(ctx)
    with session.store.read() as connection:
        rows = listed(connection, state=None if state == "all" else state, kind=kind)
    zone = session.zone
    session.answer(
        {"tasks": rows},
        lambda: table(
            ["id", "what", "for", "customer", "name", "phone", "since", "state"],
            [
                [
                    row["id"],
                    row["kind"],
                    row["data"].get("level"),
                    row["customer_id"],
                    row["name"],
                    row["phone"],
                    local(row["created_at"], zone),
                    row["state"],
                ]
                for row in rows
            ],
            right={0},
        ),
    )
    return EXIT_FINE


def done(
    ctx: typer.Context,
    numbers: Annotated[
        list[int], typer.Argument(metavar="TASK...", min=1, max=_LAST_ID, help="Their ids.")
    ],
    outcome: Annotated[
        Literal["done", "declined"],
        typer.Option("--outcome", help="declined: the customer does not want it."),
    ] = "done",
    note: Annotated[str | None, typer.Option("--note", help="What was said.")] = None,
) -> int:
    """Mark tasks as done, all or none; what they were for moves on."""
    from engine.customers.membership.tasks import finish
    from engine.pages.terminal import plain

    session = Session.of(ctx)
    catalog = _catalog(session)
    with session.store.write() as connection:
        told = finish(
            connection,
            numbers,
            outcome=outcome,
            note=note,
            membership=catalog.membership,
            policy=catalog.policy,
            now=session.now(),
        )
        for number in dict.fromkeys(numbers):
            _write_down(connection, session, "tasks done", f"task:{number}", {"outcome": outcome})
    session.answer(
        {"tasks": list(dict.fromkeys(numbers)), "outcome": outcome, "messages": told},
        lambda: "\n".join(plain(line) for line in told),
    )
    return EXIT_FINE


def _catalog(session: Session) -> Catalog:
    from engine.store.catalog import CatalogReader

    with session.store.read() as connection:
        return CatalogReader().read(connection)


def _in_force(session: Session) -> tuple[Catalog, Membership]:
    """What was applied. Cards are promises: a file that is being edited makes none."""
    catalog = _catalog(session)
    if catalog.membership is None:
        raise YanshuError("no membership.yaml is in force: write one, then `yanshu apply`")
    return catalog, catalog.membership


def _write_down(
    connection: Any, session: Session, action: str, target: str | None, data: dict[str, Any]
) -> None:
    from sqlalchemy import insert

    from engine.store.tables import audit

    connection.execute(
        insert(audit).values(
            at=session.now(), by=session.by, action=action, target=target, data=data
        )
    )
