"""Names of template files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from engine.definitions.campaign import Channel

_PATH = re.compile(
    r"templates/(email|sms)/([A-Za-z0-9_-]+)(?:\.([a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*))?\.(html|txt)\.j2"
)
_MAIN = {"email": "html", "sms": "txt"}


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template's path taken apart: `templates/CHANNEL/NAME[.LANGUAGE].ENDING.j2`."""

    channel: str
    name: str
    language: str | None
    ending: str


@lru_cache(maxsize=4096)
def template_file(path: str) -> TemplateFile | None:
    """The parts of a template's path, or None if it is another file.

    >>> template_file("templates/email/winback.en.html.j2")
    TemplateFile(channel='email', name='winback', language='en', ending='html')
    """
    match = _PATH.fullmatch(path)
    return TemplateFile(match[1], match[2], match[3], match[4]) if match else None


def template_names(paths: Iterable[str], channel: Channel) -> set[str]:
    """Names that a step may give: in any language. A .txt.j2 alone is only the other half of an email."""
    found = (template_file(path) for path in paths)
    return {
        one.name for one in found if one and one.channel == channel and one.ending == _MAIN[channel]
    }
