"""The commands `flask retention list|count`: how long things are kept, and what would be deleted now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup

from app import access
from app.domain.maintenance import retention
from app.domain.maintenance.retention_kinds import KINDS
from app.extensions import db


def commands(readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `readable_errors` shows expected errors as a sentence."""
    group = AppGroup("retention", help="Show how long things are kept, and what would be deleted.")

    @group.command("list")
    @readable_errors
    def list_() -> None:
        """Print for how many days each kind is kept, and for how many at least."""
        with access.as_system(db.session()) as session:
            days = retention.days_of(session)
        for kind in KINDS:
            kept = days[kind.name]
            click.echo(f"{kind.name}\t{kept} {'day' if kept == 1 else 'days'}\tat least {kind.least}")

    @group.command("count")
    @readable_errors
    def count() -> None:
        """Print how many rows the next run would delete; deletes nothing."""
        with access.as_system(db.session()) as session:
            counts = retention.count(session, datetime.now(UTC))
        for name, number in counts.items():
            click.echo(f"{name}\t{number} rows")
        click.echo(f"{sum(counts.values())} rows in all. Nothing was deleted.")

    return group
