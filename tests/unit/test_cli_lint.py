"""`lint`: all problems at once, where they stand, for people, programs and pull requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.app import run
from engine.cli.lint import root_for_annotations

SEGMENT = "kind: segment\nall: [{orders: {gte: 2}}]\n"
CARE = """\
kind: care
class: care
trigger: {event: order.received, delay: 7d, time: "10:00"}
steps:
  - sms: {template: thanks}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project without a problem; the current directory."""
    monkeypatch.delenv("YANSHU_PROJECT", raising=False)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (tmp_path / "yanshu.toml").write_text("")
    for name, text in {
        "segments/regulars.yaml": SEGMENT,
        "care/thanks.yaml": CARE,
        "templates/sms/thanks.txt.j2": "{{ customer.name }}，谢谢您\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_sound_project_says_nothing_on_stdout(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lint"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no problems" in shown.err


def test_every_problem_is_shown_at_once_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "segments/regulars.yaml").write_text("kind: segment\nall: [{odrers: {gte: 2}}]\n")
    (project / "care/thanks.yaml").write_text(CARE.replace("delay: 7d", "delay: 7w"))
    assert run(["lint"]) == 1
    shown = lines(capsys)
    assert any(line.startswith("care/thanks.yaml:3:") for line in shown)
    assert any(line.startswith("segments/regulars.yaml:2:") for line in shown)


def test_a_slip_in_one_file_does_not_hide_another_files_template(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "segments/regulars.yaml").write_text("kind: segment\nall: [{odrers: {gte: 2}}]\n")
    (project / "templates/sms/thanks.txt.j2").write_text("{{ customer.nam }}，谢谢您\n")
    assert run(["lint"]) == 1
    shown = lines(capsys)
    assert any(line.startswith("templates/sms/thanks.txt.j2:1:") for line in shown)
    assert any(line.startswith("segments/regulars.yaml:2:") for line in shown)


def test_paths_narrow_what_is_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "segments/regulars.yaml").write_text("kind: segment\nall: [{odrers: {gte: 2}}]\n")
    (project / "care/thanks.yaml").write_text(CARE.replace("delay: 7d", "delay: 7w"))
    assert run(["lint", "segments"]) == 1
    assert {line.split(":")[0] for line in lines(capsys)} == {"segments/regulars.yaml"}
    assert run(["lint", "templates"]) == 0


def test_a_path_from_elsewhere_finds_its_project(
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "care/thanks.yaml").write_text(CARE.replace("delay: 7d", "delay: 7w"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert run(["lint", str(project / "care")]) == 1
    assert lines(capsys)[0].startswith("care/thanks.yaml:3:")


def test_a_path_that_is_not_there_is_an_error(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lint", "campaigns/nope.yaml"]) == 1
    assert "no such file" in capsys.readouterr().err


def test_programs_get_one_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "care/thanks.yaml").write_text(CARE.replace("delay: 7d", "delay: 7w"))
    assert run(["lint", "-o", "json", "-q"]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert shown.err == ""
    assert found["errors"] == len(found["problems"]) == 1
    assert found["problems"][0]["file"] == "care/thanks.yaml"
    assert found["problems"][0]["line"] == 3


def test_pull_requests_get_annotations(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "care/thanks.yaml").write_text(CARE.replace("delay: 7d", "delay: 7w"))
    assert run(["lint", "--format", "github"]) == 1
    assert lines(capsys)[0].startswith("::error file=care/thanks.yaml,line=3,col=")


def test_annotations_count_paths_from_the_repositorys_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert root_for_annotations(tmp_path / "shop") == "shop/"
    assert root_for_annotations(tmp_path) == ""


def test_a_file_that_is_no_text_is_a_problem_of_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "segments/regulars.yaml").write_bytes(b"kind: \xff\xfe")
    assert run(["lint"]) == 1
    assert any(line.startswith("segments/regulars.yaml:") for line in lines(capsys))


def test_the_schema_of_a_kind_is_a_document_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "segment"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Yanshu segment"


def test_without_a_kind_all_schemas_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {
        "campaign",
        "care",
        "segment",
        "policy",
        "tagging",
        "membership",
        "mapping",
    }
