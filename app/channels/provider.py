"""The interface between the CRM and a provider of messages or calls: Twilio, Meta, Exotel, a mail server.

A provider is created from the settings of one account, calls outside servers within a total deadline, and knows no
database. It checks and translates incoming requests (`Inbound`); it doesn't store them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from app.channels.base import ChannelError

#: States of a message at the provider, in their order; "failed" may follow "queued" and "sent".
STATES = ("queued", "sent", "delivered", "read", "failed")


class ProviderRefusal(ChannelError):
    """The provider refused a message."""

    #: Why the recipient must get no more promotional messages: opted_out, do_not_disturb, or "".
    unwanted = ""

    def __init__(self, sentence: str, *, permanent: bool = False, code: str = "", retry_after: float = 0.0) -> None:
        """`code` is the provider's own; `retry_after` is the seconds that it asks to wait, 0 if it doesn't say."""
        super().__init__(sentence, permanent)
        self.code, self.retry_after = code, retry_after


class OptedOut(ProviderRefusal):
    """The recipient does not want our messages: they replied STOP."""

    unwanted = "opted_out"


class OnDoNotDisturb(ProviderRefusal):
    """The recipient's number is on a do-not-disturb list."""

    unwanted = "do_not_disturb"


class BadSignature(Exception):
    """An incoming request is not from the provider."""


class NotUnderstood(Exception):
    """An incoming request is from the provider but partly unreadable. The text says what is wrong."""

    def __init__(self, problem: str, events: Sequence[Event] = ()) -> None:
        """`events` are the readable ones: one bad part of a batch must not hold up the others."""
        super().__init__(problem)
        self.events = tuple(events)


class StatusUnavailable(Exception):
    """The provider can't be asked what became of a message."""


@dataclass(frozen=True)
class Media:
    """A file in a message."""

    #: Where the provider fetches it (outgoing), or the address for `Provider.fetch` (incoming).
    address: str
    mime_type: str
    name: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Template:
    """A template registered with the provider, and the values of its variables in order."""

    name: str
    language: str
    variables: tuple[str, ...] = ()
    #: The provider's own id: Twilio's ContentSid, the DLT template id of an SMS.
    provider_id: str = ""


#: States of a template at the provider: only an approved one may be sent. A template of a form that `Provider.send`
#: can't fill (variables in the heading or in a button, variables with names) is "unsupported".
TEMPLATE_STATES = ("approved", "pending", "paused", "rejected", "unsupported")


@dataclass(frozen=True)
class ListedTemplate:
    """A template as the provider has registered it."""

    name: str
    language: str
    #: The body, with {{1}}, {{2}} … for the variables.
    text: str
    #: One of TEMPLATE_STATES.
    state: str
    #: marketing, utility or authentication; "" if the provider doesn't say.
    category: str = ""
    #: As in Template.
    provider_id: str = ""
    #: image, video or document: the kind of file that must be sent with it; "" = none.
    header: str = ""


@dataclass(frozen=True)
class OutgoingMessage:
    """One message, ready to send."""

    #: Identifies the message on our side, at most 64 ASCII characters: "m123".
    key: str
    #: whatsapp, sms or email.
    channel: str
    #: E.164 number, or email address.
    to: str
    text: str
    subject: str = ""
    template: Template | None = None
    media: tuple[Media, ...] = ()
    #: promotional or service.
    purpose: str = "service"
    #: The provider's id of the message that this one answers.
    in_reply_to: str = ""
    #: Where the provider reports the status of the message; "" = nowhere.
    status_url: str = ""
    #: Email only: HTML version of the text, further recipients and copies, headers such as References.
    html: str = ""
    also_to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Email and Meta: files sent along with the message, as (name, MIME type, content).
    attachments: tuple[tuple[str, str, bytes], ...] = ()


@dataclass(frozen=True)
class ProviderAcceptance:
    """The provider has accepted a message or call."""

    provider_id: str
    #: One of STATES.
    state: str = "sent"


@dataclass(frozen=True)
class OutgoingReaction:
    """An emoji of ours in reaction to a message of the conversation."""

    #: E.164 number of the recipient.
    to: str
    #: The provider's id of the message.
    provider_id: str
    #: "" withdraws the last one.
    emoji: str


@dataclass(frozen=True)
class OutgoingCall:
    """A call that rings the person first and then connects the customer."""

    key: str
    #: E.164 numbers.
    person: str
    customer: str
    caller_id: str
    status_url: str = ""
    is_recorded: bool = False


@dataclass(frozen=True)
class Inbound:
    """A request that arrived at /hooks/<channel>/<token>, as received."""

    method: str
    #: The full address as the provider knows it, from the configured public URL.
    url: str
    headers: Mapping[str, str]
    body: bytes
    #: Query parameters and form fields, each with all its values.
    query: Mapping[str, list[str]] = field(default_factory=dict)
    form: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class IncomingMessage:
    """Somebody wrote to us."""

    provider_id: str
    channel: str
    #: Who wrote, and to which of our numbers or addresses: E.164 or email.
    peer: str
    to: str
    text: str
    #: When, UTC; None if the provider doesn't say.
    happened_on: datetime | None = None
    #: The name that the peer gives themselves.
    peer_name: str = ""
    media: tuple[Media, ...] = ()
    in_reply_to: str = ""
    #: An emoji if this is a reaction to the message `in_reply_to`.
    reaction: str = ""
    subject: str = ""
    #: Other data of the provider that may be needed: a small JSON object.
    native: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StatusUpdate:
    """The status of a message that we sent."""

    provider_id: str
    #: One of STATES.
    state: str
    happened_on: datetime | None = None
    #: Our own key, where the provider returns it.
    key: str = ""
    #: Why it failed, as a sentence for users, and the provider's code.
    reason: str = ""
    code: str = ""
    #: Why the recipient must get no more promotional messages: opted_out (a STOP), do_not_disturb (a list), or "".
    unwanted: str = ""


@dataclass(frozen=True)
class CallUpdate:
    """The status of a call, ours or an incoming one."""

    provider_id: str
    #: ringing, answered, completed, busy, no-answer, failed or canceled.
    state: str
    #: in or out.
    direction: str
    #: The customer's number and our own number, E.164; "" = withheld.
    peer: str
    own_number: str
    #: The number of the person who talked; "" = not known.
    person: str = ""
    key: str = ""
    started_on: datetime | None = None
    ended_on: datetime | None = None
    #: Seconds of conversation.
    talk_seconds: int | None = None
    recording_url: str = ""


Event = IncomingMessage | StatusUpdate | CallUpdate


class Provider(Protocol):
    """A client of one account. Each method ends within a total deadline."""

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send a message.

        Raises ProviderRefusal (`permanent` if every further attempt would fail) and ChannelError if it was surely not
        sent, DeliveryUnknown if it may have been.
        """

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """The status of a message whose outcome is unknown; None if the provider doesn't know the message.

        `provider_id` is "" if we never got one: the message is then sought by recipient and text since that time.
        Raises StatusUnavailable, ChannelError.
        """

    def verify(self, request: Inbound) -> None:
        """Raise BadSignature unless the request comes from the provider."""

    def parse(self, request: Inbound) -> list[Event]:
        """The events in a verified request, in their order. Raises NotUnderstood."""

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """The response that the provider expects: status, content type, body; also for its handshake by GET."""

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """MIME type and content of a file or recording. Raises ChannelError, also if it is too large."""

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Connect two telephones. Raises StatusUnavailable if the provider has no telephone, else like `send`."""

    def templates(self) -> list[ListedTemplate]:
        """All registered templates, approved or not. Raises ChannelError; StatusUnavailable if there is no list."""

    def check(self) -> str:
        """Try the account without sending anything. Returns a sentence for the settings page. Raises ChannelError."""


@runtime_checkable
class ReactionProvider(Protocol):
    """A provider that can send reactions."""

    def react(self, reaction: OutgoingReaction) -> None:
        """Send a reaction; repeating it has no effect. Raises ChannelError."""


@dataclass(frozen=True)
class Abilities:
    """What a kind of account can do on one channel."""

    #: MIME type -> maximum bytes of such a file; other types are not accepted.
    files: Mapping[str, int] = field(default_factory=dict)
    #: Files of one message.
    files_per_message: int = 1
    #: Whether the provider fetches files from our server; otherwise they are uploaded to it.
    fetches_files: bool = False
    #: Whether the recipient sees our reactions, and which message a reply refers to.
    replies: bool = True
    reactions: bool = False


@dataclass(frozen=True)
class AccountSetting:
    """One setting of an account."""

    key: str
    label: str
    #: A sentence that says where to find it.
    help: str = ""
    is_secret: bool = False
    is_required: bool = True
    default: str = ""
    #: Values that can be chosen; empty = any text.
    options: tuple[str, ...] = ()
    #: Whether it determines where the secrets are sent: if it changes, they have to be typed again.
    is_destination: bool = False
    #: value -> a sentence that says what is wrong with it; None if it is valid.
    check: Callable[[str], str | None] = lambda _value: None


@dataclass(frozen=True)
class ProviderKind:
    """A kind of account that can be added: its settings, and how to create its client."""

    #: As in `flask channel add KIND`.
    name: str
    label: str
    #: Those of whatsapp, sms, email and voice that it supports.
    channels: tuple[str, ...]
    settings: tuple[AccountSetting, ...]
    #: Settings by key -> the client. Raises ValueError for settings that contradict each other.
    make: Callable[[Mapping[str, str]], Provider]
    #: By channel.
    abilities: Mapping[str, Abilities] = field(default_factory=dict)
    #: Whether the provider reports at addresses of the CRM, which have to be entered there.
    has_hooks: bool = True

    def ability(self, channel: str) -> Abilities:
        """What it can do on a channel."""
        return self.abilities.get(channel, Abilities())
