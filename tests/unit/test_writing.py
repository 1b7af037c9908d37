"""Files that commands write are whole or not there; data in a pull-request comment stays data."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.writing import write_whole
from engine.definitions.loader import check
from engine.errors import YanshuError
from engine.foresight.plan_markdown import escaped


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o640)
    write_whole(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]
    with pytest.raises(YanshuError, match="No such file"):
        write_whole(tmp_path / "nowhere" / "plan.json", "new")


def test_customer_data_cannot_format_a_comment_or_break_its_table() -> None:
    hostile = "@all |x| <details> [a](http://b) `c`\n# d"
    shown = escaped(hostile)
    assert not set("@|<>[]`#\n") & set(shown.replace("&#", ""))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{after: 1h, do: drop, over: 4h}", "over says how long to spread"),
        ("{after: 1m, do: drop}", "after must be 5m or more"),
        ("{after: 1h}", "do"),
        ("{after: 1h, do: drip}", "drop"),
    ],
)
def test_a_policy_for_outages_that_contradicts_itself_is_refused(
    written: str, message: str
) -> None:
    _, problems = check({"policy.yaml": f"overdue: {written}\n"})
    (problem,) = [one for one in problems if one.severity == "error"]
    assert problem.position.line == 1
    assert message in problem.message
