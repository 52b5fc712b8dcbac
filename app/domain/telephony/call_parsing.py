"""Parsing the call records that telephones send: our directions and statuses, UTC times, the other party's number."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from app.lib import phone
from app.lib.cached_property import cached_property
from app.lib.iso_time import read_moment

#: How far a telephone's clock may be ahead.
MAX_CLOCK_SKEW = timedelta(minutes=15)
OLDEST_YEAR = 2000
MAX_SECONDS = 86_400
#: Numbers that telephones send for an unknown party, or for their own number before they know it.
PLACEHOLDERS = frozenset({"+911234567890"})
MAX_LENGTHS = {"from": 40, "to": 40, "device_call_id": 120, "contact_name": 140}
#: Stored instead of a withheld number.
WITHHELD = "withheld"
#: What telephones send for a withheld number; the negative numbers are Android's.
_WITHHELD_WORDS = frozenset(
    [
        *("", "-1", "-2", "-3", "private", "private number", "unknown", "unknown number", "restricted", "anonymous"),
        *("withheld", "withheld number", "hidden", "no caller id", "unavailable", "payphone", "null", "none"),
    ]
)
#: Seconds and milliseconds since 1970 as text; numbers of other lengths are not times.
_EPOCH = re.compile(r"[0-9]{9,10}|[0-9]{12,13}")
#: Call type of a telephone -> our direction; any other type is Unknown.
DIRECTIONS = {
    "incoming": "Incoming",
    "outgoing": "Outgoing",
    "missed": "Incoming",
    "rejected": "Incoming",
    "blocked": "Incoming",
}
_MISSED = frozenset({"missed", "no answer", "no_answer", "rejected", "canceled", "cancelled", "declined", "blocked"})
_MISSED_TYPES = frozenset({"missed", "rejected", "rej", "cancelled", "canceled", "declined"})
_NOT_PICKED = frozenset({"no answer", "no_answer", "did not pick", "did_not_pick", "canceled", "cancelled"})
#: Fields that are stored as received.
_NATIVE = ("type", "status", "native_call_type", "native_call_status", "contact_name", "method", "source")


class UnreadableCall(Exception):
    """A record that can never be parsed, however often it is sent: a code, and a text for users."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


@dataclass(frozen=True)
class Telephone:
    """The telephone that sends a batch, and its employee."""

    employee_id: int
    #: The zone of times without one.
    zone: ZoneInfo
    #: The employee's own numbers in E.164; the sync adds those of the user's profile.
    own_numbers: frozenset[str] = frozenset()
    #: The app's User-Agent.
    agent: str | None = None
    #: Whether a user retries a rejected record; the telephone itself has not synced.
    is_by_hand: bool = False

    @cached_property
    def certain_numbers(self) -> frozenset[str]:
        """The employee's own numbers, without those that telephones send as placeholders."""
        return self.own_numbers - PLACEHOLDERS

    @cached_property
    def possible_numbers(self) -> frozenset[str]:
        """Values that may stand for the employee's own number."""
        return self.own_numbers | PLACEHOLDERS

    @cached_property
    def zone_name(self) -> str:
        """The name of the zone."""
        return str(self.zone)


@dataclass
class ParsedCall:
    """A call record after parsing."""

    #: Position in the batch.
    index: int
    device_call_id: str
    direction: str
    status: str
    from_number: str
    to_number: str
    #: E.164; None for a withheld or invalid number.
    other_e164: str | None
    #: Identifies the other party; see `other_party`.
    party: str
    started_on: datetime
    ended_on: datetime
    #: 0 when nobody answered.
    duration_seconds: int
    native: dict[str, Any] = field(default_factory=dict)

    @property
    def natural_key(self) -> tuple[str, datetime]:
        """The other party and the second of the start, which identify a call besides the telephone's own id.

        The two apps make different ids for one call, and one of them includes the duration, so that a call that was
        sent while in progress is sent again with a new id.
        """
        return self.party, self.started_on.replace(microsecond=0)


def parse_call(index: int, raw: Any, telephone: Telephone, now: datetime) -> ParsedCall:
    """Parse one record of a batch. Raises UnreadableCall."""
    if not isinstance(raw, dict):
        raise UnreadableCall(
            "not_a_record", "This isn't a call: each call is an object with from, to, type and start_time."
        )
    _refuse_missing(raw, "type", "start_time")
    from_number, to_number = _number(raw, "from"), _number(raw, "to")
    direction = _direction(_word(raw["type"]), from_number, to_number, telephone)
    _refuse_missing(raw, "to")
    if direction == "Outgoing":
        _refuse_missing(raw, "from")
    else:
        from_number = caller(from_number)
    started = _moment(raw["start_time"], "start_time", telephone.zone)
    _refuse_invalid_start(started, now)
    seconds = _seconds(raw.get("duration"))
    status = _status(direction, raw, seconds)
    other = other_number(direction, from_number, to_number, telephone)
    other_e164 = phone.normalize(other)
    return ParsedCall(
        index=index,
        device_call_id=_device_call_id(raw, started, from_number),
        direction=direction,
        status=status,
        from_number=from_number,
        to_number=to_number,
        other_e164=other_e164,
        party=other_e164 or other_party(other),
        started_on=started,
        ended_on=_end(raw, started, seconds, telephone.zone),
        duration_seconds=seconds if status == "Completed" else 0,
        native=_native(raw, seconds, telephone),
    )


def caller(number: str) -> str:
    """The number of a caller as received; WITHHELD for anything that telephones send if it is unknown."""
    return WITHHELD if number.strip().casefold() in _WITHHELD_WORDS else number


def _refuse_missing(raw: dict[str, Any], *names: str) -> None:
    for name in names:
        if raw.get(name) in (None, ""):
            raise UnreadableCall("missing_field", f"Missing required field: {name}")


def storable_text(text: str) -> str:
    """The text without NULs and lone surrogates, which telephones produce by truncating; neither can be stored."""
    if text.isascii() and text.isprintable():  # nearly all
        return text
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _word(value: Any) -> str:
    return str(value or "").strip().lower()


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UnreadableCall("wrong_type", f"“{name}” must be text.")
    text = str(value).strip()
    if not (text.isascii() and text.isprintable()):  # as `storable_text` asks
        text = storable_text(text).strip()
    if len(text) > MAX_LENGTHS[name]:
        raise UnreadableCall("too_long", f"“{name}” is longer than {MAX_LENGTHS[name]} characters.")
    return text


def _number(raw: dict[str, Any], name: str) -> str:
    """The number as received. It may be a sender's name ("AD-HDFCBK") or "Private", without symbols and controls."""
    text = _text(raw, name)
    if text.isascii() and text.removeprefix("+").isdecimal():  # nearly all
        return text
    if any(unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn", "So", "Sk") for character in text):
        raise UnreadableCall("bad_number", f"“{name}” has characters that don't belong in a phone number.")
    return text


def _direction(call_type: str, from_number: str, to_number: str, telephone: Telephone) -> str:
    """The direction of this call type, unless one of the numbers is the employee's own."""
    own = telephone.certain_numbers
    if own and phone.normalize(to_number) in own:
        return "Incoming"
    return "Outgoing" if own and phone.normalize(from_number) in own else DIRECTIONS.get(call_type, "Unknown")


def other_number(direction: str, from_number: str, to_number: str, telephone: Telephone) -> str:
    """The other party's number as received."""
    if direction == "Outgoing":
        return to_number
    if direction == "Unknown" and phone.normalize(from_number) in telephone.possible_numbers:
        return to_number
    return from_number


def other_party(number: str) -> str:
    """Identifies the other party: the number in E.164, else its digits; "" for a withheld number.

    Texts for withheld numbers ("Private", "Unknown") don't count, because each app has its own.
    """
    return phone.normalize(number) or "".join(character for character in number if character.isdecimal())


def call_status(direction: str, is_answered: bool) -> str:
    """The status in the legacy API's words: unanswered calls are Missed Call (in) or Did Not Picked (out)."""
    unanswered = {"Incoming": "Missed Call", "Outgoing": "Did Not Picked"}
    return "Completed" if is_answered else unanswered.get(direction, "No Answer")


def _status(direction: str, raw: dict[str, Any], seconds: int) -> str:
    if not seconds:
        return call_status(direction, False)
    told = [raw.get(name) or "" for name in ("status", "native_call_status", "native_call_type", "type")]
    return call_status(direction, not _is_missed(direction, *[str(each)[:100] for each in told]))


@lru_cache(maxsize=1000)
def _is_missed(direction: str, *told: str) -> bool:
    """Whether these fields, few of which a telephone sends, say that nobody answered."""
    status, native_status, native_type, call_type = told
    words = {_word(status or native_status or "Completed"), _word(native_status)}
    if direction == "Outgoing":
        return bool(words & _NOT_PICKED)
    return bool((words | {_word(call_type)}) & _MISSED) or _word(native_type) in _MISSED_TYPES


def _seconds(value: Any) -> int:
    if value in (None, ""):
        return 0
    if type(value) is int and 0 <= value <= MAX_SECONDS:
        return value
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise UnreadableCall("bad_duration", "“duration” must be a number of seconds.")
    if float(text) > MAX_SECONDS:
        raise UnreadableCall("bad_duration", "“duration” is longer than a day.")
    return int(float(text))


def _moment(value: Any, name: str, zone: ZoneInfo) -> datetime:
    """UTC from a text in the telephone's local time, a text with a zone, or (milli)seconds since 1970, also as text."""
    if isinstance(value, str) and _EPOCH.fullmatch(value.strip()[:20]):
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value, name)
    try:
        moment = read_moment(value.strip()) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise UnreadableCall("bad_time", f"“{name}” isn't a time such as 2026-11-23 14:03:22.")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise UnreadableCall("bad_time", f"“{name}” is outside the supported range of dates.") from error


def _from_epoch(value: float, name: str) -> datetime:
    """From milliseconds; less than 10^11 of them would be before 1973, so smaller values are seconds."""
    if not 0 <= value < 10**14:
        raise UnreadableCall("bad_time", f"“{name}” isn't a time such as 2026-11-23 14:03:22.")
    milliseconds = int(value if value >= 10**11 else value * 1000)
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def _refuse_invalid_start(started: datetime, now: datetime) -> None:
    if started.year < OLDEST_YEAR:
        raise UnreadableCall("too_old", f"The call started before {OLDEST_YEAR}. Is the phone's clock right?")
    if started > now + MAX_CLOCK_SKEW:
        raise UnreadableCall("in_the_future", "The call started in the future. Is the phone's clock right?")


def _end(raw: dict[str, Any], started: datetime, seconds: int, zone: ZoneInfo) -> datetime:
    """The end as received if it is possible, else the start plus the duration."""
    fallback = started + timedelta(seconds=seconds)
    if raw.get("end_time") in (None, ""):
        return fallback
    try:
        ended = _moment(raw["end_time"], "end_time", zone)
    except UnreadableCall:
        return fallback
    return ended if started <= ended <= started + timedelta(seconds=MAX_SECONDS) else fallback


def _device_call_id(raw: dict[str, Any], started: datetime, from_number: str) -> str:
    return _text(raw, "device_call_id") or f"mobile_{int(started.timestamp() * 1000)}_{from_number}"


def _native(raw: dict[str, Any], seconds: int, telephone: Telephone) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in _NATIVE:
        value = raw.get(name)
        if value is not None and value != "" and isinstance(value, str | int | float):
            kept[name] = storable_text(str(value))[:140]
    duration = raw.get("native_duration")
    kept["duration"] = duration if isinstance(duration, int) and 0 <= duration <= MAX_SECONDS else seconds
    return kept | {"start_time": storable_text(str(raw["start_time"]))[:40], "zone": telephone.zone_name}
