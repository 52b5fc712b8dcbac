"""Invalid input, one record of each kind to send it to, and checks that no response leaks internals."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from flask import Flask
from flask_appbuilder import Model
from sqlalchemy import text

from app import access, create_app
from app.domain.notifications import notices
from app.extensions import db
from app.models import ExportRun, Lead, Notification
from tests.app_fixtures import Crm, settings_for
from tests.app_pool import FAKE_HASH
from tests.factories import NOW

#: Texts that reveal internals.
_LEAKS = re.compile(r"\bSQL\b|Traceback|sqlalchemy|pymysql|sqlite3|File &#34;|File \"/", re.IGNORECASE)
#: Each leak holds one of these, in small letters. They are looked for first: the pattern takes 5 ms for a page.
_SIGNS_OF_LEAKS = ("sql", "traceback", "file &#34;", 'file "/')
#: Tables that any request can change: sign-in and key usage, audit, numbers.
VOLATILE_TABLES = {"sign_in", "api_key", "audit_entry", "number_series", "sign_in_try"}
#: Invalid ids.
INVALID_KEYS = (
    "0",
    "-1",
    "1" + "0" * 20,
    "2147483648",
    "abc",
    "1.5",
    "%00",
    "1%00",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "null",
    "1;2",
    "%2e%2e",
    "0x1",
    "+1",
)
_serial = count(1)
#: Invalid or unusual values, as raw JSON.
RAW_VALUES = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    '""',
    '"   "',
    '"abc"',
    '"' + "x" * 10_000 + '"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udfff tail"',
    "0",
    "-1",
    "1",
    "1.5",
    "1e400",
    "-0.0",
    str(2**31),
    str(2**63),
    str(2**63 - 1),
    "9" * 400,
    '"NaN"',
    '"Infinity"',
    '"1e5"',
    "[[[1]]]",
    "[null]",
    '["a","b"]',
    "[1,1,1]",
    '{"id":1}',
    '{"id":[]}',
    '{"id":999999}',
    '{"label":{}}',
    '"😀"',
    '"न" ',
    '"‮evil"',
    '"0001-01-01T00:00:00Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-12:00"',
    '"2026-11-30T17:30+05:30"',
    '"2026-11-30"',
    '"2026-13-45"',
    '"2026-11-30T25:61"',
    '"1899-12-31"',
    '"Done"',
    '"New"',
    '"@me"',
    '"root"',
    "999999",
    '"999999"',
    '"١٢٣"',
    '"²"',
    '"1\\n2"',
    '"<script>"',
    '"\' OR 1=1 --"',
    '"%"',
    '"+91 98250 11111"',
    '"9825011111"',
    '"XXXXXX1111"',
    '"abc@"',
    '"ABCDE1234F"',
    '{"title":"T","due_on":"0001-01-01T00:00:00Z"}',
    '{"title":null,"priority":[],"due_on":{}}',
    '{"title":"T"}',
    '"' + "न" * 300 + '"',
    '"' + "😀" * 100 + '"',
    '"' + "ß" * 254 + '"',
)


#: A valid body per resource; tests then make one field invalid.
VALID_BODIES: dict[str, dict[str, Any]] = {
    "lead": {"first_name": "Asha", "mobile": "9825011111", "email": "asha@eshin.test"},
    "ticket": {"subjects": [1], "mobile": "9825022222", "first_name": "Bina", "last_name": "Rao"},
    "customer": {"first_name": "Chandra", "mobile": "9825033333"},
    "task": {"title": "Call", "due_on": "2026-11-30T12:00:00+05:30", "lead": 1},
    "call_log": {
        "direction": "Outgoing",
        "status": "Completed",
        "started_on": "2026-11-20T10:00Z",
        "from_number": "9825044444",
        "to_number": "9825011111",
    },
    "activity": {"lead": 1, "text": "A note"},
    "message": {"channel": "sms", "peer": "9825011111", "body": "Hello", "noted": True},
    "assignment_request": {"lead": 1, "requested_user": "ana", "reason": "Knows her"},
    "complaint": {"first_name": "Case", "title": "Not credited", "category": "Demat", "received_on": "2026-11-20"},
    "data_request": {"person": "Meera Joshi", "kind": "grievance", "received_on": "2026-11-20"},
    "data_breach": {"title": "Laptop lost"},
}


#: Resources whose table has another name.
TABLES = {"lead": "leads", "file": "attachment"}


def body_with_invalid_field(resource: str, field: str, raw: str) -> bytes:
    """A valid body with this field as this raw JSON; a new mobile each time, so that no duplicate is refused first."""
    good = {name: given for name, given in VALID_BODIES.get(resource, {}).items() if name != field}
    if "mobile" in good:
        good["mobile"] = f"98{next(_serial):08d}"
    parts = [f"{json.dumps(name)}:{json.dumps(given)}" for name, given in good.items()]
    return ("{" + ",".join([*parts, f'"{field}":{raw}']) + "}").encode("utf-8", "surrogatepass")


@contextmanager
def spare_app(settled: Path, folder: Path) -> Iterator[Flask]:
    """The product on a copy of the settled database, for all tests of a module."""
    shutil.copytree(settled, folder / "instance")
    access.clear_cache()
    app = create_app(settings_for(folder / "instance"), TESTING=True, **FAKE_HASH)
    yield app
    with app.app_context():
        db.engine.dispose()


@contextmanager
def spare_world(settled: Path, folder: Path) -> Iterator[Crm]:
    """A CRM that tests may leave changed."""
    with spare_app(settled, folder) as app:
        crm = Crm(app)
        yield crm
        crm.close()


class Hostile:
    """A Crm with one record of each kind, and the admin's client with checks on every response."""

    def __init__(self, crm: Crm) -> None:
        self.crm, self.client = crm, crm.client("root")
        self._watch = CommitWatch(crm)
        self._seen: dict[Any, Any] = {}
        self.records: dict[str, int] = defaultdict(lambda: 1)  # picklists have the rows of the migrations
        for name, body in VALID_BODIES.items():  # on MariaDB, ids do not start with 1 again
            parents = {key: self.records[key] for key in ("lead", "ticket", "customer") if body.get(key) == 1}
            self.records[name] = self._make(name, body | parents)
        self.records |= {"notification": self._make_notice(), "user": crm.people["ana"].id}
        self.records["export"] = self._make_export()

    def _make(self, resource: str, body: dict[str, Any]) -> int:
        answer = self.client.rest("POST", f"{resource}/", json=body)
        assert answer.status_code == 201, (resource, answer.text)
        return int(answer.json["id"])

    def _make_export(self) -> int:
        session = self.crm.session
        run = ExportRun(kind="lead", outcome="done", created_by_id=self.crm.people["root"].id)
        run.created_on = run.changed_on = NOW
        session.add(run)
        session.flush()
        key = int(run.id)
        session.commit()
        return key

    def _make_notice(self) -> int:
        session, root = self.crm.session, self.crm.people["root"].id
        notices.notify(
            session,
            notices.NoticeEvent(
                "task_assigned", "hostile", (root,), {"title": "T"}, session.get(Lead, self.records["lead"])
            ),
            NOW,
        )
        session.flush()
        key = int(session.query(Notification.id).filter_by(user_id=root).limit(1).scalar())
        session.commit()  # MariaDB cuts off who leaves a transaction open while all the requests are made
        return key

    def ask(self, method: str, path: str, body: bytes | None = None, **more: Any) -> Any:
        """Send a REST request; asserts that the response is well-formed JSON."""
        asked = f"{method} {path[:300]} {(body or b'')[:300]!r}"
        kind = {} if body is None else {"content_type": "application/json"}
        with raising_server_errors(asked):
            answer = self.client.rest(method, f"/api/v1/{path}", data=body, **kind | more)
        assert_no_leak(answer, asked)
        assert_json(answer, asked)
        return answer

    def page(self, path: str, form: dict[str, Any] | None = None) -> Any:
        """Request a page or submit a form."""
        asked = f"{path[:300]} {str(form)[:300]}"
        with raising_server_errors(asked):
            answer = self.client.screen(path) if form is None else self.client.form(path, form)
        assert_no_leak(answer, asked)
        return answer

    def counts(self) -> dict[str, int]:
        """Table -> number of rows, without VOLATILE_TABLES."""
        names = [name for name in Model.metadata.tables if name not in VOLATILE_TABLES]
        parts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in names)  # noqa: S608
        return dict(self._rows(parts))

    def row(self, resource: str, key: int) -> Any:
        """The record's current row, as the system."""
        return self._rows(f"SELECT * FROM {TABLES.get(resource, resource)} WHERE id = {key}")  # noqa: S608

    def _rows(self, query: str) -> list[Any]:
        """What the query finds now; it is asked anew only if something was committed since it was asked last."""
        if self._watch.has_commits():
            self._seen.clear()
        if query not in self._seen:
            with self.crm.engine.connect() as connection:
                self._seen[query] = list(map(tuple, connection.execute(text(query))))
        return self._seen[query]


class CommitWatch:
    """Tells whether anybody committed a change to a database."""

    def __init__(self, crm: Crm) -> None:
        self._version: int | None = None
        self._connection: Any = None
        if crm.engine.dialect.name == "sqlite":
            self._connection = crm.until_closed(crm.engine.raw_connection())

    def has_commits(self) -> bool:
        """Whether there were commits since the last question; on MariaDB, which does not tell: always."""
        if self._connection is None:
            return True
        before = self._version
        ((self._version,),) = self._connection.driver_connection.execute("PRAGMA data_version")
        return self._version != before


@contextmanager
def raising_server_errors(asked: str) -> Iterator[None]:
    """Raise AssertionError from the logged exception of a server error, rather than report a bare 500."""
    bugs: list[BaseException] = []

    class EventListener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            bugs.extend([record.exc_info[1]] if record.exc_info and record.exc_info[1] else [])

    listener, log = EventListener(), logging.getLogger("crm.errors")
    log.addHandler(listener)
    try:
        yield
    finally:
        log.removeHandler(listener)
    if bugs:
        raise AssertionError(asked) from bugs[0]


def assert_no_leak(answer: Any, asked: str) -> None:
    """Assert that the response is no server error and leaks no internals."""
    assert answer.status_code < 500, f"{asked}: {answer.status_code}"
    if answer.mimetype in ("application/json", "text/html"):
        found = leak_in(answer.text)
        assert not found, f"{asked}: the answer says {found!r}"


def leak_in(text: str) -> str:
    """The first part of the text that reveals internals; "" if there is none."""
    lowered = text.lower()
    found = any(sign in lowered for sign in _SIGNS_OF_LEAKS) and _LEAKS.search(text)
    return found[0] if found else ""


def assert_json(answer: Any, asked: str) -> None:
    """Assert that the response is a JSON object; an error with a message."""
    assert answer.mimetype == "application/json", f"{asked}: {answer.status_code} {answer.mimetype}"
    body = answer.json
    assert isinstance(body, dict), f"{asked}: {body!r}"
    if answer.status_code >= 400:
        sentence = body.get("message")
        assert isinstance(sentence, str) and len(sentence) > 8 and sentence[-1] in ".!?", f"{asked}: {body!r}"
