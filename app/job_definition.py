"""What a job is: an entry of the schedule, one pass of it, and the items that it finds and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.lib.batches import batched
from app.lib.recurring_times import Daily, Every
from app.ops.storage.file_store import FileStore

#: The most items of one pass; the next pass does the rest.
MAX_ITEMS = 20_000
#: Items of one transaction, where a job can do many at once.
CHUNK_SIZE = 100
#: The result of an item for which there was nothing to do (any more).
SKIPPED = "skipped"


@dataclass(frozen=True)
class JobPass:
    """One run of a job."""

    #: UTC.
    now: datetime
    #: The office's time zone.
    zone: str
    #: The most items to find.
    limit: int = MAX_ITEMS
    #: The folder for files that belong to this server; None in tests without one.
    folder: Path | None = None
    #: Whether this only shows what would change: everything in the database is rolled back, nothing else may happen.
    is_dry_run: bool = False
    #: Where the files of messages are; None in tests without them.
    files: FileStore | None = None


def _skip(session: Session, item: Any) -> str:
    return SKIPPED


@dataclass(frozen=True)
class JobWork:
    """The items found, and what to do with them: one by one, or a chunk at a time. Each chunk is one transaction."""

    items: Iterable[Any] = ()
    #: (session, item) -> result: SKIPPED, or a word for what was done.
    each: Callable[[Session, Any], str] = _skip
    #: (session, items) -> one result per item, in their order; instead of `each`.
    many: Callable[[Session, list[Any]], list[str]] | None = None
    #: How many items `many` gets at once.
    size: int = CHUNK_SIZE
    #: Whether an item comes several times in `items`, to go on where it has ended: once it was skipped, nothing is left
    #: of it in this pass, and no transaction is begun for it.
    in_turns: bool = False

    def chunks(self) -> list[list[Any]]:
        """The items of each transaction."""
        items, size = list(self.items), self.size if self.many else 1
        return list(batched(items, size))

    def do(self, session: Session, chunk: list[Any]) -> list[str]:
        """Do the work for a chunk and return one result per item."""
        return self.many(session, chunk) if self.many else [self.each(session, item) for item in chunk]


@dataclass(frozen=True)
class Job:
    """One entry of the schedule. `work` finds the items, in a session of the system."""

    name: str
    when: Every | Daily
    work: Callable[[Session, JobPass], JobWork]
