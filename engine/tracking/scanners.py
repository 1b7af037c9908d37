"""Who followed the link: a person, or a machine that looks before the person does.

Security gateways, link previews, prefetching browsers and mail privacy proxies open and click by themselves. Their
events are kept, flagged with the reason that this module gives, and left out of every rate. One weak sign is not
enough to lose a person's click: what is used here never comes from a browser that somebody sits in front of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from crawlerdetect import CrawlerDetect

from engine.store.tables import Engagement

TOO_SOON = timedelta(seconds=2)
"""Nobody receives, reads and clicks within this time of the sending; a gateway that checks links does."""

CLOCK_SLACK = timedelta(minutes=1)
"""A visit longer than this *before* the sending only says that two clocks differ (a rehearsal with `--now`)."""

BURST_LINKS = 3
BURST_WINDOW = timedelta(seconds=2)
"""So many different links of one message in so short a time: they are being checked, not read."""

BURST = "burst: many links at once"

_SECURITY = re.compile(
    r"barracuda|mimecast|proofpoint|safelinks|existence discovery|ms-office|trend ?micro|symantec|messagelabs"
    r"|fireeye|trellix|ironport|sophos|fortinet|fortimail|forcepoint|websense|kaspersky|bitdefender|zscaler"
    r"|cloudmark|vade|urldefense|checkpoint|mailmarshal|spamassassin|coremail|mailsecurity|linkscan",
    re.IGNORECASE,
)
_IMAGE_PROXY = re.compile(
    r"GoogleImageProxy|YahooMailProxy|Outlook-(iOS|Android)|ms-office", re.IGNORECASE
)
"""Mail programs and the proxies that fetch an image when the person opens the mail: a person's open."""

_APPLE_PRIVACY = "Mozilla/5.0"
"""The whole user agent of Apple's Mail Privacy Protection, which loads images whether or not anybody reads."""

_crawlers = CrawlerDetect()


@dataclass(frozen=True, slots=True)
class Visit:
    """What one request tells about its sender. Headers that were not sent are None."""

    method: str = "GET"
    agent: str | None = None
    accept: str | None = None
    purpose: str | None = None

    @classmethod
    def of(cls, method: str, headers: Mapping[str, str]) -> Visit:
        """From a request's method and its headers (names in lower case)."""
        purpose = headers.get("sec-purpose") or headers.get("purpose") or headers.get("x-moz")
        return cls(method, headers.get("user-agent"), headers.get("accept"), purpose)


def why_scanner(kind: Engagement, visit: Visit, after: timedelta | None) -> str | None:
    """Why this visit is taken for a machine's, or None for a person's.

    `after` is the time since the message was sent (None: unknown). A burst shows only over several visits: see
    `bursts`.

    >>> why_scanner(Engagement.CLICKED, Visit("HEAD"), None)
    'HEAD request'
    >>> why_scanner(Engagement.OPENED, Visit("GET", "Foxmail 7"), timedelta(minutes=5)) is None
    True
    """
    if visit.method == "HEAD":
        return "HEAD request"
    if visit.purpose and "prefetch" in visit.purpose.lower():
        return "prefetch"
    if after is not None and -CLOCK_SLACK <= after < TOO_SOON:
        return "too soon after sending"
    agent = (visit.agent or "").strip()
    if kind is Engagement.OPENED:
        return _why_image_robot(agent)
    return _why_page_robot(agent, visit.accept)


def _why_image_robot(agent: str) -> str | None:
    """Mail programs send what headers they like with an image, or none: only the agent's name counts."""
    if agent == _APPLE_PRIVACY:
        return "mail privacy proxy"
    if _IMAGE_PROXY.search(agent):
        return None
    return _named_robot(agent[:512])


def _why_page_robot(agent: str, accept: str | None) -> str | None:
    """A link opens in a browser, and every browser names itself and asks for HTML when it follows one."""
    if not agent:
        return "no user agent"
    named = _named_robot(agent[:512])
    if named:
        return named
    if accept is None:
        return "no Accept header"
    return None if "text/html" in accept.lower() else "does not ask for HTML"


@lru_cache(maxsize=4096)
def _named_robot(agent: str) -> str | None:
    # Cached: 220 µs each uncached, and a mailing's readers share a few hundred agents.
    security = _SECURITY.search(agent)
    if security:
        return f"security scanner: {security.group().lower()}"
    return "robot" if _crawlers.is_crawler(agent) else None


@dataclass(frozen=True, slots=True)
class Click:
    """A recorded click of one delivery, by the row's id."""

    id: int
    at: datetime
    link: int


def bursts(clicks: Iterable[Click]) -> set[int]:
    """The ids of those clicks of one delivery that belong to a burst, the first ones of it included.

    >>> at = datetime(2026, 11, 9, 10)
    >>> sorted(bursts(Click(n, at + timedelta(milliseconds=300 * n), link=n) for n in (1, 2, 3)))
    [1, 2, 3]
    >>> bursts(Click(n, at + timedelta(seconds=30 * n), link=n) for n in (1, 2, 3))
    set()
    """
    ordered = sorted(clicks, key=lambda click: click.at)
    found: set[int] = set()
    start = 0
    for end, click in enumerate(ordered):
        while click.at - ordered[start].at > BURST_WINDOW:
            start += 1
        window = ordered[start : end + 1]
        if len({one.link for one in window}) >= BURST_LINKS:
            found.update(one.id for one in window)
    return found
