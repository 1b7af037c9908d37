"""Every shipped mapping on a file in that very layout: what it becomes, twice the same, and a later state."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.customers.importing.files import ImportSummary, import_file
from engine.definitions.mapping import ImportMapping
from engine.errors import ImportFileError
from engine.store.session import Store
from engine.store.tables import customers, order_items, orders
from tests.integration.export_files import export, mapping, shipped, write_xlsx
from tests.integration.test_importing import NOW, POLICY, Shop, at, counts

ORDERS, ITEMS = "ExportOrderList.csv", "ExportOrderDetailList.csv"


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def load(shop: Shop, kind: Any, name: str | Path, *mappings: ImportMapping, **more: Any) -> ImportSummary:  # fmt: skip
    path = export(shop.folder, name) if isinstance(name, str) else name
    return import_file(
        shop.store, kind, path, settings=shop.settings, policy=POLICY, now=NOW, mappings=mappings, **more
    )  # fmt: skip


def by_ref(shop: Shop, table: Any) -> dict[str, dict[str, Any]]:
    return {row["ref"]: row for row in shop.rows(table)}


def no_stamps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("id", "updated_at")} for row in rows]


def beijing(text: str) -> datetime:
    return at(text + "+08:00")


# --- Taobao and Tmall


def test_taobao_orders_land_with_status_amount_and_moments(shop: Shop) -> None:
    summary = load(shop, "orders", ORDERS, shipped("taobao-orders"))
    assert counts(summary) == (7, 7, 0, 0, 0)
    assert summary.created == 5
    found = by_ref(shop, orders)
    assert [(ref[-1], row["status"], row["amount"], row["quantity"]) for ref, row in found.items()] == [
        ("1", "received", 12800, 2),
        ("2", "shipped", 9950, 1),
        ("3", "placed", 0, 1),
        ("4", "refunded", 30000, 1),
        ("5", "closed", 4500, 1),
        ("6", "paid", 128000, 3),
        ("7", "paid", 1000, 1),
    ]  # fmt: skip
    first = found["2026050100000000001"]
    assert (first["placed_at"], first["paid_at"], first["received_at"]) == (
        beijing("2026-05-01T10:02:03"), beijing("2026-05-01T10:05:00"), beijing("2026-05-06T09:00:00"),
    )  # fmt: skip
    assert found["2026050600000000006"]["refunded_amount"] == 8000
    assert first["attributes"]["宝贝标题"] == "亲子T恤，儿童短裤"
    assert "买家支付宝账号" not in first["attributes"]
    assert "联系手机" not in first["attributes"]


def test_taobao_orders_make_their_customers(shop: Shop) -> None:
    summary = load(shop, "orders", ORDERS, shipped("taobao-orders"))
    found = by_ref(shop, customers)
    assert set(found) == {"tb林小雁", "tb李梅", "tb周同", "tb王五", "tb赵云"}
    lin = found[
        "tb林小雁"
    ]  # of two orders: the newer one's address, and the number that has no extension
    assert (lin["name"], lin["phone"]) == ("林小雁", "+8613800138001")
    assert (lin["province"], lin["city"], lin["address"]) == (
        "广东",
        "深圳",
        "广东省 深圳市 南山区 3 号",
    )
    assert (found["tb李梅"]["province"], found["tb李梅"]["city"]) == ("上海", "上海")
    assert found["tb赵云"]["city"] == "大理白族自治州"
    masked = found["tb周同"]
    assert (masked["name"], masked["phone"], masked["address"]) == (None, None, None)
    assert (masked["province"], masked["city"]) == ("浙江", "杭州")
    assert summary.reach["sms", "care"] == 4
    assert any("phone numbers of buyers are masked" in warning for warning in summary.warnings)
    assert any("extension" in warning for warning in summary.warnings)


def test_a_virtual_number_dies_15_days_after_completion(shop: Shop) -> None:
    """Told apart from a masked one, and from one that lasts."""
    load(shop, "orders", ORDERS, shipped("taobao-orders"))
    until = by_ref(shop, customers)["tb李梅"]["phone_valid_until"]
    assert until == beijing("2026-05-17T21:30:00")  # not completed: 15 days after it was placed
    load(shop, "orders", "ExportOrderList-later.csv", shipped("taobao-orders"))
    found = by_ref(shop, customers)
    assert found["tb李梅"]["phone_valid_until"] == beijing("2026-05-25T08:00:00")
    assert found["tb林小雁"]["phone_valid_until"] is None


def test_taobao_items_land_by_either_layout(shop: Shop) -> None:
    both = shipped("taobao-orders"), shipped("taobao-items")
    summary = load(shop, "orders", ORDERS, *both, items=export(shop.folder, ITEMS))
    assert summary.items is not None
    assert counts(summary.items) == (5, 5, 0, 0, 0)
    found = [(i["sku"], i["size"], i["quantity"], i["price"]) for i in shop.rows(order_items)]
    assert found == [
        ("TS-RED-120", "120cm", 1, 7800),
        ("KD-BLUE-110", "110cm", 1, 5000),
        ("HD-L", "L", 1, 9950),
        ("QUILT", None, 1, 100000),
        ("PILLOW", "48x74cm", 2, 14000),
    ]
    older = export(shop.folder, "ExportOrderDetailList-older.csv")
    again = load(shop, "orders", ORDERS, *both, items=older)
    assert again.items is not None
    assert counts(again.items) == (3, 0, 3, 0, 0)  # it has no 商家编码: 外部系统编号 is the sku
    assert {"T-01", "P-02", "H-01"} <= {item["sku"] for item in shop.rows(order_items)}


def test_an_older_layout_of_taobao_orders_is_read(shop: Shop) -> None:
    summary = load(shop, "orders", "ExportOrderList-older.csv", shipped("taobao-orders"))
    assert counts(summary) == (2, 2, 0, 0, 0)
    assert by_ref(shop, orders)["2026050100000000001"]["received_at"] is not None


def test_taobao_orders_of_a_spreadsheet_are_the_same(shop: Shop) -> None:
    path = export(shop.folder, ORDERS)
    load(shop, "orders", path, shipped("taobao-orders"))
    with path.open(encoding="gb18030", newline="") as file:
        rows = list(csv.reader(file))
    before = [shop.rows(table) for table in (customers, orders)]
    keep = [
        place for place, name in enumerate(rows[0]) if not name.startswith(("买家服", "卖家服"))
    ]
    narrow = [[row[place] for place in keep[:26]] for row in rows]
    book = write_xlsx(shop.folder / "ExportOrderList.xlsx", narrow)
    summary = load(shop, "orders", book, shipped("taobao-orders"))
    assert (summary.read, summary.rejected) == (7, 0)
    after = [shop.rows(table) for table in (customers, orders)]
    assert [row["placed_at"] for row in after[1]] == [row["placed_at"] for row in before[1]]
    assert len(after[0]) == len(before[0])


# --- Shopify


def test_shopify_customers_land_by_either_layout(shop: Shop) -> None:
    summary = load(shop, "customers", "shopify-customers_export.csv", shipped("shopify-customers"))
    assert counts(summary) == (2, 2, 0, 0, 0)
    assert summary.consents == 8  # two customers, two channels, two classes
    mei, jean = shop.rows(customers)
    assert (mei["ref"], mei["name"], mei["email"], mei["phone"]) == (
        "7001", "Mei Li", "mei.li@mail.example", "+15105550100",
    )  # fmt: skip
    assert (mei["province"], mei["city"], mei["address"]) == (
        "CA",
        "Oakland",
        "1 Main St Apt 2 94607",
    )
    assert (jean["name"], jean["phone"]) == ("Jean", "+33612345678")
    assert mei["attributes"]["shopify_tags"] == "vip"
    assert "Total Spent" not in mei["attributes"]
    older = load(shop, "customers", "shopify-customers_export-older.csv", shipped("shopify-customers"))  # fmt: skip
    assert counts(older) == (1, 1, 0, 0, 0)
    assert "Mei.Li@mail.example" in by_ref(shop, customers)


def test_shopify_orders_take_their_own_columns_from_the_first_row(shop: Shop) -> None:
    load(shop, "customers", "shopify-customers_export.csv", shipped("shopify-customers"))
    summary = load(shop, "orders", "shopify-orders_export.csv", shipped("shopify-orders"))
    assert counts(summary) == (5, 5, 0, 0, 0)
    assert summary.items is not None
    assert counts(summary.items) == (6, 6, 0, 0, 0)
    assert summary.created == 1
    found = by_ref(shop, orders)
    assert {ref: row["status"] for ref, row in found.items()} == {
        "#1001": "paid", "#1002": "placed", "#1003": "shipped", "#1004": "closed", "#1005": "refunded",
    }  # fmt: skip
    assert (found["#1001"]["amount"], found["#1001"]["coupon"]) == (11800, "SPRING")
    assert found["#1001"]["placed_at"] == at("2026-05-01T10:00:00+02:00")
    assert found["#1003"]["refunded_amount"] == 1000
    people = {row["id"]: row["ref"] for row in shop.rows(customers)}
    assert people[found["#1001"]["customer_id"]] == "7001"  # found by email
    assert people[found["#1002"]["customer_id"]] == "new@mail.example"
    first = [item for item in shop.rows(order_items) if item["order_id"] == found["#1001"]["id"]]
    assert [(i["sku"], i["brand"], i["quantity"], i["price"]) for i in first] == [
        ("TEA-1", "Goose", 1, 9800), ("CUP-1", "Goose", 2, 1000),
    ]  # fmt: skip


def test_a_bad_item_row_takes_its_whole_order_with_it(shop: Shop) -> None:
    path = export(shop.folder, "shopify-orders_export.csv")
    text = path.read_text(encoding="utf-8").replace(",2,Cup,10.00,", ",2,Cup,-10.00,")
    path.write_text(text, encoding="utf-8", newline="")
    summary = load(shop, "orders", path, shipped("shopify-orders"))
    assert shop.reasons(summary) == [
        (2, "line 3 of the same order was rejected"),
        (3, "price (Lineitem price): '-10.00' is negative"),
    ]
    assert "#1001" not in by_ref(shop, orders)
    assert summary.rejects_path is not None
    mended = summary.rejects_path.read_text(encoding="utf-8").replace("'-10.00", "10.00")
    path = shop.write("mended.csv", mended.replace("-10.00", "10.00"))
    assert counts(load(shop, "orders", path, shipped("shopify-orders"))) == (1, 1, 0, 0, 0)
    order = by_ref(shop, orders)["#1001"]
    assert [i["sku"] for i in shop.rows(order_items) if i["order_id"] == order["id"]] == ["TEA-1", "CUP-1"]  # fmt: skip


def test_an_order_with_a_row_that_is_torn_off_lands_when_it_is_mended(shop: Shop) -> None:
    path = export(shop.folder, "shopify-orders_export.csv")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    torn = [*lines[:2], lines[2].rstrip("\n") + ",,\n", *lines[3:]]
    path.write_text("".join(torn), encoding="utf-8", newline="")
    summary = load(shop, "orders", path, shipped("shopify-orders"))
    width = len(lines[0].split(","))
    assert shop.reasons(summary) == [
        (2, "line 3 of the same order was rejected"),
        (3, f"has {width + 2} cells, the header has {width}"),
    ]
    assert "#1001" not in by_ref(shop, orders)


def test_a_bad_row_of_taobao_items_takes_its_order_with_it(shop: Shop) -> None:
    both = shipped("taobao-orders"), shipped("taobao-items")
    path = export(shop.folder, ITEMS)
    text = path.read_bytes().decode("gb18030")
    path.write_bytes(text.replace("50.00", "5O.00").encode("gb18030"))
    summary = load(shop, "orders", ORDERS, *both, items=path).items
    assert summary is not None
    assert counts(summary) == (5, 3, 0, 0, 2)
    assert [row["sku"] for row in shop.rows(order_items)] == ["HD-L", "QUILT", "PILLOW"]
    assert summary.rejects_path is not None
    mended = summary.rejects_path.read_text(encoding="utf-8").replace("5O.00", "50.00")
    again = load(shop, "orders", ORDERS, *both, items=shop.write("mended.csv", mended)).items
    assert again is not None
    assert counts(again) == (2, 2, 0, 0, 0)


# --- the generic ones


def test_generic_customers_land_from_utf_8_with_a_mark(shop: Shop) -> None:
    summary = load(shop, "customers", "generic-customers.csv", shipped("generic-customers"))
    assert counts(summary) == (2, 2, 0, 0, 0)
    lin, mei = shop.rows(customers)
    assert (lin["gender"], lin["birthday"], lin["joined_at"]) == ("f", "1990-11-09", beijing("2024-03-05T09:30"))  # fmt: skip
    assert (mei["email"], mei["birthday"], mei["joined_at"]) == (None, None, beijing("2025-12-31T00:00"))  # fmt: skip
    assert lin["attributes"] == {"等级": "金卡"}


def test_generic_orders_land(shop: Shop) -> None:
    assert counts(load(shop, "orders", "generic-orders.csv", shipped("generic-orders"))) == (2, 2, 0, 0, 0)  # fmt: skip
    found = by_ref(shop, orders)
    assert (found["A-1"]["amount"], found["A-1"]["status"]) == (128000, "received")
    assert found["A-2"]["attributes"] == {"渠道": "门店"}
    assert by_ref(shop, customers)["00009"]["city"] == "南京"


# --- again, and later

SHIPPED = [
    ("customers", "shopify-customers_export.csv", "shopify-customers", None),
    ("customers", "generic-customers.csv", "generic-customers", None),
    ("orders", ORDERS, "taobao-orders", ("ExportOrderList-later.csv", "2026050200000000002", "received")),
    ("orders", "shopify-orders_export.csv", "shopify-orders", ("shopify-orders_export-later.csv", "#1001", "shipped")),
    ("orders", "generic-orders.csv", "generic-orders", ("generic-orders-later.csv", "A-2", "shipped")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "by", "later"), SHIPPED, ids=[row[2] for row in SHIPPED])
def test_twice_changes_nothing_and_a_later_status_updates(
    shop: Shop, kind: str, name: str, by: str, later: tuple[str, str, str] | None
) -> None:
    tables = (customers, orders, order_items)
    first = load(shop, kind, name, shipped(by))
    before = [shop.rows(table) for table in tables]
    again = load(shop, kind, name, shipped(by))
    assert (again.unchanged, again.inserted, again.updated) == (first.read, 0, 0)
    assert [shop.rows(table) for table in tables] == before
    if later is None:
        return
    later_name, ref, status = later
    updated = load(shop, kind, later_name, shipped(by))
    assert (updated.updated, updated.inserted) == (1, 0)
    assert by_ref(shop, orders)[ref]["status"] == status
    assert (updated.items is None) or updated.items.updated == 0
    last_month = load(shop, kind, name, shipped(by))
    assert by_ref(shop, orders)[ref]["status"] == status
    assert any("what it became since stays" in warning for warning in last_month.warnings)


def test_a_partial_refund_leaves_an_order_what_it_is(shop: Shop) -> None:
    head = "订单编号,买家会员名,订单状态,订单创建时间,买家实际支付金额,退款金额,确认收货时间\n"
    row = "1,tb,{},2026-04-01 10:00:00,100,{},{}\n"
    became = [
        ("买家已付款,等待卖家发货", "", "", ("paid", None)),
        ("卖家已发货,等待买家确认", "", "", ("shipped", None)),
        ("部分退款", "20.00", "", ("shipped", 2000)),
        ("卖家已发货,等待买家确认", "", "", ("shipped", 2000)),
        ("部分退款", "20.00", "2026-04-09 08:00:00", ("received", 2000)),
        ("退款成功", "100.00", "", ("refunded", 10000)),
    ]
    for word, amount, received, state in became:
        file = shop.write("o.csv", head + row.format(f'"{word}"', amount, received))
        load(shop, "orders", file, shipped("taobao-orders"))
        order = shop.one(orders)
        assert (order["status"], order["refunded_amount"]) == state
    assert order["received_at"] == beijing("2026-04-09T08:00:00")


def test_a_partial_refund_that_is_seen_first_is_an_order_that_was_paid(shop: Shop) -> None:
    head = "订单编号,买家会员名,订单状态,订单创建时间,买家实际支付金额,退款金额\n"
    row = "1,tb,部分退款,2026-04-01 10:00:00,100,20\n"
    load(shop, "orders", shop.write("o.csv", head + row), shipped("taobao-orders"))
    assert (shop.one(orders)["status"], shop.one(orders)["refunded_amount"]) == ("paid", 2000)


def test_a_dry_run_says_what_would_change_and_keeps_nothing(shop: Shop) -> None:
    summary = load(shop, "orders", ORDERS, shipped("taobao-orders"), dry_run=True)
    assert (summary.inserted, summary.created) == (7, 5)
    assert shop.rows(customers) == []


def test_the_newest_order_tells_in_whichever_order_they_come(shop: Shop) -> None:
    """Exports are sorted either way, and in batches: an older order only fills gaps."""
    head = (
        "订单编号,买家会员名,订单状态,订单创建时间,买家实际支付金额,收货人姓名,收货地址,联系手机\n"
    )
    new = "2,tb,交易成功,2026-04-02 10:00:00,1,新,广东省 广州市 一路,\n"
    old = "1,tb,交易成功,2026-04-01 10:00:00,1,旧,江苏省 南京市 二路,13800138001\n"
    for name, rows in (("a.csv", [new, old]), ("b.csv", [old, new])):
        for row in rows:
            load(shop, "orders", shop.write(name, head + row), shipped("taobao-orders"))
        person = shop.one(customers)
        assert (person["name"], person["city"], person["phone"]) == ("新", "广州", "+8613800138001")


# --- a mapping that does not fit, and bad rows


def test_a_mapping_that_does_not_fit_names_what_is_missing_and_what_is_near(shop: Shop) -> None:
    path = shop.write("o.csv", "订单编码,买家会员名,订单状态,订单创建日期,买家实际支付金额\n")
    with pytest.raises(ImportFileError) as caught:
        load(shop, "orders", path, shipped("taobao-orders"))
    assert str(caught.value) == (
        "the file does not fit mappings/taobao-orders.yaml: column '订单编号' or '订单号' (id) is missing; did you mean"
        " '订单编码'?; column '订单创建时间' (placed_at) is missing; did you mean '订单创建日期'?"
    )


def test_rows_in_another_encoding_are_rejected_and_the_others_land(shop: Shop) -> None:
    head = "订单编号,买家会员名,订单状态,订单创建时间,买家实际支付金额\n"
    row = "{},tb{},交易成功,2026-04-01 10:00:00,1\n"
    good = (head + row.format(1, "甲") + row.format(2, "乙")).encode()
    other = row.format(3, "丙").encode("gb18030")
    path = shop.write("o.csv", good + other + row.format(4, "丁").encode())
    summary = load(shop, "orders", path, shipped("taobao-orders"))
    assert counts(summary) == (4, 3, 0, 0, 1)
    ((line, reason),) = shop.reasons(summary)
    assert (line, reason) == (4, "is not UTF-8")


BAD = """id,who,when,total,status
1,a,2026-04-01,"1.234,50",ok
2,a,2026-04-01,1234.50,ok
3,a,2026-04-01,"-5,00",ok
4,a,01.04.2026,"5,00",ok
5,a,2026-13-01,"5,00",ok
6,a,2026-04-01,"5,00",okk
7,a,2026-04-01,=1+1,ok
8,,2026-04-01,"5,00",ok
9,=cmd(),2026-04-01,"5,00",ok
"""
BAD_MAPPING = """kind: mapping
of: orders
times: "%d.%m.%Y"
amounts: {decimal: ",", thousands: "."}
creates_customers: true
columns:
  id: id
  customer_id: who
  placed_at: when
  amount: total
  status: {from: status, values: {ok: received}}
"""


def test_each_bad_row_is_rejected_with_its_line_column_and_reason(shop: Shop) -> None:
    summary = load(shop, "orders", shop.write("o.csv", BAD), mapping(BAD_MAPPING))
    assert shop.reasons(summary) == [
        (3, "amount (total): '1234.50' is not an amount; the mapping says they are written as in 1.234,50"),
        (4, "amount (total): '-5.00' is negative"),
        (6, "placed_at (when): '2026-13-01' is not a date or time; write 2026-05-01 or 2026-05-01T10:00"),
        (7, "status (status): 'okk' is not among the mapping's values; did you mean 'ok'?"),
        (8, "amount (total): '=1+1' is not an amount; the mapping says they are written as in 1.234,50"),
        (9, "customer_id (who): is blank"),
    ]  # fmt: skip
    assert by_ref(shop, orders)["1"]["amount"] == 123450
    assert by_ref(shop, orders)["4"]["placed_at"] == beijing("2026-04-01T00:00")
    assert set(by_ref(shop, customers)) == {"a", "=cmd()"}  # a formula is text like any other
    assert no_stamps(shop.rows(customers))[0]["name"] is None


def test_orders_in_the_future_are_taken_with_a_warning(shop: Shop) -> None:
    shop.load("customers", "id\na\n")
    summary = shop.load("orders", "id,customer_id,placed_at,amount\n1,a,2027-01-01,1\n")
    assert counts(summary) == (1, 1, 0, 0, 0)
    assert summary.warnings == ("1 rows lie in the future (for example line 2)",)


def test_a_cell_of_ten_megabytes_is_rejected_and_the_next_row_lands(shop: Shop) -> None:
    text = "id,name\na," + "x" * 10_000_000 + "\nb,B\n"
    summary = shop.load("customers", text)
    assert counts(summary) == (2, 1, 0, 0, 1)
    book = write_xlsx(shop.folder / "big.xlsx", [["id", "name"], ["c", "x" * 200_000], ["d", "D"]])
    summary = shop.load("customers", book)
    assert shop.reasons(summary) == [(2, "a cell is longer than 100,000 bytes")]
    assert set(by_ref(shop, customers)) == {"b", "d"}


def test_a_spreadsheet_needs_no_mapping(shop: Shop) -> None:
    rows: list[list[str | float]] = [
        ["id", "name", "phone", "level"],
        ["00001", "李梅", 13800138001.0, 3.0],
        [1e18, "X", "", ""],
    ]
    summary = shop.load("customers", write_xlsx(shop.folder / "c.xlsx", rows))
    assert counts(summary) == (2, 1, 0, 0, 1)
    row = shop.one(customers)
    assert (row["ref"], row["phone"], row["attributes"]) == (
        "00001",
        "+8613800138001",
        {"level": "3"},
    )
    assert shop.reasons(summary)[0][1].endswith(
        "has lost digits in the spreadsheet; keep ids as text"
    )
    with pytest.raises(ImportFileError, match="is not an XLSX file"):
        shop.load("customers", shop.write("d.xlsx", "id\n1\n"))
