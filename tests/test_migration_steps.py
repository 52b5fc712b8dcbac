"""Migrations, step by step: one database from empty to head, with rows added at each revision.

A migration of MariaDB takes seconds, so all tests share two databases. A function with `@at(revision)` creates the rows
of a test when the database is at that revision; the test checks them at head.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any

import flask_migrate
import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from app import access, create_app
from app.domain.audit_log import audit_chain
from app.domain.people import permissions
from app.extensions import db
from app.models import AuditEntry
from tests.app_fixtures import settings_for
from tests.test_migrations import KEPT, MOMENT, REVISIONS, add, before, counts, differences, fill, fill_empty, table

#: What a function with `@at` remembers for its test, such as ids.
Laid = dict[str, Any]
Layer = Callable[[Connection, Laid], Any]
#: Revision -> what is laid out there, after its rows of `fill`, whose ids are in `Laid` by table.
LAYERS: dict[str, list[Layer]] = defaultdict(list)


def at(revision: str) -> Callable[[Layer], Layer]:
    """Run the function at this revision, once for each database."""

    def register(function: Layer) -> Layer:
        LAYERS[revision].append(function)
        return function

    return register


@dataclass
class Passage:
    """A database that came all the way, and what happened on it."""

    app: Flask
    laid: dict[str, Laid] = field(default_factory=dict)
    #: Revision -> the numbers of rows there, and after the step to the next one.
    kept: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)
    #: Of Alembic's log.
    warnings: list[str] = field(default_factory=list)
    #: What the migrations said to the operator.
    said: str = ""


class _Listed(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def passage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    """A database at head with rows from each revision."""
    url, drop = "", lambda: None
    if request.param == "mariadb":
        server = request.getfixturevalue("mariadb_server")
        name = server.create_database()
        url, drop = server.url(name), partial(server.drop_database, name)
    app = create_app(settings_for(tmp_path_factory.mktemp("passage"), CRM_DATABASE_URL=url), TESTING=True)
    made, said, log = Passage(app), io.StringIO(), logging.getLogger("alembic.runtime.migration")
    listener = _Listed(made.warnings)
    log.addHandler(listener)
    log.disabled = False
    with app.app_context(), contextlib.redirect_stdout(said):
        with revisions_loaded_once(app):
            travel(made)
        made.said = said.getvalue()
        yield made
        db.session.remove()
        db.engine.dispose()
    log.removeHandler(listener)
    drop()


@contextlib.contextmanager
def revisions_loaded_once(app: Flask) -> Iterator[None]:
    """Let all steps use the same scripts: to load them takes a fifth of the time of a step."""
    scripts = ScriptDirectory.from_config(app.extensions["migrate"].migrate.get_config())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", lambda _config: scripts)
        yield


def travel(passage: Passage) -> None:
    """Migrate from nothing to head; at each revision, count the rows and lay out more, in each new table as well."""
    flask_migrate.upgrade(revision=REVISIONS[1])
    there: dict[str, int] = {}
    for n, (revision, upcoming) in enumerate(zip(REVISIONS[1:], [*REVISIONS[2:], "head"], strict=True)):
        with db.engine.begin() as connection:
            laid = passage.laid[revision] = fill(connection, n + 1)
            for layer in LAYERS[revision]:
                layer(connection, laid)
            had = there or dict.fromkeys(inspect(connection).get_table_names(), 0)
            fill_empty(connection, {name for name, count in had.items() if not count} - STAY_EMPTY)
        before_step = counts(db.engine)
        flask_migrate.upgrade(revision=upcoming)
        there = counts(db.engine)
        passage.kept[revision] = before_step, there


@pytest.fixture
def connection(passage: Passage) -> Iterator[Connection]:
    """A connection to the database at head."""
    with db.engine.connect() as made:
        yield made


#: Revision -> tables that the step from there removes, or takes rows from; and tables that need not have rows.
GIVEN_UP = {
    "0006": {"ab_permission_view", "ab_permission_view_role", "module_permission"},  # cells that nothing reads
    "0031": {"attachment"},  # no release had written it
}
STAY_EMPTY = {"alembic_version", "audit_entry"}  # an entry by itself would break the chain: see 0008 below


@pytest.mark.parametrize("start", REVISIONS[1:])
def test_no_row_is_lost_by_a_step(passage: Passage, start: str) -> None:
    there, after = passage.kept[start]
    assert {name: after.get(name) for name in KEPT} == {name: there[name] for name in KEPT}
    empty = {name for name, count in there.items() if not count}
    assert empty <= STAY_EMPTY, "each table has rows when a step meets it"
    fewer = {name for name, count in there.items() if after.get(name, 0) < count}
    assert fewer == GIVEN_UP.get(start, set())
    assert all(there[name] >= REVISIONS.index(start) for name in KEPT), "the rows of the revisions before"


def test_head_with_rows_matches_the_models(passage: Passage) -> None:
    assert differences(db.engine) == []


@at("0011")
def numbers_of_a_lead(connection: Connection, laid: Laid) -> None:
    own = table(connection, "leads")
    known = {"mobile_e164": "+919820012345", "client_id": "E10234"}
    connection.execute(own.update().where(own.c.id == laid["leads"]).values(known))


def test_rows_from_before_are_found_by_the_ends_of_their_numbers(passage: Passage, connection: Connection) -> None:
    rows = table(connection, "leads").c
    query = select(rows.mobile_reversed, rows.client_id_reversed).where(rows.id == passage.laid["0011"]["leads"])
    assert tuple(connection.execute(query).one()) == ("543210028919+", "43201E")
    if connection.dialect.name == "sqlite":
        named = text("SELECT sql FROM sqlite_master WHERE name = 'ix_leads_last_name'")
        assert str(connection.execute(named).scalar()).count("NOCASE") == 2


@at("0036")
def numbers_of_calls(connection: Connection, laid: Laid) -> None:
    connection.execute(table(connection, "call_log").update().values(other_e164="+919820012345"))


def test_calls_and_messages_from_before_are_found_by_the_ends_of_their_numbers(
    passage: Passage, connection: Connection
) -> None:
    for name, column in (("call_log", "other_reversed"), ("message", "peer_reversed")):
        found = connection.execute(select(table(connection, name).c[column]))
        assert "543210028919+" in found.scalars().all()


@at("0065")
def a_second_name(connection: Connection, laid: Laid) -> None:
    own = table(connection, "leads")
    connection.execute(own.update().where(own.c.id == laid["leads"]).values(first_name="Anil  Kumar Dev"))


def test_leads_from_before_are_found_by_their_second_name(passage: Passage, connection: Connection) -> None:
    rows = table(connection, "leads").c
    query = select(rows.first_name_rest, rows.last_name_rest).where(rows.id == passage.laid["0065"]["leads"])
    assert tuple(connection.execute(query).one()) == ("Kumar Dev", None)


@at("0002")
def views_and_a_quota(connection: Connection, laid: Laid) -> None:
    own = {"created_on": MOMENT, "changed_on": MOMENT, "owner_id": laid["ab_user"], "module": "leads"}
    for label, shared, pinned in (("Mine", False, True), ("Ours", True, False)):
        add(connection, "saved_view", label=label, shared=shared, pinned=pinned, **own)
    add(connection, "business_setting", key="file_house_mb", value=[500])


def test_views_get_an_audience_and_pins_and_the_quota_its_new_name(passage: Passage, connection: Connection) -> None:
    views = connection.exec_driver_sql("SELECT label, audience FROM saved_view ORDER BY id").all()
    pins = connection.exec_driver_sql("SELECT label FROM saved_view v JOIN view_pin p ON p.view_id = v.id").all()
    quotas: dict[str, Any] = dict(connection.exec_driver_sql("SELECT `key`, value FROM business_setting").all())
    assert json.loads(quotas["file_total_mb"]) == json.loads(quotas["file_house_mb"]) == [500]
    assert [tuple(row) for row in views] == [("Mine", "me"), ("Ours", "all")]
    assert [tuple(row) for row in pins] == [("Mine",)]


@at("0002")
def assignments(connection: Connection, laid: Laid) -> None:
    shared = {"user_id": laid["ab_user"], "started_on": MOMENT, "reason": "direct", "decision": {}}
    for ended in (MOMENT, None, None):
        add(connection, "assignment", lead_id=laid["leads"], ended_on=ended, **shared)
    add(connection, "assignment", ticket_id=laid["ticket"], **shared)


def test_open_assignments_get_keys_and_duplicates_are_closed(passage: Passage, connection: Connection) -> None:
    laid, rows = passage.laid["0002"], table(connection, "assignment").c
    found = connection.execute(select(rows.ended_on.is_(None), rows.open_key).order_by(rows.id)).all()
    assert [(bool(is_open), key) for is_open, key in found] == [
        (False, None),
        (False, None),
        (True, f"leads:{laid['leads']}:{laid['ab_user']}"),
        (True, f"ticket:{laid['ticket']}:{laid['ab_user']}"),
    ]


@at("0005")
def messages(connection: Connection, laid: Laid) -> None:
    shared = {"direction": "out", "peer": "+919820012345", "body": "old", "created_on": MOMENT, "changed_on": MOMENT}
    cases = [("queued", 0, None), ("queued", 1, None), ("queued", 0, "SM1"), ("sent", 1, "SM2"), ("failed", 5, None)]
    for state, tries, provider_id in cases:
        add(connection, "message", channel="sms", state=state, tries=tries, provider_id=provider_id, **shared)


def test_messages_that_nothing_sent_become_noted(passage: Passage, connection: Connection) -> None:
    rows = table(connection, "message").c
    query = select(rows.state, rows.happened_on.is_not(None)).where(rows.body == "old").order_by(rows.id)
    assert [(state, bool(happened)) for state, happened in connection.execute(query)] == [
        ("noted", True),
        ("failed", False),  # no provider was ever connected
        ("failed", False),
        ("sent", True),
        ("failed", False),
    ]


@at("0005")
def customers_with_one_number(connection: Connection, laid: Laid) -> None:
    shared = {"created_on": MOMENT, "changed_on": MOMENT, "status": "Active"}
    people = [
        {"mobile_e164": "+911", "pan_blind": "p"},
        {"mobile_e164": "+911"},
        {"mobile_e164": "+912", "alternative_e164": "+911"},
        {"mobile_e164": "+913", "pan_blind": "p"},
    ]
    laid["doubles"] = [
        add(connection, "customer", number=f"C{n}", **columns, **shared) for n, columns in enumerate(people)
    ]


def test_customers_with_one_number_all_stay_and_are_listed(passage: Passage, connection: Connection) -> None:
    first, _second, third, fourth = passage.laid["0005"]["doubles"]
    rows, people = table(connection, "customer_key").c, table(connection, "customer").c
    found = connection.execute(select(rows.kind, rows.value, rows.customer_id).order_by(rows.id)).all()
    known = connection.execute(select(people.number).where(people.number.like("C_")).order_by(people.id))
    assert [number for (number,) in known] == ["C0", "C1", "C2", "C3"]
    assert {(kind, value): owner for kind, value, owner in found} == {
        ("mobile", "+911"): first,
        ("mobile", "+912"): third,
        ("mobile", "+913"): fourth,
        ("pan", "p"): first,
    }
    listed = passage.app.test_cli_runner().invoke(args=["customer", "duplicates"])
    assert listed.exit_code == 0, listed.output
    assert listed.output.splitlines() == [
        "C1\tmobile\talso C0",
        "C2\talternative_mobile\talso C0",
        "C3\tpan\talso C0",
        "3 shared values.",
    ]


@at("0005")
def names_that_look_alike(connection: Connection, laid: Laid) -> None:
    laid["alike"] = [
        add(connection, "ab_user", first_name="N", last_name="N", username=name, email=address, active=True)
        for name, address in (("ana", "a@x.in"), ("a@x.in", "b@x.in"), ("\u0430n\u0430", "c@x.in"))
    ]


def test_names_that_look_alike_are_listed_and_the_first_user_keeps_them(
    passage: Passage, connection: Connection
) -> None:
    listed = [message for message in passage.warnings if "looks like" in message]
    assert len(listed) == 2 and "a@x.in" in listed[0] and "\u0430n\u0430" in listed[1]
    ids, keys = passage.laid["0005"]["alike"], table(connection, "login_name").c
    query = select(keys.user_id, func.count()).where(keys.user_id.in_(ids)).group_by(keys.user_id)
    assert sorted(tuple(row) for row in connection.execute(query)) == list(zip(ids, (2, 1, 1), strict=True))


def test_cells_that_nothing_reads_are_removed_and_the_audit_is_a_cell(connection: Connection) -> None:
    cells, role = table(connection, "module_permission").c, table(connection, "ab_role").c
    query = select(role.name, cells.module, cells.verb, cells.level).where(cells.role_id == role.id)
    stored: dict[str, dict[str, dict[str, str]]] = {}
    for name, module, verb, level in connection.execute(query):
        stored.setdefault(name, {}).setdefault(module, {})[verb] = level
    assert stored == permissions.DEFAULTS


@at(before("0008"))
def an_old_audit_chain(connection: Connection, laid: Laid) -> None:
    """The old hash had no key; entries 2 and 4 are broken."""
    previous = ""
    for number in range(1, 6):
        row: dict[str, Any] = {"event": "reveal", "user_id": None, "about": f"lead {number}", "address": "10.0.0.1"}
        parts = [previous, MOMENT.replace(tzinfo=UTC).isoformat(), *row.values(), {"n": number}]
        found = hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        previous = "0" * 64 if number in (2, 4) else found
        add(connection, "audit_entry", at=MOMENT, payload={"n": number}, hash=previous, **row)


def test_an_old_audit_chain_is_sealed_and_its_breaks_are_listed(passage: Passage) -> None:
    with Session(db.engine) as session, access.as_system(session):
        report = audit_chain.verify(session)
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc())).first()
        assert (report.faults, report.head.seq, report.carried_over) == ([], 6, [2, 4])
        assert last is not None
        assert (last.event, last.payload) == ("audit carried over", {"entries": 5, "breaks": 2, "broken": [2, 4]})
    assert "was broken before this upgrade at 2 of 5 entries: 2, 4" in passage.said


@at("0005")
def text_and_codes(connection: Connection, laid: Laid) -> None:
    leads, tasks = table(connection, "leads"), table(connection, "task")
    values = {"first_name": "Jose\u0301", "referral": "e1\u00e9", "description": "a\r\nb\tc"}
    connection.execute(leads.update().where(leads.c.id == laid["leads"]).values(values))
    connection.execute(tasks.update().where(tasks.c.id == laid["task"]).values(title="Call\r\nBcc: x"))


def test_text_and_codes_are_normalised(passage: Passage, connection: Connection) -> None:
    laid, leads, tasks = passage.laid["0005"], table(connection, "leads"), table(connection, "task").c
    lead = connection.execute(select(leads).where(leads.c.id == laid["leads"])).mappings().one()
    assert lead["first_name"] == "Jos\u00e9" and lead["description"] == "a\nb c"
    assert lead["referral"].startswith("E1")
    assert connection.execute(select(tasks.title).where(tasks.id == laid["task"])).scalar() == "Call Bcc: x"
