"""How far ahead of the workers the dispatcher admits: it follows what they were measured to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.delivery.pace import FIRST, LEAST, Pace


@dataclass
class Workers:
    """Workers that do `rate` deliveries a second, and a dispatcher that looks every tenth of a second."""

    rate: int
    time: float = 0.0
    outstanding: int = 0
    admitted: list[int] = field(default_factory=list)

    def work(self, seconds: float) -> Pace:
        pace = Pace(clock=lambda: self.time)
        while self.time < seconds:
            room = pace.room(self.outstanding)
            if room:
                self.admitted.append(room)
                self.outstanding += room
                pace.admitted(room)
            self.time += 0.1
            self.outstanding = max(0, self.outstanding - self.rate // 10)
        return pace


def test_fast_workers_get_about_two_seconds_of_work() -> None:
    pace = Workers(rate=2_000).work(30)
    assert 2_000 <= pace.limit <= 8_000


def test_fast_workers_have_work_from_the_first_moment() -> None:
    workers = Workers(rate=3_000)
    workers.work(1)
    assert sum(workers.admitted) - workers.outstanding >= 2_900


def test_slow_workers_never_have_more_before_them_than_the_least() -> None:
    workers = Workers(rate=20)
    pace = workers.work(60)
    assert pace.limit == LEAST
    assert workers.outstanding <= LEAST


def test_deliveries_are_admitted_by_the_half_limit_not_by_the_handful() -> None:
    workers = Workers(rate=2_000)
    workers.work(30)
    assert min(workers.admitted) >= LEAST // 2
    assert sum(workers.admitted[-10:]) / 10 >= 1_000


def test_nothing_is_admitted_while_half_of_the_limit_is_outstanding() -> None:
    pace = Pace(clock=lambda: 0.0)
    assert pace.room(FIRST // 2 + 1) == 0
    assert pace.room(FIRST // 2) == FIRST // 2
