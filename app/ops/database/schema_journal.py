"""What MariaDB has made of the current step of an upgrade, so that a step that was cut off can be gone on with.

MariaDB commits each schema change by itself, and with it the rows that were written before it. So each change is noted
in the marker table before it begins, in the transaction that it commits. When the step is repeated, the noted changes
are left out; of the last one nobody knows whether it was made, so it is executed, and may find that it was.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pymysql
from sqlalchemy import Connection, text

log = logging.getLogger("crm.schema")

#: The table that exists while MariaDB is being migrated; its comment says how far the migration is.
MARKER = "crm_schema_change"
COLUMNS = "id INTEGER PRIMARY KEY, statement CHAR(64) NOT NULL, has_rows BOOLEAN NOT NULL"
_NOTE = "INSERT INTO crm_schema_change (id, statement, has_rows) VALUES (%s, %s, %s)"
_FORGET = "DELETE FROM crm_schema_change WHERE id = %s"
_NOTED = text("SELECT statement, has_rows FROM crm_schema_change ORDER BY id")
_FORGET_ALL = text("DELETE FROM crm_schema_change")
_KEY = "schema_journal"
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
#: What MariaDB says of a change that it has made already: a table, column or index that is there, or gone.
_MADE = (1050, 1051, 1060, 1061, 1091, 1826)
#: “Can't create table”, for a foreign key whose name is taken.
_NOT_CREATED, _NAME_TAKEN = 1005, "errno: 121"


class StepCannotBeRepeated(RuntimeError):
    """The step that was cut off can't be gone on with: it wrote rows before its last change, or has other changes."""


class SchemaJournal:
    """The changes of the current step, in their order; `begun` are those that an earlier process has begun."""

    def __init__(self, begun: list[str]) -> None:
        self._begun, self._place, self._has_rows = begun, 0, False

    def notice(self, statement: str) -> None:
        """Remember that the step has written rows: the next change commits them."""
        self._has_rows = self._has_rows or statement.lstrip()[:7].upper().startswith(_WRITES)

    def next_step(self) -> None:
        """A step is complete."""
        self._begun, self._place, self._has_rows = [], 0, False

    def change(self, cursor: Any, statement: str, execute: Callable[[], None]) -> None:
        """Execute a schema change, unless it was made before. Raises StepCannotBeRepeated."""
        if MARKER in statement:
            execute()
            return
        place, key = self._place, hashlib.sha256(statement.encode()).hexdigest()
        self._place += 1
        if place >= len(self._begun):
            self._note(cursor, place, key)
            _or_forget(cursor, place, execute, is_kept=self._has_rows)
            self._has_rows = False
        elif self._begun[place] != key:
            raise StepCannotBeRepeated(statement)
        elif place == len(self._begun) - 1:
            _or_forget(cursor, place, lambda: _unless_made(statement, execute), is_kept=False)

    def _note(self, cursor: Any, place: int, key: str) -> None:
        values = (place, key, self._has_rows)
        cursor.execute(_NOTE, values)


def _or_forget(cursor: Any, place: int, execute: Callable[[], None], *, is_kept: bool) -> None:
    """Execute a change; one that fails was not made, so its note is removed."""
    try:
        execute()
    except pymysql.err.MySQLError:
        if not is_kept:
            cursor.execute(_FORGET, (place,))
            cursor.connection.commit()
        raise


def _unless_made(statement: str, execute: Callable[[], None]) -> None:
    try:
        execute()
    except pymysql.err.MySQLError as error:
        number, said = (*error.args, "", "")[:2]
        if number not in _MADE and not (number == _NOT_CREATED and _NAME_TAKEN in str(said)):
            raise
        log.info("this change was made before the upgrade was cut off: %s", statement[:200])


def of(connection: Connection) -> SchemaJournal | None:
    """The journal of this connection; None while an empty database is being made, which begins anew instead."""
    found: SchemaJournal | None = connection.info.get(_KEY)
    return found


def begin(connection: Connection, begun: list[str]) -> None:
    """Note the changes on this connection from now on."""
    connection.info[_KEY] = SchemaJournal(begun)


def begun_changes(connection: Connection) -> list[str]:
    """The changes of the step that was cut off. Raises StepCannotBeRepeated if it wrote rows before one of them."""
    found = connection.execute(_NOTED).all()
    if any(has_rows for _statement, has_rows in found):
        raise StepCannotBeRepeated("rows")
    return [statement for statement, _has_rows in found]


def step_done(connection: Connection) -> None:
    """Forget the changes of a step, in the transaction that commits its version."""
    journal = of(connection)
    if journal is not None:
        connection.execute(_FORGET_ALL)
        journal.next_step()
