"""Web processes have a limit on each statement; a shorter one for some statements leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import config
import database_engine
from app.ops.database.database_errors import Cause, cause_of
from app.ops.database.statement_limit import StatementTooSlow, limited

_LIMIT = text("SELECT @@SESSION.max_statement_time")
#: SLEEP() would return early instead of failing.
_ENDLESS = text("SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b")


def _settings(mariadb_url: str, tmp_path: Path, **more: str) -> config.Settings:
    return config.load({"CRM_DATABASE_URL": mariadb_url, "CRM_INSTANCE_DIR": str(tmp_path), **more})


@pytest.fixture
def session(mariadb_url: str, tmp_path: Path) -> Iterator[Session]:
    """A session of a process that only answers requests."""
    settings = _settings(mariadb_url, tmp_path, CRM_ROLE="web", CRM_REDIS_URL="redis://localhost:1")
    engine = create_engine(mariadb_url, **database_engine.engine_options(settings))
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def test_a_web_process_has_a_limit_that_a_shorter_one_restores(session: Session) -> None:
    assert session.scalar(_LIMIT) == database_engine.STATEMENT_SECONDS
    with pytest.raises(StatementTooSlow), limited(session, 0.2):
        session.execute(_ENDLESS)
    assert session.scalar(_LIMIT) == database_engine.STATEMENT_SECONDS


def test_a_statement_over_the_limit_is_slow_not_a_lost_database(session: Session) -> None:
    session.execute(text("SET SESSION max_statement_time = 0.2"))
    with pytest.raises(OperationalError) as stopped:
        session.execute(_ENDLESS)
    assert cause_of(stopped.value) is Cause.SLOW


@pytest.mark.parametrize("role", ["", "worker", "scheduler", "web,scheduler"])
def test_jobs_workers_and_commands_have_none(mariadb_url: str, tmp_path: Path, role: str) -> None:
    roles = {"CRM_ROLE": role, "CRM_REDIS_URL": "redis://localhost:1"} if role else {}
    engine = create_engine(mariadb_url, **database_engine.engine_options(_settings(mariadb_url, tmp_path, **roles)))
    with Session(engine) as session:
        assert session.scalar(_LIMIT) == 0
        with pytest.raises(StatementTooSlow), limited(session, 0.2):
            session.execute(_ENDLESS)
        assert session.scalar(_LIMIT) == 0
    engine.dispose()
