"""Statements for many rows: their effect on SQLite and on MariaDB, and refused ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.notifications.notices import Notification
from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.tasks import Task
from app.domain.telephony.calls import CallLog
from app.domain.timeline import Activity
from tests import factories
from tests.factories import DAY, HOUR, NOW
from tests.servers import Databases

HOSTILE = "%s %(p0)s :p0 'o''brien' \\ \" ; DROP TABLE task; -- काम"
KEY = ("employee_id", "device_call_id")


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of the system on each database."""
    url = "sqlite://"
    if request.param == "mariadb":
        server: Databases = request.getfixturevalue("mariadb_server")
        url = server.url(server.create_database())
    engine = factories.database(url)
    with factories.opened(engine) as session:
        yield session
        session.rollback()
    engine.dispose()


@pytest.fixture(autouse=True)
def alone(session: Session) -> Iterator[None]:
    """Each test begins and ends with nothing written."""
    yield
    session.rollback()


def notice(key: str, user: int, **more: Any) -> dict[str, Any]:
    same: dict[str, Any] = {"kind": "task_due", "at": NOW, "actor_id": None, "read_on": None, "payload": {}}
    return same | {"event_key": key, "user_id": user} | more


def test_values_arrive_as_they_were_given(session: Session) -> None:
    user = factories.user(session, "ana", "Sales User").id
    india = timezone(timedelta(hours=5, minutes=30))
    rows = [
        notice(f"k{n}", user, at=at, payload=payload)
        for n, (at, payload) in enumerate(
            (
                (NOW, {"text": HOSTILE, "n": [1, True, None]}),
                (NOW.astimezone(india), {"text": HOSTILE, "n": [1, True, None]}),
                (datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC), {}),
            )
        )
    ]
    assert bulk_statements.insert_rows(session, Notification, rows) == 3
    stored = session.execute(select(Notification).order_by(Notification.id)).scalars().all()
    assert [(each.event_key, each.at, each.payload, each.read_on) for each in stored] == [
        (row["event_key"], row["at"], row["payload"], None) for row in rows
    ]


def test_rows_that_exist_are_skipped_and_counted_so(session: Session) -> None:
    user = factories.user(session, "ana", "Sales User").id
    assert (
        bulk_statements.insert_rows(session, Notification, [notice("a", user)], InsertPlan(unique=("event_key",))) == 1
    )
    again = [notice("a", user, kind="mention"), notice("b", user)]
    assert bulk_statements.insert_rows(session, Notification, again, InsertPlan(unique=("event_key",))) == 1
    assert bulk_statements.insert_rows(session, Notification, [], InsertPlan(unique=("event_key",))) == 0
    kinds = dict(session.execute(select(Notification.event_key, Notification.kind)).all())
    assert kinds == {"a": "task_due", "b": "task_due"}


def call(user: int, name: str, seconds: int, cold: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {"started_on": NOW, "created_on": NOW, "changed_on": NOW, "direction": "Incoming"}
    row |= {"status": "Completed", "native": {}, "linked": False, "medium": "mobile", "employee_id": user}
    return row | {"device_call_id": name, "duration_seconds": seconds, "cold": cold, "is_order": False}


def test_rows_that_exist_get_the_named_columns_only(session: Session) -> None:
    user = factories.user(session, "ana", "Sales User").id
    bulk_statements.insert_rows(session, CallLog, [call(user, "one", 1), call(user, "two", 2)])
    new = [call(user, "one", 10, cold=True), call(user, "three", 3, cold=True)]
    bulk_statements.insert_rows(session, CallLog, new, InsertPlan(unique=KEY, update=("duration_seconds",)))
    query = select(CallLog.device_call_id, CallLog.duration_seconds, CallLog.cold).order_by(CallLog.id)
    assert [tuple(row) for row in session.execute(query)] == [("one", 10, False), ("two", 2, False), ("three", 3, True)]
    bulk_statements.insert_rows(session, CallLog, new, InsertPlan(KEY, update=("cold",), add=("duration_seconds",)))
    assert [tuple(row) for row in session.execute(query)] == [("one", 20, True), ("two", 2, False), ("three", 6, True)]


def test_many_rows_are_sent_in_parts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    user = factories.user(session, "ana", "Sales User").id
    monkeypatch.setattr(bulk_statements, "MAX_ROWS", 3)
    assert bulk_statements.insert_rows(session, Notification, [notice(f"n{n}", user) for n in range(7)]) == 7


def test_a_column_that_only_sqlalchemy_would_fill_is_missed(session: Session) -> None:
    with pytest.raises(ValueError, match="rows of activity need payload"):
        bulk_statements.insert_rows(session, Activity, [{"kind": "note", "at": NOW}])


@pytest.fixture
def tasks(session: Session) -> list[Task]:
    user = factories.user(session, "ana", "Sales User")
    lead = factories.lead(session, user)
    made = [factories.task(session, lead, user, NOW + n * HOUR) for n in range(6)]
    session.flush()
    return made


@pytest.mark.parametrize(
    "titles",
    [
        [HOSTILE] * 6,
        ["a", "b", "a", HOSTILE, "a", "b"],
        [f"title {n}" for n in range(6)],
        ["a", "a", "a", "a", "a", "b"],
    ],
    ids=["one value", "some", "all different", "two"],
)
def test_each_row_gets_its_value(session: Session, tasks: list[Task], titles: list[str]) -> None:
    rows = [
        {"id": task.id, "title": title, "tried": [n]} for n, (task, title) in enumerate(zip(tasks, titles, strict=True))
    ]
    before = [task.version for task in tasks]
    bulk_statements.update_rows(session, Task, rows)
    session.expire_all()
    assert [task.title for task in tasks] == titles
    assert [task.tried for task in tasks] == [[n] for n in range(6)]
    assert [task.version for task in tasks] == [version + 1 for version in before]


def test_a_row_that_has_changed_meanwhile_stays(session: Session, tasks: list[Task]) -> None:
    rows = [{"id": task.id, "due_on": task.due_on, "remind_on": NOW + n * DAY} for n, task in enumerate(tasks)]
    rows[2]["due_on"] = NOW - DAY
    before = (tasks[2].remind_on, tasks[0].version)
    bulk_statements.update_rows(session, Task, rows, where=["due_on"], bump_version=False)
    session.expire_all()
    assert (tasks[2].remind_on, tasks[0].version) == before
    assert [task.remind_on for task in tasks if task is not tasks[2]] == [NOW + n * DAY for n in (0, 1, 3, 4, 5)]


def test_a_person_changes_no_rows_this_way(session: Session, tasks: list[Task]) -> None:
    person: Any = SimpleNamespace(id=7)
    with access.acting_as(session, person), pytest.raises(PermissionError):
        bulk_statements.update_rows(session, Task, [{"id": tasks[0].id, "title": "mine"}])
