"""My day, the home page: overdue, upcoming and new work."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import abort, render_template, request
from flask_appbuilder import IndexView, expose
from flask_babel import gettext as _
from flask_babel import ngettext

from app.lib.digit_grouping import CappedInt
from app.web.core.fab_access import current_viewer, signed_in
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.queries.replica_lists import from_replica
from app.web.pages.cached_page_frame import Document, render_document
from app.web.workday import my_day_sections
from app.web.workday.my_day_queries import MAX_COUNTED


class HomeView(IndexView):
    """/"""

    index_template = "workday/my_day.html"

    @expose("/")
    @signed_in
    @from_replica
    def index(self) -> Any:
        """The page; one section with more rows for ?only=; a fragment for htmx."""
        viewer, only = current_viewer(), request.args.get("only", "")[:20]
        sections = my_day_sections.sections(viewer, only)
        if only and not sections:
            abort(404)
        local = viewer.now.astimezone(viewer.zone)
        first = viewer.person.full_name.split()[0] if viewer.person.full_name else viewer.person.username
        words = {
            "parts": sections,
            "greeting": _greeting(local, first),
            "today": format_local_date(local, "%A, %-d %B %Y"),
            "only": only,
            "summary": _summary(sections),
            "most": my_day_sections.MAX_ROWS,
            "has_numbers": viewer.person.may("Dashboard", "read"),
        }
        if not request.headers.get("HX-Request"):
            section = {"section": sections[0].title} if only else {}
            return render_document(Document(self.index_template, section), "workday/_my_day_page.html", words)
        # An action in a dialog redirects here; the response belongs to the page, not to the dialog.
        is_quiet = request.headers.get("HX-Target") == "day-parts"
        place = {} if is_quiet else {"HX-Retarget": "#day", "HX-Reswap": "outerHTML"}
        return render_template("workday/_my_day.html", **words, is_part=True), 200, place


def _greeting(local: datetime, name: str) -> str:
    if local.hour < 12:
        return _("Good morning, %(name)s", name=name)
    return _("Good afternoon, %(name)s", name=name) if local.hour < 17 else _("Good evening, %(name)s", name=name)


def _summary(sections: list[my_day_sections.DaySection]) -> str:
    """The numbers overdue and due today; empty if both are zero."""
    count = {section.name: section.count for section in sections}
    late, today = count.get("overdue", 0), count.get("soon", 0) + count.get("later", 0)
    parts = []
    if late:
        parts.append(ngettext("%(num)s overdue", "%(num)s overdue", CappedInt(late, MAX_COUNTED)))
    if today:
        parts.append(ngettext("%(num)s today", "%(num)s today", CappedInt(today, MAX_COUNTED)))
    return ", ".join(parts)
