"""The provider of an installation without accounts: it accepts everything and sends nothing.

Settings → Channels has a page for each such account, on which a person plays the customer.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

from app.channels.base import ChannelError
from app.channels.inbound_fields import clean
from app.channels.provider import (
    STATES,
    Abilities,
    AccountSetting,
    BadSignature,
    CallUpdate,
    Event,
    Inbound,
    IncomingMessage,
    ListedTemplate,
    Media,
    NotUnderstood,
    OutgoingCall,
    OutgoingMessage,
    OutgoingReaction,
    ProviderAcceptance,
    ProviderKind,
    ProviderRefusal,
    StatusUnavailable,
    StatusUpdate,
)
from app.channels.provider_file_limits import MAIL_FILES, META_FILES
from app.channels.setting_checks import yes_no_problem
from app.lib import sample_audio
from app.lib.sample_files import SAMPLES

CHANNELS = ("whatsapp", "sms", "email", "voice")
#: The header that carries the account's key, as a provider's signature would.
KEY_HEADER = "X-Console-Key"
#: A number with these last digits is refused permanently, or temporarily, so that failures can be tried out.
REFUSED, BUSY = "0000", "0429"
#: Prefix of the address of a file that the person who plays the customer has sent; its digest follows.
FILE_MARK = "console:"
#: Prefix of the address of an invented file; its name in SAMPLES follows.
SAMPLE_MARK = "console:sample/"
_CALL_STATES = ("ringing", "answered", "completed", "busy", "no-answer", "failed", "canceled")
_TONE = re.compile(r"console:tone/([1-9][0-9]{0,2})")


class ConsoleProvider:
    """A client that accepts every message; what would have been sent stands in the outbox."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.key = settings.get("key", "")
        #: Reads a file that the person who plays the customer has sent, by its digest. Raises OSError.
        self.open_file: Callable[[str], BinaryIO] | None = None

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Accept the message. The provider's id is derived from our key, so sending twice makes one message."""
        if message.to.endswith(REFUSED):
            raise ProviderRefusal("The number doesn't exist.", permanent=True, code="21211")
        if message.to.endswith(BUSY):
            raise ProviderRefusal("Too many messages at once.", code="20429", retry_after=1.0)
        return ProviderAcceptance(f"console-{message.key}")

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """Every message that was handed over counts as accepted."""
        return StatusUpdate(provider_id or f"console-{message.key}", "sent", since, message.key)

    def verify(self, request: Inbound) -> None:
        """Compare the key in the header, in constant time."""
        sent = next((value for name, value in request.headers.items() if name.lower() == KEY_HEADER.lower()), "")
        if not self.key or not hmac.compare_digest(sent.encode(), self.key.encode()):
            raise BadSignature("The key is missing or wrong.")

    def parse(self, request: Inbound) -> list[Event]:
        """JSON: {"events": [{"type": "message", "status" or "call", …}]}, with the fields of those events."""
        try:
            events = json.loads(request.body)["events"]
            return [_event(each) for each in events]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as wrong:
            raise NotUnderstood("The content isn't a list of events.") from wrong

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """204 without a body."""
        return 204, "text/plain", ""

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """A file that the person who plays the customer has chosen on the console's page, or an invented one."""
        if (found := _TONE.fullmatch(media.address)) is not None:
            return "audio/wav", sample_audio.wav_tone(int(found[1]))
        if (sample := SAMPLES.get(media.address.removeprefix(SAMPLE_MARK))) is not None:
            return sample[0], sample[1]()
        if self.open_file is None or not media.address.startswith(FILE_MARK):
            raise ChannelError("The console has no such file.", permanent=True)
        try:
            with self.open_file(media.address.removeprefix(FILE_MARK)) as file:
                content = file.read(max_bytes + 1)
        except FileNotFoundError as missing:
            raise ChannelError("The console has no such file.", permanent=True) from missing
        except OSError as error:
            raise ChannelError("The console can't read the file.") from error
        if len(content) > max_bytes:
            raise ChannelError("The file is too large.", permanent=True)
        return media.mime_type, content

    def react(self, reaction: OutgoingReaction) -> None:
        """Accept the reaction."""

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Accept the call; the console page plays how it goes on."""
        if call.customer.endswith(REFUSED):
            raise ProviderRefusal("The number doesn't exist.", permanent=True, code="21211")
        if call.customer.endswith(BUSY):
            raise ProviderRefusal("Too many calls at once.", code="20429", retry_after=1.0)
        return ProviderAcceptance(f"console-{call.key}", "queued")

    def templates(self) -> list[ListedTemplate]:
        """No templates: our own are sent as they are."""
        raise StatusUnavailable

    def check(self) -> str:
        """Nothing to check: there is no server."""
        return "The console needs no connection. Nothing that is sent by this account reaches anybody."


def _event(given: dict[str, Any]) -> Event:
    def text(name: str) -> str:
        return clean(str(given.get(name) or ""))

    moment = text("happened_on")
    happened_on = datetime.fromisoformat(moment) if moment else datetime.now(UTC)
    if happened_on.tzinfo is None:
        happened_on = happened_on.replace(tzinfo=UTC)
    if given["type"] == "status":
        state = given["state"]
        if state not in STATES:
            raise ValueError(state)
        return StatusUpdate(text("provider_id"), state, happened_on, text("key"), text("reason"), text("code"))
    if given["type"] == "call":
        return _call(given, text, happened_on)
    if given["type"] != "message" or given["channel"] not in CHANNELS:
        raise ValueError(given["type"])
    return IncomingMessage(
        text("provider_id"),
        text("channel"),
        text("peer"),
        text("to"),
        text("text"),
        happened_on,
        peer_name=text("peer_name"),
        media=tuple(_media(each) for each in given.get("media") or ()),
        in_reply_to=text("in_reply_to"),
        reaction=text("reaction"),
        subject=text("subject"),
        native={"type": "reaction"} if given.get("is_reaction") else {},
    )


def _media(given: dict[str, Any]) -> Media:
    return Media(*(clean(str(given.get(name) or "")) for name in ("address", "mime_type", "name", "caption")))


def _call(given: dict[str, Any], text: Any, happened_on: datetime) -> CallUpdate:
    """A call as the console page plays it, from the fields of CallUpdate."""
    state, direction, seconds = given["state"], given["direction"], given.get("talk_seconds")
    if state not in _CALL_STATES or direction not in ("in", "out"):
        raise ValueError(state)
    is_begun, is_over = state in ("ringing", "answered"), state not in ("ringing", "answered")
    return CallUpdate(
        text("provider_id"),
        state,
        direction,
        text("peer"),
        text("own_number"),
        text("person"),
        text("key"),
        started_on=happened_on if is_begun else None,
        ended_on=happened_on if is_over else None,
        talk_seconds=seconds if type(seconds) is int and 0 <= seconds <= 86_400 else None,
        recording_url=text("recording_url"),
    )


def tone_address(seconds: int) -> str:
    """The address of an invented recording of this length."""
    return f"console:tone/{seconds}"


def body_of(events: list[dict[str, Any]]) -> bytes:
    """The body of a request with these events."""
    return json.dumps({"events": events}).encode()


KIND = ProviderKind(
    "console",
    "Console (sends nothing)",
    CHANNELS,
    (
        AccountSetting(
            "record_outgoing",
            "Record calls made from the CRM",
            "yes or no. Unless it is no, a played call that was answered has a made-up recording.",
            is_required=False,
            check=yes_no_problem,
        ),
        AccountSetting(
            "key",
            "Key",
            "Optional. Programs that play the customer send it in the header X-Console-Key.",
            is_secret=True,
            is_required=False,
        ),
    ),
    ConsoleProvider,
    abilities={
        "whatsapp": Abilities(META_FILES, replies=True, reactions=True),
        "sms": Abilities(replies=False),
        "email": Abilities(MAIL_FILES, files_per_message=10),
    },
)
