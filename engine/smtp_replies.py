"""What an SMTP reply means for the letter, the address and the pace: told by enhanced code (RFC 3463) and by text.

The basic code alone misleads: QQ says 550 for "too fast", NetEase 554 for "looks like spam", Yahoo 552 for "no such
mailbox". Only a reply that plainly says that the *address* is bad may suppress it.
"""

from __future__ import annotations

import re
from enum import StrEnum

HANDSHAKE = frozenset({"connect", "tls", "greeting", "ehlo", "starttls", "auth"})
"""Phases before the first letter: what is refused there is our connection, never a recipient."""


class ReplyKind(StrEnum):
    """Why a letter was taken or not."""

    ACCEPTED = "accepted"
    GREYLISTED = "greylisted"  # come back later, as a test of manners
    RATE_LIMITED = "rate_limited"  # too much, too fast, too many connections
    TEMPORARY = "temporary"  # any other 4xx
    MAILBOX_FULL = "mailbox_full"  # a soft bounce whatever its code: mailboxes get emptied
    BAD_ADDRESS = "bad_address"  # nobody lives there (any more)
    SPAM = "spam"  # the content was taken for spam
    POLICY = "policy"  # our address, domain or signature was refused, or a rule of theirs
    PERMANENT = "permanent"  # any other 5xx
    RELAY = "relay"  # the relay does not serve us: login, TLS, a refused connection
    CONNECTION = "connection"  # no reply at all: unreachable, dropped, timed out, unreadable

    @property
    def retryable(self) -> bool:
        """Whether the same letter may be offered again later."""
        return self in _RETRYABLE

    @property
    def suppresses(self) -> bool:
        """Whether the address must get nothing more."""
        return self is ReplyKind.BAD_ADDRESS

    @property
    def slows_domain(self) -> bool:
        """Whether the recipient's domain should get less for a while; greylisting is no matter of pace."""
        return self in (ReplyKind.RATE_LIMITED, ReplyKind.TEMPORARY)


_RETRYABLE = frozenset(
    {
        ReplyKind.GREYLISTED,
        ReplyKind.RATE_LIMITED,
        ReplyKind.TEMPORARY,
        ReplyKind.MAILBOX_FULL,
        ReplyKind.RELAY,
        ReplyKind.CONNECTION,
    }
)


def classify(code: int, text: str, phase: str = "") -> ReplyKind:
    """The meaning of one reply; `text` is what follows the code, lines joined by spaces.

    `phase` (`mail`, `rcpt`, `data`, `dot`, …) helps where it is known: a refused MAIL is never the recipient's fault.

    >>> classify(550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown", "rcpt").value
    'bad_address'
    >>> classify(550, "Ip frequency limited. http://service.mail.qq.com/").value
    'rate_limited'
    """
    if code < 400:
        return ReplyKind.ACCEPTED
    if phase in HANDSHAKE or code in _LOGIN_CODES:
        return ReplyKind.RELAY
    found = _ENHANCED.match(text)
    enhanced = (int(found[2]), int(found[3])) if found else None
    words = _NOISE.sub(" ", text)
    if code < 500:  # 421 among them: never permanent, whatever its words
        return _temporary(words, enhanced)
    kind = _permanent(words, enhanced)
    if kind is ReplyKind.BAD_ADDRESS and phase == "mail":
        return ReplyKind.POLICY  # it is our own address that MAIL offers
    return kind


def _temporary(words: str, enhanced: tuple[int, int] | None) -> ReplyKind:
    for kind, pattern in _TEMPORARY_WORDS:
        if pattern.search(words):
            return kind
    if enhanced is not None:
        return _TEMPORARY_CODES.get(enhanced, ReplyKind.TEMPORARY)
    return ReplyKind.TEMPORARY


def _permanent(words: str, enhanced: tuple[int, int] | None) -> ReplyKind:
    for kind, pattern in _PERMANENT_WORDS:
        if pattern.search(words) and not (kind is ReplyKind.BAD_ADDRESS and _not_address(enhanced)):
            return kind
    if enhanced is None:
        return ReplyKind.PERMANENT
    if enhanced[0] == _SECURITY:
        return ReplyKind.POLICY
    return _PERMANENT_CODES.get(enhanced, ReplyKind.PERMANENT)


def _not_address(enhanced: tuple[int, int] | None) -> bool:
    """An enhanced code that speaks of system, content or security outweighs words about an address."""
    return enhanced is not None and enhanced[0] in (3, 6, _SECURITY)


_SECURITY = 7  # X.7.X: security or policy status
_LOGIN_CODES = frozenset({530, 534, 535, 538})  # RFC 4954 §6
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\S)")
# The recipient's own address and links to help pages hold any word there is: they are not evidence.
_NOISE = re.compile(r"<[^>]*>|\S+@\S+|https?://\S+", re.IGNORECASE)


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_RATE = _words(
    r"frequency limit",  # QQ, with 550
    r"\b(HL:(ICC|IFC|IFQ|REP|MEP|ITC)|MI:(DMC|SFQ|STC|CCL|CEL)|RP:(QRC|DRC|TRC|RCL|CCL|CEL))\b",  # NetEase
    r"\brate[ -]?limit|exceeded the rate|at a rate|unusual rate|message rate|receiving mail too quickly",
    r"too (many|much) (concurrent|simultaneous|connection|message|mail|recipient|e-?mail|session)",
    r"too (fast|frequent)|slow(ing)? down|throttl|unexpected volume",
    r"(sending|send|daily|hourly|message|thread|connection|submission) (user )?(sending )?(limit|quota)s? (was |has been )?(exceeded|reached)",
    r"exceed\w* (the )?(maximum |max )?(number of |allowed )?(\w+ )?(sending|messages|connections|recipients)",
    r"exceed\w* (the |your )?(daily|hourly)|concurren(t|cy)|频率|过于频繁",
)
_FULL = _words(
    r"(mail ?box|inbox|account|user|recipient)('s)? (\w+ )?(is |was )?(currently )?(full\b|over ?-?quota|over (the |its )?(storage )?(quota|limit))",
    r"mail ?box (size )?(limit|quota)|out of storage|over ?quota|exceeded storage|quota (was |has been )?exceeded",
    r"exceed\w* (the |its |his )?(mail ?box|storage|disk)? ?quota|not enough (disk )?space|full mailbox|空间不足|邮箱已满",
)
_GREY = _words(r"gr[ae]y[ -]?list", r"postgrey", r"come back (later|in)")
_SENDER = _words(
    r"sender('s)? (e-?mail )?(address|domain)",
    r"domain of sender|sender verify|from (address|domain)|\breturn[ -]path|NULL sender",
    r"\b(MI|DT):(IMF|SPF|DMA|NHD|SUM|SPB|RBL)\b|\bHL:(IHU|IPB)\b|\bRP:FRL\b|\bWM:BL[IU]\b",
    r"DNS check failed|\b(HL|MI|RP|DT|WM):(?!SP[MX])[A-Z]{3}\b",
)
_LOGIN = _words(
    r"authentication (is )?required|must (issue a )?(STARTTLS|authenticate)|not authenticated|auth(entication)? first"
)
_BLOCKED = _words(
    r"block(ed)? using|block ?-?list|black ?-?list|deny ?list|\b[dr]n?s?bl\b|spamhaus|spamcop|sorbs|barracuda|\bbanned\b",
    r"\b(spf|dkim|dmarc|rdns|ptr|arc)\b|reverse (dns|hostname)|reputation|relay(ing)? (access )?(denied|not)|unable to relay",
    r"bounce attack|connection denied|rejected by recipient|local policy|policy reasons|\bIP is rejected",
)
_SPAM = _words(
    r"spam|垃圾邮件|\b(DT|MI):SP[MX]\b|unsolicited|\bbulk\b|\bjunk\b|virus|malware|phish|suspicious",
    r"(content|message|mail) (was |is |has been )?(denied|rejected due to|reject(ed)? (by|for) content)|content rejected|high probability",
)
_GONE = _words(
    r"(user|mail ?box|account|recipient|address|addressee|alias|name)\)? ?(\w+ )?(is |was |does |could )?(not |n't )?(\bbe )?"
    r"(unknown|not found|exist|not known|invalid|disabled|inactive|suspended|closed|deactivated|deleted|terminated|no longer)",
    r"(no such|unknown|invalid|non-?existent|bad|undeliverable|illegal|unrouteable|unroutable) (\w+ )?(user|mail ?box|account|recipient|address|destination)",
    r"RESOLVER\.ADR\.\w*NotFound|RecipNotFound|do(es|se)n'?t (exist|have an? \S+ account)|do(es)? not exist|no mailbox (here )?by that name",
    r"mail ?box (name )?(unavailable(?! or access)|not allowed)|user (doesn't|does not) (have|exist)|not our customer|no (valid )?recipient here",
    r"recipient address rejected: access denied|account that you tried to reach (does not|is (disabled|inactive))|null ?mx",
    r"domain (name )?not found|(host|domain) (is )?unknown|unknown (host|domain)|(用户|收件人|邮箱)不存在|未开通",
)
# Words like "unknown" or "does not exist" beside one of these speak of us, not of the recipient.
_US = _words(
    r"\b(senders?|helo|ehlo|dns|client|mail from|from:|url|your (host|domain|ip|server))\b|\buribl\b"
)
_LARGE = _words(
    r"(message|mail ?) ?(file )?(is )?(size|too (large|big))|too large|mailsize|exceeds (fixed )?(size|limit)"
)

_TEMPORARY_WORDS = (
    (ReplyKind.GREYLISTED, _GREY),
    (ReplyKind.MAILBOX_FULL, _FULL),
    (ReplyKind.RATE_LIMITED, _RATE),
    # A 4xx with a NetEase code or the word spam means: you send too much of this.
    (
        ReplyKind.RATE_LIMITED,
        _words(r"\b(HL|MI|RP|DT|WM):[A-Z]{3}\b", _SPAM.pattern, r"temporarily deferred|reputation"),
    ),
)
_PERMANENT_WORDS = (
    (ReplyKind.RATE_LIMITED, _RATE),
    (ReplyKind.RELAY, _LOGIN),
    (ReplyKind.POLICY, _SENDER),
    (ReplyKind.MAILBOX_FULL, _FULL),
    (ReplyKind.POLICY, _BLOCKED),
    (ReplyKind.SPAM, _SPAM),
    (ReplyKind.PERMANENT, _LARGE),
    (ReplyKind.POLICY, _US),
    (ReplyKind.BAD_ADDRESS, _GONE),
)
_TEMPORARY_CODES = {
    (2, 2): ReplyKind.MAILBOX_FULL,
    (5, 3): ReplyKind.RATE_LIMITED,  # too many recipients
    (7, 28): ReplyKind.RATE_LIMITED,  # Gmail: unusual rate of mail
}
_PERMANENT_CODES = {
    (1, 1): ReplyKind.BAD_ADDRESS,
    (1, 2): ReplyKind.BAD_ADDRESS,  # no such domain
    (1, 3): ReplyKind.BAD_ADDRESS,
    (1, 6): ReplyKind.BAD_ADDRESS,  # moved, no forwarding address
    (1, 10): ReplyKind.BAD_ADDRESS,  # null MX, RFC 7505
    (1, 7): ReplyKind.POLICY,  # 5.1.7 and 5.1.8 speak of the sender
    (1, 8): ReplyKind.POLICY,
    (2, 1): ReplyKind.BAD_ADDRESS,  # mailbox disabled
    (2, 2): ReplyKind.MAILBOX_FULL,
    (4, 5): ReplyKind.RATE_LIMITED,
    (5, 3): ReplyKind.RATE_LIMITED,
}
