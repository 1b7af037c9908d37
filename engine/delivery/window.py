"""A window: the letters that one connection hands over together, rendered one by one as time allows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from engine.delivery.lanes import Job
from engine.delivery.letters import Rendered, Writer
from engine.errors import RenderingError

_log = structlog.get_logger()


class Window:
    """At most `WINDOW` jobs, taken up by one connection, not marked as `sending` yet.

    While the letters of one window are with the relay those of the next are rendered, one at each answer: the relay
    and the worker then work at the same time, though a connection has only one window under way.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.blocked: dict[int, str] = {}
        """Runs with a broken template (run's id → reason): nothing of them is handed over."""
        self._rendered: list[tuple[Job, Rendered]] = []
        self._done = 0  # of `jobs`, from the front

    def take(self, job: Job, writer: Writer, now: datetime) -> None:
        """Take one more and render it. What goes wrong beyond its template comes up in `finish`, when no letter is on
        the wire."""
        self.jobs.append(job)
        with suppress(Exception):
            self._render_next(writer, now)

    def finish(self, writer: Writer, now: datetime) -> Sequence[tuple[Job, Rendered]]:
        """Render what is not rendered yet. Returns the letters that can go."""
        while self._done < len(self.jobs):
            self._render_next(writer, now)
        return [one for one in self._rendered if one[0].letter.row.run_id not in self.blocked]

    def _render_next(self, writer: Writer, now: datetime) -> None:
        job = self.jobs[self._done]
        row = job.letter.row
        try:
            if row.run_id not in self.blocked:
                self._rendered.append((job, writer.render(job.letter, now)))
        except RenderingError as error:
            self.blocked[row.run_id] = f"customer {job.letter.customer['id']}: {error}"
            _log.error("send.template_failed", run=row.run_id, delivery=row.public_id)
        self._done += 1
