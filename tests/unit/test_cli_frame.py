"""What all verbs share: where options may stand, exit codes, help, and how errors are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.app import build, run
from engine.cli.context import Common


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing in it, and no other one in the environment."""
    monkeypatch.delenv("YANSHU_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yanshu.toml").write_text("")
    return tmp_path


def every_command(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        return [path]
    return [leaf for name, sub in commands.items() for leaf in every_command(sub, (*path, name))]


COMMANDS = every_command(build())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_summary_and_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    summary = shown.split("\n\n")[1]
    assert summary.strip().endswith((".", ")"))
    example = shown.partition("Example")[2].splitlines()[1].strip()
    assert example.startswith(f"yanshu {' '.join(path)}")


def test_help_lists_the_verbs_under_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for heading in ("The project:", "People:", "Running campaigns:", "The daemon:", "Everywhere:"):
        assert f"\n{heading}\n" in shown
    assert all(f"\n  {path[0]} " in shown for path in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--now", "2026-11-10T22:00+08:00", "--output", "json", "db", "status"],
        ["db", "--now", "2026-11-10T22:00+08:00", "status", "-o", "json"],
        ["db", "status", "-o", "json", "--now", "2026-11-10T22:00+08:00"],
    ],
)
def test_shared_options_may_stand_before_or_after_any_verb(
    project: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1  # the database is empty
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1
    assert not shown["is_current"]


def test_the_innermost_of_repeated_options_wins(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["-o", "text", "db", "status", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["current"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["db"],
        ["nonsense"],
        ["db", "nonsense"],
        ["--nonsense"],
        ["status", "--nonsense"],
        ["status", "extra"],
        ["status", "-o", "xml"],
        ["pause"],
        ["settle", "all"],
        ["settle", "all", "--as", "lost"],
        ["resume", "all", "--over", "4h"],
        ["explain", "customer"],
        ["explain", "customer", "1", "--email", "a@example.com"],
        ["status", "--watch", "-o", "json"],
        ["db", "status", "--now", "yesterday-ish"],
        ["status", "--now", "yesterday-ish"],
    ],
)
def test_a_command_line_without_sense_exits_64_and_says_so(
    project: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 64
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.strip()
    assert "Traceback" not in shown.err


def test_a_misspelt_verb_is_answered_with_the_nearest_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["statsu"]) == 64
    assert "status" in capsys.readouterr().err


def test_without_a_project_the_error_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("YANSHU_PROJECT", raising=False)
    assert run(["status"]) == 1
    assert "yanshu init" in capsys.readouterr().err


def test_a_wrong_setting_is_named_without_a_traceback(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "yanshu.toml").write_text("[smtp]\nhots = 'x'\n")
    assert run(["status"]) == 1
    shown = capsys.readouterr().err
    assert "smtp.hots" in shown
    assert "host" in shown
    assert "Traceback" not in shown


def test_a_defect_shows_its_traceback_and_exits_1(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_self: object, _name: str, _value: object) -> None:
        raise RuntimeError("the inside is out")

    monkeypatch.setattr(Common, "__setattr__", broken)
    assert run(["status"]) == 1
    shown = capsys.readouterr().err
    assert "the inside is out" in shown
    assert "Traceback" in shown


def test_errors_cannot_command_the_terminal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["no\x1b[31msuch"]) == 64
    assert "\x1b" not in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("yanshu ")


def test_a_database_that_cannot_be_used_is_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YANSHU_DATABASE_URL", "mysql://localhost/shop")
    assert run(["status"]) == 1
    shown = capsys.readouterr().err
    assert "database" in shown
    assert "Traceback" not in shown


def test_the_module_runs_as_the_command_does() -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "nonsense"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 64
    assert "nonsense" in done.stderr
