"""Texts about absence: when a person gets no new work, and who covers for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.domain.people import absence
from app.models import User
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer


def availability_texts(session: Session, user: Any, viewer: Viewer) -> list[str]:
    """Sentences about the user's availability."""
    texts = []
    leave = absence.leave_period(absence_values(user))
    if leave is not None and (leave[1] is None or leave[1] > viewer.now):
        texts = [_leave_text(user, leave, viewer), *leave_warnings(session, user, viewer)]
    if not user.available:
        return [_("You get no new work until you turn this on again."), *texts]
    if user.away_until is not None and user.away_until > viewer.now:
        return [_("You get no new work until %(moment)s.", moment=moment(user.away_until, viewer)), *texts]
    return texts or [_("You get new work by round robin.")]


def leave_warnings(session: Session, user: Any, viewer: Viewer) -> list[str]:
    """Warnings about an allowed gap: a delegate who is on leave at the same time."""
    leave = absence.leave_period(absence_values(user))
    both = absence.overlapping_leave(session, user.delegate_id, leave) if leave and user.delegate_id else None
    if both is None or (both[1] is not None and both[1] <= viewer.now):
        return []
    name, begins = _name(user.delegate_id, viewer), moment(both[0], viewer)
    if both[1] is None:
        return [
            _("%(name)s is also on leave from %(begins)s. From then, no one covers for you.", name=name, begins=begins)
        ]
    ends = moment(both[1], viewer)
    return [
        _(
            "%(name)s is also on leave from %(begins)s to %(ends)s. During that time, no one covers for you.",
            name=name,
            begins=begins,
            ends=ends,
        )
    ]


def cover_texts(session: Session, viewer: Viewer) -> list[str]:
    """Sentences about whom the person covers for, now or soon."""
    ahead = or_(User.leave_to.is_(None), User.leave_to > viewer.now)
    query = select(User.id, User.leave_from, User.leave_to)
    query = query.where(User.delegate_id == viewer.person.id, User.leave_from.is_not(None), ahead)
    texts = []
    for key, begins, ends in session.execute(query.order_by(User.leave_from)):
        words = {
            "name": _name(key, viewer),
            "begins": moment(begins, viewer),
            "ends": moment(ends, viewer) if ends else "",
        }
        if ends is None:
            texts.append(_("You cover for %(name)s from %(begins)s until further notice.", **words))
        else:
            texts.append(_("You cover for %(name)s from %(begins)s to %(ends)s.", **words))
    return texts


def absence_values(user: Any) -> dict[str, Any]:
    """The columns of absence as a dict."""
    return {name: getattr(user, name) for name in absence.COLUMNS}


def moment(at: datetime, viewer: Viewer) -> str:
    """A moment in the viewer's zone, such as 3 Dec, 09:00; with the year if it is not this one."""
    local = at.astimezone(viewer.zone)
    is_this_year = local.year == viewer.now.astimezone(viewer.zone).year
    return format_local_date(local, "%-d %b, %H:%M") if is_this_year else format_local_date(local, "%-d %b %Y, %H:%M")


def _leave_text(user: Any, leave: absence.Period, viewer: Viewer) -> str:
    begins, ends = leave
    words = {"begins": moment(begins, viewer), "ends": moment(ends, viewer) if ends else "", "name": ""}
    if user.delegate_id is None:
        if ends is None:
            return _("From %(begins)s you get no new work until you enter an end date.", **words)
        return _("From %(begins)s to %(ends)s you get no new work. No one covers for you.", **words)
    words["name"] = _name(user.delegate_id, viewer)
    if ends is None:
        return _("From %(begins)s, %(name)s gets your new work and covers your records, with no end date yet.", **words)
    if begins <= viewer.now:
        return _("%(name)s gets your new work and covers your records. On %(ends)s they return to you.", **words)
    return _(
        "From %(begins)s, %(name)s gets your new work and covers your records. On %(ends)s they return to you.",
        **words,
    )


def _name(key: int | None, viewer: Viewer) -> str:
    card = viewer.lookups.person(key)
    return str(card["full_name"]) if card else "?"
