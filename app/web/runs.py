"""The jobs page: last run, outcome, lag, run now; and the door to all settings."""

from __future__ import annotations

from typing import Any

from flask import current_app, flash, redirect, render_template
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from sqlalchemy import func, select

from app import access
from app.domain import permissions
from app.domain.base import NotThere
from app.extensions import db
from app.models import JobRun
from app.web.fields import Glass, span
from app.web.gate import glass
from app.web.moments import moment_cell
from app.web.screen import refuse_as_page

_TONES = {"done": "green", "failed": "red", "running": "blue"}


class JobsView(BaseView):
    """/jobs/"""

    route_base = "/jobs"
    default_view = "jobs"
    class_permission_name = "Settings"
    method_permission_name = {"jobs": "read", "run": "write"}
    base_permissions = ["can_" + verb for verb in permissions.VERBS]

    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("jobs")
    def jobs(self) -> Any:
        """Every job with its newest run."""
        seen = glass()
        last = {run.job: run for run in _newest()}
        coming = current_app.extensions["crm_next_jobs"](seen.now) if current_app.config["CRM"].scheduler else {}
        rows = [
            _row(name, last.get(name), seen) | {"next": moment_cell(coming.get(name), seen)}
            for name in current_app.extensions["crm_job_names"]
        ]
        return render_template("crm/jobs.html", jobs=rows, settings_url="/settings/")

    @expose("/run/<name>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("run")
    def run(self, name: str) -> Any:
        """Run a job now, admins only."""
        if not glass().who.is_admin:
            raise access.Denied(_("Only an admin starts jobs by hand."))
        if name not in current_app.extensions["crm_job_names"]:
            raise NotThere(_("There is no such job."))
        db.session.rollback()  # the job writes in sessions of its own
        run = current_app.extensions["crm_run_job"](name)
        flash(_("%(name)s: %(outcome)s, %(n)s items.", name=name, outcome=run.outcome, n=run.items), "success")
        return redirect("/jobs/")


def _newest() -> list[JobRun]:
    newest = select(func.max(JobRun.id)).group_by(JobRun.job)
    return list(db.session.scalars(select(JobRun).where(JobRun.id.in_(newest))))


def _row(name: str, run: JobRun | None, seen: Glass) -> dict[str, Any]:
    missing = {"kind": "missing"}
    if run is None:
        return {"name": name, "label": name, "last": missing, "duration": missing, "outcome": missing, "items": None,
                "next": missing, "run_url": f"/jobs/run/{name}" if seen.who.is_admin else None,
                "error": None}  # fmt: skip
    took = int((run.ended_on - run.started_on).total_seconds()) if run.ended_on else None
    return {
        "name": name, "label": name, "last": moment_cell(run.started_on, seen), "items": run.items,
        "duration": {"kind": "duration", "text": span(took)} if took is not None else missing,
        "outcome": {"kind": "status", "label": run.outcome, "color": _TONES.get(run.outcome, "gray")},
        "next": missing, "run_url": f"/jobs/run/{name}" if seen.who.is_admin else None, "error": run.error,
    }  # fmt: skip


class SettingsView(BaseView):
    """/settings/: everything that can be turned, by what the person may open."""

    route_base = "/settings"
    default_view = "index"
    class_permission_name = "Settings"
    method_permission_name = {"index": "read"}
    base_permissions = ["can_" + verb for verb in permissions.VERBS]

    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("index")
    def index(self) -> Any:
        """Tiles, by group."""
        return render_template("crm/settings.html", groups=current_app.extensions["crm_settings_menu"])
