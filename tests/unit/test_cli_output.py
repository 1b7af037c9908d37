"""Answers: JSON documents, tables for a terminal, customers' data that must not command either."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from engine.cli.output import document
from engine.pages.terminal import local, plain, table


def test_a_document_spells_moments_decimals_and_paths() -> None:
    shown = json.loads(
        document(
            {
                "at": datetime(2026, 11, 9, 2, tzinfo=UTC),
                "price": Decimal("0.045"),
                "file": Path("a/b"),
            }
        )
    )
    assert shown == {
        "schema_version": 1,
        "at": "2026-11-09T02:00:00+00:00",
        "price": "0.045",
        "file": "a/b",
    }


def test_a_document_refuses_what_it_cannot_spell() -> None:
    with pytest.raises(TypeError, match="object has no place"):
        document({"x": object()})


def test_a_document_keeps_chinese_readable_and_control_characters_out() -> None:
    text = document({"name": "李雷\x1b[2J\x9b\u202e"})
    assert "李雷" in text
    assert not any(char in text for char in "\x1b\x9b\u202e")
    assert json.loads(text)["name"] == "李雷\x1b[2J\x9b\u202e"


@pytest.mark.parametrize(
    "hostile", ["\x1b]0;title\x07", "a\r\nb", "\x9b31m", "\u202eevil", "\u2028"]
)
def test_plain_text_is_one_line_without_commands(hostile: str) -> None:
    shown = plain(f"前{hostile}后")
    assert shown.startswith("前")
    assert shown.endswith("后")
    assert len(shown.splitlines()) == 1
    assert not any(char in shown for char in "\x1b\x07\x9b\u202e\u2028\r\n")


def test_a_table_shows_markup_as_it_is_written() -> None:
    shown = table(["name"], [["[bold red]x[/]"], ["[/nonsense]"]])
    assert "[bold red]x[/]" in shown
    assert "[/nonsense]" in shown


def test_columns_line_up_under_chinese_text() -> None:
    first, second = table(["a", "b"], [["李雷", "x"], ["li", "x"]]).splitlines()[-2:]
    assert first.index("x") + len("李雷") == second.index("x")


def test_a_pipe_gets_every_row_on_one_line() -> None:
    shown = table(["long"], [["x" * 500]], title="heading")
    assert "x" * 500 in shown
    assert shown.startswith("heading\n")


def test_an_unknown_moment_is_shown_as_nothing() -> None:
    assert local(None, "Asia/Shanghai") == ""
