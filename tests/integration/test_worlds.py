"""Random shops, played for days: the engine in sets decides of each delivery as the naive reference does row by row.

`tests/worlds` is the reference, written from the documents, and the generator. After each step every delivery must have
the same key, state, reason, due moment, moment of its next look and expiry in both, and each decision of the gate the same
verdict, channel and stamp. The engine is driven by what drives it in the daemon: pushes land, `look` plans, the dispatcher
decides, results are recorded as a worker records them. `YANSHU_TEST_SEED=n YANSHU_TEST_WORLDS=1` plays one world again.

Worlds have themes: every trigger; many messages under caps; series with failures and operators.

What is not random here: edits of files (all are in force from the start), `cancel`, `overdue`, resuming with `drop` or
`spread`, `grading` and `stages`, thresholds of memberships (cards begin, are renewed and end as the test says), tagging
rules, `holidays` of `quiet_days`, `rotate`, `top`, `sample` and segments in audiences (tests/segment_reference.py has
those), refusals for a while, new and merged customers, and the worker's own last check. Where a rule caps the whole shop
or a budget is set, no attempt fails: those are counted anew only now and then. What the documents leave to chance (who is
held out, a place within a spread, window or `finish_by`, the order of equal priorities, when a full volume cap is looked at
again) is taken from the engine, and only its bounds and that it stays so are checked.
"""

from __future__ import annotations

import os
import time
from collections import Counter

from engine.store.session import Store
from tests.worlds.played import Played
from tests.worlds.stage import hurry

WORLDS = int(os.environ.get("YANSHU_TEST_WORLDS", "6"))
FIRST = int(os.environ.get("YANSHU_TEST_SEED", "1"))


def test_in_random_worlds_the_engine_decides_as_the_rules_are_worded(store: Store) -> None:
    hurry(store)
    began, decisions, compared, differing = time.monotonic(), 0, 0, []
    became: Counter[str] = Counter()
    for number, seed in enumerate(range(FIRST, FIRST + WORLDS), 1):
        played = Played(store, seed)
        try:
            played.play()
        except AssertionError as error:
            print("seed", seed, "differs:", error)
            differing.append(seed)
        decisions += played.decisions
        compared += played.compared
        became.update(f"{one.state} {one.reason or ''}" for one in played.reference.rows.values())
        print(f"seed {seed}: {number} worlds, {decisions} decisions, {compared} deliveries compared, {len(differing)} differ, {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    print(became.most_common())
    assert not differing
    assert decisions > WORLDS
