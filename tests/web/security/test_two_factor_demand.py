"""Roles that demand two-factor sign-in, sign-in of programs, and resets by admins."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app.models import AuditEntry, Role, TwoFactor, User
from app.web.core.request_transaction import request_transaction
from app.web.realtime.credentials import requesting_person
from app.web.security import login_throttle
from tests.web.security_app import (  # noqa: F401  (fixtures)
    NEW_PASSWORD,
    PASSWORD,
    ana,
    app,
    browser,
    change,
    get_menu,
    is_signed_in,
    key_for,
    let_write_settings,
    log_in,
    migrated,
    post,
    root,
    rows,
    sign_in,
    user_id,
)
from tests.web.two_factor_steps import PAGE, code, demand, offered, send_code, told, turn_on

LOGIN = "/api/method/login"


def compat_login(client: FlaskClient, **more: Any) -> Any:
    """Sign in over the predecessor's API."""
    return client.post(LOGIN, json={"usr": "ana", "pwd": PASSWORD} | more)


# --- programs


def test_programs_send_the_code_with_the_password(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, codes = turn_on(ana)
    refused = log_in(browser())
    assert refused.status_code == 401 and "otp" in refused.json["errors"] and "otp" in refused.json["message"]
    assert log_in(browser(), otp="000000").status_code == 401
    token = log_in(browser(), otp=code(key)).json["access_token"]
    assert get_menu(browser(), f"Bearer {token}").status_code == 200
    assert log_in(browser(), otp=code(key)).status_code == 401  # used
    assert log_in(browser(), otp=codes[0]).status_code == 200
    assert told(app, "ana")[-1] == "recovery code used"


def test_the_predecessors_login_takes_the_code_too(browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    key, _codes = turn_on(ana)
    refused = compat_login(browser())
    assert refused.status_code == 401 and "otp" in refused.text and "sid" not in refused.headers.get("Set-Cookie", "")
    assert compat_login(browser(), otp="000000").status_code == 401
    client = browser()
    assert compat_login(client, otp=code(key)).status_code == 200
    assert client.get("/api/method/frappe.auth.get_logged_user").status_code == 200


@pytest.mark.parametrize("otp", [1, True, [], {}, "x" * 100_000, "\ud800"])
def test_an_invalid_code_of_a_program_is_refused(
    browser: Callable[[], FlaskClient], ana: FlaskClient, otp: Any
) -> None:
    turn_on(ana)
    assert log_in(browser(), otp=otp).status_code in (400, 401)  # 400: no JSON


def test_wrong_codes_count_at_every_door_together(browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    key, _codes = turn_on(ana)
    for number in range(login_throttle.FREE_ATTEMPTS):
        answer = log_in(browser(), otp="000000") if number % 2 else compat_login(browser(), otp="000000")
        assert answer.status_code == 401
    assert log_in(browser(), otp=code(key)).status_code == 429
    assert compat_login(browser(), otp=code(key)).status_code == 429
    client = browser()
    sign_in(client, "ana")
    assert send_code(client, code(key)).status_code == 429


def test_a_wrong_password_says_nothing_about_the_factor(browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    turn_on(ana)
    with_factor, without = log_in(browser(), password="wrong"), log_in(browser(), "mia", "wrong")
    assert (with_factor.status_code, with_factor.json) == (without.status_code, without.json)
    assert log_in(browser(), "nobody", "wrong").json == without.json


def test_api_keys_keep_working(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    made = key_for(app, "ana")
    turn_on(ana)
    demand(app, "Sales User")
    demand(app, "Sales Manager")
    of_mia = key_for(app, "mia")
    for key in (made, of_mia):
        assert get_menu(browser(), f"token {key.key}:{key.secret}").status_code == 200


# --- roles that demand it


def test_people_of_the_role_set_it_up_at_their_next_click(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    assert is_signed_in(ana)
    demand(app, "Sales User")
    response = ana.get("/sessions/?x=1")
    assert response.location == "/two-factor/?next=/sessions/?x%3D1"
    page = ana.get(response.location).text
    assert "Your role demands" in page and 'class="signed-out' in page
    turn_on(ana, next="/sessions/?x=1")
    assert is_signed_in(ana) and 'class="signed-in' in ana.get("/sessions/").text


def test_the_language_chosen_at_the_set_up_is_kept(app: Flask, ana: FlaskClient) -> None:
    demand(app, "Sales User")
    with app.app_context(), request_transaction() as session:
        session.execute(update(User).where(User.username == "ana").values(locale="en"))
    ana.get("/lang/hi")
    turn_on(ana)
    assert '<html lang="hi"' in ana.get(PAGE).text
    assert rows(app, select(User.locale).where(User.username == "ana")) == [("hi",)]


@pytest.mark.parametrize("path", ["/", "/leads/", "/keys/", "/me/", "/resetmypassword/form", "/users/userinfo/"])
def test_no_page_opens_before(app: Flask, browser: Callable[[], FlaskClient], path: str) -> None:
    demand(app, "Sales User")
    client = browser()
    sign_in(client, "ana")
    assert client.get(path).location.startswith("/two-factor/")
    assert client.get(path, headers={"HX-Request": "true"}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/api/v1/lead/", "/api/v1/menu/", "/api/v1/notification/", "/api/method/ping", "/bell/choices/"]
)
def test_apis_answer_403_to_the_cookie_with_a_sentence(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, path: str
) -> None:
    demand(app, "Sales User")
    response = ana.get(path, headers={"Accept": "application/json"})
    assert response.status_code == 403 and "Your role demands two-factor sign-in" in response.text


def test_no_form_is_accepted_before(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    demand(app, "Sales User")
    with ana.session_transaction() as cookie:
        before = dict(cookie)
    assert ana.post("/me/language", data={"locale": "hi"}).status_code in (400, 403)
    assert rows(app, select(User.locale).where(User.username == "ana")) == [(None,)]
    with ana.session_transaction() as cookie:
        assert cookie.get("sid") == before["sid"]


def test_tokens_and_sessions_of_programs_are_refused_from_the_next_request_on(
    app: Flask, browser: Callable[[], FlaskClient]
) -> None:
    token = log_in(browser()).json["access_token"]
    client = browser()
    compat_login(client)
    assert get_menu(browser(), f"Bearer {token}").status_code == 200
    demand(app, "Sales User")
    refused = get_menu(browser(), f"Bearer {token}")
    assert refused.status_code == 403 and "demands two-factor" in refused.json["message"]
    refused = client.get("/api/method/frappe.auth.get_logged_user")
    assert refused.status_code == 403 and "demands two-factor" in refused.text
    for answer in (log_in(browser()), compat_login(browser()), log_in(browser(), otp="123456")):
        assert answer.status_code == 403 and "demands two-factor" in answer.text


def test_sockets_refuse(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    with ana.session_transaction() as cookie:
        held = dict(cookie)
    assert _socket_person(app, held) is not None
    demand(app, "Sales User")
    assert _socket_person(app, held) is None
    client = browser()
    turn_on(ana)
    sign_in(client, "ana")
    with client.session_transaction() as cookie:
        assert _socket_person(app, dict(cookie)) is None


def _socket_person(app: Flask, cookie: dict[str, Any]) -> Any:
    """Whom a socket with this cookie is of."""
    from flask import session

    with app.test_request_context("/"):
        session.update(cookie)
        app.preprocess_request()
        return requesting_person()


def test_signing_out_and_in_stays_possible(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    demand(app, "Sales User")
    assert post(ana, "/logout/", PAGE).status_code == 302
    assert ana.get(PAGE).location.startswith("/login/")
    assert ana.get("/login/").status_code == 200


def test_a_role_of_a_group_demands_it_too(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    from app.domain.people import two_factor
    from app.extensions import db
    from app.models import Group

    with app.app_context():
        role = Role(name="Guarded", needs_two_factor=True)
        user = db.session.scalars(select(User).where(User.username == "ana")).one()
        db.session.add(Group(name="g", label="g", roles=[role], users=[user]))
        db.session.commit()
        owing = db.session.scalars(select(User.username).where(two_factor.owes())).all()
    assert list(owing) == ["ana"]
    assert ana.get("/sessions/").location.startswith("/two-factor/")


def test_without_the_demand_the_pages_open_again(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    demand(app, "Sales User")
    assert not is_signed_in(ana)
    demand(app, "Sales User", needed=False)
    assert is_signed_in(ana)


def test_the_set_up_of_others_stays_closed(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    demand(app, "Sales User")
    offer, key = offered(ana)
    sent = {"offer": offer, "code": code(key), "current_password": "wrong", "form": "on"}
    assert post(ana, "/two-factor/on", PAGE, **sent).status_code == 422
    assert rows(app, select(TwoFactor)) == []


# --- the switch of a role


def switch(client: FlaskClient, role_id: int, needed: str = "1") -> Any:
    return post(client, f"/roles/matrix/{role_id}/two-factor", f"/roles/matrix/{role_id}", needed=needed)


def role_id(app: Flask, name: str) -> int:
    ((key,),) = rows(app, select(Role.id).where(Role.name == name))
    return int(key)


def test_an_admin_switches_the_demand_of_a_role(app: Flask, root: FlaskClient, ana: FlaskClient) -> None:
    key = role_id(app, "Sales User")
    assert 'name="needed" value="1">' in root.get(f"/roles/matrix/{key}").text
    assert switch(root, key).status_code == 302
    assert 'name="needed" value="1" checked' in root.get(f"/roles/matrix/{key}").text
    assert not is_signed_in(ana)
    query = select(AuditEntry.user_id, AuditEntry.about, AuditEntry.payload)
    (entry,) = rows(app, query.where(AuditEntry.event == "role change"))
    assert entry == (user_id(app, "root"), "role Sales User", {"what": "two factors", "needed": True})
    assert switch(root, key, "").status_code == 302
    assert is_signed_in(ana)


def test_the_role_admin_can_demand_it_and_admins_are_led_to_it(app: Flask, root: FlaskClient) -> None:
    assert switch(root, role_id(app, "Admin")).status_code == 302
    assert root.get("/settings/").location.startswith("/two-factor/")
    turn_on(root)
    assert root.get("/settings/").status_code == 200


def test_the_role_public_demands_nothing(app: Flask, root: FlaskClient) -> None:
    key = role_id(app, "Public")
    assert "Must sign in with two factors" not in root.get(f"/roles/matrix/{key}").text
    assert switch(root, key).status_code == 403
    assert rows(app, select(Role.needs_two_factor).where(Role.id == key)) == [(False,)]


def test_others_than_admins_do_not_switch_it(app: Flask, ana: FlaskClient) -> None:
    key = role_id(app, "Sales User")
    assert post(ana, f"/roles/matrix/{key}/two-factor", "/sessions/", needed="1").status_code in (302, 403)
    assert rows(app, select(Role.needs_two_factor).where(Role.id == key)) == [(False,)]


@pytest.mark.parametrize("role", ["Sales User", "Sales Manager", "Admin"])
def test_who_may_change_settings_demands_it_and_only_an_admin_lifts_it(
    app: Flask, browser: Callable[[], FlaskClient], role: str
) -> None:
    let_write_settings(app, "Sales Manager")
    mia, key = browser(), role_id(app, role)
    sign_in(mia, "mia")
    assert switch(mia, key).status_code == (403 if role == "Admin" else 302)
    demand(app, role)
    if role == "Sales Manager":
        turn_on(mia)
    assert switch(mia, key, "").status_code == 403
    assert rows(app, select(Role.needs_two_factor).where(Role.id == key)) == [(True,)]


def test_a_copy_of_a_role_demands_it_too(app: Flask, root: FlaskClient) -> None:
    demand(app, "Sales User")
    post(root, "/roles/action_post", "/roles/list/", action="copyrole", rowid=role_id(app, "Sales User"))
    assert rows(app, select(Role.needs_two_factor).where(Role.name == "Sales User copy")) == [(True,)]


# --- views as another user


@pytest.mark.parametrize("is_demanded", [False, True])
def test_a_view_as_a_user_neither_asks_nor_tells(
    app: Flask, root: FlaskClient, ana: FlaskClient, is_demanded: bool
) -> None:
    if is_demanded:
        demand(app, "Sales User")
    else:
        turn_on(ana)
    key = user_id(app, "ana")
    assert post(root, f"/users/action/view_as/{key}", f"/users/show/{key}").location == "/"
    assert "You see the CRM as" in root.get("/leads/").text
    assert root.get(PAGE).status_code == 403
    assert post(root, "/two-factor/off", "/leads/").status_code == 403


def test_an_admin_who_owes_it_views_nobody(app: Flask, root: FlaskClient) -> None:
    key = user_id(app, "ana")
    post(root, f"/users/action/view_as/{key}", f"/users/show/{key}")
    demand(app, "Admin")
    assert root.get("/leads/").location.startswith("/two-factor/")


# --- resets


def test_an_admin_resets_it_and_sees_who_has_it(
    app: Flask, browser: Callable[[], FlaskClient], root: FlaskClient, ana: FlaskClient
) -> None:
    key = user_id(app, "ana")
    assert "reset_two_factor" not in root.get(f"/users/show/{key}").text
    turn_on(ana)
    assert "reset_two_factor" in root.get(f"/users/show/{key}").text
    assert root.get("/users/list/").text.count('class="person-mark"') == 1
    assert post(root, f"/users/action/reset_two_factor/{key}", f"/users/show/{key}").status_code == 302
    assert rows(app, select(TwoFactor)) == [] and not is_signed_in(ana)
    assert told(app, "ana") == ["turned on", "reset"]
    (entry,) = rows(app, select(AuditEntry.user_id, AuditEntry.about).where(_is_reset()))
    assert entry == (user_id(app, "root"), f"user {key}")
    assert "/login/code/" not in sign_in(browser(), "ana").location


def _is_reset() -> Any:
    return (AuditEntry.event == "two-factor") & (AuditEntry.payload["what"].as_string() == "reset")


def test_nobody_else_resets_it(
    app: Flask, browser: Callable[[], FlaskClient], root: FlaskClient, ana: FlaskClient
) -> None:
    turn_on(root)
    turn_on(ana)
    manager = browser()
    sign_in(manager, "mia")
    for client, name in ((ana, "root"), (manager, "ana")):
        key = user_id(app, name)
        post(client, f"/users/action/reset_two_factor/{key}", "/sessions/")
    assert len(rows(app, select(TwoFactor))) == 2


def test_an_admin_does_not_reset_their_own(app: Flask, root: FlaskClient) -> None:
    turn_on(root)
    key = user_id(app, "root")
    refused = post(root, f"/users/action/reset_two_factor/{key}", "/sessions/")
    assert refused.location == "/users/list/" and "reset your own" in root.get(refused.location).text
    assert len(rows(app, select(TwoFactor))) == 1 and is_signed_in(root)


def test_a_command_resets_it(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    turn_on(ana)
    runner = app.test_cli_runner()
    done = runner.invoke(args=["user", "two-factor", "reset", "ANA"])
    assert done.exit_code == 0 and "password alone" in done.output
    assert not is_signed_in(ana) and rows(app, select(TwoFactor)) == []
    assert "has no second factor" in runner.invoke(args=["user", "two-factor", "reset", "ana"]).output
    assert runner.invoke(args=["user", "two-factor", "reset", "nobody"]).exit_code != 0
