"""Which language of a template a customer gets: theirs, else the shop's, else the file without a language."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.definitions.campaign import Channel
from engine.rendering.environment import folder

SUFFIX: Mapping[Channel, str] = {"email": ".html.j2", "sms": ".txt.j2"}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def languages(files: Mapping[str, str], channel: Channel, template: str) -> tuple[str, ...]:
    """The languages in which a template is there, sorted; "" is the file without a language.

    >>> languages({"templates/sms/hi.txt.j2": "", "templates/sms/hi.en.txt.j2": ""}, "sms", "hi")
    ('', 'en')
    """
    start, suffix = f"{folder(channel)}{template}", SUFFIX[channel]
    found = set()
    for path in files:
        if path.startswith(start) and path.endswith(suffix):
            middle = path[len(start) : -len(suffix)]
            if middle == "":
                found.add("")
            elif middle[0] == "." and _LANGUAGE.fullmatch(middle[1:]):
                found.add(middle[1:])
    return tuple(sorted(found))


def choose(available: tuple[str, ...], wanted: str | None, shop: str) -> str | None:
    """The best of the available languages, or None if there is none at all.

    >>> choose(("", "en"), "en-GB", "zh"), choose(("", "en"), "fr", "zh"), choose(("en",), "fr", "de")
    ('en', '', 'en')
    """
    for language in (wanted or "", shop):
        tag = language.replace("_", "-")
        while tag:
            if tag in available:
                return tag
            tag = tag.rpartition("-")[0]
    return available[0] if available else None


def path_of(channel: Channel, template: str, language: str, suffix: str | None = None) -> str:
    """The file of one variant.

    >>> path_of("email", "winback", "en")
    'templates/email/winback.en.html.j2'
    """
    dotted = f".{language}" if language else ""
    return f"{folder(channel)}{template}{dotted}{suffix or SUFFIX[channel]}"
