"""Timeline rows that are collected, and new objects that are inserted without a flush."""

from __future__ import annotations

import pytest
from sqlalchemy import event, inspect, select
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain import timeline
from app.domain.base import Stamp
from app.domain.persistence import fast_insert, history_rows
from app.domain.persistence.transaction_state import transaction_state
from app.models import Activity, Lead, StatusChange, Task
from tests.factories import NOW, lead, user


@pytest.fixture(autouse=True)
def hooks() -> None:
    """A session without them writes everything by flushes."""
    session_hooks.install()


def texts(db: Session) -> list[str]:
    return [payload["text"] for payload in db.scalars(select(Activity.payload).order_by(Activity.id))]


def test_lines_are_written_together_after_the_record(db: Session) -> None:
    about, stamp = lead(db), Stamp(user(db, "ana").id, NOW)
    about.description = "changed"
    sent: list[str] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda _c, _cursor, text, *_: sent.append(text))
    with history_rows.written_together(db), history_rows.written_together(db):
        timeline.write(db, about, "system", stamp, text="one")
        history_rows.add(db, StatusChange, {"lead_id": about.id, "to_id": about.status_id, "at": NOW})
        timeline.write(db, about, "system", stamp, text="two")
        assert not sent
    assert [text.split()[:3] for text in sent] == [
        ["UPDATE", "leads", "SET"],
        ["INSERT", "INTO", "activity"],
        ["INSERT", "INTO", "status_change"],
    ]
    timeline.write(db, about, "system", stamp, text="three")
    assert texts(db) == ["one", "two", "three"]


def test_an_exception_drops_what_was_gathered(db: Session) -> None:
    about, stamp = lead(db), Stamp(None, NOW)
    with pytest.raises(ZeroDivisionError), history_rows.written_together(db):
        timeline.write(db, about, "system", stamp, text="lost")
        raise ZeroDivisionError
    timeline.write(db, about, "system", stamp, text="kept")
    assert texts(db) == ["kept"]


def new_task(about: Lead, **values: object) -> Task:
    task = Task(lead_id=about.id, title="Call", assignee_id=about.assignee_id, **values)
    task.stamp(Stamp(None, NOW))
    return task


def test_a_stored_object_is_as_after_a_flush(db: Session) -> None:
    about = lead(db, user(db, "ana"))
    stored, flushed = new_task(about, description="e\u0301"), new_task(about, description="\u00e9")
    fast_insert.insert(db, stored)
    db.add(flushed)
    db.flush()
    columns = [column.key for column in inspect(Task).columns if column.key != "id"]
    assert inspect(stored).persistent and stored in db and not db.dirty
    assert [getattr(stored, name) for name in columns] == [getattr(flushed, name) for name in columns]
    assert stored.description == "\u00e9"
    assert transaction_state(db).change_events["task", stored.id].events == {"created", "assigned"}
    stored.title = "Again"
    db.flush()
    db.expire_all()
    assert (stored.title, stored.version, flushed.id) == ("Again", 2, stored.id + 1)


def test_related_objects_give_their_keys(db: Session) -> None:
    about = lead(db)
    made = Lead(number="X-1", first_name="Mia", status=about.status, status_on=NOW)
    made.stamp(Stamp(None, NOW))
    fast_insert.insert(db, made)
    assert made.status_id == about.status_id == db.scalars(select(Lead.status_id).where(Lead.id == made.id)).one()


def test_who_listens_to_inserts_of_a_class_hears_of_each(db: Session) -> None:
    heard: list[str] = []

    def hear(_mapper: object, _connection: object, row: Task) -> None:
        heard.append(row.title)

    event.listen(Task, "before_insert", hear)
    try:
        fast_insert.insert(db, new_task(lead(db)))
    finally:
        event.remove(Task, "before_insert", hear)
    assert heard == ["Call"]
