"""Processes providers' events: messages from customers, reactions, and states of our own messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.channels.provider import CallUpdate, Event, IncomingMessage, StatusUpdate
from app.domain import address_hashes, leads, tickets
from app.domain.base import Stamp
from app.domain.inbound import failed_replies
from app.domain.leads import Lead
from app.domain.messaging import consents, conversations, dnd_uploads, messages
from app.domain.messaging.channel_accounts import ChannelAccount
from app.domain.messaging.conversations import Conversation
from app.domain.messaging.dnd_uploads import DndLine
from app.domain.messaging.messages import Message
from app.domain.notifications import notices
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.telephony import call_matching, call_updates
from app.domain.telephony.call_matching import CallTarget
from app.domain.tickets import Ticket
from app.lib import opt_out_words

#: Our keys of messages, as providers return them.
_KEY = re.compile(r"m([1-9][0-9]{0,9})")
#: Our keys of notifications to colleagues.
_NOTICE_KEY = re.compile(r"n([1-9][0-9]{0,9})")
MAX_NAME_LENGTH, MAX_PEER_LENGTH = 140, 254


class MessageUnknown(Exception):
    """The message that an event is about is unknown (yet): its own request may still be on its way."""


def process(session: Session, account: ChannelAccount, event: Event, now: datetime) -> str:
    """Apply a provider's event. Idempotent. Returns what it was. Raises MessageUnknown."""
    if isinstance(event, CallUpdate):
        return call_updates.apply_event(session, account, event, now)
    if isinstance(event, StatusUpdate):
        return _take_status(session, account, event, now)
    if event.reaction or event.native.get("type") == "reaction":  # an empty one withdraws it
        return _take_reaction(session, account, event, now)
    return _take_message(session, account, event, now)


# --- states of our messages


def _take_status(session: Session, account: ChannelAccount, event: StatusUpdate, now: datetime) -> str:
    if found := _NOTICE_KEY.fullmatch(event.key):
        if not notices.apply_report(session, int(found[1]), event, now):
            raise MessageUnknown("It is about a notification that is not here.")
        return "notification"
    message = _ours(session, account, event)
    if message is None:
        raise MessageUnknown("It is about a message that this account has not sent.")
    if event.provider_id and message.provider_id is None and message.peer:
        message.provider_id = event.provider_id
    at = min(event.happened_on or now, now)
    is_erased = message.peer == ""  # whatever the provider says of the person was erased, too
    if event.state != "queued" and failed_replies.advance(session, message, event.state, at):
        message.reason, message.code = None if is_erased else event.reason[:300] or None, event.code[:40] or None
    if event.unwanted and not is_erased:
        note_unwanted(session, message, Unwanted(event.unwanted, event.reason), Stamp(None, now))
    return "state"


def _ours(session: Session, account: ChannelAccount, event: StatusUpdate) -> Message | None:
    """The message, locked: by the provider's id, else by our own key. Never one of another account."""
    mine = select(Message).where(Message.account_id == account.id, Message.direction == "out").with_for_update()
    if event.provider_id and (row := session.scalars(mine.where(_is_named(session, event.provider_id))).first()):
        return row
    found = _KEY.fullmatch(event.key)
    row = session.scalars(mine.where(Message.id == int(found[1]))).first() if found else None
    # A key with another provider id belongs to an earlier attempt: what it says of the message is still true.
    return row


def _is_named(session: Session, provider_id: str) -> ColumnElement[bool]:
    """The message with this id, or the hash of it that erased ones have: what is sent again stays known."""
    return Message.provider_id.in_(list(address_hashes.ids_known_as(session, [provider_id])))


class Unwanted(NamedTuple):
    """What a provider says of a recipient: "opted_out" or "do_not_disturb", and its words."""

    kind: str
    words: str


def note_unwanted(session: Session, message: Any, unwanted: Unwanted, stamp: Stamp) -> None:
    """Record that the recipient must get no promotional messages, according to the provider.

    opted_out goes into the consent ledger, for the message's channel; do_not_disturb says nothing about what the person
    agreed to, so it is stored as a check of the do-not-disturb list.
    """
    if unwanted.kind == "do_not_disturb":
        dnd_uploads.store(session, [DndLine(message.peer, "blocked", stamp.now)], "provider", stamp.now)
        return
    newest = consents.latest(session, message.channel, message.peer)
    if newest is not None and newest.action == "withdrawn":
        return
    entry: dict[str, Any] = {"channel": message.channel, "address": message.peer, "action": "withdrawn"}
    entry["how"] = "provider"
    entry |= {"words": unwanted.words or None, "message_id": message.id, "customer_id": message.customer_id}
    consents.record(session, entry | {"lead_id": message.lead_id}, stamp)


# --- messages from customers


def _take_reaction(session: Session, account: ChannelAccount, event: IncomingMessage, now: datetime) -> str:
    mine = (Message.account_id == account.id, _is_named(session, event.in_reply_to))
    message = session.scalars(select(Message).where(*mine).with_for_update()).first()
    if message is None:
        raise MessageUnknown("It is a reaction to a message that is not here.")
    messages.react(session, message, messages.Reaction("peer", event.reaction), now)
    return "reaction"


def _take_message(session: Session, account: ChannelAccount, event: IncomingMessage, now: datetime) -> str:
    known = (Message.account_id == account.id, _is_named(session, event.provider_id))
    if event.provider_id and session.execute(select(Message.id).where(*known)).first():
        return "message"
    stamp = Stamp(None, now)
    peer = messages.clean_peer(event.channel, event.peer) or event.peer.strip()[:MAX_PEER_LENGTH] or "unknown"
    key = conversations.ConversationKey(account.id, event.channel, peer)
    conversation = conversations.find_or_create(session, key, stamp)
    if event.peer_name:
        conversation.peer_name = " ".join(event.peer_name.split())[:MAX_NAME_LENGTH]
    at = min(event.happened_on or now, now)
    target = _attach(session, conversation, at, stamp)
    try:
        with session.begin_nested():
            message = messages.receive(session, _values(session, conversation, event, at), stamp)
    except IntegrityError:
        return "message"  # another worker has just stored the same message
    conversations.note_message(session, conversation, message, now)
    _apply_consent_change(session, message, stamp)
    if conversation.unread <= 1:  # later ones are shown next to the first
        notices.notify(session, _notice_of(conversation, message, target), now)
    return "message"


def _values(session: Session, conversation: Conversation, event: IncomingMessage, at: datetime) -> dict[str, Any]:
    answered = (Message.account_id == conversation.account_id, Message.provider_id == event.in_reply_to)
    reply_to = session.scalar(select(Message.id).where(*answered)) if event.in_reply_to else None
    files = [
        {"address": each.address, "mime_type": each.mime_type, "name": each.name, "caption": each.caption}
        for each in event.media
    ]
    captions = " ".join(each["caption"] or each["name"] for each in files).strip()
    return {
        "channel": event.channel,
        "peer": conversation.peer,
        "subject": event.subject[:200] or None,
        "body": messages.cut_body(event.text or captions or ("File" if files else "")),
        "happened_on": at,
        "provider_id": event.provider_id or None,
        "account_id": conversation.account_id,
        "conversation_id": conversation.id,
        "media": files or None,
        "reply_to_id": reply_to,
        "native": dict(event.native),
        **{name: getattr(conversation, name) for name in conversations.RECORDS},
    }


def _attach(session: Session, conversation: Conversation, at: datetime, stamp: Stamp) -> CallTarget:
    """Link it to the open record of its number, unless it is linked already."""
    if conversation.channel == "email" or _has_open_record(session, conversation):
        return CallTarget()
    target = call_matching.match_number(session, conversation.peer, at)
    owner = conversation.customer_id
    if owner is not None and not is_of_customer(session, target.as_columns(), owner):
        return CallTarget()
    if (
        conversation.claimed_by_id is not None
        and owner is None
        and conversation.claimed_by_id not in target.responsible
    ):
        return CallTarget()  # whoever answers it decides: its people would read everything said so far
    if target.is_matched:
        responsible = next(iter(target.responsible), None)
        conversations.attach(conversation, target.as_columns(), responsible, stamp)
    return target


def is_of_customer(session: Session, ids: Mapping[str, int | None], customer_id: int) -> bool:
    """Whether these records (lead_id, ticket_id) are permanently linked to this customer.

    A record with a pending link only shares the number: its people must not see what the customer has said.
    """
    ways: tuple[tuple[Any, int | None, Any], ...] = (
        (Ticket, ids.get("ticket_id"), Ticket.opens_customer.is_(True)),
        (Lead, ids.get("lead_id"), true()),
    )
    for model, key, rule in ways:
        query = select(model.id).where(model.id == key, model.customer_id == customer_id, rule)
        if key is not None and session.execute(query).first() is None:
            return False
    return True


def _has_open_record(session: Session, conversation: Conversation) -> bool:
    """Whether its lead or ticket is open."""
    ways: tuple[tuple[Any, Any, int | None, Any], ...] = (
        (Lead, LeadStatus, conversation.lead_id, leads.TERMINAL),
        (Ticket, TicketStatus, conversation.ticket_id, tickets.ENDED),
    )
    for model, status, key, ended in ways:
        query = select(model.id).join(status, status.id == model.status_id).where(model.id == key)
        if key is not None and session.execute(query.where(status.meaning.not_in(ended))).first():
            return True
    return False


def _apply_consent_change(session: Session, message: Message, stamp: Stamp) -> None:
    """Record STOP and START, in any of our languages, in the ledger."""
    if address_hashes.is_hash(message.peer):  # it is no number: nobody can be meant
        return
    if change := opt_out_words.consent_change(message.body):
        entry: dict[str, Any] = {
            "channel": message.channel,
            "address": message.peer,
            "action": change,
            "how": "message",
        }
        entry |= {"words": message.body, "message_id": message.id, "happened_on": message.happened_on}
        consents.record(session, entry | {"customer_id": message.customer_id, "lead_id": message.lead_id}, stamp)


def _notice_of(conversation: Conversation, message: Message, target: CallTarget) -> notices.NoticeEvent:
    """The notice of an unread message for whoever answers the conversation."""
    person = conversation.claimed_by_id or next(iter(target.responsible), None)
    ids = {name: getattr(message, name) for name in conversations.RECORDS}
    payload = {"channel": message.channel, "number": target.number, "conversation": conversation.id}
    key = f"message:{conversation.id}:{message.id}"
    return notices.NoticeEvent("message", key, [person], payload, notice_record(ids))


def notice_record(ids: dict[str, int | None]) -> dict[str, int | None]:
    """The most specific record, in the form used by notices."""
    names = ("ticket_id", "lead_id", "customer_id")
    name = next((each for each in names if ids.get(each) is not None), None)
    return dict.fromkeys((*names, "task_id")) | ({name: ids[name]} if name else {})
