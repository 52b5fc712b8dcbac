"""Calls as timeline entries, rendered from the current call, because a call changes after its entry is written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select

from app.domain.telephony import calls, recordings
from app.domain.telephony.call_outcomes import SUGGESTED_OUTCOMES
from app.extensions import db
from app.lib import phone
from app.models import CallLog, CallRecording, Customer, Lead
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.durations import span
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.core.viewer import Viewer
from app.web.records import recordings as recording_pages
from app.web.records.lists.list_tabs import ListTab, shown_tabs

#: (direction, whether the call was answered) -> icon and tone.
SIGNS = {
    ("Incoming", True): ("phone-incoming", "green"),
    ("Incoming", False): ("phone-x", "red"),
    ("Outgoing", True): ("phone-outgoing", "blue"),
    ("Outgoing", False): ("phone-outgoing", "gray"),
}
#: Columns that describe the other party: the customer's and lead's names, and the numbers to choose from.
SIDE = (
    Customer.first_name,
    Customer.last_name,
    Lead.first_name,
    Lead.last_name,
    CallLog.other_e164,
    CallLog.direction,
    CallLog.status,
    CallLog.from_number,
    CallLog.to_number,
    CallLog.id,
)

#: How many earlier calls a call's page shows.
EARLIER = 10


def icon_of(direction: str, status: str) -> tuple[str, str]:
    """(icon, tone) of a call."""
    if calls.progress_of(status) < calls.FINAL_RANK:
        return "phone-calling", "amber"
    return SIGNS.get((direction, status == "Completed"), ("phone", "gray"))


def name_of(side: Any) -> str:
    """The customer's name, else the lead's, of the columns SIDE; "" for neither."""
    pairs = (side[0:2], side[2:4])
    return next((name for name in (" ".join(part for part in pair if part) for pair in pairs) if name), "")


def number_of(side: Any, viewer: Viewer) -> str | None:
    """The number as the viewer can see it; for a withheld one the phone's text; None if there is none."""
    e164, direction, _status, from_number, to_number = side[4:9]
    raw = e164 or (to_number if direction == "Outgoing" else from_number)
    if not raw:
        return None
    shown = viewer.person.mask_value("email" if "@" in raw else "mobile", raw)
    return phone.display(shown) if shown == e164 else str(shown)


def dial_of(side: Any, viewer: Viewer) -> str | None:
    """The number to dial, E.164; None if the viewer sees it masked."""
    e164 = side[4]
    return e164 if e164 and viewer.person.mask_value("mobile", e164) == e164 else None


def call_tabs(chosen: str) -> list[dict[str, Any]]:
    """The tabs of the calls page, with the text of an empty tab; "phone" is the viewer's own phone."""
    tabs = (
        ListTab("", _("All")),
        ListTab("open", _("No outcome"), _("All your calls have an outcome.")),
        ListTab("missed", _("Call back"), _("No missed calls to return.")),
        ListTab("orders", _("No evidence"), _("Every order has its evidence.")),
        ListTab("phone", _("My phone"), url="/phone/"),
    )
    return shown_tabs("/calls", tabs, chosen)


def shown_outcome(outcome: str | None) -> str | None:
    """A suggested outcome in the language of the page; what somebody has typed as it is."""
    return shown_label(outcome) if outcome in SUGGESTED_OUTCOMES else outcome


def can_log_outcome(employee_id: int | None, viewer: Viewer) -> bool:
    """Whether the viewer can log the outcome: of their own call, or that of a person they substitute."""
    return employee_id in viewer.person.own_ids and viewer.person.may("Call Logs", "write")


def entries_of(keys: Iterable[Any], viewer: Viewer, parent: tuple[str, int] | None = None) -> dict[int, dict[str, Any]]:
    """Call id -> its entry, for the calls that the viewer sees; one statement, none without calls.

    `parent`: the record that they belong to, see `PreparedQuery.by_id`.
    """
    chosen = sorted({key for key in keys if isinstance(key, int)})
    if not chosen:
        return {}
    rows = _lines().by_id(db.session(), CallLog, chosen, parent)
    return {row.id: _line(row, viewer) for row in rows}


def newest_calls(rules: list[Any], limit: int) -> list[Any]:
    """The latest calls that match these conditions and that the viewer sees, for `entries`; one statement."""
    return _newest(limit).where(db.session(), rules)


def entries(rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entries of calls, replacing their timeline entries."""
    return [_entry(row, viewer) | {"open_url": f"/calls/show/{row.id}"} for row in rows]


def call_page_entries(key: int, actions: list[dict[str, Any]], viewer: Viewer) -> list[dict[str, Any]]:
    """The entries of a call's own page: the call with its actions, then the earlier calls with this number."""
    row = next(iter(_lines().where(db.session(), [CallLog.id == key])), None)
    if row is None:
        return []
    return [_entry(row, viewer) | {"actions": actions}, *(_entry(each, viewer) for each in _earlier(row, viewer))]


def _earlier(row: Any, viewer: Viewer) -> list[Any]:
    """The latest calls before this one with the same number that the viewer sees."""
    if not row.other_e164 or not viewer.person.mask_value("mobile", row.other_e164):
        return []
    rules = [CallLog.other_e164 == row.other_e164, CallLog.started_on < row.started_on]
    return _earlier_ones().where(db.session(), rules)


@lru_cache
def _lines() -> PreparedQuery:
    return _kept(_select_lines())


@lru_cache
def _newest(limit: int) -> PreparedQuery:
    # No index has this order: for a record with few calls, MariaDB might read all calls by their time.
    began = func.coalesce(CallLog.started_on, CallLog.created_on)
    return _kept(_select_lines().order_by(began.desc(), CallLog.id.desc()).limit(limit))


@lru_cache
def _earlier_ones() -> PreparedQuery:
    return _kept(_select_lines().order_by(CallLog.started_on.desc()).limit(EARLIER))


def _kept(query: Any) -> PreparedQuery:
    return PreparedQuery.of(query, CallLog, CallRecording, Customer, Lead)


def _select_lines() -> Any:
    query = select(
        *SIDE,
        CallLog.duration_seconds,
        CallLog.outcome,
        CallLog.employee_id,
        CallLog.started_on,
        *(CallLog.lead_id, CallLog.ticket_id, CallLog.customer_id),
        recordings.listed().label("recordings"),
    )
    return query.outerjoin(Customer, Customer.id == CallLog.customer_id).outerjoin(Lead, Lead.id == CallLog.lead_id)


def _entry(row: Any, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(row.employee_id)
    own = {
        "id": row.id,
        "kind": "call",
        "actor": person_card(card) if card else None,
        "at": moment_cell(row.started_on, viewer),
    }
    return own | _line(row, viewer)


def _line(row: Any, viewer: Viewer) -> dict[str, Any]:
    icon, tone = icon_of(row.direction, row.status)
    who = name_of(row) or number_of(row, viewer) or _("an unknown number")
    headline = _call_headline(row.direction, row.status, who)
    if row.duration_seconds:
        headline = f"{headline} · {span(row.duration_seconds)}"
    is_said = row.outcome == "No answer" and row.status != "Completed"  # the headline says so already
    body = None if is_said else shown_outcome(row.outcome)
    made: dict[str, Any] = {"icon": icon, "tone": tone, "body": body, "headline": headline}
    made |= recording_pages.entry_keys(row.recordings, viewer)
    is_over = calls.progress_of(row.status) == calls.FINAL_RANK
    if is_over and not row.outcome and can_log_outcome(row.employee_id, viewer):
        made["actions"] = [{"label": _("Log outcome"), "icon": "phone-check", "url": f"/calls/outcome/{row.id}"}]
    return made


def _call_headline(direction: str, status: str, who: str) -> str:
    has_talked = status == "Completed"
    if calls.progress_of(status) < calls.FINAL_RANK:
        return _ongoing_headline(direction, status, who)
    if direction == "Outgoing" and status == "Failed":
        return _("tried to call %(who)s, but the call failed", who=who)
    if direction == "Outgoing":
        return _("called %(who)s", who=who) if has_talked else _("called %(who)s, no answer", who=who)
    if direction == "Incoming":
        return _("answered a call from %(who)s", who=who) if has_talked else _("missed a call from %(who)s", who=who)
    return _("had a call with %(who)s", who=who)


def _ongoing_headline(direction: str, status: str, who: str) -> str:
    if status == "In Progress":
        return _("is talking to %(who)s", who=who)
    return _("is calling %(who)s", who=who) if direction == "Outgoing" else _("is called by %(who)s", who=who)
