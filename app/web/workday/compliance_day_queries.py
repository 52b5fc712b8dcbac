"""The branches of My day's statement that find what is due in the registers of compliance, with what its rows show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, Integer, String, and_, bindparam, case, literal, null, or_, select, type_coerce

from app.domain.base import UtcDateTime
from app.domain.complaints.complaint import Complaint, is_pending
from app.domain.data_breaches import DataBreach
from app.domain.data_requests import DataRequest
from app.domain.telephony.calls import CallLog
from app.domain.telephony.order_evidence import without_evidence


@dataclass(frozen=True)
class RegisterRow:
    """A row of the statement: what of it is set, depends on the section."""

    id: int
    title: str
    number: str | None
    what: str | None
    day: date | None
    moment: datetime | None
    person_id: int | None


#: The columns of `RegisterRow` but its id.
_KINDS = {
    "title": String,
    "number": String,
    "what": String,
    "day": Date,
    "moment": UtcDateTime,
    "person_id": Integer,
}


@dataclass(frozen=True)
class _Part:
    """One section: the columns, rules and order of its rows."""

    table: str
    query: Callable[[], tuple[dict[str, Any], list[Any], list[Any]]]


def tables_of(names: tuple[str, ...]) -> frozenset[str]:
    """The tables of these sections, whose access rules apply."""
    return frozenset(_PARTS[name].table for name in names)


def first_and_all(name: str, limit: int, most: int) -> tuple[Any, Any]:
    """(a subquery of the first rows of a section, one of the ids of all up to `most`).

    Its parameters: `today`; `answer_until`, the last day that requests have; `begins`, when the office's day began.
    """
    columns, rules, order = _PARTS[name].query()
    page = select(columns["id"].label("id"), *_completed(columns)).where(*rules).order_by(*order).limit(limit)
    return page.subquery(), select(columns["id"]).where(*rules).limit(most).subquery()


def no_columns() -> list[Any]:
    """The same columns, empty, for rows that consist of an id."""
    return _completed({})


def columns_of(page: Any) -> list[Any]:
    """Those columns of the first rows."""
    return [page.c[name] for name in _KINDS]


def _completed(columns: dict[str, Any]) -> list[Any]:
    return [columns.get(name, type_coerce(null(), kind())).label(name) for name, kind in _KINDS.items()]


# --- the sections


def _complaints() -> tuple[dict[str, Any], list[Any], list[Any]]:
    today: Any = bindparam("today")
    is_new = and_(Complaint.acknowledged_on.is_(None), Complaint.acknowledge_due_on <= today)
    is_late = and_(Complaint.report_filed_on.is_(None), Complaint.report_due_on <= today)
    what = case((is_new, "acknowledge"), else_="report")
    due = case((is_new, Complaint.acknowledge_due_on), else_=Complaint.report_due_on)
    columns = {"id": Complaint.id, "title": Complaint.title, "number": Complaint.number, "what": what, "day": due}
    return columns, [is_pending(), or_(is_new, is_late)], [due, Complaint.id]


def _requests() -> tuple[dict[str, Any], list[Any], list[Any]]:
    columns = {"id": DataRequest.id, "title": DataRequest.person, "what": DataRequest.kind, "day": DataRequest.due_on}
    rules = [DataRequest.state == "open", DataRequest.due_on <= bindparam("answer_until")]
    return columns, rules, [DataRequest.due_on, DataRequest.id]


def _breaches() -> tuple[dict[str, Any], list[Any], list[Any]]:
    cert_in, board = DataBreach.cert_in_told_on.is_(None), DataBreach.board_told_on.is_(None)
    due = case((cert_in, DataBreach.cert_in_due_on), (board, DataBreach.board_due_on), else_=DataBreach.noticed_on)
    what = case((cert_in, "cert_in"), (board, "board"), else_="people")
    columns = {"id": DataBreach.id, "title": DataBreach.title, "what": what, "moment": due}
    return columns, [DataBreach.state == "open"], [due, DataBreach.id]


def _orders() -> tuple[dict[str, Any], list[Any], list[Any]]:
    columns = {"id": CallLog.id, "title": literal(""), "moment": CallLog.started_on, "person_id": CallLog.employee_id}
    # Those of today are left out, as in the notice of the morning: providers take some time to deliver a recording.
    rules = [*without_evidence(), CallLog.started_on < bindparam("begins")]
    return columns, rules, [CallLog.started_on.desc(), CallLog.id.desc()]


_PARTS = {
    "breaches": _Part("data_breach", _breaches),
    "complaints": _Part("complaint", _complaints),
    "data-requests": _Part("data_request", _requests),
    "orders": _Part("call_log", _orders),
}
