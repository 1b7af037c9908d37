"""What the connection says of each letter agrees with what the server got, wherever the conversation is cut."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import product

import pytest

from engine.channels.base import Accepted, Envelope, Outcome, Refused, Unknown
from engine.channels.smtp import MAX_WINDOW
from engine.channels.wire import Timeouts
from engine.settings import SmtpSettings
from engine.smtp_replies import ReplyKind
from tests.integration.fault_smtp import PHASES, Fault, FaultServer, Phase
from tests.smtp_line import SmtpLine

SHORT = Timeouts(
    connect=2, greeting=0.5, ehlo=0.5, starttls=1, tls=2, auth=1, mail=0.5, rcpt=0.5, data=0.5,
    body=0.5, dot=0.5, rset=0.5,
)  # fmt: skip
PATIENT = Timeouts(*[5.0] * 12)
BEFORE_THE_DOT = ("greeting", "ehlo", "mail", "rcpt", "data")
modes = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "step-by-step"])


def letters(count: int, *, size: int = 3_000, first: int = 0) -> list[Envelope]:
    return [letter(f"d{first + n}", f"c{first + n}@shop.example", size=size) for n in range(count)]


def letter(delivery: str, recipient: str = "c@shop.example", *, size: int = 3_000) -> Envelope:
    head = f"X-Delivery-Id: {delivery}\r\nSubject: hello\r\n\r\n".encode()
    lines = (b"A line of seventy-odd characters that says nothing in particular ....\r\n") * (
        size // 70
    )
    return Envelope(delivery, "bounce@shop.example", recipient, head + lines)


def connect(server: FaultServer, timeouts: Timeouts = PATIENT, **settings: object) -> SmtpLine:
    wanted = {"host": "127.0.0.1", "port": server.port, **settings}
    return SmtpLine(SmtpSettings.model_validate(wanted), timeouts)


def send(connection: SmtpLine, envelopes: list[Envelope]) -> list[Outcome]:
    return connection.send(envelopes)


def agrees(outcome: Outcome, copies: int) -> bool:
    """The oracle: what the server got, against what the connection said."""
    if isinstance(outcome, Accepted):
        return copies == 1
    if isinstance(outcome, Refused):
        return copies == 0
    return copies in (0, 1)


@modes
def test_a_window_arrives_whole_and_in_order(pipelining: bool) -> None:
    with FaultServer(pipelining=pipelining) as server:
        connection = connect(server)
        for window in range(3):
            outcomes = send(connection, letters(MAX_WINDOW, first=window * MAX_WINDOW))
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        connection.close()
        assert [one.delivery for one in server.letters] == [f"d{n}" for n in range(24)]
        assert [one.body for one in server.letters] == [one.body for one in letters(24)]
        assert server.connections == 1


def test_one_write_carries_a_body_and_the_next_opening() -> None:
    with FaultServer() as server:
        connection = connect(server)
        send(connection, letters(3))
        expected = ["MAIL", "RCPT", "DATA"] * 3
        assert [command.split(" ")[0] for command in server.commands[1:]] == expected
        connection.close()


@modes
@pytest.mark.parametrize(
    ("action", "position"),
    [*product(["drop", "reset"], [0, 3, 7]), ("stall", 3)],
    ids=str,
)
@pytest.mark.parametrize("phase", PHASES)
def test_each_letters_outcome_agrees_with_what_the_server_got(
    phase: Phase, action: str, position: int, pipelining: bool
) -> None:
    per_connection = phase in ("greeting", "ehlo")
    fault = Fault(phase, action, at=0 if per_connection else position)  # type: ignore[arg-type]
    with FaultServer(pipelining=pipelining, faults=[fault]) as server:
        connection = connect(server, SHORT if action == "stall" else PATIENT)
        outcomes = send(connection, letters(MAX_WINDOW))
        connection.close()
        server.wait_until_closed()
        copies = Counter(one.delivery for one in server.letters)
        for number, outcome in enumerate(outcomes):
            assert agrees(outcome, copies[f"d{number}"]), (number, outcome)
        struck = 0 if per_connection else position
        check_struck(outcomes[struck], phase, copies[f"d{struck}"])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes[:struck])
        if phase != "reply":  # there the 250 may still have been read before the reset
            assert all(untouched(outcome) for outcome in outcomes[struck + 1 :])


def check_struck(outcome: Outcome, phase: Phase, copies: int) -> None:
    if phase in BEFORE_THE_DOT:
        assert isinstance(outcome, Refused)
        assert not outcome.permanent
        # A reset that overtakes the end of connect() is reported by it: the client cannot tell the two apart.
        phases = {"connect", "greeting"} if phase == "greeting" else {phase}
        assert outcome.phase in phases
        assert outcome.kind is ReplyKind.CONNECTION
    elif phase == "body":  # a small letter is wholly in the kernel by then: nobody can know
        assert isinstance(outcome, Unknown)
        assert copies == 0
    elif phase == "dot":
        assert isinstance(outcome, Unknown)
        assert copies == 1
    else:
        assert isinstance(outcome, Accepted | Unknown)
        assert copies == 1


def untouched(outcome: Outcome) -> bool:
    """Never started: a later try cannot repeat it."""
    return (
        isinstance(outcome, Refused)
        and not outcome.permanent
        and outcome.phase in ("not started", "connect", "greeting", "ehlo")
    )


@modes
@pytest.mark.parametrize("phase", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
def test_421_at_any_time_is_never_permanent_and_ends_the_connection(
    phase: Phase, pipelining: bool
) -> None:
    fault = Fault(phase, "say", reply="421 4.3.2 user unknown, going down")
    with FaultServer(pipelining=pipelining, faults=[fault]) as server:
        connection = connect(server)
        first, second = send(connection, letters(2))
        assert isinstance(first, Refused)
        assert first.phase == phase
        assert not first.permanent
        assert untouched(second)
        assert server.letters == []
        assert all(isinstance(one, Accepted) for one in send(connection, letters(2)))
        connection.close()
        assert server.connections == 2


@modes
def test_a_big_letter_cut_in_the_middle_was_certainly_not_taken(pipelining: bool) -> None:
    fault = Fault("body", "drop", at=1)
    with FaultServer(pipelining=pipelining, faults=[fault]) as server:
        connection = connect(server)
        outcomes = send(connection, [letter("a"), letter("b", size=20_000_000), letter("c")])
        assert isinstance(outcomes[0], Accepted)
        assert isinstance(outcomes[1], Refused)
        assert (outcomes[1].phase, outcomes[1].permanent) == ("body", False)
        assert untouched(outcomes[2])
        assert [one.delivery for one in server.letters] == ["a"]
        connection.close()


def test_a_server_that_stops_reading_a_big_letter_times_out_before_the_dot() -> None:
    with FaultServer(faults=[Fault("body", "delay", seconds=30)]) as server:
        connection = connect(server, SHORT)
        (outcome,) = send(connection, [letter("a", size=20_000_000)])
        assert isinstance(outcome, Refused)
        assert (outcome.phase, outcome.reply) == ("body", "no progress within 0.5 s")
        connection.close()


def test_what_the_server_said_while_a_big_letter_was_written_is_its_refusal() -> None:
    fault = Fault("body", "say", reply="552 5.3.4 message size exceeds fixed limit")
    with FaultServer(faults=[fault]) as server:
        connection = connect(server)
        (outcome,) = send(connection, [letter("a", size=20_000_000)])
        assert isinstance(outcome, Refused)
        connection.close()


@modes
@pytest.mark.parametrize("phase", ["mail", "rcpt", "data", "dot"])
def test_a_refused_letter_leaves_the_rest_of_its_window_alone(
    phase: Phase, pipelining: bool
) -> None:
    fault = Fault(phase, "say", at=1, reply="550 5.7.1 not today")
    with FaultServer(pipelining=pipelining, faults=[fault]) as server:
        connection = connect(server)
        outcomes = send(connection, letters(4))
        refused = outcomes.pop(1)
        assert isinstance(refused, Refused)
        assert (refused.phase, refused.permanent, refused.kind) == (phase, True, ReplyKind.POLICY)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert [one.delivery for one in server.letters] == ["d0", "d2", "d3"]
        assert all(isinstance(one, Accepted) for one in send(connection, letters(1, first=9)))
        connection.close()
        assert server.connections == 1


@modes
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("lone_dot", ["554 5.5.1 no valid recipients", "250 2.0.0 Ok: queued"])
def test_354_after_a_refused_recipient_is_answered_with_a_lone_dot_that_accepts_nothing(
    lone_dot: str, position: int, pipelining: bool
) -> None:
    replies = {f"c{position}@shop.example": ["550 5.1.1 User unknown"]}
    with FaultServer(
        pipelining=pipelining,
        replies=replies,
        data_without_recipient="354 go on",
        lone_dot=lone_dot,
    ) as server:
        connection = connect(server)
        outcomes = send(connection, letters(3))
        refused = outcomes.pop(position)
        assert isinstance(refused, Refused)
        assert (refused.phase, refused.kind) == ("rcpt", ReplyKind.BAD_ADDRESS)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert len(server.letters) == 2
        assert all(isinstance(one, Accepted) for one in send(connection, letters(1, first=9)))
        connection.close()
        assert server.connections == 1


@modes
def test_a_greylisted_recipient_is_taken_at_the_second_try(pipelining: bool) -> None:
    replies = {"c0@shop.example": ["450 4.2.0 Greylisted, try again", "250 2.1.5 Ok"]}
    with FaultServer(pipelining=pipelining, replies=replies) as server:
        connection = connect(server)
        first, second = send(connection, letters(2))
        assert isinstance(first, Refused)
        assert (first.kind, first.permanent) == (ReplyKind.GREYLISTED, False)
        assert isinstance(second, Accepted)
        (again,) = send(connection, letters(1))
        assert isinstance(again, Accepted)
        connection.close()


@modes
def test_a_window_of_mixed_verdicts_keeps_each_to_its_letter(pipelining: bool) -> None:
    replies = {
        "c0@shop.example": ["550 Ip frequency limited. http://service.mail.qq.com/"],
        "c2@shop.example": ["550 5.1.1 User unknown"],
        "c3@shop.example": ["452 4.2.2 Mailbox full"],
    }
    verdicts = {"c5@shop.example": ["554 DT:SPM 163 smtp1,please see http://mail.163.com/"]}
    with FaultServer(pipelining=pipelining, replies=replies, verdicts=verdicts) as server:
        connection = connect(server)
        outcomes = send(connection, letters(7))
        kinds = [one.kind if isinstance(one, Refused) else None for one in outcomes]
        limited, unknown, full, spam = kinds[0], kinds[2], kinds[3], kinds[5]
        assert (limited, unknown) == (ReplyKind.RATE_LIMITED, ReplyKind.BAD_ADDRESS)
        assert (full, spam) == (ReplyKind.MAILBOX_FULL, ReplyKind.SPAM)
        assert [one.delivery for one in server.letters] == ["d1", "d4", "d6"]
        connection.close()


def test_a_connection_that_the_server_closed_while_idle_is_replaced_unseen() -> None:
    with FaultServer() as server:
        connection = connect(server)
        send(connection, letters(1))
        server.hang_up()
        server.wait_until_closed()
        outcomes = send(connection, letters(MAX_WINDOW, first=1))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        connection.close()
        assert server.connections == 2
        assert len(server.letters) == 1 + MAX_WINDOW


def test_leaving_a_window_early_costs_the_connection_and_nothing_else() -> None:
    with FaultServer() as server:
        connection = connect(server)
        connection.abandon(letters(3))
        assert all(isinstance(one, Accepted) for one in send(connection, letters(2, first=5)))
        assert all(isinstance(one, Accepted) for one in send(connection, letters(1, first=8)))
        connection.close()
        assert [one.delivery for one in server.letters] == ["d0", "d5", "d6", "d8"]
        assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        "hello",
        "25",
        "999 no such code",
        "250-no end\r\n251 other code",
        "250 2.1.0 Ok\r\n250 twice",
    ],
)
@modes
def test_an_unreadable_or_surplus_reply_before_the_dot_is_no_acceptance(
    reply: str, pipelining: bool
) -> None:
    fault = Fault("data", "say", reply=reply)
    with FaultServer(pipelining=pipelining, faults=[fault]) as server:
        connection = connect(server, SHORT)
        first, second = send(connection, letters(2))
        assert isinstance(first, Refused)
        assert (first.permanent, first.kind) == (False, ReplyKind.CONNECTION)
        assert untouched(second)
        assert server.letters == []
        connection.close()


def test_a_surplus_reply_after_354_is_not_taken_for_the_answer_to_the_dot() -> None:
    fault = Fault("data", "say", reply="354 go on\r\n250 2.0.0 Ok: queued")
    with FaultServer(pipelining=False, faults=[fault]) as server:
        connection = connect(server, SHORT)
        (outcome,) = send(connection, letters(1))
        assert isinstance(outcome, Refused)
        assert "out of step" in outcome.reply
        connection.close()


@pytest.mark.parametrize("reply", ["gibberish", "354 more?", "2" * 9_000])
def test_an_unreadable_reply_to_the_dot_leaves_the_letter_uncertain(reply: str) -> None:
    with FaultServer(faults=[Fault("dot", "say", reply=reply)]) as server:
        connection = connect(server, SHORT)
        first, second = send(connection, letters(2))
        assert isinstance(first, Unknown)
        assert untouched(second)
        connection.close()


def test_a_reply_of_endless_lines_is_given_up() -> None:
    endless = "\r\n".join(["250-more"] * 500)
    with FaultServer(faults=[Fault("mail", "say", reply=endless)]) as server:
        connection = connect(server)
        (outcome,) = send(connection, letters(1))
        assert isinstance(outcome, Refused)
        assert outcome.reply == "unreadable reply: it does not end"
        connection.close()


def test_a_slow_reply_within_its_time_out_is_waited_for() -> None:
    with FaultServer(faults=[Fault("dot", "delay", seconds=0.5)]) as server:
        connection = connect(server)
        assert isinstance(send(connection, letters(1))[0], Accepted)
        connection.close()


def test_a_letter_is_told_as_taken_before_the_server_asks_for_the_next_one() -> None:
    told: list[float] = []
    with FaultServer(faults=[Fault("mail", "delay", seconds=0.3, at=1)]) as server:
        connection = connect(server)
        outcomes = connection.send(letters(3), lambda *_: told.append(time.monotonic()))
        assert all(isinstance(one, Accepted) for one in outcomes)
        assert told[1] - told[0] > 0.25
        assert [server.copies(f"d{n}") for n in range(3)] == [1, 1, 1]
        connection.close()


def test_a_reply_that_came_while_the_loop_was_held_up_past_the_time_out_counts() -> None:
    def hold_up() -> None:
        end = asyncio.get_running_loop().time() + 2 * SHORT.dot
        while asyncio.get_running_loop().time() < end or not server.copies("d0"):
            pass

    with FaultServer(faults=[Fault("dot", "delay", seconds=0.2)]) as server:
        connection = connect(server, SHORT)
        assert isinstance(connection.send(letters(1), meanwhile=hold_up)[0], Accepted)
        connection.close()


def test_an_unreachable_relay_refuses_the_window_for_now() -> None:
    with FaultServer() as server:
        port = server.port
    connection = SmtpLine(SmtpSettings(host="127.0.0.1", port=port), SHORT)
    for outcome in send(connection, letters(2)):
        assert isinstance(outcome, Refused)
        assert (outcome.phase, outcome.permanent) == ("connect", False)
    connection.close()


@pytest.mark.parametrize(
    "address",
    ["a@b.example\r\nRCPT TO:<x@y.example>", "a b@c.example", "<a@b.example>", "a\0@b.example", "a",
     "@b.example", "a@", "", "a@b\x85.example"],
)  # fmt: skip
def test_an_address_that_could_break_a_command_never_touches_the_wire(address: str) -> None:
    with FaultServer() as server:
        connection = connect(server)
        bad, good = send(connection, [letter("bad", address), letter("good")])
        assert isinstance(bad, Refused)
        assert (bad.phase, bad.permanent) == ("address", True)
        assert isinstance(good, Accepted)
        connection.close()
        assert [one.delivery for one in server.letters] == ["good"]


@modes
def test_lines_that_begin_with_a_dot_arrive_as_they_were(pipelining: bool) -> None:
    body = b".first\r\nX-Delivery-Id: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\nend"
    with FaultServer(pipelining=pipelining) as server:
        connection = connect(server)
        outcomes = send(connection, [Envelope("dots", "a@b.example", "c@d.example", body)] * 2)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        connection.close()
        assert [one.body for one in server.letters] == [body + b"\r\n"] * 2


def test_8_bit_content_is_declared_where_the_server_offers_it() -> None:
    body = "X-Delivery-Id: a\r\n\r\n雁书\r\n".encode()
    with FaultServer() as server:
        connection = connect(server)
        send(connection, [Envelope("a", "a@b.example", "c@d.example", body), letter("plain")])
        connection.close()
        assert server.letters[0].body == body
        mails = [command for command in server.commands if command.startswith("MAIL")]
        assert [mail.endswith(" BODY=8BITMIME") for mail in mails] == [True, False]


def test_an_internationalised_domain_is_sent_as_ascii_and_a_local_part_needs_smtputf8() -> None:
    with FaultServer() as server:
        connection = connect(server)
        domain, local = send(
            connection, [letter("a", "li@例子.example"), letter("b", "李@shop.example")]
        )
        assert isinstance(domain, Accepted)
        assert server.letters[0].recipients == ("li@xn--fsqu00a.example",)
        assert isinstance(local, Refused)
        assert local.permanent
        connection.close()
    with FaultServer(extensions=("SMTPUTF8",)) as server:
        connection = connect(server)
        assert isinstance(send(connection, [letter("b", "李@shop.example")])[0], Accepted)
        connection.close()


def test_a_letter_above_the_announced_size_is_refused_before_it_is_sent() -> None:
    with FaultServer(extensions=("SIZE 5000",)) as server:
        connection = connect(server)
        big, small = send(connection, [letter("big", size=9_000), letter("small")])
        assert isinstance(big, Refused)
        assert (big.permanent, big.kind) == (True, ReplyKind.PERMANENT)
        assert isinstance(small, Accepted)
        connection.close()


def test_a_window_is_never_larger_than_eight() -> None:
    connection = SmtpLine(SmtpSettings(host="127.0.0.1", port=1))
    with pytest.raises(ValueError, match="at most 8"):
        connection.send(letters(9))
    connection.close()
