"""Sending a message: choice of the account, the conversation and the text. The only way into the outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.channels.provider import Abilities
from app.channels.provider_registry import KINDS
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.messaging import channel_accounts, conversations, dlt_rules, file_checks, message_templates, messages
from app.domain.messaging.channel_accounts import ChannelAccount
from app.domain.messaging.conversations import Conversation
from app.domain.messaging.message_templates import MessageTemplate
from app.domain.messaging.messages import Message
from app.lib.sms_parts import count_parts

#: Files of one message.
MAX_MEDIA = 10
#: The most SMS parts of one text; each is paid for.
MAX_SMS_PARTS = 10
#: Characters of one message, by the strictest provider of the channel.
MAX_LENGTH = {"sms": 2000, "whatsapp": 4096, "email": 60_000}


@dataclass(frozen=True)
class OutgoingRequest:
    """A message requested by a person or the system."""

    #: whatsapp, sms or email.
    channel: str
    #: A number or address as typed.
    peer: str
    body: str = ""
    #: The account, by id; None = that of the conversation with the peer, else the first suitable one.
    account_id: int | None = None
    #: A template and its variables by name, instead of a body.
    template: MessageTemplate | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    #: Files: [{"address", "mime_type", "name", "caption"}], and "size" in bytes if known.
    media: tuple[Mapping[str, Any], ...] = ()
    #: The message that this one replies to, by id.
    reply_to_id: int | None = None
    subject: str | None = None
    #: promotional or service; None = unknown: sent as service, but only to people who also accept promotional messages.
    purpose: str | None = None
    #: What causes the message: a cause creates at most one message.
    cause: str | None = None
    #: lead_id, ticket_id and customer_id of the records that it belongs to.
    records: Mapping[str, int | None] = field(default_factory=dict)
    #: Not to be sent before this time, UTC, so that its author can undo it; None = at once.
    due_on: datetime | None = None
    #: Whether the sender sees a claimed conversation; None = it stays where it is.
    sees: Callable[[Conversation], bool] | None = None
    #: Who gets an unclaimed conversation, by id; None = the sender.
    responsible: int | None = None


def send(session: Session, request: OutgoingRequest, stamp: Stamp) -> Message:
    """Put a message into the outbox. Returns the one that exists for its cause, if there is one. Raises RuleBroken."""
    if request.cause and (before := session.scalars(select(Message).where(Message.cause == request.cause)).first()):
        return before
    peer = _peer(request)
    account = choose_account(session, request, peer)
    key = conversations.ConversationKey(account.id, request.channel, peer)
    conversation = conversations.find_or_create(session, key, stamp)
    values = _content(session, request, account, conversation) | {"channel": request.channel, "peer": peer}
    _refuse_after_window(request, conversation, stamp.now)
    if _may_take(request, conversation, stamp):
        conversations.attach(
            conversation, dict(request.records), request.responsible or stamp.by, stamp
        )  # an unclaimed one becomes the sender's
        values |= {name: getattr(conversation, name) for name in conversations.RECORDS}
    values |= {name: value for name, value in request.records.items() if value is not None}
    message = messages.enqueue(session, values | {"cause": request.cause, "due_on": request.due_on}, stamp)
    conversations.note_message(session, conversation, message, stamp.now)
    payload: dict[str, Any] = {"channel": message.channel, "account": account.name, "conversation": conversation.id}
    audit.write(session, "message", stamp.by, stamp.now, f"message {message.id}", **payload)
    return message


def send_all(session: Session, request: OutgoingRequest, stamp: Stamp) -> Message:
    """Send a text with any number of files, as one or more messages. Returns the first.

    Raises RuleBroken if one of them can't be sent; then none is.
    """
    if not request.media:
        return send(session, request, stamp)
    _refuse_many(request)  # before they are split into messages, so that one request can't create hundreds
    account = choose_account(session, request, _peer(request))
    parts = parts_of(replace(request, account_id=account.id), ability_of(account, request.channel))
    sent = [send(session, each, stamp) for each in parts]
    return sent[0]


def parts_of(request: OutgoingRequest, ability: Abilities) -> list[OutgoingRequest]:
    """The messages into which a request is split; the text goes with the first file unless that is audio."""
    if len(request.media) <= ability.files_per_message and not _is_mute(request):
        return [request]
    step = ability.files_per_message
    files = [request.media[n : n + step] for n in range(0, len(request.media), step)]
    first = [replace(request, media=())] if _is_mute(request) else [replace(request, media=files.pop(0))]
    more = [
        replace(request, body="", media=each, reply_to_id=None, cause=f"{request.cause}:{n}" if request.cause else None)
        for n, each in enumerate(files, 1)
    ]
    return first + more


def _is_mute(request: OutgoingRequest) -> bool:
    """Whether the text can't be sent with the file: WhatsApp shows no text with audio."""
    has_sound = any(str(each.get("mime_type", "")).startswith("audio/") for each in request.media)
    return request.channel == "whatsapp" and has_sound and bool(request.body.strip())


def ability_of(account: ChannelAccount, channel: str) -> Abilities:
    """The abilities of an account on a channel."""
    kind = KINDS.get(account.kind)
    return kind.ability(channel) if kind is not None else Abilities()


def _may_take(request: OutgoingRequest, conversation: Conversation, stamp: Stamp) -> bool:
    """Whether the conversation may be moved to the sender's records.

    Otherwise, anybody who knows a number could read its conversation with others by sending a message to it.
    """
    is_own = stamp.by is None or conversation.claimed_by_id == stamp.by
    return is_own or conversations.is_nobodys(conversation) or (request.sees is not None and request.sees(conversation))


def _peer(request: OutgoingRequest) -> str:
    if request.channel not in messages.CHANNELS:
        raise RuleBroken("Please choose WhatsApp, SMS or email.", "channel")
    peer = messages.clean_peer(request.channel, request.peer)
    if not peer:
        raise RuleBroken("Please enter the number or address to send to.", "peer")
    return peer


def choose_account(session: Session, request: OutgoingRequest, peer: str) -> ChannelAccount:
    """The given account; else that of the newest conversation with the peer.

    Else the first suitable for the purpose.
    """
    purpose = request.template.purpose if request.template else request.purpose
    fitting = {each.id: each for each in channel_accounts.active(session, request.channel, purpose)}
    wanted = request.account_id or (request.template.account_id if request.template else None)
    if wanted is not None:
        if wanted not in fitting:
            raise RuleBroken("This account can't send on this channel. Please choose another one.", "account")
        return fitting[wanted]
    if not fitting:
        text = "Nothing can be sent on this channel yet. An admin has to add an account in Settings, Channels."
        raise RuleBroken(text, "channel")
    mine = (Conversation.channel == request.channel, Conversation.peer == peer)
    query = select(Conversation.account_id).where(*mine).order_by(Conversation.last_message_on.desc())
    known = [fitting[key] for key in session.scalars(query) if key in fitting]
    return known[0] if known else next(iter(fitting.values()))


def _content(
    session: Session, request: OutgoingRequest, account: ChannelAccount, conversation: Conversation
) -> dict[str, Any]:
    """The columns with the content of the message."""
    body, template = request.body, request.template
    if template is not None:
        message_templates.refuse_unusable(template, request.channel, account.id)
        body = message_templates.render(template, request.variables)
    if not body.strip() and not request.media:
        raise RuleBroken("Please enter a text.", "body")
    if len(body) > MAX_LENGTH[request.channel]:
        text = "This text is too long. On this channel a message has at most %(most)s characters."
        raise RuleBroken(translatable(text, most=MAX_LENGTH[request.channel]), "body")
    if request.channel == "sms" and (parts := count_parts(body).parts) > MAX_SMS_PARTS:
        text = "This text would be sent as %(parts)s SMS. Please shorten it: at most %(most)s are sent for one message."
        raise RuleBroken(translatable(text, parts=parts, most=MAX_SMS_PARTS), "body")
    if request.channel == "sms":
        dlt_rules.refuse_foreign_links(session, body)
        template = dlt_rules.registered(session, account, dlt_rules.SmsText(conversation.peer, body, template))
    _refuse_files(request, account)
    return {
        "body": body.strip() or " ".join(each.get("name") or "File" for each in request.media),
        "subject": request.subject
        or (message_templates.subject_of(template, request.variables) if template else "")
        or None,
        "purpose": template.purpose if template else request.purpose or "promotional",
        "sent_as": "service" if request.purpose is None and template is None else None,
        "template_id": template.id if template else None,
        "variables": dict(request.variables) or None,
        "media": [_file(each, request.body.strip()) for each in request.media] or None,
        "reply_to_id": _answered(session, request, conversation, ability_of(account, request.channel)),
        "account_id": account.id,
        "conversation_id": conversation.id,
    }


def _file(given: Mapping[str, Any], caption: str) -> dict[str, str]:
    """A file in its stored form; its caption is the text that goes with it."""
    names = ("address", "mime_type", "name", "caption")
    return {name: str(given.get(name) or "") for name in names} | ({"caption": caption} if caption else {})


def _refuse_many(request: OutgoingRequest) -> None:
    if len(request.media) > MAX_MEDIA:
        raise RuleBroken("A message can have at most 10 files.", "media")


def _refuse_files(request: OutgoingRequest, account: ChannelAccount) -> None:
    """Raise RuleBroken for files that the account can't send on this channel."""
    if not request.media:
        return
    ability = ability_of(account, request.channel)
    _refuse_many(request)
    if request.template is not None and not message_templates.takes_file(request.template):
        raise RuleBroken("This template can't carry a file. Please send the file as a message of its own.", "media")
    for each in request.media:
        file_checks.refuse(each, request.channel, ability)


def _answered(session: Session, request: OutgoingRequest, conversation: Conversation, ability: Abilities) -> int | None:
    if request.reply_to_id is None:
        return None
    if not ability.replies:
        text = "By this account, the customer can't be shown which message you answer. Please send it as a new message."
        raise RuleBroken(text, "reply_to")
    mine = (Message.id == request.reply_to_id, Message.conversation_id == conversation.id)
    if session.execute(select(Message.id).where(*mine)).first() is None:
        raise RuleBroken("The message that you answer isn't part of this conversation.", "reply_to")
    return request.reply_to_id


def _refuse_after_window(request: OutgoingRequest, conversation: Conversation, now: datetime) -> None:
    """Raise RuleBroken for free text after the window of the customer's last message.

    If we know of no message, the provider decides: the customer may have written before the account was connected.
    """
    is_known = conversation.last_inbound_on is not None
    if request.template is None and is_known and not conversations.is_window_open(conversation, now):
        text = "More than 24 hours have passed since the customer's last message. Please choose an approved template."
        raise RuleBroken(text, "template")
