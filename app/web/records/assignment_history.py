"""“Why this person?”: the decisions behind the assignments of a lead or ticket, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain import assignment
from app.extensions import db
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Glass
from app.web.core.reference_fields import person_card

#: team.Absence.why, and who stood in line but had the work before -> words.
ABSENT = {
    "deactivated": _l("deactivated"),
    "not available": _l("not available"),
    "away": _l("away"),
    "on leave": _l("on leave"),
    "already had it": _l("already had it"),
}
#: assignment.REASONS -> words for a column.
REASONS = {
    "created": _l("Created"),
    "round robin": _l("By turn"),
    "direct": _l("Given"),
    "request": _l("Request"),
    "overdue": _l("Overdue task"),
    "delegate": _l("Back from leave"),
    "bulk": _l("Given with others"),
    "joined": _l("Helps"),
}


def stretches(row: Any, glass: Glass) -> list[dict[str, Any]]:
    """Everybody who has or had it, newest first: person, since, until, and why in a sentence or two."""
    return [
        {
            "person": _card(each.user_id, glass),
            "why": in_words(each, glass),
            "is_open": each.ended_on is None,
            "started": moment_cell(each.started_on, glass),
            "ended": moment_cell(each.ended_on, glass),
        }
        for each in assignment.history(db.session(), row)
    ]


def _card(key: int | None, glass: Glass) -> dict[str, Any] | None:
    card = glass.cards.person(key)
    return person_card(card) if card else None


def name_of(key: Any, glass: Glass) -> str:
    """The full name of a user id."""
    card = glass.cards.person(key)
    return card["full_name"] if card else _("somebody")


def in_words(stretch: Any, glass: Glass) -> str:
    """Why this person: whose turn or whose decision it was, and who was passed over."""
    line = [_begun(stretch, glass), skipped_in_words(stretch.decision, glass)]
    return " ".join(part for part in line if part)


def _begun(stretch: Any, glass: Glass) -> str:
    name, by = name_of(stretch.user_id, glass), name_of(stretch.by_id, glass)
    if stretch.role:
        return _turn(stretch, name, glass)
    if stretch.reason in ("direct", "bulk") and stretch.by_id == stretch.user_id:
        return _("%(name)s took it.", name=name)
    words = {
        "created": _("%(name)s created it.", name=name),
        "direct": _("%(by)s gave it to %(name)s.", by=by, name=name),
        "bulk": _("%(by)s gave it to %(name)s, together with others.", by=by, name=name),
        "request": _("A request for %(name)s was approved by %(by)s.", by=by, name=name),
        "joined": _("%(by)s asked %(name)s to help.", by=by, name=name),
        "delegate": _("%(name)s is back from leave.", name=name),
        "overdue": _("A task was overdue for too long and went to %(name)s.", name=name),
    }
    return words.get(stretch.reason) or _("It went to %(name)s.", name=name)


def _turn(stretch: Any, name: str, glass: Glass) -> str:
    whose = name_of(stretch.stead_of_id or stretch.user_id, glass)
    parts = [_("A task was overdue for too long.")] if stretch.reason == "overdue" else []
    parts.append(_("It was the turn of %(name)s (%(role)s).", name=whose, role=stretch.role))
    if stretch.stead_of_id:
        parts.append(_("%(name)s stands in during the leave.", name=name))
    return " ".join(parts)


def skipped_in_words(decision: dict[str, Any] | None, glass: Glass) -> str:
    """“Skipped: Ana (on leave until 3 Dec 2026, 18:00).”, or nothing."""
    people = skipped_people(decision, glass)
    return _("Skipped: %(people)s.", people=people) if people else ""


def skipped_people(decision: dict[str, Any] | None, glass: Glass) -> str:
    """Those who were passed over, each with the reason."""
    return ", ".join(
        _("%(name)s (%(why)s)", name=name_of(each["user"], glass), why=absent_in_words(each, glass))
        for each in (decision or {}).get("skipped", [])
    )


def absent_in_words(entry: dict[str, Any], glass: Glass) -> str:
    """“on leave until 3 Dec 2026” of {why, until?: ISO moment}."""
    why = str(ABSENT.get(entry["why"], entry["why"]))
    if not entry.get("until"):
        return why
    until = datetime.fromisoformat(entry["until"]).astimezone(glass.zone)
    return _("%(why)s until %(day)s", why=why, day=f"{until:%-d %b %Y, %H:%M}")
