"""Moving a task in the calendar: changes its due time through the form's service."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _

from app.domain import calendar_range
from app.domain.base import RuleBroken
from app.domain.tasks import Task
from app.extensions import db
from app.web.core.fab_access import current_viewer, parse_integer, sentence_header
from app.web.core.fields.date_fields import DateField
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records.lists import calendar_items
from app.web.records.task_actions import TaskActions


class CalendarMoves(TaskActions):
    """A screen of tasks with a calendar."""

    VERBS = TaskActions.VERBS | {"calendar_move": "write"}
    has_calendar = True

    @page_route("/calendar/move/<pk>", methods=["POST"], permission="edit")
    def calendar_move(self, pk: str) -> Any:
        """Change the due time: `to` is a day or a local time, `days` and `minutes` are steps. Returns the item."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        key, version = row.id, parse_integer(request.form.get("version"), 0, 0, 2**31) or None
        values = self.record_table.parse({"due_on": requested_due(row, request.form, viewer)}, "edit", viewer)
        self.change_row(row, values, version, viewer)
        db.session.commit()
        sentences = save_warnings.pop_all()
        if not request.headers.get("HX-Request"):
            for sentence in sentences:
                flash(sentence, "warning")
            return redirect(previous_page())
        shown = self.record_table.one(db.session(), key, calendar_items.NAMES)
        if shown is None:  # moved out of reach
            return ""
        self.record_table.prepare([shown], calendar_items.NAMES, viewer)
        item = calendar_items.task_item(self, shown, viewer)
        html = render_template("records/_calendar_item.html", item=item, may_move=True)
        return html, 200, (sentence_header(" ".join(sentences)) if sentences else {})


def requested_due(row: Task, form: Any, viewer: Viewer) -> Any:
    """The requested due time in the form field's format. Raises RuleBroken."""
    to = form.get("to", "").strip()
    if to and len(to) > len("2026-11-30"):
        return to
    days, minutes = parse_integer(form.get("days"), 0, -366, 366), parse_integer(form.get("minutes"), 0, -1440, 1440)
    if not to and not days and not minutes:
        raise RuleBroken(_("Say to which day or time the task goes."), "to")
    if row.due_on is None:
        raise RuleBroken(_("This task has no due time. Please open it and enter one."), "due_on")
    if to:
        day: date = DateField("to").parse(to, viewer)
        return _on(row.due_on, day, viewer)
    try:
        day = row.due_on.astimezone(viewer.zone).date() + timedelta(days=days)
        return _on(row.due_on, day, viewer) + timedelta(minutes=minutes)
    except OverflowError:
        raise RuleBroken(_("Say to which day or time the task goes."), "to") from None


def _on(moment: datetime, day: date, viewer: Viewer) -> datetime:
    """On this day at the same time; unchanged on its own day, which may have this time twice."""
    moment = moment.astimezone(UTC)
    if moment.astimezone(viewer.zone).date() == day:
        return moment
    return calendar_range.on_day(moment, day, viewer.zone)
