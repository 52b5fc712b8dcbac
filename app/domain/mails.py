"""What an email has beside its message: headers, HTML, copies. And up to where each mailbox has been read."""

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
from app.domain.file_references import STORED_FILE
from app.domain.retired_keys import MESSAGE_ID, load
from app.lib.vault import Vault, fingerprint

#: What became of an incoming mail. kept: it is in a conversation; dropped: it came back to us; failed: it could not be
#: read or stored, and waits for a person; refused: it was left in the mailbox; dismissed: a person has decided that
#: nothing is to be done with a dropped, failed or refused one.
STATES = ("kept", "dropped", "failed", "refused", "dismissed", "sent")
#: Who has sent it.
ORIGINS = ("person", "automatic", "bounce", "loop")
#: A process that reads a mailbox and shows no sign of life for so long was killed.
LEASE = timedelta(minutes=3)
_LONG_TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
_BIG = BigInteger().with_variant(Integer, "sqlite")
#: Our ids are m, the number of the message, and a seal that nobody else can make.
_OURS = re.compile(r"m([1-9][0-9]{0,9})\.([0-9a-f]{32})@.{1,190}")


class Mail(Model):  # type: ignore[misc]
    """An email, beside its Message; an incoming one that is in no conversation stands alone."""

    __tablename__ = "mail"
    __table_args__ = (
        # Decides that a mail is taken once, whoever fetches it.
        UniqueConstraint("account_id", "mail_key", name="uq_mail"),
        Index("ix_mail_message", "message_id"),
        Index("ix_mail_header", "header_id"),
        Index("ix_mail_peer", "peer", "received_on"),
        Index("ix_mail_state", "state", "received_on"),
        # Is the file still in use?
        Index("ix_mail_original", "original"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    #: SHA-256 of Message-ID, sender and date, or of the content where there is no Message-ID; null for ours.
    mail_key: Mapped[str | None] = mapped_column(String(64))
    #: Its Message-ID without angle brackets; null for ours, which is made of the message's id (`header_id_of`).
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
    #: Of ours: whom it is for beside the other party; null = nobody.
    also_to: Mapped[list[str] | None] = mapped_column(JSON)
    #: Addresses to whom copies went, and all that it names: who may take part.
    cc: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    participants: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    #: Cleaned by `app.lib.html_cleaning`; null = only text.
    html: Mapped[str | None] = mapped_column(_LONG_TEXT)
    has_remote_pictures: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default="0")
    #: The mail that it answers, as the sender's program has quoted it below what they wrote; of ours, as we quote it.
    quoted: Mapped[str | None] = mapped_column(_LONG_TEXT)
    #: Whether our mail server, which checks senders, does not vouch for this one.
    is_unverified: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default="0")
    #: The mail as it arrived, in the file store, where not all of it could be read.
    original: Mapped[str | None] = mapped_column(String(80), info=STORED_FILE)
    #: Where it is in the mailbox.
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
    #: Until when a process has it to itself, UTC; null = none.
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


# --- ids of our mails


def header_id_of(vault: Vault, message_id: int, domain: str) -> str:
    """The Message-ID of a message that we send: always the same, and not to be guessed.

    Who writes it into their References has received the message; a number alone would let anybody join any thread.
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
    """Lock the mailbox for this process for LEASE; None when another process has it."""
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
    """Keep (UIDVALIDITY, last UID), and the lease alive."""
    uid_validity, last_uid = position
    values = {"uid_validity": uid_validity, "last_uid": last_uid, "leased_until": now + LEASE}
    _set(session, account_id, values)


def release(session: Session, account_id: int, now: datetime, is_read: bool) -> None:
    """Let others read it; `is_read` when its end was reached."""
    _set(session, account_id, {"leased_until": None} | ({"read_on": now} if is_read else {}))


def _set(session: Session, account_id: int, values: dict[str, Any]) -> None:
    step = update(MailboxState).where(MailboxState.account_id == account_id).values(values)
    session.execute(step, execution_options={"synchronize_session": False})
