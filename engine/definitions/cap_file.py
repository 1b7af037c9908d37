"""`frequency` and `volume` of the policy: how much may go to one customer, and from the whole shop."""

from __future__ import annotations

from engine.definitions.contents import ADDRESS
from engine.definitions.policy import FrequencyRule, Overflow, VolumeRule, WarmUp
from engine.definitions.quiet_file import CHANNEL, CLASS
from engine.definitions.reading import Fields, Key, Reader, Record, one_or_more
from engine.definitions.report import Report
from engine.definitions.scalars import choice, duration, integer, matching, text
from engine.definitions.values import Duration

MAX_MESSAGES = 1_000_000_000
PROVIDER = r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}"
OVERFLOW: Reader[Overflow] = choice("defer", "skip")


def _maximum(most: int) -> Reader[int]:
    def check(value: int) -> int:
        if value == 0:
            raise ValueError(
                f"0 is out of range: from 1 to {most:,}; a cap of 0 would let nothing through, ever"
            )
        return value

    return integer(0, most).then(check, minimum=1)


FREQUENCY: Reader[FrequencyRule] = Record(
    {
        "class": Key(one_or_more(CLASS), "Marketing and care where it is not given."),
        "channel": Key(one_or_more(CHANNEL), "Any where it is not given."),
        "max": Key(_maximum(10_000), "At most so many to one customer,", required=True),
        "per": Key(duration(), "in this time; in days: calendar days.", required=True),
        "overflow": Key(OVERFLOW, "When it is full; as the policy says where it is not given."),
    }
).build(
    lambda fields: FrequencyRule(
        classes=frozenset(fields.get("class", ())),
        channels=frozenset(fields.get("channel", ())),
        maximum=fields.get("max"),
        per=fields.get("per"),
        overflow=fields.get("overflow"),
        position=fields.span.position,
        text=fields.span.text,
    )
)


def _sender(written: str) -> str:
    if not ADDRESS.fullmatch(written):
        raise ValueError(f"{written!r} is not the address of a sender; write it as in hi@shop.example")  # fmt: skip
    return written.lower()


def _whole_days(per: Duration) -> int:
    if not per.is_days:
        raise ValueError(f"{per} is not in days: a warm-up doubles from day to day, as in 1d")
    return per.amount


WARM_UP: Reader[WarmUp] = Record(
    {
        "start": Key(_maximum(MAX_MESSAGES), "So many on the first day.", required=True),
        "double_every": Key(duration().then(_whole_days), "1d: doubled every day.", required=True),
    }
).build(lambda fields: WarmUp(fields.get("start"), fields.get("double_every")))


def _check_volume(fields: Fields, report: Report) -> None:
    warm_up, per, maximum = fields.get("warm_up"), fields.get("per"), fields.get("max")
    if "sender" in fields and fields.get("channel") == "sms":
        message = (
            "text messages have no sender's address: leave out `sender`, or write channel: email"
        )
        report.error(fields.at("sender").position, message, "bad-value")
    if warm_up is None:
        return
    if per is not None and str(per) != "1d":
        message = f"a warm-up is a cap a day: write per: 1d instead of {per}"
        report.error(fields.at("per").position, message, "bad-value")
    if maximum is not None and warm_up.start >= maximum:
        message = (
            f"it starts with {warm_up.start}, and max is {maximum}: there is nothing to double"
        )
        report.error(fields.at("warm_up").position, message, "bad-value")


VOLUME: Reader[VolumeRule] = Record(
    {
        "class": Key(one_or_more(CLASS)),
        "channel": Key(CHANNEL, "Any where it is not given."),
        "domain": Key(
            matching(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", "a domain such as qq.com").then(str.lower),
            "Only addresses of this domain.",
        ),
        "sender": Key(text().then(_sender), "Only emails that are from this address."),
        "provider": Key(
            matching(PROVIDER, "the name of a provider (letters, digits, - and _)"),
            "Only what goes out by this provider, by its name in yanshu.toml.",
        ),
        "max": Key(_maximum(MAX_MESSAGES), "At most so many of the whole shop", required=True),
        "per": Key(duration(), "in this time; in days: the shop's calendar days.", required=True),
        "overflow": Key(OVERFLOW, "When it is full; as the policy says where it is not given."),
        "warm_up": Key(WARM_UP, "Begin small, and double until max."),
    },
    check=_check_volume,
).build(
    lambda fields: VolumeRule(
        classes=frozenset(fields.get("class", ())),
        channel=fields.get("channel"),
        domain=fields.get("domain"),
        sender=fields.get("sender"),
        provider=fields.get("provider"),
        warm_up=fields.get("warm_up"),
        maximum=fields.get("max"),
        per=fields.get("per"),
        overflow=fields.get("overflow"),
        position=fields.span.position,
        text=fields.span.text,
    )
)
