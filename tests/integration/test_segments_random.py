"""Random trees over every condition, on both databases, against a naive evaluator in plain Python."""

from __future__ import annotations

import random

from sqlalchemy import select

from engine.audience.compiler import PEOPLE, Scope, matches, members, select_ids, with_cuts
from engine.definitions.segment import Top, Tree
from engine.store.session import Store
from engine.store.tables import customers
from tests.segment_reference import Reference
from tests.segment_shop import NOW, POLICY, ZONE, lay_down, make_shop
from tests.segment_trees import SEGMENTS, make_top, make_tree

SEED = 20261109
SCOPE = Scope(NOW, ZONE, POLICY, SEGMENTS)


def make_trees(number: int) -> list[Tree]:
    chance = random.Random(SEED)
    trees = [make_tree(chance, 3) for _ in range(number)]
    return [make_top(chance, tree) if chance.random() < 0.15 else tree for tree in trees]


def test_two_thousand_random_trees_select_whom_the_naive_evaluator_selects(store: Store) -> None:
    people = make_shop(SEED, 120)
    lay_down(store, people)
    reference = Reference(people, SEGMENTS)
    telling = 0
    with store.read() as connection:
        for number, tree in enumerate(make_trees(2000)):
            wanted = reference.select(tree)
            found = list(connection.execute(select_ids(tree, SCOPE)).scalars())
            assert len(found) == len(set(found))
            assert set(found) == wanted, f"seed {SEED}, tree {number}: {tree}"
            telling += 0 < len(wanted) < len(people)
    assert telling > 1000, "the trees must tell people apart, or this shows nothing"


def test_asked_of_a_few_or_of_everybody_the_answer_is_the_same(store: Store) -> None:
    lay_down(store, make_shop(SEED, 60))
    with store.read() as connection:
        for tree in make_trees(250):
            everybody = set(connection.execute(select_ids(tree, SCOPE)).scalars())
            one_by_one = select(customers.c.id).select_from(PEOPLE).where(matches(tree, SCOPE))
            assert set(connection.execute(one_by_one).scalars()) == everybody, tree
            fixed = with_cuts(connection, tree, SCOPE)
            in_pieces = select(customers.c.id).select_from(PEOPLE).where(matches(tree, fixed))
            assert set(connection.execute(in_pieces).scalars()) == everybody, tree


def test_whoever_was_selected_is_selected_when_asked_again_whatever_became_of_the_ranking(
    store: Store,
) -> None:
    lay_down(store, make_shop(SEED, 60))
    with store.read() as connection:
        for tree in make_trees(250):
            chosen = list(connection.execute(select_ids(tree, SCOPE)).scalars())
            assert members(connection, tree, SCOPE, chosen) == set(chosen), tree
            if isinstance(tree, Top):
                everyone = list(connection.execute(select(customers.c.id)).scalars())
                matching = set(connection.execute(select_ids(tree.child, SCOPE)).scalars())
                assert members(connection, tree, SCOPE, everyone) >= matching
