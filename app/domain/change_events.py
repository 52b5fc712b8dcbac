"""What happened to records in one transaction, gathered in the session: for those outside who want to know."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.domain.pending import pending

#: Table -> what people outside call the record.
KINDS = {"leads": "lead", "ticket": "ticket", "customer": "customer", "task": "task", "call_log": "call_log"}
#: Kind -> what can happen to it.
EVENTS = {
    "lead": ("created", "changed", "status", "assigned", "deleted"),
    "ticket": ("created", "changed", "status", "assigned", "deleted"),
    "customer": ("created", "changed", "status", "deleted"),
    "task": ("created", "changed", "status", "assigned", "deleted"),
    "call_log": ("created", "changed", "deleted"),
}
_BY_COLUMN = {"status_id": "status", "status": "status", "assignee_id": "assigned"}
#: Columns whose change is bookkeeping of the machine, no news.
_SILENT = frozenset(
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
RecordKey = tuple[str, int]


@dataclass(frozen=True)
class ChangeEvent:
    """What happened to one record."""

    events: frozenset[str] = frozenset()
    #: Its people-facing number, where it has one and is gone.
    number: str | None = None
    #: Of a record that is gone: who saw it.
    seen_by: frozenset[int] = frozenset()

    def told(self, wanted: Collection[str]) -> tuple[str, ...]:
        """Which of the events are worth telling to who wants these; nothing is said twice.

        A record that was made, or is gone, says only that; `changed` goes without saying beside status and assigned.
        """
        if {"created", "deleted"} <= self.events:
            return ()
        for whole, rest in (("deleted", ()), ("created", ("assigned",))):
            if whole in self.events:
                return tuple(each for each in (whole, *rest) if each in self.events and each in wanted)[:1]
        narrow = tuple(each for each in ("status", "assigned") if each in self.events and each in wanted)
        return narrow or (("changed",) if "changed" in wanted else ())


def of_columns(kind: str, names: Iterable[str]) -> set[str]:
    """The events of a row whose columns of these names got other values."""
    news = [name for name in names if name not in _SILENT]
    return {event for name in news if (event := _BY_COLUMN.get(name, "changed")) in EVENTS[kind]} or (
        {"changed"} if news else set()
    )


def note(session: Session, kind: str, key: int, *events: str) -> None:
    """Note what happened to the record of this id; statements that go around the session's objects call it too."""
    add(session, (kind, key), ChangeEvent(frozenset(events)))


def add(session: Session, place: RecordKey, happening: ChangeEvent) -> None:
    """Note it beside what happened to the record before."""
    found = pending(session).change_events
    before = found.get(place, ChangeEvent())
    found[place] = replace(
        happening,
        events=before.events | happening.events,
        number=happening.number or before.number,
        seen_by=before.seen_by | happening.seen_by,
    )
