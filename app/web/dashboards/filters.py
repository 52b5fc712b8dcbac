"""The filters of a dashboard, in its URL: period, people, and on the page of referrals the leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request
from flask_babel import gettext as _

from app import access
from app.domain import periods
from app.domain.analytics.figures import FIGURES
from app.domain.base import RuleBroken
from app.domain.leads import CATEGORIES
from app.domain.periods import Period
from app.models import CallLog, Customer, Lead, Message, Task, Ticket
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records.lists.figure_filter import REACH, TEAM, people_of

#: Record -> the URL of its list.
LISTS = {
    Lead: "/leads/",
    Ticket: "/tickets/",
    Task: "/tasks/",
    CallLog: "/calls/",
    Message: "/messages/",
    Customer: "/customers/",
}
ARGUMENTS = ("period", "from", "to", "who")
#: Arguments of the page of referrals -> the column of leads.
OF_LEADS = {"account_type": "account_type_id", "category": "category"}
#: The page with these filters, and its PDF.
REFERRALS = "/dashboard/referrals"
#: The most people in the picklist.
MAX_PEOPLE = 500


@dataclass(frozen=True)
class Filters:
    """The filters in a URL."""

    #: One of periods.NAMES.
    name: str
    period: Period
    #: "" = everybody, REACH = everybody within the viewer's reach; else a user id, or team- and a manager's id.
    who: str
    people: frozenset[int] | None
    #: (argument of OF_LEADS, column, value) filters on leads.
    leads: tuple[tuple[str, str, Any], ...] = ()

    def address(self, path: str, **changes: str) -> str:
        """A dashboard's URL with these filters."""
        given = {"period": self.name, "who": "" if self.who == REACH else self.who}
        if path.removesuffix(".pdf") == REFERRALS:
            given |= {name: str(value) for name, _column, value in self.leads}
        given |= changes
        if given["period"] == periods.CUSTOM:
            given |= {"from": self.period.first_day.isoformat(), "to": self.period.last_day.isoformat()}
        query = urlencode({key: value for key, value in given.items() if value})
        return f"{path}?{query}" if query else path

    def list_of(self, name: str, **more: Any) -> str:
        """The URL of the list of a figure's rows; `more`: additional or replaced arguments."""
        record = FIGURES[name].record
        given = {
            **({"tab": "all"} if record is Task else {}),
            "figure": name,
            "from": self.period.first_day.isoformat(),
            "to": self.period.last_day.isoformat(),
            "who": self.who,
        }
        if record is Lead:
            given |= {f"_flt_eq_{field}": value for field, _column, value in self.leads}
        given |= more
        return f"{LISTS[record]}?{urlencode({key: value for key, value in given.items() if value != ''})}"


def parse(viewer: Viewer, default_who: str = "", page: str = "") -> Filters:
    """The filters of this request. Raises RuleBroken, and Denied for people beyond the viewer's reach."""
    known = (*ARGUMENTS, *(OF_LEADS if page == "referrals" else ()))
    for key in request.args:
        if key not in known:
            raise RuleBroken(_("This dashboard has no parameter “%(name)s”.", name=key[:60]), key[:60])
        if len(request.args.getlist(key)) > 1:
            raise RuleBroken(_("“%(name)s” is given more than once.", name=key), key)
    given = {key: value.strip() for key, value in request.args.items()}
    has_dates = bool(given.get("from") or given.get("to"))
    name = given.get("period") or (periods.CUSTOM if has_dates else periods.MONTH)
    if has_dates and name != periods.CUSTOM:
        raise RuleBroken(_("Please choose either a period or two dates, not both."), "period")
    if name == periods.CUSTOM:
        period = periods.between(given.get("from", ""), given.get("to", ""), viewer.zone)
    else:
        period = periods.named_period(name, viewer.now, viewer.zone)
    everybody = "" if viewer.person.reach("Dashboard") is None else REACH
    who = given.get("who") or default_who or everybody
    people = people_of(who, viewer)
    refuse_beyond_reach(people, viewer)
    return Filters(name, period, who, people, tuple(_of_leads(given, viewer)))


def _of_leads(given: Mapping[str, str], viewer: Viewer) -> Iterator[tuple[str, str, Any]]:
    """The filters on leads. Raises RuleBroken."""
    for name, column in OF_LEADS.items():
        if value := given.get(name):
            known = {key: typed for key, _label, typed in lead_choices(name, viewer)}
            if value not in known:
                text = _("There is no such choice for “%(name)s”: %(value)s", name=name, value=value[:60])
                raise RuleBroken(text, name)
            yield name, column, known[value]


def lead_choices(name: str, viewer: Viewer) -> list[tuple[str, str, Any]]:
    """(value in the URL, label, value of the column) of one of OF_LEADS."""
    if name == "category":
        return [(each, str(shown_label(each)), each) for each in CATEGORIES]
    cards = viewer.lookups.cards["account_type"]
    return [(str(key), str(shown_label(card["label"])), key) for key, card in cards.items()]


def refuse_beyond_reach(people: frozenset[int] | None, viewer: Viewer) -> None:
    """Raise Denied if one of the people is not within the viewer's reach of dashboards."""
    reach = viewer.person.reach("Dashboard")
    if people is not None and reach is not None and not people <= reach:
        raise access.Denied(_("You can only see figures for yourself and your own team."))


def offered(viewer: Viewer) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """([(who, name)] of people to choose from, of teams); empty for viewers who see only their own figures."""
    reach, people = viewer.person.reach("Dashboard"), viewer.lookups.people
    keys = [key for key in people if key in viewer.lookups.active and (reach is None or key in reach)]
    if len(keys) < 2:
        return [], []
    named = sorted((str(people[key]["full_name"]), key) for key in keys)
    one = [(str(key), name) for name, key in named[:MAX_PEOPLE]]
    return one, [
        (f"{TEAM}{key}", _("Team of %(name)s", name=name)) for name, key in named if key in viewer.lookups.managers
    ]
