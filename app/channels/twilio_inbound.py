"""Twilio's webhooks: messages, states of messages and calls, recordings. Signed with the account's token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from twilio.request_validator import RequestValidator

from app.channels.failure_reasons import SENTENCES, unwanted_kind
from app.channels.inbound_fields import (
    MAX_ADDRESS,
    clean,
    field_id,
    first_value,
    header,
    number,
    one_line,
    whole_number,
    with_query,
)
from app.channels.provider import (
    AccountSetting,
    BadSignature,
    CallUpdate,
    Event,
    Inbound,
    IncomingMessage,
    Media,
    NotUnderstood,
    StatusUpdate,
)
from app.channels.setting_checks import (
    RECORD_OUTGOING,
    check_settings,
    form_problem,
    number_problem,
    numbers_problem,
    secret_problem,
    yes_no_problem,
)
from app.channels.twilio_errors import REASONS

if TYPE_CHECKING:
    from twilio.twiml.voice_response import VoiceResponse

SETTINGS = (
    AccountSetting(
        "account_sid",
        "Account SID",
        "On the first page of Twilio's console; it starts with AC.",
        check=partial(form_problem, re.compile(r"AC[0-9a-fA-F]{32}"), "It is AC and 32 hexadecimal digits."),
    ),
    AccountSetting(
        "auth_token", "Auth token", "Below the account SID. It also signs the webhooks.", True, check=secret_problem
    ),
    AccountSetting(
        "from",
        "Own numbers",
        "The sender of SMS and the caller ID, with country code. A different sender of WhatsApp messages follows after "
        "a comma, with whatsapp: before it.",
        check=numbers_problem,
    ),
    AccountSetting(
        "forward_to",
        "Incoming calls ring at",
        "A phone number. Empty: incoming calls hear the busy tone.",
        is_required=False,
        check=number_problem,
    ),
    AccountSetting(
        "record_incoming",
        "Record incoming calls",
        "yes or no. Tell the callers.",
        is_required=False,
        default="no",
        check=yes_no_problem,
    ),
    RECORD_OUTGOING,
)
#: Twilio's status of a message -> ours. A message that Twilio has accepted is sent: "queued" means waiting in the CRM.
MESSAGE_STATES = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), "sent"),
    **dict.fromkeys(("delivered", "partially_delivered"), "delivered"),
    "read": "read",
    **dict.fromkeys(("undelivered", "failed", "canceled"), "failed"),
}
#: Twilio's status of a call -> ours.
_CALL_STATES = {
    **dict.fromkeys(("queued", "initiated", "ringing"), "ringing"),
    **dict.fromkeys(("in-progress", "answered"), "answered"),
    **{state: state for state in ("completed", "busy", "no-answer", "failed", "canceled")},
}
#: What Twilio sends for a withheld number: "ANONYMOUS", "RESTRICTED" and so on, typed on a telephone's keys.
_WITHHELD = {"+266696687", "+7378742833", "+8656696", "+86282452253", "+2562533", "anonymous", "restricted"}
MAX_MEDIA = 10
RING_SECONDS = 25
_EMPTY = "text/xml; charset=utf-8"


class _Fields(dict[str, list[str]]):
    """Form fields in the form that the validator expects: each may have several values."""

    def getlist(self, name: str) -> list[str]:
        """All values of a field."""
        return self[name]


class TwilioInbound:
    """The half of the adapter that handles Twilio's requests."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` as in SETTINGS. Raises ValueError."""
        found = check_settings(SETTINGS, settings)
        self.account_sid, self.auth_token = found["account_sid"], found["auth_token"]
        parts = [part.strip() for part in found["from"].split(",")]
        self.numbers = [number(part) for part in parts if not part.startswith("whatsapp:")]
        on_whatsapp = [number(part) for part in parts if part.startswith("whatsapp:")]
        self.whatsapp_sender = (on_whatsapp or self.numbers)[0]
        self.forward_to = number(found["forward_to"])
        self.is_recording = found["record_incoming"] == "yes"

    def verify(self, request: Inbound) -> None:
        """Check X-Twilio-Signature: over the address and the form fields, or the address with a hash of the body."""
        params: Any = _Fields(request.form)
        if not request.form and request.body:
            if "bodySHA256" not in request.query:
                raise BadSignature("a body that isn't a form and has no hash")
            params = request.body.decode("utf-8", "replace")
        try:
            is_signed = RequestValidator(self.auth_token).validate(
                request.url, params, header(request, "X-Twilio-Signature")
            )
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise BadSignature("the fields can't be read") from error
        if not is_signed:
            raise BadSignature("the signature doesn't match")

    def parse(self, request: Inbound) -> list[Event]:
        """The message, state or call progress in a request. Raises NotUnderstood."""
        fields = request.form or request.query
        if first_value(fields, "AccountSid") != self.account_sid:
            raise NotUnderstood("It is for another account of Twilio.")
        if "CallSid" in fields:
            return self._call_events(fields, request.query)
        sid = field_id(fields, "MessageSid" if "MessageSid" in fields else "SmsSid")
        status = first_value(fields, "MessageStatus") or first_value(fields, "SmsStatus")
        if status in MESSAGE_STATES:
            code = first_value(fields, "ErrorCode")
            return [_status(sid, status, code, first_value(request.query, "key"))]
        if status in ("received", "receiving", ""):
            return [_message(sid, fields)]
        raise NotUnderstood("The status of the message isn't known.")

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """TwiML: instructions to connect an incoming call; empty for everything else."""
        fields = request.form or request.query
        is_ringing = first_value(fields, "CallStatus") == "ringing" and first_value(fields, "Direction") == "inbound"
        if is_ringing and not first_value(request.query, "leg"):
            return 200, _EMPTY, str(self._connect(request.url))
        from twilio.twiml.messaging_response import MessagingResponse  # see _connect

        return 200, _EMPTY, str(MessagingResponse())

    def _connect(self, url: str) -> VoiceResponse:
        """Ring the configured telephone for an incoming call."""
        from twilio.twiml.voice_response import VoiceResponse  # with its parser of XML a MB, which few processes need

        response = VoiceResponse()
        if not self.forward_to:
            response.reject(reason="busy")
            return response
        recording = (
            {"record": "record-from-answer-dual", "recording_status_callback": with_query(url, leg="recording-in")}
            if self.is_recording
            else {}
        )
        ended = with_query(url, leg="dialed-in")
        dial: Any = response.dial(timeout=RING_SECONDS, action=ended, **recording)
        events = with_query(url, leg="answer")
        dial.number(self.forward_to, status_callback=events, status_callback_event="answered completed")
        return response

    # --- calls

    def _call_events(self, fields: Mapping[str, list[str]], query: Mapping[str, list[str]]) -> list[Event]:
        leg, key = first_value(query, "leg"), first_value(query, "key")
        if leg in ("dialed", "dialed-in"):
            return [_dialed(fields, key, is_incoming=leg == "dialed-in")]
        if "RecordingSid" in fields:
            return _recording(fields, key, "in" if leg == "recording-in" else "out")
        state = _CALL_STATES.get(first_value(fields, "CallStatus"))
        if state is None:
            raise NotUnderstood("The status of the call isn't known.")
        if leg == "person":
            return _person_leg(fields, key, state)
        if leg in ("customer", "answer"):
            return [_connected_leg(fields, key, state, is_incoming=leg == "answer")]
        if first_value(fields, "Direction") != "inbound":
            raise NotUnderstood("It is about a call that was not made here.")
        return self._incoming(fields, state)

    def _incoming(self, fields: Mapping[str, list[str]], state: str) -> list[Event]:
        """The caller's telephone. Whether somebody talked to them, only the other leg reports."""
        if state == "answered" or (state == "completed" and self.forward_to):
            return []
        return [
            CallUpdate(
                field_id(fields, "CallSid"),
                state,
                "in",
                _peer(first_value(fields, "From")),
                number(first_value(fields, "To")),
                **_times(fields, state),
            )
        ]


def _person_leg(fields: Mapping[str, list[str]], key: str, state: str) -> list[Event]:
    """The person's own telephone, rung first: whether they answered or hung up says nothing about the customer."""
    if state == "completed":
        return []
    shown = "ringing" if state == "answered" else state
    sid, own = field_id(fields, "CallSid"), number(first_value(fields, "From"))
    person = number(first_value(fields, "To"))
    return [CallUpdate(sid, shown, "out", "", own, person, key, **_times(fields, shown))]


def _connected_leg(fields: Mapping[str, list[str]], key: str, state: str, is_incoming: bool) -> CallUpdate:
    """The second telephone: the customer's, or, for an incoming call, that of the person who answers."""
    sid = field_id(fields, "ParentCallSid")
    caller, called = first_value(fields, "From"), number(first_value(fields, "To"))
    seconds = whole_number(first_value(fields, "CallDuration")) if state == "completed" else None
    times = _times(fields, state)
    if is_incoming:
        missed = "no-answer" if state in ("busy", "failed", "canceled") else state
        return CallUpdate(sid, missed, "in", _peer(caller), "", called, key, talk_seconds=seconds, **times)
    return CallUpdate(sid, state, "out", called, number(caller), "", key, talk_seconds=seconds, **times)


def _dialed(fields: Mapping[str, list[str]], key: str, is_incoming: bool) -> CallUpdate:
    """How the second telephone was reached, reported on the first one's call, even if it could not be dialed."""
    state = _CALL_STATES.get(first_value(fields, "DialCallStatus"))
    if state is None:
        raise NotUnderstood("The status of the call isn't known.")
    state = "completed" if state == "answered" else state
    seconds = whole_number(first_value(fields, "DialCallDuration")) if state == "completed" else None
    url = first_value(fields, "RecordingUrl", MAX_ADDRESS)
    sid, caller, called = field_id(fields, "CallSid"), first_value(fields, "From"), number(first_value(fields, "To"))
    if is_incoming:
        missed = state if state == "completed" else "no-answer"
        return CallUpdate(sid, missed, "in", _peer(caller), called, "", key, talk_seconds=seconds, recording_url=url)
    return CallUpdate(sid, state, "out", "", number(caller), called, key, talk_seconds=seconds, recording_url=url)


def _recording(fields: Mapping[str, list[str]], key: str, direction: str) -> list[Event]:
    url = first_value(fields, "RecordingUrl", MAX_ADDRESS)
    if first_value(fields, "RecordingStatus") not in ("", "completed") or not url:
        return []
    sid = field_id(fields, "CallSid")
    return [CallUpdate(sid, "completed", direction, "", "", key=key, recording_url=url)]


def _peer(value: str) -> str:
    return "" if value.lower() in _WITHHELD else number(value)


def _times(fields: Mapping[str, list[str]], state: str) -> dict[str, Any]:
    """When it began or ended, as Twilio reports it."""
    moment = _moment(first_value(fields, "Timestamp"))
    if state in ("ringing", "answered"):
        return {"started_on": moment} if state == "answered" else {}
    return {"ended_on": moment}


def _moment(value: str) -> datetime | None:
    """An RFC 2822 date in UTC; None if it isn't one."""
    try:
        found = parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


# --- messages


def _message(sid: str, fields: Mapping[str, list[str]]) -> IncomingMessage:
    peer, to = first_value(fields, "From"), first_value(fields, "To")
    if not peer or not to:
        raise NotUnderstood("There is no From or To.")
    if ":" in peer.removeprefix("whatsapp:"):
        raise NotUnderstood("The channel of the message isn't served.")
    return IncomingMessage(
        sid,
        "whatsapp" if peer.startswith("whatsapp:") else "sms",
        number(peer),
        number(to),
        clean((fields.get("Body") or [""])[0]) or first_value(fields, "ButtonText"),
        peer_name=first_value(fields, "ProfileName", 100),
        media=_media(fields),
        in_reply_to=first_value(fields, "OriginalRepliedMessageSid"),
        native=_native(fields),
    )


def _media(fields: Mapping[str, list[str]]) -> tuple[Media, ...]:
    count = min(whole_number(first_value(fields, "NumMedia")) or 0, MAX_MEDIA)
    pairs = [
        (first_value(fields, f"MediaUrl{n}", MAX_ADDRESS), first_value(fields, f"MediaContentType{n}", 100))
        for n in range(count)
    ]
    return tuple(Media(url, mime or "application/octet-stream") for url, mime in pairs if url)


def _native(fields: Mapping[str, list[str]]) -> dict[str, str]:
    names = ("OptOutType", "ButtonPayload", "Latitude", "Longitude", "Address", "Label", "ForwardedCount")
    return {name: value for name in names if (value := first_value(fields, name, 500))}


def _status(sid: str, status: str, code: str, key: str = "") -> StatusUpdate:
    state = MESSAGE_STATES[status]
    if state != "failed":
        return StatusUpdate(sid, state, key=key)
    reason = REASONS.get(code, "not_delivered")
    return StatusUpdate(sid, state, None, key, SENTENCES[reason], code, unwanted_kind(reason))


def status_of(message: Any) -> StatusUpdate:
    """The status of a message as read by the library."""
    status = str(message.status)
    if status not in MESSAGE_STATES:
        raise ValueError(status[:40])
    return _status(str(message.sid), status, one_line(str(message.error_code or "")))
