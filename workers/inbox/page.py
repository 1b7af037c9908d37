"""The inbox as HTML: one template for the server's pages and for the self-contained file of the demo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.inbox.folder import Folder, Sms
from workers.inbox.reading import Mail, open_mail

SHOWN = 200
"""How many mails and conversations a page lists: the newest ones."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The text messages that went to one number, oldest first."""

    to: str
    messages: tuple[Sms, ...]

    @property
    def key(self) -> str:
        return "".join(letter for letter in self.to if letter.isalnum()) or "unknown"

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list: a mail or a conversation."""

    key: str  # stands in addresses and element ids: letters, digits and - only
    at: datetime
    number: int
    mail: Mail | None = None
    conversation: Conversation | None = None


def entries(folder: Folder, limit: int = SHOWN) -> list[Entry]:
    """The newest mails and conversations, newest first."""
    mails = [open_mail(path) for path in folder.mails()[:limit]]
    found = [
        Entry(f"mail-{one.summary.number}", one.summary.received_at, one.summary.number, mail=one)
        for one in mails
    ]
    for talk in _conversations(folder.text_messages()[:limit]):
        at = datetime.fromisoformat(talk.messages[-1].received_at)
        number = talk.messages[-1].number
        found.append(Entry(f"phone-{talk.key}", at, number, conversation=talk))
    return sorted(found, key=lambda entry: (entry.at, entry.number), reverse=True)[:limit]


def server_page(folder: Folder, chosen: str | None = None) -> str | None:
    """The page with one message opened: the chosen one, else (where the window is wide) the newest.

    None when there is no message of that key.
    """
    listed = entries(folder)
    opened = [entry for entry in listed if entry.key == chosen] if chosen else listed[:1]
    if chosen and not opened:
        return None
    total = (len(folder.mails()), len(folder.text_messages()))
    return _render(listed, opened, chosen=chosen, served=True, total=total)


def static_page(folder: Path, out_html: Path, limit: int = SHOWN) -> Path:
    """Write one HTML file that shows the newest `limit` mails and conversations of an inbox folder without any server or script.

    Mails stand in sandboxed frames and may load nothing from elsewhere. Returns `out_html`.
    """
    inbox = Folder(folder)
    listed = entries(inbox, limit)
    total = (len(inbox.mails()), len(inbox.text_messages()))
    html = _render(listed, listed, chosen=None, served=False, total=total)
    out_html.parent.mkdir(parents=True, exist_ok=True)
    out_html.write_text(html, "utf-8")
    return out_html


def _conversations(newest_first: Iterable[Sms]) -> list[Conversation]:
    by_number: dict[str, list[Sms]] = defaultdict(list)
    for sms in newest_first:
        by_number[sms.to].insert(0, sms)
    return [Conversation(to, tuple(messages)) for to, messages in by_number.items()]


def _render(
    listed: Sequence[Entry],
    opened: Sequence[Entry],
    *,
    chosen: str | None,
    served: bool,
    total: tuple[int, int],
) -> str:
    shown = sum(len(entry.conversation) if entry.conversation else 1 for entry in listed)
    return _environment.get_template("inbox.html.j2").render(
        listed=listed,
        opened=opened,
        chosen=chosen,
        served=served,
        mails=total[0],
        text_messages=total[1],
        older=sum(total) - shown,
        newest=listed[0].key if listed else "",
    )


def _clock(moment: datetime | str) -> str:
    """A time as the reader's wall shows it: only the hour for today's, else month and day too."""
    aware = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    local = aware.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%m-%d %H:%M")


def _size(octets: int) -> str:
    return f"{octets} B" if octets < 1024 else f"{octets / 1024:.1f} KB"


_environment = Environment(
    loader=PackageLoader("workers.inbox"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(clock=_clock, size=_size)
