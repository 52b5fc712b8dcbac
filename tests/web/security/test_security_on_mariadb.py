"""Sign-in, keys, throttling and the first admin on MariaDB."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.extensions import db
from app.models import SignIn
from app.web.security import login_throttle, security_manager
from tests.web import security_app
from tests.web.security_app import (  # noqa: F401  (fixtures)
    ana,
    app,
    browser,
    change,
    delete_all_users,
    get_menu,
    is_attempt_allowed,
    is_signed_in,
    log_in,
    migrated,
    move_clock,
    run_at_once,
    sign_in,
)


@pytest.fixture
def mariadb_app(mariadb_url, tmp_path) -> Any:
    """The application on MariaDB."""
    app = security_app.make_app(tmp_path / "big", CRM_DATABASE_URL=mariadb_url)
    security_app.fill_database(app)
    yield app
    with app.app_context():
        db.engine.dispose()


def test_all_ways_of_authentication_work_on_mariadb(mariadb_app) -> None:
    client = mariadb_app.test_client()
    assert sign_in(client, "ana").status_code == 302
    assert is_signed_in(client)
    move_clock(mariadb_app, SignIn.seen_on, timedelta(seconds=61))
    assert is_signed_in(client)
    made = security_app.key_for(mariadb_app, "ana")
    assert get_menu(client, f"token {made.key}:{made.secret}").status_code == 200
    assert get_menu(client, f"token {made.key.upper()}:wrong").status_code == 401
    change(mariadb_app, "ana", active=False)
    assert not is_signed_in(client)
    assert get_menu(client, f"token {made.key}:{made.secret}").status_code == 401


def test_similar_characters_are_different_names_on_mariadb(mariadb_app) -> None:
    for name in ("ána", "ANÁ", "ana\u00a0x", "ana\u200b"):
        assert log_in(mariadb_app.test_client(), name).status_code == 401, name
    assert log_in(mariadb_app.test_client(), "ANA").status_code == 200


def test_of_many_simultaneous_attempts_five_are_checked_on_mariadb(mariadb_app) -> None:
    assert sum(run_at_once(mariadb_app, 12, is_attempt_allowed)) == login_throttle.FREE_ATTEMPTS


def test_of_many_starting_processes_one_creates_the_admin_on_mariadb(mariadb_app) -> None:
    delete_all_users(mariadb_app)
    made = run_at_once(mariadb_app, 6, lambda: security_manager.ensure_admin(mariadb_app, None))
    assert len([password for password in made if password]) == 1
