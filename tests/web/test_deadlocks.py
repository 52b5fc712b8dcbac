"""A deadlock or a lost connection takes the whole transaction with it, savepoints too: nothing is reported as saved.

After a deadlock, the transaction is done again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, make_url, select

from app.domain.persistence import record_locks
from app.extensions import db
from app.models import Lead
from app.web.core import repeated_writes
from tests.app_fixtures import Crm
from tests.servers import eventually

#: Rows that the other transaction writes first: MariaDB rolls back the one that has written fewer.
MANY = 2000
LOCKING = "SELECT 1 FROM leads WHERE id = %s FOR UPDATE"
WAITING = (
    "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id = %s"
)


def _connected(crm: Crm) -> pymysql.connections.Connection:
    url = make_url(crm.app.config["SQLALCHEMY_DATABASE_URI"])
    where = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
    return pymysql.connect(**where, ssl_disabled=True)


@contextmanager
def colliding(crm: Crm, beginning: str, taken: int, wanted: int) -> Iterator[None]:
    """Another transaction holds `taken`, and waits for `wanted` just before the second statement that begins so.

    `taken`, `wanted`: ids of leads. The statement waits for `taken`, so that its transaction is lost.
    """
    threads: list[threading.Thread] = []
    sent: list[str] = []
    with closing(_connected(crm)) as other, closing(_connected(crm)) as watch, crm.app.app_context():
        other.begin()
        other.cursor().executemany(
            "INSERT INTO row_mark (kind, row_id) VALUES (9, %s)", [(number,) for number in range(MANY)]
        )
        other.cursor().execute(LOCKING, [taken])

        def is_waiting() -> bool:
            cursor = watch.cursor()
            cursor.execute(WAITING, [other.thread_id()])
            return bool(cursor.fetchone()[0])

        def wait_and_go() -> None:
            other.cursor().execute(LOCKING, [wanted])
            other.commit()

        def collide(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            if not statement.startswith(beginning):
                return
            sent.append(statement)
            if len(sent) == 2:
                threads.append(threading.Thread(target=wait_and_go))
                threads[0].start()
                eventually(is_waiting, "the other transaction does not wait")

        engine = db.engine
        event.listen(engine, "before_cursor_execute", collide)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", collide)
            for each in threads:
                each.join()
    assert threads, "no such statements were sent"


ASSIGN, UPDATE = "crm.api.role_assignment.bulk_assign_leads", "frappe.client.bulk_update"


def body_of(method: str, leads: list[Any]) -> dict[str, Any]:
    names = [lead.number for lead in leads]
    if method == ASSIGN:
        return {"lead_names": names, "users": ["ben"]}
    return {"docs": [{"doctype": "CRM Lead", "docname": name, "first_name": "New"} for name in names]}


def stored(crm: Crm) -> list[tuple[int, int, str, int]]:
    """(id, assignee, first name, version) of the leads."""
    found = crm.rows(select(Lead.id, Lead.assignee_id, Lead.first_name, Lead.version).order_by(Lead.id))
    return [tuple(row) for row in found]


def test_many_records_of_which_one_collides_are_all_written_again(maria: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_locks, "lock_rows", lambda *_: None)  # whoever else locks them in another order
    leads = [maria.make.lead("ana") for _ in range(3)]
    before = stored(maria)
    with colliding(maria, "UPDATE leads SET", leads[1].id, leads[0].id):
        answer = maria.client("root").rest("POST", f"/api/method/{ASSIGN}", body_of(ASSIGN, leads))
    assert answer.status_code == 200 and answer.json["message"]["updated_count"] == 3, answer.text
    ben = maria.people["ben"].id
    assert stored(maria) == [(key, ben, name, version + 1) for key, _, name, version in before]


def test_a_record_that_always_collides_is_refused_and_none_is_reported_as_saved(
    maria: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_locks, "lock_rows", lambda *_: None)
    monkeypatch.setattr(repeated_writes, "TRIES_AFTER_DEADLOCKS", 1)
    leads = [maria.make.lead("ana") for _ in range(3)]
    before = stored(maria)
    with colliding(maria, "UPDATE leads SET", leads[1].id, leads[0].id):
        answer = maria.client("root").rest("POST", f"/api/method/{ASSIGN}", body_of(ASSIGN, leads))
    assert answer.status_code == 503 and "at the same moment" in answer.text, answer.text
    assert stored(maria) == before


def test_a_locked_document_is_named_and_the_others_are_saved(maria: Crm) -> None:
    leads = [maria.make.lead("ana") for _ in range(3)]
    with closing(_connected(maria)) as other:
        other.begin()
        other.cursor().execute(LOCKING, [leads[1].id])
        answer = maria.client("root").rest("POST", f"/api/method/{UPDATE}", body_of(UPDATE, leads))
    (failed,) = answer.json["message"]["failed_docs"]
    assert failed["doc"]["docname"] == leads[1].number and "Another save is taking long" in failed["exc"]
    assert [name for _, _, name, _ in stored(maria)] == ["New", "Ravi", "New"]


@pytest.mark.parametrize(("method", "saved"), [(ASSIGN, 0), (UPDATE, 1)])
def test_a_connection_lost_between_many_records_is_said_to_be_lost(maria: Crm, method: str, saved: int) -> None:
    leads = [maria.make.lead("ana") for _ in range(3)]
    before = stored(maria)
    sent: list[str] = []

    def lose(connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.extend([statement] if statement.startswith("UPDATE leads SET") else [])
        if len(sent) == 2:
            with closing(_connected(maria)) as other:
                other.cursor().execute(f"KILL CONNECTION {connection.connection.thread_id()}")

    with maria.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lose)
    try:
        answer = maria.client("root").rest("POST", f"/api/method/{method}", body_of(method, leads))
    finally:
        event.remove(engine, "before_cursor_execute", lose)
    assert answer.status_code == 503 and "may not have been saved" in answer.text, answer.text
    now = [version for *_, version in stored(maria)]
    assert now == [version + (place < saved) for place, (*_, version) in enumerate(before)]
