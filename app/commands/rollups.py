"""The commands `flask rollup rebuild|check`: recount all days, or compare their counts with calls and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app import access
from app.domain import task_holders
from app.domain.analytics import record_rollup_fill, record_rollups
from app.domain.telephony import call_rollup_fill, call_rollups
from app.extensions import db

#: Days per transaction.
_AT_ONCE = 5


def commands(readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `readable_errors` shows expected errors as a sentence."""
    group = AppGroup("rollup", help="The daily counts that dashboards use.")

    @group.command("rebuild")
    @readable_errors
    def rebuild() -> None:
        """Recount all days; meanwhile dashboards count the calls themselves. Called again, it continues."""
        zone, now = _zone(), datetime.now(UTC)
        with access.as_system(db.session()) as session:
            total = _recount_calls(session, zone, now)
            _recount_records(session, zone, now)
            _compare_holders(session, now)
        click.echo(f"Done: {total} days counted.")

    @group.command("check")
    @readable_errors
    def check() -> None:
        """Compare the counts of all days with the calls; ends with 1 if any differ."""
        zone = _zone()
        with access.as_system(db.session()) as session:
            days = call_rollup_fill.filled_days(session, zone)
            holders = {name: task_holders.differing(session, name) for name in task_holders.KINDS}
            session.rollback()
            found = {day: _differs(day, zone) for day in days}
            others = _differing_records(session, zone, datetime.now(UTC))
        wrong = [day for day, differs in found.items() if differs]
        for day in wrong:
            click.echo(f"{call_rollups.date_of(day)} differs from its calls.")
        waiting = sum(differs is None for differs in found.values())
        click.echo(f"{len(found) - waiting} days compared, {len(wrong)} differ, {waiting} wait to be counted anew.")
        for day in others:
            click.echo(f"{call_rollups.date_of(day)} differs from its leads, tickets or tasks.")
        for name, number in holders.items():
            if number:
                click.echo(f"{number} rows of {name} don't say who holds their lead or ticket.")
        if wrong or others or any(holders.values()):
            raise SystemExit(1)

    return group


def _recount_calls(session: Any, zone: ZoneInfo, now: datetime) -> int:
    """Count the calls of all days anew, or continue a rebuild that was cut off. Returns the number of days."""
    is_new = call_rollup_fill.begin_rebuild(session, zone, now)
    session.commit()
    click.echo("Counting all days anew." if is_new else "Going on where the last rebuild was cut off.")
    total = 0
    while days := _waiting(session, zone, now):
        done = call_rollup_fill.fill(session, days, zone, now)
        session.commit()
        total += len(done)
        if done:
            click.echo(f"{total} days, until {call_rollups.date_of(done[-1])}")
    return total


def _recount_records(session: Any, zone: ZoneInfo, now: datetime) -> None:
    """Count all leads, tickets and tasks anew; meanwhile dashboards count the records themselves."""
    for kind, record in record_rollups.RECORDS.items():
        record_rollup_fill.start_over(session, kind, zone, now)
        session.commit()
        counted = _count_rest(session, kind, zone, now)
        click.echo(f"{record.__tablename__}: {counted} rows")


def _compare_holders(session: Any, now: datetime) -> None:
    """Give tasks the holders of their leads and tickets; from then on, lists find them so."""
    for name in task_holders.KINDS:
        task_holders.settle(session, name, now)
    click.echo("Holders of tasks: compared.")


@contextmanager
def _one_moment() -> Iterator[Session]:
    """A session that sees the database as of one moment, so that what others write meanwhile is no difference."""
    engine = db.engine
    if engine.dialect.name != "sqlite":  # there, each transaction does
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session, access.as_system(session):
        yield session


def _differs(day: int, zone: ZoneInfo) -> bool | None:
    with _one_moment() as session:
        return call_rollup_fill.differing(session, day, zone)


def _differing_records(session: Any, zone: ZoneInfo, now: datetime) -> list[int]:
    """The days whose sums differ from their records; all records are counted first."""
    days: set[int] = set()
    for kind in record_rollups.RECORDS:
        _count_rest(session, kind, zone, now)
        with _one_moment() as reading:
            days |= set(record_rollup_fill.differing_days(reading, kind, zone))
    return sorted(days)


def _count_rest(session: Any, kind: int, zone: ZoneInfo, now: datetime) -> int:
    """Count what is marked, and all rows if they aren't counted yet. Returns the number of rows."""
    total = 0
    while done := record_rollup_fill.count_marked(session, kind, zone, now):
        session.commit()
        total += done
    session.commit()
    return total


def _zone() -> ZoneInfo:
    return ZoneInfo(current_app.config["CRM"].time_zone)


def _waiting(session: Any, zone: ZoneInfo, now: datetime) -> list[int]:
    """The next days to count; empty if only marks of today are left."""
    today = call_rollups.day_of(now, zone)
    return [day for day in call_rollup_fill.days_to_fill(session, zone, now, _AT_ONCE) if day < today]
