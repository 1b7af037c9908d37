"""Bad input at the whole program: exit 1, a place or a reason, no row made, not a byte to the relay."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.project import CAMPAIGN, NOW, Project, make_project
from tests.integration.fault_smtp import FaultServer

PLACE = re.compile(r"^[\w./-]+:\d+:\d+: .+ \[[a-z0-9-]+\]$", re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: FaultServer) -> Project:
    root = tmp_path_factory.mktemp("bad") / "shop"
    made = make_project(root, f"sqlite:///{root / 'var' / 'yanshu.db'}", server.port)
    made.add_customers(3)
    return made


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("campaigns/sale.yaml", CAMPAIGN.replace("audience", "audiance")),
        ("campaigns/sale.yaml", CAMPAIGN.replace("template: promotion", "template: promotoin")),
        ("campaigns/sale.yaml", CAMPAIGN.replace("all: []", "segment: nobody-knows")),
        ("campaigns/sale.yaml", CAMPAIGN + "\tpriority: 3\n"),
        ("campaigns/sale.yaml", CAMPAIGN + "stop_on: [ordered]\n"),
        ("care/sale.yaml", "kind: care\nclass: care\ntrigger: birthday\nsteps: [{email: {subject: x, template: birthday}}]\n"),
        ("segments/bomb.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nkind: segment\nall: *b\n"),
        ("templates/email/promotion.html.j2", "<!DOCTYPE html><html><body>{{ custmer.name }}</body></html>"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_its_place_and_nothing_happens(
    project: Project, server: FaultServer, path: str, content: str
) -> None:
    file = project.root / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    try:
        done = project.yanshu("apply", "--yes", "--now", NOW, check=False)
        assert done.returncode == 1
        assert PLACE.search(done.stderr), done.stderr
        assert "Traceback" not in done.stderr
        project.yanshu("up", "--until-idle", "--now", NOW)
        assert project.states() == {}
        assert server.letters == []
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")


def test_up_without_an_smtp_host_says_what_to_set(project: Project) -> None:
    bare = Project(project.root, {**project.environment, "YANSHU_SMTP__HOST": ""})
    done = bare.yanshu("up", "--until-idle", check=False)
    assert done.returncode == 1
    assert "YANSHU_SMTP__HOST" in done.stderr


@pytest.mark.parametrize(
    ("variable", "given", "said"),
    [
        ("YANSHU_SMTP__SENDER", "", "smtp.sender is missing"),
        ("YANSHU_SMTP__SENDER", "not an address", "smtp.sender: 'not an address' is no sender"),
        (
            "YANSHU_PUBLIC_URL",
            "shop.example",
            "public_url: 'shop.example' is not a web",
        ),
    ],
)
def test_up_with_what_no_mail_can_be_written_with_ends_at_once(
    project: Project, variable: str, given: str, said: str
) -> None:
    bad = Project(project.root, {**project.environment, variable: given})
    done = bad.yanshu("up", "--until-idle", check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_up_whose_secret_is_lost_ends_at_once(project: Project) -> None:
    secret = project.root / "var" / "secret"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("")  # as a full disk would leave it
    try:
        done = project.yanshu("up", "--until-idle", check=False)
        assert done.returncode == 1
        assert "var/secret: is empty; put the key back from a backup" in done.stderr
        assert "child_ended" not in done.stderr
    finally:
        secret.unlink()


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_a_separate_process_without_redis_says_so(project: Project, role: str) -> None:
    done = project.yanshu(role, check=False)
    assert done.returncode == 1
    assert "redis_url" in done.stderr


@pytest.mark.parametrize("words", [("scheduler",), ("up",), ("up", "--until-idle")])
def test_a_redis_that_does_not_answer_is_an_error_at_start(
    project: Project, words: tuple[str, ...]
) -> None:
    away = {**project.environment, "YANSHU_REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    done = Project(project.root, away).yanshu(*words, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr


def test_a_database_that_cannot_be_written_is_named(project: Project, tmp_path: Path) -> None:
    nowhere = {**project.environment, "YANSHU_DATABASE_URL": f"sqlite:///{tmp_path}/file/x.db"}
    (tmp_path / "file").write_text("not a directory")
    done = Project(project.root, nowhere).yanshu("status", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("database:")
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_database_is_named(project: Project, tmp_path: Path) -> None:
    broken = tmp_path / "x.db"
    broken.write_text("not a database " * 100)
    wrong = {**project.environment, "YANSHU_DATABASE_URL": f"sqlite:///{broken}"}
    for words in (("status",), ("up", "--until-idle")):
        done = Project(project.root, wrong).yanshu(*words, check=False)
        assert done.returncode == 1
        assert f"database: {broken}: file is not a database" in done.stderr
        assert "Traceback" not in done.stderr
    assert broken.read_text() == "not a database " * 100


def test_a_database_address_that_is_none_is_told_without_its_password(project: Project) -> None:
    wrong = {**project.environment, "YANSHU_DATABASE_URL": "//me:s3cret@host"}
    done = Project(project.root, wrong).yanshu("status", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("database: database_url is no address")
    assert "s3cret" not in done.stderr


def test_an_answer_that_cannot_be_written_is_an_error_in_a_sentence(project: Project) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli", "schema"],
            env=dict(project.environment), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "cannot read or write: No space left on device\n")


@pytest.mark.parametrize("exists", [False, True])
def test_a_project_that_cannot_be_laid_down_leaves_nothing_of_it(
    project: Project, tmp_path: Path, exists: bool
) -> None:
    shop = tmp_path / "shop"
    if exists:
        shop.mkdir()
    # No file may be longer than 2 × 1,024 bytes: what a full disk does, without one.
    command = f'ulimit -f 2; exec "{sys.executable}" -B -m engine.cli init "{shop}"'
    done = subprocess.run(
        ["bash", "-c", command],
        env=dict(project.environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, f"{shop}: File too large\n")
    assert shop.exists() is exists
    assert list(tmp_path.rglob("*")) == ([shop] if exists else [])


def test_up_on_a_full_disk_says_so_and_ends(project: Project) -> None:
    # The database's log can hold nothing: what a full disk does, without one.
    command = f'ulimit -f 2; exec "{sys.executable}" -B -m engine.cli up --until-idle --now {NOW}'
    done = subprocess.run(
        ["bash", "-c", command],
        env=dict(project.environment), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "database: " in done.stderr
    assert "Traceback" not in done.stderr
