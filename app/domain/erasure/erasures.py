"""Erasures: which customer or lead is erased, by which request, how far it is, and what is left for later."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Date, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.base import Code, Record, UtcDateTime

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
    #: What duties keep: [{"kind", "rows", "duty", "until": day or null}].
    kept: Mapped[list[dict[str, Any]]] = mapped_column(JSON, nullable=False, default=list)


_MARKER = re.compile(r"Erased by request DR-[0-9]+")
#: The form of what stands in place of an erased text, whichever request erased it, for SQL.
MARKER_FORM = f"^{_MARKER.pattern}$"


def marker(request_number: str) -> str:
    """What stands in place of an erased text, in English."""
    return f"Erased by request {request_number}"


def is_marker(text: str | None) -> bool:
    """Whether a text was erased, by this or an earlier request."""
    return _MARKER.fullmatch(text or "") is not None
