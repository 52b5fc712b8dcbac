"""The pages of imports: upload, mapping, dry run, progress, result, revert."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, request, stream_with_context
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import RuleBroken
from app.domain.files import spreadsheet_files
from app.domain.files.export_and_import_runs import OPEN_IMPORTS, ImportRun
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.records.attachments import upload_rates
from app.web.transfer import import_display, import_kinds, import_runs, import_worker
from app.web.transfer.export_files import MIME
from app.web.transfer.export_pages import may_transfer, tabs
from app.web.transfer.predecessor import import_kind as move_kind
from app.web.transfer.predecessor.worker import KIND

BASE = "/imports/"
#: Imports that are listed.
MOST = 50


class ImportsView(BaseView):
    """/imports/"""

    route_base = "/imports"
    default_view = "index"

    @signed_in_route("/")
    def index(self) -> Any:
        """The person's own imports."""
        viewer = _importer()
        mine = ImportRun.created_by_id == viewer.person.id
        rows = db.session.scalars(select(ImportRun).where(mine).order_by(ImportRun.id.desc()).limit(MOST)).all()
        return self.render_template(
            "transfer/imports.html",
            imports=[import_display.import_context(row, viewer) for row in rows],
            is_running=any(row.outcome in OPEN_IMPORTS for row in rows),
            tabs=tabs("imports", viewer.person),
        )

    @signed_in_route("/new", methods=["GET"])
    def new(self) -> Any:
        """The page for uploading a file."""
        return self._new(request.args.get("kind", ""), "")

    @signed_in_route("/new", methods=["POST"])
    def upload(self) -> Any:
        """Store a file; its columns are mapped next."""
        viewer, kind = _importer(), request.form.get("kind", "")
        try:
            key = _begin(kind, viewer)
            if kind == KIND:
                import_worker.enqueue(key)
                return redirect(f"{BASE}{key}/")
        except (RuleBroken, OSError) as broken:  # includes StorageUnavailable, and a full disk
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return self._new(kind, sentence), status
        return redirect(f"{BASE}{key}/map")

    def _new(self, kind: str, error: str) -> Any:
        viewer = _importer()
        return self.render_template(
            "transfer/import_new.html",
            kinds=[(each.name, str(each.label)) for each in import_runs.allowed_kinds(viewer)],
            kind=kind,
            error=error,
            tabs=tabs("imports", viewer.person),
            most=grouped(spreadsheet_files.MAX_ROWS),
            megabytes=spreadsheet_files.MAX_BYTES // 1_000_000,
        )

    @signed_in_route("/<int:key>/map", methods=["GET", "POST"])
    def map(self, key: int) -> Any:
        """The page on which columns are mapped to fields; saving it starts the dry run."""
        viewer = _importer()
        run = import_runs.own_run(db.session(), key, viewer)
        if request.method == "GET":
            return self._map(run, viewer, "")
        mapping = import_display.posted_mapping(run, request.form)
        options = import_runs.options_from(request.form, viewer)
        try:
            with request_transaction() as session:
                run = session.get_one(ImportRun, key, with_for_update=True)
                import_runs.set_plan(session, run, import_runs.plan_of(run, mapping, options, viewer), viewer)
        except RuleBroken as broken:
            status, sentence, _errors = refusal(broken)
            run = import_runs.own_run(db.session(), key, viewer)
            typed = {"mapping": mapping, "options": options.as_json()}
            return self._map(run, viewer, sentence, typed), status
        import_worker.enqueue(key)
        return redirect(f"{BASE}{key}/")

    def _map(self, run: ImportRun, viewer: Viewer, error: str, typed: dict[str, Any] | None = None) -> Any:
        form = import_display.mapping_form(run, typed or run.payload, viewer)
        return self.render_template(
            "transfer/import_map.html", form=form, error=error, i=import_display.import_context(run, viewer)
        )

    @signed_in_route("/<int:key>/")
    def show(self, key: int) -> Any:
        """The progress of an import: the dry run, the import itself, its result."""
        viewer = _importer()
        session = db.session()
        run = import_runs.own_run(session, key, viewer)
        page = import_display.page(session, run, viewer)
        return self.render_template("transfer/import.html", i=page, tabs=tabs("imports", viewer.person))

    @signed_in_route("/<int:key>/problems.csv")
    def problems(self, key: int) -> Any:
        """The rows with problems, of the dry run (`trial=1`) or the import; with `only=skipped` just these."""
        viewer, session = _importer(), db.session()
        run = import_runs.own_run(session, key, viewer)
        is_trial, only = request.args.get("trial") == "1", request.args.get("only", "")
        lines = import_runs.problem_file(session, run, is_trial, only)
        headers = {"Content-Disposition": f'attachment; filename="problems-{key}.csv"', "Cache-Control": "no-store"}
        return Response(stream_with_context(lines), 200, headers, content_type=MIME["csv"])

    @signed_in_route("/<int:key>/<any(start, cancel, revert, again):what>", methods=["POST"])
    def act(self, key: int, what: str) -> Any:
        """Start, cancel or revert an import, or continue a stopped one."""
        viewer = _importer()
        import_runs.own_run(db.session(), key, viewer)
        with request_transaction() as session:
            run = session.get_one(ImportRun, key, with_for_update=True)
            if what == "cancel":
                import_runs.cancel(run, viewer.now)
            else:
                _STEPS[what](session, run, viewer)
        if what == "cancel":
            flash(_("Canceled. What was imported before stays; it can be reverted below."), "success")
        else:
            import_worker.enqueue(key)
        return redirect(f"{BASE}{key}/")


#: What starts a step of a worker.
_STEPS = {"start": import_runs.start, "revert": import_runs.revert, "again": import_runs.try_again}


def _importer() -> Viewer:
    """The viewer. Raises Denied for people who may import nothing."""
    viewer = current_viewer()
    if not may_transfer(viewer.person, "import"):
        first = next(iter(import_kinds.kinds().values()))
        first.refuse_others(viewer)
    return viewer


def _begin(kind_name: str, viewer: Viewer) -> int:
    """Store the uploaded file and add its import. Returns its id. Raises RuleBroken."""
    file = request.files.get("file")
    if file is None or not file.filename:
        raise RuleBroken(_("Please choose a file."), "file")
    kind = import_runs.kind_named(kind_name, viewer)
    upload_rates.count(request.content_length or 0, viewer)
    with request_transaction() as session, file.stream:
        if kind_name == KIND:
            return move_kind.begin(session, file.stream, file.filename, viewer).id  # type: ignore[arg-type]
        upload = import_runs.Upload(file.stream, file.filename, kind)  # type: ignore[arg-type]
        return import_runs.begin(session, upload, viewer).id
