"""An application to be rude to: every screen and resource, one record of each, and what no answer may say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask
from flask_appbuilder import Model
from sqlalchemy import text
from werkzeug.security import generate_password_hash

import config
from app import access, create_app
from app.extensions import db
from app.domain import notices
from app.models import Lead, Notification, Role, User
from app.web import keys, signin
from app.web.sessions import own_transaction

PASSWORD = "Correct-Horse-42"
PEOPLE = {"root": "Admin", "ana": "Sales User"}
#: What tells an attacker how the house is built.
LEAKS = re.compile(r"\bSQL\b|Traceback|sqlalchemy|pymysql|sqlite3|File &#34;|File \"/", re.IGNORECASE)
_serial = count(1)
#: Tables that change by the mere asking: who was seen, which key was used, cells that sign-in writes.
RESTLESS = {"sign_in", "api_key", "audit_entry", "alembic_version", "ab_user", "number_series", "job_run"}

#: JSON values that somebody sends by mistake or on purpose, as raw JSON.
RAW_VALUES = (
    "null", "true", "false", "[]", "{}", '""', '"   "', '"abc"', '"' + "x" * 10_000 + '"', '"a\\u0000b"', '"\\ud800"',
    '"\\udfff tail"', "0", "-1", "1", "1.5", "1e400", "-0.0", str(2**31), str(2**63), str(2**63 - 1), "9" * 400, '"NaN"',
    '"Infinity"', '"1e5"', "[[[1]]]", "[null]", '["a","b"]', "[1,1,1]", '{"id":1}', '{"id":[]}', '{"id":999999}',
    '{"label":{}}', '"😀"', '"न" ', '"‮evil"', '"0001-01-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-12:00"', '"2026-11-30T17:30+05:30"', '"2026-11-30"', '"2026-13-45"', '"2026-11-30T25:61"',
    '"1899-12-31"', '"Done"', '"New"', '"@me"', '"root"', "999999", '"999999"', '"١٢٣"', '"²"', '"1\\n2"', '"<script>"',
    '"\' OR 1=1 --"', '"%"', '"+91 98250 11111"', '"9825011111"', '"XXXXXX1111"', '"abc@"', '"ABCDE1234F"',
    '{"title":"T","due_on":"0001-01-01T00:00:00Z"}', '{"title":null,"priority":[],"due_on":{}}', '{"title":"T"}',
    '"' + "न" * 300 + '"', '"' + "😀" * 100 + '"', '"' + "ß" * 254 + '"',
)  # fmt: skip


#: What each resource takes gladly; one field of it is then spoiled.
GOOD: dict[str, dict[str, Any]] = {
    "lead": {"first_name": "Asha", "mobile": "9825011111", "email": "asha@eshin.test"},
    "ticket": {"subjects": [1], "mobile": "9825022222", "first_name": "Bina", "last_name": "Rao"},
    "customer": {"first_name": "Chandra", "mobile": "9825033333"},
    "task": {"title": "Call", "due_on": "2026-11-30T12:00:00+05:30", "lead": 1},
    "call_log": {"direction": "Outgoing", "status": "Completed", "started_on": "2026-11-20T10:00Z",
                 "from_number": "9825044444", "to_number": "9825011111"},
    "activity": {"lead": 1, "text": "A note"},
    "message": {"channel": "sms", "peer": "9825011111", "body": "Hello"},
    "assignment_request": {"lead": 1, "requested_user": "ana", "reason": "Knows her"},
}  # fmt: skip


def spoiled(resource: str, field: str, raw: str) -> bytes:
    """A good body with this field as this raw JSON; mobiles differ, so that no duplicate hides the field's own fate."""
    good = {name: given for name, given in GOOD.get(resource, {}).items() if name != field}
    if "mobile" in good:
        good["mobile"] = f"98{next(_serial):08d}"
    parts = [f"{json.dumps(name)}:{json.dumps(given)}" for name, given in good.items()]
    return ("{" + ",".join([*parts, f'"{field}":{raw}']) + "}").encode("utf-8", "surrogatepass")


class Hostile:
    """The application, with a browser and an API key of the admin."""

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        wishes = {"CRM_INSTANCE_DIR": str(folder), "CRM_SECRET_KEY": "s" * 40, "CRM_SCHEDULER": "off"}
        if database_url:
            wishes["CRM_DATABASE_URL"] = database_url
        self.app: Flask = create_app(config.load(wishes), TESTING=True, PROPAGATE_EXCEPTIONS=False)
        access.forget()
        with self.app.app_context():
            flask_migrate.upgrade()
        signin.sync_permissions(self.app)
        with self.app.app_context():
            self._people()
            made = keys.make(self.ids["root"], "test", [], datetime.now(UTC))
        self.key = {"Authorization": f"token {made.key}:{made.secret}"}
        self.browser = self.app.test_client()
        self._sign_in()
        self.records = self._records()

    def _people(self) -> None:
        password = generate_password_hash(PASSWORD)
        with own_transaction() as session:
            roles = {role.name: role for role in session.query(Role)}
            people = {
                name: User(username=name, first_name=name.title(), last_name="Shah", email=f"{name}@eshin.test", active=True,
                           password=password, roles=[roles[role]])
                for name, role in PEOPLE.items()
            }  # fmt: skip
            session.add_all(people.values())
            session.flush()
            self.ids = {name: user.id for name, user in people.items()}

    def _sign_in(self) -> None:
        self.token = _token(self.browser.get("/login/").text)
        sent = {"username": "root", "password": PASSWORD, "csrf_token": self.token}
        assert self.browser.post("/login/", data=sent).status_code == 302
        self.token = _token(self.browser.get("/leads/add").text)

    def _records(self) -> dict[str, int]:
        """One record of each kind, by resource name."""
        made = {name: self._make(name, body) for name, body in GOOD.items()}
        return made | {"notification": self._make_notice(), "user": self.ids["ana"]}

    def _make_notice(self) -> int:
        with self.app.app_context(), own_transaction() as session:
            about = session.get(Lead, 1)
            notices.tell(
                session, [self.ids["root"]], "task_assigned", "hostile", about, None, datetime.now(UTC), title="T"
            )
            session.flush()
            return int(session.query(Notification.id).filter_by(user_id=self.ids["root"]).scalar())

    def _make(self, resource: str, body: dict[str, Any]) -> int:
        answer = self.browser.post(f"/api/v1/{resource}/", json=body, headers={"X-CSRFToken": self.token})
        assert answer.status_code == 201, (resource, answer.text)
        return int(answer.json["id"])

    # --- asking

    def ask(self, method: str, path: str, body: str | bytes | None = None, **more: Any) -> Any:
        """A question of a machine; the answer must be decent JSON."""
        kind = {"content_type": "application/json"} if body is not None else {}
        answer = self.app.test_client().open(path, method=method, data=body, headers=self.key, **{**kind, **more})
        assert_decent(answer, f"{method} {path[:300]} {body[:300] if body else ''!r}")
        assert_json(answer, f"{method} {path[:300]}")
        return answer

    def page(self, path: str, form: dict[str, Any] | None = None) -> Any:
        """A page, or a form sent, of the admin's browser."""
        if form is None:
            answer = self.browser.get(path)
        else:
            answer = self.browser.post(path, data={"csrf_token": self.token, **form})
        assert_decent(answer, f"{path[:300]} {str(form)[:300]}")
        return answer

    # --- looking

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        names = [name for name in Model.metadata.tables if name not in RESTLESS]
        parts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in names)  # noqa: S608
        with self.app.app_context(), db.engine.connect() as line:
            return dict(line.execute(text(parts)).tuples().all())

    @contextmanager
    def nothing_new_if_refused(self, answers: list[Any]) -> Iterator[None]:
        """Whatever is refused inside leaves as many rows in every table as before."""
        before = self.counts()
        yield
        if answers and all(answer.status_code >= 400 for answer in answers):
            assert self.counts() == before


def _token(html: str) -> str:
    found = re.search(r'name="csrf(?:_t|-t)oken"[^>]*(?:value|content)="([^"]+)"', html)
    assert found, html[:500]
    return found[1]


def assert_decent(answer: Any, asked: str) -> None:
    """No bug, and nothing about our inside."""
    assert answer.status_code < 500, f"{asked}: {answer.status_code}"
    if answer.mimetype in ("application/json", "text/html"):
        found = LEAKS.search(answer.text)
        assert not found, f"{asked}: the answer says {found[0]!r}"  # type: ignore[index]


def assert_json(answer: Any, asked: str) -> None:
    """An object; when it refuses, with a sentence."""
    assert answer.mimetype == "application/json", f"{asked}: {answer.status_code} {answer.mimetype}"
    body = answer.json
    assert isinstance(body, dict), f"{asked}: {body!r}"
    if answer.status_code >= 400:
        sentence = body.get("message")
        assert isinstance(sentence, str) and len(sentence) > 8 and sentence[-1] in ".!?", f"{asked}: {body!r}"


def copied(source: Path, target: Path) -> Path:
    """The folder of an application, once more."""
    return Path(shutil.copytree(source, target))
