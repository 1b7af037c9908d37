"""Every condition of a segment tree: what it takes, what it refuses."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from engine.definitions.conditions import LATER
from engine.definitions.loader import check
from engine.definitions.segment import Condition, Group, Segment, Top, Tree
from engine.definitions.trees import conditions_of
from engine.definitions.values import STATUSES, Duration, parse_hours


def segment(body: str, **others: str) -> Segment:
    files = {f"segments/{name}.yaml": f"kind: segment\n{text}\n" for name, text in others.items()}
    definitions, problems = check({"segments/who.yaml": f"kind: segment\n{body}\n", **files})
    assert definitions is not None, [str(problem) for problem in problems]
    return definitions.segments["who"]


def problems(body: str, **others: str) -> list[str]:
    files = {f"segments/{name}.yaml": f"kind: segment\n{text}\n" for name, text in others.items()}
    definitions, found = check({"segments/who.yaml": f"kind: segment\n{body}\n", **files})
    assert definitions is None
    return [str(problem).removeprefix("segments/") for problem in found]


def arguments(condition: str) -> dict[str, Any]:
    (child,) = conditions_of(segment(f"all: [{{{condition}}}]", other="all: []").tree)
    assert child.text == condition
    return dict(child.arguments)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('id: {in: ["00001", a7]}', {"in": ("00001", "a7")}),
        ("gender: {eq: female}", {"eq": "female"}),
        ("language: {not_in: [zh, en]}", {"not_in": ("zh", "en")}),
        ("province: {eq: 广东, known: true}", {"eq": "广东", "known": True}),
        ("city: {in: [上海]}", {"in": ("上海",)}),
        ("province: {in: [广西壮族自治区, Bavaria]}", {"in": ("广西", "Bavaria")}),
        ("city: {not_in: [杭州市, 延边朝鲜族自治州]}", {"not_in": ("杭州", "延边")}),
        ("timezone: {eq: Asia/Tokyo}", {"eq": "Asia/Tokyo"}),
        ("email_domain: {in: [QQ.com]}", {"in": ("qq.com",)}),
        ("email: {known: true}", {"known": True}),
        ("phone: {known: false}", {"known": False}),
        ("joined_at: {after: 2025-01-01, before: 2026-01-01}", {"after": date(2025, 1, 1), "before": date(2026, 1, 1)}),
        ("first_order_at: {within: 30d}", {"within": Duration(30, "d")}),
        ("last_order_at: {older_than: 90d, within: 1y}", None),
        ("last_order_at: {older_than: 90d, within: 365d}", {"older_than": Duration(90, "d"), "within": Duration(365, "d")}),
        ("last_order_at: {known: false}", {"known": False}),
        ("orders: {gte: 2, within: 365d}", {"gte": 2, "within": Duration(365, "d")}),
        ("orders: {eq: 0}", {"eq": 0}),
        ("amount: {gte: 99.50, lte: 2000}", {"gte": Decimal("99.50"), "lte": Decimal(2000)}),
        ("average_amount: {lte: 299.99}", {"lte": Decimal("299.99")}),
        ("grade: {in: [P, G]}", {"in": ("P", "G")}),
        ("class: {eq: lapsed}", {"eq": "lapsed"}),
        ("dormant: {after: 90d}", {"after": Duration(90, "d")}),
        ("dormant: {}", {}),
        ("ordered: {}", {}),
        ('ordered: {category: coffee, hours: "22:00-02:00"}', {"category": ("coffee",), "hours": parse_hours("22:00-02:00")}),
        ("ordered: {size: [a, b], status: any, only: last, count: {gte: 2}, avg: {lte: 9.5}}", {"size": ("a", "b"), "status": STATUSES, "only": "last", "count": {"gte": 2}, "avg": {"lte": Decimal("9.5")}}),
        ("clicked: {label: coffee, within: 60d}", {"label": ("coffee",), "within": Duration(60, "d")}),
        ("sent: {definition: [a, b], count: {eq: 0}}", {"definition": ("a", "b"), "count": {"eq": 0}}),
        ("attribute: {name: skin, eq: dry}", {"name": "skin", "eq": "dry"}),
        ('attribute: {name: age, in: [7, "7"]}', {"name": "age", "in": (Decimal(7), "7")}),
        ('tag: {dimension: size, in: ["110", "120"]}', {"dimension": "size", "in": ("110", "120")}),
        ("stage: {not_in: [loyal]}", {"not_in": ("loyal",)}),
        ("membership: {level: gold, expires_within: 30d}", {"level": ("gold",), "expires_within": Duration(30, "d")}),
        ('usual_hour: {hours: "22:00-02:00", confidence: 60%}', {"hours": parse_hours("22:00-02:00"), "confidence": Decimal(60)}),
        ("cycle: {category: coffee, lte: 30d}", {"category": "coffee", "lte": Duration(30, "d")}),
        ("affinity: {category: coffee, gte: 300}", {"category": "coffee", "gte": 300}),
        ("reachable: {channel: sms, class: care}", {"channel": ("sms",), "class": "care"}),
        ("sample: 10%", {"share": Decimal(10)}),
        ("sample: {share: 0.5%, salt: a}", {"share": Decimal("0.5"), "salt": "a"}),
        ("birthday: {month: [5, 6]}", {"month": (5, 6)}),
        ("segment: other", {"name": "other"}),
    ],
)  # fmt: skip
def test_each_condition_arrives_parsed_and_as_written(condition: str, expected: Any) -> None:
    if expected is None:
        assert "'1y' is not a duration" in problems(f"all: [{{{condition}}}]")[0]
    else:
        assert arguments(condition) == expected


def shape(tree: Tree) -> Any:
    if isinstance(tree, Condition):
        return tree.name
    kind = "top" if isinstance(tree, Top) else tree.kind
    return (kind, *map(shape, tree.children))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("all: []", ("all",)),
        ("any: []", ("any",)),
        ("all: [{city: {eq: a}}]", ("all", "city")),
        ("not: {city: {eq: a}}", ("not", "city")),
        ("any: [{city: {eq: a}}, {orders: {gte: 1}}]", ("any", "city", "orders")),
        ("all: [{city: {eq: a}, orders: {gte: 1}}]", ("all", ("all", "city", "orders"))),
        ("all: [{any: [{not: {city: {eq: a}}}]}]", ("all", ("any", ("not", "city")))),
        ("all: [{city: {eq: a}}]\nnot: {orders: {gte: 1}}", ("all", ("all", "city"), ("not", "orders"))),
    ],
)  # fmt: skip
def test_groups_nest_and_several_keys_must_all_hold(body: str, expected: Any) -> None:
    assert shape(segment(body).tree) == expected


def test_a_segment_knows_which_others_it_names() -> None:
    assert segment("any: [{segment: a}, {not: {segment: b}}]", a="all: []", b="all: []").uses == {
        "a",
        "b",
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("name: x", "`all`, `any` or `not` is missing"),
        ("all: {}", "a map stands where a list is expected"),
        ("all: [x]", "'x' stands where a condition"),
        ("all: [{}]", "a map stands where a condition"),
        ("not: []", "a list stands where a condition"),
        ("all: [{cty: {eq: a}}]", "who.yaml:2:8: unknown condition 'cty'; did you mean 'city'?"),
        ("all: [{city: 上海}]", "'上海' stands where a map with `eq`, `in`, `not_in` or `known` is expected"),
        ("all: [{city: {}}]", "no operator; one of eq, in, not_in, known is needed"),
        ("all: [{city: {is: a}}]", "unknown operator 'is'"),
        ("all: [{city: {in: []}}]", "0 items, where at least 1 are taken"),
        ("all: [{city: {in: a}}]", "'a' stands where a list is expected"),
        ("all: [{city: {eq: 7}}]", "quote it"),
        ("all: [{timezone: {eq: Asia/Shangai}}]", "did you mean 'Asia/Shanghai'?"),
        ("all: [{email_domain: {eq: a@qq.com}}]", "write only what follows the @"),
        ("all: [{email: {eq: a@qq.com}}]", "unknown operator 'eq'; known: known"),
        ("all: [{ordered: {categry: tea}}]", "who.yaml:2:18: unknown key 'categry'; did you mean 'category'?"),
        ("all: [{ordered: {count: {}}}]", "no operator; one of gte, lte, eq is needed"),
        ("all: [{ordered: {status: [recieved]}}]", "did you mean 'received'?"),
        ("all: [{ordered: {within: 3d, older_than: 7d}}]", "nobody can match: within 3d"),
        ('all: [{ordered: {hours: "22-02"}}]', "not a time of day"),
        ("all: [{opened: {label: tea}}]", "unknown key 'label'"),
        ("all: [{attribute: {name: skin}}]", "no operator; one of eq, in, not_in, gte, lte, known is needed"),
        ("all: [{attribute: {eq: dry}}]", "`name` is missing"),
        ("all: [{tag: {dimension: a, value: b, in: [c]}}]", "`value` and `in`: write one of them"),
        ("all: [{stage: {eq: loyl}}]", "did you mean 'loyal'?"),
        ('all: [{usual_hour: {hours: "10:10-10:50"}}]', "no full hour begins within 10:10-10:50"),
        ("all: [{cycle: {gte: 30d, lte: 2d}}]", "nobody can match: gte 30d is more than lte 2d"),
        ("all: [{affinity: {gte: 300}}]", "`category` or `brand` is missing"),
        ("all: [{reachable: {chanel: sms}}]", "unknown key 'chanel'; did you mean 'channel'?"),
        ("all: [{sample: 0%}]", "'0%' is not a share; write it as in 5%"),
        ("all: [{sample: 10}]", "'10' is not a share"),
        ("all: [{top: {by: amount, n: 3}}]", "`top` stands beside the conditions of an audience or a segment"),
        ("all: []\ntop: {by: amount}", "`n` is missing"),
        ("all: []\ntop: {by: affinity, n: 3}", "`category` or `brand` is missing"),
        ("all: []\ntop: {by: orders, n: 3, brand: x}", "`brand` says nothing beside `by: orders`"),
        ("all: []\ntop: {by: order, n: 3}", "did you mean 'orders'?"),
        ("all: [{joined_at: {after: 2026-13-01}}]", "'2026-13-01' is not a day"),
        ("all: [{joined_at: {within: 30}}]", "'30' is not a duration"),
        ("all: [{joined_at: {within: 3d, older_than: 7d}}]", "nobody can match: within 3d and older than 7d"),
        ("all: [{joined_at: {before: 2025-01-01, after: 2026-01-01}}]", "nobody can match: before 2025-01-01"),
        ("all: [{orders: {within: 30d}}]", "`gte` or `lte` is missing"),
        ("all: [{orders: {gte: 3, lte: 2}}]", "nobody can match: gte 3 is more than lte 2"),
        ("all: [{orders: {gte: 1.5}}]", "'1.5' stands where a whole number"),
        ("all: [{amount: {eq: 7}}]", "unknown operator 'eq'"),
        ("all: [{average_amount: {gte: 3, within: 3d}}]", "unknown operator 'within'"),
        ("all: [{grade: {in: [P, X]}}]", "unknown grade 'X'; known: B, G, P, S"),
        ("all: [{class: {eq: activ}}]", "'activ' is not known here; did you mean 'active'?"),
        ("all: [{segment: whp}]", "unknown segment 'whp'; did you mean 'who'?"),
        ("all: [{anchor: {status: [paid]}}]", "only its `still` can ask for it"),
        ("all: [{segment: who}]", "who.yaml:2:8: segments in a circle: who → who"),
        ("all: [" + ", ".join(["{city: {eq: a}}"] * 501) + "]", "501 conditions, segments unfolded; at most 500"),
        ("not: " + "{not: " * 24 + "{city: {eq: a}}" + "}" * 24, "26 deep in each other; at most 24"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_its_own_words(body: str, problem: str) -> None:
    found = problems(body)
    assert any(problem in each for each in found), found


@pytest.mark.parametrize("name", sorted(LATER))
def test_a_condition_of_the_wider_design_is_refused_by_name(name: str) -> None:
    (problem,) = problems(f"all: [{{{name}: {{x: 1}}}}]")
    assert problem == f"who.yaml:2:8: `{name}` is not supported yet [not-supported]"


def test_a_circle_of_segments_is_told_once_with_its_way() -> None:
    found = problems("all: [{segment: a}]", a="all: [{segment: b}]", b="any: [{segment: a}]")
    assert found == ["a.yaml:2:8: segments in a circle: a → b → a [segment-cycle]"]


def test_grades_are_those_of_the_policy() -> None:
    files = {
        "policy.yaml": "grading: {grades: {VIP: 30, Basis: 1}}\n",
        "segments/who.yaml": "kind: segment\nall: [{grade: {in: [VIP, Basic]}}]\n",
    }
    _, (problem,) = check(files)
    assert str(problem).startswith(
        "segments/who.yaml:2:8: unknown grade 'Basic'; did you mean 'Basis'?"
    )


def test_levels_are_those_of_the_membership() -> None:
    files = {
        "membership.yaml": "levels: [{name: Gold, threshold: {orders: 3}}]\n",
        "segments/who.yaml": "kind: segment\nall: [{membership: {level: [Gold, Glod]}}]\n",
    }
    _, (problem,) = check(files)
    assert str(problem).startswith(
        "segments/who.yaml:2:8: unknown level 'Glod'; did you mean 'Gold'?"
    )


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("{dimension: size, in: [110cm, '110']}", "unknown value of size '110'; did you mean '110cm'?"),
        ("{dimension: temper, value: 忠诚型}", "unknown value of temper '忠诚型'; known: loyal, picky"),
        ("{dimension: sise}", "unknown dimension 'sise'; did you mean 'size'?"),
    ],
)  # fmt: skip
def test_a_tag_that_nobody_can_have_is_told(asked: str, problem: str) -> None:
    tags = "dimensions:\n  size: {values: [110cm, 120cm]}\n  temper: {values: [picky, loyal]}\n"
    segment = f"kind: segment\nall: [{{tag: {asked}}}]\n"
    _, (found,) = check({"tagging.yaml": tags, "segments/who.yaml": segment})
    assert str(found) == f"segments/who.yaml:2:8: {problem} [unknown-tag]"
    assert check({"segments/who.yaml": segment})[1] == (), "where no tag is named, any may be there"


def test_groups_may_nest_as_deep_as_a_file_allows() -> None:
    tree = segment("all: [" + "{not: " * 14 + "{city: {eq: a}}" + "}" * 14 + "]").tree
    assert len(list(conditions_of(tree))) == 1


def test_top_and_sample_of_a_segment_stand_beside_its_groups() -> None:
    tree = segment("all: [{city: {eq: a}}]\nsample: 10%\ntop: {by: orders, n: 5, within: 30d}").tree
    assert isinstance(tree, Top) and tree.text == "top: {by: orders, n: 5, within: 30d}"
    assert tree.arguments == {"by": "orders", "n": 5, "within": Duration(30, "d")}
    assert shape(tree.child) == ("all", ("all", "city"), "sample")
    assert [each.position.line for each in conditions_of(tree)] == [2, 3]


def test_a_tree_that_is_good_has_only_conditions_and_groups() -> None:
    tree = segment("all: [{city: {eq: a}}]").tree
    assert isinstance(tree, Group) and isinstance(tree.children[0], Condition)
