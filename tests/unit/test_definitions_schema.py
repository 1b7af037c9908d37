"""JSON Schemas for editors: they say what lint says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.definitions.loader import check, read_files
from engine.definitions.parsing import FOLDERS
from engine.definitions.report import Report
from engine.definitions.schema import KINDS, schema
from engine.definitions.yaml_nodes import Items, Node, Scalar, read_yaml

ROOT = Path(__file__).resolve().parents[2]
KIND_OF = {**FOLDERS, "mappings": "mapping"}
CAMPAIGN = """\
kind: campaign
class: marketing
schedule: {at: "2026-11-09T10:00"}
audience: {segment: outer}
steps:
  - channel: [email, sms]
    email: {subject: Hi, template: promo}
    sms: {template: promo}
"""
REST = {
    "segments/outer.yaml": "kind: segment\nall: []\n",
    "templates/email/promo.html.j2": "",
    "templates/sms/promo.txt.j2": "",
}


def messages(files: dict[str, str]) -> list[str]:
    return [str(problem) for problem in check(files)[1]]


def plain(node: Node) -> Any:
    """A node as JSON would hold it, by the rules of YAML 1.2."""
    if isinstance(node, Items):
        return [plain(child) for child in node.children]
    if isinstance(node, Scalar):
        if node.plain and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", node.value):
            return Decimal(node.value)
        return (
            {"true": True, "false": False}.get(node.value, node.value) if node.plain else node.value
        )
    return {key.value: plain(value) for key, value in node.pairs}


TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": Decimal,
    "integer": Decimal,
}


def _types(written: Any) -> tuple[type, ...]:
    return tuple(TYPES[name] for name in (written if isinstance(written, list) else [written]))


def complaints(value: Any, rules: Any, root: Any) -> Iterator[str]:
    """What a schema validator would say, for the parts of JSON Schema that ours use."""
    if "$ref" in rules:
        yield from complaints(value, root["$defs"][rules["$ref"].rsplit("/", 1)[1]], root)
    elif "anyOf" in rules:
        if all([*complaints(value, option, root)] for option in rules["anyOf"]):
            yield f"{value!r} fits none"
    elif "enum" in rules:
        if value not in rules["enum"]:
            yield f"{value!r} is none of {rules['enum']}"
    elif not isinstance(value, _types(rules["type"])):
        yield f"{value!r} is no {rules['type']}"
    elif isinstance(value, dict):
        yield from of_a_map(value, rules, root)
    elif isinstance(value, list):
        yield from of_a_list(value, rules, root)
    else:
        yield from of_a_scalar(value, rules)


def of_a_scalar(value: Any, rules: Any) -> Iterator[str]:
    if isinstance(value, str) and not re.search(rules.get("pattern", ""), value):
        yield f"{value!r} does not match {rules['pattern']}"
    if isinstance(value, Decimal) and not rules["minimum"] <= value <= rules["maximum"]:
        yield f"{value} is out of range"


def of_a_list(value: list[Any], rules: Any, root: Any) -> Iterator[str]:
    if not rules["minItems"] <= len(value) <= rules["maxItems"]:
        yield f"{len(value)} items"
    for item in value:
        yield from complaints(item, rules["items"], root)


def of_a_map(value: dict[str, Any], rules: Any, root: Any) -> Iterator[str]:
    yield from (f"{key} is missing" for key in rules.get("required", ()) if key not in value)
    for key, child in value.items():
        inside = rules.get("properties", {}).get(key, rules["additionalProperties"])
        if inside is False:
            yield f"{key} is not known"
        else:
            yield from complaints(child, inside, root)


def verdict(kind: str, source: str) -> list[str]:
    node = read_yaml("f.yaml", source, Report())
    assert node is not None
    return list(complaints(plain(node), schema(kind), schema(kind)))


def test_editors_are_told_that_the_example_shop_is_fine() -> None:
    for path, source in read_files(ROOT / "config").items():
        kind = KIND_OF.get(path.split("/", maxsplit=1)[0], path.removesuffix(".yaml"))
        assert verdict(kind, source) == [], path


def test_the_campaign_that_is_changed_here_was_fine() -> None:
    assert verdict("campaign", CAMPAIGN) == []
    assert messages({**REST, "campaigns/x.yaml": CAMPAIGN}) == []


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("campaign", CAMPAIGN.replace("channel", "chanel")),
        ("campaign", CAMPAIGN.replace("class: marketing\n", "")),
        ("campaign", CAMPAIGN + "priority: 101\n"),
        ("campaign", CAMPAIGN + "on_uncertain: maybe\n"),
        ("campaign", CAMPAIGN.replace("{segment: outer}", "{anchor: {status: [paid]}}")),
        (
            "care",
            "kind: care\nclass: care\ntrigger: order.recieved\nsteps: [{sms: {template: promo}}]\n",
        ),
        ("segment", "kind: segment\nall: [{city: 上海}]\n"),
        ("segment", "kind: segment\nall: [{orders: {gte: two}}]\n"),
        ("policy", "frequency: [{class: care, max: 2}]\n"),
        ("policy", "dormant_after: 180\n"),
    ],
)
def test_editors_and_lint_refuse_the_same(kind: str, source: str) -> None:
    assert verdict(kind, source)
    folder = {name: folder for folder, name in KIND_OF.items()}.get(kind)
    assert messages({**REST, f"{folder}/x.yaml" if folder else "policy.yaml": source})


def declared(rules: Any) -> Iterator[dict[str, Any]]:
    """Every description of a map in a schema."""
    if isinstance(rules, dict):
        if isinstance(rules.get("properties"), dict):
            yield rules["properties"]
        for child in rules.values():
            yield from declared(child)
    elif isinstance(rules, list):
        for child in rules:
            yield from declared(child)


def test_schemas_declare_the_very_keys_that_are_read() -> None:
    keys = {kind: {key for found in declared(schema(kind)) for key in found} for kind in KINDS}
    assert {"at", "timezone", "send_time", "spread", "expires", "channel", "subject"} <= keys[
        "campaign"
    ]
    assert {"event", "dormant", "delay", "time", "grace", "again", "still", "anchor"} <= keys[
        "care"
    ]
    assert {"all", "any", "not", "city", "older_than", "known"} <= keys["segment"]
    assert {"grading", "period", "quiet_hours", "per", "domain", "unknown"} <= keys["policy"]
    assert "anchor" not in keys["campaign"] | keys["segment"]
    for kind, refused in (("campaign", "winner"), ("care", "guard"), ("policy", "guard")):
        assert refused not in keys[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_at_the_top_of_a_schema_is_one_that_lint_knows(kind: str) -> None:
    folder = {name: folder for folder, name in KIND_OF.items()}.get(kind)
    path = f"{folder}/x.yaml" if folder else f"{kind}.yaml"
    source = "".join(f"{key}: []\n" for key in schema(kind)["properties"])
    assert not [each for each in messages({path: source}) if "unknown key" in each]
