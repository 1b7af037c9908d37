"""What YAML may do in definitions, and what its scalars mean."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.definitions.reading import Reader
from engine.definitions.report import Report
from engine.definitions.scalars import boolean, decimal, duration, integer, text, time_of_day
from engine.definitions.values import Duration
from engine.definitions.yaml_nodes import Entries, Node, read_yaml, walk


def parse(source: str) -> tuple[Node | None, list[str]]:
    report = Report()
    return read_yaml("f.yaml", source, report), [str(problem) for problem in report.problems]


def value(reader: Reader[Any], written: str) -> object:
    """What a reader makes of a value, or its problem."""
    report = Report()
    node = read_yaml("f.yaml", f"key: {written}\n", report)
    assert isinstance(node, Entries)
    found = reader.read(node.pairs[0][1], report)
    return found if not report.problems else str(report.problems[0])


def test_every_key_knows_its_line_its_column_and_how_it_is_written() -> None:
    source = (
        "schedule:\n  at: \"10:00\"   # why\nlist:\n  - {city: {in: [上海]}}\n  - b: 'x'\n\n# end\n"
    )
    node, problems = parse(source)
    assert node is not None and not problems
    found = {
        path: (str(key.span.position), key.span.to(child.span).text)
        for path, key, child in walk(node)
    }
    assert found["schedule.at"] == ("f.yaml:2:3", 'at: "10:00"')
    assert found["list.0.city"] == ("f.yaml:4:6", "city: {in: [上海]}")
    assert found["list.1.b"] == ("f.yaml:5:5", "b: 'x'")
    assert found["list"][1] == "list:\n  - {city: {in: [上海]}}\n  - b: 'x'"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands here twice; first in line 1"),
        ("a:\n\t- b\n", "f.yaml:2:1: a tab; indent with spaces"),
        ("a: &x 1\n", "f.yaml:1:4: &x: anchors and aliases are not taken"),
        ("a: *x\n", "f.yaml:1:4: *x: anchors and aliases are not taken"),
        ("a: !!python/name:os.system x\n", "f.yaml:1:4: the tag"),
        ("a: !secret x\n", "f.yaml:1:4: the tag !secret"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"),
        ("a: [1, 2\n", "f.yaml:1:4: not YAML"),
        ('a: "x\nb: 1\n', "f.yaml:1:4: not YAML"),
        ("a: b: c\n", "f.yaml:1:5: not YAML"),
        ("a: \x07\n", "f.yaml:1:4: the character U+0007"),
        ("? [a]\n: b\n", "f.yaml:1:3: a key must be a word"),
        ("a: " + "[" * 40 + "]" * 40, "f.yaml:1:35: nested more than 32 deep"),
        ("- 1\n" * 20_001, "f.yaml:20001:3: more than 20,000 values"),
    ],
)
def test_what_is_not_taken_is_told_with_its_place(source: str, problem: str) -> None:
    _, problems = parse(source)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    node, problems = parse("\ufeffkind: care\n")
    assert isinstance(node, Entries) and not problems
    assert node.pairs[0][0].value == "kind"
    assert str(node.pairs[0][0].span.position) == "f.yaml:1:1"


def test_only_true_and_false_are_booleans() -> None:
    assert value(boolean(), "true") is True
    assert value(boolean(), "False") is False
    for word in ("yes", "on", "y", "1", '"true"', "~"):
        assert "stands where true or false is expected" in str(value(boolean(), word))


def test_words_and_times_that_older_yaml_turns_into_something_else_stay_text() -> None:
    for word in ("on", "yes", "No", "9:30", "2026-11-09", "1_000", "00:10:00"):
        assert value(text(), word) == word
    assert str(value(time_of_day(), "09:30")) == "09:30:00"
    assert str(value(time_of_day(), '"09:30"')) == "09:30:00"


@pytest.mark.parametrize(
    "written", ["7", "-1", "00001", "1.5", ".5", "1e3", "0x1f", "true", ".inf"]
)
def test_what_is_a_number_or_a_boolean_is_no_text_unless_it_is_quoted(written: str) -> None:
    assert f'quote it: "{written}"' in str(value(text(), written))
    assert value(text(), f"'{written}'") == written


@pytest.mark.parametrize(
    "written", ["~", "null", "", "[a]", "{a: b}", '""', '"a\\nb"', '"' + "x" * 201 + '"']
)
def test_text_is_one_line_that_is_not_empty(written: str) -> None:
    assert str(value(text(), written)).startswith("f.yaml:1:")


def test_numbers_are_read_exactly_and_within_their_range() -> None:
    assert value(integer(0, 100), "100") == 100
    assert value(decimal(), "0.045") == Decimal("0.045")
    assert "101 is out of range: from 0 to 100" in str(value(integer(0, 100), "101"))
    for written in ("1.0", '"1"', "010", "1e2", "+1", "9" * 5000, "one"):
        assert "stands where a whole number from 0 to 100 is expected" in str(
            value(integer(0, 100), written)
        )
    for written in (".inf", ".nan", "1e999999", "1.1234567", '"1"'):
        assert "stands where a number" in str(value(decimal(), written))


def test_durations_have_a_unit_and_end_after_ten_years() -> None:
    assert value(duration(), "90d") == Duration(90, "d")
    assert value(duration(least=0), "0m") == Duration(0, "m")
    for written in ("90", "1w", "-1d", "1.5h", "0d", "3651d", "d", "~"):
        assert str(value(duration(), written)).startswith("f.yaml:1:")


@given(
    st.one_of(
        st.text(max_size=200),
        st.text(alphabet="a:-[]{}\"'#&*!|>?%@` \n\t,~1", max_size=60),
    )
)
def test_no_text_at_all_makes_the_reader_raise(source: str) -> None:
    parse(source)
