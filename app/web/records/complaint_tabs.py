"""The tabs of the list of complaints: which rows each shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _

from app.domain.complaints.clocks import SOON_DAYS
from app.domain.complaints.complaint import Complaint, is_counted, is_pending
from app.web.core.viewer import Viewer
from app.web.records.complaint_fields import today_of


class ComplaintTab(NamedTuple):
    """One tab: its label, the text if it has no rows, and the condition on a day of the office."""

    label: Any
    empty: Any
    condition: Callable[[date], Any] | None


def _open_report(day: date) -> Any:
    return is_pending() & Complaint.report_filed_on.is_(None)


def _soon(day: date) -> Any:
    return _open_report(day) & Complaint.report_due_on.between(day, day + timedelta(days=SOON_DAYS))


#: Name in the URL -> tab.
TABS = {
    "pending": ComplaintTab(_("Pending"), _("No complaints are pending."), lambda day: is_pending()),
    "acknowledge": ComplaintTab(
        _("To acknowledge"),
        _("All complaints are acknowledged."),
        lambda day: is_pending() & Complaint.acknowledged_on.is_(None),
    ),
    "soon": ComplaintTab(_("Due in 7 days"), _("No report is due in the next 7 days."), _soon),
    "overdue": ComplaintTab(
        _("Overdue"), _("No report is overdue."), lambda day: _open_report(day) & (Complaint.report_due_on < day)
    ),
    "scores": ComplaintTab(
        _("SCORES"),
        _("No complaint of SEBI SCORES is pending."),
        lambda day: is_pending() & (Complaint.source == "SEBI SCORES"),
    ),
    "review": ComplaintTab(
        _("In review"),
        _("No complaint is in review."),
        lambda day: is_counted() & (Complaint.review_stage != "None"),
    ),
    "all": ComplaintTab(_("All"), "", None),
}


def tab_condition(name: str, viewer: Viewer) -> Any:
    """The SQL for the rows of a tab; None for all, and for an unknown name."""
    tab = TABS.get(name)
    return tab.condition(today_of(viewer)) if tab is not None and tab.condition is not None else None
