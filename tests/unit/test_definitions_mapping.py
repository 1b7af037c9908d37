"""Mapping files: what is wrong with one, where, and which name was meant."""

from __future__ import annotations

import pytest

from engine.customers.importing import (
    contact_rows,
    customer_rows,
    item_rows,
    order_rows,
    suppression_rows,
)
from engine.customers.importing.records import Columns
from engine.definitions.import_columns import BY_KIND
from engine.definitions.loader import check
from engine.definitions.mappings import load_mapping
from engine.errors import DefinitionsError, YanshuError

GOOD = "kind: mapping\nof: orders\ncolumns:\n  id: 单号\n  customer_id: 会员\n  placed_at: 时间\n  amount: 金额\n"
TAIL = {
    "  stauts: 状态\n": ["8:3: unknown column 'stauts'; did you mean 'status'? [unknown-key]"],
    "  status: {from: 状态, values: {成功: recieved}}\n": [
        "8:35: unknown word 'recieved'; did you mean 'received'? [bad-value]"
    ],
    "  status: {join: ' '}\n": ["8:11: nothing; write one of `from`, `value`, `choose`, `expires` [bad-value]"],
    "times: '%Y/%Q'\n": ["8:8: '%Y/%Q': %Q is not known; write it as in %Y/%m/%d %H:%M [bad-value]"],
    "encodings: utf-16\n": [
        "8:12: 'utf-16' is not supported; one of utf-8, gb18030, gbk, big5, shift_jis, windows-1252, iso-8859-1 [bad-value]"
    ],
    "rows: item\n": ["8:1: `rows` needs `items` [missing-key]"],
    "customer: {name: 姓名}\n": ["8:1: `customer` needs `creates_customers: true` [missing-key]"],
    "amounts: {decimal: ',', thousands: ','}\n": [
        "8:10: the decimal mark cannot stand between thousands too [bad-value]"
    ],
    "colums: {}\n": ["8:1: unknown key 'colums'; did you mean 'columns'? [unknown-key]"],
}  # fmt: skip


@pytest.mark.parametrize("tail", TAIL)
def test_each_slip_has_its_place_and_the_nearest_name(tail: str) -> None:
    _, problems = check({"mappings/a.yaml": GOOD + tail})
    assert [str(one) for one in problems] == [f"mappings/a.yaml:{line}" for line in TAIL[tail]]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DefinitionsError, match=r"does not say where 'amount' comes from"):
        load_mapping({"mappings/a.yaml": GOOD.replace("  amount: 金额\n", "")}, "a")


def test_an_unknown_mapping_names_the_nearest() -> None:
    with pytest.raises(
        YanshuError, match=r"no mapping 'taobao-order'; did you mean 'taobao-orders'\?"
    ):
        load_mapping({"mappings/taobao-orders.yaml": GOOD}, "taobao-order")


def test_mappings_know_the_columns_that_imports_read() -> None:
    read: dict[str, Columns] = {
        "customers": customer_rows.COLUMNS,
        "orders": order_rows.COLUMNS,
        "items": item_rows.COLUMNS,
        "contacts": contact_rows.ContactRows.columns,
        "suppressions": suppression_rows.SuppressionRows.columns,
    }
    for kind, columns in read.items():
        known = BY_KIND[kind]
        assert (known.known, known.required, known.any_of) == (columns.known, columns.required, columns.any_of)  # fmt: skip
