"""Picklists: statuses, subjects, account types, sources and support pages, which admins change."""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import Boolean, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

COLORS = [
    "black",
    "gray",
    "slate",
    "blue",
    "green",
    "red",
    "pink",
    "orange",
    "amber",
    "yellow",
    "cyan",
    "teal",
    "violet",
    "purple",
    "indigo",
]


class PicklistEntry(Model):  # type: ignore[misc]
    """A row of a picklist."""

    __abstract__ = True
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The displayed name; can be renamed, unique within its list.
    label: Mapped[str] = mapped_column(String(140), nullable=False, unique=True)
    #: Order in picklists, smallest first.
    position: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: False hides it from picklists; old records keep it.
    is_active: Mapped[bool] = mapped_column(Boolean, nullable=False, default=True)

    def __str__(self) -> str:
        return self.label


class LeadStatus(PicklistEntry):
    """A status of leads."""

    __tablename__ = "lead_status"
    #: One of COLORS.
    color: Mapped[str] = mapped_column(String(16), nullable=False, default="gray")
    #: Its meaning in code (see leads.STATUSES); "working" for statuses added by a manager.
    meaning: Mapped[str] = mapped_column(String(40), nullable=False, default="working")


class TicketStatus(PicklistEntry):
    """A status of tickets."""

    __tablename__ = "ticket_status"
    color: Mapped[str] = mapped_column(String(16), nullable=False, default="gray")
    #: new, open, working, waiting, resolved or closed (see tickets.STATUSES).
    meaning: Mapped[str] = mapped_column(String(40), nullable=False, default="open")


class TicketSubject(PicklistEntry):
    """A subject of tickets."""

    __tablename__ = "ticket_subject"
    description: Mapped[str | None] = mapped_column(String(500))


class ComplaintCategory(PicklistEntry):
    """What a complaint is about; a tree of two levels."""

    __tablename__ = "complaint_category"
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("complaint_category.id"))
    parent: Mapped[ComplaintCategory | None] = relationship(remote_side="ComplaintCategory.id")


class AccountType(PicklistEntry):
    """A kind of brokerage account."""

    __tablename__ = "account_type"


class LeadSource(PicklistEntry):
    """A source of leads."""

    __tablename__ = "lead_source"


class SupportPage(PicklistEntry):
    """A help page that can be sent to a customer."""

    __tablename__ = "support_page"
    #: http(s) address.
    url: Mapped[str] = mapped_column(String(500), nullable=False)
    description: Mapped[str | None] = mapped_column(String(500))
