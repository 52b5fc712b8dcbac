"""Change events: each receiver gets the most specific event it wants, once."""

from __future__ import annotations

import pytest

from app.domain.persistence.change_events import EVENTS, events_of_columns
from app.domain.persistence.record_change_event import ChangeEvent

EVERYTHING = ("created", "changed", "status", "assigned", "deleted")


@pytest.mark.parametrize(
    ("events", "wanted", "expected"),
    [
        ({"created"}, EVERYTHING, ("created",)),
        ({"created", "assigned", "status", "changed"}, EVERYTHING, ("created",)),
        ({"created", "assigned"}, ("assigned", "changed"), ("assigned",)),
        ({"created", "changed"}, ("changed", "status"), ()),
        ({"status", "changed"}, EVERYTHING, ("status",)),
        ({"status", "assigned", "changed"}, EVERYTHING, ("status", "assigned")),
        ({"status"}, ("changed",), ("changed",)),
        ({"assigned"}, ("changed", "status"), ("changed",)),
        ({"assigned"}, ("status",), ()),
        ({"changed", "deleted", "status"}, EVERYTHING, ("deleted",)),
        ({"deleted"}, ("changed",), ()),
        ({"created", "deleted"}, EVERYTHING, ()),
    ],
)
def test_the_events_sent_to_a_receiver(events: set[str], wanted: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert ChangeEvent(frozenset(events)).events_for(wanted) == expected


@pytest.mark.parametrize(
    ("kind", "columns", "events"),
    [
        ("lead", ["status_id", "status_on", "version"], {"status", "changed"}),
        ("lead", ["assignee_id", "changed_on"], {"assigned"}),
        ("lead", ["version", "changed_on", "changed_by_id"], set()),
        ("lead", ["sla_on", "reply_late_on", "exhausted_task_id"], set()),
        ("task", ["remind_on", "tried", "exhausted"], set()),
        ("task", ["status"], {"status"}),
        ("customer", ["status"], {"status"}),
        ("call_log", ["status"], {"changed"}),
    ],
)
def test_the_events_of_changed_columns(kind: str, columns: list[str], events: set[str]) -> None:
    assert events_of_columns(kind, columns) == events and events <= set(EVENTS[kind])
