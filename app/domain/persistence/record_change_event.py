"""One change event: what happened to one record in one transaction. `change_events` collects them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

#: (name of the record in webhooks, id)
RecordKey = tuple[str, int]


@dataclass(frozen=True)
class ChangeEvent:
    """What happened to one record."""

    events: frozenset[str] = frozenset()
    #: The number of a deleted record, if it had one.
    number: str | None = None
    #: Who could see a deleted record (user ids).
    seen_by: frozenset[int] = frozenset()

    def events_for(self, wanted: Collection[str]) -> tuple[str, ...]:
        """The events to send to a receiver of the `wanted` ones, without duplicates.

        A created or deleted record sends only that; `changed` is left out if merged, status or assigned is sent.
        """
        if {"created", "deleted"} <= self.events:
            return ()
        for main, others in (("deleted", ()), ("created", ("assigned",))):
            if main in self.events:
                return tuple(event for event in (main, *others) if event in self.events and event in wanted)[:1]
        specific = tuple(
            event for event in ("merged", "status", "assigned") if event in self.events and event in wanted
        )
        return specific or (("changed",) if "changed" in wanted else ())
