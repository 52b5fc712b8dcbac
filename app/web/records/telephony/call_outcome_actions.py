"""Logging the outcome of a call: the same for the form and for REST."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.telephony import call_outcomes
from app.domain.telephony.call_outcomes import CallOutcome
from app.domain.telephony.calls import CallLog
from app.extensions import db
from app.web.core.fields.base import clean_text
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.viewer import Viewer
from app.web.records.close_tasks_field import chosen_tasks
from app.web.records.notes import clean_note
from app.web.records.tasks import reminder_offsets

DUE = DateTimeField("follow_up_on", "", ())
#: Keys accepted by REST.
_KEYS = {"outcome", "note", "follow_up_on", "title", "cold", "is_order", "close_tasks"}


def log_outcome(call: CallLog, outcome: CallOutcome, viewer: Viewer) -> None:
    """Save the outcome, the note and the next follow-up. Raises Denied or RuleBroken."""
    if outcome.note:
        viewer.person.refuse_unless("Notes", "create")
    if outcome.follow_up_on is not None:
        viewer.person.refuse_unless("Tasks", "create")
    offsets = reminder_offsets(viewer, viewer.person.id)
    call_outcomes.save_outcome(db.session(), call, outcome, viewer.change_context(reminder_minutes=offsets))


def outcome_from_json(raw: dict[str, Any], viewer: Viewer) -> CallOutcome:
    """The outcome sent over REST. Raises RuleBroken, also for an unknown key."""
    unknown = sorted(set(raw) - _KEYS)
    if unknown:
        raise RuleBroken(_("There is no field “%(name)s” here.", name=unknown[0][:60]), unknown[0][:60])
    for name in ("cold", "is_order"):
        if raw.get(name) not in (None, True, False):
            raise RuleBroken(_("“%(name)s” must be yes or no.", name=name), name)
    closing = raw.get("close_tasks")
    return CallOutcome(
        clean_text(raw.get("outcome"), "outcome", 1000) or "",
        clean_note(raw.get("note"), "note"),
        DUE.parse(raw.get("follow_up_on"), viewer),
        clean_text(raw.get("title"), "title", 200),
        raw.get("cold"),
        raw.get("is_order"),
        None if closing is None else chosen_tasks(closing),
        day_end(viewer),
    )


def day_end(viewer: Viewer) -> datetime:
    """The end of the viewer's day, UTC."""
    tomorrow = viewer.today + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=viewer.zone).astimezone(UTC)
