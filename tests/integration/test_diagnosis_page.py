"""The diagnosis as people and programs get it: the page stands alone and is safe, the command answers in one document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from engine.cli.app import run
from engine.definitions.policy import Policy
from engine.insight.diagnosis import Diagnosis, diagnose
from engine.insight.diagnosis.page import diagnosis_page
from engine.pages.diagnosis_words import DIAGNOSIS_EN, DIAGNOSIS_ZH
from engine.settings import ShopSettings
from engine.store.session import Store
from tests.diagnosis_reference import cdnow
from tests.integration.test_diagnosis import NEW_YORK, UNKNOWN, lay_down, seeded
from tests.shop import add_customer, add_order

NOW = datetime(2026, 11, 9, 3, tzinfo=UTC)
POLICY = Policy(timezone=NEW_YORK, unknown_consent=UNKNOWN)  # type: ignore[arg-type]
CHAPTERS = {
    "people", "grades", "repurchase", "steps", "cohorts", "revenue", "hours", "regions", "goods",
    "reach",
}  # fmt: skip


def page(found: Diagnosis, language: str = "zh", name: str = "山与豆") -> LexborHTMLParser:
    return LexborHTMLParser(diagnosis_page(found, ShopSettings(name=name, language=language)))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_holds_every_chapter_with_its_sentence(store: Store, language: str) -> None:
    seeded(store, NOW)
    shown = page(diagnose(store, POLICY, NOW), language)
    assert {node.attributes["id"] for node in shown.css("section[id]")} == CHAPTERS
    for chapter in shown.css("section[id]"):
        said = chapter.css_first("p.say")
        assert said is not None
        assert len(said.text()) > 20
        assert "{" not in said.text()
    assert len(shown.css("#hours rect")) == 7 * 24
    text = shown.text()
    assert not re.search(r"\bNone\b|\bnan\b|Undefined", text)


def test_the_page_needs_no_network_and_no_script(store: Store) -> None:
    seeded(store, NOW, people=40)
    text = diagnosis_page(diagnose(store, POLICY, NOW), ShopSettings())
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://|\son\w+=", text)


def test_names_from_customers_data_are_text_on_the_page_and_on_the_terminal(store: Store) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m{{ 7*7 }}"
    with store.write() as connection:
        one = add_customer(connection, "1", province=hostile, city=hostile)
        add_order(connection, one, "1", NOW - timedelta(days=1))
    found = diagnose(store, POLICY, NOW)
    shown = page(found, name=hostile)
    assert shown.css("script") == []
    region = shown.css_first("#regions b")
    assert region is not None
    assert region.text() == hostile
    from engine.cli.diagnosing import as_text

    assert "\x1b" not in as_text(found)
    assert "{{ 7*7 }}" in as_text(found)


def test_an_empty_shop_has_a_page_that_says_so(store: Store) -> None:
    assert "还没有成交的订单" in page(diagnose(store, POLICY, NOW)).text()


def test_dates_without_hours_leave_the_chart_out_and_say_why(store: Store) -> None:
    lay_down(store, [order for order in cdnow() if order[0].endswith("07")], NEW_YORK)
    shown = page(diagnose(store, POLICY, datetime(1998, 6, 30, 12, tzinfo=UTC)))
    hours = shown.css_first("#hours")
    assert hours is not None
    assert "订单只有日期、没有钟点" in hours.text()
    assert hours.css("rect") == []


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    def places(texts: Mapping[str, str]) -> dict[str, set[str]]:
        return {name: set(re.findall(r"\{(\w+)\}", text)) for name, text in texts.items()}

    assert places(DIAGNOSIS_ZH) == places(DIAGNOSIS_EN)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = run(words)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_diagnose_answers_in_one_document_and_writes_the_page_without_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = tmp_path / "shop"
    answer(capsys, "init", str(shop))
    common = ("--project", str(shop), "--now", "2026-11-09T10:00+08:00")
    (tmp_path / "c.csv").write_text("id,province\n1,浙江\n2,上海\n3,\n4,\n5,\n", encoding="utf-8")
    (tmp_path / "o.csv").write_text(
        "id,customer_id,status,placed_at,amount\na,1,received,2026-01-02 21:30,100\n"
        "b,1,received,2026-02-01 21:40,50.50\nc,2,paid,2026-11-08 09:00,8\n",
        encoding="utf-8",
    )
    for kind in ("customers", "orders"):
        answer(capsys, "import", kind, str(tmp_path / f"{kind[0]}.csv"), *common)
    target = tmp_path / "page.html"
    found: dict[str, Any] = json.loads(
        answer(capsys, "diagnose", "--html", str(target), "-o", "json", *common)
    )
    assert found["schema_version"] == 1
    assert {field.name for field in fields(Diagnosis)} <= set(found)
    assert found["repurchase"]["within"]["30"] == 0.5  # of two that were watched so long
    assert found["revenue"]["amount"] == 158_50
    steps = [(step["purchase"], step["customers"], step["went_on"]) for step in found["steps"]]
    assert steps == [(0, 5, 2), (1, 2, 1), (2, 1, 0)]
    assert found["hours"]["orders"][6] == [0] * 9 + [1] + [0] * 11 + [1] + [0] * 2
    shown = LexborHTMLParser(target.read_text(encoding="utf-8"))
    assert (title := shown.css_first("title")) is not None and title.text().startswith("店铺诊断")
    assert (funnel := shown.css_first("#steps")) is not None
    assert "5 位顾客里，40% 成了买家" in funnel.text()
    assert re.search(r"所有顾客\s+5\s+第 1 次购买\s+2上一步的 40%", funnel.text())
    assert "50%" in shown.css(".tiles dd")[1].text()
    text = answer(capsys, "diagnose", *common)
    assert "# How soon they buy again" in text
    assert re.search(r"all customers +5 +2 +40\.0% +–", text)
    assert run(["diagnose", "--html", str(tmp_path / "no" / "page.html"), *common]) == 1
    assert "page.html: No such file" in capsys.readouterr().err
