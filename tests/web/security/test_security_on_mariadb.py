"""Sign-in, keys, throttling and the first admin on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask

from app.models import SignIn
from app.web.security import first_admin, login_throttle
from tests.app_pool import AppPool, dispose
from tests.servers import Databases
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
    settings_for,
    sign_in,
)


@pytest.fixture(scope="module")
def mariadb_pool(
    mariadb_server: Databases, migrated_mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppPool]:
    """One application on MariaDB; its database is put back before each test."""
    folder, settled, name = tmp_path_factory.mktemp("big"), *(mariadb_server.create_database() for _ in range(2))
    mariadb_server.copy_database(migrated_mariadb, settled)
    filled = security_app.make_app(folder / "settled", CRM_DATABASE_URL=mariadb_server.url(settled))
    security_app.add_people(filled)
    dispose(filled)
    settings = partial(settings_for, folder / "reused", CRM_DATABASE_URL=mariadb_server.url(name))
    yield AppPool(partial(mariadb_server.copy_database, settled, name), settings)
    for each in (settled, name):
        mariadb_server.drop_database(each)


@pytest.fixture
def mariadb_app(mariadb_pool: AppPool) -> Iterator[Flask]:
    """The application on MariaDB."""
    with mariadb_pool.fresh() as made:
        yield made()


def test_all_ways_of_authentication_work_on_mariadb(mariadb_app: Flask) -> None:
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


def test_similar_characters_are_different_names_on_mariadb(mariadb_app: Flask) -> None:
    for name in ("ána", "ANÁ", "ana\u00a0x", "ana\u200b"):
        assert log_in(mariadb_app.test_client(), name).status_code == 401, name
    assert log_in(mariadb_app.test_client(), "ANA").status_code == 200


def test_of_many_simultaneous_attempts_five_are_checked_on_mariadb(mariadb_app: Flask) -> None:
    assert sum(run_at_once(mariadb_app, 12, is_attempt_allowed)) == login_throttle.FREE_ATTEMPTS


def test_of_many_starting_processes_one_creates_the_admin_on_mariadb(mariadb_app: Flask) -> None:
    delete_all_users(mariadb_app)
    made = run_at_once(mariadb_app, 6, lambda: first_admin.ensure_admin(mariadb_app, None))
    assert len([password for password in made if password]) == 1
