"""The page of a report's schedules: times, readers, format, and past runs."""

from __future__ import annotations

from typing import Any

from flask import current_app, flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain import report_schedules, reports
from app.domain.base import NotFound, RuleBroken
from app.domain.report_schedules import FORMATS, MANUAL_PREFIX, RHYTHMS, ReportRun, ReportSchedule, ScheduleInput
from app.domain.reports import Report
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.lib.ids import parse_id
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.lists.figure_filter import weekdays
from app.web.reports import schedule_worker
from app.web.reports.pages import BASE, visible_report

#: Runs that are listed.
MOST = 50
_CHIPS = {
    **dict.fromkeys(("waiting", "making", "queued", "sending"), "blue"),
    **{"sent": "green", "failed": "red", "unknown": "amber", "dropped": "gray"},
}


class ReportSchedulesView(ModulePermissions, BaseView):
    """/reports/<id>/schedules"""

    route_base = "/reports"
    default_view = "schedules"
    module = "Reports"
    VERBS = dict.fromkeys(("schedules", "schedule", "act"), "create")

    @page_route("/<int:key>/schedules", methods=["GET", "POST"])
    def schedules(self, key: int) -> Any:
        """The schedules of the person's own report, their history, and a form for a new one."""
        return self._form(key, None)

    @page_route("/<int:key>/schedules/<int:schedule>", methods=["GET", "POST"])
    def schedule(self, key: int, schedule: int) -> Any:
        """Change a schedule."""
        return self._form(key, schedule)

    def _form(self, key: int, schedule: int | None) -> Any:
        viewer, report = current_viewer(), own_report(key)
        row = _schedule(report, schedule) if schedule is not None else None
        if request.method == "GET":
            return self._page(report, row, viewer)
        try:
            schedule_input = _schedule_input(viewer)
            with request_transaction() as session:
                stored = session.get(ReportSchedule, row.id) if row is not None else None
                zone = current_app.config["CRM"].time_zone
                report_schedules.save(
                    session, stored, session.get_one(Report, key), schedule_input, (viewer.stamp, zone)
                )
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            return self._page(own_report(key), row, viewer, (sentence, errors)), status
        flash(_("The schedule is saved."), "success")
        return redirect(f"{BASE}{key}/schedules")

    def _page(
        self, report: Report, row: ReportSchedule | None, viewer: Viewer, problem: tuple[str, Any] = ("", {})
    ) -> str:
        rows = db.session.scalars(
            select(ReportSchedule).where(ReportSchedule.report_id == report.id).order_by(ReportSchedule.id)
        ).all()
        keys = [each.id for each in rows]
        runs = select(ReportRun).where(ReportRun.schedule_id.in_(keys)).order_by(ReportRun.id.desc()).limit(MOST)
        return str(
            self.render_template(
                "reports/schedules.html",
                report=report,
                schedules=[_shown(each, viewer) for each in rows],
                runs=[_shown_run(each, viewer) for each in db.session.scalars(runs)] if keys else [],
                form=_form_values(row, viewer),
                error=problem[0],
                errors=problem[1],
                zone=current_app.config["CRM"].time_zone,
                has_mail=current_app.config["CRM"].smtp_url is not None,
            )
        )

    @page_route("/<int:key>/schedules/<int:schedule>/<any(pause, resume, send, delete):what>", methods=["POST"])
    def act(self, key: int, schedule: int, what: str) -> Any:
        """Pause, resume or delete a schedule, or send it now."""
        viewer = current_viewer()
        _schedule(own_report(key), schedule)
        made: list[int] = []
        with request_transaction() as session:
            row = session.get_one(ReportSchedule, schedule)
            if what == "pause":
                report_schedules.pause(row, viewer.stamp)
            elif what == "resume":
                report_schedules.resume(row, viewer.stamp, current_app.config["CRM"].time_zone)
            elif what == "send":
                made = report_schedules.send_now(session, row, viewer.stamp)
            else:
                session.delete(row)
        for each in made:
            schedule_worker.enqueue(each)
        flash(_done_message(what), "success")
        return redirect(f"{BASE}{key}/schedules")


def own_report(key: int) -> Report:
    """A report of the person's own. Raises NotFound, RuleBroken, Denied."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Reports", "create")
    return reports.refuse_foreign(visible_report(key), viewer.person.id)


def _schedule(report: Report, key: int) -> ReportSchedule:
    mine = (ReportSchedule.id == key, ReportSchedule.report_id == report.id)
    found = db.session.scalars(select(ReportSchedule).where(*mine)).first() if key < 2**31 else None
    if found is None:
        raise NotFound(_("There is no such schedule of this report."))
    return found


def _schedule_input(viewer: Viewer) -> ScheduleInput:
    form = request.form
    rhythm = form.get("rhythm", "")
    day = form.get("weekday" if rhythm == "weekly" else "day", "")
    times = report_schedules.read_times(rhythm, form.get("at", ""), day)
    readers = [parse_id(each) for each in form.getlist("readers")]
    if any(each is None or each not in viewer.lookups.active for each in readers):
        raise RuleBroken(_("One of the readers isn't an active colleague. Please choose from the list."), "readers")
    return ScheduleInput(times, form.get("format", ""), tuple(each for each in readers if each is not None))


def _done_message(what: str) -> str:
    return {
        "pause": _("The schedule is paused."),
        "resume": _("The schedule runs again."),
        "send": _("The report is on its way. Its state is below."),
        "delete": _("The schedule is deleted."),
    }[what]


# --- display


def rhythm_words() -> dict[str, str]:
    """Labels of the frequencies."""
    return {"daily": _("Every day"), "weekly": _("Every week"), "monthly": _("Every month")}


def when_of(row: ReportSchedule) -> str:
    """The frequency and time of a schedule, as text."""
    if row.rhythm == "daily":
        return _("Every day at %(at)s", at=row.at)
    if row.rhythm == "weekly":
        return _("Every %(day)s at %(at)s", day=weekdays()[row.day], at=row.at)
    return _("On day %(day)s of every month at %(at)s", day=row.day, at=row.at)


def _shown(row: ReportSchedule, viewer: Viewer) -> dict[str, Any]:
    people = [str((viewer.lookups.person(key) or {}).get("full_name", _("Removed"))) for key in row.readers]
    return {
        "id": row.id,
        "when": when_of(row),
        "format": row.format.upper(),
        "readers": ", ".join(people),
        "next": moment_cell(row.next_on, viewer),
        "is_paused": row.paused_on is not None,
        "why": translate_text(row.paused_why or ""),
    }


def _shown_run(row: ReportRun, viewer: Viewer) -> dict[str, Any]:
    words = {
        "waiting": _("Waiting"),
        "making": _("Being made"),
        "queued": _("To be sent"),
        "sending": _("Being sent"),
        "sent": _("Sent"),
        "failed": _("Failed"),
        "unknown": _("Unknown"),
        "dropped": _("Not sent"),
    }
    is_manual = row.slot.startswith(MANUAL_PREFIX)
    return {
        "slot": _("Sent by hand") if is_manual else row.slot,
        "reader": (viewer.lookups.person(row.user_id) or {}).get("full_name", ""),
        "chip": {"kind": "status", "label": words[row.state], "color": _CHIPS[row.state]},
        "rows": grouped(row.rows),
        "size": f"{grouped(max(1, row.size // 1000))} kB" if row.size else "–",
        "took": f"{row.took_ms / 1000:.1f} s" if row.took_ms else "–",
        "at": moment_cell(row.at, viewer),
        "error": translate_text(row.error or ""),
        "missed": row.missed,
    }


#: Rhythm -> the value of the form with its day.
_DAY_INPUTS = {"weekly": "weekday", "monthly": "monthday"}


def _form_values(row: ReportSchedule | None, viewer: Viewer) -> dict[str, Any]:
    """The form's values: the input, else the schedule, else every Monday at nine, to oneself."""
    typed = request.form if request.method == "POST" else None
    stored: dict[str, Any] = {"rhythm": row.rhythm, "at": row.at, "format": row.format} if row is not None else {}
    if row is not None and row.rhythm in _DAY_INPUTS:
        stored[_DAY_INPUTS[row.rhythm]] = row.day
    readers = row.readers if row is not None else [viewer.person.id]
    if typed is not None:
        stored = {name: typed[name] for name in ("rhythm", "at", "format", "weekday") if name in typed}
        stored |= {"monthday": typed["day"]} if "day" in typed else {}
        readers = [key for each in typed.getlist("readers") if (key := parse_id(each)) is not None]
    shown = {"rhythm": "weekly", "at": "09:00", "weekday": 0, "monthday": 1, "format": "xlsx"} | stored
    people = viewer.lookups.people
    chosen = [(key, people[key]["full_name"]) for key in readers if key in people]
    return shown | {
        "id": row.id if row is not None else None,
        "readers": chosen,
        "rhythms": [(each, rhythm_words()[each]) for each in RHYTHMS],
        "weekdays": list(enumerate(weekdays())),
        "formats": FORMATS,
    }
