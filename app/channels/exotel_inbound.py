"""Exotel's callbacks: states of SMS and calls as forms or JSON, incoming calls and SMS by GET ("Passthru").

Exotel signs nothing. The random token in the address keeps others out (whoever routes the request checks it). Here the
account, our own number and the host of recordings are checked, and only known calls and messages may be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.channels.failure_reasons import SENTENCES, unwanted_kind
from app.channels.http_client import is_allowed, is_of_host
from app.channels.inbound_fields import (
    MAX_ADDRESS,
    clean,
    identifier,
    json_object,
    number,
    one_line,
    whole_number,
)
from app.channels.provider import BadSignature, CallUpdate, Event, Inbound, IncomingMessage, NotUnderstood, StatusUpdate
from app.lib import phone

#: Where Exotel keeps recordings.
FILE_HOSTS = ("*.exotel.com", "*.exotel.in")
#: Exotel's status of an SMS -> ours.
SMS_STATES = {
    **dict.fromkeys(("queued", "sending", "submitted"), "sent"),
    "sent": "delivered",  # final; its detail says whether it reached the phone or only the operator
    **dict.fromkeys(("failed", "failed-dnd", "failed_dnd"), "failed"),
}
#: Detail of a delivered SMS: the operator has it.
_AT_OPERATOR = "20006"
#: Details of a failed SMS -> a reason of `reasons`.
_DETAILS = {
    "23005": "do_not_disturb",
    "23010": "bad_number",
    **dict.fromkeys(("23015", "23020", "23060"), "blocked"),
    "23072": "bad_sender",
    **dict.fromkeys(("23035", "24105", "24110", "24120"), "unreachable"),
    **dict.fromkeys(("23080", "23081", "23082", "23083", "23084"), "dlt"),
    **dict.fromkeys(("23181", "23182", "23183", "23184", "23185", "23186", "23281"), "dlt"),
}
#: Exotel's status of a call -> ours.
_CALL_STATES = {
    **dict.fromkeys(("queued", "ringing"), "ringing"),
    **dict.fromkeys(("in-progress", "answered"), "answered"),
    **{state: state for state in ("completed", "busy", "no-answer", "failed", "canceled")},
    "cancelled": "canceled",
    "missed-call": "no-answer",
}
_MISSED = ("busy", "no-answer", "failed", "canceled")
#: The type of an incoming call in a call flow -> ours.
_CALL_TYPES = {
    "call-attempt": "ringing",
    "completed": "completed",
    "client-hangup": "no-answer",
    "incomplete": "no-answer",
    "voicemail": "no-answer",
}
#: Events of a telephone that is rung for an incoming call -> ours.
_RING_EVENTS = {"dial": "ringing", "ringing": "ringing", "answered": "answered"}
#: Exotel's clock, without a zone in its times.
_INDIA = ZoneInfo("Asia/Kolkata")


class ExotelInbound:
    """The half of the adapter that handles Exotel's requests."""

    def __init__(self, account_sid: str, exophones: str, base_url: str) -> None:
        """`exophones` are our numbers, comma-separated."""
        self.account_sid, self.base_url = account_sid, base_url
        self.exophones = [number(part) for part in exophones.split(",") if part.strip()]

    def verify(self, request: Inbound) -> None:
        """Refuse requests for another account, and methods that Exotel doesn't use."""
        named = _first(request.form, "AccountSid") or _first(request.query, "AccountSid")
        if request.method not in ("GET", "POST") or named not in ("", self.account_sid):
            raise BadSignature("it is for another account")

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """200: the call flow continues on its first branch."""
        return 200, "text/plain; charset=utf-8", ""

    def parse(self, request: Inbound) -> list[Event]:
        """The state, call step or incoming SMS in a request. Raises NotUnderstood."""
        fields = _fields(request)
        key = _text(fields, "CustomField")[:64] or _first(request.query, "key")
        if "CallSid" in fields:
            is_flow = request.method == "GET" or "CallFrom" in fields
            return self._flow_step(fields, key) if is_flow else [self._call_status(fields, key)]
        sid = identifier(_text(fields, "SmsSid"), "SmsSid")
        status = _text(fields, "Status").lower()
        if status in SMS_STATES:
            return [sms_status(sid, status, fields, key)]
        if "Body" in fields:
            return [_incoming(sid, fields)]
        raise NotUnderstood("The status of the SMS isn't known.")

    def _call_status(self, fields: Mapping[str, Any], key: str) -> CallUpdate:
        """The callback of a call that we requested."""
        event, status = _text(fields, "EventType").lower(), _text(fields, "Status").lower()
        state = "answered" if event == "answered" else _CALL_STATES.get(status, "")
        if not state:
            raise NotUnderstood("The status of the call isn't known.")
        return CallUpdate(
            identifier(_text(fields, "CallSid"), "CallSid"),
            state,
            "out",
            number(_text(fields, "To")),
            _own(_text(fields, "PhoneNumberSid") or _text(fields, "CallerId")),
            number(_text(fields, "From")),
            key,
            _moment(fields.get("StartTime")),
            _moment(fields.get("EndTime")) or (_moment(fields.get("DateUpdated")) if _is_final(state) else None),
            whole_number(fields.get("ConversationDuration")) if state == "completed" else None,
            self._recording(fields),
        )

    def _flow_step(self, fields: Mapping[str, Any], key: str) -> list[Event]:
        """A step of a call flow, of an incoming call or of one that Exotel dials for us."""
        caller, called = number(_text(fields, "CallFrom")), number(_text(fields, "CallTo"))
        # "outbound-dial" also appears in events of a telephone that rings for an incoming call.
        is_incoming = called in self.exophones
        if not is_incoming and _text(fields, "Direction").lower() in ("incoming", "inbound"):
            raise NotUnderstood("The called number is none of this account's ExoPhones.")
        state = _flow_state(fields)
        if not state:
            return []
        update = CallUpdate(
            identifier(_text(fields, "CallSid"), "CallSid"),
            state,
            "in" if is_incoming else "out",
            caller if is_incoming else called,
            called if is_incoming else "",
            number(_text(fields, "DialWhomNumber")) if is_incoming else caller,
            key,
            _moment(fields.get("StartTime")),
            _moment(fields.get("EndTime")) or (_moment(fields.get("CurrentTime")) if _is_final(state) else None),
            _talk_seconds(fields) if state == "completed" else None,
            self._recording(fields),
        )
        return [update]

    def _recording(self, fields: Mapping[str, Any]) -> str:
        """The address of the recording; "" = none, or not at Exotel: we fetch from nowhere else."""
        url = _text(fields, "RecordingUrl")
        return url if is_allowed(url, FILE_HOSTS) or is_of_host(url, self.base_url) else ""


def _fields(request: Inbound) -> dict[str, Any]:
    """The first value of each field that was sent, as a form, JSON or query."""
    if request.form:
        return {name: values[0] for name, values in request.form.items() if values}
    if request.method == "POST" and request.body:
        return json_object(request)
    return {name: values[0] for name, values in request.query.items() if values}


def _first(fields: Mapping[str, list[str]], name: str) -> str:
    return one_line((fields.get(name) or [""])[0])


def _text(fields: Mapping[str, Any], name: str) -> str:
    return one_line(fields.get(name), MAX_ADDRESS)


def _own(value: str) -> str:
    """Our number, if the field contains one and not an id."""
    return phone.normalize(value) or ""


def _is_final(state: str) -> bool:
    return state not in ("ringing", "answered")


def _flow_state(fields: Mapping[str, Any]) -> str:
    """The state of the second telephone if it was dialed, else of the flow, else of the call.

    "" = nothing new: one of several telephones has stopped ringing.
    """
    if event := _text(fields, "EventType").lower():
        return _RING_EVENTS.get(event, "")
    dialed = _CALL_STATES.get(_text(fields, "DialCallStatus").lower())
    if dialed is not None:
        return "no-answer" if dialed == "canceled" else dialed
    flow = _CALL_TYPES.get(_text(fields, "CallType").lower(), "")
    status = _CALL_STATES.get(_text(fields, "CallStatus").lower(), "")
    if not flow and not status:
        raise NotUnderstood("The status of the call isn't known.")
    # A flow that has not rung anyone yet says "call-attempt", even if the call has ended meanwhile.
    return status if flow in ("", "ringing") and status in _MISSED else flow or status


def _talk_seconds(fields: Mapping[str, Any]) -> int | None:
    """The seconds of talk, if reported; DialCallDuration includes the ringing."""
    on_call = whole_number(_text(fields, "Legs[0][OnCallDuration]"))
    return whole_number(_text(fields, "DialCallDuration")) if on_call is None else on_call


def _moment(value: Any) -> datetime | None:
    """A time of Exotel in UTC; None if it isn't one, or is the constant 1970-01-01 05:30:00 for "not yet"."""
    try:
        found = datetime.strptime(one_line(value, 19), "%Y-%m-%d %H:%M:%S").replace(tzinfo=_INDIA)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.year > 2000 else None


# --- messages


def _incoming(sid: str, fields: Mapping[str, Any]) -> IncomingMessage:
    peer, to = number(_text(fields, "From")), number(_text(fields, "To"))
    if not peer:
        raise NotUnderstood("The SMS has no sender.")
    return IncomingMessage(sid, "sms", peer, to, clean(fields.get("Body")), _moment(fields.get("Date")))


def sms_status(sid: str, status: str, fields: Mapping[str, Any], key: str) -> StatusUpdate:
    """The state of an SMS, from a callback or a response."""
    state, when = SMS_STATES[status], _moment(fields.get("DateSent")) or _moment(fields.get("DateUpdated"))
    reason, code = failure_of(status, fields.get("DetailedStatusCode"))
    if state != "failed":
        return StatusUpdate(sid, "sent" if code == _AT_OPERATOR else state, when, key)
    return StatusUpdate(sid, state, when, key, SENTENCES[reason], code, unwanted_kind(reason))


def failure_of(status: str, detail: Any) -> tuple[str, str]:
    """Reason and code of a failed SMS."""
    code = one_line(str(detail), 40) if isinstance(detail, str | int) else ""
    if status in ("failed-dnd", "failed_dnd"):
        return "do_not_disturb", code or "failed_dnd"
    return _DETAILS.get(code, "not_delivered"), code
