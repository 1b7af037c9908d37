"""The client of the development gateway says of each message what the gateway makes of it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.channels.base import Accepted, Refused, Unknown
from engine.channels.sms_development import DevelopmentGateway
from engine.settings import SmsSettings
from engine.smtp_replies import ReplyKind
from tests.integration.test_inbox import Inbox, free_port, inbox, settings

__all__ = ["inbox", "settings"]  # fixtures
NUMBER = "+8613800138000"


def gateway(url: str, callback: str | None = None, timeout: float = 5) -> DevelopmentGateway:
    return DevelopmentGateway(
        SmsSettings(gateway="development", url=url, timeout=timeout), callback
    )


@pytest.fixture
def client(inbox: Inbox) -> Iterator[DevelopmentGateway]:
    opened = gateway(f"{inbox.url}/sms")
    yield opened
    opened.close()


def test_a_message_is_taken_once_however_often_its_reference_comes(
    client: DevelopmentGateway, inbox: Inbox
) -> None:
    first = client.send(NUMBER, "【店】您好", "d-1-1", "notification")
    again = client.send(NUMBER, "【店】您好", "d-1-1", "notification")
    other = client.send(NUMBER, "【店】您好", "d-1-2", "notification")
    assert first == again == Accepted("sms-0001")
    assert other == Accepted("sms-0002")
    assert [one["requests"] for one in inbox.messages()] == [1, 2]


@pytest.mark.parametrize(("to", "text"), [("nobody", "hi"), (NUMBER, " ")])
def test_an_order_that_the_gateway_refuses_is_refused_for_good(
    to: str, text: str, client: DevelopmentGateway, inbox: Inbox
) -> None:
    outcome = client.send(to, text, "d-1-1", "promotion")
    assert isinstance(outcome, Refused)
    assert (outcome.permanent, outcome.kind) == (True, ReplyKind.PERMANENT)
    assert inbox.messages() == []


def test_a_delivery_report_reaches_the_callback(inbox: Inbox) -> None:
    reports: list[dict[str, object]] = []
    came = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            # The first try fails: the gateway tries again.
            self.send_response(500 if len(reports) == 1 else 204)
            self.end_headers()
            if len(reports) == 2:
                came.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        callback = f"http://127.0.0.1:{server.server_port}/hooks/development"
        client = gateway(f"{inbox.url}/sms", callback)
        assert isinstance(client.send(NUMBER, "hi", "d-1-1", "promotion"), Accepted)
        client.close()
        assert came.wait(10)
        server.shutdown()
        thread.join()
    assert reports[1]["event"] == "delivered"
    assert (reports[1]["reference"], reports[1]["id"]) == ("d-1-1", "sms-0001")


def answering(act: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads one request and does with the connection as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def work() -> None:
            connected, _ = listener.accept()
            with connected:
                connected.recv(65_536)
                act(connected)

        thread = threading.Thread(target=work)
        thread.start()
        yield f"http://127.0.0.1:{port}/sms"
        thread.join(10)


def reply(status: str, body: str = "") -> Callable[[socket.socket], None]:
    text = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    return lambda connected: connected.sendall(text.encode())


@pytest.mark.parametrize(
    ("status", "permanent", "kind"),
    [
        ("400 Bad Request", True, ReplyKind.PERMANENT),
        ("429 Too Many Requests", False, ReplyKind.RATE_LIMITED),
        ("500 Internal Server Error", False, ReplyKind.TEMPORARY),
        ("503 Service Unavailable", False, ReplyKind.TEMPORARY),
    ],
)
def test_an_answer_that_says_no_is_a_refusal(status: str, permanent: bool, kind: ReplyKind) -> None:
    for url in answering(reply(status)):
        client = gateway(url)
        outcome = client.send(NUMBER, "hi", "d-1-1", "promotion")
        client.close()
        assert outcome == Refused(status, permanent, "send", kind)


def reset(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stall(connected: socket.socket) -> None:
    connected.recv(1)  # until the client gives up


@pytest.mark.parametrize(
    "act",
    [
        lambda connected: None,
        reset,
        stall,
        lambda connected: connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Le"),
        lambda connected: connected.sendall(b"gibberish\r\n\r\n"),
        reply("200 OK", "no json"),
        reply("200 OK", "[]"),
    ],
    ids=["closed", "reset", "time-out", "half", "gibberish", "no-json", "no-id"],
)
def test_a_lost_answer_leaves_the_message_uncertain(act: Callable[[socket.socket], None]) -> None:
    for url in answering(act):
        client = gateway(url, timeout=0.5)
        outcome = client.send(NUMBER, "hi", "d-1-1", "promotion")
        client.close()
        assert isinstance(outcome, Unknown)


def test_a_gateway_that_is_not_there_took_nothing() -> None:
    client = gateway(f"http://127.0.0.1:{free_port()}/sms")
    outcome = client.send(NUMBER, "hi", "d-1-1", "promotion")
    client.close()
    assert isinstance(outcome, Refused)
    assert (outcome.permanent, outcome.phase) == (False, "connect")
