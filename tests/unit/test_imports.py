"""What commands and processes do not load: each would be a tenth of a second of every start, and MiBs of every worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NEVER = {"alembic", "mako", "requests"}
"""Of no use where the schema is this program's."""

UNTIL_COMPILING = {"premailer", "cssutils"}


def loaded(script: str, watched: set[str]) -> set[str]:
    """Which of these modules a new Python has loaded after the script."""
    told = f"import sys\n{script}\nprint('\\n' + ' '.join({watched!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", told], check=True, capture_output=True, text=True, timeout=120
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy() -> None:
    heavy = {"sqlalchemy", "sqlmodel", "pydantic_settings", "rich", "jinja2", "yaml"}
    assert loaded("from engine.cli.app import run; run(['--help'])", heavy) == set()


def test_a_look_at_the_database_loads_neither_migrations_nor_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yanshu.toml").write_text("")
    monkeypatch.setenv("YANSHU_PROJECT", str(tmp_path))
    look = "from engine.cli.app import run; assert run(['status', '-o', 'json']) == 0"
    assert loaded(look, {"alembic"}) == {"alembic"}  # the first command makes the tables
    heavy = (
        NEVER | UNTIL_COMPILING | {"jinja2", "lxml", "structlog", "rich", "redis", "phonenumbers"}
    )
    assert loaded(look, heavy) == set()


def test_putting_files_in_force_needs_no_requests_and_no_inliner_before_it_compiles() -> None:
    assert loaded("import engine.foresight.apply", NEVER | UNTIL_COMPILING) == set()


def test_putting_in_force_what_is_in_force_loads_no_inliner_and_looks_for_no_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yanshu.toml").write_text("")
    monkeypatch.setenv("YANSHU_PROJECT", str(tmp_path))
    monkeypatch.delenv("PYDANTIC_DISABLE_PLUGINS", raising=False)
    apply = """
import gc
from engine.cli import main
sys.argv = ["yanshu", "apply", "--yes"]
assert main() == 0
from pydantic.plugin import _loader
assert _loader._plugins is None
assert gc.get_freeze_count() > 100_000 and gc.get_threshold()[0] < 100_000
"""
    assert loaded(apply, {"alembic"}) == {"alembic"}  # the first command makes the tables
    heavy = NEVER | UNTIL_COMPILING | {"structlog", "rich", "pygments", "redis", "phonenumbers"}
    assert loaded(apply, heavy | {"httpx", "holidays", "psycopg"}) == set()


@pytest.mark.parametrize("role", ["scheduler", "web.server", "supervisor"])
def test_a_process_of_the_daemon_loads_what_it_uses(role: str) -> None:
    heavy = NEVER | UNTIL_COMPILING | {"httpx", "phonenumbers"}
    assert loaded(f"import workers.__main__, workers.{role}", heavy) == set()


def test_a_worker_loads_the_inliner_before_work_comes_and_never_what_fetches_style_sheets() -> None:
    start = "import workers.__main__, workers.actors"
    heavy = NEVER | UNTIL_COMPILING | {"httpx", "phonenumbers"}
    assert loaded(start, heavy) == UNTIL_COMPILING
    inline = "from engine.rendering.inlining import inline; inline('<p>x</p>')"
    assert loaded(f"{start}; {inline}", heavy) == UNTIL_COMPILING


def test_a_postponed_module_is_loaded_when_it_is_used() -> None:
    script = """
from engine.imports import postponed
with postponed("wave"):
    import wave
assert "wave" not in sys.modules
assert wave.Wave_read is sys.modules["wave"].Wave_read
with postponed("wave"):
    import wave
assert wave is sys.modules["wave"]
"""
    assert loaded(script, {"wave"}) == {"wave"}
