"""A malicious customer, by whatever hand or rule: nothing goes to them, whatever its class, and `explain` says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.project import NOW, Project, make_project
from tests.integration.fault_smtp import FaultServer


def by_import(project: Project) -> None:
    marks = project.root / "marks.csv"
    marks.write_text("id,malicious\n00001,yes\n00002,\n", encoding="utf-8")
    project.yanshu("import", "customers", str(marks), "--now", NOW)


def by_import_and_then_another(project: Project) -> None:
    """The next export of the shop knows nothing of the mark."""
    by_import(project)
    project.add_customers(3)


def by_hand(project: Project) -> None:
    project.yanshu("tag", "add", "00001", "malicious=bad-reviewer", "--by", "小王")


def by_rule(project: Project) -> None:
    """Five orders of six came back: the shipped rule is for half of them."""
    statuses = [*["refunded"] * 5, "received"]
    rows = [f"{n},00001,{status},2026-10-0{n},99\n" for n, status in enumerate(statuses, 1)]
    orders = project.root / "orders.csv"
    orders.write_text("id,customer_id,status,placed_at,amount\n" + "".join(rows), encoding="utf-8")
    project.yanshu("import", "orders", str(orders), "--now", NOW)


@pytest.mark.parametrize(
    ("mark", "tag"),
    [(by_import, ""), (by_import_and_then_another, ""), (by_hand, " (malicious=bad-reviewer)"),
     (by_rule, " (malicious=many-refunds)")],
)  # fmt: skip
def test_a_malicious_customer_is_passed_over_and_told_of(
    tmp_path: Path, mark: Callable[[Project], None], tag: str
) -> None:
    with FaultServer() as server:
        database = f"sqlite:///{tmp_path / 'yanshu.db'}"
        project = make_project(tmp_path / "shop", database, server.port)
        project.add_customers(3)
        mark(project)
        assert "1 malicious" in project.yanshu("plan", "--now", NOW).stdout
        graded = project.json("grade", "--now", NOW)["customers"]
        assert [row["class"] == "malicious" for row in graded] == [False, True, False]
        project.yanshu("apply", "--yes", "--now", NOW)
        project.yanshu("up", "--until-idle", "--now", NOW)
        assert project.states() == {"sent": 2, "skipped": 1}
        assert len(server.letters) == 2
        explained = project.json("explain", "customer", "00001")
        (decision,) = explained["decisions"]
        assert (decision["verdict"], decision["reason"]) == ("skip", "malicious")
        told = project.yanshu("explain", "customer", "00001").stdout
        assert "class malicious" in told
        assert f"MALICIOUS: never messaged{tag}\n" in told
