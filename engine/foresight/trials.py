"""Whether somebody looked at a message before customers do: each `send-test` stands in the audit with its version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, select

from engine.definitions.campaign import Campaign, Care
from engine.definitions.loader import Definitions
from engine.foresight.changes import Wanted, wanted
from engine.store.session import Store
from engine.store.tables import audit

_ACTION = "send-test"


def note_trial(
    store: Store,
    definitions: Definitions,
    definition: Campaign | Care,
    *,
    channel: str,
    by: str,
    now: datetime,
) -> None:
    """Write down that a test of the definition, as the files have it, went out. To whom is nobody's business."""
    digest = wanted(definitions)[definition.kind, definition.id].digest
    with store.write() as connection:
        connection.execute(
            insert(audit).values(
                at=now, by=by, action=_ACTION, target=f"{definition.kind}:{definition.id}",
                data={"digest": digest, "channel": channel},
            )
        )  # fmt: skip


def untested(connection: Connection, new: Mapping[tuple[str, str], Wanted]) -> dict[str, str]:
    """Campaigns of which no test was sent as they are now, each with a sentence."""
    tested: dict[str, set[str]] = {}
    rows = connection.execute(select(audit.c.target, audit.c.data).where(audit.c.action == _ACTION))
    for target, data in rows:
        tested.setdefault(str(target), set()).add(str(data.get("digest")))
    found = {}
    for (kind, name), version in new.items():
        digests = tested.get(f"{kind}:{name}", set())
        if kind == "campaign" and version.digest not in digests:
            found[name] = _sentence(name, was_tested=bool(digests))
    return found


def _sentence(name: str, *, was_tested: bool) -> str:
    if was_tested:
        return f"it was edited since its last test: `yanshu send-test {name} --to YOU`"
    return f"no test was sent yet: `yanshu send-test {name} --to YOU`"
