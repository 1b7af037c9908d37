"""The demo's days: import what the shop exports, let the daemon run, let readers react, and sum up.

Everything it does on the way is a command that anybody can type; it prints them. Nothing is left running.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import Connection, and_, func, select

from engine.cli import main as yanshu
from engine.clock import parse_moment
from engine.customers.importing.files import import_file
from engine.definitions.loader import load, read_files
from engine.errors import YanshuError
from engine.insight.funnel import report
from engine.insight.report import report_page
from engine.settings import PROJECT_FILE, Settings, load_settings
from engine.store.session import Store
from engine.store.tables import Engagement, customers, deliveries, engagements
from workers.demo.people import Shop
from workers.demo.readers import Mail, react, read_mail
from workers.demo.station import DemoClock, Station, running
from workers.inbox.page import static_page
from workers.logs import configure
from workers.supervisor import answers

ZONE = "Asia/Shanghai"
FIRST_DAY, DAYS = datetime(2026, 11, 6), 7  # noqa: DTZ001 - the shop's wall clock
SENDING, READING = timedelta(hours=19, minutes=30), timedelta(hours=22)


@dataclass
class Demo:
    """One run of the demo in `root` (var/demo)."""

    root: Path
    console: Console = field(default_factory=lambda: Console(highlight=False))
    seen: set[Path] = field(default_factory=set)

    @property
    def project(self) -> Path:
        return self.root / "shop"

    def run(self) -> int:
        started = time.monotonic()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        self._yanshu("init", str(self.project))
        os.environ["YANSHU_PROJECT"] = str(self.project)
        self._prepare()
        _settle_ports(self.project / PROJECT_FILE)
        settings = load_settings(self.project)
        with running(settings, DemoClock()) as station:
            self._live_through(settings, station)
            return self._sum_up(settings, station.store, time.monotonic() - started)

    def _prepare(self) -> None:
        shop = Shop.load()
        customers, orders = self.root / "customers.csv", self.root / "orders.csv"
        shop.write_customers(customers)
        shop.write_orders(orders, now=FIRST_DAY)
        morning = ["--now", FIRST_DAY.isoformat()]
        self._yanshu("import", "customers", str(customers), *morning)
        self._yanshu("import", "orders", str(orders), *morning)
        self._yanshu("plan", "--days", str(DAYS), *morning)
        self._yanshu("apply", "--yes", *morning)

    def _live_through(self, settings: Settings, station: Station) -> None:
        shop = Shop.load()
        policy = load(read_files(self.project)).policy
        self.console.print(
            "\nSeven days, an evening each: the shop's export, what is due, the readers."
        )
        for number in range(DAYS):
            day = FIRST_DAY + timedelta(days=number)
            export = self.root / "orders.csv"
            shop.write_orders(export, now=day + SENDING, since=day - timedelta(days=45))
            now = parse_moment((day + SENDING).isoformat(), ZONE)
            station.clock.set(now)
            import_file(station.store, "orders", export, settings=settings, policy=policy, now=now)
            station.work_off()
            station.clock.set(parse_moment((day + READING).isoformat(), ZONE))
            new = self._new_mails(settings)
            react(new.values())
            self.seen |= set(new)
            self._tell_day(station.store, day, len(new))

    def _new_mails(self, settings: Settings) -> Mapping[Path, Mail]:
        paths = sorted(set((settings.var / "inbox").glob("*.eml")) - self.seen)
        return {path: read_mail(path) for path in paths}

    def _tell_day(self, store: Store, day: datetime, mails: int) -> None:
        counts = _states(store)
        told = "  ".join(f"{state} {count:,}" for state, count in sorted(counts.items()))
        self.console.print(f"[bold]{day:%Y-%m-%d}[/]  {mails:>5,} new mails   so far: {told}")

    def _sum_up(self, settings: Settings, store: Store, seconds: float) -> int:
        now = parse_moment((FIRST_DAY + timedelta(days=DAYS)).isoformat(), ZONE)
        with store.read() as connection:
            found = report(connection, None, now)
            sent = set(
                connection.execute(
                    select(deliveries.c.public_id).where(
                        deliveries.c.state == "sent", deliveries.c.channel == "email"
                    )
                ).scalars()
            )
            asked = _has_most_to_tell(connection)
        page, inbox = self.root / "report.html", self.root / "inbox.html"
        page.write_text(report_page(found, settings.shop), encoding="utf-8")
        static_page(settings.var / "inbox", inbox)
        arrived = [read_mail(path).delivery for path in (settings.var / "inbox").glob("*.eml")]
        whole = set(arrived) == sent and len(arrived) == len(sent)
        summary = _summary(found, self.root, seconds, once=whole) | {"ask_about": asked}
        (self.root / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        self._tell_summary(summary, len(sent))
        return 0 if whole else 1

    def _tell_summary(self, summary: Mapping[str, Any], mails: int) -> None:
        says = self.console.print
        says()
        says(
            f"[bold]{summary['planned']:,}[/] planned, [bold]{summary['sent']:,}[/] sent,"
            f" {summary['opened']:,} opened, {summary['clicked']:,} clicked, {summary['unsubscribed']:,} unsubscribed."
        )
        says(
            f"Each of the {mails:,} emails is in the inbox once."
            if summary["each_once"]
            else "[bold red]The inbox and the database disagree.[/]"
        )
        says()
        for name, path in summary["files"].items():
            says(f"  {name:<8} {path}")
        says()
        says("Go on:")
        shop = os.path.relpath(self.project)
        says(f"  yanshu --project {shop} explain customer {summary['ask_about']}")
        says(f"  yanshu --project {shop} up      daemon, web and inbox, until Ctrl-C")
        says(f"  yanshu --project {shop} inbox   the mails, in the browser")

    def _yanshu(self, *words: str) -> None:
        """A command as anybody would type it, without starting another Python for it."""
        shown = " ".join(words).replace(str(self.root), os.path.relpath(self.root))
        self.console.print(f"[dim]$ yanshu {shown}[/]", soft_wrap=True)
        sys.argv = ["yanshu", *words]
        try:
            yanshu()
        except SystemExit as ended:
            if ended.code:
                raise YanshuError(f"`yanshu {shown}` ended with {ended.code}") from None


def _states(store: Store) -> dict[str, int]:
    with store.read() as connection:
        rows = connection.execute(
            select(deliveries.c.state, func.count().label("number")).group_by(deliveries.c.state)
        )
        return {row.state: row.number for row in rows}


def _has_most_to_tell(connection: Connection) -> str:
    """Who unsubscribed and had most messages: `explain` then shows what was sent, what stopped it, and what it stopped."""
    d, e = deliveries.c, engagements.c
    stopped = and_(e.delivery_id == d.id, e.kind == Engagement.UNSUBSCRIBED.value)
    found = (
        select(customers.c.ref)
        .join_from(customers, deliveries, d.customer_id == customers.c.id)
        .join(engagements, stopped, isouter=True)
        .group_by(customers.c.id)
        .order_by(func.count(e.id).desc(), func.count(d.id.distinct()).desc(), customers.c.ref)
    )
    return str(connection.execute(found.limit(1)).scalar_one())


def _summary(found: Any, root: Path, seconds: float, *, once: bool) -> dict[str, Any]:
    def total(key: str) -> int:
        return sum(getattr(one, key) for one in found.definitions)

    here = Path(os.path.relpath(root))
    return {
        "planned": total("planned"),
        "sent": total("sent"),
        "opened": total("opened"),
        "clicked": total("clicked"),
        "unsubscribed": total("unsubscribed"),
        "each_once": once,
        "seconds": round(seconds, 1),
        "files": {
            "report": str(here / "report.html"),
            "inbox": str(here / "inbox.html"),
            "project": str(here / "shop"),
            "summary": str(here / "summary.json"),
        },
    }


def _settle_ports(toml: Path) -> None:
    """Give the demo's shop ports of its own where the usual ones are taken, so that its links go on working."""
    text = toml.read_text(encoding="utf-8")
    for port in (1025, 8025, 8026):
        if answers("127.0.0.1", port):
            with socket.create_server(("127.0.0.1", 0)) as free:
                text = text.replace(str(port), str(free.getsockname()[1]))
    toml.write_text(text, encoding="utf-8")


def main() -> int:
    configure(logging.WARNING)
    for name in [name for name in os.environ if name.startswith("YANSHU_")]:
        del os.environ[name]  # the demo is about the demo's shop, whatever is set here
    try:
        return Demo((Path.cwd() / "var" / "demo").resolve()).run()
    except YanshuError as error:
        print(f"yanshu demo: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
