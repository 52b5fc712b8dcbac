"""What My day shows of the registers of compliance, to people who may see any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _

from app.domain import data_breaches, data_requests
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.data_request_words import KIND_WORDS
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.records.complaint_fields import days_left, today_of
from app.web.workday.compliance_day_queries import RegisterRow
from app.web.workday.my_day_rows import DayRow, RowContent

#: Requests about personal data are shown this long before their last day, and when it has passed.
REQUESTS_AHEAD = timedelta(days=7)


@dataclass(frozen=True)
class _Part:
    """One section."""

    #: Who sees it.
    is_for: Callable[[Viewer], bool]
    shown: Callable[[RegisterRow, Viewer], DayRow]
    #: The list of all its rows.
    url: str


def names_for(viewer: Viewer) -> tuple[str, ...]:
    """The sections that the viewer may see, the most urgent kind first."""
    return tuple(name for name, part in _PARTS.items() if part.is_for(viewer))


def parameters(viewer: Viewer) -> dict[str, Any]:
    """Those of the sections' statement (compliance_day_queries)."""
    today = today_of(viewer)
    begins = datetime.combine(today, time(), tzinfo=viewer.lookups.office.zone).astimezone(UTC)
    return {"today": today, "answer_until": today + REQUESTS_AHEAD, "begins": begins}


def sections(viewer: Viewer, found: dict[str, list[RegisterRow]]) -> Iterator[tuple[str, list[DayRow], str]]:
    """(name, what its rows say, URL of the list of all) of the sections of which rows may have been `found`."""
    for name in names_for(viewer):
        part = _PARTS[name]
        yield name, [part.shown(row, viewer) for row in found.get(name, ())], part.url


def _complaint(row: RegisterRow, viewer: Viewer) -> DayRow:
    note = _("acknowledgment") if row.what == "acknowledge" else _("action taken report")
    content = RowContent(f"complaints-{row.id}", f"/complaints/{row.number}", row.title, row.number, note=note)
    return DayRow(content, days_left(row.day or viewer.today, viewer))


def _request(row: RegisterRow, viewer: Viewer) -> DayRow:
    note = str(KIND_WORDS.get(row.what or "", ""))
    content = RowContent(f"data-requests-{row.id}", f"/data-requests/show/{row.id}", row.title, note=note)
    return DayRow(content, days_left(row.day or viewer.today, viewer))


def _breach(row: RegisterRow, viewer: Viewer) -> DayRow:
    notes = {
        "cert_in": _("CERT-In is to be told"),
        "board": _("The Board is to be told"),
        "people": _("The persons are to be told"),
    }
    content = RowContent(f"breaches-{row.id}", f"/breaches/show/{row.id}", row.title, note=notes[row.what or "people"])
    return DayRow(content, moment_cell(row.moment, viewer, True))


def _order(row: RegisterRow, viewer: Viewer) -> DayRow:
    card = viewer.lookups.person(row.person_id)
    moment = row.moment or viewer.now
    day = format_local_date(moment.astimezone(viewer.zone), "%-d %b, %H:%M")
    title = _("Order with %(name)s", name=card["full_name"]) if card else _("Order by telephone")
    content = RowContent(f"orders-{row.id}", f"/calls/show/{row.id}", title, day)
    return DayRow(content, moment_cell(moment, viewer))


def _reads(module: str) -> Callable[[Viewer], bool]:
    return lambda viewer: bool(viewer.person.may(module, "read"))


def _hears_all(viewer: Viewer) -> bool:
    """Who is told of all orders, and may link their evidence."""
    person = viewer.person
    return person.may("Call Logs", "read") and person.level("Call Logs", "recordings") == "all"


_PARTS = {
    "breaches": _Part(_reads(data_breaches.MODULE), _breach, "/breaches/?_flt_eq_state=open"),
    "complaints": _Part(_reads("Complaints"), _complaint, "/?only=complaints"),
    "data-requests": _Part(_reads(data_requests.MODULE), _request, "/data-requests/?tab=due"),
    "orders": _Part(_hears_all, _order, "/calls/?tab=orders"),
}
