"""The reminder that the disclosure of the last month is due: to the compliance officer, once for each month."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.complaints import clocks, disclosure_periods, published_disclosures
from app.domain.complaints.complaint import Complaint
from app.domain.complaints.disclosure_periods import Span
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.people.permissions import ModulePermission
from app.domain.people.users import has_role


def due_months(session: Session, now: datetime, zone: str) -> list[Span]:
    """The last month, from a few days before it is due, unless it was published; none while there are no complaints.

    `zone`: the office's.
    """
    today = now.astimezone(ZoneInfo(zone)).date()
    month = disclosure_periods.previous(disclosure_periods.month_of(today))
    if today < _due_day(session, month) - _lead_time(session):
        return []
    if session.execute(select(Complaint.id).where(Complaint.received_on < month.after).limit(1)).first() is None:
        return []
    return [] if published_disclosures.versions_of(session, month) else [month]


def _due_day(session: Session, month: Span) -> date:
    return disclosure_periods.due_day(month, int(business_settings.value_of(session, "disclosure_due_day")))


def _lead_time(session: Session) -> timedelta:
    return timedelta(days=int(business_settings.value_of(session, "disclosure_reminder_days")))


def remind(session: Session, month: Span, now: datetime) -> str:
    """Remind the compliance officer, else everybody who may publish. The caller commits.

    Returns "reminded", or "skipped" if all of them were. Idempotent: the event key names the month.
    """
    name = disclosure_periods.month_name(month)
    payload = {"month": name, "due": _due_day(session, month).isoformat()}
    event = NoticeEvent("disclosure", f"disclosure:{name}", _recipients(session), payload)
    return "reminded" if notices.notify(session, event, now) else "skipped"


def _recipients(session: Session) -> list[int]:
    """The compliance officer of the settings if they are active, else all who may publish."""
    officer = business_settings.value_of(session, clocks.PEOPLE).get("compliance")
    if officer is None or not session.execute(select(User.id).where(User.id == officer, User.active.is_(True))).all():
        return publishers(session)
    return [int(officer)]


def publishers(session: Session) -> list[int]:
    """Ids of the active users whose role lets them publish; admins, who may do everything, are not meant."""
    cells = select(ModulePermission.role_id).where(
        ModulePermission.module == "Complaints", ModulePermission.verb == "write", ModulePermission.level == "all"
    )
    roles = [has_role(role) for role in session.scalars(cells)]
    if not roles:
        return []
    return list(session.scalars(select(User.id).where(User.active.is_(True), or_(*roles)).order_by(User.id)))
