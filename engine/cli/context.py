"""What a command works with: the project, its settings and files, the store, the clock, and how to answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from engine.errors import YanshuError

if TYPE_CHECKING:
    from datetime import datetime

    from engine.clock import Clock
    from engine.definitions.loader import Definitions
    from engine.definitions.policy import Policy
    from engine.settings import Settings
    from engine.store.session import Store

SCHEMA_VERSION = 1


@dataclass
class Common:
    """The shared options of one command line, as given."""

    project: Path | None = None
    now: str | None = None
    output: Literal["text", "json"] = "text"
    yes: bool = False
    quiet: bool = False


class Session:
    """One command's view of the project. Everything is found, read and opened when first asked for."""

    def __init__(self, common: Common) -> None:
        self.common = common
        self._store: Store | None = None

    @classmethod
    def of(cls, ctx: typer.Context) -> Session:
        """The session of a running command; its store is closed when the command ends."""
        session = cls(ctx.obj)
        ctx.call_on_close(session.close)
        return session

    # -- the project --

    @cached_property
    def project(self) -> Path:
        from engine.settings import find_project

        return find_project(self.common.project)

    @cached_property
    def settings(self) -> Settings:
        from engine.settings import load_settings

        return load_settings(self.project)

    @cached_property
    def files(self) -> Mapping[str, str]:
        from engine.definitions.loader import read_files

        return read_files(self.project)

    @cached_property
    def policy(self) -> Policy:
        """The policy of the files. Raises DefinitionsError."""
        from engine.definitions.loader import load_policy

        return load_policy(self.files)

    @cached_property
    def definitions(self) -> Definitions:
        """Everything in the files. Raises DefinitionsError."""
        from engine.definitions.loader import load

        return load(self.files)

    @property
    def zone(self) -> str:
        """The zone in which people are shown times: the shop's, or UTC while the policy cannot be read."""
        with suppress(YanshuError):
            return self.policy.timezone
        return "UTC"

    # -- the database --

    @property
    def store(self) -> Store:
        """The project's database at this program's schema. Raises StoreError."""
        if self._store is None:
            from engine.store.migrate import require_current

            self._store = self.open_store()
            require_current(self._store)
        return self._store

    def open_store(self) -> Store:
        """The project's database as it is: not checked, not migrated."""
        from engine.imports import all_is_loaded
        from engine.store.session import Store

        if self._store is None:
            all_is_loaded()
            self._store = Store(self.settings.database)
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    # -- time and person --

    @cached_property
    def clock(self) -> Clock:
        from engine.clock import Clock, parse_moment

        if self.common.now is None:
            return Clock.from_environment()
        return Clock.starting_at(parse_moment(self.common.now, self._zone_of(self.common.now)))

    def _zone_of(self, moment: str) -> str:
        """The shop's zone, read only where the moment does not carry an offset of its own."""
        from datetime import datetime

        is_naive = datetime.fromisoformat(moment.strip()).tzinfo is None
        return self.policy.timezone if is_naive else "UTC"

    def now(self) -> datetime:
        return self.clock.now()

    @property
    def is_now(self) -> bool:
        """Whether that is the moment itself, and none that the command line names."""
        return self.common.now is None

    @property
    def by(self) -> str:
        """Who gives the order, for the audit: user@machine."""
        import getpass
        import socket

        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = "unknown"
        return f"{user}@{socket.gethostname()}"

    # -- the answer --

    @property
    def is_json(self) -> bool:
        return self.common.output == "json"

    def answer(self, payload: Mapping[str, Any], text: Callable[[], str]) -> None:
        """Show a result on stdout: one JSON document, or the text, which is made only when it is wanted."""
        if self.is_json:
            from engine.cli.output import document

            typer.echo(document(payload))
        elif shown := text():
            typer.echo(shown)

    def note(self, message: str) -> None:
        """A remark on stderr that `-q` silences."""
        if not self.common.quiet:
            typer.echo(message, err=True)

    def confirm(self, question: str) -> None:
        """Ask before much is changed. Raises YanshuError where the answer is no, or where nobody can be asked."""
        if self.common.yes:
            return
        if not sys.stdin.isatty():
            raise YanshuError(f"{question} There is no terminal to ask at: say --yes.")
        if not typer.confirm(question, err=True):
            raise YanshuError("nothing was changed")
