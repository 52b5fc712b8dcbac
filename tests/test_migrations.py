"""Migrations: from an empty database to head, stepwise with rows in the tables; head matches the models."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import JSON, MetaData, String, Table, func, inspect, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

import config
from app import access, create_app
from app.domain import audit_chain, permissions
from app.extensions import db
from app.models import AuditEntry
from app.ops import message_words
from tests.app_fixtures import settings_for

MOMENT = datetime(2026, 1, 5, 10)
REVISIONS = [step.revision for step in ScriptDirectory(str(config.ROOT / "migrations")).walk_revisions()][::-1]


@pytest.fixture(params=["sqlite", "mariadb"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The application on an empty database."""
    url = request.getfixturevalue("mariadb_url") if request.param == "mariadb" else ""
    app = create_app(settings_for(tmp_path, CRM_DATABASE_URL=url), TESTING=True)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


COMPARED = {
    "compare_type": True,
    "compare_server_default": False,
    "include_name": message_words.include_name,
    "include_object": message_words.include_object,
}


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={**COMPARED})
        return list(compare_metadata(context, db.metadatas[None]))


def test_head_matches_the_models(empty: Flask) -> None:
    flask_migrate.upgrade()
    assert differences(db.engine) == []
    flask_migrate.check()


def test_a_second_upgrade_changes_nothing(empty: Flask) -> None:
    flask_migrate.upgrade()
    before = counts(db.engine)
    flask_migrate.upgrade()
    assert counts(db.engine) == before


@pytest.mark.parametrize("start", [revision for revision in REVISIONS if revision > "0001"])
def test_rows_of_an_older_schema_are_migrated_to_head(empty: Flask, start: str) -> None:
    flask_migrate.upgrade(revision=start)
    engine = db.engine
    with engine.begin() as connection:
        fill(connection)
    before = counts(engine)
    flask_migrate.upgrade()
    after = counts(engine)
    assert {name: after.get(name) for name in KEPT} == {name: before[name] for name in KEPT}
    assert differences(engine) == []


#: JSON columns look like text to who reads the schema of MariaDB.
EMPTY: dict[str, Any] = {"tried": [], "native": {}, "payload": {}, "version": 1}
KEPT = ("ab_user", "customer", "leads", "ticket", "task", "activity", "call_log", "message")


def fill(connection: Any) -> None:
    """Insert one row into each main table, with the columns it has at this revision."""
    own = {"created_on": MOMENT, "changed_on": MOMENT}
    add(connection, "ab_user", first_name="Ana", last_name="Rao", username="ana", email="a@x.in", active=True)
    user = connection.execute(select(table(connection, "ab_user").c.id)).scalar()
    add(connection, "customer", number="CRM-CUST-2026-00001", first_name="Asha", owner_id=user, **own)
    person = connection.execute(select(table(connection, "customer").c.id)).scalar()
    state = {"status_id": 1, "status_on": MOMENT, "assignee_id": user, "customer_id": person, **own}
    add(connection, "leads", number="CRM-LEAD-2026-00001", category="Direct", **state)
    add(connection, "ticket", number="CRM-TICKET-2026-00001", title="KYC", priority="Low", source="Web", **state)
    lead = connection.execute(select(table(connection, "leads").c.id)).scalar()
    add(connection, "task", title="Call", status="Todo", priority="Low", lead_id=lead, **own)
    add(connection, "activity", kind="note", at=MOMENT, payload={"text": "x"}, lead_id=lead)
    add(connection, "call_log", direction="Outgoing", status="Completed", started_on=MOMENT, medium="manual", **own)
    add(connection, "message", channel="sms", direction="out", peer="+919820012345", body="x", state="sent", **own)


def table(connection: Any, name: str) -> Table:
    return Table(name, MetaData(), autoload_with=connection, resolve_fks=False)  # the tables around it take most time


def add(connection: Any, name: str, **values: Any) -> None:
    """Insert a row; other columns that are not nullable get an empty value of their type."""
    own = table(connection, name)
    for column in own.c:
        needed = not column.nullable and not column.primary_key and column.server_default is None
        if needed and column.name not in values:
            values[column.name] = EMPTY[column.name] if column.name in EMPTY else blank(column)
        if isinstance(values.get(column.name), dict | list) and not isinstance(column.type, JSON):
            values[column.name] = json.dumps(values[column.name])  # MariaDB's JSON is a text with a check
    connection.execute(own.insert().values(**values))


def blank(column: Any) -> Any:
    kind = getattr(column.type, "python_type", str)
    return MOMENT if kind is datetime else kind()


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        return {n: connection.execute(select(func.count()).select_from(sql_table(n))).scalar() or 0 for n in names}


def test_rows_from_before_are_found_by_the_ends_of_their_numbers(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0011")
    with db.engine.begin() as connection:
        fill(connection)
        known = {"mobile_e164": "+919820012345", "client_id": "E10234"}
        connection.execute(table(connection, "leads").update().values(known))
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        rows = table(connection, "leads").c
        assert tuple(connection.execute(select(rows.mobile_reversed, rows.client_id_reversed)).one()) == (
            "543210028919+",
            "43201E",
        )
        if connection.dialect.name == "sqlite":
            query = text("SELECT sql FROM sqlite_master WHERE name = 'ix_leads_last_name'")
            assert str(connection.execute(query).scalar()).count("NOCASE") == 2


def test_open_assignments_get_keys_and_duplicates_are_closed(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0002")
    with db.engine.begin() as connection:
        fill(connection)
        for ended in (MOMENT, None, None):
            own = {"lead_id": 1, "user_id": 1, "started_on": MOMENT, "ended_on": ended, "decision": {}}
            add(connection, "assignment", reason="direct", **own)
        add(connection, "assignment", ticket_id=1, user_id=1, started_on=MOMENT, reason="direct", decision={})
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        rows = table(connection, "assignment").c
        found = connection.execute(select(rows.ended_on.is_(None), rows.open_key).order_by(rows.id)).all()
    assert [(bool(is_open), key) for is_open, key in found] == [
        (False, None),
        (False, None),
        (True, "leads:1:1"),
        (True, "ticket:1:1"),
    ]


def test_messages_that_nothing_sent_become_noted(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0005")
    shared = {"direction": "out", "peer": "+919820012345", "body": "x", "created_on": MOMENT, "changed_on": MOMENT}
    cases = [("queued", 0, None), ("queued", 1, None), ("queued", 0, "SM1"), ("sent", 1, "SM2"), ("failed", 5, None)]
    with db.engine.begin() as connection:
        for state, tries, provider_id in cases:
            own = {"state": state, "tries": tries, "provider_id": provider_id}
            add(connection, "message", channel="sms", **own, **shared)
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        rows = table(connection, "message").c
        found = connection.execute(select(rows.state, rows.happened_on.is_not(None)).order_by(rows.id)).all()
    assert [(state, bool(happened)) for state, happened in found] == [
        ("noted", True),
        ("failed", False),  # no provider was ever connected
        ("failed", False),
        ("sent", True),
        ("failed", False),
    ]


def test_customers_with_one_number_all_stay_and_are_listed(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0005")
    shared = {"created_on": MOMENT, "changed_on": MOMENT, "status": "Active"}
    people = [
        {"mobile_e164": "+911", "pan_blind": "p"},
        {"mobile_e164": "+911"},
        {"mobile_e164": "+912", "alternative_e164": "+911"},
        {"mobile_e164": "+913", "pan_blind": "p"},
    ]
    with db.engine.begin() as connection:
        for n, columns in enumerate(people):
            add(connection, "customer", number=f"C{n}", **columns, **shared)
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        rows = table(connection, "customer_key").c
        found = connection.execute(select(rows.kind, rows.value, rows.customer_id).order_by(rows.id)).all()
        assert connection.execute(select(func.count()).select_from(table(connection, "customer"))).scalar() == 4
    ids = {(kind, value): owner for kind, value, owner in found}
    first = ids["mobile", "+911"]
    assert ids == {
        ("mobile", "+911"): first,
        ("mobile", "+912"): first + 2,
        ("mobile", "+913"): first + 3,
        ("pan", "p"): first,
    }
    listed = empty.test_cli_runner().invoke(args=["customer", "duplicates"])
    assert listed.exit_code == 0, listed.output
    assert listed.output.splitlines() == [
        "C1\tmobile\talso C0",
        "C2\talternative_mobile\talso C0",
        "C3\tpan\talso C0",
        "3 shared values.",
    ]


def test_names_that_look_alike_are_listed_and_the_first_user_keeps_them(
    empty: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    flask_migrate.upgrade(revision="0005")
    with db.engine.begin() as connection:
        for name, address in (("ana", "a@x.in"), ("a@x.in", "b@x.in"), ("\u0430n\u0430", "c@x.in")):
            add(connection, "ab_user", first_name="N", last_name="N", username=name, email=address, active=True)
    logging.getLogger("alembic.runtime.migration").disabled = False
    with caplog.at_level("WARNING", "alembic.runtime.migration"):
        flask_migrate.upgrade()
    listed = [record.getMessage() for record in caplog.records if "looks like" in record.getMessage()]
    assert len(listed) == 2 and "a@x.in" in listed[0] and "\u0430n\u0430" in listed[1]
    with db.engine.connect() as connection:
        keys = table(connection, "login_name").c
        found = connection.execute(select(keys.user_id, func.count()).group_by(keys.user_id).order_by(keys.user_id))
        assert [tuple(row) for row in found] == [(1, 2), (2, 1), (3, 1)]


def test_cells_that_nothing_reads_are_removed_and_the_audit_is_a_cell(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0005")
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        cells, role = table(connection, "module_permission").c, table(connection, "ab_role").c
        query = select(role.name, cells.module, cells.verb, cells.level).where(cells.role_id == role.id)
        stored: dict[str, dict[str, dict[str, str]]] = {}
        for name, module, verb, level in connection.execute(query):
            stored.setdefault(name, {}).setdefault(module, {})[verb] = level
    assert stored == permissions.DEFAULTS


def test_an_old_audit_chain_is_sealed_and_its_breaks_are_listed(
    empty: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old hash had no key; entries 2 and 4 were broken before the upgrade."""
    flask_migrate.upgrade(revision=before("0008"))
    previous = ""
    with db.engine.begin() as connection:
        for number in range(1, 6):
            row: dict[str, Any] = {"event": "reveal", "user_id": None, "about": f"lead {number}", "address": "10.0.0.1"}
            parts = [previous, MOMENT.replace(tzinfo=UTC).isoformat(), *row.values(), {"n": number}]
            found = hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
            previous = "0" * 64 if number in (2, 4) else found
            add(connection, "audit_entry", at=MOMENT, payload={"n": number}, hash=previous, **row)
    flask_migrate.upgrade()
    with Session(db.engine) as session, access.as_system(session):
        report = audit_chain.verify(session)
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc())).first()
        assert (report.faults, report.head.seq, report.carried_over) == ([], 6, [2, 4])
        assert last is not None
        assert (last.event, last.payload) == ("audit carried over", {"entries": 5, "breaks": 2, "broken": [2, 4]})
    assert "was broken before this upgrade at 2 of 5 entries: 2, 4" in capsys.readouterr().out


def before(revision: str) -> str:
    """The revision before this one."""
    return REVISIONS[REVISIONS.index(revision) - 1]


# --- 0009: ids that are never reused


def schema(engine: Engine) -> dict[str, Any]:
    """Indexes, foreign keys and unique constraints by table, and the triggers of SQLite."""
    found = inspect(engine)
    made: dict[str, Any] = {
        name: (
            sorted(str(sorted(each.items(), key=str)) for each in found.get_indexes(name)),
            sorted(str(sorted(each.items(), key=str)) for each in found.get_foreign_keys(name)),
            sorted(str(each["column_names"]) for each in found.get_unique_constraints(name)),
            [(each["name"], str(each["type"]), each["nullable"]) for each in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
        )
        for name in found.get_table_names()
    }
    with engine.connect() as connection:
        made["triggers"] = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    return made


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Engine]:
    """A SQLite database before 0009, with rows and a trigger of an operator."""
    app = create_app(settings_for(tmp_path), TESTING=True)
    with app.app_context():
        flask_migrate.upgrade(revision=before("0009"))
        with db.engine.begin() as connection:
            fill(connection)
            connection.exec_driver_sql("CREATE TRIGGER mine AFTER DELETE ON task BEGIN SELECT 1; END")
        _without_autoincrement(db.engine)
        yield db.engine
        db.session.remove()
        db.engine.dispose()


def _without_autoincrement(engine: Engine) -> None:
    """As the release before 0009 left it; the steps before run with today's env.py."""
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        connection.exec_driver_sql(
            "UPDATE sqlite_master SET sql = replace(sql, 'PRIMARY KEY AUTOINCREMENT', 'PRIMARY KEY') WHERE type='table'"
        )
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
        connection.exec_driver_sql("DELETE FROM sqlite_sequence")
    engine.dispose()


def test_ids_are_never_used_again_after_the_upgrade(old: Engine) -> None:
    kept, before = schema(old), counts(old)
    with old.begin() as connection:  # what a client still holds
        add(connection, "kept_answer", user_id=1, key="k", fingerprint="f", at=MOMENT, status=201, record_id=40)
    flask_migrate.upgrade(revision="0009")
    assert schema(old) == kept
    assert {name: counts(old)[name] for name in KEPT} == {name: before[name] for name in KEPT}
    with old.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        plain = connection.execute(
            text(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%AUTOINCREMENT%'"
                " AND name NOT IN ('alembic_version', 'ticket_subjects', 'sqlite_sequence')"
            )
        ).all()
        assert plain == []
        for name in ("leads", "task", "customer", "ab_user", "lead_source"):
            assert _next_id(connection, name) > 0
    with old.connect() as connection:
        assert connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'leads'").scalar() == 42


def _next_id(connection: Any, name: str) -> int:
    """Insert a copy of the newest row twice, deleting the first copy; asserts that the second has a new id."""
    own = table(connection, name)
    values = dict(connection.execute(select(own).order_by(own.c.id.desc())).mappings().first() or {})
    keys = []
    for n in range(2):
        again = {**values, **{key: f"new {n}" for key in ("number", "username", "email", "label") if key in values}}
        again.pop("id")
        keys.append(connection.execute(own.insert().values(again)).inserted_primary_key[0])
        connection.execute(own.delete().where(own.c.id == keys[-1]))
    assert keys[1] > keys[0] > values["id"]
    return int(keys[1])


def test_a_later_rebuild_of_a_table_keeps_its_ids(old: Engine) -> None:
    from alembic.operations import Operations

    from app.ops.sqlite_ids import KeepIds, given_ids

    flask_migrate.upgrade(revision="0009")
    with old.begin() as connection:
        _next_id(connection, "task")
        given = given_ids(connection)["task"]
    with old.connect() as connection:
        keeper = KeepIds(connection)
        with connection.begin():
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("task", recreate="always") as batch:
                batch.alter_column("title", existing_type=String(200), nullable=True)
            keeper()
            assert given_ids(connection)["task"] == given


def test_text_and_codes_are_normalised(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0005")
    with db.engine.begin() as connection:
        fill(connection)
        leads, tasks = table(connection, "leads"), table(connection, "task")
        values = {"first_name": "Jose\u0301", "referral": "e1\u00e9", "description": "a\r\nb\tc"}
        connection.execute(leads.update().values(values))
        connection.execute(tasks.update().values(title="Call\r\nBcc: x"))
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        lead = connection.execute(select(leads)).mappings().one()
        assert lead["first_name"] == "Jos\u00e9" and lead["description"] == "a\nb c"
        assert lead["referral"].startswith("E1")
        assert connection.execute(select(tasks.c.title)).scalar() == "Call Bcc: x"
