"""Delivery reports of the development gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from engine.clock import Clock
from engine.settings import SmsSettings
from engine.store.session import Store
from engine.store.tables import engagements
from tests.mailing import NOW, SETTINGS, SIGNER, sent_message
from workers.web.app import create_app


def post(store: Store, gateway: str = "development", **content: Any) -> int:
    """POST to the hook in this process; the status."""
    sms = SmsSettings(gateway=gateway, url="http://127.0.0.1:1/sms")  # type: ignore[arg-type]
    settings = SETTINGS.model_copy(update={"sms": sms})
    app = create_app(store, settings, SIGNER, Clock.starting_at(NOW))

    async def ask() -> int:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as browser:
            return (await browser.post("/hooks/development", **content)).status_code

    return asyncio.run(ask())


def test_a_report_that_comes_twice_is_kept_once(store: Store) -> None:
    with store.write() as connection:
        delivery = sent_message(connection)
    for _ in range(2):
        report = {"event": "delivered", "reference": f"{delivery}-1"}
        assert post(store, json=report) == 204
    with store.read() as connection:
        kept = connection.execute(select(engagements.c.kind, func.count()).group_by("kind")).all()
    assert [tuple(row) for row in kept] == [("delivered", 1)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (b'{"event": "opened", "reference": "x-1"}', 400),
        (b'{"event": "delivered", "reference": "never-1"}', 404),
        (b'{"event": "delivered", "reference": "%b-9"}', 404),
        (b"x" * 20_000, 413),
    ],
)
def test_other_reports_are_refused(store: Store, body: bytes, status: int) -> None:
    with store.write() as connection:
        delivery = sent_message(connection)
    assert post(store, content=body.replace(b"%b", delivery.encode())) == status


def test_there_is_no_such_door_without_the_development_gateway(store: Store) -> None:
    report = {"event": "delivered", "reference": "x-1"}
    assert post(store, "none", json=report) == 404
