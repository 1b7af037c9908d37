"""The push API as HTTP: what its description promises is what it does, and no body whatever is an error of ours."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import func, select

from engine.customers.profiles.freshness import ensure_fresh
from engine.customers.push.body import DEEPEST, MOST_BYTES, MOST_ITEMS, MOST_ROWS
from engine.customers.push.faults import MOST_FAULTS
from engine.customers.push.fields import PUSH_KINDS
from engine.definitions.loader import load_policy
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import customers, events, orders, products, tags
from tests.pusher import NDJSON, OTHER, TOKEN, Sender, errors

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
PUSHES = int(os.environ.get("YANSHU_FUZZ_PUSHES", "120"))
VALUES: dict[str, Any] = {
    "null": None, "boolean": True, "integer": 12, "number": 12.5, "string": "12", "array": [], "object": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def empty() -> Iterator[Sender]:
    """A database without tables: what is refused by its form never asks it."""
    opened = Sender(Store("sqlite://"), NOW)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def description(empty: Sender) -> dict[str, Any]:
    found: dict[str, Any] = empty.ask("GET", "/v1/openapi.json").json()
    return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Sender]:
    """A shop on SQLite with one customer."""
    store = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    upgrade(store)
    opened = Sender(store, NOW)
    assert opened.push("customers", {"id": "C1001"}).status_code == 200
    yield opened
    opened.close()
    store.close()


def whole_row(schema: dict[str, Any]) -> dict[str, Any]:
    """A row with the example of every field."""
    return {name: field["examples"][0] for name, field in schema["properties"].items()}


# --- the description and what is done


@pytest.mark.parametrize("kind", PUSH_KINDS)
def test_every_documented_field_and_word_is_taken(
    shop: Sender, description: dict[str, Any], kind: str
) -> None:
    schema = description["components"]["schemas"][kind]
    row = whole_row(schema)
    needed = {name: row[name] for name in schema["required"]}
    pushes = [row, needed, *[{**needed, name: row[name]} for name in row]]
    for name, field in schema["properties"].items():
        pushes += [{**needed, name: word} for word in field.get("enum", ())]
        if "null" in field["type"]:
            pushes.append({**needed, name: None})
    if kind == "orders":
        item = description["components"]["schemas"]["item"]
        pushes += [{**needed, "items": [whole_row(item)]}, {**needed, "items": [{}]}]
    answer = shop.push(kind, pushes)
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == len(pushes)


@pytest.mark.parametrize("kind", [*PUSH_KINDS, "items"])
def test_every_other_field_type_and_gap_is_refused_with_its_path(
    empty: Sender, description: dict[str, Any], kind: str
) -> None:
    inside = kind == "items"
    schema = description["components"]["schemas"]["item" if inside else kind]
    row, expected, rows = whole_row(schema), [], []
    for name, field in schema["properties"].items():
        allowed = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for wrong in VALUES.keys() - set(allowed) - ({"integer"} if "number" in allowed else set()):
            rows.append({**row, name: VALUES[wrong]})
            expected.append(name)
    rows.append({**row, "colour": "red"})
    expected.append("colour")
    for name in schema["required"]:
        rows.append({key: value for key, value in row.items() if key != name})
        expected.append(name)
    order = {"id": "A", "customer_id": "C", "placed_at": "2026-11-01", "amount": 1}
    for start in range(0, len(rows), MOST_FAULTS - 1):
        some, names = rows[start : start + MOST_FAULTS - 1], expected[start : start + MOST_FAULTS - 1]  # fmt: skip
        answer = empty.push("orders", {**order, "items": some}) if inside else empty.push(kind, some)  # fmt: skip
        assert answer.status_code == 422
        prefix = "$.items" if inside else "$"
        paths = [path for path, _ in errors(answer)]
        assert paths == [f"{prefix}[{number}].{name}" for number, name in enumerate(names)]


def test_a_misspelt_field_is_told_with_the_nearest_one(empty: Sender) -> None:
    answer = empty.push("orders", {"id": "A1", "custommer_id": "C1", "placed_at": "2026-11-01", "amount": 5})  # fmt: skip
    assert errors(answer) == [
        ("$.customer_id", "is missing; did you mean 'custommer_id'?"),
        ("$.custommer_id", "is not a field here; did you mean 'customer_id'?"),
    ]
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_attribute_may_have_any_name_but_that_of_a_field(shop: Sender) -> None:
    taken = shop.push("customers", {"id": "1", "attributes": {"尺码 L": 3, "vip": True, "of": ["a", 1]}})  # fmt: skip
    assert taken.status_code == 200
    answer = shop.push("customers", {"id": "1", "attributes": {"email": "a@example.com", "": "x"}})
    assert errors(answer) == [
        ("$.attributes.email", "is a field of the row, not an attribute"),
        ("$.attributes['']", "has no name"),
    ]


def test_each_documented_status_is_produced_and_nothing_else(
    shop: Sender, empty: Sender, description: dict[str, Any]
) -> None:
    slow = Sender(Store("sqlite://"), NOW, requests_per_minute=1)
    row = {"id": "1"}
    slow.push("customers", b"")
    answers: list[httpx.Response] = [
        shop.push("customers", row),
        empty.push("customers", b"{"),
        empty.push("customers", row, token=None),
        empty.push("customers", b" " * (MOST_BYTES + 1)),
        empty.push("customers", row, media="text/csv"),
        empty.push("customers", [{"id": ""}, {"name": "x"}]),
        slow.push("customers", row),
        empty.push("customers", row),  # its database has no tables
    ]
    for path, operations in description["paths"].items():
        if path != "/v1/openapi.json":
            documented = operations["post"]["responses"]
            assert [str(answer.status_code) for answer in answers] == list(documented), path
            for status, answer in zip(documented, answers, strict=True):
                named = description["components"]["responses"].get(status, {}).get("headers", {})
                assert all(name.lower() in answer.headers for name in named), status
    for answer in answers[1:]:
        problem = answer.json()
        assert (problem["status"], answer.headers["content-type"]) == (answer.status_code, "application/problem+json")  # fmt: skip
    assert 0 < int(answers[6].headers["retry-after"]) <= 60
    slow.close()


# --- at the door


def test_without_a_token_in_the_settings_there_is_no_api(store: Store) -> None:
    off = Sender(store, NOW, token="")
    for method, path in (
        ("POST", "/v1/orders"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/orders"),
    ):
        assert off.ask(method, path).status_code == 404
    off.close()


def test_only_a_whole_token_opens_and_any_of_them_does(shop: Sender) -> None:
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", f"{TOKEN} {OTHER}", "Bearer"):
        assert shop.push("customers", {"id": "1"}, token=wrong).status_code == 401, wrong
    for odd in (f"Basic {TOKEN}", TOKEN, f"Bearer\t{TOKEN}"):
        answer = shop.ask("POST", "/v1/customers", headers={"authorization": odd}, content=b"{}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="yanshu"')  # fmt: skip
    assert shop.ask("POST", f"/v1/customers?access_token={TOKEN}").status_code == 401
    for token in (TOKEN, OTHER):
        assert shop.push("customers", {"id": "1"}, token=token).status_code == 200
    header = {"authorization": f"bearer  {TOKEN}", "content-type": "application/json"}
    assert (
        shop.ask("POST", "/v1/customers", headers=header, content=b'{"id": 1}').status_code == 200
    )


def test_other_methods_and_addresses_are_told_in_json(empty: Sender) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = empty.ask(method, "/v1/orders")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
    answer = empty.ask("POST", "/v1/order")
    assert (answer.status_code, answer.json()["detail"]) == (404, "did you mean /v1/orders?")
    assert empty.ask("POST", "/v1/orders/").status_code == 404


@pytest.mark.parametrize(
    ("media", "encoding", "status"),
    [
        ("application/json; charset=UTF-8", "identity", 422),
        ("application/x-ndjson", "", 422),
        ("application/jsonl", "", 422),
        ("application/json; charset=gbk", "", 415),
        ("application/json", "gzip", 415),
        ("application/x-www-form-urlencoded", "", 415),
        ("", "", 415),
    ],
)
def test_a_body_is_json_or_ndjson_in_utf_8_and_not_compressed(
    empty: Sender, media: str, encoding: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "content-encoding": encoding}
    headers |= {"content-type": media} if media else {}
    answer = empty.ask("POST", "/v1/customers", headers=headers, content=b"{}")
    assert answer.status_code == status


def test_each_token_has_a_rate_of_its_own(empty: Sender) -> None:
    slow = Sender(Store("sqlite://"), NOW, requests_per_minute=2)
    assert [slow.push("customers", b"{}").status_code for _ in range(3)] == [422, 422, 429]
    assert slow.push("customers", b"{}", token=OTHER).status_code == 422
    assert slow.push("customers", b"{}", token="x" * 30).status_code == 401
    slow.close()


# --- bodies


Refusal = tuple[bytes, str, int, str]
REFUSED: list[Refusal] = [
    (b"", "application/json", 400, "is empty"),
    (b'{"id": "1",', "application/json", 400, "is not JSON: Expecting property name enclosed in double quotes at line 1, column 12"),
    (b'{"id": NaN}', "application/json", 400, "is not JSON: NaN is no number"),
    (b'{"id": 1, "id": 2}', "application/json", 400, "is not JSON: 'id' stands twice in one object"),
    (b"\xff", "application/json", 400, "is not UTF-8: byte 1"),
    (b"[" * 100_000, "application/json", 400, "is nested too deeply"),
    (b'{"id": 1}\n\n{"id":', NDJSON, 400, "is not JSON: Expecting value at column 7"),
    (b'"x"', "application/json", 422, "$: is a string; a row is an object"),
    (b"[[]]", "application/json", 422, "$[0]: is an array; a row is an object"),
    (b'{"id": "a\\u0000b"}', "application/json", 422, "$.id: holds a NUL character"),
    (b'{"id": "\\ud800"}', "application/json", 422, "$.id: holds half a surrogate pair"),
    (b'{"id": 1, "attributes": {"a\\ud800": 1}}', "application/json", 422, "$.attributes: a key holds half a surrogate pair"),
    (b'{"id": 1, "attributes": {"a": %s}}' % (b"[" * 19 + b"]" * 19), "application/json", 422, "is nested more than 20 deep"),
    (b'{"id": 1, "name": "%s"}' % (b"x" * 100_001), "application/json", 422, "$.name: is longer than 100,000 bytes"),
    (json.dumps([{"id": 1}] * (MOST_ROWS + 1)).encode(), "application/json", 413, "1,001 rows; a push has 1,000 at most"),
    (b'{"id": 1}\n' * (MOST_ROWS + 1), NDJSON, 413, "a push has 1,000 rows at most"),
]  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_a_body_that_cannot_be_taken_is_refused_with_the_reason(
    empty: Sender, refusal: Refusal
) -> None:
    body, media, status, detail = refusal
    answer = empty.push("customers", body, media=media)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_as_deep_and_as_many_as_documented_is_taken(shop: Sender) -> None:
    deep: Any = "x"
    for _ in range(DEEPEST - 2):  # the row and its attributes are two
        deep = [deep]
    assert shop.push("customers", {"id": "1", "attributes": {"a": deep}}).status_code == 200
    order = {"customer_id": "C1001", "placed_at": "2026-11-01", "amount": 1}
    items: list[dict[str, str]] = [{"sku": "x"}] * (MOST_ITEMS // MOST_ROWS)
    many = [{**order, "id": str(n), "items": items} for n in range(MOST_ROWS)]
    answer = shop.push("orders", many).json()
    assert (answer["inserted"], answer["items"]["inserted"]) == (MOST_ROWS, MOST_ITEMS)
    many[0]["items"] = [*items, {}]
    assert shop.push("orders", many).status_code == 413


def test_an_item_is_no_longer_and_no_dearer_than_the_database_can_add_up(shop: Sender) -> None:
    order = {"id": "A1", "customer_id": "C1001", "placed_at": "2026-11-01", "amount": 1}
    items = [
        {"category": "茶" * 256},
        {"brand": "茶" * 255},
        {"price": 10**13 - 1, "quantity": 10**15 - 1},
    ]
    assert errors(shop.push("orders", {**order, "items": items})) == [
        ("$.items[0].category", "is longer than 255 characters"),
        ("$.items[2].price", "times the quantity is more than anybody pays"),
    ]
    assert shop.push("orders", {**order, "items": items[1:2]}).status_code == 200


def test_lines_of_ndjson_are_told_by_row_and_line(shop: Sender) -> None:
    answer = shop.push("customers", b'\xef\xbb\xbf{"id": 1}\r\n\r\n{"id": 2, "email": "x"}\n', media=NDJSON)  # fmt: skip
    assert answer.json()["errors"] == [
        {"path": "$[1].email", "message": "'x' is not an e-mail address", "line": 3}
    ]


def test_no_more_than_a_hundred_faults_are_told(empty: Sender) -> None:
    answer = empty.push("customers", [{f"k{n}": 1 for n in range(500)}] * 300).json()
    assert (len(answer["errors"]), answer["more"]) == (MOST_FAULTS, True)


def test_the_web_goes_on_answering_while_a_push_waits_for_the_database(
    shop: Sender, tmp_path: Path
) -> None:
    other = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    writing = ExitStack()
    writing.enter_context(other.write())  # a scheduler, say
    answers, was_waiting, pushed = shop.ask_while_pushing("customers", {"id": "2"}, "/readyz", writing.close)  # fmt: skip
    assert (answers, was_waiting, pushed.status_code) == ([200] * 5, True, 200)
    other.close()


# --- hostile


def test_no_hostile_row_is_a_server_error_and_what_is_refused_is_not_there(store: Store) -> None:
    """Rows of odd values by the hundred: they land or they are refused, and both is true."""
    sender = Sender(store, NOW)
    sender.push("customers", [{"id": "C1001"}, {"id": "1"}])
    ensure_fresh(store, load_policy({}), NOW)  # so that what lands is computed with at once
    description = sender.ask("GET", "/v1/openapi.json").json()
    seed = int(os.environ.get("YANSHU_FUZZ_SEED", "20261120"))
    print(f"seed {seed}, {PUSHES} pushes")
    pick = random.Random(seed)
    statuses: dict[int, int] = {}
    for number in range(PUSHES):
        kind = pick.choice(PUSH_KINDS)
        row = hostile(pick, whole_row(description["components"]["schemas"][kind]))
        if kind == "orders" and pick.random() < 0.5:
            item = whole_row(description["components"]["schemas"]["item"])
            row["items"] = [hostile(pick, item) for _ in range(2)]
        before, rows = count(store), [row, row] if number % 3 else row
        answer = sender.push(kind, mangled(pick, rows) if number % 4 == 0 else rows)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code in (200, 400, 422), (answer.text, row)
        assert answer.status_code == 200 or count(store) == before
    sender.close()
    assert min(statuses.get(200, 0), statuses.get(422, 0)) > 15, statuses


ODD: list[Callable[[random.Random], Any]] = [
    lambda pick: pick.choice(["", " ", "\t\n", "null", "-", "=1+1", "{{ 7*7 }}", "<script>", "'; DROP TABLE orders; --"]),
    lambda pick: pick.choice([0, -1, 10**15, 10**16, 10**40, 1e-7, 1.5, 9_999_999_999_999.99, -0.0]),
    lambda pick: pick.choice(["1e5", "٣", "１２", "0x10", "1,5", "NaN", "Infinity", "9" * 300, "999999999999999"]),
    lambda pick: pick.choice(["2026-02-30", "0001-01-01", "9999-12-31T23:59:59+14:00", "2199-12-31T23:59:59-23:59", "1900-01-01T00:00:00+23:59", "2026-W01-1", "T10:00", "2026-11-01T24:00"]),
    lambda pick: "".join(chr(pick.choice([*range(1, 48), 0x202E, 0xFEFF, 0x1F600, 0x4E2D, 0xFFFF, 0x10FFFF])) for _ in range(pick.randrange(40))),
    lambda pick: "".join(chr(pick.randrange(0x4E00, 0x9FFF)) for _ in range(pick.choice([254, 255, 256, 5000]))),
    lambda pick: pick.choice([None, True, False, [], {}, [[]], {"a": None}, {"a": {"b": [1, 2.5, "x"]}}]),
    lambda pick: {"a" * pick.choice([1, 300, 5000]): pick.choice([1, "x" * 90_000, 10**400, 1.5]), "status": 1},
    lambda pick: pick.choice(["a@" + "b" * 300 + ".com", "ü@ü.example", "a@xn--.com", "+" + "1" * 200, "１３８００１３８０００", "@", "a@b.c\r\nBcc: x"]),
]  # fmt: skip


def hostile(pick: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    """The row with one or two values that nobody expects."""
    changed = dict(row)
    for name in pick.sample(list(row), k=min(len(row), pick.choice([1, 1, 2]))):
        changed[name] = pick.choice(ODD)(pick)
    return changed


def mangled(pick: random.Random, rows: Any) -> bytes:
    """The body with some bytes changed, taken out or put in."""
    body = bytearray(json.dumps(rows).encode())
    for _ in range(pick.randrange(1, 4)):
        place = pick.randrange(len(body))
        body[place : place + pick.randrange(3)] = bytes(pick.choices(b'{}[],:"\\u0n1e-\x00\xff', k=pick.randrange(3)))  # fmt: skip
    return bytes(body)


def count(store: Store) -> list[int]:
    with store.read() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (customers, orders, products, tags, events)
        ]


def test_what_fails_here_is_told_as_500_without_rows_in_the_log_and_others_land(
    tmp_path: Path,
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    upgrade(store)
    with store.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON customers WHEN new.name = '李梅canary'"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    sender = Sender(store, NOW)
    rows = [{"id": str(n), "name": "李梅canary" if n == 3 else "x", "email": f"canary{n}@example.com"} for n in range(6)]  # fmt: skip
    with structlog.testing.capture_logs() as logs:
        answers = sender.push_together([("customers", row) for row in rows])
        sender.push("customers", {"id": "1", "email": "canary"})
        sender.push("customers", rows[0], token="canary" * 5)
    assert [answer.status_code for answer in answers] == [500 if n == 3 else 200 for n in range(6)]
    assert answers[3].json()["title"] == "Something failed here; nothing was written"
    assert [one["event"] for one in logs] == ["push failed", "push refused"]
    assert "canary" not in repr(logs) and TOKEN not in repr(logs)
    assert "land" in logs[0]["where"]
    sender.close()
    store.close()
