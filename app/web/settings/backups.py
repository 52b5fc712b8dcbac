"""The backups page: existing backups, the last successful drill; and starting a backup, check, drill or deletion.

There is no download: a backup contains everything that masks and access rules hide. Copy it on the server.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app, flash, redirect, render_template
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app import access
from app.backups import requested_runs
from app.domain.base import Conflict, NotFound
from app.domain.maintenance import backup_runs
from app.domain.maintenance.backup_runs import BackupRun
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell, relative
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.durations import span
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage, refuse_all_but_admins

MAX_BACKUPS, MAX_RUNS = 100, 30
_COLORS = {"done": "green", "partly": "amber", "failed": "red", "running": "blue", "waiting": "gray", "cut": "amber"}
_OUTCOMES = {
    "done": _l("done"),
    "partly": _l("partly checked"),
    "failed": _l("failed"),
    "running": _l("running"),
    "waiting": _l("waiting"),
    "cut": _l("cut off"),
}
_KINDS = {"backup": _l("Backup"), "verify": _l("Check"), "drill": _l("Restore drill"), "delete": _l("Deletion")}
_CAUSES = {"schedule": _l("Schedule"), "person": _l("By hand"), "upgrade": _l("Before an upgrade")}


class BackupsView(SettingsPage):
    """/backups/"""

    route_base = "/backups"
    VERBS = {"index": "read", "now": "write", "act": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The backups, and the last runs."""
        _refuse_others()
        viewer, session = current_viewer(), db.session()
        rows, runs = backup_runs.available_backups(session, MAX_BACKUPS), backup_runs.recent(session, MAX_RUNS)
        proofs = backup_runs.proofs(session, [row.name for row in rows if row.name])
        return render_template(
            "settings/backups.html",
            states=[_state(session, kind, viewer) for kind in ("backup", "drill")],
            backups=[_backup_row(row, proofs.get(row.name or ""), viewer) for row in rows],
            runs=[_run_row(run, viewer) for run in runs],
            folder=current_app.config["CRM"].backup.folder,
        )

    @page_route("/now", methods=["POST"])
    def now(self) -> Any:
        """Back up now."""
        _refuse_others()
        _ask("backup", None)
        flash(_("The backup starts within a minute. Reload this page to see the result."), "success")
        return redirect("/backups/")

    @page_route("/<any(verify, drill, delete):kind>/<int:key>", methods=["POST"])
    def act(self, kind: str, key: int) -> Any:
        """Check, drill or delete a backup."""
        _refuse_others()
        row = access.get_visible(db.session(), BackupRun, key)
        if row is None or row.kind != "backup" or row.deleted_on is not None or not row.name:
            raise NotFound(_("There is no such backup."))
        _ask(kind, row.name)
        texts = {
            "verify": _("The check starts within a minute. Its result appears below."),
            "drill": _("The restore drill starts within a minute. Its result appears below."),
            "delete": _("The backup will be deleted within a minute."),
        }
        flash(texts[kind], "success")
        return redirect("/backups/")


def _refuse_others() -> None:
    refuse_all_but_admins(_("Only an admin can see and handle backups."))


def _ask(kind: str, name: str | None) -> None:
    """Add a run to the table and the queue. Raises Conflict while the same one is waiting or running."""
    viewer = current_viewer()
    with request_transaction() as session:
        if backup_runs.is_pending(session, kind, name):
            raise Conflict(_("This is going on already. Please wait until it has ended."))
        key = backup_runs.request_run(session, backup_runs.WantedRun(kind, name), viewer.stamp).id
    requested_runs.enqueue(key)


# --- cells


def _state(session: Any, kind: str, viewer: Viewer) -> dict[str, Any]:
    """The card above the table: {title, text, tone, icon}."""
    last = backup_runs.last_good(session, kind)
    age = viewer.now - last.ended_on if last is not None and last.ended_on else None
    is_late = age is None or age > backup_runs.MAX_AGE
    titles = {"backup": _("Last good backup"), "drill": _("Last good restore drill")}
    if last is None or last.ended_on is None:
        text = _("There has been none yet.")
    elif kind == "drill":
        text = _("%(name)s, %(when)s. %(what)s", name=last.name, when=relative(last.ended_on, viewer), what=_what(last))
    else:
        text = _("%(name)s, %(when)s", name=last.name, when=relative(last.ended_on, viewer))
    icon = "alert-triangle" if is_late else ("database" if kind == "backup" else "shield-check")
    tone = "red" if is_late else ("amber" if last and last.outcome == "partly" else "green")
    return {"title": titles[kind], "text": text, "tone": tone, "icon": icon}


def _what(run: BackupRun) -> str:
    """The recorded findings of a check or drill."""
    details = run.details or {}
    return " ".join([*details.get("faults", ()), *details.get("unchecked", ()), *details.get("checked", ())][:3])


def _backup_row(row: BackupRun, proof: BackupRun | None, viewer: Viewer) -> dict[str, Any]:
    details = row.details or {}
    parts, missing = details.get("parts", {}), {"kind": "missing"}
    return {
        "id": row.id,
        "name": row.name,
        "at": moment_cell(row.ended_on, viewer) | {"text": _clock(row.ended_on, viewer)},
        "age": span(int((viewer.now - row.ended_on) / timedelta(seconds=1))) if row.ended_on else "",
        "cause": _CAUSES.get(details.get("cause", ""), ""),
        "database": _bytes(parts.get("database")),
        "rows": grouped(details.get("rows", 0)),
        "files": details.get("files"),
        "files_size": _bytes(details.get("files_size")),
        "encryption": details.get("encryption"),
        "is_copied": row.copied_on is not None,
        "proof": _outcome(proof) | {"label": _proof_label(proof)} if proof is not None else missing,
        "proof_at": moment_cell(proof.ended_on, viewer) if proof is not None else missing,
        "remarks": " ".join([*details.get("remarks", ()), *([row.error] if row.error else [])]),
    }


def _clock(moment: datetime | None, viewer: Viewer) -> str:
    return format_local_date(moment.astimezone(viewer.zone), "%-d %b, %H:%M") if moment else ""


def _proof_label(proof: BackupRun) -> str:
    return f"{_KINDS[proof.kind]}: {_OUTCOMES[proof.outcome]}"


def _run_row(run: BackupRun, viewer: Viewer) -> dict[str, Any]:
    took = (run.ended_on - run.started_on).total_seconds() if run.ended_on and run.started_on else None
    by = viewer.lookups.person(run.created_by_id)
    return {
        "kind": _KINDS.get(run.kind, run.kind),
        "name": run.name,
        "at": moment_cell(run.started_on or run.created_on, viewer),
        "took": span(max(1, round(took))) if took is not None else "",
        "outcome": _outcome(run),
        "by": (by or {}).get("full_name") or (_("Schedule") if run.slot else _("Command line")),
        "text": run.error or _what(run),
        "ran_by": run.ran_by,
    }


def _outcome(run: BackupRun) -> dict[str, Any]:
    return {
        "kind": "status",
        "label": _OUTCOMES.get(run.outcome, run.outcome),
        "color": _COLORS.get(run.outcome, "gray"),
    }


def _bytes(count: int | None) -> str:
    """A size for people: 12.3 MB."""
    if count is None:
        return ""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
