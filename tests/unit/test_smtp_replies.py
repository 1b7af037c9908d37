"""Replies as real servers send them, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.smtp_replies import HANDSHAKE, ReplyKind, classify

GREY, RATE, TEMP = ReplyKind.GREYLISTED, ReplyKind.RATE_LIMITED, ReplyKind.TEMPORARY
FULL, BAD, SPAM = ReplyKind.MAILBOX_FULL, ReplyKind.BAD_ADDRESS, ReplyKind.SPAM
POLICY, PERM, RELAY, OK = (
    ReplyKind.POLICY,
    ReplyKind.PERMANENT,
    ReplyKind.RELAY,
    ReplyKind.ACCEPTED,
)

_QQ = "http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=10007"
_163 = "163 smtp12,EMCowABHlJdpZ2NfgA--.1S2 1600000000,please see http://mail.163.com/help/help_spam_16.htm?ip=1.2.3.4"
_EMS = "https://support.google.com/mail/?p="

REPLIES = [
    # RFC 5321 §4.2, bare
    (250, "2.0.0 Ok: queued as 4Wq", OK),
    (251, "User not local; will forward to <a@b.example>", OK),
    (354, "Start mail input; end with <CRLF>.<CRLF>", OK),
    (421, "fault.example Service not available, closing transmission channel", TEMP),
    (450, "Requested mail action not taken: mailbox unavailable", TEMP),
    (451, "Requested action aborted: local error in processing", TEMP),
    (452, "Requested action not taken: insufficient system storage", TEMP),
    (500, "Syntax error, command unrecognized", PERM),
    (550, "Requested action not taken: mailbox unavailable", BAD),
    (552, "Requested mail action aborted: exceeded storage allocation", FULL),
    (553, "Requested action not taken: mailbox name not allowed", BAD),
    (554, "Transaction failed", PERM),
    # QQ and exmail
    (550, f"Ip frequency limited. {_QQ}25", RATE),
    (550, f"Sender frequency limited. {_QQ}25", RATE),
    (550, f"Domain frequency limited. {_QQ}25", RATE),
    (550, f"Connection frequency limited. {_QQ}22", RATE),
    (550, f"Mailbox not found. {_QQ}28", BAD),
    (550, f"Mail content denied. {_QQ}26", SPAM),
    (550, f"Connection denied. {_QQ}22", POLICY),
    (550, f"Suspected bounce attacks. {_QQ}27", POLICY),
    (550, "SPF check failed [MFbo2XQ IP: 1.2.3.4]", POLICY),
    (550, "Domain may not exist or DNS check failed [MFbo2XQ IP: 1.2.3.4]", POLICY),
    (550, "The recipient may contain a non-existent account, please check the recipient address.", BAD),
    (550, "Mail is rejected by recipients [MFbo2XQ IP: 1.2.3.4]", POLICY),
    (550, f"Mailbox unavailable or access denied {_QQ}28", PERM),
    (535, "Login Fail. Please enter your authorization code to login.", RELAY),
    # NetEase: 163, 126, yeah.net
    (421, f"HL:REP {_163}", RATE),
    (421, f"HL:ICC {_163}", RATE),
    (421, f"HL:IFC {_163}", RATE),
    (421, f"DT:SPM {_163}", RATE),
    (450, f"MI:DMC {_163}", RATE),
    (450, f"RP:DRC {_163}", RATE),
    (450, f"DT:RBL {_163}", RATE),
    (451, f"MI:SFQ {_163}", RATE),
    (451, f"DT:SPM ,please try again {_163}", RATE),
    (451, f"RP:QRC {_163}", RATE),
    (550, f"MI:STC {_163}", RATE),
    (550, f"RP:TRC {_163}", RATE),
    (550, "User not found: nobody@163.com", BAD),
    (550, "Invalid User: nobody@163.com", BAD),
    (550, "User suspended: nobody@163.com", BAD),
    (550, f"MI:SPF {_163}", POLICY),
    (550, f"MI:DMA {_163}", POLICY),
    (550, "User in blacklist: shop@shop.example", POLICY),
    (552, "Requested mail action aborted: exceeded mailsize limit", PERM),
    (553, "authentication is required,163 smtp12", RELAY),
    (553, "Requested action not taken: NULL sender is not allowed", POLICY),
    (554, f"DT:SPM {_163}", SPAM),
    (554, f"DT:SUM {_163}", POLICY),
    (554, f"HL:IPB {_163}", POLICY),
    (554, f"MI:STC {_163}", RATE),
    (554, f"HL:IFQ {_163}", RATE),
    (550, "用户不存在", BAD),
    (550, "收件人空间不足", FULL),
    (554, "IP is rejected, smtp auth error limit exceed", POLICY),
    # Gmail
    (421, "4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address.", RATE),
    (421, "4.7.28 Gmail has detected an unusual rate of email originating from your SPF domain.", RATE),
    (450, "4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend later.", RATE),
    (450, f"4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. {_EMS}ReceivingRate", RATE),
    (452, f"4.2.2 The recipient's inbox is out of storage space. {_EMS}OverQuotaTemp", FULL),
    (452, "4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate transaction.", RATE),
    (550, f"5.1.1 The email account that you tried to reach does not exist. Please try double-checking. {_EMS}NoSuchUser", BAD),
    (550, f"5.2.1 The email account that you tried to reach is inactive. {_EMS}DisabledUser", BAD),
    (550, f"5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages. {_EMS}x", RATE),
    (552, f"5.2.2 The recipient's inbox is out of storage space and inactive. {_EMS}OverQuotaPerm", FULL),
    (550, "5.4.5 Daily user sending limit exceeded.", RATE),
    (550, "5.7.1 Our system has detected that this message is likely unsolicited mail.", SPAM),
    (550, "5.7.26 This message does not have authentication information or fails to pass authentication checks (SPF or DKIM).", POLICY),
    (550, "5.7.25 The IP address sending this message does not have a PTR record setup", POLICY),
    (552, "5.7.0 This message was blocked because its content presents a potential security issue.", POLICY),
    (552, "5.3.4 Your message exceeded Google's message size limits.", PERM),
    (555, "5.5.2 Syntax error, goodbye.", PERM),
    # Outlook.com and Exchange Online
    (421, "RP-001 (SNT004-MC2F30) Unfortunately, some messages from 1.2.3.4 weren't sent. The mail server IP connecting to Outlook.com server has exceeded the rate limit allowed.", RATE),
    (451, "4.7.500 Server busy. Please try again later from [1.2.3.4]. (S77719)", TEMP),
    (451, "4.7.650 The mail server [1.2.3.4] has been temporarily rate limited due to IP reputation.", RATE),
    (432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", RATE),
    (550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", BAD),
    (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", BAD),
    (550, "5.4.1 Recipient address rejected: Access denied. AS(201806281) [AM5EUR03FT006]", BAD),
    (554, "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", FULL),
    (550, "5.7.1 Unfortunately, messages from [1.2.3.4] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", POLICY),
    (550, "5.7.501 Access denied, spam abuse detected from IP address.", SPAM),
    (550, "5.7.515 Access denied, sending domain shop.example doesn't meet the required authentication level.", POLICY),
    (550, "5.7.606 Access denied, banned sending IP [1.2.3.4].", POLICY),
    # Yahoo and AOL
    (421, "4.7.0 [TSS04] Messages from 1.2.3.4 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1", RATE),
    (451, "Message temporarily deferred - [160]", RATE),
    (552, "1 Requested mail action aborted, mailbox not found", BAD),
    (554, "30 Sorry, your message to nobody@yahoo.example cannot be delivered. This mailbox is disabled (554.30).", BAD),
    (554, "delivery error: dd This user doesn't have a yahoo.com account (nobody@yahoo.com) [0]", BAD),
    (553, "5.7.1 [BL21] Connections will not be accepted from 1.2.3.4, because the ip is in Spamhaus's list", POLICY),
    (554, "5.7.9 Message not accepted for policy reasons.", POLICY),
    (554, "Message not allowed - [PH01] Email not accepted for policy reasons.", POLICY),
    # iCloud, Aliyun, mail.ru
    (550, "5.1.1 <nobody@icloud.example>: user does not exist", BAD),
    (552, "5.2.2 <full@icloud.example>: user is over quota", FULL),
    (554, "5.7.1 [CS01] Message rejected due to local policy.", POLICY),
    (554, "Reject by content spam at END-OF-DATA", SPAM),
    (553, "RCPT (nobody@aliyun.example) dosen't exist", BAD),
    (550, "Message was not accepted -- invalid mailbox. Local mailbox nobody@mail.example is unavailable: user not found", BAD),
    # Postfix, Exim, Sendmail and their filters
    (450, "4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/b.example.html", GREY),
    (451, "4.7.1 Greylisting in action, please come back in 00:04:59", GREY),
    (451, "Greylisted, please try again in 300 seconds", GREY),
    (450, "4.3.2 Service currently unavailable", TEMP),
    (450, "4.1.1 <a@b.example>: Recipient address rejected: unverified address", TEMP),
    (450, "4.1.8 <us@shop.example>: Sender address rejected: Domain not found", TEMP),
    (452, "4.3.1 Insufficient system storage", TEMP),
    (452, "4.2.2 Mailbox full", FULL),
    (421, "4.7.0 mx.example Error: too many connections from 1.2.3.4", RATE),
    (421, "4.4.2 mx.example Error: timeout exceeded", TEMP),
    (550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown in local recipient table", BAD),
    (550, "5.1.1 <a@b.example>... User unknown", BAD),
    (550, "unrouteable address", BAD),
    (550, "No such user here", BAD),
    (550, "No Such User Here\"", BAD),
    (511, "sorry, no mailbox here by that name (#5.1.1 - chkuser)", BAD),
    (556, "5.1.10 Recipient address has null MX", BAD),
    (550, "5.1.2 <a@nowhere.example>: Recipient address rejected: Domain not found", BAD),
    (552, "5.2.2 <a@b.example>: Quota exceeded (mailbox for user is full)", FULL),
    (552, "5.3.4 Message size exceeds fixed limit", PERM),
    (553, "5.1.8 <us@shop.example>: Sender address rejected: Domain not found", POLICY),
    (553, "5.1.7 The sender's address is not RFC compliant", POLICY),
    (554, "5.7.1 <a@b.example>: Recipient address rejected: Access denied", POLICY),
    (554, "5.7.1 <a@b.example>: Relay access denied", POLICY),
    (554, "5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen.spamhaus.org", POLICY),
    (550, "5.7.1 Message rejected as spam by Content Filtering.", SPAM),
    (550, "High probability of spam", SPAM),
    (550, "5.7.1 Administrative prohibition", POLICY),
    (550, "Invalid sender address; user unknown", POLICY),
    (550, "Verification failed for <us@shop.example>: Sender verify failed", POLICY),
    (550, "Helo name invalid: host unknown", POLICY),
    (550, "Your host does not exist in DNS", POLICY),
    (550, "5.1.1 <a@b.example> is not a valid mailbox", BAD),
    (501, "5.1.3 Bad recipient address syntax", BAD),
    (550, "Too many messages per hour from your IP", RATE),
    (550, "exceeded daily mail limit", RATE),
    (550, "5.0.0 <a@b.example>... Mail box full", FULL),
    (554, "5.4.14 Hop count exceeded - possible mail loop", PERM),
    (530, "5.7.0 Must issue a STARTTLS command first", RELAY),
    (550, "5.7.1 Authentication required", RELAY),
]  # fmt: skip


def test_the_table_is_as_large_as_promised() -> None:
    assert len(REPLIES) >= 60


@pytest.mark.parametrize(("code", "text", "kind"), REPLIES)
def test_a_real_reply_is_understood(code: int, text: str, kind: ReplyKind) -> None:
    assert classify(code, text, "rcpt") is kind
    assert classify(code, text.upper()) is kind


@pytest.mark.parametrize(("code", "text", "kind"), REPLIES)
def test_only_a_plain_word_about_the_address_suppresses_it(
    code: int, text: str, kind: ReplyKind
) -> None:
    assert classify(code, text).suppresses == (kind is BAD)


@given(some.integers(400, 499), some.text() | some.sampled_from([text for _, text, _ in REPLIES]))
def test_no_4xx_is_ever_permanent(code: int, text: str) -> None:
    kind = classify(code, text)
    assert kind.retryable
    assert not kind.suppresses


@given(some.integers(500, 599), some.text())
def test_no_text_makes_a_5xx_an_acceptance(code: int, text: str) -> None:
    assert classify(code, text) is not OK


@pytest.mark.parametrize(
    "address", ["user.unknown@b.example", "spam@b.example", "frequency.limited@b.example"]
)
def test_the_words_of_the_address_itself_are_no_evidence(address: str) -> None:
    for text in (
        f"5.0.0 <{address}>: no",
        f"5.0.0 {address} no",
        f"see https://b.example/{address}",
    ):
        assert classify(550, text) is PERM


def test_a_refused_sender_is_never_the_recipients_fault() -> None:
    assert classify(550, "5.1.1 User unknown", "mail") is POLICY


@pytest.mark.parametrize("phase", sorted(HANDSHAKE))
def test_a_refused_connection_says_nothing_of_any_letter(phase: str) -> None:
    kind = classify(554, "5.7.1 No SMTP service here, user unknown", phase)
    assert kind is RELAY
    assert kind.retryable
    assert not kind.suppresses


def test_the_domain_is_slowed_down_by_what_is_about_pace_alone() -> None:
    assert {kind for kind in ReplyKind if kind.slows_domain} == {RATE, TEMP}


def test_exactly_the_bad_address_suppresses() -> None:
    assert {kind for kind in ReplyKind if kind.suppresses} == {BAD}
