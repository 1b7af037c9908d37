"""Files made to take for ever: each ends within a second, as a few problems."""

from __future__ import annotations

import time

import pytest

from engine.definitions.loader import check


def laughing_segments() -> dict[str, str]:
    """Two to the thirtieth conditions without one alias."""
    twice = "kind: segment\nall: [{{segment: s{0}}}, {{segment: s{0}}}]\n"
    files = {f"segments/s{level}.yaml": twice.format(level + 1) for level in range(30)}
    return {**files, "segments/s30.yaml": "kind: segment\nall: [{city: {eq: a}}]\n"}


def laughing_aliases() -> str:
    rows = [
        f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 9)}]"
        for at in range(10)
    ]
    return "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "\n".join(rows)


HEAD = "kind: segment\nall: "
BOMBS: dict[str, dict[str, str]] = {
    "aliases": {"segments/a.yaml": laughing_aliases()},
    "segments that name segments": laughing_segments(),
    "a chain of segments": {
        f"segments/s{at}.yaml": f"{HEAD}[{{segment: s{at + 1}}}]\n" for at in range(500)
    },
    "brackets": {"segments/a.yaml": "[" * 500_000},
    "braces": {"segments/a.yaml": "{a: " * 200_000},
    "dashes": {"segments/a.yaml": "- " * 400_000},
    "question marks": {"segments/a.yaml": "?\n" * 400_000},
    "a long list": {"segments/a.yaml": HEAD + "[" + "{}," * 300_000 + "]"},
    "many unknown keys": {"segments/a.yaml": "".join(f"k{at}: 1\n" for at in range(9_000))},
    "one key again and again": {"segments/a.yaml": "kind: segment\n" * 9_000},
    "a long key": {"segments/a.yaml": "? " + "k" * 900_000 + "\n: 1\n"},
    "a long value": {"segments/a.yaml": "kind: " + "v" * 900_000},
    "a long number": {"policy.yaml": "frequency: [{max: " + "9" * 900_000 + ", per: 1d}]\n"},
    "a huge exponent": {"policy.yaml": "prices: {email: 1e999999999}\n"},
    "many documents": {"policy.yaml": "---\na: 1\n" * 100_000},
    "many unknown zones": {
        "segments/a.yaml": HEAD
        + "[{timezone: {in: ["
        + ", ".join(f"Asia/X{at}" for at in range(4_900))
        + "]}}]\n"
    },
    "many unknown segments": {"segments/a.yaml": HEAD + "[" + "{segment: bcd}, " * 900 + "]\n"},
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_within_a_second(name: str) -> None:
    start = time.process_time()  # not the wall's: other tests run beside this one
    definitions, problems = check(BOMBS[name])
    seconds = time.process_time() - start
    assert definitions is None and problems
    assert all(len(problem.message) < 2_000 for problem in problems)
    assert len(problems) < 250
    assert seconds < 1
