"""What cells of an import file mean, and a file's lines whatever is in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import from_local
from engine.customers.importing import cells
from engine.customers.importing.lines import LONGEST_LINE, Lines
from engine.customers.importing.records import Columns, Record, open_records


@given(st.decimals(min_value=0, max_value=10**9, places=2, allow_nan=False))
def test_money_is_read_exactly_however_it_is_written(amount: Decimal) -> None:
    read = cells.money("CNY")
    for written in (f"{amount:f}", f" {amount:f} ", f"{amount:f}000", f"{amount.normalize():f}"):
        assert read(written) == int(amount * 100)


@pytest.mark.parametrize("written", ["", ".", "-", "1.2.3", "1,5", "¥5", "٣", "1_000", "+5", "0x10", "1e2"])  # fmt: skip
def test_what_is_not_money_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        cells.money("CNY")(written)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])  # fmt: skip
def test_fast_local_times_agree_with_the_careful_way_all_year_round(zone: str) -> None:
    read = cells.moments(zone, as_number=True)
    chance = random.Random(7)
    for _ in range(3000):
        naive = datetime(2025, 1, 1) + timedelta(minutes=chance.randint(0, 2 * 366 * 24 * 60))
        wanted = from_local(naive, zone)
        assert read(naive.isoformat()) == int(wanted.timestamp()) * 1_000_000


def test_a_gap_and_an_overlap_are_read_as_everywhere_else() -> None:
    read = cells.moments("Europe/Berlin", as_number=False)
    assert read("2026-03-29 02:30") == "2026-03-29T01:00:00+00:00"
    assert read("2026-10-25 02:30") == "2026-10-25T00:30:00+00:00"
    assert (
        datetime.fromisoformat(read("2026-10-26")).astimezone(ZoneInfo("Europe/Berlin")).hour == 0
    )


@pytest.mark.parametrize(
    ("written", "lunar", "kept"),
    [
        ("1990-02-28", False, ("1990-02-28", 2, 28)), ("--12-31", False, ("--12-31", 12, 31)),
        ("02-29", False, ("--02-29", 2, 29)), ("1990-02-30", True, ("1990-02-30", 2, 30)),
    ],
)  # fmt: skip
def test_birthdays_come_with_or_without_a_year(written: str, lunar: bool, kept: object) -> None:
    assert cells.birthday(2026)(written, lunar) == kept


def test_a_birthday_without_a_year_is_read_at_any_now() -> None:
    """A rehearsal may be at a --now before 2000."""
    assert cells.birthday(1998)("02-29", False) == ("--02-29", 2, 29)


@pytest.mark.parametrize(
    ("written", "lunar"),
    [("1990-02-29", False), ("13-01", False), ("02-30", False), ("12-31", True), ("1899-01-01", False),
     ("2027-01-01", False), ("1990-2-1", False), ("28.02.1990", False), ("", False)],
)  # fmt: skip
def test_days_that_nobody_was_born_on_are_refused(written: str, lunar: bool) -> None:
    with pytest.raises(ValueError, match=r"birth|exist|born"):
        cells.birthday(2026)(written, lunar)


def read_file(path: Path) -> tuple[list[Record], list[tuple[int, str]]]:
    rejected: list[tuple[int, str]] = []

    def reject(line: int, reason: str, _cells: Sequence[str]) -> None:
        rejected.append((line, reason))

    with Lines(path) as lines:
        found = list(open_records(lines, Columns(("id",), ("id",)), reject))
        assert lines.bytes_done == path.stat().st_size
    return found, rejected


def test_lines_keep_their_numbers_over_blocks_quotes_and_faults(tmp_path: Path) -> None:
    rows = [f'{n},"two\nlines {n}"' if n % 1000 == 0 else f"{n},{'x' * 40}" for n in range(50_000)]
    rows[30_000] = "30000,\0"
    rows[40_000] = '40000,"open'
    path = tmp_path / "many.csv"
    path.write_text("id,note\n" + "\n".join(rows) + "\n")
    found, rejected = read_file(path)
    text = path.read_text().split("\n")
    assert len(found) == 49_998
    assert all(text[record.line - 1].startswith(f"{record.cells[0]},") for record in found)
    assert [text[line - 1] for line, _ in rejected] == [rows[30_000], rows[40_000]]


@pytest.mark.parametrize("tail", [b"", b"\n9,z", b"\n9,z\n"])
def test_a_file_may_end_without_a_line_end_and_hold_a_line_of_any_length(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"id,note\n1,a\n2," + b"y" * (3 * LONGEST_LINE) + tail)
    found, rejected = read_file(path)
    assert [record.cells[0] for record in found] == (["1", "9"] if tail else ["1"])
    assert [line for line, _ in rejected] == [3]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.csv"
        # The first row is UTF-8: a file none of whose rows is would be refused whole.
        path.write_bytes("id,note\n雁,row\n".encode() + content + b"\nlast,row\n")
        found, rejected = read_file(path)
    assert len(found) + len(rejected) >= 1
    assert all(len(record.cells) == 2 for record in found)


def test_moments_are_microseconds_for_sqlite() -> None:
    moment = datetime(2026, 5, 1, 2, 0, 0, 250_000, tzinfo=UTC)
    assert cells.moments("Asia/Shanghai", as_number=True)("2026-05-01T10:00:00.25") == (
        int(moment.timestamp() * 1_000_000)
    )
