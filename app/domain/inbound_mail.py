"""Taking in a mail: once, into its thread, and from there to a ticket or lead where the account opens one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import (
    channel_accounts,
    consents,
    conversations,
    mail_record_rules,
    mail_threads,
    mails,
    messages,
    notices,
    provider_events,
)
from app.domain.base import RuleBroken, Stamp, hold_name
from app.domain.channel_accounts import ChannelAccount
from app.domain.conversations import Conversation
from app.domain.mail_threads import Thread
from app.domain.mails import Mail
from app.domain.messages import MAX_BODY, Message
from app.lib import opt_out_words
from app.lib.mail_authentication import vouches_for
from app.lib.mail_reading import ReadMail, UnreadableMail, read, storable
from app.lib.mail_reports import Bounce
from app.lib.vault import Vault
from app.ops.file_store import FileStore

MAX_QUOTED = 200_000
#: A peer who writes more often within an hour opens nothing more: a program that answers ours would never end.
MAX_PER_HOUR = 20
NO_TEXT = "(no text)"
CAME_BACK = "This email was sent by one of our own addresses and came back. It was not taken in."
IS_REPORT = "A report of failed delivery. The email that did not arrive is marked."
IS_CUT = "This email is too long or has too many parts; the original has all of it."


@dataclass(frozen=True)
class InboundMailContext:
    """The account, services and time with which a mail is taken in."""

    account: ChannelAccount
    #: The settings of the account.
    values: Mapping[str, str]
    #: The account by which answers are sent: its conversations are those that the mails belong to.
    answering: ChannelAccount
    #: Addresses of our own accounts, in lower case.
    own_addresses: frozenset[str]
    store: FileStore
    vault: Vault
    now: datetime
    #: The office's time zone.
    zone: str

    @property
    def stamp(self) -> Stamp:
        """The system as the author, at the time of the context."""
        return Stamp(None, self.now)


@dataclass(frozen=True)
class ArrivedMail:
    """A mail as it was fetched."""

    raw: bytes
    uid_validity: int | None = None
    uid: int | None = None
    #: Why it was left in the mailbox; then `raw` has only its headers.
    refusal: str = ""


def process(session: Session, intake: InboundMailContext, arrived: ArrivedMail) -> str:
    """Take in a mail. Returns what became of it: one of mails.STATES, or "known" for one that is here already."""
    try:
        mail = read(arrived.raw, intake.values.get("authserv_id", ""))
    except UnreadableMail as error:
        return store_unreadable(session, intake, arrived, "failed", str(error))
    row = _claim(session, intake, arrived, mail)
    if row is None:
        _note_place(session, intake, arrived, key_of(mail))
        return "known"
    if arrived.refusal:
        row.state, row.sentence = "refused", arrived.refusal
        row.original = intake.store.put(arrived.raw).digest  # its headers, by which it can be found in the mailbox
    elif _is_returned(mail, intake):
        row.state, row.origin, row.sentence = "dropped", "loop", CAME_BACK
        row.original = intake.store.put(arrived.raw).digest
    elif mail.bounce is not None and _note_failures(session, mail.bounce, intake):
        row.origin, row.sentence = "bounce", IS_REPORT
    else:
        _keep(session, intake, row, (mail, arrived))
    session.flush()
    channel_accounts.record_success(session, intake.account.id, intake.now)
    return row.state


def store_unreadable(
    session: Session, intake: InboundMailContext, arrived: ArrivedMail, state: str, sentence: str
) -> str:
    """Keep a mail that can't be taken in, with the reason, for a person."""
    row = _new_row(intake, arrived, state)
    row.mail_key, row.sentence = hashlib.sha256(arrived.raw).hexdigest(), sentence[:300]
    row.original = intake.store.put(arrived.raw).digest
    return state if _insert(session, row) else "known"


def retry_failed(session: Session, intake: InboundMailContext, row: Mail) -> str:
    """Take in a mail that has failed, from its original."""
    with intake.store.open(row.original or "") as file:
        arrived = ArrivedMail(file.read(), row.uid_validity, row.uid)
    session.delete(row)
    session.flush()
    return process(session, intake, arrived)


# --- once


def _claim(session: Session, intake: InboundMailContext, arrived: ArrivedMail, mail: ReadMail) -> Mail | None:
    """The row of a mail that is not here yet. The unique key decides, also between two processes."""
    row = _new_row(intake, arrived, "kept")
    row.mail_key = key_of(mail)
    row.header_id = mail.message_id[:255] or None
    row.origin = "automatic" if mail.is_automatic else "person"
    row.peer = mail.sender.address
    row.cc = [each.address for each in mail.cc]
    row.participants = sorted(mail.participants - intake.own_addresses)
    row.html = mail.html or None
    row.has_remote_pictures, row.quoted = mail.has_remote_pictures, mail.quoted[:MAX_QUOTED] or None
    row.is_unverified = is_unverified(mail, intake)
    # A refused INSERT would keep a shared lock on MariaDB, and several would deadlock over what follows.
    hold_name(session, f"mail:{intake.account.id}:{row.mail_key}")
    return row if _insert(session, row) else None


def _note_place(session: Session, intake: InboundMailContext, arrived: ArrivedMail, key: str) -> None:
    """Where a known mail is in the mailbox now: its server may have numbered all mails anew."""
    values = {"uid_validity": arrived.uid_validity, "uid": arrived.uid}
    step = update(Mail).where(Mail.account_id == intake.account.id, Mail.mail_key == key).values(values)
    session.execute(step, execution_options={"synchronize_session": False})


def key_of(mail: ReadMail) -> str:
    """What is the same in all copies of a mail. The Message-ID alone is not: some programs use one for all mails."""
    if not mail.message_id:
        return mail.digest
    parts = (mail.message_id, mail.sender.address, str(mail.written_on))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _new_row(intake: InboundMailContext, arrived: ArrivedMail, state: str) -> Mail:
    where = {"uid_validity": arrived.uid_validity, "uid": arrived.uid, "received_on": intake.now}
    lists: dict[str, Any] = {"cc": [], "participants": []}
    return Mail(account_id=intake.account.id, direction="in", state=state, origin="person", **where, **lists)


def _insert(session: Session, row: Mail) -> bool:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


# --- whose it is


def is_unverified(mail: ReadMail, intake: InboundMailContext) -> bool:
    """Whether our mail server, which checks senders, does not vouch for this one."""
    is_checked = bool(intake.values.get("authserv_id"))
    return is_checked and not vouches_for(mail.checks, mail.sender.address)


def _is_returned(mail: ReadMail, intake: InboundMailContext) -> bool:
    is_ours = mail.sender.address in intake.own_addresses or bool(intake.own_addresses & set(mail.loop_marks))
    return is_ours or mail.is_circular


def _keep(session: Session, intake: InboundMailContext, row: Mail, source: tuple[ReadMail, ArrivedMail]) -> None:
    """Put it into the conversation with its sender, and into the record that it belongs to."""
    mail, arrived = source
    thread = mail_threads.thread_of(session, mail, intake.vault, row.is_unverified)
    record = None
    if not thread.is_found and _may_open(session, intake, mail):
        try:
            record = mail_record_rules.open_for(session, intake, mail, row.is_unverified)
        except RuleBroken as refused:
            row.sentence = f"Nothing could be opened for it: {refused.message}"[:300]
    records = mail_threads.records_of(record) if record is not None else thread.records
    conversation = conversation_of(session, intake, (mail, row.is_unverified), records)
    message = messages.receive(session, message_values(intake, mail, thread, conversation) | records, intake.stamp)
    row.message_id = message.id
    if row.is_unverified:
        message.native = message.native | {"unverified": True}
    if mail.is_cut or len(mail.text) > MAX_BODY:  # the rest is in the original
        row.sentence, row.original = row.sentence or IS_CUT, intake.store.put(arrived.raw).digest
    conversations.note_message(session, conversation, message, intake.now)
    _apply_consent_change(session, row, message, intake.stamp)
    if not mail.is_automatic and record is None:
        _notify(session, conversation, message, intake.now)


def _may_open(session: Session, intake: InboundMailContext, mail: ReadMail) -> bool:
    """Whether a new mail may open a record: no automatic one, and not the twentieth within an hour."""
    if intake.values.get("opens", "nothing") == "nothing" or mail.is_automatic or mail.bounce is not None:
        return False
    recent = (Mail.peer == mail.sender.address, Mail.received_on > intake.now - timedelta(hours=1))
    return (session.scalar(select(func.count()).select_from(Mail).where(*recent)) or 0) <= MAX_PER_HOUR


def conversation_of(
    session: Session, intake: InboundMailContext, source: tuple[ReadMail, bool], records: Mapping[str, int | None]
) -> Conversation:
    """The conversation with the sender: by Reply-To, anybody could write into that of somebody else."""
    mail, is_unverified = source
    peer = mail.sender.address
    conversation = conversations.find_or_create(session, intake.answering, "email", peer, intake.stamp)
    if mail.sender.name and not (is_unverified and conversation.peer_name):
        conversation.peer_name = mail.sender.name[:140]
    if any(records.values()) and _may_move(session, conversation, records, is_unverified):
        conversations.attach(conversation, dict(records), mail_record_rules.responsible(session, records), intake.stamp)
    return conversation


def _may_move(
    session: Session, conversation: Conversation, records: Mapping[str, int | None], is_unverified: bool
) -> bool:
    """Whether the sender's conversation goes to these records, whose people then read all of it.

    Whoever got a copy answers about a record of others, and anybody can make a record with a customer's address.
    """
    if conversations.is_nobodys(conversation) or is_unverified:
        return conversations.is_nobodys(conversation)
    if conversation.customer_id is not None:
        return provider_events.is_of_customer(session, records, conversation.customer_id)
    return conversation.peer in mail_threads.parties(mail_record_rules.record_of(session, records))


def message_values(
    intake: InboundMailContext, mail: ReadMail, thread: Thread, conversation: Conversation
) -> dict[str, Any]:
    """The columns of the message."""
    files = [(each, intake.store.put(each.content)) for each in mail.attachments]
    media = [
        {"address": kept.address, "mime_type": kept.mime_type, "name": each.name, "caption": ""} for each, kept in files
    ]
    inline = {each.content_id: number for number, (each, _kept) in enumerate(files) if each.content_id}
    text = messages.cut_body(mail.text)
    names = ", ".join(each.name for each in mail.attachments[:5])
    answer_to = mail.answer_to if mail.answer_to != conversation.peer else ""
    native = {"reply_to": answer_to, "inline": inline, "refers_to": thread.hint, "automatic": mail.is_automatic}
    return {
        "channel": "email",
        "peer": conversation.peer,
        "subject": mail.subject or None,
        "body": storable(text).strip() or names or NO_TEXT,
        # What the sender says may be in the future, or years ago.
        "happened_on": intake.now if mail.written_on is None else _plausible(mail.written_on, intake.now),
        "provider_id": None,
        "account_id": intake.account.id,
        "conversation_id": conversation.id,
        "media": media or None,
        "reply_to_id": thread.reply_to_id,
        "native": {name: value for name, value in native.items() if value},
    }


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
    """Who answers the conversation learns of its first unread message."""
    if conversation.unread > 1 or conversation.claimed_by_id is None:
        return
    name = next((each for each in ("ticket_id", "lead_id", "customer_id") if getattr(message, each)), None)
    record = dict.fromkeys(("ticket_id", "lead_id", "customer_id", "task_id"))
    record |= {name: getattr(message, name)} if name else {}
    payload = {"channel": "email", "conversation": conversation.id, "number": None}
    key = f"message:{conversation.id}:{message.id}"
    event = notices.NoticeEvent("message", key, [conversation.claimed_by_id], payload, record)
    notices.notify(session, event, now)


# --- what did not arrive


def _note_failures(session: Session, bounce: Bounce, intake: InboundMailContext) -> bool:
    """Mark our message of which this is the report; False when it is none of ours: it is kept as a mail then."""
    number = mails.message_of(session, intake.vault, bounce.message_id)
    message = session.get(Message, number) if number else None
    if message is None or message.channel != "email" or message.direction != "out":
        return False
    sent = session.scalars(select(Mail).where(Mail.message_id == message.id, Mail.direction == "out")).first()
    for failure in bounce.failures:
        sentence = f"The mail server of the recipient refused it ({failure.code or 'no code'})."
        if not failure.is_permanent:
            continue
        if failure.address == message.peer:
            messages.advance(session, message, "failed", intake.now, sentence)
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
