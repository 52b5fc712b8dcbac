"""Warnings about the clocks of complaints, each once: of the report, internal steps, the acknowledgment, reviews."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from app.domain.complaints.clocks import SOON_DAYS, STEPS, ComplaintTerms, load_terms
from app.domain.complaints.complaint import Complaint, is_counted, is_pending
from app.domain.complaints.register import STAGES
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent, Notification
from app.domain.people.users import active_admins
from app.lib.batches import batched

#: Days since the end of a review after which nobody is told of it any more.
MOST_LATE = 60

#: Event keys per statement; for more values than 199 MariaDB estimates their rows, and may read all notifications.
_KEYS_AT_ONCE = 100
#: What stands for the daily list among the ids of complaints.
LIST = 0
_COLUMNS = (
    *(Complaint.id, Complaint.number, Complaint.ticket_id, Complaint.officer_id),
    *(Complaint.acknowledged_on, Complaint.acknowledge_due_on, Complaint.report_filed_on, Complaint.report_due_on),
    is_pending().label("is_pending"),
    Complaint.review_stage,
    case(
        {stage: getattr(Complaint, due) for stage, (_begun, due, _clock) in STAGES.items()},
        value=Complaint.review_stage,
    ).label("review_due_on"),
)


def due_complaints(session: Session, now: datetime, zone: str, limit: int) -> list[int]:
    """Ids of the complaints of which somebody has to be warned today, by urgency; LIST for the daily list."""
    terms = load_terms(session, now, zone)
    rows = session.execute(select(*_COLUMNS).where(_is_watched(terms)).order_by(Complaint.report_due_on, Complaint.id))
    events = _unsent(session, {LIST: _daily_list(session, terms)} | _events(rows, terms))
    return list(events)[:limit]


def warn_many(session: Session, ids: Sequence[int], now: datetime, zone: str) -> list[str]:
    """Send the warnings that are due for these complaints, and the daily list for LIST. The caller commits.

    Returns for each id "warned" or "skipped". Idempotent: the key of an event names the complaint, the clock and the
    day by which it ends. Of several warnings that are due at once, as after an outage, only the latest is sent.
    """
    terms = load_terms(session, now, zone)
    events = _events(session.execute(select(*_COLUMNS).where(Complaint.id.in_(ids), _is_watched(terms))), terms)
    if LIST in ids:
        events[LIST] = _daily_list(session, terms)
    events = _unsent(session, events)
    notices.notify_many(session, [event for found in events.values() for event in found], now)
    return ["warned" if key in events else "skipped" for key in ids]


def _is_watched(terms: ComplaintTerms) -> ColumnElement[bool]:
    """SQL: pending complaints, and those of which a review ends soon or has ended lately."""
    first, last = terms.today - timedelta(days=MOST_LATE), terms.after(terms.today, "review_warning")
    due = [getattr(Complaint, each).between(first, last) for _begun, each, _clock in STAGES.values()]
    return or_(is_pending(), and_(is_counted(), Complaint.review_stage != "None", or_(*due)))


def _events(rows: Iterable[Any], terms: ComplaintTerms) -> dict[int, list[NoticeEvent]]:
    return {row.id: list(_warnings(_Watched(row, terms))) for row in rows}


def _unsent(session: Session, events: dict[int, list[NoticeEvent]]) -> dict[int, list[NoticeEvent]]:
    """Those of which one of their people wasn't notified yet."""
    keys = {f"{event.key}:{user}": key for key, found in events.items() for event in found for user in event.users}
    sent: set[str] = set()
    for part in batched(list(keys), _KEYS_AT_ONCE):
        sent.update(session.scalars(select(Notification.event_key).where(Notification.event_key.in_(part))))
    waiting = {key for name, key in keys.items() if name not in sent}
    return {key: found for key, found in events.items() if key in waiting}


@dataclass(frozen=True)
class _Watched:
    """One complaint on one day."""

    #: Of _COLUMNS.
    row: Any
    terms: ComplaintTerms

    @property
    def age(self) -> int:
        """Days since the receipt from which its clocks count."""
        left: int = (self.row.report_due_on - self.terms.today).days
        return int(self.terms.days["report"]) - left

    def event(self, what: str, clock: str, people: Sequence[int | None], due: date, **more: Any) -> NoticeEvent:
        """A notice to these people, once for the clock and the day by which it ends."""
        payload = {"what": what, "number": self.row.number, "days": (due - self.terms.today).days, **more}
        about = notices.record_ids_of(None) | {"ticket_id": self.row.ticket_id}
        key = f"complaint:{self.row.id}:{clock}:{due.isoformat()}"
        users = tuple(dict.fromkeys(each for each in people if each is not None))
        return NoticeEvent("complaint", key, users, payload, about)


def _warnings(watched: _Watched) -> Iterator[NoticeEvent]:
    row, terms = watched.row, watched.terms
    yield from _review_warning(watched)
    if not row.is_pending:
        return
    if row.acknowledged_on is None and terms.today > row.acknowledge_due_on:
        people = (row.officer_id, *terms.up_to(0))
        yield watched.event("acknowledge", "acknowledge", people, row.acknowledge_due_on)
    if row.report_filed_on is not None:
        return
    if terms.today > row.report_due_on:
        yield watched.event("overdue", "report", (row.officer_id, *terms.up_to(3)), row.report_due_on)
        return
    yield from _report_warning(watched)
    yield from _step_warning(watched)


def _review_warning(watched: _Watched) -> Iterator[NoticeEvent]:
    """The last day of the review at which the complaint is: some days before, and when it has passed."""
    row, terms = watched.row, watched.terms
    due = row.review_due_on
    if due is None or not -MOST_LATE <= (due - terms.today).days <= int(terms.days["review_warning"]):
        return
    what, clock = "review" if due >= terms.today else "review over", STAGES[row.review_stage][2]
    people = (row.officer_id, terms.people.get("compliance"))
    yield watched.event(what, f"{what} {clock}", people, due, stage=row.review_stage)


def _report_warning(watched: _Watched) -> Iterator[NoticeEvent]:
    """The latest warning: the first reaches customer care, each later one a further level of the matrix."""
    passed = [day for day in sorted(watched.terms.days["warnings"]) if day <= watched.age]
    if passed:
        people = (watched.row.officer_id, *watched.terms.up_to(len(passed) - 1))
        yield watched.event("warning", f"warning {passed[-1]}", people, watched.row.report_due_on)


def _step_warning(watched: _Watched) -> Iterator[NoticeEvent]:
    """The latest internal step whose days are over."""
    terms = watched.terms
    passed = [step for step in STEPS if int(terms.days[step]) < watched.age]
    if passed:
        person = terms.people.get(STEPS[passed[-1]])
        yield watched.event(f"step {passed[-1]}", f"step {passed[-1]}", (person,), watched.row.report_due_on)


def _daily_list(session: Session, terms: ComplaintTerms) -> list[NoticeEvent]:
    """How many complaints are pending, due soon and overdue: to the compliance officer, else to the admins."""
    left = select(Complaint.report_due_on, func.count()).where(is_pending(), Complaint.report_filed_on.is_(None))
    rows = session.execute(left.group_by(Complaint.report_due_on)).all()
    counts: dict[date, int] = {row[0]: row[1] for row in rows}
    overdue = sum(number for due, number in counts.items() if due < terms.today)
    soon = sum(number for due, number in counts.items() if 0 <= (due - terms.today).days <= SOON_DAYS)
    if not counts:
        return []
    officer = terms.people.get("compliance")
    people = (officer,) if officer is not None else tuple(active_admins(session))
    payload = {"pending": sum(counts.values()), "soon": soon, "overdue": overdue}
    return [NoticeEvent("complaint_list", f"complaint_list:{terms.today.isoformat()}", people, payload)]
