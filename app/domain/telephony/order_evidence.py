"""Orders by telephone: what proves them besides the recording of the call, and which have no evidence yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, UniqueConstraint, exists, not_, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Record, RuleBroken, Stamp
from app.domain.files.attachments import Attachment
from app.domain.telephony.calls import CallLog
from app.domain.telephony.recordings import CallRecording

#: The most pieces of evidence of one order.
MAX_PER_CALL = 20


class OrderEvidence(Record):
    """A file or message that proves the order of a call; one of the two is set."""

    __tablename__ = "order_evidence"
    __table_args__ = (
        UniqueConstraint("call_id", "attachment_id", name="uq_order_evidence_file"),
        UniqueConstraint("call_id", "message_id", name="uq_order_evidence_message"),
    )
    call_id: Mapped[int] = mapped_column(ForeignKey("call_log.id", ondelete="CASCADE"), nullable=False)
    #: With the file or message its link goes, and the order is without this evidence again.
    attachment_id: Mapped[int | None] = mapped_column(ForeignKey("attachment.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), index=True)


# Bare tables: what proves an order is the same for everybody, whatever rows the current person may see.
_EVIDENCE: Any = OrderEvidence.__table__
_FILE: Any = Attachment.__table__
_RECORDING: Any = CallRecording.__table__


def without_evidence() -> list[ColumnElement[bool]]:
    """SQL: orders whose recording isn't stored, and to which no file (outside the trash) or message is linked."""
    recorded = exists().where(_RECORDING.c.call_id == CallLog.id, _RECORDING.c.state == "sent").correlate(CallLog)
    is_there = exists().where(_FILE.c.id == _EVIDENCE.c.attachment_id, _FILE.c.deleted_on.is_(None))
    proof = or_(_EVIDENCE.c.message_id.is_not(None), is_there.correlate(_EVIDENCE))
    proved = exists().where(_EVIDENCE.c.call_id == CallLog.id, proof).correlate(CallLog)
    # One of a list, as `missed_calls.awaits_callback` does: lists read that in the order of an index, and with IS TRUE
    # MariaDB finds no rows by an index.
    return [CallLog.is_order.in_((True,)), not_(recorded), not_(proved)]


def of_call(session: Session, call_id: int) -> list[OrderEvidence]:
    """What is linked to the call as evidence and visible, oldest first."""
    query = select(OrderEvidence).where(OrderEvidence.call_id == call_id)
    return list(session.scalars(query.order_by(OrderEvidence.id)))


def link(session: Session, call: CallLog, proof: Any, stamp: Stamp) -> OrderEvidence:
    """Link a file or message to an order; linking it again changes nothing.

    `proof`: an Attachment or Message of the call's lead, ticket or customer. Raises RuleBroken for any other, for a
    call that is no order, and for too many.
    """
    if not call.is_order:
        raise RuleBroken("This call isn't marked as an order, so it needs no evidence.", "proof")
    if not _is_of_same_record(call, proof):
        raise RuleBroken("Please choose a file or message of the call's own lead, ticket or customer.", "proof")
    session.refresh(call, ["is_order"], with_for_update=True)  # two links at once: the second one finds the first
    column = "attachment_id" if isinstance(proof, Attachment) else "message_id"
    known = of_call(session, call.id)
    same = next((each for each in known if getattr(each, column) == proof.id), None)
    if same is not None:
        return same
    if len(known) >= MAX_PER_CALL:
        raise RuleBroken("This order has as much evidence as can be linked. Please remove some first.", "proof")
    row = OrderEvidence(call_id=call.id, **{column: proof.id})
    row.stamp(stamp)
    session.add(row)
    session.flush()
    _audit(session, row, stamp, "evidence linked")
    return row


def unlink(session: Session, row: OrderEvidence, stamp: Stamp) -> None:
    """Remove the link; the file or message itself stays."""
    _audit(session, row, stamp, "evidence removed")
    session.delete(row)


def _audit(session: Session, row: OrderEvidence, stamp: Stamp, what: str) -> None:
    proof = {"attachment": row.attachment_id} if row.attachment_id is not None else {"message": row.message_id}
    audit.write(session, "order", stamp.by, stamp.now, f"call {row.call_id}", what=what, **proof)


def _is_of_same_record(call: CallLog, proof: Any) -> bool:
    names = ("lead_id", "ticket_id", "customer_id")
    return any(getattr(call, name) is not None and getattr(call, name) == getattr(proof, name) for name in names)
