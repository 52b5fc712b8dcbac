"""Provider webhooks: signatures checked with the vendors' own vectors and validators, contents, hostile requests."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from app.channels.failure_reasons import SENTENCES
from app.channels.meta_inbound import MetaInbound
from app.channels.provider import (
    STATES,
    BadSignature,
    CallUpdate,
    Inbound,
    IncomingMessage,
    Media,
    NotUnderstood,
    StatusUpdate,
)
from tests.channels.accounts import HOOK, META, TWILIO, exotel, meta, twilio

SID, CALL_SID = "SM" + "1" * 32, "CA" + "1" * 32
WHEN = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)


def form(fields: dict[str, Any], url: str = HOOK, headers: dict[str, str] | None = None, **query: str) -> Inbound:
    """A POST of form fields; a list is several values."""
    values = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    asked = {name: [value] for name, value in query.items()}
    address = f"{url}?{urlencode(query)}" if query else url
    return Inbound("POST", address, headers or {}, urlencode(values, doseq=True).encode(), asked, values)


def got(**query: str) -> Inbound:
    """A GET."""
    asked = {name.replace("__", "."): [value] for name, value in query.items()}
    return Inbound("GET", HOOK, {}, b"", asked)


def posted(body: Any, headers: dict[str, str] | None = None) -> Inbound:
    """A POST of JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inbound("POST", HOOK, {"Content-Type": "application/json", **(headers or {})}, content)


# --- Twilio: signatures

VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
VECTOR_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def signed(request: Inbound, token: str = TWILIO["auth_token"]) -> Inbound:
    """With the signature that Twilio's own validator makes."""
    fields: Any = type("Fields", (dict,), {"getlist": dict.__getitem__})(request.form)
    value = RequestValidator(token).compute_signature(request.url, fields)
    return dataclasses.replace(request, headers={**request.headers, "X-Twilio-Signature": value})


def test_twilios_published_vector() -> None:
    for name in ("X-Twilio-Signature", "x-twilio-signature"):
        twilio().verify(form(VECTOR, VECTOR_URL, {name: VECTOR_SIGNATURE}))


#: What is done to a signed request.
FORGED: dict[str, Callable[[Inbound], Inbound]] = {
    "no signature": lambda each: dataclasses.replace(each, headers={}),
    "a signature that isn't ASCII": lambda each: dataclasses.replace(each, headers={"X-Twilio-Signature": "é" * 28}),
    "http": lambda each: dataclasses.replace(each, url=each.url.replace("https", "http")),
    "another host": lambda each: dataclasses.replace(each, url=each.url.replace("crm", "evil")),
    "another query": lambda each: dataclasses.replace(each, url=f"{each.url}?key=m9"),
    "another value": lambda each: dataclasses.replace(each, form={**each.form, "Body": ["No"]}),
    "one more field": lambda each: dataclasses.replace(each, form={**each.form, "X": ["1"]}),
    "one more value": lambda each: dataclasses.replace(each, form={**each.form, "Body": ["Yes", "No"]}),
    "no fields": lambda each: dataclasses.replace(each, form={}),
    "JSON instead": lambda each: dataclasses.replace(each, form={}, body=b'{"a": 1}'),
    "a body that isn't text": lambda each: dataclasses.replace(
        each, form={}, body=b"\xff\xfe", query={"bodySHA256": ["x"]}
    ),
    "a wrong address": lambda each: dataclasses.replace(each, url="https://crm.example:99999999/x"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_request_of_twilio_is_refused(name: str) -> None:
    request = signed(form({"MessageSid": SID, "Body": "Yes"}))
    twilio().verify(request)
    with pytest.raises(BadSignature):
        twilio().verify(FORGED[name](request))


def test_twilio_may_sign_with_the_port_several_values_or_a_hash_of_the_body() -> None:
    with_port = signed(form({"MessageSid": SID}, HOOK.replace("example/", "example:443/")))
    twilio().verify(dataclasses.replace(with_port, url=HOOK))
    twilio().verify(signed(form({"MessageSid": SID, "Tag": ["b", "a", "b"]})))
    body = b'{"a": 1}'
    digest = hashlib.sha256(body).hexdigest()
    request = Inbound("POST", f"{HOOK}?bodySHA256={digest}", {}, body, {"bodySHA256": [digest]})
    twilio().verify(signed(request))
    with pytest.raises(BadSignature):
        twilio().verify(dataclasses.replace(signed(request), body=b'{"a": 2}'))


def test_another_accounts_token_signs_nothing() -> None:
    with pytest.raises(BadSignature):
        twilio().verify(signed(form({"MessageSid": SID}), token="54321"))


# --- Twilio: contents


def told(fields: dict[str, Any], **query: Any) -> Any:
    (event,) = twilio().parse(form({"AccountSid": TWILIO["account_sid"], **fields}, **query))
    return event


def test_a_text_message_to_twilio() -> None:
    sms = {"MessageSid": SID, "SmsStatus": "received", "From": "+919820012345", "To": "+14155550100", "NumMedia": "0"}
    assert told({**sms, "Body": "STOP\r\nnow\x00", "OptOutType": "STOP"}) == IncomingMessage(
        SID, "sms", "+919820012345", "+14155550100", "STOP\nnow", native={"OptOutType": "STOP"}
    )


def test_a_whatsapp_message_to_twilio() -> None:
    fields = {
        **{"MessageSid": SID, "From": "whatsapp:+919820012345", "To": "whatsapp:+14155550101", "Body": "See"},
        **{"ProfileName": "Asha", "OriginalRepliedMessageSid": "SM2", "NumMedia": "2"},
        **{"MediaUrl0": "https://api.twilio.com/m/0", "MediaContentType0": "image/jpeg"},
        **{"MediaUrl1": "https://api.twilio.com/m/1", "Latitude": "19.1", "Longitude": "72.8"},
    }
    message = told(fields)
    assert (message.channel, message.peer, message.to) == ("whatsapp", "+919820012345", "+14155550101")
    assert (message.peer_name, message.in_reply_to) == ("Asha", "SM2")
    assert message.media == (
        Media("https://api.twilio.com/m/0", "image/jpeg"),
        Media("https://api.twilio.com/m/1", "application/octet-stream"),
    )
    assert message.native == {"Latitude": "19.1", "Longitude": "72.8"}


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ("queued", "", "sent", ""),
        ("sent", "", "sent", ""),
        ("delivered", "", "delivered", ""),
        ("read", "", "read", ""),
        ("undelivered", "30003", "failed", "unreachable"),
        ("failed", "21610", "failed", "opted_out"),
        ("failed", "63016", "failed", "window_closed"),
        ("failed", "1", "failed", "not_delivered"),
        ("canceled", "", "failed", "not_delivered"),
    ],
)
def test_the_state_of_a_message_at_twilio(status: str, code: str, state: str, reason: str) -> None:
    event = told({"MessageSid": SID, "MessageStatus": status, "ErrorCode": code}, key="m7")
    sentence = SENTENCES.get(reason, "")
    assert event == StatusUpdate(SID, state, None, "m7", sentence, code, reason if reason == "opted_out" else "")


PERSON, CUSTOMER, OURS = "+919820012345", "+919820054321", "+14155550100"
STAMP = {"Timestamp": "Thu, 26 Nov 2026 08:00:00 +0000"}
OUT = {"provider_id": CALL_SID, "direction": "out", "own_number": OURS, "key": "c7"}
IN = {"provider_id": CALL_SID, "direction": "in", "peer": CUSTOMER}
#: (fields, query, the update; None = nothing new).
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = {
    "rings the person": (
        {"CallSid": CALL_SID, "CallStatus": "ringing", "From": OURS, "To": PERSON},
        {"leg": "person", "key": "c7"},
        {**OUT, "state": "ringing", "peer": "", "person": PERSON},
    ),
    "the person answers": (
        {"CallSid": CALL_SID, "CallStatus": "in-progress", "From": OURS, "To": PERSON, **STAMP},
        {"leg": "person", "key": "c7"},
        {**OUT, "state": "ringing", "peer": "", "person": PERSON},
    ),
    "the person does not answer": (
        {"CallSid": CALL_SID, "CallStatus": "no-answer", "From": OURS, "To": PERSON, **STAMP},
        {"leg": "person", "key": "c7"},
        {**OUT, "state": "no-answer", "peer": "", "person": PERSON, "ended_on": WHEN},
    ),
    "the person hangs up": (
        {"CallSid": CALL_SID, "CallStatus": "completed", "From": OURS, "To": PERSON},
        {"leg": "person", "key": "c7"},
        None,
    ),
    "the customer answers": (
        {
            "CallSid": "CA2",
            "ParentCallSid": CALL_SID,
            "CallStatus": "in-progress",
            "From": OURS,
            "To": CUSTOMER,
            **STAMP,
        },
        {"leg": "customer", "key": "c7"},
        {**OUT, "state": "answered", "peer": CUSTOMER, "started_on": WHEN},
    ),
    "they have talked": (
        {
            **{"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": "completed", "CallDuration": "61"},
            **{"From": OURS, "To": CUSTOMER, **STAMP},
        },
        {"leg": "customer", "key": "c7"},
        {**OUT, "state": "completed", "peer": CUSTOMER, "ended_on": WHEN, "talk_seconds": 61},
    ),
    "the customer is busy": (
        {"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": "busy", "From": OURS, "To": CUSTOMER},
        {"leg": "customer", "key": "c7"},
        {**OUT, "state": "busy", "peer": CUSTOMER},
    ),
    "the customer was not reached": (
        {"CallSid": CALL_SID, "CallStatus": "in-progress", "DialCallStatus": "failed", "From": OURS, "To": PERSON},
        {"leg": "dialed", "key": "c7"},
        {**OUT, "state": "failed", "peer": "", "person": PERSON},
    ),
    "an incoming call was not connected": (
        {"CallSid": CALL_SID, "CallStatus": "in-progress", "DialCallStatus": "busy", "From": CUSTOMER, "To": OURS},
        {"leg": "dialed-in"},
        {**IN, "state": "no-answer", "own_number": OURS},
    ),
    "an incoming call was connected": (
        {
            **{"CallSid": CALL_SID, "CallStatus": "completed", "DialCallStatus": "completed", "DialCallDuration": "61"},
            **{"From": CUSTOMER, "To": OURS, "RecordingSid": "RE1", "RecordingUrl": "https://api.twilio.com/RE1"},
        },
        {"leg": "dialed-in"},
        {
            **{**IN, "state": "completed", "own_number": OURS, "talk_seconds": 61},
            "recording_url": "https://api.twilio.com/RE1",
        },
    ),
    "a recording": (
        {
            "CallSid": CALL_SID,
            "RecordingSid": "RE1",
            "RecordingUrl": "https://api.twilio.com/RE1",
            "RecordingStatus": "completed",
        },
        {"leg": "recording", "key": "c7"},
        {**OUT, "own_number": "", "state": "completed", "peer": "", "recording_url": "https://api.twilio.com/RE1"},
    ),
    "no recording": (
        {"CallSid": CALL_SID, "RecordingSid": "RE1", "RecordingUrl": "https://x", "RecordingStatus": "absent"},
        {"leg": "recording"},
        None,
    ),
    "a customer calls": (
        {"CallSid": CALL_SID, "CallStatus": "ringing", "Direction": "inbound", "From": CUSTOMER, "To": OURS},
        {},
        {**IN, "state": "ringing", "own_number": OURS},
    ),
    "a withheld number": (
        {"CallSid": CALL_SID, "CallStatus": "ringing", "Direction": "inbound", "From": "+266696687", "To": OURS},
        {},
        {**IN, "state": "ringing", "own_number": OURS, "peer": ""},
    ),
    "the person answers it": (
        {"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": "in-progress", "From": CUSTOMER, "To": PERSON},
        {"leg": "answer"},
        {**IN, "state": "answered", "own_number": "", "person": PERSON},
    ),
    "nobody answers it": (
        {"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": "canceled", "From": CUSTOMER, "To": PERSON},
        {"leg": "answer"},
        {**IN, "state": "no-answer", "own_number": "", "person": PERSON},
    ),
    "an incoming call ends": (
        {"CallSid": CALL_SID, "CallStatus": "completed", "Direction": "inbound", "From": CUSTOMER, "To": OURS},
        {},
        None,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_by_twilio(name: str) -> None:
    fields, query, expected = CALLS[name]
    events = twilio().parse(form({"AccountSid": TWILIO["account_sid"], **fields}, **query))
    assert events == ([CallUpdate(**expected)] if expected else [])


def test_what_twilio_is_answered() -> None:
    ringing = {"CallStatus": "ringing", "Direction": "inbound", "CallSid": CALL_SID}
    status, kind, body = twilio().answer(form(ringing))
    assert (status, kind.partition(";")[0]) == (200, "text/xml")
    assert '<Dial action="' in body and 'timeout="25"><Number' in body and "+912240000000</Number>" in body
    assert "leg=answer" in body and "Record" not in body
    assert "recording-in" in twilio(record_incoming="yes").answer(form(ringing))[2]
    assert '<Reject reason="busy" />' in twilio(forward_to="").answer(form(ringing))[2]
    for other in (form({"MessageSid": SID}), form(ringing, leg="person"), got()):
        assert twilio().answer(other)[2].endswith("<Response />")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"AccountSid": "AC" + "1" * 32, "MessageSid": SID, "MessageStatus": "sent"},
        {"AccountSid": TWILIO["account_sid"]},
        {"AccountSid": TWILIO["account_sid"], "MessageSid": SID, "MessageStatus": "new"},
        {"AccountSid": TWILIO["account_sid"], "MessageSid": SID, "Body": "x"},
        {"AccountSid": TWILIO["account_sid"], "MessageSid": SID, "From": "messenger:1", "To": "messenger:2"},
        {"AccountSid": TWILIO["account_sid"], "MessageSid": "x" * 300, "MessageStatus": "sent"},
        {"AccountSid": TWILIO["account_sid"], "CallSid": CALL_SID, "CallStatus": "new"},
        {
            "AccountSid": TWILIO["account_sid"],
            "CallSid": CALL_SID,
            "CallStatus": "ringing",
            "Direction": "outbound-api",
        },
    ],
)
def test_what_twilio_says_may_not_be_understood(fields: dict[str, str]) -> None:
    with pytest.raises(NotUnderstood):
        twilio().parse(form(fields))


# --- Meta


def test_the_published_vector_of_x_hub_signature_256() -> None:
    account = MetaInbound("1", "It's a Secret to Everybody", "t")  # GitHub documents the same scheme with a vector
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    account.verify(posted(b"Hello, World!", {"x-hub-signature-256": signature}))
    for wrong in ("", "sha256=", signature[:-1], signature.upper(), "é", signature.removeprefix("sha256=")):
        with pytest.raises(BadSignature):
            account.verify(posted(b"Hello, World!", {"x-hub-signature-256": wrong}))
    with pytest.raises(BadSignature):
        account.verify(posted(b"Hello, World", {"X-Hub-Signature-256": signature}))


def handshake(**query: str) -> Inbound:
    return got(
        **{"hub__mode": "subscribe", "hub__challenge": "1158201444", "hub__verify_token": META["verify_token"], **query}
    )


def test_metas_handshake() -> None:
    request = handshake(hub__challenge="<script>1</script>")
    meta().verify(request)
    assert meta().answer(request) == (200, "text/plain; charset=utf-8", "<script>1</script>")
    assert meta().parse(request) == []
    for wrong in (handshake(hub__verify_token="x"), handshake(hub__verify_token="é"), handshake(hub__mode="x"), got()):
        with pytest.raises(BadSignature):
            meta().verify(wrong)


def batch(*values: dict[str, Any], phone: str = META["phone_number_id"]) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": phone}
    changes = [
        {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        for value in values
    ]
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}


def written(kind: str, content: Any, **more: Any) -> IncomingMessage:
    message = {"from": "919820012345", "id": "wamid.1", "timestamp": "1795680000", "type": kind, kind: content, **more}
    (event,) = meta().parse(posted(batch({"messages": [message]})))
    assert isinstance(event, IncomingMessage)
    return event


def test_a_text_to_meta() -> None:
    contacts = [{"profile": {"name": "Asha Rao"}, "wa_id": "919820012345"}]
    text = {"from": "919820012345", "id": "wamid.1", "timestamp": "1795680000", "type": "text", "text": {"body": "Hi"}}
    assert meta().parse(posted(batch({"contacts": contacts, "messages": [text]}))) == [
        IncomingMessage(
            *("wamid.1", "whatsapp", "+919820012345", "+15550783881", "Hi", datetime(2026, 11, 26, 8, tzinfo=UTC)),
            peer_name="Asha Rao",
            native={"type": "text"},
        )
    ]


#: (type, content, further fields, what the message must have).
KINDS: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any]]] = {
    "a picture": (
        *("image", {"id": "55", "mime_type": "image/jpeg; x=1", "sha256": "x", "caption": "Look"}, {}),
        {"text": "Look", "media": (Media("55", "image/jpeg", "", "Look"),)},
    ),
    "a document": (
        *("document", {"id": "56", "mime_type": "application/pdf", "filename": "PAN\u202e.pdf"}, {}),
        {"text": "", "media": (Media("56", "application/pdf", "PAN\u202e.pdf"),)},
    ),
    "a voice message": (
        *("audio", {"id": "57", "mime_type": "audio/ogg; codecs=opus", "voice": True}, {}),
        {"media": (Media("57", "audio/ogg"),)},
    ),
    "an answer": (
        *("text", {"body": "Yes"}, {"context": {"from": "15550783881", "id": "wamid.0"}}),
        {"text": "Yes", "in_reply_to": "wamid.0"},
    ),
    "a reaction": (
        *("reaction", {"message_id": "wamid.0", "emoji": "👍"}, {}),
        {"text": "", "reaction": "👍", "in_reply_to": "wamid.0"},
    ),
    "a reaction taken back": (
        *("reaction", {"message_id": "wamid.0"}, {}),
        {"reaction": "", "in_reply_to": "wamid.0", "native": {"type": "reaction"}},
    ),
    "a button of a template": ("button", {"text": "Call me", "payload": "CALL"}, {}, {"text": "Call me"}),
    "a chosen button": (
        *("interactive", {"type": "button_reply", "button_reply": {"id": "1", "title": "Yes"}}, {}),
        {"text": "Yes"},
    ),
    "a chosen entry": (
        *("interactive", {"type": "list_reply", "list_reply": {"id": "1", "title": "SIP", "description": "d"}}, {}),
        {"text": "SIP"},
    ),
    "a place": (
        *("location", {"latitude": 19.1, "longitude": 72.8, "name": "Office", "address": "Mumbai"}, {}),
        {"text": "Office, Mumbai"},
    ),
    "contacts": (
        *("contacts", [{"name": {"formatted_name": "Ravi"}, "phones": [{"phone": "+91 98200 54321"}]}], {}),
        {"text": "Ravi +91 98200 54321"},
    ),
    "unsupported": (
        *("unsupported", None, {"errors": [{"code": 131051, "title": "Message type unknown"}]}),
        {"text": "", "native": {"type": "unsupported", "errors": [{"code": 131051, "title": "Message type unknown"}]}},
    ),
    "something new": ("hologram", {"id": 5}, {}, {"text": "", "media": (), "native": {"type": "hologram"}}),
    "broken Unicode": ("text", {"body": "a\ud800b\x00c"}, {}, {"text": "abc"}),
    "a time that is none": ("text", {"body": "x"}, {"timestamp": "9" * 40}, {"happened_on": None}),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_customer_sends_by_meta(name: str) -> None:
    kind, content, more, expected = KINDS[name]
    message = written(kind, content, **more)
    assert {field: getattr(message, field) for field in expected} == expected


def status(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": state, "timestamp": "1795680000", "recipient_id": "919820012345", **more}


def test_a_batch_of_states_in_any_order() -> None:
    failed = status("failed", errors=[{"code": 131047, "title": "Re-engagement message"}])
    stopped = status("failed", errors=[{"code": 131050}], biz_opaque_callback_data="m7")
    body = batch(
        {"statuses": [status("read"), status("delivered")]}, {"statuses": [failed, stopped, status("deleted")]}
    )
    body["entry"].append({"changes": [{"field": "message_template_status_update", "value": {}}]})
    when = datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert meta().parse(posted(body)) == [
        StatusUpdate("wamid.1", "read", when),
        StatusUpdate("wamid.1", "delivered", when),
        StatusUpdate("wamid.1", "failed", when, "", SENTENCES["window_closed"], "131047"),
        StatusUpdate("wamid.1", "failed", when, "m7", SENTENCES["opted_out"], "131050", "opted_out"),
    ]


def test_what_can_be_read_of_a_batch_is_not_held_up_by_the_rest() -> None:
    body = batch({"statuses": [status("sent"), status("new"), {"status": "sent"}], "messages": [{"type": "text"}]})
    body["entry"] += batch({"statuses": [status("read")]}, phone="999999")["entry"]
    with pytest.raises(NotUnderstood, match="another phone number") as problem:
        meta().parse(posted(body))
    assert [event.state for event in problem.value.events if isinstance(event, StatusUpdate)] == ["sent"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"object": "page"}', b"1" * 5000]
)
def test_what_meta_says_may_not_be_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        meta().parse(posted(body))


# --- Exotel

INCOMING = {"CallSid": "abc1", "CallFrom": "09820054321", "CallTo": "08047100000", "Direction": "incoming"}
#: (fields of the GET, what the update must have; None = nothing new).
STEPS: dict[str, tuple[dict[str, str], dict[str, Any] | None]] = {
    "it rings": (
        {**INCOMING, "CallType": "call-attempt", "CallStatus": "ringing", "EndTime": "1970-01-01 05:30:00"},
        {"state": "ringing", "direction": "in", "peer": CUSTOMER, "own_number": "+918047100000", "ended_on": None},
    ),
    "a telephone is rung": (
        {
            **INCOMING,
            "Direction": "outbound-dial",
            "EventType": "Dial",
            "Status": "busy",
            "DialWhomNumber": "09820012345",
        },
        {"state": "ringing", "direction": "in", "peer": CUSTOMER, "person": PERSON},
    ),
    "it is answered": (
        {**INCOMING, "Direction": "outbound-dial", "EventType": "Answered", "DialWhomNumber": "09820012345"},
        {"state": "answered", "person": PERSON},
    ),
    "it stops ringing": ({**INCOMING, "EventType": "Terminal", "DialWhomNumber": "09820012345"}, None),
    "they have talked": (
        {
            **INCOMING,
            **{"CallType": "completed", "DialCallStatus": "completed", "DialCallDuration": "70", "digits": '"1"'},
            **{
                "StartTime": "2026-11-26 13:30:00",
                "CurrentTime": "2026-11-26 13:31:10",
                "EndTime": "1970-01-01 05:30:00",
            },
            **{"RecordingUrl": "https://recordings.exotel.com/x/1.mp3", "Legs[0][OnCallDuration]": "61"},
        },
        {
            **{"state": "completed", "started_on": WHEN, "ended_on": datetime(2026, 11, 26, 8, 1, 10, tzinfo=UTC)},
            **{"talk_seconds": 61, "recording_url": "https://recordings.exotel.com/x/1.mp3"},
        },
    ),
    "the duration with ringing": (
        {**INCOMING, "CallType": "completed", "DialCallDuration": "70"},
        {"state": "completed", "talk_seconds": 70},
    ),
    "the customer hung up": ({**INCOMING, "CallType": "client-hangup"}, {"state": "no-answer"}),
    "nobody answered": ({**INCOMING, "CallType": "incomplete", "DialCallStatus": "no-answer"}, {"state": "no-answer"}),
    "voicemail": ({**INCOMING, "CallType": "voicemail"}, {"state": "no-answer"}),
    "hung up in the menu": ({**INCOMING, "CallType": "call-attempt", "CallStatus": "canceled"}, {"state": "canceled"}),
    "a recording elsewhere": (
        {**INCOMING, "CallType": "completed", "RecordingUrl": "https://recordings.exotel.com.evil.example/1.mp3"},
        {"recording_url": ""},
    ),
    "a recording at home": (
        {**INCOMING, "CallType": "completed", "RecordingUrl": "http://169.254.169.254/"},
        {"recording_url": ""},
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_a_call_by_exotel(name: str) -> None:
    fields, expected = STEPS[name]
    request = got(**fields)
    exotel().verify(request)
    events = exotel().parse(request)
    assert len(events) == (expected is not None)
    for event in events:
        assert {field: getattr(event, field) for field in expected or {}} == expected
    assert exotel().answer(request) == (200, "text/plain; charset=utf-8", "")


CALLBACK = {
    **{"CallSid": "abc1", "EventType": "terminal", "Status": "completed", "From": PERSON, "To": CUSTOMER},
    **{"CustomField": "c7", "DateUpdated": "2026-11-26 13:30:00", "Direction": "outbound-api"},
    **{"RecordingUrl": "https://recordings.exotel.com/x/1.mp3"},
}


def test_the_end_of_a_call_comes_as_form_or_json() -> None:
    expected = CallUpdate(
        *("abc1", "completed", "out", CUSTOMER, "", PERSON, "c7", None, WHEN, 61),
        recording_url="https://recordings.exotel.com/x/1.mp3",
    )
    assert exotel().parse(form({**CALLBACK, "ConversationDuration": "61"})) == [expected]
    body = {**CALLBACK, "ConversationDuration": 61, "Legs": [{"OnCallDuration": 66, "Status": "completed"}]}
    assert exotel().parse(posted(body)) == [expected]


def test_an_answered_call_has_its_key_in_the_address() -> None:
    answered = {"CallSid": "abc1", "EventType": "answered", "Status": "in-progress", "From": PERSON, "To": CUSTOMER}
    (event,) = exotel().parse(form(answered, key="c7"))
    assert isinstance(event, CallUpdate) and (event.state, event.key) == ("answered", "c7")


@pytest.mark.parametrize(
    ("told_status", "detail", "state", "reason"),
    [
        ("sent", "20005", "delivered", ""),
        ("sent", "20006", "sent", ""),
        ("submitted", "", "sent", ""),
        ("failed_dnd", "23005", "failed", "do_not_disturb"),
        ("failed-dnd", "", "failed", "do_not_disturb"),
        ("failed", "23082", "failed", "dlt"),
        ("failed", "99999", "failed", "not_delivered"),
    ],
)
def test_the_state_of_an_sms_at_exotel(told_status: str, detail: str, state: str, reason: str) -> None:
    fields = {"SmsSid": "s1", "To": PERSON, "Status": told_status, "DetailedStatusCode": detail, "CustomField": "m7"}
    (event,) = exotel().parse(form({**fields, "DateSent": "2026-11-26 13:30:00"}))
    assert isinstance(event, StatusUpdate)
    assert (event.provider_id, event.state, event.key, event.happened_on) == ("s1", state, "m7", WHEN)
    unwanted = reason if reason == "do_not_disturb" else ""
    assert (event.reason, event.unwanted) == (SENTENCES.get(reason, ""), unwanted)


def test_an_sms_to_exotel() -> None:
    request = got(SmsSid="s1", From="09820054321", To="08047100000", Body="बंद", Date="2026-11-26 13:30:00")
    assert exotel().parse(request) == [IncomingMessage("s1", "sms", CUSTOMER, "+918047100000", "बंद", WHEN)]


@pytest.mark.parametrize(
    "request_",
    [
        got(),
        got(CallSid="abc1"),
        got(**{**INCOMING, "CallTo": "08099999999", "CallType": "completed"}),
        got(**{**INCOMING, "CallType": "new"}),
        got(SmsSid="s1", Status="new"),
        form({"CallSid": "abc1", "Status": "new"}),
        form({"CallSid": "", "Status": "completed"}),
        posted(b"[]"),
        posted({"CallSid": ["x"], "Status": "completed"}),
    ],
)
def test_what_exotel_says_may_not_be_understood(request_: Inbound) -> None:
    exotel().verify(request_)
    with pytest.raises(NotUnderstood):
        exotel().parse(request_)


def test_exotel_speaks_for_its_account_only() -> None:
    for wrong in (got(AccountSid="other"), form({"AccountSid": "other"}), dataclasses.replace(got(), method="PUT")):
        with pytest.raises(BadSignature):
            exotel().verify(wrong)


# --- anything at all

WORDS = st.sampled_from(
    [
        *("AccountSid", "CallSid", "CallStatus", "MessageSid", "MessageStatus", "NumMedia", "MediaUrl0", "Direction"),
        *("Body", "From", "To", "Timestamp", "RecordingUrl", "RecordingSid", "ParentCallSid", "CallDuration", "leg"),
        *("SmsSid", "Status", "CallFrom", "CallTo", "CallType", "EventType", "EndTime", "Legs", "DetailedStatusCode"),
        *("hub.mode", "hub.verify_token", "hub.challenge", "ErrorCode", "CustomField", "bodySHA256"),
    ]
)
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            *(TWILIO["account_sid"], "received", "sent", "failed", "completed", "ringing", "inbound", "customer", "in"),
            *(
                "+919820012345",
                "whatsapp:+1",
                "9" * 30,
                "-1",
                "٣",
                "1970-01-01 05:30:00",
                "2026-02-30 00:00:00",
                "08047100000",
            ),
            *(
                "Thu, 99 Nov 2026 08:00:00",
                "Fri, 31 Dec 9999 23:59:59 -1200",
                "\ud800",
                "\x00",
                "https://[",
                "terminal",
            ),
        ]
    ),
)
#: Fields that are needed to get beyond the first check.
BASES = st.sampled_from(
    [
        {},
        {"AccountSid": [TWILIO["account_sid"]], "MessageSid": [SID]},
        {"AccountSid": [TWILIO["account_sid"]], "CallSid": [CALL_SID], "CallStatus": ["completed"]},
        {"CallSid": [CALL_SID], "CallTo": ["08047100000"], "CallType": ["completed"]},
        {"SmsSid": ["s1"], "Status": ["failed"]},
        {"AccountSid": [TWILIO["account_sid"]], "MessageSid": [SID], "From": [PERSON], "To": [OURS], "NumMedia": ["9"]},
        {"SmsSid": ["s1"], "From": ["09820012345"], "Body": ["x"]},
    ]
)
ANY_FIELDS = st.dictionaries(WORDS, st.lists(VALUES, max_size=3), max_size=12)
FIELDS = st.builds(lambda base, more: {**more, **base} if len(more) % 2 else {**base, **more}, BASES, ANY_FIELDS)
NAMES = st.sampled_from(
    [
        *("object", "entry", "changes", "field", "value", "metadata", "phone_number_id", "messages", "statuses", "id"),
        *("contacts", "profile", "wa_id", "from", "type", "text", "body", "timestamp", "status", "errors", "code"),
        *("context", "image", "interactive", "reaction", "emoji", "CallSid", "Status", "SmsSid", "Body", "From"),
    ]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), VALUES, NAMES, st.just(META["phone_number_id"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=25
)
MESSAGES = st.builds(
    lambda kind, content, more: {"id": "wamid.1", "from": "919820012345", "type": kind, **more, kind: content},
    st.sampled_from(["text", "image", "interactive", "location", "contacts", "reaction", "unknown", "order"]),
    TREES,
    st.dictionaries(NAMES, TREES, max_size=3),
)
STATUSES = st.builds(
    lambda more: {"id": "wamid.1", "status": "failed", **more}, st.dictionaries(NAMES, TREES, max_size=3)
)
CHANGES = st.builds(
    lambda messages, statuses: batch({"messages": messages, "statuses": statuses}),
    TREES | st.lists(MESSAGES, max_size=2),
    TREES | st.lists(STATUSES, max_size=2),
)
BODIES = st.one_of(st.binary(max_size=50), st.builds(lambda tree: json.dumps(tree).encode(), TREES | CHANGES))
REQUESTS = st.builds(
    Inbound,
    st.sampled_from(["GET", "POST", "PUT", ""]),
    st.sampled_from([HOOK, HOOK + "?a=1", "https://[", ""]),
    st.dictionaries(st.sampled_from(["X-Twilio-Signature", "X-Hub-Signature-256", "Content-Type"]), VALUES),
    BODIES,
    FIELDS,
    FIELDS | st.just({}),
)


ACCOUNTS: list[Any] = [twilio(), meta(), exotel()]


@settings(max_examples=80, deadline=None)
@given(REQUESTS)
def test_whatever_arrives_is_an_event_a_bad_signature_or_not_understood(request: Inbound) -> None:
    for account in ACCOUNTS:
        with suppress(BadSignature):
            account.verify(request)
        try:
            events = account.parse(request)
        except NotUnderstood as problem:
            events = list(problem.events)
        for event in events:
            check_event(event)
        code, kind, body = account.answer(request)
        assert code == 200 and kind.startswith("text/")
        body.encode()


def check_event(event: Any) -> None:
    """It can be stored: identifiers are short, texts are valid."""
    values = dataclasses.asdict(event)
    assert 0 < len(values["provider_id"]) <= 255
    assert "\x00" not in json.dumps(values, default=str, ensure_ascii=False).encode().decode()
    if isinstance(event, StatusUpdate):
        assert event.state in STATES
    if isinstance(event, CallUpdate):
        assert event.state in ("ringing", "answered", "completed", "busy", "no-answer", "failed", "canceled")


def test_a_hub_signature_is_over_the_raw_body() -> None:
    body = b'{"b":1, "a" : "\\u00e9"}'
    digest = hmac.new(META["app_secret"].encode(), body, hashlib.sha256).hexdigest()
    meta().verify(posted(body, {"X-Hub-Signature-256": f"sha256={digest}"}))
