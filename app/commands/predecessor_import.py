"""The command `flask import-predecessor`: turns a folder of the predecessor's exports into records with history."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import access
from app.commands.exports_and_imports import start_import, user_named, work_until
from app.domain.files.export_and_import_runs import ImportRun
from app.extensions import db
from app.ops.database.database_errors import Cause, cause_of
from app.web.transfer import import_runs, import_worker
from app.web.transfer.predecessor import bundle, display, import_kind
from app.web.transfer.predecessor.worker import KIND
from app.web.transfer.run_as import acting_for

_Command = Callable[..., Any]
_CUT = "This move was cut off and is half done, so it can't be checked again. Without --dry-run it goes on."


def register(group: Any, readable_errors: Callable[[_Command], _Command]) -> None:
    """Add the command; `readable_errors` reports expected errors as one sentence."""

    @click.command("import-predecessor")
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--as", "name", required=True, help="An admin, in whose name it is done.")
    @click.option("--dry-run", is_flag=True, help="Only check the files.")
    @click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write all remarks to this CSV.")
    @with_appcontext
    @readable_errors
    def import_predecessor(folder: Path, name: str, dry_run: bool, report: Path | None) -> None:
        """Move in from the predecessor: all its exports (CSV, JSON, XLSX) in FOLDER, with their history.

        What is there already is skipped, so it can be run again: after a cut, or with newer exports.
        """
        run = move(folder, user_named(name), dry_run)
        for line in display.lines(run):
            click.echo(line)
        _report(run.id, is_trial=run.outcome == "checked", path=report)
        if run.outcome not in ("done", "checked"):
            raise click.ClickException(run.error or "The move was stopped.")
        click.echo("Nothing was written." if dry_run else "Done.")

    group.add_command(import_predecessor)


def move(folder: Path, user_id: int, dry_run: bool) -> ImportRun:
    """Check the files and, unless it is a dry run, import them. Returns the run. Raises RuleBroken."""
    with _alone(folder):
        print_ = bundle.fingerprint(bundle.of_folder(folder))
        run_id = _begun((folder, print_), user_id, dry_run)
        run = work_until(run_id, "checked")
        if dry_run or run.outcome != "checked":
            return run
        start_import(run_id)
        return work_until(run_id, "done")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second command on this folder: each would undo the other's check. The lock ends with its process."""
    held = os.open(folder, os.O_RDONLY)
    try:
        _lock(held)
        yield
    finally:
        os.close(held)


def _lock(held: int) -> None:
    with suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = "Another command is at work on this folder. Please wait until it is over."
            raise click.ClickException(text) from error


def _begun(files: tuple[Path, str], user_id: int, dry_run: bool) -> int:
    """Create the run and return its id. The database may take a moment to notice that a killed process is gone."""
    for tried in range(import_worker.TRIES):
        try:
            with acting_for(user_id, "/imports/", writes=True) as viewer:
                import_runs.kind_named(KIND, viewer)
                session = db.session()
                with access.as_system(session):
                    import_kind.match_people(session)
                    run = import_kind.begin_folder(session, str(files[0].resolve()), files[1], viewer)
                    if dry_run and run.outcome == "running":
                        raise click.ClickException(_CUT)
                    run_id = run.id
                    session.commit()
                    return run_id
        except OperationalError as error:
            if cause_of(error) not in (Cause.COLLIDED, Cause.LOCKED) or tried == import_worker.TRIES - 1:
                raise
            time.sleep(tried + 1)
    raise AssertionError("the last try has returned or raised")


def _report(run_id: int, is_trial: bool, path: Path | None) -> None:
    """Write the rows with remarks to a file, or say how to get them."""
    with Session(db.engine) as session, access.as_system(session):
        run = session.get_one(ImportRun, run_id)
        if path is None:
            click.echo(
                f"Remarks: --report FILE, or {run.payload.get('problems', 0)} rows on the page of import {run_id}."
            )
            return
        try:
            with path.open("wb") as file:
                path.chmod(0o600)
                file.writelines(import_runs.problem_file(session, run, is_trial))
        except OSError as error:
            raise click.ClickException(f"The file can't be written: {error.strerror}") from error
