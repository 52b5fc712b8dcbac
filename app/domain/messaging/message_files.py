"""Files of messages: one row each, with the file's location and its pending work.

A file that a customer sent is fetched from the provider; a picture gets a preview. Until then its row is "queued".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import RuleBroken, UtcDateTime
from app.domain.persistence.file_references import STORED_FILE
from app.domain.persistence.transaction_state import transaction_state
from app.lib.file_kinds import SHOWN
from app.ops.storage.file_store import PREFIX

#: "sent" is the delivery engine's word for done; "failed" waits for a person to retry it.
STATES = ("queued", "sending", "sent", "failed")


class MessageFile(Model):  # type: ignore[misc]
    """One file of a message; `Message.media` has the same files in the form for providers and pages."""

    __tablename__ = "message_file"
    __table_args__ = (
        UniqueConstraint("message_id", "place", name="uq_message_file"),
        Index("ix_message_file_digest", "digest"),
        Index("ix_message_file_preview", "preview"),
        Index("ix_message_file_due", "state", "next_try_on"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), nullable=False)
    #: Its index in `Message.media`, from 0.
    place: Mapped[int] = mapped_column(Integer, nullable=False)
    #: The content in the file store; null while it is at the provider.
    digest: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: In bytes; null = not known.
    size: Mapped[int | None] = mapped_column(Integer)
    #: A small picture of it in the file store; null = none.
    preview: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: Why it could not be fetched, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


def add_for(session: Session, message: Any, now: datetime) -> None:
    """Add the rows of a new message's files; those with pending work are queued after the commit."""
    rows = [_row(message.id, place, each, now) for place, each in enumerate(message.media or ())]
    if not rows:
        return
    session.add_all(rows)
    session.flush()
    transaction_state(session).message_files += [each.id for each in rows if each.state == "queued"]


def _row(message_id: int, place: int, file: Mapping[str, Any], now: datetime) -> MessageFile:
    digest = digest_of(file)
    is_done = digest is not None and file.get("mime_type") not in SHOWN
    row = MessageFile(message_id=message_id, place=place, digest=digest, tries=0)
    row.state, row.next_try_on = ("sent", None) if is_done else ("queued", now)
    return row


def digest_of(file: Mapping[str, Any]) -> str | None:
    """The digest of a stored file; None for one that is elsewhere."""
    address = str(file.get("address") or "")
    return address.removeprefix(PREFIX) if address.startswith(PREFIX) else None


def of_messages(session: Session, ids: Iterable[int]) -> dict[tuple[int, int], MessageFile]:
    """(message id, index) -> row, for messages that the viewer sees."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    query = select(MessageFile).where(MessageFile.message_id.in_(wanted))
    return {(each.message_id, each.place): each for each in session.scalars(query)}


def set_fetched(session: Session, message: Any, place: int, stored: Mapping[str, Any]) -> None:
    """Record that a file was fetched; `stored` is its new address and MIME type."""
    media = [dict(each) for each in message.media or ()]
    if place < len(media):
        media[place] |= stored
        message.media = media


def fetch_again(session: Session, message: Any, place: int, now: datetime) -> None:
    """Queue a file that could not be fetched for another attempt. Raises RuleBroken."""
    mine = (MessageFile.message_id == message.id, MessageFile.place == place, MessageFile.state == "failed")
    row = session.scalars(select(MessageFile).where(*mine)).first()
    if row is None:
        raise RuleBroken("This file isn't missing, or is being fetched at this moment. Please reload the page.")
    values = {"state": "queued", "tries": 0, "error": None, "next_try_on": now}
    step = update(MessageFile).where(*mine).values(values)
    session.execute(step, execution_options={"synchronize_session": False})
    transaction_state(session).message_files.append(row.id)
