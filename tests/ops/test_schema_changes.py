"""A schema change waits for whoever has read its table, and nobody waits for the change meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from app.ops.database import migration_guard, schema_changes
from tests.servers import Databases, eventually

PATIENCE = 60


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
            eventually(lambda: caplog.messages, "the change waits")
            writer.execute(text(f"SET SESSION lock_wait_timeout = {PATIENCE}"))
            writer.execute(text("INSERT INTO lead_like (name) VALUES ('Ravi')"))
            writer.commit()
            assert not adding.done()
        finally:
            reader.rollback()
        adding.result(PATIENCE)
    assert "city" in {column["name"] for column in inspect(engine).get_columns("lead_like")}
    assert "waiting for transactions that use the table" in caplog.text


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
