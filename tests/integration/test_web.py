"""The public web: links lead where they were registered to lead, and only a POST changes anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import NullPool, create_engine, func, select, text

from engine.clock import Clock
from engine.store.session import Store
from engine.store.tables import consents, customers, deliveries, engagements, suppressions
from engine.tokens import Purpose
from tests.mailing import (
    FILES,
    NOW,
    SETTINGS,
    SIGNER,
    add_customer,
    add_delivery,
    add_run,
    rendered_message,
    sent_message,
)
from workers.web.app import create_app
from workers.web.forms import LIMIT_BYTES

CHROME = {
    "user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0 Safari/537.36",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FORM = "application/x-www-form-urlencoded"


class Visitor:
    """A browser without scripts or cookies, talking to the application in this process."""

    def __init__(self, store: Store) -> None:
        app = create_app(store, SETTINGS, SIGNER, Clock.starting_at(NOW))
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app=app)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=CHROME
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("POST", path, **more)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture
def visitor(store: Store) -> Iterator[Visitor]:
    opened = Visitor(store)
    yield opened
    opened.close()


@pytest.fixture
def delivery(store: Store) -> str:
    with store.write() as connection:
        return sent_message(connection)


def events(store: Store) -> list[tuple[Any, ...]]:
    table = engagements.c
    with store.read() as connection:
        rows = connection.execute(select(table.kind, table.link, table.scanner).order_by(table.id))
        return [tuple(row) for row in rows]


def ledger(store: Store) -> set[tuple[str, str, bool]]:
    with store.read() as connection:
        table = consents.c
        rows = connection.execute(select(table.channel, table["class"], table.granted))
        return {(row[0], row[1], row[2]) for row in rows}


OUT = {("email", "marketing", False), ("email", "care", False)}


def link(delivery: str, number: object = 1) -> str:
    return f"/c/{SIGNER.sign(Purpose.TRACK, delivery)}/{number}"


def door(delivery: str) -> str:
    return f"/u/{SIGNER.sign(Purpose.UNSUBSCRIBE, delivery)}"


def personal(delivery: str, target: str, number: int = 3) -> dict[str, str]:
    return {"to": target, "s": SIGNER.seal(delivery, number, target)}


def test_a_click_leads_to_the_registered_link_and_is_recorded(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    answer = visitor.get(link(delivery))
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example/coats?from=mail"
    assert events(store) == [("clicked", 1, None)]


def test_a_head_request_gets_the_same_answer_and_is_recorded_as_a_machines(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    assert visitor.ask("HEAD", link(delivery)).status_code == 302
    assert events(store) == [("clicked", 1, "HEAD request")]


def test_a_click_at_once_after_sending_is_a_machines(store: Store, delivery: str) -> None:
    with store.write() as connection:
        connection.execute(deliveries.update().values(sent_at=NOW - timedelta(seconds=0.2)))
    visitor = Visitor(store)
    assert visitor.get(link(delivery)).status_code == 302
    visitor.close()
    assert events(store) == [("clicked", 1, "too soon after sending")]


def test_a_personal_link_leads_to_its_sealed_target_only(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    target = "https://shop.example/orders/%E5%8D%95?a=1&b=%20"
    sealed = personal(delivery, target)
    assert visitor.get(link(delivery, 3), params=sealed).headers["location"] == target
    for wrong in (
        sealed | {"to": "https://evil.example/"},
        sealed | {"s": SIGNER.seal("f" * 20, 3, target)},
        sealed | {"s": sealed["s"][:-1]},
        {"to": target},
        {"s": sealed["s"]},
        {},
    ):
        answer = visitor.get(link(delivery, 3), params=wrong)
        assert (answer.status_code, "location" in answer.headers) == (404, False), wrong
    assert len(events(store)) == 1


def test_a_fixed_link_cannot_be_bent_by_a_seal_of_another(visitor: Visitor, delivery: str) -> None:
    sealed = personal(delivery, "https://shop.example/elsewhere", 1)
    answer = visitor.get(link(delivery, 1), params=sealed)
    assert answer.headers["location"] == "https://shop.example/coats?from=mail"
    crossed = visitor.get(link(delivery, 3), params=sealed)
    assert crossed.status_code == 404


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://shop.example", "https://",
     "https:evil.example", "https://evil.example\\@shop.example", "https://a b", "https://a\r\nSet-Cookie: a=b",
     "http://[", ""],
)  # fmt: skip
def test_even_a_sealed_target_must_be_a_web_address(
    visitor: Visitor, delivery: str, target: str
) -> None:
    answer = visitor.get(link(delivery, 3), params=personal(delivery, target))
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("number", ["0", "9", "-1", "1.0", "٣", "99999999999999999999", "x", "%00"])
def test_an_unknown_link_number_is_a_friendly_404(
    store: Store, visitor: Visitor, delivery: str, number: str
) -> None:
    answer = visitor.get(link(delivery, number), headers={"accept-language": "zh-CN,zh;q=0.9"})
    assert answer.status_code == 404
    assert "这个链接打不开" in answer.text
    assert events(store) == []


def test_tokens_open_only_their_own_doors(store: Store, visitor: Visitor, delivery: str) -> None:
    for purpose, path in (
        (Purpose.TRACK, "/u/{}"), (Purpose.TRACK, "/v/{}"), (Purpose.VIEW, "/u/{}"),
        (Purpose.VIEW, "/c/{}/1"), (Purpose.UNSUBSCRIBE, "/v/{}"), (Purpose.UNSUBSCRIBE, "/c/{}/1"),
        (Purpose.VIEW, "/o/{}.gif"),
    ):  # fmt: skip
        assert visitor.get(path.format(SIGNER.sign(purpose, delivery))).status_code == 404
    assert events(store) == []


def test_a_forwarded_click_link_cannot_unsubscribe(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    for purpose in (Purpose.TRACK, Purpose.VIEW):
        answer = visitor.post(f"/u/{SIGNER.sign(purpose, delivery)}", data=ONE_CLICK)
        assert answer.status_code == 404
    assert ledger(store) == set()


def test_the_pixel_is_a_43_byte_gif_that_nobody_caches(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    answer = visitor.get(f"/o/{SIGNER.sign(Purpose.TRACK, delivery)}.gif")
    assert (answer.status_code, len(answer.content)) == (200, 43)
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert events(store) == [("opened", None, None)]


def test_looking_at_the_unsubscribe_page_changes_nothing(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    for method in ("GET", "HEAD"):
        answer = visitor.ask(method, door(delivery))
        assert answer.status_code == 200
    page = visitor.get(door(delivery)).text
    assert "雁南飞童装" in page
    assert "m•••@example.com" in page
    assert page.count("<button") == 1
    assert "<script" not in page
    assert (ledger(store), events(store)) == (set(), [])


@pytest.mark.parametrize(
    "body",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b"List-Unsubscribe=One-Click", "headers": {"content-type": FORM + "; charset=UTF-8"}},
        {"data": {"leave": "all"}},
    ],
    ids=["urlencoded", "multipart", "as RFC 8058 prints it", "the page's button"],
)  # fmt: skip
def test_one_click_leaves_marketing_and_care_without_redirect_or_cookie(
    store: Store, visitor: Visitor, delivery: str, body: dict[str, Any]
) -> None:
    for _ in range(2):
        answer = visitor.post(door(delivery), **body)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert "退订" in answer.text
    assert ledger(store) == OUT
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(consents)).scalar() == 2
    assert events(store) == [("unsubscribed", None, None)]


def test_the_page_lets_one_refuse_offers_only_and_keeps_the_wording(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    answer = visitor.post(door(delivery), data={"leave": "marketing"})
    assert "已为您退订" in answer.text
    assert ledger(store) == {("email", "marketing", False)}
    with store.read() as connection:
        row = connection.execute(select(consents.c.source, consents.c.wording)).one()
    assert row.source == "person"
    assert row.wording.startswith("只是不要优惠信息")
    again = visitor.get(door(delivery)).text
    assert "关怀也不要了" in again
    visitor.post(door(delivery), data={"leave": "all"})
    assert ledger(store) == OUT
    assert "您已经退订过了" in visitor.get(door(delivery)).text


def test_the_page_speaks_the_customers_language(store: Store, visitor: Visitor) -> None:
    with store.write() as connection:
        delivery = sent_message(connection, language="en-GB")
    assert "Stop receiving our emails?" in visitor.get(door(delivery)).text
    assert "You are unsubscribed" in visitor.post(door(delivery), data=ONE_CLICK).text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": b""}, 400),
        ({"content": b"x=y", "headers": {"content-type": FORM}}, 400),
        ({"content": b"List-Unsubscribe=No", "headers": {"content-type": FORM}}, 400),
        ({"content": b"leave=everything", "headers": {"content-type": FORM}}, 400),
        ({"content": b"&" * 5000 + b"a=b" * 20, "headers": {"content-type": FORM}}, 400),
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400),
        ({"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"a", "headers": {"content-type": "multipart/form-data; boundary="}}, 400),
        ({"files": {"List-Unsubscribe": ("a.txt", b"One-Click")}}, 400),
        ({"content": b"a" * (LIMIT_BYTES + 1), "headers": {"content-type": FORM}}, 413),
        ({"files": {"f": ("a.bin", b"0" * LIMIT_BYTES)}}, 413),
    ],
)  # fmt: skip
def test_a_body_that_is_no_wish_to_leave_is_refused_and_changes_nothing(
    store: Store, visitor: Visitor, delivery: str, body: dict[str, Any], status: int
) -> None:
    assert visitor.post(door(delivery), **body).status_code == status
    assert (ledger(store), events(store)) == (set(), [])


def test_other_methods_are_refused_with_a_page(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert visitor.ask(method, door(delivery)).status_code == 405
    assert visitor.post(link(delivery)).status_code == 405
    assert (ledger(store), events(store)) == (set(), [])


def test_every_answer_carries_the_headers_that_keep_a_token_to_itself(
    visitor: Visitor, delivery: str
) -> None:
    for path in (link(delivery), door(delivery), "/nowhere", "/healthz"):
        headers = visitor.get(path).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "set-cookie" not in headers


def test_the_mail_in_the_browser_is_the_mail_with_its_links_and_without_its_pixel(
    store: Store, visitor: Visitor
) -> None:
    with store.write() as connection:
        delivery = rendered_message(connection)
    answer = visitor.get(f"/v/{SIGNER.sign(Purpose.VIEW, delivery)}")
    assert answer.status_code == 200
    assert "李梅1，您好" in answer.text
    assert "/o/" not in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-scripts" not in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    hrefs = [
        url.replace("&amp;", "&") for url in re.findall(r'href="([^"]*/c/[^"]*)"', answer.text)
    ]
    leads = [visitor.get(url).headers["location"] for url in hrefs]
    assert leads == ["https://shop.example/coats", "https://shop.example/mine"]
    assert [kind for kind, *_ in events(store)] == ["viewed", "clicked", "clicked"]


def test_a_mail_that_can_no_longer_be_made_says_so(store: Store, visitor: Visitor) -> None:
    with store.write() as connection:
        delivery = rendered_message(connection)
        connection.execute(customers.update().values(attributes={}))  # the template asks for `page`
    answer = visitor.get(f"/v/{SIGNER.sign(Purpose.VIEW, delivery)}")
    assert (answer.status_code, "无法显示" in answer.text) == (410, True)


def test_a_text_message_and_a_lost_version_have_no_page(store: Store, visitor: Visitor) -> None:
    with store.write() as connection:
        run = add_run(connection, files=FILES)
        person = add_customer(connection)
        text_message = add_delivery(connection, run, person, channel="sms")
        lost = add_delivery(connection, run, person, anchor="at:lost", digest="unknown")
    for delivery in (text_message, lost):
        assert visitor.get(f"/v/{SIGNER.sign(Purpose.VIEW, delivery)}").status_code == 410


def test_an_erased_customers_links_are_gone_without_an_error(
    store: Store, visitor: Visitor, delivery: str
) -> None:
    with store.write() as connection:
        connection.execute(customers.delete())
    assert visitor.get(link(delivery)).status_code == 404
    assert visitor.get(door(delivery)).status_code == 404
    assert visitor.post(door(delivery), data=ONE_CLICK).status_code == 404
    assert visitor.get(f"/v/{SIGNER.sign(Purpose.VIEW, delivery)}").status_code == 404
    assert visitor.get(f"/o/{SIGNER.sign(Purpose.TRACK, delivery)}.gif").status_code == 200


def test_while_the_database_is_away_the_visitor_is_asked_to_come_again(
    postgresql_url: str,
) -> None:
    away = Store(re.sub(r"/t_[0-9a-f]+", "/no_such_database", postgresql_url, count=1))
    visitor = Visitor(away)
    for path in (link("f" * 20), door("f" * 20), "/readyz"):
        answer = visitor.get(path)
        assert answer.status_code == 503, path
        assert answer.headers["retry-after"] == "30"
    assert visitor.get("/healthz").status_code == 200
    visitor.close()
    away.close()


def test_a_click_survives_the_restart_of_the_database_server(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    with store.write() as connection:
        delivery = sent_message(connection)
    visitor = Visitor(store)
    assert visitor.get(link(delivery)).status_code == 302
    killer = create_engine(store.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    for _ in range(3):
        with killer.connect() as connection:
            connection.execute(text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ))  # fmt: skip
        assert visitor.get(link(delivery)).status_code == 302
        assert visitor.get(door(delivery)).status_code == 200
    assert len(events(store)) == 4
    visitor.close()
    killer.dispose()
    store.close()


def test_many_visitors_at_once_are_all_recorded(store: Store, delivery: str) -> None:
    app = create_app(store, SETTINGS, SIGNER, Clock.starting_at(NOW))

    async def crowd() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            paths = [link(delivery, 1 + number % 2) for number in range(300)]
            answers = await asyncio.gather(*(client.get(path, headers=CHROME) for path in paths))
        return [answer.status_code for answer in answers]

    assert asyncio.run(crowd()) == [302] * 300
    assert len(events(store)) == 300
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(suppressions)).scalar() == 0
