"""A customer who was marked malicious by hand: nothing goes to them, whatever its class, and `explain` says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.project import NOW, make_project
from tests.integration.fault_smtp import FaultServer


@pytest.mark.parametrize("imported_again", [False, True], ids=["marked", "marked and imported again"])  # fmt: skip
def test_a_marked_customer_is_passed_over_and_told_of(tmp_path: Path, imported_again: bool) -> None:
    with FaultServer() as server:
        database = f"sqlite:///{tmp_path / 'yanshu.db'}"
        project = make_project(tmp_path / "shop", database, server.port)
        project.add_customers(3)
        marks = tmp_path / "marks.csv"
        marks.write_text("id,malicious\n00001,yes\n00002,\n", encoding="utf-8")
        project.yanshu("import", "customers", str(marks), "--now", NOW)
        if imported_again:  # the next export of the shop knows nothing of the mark
            project.add_customers(3)
        assert "1 malicious" in project.yanshu("plan", "--now", NOW).stdout
        project.yanshu("apply", "--yes", "--now", NOW)
        project.yanshu("up", "--until-idle", "--now", NOW)
        assert project.states() == {"sent": 2, "skipped": 1}
        assert len(server.letters) == 2
        explained = project.json("explain", "customer", "00001")
        (decision,) = explained["decisions"]
        assert (decision["verdict"], decision["reason"]) == ("skip", "malicious")
        assert "MALICIOUS" in project.yanshu("explain", "customer", "00001").stdout
