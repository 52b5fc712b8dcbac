"""The commands `flask report list | run`: list the reports that a user sees, and run one of them for that user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import select

from app.commands.exports_and_imports import user_named, write_rows
from app.domain.report_schedules import FORMATS
from app.domain.reports import Report
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.request_transaction import request_transaction
from app.web.reports import files, long_files, running
from app.web.reports.pages import definition_of
from app.web.transfer.run_as import acting_for

_Command = Callable[..., Any]


def commands(readable_errors: Callable[[_Command], _Command]) -> AppGroup:
    """The group `report`; `readable_errors` reports expected errors as one sentence."""
    group = AppGroup("report", help="Reports: list, run.")

    @group.command("list")
    @click.option("--as", "name", required=True, help="The user whose reports are listed.")
    @with_appcontext
    @readable_errors
    def listed(name: str) -> None:
        """List the reports that this user sees."""
        with acting_for(user_named(name), "/reports/") as viewer:
            viewer.person.refuse_unless("Reports", "read")
            for row in db.session.scalars(select(Report).order_by(Report.label, Report.id)):
                click.echo(f"{row.id}\t{row.kind}\t{row.label}")

    @group.command("run")
    @click.argument("report")
    @click.option("--as", "name", required=True, help="The user whose rights and masks apply.")
    @click.option("--format", "format_", type=click.Choice(FORMATS), default="csv", show_default=True)
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
    @with_appcontext
    @readable_errors
    def run(report: str, name: str, format_: str, out: Path) -> None:
        """Write a report, named by its name or number, to a file, as this user may export it."""
        rows = write(report, user_named(name), format_, out)
        click.echo(f"{rows} rows were written to {out}.")

    return group


def write(wanted: str, user_id: int, format_: str, out: Path) -> int:
    """Write a report to a file that only its owner can read. Returns the number of rows. Raises RuleBroken."""
    with acting_for(user_id, "/reports/") as viewer:
        viewer.person.refuse_unless("Reports", "read")
        found = _named(wanted)
        definition, key, label = definition_of(found), found.id, found.label
        if format_ != "pdf" and running.is_long(db.session(), definition, viewer):
            rows = write_rows(long_files.source(definition, viewer), format_, viewer, out)
        else:
            data, rows = files.make(label, definition, viewer, format_)
            _write(out, data)
        with request_transaction() as session:
            files.write_audit(session, viewer, definition, report=key, rows=rows, format=format_, via="command")
    return rows


def _write(out: Path, data: bytes) -> None:
    try:
        out.write_bytes(data)
        out.chmod(0o600)
    except OSError as error:
        raise click.ClickException(f"The file can't be written: {error.strerror}") from error


def _named(wanted: str) -> Report:
    """The report of this name or number, if the acting user sees it."""
    rows = db.session.scalars(select(Report).where(Report.label == wanted[:200])).all()
    key = parse_id(wanted)
    if not rows and key is not None:
        rows = db.session.scalars(select(Report).where(Report.id == key)).all()
    if not rows:
        raise click.ClickException(f"This user sees no report “{wanted}”.")
    if len(rows) > 1:
        numbers = ", ".join(str(row.id) for row in rows)
        raise click.ClickException(f"Several reports are called “{wanted}”. Please name one by its number: {numbers}.")
    found: Report = rows[0]
    return found
