"""Processes an incoming email once: into its thread, and to a ticket or lead if the account creates them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, Stamp, hold_name
from app.domain.inbound import failed_replies, mail_record_rules, mail_threads, provider_events
from app.domain.inbound.inbound_mail_context import InboundMailContext
from app.domain.inbound.mail_threads import Thread
from app.domain.messaging import channel_accounts, consents, conversations, mails, messages
from app.domain.messaging.conversations import Conversation
from app.domain.messaging.mails import Mail
from app.domain.messaging.messages import MAX_BODY, Message
from app.domain.notifications import notices
from app.domain.persistence.session_context import session_context
from app.lib import opt_out_words
from app.lib.automatic_mail import Bounce
from app.lib.file_kinds import BOMB, kind_of
from app.lib.mail_authentication import vouches_for
from app.lib.mail_reading import MailAttachment, ReadMail, UnreadableMail, read, storable

MAX_QUOTED = 200_000
NO_TEXT = "(no text)"
CAME_BACK = "This email was sent by one of our own addresses and came back. It was not taken in."
IS_REPORT = "A report of failed delivery. The email that did not arrive is marked."
HAS_BOMB = "A file in this email unpacks to far more than it says, which can harm computers. It was not kept."
IS_CUT = "This email is too long or has too many parts; the original has all of it."


@dataclass(frozen=True)
class ArrivedMail:
    """An email as fetched."""

    raw: bytes
    uid_validity: int | None = None
    uid: int | None = None
    #: Why it was left in the mailbox; then `raw` has only its headers.
    refusal: str = ""


def process(session: Session, context: InboundMailContext, arrived: ArrivedMail) -> str:
    """Process an email. Returns its state: one of mails.STATES, or "known" for one that was processed before."""
    try:
        mail = read(arrived.raw, context.values.get("authserv_id", ""), context.groups)
    except UnreadableMail as error:
        return store_unreadable(session, context, arrived, str(error))
    row = _claim(session, context, arrived, mail)
    if row is None:
        _note_place(session, context, arrived, key_of(mail))
        return "known"
    if arrived.refusal:
        row.state, row.sentence = "refused", arrived.refusal
        row.original = context.store.put(arrived.raw).digest  # its headers, by which it can be found in the mailbox
    elif _is_returned(mail, context):
        row.state, row.origin, row.sentence = "dropped", "loop", CAME_BACK
        row.original = context.store.put(arrived.raw).digest
    elif mail.bounce is not None and _note_failures(session, mail.bounce, context):
        row.origin, row.sentence = "bounce", IS_REPORT
    else:
        _keep(session, context, row, mail)
        if mail.is_cut or len(mail.text) > MAX_BODY:
            row.sentence, row.original = row.sentence or IS_CUT, context.store.put(arrived.raw).digest
    session.flush()
    channel_accounts.record_success(session, context.account.id, context.now)
    return row.state


def store_unreadable(session: Session, context: InboundMailContext, arrived: ArrivedMail, sentence: str) -> str:
    """Store an email that can't be processed, with the reason, for a person."""
    row = _new_row(context, arrived, "failed")
    row.mail_key, row.sentence = hashlib.sha256(arrived.raw).hexdigest(), sentence[:300]
    row.original = context.store.put(arrived.raw).digest
    return "failed" if _insert(session, row) else "known"


def retry_failed(session: Session, context: InboundMailContext, row: Mail) -> str:
    """Process a failed email again, from its original."""
    with context.store.open(row.original or "") as file:
        arrived = ArrivedMail(file.read(), row.uid_validity, row.uid)
    session.delete(row)
    session.flush()
    return process(session, context, arrived)


# --- processed once


def _claim(session: Session, context: InboundMailContext, arrived: ArrivedMail, mail: ReadMail) -> Mail | None:
    """The row of an email that is new. The unique key decides, also between two processes."""
    row = _new_row(context, arrived, "kept")
    row.mail_key = key_of(mail)
    row.header_id = mail.message_id[:255] or None
    row.origin = "automatic" if mail.is_automatic else "person"
    row.peer = mail.sender.address
    row.cc = [each.address for each in mail.cc]
    row.participants = sorted(mail.participants - context.own_addresses)
    row.html = mail.html or None
    row.has_remote_pictures, row.quoted = mail.has_remote_pictures, mail.quoted[:MAX_QUOTED] or None
    row.is_unverified = is_unverified(mail, context)
    # A refused INSERT would keep a shared lock on MariaDB, and several would deadlock with later statements.
    hold_name(session, f"mail:{context.account.id}:{row.mail_key}")
    return row if _insert(session, row) else None


def _note_place(session: Session, context: InboundMailContext, arrived: ArrivedMail, key: str) -> None:
    """Store the current mailbox position of a known email: its server may have renumbered all emails."""
    values = {"uid_validity": arrived.uid_validity, "uid": arrived.uid}
    step = update(Mail).where(Mail.account_id == context.account.id, Mail.mail_key == key).values(values)
    session.execute(step, execution_options={"synchronize_session": False})


def key_of(mail: ReadMail) -> str:
    """A key shared by all copies of an email.

    The Message-ID alone is not enough: some programs use one for all emails.
    """
    if not mail.message_id:
        return mail.digest
    parts = (mail.message_id, mail.sender.address, str(mail.written_on))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _new_row(context: InboundMailContext, arrived: ArrivedMail, state: str) -> Mail:
    where = {"uid_validity": arrived.uid_validity, "uid": arrived.uid, "received_on": context.now}
    lists: dict[str, Any] = {"cc": [], "participants": []}
    return Mail(account_id=context.account.id, direction="in", state=state, origin="person", **where, **lists)


def _insert(session: Session, row: Mail) -> bool:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


# --- sender and record


def is_unverified(mail: ReadMail, context: InboundMailContext) -> bool:
    """Whether our mail server, which checks senders, does not vouch for this one."""
    is_checked = bool(context.values.get("authserv_id"))
    return is_checked and not vouches_for(mail.checks, mail.sender.address)


def _is_returned(mail: ReadMail, context: InboundMailContext) -> bool:
    is_ours = mail.sender.address in context.own_addresses or bool(context.own_addresses & set(mail.loop_marks))
    return is_ours or mail.is_circular


def _keep(session: Session, context: InboundMailContext, row: Mail, mail: ReadMail) -> None:
    """Add it to the conversation with its sender, and to the record that it belongs to."""
    thread = mail_threads.thread_of(session, mail, context.vault, row.is_unverified)
    record = None
    if not thread.is_found and mail_record_rules.may_open(session, context, mail):
        try:
            record = mail_record_rules.open_for(session, context, mail, row.is_unverified)
        except RuleBroken as refused:
            row.sentence = f"Nothing could be opened for it: {refused.message}"[:300]
    records = mail_threads.records_of(record) if record is not None else thread.records
    conversation = conversation_of(session, context, mail, records, row.is_unverified)
    message = messages.receive(session, message_values(context, mail, thread, conversation) | records, context.stamp)
    row.message_id = message.id
    if row.is_unverified:
        message.native = message.native | {"unverified": True}
    if any(map(_is_bomb, mail.attachments)):
        row.sentence = row.sentence or HAS_BOMB
    conversations.note_message(session, conversation, message, context.now)
    _apply_consent_change(session, row, message, context.stamp)
    if not mail.is_automatic and record is None:
        _notify(session, conversation, message, context.now)


def conversation_of(
    session: Session,
    context: InboundMailContext,
    mail: ReadMail,
    records: Mapping[str, int | None],
    is_unverified: bool,
) -> Conversation:
    """The conversation with the sender. Not by Reply-To: anybody could write into somebody else's conversation."""
    key = conversations.ConversationKey(context.answering.id, "email", mail.sender.address)
    conversation = conversations.find_or_create(session, key, context.stamp)
    if mail.sender.name and not (is_unverified and conversation.peer_name):
        conversation.peer_name = mail.sender.name[:140]
    if any(records.values()) and _may_move(session, conversation, records, is_unverified):
        conversations.attach(
            conversation, dict(records), mail_record_rules.responsible(session, records), context.stamp
        )
    return conversation


def _may_move(
    session: Session, conversation: Conversation, records: Mapping[str, int | None], is_unverified: bool
) -> bool:
    """Whether the sender's conversation moves to these records, whose people then read all of it.

    People who got a copy may reply about a record of others, and anybody can make a record with a customer's address.
    """
    if conversations.is_nobodys(conversation) or is_unverified:
        return conversations.is_nobodys(conversation)
    if conversation.customer_id is not None:
        return provider_events.is_of_customer(session, records, conversation.customer_id)
    return conversation.peer in mail_threads.parties(mail_record_rules.record_of(session, records))


def message_values(
    context: InboundMailContext, mail: ReadMail, thread: Thread, conversation: Conversation
) -> dict[str, Any]:
    """The columns of the message."""
    attachments = [each for each in mail.attachments if not _is_bomb(each)]
    files = [(each, context.store.put(each.content)) for each in attachments]
    media = [
        {"address": kept.address, "mime_type": kept.mime_type, "name": each.name, "caption": ""} for each, kept in files
    ]
    inline = {each.content_id: number for number, (each, _kept) in enumerate(files) if each.content_id}
    text = messages.cut_body(mail.text)
    names = ", ".join(each.name for each in attachments[:5])
    answer_to = mail.answer_to if mail.answer_to != conversation.peer else ""
    native = {"reply_to": answer_to, "inline": inline, "refers_to": thread.hint, "automatic": mail.is_automatic}
    return {
        "channel": "email",
        "peer": conversation.peer,
        "subject": mail.subject or None,
        "body": storable(text).strip() or names or NO_TEXT,
        # The sender's time may be in the future, or years ago.
        "happened_on": context.now if mail.written_on is None else _plausible(mail.written_on, context.now),
        "provider_id": None,
        "account_id": context.account.id,
        "conversation_id": conversation.id,
        "media": media or None,
        "reply_to_id": thread.reply_to_id,
        "native": {name: value for name, value in native.items() if value},
    }


def _is_bomb(attachment: MailAttachment) -> bool:
    """Whether it is an archive that would fill the computer of whoever opens it."""
    return kind_of(attachment.content) == BOMB


def _plausible(written_on: datetime, now: datetime) -> datetime:
    return written_on if now - timedelta(days=7) <= written_on <= now else now


def _apply_consent_change(session: Session, row: Mail, message: Message, stamp: Stamp) -> None:
    """STOP as the whole text or subject withdraws consent; START gives it only from a verified address."""
    change = opt_out_words.consent_change(message.body) or opt_out_words.consent_change(message.subject)
    if change is None or row.origin != "person" or (change == "given" and row.is_unverified):
        return
    entry: dict[str, Any] = {"channel": "email", "address": row.peer, "action": change, "how": "message"}
    entry |= {"words": message.body[:1_000], "message_id": message.id, "happened_on": message.happened_on}
    consents.record(session, entry | {"customer_id": message.customer_id, "lead_id": message.lead_id}, stamp)


def _notify(session: Session, conversation: Conversation, message: Message, now: datetime) -> None:
    """Notify whoever answers the conversation of its first unread message."""
    if conversation.unread > 1 or conversation.claimed_by_id is None:
        return
    name = next((each for each in ("ticket_id", "lead_id", "customer_id") if getattr(message, each)), None)
    record = dict.fromkeys(("ticket_id", "lead_id", "customer_id", "task_id"))
    record |= {name: getattr(message, name)} if name else {}
    payload = {"channel": "email", "conversation": conversation.id, "number": None}
    key = f"message:{conversation.id}:{message.id}"
    event = notices.NoticeEvent("message", key, [conversation.claimed_by_id], payload, record)
    notices.notify(session, event, now)


# --- bounces


def _note_failures(session: Session, bounce: Bounce, context: InboundMailContext) -> bool:
    """Mark our message to which this bounce refers; False if it isn't ours: it is then stored as an email."""
    number = mails.message_of(session, context.vault, bounce.message_id)
    message = session.get(Message, number) if number else None
    if message is None or message.channel != "email" or message.direction != "out":
        return False
    sent = session.scalars(select(Mail).where(Mail.message_id == message.id, Mail.direction == "out")).first()
    session_context(session).zone = ZoneInfo(context.zone)  # of the office hours
    for failure in bounce.failures:
        sentence = f"The mail server of the recipient refused it ({failure.code or 'no code'})."
        if not failure.is_permanent:
            continue
        if failure.address == message.peer:
            if failed_replies.advance(session, message, "failed", context.now):
                message.reason = sentence
            message.code = failure.code or None
        elif sent is not None and failure.address in (sent.also_to or ()):
            place = (sent.also_to or []).index(failure.address) + 2
            message.reason = f"It did not reach recipient {place} ({failure.code or 'no code'})."
            messages.mark_changed(session, message)
        elif sent is not None and failure.address in sent.cc:
            place = sent.cc.index(failure.address) + 1
            message.reason = f"It did not reach cc address {place} ({failure.code or 'no code'})."
            messages.mark_changed(session, message)
    return True
