"""Adjusts a restored database before anybody works with it.

Time has passed since the backup. Messages that were waiting may have been sent; sign-ins ended since then would be
valid again; the caches of running servers are newer. The database may have an older schema, so only existing tables and
columns are changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    NullPool,
    Table,
    create_engine,
    delete,
    func,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import access
from app.backups.description import details_of
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.domain import data_requests
from app.domain.audit_log import audit
from app.domain.base import Stamp
from app.domain.maintenance.backup_runs import BackupRun
from app.domain.notifications import notices
from app.domain.people.two_factor import TwoFactor
from app.domain.report_schedules import ScheduleTimes
from app.lib import totp
from app.lib.operator_command import operator_command
from app.ops.storage.audit_head_file import AuditHeadFile

#: More status checks than the limit: from here on a person decides.
_NO_MORE_QUESTIONS = 1000
#: After a restore, the version of access is the seconds since then, unless it is higher already: more than any cache
#: has.
_EPOCH = 1_767_225_600
WAITED = "It waited to be sent when the backup of {when} was made, and may have been sent since. Please decide."


@dataclass
class Counters:
    """Values that must not go back: numbers that were given out, and the version that keeps caches valid."""

    #: (kind, year) -> the last number.
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    version: int = 0
    #: The id of the last data request, by which it is called, and its erasure.
    requests: int = 0


def counters_of(url: URL) -> Counters:
    """The counters of a database that will be replaced; empty if it has none or can't be read."""
    try:
        with _connected(url) as (connection, tables):
            found = Counters()
            if "number_series" in tables:
                rows = tables["number_series"]
                query = select(rows.c.kind, rows.c.year, rows.c.last)
                found.numbers = {(kind, year): last for kind, year, last in connection.execute(query)}
            if "access_version" in tables:
                found.version = connection.execute(select(tables["access_version"].c.n)).scalar() or 0
            if "data_request" in tables:
                found.requests = connection.execute(select(func.max(tables["data_request"].c.id))).scalar() or 0
            return found
    except DBAPIError:
        return Counters()


def settle(installation: Installation, backup: Backup, url: URL, counters: Counters) -> list[str]:
    """Adjust the restored database. Returns what was done, as sentences."""
    now = datetime.now(UTC)
    with _connected(url) as (connection, tables):
        settling = _Settling(connection, tables, backup, installation.zone, now)
        lines = [*settling.hold_back(), *settling.end_sign_ins(), *settling.withdraw_codes(), *settling.close_runs()]
        settling.raise_version(counters.version)
        lines += settling.raise_numbers(counters.numbers)
        lines += settling.raise_requests(counters.requests)
        connection.commit()
        is_current = _is_current(installation, connection, tables)
    lines.append(
        "API keys, users and rights are as they were then: what was revoked or deactivated since is valid again. "
        "Check them."
    )
    if not is_current:
        schema = ", ".join(backup.manifest["schema"]) or "none"
        lines.append(f"Its schema is that of then ({schema}): run `make upgrade` before you start the servers.")
    elif backup.manifest.get("keys") == installation.keys():
        _audit(backup, url, now)
    return lines


def fits(installation: Installation, backup: Backup, url: URL) -> bool:
    """Whether this version can work with the restored database: it has its schema and its keys."""
    with _connected(url) as (connection, tables):
        is_current = _is_current(installation, connection, tables)
    return is_current and backup.manifest.get("keys") == installation.keys()


def _is_current(installation: Installation, connection: Connection, tables: dict[str, Table]) -> bool:
    versions = tables.get("alembic_version")
    return versions is not None and {*connection.scalars(select(versions.c.version_num))} == installation.schema


def settle_server(installation: Installation, backup: Backup, url: URL) -> list[str]:
    """Adjust this server's own state: the list of backups in its folder, and what it stores outside of the database."""
    if installation.schema == set(backup.manifest["schema"]):
        with _writing(url) as session:
            _register(session, installation)
    AuditHeadFile(installation.instance_dir).renew()
    return [
        "The record of the audit log's ends was begun anew; on other servers run: "
        + operator_command(f'audit verify --renew-record "restored {backup.name}"'),
        "Start the servers again. Everybody signs in anew.",
    ]


# --- the rows


@dataclass
class _Settling:
    connection: Connection
    tables: dict[str, Table]
    backup: Backup
    zone: str
    now: datetime

    def hold_back(self) -> list[str]:
        """Stop everything that was waiting to be sent: a person decides."""
        local = self.backup.made_on.astimezone(ZoneInfo(self.zone))
        why = WAITED.format(when=f"{local:%-d %b %Y, %H:%M}")
        waited = ("queued", "sending")
        questions = {"asks": _NO_MORE_QUESTIONS, "ask_on": None, "due_on": None}
        counts = {
            "messages": self._change("message", waited, {"state": "unknown", "reason": why, **questions}),
            "emails of notices": self._change(
                "delivery", waited, {"state": "unknown", "error": why, "next_try_on": None}
            ),
            "webhook deliveries": self._change(
                "webhook_delivery", waited, {"state": "failed", "error": why, "next_try_on": None}
            ),
        }
        lines = []
        held = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if held:
            where = "A person decides (Undelivered, Webhooks)."
            lines.append(f"Held back, because they may have been sent since: {held}. {where}")
        return [*lines, *self._hold_back_reports(), *self._hold_back_invitations(why, waited)]

    def _hold_back_reports(self) -> list[str]:
        """Drop the scheduled reports that were on their way, and go on with the next time of each schedule."""
        why = "A backup of an earlier moment was restored. Use “Send now” if it didn't arrive."
        ended = {"state": "dropped", "error": why, "next_try_on": None, "at": self._moment}
        count = self._change("report_run", ("waiting", "making", "queued", "sending"), ended)
        due = self._skip_due_reports()
        if not count and not due:
            return []
        return [
            f"Scheduled reports that were due since the backup aren't sent again ({count} on their way, {due} "
            "schedules with a time since). Send those that are missing by hand (“Send now”)."
        ]

    def _skip_due_reports(self) -> int:
        """Let schedules whose time has come since the backup go on with their next one. Returns how many."""
        rows = self.tables.get("report_schedule")
        if rows is None:
            return 0
        due = self.connection.execute(select(rows).where(rows.c.next_on <= self._moment)).all()
        for row in due:
            times = ScheduleTimes(row.rhythm, time_of_day.fromisoformat(row.at), row.day)
            following = times.after(self.now, self.zone).replace(tzinfo=None)
            self.connection.execute(update(rows).where(rows.c.id == row.id).values(next_on=following))
        return len(due)

    def _hold_back_invitations(self, why: str, waited: tuple[str, ...]) -> list[str]:
        count = self._change("invitation", waited, {"state": "unknown", "error": why, "next_try_on": None})
        return [f"Invitations held back: {count}. Send them again from the page of the user."] if count else []

    def end_sign_ins(self) -> list[str]:
        """End all sessions, because those that were ended since the backup would be valid again; forget browsers."""
        for name in ("pending_sign_in", "remembered_browser"):
            if name in self.tables:
                self.connection.execute(delete(self.tables[name]))
        rows = self.tables.get("sign_in")
        if rows is None:
            return []
        self.connection.execute(update(rows).where(rows.c.ended_on.is_(None)).values(ended_on=self._moment))
        return ["All sessions were ended."]

    def withdraw_codes(self) -> list[str]:
        """Delete all recovery codes, because those that were used since would work again; accept only new codes of
        apps.
        """
        codes, factors = self.tables.get("recovery_code"), self.tables.get("two_factor")
        if codes is None or factors is None:
            return []
        self.connection.execute(delete(codes))
        step = totp.step_at(self.now)
        self.connection.execute(update(factors).where(factors.c.last_step < step).values(last_step=step))
        if not self.connection.execute(select(factors.c.id)).first():
            return []
        return [
            "All recovery codes were withdrawn, because used ones would work again. Whoever signs in with two factors "
            "is told to make new ones; without their app they need an admin."
        ]

    def close_runs(self) -> list[str]:
        """Close the runs that were in progress at the time of the backup; their slots are taken up again."""
        why = {"outcome": "cut", "ended_on": self._moment, "error": "A backup of this moment was restored."}
        self._change("job_run", ("running",), why, state="outcome")
        self._change("backup_run", ("waiting", "running"), why, state="outcome")
        return []

    def raise_version(self, known: int) -> None:
        """Invalidate every cache of people, rights and picklists."""
        rows = self.tables.get("access_version")
        if rows is not None:
            restored = self.connection.execute(select(rows.c.n)).scalar() or 0
            higher = max(restored, known, int(time.time()) - _EPOCH) + 1
            self.connection.execute(update(rows).values(n=higher))

    def raise_numbers(self, known: dict[tuple[str, int], int]) -> list[str]:
        """Skip the numbers that were given out since the backup, if the replaced database told them."""
        rows = self.tables.get("number_series")
        if rows is None or not known:
            return []
        raised = 0
        for (kind, year), last in known.items():
            mine = (rows.c.kind == kind, rows.c.year == year)
            if self.connection.execute(update(rows).where(*mine, rows.c.last < last).values(last=last)).rowcount:
                raised += 1
            elif not self.connection.execute(select(rows.c.id).where(*mine)).first():
                self.connection.execute(rows.insert().values(kind=kind, year=year, last=last))
                raised += 1
        return [f"{raised} series of record numbers go on where the replaced database was."] if raised else []

    def raise_requests(self, last: int) -> list[str]:
        """Skip the numbers of data requests up to `last`: answers, and rows that were erased for them, name them."""
        rows = self.tables.get("data_request")
        if rows is None or last <= (self.connection.execute(select(func.max(rows.c.id))).scalar() or 0):
            return []
        if self.connection.dialect.name == "sqlite":
            self.connection.execute(text("DELETE FROM sqlite_sequence WHERE name = 'data_request'"))
            self.connection.execute(text("INSERT INTO sqlite_sequence VALUES ('data_request', :last)"), {"last": last})
        else:
            self.connection.execute(text(f"ALTER TABLE data_request AUTO_INCREMENT = {last + 1:d}"))
        number = data_requests.number_of(last + 1)
        return [
            f"Data requests that were noted after the backup are gone: note them again. New ones begin at {number}."
        ]

    @property
    def _moment(self) -> datetime:
        """Now, in the form in which columns store it."""
        return self.now.replace(tzinfo=None)

    def _change(self, name: str, states: tuple[str, ...], values: dict[str, Any], state: str = "state") -> int:
        """Update the rows in one of these states, if there are such columns. Returns how many."""
        rows = self.tables.get(name)
        if rows is None or state not in rows.c:
            return 0
        known = {column: value for column, value in values.items() if column in rows.c}
        own: list[ColumnElement[bool]] = [rows.c[state].in_(states)]
        if name == "message":
            own.append(rows.c.direction == "out")
        return self.connection.execute(update(rows).where(*own).values(known)).rowcount


@contextmanager
def _connected(url: URL) -> Iterator[tuple[Connection, dict[str, Table]]]:
    """A connection of its own, and those of our tables that exist."""
    engine: Engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    names = {"message", "delivery", "webhook_delivery", "sign_in", "job_run", "backup_run"}
    names |= {"report_run", "report_schedule", "invitation", "pending_sign_in", "two_factor", "recovery_code"}
    names |= {"remembered_browser", "access_version", "number_series", "alembic_version", "data_request"}
    with engine.connect() as connection:
        there = names & set(inspect(connection).get_table_names())
        metadata = MetaData()
        yield (
            connection,
            {name: Table(name, metadata, autoload_with=connection, resolve_fks=False) for name in sorted(there)},
        )


def _register(session: Session, installation: Installation) -> None:
    """Add rows for backups in the folder that the restored database doesn't know."""
    known = set(session.scalars(select(BackupRun.name).where(BackupRun.kind == "backup")))
    for backup in installation.folder.all():
        if backup.name not in known:
            row = BackupRun(kind="backup", outcome="done", name=backup.name, size_bytes=backup.size, tries=1)
            row.started_on, row.ended_on = backup.made_on, datetime.fromisoformat(backup.manifest["ended_on"])
            row.sha256, row.details = backup.manifest["parts"]["database"]["sha256"], details_of(backup)
            row.stamp(Stamp(None, backup.made_on))
            session.add(row)


@contextmanager
def _writing(url: URL) -> Iterator[Session]:
    """A session of the system on a connection of its own; commits at the end."""
    with Session(create_engine(url, poolclass=NullPool, hide_parameters=True)) as session, access.as_system(session):
        yield session
        session.commit()


def _audit(backup: Backup, url: URL, now: datetime) -> None:
    """Record in the audit log that it continues from a restored backup, and tell people to make new recovery codes."""
    with _writing(url) as session:
        users = tuple(session.scalars(select(TwoFactor.user_id).order_by(TwoFactor.user_id)))
        payload = {"what": "recovery codes withdrawn"}
        event = notices.NoticeEvent("security", f"two-factor:withdrawn:{now.isoformat()}", users, payload)
        notices.notify(session, event, now)
        audit.write(session, "restore", None, now, f"backup {backup.name}", by="command line")
        audit.write(session, "audit record renewed", None, now, by="command line", reason=f"restored {backup.name}")
