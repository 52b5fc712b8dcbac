"""Failed sign-ins are counted by name and by address."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import jobs
from app.extensions import db
from app.models import FailedLogin
from app.ops.redis.rate_counter import Rate
from app.web.security import login_throttle, passwords, rate_limits
from tests.app_pool import AppPool
from tests.web import security_app
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    ana,
    app,
    browser,
    change,
    is_attempt_allowed,
    log_in,
    migrated,
    move_clock,
    post,
    rows,
    run_at_once,
    sign_in,
    user_id,
)
from tests.web.two_factor_steps import PAGE, code, turn_on, unlock_step


def sign_in_by_form(client: Any, name: str, password: str) -> Any:
    return sign_in(client, name, password)


SIGN_IN_WAYS = [sign_in_by_form, log_in]


@pytest.fixture
def in_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still: on a busy machine twenty attempts can take more than their minute."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)


@pytest.mark.parametrize("sign_in_by", SIGN_IN_WAYS)
@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_after_five_wrong_passwords_the_name_is_locked(
    browser: Callable[[], FlaskClient], sign_in_by: Any, name: str
) -> None:
    client = browser()
    codes = [sign_in_by(client, name, f"wrong {n}").status_code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3


@pytest.mark.parametrize("sign_in_by", SIGN_IN_WAYS)
def test_the_correct_password_does_not_unlock_a_name(browser: Callable[[], FlaskClient], sign_in_by: Any) -> None:
    client = browser()
    for n in range(5):
        log_in(client, "ana", f"wrong {n}")
    response = sign_in_by(client, "ANA ", PASSWORD)
    assert response.status_code == 429
    assert 50 <= int(response.headers["Retry-After"]) <= 60
    assert "Please try again at" in response.text


def test_the_delay_grows_with_each_failed_attempt(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client, minutes = browser(), []
    for n in range(10):
        log_in(client, "ana", f"wrong {n}")
        ((until, last),) = rows(app, select(FailedLogin.locked_until, FailedLogin.last_on))
        minutes.append((until - last) / timedelta(minutes=1) if until else 0)
        move_clock(app, FailedLogin.locked_until, timedelta(seconds=1))
    assert minutes == [0, 0, 0, 0, 1, 2, 4, 8, 15, 15]
    assert log_in(client).status_code == 200
    assert rows(app, select(FailedLogin)) == []


def test_the_lock_is_shared_between_processes(
    app: Flask, migrated: AppPool, browser: Callable[[], FlaskClient]
) -> None:
    for n in range(5):
        log_in(browser(), "ana", f"wrong {n}")
    another = security_app.make_app(app.config["CRM"].instance_dir)
    assert log_in(another.test_client()).status_code == 429
    with another.app_context():
        db.engine.dispose()


def test_a_count_expires_after_a_day(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    for n in range(4):
        log_in(browser(), "ana", f"wrong {n}")
    move_clock(app, FailedLogin.last_on, timedelta(hours=25))
    for n in range(4):
        assert log_in(browser(), "ana", f"wrong {n}").status_code == 401
    assert log_in(browser()).status_code == 200


def test_counts_of_unknown_names_are_deleted_after_a_day(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    for n in range(3):
        log_in(browser(), f"made up {n}", "wrong")
    for hours, left in ((23, 3), (25, 0)):
        jobs.run_now(app, "forget what is too old", datetime.now(UTC) + timedelta(hours=hours))
        assert len(rows(app, select(FailedLogin))) == left


@pytest.mark.parametrize("sign_in_by", SIGN_IN_WAYS)
@pytest.mark.usefixtures("in_one_moment")
def test_an_address_has_twenty_attempts_a_minute(browser: Callable[[], FlaskClient], sign_in_by: Any) -> None:
    client = browser()
    for n in range(20):
        assert sign_in_by(client, f"name {n}", "wrong").status_code == 401
    response = sign_in_by(client, "ana", PASSWORD)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 61
    assert "Too many attempts from your address" in response.text


@pytest.mark.usefixtures("in_one_moment")
def test_a_forged_forwarded_address_is_ignored(browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    for n in range(20):
        client.post("/api/v1/security/login", json={}, headers={"X-Forwarded-For": f"10.0.0.{n}"})
    response = client.post("/api/v1/security/login", json={}, headers={"X-Forwarded-For": "10.0.1.1"})
    assert response.status_code == 429


def test_an_attempt_is_counted_before_it_is_checked(app: Flask) -> None:
    now = datetime.now(UTC)
    with app.test_request_context():
        for _ in range(login_throttle.FREE_ATTEMPTS):
            login_throttle.count_attempt("ana", now)
        with pytest.raises(login_throttle.Locked):
            login_throttle.count_attempt("Ana", now)


def test_of_many_simultaneous_attempts_five_are_checked(app: Flask) -> None:
    assert sum(run_at_once(app, 12, is_attempt_allowed)) == login_throttle.FREE_ATTEMPTS


def test_right_attempts_at_once_lock_nobody_out(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "SIGN_IN_ATTEMPTS", Rate(2, 10**9))  # those that are being checked don't count

    def sign_in_rightly() -> int:
        return log_in(app.test_client()).status_code

    assert run_at_once(app, 8, sign_in_rightly) == [200] * 8
    assert rows(app, select(FailedLogin)) == []


def test_right_sign_ins_do_not_use_up_the_attempts_of_an_address(browser: Callable[[], FlaskClient]) -> None:
    assert [log_in(browser()).status_code for _ in range(22)] == [200] * 22


@pytest.mark.parametrize("start", ["", "\0"])
def test_no_name_locks_the_codes_and_passwords_of_users(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, start: str
) -> None:
    (key, _codes), number = turn_on(ana), user_id(app, "ana")
    for name in (f"the code of user {number}", f"the password of user {number}"):
        for _try in range(login_throttle.FREE_ATTEMPTS):
            assert log_in(browser(), start + name, "wrong horse 9").status_code == 401
    proof = {"current_password": PASSWORD, "code": code(key), "form": "codes"}
    assert post(ana, "/two-factor/codes", PAGE, **proof).status_code == 200
    unlock_step(app)
    assert log_in(browser(), otp=code(key)).status_code == 200


def test_no_name_grants_further_codes_of_a_user(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    turn_on(ana)
    change(app, "mia", username=f"the code of user {user_id(app, 'ana')}")
    for _try in range(login_throttle.FREE_ATTEMPTS - 1):
        assert log_in(browser(), otp="000000").status_code == 401
    assert log_in(browser(), f"the code of user {user_id(app, 'ana')}").status_code == 200
    assert [log_in(browser(), otp="000000").status_code for _try in range(2)] == [401, 429]


def test_expired_forms_do_not_use_up_the_attempts_of_an_address(
    browser: Callable[[], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "SIGN_IN_ATTEMPTS", Rate(2, 10**9))
    typed = {"username": "ana", "password": PASSWORD, "csrf_token": "of yesterday"}
    assert [browser().post("/login/", data=typed).status_code for _ in range(4)] == [400] * 4
    assert log_in(browser()).status_code == 200


def test_no_connection_is_held_while_a_password_is_checked(
    browser: Callable[[], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, really = [], passwords.is_password

    def is_password(stored: str | None, typed: str) -> bool:
        held.append(db.session().in_transaction())
        return really(stored, typed)

    monkeypatch.setattr(passwords, "is_password", is_password)
    assert log_in(browser()).status_code == 200
    assert held == [False]
