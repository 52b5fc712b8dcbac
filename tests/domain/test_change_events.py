"""What happened to a record is told once, by the narrowest name that somebody wants to hear."""

from __future__ import annotations

import pytest

from app.domain.change_events import EVENTS, ChangeEvent, events_of_columns

EVERYTHING = ("created", "changed", "status", "assigned", "deleted")


@pytest.mark.parametrize(
    ("happened", "wanted", "told"),
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
def test_what_is_told_of_a_save(happened: set[str], wanted: tuple[str, ...], told: tuple[str, ...]) -> None:
    assert ChangeEvent(frozenset(happened)).events_for(wanted) == told


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
def test_which_columns_are_news(kind: str, columns: list[str], events: set[str]) -> None:
    assert events_of_columns(kind, columns) == events and events <= set(EVENTS[kind])
