"""A project as a whole: files on disk, what they say about each other, versions, schemas, the example shop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from engine.definitions.campaign import TriggerKind
from engine.definitions.loader import check, load, load_one, read_files
from engine.definitions.version import digest, version_files
from engine.errors import DefinitionsError

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = """\
kind: campaign
class: marketing
schedule: {at: "2026-11-09T10:00"}
audience: {segment: outer}
steps:
  - channel: [email, sms]
    email: {subject: "{% include 'subject.txt.j2' %}", template: promo}
    sms: {template: promo}
"""
PROJECT = {
    "campaigns/promo.yaml": CAMPAIGN,
    "campaigns/other.yaml": CAMPAIGN.replace("outer", "unrelated"),
    "segments/outer.yaml": "kind: segment\nnot: {segment: inner}\n",
    "segments/inner.yaml": "kind: segment\nall: []\n",
    "segments/unrelated.yaml": "kind: segment\nall: []\n",
    "policy.yaml": "overflow: skip\n",
    "templates/email/promo.html.j2": "{% extends 'base.html.j2' %}",
    "templates/email/promo.en.html.j2": "{% from 'macros.html.j2' import button %}",
    "templates/email/promo.txt.j2": "{% include ['a.txt.j2', 'b.txt.j2'] ignore missing %}",
    "templates/email/base.html.j2": "{% include 'footer.html.j2' if shop else 'base.html.j2' %}",
    "templates/email/footer.html.j2": "",
    "templates/email/macros.html.j2": "",
    "templates/email/b.txt.j2": "",
    "templates/email/subject.txt.j2": "",
    "templates/email/promotion.html.j2": "",
    "templates/sms/promo.txt.j2": "",
    "templates/sms/base.html.j2": "",
}


def example() -> dict[str, str]:
    """What `yanshu init` lays down: the repository's config and templates as one project."""
    return {**read_files(ROOT / "config"), **read_files(ROOT)}


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def messages(files: dict[str, str]) -> list[str]:
    return [str(problem) for problem in check(files)[1]]


def test_an_empty_project_is_fine() -> None:
    assert load({}).sendable() == {}


def test_the_example_shop_has_no_problem() -> None:
    definitions, problems = check(example())
    assert problems == ()
    assert definitions is not None
    assert "double11-winback" in definitions.campaigns
    assert len(definitions.care) >= 10
    assert definitions.policy.volume == ()
    assert len(definitions.policy.frequency) == 3
    assert {one.trigger.kind for one in definitions.care.values()} == set(get_args(TriggerKind))
    assert {one.trigger.status for one in definitions.care.values()} >= {
        "paid",
        "shipped",
        "refunded",
    }
    recurring = [
        one.schedule.recurs for one in definitions.campaigns.values() if one.schedule.recurs
    ]
    assert {getattr(one, "prefix", "cron") for one in recurring} == {
        "cron",
        "festival",
        "solar_term",
    }


def test_reading_takes_definitions_and_templates_and_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "policy.yaml": b"\xef\xbb\xbfoverflow: skip\r\n",
            "yanshu.toml": b"",
            "care/a.yaml": "# 关怀\r\n".encode(),
            "care/.#a.yaml": b"\xff",
            "care/notes.txt": b"\xff",
            "templates/email/a.html.j2": b"",
            "templates/sms/deep/b.txt.j2": b"",
            "templates/email/logo.png": b"\xff",
            "var/care/x.yaml": b"",
        },
    )
    assert read_files(tmp_path) == {
        "policy.yaml": "overflow: skip\n",
        "care/a.yaml": "# 关怀\n",
        "templates/email/a.html.j2": "",
        "templates/sms/deep/b.txt.j2": "",
    }


def test_what_is_no_text_is_told_with_its_place_and_with_all_other_problems(tmp_path: Path) -> None:
    steps = b"class: care\nkind: care\ntrigger: birthday\naudience: {segment: gbk}\nsteps: [{sms: {template: gbk}}]\n"
    write(
        tmp_path,
        {
            "care/good.yaml": steps,
            "care/wrong.yaml": steps.replace(b"class", b"clas"),
            "segments/gbk.yaml": "kind: segment\n# 老客\nall: []\n".encode("gbk"),
            "segments/marked.yaml": b"\xef\xbb\xbfab\xffc",
            "segments/huge.yaml": b"#" * 1_000_001,
            "templates/sms/gbk.txt.j2": "老客".encode("gbk"),
        },
    )
    (tmp_path / "segments/gone.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DefinitionsError) as caught:
        read_files(tmp_path)
    found = [str(problem) for problem in caught.value.problems]
    assert [each.split(" ")[0] for each in found] == [
        "care/wrong.yaml:1:1:",
        "care/wrong.yaml:1:1:",
        "segments/gbk.yaml:2:3:",
        "segments/gone.yaml:1:1:",
        "segments/huge.yaml:1:1:",
        "segments/marked.yaml:1:3:",
        "templates/sms/gbk.txt.j2:1:1:",
    ]
    assert not any("unknown segment" in each or "unknown template" in each for each in found)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("segments/Old_VIP.yaml", "'Old_VIP' cannot be an id"),
        ("segments/老客.yaml", "'老客' cannot be an id"),
        ("segments/vip.yml", "rename it to vip.yaml"),
        ("segments/2026/vip.yaml", "definitions lie in segments/ itself, not deeper"),
        ("campaigns/vip.yaml", "a segment in campaigns/: move the file, or write kind: campaign"),
        ("policy.yml", "rename it to policy.yaml"),
        ("sms_templates.yaml", "`sms_templates.yaml` is not supported yet"),
    ],
)
def test_a_file_in_the_wrong_place_or_of_a_wrong_name_is_told(path: str, problem: str) -> None:
    found = messages({path: "kind: segment\nall: []\n"})
    assert any(each.startswith(f"{path}:") and problem in each for each in found), found


def test_an_id_is_taken_once_over_campaigns_and_care() -> None:
    care = "kind: care\nclass: care\ntrigger: birthday\nsteps: [{sms: {template: promo}}]\n"
    found = messages(
        {**PROJECT, "care/promo.yaml": care, "segments/promo.yaml": "kind: segment\nall: []\n"}
    )
    assert found == [
        "care/promo.yaml:1:1: the id 'promo' is taken by campaigns/promo.yaml [duplicate-id]"
    ]


def test_problems_of_all_files_come_at_once_and_a_broken_segment_is_not_called_missing() -> None:
    found = messages(
        {
            **PROJECT,
            "segments/inner.yaml": "kind: segmnt\n",
            "policy.yaml": "a: 1\n",
            "segments/x.yaml": "{",
        }
    )
    assert [each.split(":")[0] for each in found] == [
        "policy.yaml",
        "segments/inner.yaml",
        "segments/inner.yaml",
        "segments/x.yaml",
    ]


def test_a_version_holds_all_that_decides_what_is_sent_and_nothing_else() -> None:
    campaign = load(PROJECT).campaigns["promo"]
    files = version_files(campaign, PROJECT)
    assert set(files) == set(PROJECT) - {
        "policy.yaml",
        "campaigns/other.yaml",
        "segments/unrelated.yaml",
        "templates/email/promotion.html.j2",
        "templates/sms/base.html.j2",
    }
    assert version_files(campaign, files) == files


def test_a_version_is_parsed_from_its_own_files() -> None:
    definitions = load(PROJECT)
    campaign = definitions.campaigns["promo"]
    again, segments = load_one("campaign", "promo", version_files(campaign, PROJECT))
    assert again == campaign
    assert segments == {name: definitions.segments[name] for name in ("inner", "outer")}
    with pytest.raises(DefinitionsError, match="there is no such file"):
        load_one("care", "promo", PROJECT)


def test_a_computed_or_broken_template_takes_the_whole_folder_with_it() -> None:
    for text in ("{% include name %}", "{% extends 'base.html.j2'"):
        files = {**PROJECT, "templates/sms/promo.txt.j2": text}
        assert "templates/sms/base.html.j2" in version_files(load(files).campaigns["promo"], files)


def test_a_digest_is_of_paths_and_texts() -> None:
    first = digest({"a": "1", "b": "2"})
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first == digest({"b": "2", "a": "1"})
    assert len({first, digest({"a": "12", "b": ""}), digest({"a": "1"}), digest({"ab": "12"})}) == 4


def test_any_change_of_what_a_version_uses_changes_its_digest() -> None:
    campaign = load(PROJECT).campaigns["promo"]
    before = digest(version_files(campaign, PROJECT))
    for path, text in PROJECT.items():
        changed = {**PROJECT, path: text + "\n"}
        used = path in version_files(campaign, PROJECT)
        assert (digest(version_files(campaign, changed)) != before) == used, path
