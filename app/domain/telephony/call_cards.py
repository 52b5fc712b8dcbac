"""Call cards: the calls that a user's open pages show, with a note taken during the call.

A call that somebody makes has one card. An incoming call has a card for whoever is responsible for its record, else for
the people who take calls of unknown numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Any

from flask_appbuilder.security.sqla.models import Role, User
from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime
from app.domain.people.permissions import ModulePermission
from app.domain.people.users import absence, available, delegate_on_leave, has_role
from app.domain.persistence.transaction_state import transaction_state
from app.domain.telephony.calls import CallLog
from app.domain.working_time import office_hours, office_schedule

#: How long a card is shown at most.
LASTS = timedelta(hours=12)
#: The most people who are shown a call of an unknown number.
MAX_PEOPLE = 50


class CallCard(Record):
    """One call on the pages of one user."""

    __tablename__ = "call_card"
    __table_args__ = (
        UniqueConstraint("call_id", "user_id", name="uq_call_card"),
        Index("ix_call_card_user", "user_id", "closed_on"),
    )
    call_id: Mapped[int] = mapped_column(ForeignKey("call_log.id", ondelete="CASCADE"), nullable=False)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    #: What the user writes during the call; it is copied to the outcome.
    note: Mapped[str | None] = mapped_column(Text)
    #: When it was closed.
    closed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


def open_query(user_id: Any, since: Any) -> Any:
    """SELECT of the ids of the user's open cards; the arguments may be parameters of a statement."""
    mine = (CallCard.user_id == user_id, CallCard.closed_on.is_(None), CallCard.created_on > since)
    return select(CallCard.id).where(*mine)


def show(session: Session, call: CallLog, users: Iterable[int], stamp: Stamp) -> None:
    """Show the call to these users, and close their finished calls. Idempotent."""
    known = set(session.scalars(select(CallCard.user_id).where(CallCard.call_id == call.id)))
    for user_id in dict.fromkeys(users):
        if user_id in known:
            continue
        _close_finished(session, user_id, stamp.now)
        card = CallCard(call_id=call.id, user_id=user_id)
        card.stamp(stamp)
        session.add(card)
        transaction_state(session).call_card_users.add(user_id)
    session.flush()


def _close_finished(session: Session, user_id: int, now: datetime) -> None:
    """Close cards of finished calls when the next call comes; their outcome can still be logged."""
    over = select(CallLog.id).where(CallLog.status.not_in(("Initiated", "Queued", "Ringing", "In Progress")))
    mine = (CallCard.user_id == user_id, CallCard.closed_on.is_(None), CallCard.call_id.in_(over))
    session.execute(
        update(CallCard).where(*mine).values(closed_on=now), execution_options={"synchronize_session": False}
    )


def close(session: Session, call_id: int, now: datetime, *who: Any) -> None:
    """Close the cards of the call; `who`: conditions on the cards."""
    mine = (CallCard.call_id == call_id, CallCard.closed_on.is_(None), *who)
    users = list(session.scalars(select(CallCard.user_id).where(*mine)))
    if users:
        step = update(CallCard).where(*mine).values(closed_on=now)
        session.execute(step, execution_options={"synchronize_session": False})
        transaction_state(session).call_card_users.update(users)


def mark_changed(session: Session, call_id: int) -> None:
    """Update the pages that show the call after the commit."""
    mine = (CallCard.call_id == call_id, CallCard.closed_on.is_(None))
    transaction_state(session).call_card_users.update(session.scalars(select(CallCard.user_id).where(*mine)))


def write_note(session: Session, card: CallCard, note: str, stamp: Stamp) -> None:
    """Store the note written so far. Raises RuleBroken for a text that is too long."""
    if len(note) > timeline.MAX_NOTE_LENGTH:
        raise RuleBroken("This note is too long. Please shorten it to 20,000 characters.", "note")
    card.note = note or None
    card.stamp(stamp)


def note_of(session: Session, call_id: int, user_id: int) -> str:
    """What the user wrote during the call."""
    mine = (CallCard.call_id == call_id, CallCard.user_id == user_id)
    return session.scalar(select(CallCard.note).where(*mine)) or ""


# --- incoming calls


def notify(session: Session, call: CallLog, now: datetime, zone: tzinfo) -> None:
    """Show an incoming call to whoever is responsible for its record, else to those on duty."""
    responsible = session.get(User, call.employee_id) if call.employee_id is not None else None
    people = _present(session, responsible, now) if responsible is not None else []
    show(session, call, people or on_duty(session, now, zone), Stamp(None, now))


def _present(session: Session, user: Any, now: datetime) -> list[int]:
    """The user, or their substitute during a leave; empty if neither is available."""
    if absence(user, now) is None:
        return [user.id]
    delegate = delegate_on_leave(session, user, now)
    return [delegate.id] if delegate is not None else []


def on_duty(session: Session, now: datetime, zone: tzinfo) -> list[int]:
    """Ids of users who take calls of unknown numbers: those who chose to, else all who may log calls."""
    chosen = select(User.id).where(User.takes_calls.is_(True), *available(now)).order_by(User.id)
    if people := list(session.scalars(chosen.limit(MAX_PEOPLE))):
        return people
    if not office_hours.is_open(office_schedule.load_office(session, str(zone)), now):
        return []
    may_log = select(ModulePermission.role_id).where(
        ModulePermission.module == "Call Logs", ModulePermission.verb == "create", ModulePermission.level != "none"
    )
    roles = list(session.scalars(select(Role.id).where(Role.id.in_(may_log))))
    if not roles:
        return []
    able = or_(*[has_role(role) for role in roles])
    return list(session.scalars(select(User.id).where(able, *available(now)).order_by(User.id).limit(MAX_PEOPLE)))


def accept(session: Session, call: CallLog, user_id: int, now: datetime) -> None:
    """Record that the user takes this incoming call: it is theirs, and disappears from everybody else's pages."""
    call.employee_id = user_id
    call.stamp(Stamp(user_id, now))
    show(session, call, [user_id], Stamp(user_id, now))
    close(session, call.id, now, CallCard.user_id != user_id)


def user_of_number(session: Session, number: str) -> int | None:
    """The active user whose telephone has this number; None unless there is exactly one."""
    own = or_(User.telephony_number == number, User.mobile_e164 == number)
    found = list(session.scalars(select(User.id).where(own, User.active.is_(True)).limit(2)))
    return found[0] if len(found) == 1 else None
