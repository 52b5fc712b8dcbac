"""The doors: who gets in, how often one may try, and what ends it."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from flask import Flask
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from sqlalchemy import delete, select

from app import access, jobs, models
from app.domain import audit
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import AuditEntry, FailedTry, Role, SignIn, User
from app.ops import database
from app.web.security import login_throttle, passwords, security_manager
from app.web.security.sessions import own_transaction
from tests.web import security_app
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    ana,
    app_pool,
    ask,
    browser,
    change,
    is_signed_in,
    live,
    move_clock,
    post,
    root,
    rows,
    sign_in,
    token_of,
    user_id,
)

RUBBISH = ["\0", "a\0b", "\ud800", "x" * 1_000_000, "' OR 1=1 --", "%00", "🙂" * 400, " "]
NEW = "another horse 8"


def log_in(client: Any, name: Any = "ana", password: Any = PASSWORD, **more: Any) -> Any:
    return client.post("/api/v1/security/login", json={"username": name, "password": password, "provider": "db"} | more)


def tokens(client: Any) -> dict[str, str]:
    return log_in(client, refresh=True).get_json()


def events(app: Flask) -> list[str]:
    return [event for (event,) in rows(app, select(AuditEntry.event).order_by(AuditEntry.id))]


# --- the form


def test_the_right_password_opens_the_door(browser) -> None:
    client = browser()
    assert not is_signed_in(client)
    assert sign_in(client, "ana").status_code == 302
    assert is_signed_in(client)


@pytest.mark.parametrize("name", ["ANA", " ana ", "ana@eshin.in"])
def test_capitals_and_the_address_do_as_well(browser, name) -> None:
    assert sign_in(browser(), name).status_code == 302


@pytest.mark.parametrize(
    "name, password", [("ana", "wrong"), ("nobody", PASSWORD), ("ana", "\0"), ("ána", PASSWORD), ("", ""), ("ana", "")]
)
def test_a_wrong_password_keeps_the_name_and_says_so(browser, name, password) -> None:
    answer = sign_in(browser(), name, password)
    assert answer.status_code == 401
    assert f'value="{name}"' in answer.text
    assert "wrong" in answer.text


def test_the_inactive_are_not_let_in(app, browser) -> None:
    change(app, "ana", active=False)
    assert sign_in(browser(), "ana").status_code == 401


@pytest.mark.parametrize("text", RUBBISH)
@pytest.mark.parametrize("field", ["username", "password"])
def test_rubbish_in_the_form_is_refused(browser, field, text) -> None:
    fields = {"username": "ana", "password": "wrong", field: text.encode("utf-8", "replace").decode()}
    answer = sign_in(browser(), fields["username"], fields["password"])
    assert answer.status_code == 401


def test_without_the_token_of_the_form_nobody_gets_in(browser) -> None:
    client = browser()
    answer = client.post("/login/", data={"username": "ana", "password": PASSWORD})
    assert answer.status_code == 400
    assert not is_signed_in(client)


def test_the_session_is_a_new_one_after_signing_in(app, browser) -> None:
    client = browser()
    with client.session_transaction() as before:
        before["sid"], before["planted"] = "chosen by an attacker", "yes"
    sign_in(client, "ana")
    with client.session_transaction() as after:
        assert after["sid"] != "chosen by an attacker"
        assert "planted" not in after
    first = after["sid"]
    post(client, "/logout/", "/sessions/")
    sign_in(client, "ana")
    with client.session_transaction() as again:
        assert again["sid"] != first


def test_the_database_knows_no_token(app, ana) -> None:
    with ana.session_transaction() as cookie:
        token = cookie["sid"]
    (row,) = rows(app, select(SignIn.token_hash))
    assert token not in row[0] and len(token) >= 43


@pytest.mark.parametrize(
    "wish, goes_to",
    [
        ("/users/userinfo/", "/users/userinfo/"),
        ("/keys/?x=1", "/keys/?x=1"),
        ("http://localhost/keys/", "/keys/"),
        ("//evil.test/", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("http:evil.test", "/"),
        ("/\t/evil.test", "/"),
        ("http://localhost@evil.test/", "/"),
        ("http://localhost//evil.test/", "/"),
        ("///evil.test", "/evil.test"),
        ("http://[", "/"),
        ("x" * 5000, "/"),
    ],
)
def test_one_goes_on_only_within_the_site(browser, wish, goes_to) -> None:
    client = browser()
    fields = {"username": "ana", "password": PASSWORD, "csrf_token": token_of(client)}
    answer = client.post("/login/", query_string={"next": wish}, data=fields)
    assert answer.location == goes_to


# --- the end of it


def test_signing_out_ends_the_session_even_for_a_kept_cookie(app, ana) -> None:
    with ana.session_transaction() as cookie:
        kept = dict(cookie)
    assert post(ana, "/logout/", "/sessions/").status_code == 302
    with ana.session_transaction() as cookie:
        cookie.update(kept)
    assert not is_signed_in(ana)
    assert "sign-out" in events(app)


def test_a_get_signs_nobody_out(ana) -> None:
    assert "form" in ana.get("/logout/").text
    assert is_signed_in(ana)


def test_signing_out_needs_the_token_of_the_form(ana) -> None:
    assert ana.post("/logout/").status_code == 400
    assert is_signed_in(ana)


@pytest.mark.parametrize("values", [{"active": False}, {"password": "scrypt:something new"}])
def test_a_change_of_the_account_ends_all_its_sessions(app, ana, values) -> None:
    change(app, "ana", **values)
    assert not is_signed_in(ana)
    assert live(app, "ana") == 0


def test_another_change_ends_nothing(app, ana) -> None:
    change(app, "ana", first_name="Anna")
    assert is_signed_in(ana)


def test_ones_own_new_password_ends_all_but_this_browser(app, ana, browser) -> None:
    other = browser()
    sign_in(other, "ana")
    path = "/resetmypassword/form"
    assert post(ana, path, path, password=NEW, conf_password=NEW).status_code == 302
    assert is_signed_in(ana)
    assert not is_signed_in(other)
    assert sign_in(browser(), "ana").status_code == 401
    assert sign_in(browser(), "ana", NEW).status_code == 302
    assert "password change" in events(app)


def test_an_admin_sets_a_password_and_the_person_is_signed_out(app, root, ana, browser) -> None:
    path = f"/resetpassword/form?pk={user_id(app, 'ana')}"
    assert post(root, path, path, password=NEW, conf_password=NEW).status_code == 302
    assert not is_signed_in(ana)
    assert sign_in(browser(), "ana", NEW).status_code == 302


@pytest.mark.parametrize("pk", ["", "0", "99999", "abc", "-1", "1" * 30])
def test_nobodys_password_is_not_set(root, pk) -> None:
    path = f"/resetpassword/form?pk={pk}"
    assert post(root, path, "/resetpassword/form", password=NEW, conf_password=NEW).status_code == 404


def test_only_an_admin_sets_others_passwords(app, ana) -> None:
    before = rows(app, select(User.password).where(User.username == "mia"))
    path = f"/resetpassword/form?pk={user_id(app, 'mia')}"
    assert post(ana, path, "/sessions/", password=NEW, conf_password=NEW).status_code == 403
    assert rows(app, select(User.password).where(User.username == "mia")) == before


def test_an_idle_browser_must_sign_in_again(app, ana) -> None:
    move_clock(app, SignIn.seen_on, timedelta(hours=11))
    assert is_signed_in(ana)
    move_clock(app, SignIn.seen_on, timedelta(hours=12, minutes=1))
    assert not is_signed_in(ana)


def test_being_seen_is_written_once_a_minute(app, ana) -> None:
    before = rows(app, select(SignIn.seen_on))
    is_signed_in(ana)
    assert rows(app, select(SignIn.seen_on)) == before
    move_clock(app, SignIn.seen_on, timedelta(seconds=61))
    is_signed_in(ana)
    assert rows(app, select(SignIn.seen_on))[0][0] > before[0][0]


def test_a_request_costs_one_statement(app, ana) -> None:
    ana.get("/lang/en")
    counted: list[str] = []
    token = database.STATEMENTS.set(counted)
    ana.get("/lang/en")
    database.STATEMENTS.reset(token)
    assert len(counted) == 1


def test_a_cookie_counts_for_nothing_beside_an_authorization_header(ana) -> None:
    assert is_signed_in(ana)
    assert not is_signed_in(ana, headers={"Authorization": "Bearer x"})


# --- tokens


def test_a_token_opens_the_api_until_its_session_is_ended(app, browser) -> None:
    client = browser()
    access_token = tokens(client)["access_token"]
    assert ask(client, f"Bearer {access_token}").status_code == 200
    move_clock(app, SignIn.ended_on, timedelta(0))
    assert ask(client, f"Bearer {access_token}").status_code == 401


@pytest.mark.parametrize("values", [{"active": False}, {"password": "scrypt:something new"}])
def test_a_change_of_the_account_ends_its_tokens(app, browser, values) -> None:
    client = browser()
    both = tokens(client)
    change(app, "ana", **values)
    assert ask(client, f"Bearer {both['access_token']}").status_code == 401
    headers = {"Authorization": f"Bearer {both['refresh_token']}"}
    assert client.post("/api/v1/security/refresh", headers=headers).status_code == 401


def test_a_refresh_token_gives_a_new_access_token(browser) -> None:
    client = browser()
    headers = {"Authorization": f"Bearer {tokens(client)['refresh_token']}"}
    fresh = client.post("/api/v1/security/refresh", headers=headers).get_json()["access_token"]
    assert ask(client, f"Bearer {fresh}").status_code == 200


def forged(app: Flask, token: str, **how: Any) -> str:
    claims = jwt.decode(token, options={"verify_signature": False}) | how.pop("claims", {})
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, how.get("key", app.config["JWT_SECRET_KEY"]), algorithm=how.get("algorithm", "HS256"))


@pytest.mark.parametrize(
    "how",
    [
        {"key": "", "algorithm": "none"},
        {"key": "another key, thirty-two signs long"},
        {"claims": {"exp": 1_000_000_000}},
        {"claims": {"sid": None}},
        {"claims": {"sid": "made up"}},
        {"claims": {"sid": 7}},
        {"claims": {"sub": "999999"}},
        {"claims": {"sub": "ana"}},
        {"claims": {"sub": "9" * 40}},
        {"claims": {"sub": None}},
        {"claims": {"type": "refresh"}},
    ],
)
def test_a_forged_token_is_refused(app, browser, how) -> None:
    client = browser()
    token = tokens(client)["access_token"]
    answer = ask(client, f"Bearer {forged(app, token, **dict(how))}")
    assert answer.status_code == 401
    assert answer.get_json()["message"]


def test_a_token_is_bound_to_its_user(app, browser) -> None:
    client = browser()
    token = tokens(client)["access_token"]
    other = forged(app, token, claims={"sub": str(user_id(app, "root"))})
    assert ask(client, f"Bearer {other}").status_code == 401


def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(browser) -> None:
    client = browser()
    both = tokens(client)
    assert ask(client, f"Bearer {both['refresh_token']}").status_code == 401
    headers = {"Authorization": f"Bearer {both['access_token']}"}
    assert client.post("/api/v1/security/refresh", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer é.é.é", "Digest x", "bearer  null"]
)
def test_rubbish_in_the_header_is_refused_as_json(browser, header) -> None:
    answer = ask(browser(), header)
    assert answer.status_code == 401
    assert answer.get_json()["message"]


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b"7", b'"x"', b"{", b"", b"\xff\xfe", b"[" * 100_000, json.dumps({"username": "ana"})]
)
def test_a_rubbish_body_is_a_400(browser, body) -> None:
    answer = browser().post("/api/v1/security/login", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["message"]


@pytest.mark.parametrize("value", [None, 7, [], {}, True, ""])
@pytest.mark.parametrize("field", ["username", "password", "provider", "refresh"])
def test_fields_of_the_wrong_kind_are_a_400(browser, field, value) -> None:
    if (field, value) == ("refresh", True):
        return
    body = {"username": "ana", "password": PASSWORD, "provider": "db", field: value}
    assert browser().post("/api/v1/security/login", json=body).status_code == 400


@pytest.mark.parametrize("text", RUBBISH)
@pytest.mark.parametrize("field", ["username", "password"])
def test_rubbish_texts_open_nothing(browser, field, text) -> None:
    body = {"username": "ana", "password": PASSWORD, "provider": "db", field: text}
    answer = browser().post("/api/v1/security/login", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == (400 if text == "\ud800" else 401)


def test_a_form_sent_to_the_api_is_a_400(browser) -> None:
    answer = browser().post("/api/v1/security/login", data={"username": "ana", "password": PASSWORD})
    assert answer.status_code == 400


# --- too many tries


def by_form(client: Any, name: str, password: str) -> Any:
    return sign_in(client, name, password)


DOORS = [by_form, log_in]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["ana", "nobody"])
def test_twenty_wrong_passwords_end_in_429(browser, door, name) -> None:
    client = browser()
    codes = [door(client, name, f"wrong {n}").status_code for n in range(20)]
    assert codes == [401] * 5 + [429] * 15


@pytest.mark.parametrize("door", DOORS)
def test_the_right_password_does_not_open_a_locked_name(browser, door) -> None:
    client = browser()
    for n in range(5):
        log_in(client, "ana", f"wrong {n}")
    answer = door(client, "ANA ", PASSWORD)
    assert answer.status_code == 429
    assert 50 <= int(answer.headers["Retry-After"]) <= 60
    assert "Please try again at" in answer.text


def test_the_lock_opens_again_and_the_delay_grows(app, browser) -> None:
    client, minutes = browser(), []
    for n in range(10):
        log_in(client, "ana", f"wrong {n}")
        ((until, last),) = rows(app, select(FailedTry.locked_until, FailedTry.last_on))
        minutes.append((until - last) / timedelta(minutes=1) if until else 0)
        move_clock(app, FailedTry.locked_until, timedelta(seconds=1))
    assert minutes == [0, 0, 0, 0, 1, 2, 4, 8, 15, 15]
    assert log_in(client).status_code == 200
    assert rows(app, select(FailedTry)) == []


def test_the_lock_is_shared_between_processes(app, browser) -> None:
    for n in range(5):
        log_in(browser(), "ana", f"wrong {n}")
    another = security_app.made(app.config["CRM"].instance_dir)
    assert log_in(another.test_client()).status_code == 429
    with another.app_context():
        db.engine.dispose()


def test_an_old_count_is_forgotten(app, browser) -> None:
    for n in range(4):
        log_in(browser(), "ana", f"wrong {n}")
    move_clock(app, FailedTry.last_on, timedelta(hours=25))
    for n in range(4):
        assert log_in(browser(), "ana", f"wrong {n}").status_code == 401
    assert log_in(browser()).status_code == 200


def test_names_that_somebody_made_up_fill_no_table(app, browser) -> None:
    for n in range(3):
        log_in(browser(), f"made up {n}", "wrong")
    for hours, left in ((23, 3), (25, 0)):
        jobs.run_now(app, "forget old answers", datetime.now(UTC) + timedelta(hours=hours))
        assert len(rows(app, select(FailedTry))) == left


@pytest.mark.parametrize("door", DOORS)
def test_an_address_may_try_twenty_times_a_minute(browser, door) -> None:
    client = browser()
    for n in range(20):
        assert door(client, f"name {n}", "wrong").status_code == 401
    answer = door(client, "ana", PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert "Too many tries from your address" in answer.text


def test_a_made_up_forwarded_address_changes_nothing(browser) -> None:
    client = browser()
    for n in range(20):
        client.post("/api/v1/security/login", json={}, headers={"X-Forwarded-For": f"10.0.0.{n}"})
    answer = client.post("/api/v1/security/login", json={}, headers={"X-Forwarded-For": "10.0.1.1"})
    assert answer.status_code == 429


def test_a_try_is_counted_before_it_is_looked_at(app) -> None:
    now = datetime.now(UTC)
    with app.test_request_context():
        for _ in range(login_throttle.FREE_TRIES):
            login_throttle.count("ana", now)
        with pytest.raises(login_throttle.Locked):
            login_throttle.count("Ana", now)


def at_once(app: Flask, count: int, step: Any) -> list[Any]:
    """What `step` answers in that many threads that begin together."""
    gate = threading.Barrier(count)

    def one(_number: int) -> Any:
        gate.wait()
        with app.test_request_context():
            return step()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def is_looked_at() -> bool:
    try:
        login_throttle.count("ana", datetime.now(UTC))
    except login_throttle.Locked:
        return False
    return True


def test_of_many_tries_at_once_five_are_looked_at(app) -> None:
    assert sum(at_once(app, 12, is_looked_at)) == login_throttle.FREE_TRIES


# --- on MariaDB


@pytest.fixture
def big(mariadb_url, tmp_path) -> Any:
    """The application on MariaDB."""
    app = security_app.made(tmp_path / "big", CRM_DATABASE_URL=mariadb_url)
    security_app.fill(app)
    yield app
    with app.app_context():
        db.engine.dispose()


def test_the_doors_work_on_mariadb(big) -> None:
    client = big.test_client()
    assert sign_in(client, "ana").status_code == 302
    assert is_signed_in(client)
    move_clock(big, SignIn.seen_on, timedelta(seconds=61))
    assert is_signed_in(client)
    made = security_app.key_for(big, "ana")
    assert ask(client, f"token {made.key}:{made.secret}").status_code == 200
    assert ask(client, f"token {made.key.upper()}:wrong").status_code == 401
    change(big, "ana", active=False)
    assert not is_signed_in(client)
    assert ask(client, f"token {made.key}:{made.secret}").status_code == 401


def test_other_spellings_are_other_names_on_mariadb(big) -> None:
    for name in ("ána", "ANÁ", "ana\u00a0x", "ana\u200b"):
        assert log_in(big.test_client(), name).status_code == 401, name
    assert log_in(big.test_client(), "ANA").status_code == 200


def test_of_many_tries_at_once_five_are_looked_at_on_mariadb(big) -> None:
    assert sum(at_once(big, 12, is_looked_at)) == login_throttle.FREE_TRIES


def test_one_of_many_starts_makes_the_admin_on_mariadb(big) -> None:
    empty(big)
    made = at_once(big, 6, lambda: security_manager.ensure_admin(big, None))
    assert len([password for password in made if password]) == 1


# --- what may be a password


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "123456789",
        "1234567890",
        "Password123",
        "aaaaaaaaaaaa",
        "abababababab",
        "\0" * 12,
        "x" * 600,
        "ana@eshin.in",
        "\ud800" * 12,
    ],
)
def test_a_weak_password_is_refused(app, password) -> None:
    with app.test_request_context(), pytest.raises(PasswordComplexityValidationError, match=r"Please|too"):
        passwords.refuse_weak_password(password, "ana@eshin.in")


def test_a_weak_password_is_refused_on_the_screen(app, ana) -> None:
    path = "/resetmypassword/form"
    answer = post(ana, path, path, password="password123", conf_password="password123")
    assert "commonest" in answer.text
    assert sign_in(app.test_client(), "ana").status_code == 302


def test_a_weak_password_is_refused_for_a_new_user(app, root) -> None:
    fields = {
        "first_name": "Dev",
        "last_name": "Rao",
        "username": "devrao1234",
        "email": "dev@eshin.in",
        "active": "y",
        "roles": "1",
        "password": "devrao1234",
        "conf_password": "devrao1234",
    }
    answer = post(root, "/users/add", "/users/add", **fields)
    assert "must not be the user name" in answer.text
    assert rows(app, select(User.id).where(User.username == "devrao1234")) == []


# --- the last administrator


def test_the_last_admin_cannot_be_deactivated(app) -> None:
    with pytest.raises(RuleBroken, match="last active administrator"):
        change(app, "root", active=False)
    assert rows(app, select(User.active).where(User.username == "root")) == [(True,)]


def test_the_last_admin_cannot_be_demoted(app) -> None:
    with pytest.raises(RuleBroken):
        change(app, "root", roles=[])
    assert "Admin" in _roles(app, "root")


def test_the_last_admin_cannot_be_deleted(app) -> None:
    with app.app_context(), pytest.raises(RuleBroken):
        db.session.delete(db.session.get(User, user_id(app, "root")))
        db.session.commit()
    assert rows(app, select(User.id).where(User.username == "root"))


def test_the_role_cannot_lose_its_last_member(app) -> None:
    with app.app_context(), pytest.raises(RuleBroken):
        db.session.scalars(select(Role).where(Role.name == "Admin")).one().user = []
        db.session.commit()


def test_one_of_two_admins_may_go(app) -> None:
    with app.app_context():
        admin = db.session.scalars(select(Role).where(Role.name == "Admin")).one()
        mia = db.session.scalars(select(User).where(User.username == "mia")).one()
        mia.roles.append(admin)
        db.session.commit()
    change(app, "root", active=False)
    assert rows(app, select(User.active).where(User.username == "root")) == [(False,)]


def _roles(app: Flask, name: str) -> set[str]:
    return {role for (role,) in rows(app, select(Role.name).join(Role.user).where(User.username == name))}


def test_the_screen_tells_why_the_last_admin_stays(app, root) -> None:
    key = user_id(app, "root")
    fields = {"first_name": "Root", "last_name": "Rao", "username": "root", "email": "root@eshin.in", "roles": "1"}
    answer = post(root, f"/users/edit/{key}", f"/users/edit/{key}", **fields)  # "active" is not ticked
    assert "last active administrator" in answer.text + root.get("/sessions/").text
    assert rows(app, select(User.active).where(User.username == "root")) == [(True,)]


def test_an_admin_cannot_delete_himself(app, root) -> None:
    key = user_id(app, "root")
    post(root, f"/users/delete/{key}", f"/users/edit/{key}")
    assert rows(app, select(User.id).where(User.username == "root"))


# --- one's own page


def test_ones_own_page_changes_five_fields_and_no_more(app, ana) -> None:
    path = "/userinfoeditview/form"
    fields = {
        "first_name": "Anna",
        "last_name": "Rao",
        "mobile": "98200 12345",
        "time_zone": "Asia/Dubai",
        "locale": "en",
        "username": "root2",
        "roles": "1",
        "active": "",
        "email": "x@y.test",
        "manager_id": "1",
    }
    before = rows(app, select(User.username, User.email, User.active, User.manager_id).where(User.username == "ana"))
    assert post(ana, path, path, **fields).status_code == 302
    after = select(User.username, User.email, User.active, User.manager_id).where(User.username == "ana")
    assert rows(app, after) == before
    changed = select(User.first_name, User.mobile_e164, User.time_zone, User.locale).where(User.username == "ana")
    assert rows(app, changed) == [("Anna", "+919820012345", "Asia/Dubai", "en")]
    assert _roles(app, "ana") == {"Sales User"}


@pytest.mark.parametrize("field, value", [("mobile", "call me"), ("time_zone", "Mars/Base"), ("locale", "xx")])
def test_ones_own_page_refuses_nonsense(app, ana, field, value) -> None:
    path = "/userinfoeditview/form"
    post(ana, path, path, **({"first_name": "Anna", "last_name": "Rao"} | {field: value}))
    assert rows(app, select(User.first_name).where(User.username == "ana")) == [("Ana",)]


def test_a_sales_user_sees_no_screen_of_security(ana) -> None:
    for path in ("/users/list/", "/roles/list/", "/users/add", "/groups/list/", "/permissions/list/"):
        assert ana.get(path).status_code == 403, path


def test_everybody_sees_his_own_page(ana, root) -> None:
    for client in (ana, root):
        assert client.get("/users/userinfo/").status_code == 200
        assert client.get("/userinfoeditview/form").status_code == 200


# --- the screen of sessions


def test_the_list_shows_ones_own_and_marks_this_one(ana, browser) -> None:
    sign_in(browser(), "ana")
    sign_in(browser(), "mia")
    text = ana.get("/sessions/").text
    assert text.count('/end"') == 2
    assert text.count("this one") == 1


def test_all_others_are_ended(app, ana, browser) -> None:
    other, mia = browser(), browser()
    sign_in(other, "ana")
    sign_in(mia, "mia")
    post(ana, "/sessions/end-others", "/sessions/")
    assert is_signed_in(ana) and is_signed_in(mia)
    assert not is_signed_in(other)


def test_nobody_ends_anothers_session(app, ana, browser) -> None:
    mia = browser()
    sign_in(mia, "mia")
    ((key,),) = rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, "mia")))
    assert post(ana, f"/sessions/{key}/end", "/sessions/").status_code == 404
    assert post(ana, f"/sessions/end-others?user={user_id(app, 'mia')}", "/sessions/").status_code == 404
    assert ana.get(f"/sessions/?user={user_id(app, 'mia')}").status_code == 404
    assert is_signed_in(mia)


def test_an_admin_ends_anybodys(app, root, ana) -> None:
    page = f"/sessions/?user={user_id(app, 'ana')}"
    ((key,),) = rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, "ana")))
    assert post(root, f"/sessions/{key}/end", page).status_code == 302
    assert not is_signed_in(ana)


@pytest.mark.parametrize("path", ["/sessions/0/end", "/sessions/9999999999999999/end", "/sessions/end-others?user=x"])
def test_odd_ids_do_no_harm(ana, path) -> None:
    assert post(ana, path, "/sessions/").status_code in (302, 404)


def test_ending_needs_the_token_of_the_form(ana) -> None:
    assert ana.post("/sessions/end-others").status_code == 400


# --- the audit, the first start, the pairs


def test_the_audit_tells_who_came_and_went_without_secrets(app, browser) -> None:
    client = browser()
    sign_in(client, "ana", "wrong guess 1")
    sign_in(client, "ana")
    post(client, "/logout/", "/sessions/")
    assert events(app) == ["sign-in refused", "sign-in", "sign-out"]
    with app.app_context(), access.as_system(db.session()) as session:
        assert audit.first_broken(session) is None
        told = str([(row.about, row.payload) for row in session.scalars(select(AuditEntry))])
    assert "guess" not in told and PASSWORD not in told


def test_statistics_throw_nobodys_rights_away(app, browser) -> None:
    version = rows(app, select(models.AccessVersion.n))
    sign_in(browser(), "ana")
    assert rows(app, select(models.AccessVersion.n)) == version
    ((count, last),) = rows(app, select(User.login_count, User.last_login).where(User.username == "ana"))
    assert count == 1 and last is not None


def empty(app: Flask) -> None:
    """Nobody works here."""
    with app.app_context(), own_transaction() as session:
        session.execute(delete(User.roles.property.secondary))
        session.execute(delete(User))


def test_the_first_admin_is_made_once(app) -> None:
    assert security_manager.ensure_admin(app, None) is None
    empty(app)
    password = security_manager.ensure_admin(app, None)
    assert password and len(password) >= 12
    assert security_manager.ensure_admin(app, None) is None
    assert sign_in(app.test_client(), "admin", password).status_code == 302


def test_pairs_are_written_once(app) -> None:
    assert security_manager.sync_permissions(app) == 0


def test_a_change_of_role_counts_with_the_next_request(app, ana) -> None:
    assert ana.get("/users/list/").status_code == 403
    with app.app_context():
        admin = db.session.scalars(select(Role).where(Role.name == "Admin")).one()
        user = db.session.scalars(select(User).where(User.username == "ana")).one()
        user.roles.append(admin)
        db.session.commit()
    assert ana.get("/users/list/").status_code == 200
