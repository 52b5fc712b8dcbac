"""A deadlock or a lost connection takes the whole transaction with it, savepoints too: nothing is reported as saved."""

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

        def collide(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            if not statement.startswith(beginning):
                return
            sent.append(statement)
            if len(sent) == 2:
                threads.append(threading.Thread(target=lambda: other.cursor().execute(LOCKING, [wanted])))
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


MANY_RECORDS = pytest.mark.parametrize(
    ("method", "body"),
    [
        ("crm.api.role_assignment.bulk_assign_leads", lambda names: {"lead_names": names, "users": ["ben"]}),
        (
            "frappe.client.bulk_update",
            lambda names: {"docs": [{"doctype": "CRM Lead", "docname": name, "first_name": "New"} for name in names]},
        ),
    ],
    ids=["assign", "update"],
)


@MANY_RECORDS
def test_of_many_records_none_is_reported_as_saved_when_one_of_them_collides(
    maria: Crm, monkeypatch: pytest.MonkeyPatch, method: str, body: Any
) -> None:
    monkeypatch.setattr(record_locks, "lock_rows", lambda *_: None)  # whoever else locks them in another order
    leads = [maria.make.lead("ana") for _ in range(3)]
    before = maria.rows(select(Lead.assignee_id, Lead.first_name, Lead.version).order_by(Lead.id))
    sent = body([lead.number for lead in leads])
    client = maria.client("root")
    with colliding(maria, "UPDATE leads SET", leads[1].id, leads[0].id):
        answer = client.rest("POST", f"/api/method/{method}", sent)
    assert answer.status_code == 503 and "at the same moment" in answer.text, answer.text
    assert maria.rows(select(Lead.assignee_id, Lead.first_name, Lead.version).order_by(Lead.id)) == before
    assert client.rest("POST", f"/api/method/{method}", sent).status_code == 200
    assert maria.rows(select(Lead.version)) == [version + 1 for _, _, version in before]


@MANY_RECORDS
def test_a_connection_lost_between_many_records_is_said_to_be_lost(maria: Crm, method: str, body: Any) -> None:
    leads = [maria.make.lead("ana") for _ in range(3)]
    before = maria.rows(select(Lead.assignee_id, Lead.first_name, Lead.version).order_by(Lead.id))
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
        answer = maria.client("root").rest("POST", f"/api/method/{method}", body([lead.number for lead in leads]))
    finally:
        event.remove(engine, "before_cursor_execute", lose)
    assert answer.status_code == 503 and "database" in answer.text, answer.text
    assert maria.rows(select(Lead.assignee_id, Lead.first_name, Lead.version).order_by(Lead.id)) == before
