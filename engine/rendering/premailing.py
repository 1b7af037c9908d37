"""premailer as we use it: quiet, without the network, each style sheet read once."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import cssutils

from engine.imports import postponed

with postponed("requests"):  # for style sheets from the network, which nothing here may fetch
    from premailer import Premailer

OPTIONS: Mapping[str, Any] = {
    "allow_network": False,
    "strip_important": False,
    "disable_validation": True,
    "cssutils_logging_level": logging.CRITICAL,
}

# What is no CSS stays as it is, unjudged. premailer has `style` attributes judged all the same, and to compile the
# grammars of CSS for that takes longer than to inline a template.
cssutils.profile.removeProfile(all=True)


class Inliner(Premailer):  # type: ignore[misc]  # premailer brings no types
    """Reads each style sheet once, and writes what stays of it once: four fifths of premailer's work.

    Both orders, all samples, and the messages that are inlined one by one, bring the same style sheet every time.
    """

    def _parse_style_rules(self, css_body: str, ruleset_index: int) -> Any:
        return _rules(css_body, ruleset_index)

    def _css_rules_to_string(self, rules: Iterable[Hashable]) -> str:
        return _written(tuple(rules))


_SHEETS = Premailer("", **OPTIONS)


@lru_cache(maxsize=64)
def _rules(css: str, index: int) -> Any:
    return _SHEETS._parse_style_rules(css, index)


@lru_cache(maxsize=64)
def _written(rules: tuple[Hashable, ...]) -> str:
    return str(_SHEETS._css_rules_to_string(rules))
