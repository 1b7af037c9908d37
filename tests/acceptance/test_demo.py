"""`yanshu demo` as a stranger runs it: its summary, its inbox, its tables; a click and an opt-out in what it leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from engine.clock import parse_moment
from engine.store.session import Store
from engine.store.tables import customers, deliveries
from tests.acceptance.project import Project, free_port, wait_for

EVENING = ("--now", "2026-11-12T22:30")


def run_demo(here: Path) -> Path:
    """The demo in a directory of its own, without a terminal; where it put its things."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("YANSHU_")}
    done = subprocess.run(
        [sys.executable, "-m", "workers.demo"], cwd=here, env=kept, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return here / "var" / "demo"


def shop(demo: Path, **more: str) -> Project:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("YANSHU_")}
    root = demo / "shop"
    database = f"sqlite:///{root / 'var' / 'yanshu.db'}"
    environment = kept | {"YANSHU_PROJECT": str(root), "YANSHU_DATABASE_URL": database, **more}
    return Project(root, environment)


def mails(demo: Path) -> list[EmailMessage]:
    found = []
    for path in (demo / "shop" / "var" / "inbox").glob("*.eml"):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def test_the_demo_keeps_what_it_says(tmp_path: Path) -> None:
    """One test, so that the demo runs once: it takes the usual ports."""
    demo = run_demo(tmp_path)
    check_each_email_is_in_the_inbox_once(demo)
    check_its_pages_stand_alone(demo)
    check_whom_it_says_to_ask_about(demo)
    with web_of(demo) as (project, address):
        check_one_click_stops_the_next_message(demo, project, address)


def check_each_email_is_in_the_inbox_once(demo: Path) -> None:
    summary = json.loads((demo / "summary.json").read_text())
    arrived = Counter(str(mail["X-Delivery-Id"]) for mail in mails(demo))
    with shop(demo).store() as store, store.read() as connection:
        by_mail = (deliveries.c.state == "sent") & (deliveries.c.channel == "email")
        sent = set(connection.execute(select(deliveries.c.public_id).where(by_mail)).scalars())
    assert set(arrived) == sent
    assert set(arrived.values()) == {1}
    assert summary["sent"] >= len(sent) > 500
    assert summary["opened"] > summary["clicked"] > summary["unsubscribed"] > 0


def check_its_pages_stand_alone(demo: Path) -> None:
    summary = json.loads((demo / "summary.json").read_text())
    assert set(summary["files"]) == {"report", "inbox", "project", "summary"}
    for page in ("report.html", "inbox.html"):
        text = (demo / page).read_text(encoding="utf-8")
        assert "<script" not in text.lower()
        assert re.search(r"<(link|img|script)[^>]+https?://(?!127\.0\.0\.1)", text) is None
    running = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    assert str(demo) not in running


def check_whom_it_says_to_ask_about(demo: Path) -> None:
    customer = json.loads((demo / "summary.json").read_text())["ask_about"]
    told = shop(demo).yanshu("explain", "customer", customer, *EVENING).stdout
    assert "unsubscribed" in told
    assert " sent " in told


@contextmanager
def web_of(demo: Path) -> Iterator[tuple[Project, str]]:
    """The demo shop's web server, on the evening of its last day."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    project = shop(demo, YANSHU_WEB__PORT=str(port), YANSHU_PUBLIC_URL=address)
    server = project.start("web", *EVENING)
    wait_for(lambda: _answers(address), "the web server")
    yield project, address
    server.terminate()
    server.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def check_one_click_stops_the_next_message(demo: Path, project: Project, address: str) -> None:
    """One-click unsubscribe stops the next message to that person, and `explain` says why."""
    person, leave = _someone_with_a_planned_message(demo, project)
    answer = httpx.post(
        address + leave,
        data={"List-Unsubscribe": "One-Click"},
        trust_env=False,
        follow_redirects=False,
    )
    assert answer.status_code == 200
    _send_everything_planned(project)
    told = project.json("explain", "customer", person, *EVENING)
    skipped = [
        one
        for one in told["decisions"]
        if one["verdict"] == "skip" and one["reason"] == "no consent"
    ]
    assert skipped, told["decisions"]
    assert leave not in json.dumps(told)


def _someone_with_a_planned_message(demo: Path, project: Project) -> tuple[str, str]:
    """A customer who got a mail with an unsubscribe link and has a marketing or care mail still planned."""
    planned = (
        select(deliveries.c.customer_id)
        .where(deliveries.c.state == "planned", deliveries.c["class"].in_(("marketing", "care")))
        .scalar_subquery()
    )
    query = (
        select(deliveries.c.public_id, customers.c.ref)
        .join(customers)
        .where(
            deliveries.c.state == "sent", customers.c.id.in_(planned), customers.c.phone.is_(None)
        )
    )
    with project.store() as store, store.read() as connection:
        refs: dict[str, str] = {row.public_id: row.ref for row in connection.execute(query)}
    for mail in mails(demo):
        if mail["List-Unsubscribe"] and str(mail["X-Delivery-Id"]) in refs:
            link = str(mail["List-Unsubscribe"]).strip("<>")
            return refs[str(mail["X-Delivery-Id"])], "/u/" + link.partition("/u/")[2]
    raise AssertionError("the demo left nobody with a mail to come")


def _send_everything_planned(project: Project) -> Any:
    """Bring the planned messages forward to now, and let the daemon work them off."""
    opened = Store(project.environment["YANSHU_DATABASE_URL"])
    now = "2026-11-12T22:30+08:00"
    with opened.write() as connection:
        moment = parse_moment(now, "Asia/Shanghai")
        connection.execute(
            deliveries.update()
            .where(deliveries.c.state == "planned")
            .values(due_at=moment, next_at=moment)
        )
    opened.close()
    return project.yanshu("up", "--until-idle", "--now", now)
