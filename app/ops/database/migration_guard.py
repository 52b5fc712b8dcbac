"""Migrations that can be killed at any moment; only one runs at a time.

SQLite migrates in one transaction: after a kill the database is unchanged. MariaDB commits each schema change by
itself. There a marker table records the progress: an interrupted first start is cleared away and repeated; an upgrade
goes on with the step that was interrupted, or, if that had committed rows, is refused, with instructions to go back.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Engine, MetaData, inspect, text

from app.lib.operator_command import operator_command
from app.ops.database import schema_journal
from app.ops.database.connections import WRITES, tune_once
from app.ops.database.schema_changes import letting_others_go_on
from app.ops.database.schema_journal import MARKER, StepCannotBeRepeated

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

log = logging.getLogger("crm.schema")

VERSIONS = "alembic_version"
#: How long a start waits for another one that is migrating.
WAIT_SECONDS = 900
#: The lock is requested repeatedly, so that an unresponsive database is noticed.
LOCK_STEP_SECONDS, ANSWER_SECONDS = 10, 30.0
FIRST, RESTORE = "first start", "restore"
#: The former is what versions wrote that didn't note the changes of a step.
UPGRADE_BY_STEPS, UPGRADE = "upgrade", "upgrade by changes"


class MigrationRefused(RuntimeError):
    """The schema can't be migrated as it is. The message tells the operator what is wrong, and what to do."""


class Marker(NamedTuple):
    """The progress when the marker was created or last updated."""

    kind: str
    #: The revisions whose steps are all complete.
    revisions: str
    #: Fingerprint of the schema at that moment.
    fingerprint: str

    @property
    def is_first_start(self) -> bool:
        """Whether the database was empty before."""
        return self.kind == FIRST


# --- one at a time


@contextmanager
def exclusive(engine: Engine) -> Iterator[Connection]:
    """A connection for migrations, for one process at a time. Raises MigrationRefused after a wait."""
    if engine.dialect.name == "sqlite":
        yield from _exclusive_sqlite(engine)
        return
    with locked(engine, "crm-schema"), engine.connect() as connection:
        connection.detach()  # its settings are only for migrations
        connection.execute(text("SET SESSION idle_transaction_timeout = 0, innodb_lock_wait_timeout = 50"))
        connection.commit()
        with letting_others_go_on(connection):
            yield connection


def _exclusive_sqlite(engine: Engine) -> Iterator[Connection]:
    """The write lock is held from the first statement to the commit of the whole migration."""
    tune_once(engine)
    token = WRITES.set(True)
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
            # Tables are rebuilt: with foreign keys on, dropping the old one would delete the rows that refer to it.
            driver.execute("PRAGMA foreign_keys=OFF")
            connection.detach()
            yield connection
    finally:
        WRITES.reset(token)


@contextmanager
def locked(engine: Engine, name: str) -> Iterator[None]:
    """Hold a lock for this MariaDB database on a connection of its own; does nothing on other databases."""
    if engine.dialect.name == "sqlite":
        yield
        return
    lock = f"{name}:{engine.url.database}"[:64]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()
        connection.execute(text("SET SESSION wait_timeout = 86400"))
        step = {"lock": lock, "seconds": LOCK_STEP_SECONDS}
        tries = (
            connection.execute(text("SELECT GET_LOCK(:lock, :seconds)"), step).scalar()
            for _ in range(WAIT_SECONDS // LOCK_STEP_SECONDS)
        )
        if 1 not in tries:
            raise MigrationRefused(
                "Another process has been preparing the database for too long. Stop it, then start again."
            )
        yield


# --- interrupted migrations


def marker(connection: Connection) -> Marker | None:
    """The progress when a process was killed; None if none was."""
    if connection.dialect.name == "sqlite":
        return None
    query = "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name"
    comment = connection.execute(text(query), {"name": MARKER}).scalar()
    return None if comment is None else Marker(*[*str(comment).split("|"), "", ""][:3])


def refuse_half_restored(connection: Connection) -> Marker | None:
    """Raise MigrationRefused while only a part of a backup is in the database; else return the marker, if any."""
    found = marker(connection)
    if found is not None and found.kind == RESTORE:
        raise MigrationRefused(
            "A restore into this database is going on or was cut off, so only a part of it is there. Wait for its end, "
            f"or run it again with --overwrite: {operator_command('backup restore NAME --into URL --overwrite')}"
        )
    return found


def begin(connection: Connection, script: ScriptDirectory, metadata: MetaData) -> None:
    """Clear away an interrupted first start, and mark the beginning of migrations. Raises MigrationRefused."""
    found = refuse_half_restored(connection)
    current, tables = _revisions(connection), set(inspect(connection).get_table_names())
    if current == _wanted(script):
        end(connection)  # a process was killed after its last step
    elif found is not None and found.is_first_start:
        _clear(connection, tables & _our_tables(script, metadata))
        current = ""
    elif found is not None:
        begun = _changes_to_repeat(connection, found, current)
        log.warning("an upgrade was cut off after schema %s and goes on there", current)
        if found.kind == UPGRADE:
            schema_journal.begin(connection, begun)
            connection.commit()
            return
    elif not current and (ours := tables & _our_tables(script, metadata)):
        raise MigrationRefused(_without_version(connection, sorted(ours)))
    if connection.dialect.name != "sqlite" and current != _wanted(script):
        _mark(connection, UPGRADE if current else FIRST)
        if current:
            schema_journal.begin(connection, [])
    connection.commit()


def step_done(connection: Connection) -> None:
    """Mark that all steps up to this one are complete."""
    found = marker(connection)
    if found is not None and not found.is_first_start:
        schema_journal.step_done(connection)
        connection.execute(text(f"ALTER TABLE {MARKER} COMMENT = '{_comment(connection, UPGRADE)}'"))


def end(connection: Connection) -> None:
    """Remove the mark: all migrations are done."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"DROP TABLE IF EXISTS {MARKER}"))
        connection.commit()


def _mark(connection: Connection, kind: str) -> None:
    # A single statement, which is executed completely or not at all.
    connection.execute(text(f"DROP TABLE IF EXISTS {MARKER}"))
    comment = _comment(connection, kind)
    connection.execute(text(f"CREATE TABLE {MARKER} ({schema_journal.COLUMNS}) COMMENT = '{comment}'"))


def _comment(connection: Connection, kind: str) -> str:
    return "|".join((kind, _revisions(connection), _fingerprint(connection)))


def _revisions(connection: Connection) -> str:
    from alembic.runtime.migration import MigrationContext  # servers use only the lock of this module

    return ", ".join(sorted(MigrationContext.configure(connection).get_current_heads()))


def _wanted(script: ScriptDirectory) -> str:
    return ", ".join(sorted(script.get_heads()))


def _clear(connection: Connection, tables: set[str]) -> None:
    """Drop what the first start has created so far. Raises MigrationRefused if the database is in use already."""
    if "ab_user" in tables and connection.execute(text("SELECT COUNT(*) FROM ab_user")).scalar():
        raise MigrationRefused(
            f"The table {MARKER} says that the first start of this database was cut off, yet it has users. "
            f"Nothing was changed. If the database works, drop that table; else restore a backup."
        )
    log.warning("a first start was cut off: its %d tables are dropped, and it begins anew", len(tables))
    connection.execute(text("SET SESSION foreign_key_checks = 0"))
    for name in sorted(tables - {MARKER}):
        connection.execute(text(f"DROP TABLE IF EXISTS `{name}`"))
    connection.execute(text("SET SESSION foreign_key_checks = 1"))


def _changes_to_repeat(connection: Connection, found: Marker, current: str) -> list[str]:
    """The changes of the step that was interrupted, [] between two steps. Raises MigrationRefused if they can't be."""
    try:
        if found.kind == UPGRADE:
            return schema_journal.begun_changes(connection)
        if found.fingerprint == _fingerprint(connection) and found.revisions == current:
            return []
    except StepCannotBeRepeated:
        pass
    raise half_step(connection)


def half_step(connection: Connection) -> MigrationRefused:
    """What the operator does about a step that was cut off and can't be gone on with."""
    found = marker(connection)
    after = found.revisions if found is not None else _revisions(connection)
    return MigrationRefused(
        f"An upgrade of the database was cut off in the middle of the step after schema {after}. MariaDB "
        "can't undo half a step, so nothing was changed now. Restore the backup that `make upgrade` made before "
        "(`make restore` lists them), then run `make upgrade` again."
    )


def _without_version(connection: Connection, tables: list[str]) -> str:
    shown = ", ".join(tables[:5]) + (" …" if len(tables) > 5 else "")
    what = "Move the file away" if connection.dialect.name == "sqlite" else "Empty the database, or create another one"
    return (
        f"The database has no schema version, but tables with names of ours ({shown}): a first start of an older "
        f"version was cut off, or they belong to another program. Nothing was changed. {what}, then start again."
    )


def _fingerprint(connection: Connection) -> str:
    """A fingerprint of the columns, indexes and constraints of all tables except the marker."""
    queries = (
        "SELECT table_name, column_name, column_type, is_nullable, column_default FROM information_schema.columns",
        "SELECT table_name, index_name, column_name, seq_in_index FROM information_schema.statistics",
        "SELECT table_name, constraint_name, constraint_type FROM information_schema.table_constraints",
    )
    found = []
    for query in queries:
        rows = connection.execute(text(f"{query} WHERE table_schema = DATABASE() AND table_name <> '{MARKER}'"))
        found.append(sorted(str(tuple(row)) for row in rows))
    return hashlib.sha256(str(found).encode()).hexdigest()[:32]


def _our_tables(script: ScriptDirectory, metadata: MetaData) -> set[str]:
    """The tables of the models, and all those that a migration has ever created."""
    made = re.compile(r"create_table\(\s*[\"'](\w+)[\"']")
    sources = (Path(step.path).read_text() for step in script.walk_revisions())
    return {*metadata.tables, VERSIONS, *(name for source in sources for name in made.findall(source))}
