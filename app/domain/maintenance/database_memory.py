"""Whether the database has too little memory: it reads many of the pages that statements need from the disk.

The page cache of a server that has just started is empty, and a backup reads everything once. So single minutes say
nothing; those of a day do, without the time of backups and drills.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.maintenance.backup_runs import BackupRun
from app.domain.maintenance.health_samples import INSTALLATION, HealthSample, minute_of

#: The time that is judged.
WINDOW = timedelta(days=1)
#: A minute counts if statements needed so many pages (about one request a second), a day if it has so many minutes.
BUSY_PAGES, BUSY_MINUTES = 20_000, 60
#: A minute is short of memory if more of 1,000 pages came from the disk.
MOST_OF_1000 = 10
#: Samples further apart than this are no minute: nobody took any meanwhile.
MAX_GAP = 5


@dataclass(frozen=True)
class MemoryUse:
    """The busy minutes of a day."""

    minutes: int
    #: Those in which too many pages came from the disk.
    short_minutes: int
    #: Of 1,000 pages, how many came from the disk in the middle one of all busy minutes.
    of_1000: float

    @property
    def is_known(self) -> bool:
        """Whether there were enough busy minutes to judge."""
        return self.minutes >= BUSY_MINUTES

    @property
    def is_short(self) -> bool:
        """Whether the memory is too small."""
        return self.is_known and 2 * self.short_minutes > self.minutes


def memory_use(session: Session, now: datetime) -> MemoryUse:
    """How the last day was."""
    shares = sorted(1000 * read / asked for asked, read in _busy_minutes(session, now))
    middle = shares[len(shares) // 2] if shares else 0.0
    return MemoryUse(len(shares), sum(each > MOST_OF_1000 for each in shares), middle)


def _busy_minutes(session: Session, now: datetime) -> Iterator[tuple[int, int]]:
    """(pages asked for, pages read from the disk) of each busy minute without a backup."""
    columns = (HealthSample.minute, HealthSample.db_pages_asked, HealthSample.db_pages_read)
    query = select(*columns).where(HealthSample.server == INSTALLATION, HealthSample.minute >= minute_of(now - WINDOW))
    backups = _minutes_of_backups(session, now)
    rows = session.execute(query.order_by(HealthSample.minute))
    samples = [(minute, asked, read) for minute, asked, read in rows if asked is not None and read is not None]
    for (before, asked_before, read_before), (minute, asked, read) in itertools.pairwise(samples):
        gap = minute - before
        is_usual = gap <= MAX_GAP and not any(first <= minute <= last for first, last in backups)
        # After a restart, the server counts from zero.
        if is_usual and asked - asked_before >= gap * BUSY_PAGES and read >= read_before:
            yield asked - asked_before, read - read_before


def _minutes_of_backups(session: Session, now: datetime) -> list[tuple[int, int]]:
    """The first and last minute of each backup, check and drill of the time."""
    columns = (BackupRun.started_on, BackupRun.ended_on, BackupRun.seen_on)
    rows = session.execute(select(*columns).where(BackupRun.created_on >= now - 2 * WINDOW))
    spans = [(began, ended or seen or now) for began, ended, seen in rows if began is not None]
    return [(minute_of(began), minute_of(ended) + 1) for began, ended in spans]
