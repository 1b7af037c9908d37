"""Over TLS and behind a login the same holds: nothing goes in the clear, nothing is lost, no secret comes back."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from engine.channels.base import Accepted, Refused, Unknown
from engine.channels.smtp import MAX_WINDOW
from engine.smtp_replies import ReplyKind
from tests.integration.fault_smtp import Fault, FaultServer, Phase
from tests.integration.test_smtp_faults import SHORT, connect, letter, letters, send, untouched


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_letters_and_login_go_over_tls(
    security: str, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    login = ("shop", "s3cret")
    with FaultServer(tls=tls, implicit_tls=security == "tls", login=login) as server:
        connection = connect(
            server, host="localhost", security=security, username="shop", password="s3cret"
        )
        for window in range(2):
            outcomes = send(connection, letters(MAX_WINDOW, first=window * 8, size=40_000))
            assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
        assert len(server.letters) == 16
        server.hang_up()
        server.wait_until_closed()
        assert isinstance(send(connection, letters(1))[0], Accepted)
        connection.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused_unless_told_otherwise(
    security: str, tls: ssl.SSLContext
) -> None:
    with FaultServer(tls=tls, implicit_tls=security == "tls") as server:
        connection = connect(server, host="localhost", security=security)
        (outcome,) = send(connection, letters(1))
        assert isinstance(outcome, Refused)
        assert (outcome.phase, outcome.permanent) == ("tls", False)
        assert "certificate not trusted" in outcome.reply
        connection.close()
        connection = connect(server, host="localhost", security=security, verify_certificate=False)
        assert isinstance(send(connection, letters(1))[0], Accepted)
        connection.close()


def test_a_relay_without_starttls_gets_neither_letter_nor_password() -> None:
    with FaultServer(login=("shop", "s3cret")) as server:
        connection = connect(server, security="starttls", username="shop", password="s3cret")
        (outcome,) = send(connection, letters(1))
        assert isinstance(outcome, Refused)
        assert (outcome.phase, outcome.kind) == ("starttls", ReplyKind.RELAY)
        assert [command.split(" ")[0] for command in server.commands] == ["EHLO"]
        connection.close()


@pytest.mark.parametrize("phase", ["body", "dot"])
@pytest.mark.parametrize("action", ["drop", "reset", "stall"])
def test_over_tls_too_a_lost_answer_is_uncertain(
    phase: Phase, action: str, tls: ssl.SSLContext
) -> None:
    fault = Fault(phase, action, at=1)  # type: ignore[arg-type]
    with FaultServer(tls=tls, implicit_tls=True, faults=[fault]) as server:
        connection = connect(server, SHORT, security="tls", verify_certificate=False)
        outcomes = send(connection, letters(3))
        connection.close()
        server.wait_until_closed()
        assert isinstance(outcomes[0], Accepted)
        assert isinstance(outcomes[1], Unknown)
        assert untouched(outcomes[2])


def test_over_tls_too_a_big_letter_cut_in_the_middle_was_certainly_not_taken(
    tls: ssl.SSLContext,
) -> None:
    fault = Fault("body", "drop", at=1)
    with FaultServer(tls=tls, implicit_tls=True, faults=[fault]) as server:
        connection = connect(server, security="tls", verify_certificate=False)
        outcomes = send(connection, [letter("a"), letter("b", size=20_000_000), letter("c")])
        connection.close()
        assert isinstance(outcomes[0], Accepted)
        assert isinstance(outcomes[1], Refused)
        assert (outcomes[1].phase, outcomes[1].permanent) == ("body", False)
        assert untouched(outcomes[2])
        assert [one.delivery for one in server.letters] == ["a"]


@pytest.mark.parametrize("mechanisms", ["AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH=LOGIN PLAIN"])
def test_login_uses_a_mechanism_that_is_offered(mechanisms: str) -> None:
    with FaultServer(login=("shop", "s3cret"), extensions=(mechanisms,)) as server:
        connection = connect(server, username="shop", password="s3cret")
        assert connection.open() is None
        connection.close()


@pytest.mark.parametrize("mechanisms", ["AUTH PLAIN", "AUTH LOGIN"])
def test_a_refused_login_holds_the_letters_and_never_repeats_the_password(mechanisms: str) -> None:
    with FaultServer(login=("shop", "s3cret"), extensions=(mechanisms,)) as server:
        connection = connect(server, username="shop", password="canary-password")
        (outcome,) = send(connection, letters(1))
        assert isinstance(outcome, Refused)
        assert (outcome.phase, outcome.kind, outcome.permanent) == ("auth", ReplyKind.RELAY, False)
        assert "canary" not in repr(outcome)
        assert "canary" not in repr(connection.connection)
        connection.close()
