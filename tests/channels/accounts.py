"""Accounts and messages of providers, for tests."""

from __future__ import annotations

from typing import Any

from app.channels.exotel_provider import Exotel
from app.channels.meta_provider import Meta
from app.channels.provider import OutgoingCall, OutgoingMessage, Template
from app.channels.provider_registry import KINDS
from app.channels.twilio_provider import Twilio

TWILIO = {
    "account_sid": "AC" + "0" * 32,
    "auth_token": "12345",
    "from": "+14155550100, whatsapp:+14155550101",
    "forward_to": "+912240000000",
}
META = {
    "phone_number_id": "106540352242922",
    "access_token": "EAABtoken",
    "app_secret": "app-secret",
    "verify_token": "a-token-of-ours",
}
EXOTEL = {
    "account_sid": "eshin1",
    "api_key": "key",
    "api_token": "token",
    "header": "ESHINB",
    "dlt_entity_id": "1101234567890",
    "from": "+918047100000, 08047100001",
}
HOOK = "https://crm.example/hooks/x/token"
DLT = Template("otp", "en", (), "1107160000000000001")


def twilio(base_url: str = "", **more: str) -> Twilio:
    """An account of Twilio at this host."""
    return _made("twilio", {**TWILIO, "base_url": base_url, **more})


def meta(base_url: str = "", **more: str) -> Meta:
    """An account of Meta at this host."""
    return _made("meta", {**META, "base_url": base_url, **more})


def exotel(base_url: str = "", **more: str) -> Exotel:
    """An account of Exotel at this host."""
    return _made("exotel", {**EXOTEL, "base_url": base_url, **more})


def _made(kind: str, settings: dict[str, str]) -> Any:
    return KINDS[kind].make(settings)


def outgoing(**more: Any) -> OutgoingMessage:
    """An SMS, or what is given."""
    values = {"key": "m7", "channel": "sms", "to": "+919820012345", "text": "Hello Asha", "status_url": HOOK}
    return OutgoingMessage(**{**values, **more})


def whatsapp(**more: Any) -> OutgoingMessage:
    """A WhatsApp message."""
    return outgoing(channel="whatsapp", **more)


def a_call(**more: Any) -> OutgoingCall:
    """A call to a customer."""
    values = {"key": "c7", "person": "+919820012345", "customer": "+919820054321", "caller_id": "+14155550100"}
    return OutgoingCall(**{**values, "status_url": HOOK, "is_recorded": True, **more})
