"""How many parts a text message costs, and where it is cut.

Three profiles. `domestic` (Chinese gateways): every character counts 1, 70 in a single message, 67 in each part of a long
one. `gsm-7` (3GPP TS 23.038): 160 or 153 septets, the extension characters cost two. `ucs-2`: 70 or 67 UTF-16 units. A
character outside the basic plane takes two units in `domestic` and `ucs-2`, and is never cut in the middle; nor is an
escape pair in `gsm-7`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Encoding = Literal["domestic", "gsm-7", "ucs-2"]

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_SIZES: dict[Encoding, tuple[int, int]] = {
    "domestic": (70, 67),
    "gsm-7": (160, 153),
    "ucs-2": (70, 67),
}


@dataclass(frozen=True, slots=True)
class Split:
    """`segments` put together again are the text. `units`: characters as the profile counts them."""

    encoding: Encoding
    units: int
    segments: tuple[str, ...]


def split(text: str, *, domestic: bool) -> Split:
    """Cut a text into what is sent as one message each; one part even if it is empty.

    >>> len(split("x" * 160, domestic=False).segments), len(split("x" * 160, domestic=True).segments)
    (1, 3)
    """
    encoding = _encoding(text, domestic)
    single, multiple = _SIZES[encoding]
    units = units_of(text, encoding)
    if units <= single:
        return Split(encoding, units, (text,))
    return Split(encoding, units, tuple(_cut(text, encoding, multiple)))


def units_of(text: str, encoding: Encoding) -> int:
    """The length that is billed: septets or UTF-16 units.

    >>> units_of("10€", "gsm-7"), units_of("茶🍵", "ucs-2")
    (4, 3)
    """
    return len(text) + sum(_is_double(character, encoding) for character in text)


def _encoding(text: str, domestic: bool) -> Encoding:
    if domestic:
        return "domestic"
    if all(character in _BASIC or character in _EXTENSION for character in text):
        return "gsm-7"
    return "ucs-2"


def _is_double(character: str, encoding: Encoding) -> bool:
    return character in _EXTENSION if encoding == "gsm-7" else character > "\uffff"


def _cut(text: str, encoding: Encoding, size: int) -> list[str]:
    segments, start, room = [], 0, size
    for index, character in enumerate(text):
        width = 2 if _is_double(character, encoding) else 1
        if width > room:
            segments.append(text[start:index])
            start, room = index, size
        room -= width
    segments.append(text[start:])
    return segments
