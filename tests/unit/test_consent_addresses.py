"""Emails and phones come down to one spelling, and what no server would take is refused."""

from __future__ import annotations

import pytest

from engine.customers.addresses import normalise_email, normalise_phone


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a@example.com", "a@example.com"),
        (" A.B+C@Example.CO.UK\t", "a.b+c@example.co.uk"),
        ("o'neil_1@sub.example.museum", "o'neil_1@sub.example.museum"),
        ("info@münchen.example", "info@xn--mnchen-3ya.example"),
    ],
)
def test_an_email_is_trimmed_and_lower_cased(written: str, kept: str) -> None:
    assert normalise_email(written) == kept


@pytest.mark.parametrize(
    "written",
    ["", "@", "a@", "@example.com", "a b@example.com", "a@b@example.com", "a@example", "a@-x.com",
     "a..b@example.com", ".a@example.com", "a@example..com", "a@1.2.3.4", "名@example.com",
     "a@example.com\r\nBcc: b@example.com", "a" * 65 + "@example.com", "a@" + "b" * 250 + ".com",
     "a@exa\0mple.com", "<a@example.com>", "a@\udcff.com"],
)  # fmt: skip
def test_what_is_not_an_email_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        normalise_email(written)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("13800138000", "+8613800138000"),
        ("+86 138-0013-8000", "+8613800138000"),
        ("008613800138000", "+8613800138000"),
        ("１３８００１３８０００", "+8613800138000"),
        ("19412345678", "+8619412345678"),  # a range younger than some prefix tables
        ("010-6234 5678", "+861062345678"),
        ("+1 (202) 555-0123", "+12025550123"),
        ("+44 7700 900123", "+447700900123"),
    ],
)
def test_a_phone_becomes_e164(written: str, kept: str) -> None:
    assert normalise_phone(written) == kept


@pytest.mark.parametrize(
    "written",
    ["", "abc", "1380013800", "138001380000", "138****8000", "+8613800138", "12345", "+999123456789",
     "13800138000 ext. 5", "1-800-FLOWERS"],
)  # fmt: skip
def test_what_is_not_a_phone_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="phone number"):
        normalise_phone(written)


def test_a_region_can_be_another() -> None:
    assert normalise_phone("030 901820", "DE") == "+4930901820"
