"""Which wording a message goes out in: by share, or the next of those that take turns. Decided at admission, where the
channel is known, and written on the row. Without such steps nothing is asked and nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from engine.audience.sampling import place_of, up_to
from engine.definitions.campaign import Channel, Step, Variant
from engine.gate.candidates import Candidate
from engine.gate.decision import Send
from engine.gate.states import is_committed
from engine.store.among import among
from engine.store.catalog import Catalog
from engine.store.recordset import encode_rows, recordset, statement
from engine.store.tables import deliveries

Admitted = Sequence[tuple[Candidate, Send]]
_Key = tuple[str, str, int, str]
"""Definition, step, customer, channel: what one takes turns by."""


def write_variants(connection: Connection, catalog: Catalog, sends: Admitted) -> None:
    """Choose and note the wording of each message that has a choice; in the transaction that admits them."""
    chosen = choose_variants(connection, catalog, sends)
    if not chosen:
        return
    rows = [{"id": number, "variant": variant} for number, variant in chosen.items()]
    columns = recordset(connection, {"id": "bigint", "variant": "text"})
    connection.execute(
        statement(
            f"UPDATE deliveries SET variant = r.variant FROM {columns}"
            " WHERE deliveries.id = r.id AND state = 'queued'"
        ),
        {"rows": encode_rows(connection, rows)},
    )


def choose_variants(
    connection: Connection, catalog: Catalog, sends: Admitted
) -> dict[int, str | None]:
    """The wording's name by delivery id, of steps that have several; None where this channel has one only."""
    keys = {(candidate.digest, candidate.step) for candidate, _ in sends}
    found = [
        (key, catalog.version(connection, key[0]).definition.step(key[1])) for key in sorted(keys)
    ]
    steps = {key: step for key, step in found if step is not None and not step.is_plain}
    if not steps:
        return {}
    chosen: dict[int, str | None] = {}
    in_turn, turns = [], {}
    for candidate, verdict in sends:
        step = steps.get((candidate.digest, candidate.step))
        if step is None:
            continue
        if step.variants:
            chosen[candidate.id] = variant_by_share(
                candidate.definition, step, candidate.customer_id
            )
        elif len(choices := step.choices(verdict.channel)) > 1:
            in_turn.append((candidate, verdict))
            turns[candidate.id] = choices
        else:
            chosen[candidate.id] = None
    return {**chosen, **(_in_turn(connection, in_turn, turns) if in_turn else {})}


def variant_by_share(definition: str, step: Step, customer_id: int) -> str:
    """The variant of this customer: always the same one of a step, drawn by a hash."""
    place, reached = place_of(customer_id, f"variant:{definition}:{step.id}"), Decimal()
    for variant in step.variants:
        reached += variant.share or Decimal()
        if place < up_to(reached):
            return variant.id
    return step.variants[-1].id


def _in_turn(
    connection: Connection, sends: Admitted, turns: Mapping[int, Sequence[Variant]]
) -> dict[int, str]:
    """As many have gone to the customer, by this step and channel, so far on in the list; never the last one again, also
    where the list was edited in between."""
    had = _had(connection, sends)
    chosen = {}
    for candidate, verdict in sends:
        names = [variant.id for variant in turns[candidate.id]]
        before = had[_key(candidate, verdict.channel)]
        name = next_in_turn(names, before)
        before.append(name)
        chosen[candidate.id] = name
    return chosen


def next_in_turn(names: Sequence[str], before: Sequence[str | None]) -> str:
    """
    >>> next_in_turn(["a", "b", "c"], []), next_in_turn(["a", "b", "c"], ["a", "b", "c", "a"])
    ('a', 'b')
    >>> next_in_turn(["b", "a"], ["x", "b"])
    'a'
    """
    place = len(before) % len(names)
    if before and names[place] == before[-1]:
        place = (place + 1) % len(names)
    return names[place]


def _had(connection: Connection, sends: Admitted) -> defaultdict[_Key, list[str | None]]:
    """What went to these customers before, by whom one takes turns, oldest first; not what is being admitted."""
    mine = {candidate.id for candidate, _ in sends}
    wanted = {_key(candidate, verdict.channel) for candidate, verdict in sends}
    found: defaultdict[_Key, list[str | None]] = defaultdict(list)
    asked: dict[str, Iterable[Any]] = {
        "customers": sorted({key[2] for key in wanted}),
        "definitions": sorted({key[0] for key in wanted}),
    }
    for row in connection.execute(_HAD, asked):
        key = (row.definition, row.step, row.customer_id, row.channel)
        if key in wanted and row.id not in mine:
            found[key].append(row.variant)
    return found


def _key(candidate: Candidate, channel: Channel) -> _Key:
    return (candidate.definition, candidate.step, candidate.customer_id, channel)


_HAD = (
    select(
        deliveries.c.id, deliveries.c.definition, deliveries.c.step, deliveries.c.customer_id,
        deliveries.c.channel, deliveries.c.variant,
    )
    .where(
        among(deliveries.c.customer_id, "customers"),
        among(deliveries.c.definition, "definitions"),
        deliveries.c.admitted_at.is_not(None),
        is_committed,
    )
    .order_by(deliveries.c.admitted_at, deliveries.c.id)
)  # fmt: skip
