"""“Why this person?”: the decisions behind the assignments of a lead or ticket, as text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain import assignment
from app.extensions import db
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer

#: users.Absence.why, and the reason of people skipped because they had the record before -> text.
ABSENT = {
    "deactivated": _l("deactivated"),
    "not available": _l("not available"),
    "away": _l("away"),
    "on leave": _l("on leave"),
    "already had it": _l("already had it"),
}
#: assignment.REASONS -> text for a column.
REASONS = {
    "created": _l("Created"),
    "round robin": _l("Round robin"),
    "direct": _l("Assigned"),
    "request": _l("Request"),
    "overdue": _l("Overdue task"),
    "delegate": _l("Back from leave"),
    "bulk": _l("Bulk assignment"),
    "joined": _l("Added"),
}


def assignment_entries(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """Everyone who has or had the record, newest first: person, since, until, and the reason as text."""
    return [
        {
            "person": _card(each.user_id, viewer),
            "why": in_words(each, viewer),
            "is_open": each.ended_on is None,
            "started": moment_cell(each.started_on, viewer),
            "ended": moment_cell(each.ended_on, viewer),
        }
        for each in assignment.history(db.session(), row)
    ]


def _card(key: int | None, viewer: Viewer) -> dict[str, Any] | None:
    card = viewer.lookups.person(key)
    return person_card(card) if card else None


def name_of(key: Any, viewer: Viewer) -> str:
    """The full name of a user id."""
    card = viewer.lookups.person(key)
    return card["full_name"] if card else _("someone")


def in_words(stretch: Any, viewer: Viewer) -> str:
    """Why this person was chosen: by turn or by decision, and who was skipped."""
    line = [_reason_text(stretch, viewer), skipped_in_words(stretch.decision, viewer)]
    return " ".join(part for part in line if part)


def _reason_text(stretch: Any, viewer: Viewer) -> str:
    name, by = name_of(stretch.user_id, viewer), name_of(stretch.by_id, viewer)
    if stretch.role:
        return _turn(stretch, name, viewer)
    if stretch.reason in ("direct", "bulk") and stretch.by_id == stretch.user_id:
        return _("%(name)s assigned it to themselves.", name=name)
    words = {
        "created": _("%(name)s created it.", name=name),
        "direct": _("%(by)s assigned it to %(name)s.", by=by, name=name),
        "bulk": _("%(by)s assigned it to %(name)s in bulk.", by=by, name=name),
        "request": _("A request for %(name)s was approved by %(by)s.", by=by, name=name),
        "joined": _("%(by)s added %(name)s as an assignee.", by=by, name=name),
        "delegate": _("%(name)s is back from leave.", name=name),
        "overdue": _("A task was overdue for too long and was reassigned to %(name)s.", name=name),
    }
    return words.get(stretch.reason) or _("It was assigned to %(name)s.", name=name)


def _turn(stretch: Any, name: str, viewer: Viewer) -> str:
    whose = name_of(stretch.stead_of_id or stretch.user_id, viewer)
    parts = [_("A task was overdue for too long.")] if stretch.reason == "overdue" else []
    parts.append(_("It was %(name)s's turn (%(role)s).", name=whose, role=stretch.role))
    if stretch.stead_of_id:
        parts.append(_("%(name)s is covering during the leave.", name=name))
    return " ".join(parts)


def skipped_in_words(decision: dict[str, Any] | None, viewer: Viewer) -> str:
    """“Skipped: Ana (on leave until 3 Dec 2026, 18:00).”, or nothing."""
    people = skipped_people(decision, viewer)
    return _("Skipped: %(people)s.", people=people) if people else ""


def skipped_people(decision: dict[str, Any] | None, viewer: Viewer) -> str:
    """The people who were skipped, each with the reason."""
    return ", ".join(
        _("%(name)s (%(why)s)", name=name_of(each["user"], viewer), why=absent_in_words(each, viewer))
        for each in (decision or {}).get("skipped", [])
    )


def absent_in_words(entry: dict[str, Any], viewer: Viewer) -> str:
    """“on leave until 3 Dec 2026” of {why, until?: ISO moment}."""
    why = str(ABSENT.get(entry["why"], entry["why"]))
    if not entry.get("until"):
        return why
    until = datetime.fromisoformat(entry["until"]).astimezone(viewer.zone)
    return _("%(why)s until %(day)s", why=why, day=format_local_date(until, "%-d %b %Y, %H:%M"))
