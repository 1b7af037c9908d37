"""Series on real databases: the dispatcher, the ledger and the worker over a virtual clock; the oracle is what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from engine.channels.base import Accepted, Envelope, Outcome, Refused
from engine.customers.consent import suppress, unsuppress, withdraw
from engine.delivery import control
from engine.delivery.ledger import record
from engine.delivery.results import End, Result, Sent
from engine.delivery.wordings import variant_by_share
from engine.insight.explain import explain_customer
from engine.insight.funnel import report
from engine.insight.report import report_page
from engine.insight.status import status
from engine.planning.holdout import reason_held_out
from engine.planning.runs import close_finished
from engine.settings import ShopSettings
from engine.smtp_replies import ReplyKind
from engine.store.session import Store
from engine.store.tables import customers, deliveries, engagements, runs
from engine.tokens import address_hash
from tests.line import DUE, Line, settings_for
from tests.shop import ADDRESS_KEY, add_customer, add_order, put_in_force

DAY = timedelta(days=1)


def mail(word: str) -> str:
    return "{subject: '" + word + "', template: hello}"


def series(steps: str, more: str = "", audience: str = "{all: []}") -> dict[str, str]:
    return {
        "campaigns/spring.yaml": f"""
kind: campaign
class: care
schedule: {{at: "2026-11-02T10:00", expires: 1d}}
audience: {audience}
{more}
steps:
{steps}
"""
    }


THREE = series(
    f"""
  - {{id: mail, email: {mail("one")}}}
  - {{id: nudge, after: {{step: mail, wait: 2d, unless: [clicked, ordered]}}, email: {mail("two")}}}
  - {{id: last, after: {{step: nudge, wait: 3d, on: any}}, email: {mail("three")}}}
""",
    "stop_on: [ordered, unsubscribed, bounced]",
)


@dataclass
class Post:
    """A relay that takes everything, but what is written to `refuses`; `sent`: (address, subject) in order."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    async def open(self) -> None:
        return None

    async def send_window(
        self, envelopes: Sequence[Envelope], told: Callable[[int, Outcome], object]
    ) -> None:
        for place, one in enumerate(envelopes):
            if one.recipient in self.refuses:
                told(place, Refused("550 5.7.1 no", True, "rcpt", ReplyKind.POLICY))
                continue
            subject = str(make_header(decode_header(message_from_bytes(one.body)["Subject"])))
            self.sent.append((one.recipient[1:].partition("@")[0], subject))
            told(place, Accepted("250 ok"))

    async def close(self) -> None:
        return None

    def take(self) -> list[tuple[str, str]]:
        found, self.sent = sorted(self.sent), []
        return found


def shop(store: Store, files: dict[str, str], *refs: str) -> tuple[Line, Post]:
    post = Post()
    line = Line(store, settings_for(25), transports={"email": [lambda: post]})
    with store.write() as connection:
        put_in_force(connection, files)
        for ref in refs:
            add_customer(connection, ref)
    line.expand()
    return line, post


def rows(store: Store, ref: str) -> dict[str, Any]:
    with store.read() as connection:
        found = connection.execute(
            select(deliveries)
            .join(customers, customers.c.id == deliveries.c.customer_id)
            .where(customers.c.ref == ref)
        )
        return {row.step: row for row in found}


def states(store: Store, ref: str) -> dict[str, tuple[str, str | None]]:
    return {step: (row.state, row.reason) for step, row in rows(store, ref).items()}


def happens(store: Store, ref: str, step: str, kind: str, at: datetime, **more: Any) -> None:
    row = rows(store, ref)[step]
    with store.write() as connection:
        connection.execute(
            insert(engagements).values(delivery_id=row.id, kind=kind, at=at, data={}, **more)
        )


def run_until(line: Line, moment: datetime) -> None:
    line.now = moment
    line.run()


def test_steps_go_out_at_their_times_and_the_run_ends_with_the_last(store: Store) -> None:
    line, post = shop(store, THREE, "1")
    assert states(store, "1") == {
        "mail": ("planned", None), "nudge": ("waiting", None), "last": ("waiting", None)
    }  # fmt: skip
    assert [rows(store, "1")[step].due_at - DUE for step in ("mail", "nudge", "last")] == [
        timedelta(), 2 * DAY, 5 * DAY
    ]  # fmt: skip
    run_until(line, DUE + timedelta(minutes=7))
    assert post.take() == [("1", "one")]
    run_until(line, DUE + 2 * DAY + timedelta(minutes=6))
    assert post.take() == [], "two days count from the moment at which the first was sent"
    with store.write() as connection:
        close_finished(connection, line.now)
        assert connection.execute(select(runs.c.state)).scalar_one() == "open"
    run_until(line, DUE + 2 * DAY + timedelta(minutes=8))
    assert post.take() == [("1", "two")]
    run_until(line, DUE + 5 * DAY + timedelta(minutes=9))
    assert post.take() == [("1", "three")]
    with store.write() as connection:
        close_finished(connection, line.now)
        assert connection.execute(select(runs.c.state)).scalar_one() == "done"


def test_what_happened_until_a_step_is_due_decides_about_it(store: Store) -> None:
    line, post = shop(store, THREE, *"abcdefg")
    run_until(line, DUE)
    assert len(post.take()) == 7
    later = DUE + DAY
    happens(store, "a", "mail", "clicked", later)
    happens(store, "b", "mail", "clicked", later, scanner="crawler")
    happens(store, "c", "mail", "opened", later)
    with store.write() as connection:
        add_order(connection, rows(store, "d")["mail"].customer_id, "O1", later, status="closed")
        add_order(connection, rows(store, "e")["mail"].customer_id, "O2", DUE - DAY)
        address = rows(store, "f")["mail"].address_hash
        withdraw(connection, address, "email", ["marketing", "care"], at=later, source="person")
    happens(store, "g", "mail", "bounced", later)
    run_until(line, DUE + 2 * DAY + timedelta(minutes=1))
    assert post.take() == [("b", "two"), ("c", "two"), ("e", "two")]
    found = {ref: states(store, ref)["nudge"] for ref in "adfg"}
    assert found == {
        "a": ("skipped", "unless"), "d": ("skipped", "stopped"), "f": ("skipped", "stopped"),
        "g": ("skipped", "stopped"),
    }  # fmt: skip
    happens(store, "b", "nudge", "bounced", line.now)
    run_until(line, DUE + 6 * DAY)
    assert {ref: states(store, ref)["last"] for ref in "dfg"} == dict.fromkeys(
        "dfg", ("skipped", "stopped")
    ), "what stopped a series stopped all of it"
    assert states(store, "b")["last"] == ("skipped", "stopped")
    assert post.take() == [("a", "three"), ("c", "three"), ("e", "three")]
    with store.read() as connection:
        told = explain_customer(connection, settings=line.settings, now=line.now, ref="a")
        (why,) = [one for one in told.decisions if one.verdict == "skip"]
        assert why.rule["file"] == "campaigns/spring.yaml" and "unless" in why.rule["text"]
        assert why.evidence == {
            "event": "clicked",
            "at": later.astimezone(UTC).isoformat(),
            "step": "mail",
        }
        figures = report(connection, None, line.now).definitions[0]
        assert [(one.step, one.sent) for one in figures.steps] == [
            ("mail", 7), ("nudge", 3), ("last", 3)
        ]  # fmt: skip


def test_an_order_between_admission_and_sending_stops_the_step(store: Store) -> None:
    line, post = shop(store, THREE, "1")
    run_until(line, DUE)
    post.take()
    line.now = DUE + 2 * DAY + timedelta(hours=1)
    assert line.tick().admitted == 1
    with store.write() as connection:
        add_order(connection, rows(store, "1")["mail"].customer_id, "O1", DUE + DAY)
    line.run()
    assert post.take() == []
    assert states(store, "1")["nudge"] == ("skipped", "stopped")
    assert states(store, "1")["last"] == ("skipped", "stopped")


def test_a_step_follows_only_what_was_sent_and_a_retry_takes_that_back(store: Store) -> None:
    branches = series(f"""
  - {{id: mail, email: {mail("one")}}}
  - {{id: only, after: {{step: mail, wait: 1d}}, email: {mail("two")}}}
  - {{id: then, after: {{step: only, wait: 1d}}, email: {mail("three")}}}
  - {{id: anyway, after: {{step: mail, wait: 1d, on: any}}, email: {mail("four")}}}
""")
    line, post = shop(store, branches, "1")
    post.refuses.add("c1@example.com")
    run_until(line, DUE)
    line.tick()
    assert states(store, "1") == {
        "mail": ("failed", "refused"), "only": ("skipped", "earlier step failed"),
        "then": ("skipped", "earlier step skipped"), "anyway": ("planned", None),
    }  # fmt: skip
    post.refuses.clear()
    run_until(line, DUE + timedelta(hours=6))
    control.retry(store, "spring", by="me", now=line.now)
    assert states(store, "1")["then"] == ("waiting", None)
    run_until(line, line.now)
    run_until(line, DUE + DAY + timedelta(hours=1))
    assert post.take() == [("1", "four"), ("1", "one")]
    run_until(line, DUE + DAY + timedelta(hours=7))
    run_until(line, DUE + 2 * DAY + timedelta(hours=8))
    assert post.take() == [("1", "three"), ("1", "two")]


def test_a_bounce_ends_the_series_even_if_the_message_is_tried_again_and_then_skipped(
    store: Store,
) -> None:
    steps = f"""
  - {{id: mail, email: {mail("one")}}}
  - {{id: next, after: {{step: mail, wait: 1h, on: any}}, email: {mail("two")}}}
"""
    line, post = shop(store, series(steps, "stop_on: [bounced]"), "1")
    post.refuses.add("c1@example.com")
    run_until(line, DUE)
    happens(store, "1", "mail", "bounced", DUE)
    control.retry(store, "spring", by="me", now=line.now)
    address = address_hash(ADDRESS_KEY, "c1@example.com")
    with store.write() as connection:
        suppress(connection, address, "email", "operator", at=line.now)
    line.tick()
    line.tick()
    assert states(store, "1") == {"mail": ("skipped", "suppressed"), "next": ("planned", None)}
    with store.write() as connection:
        unsuppress(connection, address, "email")
    run_until(line, DUE + timedelta(hours=2))
    assert states(store, "1")["next"] == ("skipped", "stopped")


def test_settled_as_sent_a_series_goes_on_and_cancelled_it_ends(store: Store) -> None:
    line, post = shop(store, THREE, "1", "2")
    line.tick()
    with store.write() as connection:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == rows(store, "1")["mail"].id)
            .values(state="uncertain", ended_at=DUE, first_attempt_at=DUE, batch=None)
        )
    control.cancel(store, f"delivery:{rows(store, '2')['mail'].public_id}", by="me", now=DUE)
    line.tick()
    assert states(store, "1")["nudge"] == ("skipped", "earlier step uncertain")
    assert {state for state, _ in states(store, "2").values()} == {"cancelled"}
    control.settle(store, "spring", "sent", by="me", now=DUE + DAY)
    line.batches.clear()
    run_until(line, DUE + 2 * DAY)
    assert post.take() == [("1", "two")]
    with store.read() as connection:
        (run,) = status(connection, line.now).runs
        assert run.later == {"last": {"cancelled": 1, "planned": 1}, "nudge": {"cancelled": 1, "sent": 1}}  # fmt: skip


def test_a_worker_that_was_taken_for_dead_lets_the_series_go_on_when_it_says_that_it_sent(
    store: Store,
) -> None:
    line, post = shop(store, THREE, "1", "2")
    for ref, held in (("1", True), ("2", False)):
        mine = update(deliveries).where(deliveries.c.id == rows(store, ref)["mail"].id)
        handed_over = {"state": "sending", "attempts": 1, "batch": "b", "worker": "slow"}
        with store.write() as connection:
            connection.execute(mine.values(**handed_over, admitted_at=DUE, channel="email"))
            if held:  # the dispatcher gave the worker up
                connection.execute(mine.values(state="uncertain", ended_at=DUE, batch=None))
    line.tick()
    assert states(store, "1")["nudge"] == ("skipped", "earlier step uncertain")
    sent = [
        Sent(row.id, row.customer_id, row.run_id, 1, "email", None, 0, ("email",), DUE, False, None)
        for row in (rows(store, "1")["mail"], rows(store, "2")["mail"])
    ]
    with store.write() as connection:
        record(connection, "slow", [Result(one, End.SENT, DUE, "250 ok") for one in sent])
    assert {states(store, ref)["mail"] for ref in "12"} == {("sent", None)}
    assert {states(store, ref)["nudge"] for ref in "12"} == {("waiting", None)}
    run_until(line, DUE + 2 * DAY)
    assert post.take() == [("1", "two"), ("2", "two")]


def test_a_holdout_is_held_out_of_every_step_and_stays_so(store: Store) -> None:
    files = series(
        f"""
  - {{id: mail, email: {mail("one")}}}
  - {{id: more, after: {{step: mail, wait: 1d}}, email: {mail("two")}}}
""",
        audience="{all: [], holdout: 25%}",
    )
    policy = "consent: {unknown: {email: {marketing: true}}}\nholdout: 20%\n"
    other = files["campaigns/spring.yaml"].replace("class: care", "class: marketing")
    line, post = shop(
        store, {**files, "campaigns/other.yaml": other, "policy.yaml": policy}, *map(str, range(60))
    )
    with store.read() as connection:
        catalog = line.dispatcher.reader.read(connection)
        found = {
            (row.definition, row.customer_id, row.step): (row.state, row.reason)
            for row in connection.execute(select(deliveries))
        }
    assert len(found) == 240
    held: Counter[str | None] = Counter()
    for (name, customer, step), (state, reason) in found.items():
        why = reason_held_out(customer, catalog.current[name].definition, catalog.policy)
        assert (state, reason) == (("holdout", why) if why else ("planned" if step == "mail" else "waiting", None))  # fmt: skip
        held[why] += step == "mail" and name == "other"
    assert held["holdout of the shop"] in range(5, 20) and held["holdout"] in range(5, 22)
    assert found["spring", 1, "mail"][1] != "holdout of the shop", "care is owed to everybody"
    run_until(line, DUE)
    with store.write() as connection:
        for customer in range(1, 61, 2):
            add_order(connection, customer, f"O{customer}", DUE + timedelta(days=3))
        connection.execute(update(runs).values(expanded_at=None))
    line.expand()
    run_until(line, DUE + DAY + timedelta(hours=1))
    run_until(line, DUE + 20 * DAY)
    with store.read() as connection:
        figures = {one.id: one for one in report(connection, ["other"], line.now).definitions}
        sent, out = sorted(figures["other"].groups, key=lambda group: group.group, reverse=True)
        page = report_page(report(connection, ["other"], line.now), ShopSettings())
    assert "对照组" in page and f"<td>{out.people}</td>" in page
    own = {customer for (name, customer, step), (state, _) in found.items() if (name, step, state) == ("other", "mail", "holdout")}  # fmt: skip
    assert (out.people, out.buyers) == (len(own), len([one for one in own if one % 2]))
    assert (sent.people, sent.orders) == (60 - len(own), 30 - out.orders)
    assert len(post.sent) == len([1 for state, _ in found.values() if state != "holdout"])


def test_variants_are_given_out_by_share_and_say_what_they_say(store: Store) -> None:
    files = series(f"""
  - id: mail
    email: {mail("plain")}
    variants: [{{id: a, share: 30%}}, {{id: b, share: 70%, email: {{subject: other}}}}]
""")
    line, post = shop(store, files, *map(str, range(80)))
    run_until(line, DUE)
    with store.read() as connection:
        step = line.dispatcher.reader.read(connection).current["spring"].definition.steps[0]
        found = connection.execute(
            select(deliveries.c.customer_id, deliveries.c.variant, customers.c.ref).join(
                customers, customers.c.id == deliveries.c.customer_id
            )
        ).all()
        figures = report(connection, None, line.now).definitions[0].steps
    assert {row.customer_id: row.variant for row in found} == {
        row.customer_id: variant_by_share("spring", step, row.customer_id) for row in found
    }
    said = {"a": "plain", "b": "other"}
    assert post.take() == sorted((row.ref, said[row.variant]) for row in found)
    shares = Counter(row.variant for row in found)
    assert {one.variant: one.sent for one in figures} == shares
    assert 12 <= shares["a"] <= 36


def test_templates_take_turns_and_again_counts_series_not_steps(store: Store) -> None:
    files = {
        "care/thanks.yaml": f"""
kind: care
class: care
trigger: {{event: order.received, grace: 2d}}
again: 30d
steps:
  - {{id: first, email: {{subject: hi, rotate: [hello, hallo, salut]}}}}
  - {{id: then, after: {{step: first, wait: 20d}}, email: {mail("then")}}}
""",
        "templates/email/hallo.html.j2": "<p>{{ links.unsubscribe }}{{ subject }}</p>",
        "templates/email/salut.html.j2": "<p>{{ links.unsubscribe }}{{ subject }}</p>",
    }
    line, _ = shop(store, files, "1", "2")
    for number, days in enumerate((0, 10, 35, 70, 100, 130)):
        with store.write() as connection:
            add_order(connection, 1, f"O{number}", DUE + days * DAY)
        run_until(line, DUE + days * DAY)
        line.expand()
        run_until(line, DUE + days * DAY + timedelta(minutes=1))
        run_until(line, DUE + days * DAY + timedelta(days=20, minutes=2))
    with store.read() as connection:
        found = connection.execute(
            select(deliveries.c.anchor, deliveries.c.step, deliveries.c.state, deliveries.c.reason, deliveries.c.variant)
            .order_by(deliveries.c.due_at, deliveries.c.step)
        ).all()  # fmt: skip
    first = [(row.state, row.reason, row.variant) for row in found if row.step == "first"]
    assert first == [
        ("sent", None, "hello"), ("skipped", "again", None), ("sent", None, "hallo"),
        ("sent", None, "salut"), ("sent", None, "hello"), ("sent", None, "hallo"),
    ]  # fmt: skip
    then = [(row.state, row.reason) for row in found if row.step == "then"]
    assert then == [("sent", None), ("skipped", "earlier step skipped")] + [("sent", None)] * 4


@pytest.mark.parametrize("way", ["again", "back"])
def test_an_edit_and_a_file_that_comes_back_keep_series_whole(store: Store, way: str) -> None:
    from engine.definitions.loader import load
    from engine.foresight.apply import apply
    from tests.shop import TEMPLATES

    line, post = shop(store, {}, "1", "2")
    policy = {"policy.yaml": "timezone: Asia/Shanghai\n"}

    def put(files: dict[str, str], now: datetime) -> None:
        plain = {
            name: text.replace("class: care", "class: transactional")
            for name, text in files.items()
        }
        apply(store, load({**TEMPLATES, **policy, **plain}), line.settings, now, by="me")

    put(THREE, DUE - DAY)
    with store.write() as connection:
        connection.execute(
            update(deliveries).where(deliveries.c.customer_id == 2, deliveries.c.step == "mail")
            .values(next_at=DUE + 3 * DAY, not_after=DUE + 5 * DAY, attempts=1)
        )  # fmt: skip
    run_until(line, DUE)
    assert post.take() == [("1", "one")]
    if way == "back":
        put({}, DUE + timedelta(hours=1))
        assert states(store, "1")["nudge"] == ("cancelled", "removed")
        line.tick()
    edited = {
        path: text.replace("step: mail, wait: 2d", "step: mail, wait: 3d")
        for path, text in THREE.items()
    }
    put(edited, DUE + timedelta(hours=2))
    assert states(store, "1")["nudge"] == ("waiting", None)
    run_until(line, DUE + 3 * DAY - timedelta(hours=1))
    assert post.take() == []
    run_until(line, DUE + 3 * DAY + timedelta(hours=1))
    assert post.take() == [("1", "two"), ("2", "one")]
    put(series(f"""
  - {{id: mail, email: {mail("one")}}}
  - {{id: last, after: {{step: mail, wait: 4d}}, email: {mail("three")}}}
"""), line.now)  # fmt: skip
    assert states(store, "2")["nudge"] == ("skipped", "step removed")
    run_until(line, DUE + 4 * DAY + timedelta(hours=1))
    assert post.take() == [("1", "three")]
    run_until(line, DUE + 7 * DAY + timedelta(hours=2))
    assert post.take() == [("2", "three")]
