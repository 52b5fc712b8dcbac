"""The commands `flask export | export-all | import`: export a list or everything, import files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.files.export_and_import_runs import DUPLICATES, FORMATS, OPEN_IMPORTS, ImportRun
from app.extensions import db
from app.models import User
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.transfer import export_all, exports, import_runs, import_worker
from app.web.transfer.export_files import csv_rows, sheet_rows, write_workbook
from app.web.transfer.import_options import ImportOptions
from app.web.transfer.import_values import DATE_ORDERS
from app.web.transfer.run_as import acting_for

_Command = Callable[..., Any]
#: Rows per piece of a file.
PIECE = 5000


def register(group: Any, readable_errors: Callable[[_Command], _Command]) -> None:
    """Add the commands; `readable_errors` reports expected errors as one sentence."""
    for command in (_export(readable_errors), _export_all(readable_errors), _import(readable_errors)):
        group.add_command(command)


def user_named(name: str) -> int:
    """The id of the active user with this username. Raises RuleBroken."""
    with access.as_system(db.session()) as session:
        named = or_(func.lower(User.username) == name.lower(), func.lower(User.email) == name.lower())
        found = session.execute(select(User.id).where(named, User.active.is_(True))).scalars().all()
    if len(found) != 1:
        raise click.ClickException(f"There is no active user “{name}”.")
    return int(found[0])


def _export(readable_errors: Callable[[_Command], _Command]) -> click.Command:
    @click.command("export")
    @click.argument("kind")
    @click.option("--format", "format_", type=click.Choice(FORMATS), default="csv", show_default=True)
    @click.option("--as", "name", required=True, help="The user whose rights and masks apply.")
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
    @click.option("--columns", default="", help="Names with commas between them; default: those of the list.")
    @click.option("--query", default="", help="Filters as in the address of the list, such as _flt_eq_status=New.")
    @with_appcontext
    @readable_errors
    def export(kind: str, format_: str, name: str, out: Path, columns: str, query: str) -> None:
        """Write a list (lead, customer, ticket, task, call_log …) to a file, as this user may export it."""
        names = [each.strip() for each in columns.split(",") if each.strip()]
        rows = export_list((kind, names, format_, query), user_named(name), out)
        click.echo(f"{rows} rows were written to {out}.")

    return export


def export_list(asked: tuple[str, list[str], str, str], user_id: int, out: Path) -> int:
    """Write a list to a file. `asked`: kind, columns, format, query. Returns the number of rows. Raises RuleBroken."""
    kind, names, format_, query = asked
    with acting_for(user_id, f"/?{query}") as viewer:
        want = exports.parse_request(exports.screen_for(kind, viewer), names, format_, viewer)
        count, stamp = write_rows(want, format_, viewer, out), viewer.stamp
    with request_transaction() as session:
        what: dict[str, Any] = {
            "format": format_,
            "query": exports.without_personal_values(query),
            "columns": list(want.names),
            "via": "command",
        }
        audit.write(session, "export", stamp.by, stamp.now, f"list of {kind}", rows=count, **what)
    return count


def write_rows(source: exports.ExportSource, format_: str, viewer: Viewer, out: Path) -> int:
    """Write an export to a file that only its owner can read. Returns the number of rows."""
    whole = source.whole()
    ids: Sequence[Any] = source.ids() if whole is None else whole
    if len(ids) > exports.MAX_ROWS:
        raise click.ClickException("This list has more than 1,000,000 rows. Please filter it and export it in parts.")
    count = 0

    def pieces() -> Any:
        nonlocal count
        for start in range(0, max(1, len(ids)), PIECE):
            part = ids[start : start + PIECE]
            rows = list(source.rows(part, viewer)) if whole is None else part
            is_sheet = format_ == "xlsx"
            yield sheet_rows(rows, count + 2) if is_sheet else csv_rows(rows, None if start else source.heading)
            count += len(rows)

    try:
        with out.open("wb") as file:
            out.chmod(0o600)
            if format_ == "xlsx":
                write_workbook(file, source.heading, pieces())
            else:
                file.writelines(pieces())
    except OSError as error:
        raise click.ClickException(f"The file can't be written: {error.strerror}") from error
    return count


def _export_all(readable_errors: Callable[[_Command], _Command]) -> click.Command:
    @click.command("export-all")
    @click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="An empty folder.")
    @with_appcontext
    @readable_errors
    def everything(out: Path) -> None:
        """Write everything (records, files, audit log) in open formats, with a manifest of counts and checksums."""
        manifest = write_all(out)
        click.echo(f"{manifest.rows} rows of {len(manifest.tables)} tables and {manifest.files} files are in {out}.")
        if manifest.missing_files:
            raise click.ClickException(f"{len(manifest.missing_files)} files are missing in the storage of files.")

    return everything


def write_all(out: Path) -> export_all.Manifest:
    """Write everything into an empty folder. Raises RuleBroken."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(out.iterdir()):
            raise click.ClickException(f"The folder {out} isn't empty. Please name another one.")
        with Session(db.engine) as session, access.as_system(session):
            manifest = export_all.write(session, export_all.FolderTarget(out))
    except OSError as error:
        raise click.ClickException(f"The files can't be written: {error.strerror or error}") from error
    with request_transaction() as session:
        what: dict[str, Any] = {"rows": manifest.rows, "files": manifest.files, "via": "command"}
        audit.write(session, "export", None, datetime.now(UTC), "everything", **what)
    return manifest


# --- import


def _import(readable_errors: Callable[[_Command], _Command]) -> click.Command:
    @click.command("import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--kind", required=True, help="lead, customer, ticket, task, call_log or user.")
    @click.option(
        "--map", "map_", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON: header → field."
    )
    @click.option("--as", "name", required=True, help="The user in whose name the records are made.")
    @click.option("--dry-run", is_flag=True, help="Only check the file.")
    @click.option("--duplicates", type=click.Choice(DUPLICATES), default="skip", show_default=True)
    @click.option("--dates", type=click.Choice(DATE_ORDERS), help="Order of day and month; default: as it looks.")
    @with_appcontext
    @readable_errors
    def import_(file: Path, kind: str, map_: Path | None, name: str, dry_run: bool, **options: Any) -> None:
        """Import a CSV, XLSX or JSON file, as this user may. Rows with errors are left out and printed.

        A dry run also prints the rows that would be skipped.
        """
        run_id = begin_import(file, kind, _mapping(map_), (user_named(name), options))
        shown = work_until(run_id, "checked")
        if shown.outcome != "checked":
            raise click.ClickException(shown.error or "The file can't be imported.")
        if dry_run:
            _print_problems(run_id, is_trial=True)
            figures = shown.payload["check"]
            click.echo(
                ", ".join(f"{figures.get(each, 0)} would be {each}" for each in ("created", "updated", "skipped"))
            )
            click.echo(f"{figures.get('wrong', 0)} rows have errors; nothing was written.")
            return
        start_import(run_id)
        shown = work_until(run_id, "done")
        _print_problems(run_id, is_trial=False)
        click.echo(f"{shown.created} created, {shown.updated} updated, {shown.skipped} skipped, {shown.wrong} wrong.")
        if shown.outcome != "done":
            raise click.ClickException(shown.error or "The import was stopped.")

    return import_


def _mapping(path: Path | None) -> dict[str, str] | None:
    """Header → field. Raises RuleBroken."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{path} isn't JSON.") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise click.ClickException(f'{path} must hold an object such as {{"Mobile No": "mobile"}}.')
    return found


def begin_import(file: Path, kind: str, mapping: dict[str, str] | None, asked: tuple[int, dict[str, Any]]) -> int:
    """Store the file and its mapping, ready to be checked. Returns the id of the import. Raises RuleBroken."""
    user_id, chosen = asked
    with acting_for(user_id, "/imports/", writes=True) as viewer, file.open("rb") as opened:
        session = db.session()
        known = import_runs.kind_named(kind, viewer)
        with access.as_system(session):
            run = import_runs.begin(session, import_runs.Upload(opened, file.name, known), viewer)
            options = ImportOptions.from_json(run.payload["options"])
            options.duplicates = chosen["duplicates"] if options.keys else "create"
            options.dates = chosen.get("dates") or options.dates
            if mapping is not None and known.assignee in mapping.values():
                options.assign = "column"
            plan = import_runs.plan_of(run, mapping or run.payload["mapping"], options, viewer)
            import_runs.set_plan(session, run, plan, viewer)
            session.commit()
            return run.id


def work_until(run_id: int, state: str) -> ImportRun:
    """Work on an import in this process until it reaches this state or ends."""
    source = import_worker.ImportSource(run_id)
    source.is_command = True
    try:
        while import_worker.step(run_id, source):
            pass
    finally:
        source.close()
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        run = session.get_one(ImportRun, run_id)
        if run.outcome in OPEN_IMPORTS:
            raise click.ClickException(
                f"A worker of the server goes on with import {run_id}; wait for “{state}” on its page."
            )
        return run


def start_import(run_id: int) -> None:
    """Start an import that was checked. Raises RuleBroken."""
    with Session(db.engine) as session, access.as_system(session):
        author = session.get_one(ImportRun, run_id).created_by_id
    with acting_for(author, "/imports/", writes=True) as viewer:
        session = db.session()
        with access.as_system(session):
            import_runs.start(session, session.get_one(ImportRun, run_id), viewer)
            session.commit()


def _print_problems(run_id: int, is_trial: bool) -> None:
    with Session(db.engine) as session, access.as_system(session):
        run, after = session.get_one(ImportRun, run_id), 0
        while found := import_runs.problems(session, import_runs.Remarks(run, is_trial), after):
            for line, result, problem, _cells in found:
                if result == "wrong" or (is_trial and result == "skipped"):
                    click.echo(f"row {import_runs.row_number(run, line)}: {problem}", err=True)
            after = found[-1][0]
