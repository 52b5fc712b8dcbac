"""Erasures: which customer or lead is erased, by which request, how far it is, and what is left for later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, Integer, String, Text, and_, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Code, Record, RuleBroken, UtcDateTime, translatable
from app.domain.persistence.row_effects import Rows

#: running; waiting: duties keep the rest for some time; done: all is erased.
STATES = ("running", "waiting", "done")


class DataErasure(Record):
    """The erasure of one customer, or of one lead that is no customer."""

    __tablename__ = "data_erasure"
    __table_args__ = (Index("ix_data_erasure_next", "state", "next_on"),)
    #: The request; null only in a restored database that is older than it. `request_number`: as people write it.
    request_id: Mapped[int | None] = mapped_column(ForeignKey("data_request.id", ondelete="SET NULL"), unique=True)
    request_number: Mapped[str] = mapped_column(String(24), nullable=False)
    #: customer or leads, the id, and the record's number, which is never given to another one.
    record_table: Mapped[str] = mapped_column(String(16), nullable=False)
    record_id: Mapped[int] = mapped_column(Integer, nullable=False)
    number: Mapped[str] = mapped_column(Code(24), nullable=False, index=True)
    #: The same until all is erased: only one erasure of a record goes on; a later one takes what the earlier left.
    active_number: Mapped[str | None] = mapped_column(Code(24), unique=True)
    #: The last day of the customer's accounts; null = they have none, or an account is open.
    accounts_ended_on: Mapped[date | None] = mapped_column(Date)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(16), nullable=False, default="running")
    #: When somebody confirmed it, and when all was erased that no duty keeps, UTC.
    confirmed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    settled_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When it goes on, UTC; null = never.
    next_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The numbers and addresses by which rows are found that belong to no record, until the erasure is settled.
    addresses_sealed: Mapped[str | None] = mapped_column(Text)
    #: {kind: rows erased}.
    counts: Mapped[dict[str, int]] = mapped_column(JSON, nullable=False, default=dict)
    #: Numbers of other leads and customers that had the same number or address when these were last known;
    #: null = they weren't looked for.
    same_contacts: Mapped[list[str] | None] = mapped_column(JSON)
    #: What duties keep: [{"kind", "rows", "duty", "until": day or null}].
    kept: Mapped[list[dict[str, Any]]] = mapped_column(JSON, nullable=False, default=list)

    @property
    def keeps_contact(self) -> bool:
        """Whether the customer's own data was left; then rows without a record are found by their number later, too."""
        return has_contact(self.kept)


def has_contact(kept: Sequence[dict[str, Any]]) -> bool:
    """Whether the customer's own data is among what is kept, and not just the little that their complaint keeps."""
    return any((each["kind"], each["duty"]) == ("contact", "customer") for each in kept)


_MARKER = re.compile(r"Erased by request DR-[0-9]+")
#: The form of what stands in place of an erased text, whichever request erased it, for SQL.
MARKER_FORM = f"^{_MARKER.pattern}$"


def marker(request_number: str) -> str:
    """What stands in place of an erased text, in English."""
    return f"Erased by request {request_number}"


def refuse_merge(session: Session, rows: Sequence[Any]) -> None:
    """Raise RuleBroken if one of these locked records is being erased, or its customer is.

    It would end with a record that is merged, and the undo of a merge would bring back what it had.
    """
    customers = [key for row in rows if (key := getattr(row, "customer_id", None)) is not None]
    of_customer = (DataErasure.record_table == "customer", DataErasure.record_id.in_(customers))
    is_running = and_(DataErasure.state == "running", *of_customer)
    rule = or_(DataErasure.active_number.in_([row.number for row in rows]), is_running)
    found = session.execute(select(DataErasure.number, DataErasure.request_number).where(rule).limit(1)).first()
    if found is not None:
        text = translatable(
            "%(number)s is being erased for request %(request)s, now or when a duty to keep it ends. So it can't be "
            "merged, and its merges can't be undone.",
            number=found[0],
            request=found[1],
        )
        raise RuleBroken(text)


def refuse_deletion(session: Session, rows: Rows) -> None:
    """Effect before a flush: no customer or lead is deleted whose erasure goes on or waits. Raises RuleBroken.

    The rest of it could not be found any more, such as calls without a record, and a duty keeps some of it.
    """
    if not rows.deleted:
        return
    table = DataErasure.__table__
    mine = table.c.active_number.in_([row.number for row in rows.deleted])
    query = select(table.c.number, table.c.request_number).where(mine).limit(1)
    if (found := session.connection().execute(query).first()) is not None:
        text = translatable(
            "%(number)s is being erased for request %(request)s, now or when a duty to keep it ends. So it can't be "
            "deleted.",
            number=found[0],
            request=found[1],
        )
        raise RuleBroken(text)


def is_marker(text: str | None) -> bool:
    """Whether a text was erased, by this or an earlier request."""
    return _MARKER.fullmatch(text or "") is not None
