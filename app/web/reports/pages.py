"""The pages of reports: the list, one report, the builder, and files."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import reports
from app.domain.base import NotFound, RuleBroken
from app.domain.report_schedules import FORMATS
from app.domain.reports import Report
from app.extensions import db
from app.lib.ids import parse_id
from app.models import ReportSchedule, Role
from app.ops.database.connections import WRITES
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.request_transaction import request_transaction
from app.web.core.view_registry import screen_of_kind
from app.web.core.viewer import Viewer
from app.web.core.views import list_preferences
from app.web.pages.routes import page_route
from app.web.records.lists.saved_views import may_share
from app.web.reports import builder, built_in_reports, files, long_files, rendering, running
from app.web.reports.definition import AT_ONCE, ReportDefinition, read

BASE = "/reports/"


class ReportsView(ModulePermissions, BaseView):
    """/reports/"""

    route_base = "/reports"
    default_view = "index"
    module = "Reports"
    VERBS = {
        **dict.fromkeys(("index", "one", "file", "change"), "read"),
        **dict.fromkeys(("new", "edit", "preview", "duplicate"), "create"),
    }

    @page_route("/")
    def index(self) -> Any:
        """The person's own reports, those shared with them whose records they may see, and built-in ones."""
        viewer = current_viewer()
        rows = listed_reports(viewer)
        pinned = {key for key, _label in list_preferences.preferences_of(viewer).reports}
        scheduled = set(db.session.scalars(select(ReportSchedule.report_id).where(ReportSchedule.paused_on.is_(None))))
        shown = [_shown(row, viewer, pinned, scheduled) for row in rows]
        return self.render_template(
            "reports/list.html",
            own=[each for each in shown if each["is_own"]],
            shared=[each for each in shown if not each["is_own"]],
            ready=_ready(viewer),
            may_create=viewer.person.may("Reports", "create"),
        )

    @page_route("/new", methods=["GET", "POST"])
    def new(self) -> Any:
        """Choose the records, then build."""
        viewer = current_viewer()
        viewer.person.refuse_unless("Reports", "create")
        if request.method == "GET" and not request.args.get("kind"):
            return self.render_template("reports/new.html", kinds=builder.offered_kinds(viewer))
        if request.method == "GET":
            return self._builder(builder.start(request.args["kind"], viewer), None, viewer)
        return self._save(None, viewer)

    @page_route("/<int:key>/edit", methods=["GET", "POST"])
    def edit(self, key: int) -> Any:
        """Change the person's own report."""
        viewer = current_viewer()
        viewer.person.refuse_unless("Reports", "create")
        report = reports.refuse_foreign(report_of(key), viewer.person.id)
        if request.method == "GET":
            return self._builder(definition_of(report), report, viewer)
        return self._save(report, viewer)

    def _save(self, report: Report | None, viewer: Viewer) -> Any:
        try:
            definition = builder.from_form(request.form, viewer)
            refuse_unusable(definition, viewer)
            stored = store(report, definition, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            typed = typed_definition(viewer, report)
            return self._builder(typed, report, viewer, (sentence, errors)), status
        list_preferences.forget()
        flash(_("Report “%(name)s” saved.", name=stored.label), "success")
        return redirect(f"{BASE}{stored.id}/")

    def _builder(
        self, definition: ReportDefinition, report: Report | None, viewer: Viewer, problem: tuple[str, Any] = ("", {})
    ) -> str:
        is_sent = request.method == "POST"
        audience = (
            "me" if report is None else str(report.role_id or "me") if report.audience == "role" else report.audience
        )
        page = builder.context(definition, viewer) | {
            "report": report,
            "label": request.form.get("label", "") if is_sent else (report.label if report else ""),
            "audience": request.form.get("audience", "me") if is_sent else audience,
            "audiences": _audiences(viewer),
            "action": f"{BASE}{report.id}/edit" if report else f"{BASE}new",
            "back": f"{BASE}{report.id}/" if report else BASE,
            "error": problem[0],
            "errors": problem[1],
        }
        return str(self.render_template("reports/builder.html", page=page, result=result_of(definition, viewer)))

    @page_route("/preview", methods=["POST"])
    def preview(self) -> Any:
        """The result of the form, without saving it: a fragment for htmx, else the page of the builder."""
        db.session.rollback()
        WRITES.set(False)  # it only reads: on SQLite nobody else has to wait
        viewer = current_viewer()
        viewer.person.refuse_unless("Reports", "create")
        if not request.headers.get("HX-Request"):
            key = parse_id(request.form.get("report", ""))
            return self._builder(typed_definition(viewer, None), report_of(key) if key else None, viewer)
        try:
            result = result_of(builder.from_form(request.form, viewer), viewer)
        except REFUSABLE as broken:
            result = {"error": refusal(broken).sentence}
        return render_template("reports/_result.html", result=result)

    @page_route("/<int:key>/")
    def one(self, key: int) -> Any:
        """A report as this person may see it now."""
        viewer = current_viewer()
        report = visible_report(key)
        is_own = report.owner_id == viewer.person.id
        definition = definition_of(report)
        return self.render_template(
            "reports/report.html",
            report=report,
            result=result_of(definition, viewer),
            owner=(viewer.lookups.person(report.owner_id) or {}).get("full_name", ""),
            is_own=is_own,
            is_pinned=key in {each for each, _label in list_preferences.preferences_of(viewer).reports},
            may_create=viewer.person.may("Reports", "create"),
            formats=FORMATS if may_export(definition, viewer) else (),
            may_be_long=definition.limit > AT_ONCE,
        )

    @page_route("/<int:key>/file.<any(csv, xlsx, pdf):format_>", methods=["GET", "POST"])
    def file(self, key: int, format_: str) -> Any:
        """A report as a file; a POST has a long one written in the background."""
        db.session.rollback()
        WRITES.set(False)  # it reads for a while: on SQLite nobody else has to wait
        viewer, report = current_viewer(), visible_report(key)
        definition = definition_of(report)
        if request.method == "POST" and format_ != "pdf" and running.is_long(db.session(), definition, viewer):
            return redirect(f"/exports/{long_files.request_file(report, format_, definition, viewer)}/")
        return report_file(report, format_, viewer)

    @page_route("/<int:key>/duplicate", methods=["POST"])
    def duplicate(self, key: int) -> Any:
        """A private copy of a report."""
        viewer, report = current_viewer(), visible_report(key)
        viewer.person.refuse_unless("Reports", "create")
        refuse_unusable(definition_of(report), viewer)
        session = db.session()
        label = reports.free_label(session, viewer.person.id, report.label)
        values = {"label": label, "kind": report.kind, "definition": report.definition, "audience": "me"}
        made = reports.save(session, None, values, viewer.stamp)
        session.commit()
        flash(_("“%(name)s” is your own copy.", name=made.label), "success")
        return redirect(f"{BASE}{made.id}/edit")

    @page_route("/<int:key>/<any(pin,unpin,delete):what>", methods=["POST"])
    def change(self, key: int, what: str) -> Any:
        """Pin or unpin a report; delete one's own."""
        viewer, session = current_viewer(), db.session()
        report = visible_report(key)
        if what == "delete":
            reports.refuse_foreign(report, viewer.person.id)
            with access.as_system(session):  # other people's pins of it are deleted, too
                reports.remove(session, report)
        else:
            reports.pin(session, viewer.person.id, key, what == "pin")
        session.commit()
        flash(
            {
                "pin": _("The report is in your sidebar now."),
                "unpin": _("The report is no longer in your sidebar."),
            }.get(what, _("The report is deleted.")),
            "success",
        )
        return redirect(BASE if what == "delete" or request.form.get("list") else f"{BASE}{key}/")


# --- shared by several pages


def report_of(key: int) -> Report | None:
    """The report with this id that the person sees."""
    return db.session.scalars(select(Report).where(Report.id == key)).first() if 0 < key < 2**31 else None


def listed_reports(viewer: Viewer) -> list[Report]:
    """The viewer's own reports, and those shared with them whose records they may read; by name."""
    rows = db.session.scalars(select(Report).order_by(Report.label, Report.id)).all()
    return [row for row in rows if row.owner_id == viewer.person.id or _may(row.kind, viewer, "read")]


def visible_report(key: int) -> Report:
    """The report of this id that the viewer sees. Raises NotFound."""
    found = report_of(key)
    if found is None:
        raise NotFound(_("This report doesn't exist, or it is no longer shared with you."))
    return found


def definition_of(report: Report) -> ReportDefinition:
    """The definition of a stored report. Raises RuleBroken if this version can't read it."""
    return read({**report.definition, "kind": report.kind})


def typed_definition(viewer: Viewer, report: Report | None) -> ReportDefinition:
    """The posted definition, as far as it is readable; else the stored one."""
    try:
        return builder.from_form(request.form, viewer)
    except RuleBroken:
        return definition_of(report) if report else builder.start(request.form.get("kind", ""), viewer)


def refuse_unusable(definition: ReportDefinition, viewer: Viewer) -> None:
    """Raise RuleBroken for a report that could not be shown: such reports are not saved."""
    if definition.kind in built_in_reports.READY:
        built_in_reports.check(definition, viewer, "read")
        return
    from app.web.reports.row_reports import columns_of

    checked = running.check(definition, viewer)
    if not definition.groups:
        columns_of(checked)


def store(report: Report | None, definition: ReportDefinition, viewer: Viewer) -> Report:
    """Save a report with the name and readers of the form. Raises RuleBroken, Denied."""
    audience = request.form.get("audience", "me")
    if audience != "me" and not may_share(viewer):
        raise access.Denied(_("Only managers can share reports."))
    role = parse_id(audience)
    values = {
        "label": request.form.get("label"),
        "kind": definition.kind,
        "definition": {name: part for name, part in definition.as_json().items() if name != "kind"},
        "audience": "role" if audience.isdigit() else audience,
        "role_id": role if role and role in dict(_roles()) else None,
    }
    return reports.save(db.session(), report, values, viewer.stamp)


def result_of(definition: ReportDefinition, viewer: Viewer) -> dict[str, Any]:
    """The context of reports/_result.html: the table and chart, or why there is none."""
    try:
        return rendering.result_context(running.run(db.session(), definition, viewer))
    except RuleBroken as broken:
        return {"error": refusal(broken).sentence}


def may_export(definition: ReportDefinition, viewer: Viewer) -> bool:
    """Whether the person may have this report as a file."""
    return _may(definition.kind, viewer, "export")


def _may(kind: str, viewer: Viewer, verb: str) -> bool:
    """Whether the person's role has this right for the records of reports of this kind."""
    if kind in built_in_reports.READY:
        return viewer.person.may(built_in_reports.READY[kind][1], verb)
    screen = screen_of_kind(kind)
    return screen is not None and viewer.person.may(screen.module, verb)


def report_file(report: Report, format_: str, viewer: Viewer) -> Response:
    """The file of a report that isn't long, audited. Raises RuleBroken, Denied, NotFound."""
    key, label, definition = report.id, report.label, definition_of(report)
    data, rows = files.make(label, definition, viewer, format_)
    with request_transaction() as session:
        files.write_audit(session, viewer, definition, report=key, rows=rows, format=format_)
    return file_answer(data, label, format_, viewer)


def file_answer(data: bytes, label: str, format_: str, viewer: Viewer) -> Response:
    """A download: with a name, never executed or stored by a browser."""
    day = viewer.today
    headers = {
        "Content-Disposition": f'attachment; filename="{files.name_of(label, format_, day)}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(data, 200, headers, content_type=files.MIMES[format_])


def _audiences(viewer: Viewer) -> list[tuple[str, str]]:
    found = [("me", _("Only me"))]
    if may_share(viewer):
        found += [("team", _("My team")), ("all", _("Everybody"))]
        found += [(str(key), _("Role: %(role)s", role=name)) for key, name in _roles()]
    return found


def _roles() -> list[tuple[int, str]]:
    chosen = select(Role.id, Role.name).where(Role.name != "Public").order_by(Role.name)
    return [(key, name) for key, name in db.session.execute(chosen)]


def _shown(row: Report, viewer: Viewer, pinned: set[int], scheduled: set[int]) -> dict[str, Any]:
    screen = screen_of_kind(row.kind)
    about = (
        str(screen.list_title)
        if screen is not None
        else built_in_reports.label_of(row.kind)
        if row.kind in built_in_reports.READY
        else row.kind
    )
    return {
        "id": row.id,
        "label": row.label,
        "url": f"{BASE}{row.id}/",
        "about": about,
        "is_own": row.owner_id == viewer.person.id,
        "owner": (viewer.lookups.person(row.owner_id) or {}).get("full_name", ""),
        "audience": row.audience,
        "is_pinned": row.id in pinned,
        "is_scheduled": row.id in scheduled,
        "changed": moment_cell(row.changed_on, viewer),
    }


def _ready(viewer: Viewer) -> list[dict[str, Any]]:
    """Built-in reports: {label, url, files}."""
    if not viewer.person.may("Call Logs", "export") or not viewer.person.may("Dashboard", "read"):
        return []
    ends = {"files": [(kind.upper(), f"/dashboard/calls/monthly.{kind}?period=month") for kind in ("xlsx", "csv")]}
    return [
        {"label": built_in_reports.label_of(built_in_reports.CALL_SUMMARY), "kind": built_in_reports.CALL_SUMMARY}
        | ends
    ]
