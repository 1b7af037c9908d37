"""Membership as a shop runs it: files applied, an evaluation, tasks done one after the other, figures shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CUSTOMERS = "id,name,phone\n00001,李雷,13800138000\n00002,韩梅梅,\n"
ORDERS = "id,customer_id,placed_at,amount,quantity\n" + "".join(
    f"o{number},00001,2026-0{number}-10,{amount},{quantity}\n"
    for number, (amount, quantity) in enumerate(
        [("3333.33", 3), ("3333.33", 3), ("3333.34", 4)], start=4
    )
)
NOW = "2026-11-24T10:00"
LATER = "2026-11-25T10:00"


class Shop:
    """The example shop in a directory, with the real command in front of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *words: str, check: int = 0, now: str = NOW) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli", *words, "--now", now, "--project", str(self.root)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == check, done.stdout + done.stderr
        return done

    def json(self, *words: str, now: str = NOW) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(*words, "-o", "json", now=now).stdout)
        assert found["schema_version"] == 1
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    found = Shop(tmp_path / "shop")
    subprocess.run(
        [sys.executable, "-m", "engine.cli", "init", str(found.root)], check=True, capture_output=True
    )  # fmt: skip
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    (tmp_path / "orders.csv").write_text(ORDERS, encoding="utf-8")
    for kind in ("customers", "orders"):
        found.run("import", kind, str(tmp_path / f"{kind}.csv"))
    return found


def test_a_vip_is_called_gets_the_card_and_is_a_member_for_a_year(shop: Shop) -> None:
    refused = shop.run("membership", "evaluate", check=1)
    assert "no membership.yaml is in force: write one, then `yanshu apply`" in refused.stderr
    applied = shop.json("apply", "--yes")
    assert {"what": "added", "kind": "membership", "name": "membership", "file": "membership.yaml"} in applied["changes"]  # fmt: skip
    found = shop.json("membership", "evaluate")
    assert (found["eligible"], found["tasks"]) == (1, 1)
    for kind in ("call", "card"):
        (task,) = shop.json("tasks", "list")["tasks"]
        assert (task["kind"], task["customer_id"], task["phone"]) == (kind, "00001", "+8613800138000")  # fmt: skip
        shop.run("tasks", "done", str(task["id"]))
    assert "李雷" in shop.run("tasks", "list", "--kind", "reply").stdout
    claimed = shop.json("membership", "confirm", "00001")
    assert (claimed["level"], claimed["expires_at"]) == ("VIP", "2027-11-23T16:00:00+00:00")
    assert shop.json("tasks", "list")["tasks"] == []
    (row,) = shop.json("membership", "list")["memberships"]
    assert (row["customer_id"], row["level"], row["state"]) == ("00001", "VIP", "active")
    assert shop.json("membership", "list", "--expiring", "30d")["memberships"] == []
    ahead = shop.json("membership", "list", "--expiring", "30d", now="2027-11-01T10:00")
    assert len(ahead["memberships"]) == 1
    levels = shop.json("membership", "stats", "--against", "2026-11-01", now=LATER)["levels"]
    assert [(row["level"], row["members"], row["growth"]) for row in levels] == [
        ("会员", 0, 0), ("VIP", 1, 1), (None, 1, 1),
    ]  # fmt: skip
    assert levels[1]["average_order_value"] == "3333.33"
    assert "VIP" in shop.run("membership", "stats", now=LATER).stdout
    assert shop.json("membership", "goods")["goods"] == []


def test_the_daemon_evaluates_on_the_shops_day_from_the_database_alone(shop: Shop) -> None:
    for folder in ("campaigns", "care"):
        for path in (shop.root / folder).glob("*.yaml"):
            path.unlink()
    shop.run("apply", "--yes")
    (shop.root / "membership.yaml").write_text("levels: broken\n", encoding="utf-8")
    shop.run("up", "--until-idle")
    assert shop.json("membership", "list")["memberships"] == []
    shop.run("up", "--until-idle", now="2027-01-01T00:00:30")
    (row,) = shop.json("membership", "list", now="2027-01-01T01:00")["memberships"]
    assert (row["customer_id"], row["state"]) == ("00001", "eligible")
    assert len(shop.json("tasks", "list")["tasks"]) == 1


def test_growth_is_since_an_earlier_moment(shop: Shop) -> None:
    shop.run("apply", "--yes")
    told = shop.run("membership", "stats", "--against", "2062-01-01", check=64).stderr
    assert "--against 2062-01-01 is still to come" in told


def test_what_makes_no_sense_is_told(shop: Shop) -> None:
    shop.run("apply", "--yes")
    unknown = shop.run("membership", "list", "--level", "VIPS", check=1)
    assert "no level 'VIPS'; did you mean 'VIP'?" in unknown.stderr
    (shop.root / "membership.yaml").write_text(
        "levels:\n  - {name: A, threshold: {amount: 5}}\n  - {name: B, threshold: {amount: 5}}\n"
    )
    refused = shop.run("apply", "--yes", check=1)
    assert "membership.yaml:3:15: thresholds must rise from level to level" in refused.stderr
    assert "membership.yaml:3:15" in shop.run("lint", check=1).stdout
    assert "no task 7" in shop.run("tasks", "done", "7", check=1).stderr
    assert "--expiring" in shop.run("membership", "list", "--expiring", "soon", check=64).stderr
    assert "'call', 'card', 'reply'" in shop.run("tasks", "list", "--kind", "cal", check=64).stderr
