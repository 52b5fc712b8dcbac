"""Meta's webhooks: batches of messages and states, in any order, signed with the app's secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

from app.channels.failure_reasons import SENTENCES, unwanted_kind
from app.channels.inbound_fields import (
    clean,
    clean_json,
    first_value,
    header,
    identifier,
    international,
    json_object,
    mapping,
    objects,
    one_line,
    unix_time,
)
from app.channels.meta_errors import REASONS
from app.channels.provider import BadSignature, Event, Inbound, IncomingMessage, Media, NotUnderstood, StatusUpdate

log = logging.getLogger("crm.channels")

#: Meta's status -> ours. "played" is a voice message that was listened to.
_STATES = {"sent": "sent", "delivered": "delivered", "read": "read", "played": "read", "failed": "failed"}
#: States that say nothing about delivery.
_OTHER_STATES = {"deleted", "warning", "pending"}
_FILES = ("image", "video", "audio", "document", "sticker")
#: Longer replies to a form are not stored.
_MAX_NATIVE = 4000


class MetaInbound:
    """The half of the adapter that handles Meta's requests."""

    def __init__(self, phone_number_id: str, app_secret: str, verify_token: str) -> None:
        """`verify_token` is the text that the handshake must contain."""
        self.phone_number_id = phone_number_id
        self._app_secret, self._verify_token = app_secret, verify_token

    def verify(self, request: Inbound) -> None:
        """Check the handshake's token, or X-Hub-Signature-256 over the raw body."""
        if request.method == "GET":
            received, expected = first_value(request.query, "hub.verify_token", 1000), self._verify_token
            is_right = first_value(request.query, "hub.mode") == "subscribe"
        else:
            received = header(request, "X-Hub-Signature-256")
            expected = "sha256=" + hmac.new(self._app_secret.encode(), request.body, hashlib.sha256).hexdigest()
            is_right = request.method == "POST"
        same = hmac.compare_digest(received.encode("utf-8", "replace"), expected.encode())
        if not (is_right and same):
            raise BadSignature("the signature or token doesn't match")

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """The handshake's challenge, as plain text so that no browser runs it; otherwise empty."""
        if request.method != "GET":
            return 200, "text/plain; charset=utf-8", ""
        return 200, "text/plain; charset=utf-8", first_value(request.query, "hub.challenge")

    def parse(self, request: Inbound) -> list[Event]:
        """All messages and states of a batch that concern our number.

        Raises NotUnderstood with those that are readable.
        """
        if request.method == "GET":
            return []
        body = json_object(request)
        if body.get("object") != "whatsapp_business_account":
            raise NotUnderstood("It isn't about WhatsApp.")
        events: list[Event] = []
        problems: list[str] = []
        for value in _values(body):
            self._read(value, events, problems)
        if problems:
            raise NotUnderstood(" ".join(dict.fromkeys(problems)), events)
        return events

    def _read(self, value: dict[str, Any], events: list[Event], problems: list[str]) -> None:
        metadata = mapping(value.get("metadata"))
        if one_line(metadata.get("phone_number_id")) != self.phone_number_id:
            problems.append("A part of it is for another phone number.")
            return
        names = {one_line(each.get("wa_id")): mapping(each.get("profile")) for each in objects(value.get("contacts"))}
        to = international(metadata.get("display_phone_number"))
        for message in objects(value.get("messages")):
            _collect(lambda each: [_message(each, to, names)], message, events, problems)
        for status in objects(value.get("statuses")):
            _collect(_statuses, status, events, problems)


def _values(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The contents of all changes about messages; other kinds of changes are ignored."""
    for entry in objects(body.get("entry")):
        for change in objects(entry.get("changes")):
            if change.get("field") == "messages":
                yield mapping(change.get("value"))
            else:
                log.info("Meta reports a change that is not about messages")


def _collect(
    read: Callable[[dict[str, Any]], list[Event]], part: dict[str, Any], events: list[Event], problems: list[str]
) -> None:
    try:
        events += read(part)
    except NotUnderstood as problem:
        problems.append(str(problem))


def _statuses(status: dict[str, Any]) -> list[Event]:
    state = _STATES.get(one_line(status.get("status")))
    if state is None:
        if one_line(status.get("status")) in _OTHER_STATES:
            return []
        raise NotUnderstood("The status of a message isn't known.")
    sid, key = identifier(status.get("id"), "id of the message"), one_line(status.get("biz_opaque_callback_data"), 64)
    when = unix_time(status.get("timestamp"))
    if state != "failed":
        return [StatusUpdate(sid, state, when, key)]
    errors = objects(status.get("errors"))
    code = one_line(str(errors[0].get("code", "")), 20) if errors else ""
    reason = REASONS.get(code, "not_delivered")
    return [StatusUpdate(sid, state, when, key, SENTENCES[reason], code, unwanted_kind(reason))]


# --- messages


def _message(message: dict[str, Any], to: str, names: dict[str, dict[str, Any]]) -> IncomingMessage:
    peer, kind = one_line(message.get("from"), 64), one_line(message.get("type"), 40) or "unknown"
    if not peer:
        raise NotUnderstood("A message has no sender.")
    content = mapping(message.get(kind))
    reaction = mapping(message.get("reaction")) if kind == "reaction" else {}
    answered = reaction.get("message_id") or mapping(message.get("context")).get("id")
    return IncomingMessage(
        identifier(message.get("id"), "id of the message"),
        "whatsapp",
        international(peer),
        to,
        _text(kind, content, message),
        unix_time(message.get("timestamp")),
        one_line(names.get(peer, {}).get("name"), 100),
        _media(kind, content),
        one_line(answered),
        one_line(reaction.get("emoji"), 40),
        native={"type": kind, **_native(kind, content, message)},
    )


def _text(kind: str, content: dict[str, Any], message: dict[str, Any]) -> str:
    """The text for people; if the message has none of its own, what the sender chose or shared."""
    if kind in _FILES:
        return clean(content.get("caption"))
    if kind == "interactive":
        return _chosen(content)
    if kind == "location":
        return ", ".join(filter(None, (one_line(content.get(part), 500) for part in ("name", "address"))))
    if kind == "contacts":
        return "\n".join(_contact(each) for each in objects(message.get("contacts")))
    return clean(content.get("body") or content.get("text"))


def _chosen(content: dict[str, Any]) -> str:
    """The title of the chosen button or list entry; for a form, its text."""
    reply = mapping(content.get(one_line(content.get("type"))))
    return clean(reply.get("title") or reply.get("body"))


def _contact(contact: dict[str, Any]) -> str:
    name = one_line(mapping(contact.get("name")).get("formatted_name"), 100)
    numbers = [one_line(each.get("phone"), 40) for each in objects(contact.get("phones"))]
    return " ".join(filter(None, (name, *numbers[:5])))


def _media(kind: str, content: dict[str, Any]) -> tuple[Media, ...]:
    media_id = one_line(content.get("id"), 100)
    if kind not in _FILES or not media_id:
        return ()
    mime = one_line(content.get("mime_type"), 100).partition(";")[0] or "application/octet-stream"
    return (Media(media_id, mime, one_line(content.get("filename")), clean(content.get("caption"))),)


def _native(kind: str, content: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Coordinates, the id of a chosen button, why a message isn't supported, or the advertisement it came from."""
    found: dict[str, Any] = {}
    if kind in ("location", "interactive", "button", "order", "system"):
        found[kind] = content
    for name in ("errors", "referral"):
        if message.get(name):
            found[name] = message[name]
    if mapping(message.get("context")).get("forwarded"):
        found["forwarded"] = True
    cleaned: dict[str, Any] = clean_json(found)
    return cleaned if len(json.dumps(cleaned)) <= _MAX_NATIVE else {}
