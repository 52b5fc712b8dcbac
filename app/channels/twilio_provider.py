"""Twilio: SMS, WhatsApp and telephone, by its official library, which builds the requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twilio.base.exceptions import TwilioException

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.failure_reasons import refusal
from app.channels.http_client import (
    NO_ANSWER,
    HttpClient,
    HttpRequest,
    basic_auth,
    is_of_host,
    mime_type,
)
from app.channels.inbound_fields import with_query
from app.channels.provider import (
    Abilities,
    ListedTemplate,
    Media,
    OutgoingCall,
    OutgoingMessage,
    ProviderAcceptance,
    ProviderKind,
    ProviderRefusal,
    StatusUnavailable,
    StatusUpdate,
)
from app.channels.provider_file_limits import TWILIO_FILES
from app.channels.template_lists import MAX_PAGES, PAGE_SIZE, of_twilio
from app.channels.twilio_errors import REASONS
from app.channels.twilio_inbound import MESSAGE_STATES, SETTINGS, TwilioInbound, status_of

if TYPE_CHECKING:
    from twilio.twiml.voice_response import VoiceResponse

BASE_URL = "https://api.twilio.com"
#: Where Twilio stores files besides its own host; its media addresses redirect there.
FILE_HOSTS = ("*.twilio.com", "*.twiliocdn.com", "s3-external-1.amazonaws.com")
#: Messages to one number that are searched for one whose outcome is unknown.
MOST_LISTED = 50
#: Tolerance in seconds: Twilio gives full seconds, and its clock isn't ours.
CLOCK_SECONDS = 2
#: Seconds that a telephone rings.
RING_SECONDS = 30


class Twilio(TwilioInbound):
    """One account of Twilio.

    It has no replies to a specific message: `in_reply_to` does not reach the customer.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` as in KIND. Raises ValueError."""
        super().__init__(settings)
        self.http = HttpClient(settings.get("base_url") or BASE_URL, float(settings.get("seconds") or 15))
        self._library: Any = None

    @property
    def library(self) -> Any:
        """Twilio's client, imported on first use because that takes a second."""
        if self._library is None:
            from app.channels.twilio_library import make_client

            self._library = make_client(self.account_sid, self.auth_token, self.http)
        return self._library

    # --- messages

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send by SMS or WhatsApp. Raises ProviderRefusal, ChannelError, DeliveryUnknown."""
        fields = self._content(message)
        if message.status_url:
            fields["status_callback"] = with_query(message.status_url, key=message.key)
        made = self._create(
            lambda: self.library.messages.create(
                to=_address(message.to, message.channel), from_=self._sender(message.channel), **fields
            )
        )
        if MESSAGE_STATES.get(str(made.status)) == "failed":
            code = str(made.error_code or "")
            raise refusal(REASONS.get(code, "not_delivered"), code)
        return ProviderAcceptance(made.sid)

    def _content(self, message: OutgoingMessage) -> dict[str, Any]:
        if message.channel not in ("sms", "whatsapp"):
            raise refusal("wrong_channel")
        if message.attachments:
            raise refusal("no_upload")
        if message.template is not None and message.channel == "whatsapp":
            return _template_fields(message)
        if len(message.media) > 1 and message.channel == "whatsapp":
            raise refusal("one_file")
        if not message.text and not message.media:
            raise refusal("empty")
        return {
            **({"body": message.text} if message.text else {}),
            **({"media_url": [each.address for each in message.media]} if message.media else {}),
        }

    def _sender(self, channel: str) -> str:
        if channel == "whatsapp":
            return f"whatsapp:{self.whatsapp_sender}"
        if not self.numbers:
            raise refusal("wrong_channel")
        return self.numbers[0]

    def _create(self, call: Any) -> Any:
        """The resource that the library creates. If the response has no id, its fate is unknown."""
        try:
            made = call()
        except (TwilioException, ValueError, TypeError, AttributeError) as error:
            raise DeliveryUnknown(NO_ANSWER) from error
        if not isinstance(made.sid, str) or not made.sid:
            raise DeliveryUnknown(NO_ANSWER)
        return made

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """What became of a message. Raises ChannelError, and StatusUnavailable if several messages could be it."""
        try:
            if provider_id:
                return cast(StatusUpdate, self._question(lambda: status_of(self.library.messages(provider_id).fetch())))
            return cast(StatusUpdate | None, self._question(lambda: self._search(message, since)))
        except ProviderRefusal as refused:
            if refused.code == "20404":
                return None
            raise

    def _search(self, message: OutgoingMessage, since: datetime) -> StatusUpdate | None:
        to = _address(message.to, message.channel)
        day_before = since.astimezone(UTC) - timedelta(days=1)
        # Twice: a message that Twilio has not sent yet has no DateSent, and the list isn't ordered by time of creation.
        pages = [
            self.library.messages.page(to=to, date_sent_after=day_before, page_size=MOST_LISTED),
            self.library.messages.page(to=to, page_size=MOST_LISTED),
        ]
        listed = [list(page) for page in pages]
        earliest = since - timedelta(seconds=CLOCK_SECONDS)
        ours = {
            each.sid: each
            for page in listed
            for each in page
            if str(each.direction or "").startswith("outbound") and _created(each) >= earliest
        }
        found = [each for each in ours.values() if _has_text(each, message.text)]
        if len(found) == 1:
            return status_of(found[0])
        # Our text twice, a template (only Twilio knows its text), or more messages than were searched.
        is_open = ours and (message.template is not None or bool(message.media))
        is_short = any(len(page) >= MOST_LISTED and _created(page[-1]) >= earliest for page in listed)
        if found or is_open or is_short:
            raise StatusUnavailable("Several messages could be this one.")
        return None

    # --- calls

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Ring the person; when they answer, ring the customer and connect both."""
        if not self.numbers:
            raise StatusUnavailable("This account has no phone.")
        caller_id = call.caller_id or self.numbers[0]
        bridge = str(_bridge(call, caller_id))
        made = self._create(
            lambda: self.library.calls.create(
                to=call.person, from_=caller_id, twiml=bridge, timeout=RING_SECONDS, **_events(call)
            )
        )
        return ProviderAcceptance(made.sid)

    # --- files, account

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """A file of a message, or a recording as MP3."""
        url = media.address
        if is_of_host(url, BASE_URL):
            url = self.http.base_url + url.removeprefix(BASE_URL)
        headers = {}
        if is_of_host(url, self.http.base_url):
            headers["Authorization"] = basic_auth(self.account_sid, self.auth_token)
        if "/Recordings/RE" in url and not url.endswith((".mp3", ".wav")):
            url += ".mp3"
        response = self.http.fetch(HttpRequest("GET", url, headers, max_bytes=max_bytes), FILE_HOSTS)
        return mime_type(response), response.body

    def templates(self) -> list[ListedTemplate]:
        """The templates that Twilio stores, with their WhatsApp approval."""
        found: list[ListedTemplate] = []
        page = self._question(lambda: self.library.content.v1.content_and_approvals.page(page_size=PAGE_SIZE))
        for _ in range(MAX_PAGES):
            found += self._question(partial(_read_templates, page))
            page = self._question(page.next_page)
            if page is None:
                break
        return found

    def _question(self, ask: Callable[[], Any]) -> Any:
        """The library's answer to a read request. Raises ChannelError."""
        try:
            return ask()
        except DeliveryUnknown as unknown:
            raise ChannelError(NO_ANSWER) from unknown
        except (TwilioException, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ChannelError(NO_ANSWER) from error

    def check(self) -> str:
        """Check the account by reading it."""
        account = self._question(lambda: self.library.api.accounts(self.account_sid).fetch())
        if account.status != "active":
            raise refusal("suspended")
        return "Twilio knows the account, and it is active."


KIND = ProviderKind(
    *("twilio", "Twilio", ("whatsapp", "sms", "voice"), SETTINGS, Twilio),
    abilities={
        "whatsapp": Abilities(TWILIO_FILES, fetches_files=True, replies=False),
        "sms": Abilities(replies=False),
    },
)


def _read_templates(page: Any) -> list[ListedTemplate]:
    return [of_twilio(each) for each in page]


def _address(number: str, channel: str) -> str:
    return f"whatsapp:{number}" if channel == "whatsapp" else number


def _template_fields(message: OutgoingMessage) -> dict[str, Any]:
    template = message.template
    if template is None or not template.provider_id:
        raise refusal("bad_template")
    if message.media:
        raise refusal("bad_media")  # it is part of the template
    values = {str(number): value for number, value in enumerate(template.variables, 1)}
    return {"content_sid": template.provider_id, **({"content_variables": json.dumps(values)} if values else {})}


def _bridge(call: OutgoingCall, caller_id: str) -> VoiceResponse:
    """What Twilio does when the person has answered."""
    from twilio.twiml.voice_response import VoiceResponse  # with its parser of XML a MB, which few processes need

    response, options, where = VoiceResponse(), dict[str, str](), dict[str, str]()
    if call.status_url:
        options["action"] = with_query(call.status_url, leg="dialed", key=call.key)
        where["status_callback"] = with_query(call.status_url, leg="customer", key=call.key)
    dial: Any = response.dial(caller_id=caller_id, timeout=RING_SECONDS, **options, **_recording(call))
    dial.number(call.customer, status_callback_event="ringing answered completed", **where)
    return response


def _events(call: OutgoingCall) -> dict[str, Any]:
    """Where Twilio reports on the person's telephone."""
    if not call.status_url:
        return {}
    return {
        "status_callback": with_query(call.status_url, leg="person", key=call.key),
        "status_callback_event": ["ringing", "answered", "completed"],
    }


def _recording(call: OutgoingCall) -> dict[str, str]:
    if not call.is_recorded:
        return {}
    found = {"record": "record-from-answer-dual"}
    if call.status_url:
        found["recording_status_callback"] = with_query(call.status_url, leg="recording", key=call.key)
    return found


def _created(listed: Any) -> datetime:
    """When Twilio accepted the message; now, if it gives no readable time."""
    created = listed.date_created
    if not isinstance(created, datetime):
        return datetime.max.replace(tzinfo=UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)


def _has_text(listed: Any, text: str) -> bool:
    """Whether it has this text; trial accounts get a sentence put before it."""
    body = str(listed.body or "").strip()
    return bool(text.strip()) and (body == text.strip() or body.endswith(f" - {text.strip()}"))
