"""Deadlines of data requests and data breaches: Compliance is warned before each, and told once it has passed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import business_settings, data_breaches, data_requests
from app.domain.data_breaches import DEADLINES, DataBreach
from app.domain.data_requests import DataRequest
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent, Notification
from app.domain.people import permission_holders

SKIPPED = "skipped"


@dataclass(frozen=True)
class ClockNotice:
    """A deadline that is near, or has passed."""

    #: request or breach, and the id of its row.
    what: str
    row: int
    #: As in app/compliance_notice_texts.py: warning, late, cert_in warning …
    stage: str
    #: The number of the request, or the title of the breach, for the text.
    name: str
    #: The deadline, UTC; it is part of the key, so that a deadline that was moved warns again.
    due: datetime
    #: The deadline as the text says it.
    due_text: str

    @property
    def key(self) -> str:
        """Of the event: one for each deadline and stage."""
        return f"{self.what}:{self.row}:{self.stage}:{self.due:%Y-%m-%dT%H:%M}"


def due_notices(session: Session, now: datetime, zone: str, limit: int) -> list[ClockNotice]:
    """What somebody has to be told of and wasn't yet. `zone`: the office's."""
    found = [*_requests(session, now, ZoneInfo(zone)), *_breaches(session, now, ZoneInfo(zone))]
    return [notice for notice in found if _is_unsent(session, notice)][:limit]


def notify(session: Session, notice: ClockNotice, now: datetime) -> str:
    """Tell everybody who reads the register; "skipped" if they were told already. The caller commits."""
    module = data_requests.MODULE if notice.what == "request" else data_breaches.MODULE
    payload = {"what": notice.what, "row": notice.row, "stage": notice.stage, "name": notice.name}
    payload |= {"due": notice.due_text}
    users = tuple(permission_holders.holders(session, module, "read"))
    added = notices.notify(session, NoticeEvent("compliance", notice.key, users, payload), now)
    return notice.stage if added else SKIPPED


def _is_unsent(session: Session, notice: ClockNotice) -> bool:
    known = select(Notification.id).where(Notification.event_key.startswith(f"{notice.key}:", autoescape=True))
    return session.execute(known.limit(1)).first() is None


def _requests(session: Session, now: datetime, zone: ZoneInfo) -> Iterator[ClockNotice]:
    """Open requests whose last day is near or over; the day itself is not over yet."""
    today = now.astimezone(zone).date()
    ahead = timedelta(days=int(business_settings.value_of(session, "data_request_warning_days")))
    rules = (DataRequest.state == "open", DataRequest.due_on <= today + ahead)
    for row in session.scalars(select(DataRequest).where(*rules).order_by(DataRequest.due_on, DataRequest.id)):
        stage = "late" if row.due_on < today else "warning"
        name = data_requests.number_of(row.id)
        yield ClockNotice("request", row.id, stage, name, _midnight(row.due_on, zone), f"{row.due_on:%d %b %Y}")


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _breaches(session: Session, now: datetime, zone: ZoneInfo) -> Iterator[ClockNotice]:
    """Deadlines of open breaches of which the chosen share of the time is over."""
    share = int(business_settings.value_of(session, "breach_warning_percent")) / 100
    query = select(DataBreach).where(DataBreach.state == "open").order_by(DataBreach.noticed_on, DataBreach.id)
    for row in session.scalars(query):
        for name in DEADLINES:
            due: datetime = getattr(row, f"{name}_due_on")
            if getattr(row, f"{name}_told_on") is not None or now < row.noticed_on + (due - row.noticed_on) * share:
                continue
            stage = f"{name} late" if now >= due else f"{name} warning"
            text = f"{due.astimezone(zone):%d %b %Y, %H:%M}"
            yield ClockNotice("breach", row.id, stage, row.title, due, text)
