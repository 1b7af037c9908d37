"""`festival` and `solar_term` in a schedule or a trigger: which days, how long before or after them, at what time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import time
from typing import Any, Final, Literal

from engine.definitions.campaign import FestiveDays
from engine.definitions.festivals import FESTIVALS, SOLAR_TERMS, Festival, festival, solar_term
from engine.definitions.reading import Key, Reader, Record, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import offset, text, time_of_day
from engine.definitions.yaml_nodes import Entries, Node

DEFAULT_TIME = time(10, 0)
"""When messages for a day go out where no time is named."""
Prefix = Literal["festival", "solar_term"]
FESTIVAL: Final = "festival"
SOLAR_TERM: Final = "solar_term"
Options = Mapping[str, Any]


def _days(
    prefix: Prefix, find: Callable[[str], Festival], known: Mapping[str, Festival]
) -> Reader[Options]:
    """A map with `name`, `offset` and `time`, or a name alone, or a list of them."""
    words = [word for one in known.values() for word in (one.slug, *one.names)]
    names = one_or_more(Reader(text().then(find).read, {"enum": words}))
    whole: Reader[Options] = Record(
        {
            "name": Key(names, "Of which days, one or a list.", required=True),
            "offset": Key(offset(), "So many days before (-7d) or after (3d)."),
            "time": Key(time_of_day(), "At this time of that day; 10:00 by default."),
        }
    ).build(lambda fields: {**fields.values, "prefix": prefix})

    def read(node: Node, report: Report) -> Options | None:
        if isinstance(node, Entries):
            return whole.read(node, report)
        found = names.read(node, report)
        return None if found is None else {"name": found, "prefix": prefix}

    return Reader(read, {"anyOf": [names.schema, whole.schema]})


def festive_days(
    options: Options, at: time | None = None, offset: int | None = None
) -> FestiveDays:
    """What was read, with the time and the offset that stand beside it."""
    return FestiveDays(
        prefix=options["prefix"],
        festivals=options["name"],
        offset=options.get("offset", offset or 0),
        time=options.get("time", at or DEFAULT_TIME),
    )


FESTIVALS_READER = _days(FESTIVAL, festival, FESTIVALS)
TERMS_READER = _days(SOLAR_TERM, solar_term, SOLAR_TERMS)
