"""What My day shows of the registers of compliance: one statement for people who may see any, none for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import (
    Date,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from app import access
from app.domain import data_breaches, data_requests
from app.domain.base import UtcDateTime
from app.domain.complaints.complaint import Complaint, is_pending
from app.domain.data_breaches import DataBreach
from app.domain.data_requests import DataRequest
from app.domain.telephony.calls import CallLog
from app.domain.telephony.order_evidence import without_evidence
from app.extensions import db
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.data_request_words import KIND_WORDS
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.records.complaint_fields import days_left, today_of
from app.web.workday.my_day_queries import MAX_COUNTED
from app.web.workday.my_day_rows import DayRow, RowContent

#: Requests about personal data are shown this long before their last day, and when it has passed.
REQUESTS_AHEAD = timedelta(days=7)


@dataclass(frozen=True)
class ComplianceRows:
    """The first rows of a section, by how urgent they are, and the number of all: above MAX_COUNTED, if more."""

    rows: list[DayRow]
    total: int


def load(viewer: Viewer, limit: int) -> dict[str, ComplianceRows]:
    """Section -> its rows, for the sections that the viewer may see."""
    names = tuple(name for name, part in _PARTS.items() if part.is_for(viewer))
    if not names:
        return {}
    today = today_of(viewer)
    begins = datetime.combine(today, time(), tzinfo=viewer.lookups.office.zone).astimezone(UTC)
    times = {"today": today, "soon": today + REQUESTS_AHEAD, "begins": begins}
    question = access.CachedStatement(
        ("compliance day", names, limit), partial(_statement, names, limit), frozenset(_PARTS[n].table for n in names)
    )
    found: dict[str, ComplianceRows] = {name: ComplianceRows([], 0) for name in names}
    for place, *values, total in access.answer(db.session(), question, times):
        name = names[place]
        rows = [*found[name].rows, _PARTS[name].shown(_Found(*values), viewer)]
        found[name] = ComplianceRows(rows, total)
    return found


@dataclass(frozen=True)
class _Found:
    """A row of the statement: what of it is set, depends on the section."""

    id: int
    title: str
    number: str | None
    what: str | None
    day: date | None
    moment: datetime | None
    person_id: int | None


def _statement(names: tuple[str, ...], limit: int) -> Any:
    """SELECT (place of the section, columns of `_Found`, number of all rows of the section)."""
    return union_all(*(_branch(place, _PARTS[name], limit) for place, name in enumerate(names)))


def _branch(place: int, part: _Part, limit: int) -> Select[Any]:
    columns, rules, order = part.query()
    page = select(*columns).where(*rules).order_by(*order).limit(limit).subquery()
    counted = select(columns[0]).where(*rules).limit(MAX_COUNTED + 1).subquery()
    total = select(func.count()).select_from(counted).scalar_subquery()
    return select(literal(place, Integer).label("part"), *page.c, total.label("total"))


def _columns(key: Any, title: Any, **more: Any) -> list[Any]:
    kinds = {"number": String, "what": String, "day": Date, "moment": UtcDateTime, "person_id": Integer}
    rest = [more.get(name, type_coerce(null(), kind())).label(name) for name, kind in kinds.items()]
    return [key.label("id"), title.label("title"), *rest]


# --- the sections: what is due, and how it is shown


def _complaints() -> tuple[list[Any], list[Any], list[Any]]:
    today: Any = bindparam("today")
    is_new = and_(Complaint.acknowledged_on.is_(None), Complaint.acknowledge_due_on <= today)
    is_late = and_(Complaint.report_filed_on.is_(None), Complaint.report_due_on <= today)
    what = case((is_new, "acknowledge"), else_="report")
    due = case((is_new, Complaint.acknowledge_due_on), else_=Complaint.report_due_on)
    columns = _columns(Complaint.id, Complaint.title, number=Complaint.number, what=what, day=due)
    return columns, [is_pending(), or_(is_new, is_late)], [due, Complaint.id]


def _shown_complaint(row: _Found, viewer: Viewer) -> DayRow:
    note = _("acknowledgment") if row.what == "acknowledge" else _("action taken report")
    content = RowContent(f"complaints-{row.id}", f"/complaints/{row.number}", row.title, row.number, note=note)
    return DayRow(content, days_left(row.day or viewer.today, viewer))


def _requests() -> tuple[list[Any], list[Any], list[Any]]:
    columns = _columns(DataRequest.id, DataRequest.person, what=DataRequest.kind, day=DataRequest.due_on)
    rules = [DataRequest.state == "open", DataRequest.due_on <= bindparam("soon")]
    return columns, rules, [DataRequest.due_on, DataRequest.id]


def _shown_request(row: _Found, viewer: Viewer) -> DayRow:
    note = str(KIND_WORDS.get(row.what or "", ""))
    content = RowContent(f"data-requests-{row.id}", f"/data-requests/show/{row.id}", row.title, note=note)
    return DayRow(content, days_left(row.day or viewer.today, viewer))


def _breaches() -> tuple[list[Any], list[Any], list[Any]]:
    cert_in, board = DataBreach.cert_in_told_on.is_(None), DataBreach.board_told_on.is_(None)
    due = case((cert_in, DataBreach.cert_in_due_on), (board, DataBreach.board_due_on), else_=DataBreach.noticed_on)
    what = case((cert_in, "cert_in"), (board, "board"), else_="people")
    columns = _columns(DataBreach.id, DataBreach.title, what=what, moment=due)
    return columns, [DataBreach.state == "open"], [due, DataBreach.id]


def _shown_breach(row: _Found, viewer: Viewer) -> DayRow:
    notes = {
        "cert_in": _("CERT-In is to be told"),
        "board": _("The Board is to be told"),
        "people": _("The persons are to be told"),
    }
    content = RowContent(f"breaches-{row.id}", f"/breaches/show/{row.id}", row.title, note=notes[row.what or "people"])
    return DayRow(content, moment_cell(row.moment, viewer, True))


def _orders() -> tuple[list[Any], list[Any], list[Any]]:
    columns = _columns(CallLog.id, literal(""), moment=CallLog.started_on, person_id=CallLog.employee_id)
    # Those of today are left out, as in the notice of the morning: providers take some time to deliver a recording.
    rules = [*without_evidence(), CallLog.started_on < bindparam("begins")]
    return columns, rules, [CallLog.started_on.desc(), CallLog.id.desc()]


def _shown_order(row: _Found, viewer: Viewer) -> DayRow:
    card = viewer.lookups.person(row.person_id)
    moment = row.moment or viewer.now
    day = format_local_date(moment.astimezone(viewer.zone), "%-d %b, %H:%M")
    title = _("Order with %(name)s", name=card["full_name"]) if card else _("Order by telephone")
    content = RowContent(f"orders-{row.id}", f"/calls/show/{row.id}", title, day)
    return DayRow(content, moment_cell(moment, viewer))


@dataclass(frozen=True)
class _Part:
    """One section."""

    table: str
    #: Who sees it.
    is_for: Callable[[Viewer], bool]
    #: Its columns, rules and order.
    query: Callable[[], tuple[list[Any], list[Any], list[Any]]]
    shown: Callable[[_Found, Viewer], DayRow]


def _reads(module: str) -> Callable[[Viewer], bool]:
    return lambda viewer: bool(viewer.person.may(module, "read"))


def _hears_all(viewer: Viewer) -> bool:
    """Who is told of all orders, and may link their evidence."""
    person = viewer.person
    return person.may("Call Logs", "read") and person.level("Call Logs", "recordings") == "all"


_PARTS = {
    "breaches": _Part("data_breach", _reads(data_breaches.MODULE), _breaches, _shown_breach),
    "complaints": _Part("complaint", _reads("Complaints"), _complaints, _shown_complaint),
    "data-requests": _Part("data_request", _reads(data_requests.MODULE), _requests, _shown_request),
    "orders": _Part("call_log", _hears_all, _orders, _shown_order),
}


def sections(viewer: Viewer, limit: int) -> Iterator[tuple[str, ComplianceRows, str]]:
    """(name, rows, URL of the list of all) of the viewer's sections, the most urgent kind first."""
    for name, found in load(viewer, limit).items():
        yield name, found, _LISTS[name]


_LISTS = {
    "breaches": "/breaches/?_flt_eq_state=open",
    "complaints": "/?only=complaints",
    "data-requests": "/data-requests/?tab=due",
    "orders": "/calls/?tab=orders",
}
