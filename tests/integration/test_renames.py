"""A renamed definition is a new one, and says so before it sends again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from engine.definitions.loader import load
from engine.errors import DefinitionsError
from engine.foresight.apply import Applied, apply
from engine.foresight.plan import Plan, make_plan
from engine.settings import Settings
from engine.store.session import Store
from engine.store.tables import definitions, deliveries, links
from tests.shop import TEMPLATES, add_customer

NOW = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
SALE = """kind: campaign
class: transactional
schedule: {at: "2026-11-02T10:00"}
audience: {all: []}
steps: [{id: mail, email: {subject: 你好, template: hello}}]
"""


class Shop:
    """Three customers, and files that are planned and applied."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.settings = Settings(project=folder, address_key="k", secret_key="s")
        with store.write() as connection:
            for ref in ("a", "b", "c"):
                add_customer(connection, ref)

    def plan(self, files: Mapping[str, str]) -> Plan:
        return make_plan(self.store, load({**TEMPLATES, **files}), self.settings, NOW)

    def apply(self, files: Mapping[str, str]) -> Applied:
        return apply(self.store, load({**TEMPLATES, **files}), self.settings, NOW, by="test")

    def two_have_it(self) -> None:
        with self.store.write() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.customer_id < 3)
                .values(state="sent", admitted_at=NOW, ended_at=NOW)
            )


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def test_a_renamed_file_is_warned_of_with_how_many_would_get_it_again(shop: Shop) -> None:
    assert shop.apply({"campaigns/spring.yaml": SALE}).warnings == []
    shop.two_have_it()
    planned = shop.plan({"campaigns/fruehling.yaml": SALE})
    (warning,) = planned.warnings
    assert warning.startswith("campaigns/fruehling.yaml: has the same content as campaign 'spring'")
    assert "send again to those who had 'spring' (2 customers so far)" in warning
    assert f"warning: {warning}" in planned.as_text().splitlines()
    assert planned.as_json()["warnings"] == [warning]
    assert {change["what"] for change in planned.as_json()["changes"]} == {"added", "removed"}


def test_apply_tells_the_same_and_does_it_all_the_same(shop: Shop) -> None:
    shop.apply({"campaigns/spring.yaml": SALE})
    applied = shop.apply({"campaigns/sale.yaml": SALE})
    (warning,) = applied.as_json()["warnings"]
    assert f"warning: {warning}" in applied.as_text().splitlines()
    assert applied.planned == {"sale": 3}
    assert shop.apply({"campaigns/sale.yaml": SALE}).warnings == []


@pytest.mark.parametrize("content", [SALE, "# the same, mended\n" + SALE.replace("\n", "  \n")])
def test_a_file_that_was_removed_before_and_a_copy_are_warned_of_too(
    shop: Shop, content: str
) -> None:
    shop.apply({"campaigns/spring.yaml": SALE})
    assert len(shop.plan({"campaigns/spring.yaml": SALE, "campaigns/copy.yaml": content}).warnings) == 1  # fmt: skip
    shop.apply({})
    assert len(shop.plan({"campaigns/sale.yaml": content}).warnings) == 1


def test_new_content_and_a_file_that_came_back_are_not_warned_of(shop: Shop) -> None:
    shop.apply({"campaigns/spring.yaml": SALE})
    shop.apply({})
    assert shop.plan({"campaigns/spring.yaml": SALE}).warnings == []
    other = SALE.replace("2026-11-02T10:00", "2026-11-03T10:00")
    assert shop.plan({"campaigns/sale.yaml": other}).warnings == []


def linked(store: Store) -> dict[str, list[str]]:
    """The links of every version in force, by its name."""
    query = select(definitions.c.name, links.c.url).join(links, links.c.digest == definitions.c.digest)  # fmt: skip
    with store.read() as connection:
        found: dict[str, list[str]] = {}
        for name, url in connection.execute(query.where(definitions.c.current).order_by(links.c.number)):  # fmt: skip
            found.setdefault(name, []).append(url)
    return found


def test_a_new_version_brings_its_links_and_the_others_keep_theirs(shop: Shop) -> None:
    page = '<!DOCTYPE html><html><body><table width="640"><tr><td><a href="{url}">看看</a></td></tr></table></body></html>'
    one, two = (page.format(url=f"https://shop.example/{name}") for name in ("one", "two"))
    other = SALE.replace("hello", "other")
    files = {"campaigns/spring.yaml": SALE, "templates/email/hello.html.j2": one}
    shop.apply(files)
    assert linked(shop.store) == {"spring": ["https://shop.example/one"]}
    files |= {"campaigns/autumn.yaml": other, "templates/email/other.html.j2": two}
    shop.apply(files)
    assert linked(shop.store) == {
        "spring": ["https://shop.example/one"],
        "autumn": ["https://shop.example/two"],
    }
    with pytest.raises(DefinitionsError, match=r"other\.html\.j2"):
        shop.apply({**files, "templates/email/other.html.j2": two + "{{ nobody }}"})
    assert linked(shop.store)["autumn"] == ["https://shop.example/two"]
