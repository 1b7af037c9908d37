"""The demo's readers: some open, some click, a few unsubscribe, over HTTP and through the links of the
very mails that arrived. Who does what is drawn from a fixed seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from pathlib import Path

import httpx

from workers.demo.people import SEED

OPENS, CLICKS, LEAVES = 0.38, 0.13, 0.012
_CLICK = re.compile(r'href="(https?://[^"]+/c/[^"]+)"')
_PIXEL = re.compile(r'src="(https?://[^"]+/o/[^"]+\.gif)"')
_BROWSER = {
    "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
    "accept": "text/html,application/xhtml+xml,image/webp,*/*;q=0.8",
    "accept-language": "zh-CN,zh;q=0.9,en;q=0.8",
}


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of the inbox, as far as a reader needs it."""

    delivery: str
    recipient: str
    subject: str
    html: str
    unsubscribe: str | None


def read_mail(path: Path) -> Mail:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("html",))
    leave = str(message["List-Unsubscribe"] or "").strip("<> ")
    return Mail(
        delivery=str(message["X-Delivery-Id"]),
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        html=body.get_content() if body else "",
        unsubscribe=leave or None,
    )


def react(mails: Iterable[Mail]) -> None:
    """Let each mail's reader do what the dice say, over HTTP."""
    with httpx.Client(headers=_BROWSER, trust_env=False) as browser:
        for mail in mails:
            _reader(browser, mail, random.Random(f"{SEED}:{mail.recipient}:{mail.subject}"))


def _reader(browser: httpx.Client, mail: Mail, dice: random.Random) -> None:
    mood = dice.random()
    if mood < OPENS:
        _get(browser, _PIXEL.findall(mail.html)[:1])
    if mood < CLICKS:
        _get(browser, dice.sample(links, 1) if (links := _CLICK.findall(mail.html)) else [])
    if mood < LEAVES and mail.unsubscribe:
        browser.post(mail.unsubscribe, data={"List-Unsubscribe": "One-Click"})


def _get(browser: httpx.Client, urls: list[str]) -> None:
    for url in urls:
        browser.get(unescape(url), follow_redirects=False)
