"""Heartbeats of an export's worker: after a minute without one, another worker would start again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from app import access
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import ExportRun

#: Seconds between two heartbeats.
SECONDS = 10.0
_Thing = TypeVar("_Thing")


class ExportStopped(Exception):
    """The export was cancelled, or another worker has taken over."""


class Heartbeat:
    """The heartbeats of one worker."""

    def __init__(self, run: ExportRun) -> None:
        self._run, self._last = run, time.monotonic()

    def beat(self, rows: int | None = None) -> None:
        """Record a heartbeat and the number of rows, if it is time to. Raises ExportStopped."""
        if time.monotonic() - self._last < SECONDS:
            return
        self._last = time.monotonic()
        values: dict[str, Any] = {"seen_on": datetime.now(UTC)} | ({} if rows is None else {"rows": rows})
        with access.system_transaction() as session:
            if not export_and_import_runs.advance_export(session, self._run, values):
                raise ExportStopped
        if rows is not None:
            self._run.rows = rows

    def over(self, things: Iterable[_Thing]) -> Iterator[_Thing]:
        """The items, with a heartbeat now and then between them. Raises ExportStopped."""
        for each in things:
            self.beat()
            yield each
