"""Migrations: from an empty database to head, stepwise with rows in the tables; head matches the models."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import JSON, ForeignKey, MetaData, String, Table, func, inspect, select, text
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError

import config
from app import create_app
from app.extensions import db
from app.ops.database import sqlite_full_text
from tests.app_fixtures import settings_for
from tests.app_pool import copy_folder
from tests.servers import Databases

MOMENT = datetime(2026, 1, 5, 10)
REVISIONS = [step.revision for step in ScriptDirectory(str(config.ROOT / "migrations")).walk_revisions()][::-1]


def _served(url: str, folder: Path) -> Iterator[Flask]:
    app = create_app(settings_for(folder, CRM_DATABASE_URL=url), TESTING=True)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


COMPARED = {
    "compare_type": True,
    "compare_server_default": False,
    "include_name": sqlite_full_text.include_name,
    "include_object": sqlite_full_text.include_object,
}


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={**COMPARED})
        return list(compare_metadata(context, db.metadatas[None]))


@pytest.fixture(params=["sqlite", "mariadb"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The application on a database that was migrated in one go when it was empty, as those of all tests."""
    url = ""
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_url")
        server: Databases = request.getfixturevalue("mariadb_server")
        server.copy_database(request.getfixturevalue("migrated_mariadb"), str(make_url(url).database))
    else:
        copy_folder(request.getfixturevalue("migrated_folder"), tmp_path)
    yield from _served(url, tmp_path)


def test_head_matches_the_models_and_a_second_upgrade_changes_nothing(migrated: Flask) -> None:
    flask_migrate.check()  # raises if the models differ; also asked of a database with rows, in the steps
    before = counts(db.engine)
    flask_migrate.upgrade()
    assert counts(db.engine) == before


def test_what_a_downgrade_takes_away_comes_back_with_the_next_upgrade(migrated: Flask) -> None:
    """Rights of roles among it: those that a downgrade left behind were given twice."""
    before = counts(db.engine)
    flask_migrate.downgrade(revision="0074")
    flask_migrate.upgrade()
    assert counts(db.engine) == before


def test_rows_of_an_older_schema_are_migrated_to_head_in_one_go(tmp_path: Path) -> None:
    """On SQLite in one transaction. MariaDB commits each step, as tests/test_migration_steps.py does, and
    tests/deploy/test_upgrade.py from a later schema."""
    with contextlib.contextmanager(_served)("", tmp_path):
        flask_migrate.upgrade(revision="0002")
        with db.engine.begin() as connection:
            fill(connection)
        before = counts(db.engine)
        flask_migrate.upgrade()
        after = counts(db.engine)
        assert {name: after.get(name) for name in KEPT} == {name: before[name] for name in KEPT}
        assert differences(db.engine) == []


#: JSON columns look like text to who reads the schema of MariaDB.
EMPTY: dict[str, Any] = {"tried": [], "native": {}, "payload": {}, "version": 1}
KEPT = ("ab_user", "customer", "leads", "ticket", "task", "activity", "call_log", "message")


def fill(connection: Any, n: int = 1) -> dict[str, Any]:
    """Insert one row into each main table, with the columns it has at this revision; returns their ids.

    With another `n`, the rows are others.
    """
    own = {"created_on": MOMENT, "changed_on": MOMENT}
    name = f"ana{n}"
    user = add(connection, "ab_user", first_name="A", last_name="R", username=name, email=f"{name}@x.in", active=True)
    person = add(connection, "customer", number=f"CRM-CUST-2026-{n:05d}", first_name="Asha", owner_id=user, **own)
    state = {"status_id": 1, "status_on": MOMENT, "assignee_id": user, "customer_id": person, **own}
    lead = add(connection, "leads", number=f"CRM-LEAD-2026-{n:05d}", category="Direct", **state)
    kyc = {"number": f"CRM-TICKET-2026-{n:05d}", "title": "KYC", "priority": "Low", "source": "Web"}
    ticket = add(connection, "ticket", **kyc, **state)
    task = add(connection, "task", title="Call", status="Todo", priority="Low", lead_id=lead, **own)
    add(connection, "activity", kind="note", at=MOMENT, payload={"text": "x"}, lead_id=lead)
    add(connection, "call_log", direction="Outgoing", status="Completed", started_on=MOMENT, medium="manual", **own)
    add(connection, "message", channel="sms", direction="out", peer="+919820012345", body="x", state="sent", **own)
    return {"ab_user": user, "customer": person, "leads": lead, "ticket": ticket, "task": task}


#: (kind of database, name, definition) -> a table that was reflected: most steps change few tables.
_reflected: dict[tuple[str, str, str], Table] = {}


def table(connection: Any, name: str) -> Table:
    """The table as it is now."""
    kind = connection.dialect.name
    ask = "SELECT name, sql FROM sqlite_master WHERE name = '{}'" if kind == "sqlite" else "SHOW CREATE TABLE {}"
    definition = str(connection.exec_driver_sql(ask.format(name)).one()[1])
    key = kind, name, re.sub(r" AUTO_INCREMENT=\d+", "", definition)  # MariaDB's next id
    if key not in _reflected:  # without the tables around it, which would take most of the time
        _reflected[key] = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    return _reflected[key]


def add(connection: Any, name: str, **values: Any) -> Any:
    """Insert a row and return its id; other columns that are not nullable get an empty value of their type."""
    own = table(connection, name)
    for column in own.c:
        needed = not column.nullable and not column.primary_key and column.server_default is None
        if needed and column.name not in values:
            values[column.name] = EMPTY[column.name] if column.name in EMPTY else blank(column)
        if isinstance(values.get(column.name), dict | list) and not isinstance(column.type, JSON):
            values[column.name] = json.dumps(values[column.name])  # MariaDB's JSON is a text with a check
    key = connection.execute(own.insert().values(**values)).inserted_primary_key
    return key[0] if key else None


def fill_empty(connection: Any, names: Iterable[str]) -> None:
    """Insert a row into each of these tables that has none, with a value in each column."""
    found = {name: table(connection, name) for name in sorted(names)}
    for own in _parents_first(found):
        if connection.execute(select(func.count()).select_from(own)).scalar() == 0:
            _insert_filled(connection, own)


def _parents_first(tables: dict[str, Table]) -> Iterator[Table]:
    """The tables, each after those that it refers to; where they refer to each other, in the order given."""
    left = dict(tables)
    while left:
        parents = {name: {_referenced(key)[0] for key in own.foreign_keys} - {name} for name, own in left.items()}
        first = next((name for name in left if not parents[name] & left.keys()), next(iter(left)))
        yield left.pop(first)


def _referenced(key: ForeignKey) -> tuple[str, str]:
    """The names of the table and the column that a foreign key refers to."""
    name, _, column_name = key.target_fullname.rpartition(".")
    return name, column_name


def _insert_filled(connection: Any, own: Table) -> None:
    """A row with a value in each column; where a check of the table refuses that, with fewer."""
    whole = _whole_row(connection, own)
    optional = {column.name for column in own.c if column.nullable}
    attempts: list[set[str]] = [set(), {"ticket_id"}, {"ticket_id", "customer_id"}, {"lead_id"}, optional]
    for left_out in attempts:
        values = {name: value for name, value in whole.items() if name not in left_out & optional}
        expected = (DBAPIError,) if left_out != optional else ()
        with contextlib.suppress(*expected), connection.begin_nested():
            connection.execute(own.insert().values(values))
            return


def _whole_row(connection: Any, own: Table) -> dict[str, Any]:
    """A value for each column: of a row of the other table where it refers to one, else one that tells its name."""
    values: dict[str, Any] = {}
    for column in own.c:
        if column.computed is not None:
            continue
        if column.foreign_keys:
            name, column_name = _referenced(next(iter(column.foreign_keys)))
            other = sql_table(name, sql_column(column_name)).c[column_name]
            values[column.name] = connection.execute(select(other).order_by(other).limit(1)).scalar()
        elif not (column.primary_key and column.autoincrement is True):
            values[column.name] = _filled(column)
    return values


def _filled(column: Any) -> Any:
    kind = getattr(column.type, "python_type", str)
    if kind is str:
        length = getattr(column.type, "length", None)
        return column.name[:length] if length else "{}"  # a text, and JSON where MariaDB checks that it is
    return {datetime: MOMENT, date: MOMENT.date(), time: time(10), dict: {}, list: [], bytes: b"x"}.get(kind, 1)


def blank(column: Any) -> Any:
    kind = getattr(column.type, "python_type", str)
    return MOMENT if kind is datetime else kind()


def counts(engine: Engine, tables: Sequence[str] = ()) -> dict[str, int]:
    """Table -> number of its rows; without names, of every table."""
    with engine.connect() as connection:
        names = tables or inspect(connection).get_table_names()
        # As text: to compile a hundred SELECTs takes longer than to count rows
        counted = " UNION ALL ".join(f"SELECT '{name}', COUNT(*) FROM {name}" for name in names)  # noqa: S608
        return dict(tuple(row) for row in connection.execute(text(counted)))


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

    from app.ops.database.sqlite_ids import KeepAutoincrement, highest_ids

    flask_migrate.upgrade(revision="0009")
    with old.begin() as connection:
        _next_id(connection, "task")
        given = highest_ids(connection)["task"]
    with old.connect() as connection:
        keeper = KeepAutoincrement(connection)
        with connection.begin():
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("task", recreate="always") as batch:
                batch.alter_column("title", existing_type=String(200), nullable=True)
            keeper()
            assert highest_ids(connection)["task"] == given
