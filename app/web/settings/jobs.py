"""The jobs page: which process runs them, the last runs of each, and running one now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import current_app, flash, redirect, render_template, request
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from sqlalchemy import or_, select

from app import access
from app.domain.base import NotFound
from app.domain.maintenance import job_health
from app.domain.maintenance.job_runs import newest_runs
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.models import JobRun
from app.ops.monitoring import process_health
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell, relative
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.durations import milliseconds, span
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage

#: How many runs of a job are shown.
MAX_RUNS = 100
_OUTCOME_COLORS = {"done": "green", "failed": "red", "running": "blue", "cut": "amber"}
#: Filters of a job's runs: ?show= -> conditions.
_FILTERS: dict[str, tuple[Any, ...]] = {
    "busy": (or_(JobRun.items > 0, JobRun.failed_items > 0, JobRun.outcome == "failed"),),
    "failed": (or_(JobRun.failed_items > 0, JobRun.outcome == "failed"),),
}


class JobsView(SettingsPage):
    """/jobs/"""

    route_base = "/jobs"
    default_view = "jobs"
    VERBS = {"jobs": "read", "history": "read", "run": "write"}

    @page_route("/")
    def jobs(self) -> Any:
        """The state of the scheduler, and every job with its newest run."""
        viewer, names = current_viewer(), current_app.extensions["crm_job_names"]
        last = newest_runs(db.session(), names)
        next_runs = current_app.extensions["crm_next_jobs"](viewer.now)
        state = _state(last, viewer)
        rows = [
            _cells(last.get(name), viewer)
            | {
                "name": _(name),
                "url": f"/jobs/{quote(name)}/",
                "run_url": _run_url(name, viewer),
                "next": moment_cell(next_runs.get(name) if state["goes_on"] else None, viewer),
            }
            for name in names
        ]
        return render_template(
            "settings/jobs.html", jobs=rows, state=state, always_open=viewer.lookups.office.is_always_open
        )

    @page_route("/<name>/")
    def history(self, name: str) -> Any:
        """The last runs of one job, newest first."""
        _refuse_unknown(name)
        viewer, shown = current_viewer(), request.args.get("show", "")
        query = select(JobRun).where(JobRun.job == name, *_FILTERS.get(shown, ()))
        rows = db.session.scalars(query.order_by(JobRun.started_on.desc()).limit(MAX_RUNS)).all()
        page = {"name": _(name), "run_url": _run_url(name, viewer), "shown": shown if shown in _FILTERS else ""}
        return render_template("settings/job.html", job=page, runs=[_cells(run, viewer) for run in rows], most=MAX_RUNS)

    @page_route("/run/<name>", methods=["POST"])
    def run(self, name: str) -> Any:
        """Run a job now, admins only."""
        if not current_viewer().person.is_admin:
            raise access.Denied(_("Only an admin can run jobs manually."))
        _refuse_unknown(name)
        db.session.rollback()  # the job writes in sessions of its own
        run = current_app.extensions["crm_run_job"](name)
        words = {"name": _(name), "outcome": _outcome(run.outcome), "n": grouped(run.items)}
        words["failed"] = grouped(run.failed_items)
        if run.failed_items:
            text = _n(
                "%(name)s: %(outcome)s, %(n)s item, %(failed)s failed.",
                "%(name)s: %(outcome)s, %(n)s items, %(failed)s failed.",
                run.items,
                **words,
            )
            flash(text, "danger")
        else:
            text = _n("%(name)s: %(outcome)s, %(n)s item.", "%(name)s: %(outcome)s, %(n)s items.", run.items, **words)
            flash(text, "success" if run.outcome == "done" else "danger")
        return redirect(f"/jobs/{quote(name)}/" if run.error else "/jobs/")


def _refuse_unknown(name: str) -> None:
    if name not in current_app.extensions["crm_job_names"]:
        raise NotFound(_("There is no such job."))


def _run_url(name: str, viewer: Viewer) -> str | None:
    return f"/jobs/run/{quote(name)}" if viewer.person.is_admin else None


# --- the scheduler


def _state(last: dict[str, JobRun], viewer: Viewer) -> dict[str, Any]:
    """Whether a process runs the jobs: {title, text, tone, icon, goes_on}."""
    if wrong_clock := process_health.find_note("clock"):
        return _clock_wrong(wrong_clock)
    minutely = [last[name] for name in current_app.extensions["crm_minute_jobs"] if name in last]
    run = max((run for run in minutely if not run.is_manual), key=lambda run: run.started_on, default=None)
    if run is not None and run.started_on - viewer.now > job_health.LATE_AFTER:
        return _clock_set_back(run, viewer)
    if run is not None and viewer.now - run.started_on <= job_health.LATE_AFTER:
        who = run.ran_by or _("One process")
        text = _("%(who)s is the leader. Its last run started %(when)s.", who=who, when=_ago(run, viewer))
        return {
            "title": _("Jobs are running"),
            "text": text,
            "tone": "green",
            "icon": "heart-rate-monitor",
            "goes_on": True,
        }
    is_scheduler_here = current_app.config["CRM"].scheduler
    state = _delayed(run, viewer) if run is not None else {"title": _("No job has run yet"), "tone": "amber"}
    if is_scheduler_here and current_app.config["CRM"].runs_schedule_beside:
        text = _("The process that runs them is replaced when it ends or hangs. The log of the server says more.")
    elif is_scheduler_here:
        text = _("This process can run jobs and takes over within seconds if no other process does.")
    else:
        state |= {"title": _("Jobs are not running: CRM_SCHEDULER is off everywhere"), "tone": "red"}
        text = _(
            "Start one process with CRM_SCHEDULER=on. Until then, no tasks are reassigned and no reminders are sent."
        )
    return state | {
        "text": " ".join(filter(None, (state.get("text"), text))),
        "icon": "alert-triangle",
        "goes_on": is_scheduler_here,
    }


def _clock_wrong(note: str) -> dict[str, Any]:
    """The state when this server's clock differs from the database's; another server may run the jobs."""
    text = _("%(note)s. It runs no jobs until its clock is right; other servers do.", note=note.capitalize())
    return {
        "title": _("This server's clock is wrong"),
        "text": text,
        "tone": "red",
        "icon": "alert-triangle",
        "goes_on": True,
    }


def _clock_set_back(run: JobRun, viewer: Viewer) -> dict[str, Any]:
    """The state when the clock was set back: slots that have run are not run again."""
    local = run.started_on.astimezone(viewer.zone)
    text = _(
        "The last run has a later time than now. Jobs are paused until %(time)s. Please check the clock.",
        time=format_local_date(local, "%-d %b %Y, %H:%M"),
    )
    return {
        "title": _("The clock was set back"),
        "text": text,
        "tone": "red",
        "icon": "alert-triangle",
        "goes_on": False,
    }


def _delayed(run: JobRun, viewer: Viewer) -> dict[str, Any]:
    local = run.started_on.astimezone(viewer.zone)
    title = _("Jobs have been delayed since %(time)s", time=format_local_date(local, "%-d %b %Y, %H:%M"))
    text = _("The last run started %(when)s.", when=_ago(run, viewer))
    return {"title": title, "tone": "red", "text": text}


def _ago(run: JobRun, viewer: Viewer) -> str:
    if (viewer.now - run.started_on).total_seconds() < 60:
        return str(_("less than a minute ago"))
    return relative(run.started_on, viewer)


# --- cells


def _outcome(outcome: str) -> str:
    words = {"done": _("done"), "failed": _("failed"), "running": _("running"), "cut": _("cut off")}
    return words.get(outcome, outcome)


def _cells(run: JobRun | None, viewer: Viewer) -> dict[str, Any]:
    """A run for the tables; missing cells if there was none."""
    if run is None:
        missing = {"kind": "missing"}
        return dict.fromkeys(("started", "took", "outcome", "lag"), missing) | {
            "items": None,
            "failed": 0,
            "error": None,
            "ran_by": None,
            "slot": None,
        }
    took = (run.ended_on - run.started_on).total_seconds() if run.ended_on else None
    is_hanging = run.outcome == "running" and viewer.now - run.started_on > job_health.LATE_AFTER
    outcome = {
        "kind": "status",
        "label": _("not responding") if is_hanging else _outcome(run.outcome),
        "color": "red" if is_hanging else _OUTCOME_COLORS.get(run.outcome, "gray"),
    }
    return {
        "started": moment_cell(run.started_on, viewer),
        "outcome": outcome,
        "error": run.error,
        "ran_by": run.ran_by,
        "took": {"kind": "duration", "text": _duration_text(took)},
        "items": run.items,
        "failed": run.failed_items,
        "lag": {"kind": "missing"} if run.is_manual else {"kind": "duration", "text": span(run.lag_seconds)},
        "slot": _("manual") if run.is_manual else _slot_text(run.slot, viewer),
        "began": _started_cell(run, viewer),
    }


def _slot_text(name: str, viewer: Viewer) -> str:
    """The slot as text: names of minutes are UTC, names of days are in office time.

    “(2)” continues an interrupted run.
    """
    name, blank, number = name.partition(" (")
    if not name.endswith("Z"):
        return name + blank + number
    try:
        return f"{datetime.fromisoformat(name).astimezone(viewer.zone):%H:%M}{blank}{number}"
    except ValueError:
        return name


def _started_cell(run: JobRun, viewer: Viewer) -> dict[str, Any]:
    """The start with seconds, because runs follow each other by the minute."""
    local = run.started_on.astimezone(viewer.zone)
    return moment_cell(run.started_on, viewer) | {"text": format_local_date(local, "%-d %b, %H:%M:%S")}


def _duration_text(took: float | None) -> str | None:
    """A duration; in milliseconds under one second."""
    if took is None:
        return None
    return milliseconds(took) if took < 1 else span(round(took))
