"""The development inbox keeps what it is sent and shows it without ever running it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from engine.channels.base import Accepted, Envelope, Outcome
from engine.errors import ConfigurationError
from engine.settings import InboxSettings, Settings, SmtpSettings
from tests.smtp_line import SmtpLine
from workers.inbox.page import static_page
from workers.inbox.server import run, serve

HOSTILE = '"></iframe><script>alert(1)</script><img src=x onerror=alert(1)>'


@dataclass(frozen=True)
class Inbox:
    settings: Settings
    url: str

    @property
    def folder(self) -> Path:
        return self.settings.var / "inbox"

    def send(self, message: EmailMessage, recipient: str = "li@shop.example") -> None:
        with smtplib.SMTP("127.0.0.1", self.settings.inbox.smtp_port) as client:
            client.send_message(message, "bounce@shop.example", [recipient])

    def sms(self, **order: object) -> httpx.Response:
        usual = {"to": "+8613800138000", "text": "你好", "reference": "", "sms_type": "promotion"}
        return httpx.post(f"{self.url}/sms", json={**usual, **order}, trust_env=False)

    def messages(self) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = self.get("/messages.json").json()["messages"]
        return listed

    def get(self, path: str, **options: object) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", trust_env=False, **options)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ports = InboxSettings(smtp_port=free_port(), http_port=free_port())
    return Settings(project=tmp_path, inbox=ports)


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await serve(settings, stop, ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(20)
    yield Inbox(settings, f"http://127.0.0.1:{settings.inbox.http_port}")
    loop, stop = loops[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()


def mail(subject: str = "老客专享", html: str = "<p>您好</p>", text: str = "您好") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "山间咖啡 <hi@shop.example>"
    message["To"] = "李雷 <li@shop.example>"
    message["Subject"] = subject
    message["X-Delivery-Id"] = "d-1"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


def test_a_mail_is_on_disk_as_it_was_sent_before_its_sender_gets_the_250(inbox: Inbox) -> None:
    body = b"X-Delivery-Id: d-7\r\nSubject: dots\r\n\r\n.\r\n..two\r\n\xe9\x9b\x81\r\n"
    connection = SmtpLine(SmtpSettings(host="127.0.0.1", port=inbox.settings.inbox.smtp_port))
    envelopes = [Envelope("d-7", "bounce@shop.example", "li+x@shop.example", body)] * 3

    def look(place: int, outcome: Outcome) -> None:
        assert isinstance(outcome, Accepted)
        (stored,) = inbox.folder.glob(f"{place + 1:04d}-*.eml")
        assert stored.name == f"{place + 1:04d}-li+x@shop.example.eml"
        trace, _, rest = stored.read_bytes().partition(b"X-Delivery-Id")
        assert b"X-Delivery-Id" + rest == body
        assert trace.startswith(b"Return-Path: <bounce@shop.example>\r\nDelivered-To: li+x@")

    connection.send(envelopes, on_outcome=look)
    connection.close()
    assert not list(inbox.folder.glob(".*"))


def test_messages_are_listed_newest_first_with_what_a_test_needs(inbox: Inbox) -> None:
    inbox.send(mail())
    inbox.sms(reference="d-2-1")
    text, letter = sorted(inbox.messages(), key=lambda one: str(one["kind"]), reverse=True)
    assert (text["to"], text["text"], text["reference"]) == ("+8613800138000", "你好", "d-2-1")
    assert (letter["delivery"], letter["subject"]) == ("d-1", "老客专享")
    assert letter["recipient"] == "li@shop.example"
    assert (inbox.folder / str(letter["file"])).is_file()
    assert inbox.get("/messages.json", params={"limit": 0}).json() == {
        "schema_version": 1,
        "total": 2,
        "messages": [],
    }


def test_the_list_shows_the_preheader_beside_the_subject(inbox: Inbox) -> None:
    hidden = (
        "<style>.p { display: none }</style><div class='p'>老客提前两天看</div><p>您好，李雷</p>"
    )
    inbox.send(mail(html=hidden, text="山间咖啡: https://shop.example/c/yft5c879"))
    inbox.send(mail(html="<img src='cid:none' alt=''>", text="只有文字"))
    shown = [row.text() for row in LexborHTMLParser(inbox.get("/").text).css("nav a")]
    assert ["老客提前两天看 您好，李雷" in row for row in shown] == [False, True]
    assert "只有文字" in shown[0]


def test_the_page_shows_both_bodies_headers_source_and_conversations(inbox: Inbox) -> None:
    assert "No letters yet" in inbox.get("/").text
    inbox.send(mail())
    inbox.sms(text="第一条")
    inbox.sms(text="第二条")
    letter = LexborHTMLParser(inbox.get("/message/mail-1").text)
    frame = letter.css_first("article iframe")
    assert frame is not None
    assert "<p>您好</p>" in str(frame.attributes["srcdoc"])
    assert "老客专享" in letter.css_first("article h1").text()  # type: ignore[union-attr]
    assert "X-Delivery-Id" in letter.css_first(".view.headers").text()  # type: ignore[union-attr]
    phone = LexborHTMLParser(inbox.get("/message/phone-8613800138000").text)
    assert [one.text() for one in phone.css(".bubble")] == ["第一条", "第二条"]
    assert len(phone.css("nav .line")) == 2
    assert inbox.get("/message/mail-99").headers["location"] == "/"
    assert inbox.get("/raw/1.eml").headers["content-type"].startswith("text/plain")
    assert inbox.get("/raw/2.eml").status_code == 404


def harmless(page: str) -> LexborHTMLParser:
    """The page parsed, after a look at what could run in it."""
    parsed = LexborHTMLParser(page)
    assert all(script.attributes.get("src") == "/inbox.js" for script in parsed.css("script"))
    for frame in parsed.css("iframe"):
        allowed = str(frame.attributes["sandbox"]).split()
        assert "allow-scripts" not in allowed
        assert "allow-same-origin" not in allowed
    assert not parsed.css("img")
    return parsed


def test_hostile_content_is_shown_and_never_run(inbox: Inbox, tmp_path: Path) -> None:
    inbox.send(mail(f"subject {HOSTILE}", HOSTILE, HOSTILE))
    inbox.sms(text=HOSTILE, sms_type=HOSTILE, reference=HOSTILE)
    for path in ("/", "/message/mail-1", "/message/phone-8613800138000"):
        answer = inbox.get(path)
        harmless(answer.text)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = harmless(static_page(inbox.folder, tmp_path / "out" / "inbox.html").read_text("utf-8"))
    assert not page.css("script")
    assert HOSTILE in page.css_first(".bubble").text()  # type: ignore[union-attr]
    assert page.css_first("article.mail h1").text() == f"subject {HOSTILE}"  # type: ignore[union-attr]
    assert "default-src 'none'" in page.css_first("meta[http-equiv]").html  # type: ignore


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all\r\n",
        b"Subject: =?utf-8?b?????=\r\nFrom: =?x-none?q?=FF?= <\r\nReceived: ;;;\r\n\r\n\xff\xfe\r\n",
        b"Content-Type: text/html; charset=no-such\r\n\r\n<p>\xff\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
        b'Content-Type: text/plain; charset="\xff\xff"\r\nSubject: \xff\xff\r\n\r\nhi\r\n',
    ],
)
def test_a_broken_mail_still_has_a_page(raw: bytes, inbox: Inbox) -> None:
    connection = SmtpLine(SmtpSettings(host="127.0.0.1", port=inbox.settings.inbox.smtp_port))
    (outcome,) = connection.send([Envelope("d", "a@b.example", "c@d.example", raw)])
    connection.close()
    assert isinstance(outcome, Accepted)
    assert inbox.get("/message/mail-1").status_code == 200
    assert len(inbox.messages()) == 1


def test_pictures_that_a_mail_brings_along_are_shown(inbox: Inbox) -> None:
    message = mail(html='<img src="cid:logo@shop">')
    message.get_payload()[1].add_related(  # type: ignore[index, union-attr]
        b"PNG", "image", "png", cid="<logo@shop>"
    )
    inbox.send(message)
    frame = LexborHTMLParser(inbox.get("/message/mail-1").text).css_first("iframe")
    assert frame is not None
    assert 'src="data:image/png;base64,UE5H"' in str(frame.attributes["srcdoc"])


def test_the_static_page_holds_the_newest_messages_only(inbox: Inbox, tmp_path: Path) -> None:
    for number in range(5):
        inbox.send(mail(f"number {number}"))
    out = static_page(inbox.folder, tmp_path / "inbox.html", limit=3)
    page = LexborHTMLParser(out.read_text("utf-8"))
    titles = [one.text() for one in page.css("article h1")]
    assert titles == ["number 4", "number 3", "number 2"]
    assert "2 older ones" in page.css_first("nav").text()  # type: ignore[union-attr]


def test_emptying_removes_everything_and_numbers_go_on(inbox: Inbox) -> None:
    inbox.send(mail())
    inbox.sms()
    answer = httpx.delete(f"{inbox.url}/messages", trust_env=False)
    assert answer.json() == {"removed": 2}
    assert inbox.messages() == []
    inbox.send(mail())
    assert [one["number"] for one in inbox.messages()] == [2]


def test_a_foreign_page_can_neither_read_nor_write(inbox: Inbox) -> None:
    assert inbox.get("/", headers={"Host": "evil.example"}).status_code == 400
    form = httpx.post(
        f"{inbox.url}/sms", content=b'{"to": "+861"}', headers={"Content-Type": "text/plain"}
    )
    assert form.status_code == 400
    assert "access-control-allow-origin" not in inbox.get("/messages.json").headers


def test_a_taken_port_is_named_with_its_setting(inbox: Inbox) -> None:
    with pytest.raises(ConfigurationError, match=r"inbox\.smtp_port: 127\.0\.0\.1:\d+"):
        asyncio.run(serve(inbox.settings, asyncio.Event()))


def test_an_inbox_that_is_started_again_goes_on_where_it_was(settings: Settings) -> None:
    folder = settings.var / "inbox"
    (folder / "sms").mkdir(parents=True)
    (folder / "0041-li@shop.example.eml").write_bytes(b"Subject: old\r\n\r\n")
    (folder / "notes.txt").write_text("not a message")
    ports = settings.inbox
    program = (
        "from pathlib import Path; from engine.settings import *; from workers.inbox.server import run;"
        f"run(Settings(project=Path({str(settings.project)!r}), inbox=InboxSettings("
        f"smtp_port={ports.smtp_port}, http_port={ports.http_port})), lambda: print('ready', flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    running = Inbox(settings, f"http://127.0.0.1:{ports.http_port}")
    running.send(mail())
    assert [one["number"] for one in running.messages()] == [42, 41]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()
    assert callable(run)


def test_records_of_text_messages_are_readable_json(inbox: Inbox) -> None:
    inbox.sms(text="你好，雁书", reference="d-9-1")
    (path,) = (inbox.folder / "sms").glob("0001-*.json")
    record = json.loads(path.read_text("utf-8"))
    assert (record["text"], record["reference"], record["requests"]) == ("你好，雁书", "d-9-1", 1)
    assert "你好，雁书" in path.read_text("utf-8")
