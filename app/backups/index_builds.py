"""Adds the indexes of loaded tables in connections of their own, while the rows of further tables are loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from typing import Any, Self

from sqlalchemy import Connection

from app.backups.database_contents import Beat
from app.backups.dump_rewriter import TableDefinition
from app.backups.errors import BackupError

#: How many tables get their indexes at the same time; one more connection loads rows meanwhile.
BUILDS = max(1, min(3, (os.cpu_count() or 2) - 1))
#: Seconds between two heartbeats while nothing else is left to be done.
_WAIT = 5
#: As in the dump; and no limit to the time of a statement.
_SETTINGS = (
    "SET SESSION foreign_key_checks = 0, unique_checks = 1, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', max_statement_time = 0"
)

Connecting = Callable[[], AbstractContextManager[Connection]]


class IndexBuilds:
    """Builds indexes until the block ends. If the block fails, what runs is stopped."""

    def __init__(self, connect: Connecting, beat: Beat) -> None:
        self._connect, self._beat = connect, beat
        self._pool = ThreadPoolExecutor(BUILDS, thread_name_prefix="indexes")
        self._begun: list[Future[None]] = []
        #: The server's numbers of the connections that are at work.
        self._at_work: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            self._stop()
        self._pool.shutdown()

    def start(self, tables: Iterable[TableDefinition]) -> None:
        """Add the indexes of these tables, whose rows are there. Raises BackupError if an earlier one has failed."""
        self._begun += [self._pool.submit(self._run, list(table.index_statements())) for table in tables]
        for each in self._begun:
            if each.done():
                each.result()

    def finish(self, unbound: Iterable[TableDefinition]) -> None:
        """Wait for all indexes, then add the foreign keys of these tables. Raises BackupError."""
        self._wait()
        self._begun = [self._pool.submit(self._run, [table.foreign_key_statement()]) for table in unbound]
        self._wait()

    def _wait(self) -> None:
        left = set(self._begun)
        while left:
            done, left = wait(left, timeout=_WAIT, return_when="FIRST_COMPLETED")
            for each in done:
                each.result()
            self._beat()

    def _run(self, statements: list[str]) -> None:
        with self._connect() as connection:
            number = int(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
            self._at_work.add(number)
            try:
                connection.exec_driver_sql(_SETTINGS)
                for statement in statements:
                    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            finally:
                self._at_work.discard(number)

    def _stop(self) -> None:
        """End what runs: a half-built index would otherwise go on for minutes in a database that is given up."""
        for each in self._begun:
            each.cancel()
        with suppress(BackupError), self._connect() as connection:
            for number in list(self._at_work):
                with suppress(Exception):  # it has just ended
                    connection.exec_driver_sql(f"KILL {number}")
