"""Recordings of calls: fetched from the provider by the queue, stored by us, played under a permission of its own."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text, UniqueConstraint, cast, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, Stamp, UtcDateTime
from app.domain.persistence.file_references import STORED_FILE
from app.domain.persistence.transaction_state import transaction_state
from app.domain.telephony.calls import CallLog

STATES = ("queued", "sending", "sent", "failed")
#: Recordings of one call; a provider makes one, or one for each part of a transferred call.
MAX_PER_CALL = 10
MAX_ADDRESS = 4000


class CallRecording(Record):
    """One recording of a call, and the state of fetching it."""

    __tablename__ = "call_recording"
    __table_args__ = (
        UniqueConstraint("call_id", "address_hash", name="uq_call_recording"),
        Index("ix_call_recording_due", "state", "due_on"),
    )
    call_id: Mapped[int] = mapped_column(ForeignKey("call_log.id", ondelete="CASCADE"), nullable=False)
    #: Its address at the provider, and the SHA-256 of that.
    address: Mapped[str] = mapped_column(Text, nullable=False)
    address_hash: Mapped[str] = mapped_column(String(64), nullable=False)
    #: One of STATES; "sent" = it is stored.
    state: Mapped[str] = mapped_column(String(12), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it could not be fetched, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))
    #: The stored file, its type by content, and its size in bytes.
    digest: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    mime_type: Mapped[str | None] = mapped_column(String(60))
    size: Mapped[int | None] = mapped_column(Integer)


def report_recording(session: Session, call: CallLog, address: str, now: datetime) -> None:
    """Record that a provider reports a recording. It is fetched once, however often it is reported."""
    digest = hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()
    known = list(session.scalars(select(CallRecording.address_hash).where(CallRecording.call_id == call.id)))
    if digest in known or len(known) >= MAX_PER_CALL or len(address) > MAX_ADDRESS:
        return
    row = CallRecording(call_id=call.id, address=address, address_hash=digest, state="queued", tries=0, due_on=now)
    row.stamp(Stamp(None, now))
    session.add(row)
    session.flush()
    transaction_state(session).recordings.append(row.id)


def fetch_again(session: Session, recording: CallRecording, stamp: Stamp) -> None:
    """Queue a recording for another attempt. Raises Conflict if it is being fetched or was stored."""
    values = {"state": "queued", "tries": 0, "due_on": stamp.now, "error": None, "changed_on": stamp.now}
    step = update(CallRecording).where(CallRecording.id == recording.id, CallRecording.state == "failed")
    done = session.execute(step.values(values), execution_options={"synchronize_session": False})
    if not done.rowcount:  # type: ignore[attr-defined]
        raise Conflict("This recording is being fetched, or is here already. Please reload the page.")
    transaction_state(session).recordings.append(recording.id)


def mark_changed(session: Session, recording: CallRecording) -> None:
    """Pages that show the call's timeline update after the commit."""
    call = session.get(CallLog, recording.call_id)
    if call is not None:
        timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)


def listed() -> Any:
    """SQL: "id:state" of a call's recordings, comma-separated; a column for a SELECT of calls."""
    text = func.group_concat(cast(CallRecording.id, String).concat(":").concat(CallRecording.state))
    return select(text).where(CallRecording.call_id == CallLog.id).correlate(CallLog).scalar_subquery()


def parse_list(text: str | None) -> list[tuple[int, str]]:
    """(id, state) of each recording in a value of `listed`, oldest first."""
    pairs = [each.partition(":") for each in (text or "").split(",") if each]
    return sorted((int(key), state) for key, _colon, state in pairs)


def write_audit(session: Session, recording: CallRecording, stamp: Stamp, address: str | None) -> None:
    """Record in the audit that somebody plays the recording."""
    payload = {"call": recording.call_id}
    audit.write(session, "recording", stamp.by, stamp.now, f"recording {recording.id}", address, **payload)
