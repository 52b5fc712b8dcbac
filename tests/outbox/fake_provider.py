"""A provider for tests with configurable responses, which keeps its own list of accepted messages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.channels.base import ChannelError
from app.channels.provider import (
    AccountSetting,
    BadSignature,
    Event,
    Inbound,
    IncomingMessage,
    ListedTemplate,
    Media,
    NotUnderstood,
    OutgoingCall,
    OutgoingMessage,
    ProviderAcceptance,
    ProviderKind,
    StatusUnavailable,
    StatusUpdate,
)


class Carrier:
    """One carrier, shared by all its clients. `fault` is called before a message is accepted, `drop` after."""

    def __init__(self) -> None:
        self.accepted: list[OutgoingMessage] = []
        self.fault: Callable[[OutgoingMessage], None] = lambda _message: None
        self.drop: Callable[[OutgoingMessage], None] = lambda _message: None
        self.can_be_asked = True
        self._lock = threading.Lock()

    def take(self, message: OutgoingMessage) -> str:
        """Accept the message."""
        with self._lock:
            self.accepted.append(message)
            return f"C{len(self.accepted)}"

    def keys(self) -> list[str]:
        """The keys of what was accepted."""
        return [each.key for each in self.accepted]


CARRIER = Carrier()


class CarrierClient:
    """The client of one account."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.token = settings["token"]

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """As the carrier is told."""
        CARRIER.fault(message)
        provider_id = CARRIER.take(message)
        CARRIER.drop(message)
        return ProviderAcceptance(provider_id, "queued")

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """By recipient and text, as providers without our keys do."""
        if not CARRIER.can_be_asked:
            raise StatusUnavailable
        for n, each in enumerate(CARRIER.accepted, 1):
            if (each.to, each.text) == (message.to, message.text):
                return StatusUpdate(f"C{n}", "sent")
        return None

    def verify(self, request: Inbound) -> None:
        """The token in a header."""
        if request.headers.get("X-Carrier") != self.token:
            raise BadSignature("wrong")

    def parse(self, request: Inbound) -> list[Event]:
        """A JSON list of events."""
        try:
            return [_event(dict(each)) for each in json.loads(request.body)]
        except (ValueError, TypeError, KeyError) as wrong:
            raise NotUnderstood("This is no list.") from wrong

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """Its handshake, and "ok"."""
        return 200, "text/plain", request.query.get("challenge", ["ok"])[0]

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """It has no files."""
        raise ChannelError("No files.")

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """It has no telephone."""
        raise StatusUnavailable

    def templates(self) -> list[ListedTemplate]:
        """It has none."""
        raise StatusUnavailable

    def check(self) -> str:
        """All is well."""
        return "The carrier answers."


def _event(given: dict[str, Any]) -> Event:
    kind = given.pop("kind")
    if "happened_on" in given:
        given["happened_on"] = datetime.fromisoformat(given["happened_on"]).replace(tzinfo=UTC)
    if kind == "message":
        return IncomingMessage(**{"channel": "sms", "to": "+911", "text": "", **given})
    return StatusUpdate(**given)


KIND = ProviderKind(
    "carrier", "Carrier", ("whatsapp", "sms"), (AccountSetting("token", "Token", is_secret=True),), CarrierClient
)
