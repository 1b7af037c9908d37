"""A random policy, as a dict of policy.yaml."""

from __future__ import annotations

from datetime import date

from tests.worlds.calendars import (  # fmt: skip
    DAY,
    WEEKDAYS,
)
from tests.worlds.chances import CLASSES, Chances
from tests.worlds.people import Spec


class Policies(Chances):
    """Each rule of docs/policy.md now and then."""

    def policy(self) -> Spec:
        found: Spec = {"timezone": self.one("Asia/Shanghai", "Asia/Shanghai", "Europe/Berlin"), "overflow": self.one("defer", "defer", "defer", "skip")}  # fmt: skip
        if self.theme == "series" and self.often(0.7):
            return found
        found |= self.with_some(
            0.7 if self.theme == "caps" else 0.4,
            frequency=lambda: [self.cap() for _ in range(self.one(1, 1, 2, 3))],
            volume=lambda: [self.limit() for _ in range(self.one(1, 1, 2))],
            quiet_hours=lambda: {one: self.one("20:00-08:00", "22:30-02:30", "12:00-14:00") for one in self.some(("email", "sms"))},
            quiet_days=lambda: [self.quiet_days() for _ in range(self.one(1, 2))],
            calendar=self.calendar,
            never_capped=lambda: ["own0@qq.com", "own1@qq.com", "own2@qq.com"],
        )  # fmt: skip
        found |= self.with_some(
            0.2,
            budget=lambda: [{"amount": self.one(0.06, 0.5, 1), "per": "month", **self.with_some(0.4, class_=lambda: self.some(CLASSES), channel=lambda: self.one("email", "sms"), overflow=lambda: self.one("defer", "skip"))}],
            holdout=lambda: "25%",
            dormant_after=lambda: self.one("30d", "90d"),
            consent=lambda: {"unknown": {self.one("email", "sms"): {self.one("marketing", "care"): self.often(0.5)}}},
        )  # fmt: skip
        return found

    def cap(self) -> Spec:
        return {
            "max": self.one(1, 1, 2, 3), "per": self.one("90m", "5h", "24h", "1d", "2d", "4d"),
            **self.with_some(0.3, class_=lambda: self.some(CLASSES), channel=lambda: self.one("email", "sms")),
            **self.with_some(0.25, overflow=lambda: self.one("defer", "skip")),
        }  # fmt: skip

    def limit(self) -> Spec:
        if self.often(0.3):
            return {"max": self.random.randint(4, 9), "per": "1d", "warm_up": {"start": self.random.randint(1, 3), "double_every": self.one("1d", "2d")}, **self.about()}  # fmt: skip
        return {
            "max": self.random.randint(1, 8), "per": self.one("1s", "5s", "1m", "2h", "1d", "2d"), **self.about(),
            **self.with_some(0.25, overflow=lambda: self.one("defer", "skip")),
        }  # fmt: skip

    def about(self) -> Spec:
        """What a volume rule binds."""
        narrow = self.one({}, {}, {"channel": "email"}, {"channel": "sms"}, {"domain": "qq.com"}, {"provider": "relay"}, {"provider": "gateway"}, {"sender": "news@shop.example"})  # fmt: skip
        return {**narrow, **self.with_some(0.3, class_=lambda: self.some(CLASSES))}

    def quiet_days(self) -> Spec:
        return {"weekdays": self.random.sample(WEEKDAYS, self.random.randint(1, 3)), **self.with_some(0.4, class_=lambda: self.some(("marketing", "care")), channel=lambda: self.one("email", "sms"))}  # fmt: skip

    def calendar(self) -> list[Spec]:
        """Exceptions that follow one another, at times without a day between."""
        day, found = self.start.date() - self.random.randint(0, 2) * DAY, []
        for number in range(self.one(1, 2)):
            last = day + self.random.randint(0, 2) * DAY
            more = self.with_some(
                0.4,
                quiet_hours=lambda: dict.fromkeys(
                    self.some(("email", "sms")),
                    self.one("23:00-08:00", "18:00-06:00", "00:00-01:00"),
                ),
                quiet_days=lambda: self.one([], [self.quiet_days()]),
                frequency_factor=lambda: self.one(2, 1.5),
                volume_factor=lambda: 2,
            )
            if more:
                found.append({"name": f"exception {number}", "from": _iso(day), "to": _iso(last), **more})  # fmt: skip
            day = last + self.random.randint(1, 2) * DAY
        return found


def _iso(day: date) -> str:
    return day.isoformat()
