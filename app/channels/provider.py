"""The interface between the CRM and a provider of messages or calls: Twilio, Meta, Exotel, a mail server.

A provider is made from the settings of one account, talks to the outside within a total deadline, and knows no
database. What arrives from outside (`Inbound`) is checked and translated, not stored, here.
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

    def __init__(self, sentence: str, *, permanent: bool = False, code: str = "", retry_after: float = 0.0) -> None:
        """`code` is the provider's own; `retry_after` the seconds it asks to wait, 0 = it does not say."""
        super().__init__(sentence, permanent)
        self.code, self.retry_after = code, retry_after


class OptedOut(ProviderRefusal):
    """The recipient does not want our messages: they have written STOP, or are on a do-not-disturb list."""


class BadSignature(Exception):
    """An incoming request is not from the provider."""


class NotUnderstood(Exception):
    """An incoming request is from the provider, but not all of it can be read. The text says what is wrong."""

    def __init__(self, problem: str, events: Sequence[Event] = ()) -> None:
        """`events` is what can be read: of a batch, one part that can't must not hold up the others."""
        super().__init__(problem)
        self.events = tuple(events)


class StatusUnavailable(Exception):
    """The provider has no way to say what became of a message."""


@dataclass(frozen=True)
class Media:
    """A file in a message."""

    #: Where the provider fetches it from (outgoing), or where it is fetched with `Provider.fetch` (incoming).
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
    #: marketing, utility, authentication; "" = the provider does not say.
    category: str = ""
    #: As in Template.
    provider_id: str = ""
    #: image, video or document: the kind of file that must be sent with it; "" = none.
    header: str = ""


@dataclass(frozen=True)
class OutgoingMessage:
    """One message, ready to send."""

    #: Identifies the message at our side, at most 64 ASCII characters: "m123".
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
    #: Where the provider reports what becomes of the message; "" = nowhere.
    status_url: str = ""
    #: Email only: HTML beside the text, further recipients and copies, headers such as References.
    html: str = ""
    also_to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Email and Meta: files that are handed over with the message, as (name, MIME type, content).
    attachments: tuple[tuple[str, str, bytes], ...] = ()


@dataclass(frozen=True)
class ProviderAcceptance:
    """The provider has taken a message or call."""

    provider_id: str
    #: One of STATES.
    state: str = "sent"


@dataclass(frozen=True)
class OutgoingReaction:
    """An emoji of ours to a message of the conversation."""

    #: E.164 number of who gets to see it.
    to: str
    #: The provider's id of the message.
    provider_id: str
    #: "" takes the last one back.
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
    #: When, UTC; None = the provider does not say.
    happened_on: datetime | None = None
    #: The name that the peer gives themselves.
    peer_name: str = ""
    media: tuple[Media, ...] = ()
    in_reply_to: str = ""
    #: An emoji, when this is a reaction to the message `in_reply_to`.
    reaction: str = ""
    subject: str = ""
    #: What else the provider sent and may be needed: small, JSON.
    native: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StatusUpdate:
    """What became of a message that we sent."""

    provider_id: str
    #: One of STATES.
    state: str
    happened_on: datetime | None = None
    #: Our own key, where the provider returns it.
    key: str = ""
    #: Why it failed, as a sentence for users, and the provider's code.
    reason: str = ""
    code: str = ""
    #: The peer does not want our messages: a STOP, or a do-not-disturb list.
    is_opt_out: bool = False


@dataclass(frozen=True)
class CallUpdate:
    """What became of a call, ours or an incoming one."""

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
    #: Seconds that both sides talked.
    talk_seconds: int | None = None
    recording_url: str = ""


Event = IncomingMessage | StatusUpdate | CallUpdate


class Provider(Protocol):
    """A client of one account. Each method ends within a total deadline."""

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send a message.

        Raises ProviderRefusal (`permanent` when no further attempt can succeed) and ChannelError when it was surely not
        sent, DeliveryUnknown when it may have been.
        """

    def find(self, message: OutgoingMessage, provider_id: str, since: datetime) -> StatusUpdate | None:
        """What became of a message whose fate is unknown; None = the provider does not know it.

        `provider_id` is "" where we never got one: then it is sought by recipient and text since that time.
        Raises StatusUnavailable, ChannelError.
        """

    def verify(self, request: Inbound) -> None:
        """Raise BadSignature unless the request comes from the provider."""

    def parse(self, request: Inbound) -> list[Event]:
        """What a verified request says, in the order given. Raises NotUnderstood."""

    def answer(self, request: Inbound) -> tuple[int, str, str]:
        """The response that the provider expects: status, content type, body. Also its handshake by GET."""

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """MIME type and content of a file or recording. Raises ChannelError, also when it is too large."""

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """Connect two telephones. Raises StatusUnavailable where the provider has no telephone, else like `send`."""

    def templates(self) -> list[ListedTemplate]:
        """All registered templates, approved or not. Raises ChannelError; StatusUnavailable where there is no list."""

    def check(self) -> str:
        """Try the account without sending anything. Returns a sentence for the settings page. Raises ChannelError."""


@runtime_checkable
class ReactionProvider(Protocol):
    """A provider that can send reactions."""

    def react(self, reaction: OutgoingReaction) -> None:
        """Send a reaction; the same one a second time changes nothing. Raises ChannelError."""


@dataclass(frozen=True)
class Abilities:
    """What a kind of account can do on one channel."""

    #: MIME type -> the most bytes of such a file; files of other types are not taken.
    files: Mapping[str, int] = field(default_factory=dict)
    #: Files of one message.
    files_per_message: int = 1
    #: Whether the provider fetches files from an address of ours; else they are handed over.
    fetches_files: bool = False
    #: Whether the recipient sees which message is answered, and our reactions.
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
    #: Whether it says where the secrets are sent: when it changes, they have to be typed again.
    is_destination: bool = False
    #: value -> a sentence that says what is wrong with it; None = nothing.
    check: Callable[[str], str | None] = lambda _value: None


@dataclass(frozen=True)
class ProviderKind:
    """A kind of account that can be added: its settings, and what is made from them."""

    #: As in `flask channel add KIND`.
    name: str
    label: str
    #: Of whatsapp, sms, email and voice, those it serves.
    channels: tuple[str, ...]
    settings: tuple[AccountSetting, ...]
    #: Settings by key -> the client. Raises ValueError for settings that contradict each other.
    make: Callable[[Mapping[str, str]], Provider]
    #: By channel.
    abilities: Mapping[str, Abilities] = field(default_factory=dict)

    def ability(self, channel: str) -> Abilities:
        """What it can do on a channel."""
        return self.abilities.get(channel, Abilities())
