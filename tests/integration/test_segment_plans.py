"""How the databases answer segments: by indexes where one serves; and how `top` and `sample` choose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, Select, func, insert, select, text

from engine.audience.compiler import PEOPLE, Scope, matches, members, select_ids, with_cuts
from engine.audience.sampling import is_drawn
from engine.definitions.loader import load, read_files
from engine.definitions.segment import EVERYONE, Group, Segment, Top, Tree
from engine.definitions.values import Duration
from engine.errors import Position
from engine.store.session import Store
from engine.store.tables import customers, orders, profiles
from engine.store.zones import ensure_zones
from tests.segment_shop import NOW, POLICY, ZONE
from tests.segment_trees import leaf

SCOPE = Scope(NOW, ZONE, POLICY, {})
CONFIG = Path(__file__).resolve().parents[2] / "config"
MANY = 5_000
MONTH = Duration(30, "d")


def lay_down_many(connection: Connection, seconds: int = 1000) -> None:
    """5,000 customers with three orders each, so many seconds between one and the next, in two statements."""
    rows = [{"ref": str(n), "attributes": {}, "created_at": NOW, "updated_at": NOW} for n in range(MANY)]  # fmt: skip
    connection.execute(insert(customers), rows)
    first = connection.execute(select(func.min(customers.c.id))).scalar_one()
    made = [
        {"ref": str(n), "customer_id": first + n % MANY, "status": "received", "amount": n, "currency": "CNY", "attributes": {},
         "placed_at": NOW - timedelta(seconds=n * seconds)}
        for n in range(3 * MANY)
    ]  # fmt: skip
    connection.execute(insert(orders), made)
    known = [{"customer_id": first + n, "orders": 3, "amount": n // 2, "period_orders": 0, "period_amount": 0, "class": "active", "evaluated_at": NOW} for n in range(MANY)]  # fmt: skip
    connection.execute(insert(profiles), known)
    connection.execute(text("ANALYZE"))


def plan_of(connection: Connection, query: Select[int]) -> str:
    is_sqlite = connection.dialect.name == "sqlite"
    written = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
    rows = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {str(written).replace('%', '%%')}")  # fmt: skip
    return "\n".join(str(row[-1]) for row in rows)


def scans_orders(plan: str) -> bool:
    """A walk through the whole table: SQLite says SCAN, PostgreSQL Seq Scan on."""
    names = ("orders", "orders_1", "orders_2", "orders AS orders_1", "orders AS orders_2")
    return any(
        line.strip().startswith(tuple(f"SCAN {name}" for name in names)) or "Seq Scan on orders" in line
        for line in plan.splitlines()
    )  # fmt: skip


@pytest.mark.parametrize(
    "tree",
    [
        leaf("orders", gte=2, within=MONTH),
        leaf("ordered", coupon=("SPRING",), within=MONTH),
        leaf("ordered", category=("tea",), count={"gte": 2}, within=MONTH),
        Group("not", (leaf("ordered", only="first", count={"gte": 1}, sum={"gte": Decimal(5)}),)),
    ],
    ids=["count", "any order", "items", "first order"],
)
def test_of_a_few_customers_no_order_is_looked_at_but_by_an_index(store: Store, tree: Tree) -> None:
    with store.write() as connection:
        lay_down_many(connection)
    with store.read() as connection:
        some = list(connection.execute(select(customers.c.id).limit(50)).scalars())
        asked = select(customers.c.id).select_from(PEOPLE).where(matches(tree, SCOPE))
        plan = plan_of(connection, asked.where(customers.c.id.in_(some)))
        assert not scans_orders(plan), plan
        assert "ix_orders_customer" in plan or "ix_orders_placed" in plan, plan


def test_of_everybody_a_short_window_is_read_by_the_index_of_time(store: Store) -> None:
    with store.write() as connection:
        lay_down_many(connection)
    with store.read() as connection:
        plan = plan_of(connection, select_ids(leaf("orders", gte=2, within=Duration(1, "d")), SCOPE))  # fmt: skip
        assert not scans_orders(plan), plan


def windowed(tree: Tree, segments: Mapping[str, Segment]) -> bool:
    """Whether it asks for orders of a limited time."""
    if isinstance(tree, Group):
        return any(windowed(child, segments) for child in tree.children)
    if isinstance(tree, Top):
        return "within" in tree.arguments or windowed(tree.child, segments)
    if tree.name == "segment":
        return windowed(segments[tree.arguments["name"]].tree, segments)
    return tree.name in ("orders", "amount", "ordered") and "within" in tree.arguments


def test_no_shipped_segment_with_a_window_walks_through_all_orders(store: Store) -> None:
    """The shop is twenty years old, so that a year of it is few of its orders."""
    segments = load({path: text for path, text in read_files(CONFIG).items() if path.startswith(("segments", "policy", "tagging", "membership"))}).segments  # fmt: skip
    asked = {name: one.tree for name, one in segments.items() if windowed(one.tree, segments)}
    assert {"regulars", "guangdong-spring", "gift-buyers", "top-by-amount"} <= asked.keys()
    scope = Scope(NOW, ZONE, POLICY, segments)
    with store.write() as connection:
        lay_down_many(connection, 42_000)
        ensure_zones(connection, [ZONE])
    with store.read() as connection:
        some = list(connection.execute(select(customers.c.id).limit(50)).scalars())
        of_some = select(customers.c.id).select_from(PEOPLE).where(customers.c.id.in_(some))
        walks = []
        for name, tree in asked.items():
            questions = [select_ids(tree, scope)]
            if not isinstance(
                tree, Top
            ):  # the gate asks of a `top` only whether its conditions hold
                questions.append(of_some.where(matches(tree, scope, again=True)))
            walks += [f"{name}:\n{plan}" for question in questions if scans_orders(plan := plan_of(connection, question))]  # fmt: skip
        assert not walks, "\n".join(walks)


def test_top_takes_n_of_equals_those_known_the_longest_and_a_sample_its_share(store: Store) -> None:
    top = Top(EVERYONE, {"by": "amount", "n": 101}, Position("segments/x.yaml"), "top")
    tenth = leaf("sample", share=Decimal(10))
    with store.write() as connection:
        lay_down_many(connection)
        first = connection.execute(select(func.min(customers.c.id))).scalar_one()
        chosen = sorted(connection.execute(select_ids(top, SCOPE)).scalars())
        # amounts come in pairs: of the 51st pair only the elder is in
        last = first + MANY - 1
        assert chosen == [last - 101, *range(last - 99, last + 1)]

        drawn = set(connection.execute(select_ids(tenth, SCOPE)).scalars())
        everybody = connection.execute(select(customers.c.id)).scalars()
        assert drawn == {key for key in everybody if is_drawn(key, tenth)}
        assert 430 < len(drawn) < 570
        other = leaf("sample", share=Decimal(10), salt="other")
        both = drawn & set(connection.execute(select_ids(other, SCOPE)).scalars())
        assert 25 < len(both) < 85, "two salts draw independently"


def test_whoever_fell_out_of_the_top_meanwhile_is_kept_when_asked_again(store: Store) -> None:
    top = Top(leaf("orders", gte=3), {"by": "amount", "n": 2}, Position("segments/x.yaml"), "top")
    with store.write() as connection:
        lay_down_many(connection)
        chosen = list(connection.execute(select_ids(top, SCOPE)).scalars())
        fixed = with_cuts(connection, top, SCOPE)
        connection.execute(profiles.update().where(profiles.c.customer_id == chosen[0]).values(amount=1))  # fmt: skip
        connection.execute(profiles.update().where(profiles.c.customer_id == chosen[1]).values(orders=2))  # fmt: skip
        assert len(fixed.cuts) == 1
        assert set(connection.execute(select_ids(top, SCOPE)).scalars()).isdisjoint(chosen)
        assert members(connection, top, SCOPE, chosen) == {chosen[0]}
