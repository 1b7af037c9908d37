"""Machines are told apart from people, and a person is never lost to a weak sign."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from engine.store.tables import Engagement
from engine.tracking.scanners import Click, Visit, bursts, why_scanner

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
WECHAT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.44(0x18002c2d) NetType/WIFI Language/zh_CN"
)
UC = (
    "Mozilla/5.0 (Linux; U; Android 13; zh-CN; V2243A) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/100.0.4896.58 UCBrowser/15.5.2 Mobile Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LATER = timedelta(minutes=5)
CLICKED, OPENED, VIEWED = Engagement.CLICKED, Engagement.OPENED, Engagement.VIEWED


@pytest.mark.parametrize("agent", [CHROME, IPHONE, WECHAT, UC, FIREFOX])
@pytest.mark.parametrize("after", [timedelta(seconds=2), LATER, timedelta(days=400), None])
def test_a_browser_that_follows_a_link_is_a_person(agent: str, after: timedelta | None) -> None:
    for kind in (CLICKED, VIEWED):
        assert why_scanner(kind, Visit("GET", agent, HTML), after) is None


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "Outlook-iOS/709.2226530.prod.iphone (3.24.1)",
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; ms-office; MSOffice 16)",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Foxmail 7.2", "QQMail/6.5.0", "",
    ],
)  # fmt: skip
def test_mail_programs_and_their_image_proxies_open_for_a_person(agent: str) -> None:
    assert why_scanner(OPENED, Visit("GET", agent or None, None), LATER) is None


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ("Barracuda Sentinel (EE)", "security scanner: barracuda"),
        ("Mozilla/5.0 (compatible; Mimecast URL Protect)", "security scanner: mimecast"),
        ("Microsoft Office Existence Discovery", "security scanner: existence discovery"),
        ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", "security scanner: ms-office"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/138.0 Safari/537.36", "robot"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "robot"),
        ("curl/8.5.0", "robot"),
        ("python-requests/2.32", "robot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "robot"),
        (None, "no user agent"),
        ("  ", "no user agent"),
    ],
)  # fmt: skip
def test_a_robot_that_follows_a_link_is_named(agent: str | None, reason: str) -> None:
    assert why_scanner(CLICKED, Visit("GET", agent, HTML), LATER) == reason


def test_apples_privacy_proxy_opens_for_nobody() -> None:
    assert why_scanner(OPENED, Visit("GET", "Mozilla/5.0", None), LATER) == "mail privacy proxy"


@pytest.mark.parametrize("kind", [CLICKED, OPENED, VIEWED])
def test_what_no_person_can_do_is_flagged_whatever_the_browser(kind: Engagement) -> None:
    assert why_scanner(kind, Visit("HEAD", CHROME, HTML), LATER) == "HEAD request"
    for header in ("sec-purpose", "purpose", "x-moz"):
        visit = Visit.of(
            "GET", {"user-agent": CHROME, "accept": HTML, header: "prefetch;prerender"}
        )
        assert why_scanner(kind, visit, LATER) == "prefetch"
    for seconds in (-1.5, 0.0, 0.4, 1.9):
        soon = why_scanner(kind, Visit("GET", CHROME, HTML), timedelta(seconds=seconds))
        assert soon == "too soon after sending"


def test_a_browser_asks_for_html_when_it_follows_a_link() -> None:
    assert why_scanner(CLICKED, Visit("GET", CHROME, None), LATER) == "no Accept header"
    assert why_scanner(CLICKED, Visit("GET", CHROME, "*/*"), LATER) == "does not ask for HTML"
    assert why_scanner(OPENED, Visit("GET", CHROME, "*/*"), LATER) is None


def test_a_clock_that_is_days_behind_makes_nobody_a_machine() -> None:
    assert why_scanner(CLICKED, Visit("GET", CHROME, HTML), timedelta(days=-3)) is None


START = datetime(2026, 11, 9, 10)


def clicks(*seconds_and_links: tuple[float, int]) -> list[Click]:
    return [
        Click(number, START + timedelta(seconds=seconds), link)
        for number, (seconds, link) in enumerate(seconds_and_links)
    ]


def test_three_different_links_within_two_seconds_are_a_burst_and_all_of_it_is_meant() -> None:
    assert bursts(clicks((0, 1), (0.5, 2), (1.2, 3), (1.3, 4))) == {0, 1, 2, 3}


def test_one_link_clicked_often_or_two_opened_in_tabs_is_a_person() -> None:
    assert bursts(clicks((0, 1), (0.2, 1), (0.4, 1), (0.6, 1))) == set()
    assert bursts(clicks((0, 1), (0.5, 2), (9, 3))) == set()


def test_a_person_who_clicks_long_after_the_burst_is_not_part_of_it() -> None:
    assert bursts(clicks((0, 1), (0.1, 2), (0.2, 3), (600, 1))) == {0, 1, 2}
