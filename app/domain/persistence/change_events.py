"""Change events: what happened to records in one transaction, collected in the session for webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from sqlalchemy.orm import Session

from app.domain.persistence.record_change_event import ChangeEvent, RecordKey
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state

#: Table -> the record's name in webhooks.
KINDS = {
    "leads": "lead",
    "ticket": "ticket",
    "customer": "customer",
    "task": "task",
    "call_log": "call_log",
    "complaint": "complaint",
}
#: Kind -> its possible events.
EVENTS = {
    "lead": ("created", "changed", "status", "assigned", "merged", "deleted"),
    "ticket": ("created", "changed", "status", "assigned", "merged", "deleted"),
    "customer": ("created", "changed", "status", "merged", "deleted"),
    "task": ("created", "changed", "status", "assigned", "deleted"),
    "call_log": ("created", "changed", "deleted"),
    "complaint": ("created", "changed"),
}
_ANY_RECORD = ("created", "changed", "deleted")
_BY_COLUMN = {"status_id": "status", "status": "status", "assignee_id": "assigned"}
#: Columns that the system maintains; changing them is no event.
_INTERNAL = frozenset(
    (
        "version",
        "changed_on",
        "changed_by_id",
        "remind_on",
        "tried",
        "exhausted",
        "exhausted_task_id",
        "sla_on",
        "reply_late_on",
        "resolve_late_on",
        "native",
    )
)


def add_kind(table: str, kind: str) -> None:
    """Offer the records of a table to webhooks under this name. Idempotent."""
    if table not in KINDS:
        KINDS[table] = kind
        EVENTS[kind] = _ANY_RECORD


def events_of_columns(kind: str, names: Iterable[str]) -> set[str]:
    """The events of a row in which these columns have changed."""
    changed = [name for name in names if name not in _INTERNAL]
    events = {event for name in changed if (event := _BY_COLUMN.get(name, "changed")) in EVENTS[kind]}
    return events or ({"changed"} if changed else set())


@lru_cache(maxsize=200)
def _plain(*events: str) -> ChangeEvent:
    return ChangeEvent(frozenset(events))


def has_events(record: type) -> bool:
    """Whether webhooks support changes of this class."""
    return getattr(record, "__tablename__", "") in KINDS


def note_saved(session: Session, records: Rows) -> None:
    """Effect after a flush: note the new and the changed records."""
    for row in records.new:
        assigned = ("assigned",) if getattr(row, "assignee_id", None) is not None else ()
        record_event(session, KINDS[row.__tablename__], row.id, "created", *assigned)
    for row in records.changed:
        kind = KINDS[row.__tablename__]
        if events := events_of_columns(kind, records.changed_columns(row)):
            record_event(session, kind, row.id, *sorted(events))


def record_event(session: Session, kind: str, key: int, *events: str) -> None:
    """Add events of the record with this id. Statements that bypass the session's objects must call this too."""
    merge_event(session, (kind, key), _plain(*events))


def record_events(session: Session, kind: str, events: Mapping[int, str]) -> None:
    """Add one event for each of many records, {id: event}."""
    for key, event in events.items():
        merge_event(session, (kind, key), _plain(event))


def merge_event(session: Session, record: RecordKey, change: ChangeEvent) -> None:
    """Merge the change with earlier changes of the record in this transaction."""
    changes = transaction_state(session).change_events
    before = changes.get(record)
    changes[record] = change if before is None else _merged(before, change)


def _merged(before: ChangeEvent, change: ChangeEvent) -> ChangeEvent:
    return ChangeEvent(before.events | change.events, change.number or before.number, before.seen_by | change.seen_by)
