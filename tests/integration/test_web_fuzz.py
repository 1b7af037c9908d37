"""Hostile addresses, by the ten thousand: no redirect to what was not registered or sealed, no 5xx, no change by GET."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from starlette.applications import Starlette

from engine.clock import Clock
from engine.store.session import Store
from engine.store.tables import (
    consents,
    customers,
    deliveries,
    engagements,
    links,
    metadata,
    runs,
    suppressions,
)
from engine.tokens import Purpose, Signer
from tests.mailing import NOW, SETTINGS, SIGNER, add_customer, add_delivery, rendered_message
from workers.web.app import create_app

URLS = int(os.environ.get("YANSHU_FUZZ_URLS", "20000"))
AT_ONCE = 250
SEALED = "https://shop.example/mine"
REGISTERED = {"https://shop.example/coats", SEALED}
EVIL = (
    "https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "https:evil.example",
    "https://shop.example@evil.example/", "https://shop.example/coats#", "data:text/html,hi",
    "https://evil.example/%0d%0aSet-Cookie:a=b", "http://[::1", "\x00", "https://evil.example\x00.shop.example",
)  # fmt: skip
JUNK = (
    "",
    ".",
    "..",
    "%2e%2e",
    "\x00",
    "ü",
    "雁",
    "\ud800",
    "a" * 5000,
    "{}",
    "{{7*7}}",
    "'--",
    "\r\n",
    " ",
    "*",
)
EMPTY = create_app(Store("sqlite://"), SETTINGS, SIGNER, Clock())
NUMBERS = ("0", "-1", "4", "99999", "1e3", "٣", "1/", "1/2", *JUNK)
SHAPES = (
    ("/c/{t}/{n}", Purpose.TRACK), ("/c/{t}/{n}", Purpose.TRACK), ("/c/{t}/{n}", Purpose.TRACK),
    ("/o/{t}.gif", Purpose.TRACK), ("/v/{t}", Purpose.VIEW), ("/u/{t}", Purpose.UNSUBSCRIBE),
    ("/u/{t}", Purpose.UNSUBSCRIBE), ("/{t}", Purpose.TRACK), ("//evil.example/c/{t}/{n}", Purpose.TRACK),
    ("/c/{t}/{n}/..", Purpose.TRACK), ("/c//{n}", Purpose.TRACK), ("/u/{t}/", Purpose.UNSUBSCRIBE),
    ("/c/{n}/{t}", Purpose.TRACK),
)  # fmt: skip

Answer = tuple[int, dict[str, str], bytes]


async def ask(app: Starlette, method: str, path: str, query: bytes, body: bytes = b"") -> Answer:
    """One request straight to the application, so that nothing between tidies the address up."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query, "root_path": "", "client": ("127.0.0.1", 1), "server": ("test", 80),
        "headers": [(b"host", b"evil.example"), (b"user-agent", b"Mozilla/5.0 Chrome/138"), (b"accept", b"text/html")],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:])


class Attacker:
    """Makes up addresses, some of them close to real ones."""

    def __init__(self, seed: int, delivery: str) -> None:
        self._random = random.Random(seed)
        self._delivery = delivery
        self._seal = SIGNER.seal(delivery, 2, SEALED)

    def token(self, fitting: Purpose) -> str:
        pick, delivery = self._random, self._delivery
        real = SIGNER.sign(pick.choice([fitting, fitting, *Purpose]), delivery)
        tricks: list[Callable[[], str]] = [
            lambda: real,
            lambda: real,
            lambda: self._mutated(real),
            lambda: self._mutated(real),
            lambda: SIGNER.sign(pick.choice(list(Purpose)), f"{pick.getrandbits(80):020x}"),
            lambda: Signer(["another key"]).sign(Purpose.TRACK, delivery),
            lambda: real[: pick.randrange(len(real))],
            lambda: real + pick.choice(JUNK),
            lambda: pick.choice(JUNK),
        ]
        return pick.choice(tricks)()

    def _mutated(self, text: str) -> str:
        place = self._random.randrange(len(text))
        char = self._random.choice("AZaz09-_=%./ \x00é")
        return text[:place] + char + text[place + self._random.randrange(2) :]

    def method(self) -> str:
        return self._random.choice(["GET", "GET", "HEAD"])

    def path(self) -> str:
        pick = self._random
        shape, fitting = pick.choice(SHAPES)
        number = pick.choice(["1", "2", pick.choice(NUMBERS)])
        return shape.replace("{t}", self.token(fitting)).replace("{n}", number)

    def query(self) -> bytes:
        pick = self._random
        target = pick.choice([SEALED, SEALED, *EVIL, *JUNK])
        seal = pick.choice(
            [self._seal, self._seal, self._mutated(self._seal), SIGNER.seal(self._delivery, 1, target),
             SIGNER.seal("f" * 20, 2, target), *JUNK]
        )  # fmt: skip
        parts = [
            f"to={quote(target, errors='surrogatepass')}", f"s={quote(seal, errors='surrogatepass')}",
            f"r={quote(pick.choice(EVIL))}", f"to={quote(pick.choice(EVIL))}", "%zz=%", "List-Unsubscribe=One-Click",
            "leave=all", "_method=POST", "&" * 50,
        ]  # fmt: skip
        chosen = pick.sample(parts, pick.randrange(len(parts)))
        return "&".join(chosen).encode() + pick.choice([b"", b"", b"\xff\xfe"])


def is_sound_redirect(request: tuple[str, str, bytes], answer: Answer) -> bool:
    """Whether it was a redirect at all; fails on one that should not be, and on an error of ours."""
    status, headers, _ = answer
    assert status < 500, request
    assert ("location" in headers) == (status == 302), request
    assert "set-cookie" not in headers, request
    assert status != 302 or headers["location"] in REGISTERED, request
    return status == 302


def state(store: Store) -> dict[str, list[Any]]:
    """Everything in the database except what was recorded about visits."""
    with store.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table)).all()]
            for table in metadata.sorted_tables
            if table.name != engagements.name
        }


def test_no_address_redirects_elsewhere_fails_or_changes_anything(store: Store) -> None:
    seed = int(os.environ.get("YANSHU_FUZZ_SEED", "20261110"))
    print(f"seed {seed}, {URLS} addresses")
    with store.write() as connection:
        delivery = rendered_message(connection)
        add_delivery(connection, 1, add_customer(connection, "2"), anchor="at:y")
    before, attacker = state(store), Attacker(seed, delivery)
    app = create_app(store, SETTINGS, SIGNER, Clock.starting_at(NOW))

    async def attack() -> int:
        redirects = 0
        for _ in range(0, URLS, AT_ONCE):
            asked = [(attacker.method(), attacker.path(), attacker.query()) for _ in range(AT_ONCE)]
            answers = await asyncio.gather(*(ask(app, *request) for request in asked))
            redirects += sum(map(is_sound_redirect, asked, answers))
        return redirects

    redirects = asyncio.run(attack())
    assert redirects > URLS / 100  # the attack did reach the working parts
    assert state(store) == before
    for table in (consents, suppressions):
        assert before[table.name] == []
    assert all(before[table.name] for table in (customers, deliveries, links, runs))


@settings(max_examples=400, deadline=None)
@given(
    path=st.one_of(st.text(), st.text().map(lambda text: "/c/" + text), st.text().map(lambda text: "/u/" + text)),
    query=st.binary(max_size=60),
    body=st.binary(max_size=200),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", ""]),
)  # fmt: skip
def test_no_path_whatever_is_a_server_error(
    path: str, query: bytes, body: bytes, method: str
) -> None:
    # Without a valid token nothing may even ask the database: this one has no tables.
    status, headers, _ = asyncio.run(ask(EMPTY, method, "/" + path, query, body))
    assert 400 <= status < 500
    assert "location" not in headers
