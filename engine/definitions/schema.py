"""JSON Schemas of the files, for editors: made from the same declarations that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.definitions.campaign_file import CAMPAIGN
from engine.definitions.care_file import CARE
from engine.definitions.mapping_file import MAPPING
from engine.definitions.membership_file import MEMBERSHIP
from engine.definitions.policy_file import POLICY
from engine.definitions.reading import Reader
from engine.definitions.segment_file import SEGMENT
from engine.definitions.tagging_file import TAGGING
from engine.definitions.trees import STILL, TREE

READERS: Mapping[str, Reader[Any]] = {
    "campaign": CAMPAIGN,
    "care": CARE,
    "segment": SEGMENT,
    "policy": POLICY,
    "membership": MEMBERSHIP,
    "tagging": TAGGING,
    "mapping": MAPPING,
}
KINDS = tuple(READERS)


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of file, as KINDS lists them.

    Raises KeyError for another kind. What needs other files (does that segment exist?) only `lint` can say.
    """
    described: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Yanshu {kind}",
        **READERS[kind].schema,
    }
    if kind in ("campaign", "care", "segment"):
        trees = (TREE, STILL) if kind == "care" else (TREE,)
        described["$defs"] = {tree.name: tree.schema() for tree in trees}
    return described
