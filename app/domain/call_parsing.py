"""What a telephone says of a call, read: direction and status in our words, times in UTC, the other side's number."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.lib import phone

#: A telephone's clock may run ahead by so much.
MAX_CLOCK_SKEW = timedelta(minutes=15)
OLDEST_YEAR = 2000
MAX_SECONDS = 86_400
#: What telephones write for "somebody", or put in for their own number before they know it.
PLACEHOLDERS = frozenset({"+911234567890"})
MAX_LENGTHS = {"from": 40, "to": 40, "device_call_id": 120, "contact_name": 140}
#: The type as telephones say it -> our direction. Whatever else they say is not guessed at.
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
#: What is kept of the record as it came.
_NATIVE = ("type", "status", "native_call_type", "native_call_status", "contact_name", "method", "source")


class UnreadableCall(Exception):
    """A record that will never be right, however often it is sent: a code for machines, a sentence for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


@dataclass(frozen=True)
class Telephone:
    """Whose calls these are."""

    employee_id: int
    #: Where the telephone's clock hangs: its times come without a zone.
    zone: ZoneInfo
    #: The employee's own numbers, E.164; the sync adds those that he has entered.
    own: frozenset[str] = frozenset()
    #: What the application calls itself.
    agent: str | None = None
    #: Somebody has a kept record read once more: nothing is learnt of the telephone, which may be silent for days.
    is_by_hand: bool = False


@dataclass
class ParsedCall:
    """One call as the telephone told it."""

    index: int
    device_call_id: str
    direction: str
    status: str
    from_number: str
    to_number: str
    #: E.164; None for a withheld or impossible number.
    other_e164: str | None
    #: What names the other side; see side_of.
    side: str
    started_on: datetime
    ended_on: datetime
    #: 0 when nobody answered.
    duration_seconds: int
    native: dict[str, Any] = field(default_factory=dict)

    @property
    def second(self) -> tuple[str, datetime]:
        """The natural key beside the telephone's own id: the two applications make different ids for one call.

        One of them even writes the duration into its id, so that a call which went on comes under a new one.
        """
        return self.side, self.started_on.replace(microsecond=0)


def parse_call(index: int, raw: Any, telephone: Telephone, now: datetime) -> ParsedCall:
    """One record of a batch. Raises Unreadable."""
    if not isinstance(raw, dict):
        raise UnreadableCall(
            "not_a_record", "This isn't a call: each call is an object with from, to, type and start_time."
        )
    for name in ("from", "to", "type", "start_time"):
        if raw.get(name) in (None, ""):
            raise UnreadableCall("missing_field", f"Missing required field: {name}")
    from_number, to_number = _number(raw, "from"), _number(raw, "to")
    direction = _direction(_word(raw["type"]), from_number, to_number, telephone)
    started = _moment(raw["start_time"], "start_time", telephone.zone)
    _refuse_impossible(started, now)
    told = _seconds(raw.get("duration"))
    status = _status(direction, raw, told)
    talked = told if status == "Completed" else 0
    other = other_number(direction, from_number, to_number, telephone)
    return ParsedCall(
        index=index,
        device_call_id=_own_id(raw, started, from_number),
        direction=direction,
        status=status,
        from_number=from_number,
        to_number=to_number,
        other_e164=phone.normalize(other),
        side=other_party(other),
        started_on=started,
        ended_on=_end(raw, started, told, telephone.zone),
        duration_seconds=talked,
        native=_native(raw, told, telephone),
    )


def storable_text(text: str) -> str:
    """Without halves of signs, which telephones cut in two, and NULs: neither can be stored."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _word(value: Any) -> str:
    return str(value or "").strip().lower()


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UnreadableCall("wrong_type", f"“{name}” must be text.")
    text = storable_text(str(value)).strip()
    if len(text) > MAX_LENGTHS[name]:
        raise UnreadableCall("too_long", f"“{name}” is longer than {MAX_LENGTHS[name]} characters.")
    return text


def _number(raw: dict[str, Any], name: str) -> str:
    """As it came. A sender's name ("AD-HDFCBK") or "Private" may stand for a number; pictures and controls may not."""
    text = _text(raw, name)
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn", "So", "Sk") for sign in text):
        raise UnreadableCall("bad_number", f"“{name}” has characters that don't belong in a phone number.")
    return text


def _direction(said: str, from_number: str, to_number: str, telephone: Telephone) -> str:
    """What the telephone says, unless one side is the employee's own number."""
    own = telephone.own - PLACEHOLDERS
    if phone.normalize(to_number) in own:
        return "Incoming"
    return "Outgoing" if phone.normalize(from_number) in own else DIRECTIONS.get(said, "Unknown")


def other_number(direction: str, from_number: str, to_number: str, telephone: Telephone) -> str:
    """The other side's number, as it came."""
    if direction == "Outgoing":
        return to_number
    if direction == "Unknown" and phone.normalize(from_number) in telephone.own | PLACEHOLDERS:
        return to_number
    return from_number


def other_party(number: str) -> str:
    """What names the other side: the normal form, else the digits there are; "" for a withheld number.

    Of two names for "withheld" ("Private", "Unknown") each application has its own.
    """
    return phone.normalize(number) or "".join(sign for sign in number if sign.isdecimal())


def call_status(direction: str, is_answered: bool) -> str:
    """The predecessor's words: unanswered calls are Missed Call (in) or Did Not Picked (out)."""
    unanswered = {"Incoming": "Missed Call", "Outgoing": "Did Not Picked"}
    return "Completed" if is_answered else unanswered.get(direction, "No Answer")


def _status(direction: str, raw: dict[str, Any], seconds: int) -> str:
    said = _word(raw.get("status") or raw.get("native_call_status") or "Completed")
    native = _word(raw.get("native_call_status"))
    kind = _word(raw.get("native_call_type"))
    missed = bool({said, native, _word(raw.get("type"))} & _MISSED) or kind in _MISSED_TYPES
    if direction == "Outgoing":
        missed = bool({said, native} & _NOT_PICKED)
    return call_status(direction, bool(seconds) and not missed)


def _seconds(value: Any) -> int:
    if value in (None, ""):
        return 0
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise UnreadableCall("bad_duration", "“duration” must be a number of seconds.")
    if float(text) > MAX_SECONDS:
        raise UnreadableCall("bad_duration", "“duration” is longer than a day.")
    return int(float(text))


def _moment(value: Any, name: str, zone: ZoneInfo) -> datetime:
    """Text in the telephone's local time, text with a zone, or milliseconds since 1970 -> UTC."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_milliseconds(value, name)
    try:
        moment = datetime.fromisoformat(str(value).strip()) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise UnreadableCall("bad_time", f"“{name}” isn't a time such as 2026-11-23 14:03:22.")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise UnreadableCall("bad_time", f"“{name}” is outside the supported range of dates.") from error


def _of_milliseconds(value: int, name: str) -> datetime:
    if not 0 <= value < 10**14:
        raise UnreadableCall("bad_time", f"“{name}” isn't a time such as 2026-11-23 14:03:22.")
    return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)


def _refuse_impossible(started: datetime, now: datetime) -> None:
    if started.year < OLDEST_YEAR:
        raise UnreadableCall("too_old", f"The call started before {OLDEST_YEAR}. Is the phone's clock right?")
    if started > now + MAX_CLOCK_SKEW:
        raise UnreadableCall("in_the_future", "The call started in the future. Is the phone's clock right?")


def _end(raw: dict[str, Any], started: datetime, seconds: int, zone: ZoneInfo) -> datetime:
    """The end that was told, if it can be; else start and duration."""
    fallback = started + timedelta(seconds=seconds)
    if raw.get("end_time") in (None, ""):
        return fallback
    try:
        ended = _moment(raw["end_time"], "end_time", zone)
    except UnreadableCall:
        return fallback
    return ended if started <= ended <= started + timedelta(seconds=MAX_SECONDS) else fallback


def _own_id(raw: dict[str, Any], started: datetime, from_number: str) -> str:
    return _text(raw, "device_call_id") or f"mobile_{int(started.timestamp() * 1000)}_{from_number}"


def _native(raw: dict[str, Any], seconds: int, telephone: Telephone) -> dict[str, Any]:
    kept: dict[str, Any] = {
        name: storable_text(str(raw[name]))[:140]
        for name in _NATIVE
        if isinstance(raw.get(name), str | int | float) and raw[name] != ""
    }
    duration = raw.get("native_duration")
    kept["duration"] = duration if isinstance(duration, int) and 0 <= duration <= MAX_SECONDS else seconds
    return kept | {"start_time": storable_text(str(raw["start_time"]))[:40], "zone": str(telephone.zone)}
