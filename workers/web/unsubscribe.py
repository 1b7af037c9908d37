"""`/u/TOKEN`: GET shows what one would leave, POST leaves. RFC 8058: no redirect, no cookie, no login, no script."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.definitions.campaign import MessageClass
from engine.pages.words import language_of, words
from engine.tokens import Purpose
from engine.tracking.optout import WITHDRAWABLE, Subscriber, find_subscriber, unsubscribe
from workers.web.answers import letter
from workers.web.forms import read_form
from workers.web.site import delivery_of, site_of

ONE_CLICK = "List-Unsubscribe=One-Click"
_CHOICES: Mapping[str, tuple[MessageClass, ...]] = {
    "all": WITHDRAWABLE,
    "marketing": ("marketing",),
}


async def show(request: Request) -> Response:
    """The page before: reads, and changes nothing."""
    delivery = delivery_of(request, Purpose.UNSUBSCRIBE)
    subscriber = await site_of(request).read(
        lambda connection: find_subscriber(connection, delivery)
    )
    if subscriber is None:
        raise HTTPException(404)
    if subscriber.is_out:
        return _left(request, subscriber, subscriber.withdrawn, again=True)
    return letter(
        request, "unsubscribe", language=_language(request, subscriber), channel=subscriber.channel,
        address=subscriber.address, withdrawn=subscriber.withdrawn,
    )  # fmt: skip


async def leave(request: Request) -> Response:
    """One click of a mail program, or the button of the page."""
    delivery = delivery_of(request, Purpose.UNSUBSCRIBE)
    form = await read_form(request)
    choice = _choice(form)
    if choice is None:
        raise HTTPException(400)
    site, at = site_of(request), site_of(request).clock.now()

    def work(connection: Connection) -> tuple[Subscriber, frozenset[str]] | None:
        subscriber = find_subscriber(connection, delivery)
        if subscriber is None:
            return None
        wording = _wording(form, subscriber, _language(request, subscriber))
        return subscriber, unsubscribe(
            connection, subscriber, _CHOICES[choice], at=at, wording=wording
        )

    done = await site.write(work)
    if done is None:
        raise HTTPException(404)
    subscriber, withdrawn = done
    return _left(request, subscriber, withdrawn, again=withdrawn == subscriber.withdrawn)


def _choice(form: Mapping[str, str]) -> str | None:
    """`all` for a one-click; else what the page's form says; None for a body that asks for neither."""
    if form.get("List-Unsubscribe", "").strip().lower() == "one-click":
        return "all"
    chosen = form.get("leave", "")
    return chosen if chosen in _CHOICES else None


def _wording(form: Mapping[str, str], subscriber: Subscriber, language: str) -> str:
    """What the person was shown when agreeing: for the ledger."""
    if "leave" not in form:
        return ONE_CLICK
    texts = words(language_of(language))
    key = f"leave_{form['leave']}"
    if "marketing" in subscriber.withdrawn:
        key = "leave_care"
    return f"{texts[key]}: {texts[key + '_more']} [{texts['leave_button']}]"


def _left(
    request: Request, subscriber: Subscriber, withdrawn: frozenset[str], *, again: bool
) -> Response:
    return letter(
        request, "unsubscribed", language=_language(request, subscriber), channel=subscriber.channel,
        address=subscriber.address, withdrawn=withdrawn, again=again,
    )  # fmt: skip


def _language(request: Request, subscriber: Subscriber) -> str:
    return subscriber.language or site_of(request).settings.shop.language
