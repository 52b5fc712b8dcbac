"""Schema changes of MariaDB that nobody else has to wait for.

A change waits for each transaction that has read its table, such as a backup of some minutes, and everybody who wants
to use the table then waits behind the change. So it waits shortly, lets the others go on, and tries again. The same
holds for InnoDB's own locks: a change locks the tables that refer to its table, too, and whoever has written to one of
them and now wants the table would wait for the change as long as the change waits for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from sqlalchemy import Connection, event

from app.ops.database import schema_journal
from app.ops.database.database_errors import Cause, cause_of_number

log = logging.getLogger("crm.schema")

#: Seconds for which a change waits for the transactions that use its table, and for which it then lets others go on.
WAIT, PAUSE = 2, 3.0
#: A change fails if its table was in use at each try for so long.
PATIENCE_SECONDS = 86_400
#: Tries between two lines of the log.
_TRIES_PER_LINE = 12
_CHANGES = ("ALTER", "CREATE", "DROP", "RENAME")


@contextmanager
def letting_others_go_on(connection: Connection) -> Iterator[None]:
    """Schema changes on this connection to MariaDB let others use the tables while they wait."""

    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Execute a schema change; SQLAlchemy executes everything else."""
        if context.root_connection is not connection or not statement.lstrip()[:6].upper().startswith(_CHANGES):
            return False
        journal = schema_journal.of(connection)
        if journal is None:
            _until_done(cursor, statement, parameters)
        else:
            journal.change(cursor, statement, lambda: _until_done(cursor, statement, parameters))
        return True

    def notice(used: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        if used is connection and (journal := schema_journal.of(connection)) is not None:
            journal.notice(statement)

    event.listen(connection.engine, "do_execute", execute)
    event.listen(connection.engine, "before_cursor_execute", notice)
    try:
        yield
    finally:
        event.remove(connection.engine, "do_execute", execute)
        event.remove(connection.engine, "before_cursor_execute", notice)


def _until_done(cursor: Any, statement: str, parameters: Any) -> None:
    began, tries = time.monotonic(), 0
    waits = f"lock_wait_timeout = {WAIT}, innodb_lock_wait_timeout = {WAIT}"
    while True:
        try:
            cursor.execute(f"SET STATEMENT {waits} FOR {statement}", parameters)
            return
        except pymysql.err.OperationalError as error:
            is_in_use = cause_of_number(error.args[0]) is Cause.LOCKED
            if not is_in_use or time.monotonic() - began > PATIENCE_SECONDS:
                raise
        if tries % _TRIES_PER_LINE == 0:
            log.warning("waiting for transactions that use the table, such as those of a backup: %s", statement[:200])
        tries += 1
        time.sleep(PAUSE)
