"""Reports: saved definitions, who sees them, and who has pinned them."""

from __future__ import annotations

from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import saved_views
from app.domain.base import NotFound, Record, RuleBroken, Stamp, hold_name, translatable
from app.domain.persistence import record_locks

#: Characters of a report's name; reports of one person.
MAX_LABEL, MAX_REPORTS = 80, 100
#: Who sees a report: only its owner, those who report to them, the people of one role, or everybody who may use
#: reports.
AUDIENCES = ("me", "team", "role", "all")


class Report(Record):
    """A saved report: its record, definition and audience. Readers see only rows that they may see."""

    __tablename__ = "report"
    __table_args__ = (Index("ix_report_owner", "owner_id", "label"),)
    owner_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    label: Mapped[str] = mapped_column(String(MAX_LABEL), nullable=False)
    #: The records, by the name of their REST resource, such as lead; or a built-in report, such as call_summary.
    kind: Mapped[str] = mapped_column(String(24), nullable=False)
    #: Columns, conditions, groups, figures, order, limit and chart: see app/web/reports/definition.py.
    definition: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: One of AUDIENCES. If the role is deleted, only the owner sees the report.
    audience: Mapped[str] = mapped_column(String(8), nullable=False, default="me")
    role_id: Mapped[int | None] = mapped_column(ForeignKey("ab_role.id", ondelete="SET NULL"), index=True)


class ReportPin(Model):  # type: ignore[misc]
    """A report that a person has pinned to their sidebar."""

    __tablename__ = "report_pin"
    __table_args__ = (UniqueConstraint("user_id", "report_id", name="uq_report_pin"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"), nullable=False, index=True)


def save(session: Session, report: Report | None, values: dict[str, Any], stamp: Stamp) -> Report:
    """Create a report of the person, or change one of theirs. `values`: label, kind, definition, audience, role_id.

    Raises RuleBroken for an empty, long or taken name, an unknown audience, and one report too many.
    """
    owner = int(stamp.by or 0)
    hold_name(session, f"reports of {owner}")
    label = " ".join(str(values.get("label") or "").split())
    _refuse_label(session, owner, label, report)
    audience = values.get("audience", "me")
    if audience not in AUDIENCES or (audience == "role" and not values.get("role_id")):
        raise RuleBroken("Please choose who sees this report.", "audience")
    if report is None:
        _refuse_many(session, owner)
        report = Report(owner_id=owner)
        session.add(report)
    report.label, report.audience = label, audience
    report.kind, report.definition = values["kind"], values["definition"]
    report.role_id = values.get("role_id") if audience == "role" else None
    report.stamp(stamp)
    session.flush()
    saved_views.touch(session)
    return report


def _refuse_label(session: Session, owner: int, label: str, report: Report | None) -> None:
    if not label:
        raise RuleBroken("Please give the report a name.", "label")
    if len(label) > MAX_LABEL:
        raise RuleBroken(translatable("The name has at most %(most)s characters.", most=MAX_LABEL), "label")
    same = (Report.owner_id == owner, Report.label == label, Report.id != (report.id if report else 0))
    if session.execute(select(Report.id).where(*same)).first():
        text = "You have a report called “%(name)s” already. Please choose another name."
        raise RuleBroken(translatable(text, name=label), "label")


def _refuse_many(session: Session, owner: int) -> None:
    count = session.scalar(select(func.count(Report.id)).where(Report.owner_id == owner)) or 0
    if count >= MAX_REPORTS:
        text = "You have %(most)s reports already. Please delete some first."
        raise RuleBroken(translatable(text, most=MAX_REPORTS))


def free_label(session: Session, owner: int, label: str) -> str:
    """The label, or one with a number that this person has not used yet."""
    taken = set(session.scalars(select(Report.label).where(Report.owner_id == owner)))
    number, found = 2, label[:MAX_LABEL]
    while found in taken:
        end = f" ({number})"
        found, number = label[: MAX_LABEL - len(end)] + end, number + 1
    return found


def remove(session: Session, report: Report) -> None:
    """Delete a report with all its pins, its schedules and their history."""
    record_locks.refuse_gone(session, report)
    pins = delete(ReportPin).where(ReportPin.report_id == report.id)
    session.execute(pins, execution_options={"synchronize_session": False})
    session.delete(report)
    session.flush()
    saved_views.touch(session)


def pin(session: Session, user_id: int, report_id: int, pinned: bool) -> None:
    """Pin a report to the person's sidebar, or unpin it. Idempotent."""
    mine = (ReportPin.user_id == user_id, ReportPin.report_id == report_id)
    found = session.scalars(select(ReportPin).where(*mine)).first()
    if pinned and found is None:
        session.add(ReportPin(user_id=user_id, report_id=report_id))
    elif found is not None and not pinned:
        session.delete(found)
    session.flush()
    saved_views.touch(session)


def refuse_foreign(report: Report | None, user_id: int) -> Report:
    """The report, if it is this person's. Raises NotFound for None, RuleBroken for somebody else's."""
    if report is None:
        raise NotFound("This report doesn't exist, or it is no longer shared with you.")
    if report.owner_id != user_id:
        raise RuleBroken("Only the owner can change this report. Duplicate it and change your own instead.")
    return report
