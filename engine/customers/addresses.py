"""One spelling per address: what is stored, hashed and sent to. Emails by RFC 5321 §4.1.2, phones by E.164."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import phonenumbers

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = re.compile(
    rf"{_ATOM}(?:\.{_ATOM})*@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
)
_PHONE = re.compile(r"\+?[\d\s().-]+")
_CHINESE_MOBILE = re.compile(r"1[3-9]\d{9}", re.ASCII)
_LONGEST_LOCAL_PART, _LONGEST_EMAIL = 64, 254


def normalise_email(text: str) -> str:
    """Trimmed and lower-cased, the domain in its ASCII form. Raises ValueError where no mail server would take it.

    >>> normalise_email("  Mei.Li@Example.COM ")
    'mei.li@example.com'
    """
    email = text.strip().lower()
    local, at, domain = email.rpartition("@")
    if at and not domain.isascii():
        try:
            email = f"{local}@{domain.encode('idna').decode()}"
        except UnicodeError:
            raise ValueError(f"{text!r} is not an e-mail address") from None
    if len(local) > _LONGEST_LOCAL_PART or len(email) > _LONGEST_EMAIL:
        raise ValueError(f"{text[:40]!r}… is too long for an e-mail address")
    if _EMAIL.fullmatch(email) is None:
        raise ValueError(f"{text!r} is not an e-mail address")
    return email


def email_domain(email: str) -> str:
    """The part after the @ of a normalised address."""
    return email.rpartition("@")[2]


def normalise_phone(text: str, region: str = "CN") -> str:
    """The number in E.164; one without a country code is in `region`. Raises ValueError.

    A number written with its country code needs the right length only: the library's tables of prefixes are always
    behind those of the countries.

    >>> normalise_phone("138 0013 8000")
    '+8613800138000'
    >>> normalise_phone("+44 7700 900123")
    '+447700900123'
    """
    phone = unicodedata.normalize("NFKC", text).strip()
    if region == "CN" and _CHINESE_MOBILE.fullmatch(phone):
        return "+86" + phone
    if _PHONE.fullmatch(phone) is None:
        raise ValueError(f"{text!r} is not a phone number")
    import phonenumbers  # everybody reads this module, few ever see a number from abroad

    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        raise ValueError(f"{text!r} is not a phone number") from None
    if not _is_fit(number, phone):
        raise ValueError(f"{text!r} is not a phone number (country code +{number.country_code})")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_fit(number: phonenumbers.PhoneNumber, written: str) -> bool:
    import phonenumbers

    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return False
    national = str(number.national_number)
    if number.country_code == 86 and _CHINESE_MOBILE.fullmatch(national):
        return True
    if written.startswith(("+", "00")) and number.country_code != 86:
        return True
    return phonenumbers.is_valid_number(number)
