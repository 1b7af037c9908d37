"""`make bench [ROWS=1,2]`: run the rows, print each repetition and the median, exit 1 where a binding floor is missed."""

from __future__ import annotations

import argparse
import sys

from bench.caps import CAPS_ROW
from bench.command_line import HELP_ROW
from bench.engine_rate import ENGINE_ROWS
from bench.expansion import EXPANSION_ROWS
from bench.future import FUTURE_ROW
from bench.idle import IDLE_ROW
from bench.importing import IMPORT_ROW
from bench.order_import import ORDER_IMPORT_ROWS
from bench.profiles import PROFILE_ROWS
from bench.rows import Row
from bench.segments import SEGMENT_ROWS

ROWS: tuple[Row, ...] = (
    *ENGINE_ROWS,
    *EXPANSION_ROWS,
    CAPS_ROW,
    HELP_ROW,
    IDLE_ROW,
    IMPORT_ROW,
    *ORDER_IMPORT_ROWS,
    *PROFILE_ROWS,
    *SEGMENT_ROWS,
    FUTURE_ROW,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument(
        "--rows", default="", help="numbers of the rows to run, as in 1,2; default all"
    )
    wanted = set(filter(None, parser.parse_args().rows.split(",")))
    unknown = wanted - {row.number for row in ROWS}
    if unknown:
        print(f"no such row: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 64
    missed = [row for row in ROWS if (not wanted or row.number in wanted) and not _holds(row)]
    for row in missed:
        print(f"BELOW THE FLOOR: row {row.number}, {row.title}")
    return 1 if missed else 0


def _holds(row: Row) -> bool:
    measured = row.run()
    value = measured.median
    print(f"row {row.number}: {row.title}")
    print(f"    {measured.how}")
    print("    each: " + ", ".join(f"{ratio:.2f}" for ratio in measured.ratios))
    bounds = ", ".join(
        f"{name} {bound:g}"
        for name, bound in (("floor", row.floor), ("goal", row.goal))
        if bound is not None
    )
    print(f"    median {value:.2f} {row.unit} ({bounds or 'informative'}): {row.verdict(value)}")
    for note in measured.notes:
        print(f"    {note}")
    sys.stdout.flush()
    return not (row.binds and row.is_below_floor(value))


if __name__ == "__main__":
    sys.exit(main())
