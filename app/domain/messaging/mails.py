"""The parts of an email besides its message: headers, HTML, copies. And the read position of each mailbox."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.domain.persistence.file_references import STORED_FILE
from app.domain.retired_keys import MESSAGE_ID, load
from app.lib.field_encryption import Vault, fingerprint

#: States of an incoming email. kept: it is in a conversation; dropped: our own email came back; failed: it could not be
#: read or stored, and waits for a person; refused: it was left in the mailbox; dismissed: a person has decided that
#: nothing is to be done about a dropped, failed or refused one.
STATES = ("kept", "dropped", "failed", "refused", "dismissed", "sent")
#: What sent it.
ORIGINS = ("person", "automatic", "bounce", "loop")
#: A process that reads a mailbox without a heartbeat for this long is considered dead.
LEASE = timedelta(minutes=3)
_LONG_TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
_BIG = BigInteger().with_variant(Integer, "sqlite")
#: Our ids are m, the number of the message, and a seal that nobody else can make.
_OURS = re.compile(r"m([1-9][0-9]{0,9})\.([0-9a-f]{32})@.{1,190}")


class Mail(Model):  # type: ignore[misc]
    """An email that belongs to a Message; an incoming one outside of conversations has none."""

    __tablename__ = "mail"
    __table_args__ = (
        # Ensures that an email is processed once, whoever fetches it.
        UniqueConstraint("account_id", "mail_key", name="uq_mail"),
        Index("ix_mail_message", "message_id"),
        Index("ix_mail_header", "header_id"),
        Index("ix_mail_peer", "peer", "received_on"),
        Index("ix_mail_state", "state", "received_on"),
        # Answers whether the file is still in use.
        Index("ix_mail_original", "original"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    #: SHA-256 of Message-ID, sender and date, or of the content if there is no Message-ID; null for ours.
    mail_key: Mapped[str | None] = mapped_column(String(64))
    #: Its Message-ID without angle brackets; null for ours, which is derived from the message's id (`header_id_of`).
    header_id: Mapped[str | None] = mapped_column(String(255))
    #: in or out.
    direction: Mapped[str] = mapped_column(String(8), nullable=False)
    #: One of STATES, and why, as a sentence.
    state: Mapped[str] = mapped_column(String(12), nullable=False)
    sentence: Mapped[str | None] = mapped_column(String(300))
    #: One of ORIGINS.
    origin: Mapped[str] = mapped_column(String(12), nullable=False, default="person", server_default="person")
    #: The other party.
    peer: Mapped[str | None] = mapped_column(String(254))
    #: For ours: recipients besides the other party; null = none.
    also_to: Mapped[list[str] | None] = mapped_column(JSON)
    #: Addresses that got copies; and all addresses in it, which may take part in the thread.
    cc: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    participants: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    #: Cleaned by `app.lib.html_cleaning`; null = only text.
    html: Mapped[str | None] = mapped_column(_LONG_TEXT)
    has_remote_pictures: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default="0")
    #: The email that it replies to, as quoted by the sender's program, or by us in our own emails.
    quoted: Mapped[str | None] = mapped_column(_LONG_TEXT)
    #: Whether our mail server, which checks senders, does not vouch for this one.
    is_unverified: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default="0")
    #: The original email, in the file store, if not all of it could be read.
    original: Mapped[str | None] = mapped_column(String(80), info=STORED_FILE)
    #: Its position in the mailbox.
    uid_validity: Mapped[int | None] = mapped_column(_BIG)
    uid: Mapped[int | None] = mapped_column(_BIG)
    received_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)


class MailboxState(Model):  # type: ignore[misc]
    """The position up to which the mailbox of an account has been read."""

    __tablename__ = "mailbox_state"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("channel_account.id", ondelete="CASCADE"), nullable=False, unique=True
    )
    uid_validity: Mapped[int | None] = mapped_column(_BIG)
    last_uid: Mapped[int] = mapped_column(_BIG, nullable=False, default=0)
    #: When it was last read to the end, UTC.
    read_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Until when a process has reserved it, UTC; null = none has.
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


# --- ids of our emails


def header_id_of(vault: Vault, message_id: int, domain: str) -> str:
    """The Message-ID of a message that we send: always the same, and impossible to guess.

    Whoever has it in their References has received the message; with a plain number, anybody could join any thread.
    """
    return f"m{message_id}.{_seal(vault, message_id)}@{domain}"


def message_of(session: Session, vault: Vault, header_id: str) -> int | None:
    """The id of the message with this Message-ID; None if it isn't one of ours."""
    found = _OURS.fullmatch(header_id)
    if found is None:
        return None
    number = int(found[1])
    if found[2] in [each[:32] for each in vault.blinds(f"m{number}", MESSAGE_ID)]:
        return number
    former = (fingerprint(key, f"m{number}", MESSAGE_ID)[:32] for _name, key, _ in load(session, MESSAGE_ID, vault))
    return number if found[2] in former else None


def _seal(vault: Vault, message_id: int) -> str:
    return vault.blind(f"m{message_id}", MESSAGE_ID)[:32]


# --- reading a mailbox


def lease(session: Session, account_id: int, now: datetime) -> MailboxState | None:
    """Reserve the mailbox for this process for LEASE; None if another process has it."""
    free = or_(MailboxState.leased_until.is_(None), MailboxState.leased_until < now)
    mine = MailboxState.account_id == account_id
    if session.scalar(select(MailboxState.id).where(mine)) is None:
        _begin(session, account_id)
    step = update(MailboxState).where(mine, free).values(leased_until=now + LEASE)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    return session.scalars(select(MailboxState).where(mine)).one() if done.rowcount else None


def _begin(session: Session, account_id: int) -> None:
    try:
        with session.begin_nested():
            session.execute(insert(MailboxState).values(account_id=account_id, last_uid=0))
    except IntegrityError:
        return  # another process was faster


def save_position(session: Session, account_id: int, position: tuple[int, int], now: datetime) -> None:
    """Store the position (UIDVALIDITY, last UID), and renew the lease."""
    uid_validity, last_uid = position
    values = {"uid_validity": uid_validity, "last_uid": last_uid, "leased_until": now + LEASE}
    _set(session, account_id, values)


def release(session: Session, account_id: int, now: datetime, is_read: bool) -> None:
    """End the lease; `is_read` if the end of the mailbox was reached."""
    _set(session, account_id, {"leased_until": None} | ({"read_on": now} if is_read else {}))


def _set(session: Session, account_id: int, values: dict[str, Any]) -> None:
    step = update(MailboxState).where(MailboxState.account_id == account_id).values(values)
    session.execute(step, execution_options={"synchronize_session": False})
