"""SMS texts: signature, refusal wording, and figure 16: parts counted as published, cut without breaking a pair."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.definitions.campaign import Care, MessageClass, SmsContent, Step, Trigger
from engine.definitions.segment import EVERYONE
from engine.definitions.values import Duration
from engine.errors import Position, RenderingError
from engine.rendering.context import MessageData, customer_context
from engine.rendering.sms import Sms, SmsCompiler
from engine.rendering.sms_parts import split, units_of
from engine.settings import Settings, ShopSettings, SmsSettings

HERE = Position("care/thanks.yaml")
NOW = datetime(2026, 11, 9, 2, 0, tzinfo=UTC)
GSM_EXTENSION = "^{}\\[~]|€\f"
texts = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("茶🍵^€[aé\n")), max_size=700
)


def care(message_class: MessageClass = "care", **content: Any) -> Care:
    sms = SmsContent(template="thanks", position=HERE, **content)
    step = Step(id="main", channels=("sms",), email=None, sms=sms, position=HERE)
    trigger = Trigger(
        kind="birthday", status=None, delay=None, after=None, time=None, grace=Duration(2, "d"),
        position=HERE,
    )  # fmt: skip
    return Care(
        id="thanks", kind="care", message_class=message_class, priority=50, audience=EVERYONE,
        uses=frozenset(), steps=(step,), on_uncertain="leave", position=HERE, lines={},
        trigger=trigger,
    )  # fmt: skip


def data(**customer: Any) -> MessageData:
    row = {"ref": "1", "phone": "+8613800138000", **customer}
    return MessageData("0" * 20, "<1@x>", customer_context(row), None, [], NOW)


def settings(signature: str = "山海茶铺") -> Settings:
    return Settings(shop=ShopSettings(name="山海"), sms=SmsSettings(signature=signature))


def rendered(template: str, definition: Care | None = None, **customer: Any) -> Sms:
    definition = definition or care()
    compiler = SmsCompiler(settings(), {"templates/sms/thanks.txt.j2": template}, definition)
    language = customer.get("language")
    return compiler.compile(definition.steps[0], language).render(data(**customer))


@pytest.mark.parametrize(
    ("text", "domestic", "parts"),
    [
        ("字" * 70, True, 1),
        ("字" * 71, True, 2),
        ("字" * 134, True, 2),
        ("字" * 135, True, 3),
        ("x" * 160, True, 3),  # Aliyun: every character is 1, so 160 letters are three parts
        ("x" * 160, False, 1),  # 3GPP TS 23.038: 160 septets
        ("x" * 161, False, 2),
        ("x" * 306, False, 2),
        ("x" * 307, False, 3),
        ("€" * 80, False, 1),
        ("€" * 81, False, 2),
        ("ç" * 70, False, 1),  # small c cedilla is not in the alphabet: UCS-2
        ("ç" * 71, False, 2),
        ("字" * 134, False, 2),
        ("🍵" * 35, False, 1),
        ("🍵" * 36, False, 2),
        ("", False, 1),
    ],
)
def test_parts_are_counted_as_published(text: str, domestic: bool, parts: int) -> None:
    assert len(split(text, domestic=domestic).segments) == parts


@pytest.mark.parametrize(("pair", "domestic"), [("€", False), ("🍵", False), ("🍵", True)])
def test_a_pair_that_does_not_fit_moves_to_the_next_part(pair: str, domestic: bool) -> None:
    filler = "é" if pair == "€" else "字"
    size = 152 if pair == "€" else 66
    segments = split(filler * size + pair + filler * 100, domestic=domestic).segments
    assert segments[0] == filler * size
    assert segments[1].startswith(pair)


@given(texts, st.booleans())
def test_random_texts_reassemble_and_no_part_is_too_long(text: str, domestic: bool) -> None:
    result = split(text, domestic=domestic)
    single, multiple = (160, 153) if result.encoding == "gsm-7" else (70, 67)
    assert "".join(result.segments) == text
    limit = single if len(result.segments) == 1 else multiple
    assert all(units_of(segment, result.encoding) <= limit for segment in result.segments)
    assert sum(units_of(segment, result.encoding) for segment in result.segments) == result.units


@given(texts)
def test_encoding_each_part_by_itself_loses_nothing(text: str) -> None:
    result = split(text, domestic=False)
    if result.encoding == "gsm-7":
        septets = [_septets(segment) for segment in result.segments]
        assert all(len(part) <= 160 and (not part or part[-1] != "ESC") for part in septets)
    else:
        joined = b"".join(segment.encode("utf-16-be") for segment in result.segments)
        assert joined == text.encode("utf-16-be")


def _septets(text: str) -> list[str]:
    return [unit for c in text for unit in (["ESC", c] if c in GSM_EXTENSION else [c])]


def test_a_promotion_starts_with_the_signature_and_ends_with_how_to_refuse() -> None:
    sms = rendered("{{ customer.name }}，生日快乐！\n", name="小林")
    assert sms.text == "【山海茶铺】小林，生日快乐！拒收请回复R"
    assert (sms.sms_type, sms.encoding, sms.parts) == ("promotion", "domestic", 1)


def test_a_signature_or_a_refusal_that_is_there_is_not_put_twice() -> None:
    assert rendered("【山海茶铺】谢谢 拒收请回复R").text == "【山海茶铺】谢谢 拒收请回复R"


def test_the_shops_name_signs_where_no_signature_is_set() -> None:
    definition = care()
    compiler = SmsCompiler(settings(""), {"templates/sms/thanks.txt.j2": "谢谢"}, definition)
    assert (
        compiler.compile(definition.steps[0], None).render(data()).text.startswith("【山海】谢谢")
    )


def test_a_link_at_the_end_does_not_run_into_the_refusal() -> None:
    assert rendered("看这里 https://a.example/b").text.endswith("/b 拒收请回复R")


def test_a_notice_has_no_refusal_and_may_not_have_one() -> None:
    assert rendered("已发货", care("transactional")).text == "【山海茶铺】已发货"
    with pytest.raises(RenderingError, match=r"thanks\.txt\.j2:2:1: a notice must not"):
        rendered("已发货\n退订回T", care("transactional"))


def test_a_template_may_say_in_its_own_language_how_to_refuse() -> None:
    files = {
        "templates/sms/thanks.txt.j2": "谢谢",
        "templates/sms/thanks.en.txt.j2": "Thanks. Reply STOP to opt out",
    }
    definition = care()
    compiled = SmsCompiler(settings("Tea"), files, definition).compile(definition.steps[0], "en-GB")
    assert compiled.render(data()).text == "【Tea】Thanks. Reply STOP to opt out"


def test_a_text_with_more_parts_than_allowed_is_an_error_and_not_sent() -> None:
    with pytest.raises(RenderingError, match=r"takes 2 parts .* max_parts is 1"):
        rendered("{{ customer.name }}", care(max_parts=1), name="长" * 60)


def test_a_name_cannot_forge_a_signature_a_line_or_a_template() -> None:
    sms = rendered("{{ customer.name }}好", name="【银行】\r\n{{ 7*7 }}\x00\ud800")
    assert sms.text == "【山海茶铺】[银行]  {{ 7*7 }} 好拒收请回复R"


def test_numbers_outside_china_are_counted_by_the_gsm_rules() -> None:
    definition = care("transactional")
    files = {"templates/sms/thanks.txt.j2": "Hello {{ customer.name }}"}
    compiled = SmsCompiler(settings("Tea"), files, definition).compile(definition.steps[0], None)
    assert compiled.render(data(phone="+447911123456")).encoding == "ucs-2"  # 【】 are not GSM-7
    assert compiled.render(data(phone="+8613800138000")).encoding == "domestic"


def test_a_misspelt_name_is_an_error_with_its_place() -> None:
    with pytest.raises(RenderingError, match=r"templates/sms/thanks\.txt\.j2:2:1: .*nmae"):
        rendered("你好\n{{ customer.nmae }}")


def test_a_missing_template_or_broken_syntax_is_an_error_with_its_place() -> None:
    definition = care()
    with pytest.raises(RenderingError, match=r"care/thanks\.yaml:1:1: there is no templates/sms"):
        SmsCompiler(settings(), {}, definition).compile(definition.steps[0], None)
    with pytest.raises(RenderingError, match=r"templates/sms/thanks\.txt\.j2:2:1: "):
        rendered("你好\n{% if %}")
