"""What a job would change, found by doing it and rolling it back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import event

from app.domain.persistence.session_context import session_context
from app.job_runner import SKIPPED, Execution, Job, Runner, writing
from app.ops.queues import queue


@dataclass
class DryRun:
    """What a job would have done."""

    #: Result -> number of items, without those that would be skipped.
    results: Counter[str] = field(default_factory=Counter)
    #: (added, changed or deleted; table) -> rows.
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed_items: int = 0
    error: str | None = None


#: First word of a statement -> what it does.
_VERBS = {"INSERT": "added", "UPDATE": "changed", "DELETE": "deleted"}


def try_out(runner: Runner, job: Job, now: datetime) -> DryRun:
    """Do one pass of a job and roll everything back; nothing is sent, queued, announced or recorded."""
    found = DryRun()
    execution = _DryExecution(replace(runner, announce=lambda notified: None), job, found=found)
    with queue.discard_calls():
        execution.run(runner.pass_at(now, is_dry_run=True))
    found.failed_items, found.error = execution.totals.failed_items, execution.totals.error
    return found


@dataclass
class _DryExecution(Execution):
    found: DryRun = field(default_factory=DryRun)

    @property
    def goes_on(self) -> bool:
        return False  # it would find the same items again

    def commit(self, chunk: list[Any]) -> tuple[list[str], list[tuple[int, str]]]:
        """Do a chunk, count what it did, and roll it back."""
        rows: Counter[tuple[str, str]] = Counter()

        def count(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
            words = statement.replace("`", "").replace('"', "").split()
            if verb := _VERBS.get(words[0].upper()):
                table = next(word for word in words[1:] if word.upper() not in ("INTO", "FROM", "OR", "IGNORE"))
                rows[verb, table] += cursor.rowcount if cursor.rowcount >= 0 else len(parameters) if many else 1

        with writing(self.runner) as session:
            session_context(session).notice_choices = self.choices
            event.listen(session.connection(), "after_cursor_execute", count)
            results = self.work.do(session, chunk)
            session.flush()
            session.rollback()
        self.found.rows += rows
        self.found.results.update(result for result in results if result != SKIPPED)
        return results, []
