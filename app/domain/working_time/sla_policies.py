"""SLA policies: the targets of first response and resolution for leads and tickets, by priority."""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.picklists import PicklistEntry


class SlaPolicy(PicklistEntry):
    """Response and resolution targets by priority, in minutes of office time."""

    __tablename__ = "sla_policy"
    #: lead or ticket.
    applies_to: Mapped[str] = mapped_column(String(16), nullable=False)
    targets: Mapped[list[SlaTarget]] = relationship(cascade="all, delete-orphan", lazy="selectin")


class SlaTarget(Model):  # type: ignore[misc]
    """The targets of one priority."""

    __tablename__ = "sla_target"
    __table_args__ = (UniqueConstraint("policy_id", "priority"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    policy_id: Mapped[int] = mapped_column(ForeignKey("sla_policy.id", ondelete="CASCADE"), nullable=False)
    #: Low, Medium, High, Urgent; "" = any.
    priority: Mapped[str] = mapped_column(String(16), nullable=False, default="")
    #: Minutes of office time.
    first_response_minutes: Mapped[int] = mapped_column(Integer, nullable=False)
    resolution_minutes: Mapped[int | None] = mapped_column(Integer)
