"""Merges the notices of a bulk action: one notice per user, with the number of records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.domain.base import RECORD_COLUMNS
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.persistence.session_context import session_context

#: Kinds that are merged; each event of another kind stays a notice of its own.
MERGED = ("assigned", "unassigned", "status")
#: Records that a merged notice names; the others are counted.
MAX_NAMED = 5


class NoticeBatch:
    """The notices of a bulk action, collected record by record."""

    def __init__(self) -> None:
        self._events: list[NoticeEvent] = []

    def add(self, events: Iterable[NoticeEvent]) -> None:
        """Collect these events until the batch is written."""
        # Ids instead of objects, which expire when their record is committed.
        self._events.extend(replace(event, about=notices.record_ids_of(event.about)) for event in events)

    @contextmanager
    def record(self) -> Iterator[None]:
        """Work on one record: an exception drops the notices collected for it, as its transaction is rolled back."""
        before = len(self._events)
        try:
            yield
        except BaseException:
            del self._events[before:]
            raise

    def merged(self) -> list[NoticeEvent]:
        """The events; those of the same kind, author, reader and new value are merged."""
        groups: dict[Any, list[NoticeEvent]] = {}
        for event in self._events:
            for user in dict.fromkeys(event.users):
                groups.setdefault(_group_of(event, user), []).append(replace(event, users=(user,)))
        return [group[0] if len(group) == 1 else _merge(group) for group in groups.values()]


@contextmanager
def one_notice_each(session: Session, now: datetime) -> Iterator[NoticeBatch]:
    """Inside, the session's notices are collected; at the end each user gets one of each kind. The caller commits.

    Also after an exception, because records committed before it were changed.
    """
    context, batch = session_context(session), NoticeBatch()
    context.notice_batch = batch
    try:
        yield batch
    except BaseException:
        context.notice_batch = None
        with suppress(SQLAlchemyError):  # the exception says why: the transaction may be lost
            notices.notify_many(session, batch.merged(), now)
        raise
    context.notice_batch = None
    notices.notify_many(session, batch.merged(), now)


def _group_of(event: NoticeEvent, user: int | None) -> Any:
    if event.kind not in MERGED or not _table_of(event):
        return (event.key, user)
    same = sorted((name, str(value)) for name, value in event.payload.items() if name != "number")
    return (event.kind, event.by, user, _table_of(event), tuple(same))


def _table_of(event: NoticeEvent) -> str:
    """leads, ticket, customer or task; "" = none."""
    return next((table for table, column in RECORD_COLUMNS.items() if event.about.get(column) is not None), "")


def _merge(group: Sequence[NoticeEvent]) -> NoticeEvent:
    first = group[0]
    numbers = [event.payload.get("number") for event in group]
    payload = first.payload | {"count": len(group), "numbers": numbers[:MAX_NAMED], "record": _table_of(first)}
    return NoticeEvent(first.kind, f"{len(group)}:{first.key}", first.users, payload, None, first.by)
