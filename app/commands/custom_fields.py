"""The commands `flask custom-field check|rebuild`: check the index of custom values, or repair it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from flask.cli import AppGroup

from app.domain import custom_values
from app.domain.custom_fields import RECORDS
from app.web.core.request_transaction import request_transaction


def commands(readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `readable_errors` shows expected errors as a sentence."""
    group = AppGroup("custom-field", help="The index by which lists filter and sort custom fields.")

    @group.command("check")
    @readable_errors
    def check() -> None:
        """Compare the index with the records; ends with 1 if any differ."""
        if _compared(mends=False):
            raise SystemExit(1)

    @group.command("rebuild")
    @readable_errors
    def rebuild() -> None:
        """Rewrite the index for records that differ, some hundred in each transaction."""
        _compared(mends=True)

    return group


def _compared(mends: bool) -> int:
    """The number of records that differ in all tables; prints it for each table."""
    total = 0
    for table, kind in RECORDS.items():
        last: int | None = 0
        count = 0
        while last is not None:
            with request_transaction() as session:
                last, found = custom_values.compare(session, table, last, mends)
            count += found
        click.echo(f"{kind}: {count} records differ{', and were mended' if mends and count else ''}.")
        total += count
    return total
