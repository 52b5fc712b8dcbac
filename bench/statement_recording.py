"""The cost of one request for the database: its statements, and the rows that they read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import Browser, Request
from bench.measured_versions import Target

#: The rows read by the status query itself are measured and subtracted.
_READS = "SHOW GLOBAL STATUS LIKE 'Handler_read%%'"
_INSERT = re.compile(r"^INSERT(?: IGNORE)? INTO `?(\w+)`?", re.IGNORECASE)
_RETURNING = re.compile(r"\bRETURNING (`?)(\w+)\1\.")
#: Without the statements of a new connection.
_LOGGED = """SELECT argument FROM mysql.general_log WHERE command_type = 'Query'
    AND argument NOT LIKE '%%general_log%%' AND argument NOT LIKE 'SET %%'"""
#: The number of recordings of a request: some of them fill a cache of the process that serves them.
TRIES = 5


@dataclass(frozen=True)
class Recording:
    """One request: its complete statements, and its response."""

    statements: list[str]
    body: str
    content_type: str


@dataclass
class Replay:
    """The recordings that the baseline repeats, by name."""

    file: Path
    recordings: dict[str, Recording] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file that bench/baseline.py reads."""
        found = {
            name: {"statements": each.statements, "body": each.body, "type": each.content_type}
            for name, each in self.recordings.items()
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(found))


def rows_read(target: Target, act: Callable[[], object]) -> int:
    """How many rows MariaDB reads during `act`: the sum of its Handler_read counters. Nothing else may be running."""
    before = _reads(target)
    own = _reads(target) - before
    before = _reads(target)
    act()
    return _reads(target) - before - own


def _reads(target: Target) -> int:
    return sum(int(value) for _name, value in target.query(_READS))


def send_all(target: Target, requests: Sequence[Request]) -> None:
    """Send the requests, to fill the caches of the processes that serve them."""
    for request in requests:
        Browser(target.web.port).send(request)


def record(target: Target, requests: Sequence[Request]) -> Recording:
    """Send the requests, which differ only in values. Returns the one with the fewest statements."""
    return min((_record(target, request) for request in requests), key=lambda each: len(each.statements))


def _record(target: Target, request: Request) -> Recording:
    """Send the request and return its statements, from MariaDB's general log."""
    target.query("SET GLOBAL log_output = 'TABLE'")
    target.query("TRUNCATE mysql.general_log")
    target.query("SET GLOBAL general_log = ON")
    try:
        _status, headers, body = Browser(target.web.port).send(request)
    finally:
        target.query("SET GLOBAL general_log = OFF")
    statements = [_text(row[0]) for row in target.query(_LOGGED)]
    return Recording(statements, body, headers.get("content-type", "text/plain"))


def _text(argument: bytes | str) -> str:
    return argument.decode() if isinstance(argument, bytes) else argument


def into_copies(target: Target, recording: Recording) -> Recording:
    """The same with inserts into copies of the tables that have no unique keys, so that they can be repeated."""
    tables = {match[1] for each in recording.statements if (match := _INSERT.match(each))}
    for table in sorted(tables):
        _copy_table(target, table)
    statements = [_into_copy(each) for each in recording.statements]
    return Recording(statements, recording.body, recording.content_type)


def _into_copy(statement: str) -> str:
    if not _INSERT.match(statement):
        return statement
    copied = _INSERT.sub(lambda match: f"INSERT INTO floor_{match[1]}", statement)
    return _RETURNING.sub(lambda match: f"RETURNING floor_{match[2]}.", copied)


def _copy_table(target: Target, table: str) -> None:
    copy = f"floor_{table}"
    target.query(f"DROP TABLE IF EXISTS {copy}")
    target.query(f"CREATE TABLE {copy} LIKE {table}")
    indexes: dict[str, list[str]] = {}
    for row in target.query(f"SHOW INDEX FROM {copy} WHERE Non_unique = 0 AND Key_name <> 'PRIMARY'"):
        indexes.setdefault(row[2], []).append(row[4])
    for name, columns in indexes.items():
        listed = ", ".join(f"`{column}`" for column in columns)
        target.query(f"ALTER TABLE {copy} DROP INDEX `{name}`, ADD INDEX `{name}` ({listed})")


def explain(target: Target, statements: Sequence[str]) -> list[str]:
    """The plan of each SELECT that reads many rows: a full scan of a table, or more than 1,000 rows sorted."""
    found = []
    for statement in statements:
        if not statement.lstrip(" (").upper().startswith("SELECT"):
            continue
        for row in target.query("EXPLAIN " + statement.replace("%", "%%")):
            # With a filter of row ids MariaDB writes “12 (3%)”.
            table, kind, rows, extra = row[2], row[3], int(str(row[-2] or 0).split()[0]), str(row[-1] or "")
            if rows > 1000 and (kind == "ALL" or "filesort" in extra or kind == "index"):
                found.append(f"{table}: {kind}, {rows:,} rows, {extra}")
    return found
