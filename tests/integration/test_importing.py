"""Imports on both databases: what lands, what is rejected with which reason, and that doing it again changes nothing."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from engine.audience.malicious import class_of_customer
from engine.customers.consent import permissions, suppress, withdraw
from engine.customers.importing import files
from engine.customers.importing.files import ImportSummary, import_file
from engine.customers.profiles.freshness import ensure_fresh
from engine.definitions.campaign import Channel, MessageClass
from engine.definitions.loader import load_policy
from engine.definitions.policy import Grading, Policy, Prices
from engine.errors import ImportFileError
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import (
    consents,
    contacts,
    customers,
    definitions,
    grade_changes,
    order_items,
    orders,
    profiles,
    suppressions,
    tags,
)
from engine.tokens import address_hash

NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
CHANNELS: tuple[Channel, ...] = ("email", "sms")
CLASSES: tuple[MessageClass, ...] = ("marketing", "care", "transactional")
POLICY = Policy(
    unknown_consent={(channel, name): name != "marketing" for channel in CHANNELS for name in CLASSES}
)  # fmt: skip
KEY = "a key for tests"
CDNOW = Path(__file__).parent.parent / "data" / "cdnow_orders.csv.gz"


class Shop:
    """A shop's database and a directory of files to import."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.settings = Settings(project=folder, address_key=KEY)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, kind: Any, content: str | bytes | Path, **options: Any) -> ImportSummary:
        name = options.pop("name", f"{kind}.csv")
        path = content if isinstance(content, Path) else self.write(name, content)
        defaults = {"settings": self.settings, "policy": POLICY, "now": NOW}
        return import_file(self.store, kind, path, **{**defaults, **options})

    def rows(self, table: Any) -> list[dict[str, Any]]:
        order = table.c.id if "id" in table.c else table.c.customer_id
        with self.store.read() as connection:
            return [
                dict(row) for row in connection.execute(select(table).order_by(order)).mappings()
            ]

    def one(self, table: Any) -> dict[str, Any]:
        (row,) = self.rows(table)
        return row

    def rejected(self, summary: ImportSummary) -> list[dict[str, str]]:
        assert summary.rejects_path is not None
        with summary.rejects_path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def reasons(self, summary: ImportSummary) -> list[tuple[int, str]]:
        return [(int(row["line"]), row["reason"]) for row in self.rejected(summary)]


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def counts(summary: ImportSummary) -> tuple[int, int, int, int, int]:
    return (summary.read, summary.inserted, summary.updated, summary.unchanged, summary.rejected)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# --- customers


def test_a_customer_with_every_column_lands_normalised(shop: Shop) -> None:
    summary = shop.load(
        "customers",
        "id,name,email,phone,phone_valid_until,gender,birthday,birthday_calendar,timezone,language,"
        "province,city,address,joined_at,email_consent,sms_consent,level\n"
        "00001, 李梅 ,Mei@Example.COM,138 0013 8000,2026-06-01,f,1990-02-28,lunar,Europe/Berlin,zh,"
        '广东,广州,"天河区, 1 号",2025-01-02T03:04:05,yes,no, gold \n',
    )
    assert counts(summary) == (1, 1, 0, 0, 0)
    row = shop.one(customers)
    assert (row["ref"], row["name"], row["address"]) == ("00001", "李梅", "天河区, 1 号")
    assert (row["email"], row["email_domain"]) == ("mei@example.com", "example.com")
    assert row["email_hash"] == address_hash(KEY, "mei@example.com")
    assert (row["phone"], row["phone_hash"]) == ("+8613800138000", address_hash(KEY, "+8613800138000"))  # fmt: skip
    assert (row["birthday"], row["birthday_month"], row["birthday_day"]) == ("1990-02-28", 2, 28)
    assert (row["birthday_calendar"], row["timezone"]) == ("lunar", "Europe/Berlin")
    assert row["phone_valid_until"] == at("2026-06-01T00:00+08:00")
    assert row["joined_at"] == at("2025-01-02T03:04:05+08:00")
    assert row["attributes"] == {"level": "gold"}
    assert row["created_at"] == row["updated_at"] == NOW


def test_customers_with_only_an_id_are_fine(shop: Shop) -> None:
    assert counts(shop.load("customers", "id\n1\n00001\n")) == (2, 2, 0, 0, 0)
    assert [row["ref"] for row in shop.rows(customers)] == ["1", "00001"]
    assert shop.rows(customers)[0]["malicious"] is False


def test_a_byte_order_mark_and_windows_line_ends_are_passed_over(shop: Shop) -> None:
    summary = shop.load(
        "customers", b"\xef\xbb\xbfid,city\r\n1,\xe4\xb8\x8a\xe6\xb5\xb7\r\n\r\n,\r\n"
    )
    assert counts(summary) == (1, 1, 0, 0, 0)
    assert shop.one(customers)["city"] == "上海"


def test_the_same_file_twice_changes_nothing(shop: Shop) -> None:
    content = "id,email,city,email_consent,pet\n1,a@example.com,上海,yes,cat\n2,,,,\n3,c@example.com,,no,\n"
    shop.load("customers", content)
    before = (shop.rows(customers), shop.rows(consents))
    again = shop.load("customers", content, now=NOW.replace(hour=9))
    assert counts(again) == (3, 0, 0, 3, 0)
    assert again.consents == 0
    assert (shop.rows(customers), shop.rows(consents)) == before


def test_a_later_file_updates_what_it_says_and_leaves_the_rest(shop: Shop) -> None:
    shop.load("customers", "id,name,city,pet,shoe\n1,Mei,上海,cat,37\n2,Bo,北京,dog,42\n")
    later = NOW.replace(hour=9)
    summary = shop.load("customers", "id,city,pet\n1,杭州,\n2,北京,dog\n3,,\n", now=later)
    assert counts(summary) == (3, 1, 1, 1, 0)
    first, second, _ = shop.rows(customers)
    assert (first["name"], first["city"]) == ("Mei", "杭州")
    assert first["attributes"] == {"pet": "", "shoe": "37"}
    assert (first["created_at"], first["updated_at"]) == (NOW, later)
    assert second["updated_at"] == NOW


def test_a_blank_cell_empties_its_column(shop: Shop) -> None:
    shop.load("customers", "id,email,birthday\n1,a@example.com,02-29\n")
    assert shop.one(customers)["birthday"] == "--02-29"
    shop.load("customers", "id,email,birthday\n1,,\n")
    row = shop.one(customers)
    assert (row["email"], row["email_hash"], row["email_domain"]) == (None, None, None)
    assert (row["birthday"], row["birthday_month"]) == (None, None)


def test_of_one_id_that_stands_twice_the_later_row_wins(shop: Shop) -> None:
    content = "id,city\n1,上海\n2,北京\n1,杭州\n"
    assert counts(shop.load("customers", content)) == (3, 2, 0, 1, 0)
    assert shop.rows(customers)[0]["city"] == "杭州"
    assert counts(shop.load("customers", content)) == (3, 0, 0, 3, 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,,,,,", None),
        (" ,a@example.com,,,,,", "id: is blank"),
        ("x" * 256 + ",,,,,,", "id: is longer than 255 characters"),
        ("1,a@b,,,,,", "email: 'a@b' is not an e-mail address"),
        ("1,,12345,,,,", "phone: '12345' is not a phone number"),
        ("1,,,1990-02-30,,,", "birthday: '1990-02-30' does not exist"),
        ("1,,,1990/02/28,,,", "birthday: '1990/02/28' is not a birthday"),
        ("1,,,2090-01-01,,,", "birthday: '2090-01-01': nobody was born then"),
        ("1,,,,2026-02-30,,", "joined_at: '2026-02-30' is not a date or time"),
        ("1,,,,yesterday,,", "joined_at: 'yesterday' is not a date or time"),
        ("1,,,,0001-01-01,,", "joined_at: '0001-01-01': the year is not plausible"),
        ("1,,,,,maybe,", "email_consent: 'maybe' is neither yes nor no"),
        ("1,,,,,,,", "has 8 cells, the header has 7"),
        ("1,,", "has 3 cells, the header has 7"),
        ('1,"a"b,,,,,', "cannot be read as CSV"),
        (f"1,,,,,,{'x' * 100_001}", "a cell is longer than 100,000 bytes"),
        (f"1,,,,,,{'y' * 140_000}", "cannot be read as CSV"),
        ("1,,,,,,a\0b", "holds a NUL byte"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_reason_and_good_ones_land(
    shop: Shop, row: str, reason: str | None
) -> None:
    header = "id,email,phone,birthday,joined_at,email_consent,note\n"
    summary = shop.load("customers", f"{header}8,,,,,,\n{row}\n9,,,,,,\n")
    assert [each["ref"] for each in shop.rows(customers)] == ["8", "9"]
    if reason is None:
        assert (summary.rejected, summary.rejects_path) == (0, None)
        return
    assert counts(summary) == (3, 2, 0, 0, 1)
    ((line, said),) = shop.reasons(summary)
    assert line == 3
    assert said.startswith(reason)


def test_the_rejects_file_keeps_the_columns_is_safe_in_a_spreadsheet_and_can_be_mended(
    shop: Shop,
) -> None:
    rows = '=1+1,a@b,"+86\n1380013800",-1\n@x,a@b,,\t2\nok,,,\r3\n'
    summary = shop.load(
        "customers", f"id,email,phone,note\n{rows}".replace("ok,,,\r3", 'ok,x,,"\r3"')
    )
    path = summary.rejects_path
    assert path is not None
    assert path.name == "customers.csv.rejected.csv"
    written = shop.rejected(summary)
    assert [list(row)[:2] for row in written] == [["line", "reason"]] * 3
    assert [row["line"] for row in written] == ["2", "4", "5"]
    assert [(row["id"], row["note"]) for row in written] == [("'=1+1", "'-1"), ("'@x", "'\t2"), ("ok", "'\r3")]  # fmt: skip
    assert written[0]["phone"] == "'+86\n1380013800"
    mended = path.read_text().replace("a@b", "a@example.com").replace("ok,x", "ok,")
    mended = mended.replace("+86\n1380013800", "+8613800138000")
    again = shop.load("customers", mended, name="mended.csv")
    assert counts(again) == (3, 3, 0, 0, 0)
    row = next(row for row in shop.rows(customers) if row["ref"] == "=1+1")
    assert (row["phone"], row["attributes"]) == ("+8613800138000", {"note": "-1"})


def test_a_clean_import_removes_the_rejects_of_the_last_one(shop: Shop) -> None:
    bad = shop.load("customers", "id,city\n ,x\n")
    assert bad.rejects_path is not None
    assert bad.rejects_path.exists()
    shop.load("customers", "id,city\n1,x\n")
    assert not bad.rejects_path.exists()


def test_a_quote_that_is_never_closed_costs_its_own_row_only(shop: Shop) -> None:
    content = 'id,city\n1,"上海\n2,北京\n3,"广\n州"\n4,"杭州\n5,x\n'
    summary = shop.load("customers", content)
    assert [row["ref"] for row in shop.rows(customers)] == ["2", "3", "5"]
    assert [line for line, _ in shop.reasons(summary)] == [2, 6]
    assert shop.rows(customers)[1]["city"] == "广\n州"


def test_bytes_that_are_not_utf8_cost_their_own_row_only(shop: Shop) -> None:
    content = "id,city\n1,上海\n".encode() + "2,北京\n".encode("gbk") + "3,广州\n".encode()
    summary = shop.load("customers", content)
    assert [row["ref"] for row in shop.rows(customers)] == ["1", "3"]
    assert shop.reasons(summary) == [(3, "is not UTF-8")]


def test_a_line_without_end_does_not_fill_the_memory(shop: Shop) -> None:
    content = "id,city\n1,x\n2," + "y" * 9_000_000 + "\n3,z\n"
    summary = shop.load("customers", content)
    assert [row["ref"] for row in shop.rows(customers)] == ["1", "3"]
    assert [line for line, _ in shop.reasons(summary)] == [3]


def test_an_unknown_zone_and_a_masked_phone_are_warned_of_and_left_out(shop: Shop) -> None:
    summary = shop.load(
        "customers", "id,timezone,phone\n1,Asia/Beijing,138****8000\n2,Asia/Shanghai,\n3,UTC+8,\n"
    )
    assert counts(summary) == (3, 3, 0, 0, 0)
    assert [row["timezone"] for row in shop.rows(customers)] == [None, "Asia/Shanghai", None]
    assert shop.rows(customers)[0]["phone"] is None
    zone, phone = sorted(summary.warnings, reverse=True)
    assert zone.startswith("2 rows name an unknown time zone")
    assert "'Asia/Beijing' in line 2" in zone
    assert phone.startswith("1 phone numbers are masked")


def test_what_a_masked_cell_or_an_unknown_zone_would_say_leaves_what_is_known(shop: Shop) -> None:
    header = "id,name,email,phone,phone_valid_until,timezone,address,city\n"
    shop.load(
        "customers", header + "1,林小雁,lin@qq.com,13800138001,,Europe/Berlin,龙井路 1 号,杭州\n"
    )
    before = shop.one(customers)
    summary = shop.load(
        "customers",
        header + "1,林*,l***@qq.com,138****8001,2026-05-09,Asia/Beijing,龙井路***,上海\n",
        now=NOW.replace(hour=9),
    )
    assert counts(summary) == (1, 0, 1, 0, 0)
    after = shop.one(customers)
    assert {name for name in before if before[name] != after[name]} == {"city", "updated_at"}
    assert [warning.partition(" (")[0] for warning in summary.warnings] == [
        "1 names are masked: what is known stays",
        "1 e-mail addresses are masked: what is known stays",
        "1 phone numbers are masked: what is known stays",
        "1 postal addresses are masked: what is known stays",
        "1 rows name an unknown time zone: what is known stays, else the shop's applies",
    ]
    assert all("line 2)" in warning for warning in summary.warnings)


def test_a_masked_export_again_changes_nothing(shop: Shop) -> None:
    shop.load("customers", "id,phone\n1,13800138001\n2,13800138002\n")
    summary = shop.load("customers", "id,phone\n1,138****8001\n2,13800138002\n")
    assert counts(summary) == (2, 0, 0, 2, 0)


def test_a_masked_number_below_the_clear_one_of_the_same_file_does_not_hide_it(shop: Shop) -> None:
    shop.load("customers", "id,phone,city\n1,13800138001,杭州\n1,138****8001,上海\n2,139****1,\n")
    first, second = shop.rows(customers)
    assert (first["phone"], first["city"]) == ("+8613800138001", "上海")
    assert first["phone_hash"] == address_hash(KEY, "+8613800138001")
    assert second["phone"] is None


def test_a_masked_email_is_nobodys_address(shop: Shop) -> None:
    summary = shop.load("customers", "id,email,email_consent\n1,l***@qq.com,yes\n")
    assert summary.reach["email", "marketing"] == 0
    assert shop.one(customers)["email"] is None
    assert shop.rows(consents) == []


def test_a_customer_is_marked_malicious_by_hand_and_only_a_no_takes_the_mark_off(
    shop: Shop,
) -> None:
    def load(content: str) -> list[bool]:
        shop.load("customers", content)
        rows = {row["ref"]: row["malicious"] for row in shop.rows(customers)}
        return [rows[ref] for ref in sorted(rows)]

    assert load("id,malicious\n1,yes\n2,\n3,no\n") == [True, False, False]
    assert load("id,malicious,city\n1,,上海\n2,TRUE,\n3,,\n") == [True, True, False]
    assert load("id,city\n1,杭州\n") == [True, True, False]
    assert load("id,malicious\n1,no\n1,\n2,no\n2,yes\n") == [False, True, False]


def test_the_mark_of_a_malicious_customer_counts_at_once(shop: Shop) -> None:
    def classes() -> list[str]:
        ensure_fresh(shop.store, POLICY, NOW)
        with shop.store.read() as connection:
            of_each = select(class_of_customer()).join_from(customers, profiles)
            return list(connection.execute(of_each).scalars())

    shop.load("customers", "id,email,email_consent\n1,a@example.com,yes\n")
    assert classes() == ["prospect"]
    summary = shop.load("customers", "id,malicious\n1,yes\n")
    assert (summary.reach["email", "marketing"], classes()) == (0, ["malicious"])
    summary = shop.load("customers", "id,malicious\n1,no\n")
    assert (summary.reach["email", "marketing"], classes()) == (1, ["prospect"])


def test_a_mark_that_is_neither_yes_nor_no_is_rejected(shop: Shop) -> None:
    summary = shop.load("customers", "id,malicious\n1,perhaps\n")
    assert shop.reasons(summary) == [
        (2, "malicious: 'perhaps' is neither yes nor no (blank = unknown)")
    ]


def test_a_masked_address_cannot_be_suppressed(shop: Shop) -> None:
    summary = shop.load("suppressions", "address\nl***@qq.com\n138****8001\nlin@qq.com\n")
    assert summary.inserted == 1
    assert shop.reasons(summary) == [
        (2, "email: 'l***@qq.com' is masked"),
        (3, "phone: '138****8001' is masked"),
    ]


def test_a_blank_cell_still_empties_what_a_masked_one_leaves(shop: Shop) -> None:
    shop.load("customers", "id,phone,timezone\n1,13800138001,Europe/Berlin\n")
    shop.load("customers", "id,phone,timezone\n1,,\n")
    assert (shop.one(customers)["phone"], shop.one(customers)["timezone"]) == (None, None)


def test_a_duplicate_email_is_warned_of(shop: Shop) -> None:
    summary = shop.load(
        "customers", "id,email\n1,A@example.com\n2,a@example.com\n3,b@example.com\n"
    )
    assert summary.inserted == 3
    (warning,) = summary.warnings
    assert warning.startswith("1 e-mail addresses belong to more than one customer")
    assert "a@example.com" not in warning


@pytest.mark.parametrize(
    ("kind", "header", "told"),
    [
        ("customers", "id,emial,size,vip", "'emial'; did you mean 'email'?"),
        ("customers", "id,e-mail", "'e-mail'; did you mean 'email'?"),
        ("customers", "id,Phone", "'Phone'; did you mean 'phone'?"),
        ("orders", "id,customer_id,placed_at,amount,cupon", "'cupon'; did you mean 'coupon'?"),
        ("products", "sku,Brand", "'Brand'; did you mean 'brand'?"),
    ],
)
def test_a_column_that_is_nearly_known_is_told(
    shop: Shop, kind: str, header: str, told: str
) -> None:
    (warning,) = shop.load(kind, f"{header}\n").warnings
    what = "1 columns are not known, but look like one that is"
    assert warning == f"{what} (for example {told})"


def test_columns_of_the_shops_own_are_no_warning(shop: Shop) -> None:
    own = "id,phone,phone_2,size,vip,level,tier,score,mobile_model,姓名,email_verified,zip,nickname"
    assert shop.load("customers", f"{own}\n").warnings == ()


# --- files that cannot be read at all


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n1\n", "column 'id' is missing"),
        ("a.csv", b"Id,city\n1,x\n", "column 'id' is missing; did you mean 'Id'?"),
        ("a.csv", b"nr,city\n1,x\n", "column 'id' is missing; the header is 'nr, city'"),
        ("a.csv", b"id\tcity\n1\tx\n", "its columns seem to be separated by tabs: the header is 'id\\tcity'; a mapping with `delimiter: tab` reads it"),
        ("a.csv", b"id;city\n1;x\n", "its columns seem to be separated by semicolons: the header is 'id;city'; a mapping with `delimiter: \";\"` reads it"),
        ("a.csv", b"id,city,city\n1,x,y\n", "column 'city' stands twice"),
        ("a.csv", "id,城市\n1,x\n".encode("gbk"), "the header is not UTF-8"),
        ("a.csv", "id\n1\n".encode("utf-16"), "is UTF-16"),
        ("a.xlsx", b"PK", "is not an XLSX file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(
    shop: Shop, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(ImportFileError) as error:
        shop.load("customers", content, name=name)
    assert f"{name}: {said}" in str(error.value)
    assert shop.rows(customers) == []


def test_a_missing_file_a_missing_column_and_another_kind_say_so(shop: Shop) -> None:
    with pytest.raises(ImportFileError, match=r"none\.csv: No such file"):
        shop.load("customers", shop.folder / "none.csv")
    with pytest.raises(
        ImportFileError, match=r"'customer_id' is missing; did you mean 'customerid'"
    ):
        shop.load("orders", "id,customerid,placed_at,amount\n")
    with pytest.raises(ImportFileError, match="coupons is not supported yet"):
        shop.load("coupons", "code\n")
    with pytest.raises(ImportFileError, match="only an import of orders takes items"):
        shop.load("customers", "id\n", items=shop.folder / "i.csv")
    with pytest.raises(ImportFileError, match=r"i\.csv: no such file"):
        shop.load("orders", "id,customer_id,placed_at,amount\n", items=shop.folder / "i.csv")


def test_a_file_with_only_a_header_is_no_error(shop: Shop) -> None:
    assert counts(shop.load("customers", "id,email")) == (0, 0, 0, 0, 0)


# --- JSON lines


def test_json_lines_land_like_csv_and_leave_what_they_do_not_name(shop: Shop) -> None:
    lines = [
        {"id": 1, "name": "Mei", "email": "mei@example.com", "email_consent": True, "score": 4.50},
        {"id": "00002", "city": "上海", "tags": ["a", "b"], "vip": None},
    ]
    content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n"
    assert counts(shop.load("customers", content, name="c.jsonl")) == (2, 2, 0, 0, 0)
    assert counts(shop.load("customers", content, name="c.jsonl")) == (2, 0, 0, 2, 0)
    shop.load("customers", '{"id": "1", "city": "杭州"}', name="d.jsonl")
    first, second = shop.rows(customers)
    assert (first["ref"], first["name"], first["city"]) == ("1", "Mei", "杭州")
    assert first["attributes"] == {"score": "4.5"}
    assert second["attributes"] == {"tags": '["a", "b"]', "vip": ""}
    assert len(shop.rows(consents)) == 2


def test_bad_json_lines_are_rejected_one_by_one(shop: Shop) -> None:
    lines = [
        '{"id": "1"}', "{", "[]", '{"name": "x"}', '{"id": {}}', '{"id": "\\u0000"}',
        '{"id": "\\ud800"}', '{"id": "2", "x": NaN}', "[" * 100_000, '{"id": "3"}',
    ]  # fmt: skip
    summary = shop.load("customers", "\n".join(lines), name="c.jsonl")
    assert [row["ref"] for row in shop.rows(customers)] == ["1", "3"]
    assert [line for line, _ in shop.reasons(summary)] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert shop.rejected(summary)[0]["record"] == "{"


def test_a_file_in_another_encoding_is_refused_whole(shop: Shop) -> None:
    content = "id,name,city\n1,林小雁,上海\n2,Bo,Ulm\n3,李梅,杭州\n".encode("gb18030")
    with pytest.raises(ImportFileError, match="is not UTF-8; it looks like GB18030: save it as"):
        shop.load("customers", content)
    assert shop.rows(customers) == []


def test_rejected_json_lines_can_be_mended_and_imported(shop: Shop) -> None:
    lines = '{"id": "1", "email": "nobody"}\n{"id": "2", "name": "Mei"\n{"id": "3"}\n'
    summary = shop.load("customers", lines, name="c.jsonl")
    assert summary.rejects_path is not None
    mended = summary.rejects_path.read_text(encoding="utf-8")
    mended = mended.replace('""nobody""', '""bo@example.com""').replace('""Mei""', '""Mei""}')
    assert counts(shop.load("customers", mended, name="mended.csv")) == (2, 2, 0, 0, 0)
    found = [(row["ref"], row["name"], row["email"]) for row in shop.rows(customers)]
    assert sorted(found) == [("1", None, "bo@example.com"), ("2", "Mei", None), ("3", None, None)]


# --- consent and reach


def test_imported_consent_sets_marketing_and_care_unless_the_person_said_no(shop: Shop) -> None:
    mei, bo = address_hash(KEY, "mei@example.com"), address_hash(KEY, "+8613800138000")
    with shop.store.write() as connection:
        withdraw(connection, mei, "email", ["marketing"], at=NOW, source="person")
    content = "id,email,phone,email_consent,sms_consent\n1,mei@example.com,13800138000,yes,no\n2,,,yes,yes\n"
    summary = shop.load("customers", content)
    assert summary.consents == 3
    wanted: list[tuple[str, Channel, MessageClass]] = [
        (mei, "email", "marketing"), (mei, "email", "care"), (bo, "sms", "care"),
    ]  # fmt: skip
    with shop.store.read() as connection:
        found = permissions(connection, POLICY, wanted)
    assert [found[key].allowed for key in wanted] == [False, True, False]
    assert {row["source"] for row in shop.rows(consents)} == {"person", "import"}


def test_consent_without_an_address_in_the_file_is_that_of_the_known_address(shop: Shop) -> None:
    shop.load("customers", "id,email\n1,mei@example.com\n")
    summary = shop.load("customers", "id,email_consent\n1,yes\n")
    assert (summary.unchanged, summary.consents) == (1, 2)
    assert shop.load("customers", "id,email_consent\n1,\n").consents == 0


def test_the_summary_tells_how_many_can_be_reached(shop: Shop) -> None:
    with shop.store.write() as connection:
        suppress(connection, address_hash(KEY, "d@example.com"), "email", "complaint", at=NOW)
    summary = shop.load(
        "customers",
        "id,email,phone,phone_valid_until,email_consent,sms_consent\n"
        "1,a@example.com,13800138001,,yes,yes\n"
        "2,b@example.com,13800138002,2026-04-01,no,yes\n"
        "3,c@example.com,13800138003,2026-06-01,,\n"
        "4,d@example.com,,,yes,\n"
        "5,,,,yes,yes\n",
    )
    assert summary.reach == {
        ("email", "marketing"): 1, ("email", "care"): 2,
        ("sms", "marketing"): 1, ("sms", "care"): 2,
    }  # fmt: skip


# --- orders


@pytest.fixture
def peopled(shop: Shop) -> Shop:
    shop.load("customers", "id\n1\n2\n00003\n")
    return shop


ORDERS = "id,customer_id,status,placed_at,amount,currency,quantity,coupon,source,gift\n"


def test_an_order_lands_with_money_in_the_smallest_unit_and_its_implied_time(peopled: Shop) -> None:
    summary = peopled.load(
        "orders", ORDERS + "A,00003,,2026-04-01,0,,2,SPRING,taobao,yes\nB,1,PAID,2026-04-02T10:00Z,12.5,cny,,,,\n"
    )  # fmt: skip
    assert counts(summary) == (2, 2, 0, 0, 0)
    first, second = peopled.rows(orders)
    noon = at("2026-04-01T00:00+08:00")
    assert (first["status"], first["placed_at"], first["received_at"]) == ("received", noon, noon)
    assert (first["amount"], first["currency"], first["quantity"]) == (0, "CNY", 2)
    assert (first["coupon"], first["source"]) == ("SPRING", "taobao")
    assert first["attributes"] == {"gift": "yes"}
    assert (second["status"], second["amount"]) == ("paid", 1250)
    assert second["paid_at"] == at("2026-04-02T10:00+00:00")
    assert (second["received_at"], second["quantity"]) == (None, None)


def test_orders_twice_change_nothing_and_a_later_state_updates(peopled: Shop) -> None:
    first = ORDERS + "A,1,placed,2026-04-01,10,,,,,\nB,2,paid,2026-04-01,20,,,,,\n"
    peopled.load("orders", first)
    before = (peopled.rows(orders), peopled.rows(profiles))
    assert counts(peopled.load("orders", first)) == (2, 0, 0, 2, 0)
    assert (peopled.rows(orders), peopled.rows(profiles)) == before
    later = (
        ORDERS.replace("placed_at", "placed_at,shipped_at")
        + "A,1,shipped,2026-04-01,2026-04-03,10,,,,,\n"
    )
    assert counts(peopled.load("orders", later)) == (1, 0, 1, 0, 0)
    row = peopled.rows(orders)[0]
    assert (row["status"], row["shipped_at"]) == ("shipped", at("2026-04-03T00:00+08:00"))


def test_a_known_time_survives_a_file_that_only_implies_it(peopled: Shop) -> None:
    timed = "id,customer_id,status,placed_at,received_at,amount\n"
    peopled.load("orders", timed + "A,1,received,2026-04-01,2026-04-05T12:00,10\n")
    plain = "id,customer_id,placed_at,amount\nA,1,2026-04-01,10\n"
    assert counts(peopled.load("orders", plain)) == (1, 0, 0, 1, 0)
    moved = "id,customer_id,placed_at,amount\nB,1,2026-04-01,10\n"
    peopled.load("orders", moved)
    peopled.load("orders", moved.replace("04-01", "04-02"))
    first, second = peopled.rows(orders)
    assert first["received_at"] == at("2026-04-05T12:00+08:00")
    assert second["received_at"] == second["placed_at"] == at("2026-04-02T00:00+08:00")
    assert counts(peopled.load("orders", timed + "A,1,received,2026-04-01,2026-04-06,10\n")) == (1, 0, 1, 0, 0)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A,9,,2026-04-01,1,,,,,", "customer_id: there is no customer '9'"),
        ("A,3,,2026-04-01,1,,,,,", "customer_id: there is no customer '3'"),
        ("A,,,2026-04-01,1,,,,,", "customer_id: is blank"),
        ("A,1,lost,2026-04-01,1,,,,,", "status: 'lost' is not known"),
        (
            "A,1,recieved,2026-04-01,1,,,,,",
            "status: 'recieved' is not known; did you mean 'received'?",
        ),
        ("A,1,,,1,,,,,", "placed_at: '' is not a date or time"),
        ("A,1,,2026-13-01,1,,,,,", "placed_at: '2026-13-01' is not a date or time"),
        ("A,1,,2026-04-01,,,,,,", "amount: '' is not an amount"),
        ("A,1,,2026-04-01,-1,,,,,", "amount: '-1' is negative"),
        ("A,1,,2026-04-01,1.005,,,,,", "amount: '1.005' has more decimals than CNY"),
        ("A,1,,2026-04-01,1e3,,,,,", "amount: '1e3' is not an amount"),
        ("A,1,,2026-04-01,NaN,,,,,", "amount: 'NaN' is not an amount"),
        ('A,1,,2026-04-01,"1,000",,,,,', "amount: '1,000' is not an amount"),
        ("2.62319E+18,1,,2026-04-01,1,,,,,", "id: '2.62319E+18' was rounded by a spreadsheet"),
        ("A,2E+15,,2026-04-01,1,,,,,", "customer_id: '2E+15' was rounded by a spreadsheet"),
        ("A,1,,2026-04-01,1,USD,,,,", "currency: 'USD' is not the shop's currency CNY"),
        ("A,1,,2026-04-01,1,,1.5,,,", "quantity: '1.5' is not a whole number"),
        ("A,1,,2026-04-01,1,,-2,,,", "quantity: '-2' is negative"),
    ],
)
def test_a_bad_order_is_rejected_and_good_ones_land(peopled: Shop, row: str, reason: str) -> None:
    summary = peopled.load(
        "orders", f"{ORDERS}8,1,,2026-04-01,1.00,,,,,\n{row}\n9,2,,2026-04-01,1,,,,,\n"
    )
    assert [each["ref"] for each in peopled.rows(orders)] == ["8", "9"]
    ((line, said),) = peopled.reasons(summary)
    assert (line, said.startswith(reason)) == (3, True), said


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-04-01", "2026-04-01T00:00+08:00"),
        (" 2026-04-01 09:30 ", "2026-04-01T09:30+08:00"),
        ("2026-04-01T09:30:15.5", "2026-04-01T09:30:15.500+08:00"),
        ("2026-04-01 09:30:00 +0200", "2026-04-01T09:30+02:00"),
        ("2026-04-01T09:30:00Z", "2026-04-01T09:30+00:00"),
    ],
)
def test_times_without_an_offset_are_the_shops(peopled: Shop, written: str, moment: str) -> None:
    peopled.load("orders", f"id,customer_id,placed_at,amount\nA,1,{written},1\n")
    assert peopled.one(orders)["placed_at"] == at(moment)


def test_naive_times_in_a_gap_and_an_overlap_of_the_shops_zone_are_read_as_the_clock_says(
    peopled: Shop,
) -> None:
    policy = replace(POLICY, timezone="Europe/Berlin")
    content = "id,customer_id,placed_at,amount\nA,1,2026-03-29T02:30,1\nB,1,2026-10-25T02:30,1\n"
    peopled.load("orders", content, policy=policy)
    found = [row["placed_at"] for row in peopled.rows(orders)]
    assert found == [at("2026-03-29T01:00+00:00"), at("2026-10-25T00:30+00:00")]


def test_a_currency_without_decimals_takes_none(peopled: Shop) -> None:
    policy = replace(POLICY, prices=Prices(currency="JPY"))
    content = "id,customer_id,placed_at,amount\nA,1,2026-04-01,1200\nB,1,2026-04-01,12.50\nC,1,2026-04-01,7.00\n"
    summary = peopled.load("orders", content, policy=policy)
    assert [row["amount"] for row in peopled.rows(orders)] == [1200, 7]
    assert peopled.reasons(summary)[0][1].startswith("amount: '12.50' has more decimals than JPY")


def test_profiles_follow_the_orders_that_came(peopled: Shop) -> None:
    plain = "id,customer_id,placed_at,amount\n"
    peopled.load("orders", plain + "A,1,2026-04-01,10\nB,2,2026-04-01,20\n")
    found = {row["customer_id"]: (row["orders"], row["amount"]) for row in peopled.rows(profiles)}
    assert sorted(found.values()) == [(0, 0), (1, 1000), (1, 2000)]
    assert not ensure_fresh(peopled.store, POLICY, NOW)
    # later the same day: only the two whom it is about, and the one who loses the order
    peopled.load("orders", plain + "A,2,2026-04-01,10\n", now=NOW.replace(hour=5))
    rows = peopled.rows(profiles)
    assert [(row["orders"], row["amount"]) for row in rows] == [(0, 0), (2, 3000), (0, 0)]
    assert [row["evaluated_at"].hour for row in rows] == [5, 5, 4]
    assert not ensure_fresh(peopled.store, POLICY, NOW)


def test_the_customers_of_a_first_load_wait_for_their_orders(peopled: Shop) -> None:
    assert peopled.rows(profiles) == []
    bought = "".join(f"{n},1,2026-04-0{n},9000\n" for n in range(1, 6))
    peopled.load("orders", "id,customer_id,placed_at,amount\n" + bought)
    assert peopled.rows(profiles)[0]["grade"] is not None
    assert peopled.rows(grade_changes) == []


def test_new_customers_are_evaluated_at_once(peopled: Shop) -> None:
    assert ensure_fresh(peopled.store, POLICY, NOW)
    peopled.load("customers", "id\n77\n")
    assert [row["class"] for row in peopled.rows(profiles)] == ["prospect"] * 4
    assert not ensure_fresh(peopled.store, POLICY, NOW)


def test_a_file_that_only_changes_addresses_moves_people_and_their_tags(peopled: Shop) -> None:
    rules = "rules: [{name: school, tag: job=student, address: {contains: 大学}}]\n"
    policy = load_policy({"tagging.yaml": "dimensions: {job: {values: [student]}}\n" + rules})
    assert ensure_fresh(peopled.store, policy, NOW)
    peopled.load("customers", "id,address\n2,广东省 广州市 中山大学\n", policy=policy)
    assert [row["province"] for row in peopled.rows(profiles)] == [None, "广东", None]
    assert [row["value"] for row in peopled.rows(tags)] == ["student"]
    peopled.load("customers", "id,address\n2,浙江省 杭州市 1 号\n", policy=policy)
    assert [row["province"] for row in peopled.rows(profiles)] == [None, "浙江", None]
    assert peopled.rows(tags) == []
    assert not ensure_fresh(peopled.store, policy, NOW)


def test_a_file_of_names_leaves_the_profiles_as_they_are(peopled: Shop) -> None:
    ensure_fresh(peopled.store, POLICY, NOW)
    peopled.load("customers", "id,name\n2,李\n", now=NOW.replace(hour=5))
    assert {row["evaluated_at"].hour for row in peopled.rows(profiles)} == {4}
    assert not ensure_fresh(peopled.store, POLICY, NOW)


def test_an_import_that_breaks_off_leaves_what_landed_and_profiles_that_are_due(
    peopled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_fresh(peopled.store, POLICY, NOW)
    monkeypatch.setattr(files, "BATCH", 10)
    content = "id,customer_id,placed_at,amount\n" + "".join(
        f"{n},1,2026-04-01,1\n" for n in range(25)
    )

    class StoppedError(Exception):
        pass

    def stop(rows: int, _size: int) -> None:
        if rows >= 20:
            raise StoppedError

    with pytest.raises(StoppedError):
        peopled.load("orders", content, on_progress=stop)
    assert len(peopled.rows(orders)) == 20
    assert ensure_fresh(peopled.store, POLICY, NOW)
    assert counts(peopled.load("orders", content)) == (25, 5, 0, 20, 0)


STATES = ("placed", "paid", "shipped", "arrived", "received", "closed", "refunded")


TIMES = "id,customer_id,placed_at,amount,paid_at,shipped_at,received_at,refunded_at\n"


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ("2026-03-30T09:59,,,", "paid_at"),
        (",2025-04-01T10:00,,", "shipped_at"),
        (",,2026-03-31T09:00+08:00,", "received_at"),
        (",,2026-04-02,2026-03-01", "refunded_at"),
    ],
)
def test_what_became_of_an_order_long_before_it_was_placed_is_rejected(
    peopled: Shop, times: str, name: str
) -> None:
    good = "B,2,2026-04-01T10:00,1,2026-04-01T09:59:58,2026-03-31T11:00,2026-04-01,\n"
    summary = peopled.load("orders", f"{TIMES}A,1,2026-04-01T10:00,1,{times}\n{good}")
    ((line, said),) = peopled.reasons(summary)
    assert line == 2
    assert re.fullmatch(rf"{name}: '[^']+' is more than a day before placed_at '2026-04-01T10:00'", said)  # fmt: skip
    assert [each["ref"] for each in peopled.rows(orders)] == ["B"]


@pytest.mark.parametrize("there", STATES)
def test_an_order_never_goes_back_to_what_an_older_file_says(peopled: Shop, there: str) -> None:
    head = "id,customer_id,placed_at,amount,status,refunded_amount\n"
    for came in STATES:
        peopled.load("orders", head + f"{came},1,2026-04-01,10,{there},5\n")
        summary = peopled.load("orders", head + f"{came},1,2026-04-01,10,{came},\n")
        is_older = STATES.index(came) < STATES.index(there)
        assert bool(summary.warnings) == is_older
    found = {row["ref"]: (row["status"], row["refunded_amount"]) for row in peopled.rows(orders)}
    assert found == {came: (max(came, there, key=STATES.index), 500) for came in STATES}


def test_a_file_that_is_right_overwrites_what_an_order_became(peopled: Shop) -> None:
    head = "id,customer_id,placed_at,amount,status,refunded_amount\n"
    peopled.load("orders", head + "A,1,2026-04-01,10,refunded,5\n")
    summary = peopled.load("orders", head + "A,1,2026-04-01,10,shipped,\n", overwrite=True)
    assert summary.warnings == ()
    order = peopled.one(orders)
    assert (order["status"], order["refunded_amount"]) == ("shipped", None)
    with pytest.raises(ImportFileError, match="only orders have a status"):
        peopled.load("customers", "id\n1\n", overwrite=True)


def test_a_file_without_a_status_leaves_that_of_a_known_order(peopled: Shop) -> None:
    head = "id,customer_id,placed_at,amount"
    peopled.load("orders", f"{head},status\nA,1,2026-04-01,10,placed\nB,1,2026-04-01,10,refunded\n")
    peopled.load("orders", f"{head}\nA,1,2026-04-01,11\nB,1,2026-04-01,11\nC,1,2026-04-01,11\n")
    found = [(row["status"], row["received_at"], row["amount"]) for row in peopled.rows(orders)]
    assert found == [("placed", None, 1100), ("refunded", None, 1100), ("received", at("2026-03-31T16:00Z"), 1100)]  # fmt: skip


# --- items


ITEMS = "order_id,sku,title,category,brand,size,quantity,price\n"


def test_an_orders_items_are_replaced_whole_wherever_they_stand(peopled: Shop) -> None:
    bought = "id,customer_id,placed_at,amount\nA,1,2026-04-01,10\nB,2,2026-04-01,20\n"
    items = peopled.write(
        "items.csv", ITEMS + "A,s1,Tea,tea,,,1,5\nB,s2,Cup,,,,2,9.99\nA,s3,Pot,,,M,,\n"
    )
    summary = peopled.load("orders", bought, items=items)
    assert summary.items is not None
    assert counts(summary.items) == (3, 3, 0, 0, 0)
    found = [
        (row["position"], row["sku"], row["quantity"], row["price"])
        for row in peopled.rows(order_items)
    ]
    assert sorted(found) == [(1, "s1", 1, 500), (1, "s2", 2, 999), (2, "s3", None, None)]
    again = peopled.load("orders", bought, items=items)
    assert again.items is not None
    assert counts(again.items) == (3, 0, 0, 3, 0)
    items.write_text(ITEMS + "A,s9,Tea,,,,1,5\nC,s1,,,,,,\nB,s2,Cup,,,,x,9.99\n")
    third = peopled.load("orders", bought, items=items)
    assert third.items is not None
    assert counts(third.items) == (3, 0, 1, 0, 2)
    assert peopled.reasons(third.items) == [
        (3, "order_id: there is no order 'C'"), (4, "quantity: 'x' is not a whole number"),
    ]  # fmt: skip
    assert sorted(row["sku"] for row in peopled.rows(order_items)) == ["s2", "s9"]


BAD_ITEMS = {
    "a cell that cannot be read": ("i.csv", "A,s2,Cup,,,,x,5\n", "A,s2,Cup,,,,2,5\n"),
    "cells that are missing": ("i.csv", "A,s2,Cup\n", "A,s2,Cup,,,,,\n"),
    "cells too many": ("i.csv", "A,s2,Cup,,,,2,5,1\n", "A,s2,Cup,,,,2,5\n"),
    "a cell that is too long": ("i.csv", f"A,s2,{'C' * 100_001},,,,,\n", "A,s2,Cup,,,,,\n"),
    "JSON": ("i.jsonl", '{"order_id": "A", "sku": ["s2"]}\n', '{"order_id": "A", "sku": "s2"}\n'),
}


@pytest.mark.parametrize(("name", "bad", "good"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_a_bad_item_takes_its_order_with_it_and_the_mended_rows_bring_all_back(
    peopled: Shop, name: str, bad: str, good: str
) -> None:
    bought = "id,customer_id,placed_at,amount\nA,1,2026-04-01,10\nB,2,2026-04-01,20\n"
    is_json = name == "i.jsonl"
    rows = [
        '{"order_id": "A", "sku": "s1"}\n' if is_json else "A,s1,Tea,tea,,,1,5\n",
        bad,
        '{"order_id": "B", "sku": "s3"}\n' if is_json else "B,s3,Pot,,,,1,9\n",
    ]
    summary = peopled.load("orders", bought, items=peopled.write(name, ("" if is_json else ITEMS) + "".join(rows))).items  # fmt: skip
    assert summary is not None
    assert counts(summary) == (3, 1, 0, 0, 2)
    at_fault = 2 if is_json else 3
    with_it, own = peopled.reasons(summary)
    assert with_it == (at_fault - 1, f"line {at_fault} of the same order was rejected")
    assert own[0] == at_fault
    assert [row["sku"] for row in peopled.rows(order_items)] == ["s3"]

    path = summary.rejects_path
    assert path is not None
    with path.open(encoding="utf-8", newline="") as file:
        header, first, second = csv.reader(file)
    mended = next(csv.reader([good])) if not is_json else [good.strip()]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, first, [*second[:2], *mended]])
    again = peopled.load("orders", bought, items=path).items
    assert again is not None
    assert counts(again) == (2, 2, 0, 0, 0)
    assert sorted(row["sku"] for row in peopled.rows(order_items)) == ["s1", "s2", "s3"]


def test_a_row_that_does_not_say_its_order_goes_alone(peopled: Shop) -> None:
    bought = "id,customer_id,placed_at,amount\nA,1,2026-04-01,10\n"
    items = peopled.write("i.csv", ITEMS + "A,s1,,,,,,\n,s2,,,,,,\n ,s3\n")
    summary = peopled.load("orders", bought, items=items).items
    assert summary is not None
    assert counts(summary) == (3, 1, 0, 0, 2)
    assert peopled.reasons(summary)[1] == (4, "has 2 cells, the header has 8")


# --- contacts and suppressions


def test_contacts_land_once(peopled: Shop) -> None:
    content = (
        "customer_id,channel,class,at\n1,email,marketing,2026-04-01T10:00\n1,email,marketing,2026-04-01T10:00\n"
        "2,SMS,care,2026-04-01\n9,sms,care,2026-04-01\n1,fax,care,2026-04-01\n"
    )
    summary = peopled.load("contacts", content)
    assert counts(summary) == (5, 2, 0, 1, 2)
    assert counts(peopled.load("contacts", content)) == (5, 0, 0, 3, 2)
    assert [(row["channel"], row["class"]) for row in peopled.rows(contacts)] == [
        ("email", "marketing"), ("sms", "care"),
    ]  # fmt: skip
    assert [line for line, _ in peopled.reasons(summary)] == [5, 6]


def test_suppressions_keep_only_hashes(shop: Shop) -> None:
    summary = shop.load(
        "suppressions",
        "address,reason,note\nA@example.com,hard_bounce,550\n13800138000,,\na@example.com,complaint,\nnope,,\n",
    )
    assert counts(summary) == (4, 2, 0, 1, 1)
    rows = shop.rows(suppressions)
    assert [(row["channel"], row["reason"]) for row in rows] == [
        ("email", "hard_bounce"), ("sms", "import"),
    ]  # fmt: skip
    assert rows[0]["address_hash"] == address_hash(KEY, "a@example.com")
    assert rows[0]["at"] == NOW
    with pytest.raises(ImportFileError, match="one of the columns address, email, phone is needed"):
        shop.load("suppressions", "adress\nx\n")


# --- the whole


def test_a_dry_run_counts_and_leaves_nothing(shop: Shop) -> None:
    shop.load("customers", "id,city\n1,上海\n")
    before = shop.rows(customers)
    content = "id,city,email,email_consent\n1,杭州,,\n2,,b@example.com,yes\n ,x,,\n"
    summary = shop.load("customers", content, dry_run=True)
    assert counts(summary) == (3, 1, 1, 0, 1)
    assert summary.reach["email", "marketing"] == 1
    assert (shop.rows(customers), shop.rows(consents)) == (before, [])
    bought = "id,customer_id,placed_at,amount\nA,1,2026-04-01,10\n"
    items = shop.write("items.csv", ITEMS + "A,s1,,,,,,\n")
    tried = shop.load("orders", bought, items=items, dry_run=True)
    assert tried.inserted == 1
    assert tried.items is not None
    assert tried.items.inserted == 1
    assert shop.rows(orders) == shop.rows(profiles) == shop.rows(order_items) == []


def test_progress_counts_rows_and_bytes_over_both_files(
    peopled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BATCH", 2)
    bought = peopled.write("o.csv", "id,customer_id,placed_at,amount\n" + "".join(f"{n},1,2026-04-01,1\n" for n in range(5)))  # fmt: skip
    items = peopled.write("i.csv", "order_id,sku\n0,a\n1,b\n")
    seen: list[tuple[int, int]] = []
    peopled.load(
        "orders", bought, items=items, on_progress=lambda rows, size: seen.append((rows, size))
    )
    assert seen == sorted(seen)
    assert seen[-1] == (7, bought.stat().st_size + items.stat().st_size)


def test_values_that_look_like_sql_or_placeholders_are_only_values(peopled: Shop) -> None:
    nasty = "'; DROP TABLE orders; -- %s :x ? {y}"
    peopled.load(
        "customers",
        f'id,name,"{nasty}"\n"{nasty}","{nasty}",{{"a": 1}}\n'.replace('{"a": 1}', "%(a)s"),
    )
    row = peopled.rows(customers)[-1]
    assert (row["ref"], row["name"], row["attributes"]) == (nasty, nasty, {nasty: "%(a)s"})


def test_all_of_cdnow_lands_and_is_graded(store: Store, tmp_path: Path) -> None:
    shop = Shop(store, tmp_path)
    bought = tmp_path / "cdnow.csv"
    with gzip.open(CDNOW) as packed, bought.open("wb") as file:
        shutil.copyfileobj(packed, file)
    with bought.open(newline="") as file:
        people = sorted({row["customer_id"] for row in csv.DictReader(file)})
    now = datetime(1998, 6, 30, 4, 0, tzinfo=UTC)
    shop.load("customers", "id\n" + "\n".join(people) + "\n", now=now)
    assert counts(shop.load("orders", bought, now=now)) == (69_659, 69_659, 0, 0, 0)
    assert counts(shop.load("orders", bought, now=now)) == (69_659, 0, 0, 69_659, 0)
    with store.read() as connection:
        grades = Counter(connection.execute(select(profiles.c.grade)).scalars())
        total = connection.execute(select(func.sum(orders.c.amount))).scalar_one()
    assert grades == {"B": 5446, "S": 2903, "G": 1, None: 15220}
    assert total == 2_500_315_63


def test_an_import_beside_a_reader_and_other_orders_keeps_them(peopled: Shop) -> None:
    with peopled.store.write() as connection:
        owner = connection.execute(
            select(customers.c.id).where(customers.c.ref == "1")
        ).scalar_one()
        connection.execute(
            insert(orders).values(
                ref="api", customer_id=owner, status="paid", placed_at=NOW, amount=5, currency="CNY",
                attributes={"from": "api", "n": 1},
            )
        )  # fmt: skip
    content = "id,customer_id,status,placed_at,amount,note\napi,1,paid,2026-05-01T12:00,0.05,x\n"
    assert counts(peopled.load("orders", content)) == (1, 0, 1, 0, 0)
    assert peopled.one(orders)["attributes"] == {"from": "api", "n": 1, "note": "x"}
    assert counts(peopled.load("orders", content)) == (1, 0, 0, 1, 0)


def test_profiles_follow_the_rules_in_force_and_not_a_policy_that_is_being_edited(
    shop: Shop,
) -> None:
    """Else everybody would have other grades until the daemon's next look, and these would be changes."""
    with shop.store.write() as connection:
        connection.execute(
            insert(definitions).values(
                kind="policy", name="policy", path="policy.yaml", files={"policy.yaml": ""}, digest="p",
                current=True, applied_at=NOW, applied_by="test",
            )
        )  # fmt: skip
    shop.load("customers", "id\n1\n")
    edited = replace(POLICY, grading=Grading(monetary="total"))
    twice = "".join(f"o{number},1,2026-04-0{number} 10:00,received,900\n" for number in (1, 2))
    shop.load("orders", f"id,customer_id,placed_at,status,amount\n{twice}", policy=edited)
    (profile,) = shop.rows(profiles)
    assert (profile["m"], profile["grade"]) == (3, "S")
    assert not ensure_fresh(shop.store, POLICY, NOW)
