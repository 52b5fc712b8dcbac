"""My day: what is overdue, what comes next, what is new; the page that people start from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import abort, render_template, request
from flask_appbuilder import IndexView, expose
from flask_babel import gettext as _
from flask_babel import ngettext

from app.web.core.gate import current_viewer, signed_in
from app.web.workday import my_day_sections


class HomeView(IndexView):
    """/"""

    index_template = "crm/home.html"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """My day; one part of it in full with ?only=; its inside alone for a script."""
        viewer, only = current_viewer(), request.args.get("only", "")[:20]
        parts = my_day_sections.parts(viewer, only)
        if only and not parts:
            abort(404)
        local = viewer.now.astimezone(viewer.zone)
        first = viewer.person.full_name.split()[0] if viewer.person.full_name else viewer.person.username
        words = {
            "parts": parts,
            "greeting": _greeting(local, first),
            "today": f"{local:%A, %-d %B %Y}",
            "only": only,
            "summary": _summary(parts),
            "most": my_day_sections.ROWS,
        }
        if not request.headers.get("HX-Request"):
            return render_template(self.index_template, **words)
        # A step taken in a dialog comes back here by redirect: its answer belongs to the page, not to the dialog.
        is_quiet = request.headers.get("HX-Target") == "day-parts"
        place = {} if is_quiet else {"HX-Retarget": "#day", "HX-Reswap": "outerHTML"}
        return render_template("day/_day.html", **words, is_part=True), 200, place


def _greeting(local: datetime, name: str) -> str:
    if local.hour < 12:
        return _("Good morning, %(name)s", name=name)
    return _("Good afternoon, %(name)s", name=name) if local.hour < 17 else _("Good evening, %(name)s", name=name)


def _summary(parts: list[my_day_sections.DaySection]) -> str:
    """Overdue and due today, as half a sentence; empty when nothing is."""
    count = {part.name: part.count for part in parts}
    late, today = count.get("overdue", 0), count.get("soon", 0) + count.get("later", 0)
    said = []
    if late:
        said.append(ngettext("%(num)s overdue", "%(num)s overdue", late))
    if today:
        said.append(ngettext("%(num)s today", "%(num)s today", today))
    return ", ".join(said)
