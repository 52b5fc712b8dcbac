"""Built-in reports: the monthly summary of calls."""

from __future__ import annotations

from datetime import timedelta

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.domain.analytics import call_summary
from app.domain.periods import Period
from app.lib.spreadsheet_formulas import as_text
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.durations import span
from app.web.core.viewer import Viewer
from app.web.dashboards.call_export import as_csv, as_xlsx, exportable
from app.web.records.lists.figure_filter import dates, scope_of
from app.web.reports import relative_dates
from app.web.reports.definition import ReportDefinition
from app.web.reports.table import ReportTable

CALL_SUMMARY = "call_summary"
#: Kind -> (name, the module whose permission decides).
READY = {CALL_SUMMARY: (_l("Monthly call summary"), "Call Logs")}


def label_of(kind: str) -> str:
    """The name of a built-in report."""
    return str(READY[kind][0])


def check(definition: ReportDefinition, viewer: Viewer, verb: str) -> None:
    """Raise Denied if the person may not see it."""
    viewer.person.refuse_unless(READY[definition.kind][1], verb)


def period_of(definition: ReportDefinition, viewer: Viewer) -> Period:
    """The days that it covers; last month by default."""
    span = definition.period.span if definition.period else "last_month"
    first, after = relative_dates.ends(span, viewer.today)
    return Period(first, after - timedelta(days=1), viewer.zone)


def _summary(session: Session, definition: ReportDefinition, viewer: Viewer, verb: str) -> call_summary.Summary:
    scope = scope_of(period_of(definition, viewer), viewer, viewer.person.reach("Dashboard"))
    return call_summary.summarize(session, scope, *(exportable(viewer) if verb == "export" else ()))


def _names(viewer: Viewer) -> dict[int, str]:
    return {key: as_text(card["full_name"]) for key, card in viewer.lookups.people.items()}


def run(session: Session, definition: ReportDefinition, viewer: Viewer, verb: str) -> ReportTable:
    """The summary as a table: each row with its month. Raises Denied."""
    check(definition, viewer, verb)
    heads = [_("Incoming calls"), _("Duration"), _("Outgoing calls"), _("Duration"), _("All calls"), _("Duration")]
    about = dates(period_of(definition, viewer))
    made = ReportTable(
        label_of(definition.kind), [_("Month"), _("Caller"), *heads], names=2, is_grouped=True, about=about
    )
    names, words = _names(viewer), (_("Nobody"), _("Total"))
    for month, people in _summary(session, definition, viewer, verb).items():
        title = format_local_date(month, "%b %Y")
        rows = list(call_summary.rows_of_month(people, names, words, span))
        made.rows += [[title, *row] for row in rows]
        made.urls += [""] * len(rows)
        made.count += int(rows[-1][5])
    return made


def file_of(session: Session, definition: ReportDefinition, viewer: Viewer, format_: str) -> tuple[bytes, int]:
    """The summary as CSV or XLSX, as on the dashboard of calls, and its number of rows. Raises Denied."""
    check(definition, viewer, "export")
    summary = _summary(session, definition, viewer, "export")
    rows = list(call_summary.table(summary, _names(viewer), (_("Nobody"), _("Total"))))
    return (as_csv(rows) if format_ == "csv" else as_xlsx(rows)), len(rows)
