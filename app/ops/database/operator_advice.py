"""Sentences for the operator about an unusable database, at the start and in commands."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

from app.lib.operator_command import operator_command
from app.ops.database.database_errors import Cause, cause_of, number_of, summary_of

_ADVICE = {
    Cause.AWAY: "can't be reached or opened. Check CRM_DATABASE_URL, and that the server runs or the folder exists",
    Cause.SLOW: "takes too long. Look at what else uses it, then try again",
    Cause.CROWDED: "takes no more connections. Raise its limit, or stop other programs that use it",
    Cause.LOCKED: "is locked by another program. Stop that program, then start again",
    Cause.COLLIDED: "is in use by another start. Start again",
    Cause.FULL: "has no room left on its disk. Free some space, then start again",
    Cause.READ_ONLY: "can't be written. Make its file and folder (or the server) writable, then start again",
    Cause.DAMAGED: "is damaged or isn't a database. Restore a backup, or check its disk",
    Cause.CLOSED: "doesn't let the CRM in. Check the user, password and database name of CRM_DATABASE_URL",
}
#: MariaDB's number of a table that doesn't exist.
_NO_TABLE = 1146


def of(error: Exception) -> str | None:
    """What is wrong with the database or a file, and what the operator can do; None for a bug."""
    cause = cause_of(error)
    if cause is not None:
        return f"The database {_ADVICE[cause]} ({summary_of(error)})."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} can't be used: {error.strerror}. Make it readable and writable, then start again."
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and number_of(error) == _NO_TABLE):
        return f"The database doesn't have the tables of this version. Run {operator_command('db upgrade')}."
    return None
