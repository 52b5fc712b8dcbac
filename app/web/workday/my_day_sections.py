"""The sections of My day: late, due, new and pending work, of the person and of those they cover for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import g
from flask_babel import lazy_gettext as _
from markupsafe import Markup

from app.domain import leads, tickets
from app.domain.tasks import ACTIVE, OPEN
from app.lib.digit_grouping import capped
from app.web.core.localization.languages import in_page_language
from app.web.core.viewer import Viewer
from app.web.workday import assignment_requests, compliance_day
from app.web.workday import my_day_queries as queries
from app.web.workday.my_day_html import rows_html
from app.web.workday.my_day_rows import SOON, DayRow, RowMaker

#: Rows of a section; its list shows all of them.
MAX_ROWS = 12
#: Rows of a section shown on its own (?only=): all that are counted.
MAX_ROWS_ALONE = queries.MAX_COUNTED
#: SLA clocks are shown this long before they are due.
SLA_AHEAD = timedelta(hours=4)


#: Section -> its title, icon and tone.
LOOKS = {
    "overdue": (_("Overdue"), "alarm", "red"),
    "soon": (_("Next two hours"), "clock", "amber"),
    "later": (_("Later today"), "calendar", "blue"),
    "new-leads": (_("New leads"), "sparkles", "teal"),
    "new-tickets": (_("New tickets"), "inbox", "teal"),
    "sla-leads": (_("Leads to respond to soon"), "hourglass", "orange"),
    "sla-tickets": (_("Tickets to respond to or resolve soon"), "hourglass", "orange"),
    "requests": (_("Requests waiting for my decision"), "clipboard-check", "violet"),
    "nobody": (_("No one available"), "urgent", "red"),
    "breaches": (_("Open data breaches"), "shield", "red"),
    "complaints": (_("Complaints due today or overdue"), "scale", "red"),
    "data-requests": (_("Requests about personal data to answer"), "lock", "amber"),
    "orders": (_("Orders by telephone without evidence"), "phone-x", "orange"),
}


@dataclass
class DaySection:
    """One section of the page: its rows, the number of all rows, and the list of all of them."""

    name: str
    rows: list[DayRow]
    count: int
    #: Returns the URL of the list that holds all of them, which a page asks for only if there are more.
    link: Callable[[], str]

    @property
    def title(self) -> str:
        """The heading, in the language of the page."""
        return in_page_language(LOOKS[self.name][0])

    @property
    def icon(self) -> str:
        """The icon of the heading."""
        return LOOKS[self.name][1]

    @property
    def tone(self) -> str:
        """The tone of the heading."""
        return LOOKS[self.name][2]

    @property
    def url(self) -> str:
        """The list that holds all of them."""
        return self.link()

    @property
    def rows_html(self) -> Markup:
        """The rows as HTML."""
        return rows_html(self.rows)

    @property
    def count_text(self) -> str:
        """The number for the heading; 100+ if counting stopped."""
        return capped(self.count, queries.MAX_COUNTED)


def sections(viewer: Viewer, only: str = "") -> list[DaySection]:
    """All sections in the order of the page, or the named one with more rows.

    At most five statements.
    """
    day = _Day(viewer, MAX_ROWS_ALONE if only else MAX_ROWS)
    sections = [*day.tasks_of_today(), *day.registers(), *day.new_records(), *day.sla_clocks(), *day.decisions()]
    return [section for section in sections if section.name == only] if only else sections


class _Day:
    """What the page of a viewer shows, with so many rows in each section."""

    def __init__(self, viewer: Viewer, limit: int) -> None:
        self.viewer, self.make = viewer, RowMaker(viewer)
        self.statuses = dict(_statuses(viewer))
        local = viewer.now.astimezone(viewer.zone)
        tonight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        self.soon = viewer.now + SOON
        self.end = max(tonight, self.soon)
        names = compliance_day.names_for(viewer)
        asked = queries.DayQuestion(tuple(_own_ids(viewer)), limit, tuple(self.statuses.items()), names)
        times = {"now": viewer.now, "soon": self.soon, "end": self.end, "until": viewer.now + SLA_AHEAD}
        times |= compliance_day.parameters(viewer) if names else {}
        self.found = queries.load(viewer.person, asked, times)

    def rows(self, name: str) -> list[Any]:
        """The rows of a section of the statements."""
        return self.found.rows.get(name, [])

    def total(self, name: str) -> int:
        """The number of all its rows; above `my_day_queries.MAX_COUNTED`, if there are more."""
        return self.found.totals.get(name, 0)

    def tasks_of_today(self) -> Iterator[DaySection]:
        """My open tasks until tonight: overdue, within two hours, later."""
        now, soon, end = self.viewer.now, self.soon, self.end
        yield self._tasks("overdue", due_lt=now)
        yield self._tasks("soon", due_ge=now, due_lt=soon)
        yield self._tasks("later", due_ge=soon, due_lt=end)

    def _tasks(self, name: str, **due: datetime) -> DaySection:
        rows = list(map(self.make.task, self.rows(name)))
        return DaySection(name, rows, self.total(name), partial(_tasks_url, self.viewer, **due))

    def registers(self) -> Iterator[DaySection]:
        """What is due in the registers of compliance."""
        for name, rows, url in compliance_day.sections(self.viewer, self.found.rows):
            yield DaySection(name, rows, self.total(name), partial(str, url))

    def new_records(self) -> Iterator[DaySection]:
        """My leads and tickets with a status of the meaning "new", newest first."""
        for name, root, content in (
            ("new-leads", "/leads/", self.make.lead),
            ("new-tickets", "/tickets/", self.make.ticket),
        ):
            if name in self.statuses:
                rows = [self.make.new(row, content(row, name)) for row in self.rows(name)]
                yield DaySection(
                    name, rows, self.total(name), partial(_own_list_url, root, self.viewer, self.statuses[name])
                )

    def sla_clocks(self) -> Iterator[DaySection]:
        """My leads and tickets whose first response or resolution is due within four hours, or late.

        Not while the clock is paused.
        """
        for name, content in (("sla-leads", self.make.lead), ("sla-tickets", self.make.ticket)):
            if name in self.statuses:
                rows = [self.make.owed(row, content(row, name)) for row in self.rows(name)]
                yield DaySection(name, rows, self.total(name), partial(str, f"/?only={name}"))

    def decisions(self) -> Iterator[DaySection]:
        """Requests that I may decide, oldest first; for managers, overdue tasks that every colleague has had."""
        person = self.viewer.person
        if person.may("Requests", "write"):
            # The sidebar's badge shows the same number and need not query it again.
            g.waiting = min(self.total("requests"), assignment_requests.MAX_COUNTED)
            rows = list(map(self.make.request, self.rows("requests")))
            yield DaySection("requests", rows, self.total("requests"), partial(str, "/requests/?tab=waiting"))
        if person.is_manager and person.may("Tasks", "read"):
            rows = list(map(self.make.exhausted_task, self.rows("nobody")))
            link = partial(_list_url, "/tasks/", _flt_eq_exhausted="1", _flt_in_status=",".join(ACTIVE))
            yield DaySection("nobody", rows, self.total("nobody"), link)


def _statuses(viewer: Viewer) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(section, ids of its statuses) for the sections of leads and tickets that the viewer may read."""
    modules = (
        ("leads", "Leads", "lead_status", leads.TERMINAL),
        ("tickets", "Tickets", "ticket_status", tickets.ENDED),
    )
    for name, module, picklist, ended in modules:
        if viewer.person.may(module, "read"):
            meanings = viewer.lookups.meanings[picklist].items()
            yield f"new-{name}", tuple(key for key, meaning in meanings if meaning == "new")
            yield f"sla-{name}", tuple(key for key, meaning in meanings if meaning not in ended)


# --- links


def _own_ids(viewer: Viewer) -> list[int]:
    """The viewer and those they cover for."""
    return sorted(viewer.person.own_ids)


def _tasks_url(viewer: Viewer, **due: datetime) -> str:
    """The list of my open tasks, narrowed by due_lt and due_ge."""
    times = {f"_flt_{name[4:]}_due_on": moment.isoformat(timespec="seconds") for name, moment in due.items()}
    filters = _own_filter(viewer) | {"_flt_in_status": ",".join(OPEN)} | times
    return _list_url("/tasks/", **filters, _oc="due_on", _od="asc")


def _own_list_url(root: str, viewer: Viewer, statuses: Iterable[int]) -> str:
    return _list_url(root, **_own_filter(viewer), _flt_in_status=",".join(map(str, statuses)))


def _own_filter(viewer: Viewer) -> dict[str, str]:
    own = _own_ids(viewer)
    return {"_flt_eq_assignee": "@me"} if len(own) == 1 else {"_flt_in_assignee": ",".join(map(str, own))}


def _list_url(root: str, **filters: str) -> str:
    return f"{root}?{urlencode(filters)}"
