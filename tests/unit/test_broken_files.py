"""Hundreds of broken definitions, made from good ones: each is refused with its file, line and column, and quickly."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.definitions.loader import check, read_files
from engine.definitions.report import Report
from engine.definitions.yaml_nodes import Items, Node, Scalar, Span, read_yaml, walk
from engine.errors import ConfigurationError, DefinitionsError, nearest
from engine.settings import load_settings

SEED = 20261109
PER_MUTATION = 40
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {
    **{f"templates/email/{name}.html.j2": "" for name in ("promotion", "winback", "birthday")},
    **{f"templates/email/{name}.html.j2": "" for name in ("thanks", "order-update", "review")},
    **{f"templates/sms/{name}.txt.j2": "" for name in ("winback", "birthday", "unpaid", "shipped")},
    **{f"templates/sms/{name}.txt.j2": "" for name in ("arrived", "thanks", "refund")},
}
SOURCES = (
    "policy.yaml",
    "campaigns/double11-winback.yaml",
    "care/after-28-days.yaml",
    "care/birthday.yaml",
    "care/dormant-90-days.yaml",
    "care/unpaid.yaml",
    "segments/dormant-vip.yaml",
)
GOOD = {
    **{path: (ROOT / "config" / path).read_text() for path in SOURCES},
    **TEMPLATES,
    "segments/everything.yaml": (
        "kind: segment\n"
        "all:\n"
        '  - {id: {not_in: ["00001"]}, gender: {eq: female}, timezone: {in: [Asia/Tokyo]}}\n'
        "  - {joined_at: {after: 2024-01-01}, amount: {gte: 10.5, within: 90d}, class: {in: [active]}}\n"
        "  - {segment: dormant-vip, average_amount: {lte: 300}, first_order_at: {known: true}}\n"
        "not:\n"
        "  any:\n"
        "    - {language: {in: [en]}}\n"
        "    - dormant: {after: 30d}\n"
    ),
}
WORDS = ("class", "kind", "channel", "sms_type", "on_uncertain", "overflow", "monetary", "event")
"""Keys whose values are words of a list."""


@dataclass(frozen=True)
class Broken:
    """`code`: the finding that must be there; `hint`: the name that it must suggest."""

    path: str
    text: str
    code: str
    hint: str | None = None


Mutation = Callable[[random.Random, str, str], Broken | None]


def nodes_of(path: str, text: str) -> list[tuple[str, Scalar, Node]]:
    node = read_yaml(path, text, Report())
    return list(walk(node)) if node is not None else []


def replaced(text: str, span: Span, by: str) -> str:
    return text[: span.start] + by + text[span.end :]


def misspelt(rng: random.Random, word: str) -> str:
    """Two letters changed places, one is doubled, or one is missing."""
    where = rng.randrange(1, len(word) - 1)
    return rng.choice(
        [
            word[: where - 1] + word[where] + word[where - 1] + word[where + 1 :],
            word[:where] + word[where] + word[where:],
            word[:where] + word[where + 1 :],
        ]
    )


def pick_value(
    rng: random.Random, path: str, text: str, wanted: Callable[[str, Scalar, Node], bool]
) -> tuple[str, Scalar, Node] | None:
    found = [one for one in nodes_of(path, text) if wanted(*one)]
    return rng.choice(found) if found else None


def misspell_a_key(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(
        rng, path, text, lambda where, key, _: len(key.value) > 3 and ".grades." not in where
    )
    if found is None:
        return None
    key = found[1]
    wrong = misspelt(rng, key.value)
    if wrong == key.value:
        return None
    return Broken(path, replaced(text, key.span, wrong), "unknown-key", key.value)


def misspell_a_word(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(
        rng,
        path,
        text,
        lambda where, key, node: (
            key.value in WORDS and isinstance(node, Scalar) and "weights" not in where
        ),
    )
    if found is None:
        return None
    node = found[2]
    assert isinstance(node, Scalar)
    wrong = misspelt(rng, node.value)
    if wrong == node.value:
        return None
    return Broken(path, replaced(text, node.span, wrong), "bad-value", node.value)


def misspell_a_reference(rng: random.Random, path: str, text: str) -> Broken | None:
    keys = {"segment": "unknown-segment", "template": "unknown-template"}
    found = pick_value(rng, path, text, lambda _, key, node: key.value in keys)
    if found is None:
        return None
    _, key, node = found
    assert isinstance(node, Scalar)
    wrong = misspelt(rng, node.value)
    if wrong == node.value:
        return None
    return Broken(path, replaced(text, node.span, wrong), keys[key.value], node.value)


def add_a_key(rng: random.Random, path: str, text: str) -> Broken:
    key = rng.choice(["zebra", "<<", "Kind", "x-note", '""', "~"])
    return Broken(path, f"{text}{key}: 1\n", "unknown-key")


def add_a_key_of_the_future(rng: random.Random, path: str, text: str) -> Broken:
    where = path.split("/", maxsplit=1)[0]
    if where == "segments":
        return Broken(path, f"{text}any: [{{replied: {{}}}}]\n", "not-supported")
    keys = {"policy.yaml": ["guard", "providers"]}
    key = rng.choice(keys.get(where, ["owner", "attribution", "guard"]))
    return Broken(path, f"{text}{key}: 1\n", "not-supported")


def repeat_a_key(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda where, *_: "." not in where)
    if found is None:
        return None
    _, key, node = found
    return Broken(path, f"{text}\n{key.span.to(node.span).text}\n", "duplicate-key")


def leave_out_a_key(rng: random.Random, path: str, text: str) -> Broken | None:
    needed = {"kind", "class", "schedule", "schedule.at", "trigger", "steps", "audience"}
    found = pick_value(rng, path, text, lambda where, *_: where in needed)
    if found is None or (path.startswith("care/") and found[0] == "audience"):
        return None
    _, key, node = found
    return Broken(path, replaced(text, key.span.to(node.span), ""), "missing-key")


def change_a_type(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda *_: True)
    if found is None:
        return None
    node = found[2]
    other = "[[1], 2]" if not isinstance(node, Items) else "{zebra: [1]}"
    return Broken(path, replaced(text, node.span, f" {other}"), "wrong-type")


def empty_a_value(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda *_: True)
    return found and Broken(
        path, replaced(text, found[2].span, rng.choice(["null", "~"])), "wrong-type"
    )


def spoil_a_number(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(
        rng,
        path,
        text,
        lambda _, __, node: (
            isinstance(node, Scalar)
            and node.plain
            and re.fullmatch(r"[0-9.]+", node.value) is not None
        ),
    )
    if found is None:
        return None
    wrong, code = rng.choice(
        [
            ("-1", "bad-value"),
            ("9999999999", "bad-value"),
            ("ten", "wrong-type"),
            ("0x10", "wrong-type"),
        ]
    )
    return Broken(path, replaced(text, found[2].span, wrong), code)


def spoil_a_duration(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(
        rng,
        path,
        text,
        lambda _, __, node: (
            isinstance(node, Scalar) and bool(re.fullmatch(r"\d+[smhd]", node.value))
        ),
    )
    wrong = rng.choice(["7", "d7", "1w", "-3d", "99999d", "1.5h", "7 d", "seven"])
    return found and Broken(path, replaced(text, found[2].span, wrong), "bad-value")


def spoil_a_time(rng: random.Random, path: str, text: str) -> Broken | None:
    places = ("trigger.time", "schedule.at", "schedule.timezone", "timezone", "quiet_hours.sms")
    found = pick_value(
        rng, path, text, lambda where, *_: where in places or where.endswith("joined_at.after")
    )
    wrong = rng.choice(['"25:00"', '"2026-13-01"', "Mars/Olympus", "noon", "10-20"])
    return found and Broken(path, replaced(text, found[2].span, wrong), "bad-value")


def drop_a_bracket(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda _, __, node: text[node.span.end - 1] in "}]\"'")
    if found is None:
        return None
    end = found[2].span.end
    return Broken(path, text[: end - 1] + text[end:], "syntax")


def indent_with_a_tab(rng: random.Random, path: str, text: str) -> Broken | None:
    lines = text.splitlines(keepends=True)
    indented = [at for at, line in enumerate(lines) if re.match(r" +[a-z-]", line)]
    if not indented:
        return None
    at = rng.choice(indented)
    lines[at] = "\t" + lines[at].lstrip(" ")
    return Broken(path, "".join(lines), "syntax")


def refer_to_an_anchor(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda _, __, node: isinstance(node, Scalar))
    if found is None:
        return None
    span = found[2].span
    mark, code = rng.choice([("&a ", "alias"), ("!!str ", "tag"), ("!x ", "tag")])
    return Broken(path, replaced(text, span, mark + span.text), code)


def nest_deeply(rng: random.Random, path: str, text: str) -> Broken | None:
    found = pick_value(rng, path, text, lambda *_: True)
    depth = rng.choice([40, 4000])
    return found and Broken(path, replaced(text, found[2].span, " " + "[" * depth), "too-deep")


def insert_a_control_character(rng: random.Random, path: str, text: str) -> Broken:
    at = rng.randrange(len(text))
    return Broken(path, text[:at] + rng.choice("\x00\x07\x1b\x7f\ufeff") + text[at:], "encoding")


def add_a_document(rng: random.Random, path: str, text: str) -> Broken:
    return Broken(path, f"{text}---\n{text}", "syntax")


def move_to_another_folder(rng: random.Random, path: str, text: str) -> Broken | None:
    folder = path.split("/", maxsplit=1)[0]
    others = [name for name in ("campaigns", "care") if name != folder]
    return (
        None
        if folder == "policy.yaml"
        else Broken(f"{rng.choice(others)}/moved.yaml", text, "kind")
    )


def break_the_whole(rng: random.Random, path: str, text: str) -> Broken:
    whole, code = rng.choice(
        [("[]\n", "wrong-type"), ("hello\n", "wrong-type"), ("{", "syntax"), ("a b: [", "syntax")]
    )
    return Broken(path, whole, code)


MUTATIONS: list[Mutation] = [
    misspell_a_key,
    misspell_a_key,
    misspell_a_word,
    misspell_a_reference,
    add_a_key,
    add_a_key_of_the_future,
    repeat_a_key,
    leave_out_a_key,
    change_a_type,
    empty_a_value,
    spoil_a_number,
    spoil_a_duration,
    spoil_a_time,
    drop_a_bracket,
    indent_with_a_tab,
    refer_to_an_anchor,
    nest_deeply,
    insert_a_control_character,
    add_a_document,
    move_to_another_folder,
    break_the_whole,
]


def corpus(seed: int) -> Iterator[tuple[str, Broken]]:
    """Different broken files, the same for the same seed."""
    rng = random.Random(seed)
    paths = sorted(path for path in GOOD if path.endswith(".yaml"))
    seen = set()
    for mutation in MUTATIONS:
        for _ in range(PER_MUTATION):
            path = rng.choice(paths)
            broken = mutation(rng, path, GOOD[path])
            if broken is not None and (broken.path, broken.text) not in seen:
                seen.add((broken.path, broken.text))
                yield mutation.__name__, broken


def test_the_files_that_are_broken_here_were_good() -> None:
    definitions, problems = check(GOOD)
    assert definitions is not None, problems


def test_five_hundred_broken_files_are_each_refused_with_their_place() -> None:
    broken_files = list(corpus(SEED))
    print(f"seed {SEED}: {len(broken_files)} broken files")
    assert len(broken_files) >= 500
    assert {name for name, _ in broken_files} == {mutation.__name__ for mutation in MUTATIONS}
    for name, broken in broken_files:
        definitions, problems = check({**GOOD, broken.path: broken.text})
        told = f"{name}\n{broken.text}\n" + "\n".join(map(str, problems))
        assert definitions is None, told
        assert {problem.position.file for problem in problems} == {broken.path}, told
        lines = broken.text.count("\n") + 1
        assert all(1 <= problem.position.line <= lines for problem in problems), told
        assert all(problem.position.column >= 1 for problem in problems), told
        assert broken.code in {problem.code for problem in problems}, told
        if broken.hint is not None:
            messages = [problem.message for problem in problems if problem.code == broken.code]
            assert any(f"did you mean {broken.hint!r}?" in message for message in messages), told


def test_the_place_of_a_misspelt_key_is_that_key() -> None:
    rng = random.Random(SEED)
    for path in sorted(path for path in GOOD if path.endswith(".yaml")):
        broken = misspell_a_key(rng, path, GOOD[path])
        if broken is None:
            continue
        problem = next(
            one for one in check({**GOOD, path: broken.text})[1] if one.code == "unknown-key"
        )
        line = broken.text.splitlines()[problem.position.line - 1]
        name = re.search(r"'(.+?)'", problem.message)
        assert name is not None
        assert line[problem.position.column - 1 :].startswith(name[1])
        assert nearest(name[1], [broken.hint or ""]) == broken.hint


def test_damage_at_random_never_raises() -> None:
    """What a slip of the hand, a bad merge or a cut download leaves behind; it may even be valid."""
    rng = random.Random(SEED)
    paths = sorted(path for path in GOOD if path.endswith(".yaml"))
    for _ in range(300):
        path = rng.choice(paths)
        text = GOOD[path]
        at, size = rng.randrange(len(text)), rng.randrange(8)
        junk = "".join(
            rng.choice("{}[]:,-#&*!|>'\"%@` \n\t1a上\x00") for _ in range(rng.randrange(4))
        )
        definitions, problems = check({**GOOD, path: text[:at] + junk + text[at + size :]})
        assert definitions is not None or problems


@pytest.mark.parametrize("size", [1, 7, 300])
def test_bytes_that_are_no_text_never_raise_anything_else(tmp_path: Path, size: int) -> None:
    rng = random.Random(SEED)
    (tmp_path / "care").mkdir()
    for _ in range(50):
        content = b"kind: care\n" + rng.randbytes(size) + b"\xff"
        (tmp_path / "care" / "a.yaml").write_bytes(content)
        with pytest.raises(DefinitionsError) as caught:
            read_files(tmp_path)
        assert {problem.position.file for problem in caught.value.problems} == {"care/a.yaml"}
        assert {problem.code for problem in caught.value.problems} == {"encoding"}


@pytest.mark.parametrize(
    "path",
    [
        "policy.yaml",
        "campaigns/a.yaml",
        "care/a.yml",
        "segments/a.yaml",
        "mappings/a.yaml",
        "templates/email/a.html.j2",
    ],
)
def test_a_folder_with_the_name_of_a_file_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / path).mkdir(parents=True)
    with pytest.raises(DefinitionsError) as caught:
        read_files(tmp_path)
    assert str(caught.value) == f"{path}:1:1: is a folder, not a file [unreadable]"


SETTINGS = (ROOT / "config" / "yanshu.toml").read_text()


def broken_settings(tmp_path: Path, text: str) -> str:
    (tmp_path / "yanshu.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path)
    return str(caught.value)


def test_each_misspelt_setting_is_told_with_its_place_and_its_right_name(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for match in re.finditer(r"^([a-z_]+) = ", SETTINGS, re.MULTILINE):
        key, line = match[1], SETTINGS.count("\n", 0, match.start()) + 1
        wrong = misspelt(rng, key)
        if wrong == key:
            continue
        text = SETTINGS[: match.start(1)] + wrong + SETTINGS[match.end(1) :]
        told = broken_settings(tmp_path, text)
        assert told.startswith(f"yanshu.toml:{line}:1: "), told
        assert told.endswith(f"{wrong}: unknown key; did you mean {key!r}?"), told


def test_settings_that_are_no_toml_are_told_with_a_line_of_theirs(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for _ in range(100):
        at = rng.randrange(len(SETTINGS))
        text = SETTINGS[:at] + "\n= \n" + SETTINGS[at:]
        found = re.match(r"yanshu\.toml:(\d+):(\d+): .", broken_settings(tmp_path, text))
        assert found is not None
        assert 1 <= int(found[1]) <= text.count("\n") + 1
