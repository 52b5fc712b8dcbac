"""A schema change waits for whoever has read its table, and nobody waits for the change meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from app.ops.database import migration_guard, schema_changes, schema_journal
from tests.servers import Databases, eventually

PATIENCE = 60
ALTERING = text("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SET STATEMENT%ALTER TABLE lead%'")


@pytest.fixture
def engine(mariadb_server: Databases) -> Iterator[Engine]:
    name = mariadb_server.create_database()
    made = create_engine(mariadb_server.url(name))
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE lead_like (id INTEGER PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20))"))
        connection.execute(text("INSERT INTO lead_like (name) VALUES ('Asha')"))
    yield made
    made.dispose()
    mariadb_server.drop_database(name)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_changes, "WAIT", 1)
    monkeypatch.setattr(schema_changes, "PAUSE", 0.2)


def change(engine: Engine, statement: str) -> None:
    with migration_guard.exclusive(engine) as connection:
        connection.execute(text(statement))
        connection.commit()


def test_others_write_while_a_change_waits_for_a_reader(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "crm.schema")
    with ThreadPoolExecutor(1) as beside, engine.connect() as reader, engine.connect() as writer:
        reader.execute(text("SELECT * FROM lead_like")).all()
        adding = beside.submit(change, engine, "ALTER TABLE lead_like ADD COLUMN city VARCHAR(20)")
        try:
            eventually(lambda: bool(caplog.messages), "the change waits")
            writer.execute(text(f"SET SESSION lock_wait_timeout = {PATIENCE}"))
            writer.execute(text("INSERT INTO lead_like (name) VALUES ('Ravi')"))
            writer.commit()
            assert not adding.done()
        finally:
            reader.rollback()
        adding.result(PATIENCE)
    assert "city" in {column["name"] for column in inspect(engine).get_columns("lead_like")}
    assert "waiting for transactions that use the table" in caplog.text


def test_a_change_lets_a_save_go_on_that_has_written_to_a_table_that_refers_to_its_table(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The save has a lock that the change needs, and then waits for the change: nobody but a time limit sees that."""
    caplog.set_level(logging.WARNING, "crm.schema")
    reference = "lead_id INTEGER, FOREIGN KEY (lead_id) REFERENCES lead_like (id)"
    with ThreadPoolExecutor(1) as beside, engine.connect() as writer:
        writer.execute(text(f"CREATE TABLE task_like (id INTEGER PRIMARY KEY, {reference})"))
        writer.execute(text("INSERT INTO task_like VALUES (1, NULL)"))
        adding = beside.submit(change, engine, "ALTER TABLE lead_like ADD COLUMN city VARCHAR(20)")
        try:
            eventually(lambda: bool(writer.execute(ALTERING).scalar()), "the change waits")
            writer.execute(text("SET SESSION lock_wait_timeout = 20"))
            writer.execute(text("INSERT INTO lead_like (name) VALUES ('Ravi')"))
            eventually(lambda: bool(caplog.messages), "the change lets others go on")
        finally:
            writer.rollback()
        adding.result(PATIENCE)
    assert "city" in {column["name"] for column in inspect(engine).get_columns("lead_like")}


def test_a_change_gives_up_and_says_why(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_changes, "PATIENCE_SECONDS", 0)
    with engine.connect() as reader:
        reader.execute(text("SELECT * FROM lead_like")).all()
        with pytest.raises(OperationalError, match="Lock wait timeout"):
            change(engine, "CREATE INDEX ix_lead_like_name ON lead_like (name)")


def test_other_errors_and_connections_are_as_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(schema_changes, "_until_done", lambda *sent_: sent.append(sent_))
    with engine.connect() as other, migration_guard.exclusive(engine) as connection:
        other.execute(text("CREATE TABLE another (id INTEGER)"))
        connection.execute(text("SELECT 1"))
        assert not sent
        connection.execute(text("DROP TABLE another"))
        assert sent
    monkeypatch.undo()
    with pytest.raises(OperationalError, match="Duplicate column"):
        change(engine, "ALTER TABLE lead_like ADD COLUMN name VARCHAR(20)")
    with engine.begin() as connection:  # the listener is gone
        connection.execute(text("DROP TABLE another"))


#: A step: the changes, with rows written after them, as migrations do.
STEP = (
    "CREATE TABLE another (id INTEGER PRIMARY KEY)",
    "ALTER TABLE lead_like ADD COLUMN city VARCHAR(20)",
    "CREATE INDEX ix_lead_like_city ON lead_like (city)",
    "INSERT INTO lead_like (name) VALUES ('Ravi')",
)


class Cut(Exception):
    """Stands for the end of the process."""


def step(
    engine: Engine, statements: tuple[str, ...], cut_after: int | None = None, *, is_noted_only: bool = False
) -> None:
    """Execute a step, or go on with it; it is cut off after so many statements, or when the next one was noted."""
    with migration_guard.exclusive(engine) as connection, pytest.MonkeyPatch.context() as patch:
        if migration_guard.marker(connection) is None:
            migration_guard._mark(connection, migration_guard.UPGRADE)
        schema_journal.begin(connection, schema_journal.begun_changes(connection))
        for number, statement in enumerate(statements):
            if number == cut_after:
                if is_noted_only:
                    patch.setattr(schema_changes, "_until_done", lambda cursor, *_rest: _cut(cursor))
                    connection.execute(text(statement))
                raise Cut
            connection.execute(text(statement))
        migration_guard.step_done(connection)
        migration_guard.end(connection)


def _cut(cursor: Any) -> None:
    cursor.connection.commit()  # as MariaDB does before each change
    raise Cut


def test_a_step_that_is_cut_off_anywhere_goes_on(engine: Engine) -> None:
    for cut_after, is_noted_only in [(0, True), (1, False), (2, True), (3, False), (4, False)]:
        with pytest.raises(Cut):
            step(engine, (*STEP, "SELECT 1"), cut_after, is_noted_only=is_noted_only)
        step(engine, (*STEP, "SELECT 1"))
        with engine.begin() as connection:
            assert connection.execute(text("SELECT COUNT(*), COUNT(city) FROM lead_like")).one() == (2, 0)
            assert [index["name"] for index in inspect(connection).get_indexes("lead_like")] == ["ix_lead_like_city"]
            assert set(inspect(connection).get_table_names()) == {"another", "lead_like"}
            for undo in ("DROP TABLE another", "DELETE FROM lead_like WHERE name = 'Ravi'"):
                connection.execute(text(undo))
            connection.execute(text("ALTER TABLE lead_like DROP INDEX ix_lead_like_city, DROP COLUMN city"))


def test_a_step_that_has_stored_rows_or_is_another_one_is_not_gone_on_with(engine: Engine) -> None:
    with pytest.raises(Cut):
        step(engine, STEP, 2)
    with pytest.raises(schema_journal.StepCannotBeRepeated):
        step(engine, STEP[1:])
    with pytest.raises(Cut):
        step(engine, (*STEP, "DROP TABLE another", "INSERT INTO lead_like (name) VALUES ('Uma')"), 5)
    with pytest.raises(schema_journal.StepCannotBeRepeated):
        step(engine, STEP)


def test_a_change_that_fails_fails_again(engine: Engine) -> None:
    """A table of somebody else is in the way: it is not taken for one that the step has made."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE another (id INTEGER PRIMARY KEY, own INTEGER)"))
    for _time in range(2):
        with pytest.raises(OperationalError, match="already exists"):
            step(engine, (STEP[1], STEP[0]))
