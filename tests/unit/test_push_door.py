"""Tokens and rates of the push API, and its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings import load_settings
from workers.web.api.bearer import Rates, Tokens

STRONG = "0123456789abcdef01234567"


def test_a_token_is_known_by_its_place_and_by_its_scheme() -> None:
    tokens = Tokens(["first-token", "second-token"])
    assert tokens.find("Bearer first-token") == 0
    assert tokens.find("bEARER   second-token ") == 1
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        "Basic first-token",
        "first-token",
        "Bearer first",
        "Bearer é\udcff",
    ):
        assert tokens.find(wrong) is None, wrong
    assert Tokens([]).find("Bearer ") is None


def test_a_bucket_holds_a_minutes_requests_and_fills_up_evenly() -> None:
    now = [0.0]
    rates = Rates(2, 6, lambda: now[0])
    assert [rates.wait(0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10]
    assert rates.wait(1) == 0
    now[0] = 4.0
    assert rates.wait(0) == 6
    now[0] = 10.0
    assert [rates.wait(0), rates.wait(0)] == [0, 10]
    now[0] = 10_000.0
    assert [rates.wait(0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 10]


def test_tokens_come_from_the_environment_or_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yanshu.toml").write_text("[api]\nrequests_per_minute = 30\n")
    assert load_settings(tmp_path).api.tokens == ()
    monkeypatch.setenv("YANSHU_API__TOKEN", f"{STRONG} b{STRONG}")
    found = load_settings(tmp_path).api
    assert (found.tokens, found.requests_per_minute) == ((STRONG, f"b{STRONG}"), 30)
    assert STRONG not in repr(found)
    (tmp_path / "yanshu_api__token").write_text(f"c{STRONG}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_settings(tmp_path).api.tokens == (f"c{STRONG}",)


@pytest.mark.parametrize(
    "weak", ["canary-too-short", f"{STRONG} canary", "canary-é0123456789abcdef0123"]
)
def test_a_weak_token_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weak: str
) -> None:
    (tmp_path / "yanshu.toml").write_text("")
    monkeypatch.setenv("YANSHU_API__TOKEN", weak)
    with pytest.raises(ConfigurationError, match=r"api\.token: .*a token ") as caught:
        load_settings(tmp_path)
    assert "canary" not in str(caught.value)
