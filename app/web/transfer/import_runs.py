"""Starting an import, its mapping and dry run, cancelling and undoing it: for pages and commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import Conflict, NotFound, RuleBroken
from app.domain.files import export_and_import_runs, spreadsheet_files
from app.domain.files.export_and_import_runs import OPEN_IMPORTS, REVERTED_WITHIN, ImportRow, ImportRun
from app.domain.files.spreadsheet_files import Dialect
from app.ops.storage.file_store import FileStore
from app.web.core.viewer import Viewer
from app.web.transfer import column_guesses, import_kinds, import_worker
from app.web.transfer.export_files import csv_rows
from app.web.transfer.import_kind import ImportKind
from app.web.transfer.import_options import ImportOptions
from app.web.transfer.import_plan import (
    ImportPlan,
    default_options,
    fitting,
    guessed,
    heading_rows,
    refuse_options,
    sample,
)
from app.web.transfer.predecessor.import_kind import refuse_second
from app.web.transfer.predecessor.worker import KIND

#: Rows of one piece of the file of problems.
PIECE = 200


def kind_named(name: str, viewer: Viewer) -> ImportKind:
    """The kind of record with this name. Raises NotFound, and Denied for people who may not import it."""
    kind = import_kinds.kinds().get(name)
    if kind is None:
        raise NotFound(_("There is no such kind of record. Please choose one of the list."))
    kind.refuse_others(viewer)
    return kind


def allowed_kinds(viewer: Viewer) -> list[ImportKind]:
    """The kinds that the person may import."""
    return [
        each
        for each in import_kinds.kinds().values()
        if viewer.person.may(each.module, "import") and viewer.person.may(each.module, "create")
    ]


class Upload(NamedTuple):
    """A file that was uploaded to be imported, and what its rows are."""

    file: BinaryIO
    name: str
    kind: ImportKind


def begin(session: Session, upload: Upload, viewer: Viewer) -> ImportRun:
    """Store an uploaded file, with a guessed mapping. Raises RuleBroken if it isn't a table."""
    file, name, kind = upload
    dialect = spreadsheet_files.recognize(file)
    headers = spreadsheet_files.headers(file, dialect)
    rows = sample(file, dialect)
    if not rows:
        raise RuleBroken(_("This file has a heading, but no rows."), "file")
    total: int | None = None
    if dialect.kind != "xlsx":  # counting the rows of a workbook takes long: the dry run does it
        total = spreadsheet_files.count_rows(file, dialect)
    file.seek(0)
    store: FileStore = current_app.extensions["crm_files"]
    stored = store.put(file)
    run = ImportRun(kind=kind.name, outcome="mapping", name=name[:140] or "file", digest=stored.digest)
    own = [header for header in headers if header not in _remark_headers()]  # a corrected file is mapped as before
    run.size, run.shape, run.total = stored.size, column_guesses.shape_of(own), total
    run.position = run.created = run.updated = run.skipped = run.wrong = 0
    mapping, options = _first_plan(session, (run, kind, headers), rows, viewer)
    run.payload = {
        "headers": headers,
        "dialect": dialect.as_json(),
        "sample": [[str(cell)[:80] for cell in row[: len(headers)]] for row in rows],
        "mapping": mapping,
        "options": options.as_json(),
    }
    run.stamp(viewer.stamp)
    session.add(run)
    session.flush()
    return run


def _first_plan(
    session: Session, asked: tuple[ImportRun, ImportKind, list[str]], rows: list[list[str]], viewer: Viewer
) -> tuple[dict[str, str], ImportOptions]:
    """The mapping of an earlier file with these headers, else the guess."""
    run, kind, headers = asked
    options = default_options(kind, headers, rows, viewer)
    former = export_and_import_runs.mapping_of_shape(session, kind.name, run.shape, viewer.person.id)
    if former is None:
        return guessed(kind, headers), options
    kept = ImportOptions.from_json(former["options"])
    kept.keys, kept.dates = options.keys, options.dates
    return fitting(former["mapping"], headers, kind), kept


def plan_of(run: ImportRun, mapping: dict[str, str], options: ImportOptions, viewer: Viewer) -> ImportPlan:
    """The plan that this mapping and these options make of the file."""
    return ImportPlan(kind_named(run.kind, viewer), run.payload["headers"], mapping, options)


def set_plan(session: Session, run: ImportRun, plan: ImportPlan, viewer: Viewer) -> None:
    """Store mapping and options, and start the check of the file. Raises RuleBroken."""
    if run.outcome not in ("mapping", "checked"):
        raise Conflict(_("This import has been started, so its mapping can't be changed."))
    refuse_options(plan.options, plan.kind, viewer)
    plan.checked()
    run.payload = {**run.payload, "mapping": plan.mapping, "options": plan.options.as_json()}
    import_worker.begin_trial(session, run)


def start(session: Session, run: ImportRun, viewer: Viewer) -> None:
    """Import the file that was checked. Raises RuleBroken."""
    refuse_options(ImportOptions.from_json(run.payload["options"]), kind_named(run.kind, viewer), viewer)
    if run.outcome != "checked":
        raise Conflict(_("This import isn't waiting to be started. Please reload the page."))
    if run.kind == KIND:
        refuse_second(session)
    run.begin_step("running")
    run.position = 0
    audit.write(session, "import", viewer.person.id, viewer.now, f"{run.kind} {run.id}", what="started", file=run.name)


def cancel(run: ImportRun, now: datetime) -> None:
    """Cancel an import; what it has done stays, and can be undone. Raises RuleBroken."""
    if run.outcome not in (*OPEN_IMPORTS, "mapping", "checked"):
        raise Conflict(_("This import is over already."))
    run.outcome, run.finished_on, run.changed_on = "cancelled", now, now


def revert(session: Session, run: ImportRun, viewer: Viewer) -> None:
    """Start undoing an import. Raises RuleBroken."""
    kind_named(run.kind, viewer)
    refuse_revert(run, viewer.now)
    run.begin_step("reverting")
    run.payload = {**run.payload, "undone": 0}
    audit.write(session, "import", viewer.person.id, viewer.now, f"{run.kind} {run.id}", what="being reverted")


def try_again(session: Session, run: ImportRun, viewer: Viewer) -> None:
    """Continue a stopped import where it was. Raises RuleBroken."""
    kind = kind_named(run.kind, viewer)
    if not can_go_on(run):
        raise Conflict(_("This import can't be continued. Please reload the page."))
    if run.kind == KIND:
        refuse_second(session)
    else:
        refuse_options(ImportOptions.from_json(run.payload["options"]), kind, viewer)
    run.begin_step(run.payload["stopped"])
    audit.write(session, "import", viewer.person.id, viewer.now, f"{run.kind} {run.id}", what="gone on with")


def can_go_on(run: ImportRun) -> bool:
    """Whether an import has stopped at a step that can be continued: the check, the import, or the revert."""
    return run.outcome == "failed" and run.payload.get("stopped") in OPEN_IMPORTS and run.digest is not None


def refuse_revert(run: ImportRun, now: datetime) -> None:
    """Raise RuleBroken for an import that can't be undone."""
    if run.kind == KIND:
        raise RuleBroken(_("A move can't be reverted. Please restore the backup that was made before it."))
    if run.outcome not in ("done", "cancelled", "failed") or not run.created + run.updated:
        raise Conflict(_("There is nothing to revert."))
    if run.changed_on < now - REVERTED_WITHIN:
        raise RuleBroken(_("An import can be reverted for 30 days. This one is older."))


def own_run(session: Session, key: int, viewer: Viewer) -> ImportRun:
    """The person's own import. Raises NotFound."""
    row: ImportRun | None = access.get_visible(session, ImportRun, key)
    if row is None or row.created_by_id != viewer.person.id:
        raise NotFound(_("There is no such import of yours."))
    return row


class Remarks(NamedTuple):
    """Rows of a run with remarks, of its check or of the import itself; `only` those of one result."""

    run: ImportRun
    is_trial: bool
    only: str = ""


def problems(session: Session, remarks: Remarks, after: int = 0) -> list[Any]:
    """The next rows with remarks: (line, result, problem, cells)."""
    run, is_trial, only = remarks
    results: tuple[str, ...] = ("wrong", "skipped") if is_trial else ("wrong", "skipped", "kept")
    if run.kind == KIND:  # everything with a remark
        results = ("wrong", "skipped", "created")
    if only:
        results = tuple(each for each in results if each == only)
    row = ImportRow
    query = select(row.line, row.result, row.problem, row.cells).where(
        row.run_id == run.id, row.is_trial.is_(is_trial), row.result.in_(results), row.line > after
    )
    with access.as_system(session):
        return list(session.execute(query.order_by(row.line).limit(PIECE)).all())


def _remark_headers() -> tuple[str, str]:
    """The columns before those of the file in the file of rows with problems."""
    return _("Row"), _("Problem")


def problem_file(session: Session, run: ImportRun, is_trial: bool, only: str = "") -> Iterator[bytes]:
    """The rows with problems as CSV: line, problem, the cells; to be corrected and uploaded again.

    `only`: the result of the rows, such as skipped.
    """
    heading: list[str] | None = [*_remark_headers(), *run.payload["headers"]]
    remarks = Remarks(run, is_trial, only)
    after = 0
    while True:
        found = problems(session, remarks, after)
        if not found and heading is None:
            return
        rows = [[row_number(run, line), problem or result, *(cells or ())] for line, result, problem, cells in found]
        yield csv_rows(rows, heading)
        heading = None
        if len(found) < PIECE:
            return
        after = found[-1][0]


def options_from(posted: Any, viewer: Viewer) -> ImportOptions:
    """The options of a form. Raises RuleBroken."""
    chosen = (posted.get("assignee_id") or "").strip()
    return ImportOptions(
        duplicates=posted.get("duplicates") or "skip",
        keys=tuple(posted.getlist("keys")),
        assign=posted.get("assign") or "me",
        assignee_id=viewer.lookups.find_person(chosen) if chosen else None,
        role=(posted.get("role") or "")[:64],
        notifies=bool(posted.get("notifies")),
        calls_webhooks=bool(posted.get("calls_webhooks")),
        makes_tasks=bool(posted.get("makes_tasks")),
        dates=posted.get("dates") or "dmy",
    )


def row_number(run: ImportRun, line: int) -> int:
    """The row number for people: as a spreadsheet counts, including the heading."""
    return line + heading_rows(run)


def dialect_of(run: ImportRun) -> Dialect:
    """How to read the file of an import."""
    return Dialect(**run.payload["dialect"])
