"""The commands `flask job list|run`: which jobs there are, and one of them now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
from flask import current_app
from flask.cli import AppGroup

from app.domain.base import RuleBroken
from app.lib import label_matching
from app.lib.iso_time import read_moment
from app.lib.operator_command import operator_command


def commands(jobs: Callable[[], Any], readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `jobs` returns the module app.jobs, `readable_errors` shows errors as a sentence."""
    group = AppGroup("job", help="List and run background jobs.")

    @group.command("list")
    def list_() -> None:
        """Print the names of the jobs."""
        for name in jobs().names():
            click.echo(name)

    @group.command("run")
    @click.argument("name")
    @click.option("--at", help="Run as of this time (ISO 8601; office time zone if none is given).")
    @click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
    @click.option("--yes", is_flag=True, help="Do not ask before running as of a time in the future.")
    @readable_errors
    def run(name: str, at: str | None, dry_run: bool, yes: bool) -> None:
        """Run a job now."""
        name = _job_named(name, jobs().names())
        app, moment = current_app._get_current_object(), _parse_time(at)  # type: ignore[attr-defined]
        if dry_run:
            click.echo("\n".join(_dry_run_lines(name, jobs().dry_run(app, name, moment))))
            return
        if moment is not None and moment > jobs().time_of_database(app) and not yes:
            _confirm_future(name, moment)
        row = jobs().run_now(app, name, moment)
        if row.outcome != "done":
            raise RuleBroken(f"The job “{name}” is {row.outcome}: {row.error or 'see the log'}.")
        click.echo(f"{name}: {row.outcome}, {row.items} records, {row.failed_items} failed.")

    return group


def _job_named(typed: str, names: list[str]) -> str:
    """The job with this name, whatever the case of its letters. Raises RuleBroken, with the nearest name."""
    found = label_matching.same_labels(typed, names)
    if found:
        return found[0]
    nearest = label_matching.label_with_words(typed, names) or label_matching.nearest_label(typed, names)
    meant = f" Did you mean “{nearest}”?" if nearest else ""
    command = operator_command("job list")
    raise RuleBroken(f"There is no job named “{typed}”.{meant} Run `{command}` to see all jobs.")


def _confirm_future(name: str, moment: datetime) -> None:
    """Ask for confirmation to act at a time in the future.

    Raises click.Abort if the answer is no or nobody can answer.
    """
    local = moment.astimezone(ZoneInfo(current_app.config["CRM"].time_zone))
    click.echo(
        f"{local:%-d %B %Y, %H:%M} is in the future: “{name}” would do today what is not due before then, "
        "and that can't be undone. `--dry-run` shows what would change."
    )
    click.confirm("Run it all the same?", abort=True)


def _dry_run_lines(name: str, found: Any) -> list[str]:
    """The result of a dry run, as lines for the terminal."""
    lines = [f"{name} (dry run): {sum(found.results.values())} records, {found.failed_items} would fail."]
    lines += [f"  {result}: {count}" for result, count in sorted(found.results.items())]
    lines += [
        f"  {table}: {count} {verb}" for (verb, table), count in sorted(found.rows.items(), key=lambda r: r[0][1])
    ]
    lines += [f"  error: {found.error}"] if found.error else []
    return [*lines, "Nothing was changed."]


def _parse_time(text: str | None) -> datetime | None:
    """Parse an ISO 8601 time; one without an offset is in the office's zone. Returns UTC. Raises RuleBroken."""
    if text is None:
        return None
    try:
        time = read_moment(text.strip())
    except ValueError:
        raise RuleBroken(f"“{text}” isn't a time such as 2026-11-23T10:00.") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=ZoneInfo(current_app.config["CRM"].time_zone))
    return time.astimezone(UTC)
