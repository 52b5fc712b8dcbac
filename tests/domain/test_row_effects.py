"""Each effect is applied to each saved row, written by a flush or without one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy_utils import aggregates

from app import models, session_hooks
from app.domain.base import RuleBroken, Stamp
from app.domain.persistence import fast_insert, row_effects, row_updates
from app.domain.persistence.row_effects import Effect, Rows, can_write_without_flush, classes
from app.extensions import RoutedSession
from app.models import Customer, Lead, Task, Ticket
from tests.factories import NOW, lead

APP = Path(models.__file__).parent
Heard = list[tuple[str, str, list[Any]]]


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """The hooks and effects of the product."""
    session_hooks.install()
    yield
    row_effects.register(session_hooks.EFFECTS)


def new_task(about: Lead) -> Task:
    task = Task(lead_id=about.id, title="Call", assignee_id=about.assignee_id)
    task.stamp(Stamp(None, NOW))
    return task


def flushed_insert(session: Session, row: Any) -> None:
    session.add(row)
    session.flush()


def heard(concerns: Callable[[type], bool], needs_flush: bool = False) -> Heard:
    """Register one more effect of each moment; the calls that they get are added to the list."""
    found: Heard = []

    def listen(moment: Any) -> Effect:
        def note(_session: Session, rows: Rows) -> None:
            for kind in ("new", "changed", "deleted"):
                if given := getattr(rows, kind):
                    found.append((moment, kind, list(given)))

        return Effect(moment, note, concerns, "The test hears of it.", needs_flush)

    row_effects.register((*session_hooks.EFFECTS, listen("before_flush"), listen("after_flush")))
    return found


@pytest.mark.parametrize("write", [flushed_insert, fast_insert.insert])
@pytest.mark.parametrize("needs_flush", [False, True])
def test_an_effect_hears_of_a_new_row(db: Session, write: Callable[[Session, Any], None], needs_flush: bool) -> None:
    task = new_task(lead(db))
    calls = heard(classes(Task), needs_flush)
    write(db, task)
    assert calls == [("before_flush", "new", [task]), ("after_flush", "new", [task])]
    assert task in db and task.id and not db.dirty and not db.new


@pytest.mark.parametrize("write", [Session.flush, row_updates.flush])
@pytest.mark.parametrize("needs_flush", [False, True])
def test_an_effect_hears_of_a_changed_row(db: Session, write: Callable[[Session], None], needs_flush: bool) -> None:
    about = lead(db)
    db.commit()
    calls = heard(classes(Lead), needs_flush)
    about.description = "changed"
    write(db)
    assert calls == [("before_flush", "changed", [about]), ("after_flush", "changed", [about])]
    assert not db.dirty and about.version == 2


@pytest.mark.parametrize("write", [Session.flush, row_updates.flush])
def test_effects_see_what_was_changed_and_what_an_earlier_one_has_set(db: Session, write: Any) -> None:
    about = lead(db)
    db.commit()
    columns: list[set[str]] = []

    def set_more(_session: Session, rows: Rows) -> None:
        rows.changed[0].first_name = "Set before"

    def note(_session: Session, rows: Rows) -> None:
        columns.append(set(row_effects.changed_columns(rows.changed[0])))

    row_effects.register(
        (
            Effect("before_flush", set_more, classes(Lead), "Sets another column."),
            Effect("after_flush", note, classes(Lead), "Notes what was written."),
        )
    )
    about.description = "changed"
    write(db)
    assert columns == [{"description", "first_name"}]
    db.expire_all()
    assert (about.first_name, about.description) == ("Set before", "changed")


@pytest.mark.parametrize("write", [Session.flush, row_updates.flush])
def test_an_effect_can_refuse_a_row(db: Session, write: Any) -> None:
    about = lead(db)
    db.commit()

    def refuse(_session: Session, _rows: Rows) -> None:
        raise RuleBroken("No.")

    row_effects.register([Effect("before_flush", refuse, classes(Lead), "Refuses all.")])
    about.description = "changed"
    with pytest.raises(RuleBroken):
        write(db)
    db.rollback()
    assert about.description is None


def test_queries_of_an_effect_write_nothing(db: Session) -> None:
    about = lead(db)
    db.commit()

    def query(session: Session, _rows: Rows) -> None:
        session.query(Lead).all()

    row_effects.register([Effect(moment, query, classes(Lead), "Reads.") for moment in ("before_flush", "after_flush")])
    about.description = "changed"
    row_updates.flush(db)
    assert about.version == 2


def test_an_effect_gets_only_the_rows_that_it_concerns(db: Session) -> None:
    about = lead(db)
    calls = heard(classes(Lead))
    about.description = "changed"
    db.add(new_task(about))
    db.flush()
    assert calls == [("before_flush", "changed", [about]), ("after_flush", "changed", [about])]


@pytest.mark.parametrize("kind", [Session, RoutedSession])
def test_single_records_are_written_without_a_flush(db: Session, kind: type[Session]) -> None:
    session = db if kind is Session else RoutedSession.__new__(RoutedSession)
    assert all(can_write_without_flush(session, record, "update") for record in (Lead, Ticket, Customer, Task))
    assert all(can_write_without_flush(session, record, "insert") for record in (Lead, Task))
    assert not can_write_without_flush(session, models.User, "update")


@pytest.mark.parametrize(
    "name", ["before_flush", "after_flush", "after_flush_postexec", "transient_to_pending", "pending_to_persistent"]
)
def test_who_listens_besides_the_effects_hears_of_each_row(db: Session, name: str) -> None:
    about, calls = lead(db), []
    db.commit()

    def hear(*_given: object) -> None:
        calls.append(name)

    event.listen(db, name, hear)
    assert not can_write_without_flush(db, Lead, "update")
    about.description = "changed"
    row_updates.flush(db)
    fast_insert.insert(db, new_task(about))
    assert calls


@pytest.mark.parametrize("name", ["before_update", "after_update"])
def test_who_listens_to_updates_of_a_class_hears_of_each(db: Session, name: str) -> None:
    about, calls = lead(db), []
    db.commit()

    def hear(_mapper: object, _connection: object, row: Lead) -> None:
        calls.append(row.description)

    event.listen(Lead, name, hear)
    try:
        about.description = "changed"
        row_updates.flush(db)
    finally:
        event.remove(Lead, name, hear)
    assert calls == ["changed"]


def test_a_listener_without_work_does_not_count(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy-Utils, which FAB imports, listens to all flushes for the sake of aggregates that nobody declares."""
    assert can_write_without_flush(db, Lead, "update")
    monkeypatch.setattr(aggregates.manager, "generator_registry", {Lead: ["an aggregate"]})
    assert not can_write_without_flush(db, Lead, "update")


# --- statements without objects

_EVENTS, _CALLS, _VALUES = "change_events.note_saved", "call_rollups.note_saved", "custom_values.index_changed"
_HELD, _TASKS = "parent_holders.note_saved", "parent_holders.note_tasks"
_BESIDE = "parent_holders.note_saved_assignments"
_MARKS, _GIVEN, _NOTES = "recount_marks.note_saved", "recount_marks.note_given", "searchable_notes.copy_saved"
#: (module, record) of statements that write rows without objects -> the effects after a flush that concern these rows.
#: The module does itself what they would do, or writes only columns that they don't look at.
WITHOUT_OBJECTS = {
    ("domain/telephony/call_sync.py", "CallLog"): {_EVENTS, _CALLS},
    # Of tickets, `bulk.update_rows` notes the new assignees.
    ("domain/assignment.py", "Assignment"): {_GIVEN, _BESIDE},
    # None of these writes notes: `timeline.write_many` refuses them, and a synced call adds entries of calls alone.
    ("domain/timeline.py", "Activity"): {_NOTES},
    ("domain/telephony/call_sync.py", "Activity"): {_NOTES},
    # Assignments come from `domain/assignment.py` alone, and `timeline.write` adds notes as objects.
    ("domain/persistence/history_rows.py", "record"): {_GIVEN, _BESIDE, _NOTES},
    ("domain/automation/reassignment_batch.py", "Task"): {_EVENTS, _VALUES, _MARKS, _TASKS},
    # `bulk.update_rows` itself notes whose holders change.
    ("domain/automation/reassignment_batch.py", "record"): {_EVENTS, _VALUES, _MARKS, _HELD},
    # Only the time of the next reminder, which is neither an event nor a custom value, nor counted.
    ("domain/automation/reminders.py", "Task"): {_EVENTS, _VALUES, _MARKS, _TASKS},
}
#: What a module means where it names no class.
CLASSES = {
    ("domain/persistence/history_rows.py", "record"): (models.Activity, models.StatusChange, models.Assignment),
    ("domain/automation/reassignment_batch.py", "record"): (Lead, Ticket),
}
#: The modules that apply the effects.
APPLY = ("domain/persistence/fast_insert.py", "domain/persistence/row_updates.py")
WRITES = ("insertion", "insert_row", "insert_rows", "update_row", "update_rows")


def written_without_objects() -> Iterator[tuple[str, str]]:
    """(module, how it names the record) of all statements that `bulk_statements` writes."""
    for path in APP.rglob("*.py"):
        module = path.relative_to(APP).as_posix()
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "bulk_statements" in source else ():
            is_write = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES
            is_bulk = is_write and ast.unparse(node.func.value) == "bulk_statements"  # type: ignore[attr-defined]
            if is_bulk and module not in APPLY:
                yield module, ast.unparse(node.args[1]).rpartition(".")[2]  # type: ignore[attr-defined]


def effects_of(records: tuple[type, ...]) -> set[str]:
    return {
        f"{effect.apply.__module__.rpartition('.')[2]}.{effect.apply.__name__}"
        for effect in session_hooks.EFFECTS
        if effect.moment == "after_flush" and any(effect.concerns(record) for record in records)
    }


def test_who_writes_rows_without_objects_knows_their_effects() -> None:
    found = {}
    for key in sorted(set(written_without_objects())):
        effects = effects_of(CLASSES.get(key) or (getattr(models, key[1]),))
        if effects:
            found[key] = effects
    assert found == WITHOUT_OBJECTS, (
        "These statements bypass the session's objects, so no effect is applied to what they write. Look whether the "
        "module does what each of these effects would do, then name them in WITHOUT_OBJECTS."
    )
