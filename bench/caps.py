"""Row 7: the whole pipeline with the gate's caps on, beside the same with none, over a history of 5,000,000 messages.

The campaign goes to the BENCH_MESSAGES customers with an address. They and nine times as many others have had a message
of another system every 16 days, so that the caps have much to look through and nobody is over one. On: quiet hours, the
frequency caps of `yanshu init`, a volume per day and one per second that do not bind. Off: a policy without any of them.
BENCH_HISTORY sets the size of the history.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text

from bench.engine_rate import (
    MESSAGES,
    NOW,
    REPETITIONS,
    lay_down,
    project_environment,
    run_engine,
    sink,
    yanshu,
)
from bench.rows import Measured, Row
from engine.gate.volume import microseconds
from engine.store.session import Store

HISTORY = int(os.environ.get("BENCH_HISTORY", "5000000"))
_NO_CAPS = "timezone: Asia/Shanghai\n"
_VOLUME = """
volume:
  - {channel: email, max: 100000000, per: 1d}
  - {channel: email, domain: example.com, max: 1000000, per: 1s}
"""
_EVERYBODY, _AUDIENCE = "{all: []}", "{all: [{email_domain: {in: [example.com]}}]}"
_MORE_PEOPLE = """\
WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < :others)
INSERT INTO customers (ref, name, attributes, malicious, created_at, updated_at)
SELECT 'other' || n, 'other', '{}', 0, :now, :now FROM more
"""
_CONTACTS = """\
WITH RECURSIVE time(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM time WHERE n < :each - 1)
INSERT INTO contacts (customer_id, channel, class, at)
SELECT id, 'email', 'marketing', :now - (16 * n + id % 16 + 1) * 86400000000 FROM customers, time
"""


def _with_history(folder: Path) -> Path:
    """A project with the history in its database, the campaign to those with an address."""
    project = folder / "shop"
    environment = project_environment(project, 25, 1)
    lay_down(project, environment)
    campaign = project / "campaigns" / "bench.yaml"
    campaign.write_text(
        campaign.read_text(encoding="utf-8").replace(_EVERYBODY, _AUDIENCE), encoding="utf-8"
    )
    store = Store(f"sqlite:///{project / 'var' / 'yanshu.db'}")
    now = microseconds(datetime.fromisoformat(NOW).replace(tzinfo=ZoneInfo("Asia/Shanghai")))
    with store.write() as connection:
        connection.execute(text(_MORE_PEOPLE), {"others": 9 * MESSAGES, "now": now})
        each = HISTORY // (10 * MESSAGES)
        connection.execute(text(_CONTACTS), {"each": each, "now": now})
        connection.execute(text("ANALYZE"))
    store.close()
    yanshu(environment, "grade", "--now", NOW)
    return project


def _measure() -> Measured:
    ratios, notes = [], []
    with sink() as port, tempfile.TemporaryDirectory(prefix="yanshu-bench-") as folder:
        on = _with_history(Path(folder))
        off = Path(folder) / "off"
        shutil.copytree(on, off)
        with (on / "policy.yaml").open("a", encoding="utf-8") as file:
            file.write(_VOLUME)
        (off / "policy.yaml").write_text(_NO_CAPS, encoding="utf-8")
        for _ in range(REPETITIONS):
            capped = run_engine(port, processes=1, made=on).rate
            free = run_engine(port, processes=1, made=off).rate
            ratios.append(capped / free)
            notes.append(f"caps on {capped:,.0f}, off {free:,.0f} messages a second")
    how = f"rate with caps ÷ without, {MESSAGES:,} messages, 1 worker, SQLite, {HISTORY:,} contacts"
    return Measured(ratios, how, notes)


CAPS_ROW = Row("7", "the gate's caps", _measure, 0.75, 0.95, more_is_better=True, binds=True)
