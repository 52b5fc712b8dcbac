"""The rows behind a figure: the arguments that a dashboard's link adds to a list's URL.

/calls/?figure=calls_missed&from=2026-11-01&to=2026-11-30&who=team-4
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement

from app import access
from app.domain import periods
from app.domain.analytics import figures
from app.domain.analytics.figures import CountScope
from app.domain.base import RuleBroken
from app.domain.people import teams
from app.domain.periods import Period
from app.extensions import db
from app.lib.ids import parse_id
from app.models import CallLog
from app.web.core.fab_access import parse_integer
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.records.lists.figure_labels import LABELS

#: Arguments of a list's URL that belong to a figure.
ARGUMENTS = ("figure", "from", "to", "who", "slot")
#: Prefix of `who` for a manager's team instead of one person.
TEAM = "team-"
#: `who` of everybody within the viewer's reach of dashboards.
REACH = "reach"


def rules_of(record: Any, given: Mapping[str, str], viewer: Viewer) -> list[ColumnElement[bool]]:
    """The conditions of a list that shows the rows of a figure; empty without one. Raises RuleBroken."""
    if "figure" not in given:
        return []
    each = figures.figure(given["figure"])
    if each.record is not record:
        raise RuleBroken(_("This list can't show the figure “%(name)s”.", name=given["figure"][:60]), "figure")
    if is_hidden(given["figure"], viewer):
        raise RuleBroken(_("This figure compares phone numbers, which are hidden from you."), "figure")
    period = periods.between(given.get("from", ""), given.get("to", ""), viewer.zone)
    slot = parse_integer(given.get("slot"), -1, 0, 167)
    scope = scope_of(period, viewer, people_of(given.get("who", ""), viewer), None if slot < 0 else slot)
    return [each.rows(scope)]


def scope_of(period: Period, viewer: Viewer, people: frozenset[int] | None, slot: int | None = None) -> CountScope:
    """The scope of figures for this viewer, with their statuses and access rules."""

    def sees_call(call: Any) -> ColumnElement[bool]:
        return access.visible_id(viewer.person, CallLog, call.c.id)

    return CountScope(period, viewer.now, viewer.lookups.meanings, people, slot, sees_call)


def people_of(who: str, viewer: Viewer) -> frozenset[int] | None:
    """The user ids of `who`: a user id, or team- and the id of a manager; None = not given. Raises RuleBroken."""
    if not who:
        return None
    if who == REACH:
        return viewer.person.reach("Dashboard")
    key = parse_id(who.removeprefix(TEAM))
    if key is None or key not in viewer.lookups.people:
        raise RuleBroken(_("There is no colleague “%(value)s”.", value=who[:60]), "who")
    if not who.startswith(TEAM):
        return frozenset({key})
    with access.as_system(db.session()):
        return teams.reporting_tree(db.session(), key)


def is_hidden(name: str, viewer: Viewer) -> bool:
    """Whether a figure is based on numbers that the viewer sees masked."""
    return name in figures.BY_NUMBER and viewer.person.mask("mobile") != "full"


def figure_chip(given: Mapping[str, str], viewer: Viewer) -> str:
    """The figure, its period and its people, as text."""
    period = periods.between(given.get("from", ""), given.get("to", ""), viewer.zone)
    parts = [str(LABELS[given["figure"]])]
    if figures.figure(given["figure"]).is_of_period:
        parts.append(dates(period))
    if given.get("slot"):
        parts.append(slot_words(int(given["slot"])))
    if given.get("who"):
        parts.append(person_label(given["who"], viewer))
    return " · ".join(parts)


def person_label(who: str, viewer: Viewer) -> str:
    """The name of a person, or of a manager's team."""
    if who == REACH:
        return str(_("Myself") if viewer.person.level("Dashboard", "read") == "own" else _("My team"))
    card = viewer.lookups.people[int(who.removeprefix(TEAM))]
    return _("Team of %(name)s", name=card["full_name"]) if who.startswith(TEAM) else str(card["full_name"])


def dates(period: Period) -> str:
    """The days of a period, such as 1 Nov – 30 Nov 2026."""
    first, last = period.first_day, period.last_day
    if first == last:
        return format_local_date(last, "%-d %b %Y")
    start = format_local_date(first, "%-d %b" if first.year == last.year else "%-d %b %Y")
    return f"{start} – {format_local_date(last, '%-d %b %Y')}"


def weekdays() -> list[str]:
    """The names of the days, Monday first."""
    return [_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday")]


def slot_words(slot: int) -> str:
    """An hour of the week, such as "Monday 10:00"."""
    return f"{weekdays()[slot // 24]} {slot % 24}:00"
