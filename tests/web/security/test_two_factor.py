"""Two-factor sign-in on pages: turning it on and off, the second step of the sign-in, recovery codes, remembering."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from app import notice_links, notice_texts
from app.models import AuditEntry, Notification, PendingSignIn, RecoveryCode, RememberedBrowser, SignIn, TwoFactor
from app.web.core.request_transaction import request_transaction
from app.web.security import login_throttle
from tests.web.security_app import (  # noqa: F401  (fixtures)
    NEW_PASSWORD,
    PASSWORD,
    ana,
    app,
    browser,
    change,
    count_sign_ins,
    is_signed_in,
    migrated,
    move_clock,
    post,
    root,
    rows,
    sign_in,
)
from tests.web.two_factor_steps import PAGE, code, offered, send_code, told, turn_on, unlock_step


def audited(app: Flask) -> list[str]:
    query = select(AuditEntry.payload).where(AuditEntry.event == "two-factor").order_by(AuditEntry.id)
    return [payload["what"] for (payload,) in rows(app, query)]


# --- turning it on


def test_turning_it_on_shows_ten_recovery_codes_once_and_ends_other_sessions(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    other = browser()
    sign_in(other, "ana")
    with ana.session_transaction() as before:
        first = before["sid"]
    page = ana.get(PAGE)
    assert "<svg" in page.text and "otpauth://totp/" in page.text and page.headers["Cache-Control"] == "no-store"
    key, codes = turn_on(ana)
    assert len(set(codes)) == 10
    with ana.session_transaction() as after:
        assert after["sid"] != first
    assert is_signed_in(ana) and not is_signed_in(other) and count_sign_ins(app, "ana") == 1
    again = ana.get(PAGE).text
    assert key not in again and not any(each in again for each in codes)
    assert audited(app) == ["turned on"] and told(app, "ana") == ["turned on"]


def test_the_page_of_the_recovery_codes_belongs_to_the_new_session(ana: FlaskClient) -> None:
    offer, key = offered(ana)
    sent = {"offer": offer, "code": code(key), "current_password": PASSWORD, "form": "on"}
    page = post(ana, "/two-factor/on", PAGE, **sent).text
    [token] = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page)[:1]
    assert ana.post("/logout/", data={"csrf_token": token}).status_code == 302
    assert not is_signed_in(ana)


def test_neither_the_key_nor_a_code_is_stored_or_audited_in_the_clear(app: Flask, ana: FlaskClient) -> None:
    key, codes = turn_on(ana)
    stored = str(rows(app, select(TwoFactor.key_sealed)) + rows(app, select(RecoveryCode.code_hash)))
    stored += str(rows(app, select(AuditEntry.payload)))
    assert key not in stored and not any(each in stored or each.replace("-", "") in stored for each in codes)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"code": "000000x"}, "This code doesn&#39;t fit"),
        ({"code": ""}, "This code doesn&#39;t fit"),
        ({"current_password": "wrong"}, "This isn&#39;t your current password"),
        ({"offer": "v1:forged"}, "This key is too old"),
        ({"offer": ""}, "This key is too old"),
    ],
)
def test_a_refused_form_keeps_its_key(app: Flask, ana: FlaskClient, fields: dict[str, str], sentence: str) -> None:
    offer, key = offered(ana)
    sent = {"offer": offer, "code": code(key), "current_password": PASSWORD, "form": "on"} | fields
    response = post(ana, "/two-factor/on", PAGE, **sent)
    assert response.status_code == 422 and sentence in response.text
    assert ("offer" in fields) != (key in response.text)
    assert rows(app, select(TwoFactor)) == []


def test_the_key_of_somebody_else_cannot_be_planted(app: Flask, ana: FlaskClient, root: FlaskClient) -> None:
    offer, key = offered(root)
    sent = {"offer": offer, "code": code(key), "current_password": PASSWORD, "form": "on"}
    assert post(ana, "/two-factor/on", PAGE, **sent).status_code == 422
    assert rows(app, select(TwoFactor)) == []


@pytest.mark.parametrize("path", ["on", "off", "codes", "forget"])
def test_every_change_needs_the_csrf_token(app: Flask, ana: FlaskClient, path: str) -> None:
    turn_on(ana)
    before = rows(app, select(TwoFactor.last_step, TwoFactor.key_sealed))
    assert ana.post(f"/two-factor/{path}", data={"current_password": PASSWORD}).status_code == 400
    assert rows(app, select(TwoFactor.last_step, TwoFactor.key_sealed)) == before


# --- signing in


def test_after_the_password_the_code_is_asked_for(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, _codes = turn_on(ana)
    client = browser()
    response = sign_in(client, "ana", query="?next=/keys/")
    assert response.location == "/login/code/?next=/keys/"
    assert not is_signed_in(client)
    page = client.get(response.location).text
    assert 'autocomplete="one-time-code"' in page and 'inputmode="numeric"' in page
    assert send_code(client, code(key), "?next=/keys/").location == "/keys/"
    assert is_signed_in(client)


def test_without_a_begun_sign_in_the_page_leads_to_the_password(browser: Callable[[], FlaskClient]) -> None:
    assert browser().get("/login/code/").location.startswith("/login/")


@pytest.mark.parametrize("target", ["//evil.test/", "https://evil.test/", "/\\evil.test"])
def test_the_way_on_stays_on_this_site(browser: Callable[[], FlaskClient], ana: FlaskClient, target: str) -> None:
    key, _codes = turn_on(ana)
    client = browser()
    assert "evil" not in sign_in(client, "ana", query=f"?next={target}").location
    assert "evil" not in client.get(f"/login/code/?next={target}").text
    assert send_code(client, code(key), f"?next={target}").location == "/"


def test_both_steps_start_a_new_session(browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    key, _codes = turn_on(ana)
    client = browser()
    with client.session_transaction() as before:
        before["sid"], before["begun"], before["planted"] = "chosen", "by an attacker", "yes"
    sign_in(client, "ana")
    with client.session_transaction() as between:
        assert "sid" not in between and between["begun"] != "by an attacker" and "planted" not in between
        begun = between["begun"]
    send_code(client, code(key))
    with client.session_transaction() as after:
        assert "begun" not in after and after["sid"] not in ("chosen", begun)


@pytest.mark.parametrize("back", [timedelta(minutes=5, seconds=1), -timedelta(minutes=3)])
def test_the_begun_sign_in_ends_after_five_minutes(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, back: timedelta
) -> None:
    turn_on(ana)
    client = browser()
    sign_in(client, "ana")
    move_clock(app, PendingSignIn.started_on, back)
    assert client.get("/login/code/").location.startswith("/login/")
    assert not is_signed_in(client)


@pytest.mark.parametrize("values", [{"active": False}, {"password": "pbkdf2:sha256:1$a$b"}])
def test_a_begun_sign_in_ends_with_the_account_and_its_password(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, values: dict[str, Any]
) -> None:
    turn_on(ana)
    client = browser()
    sign_in(client, "ana")
    change(app, "ana", **values)
    assert client.get("/login/code/").location.startswith("/login/")


@pytest.mark.parametrize(
    "path", ["/", "/leads/", "/sessions/", "/keys/", "/two-factor/", "/me/", "/settings/", "/users/userinfo/"]
)
def test_a_begun_sign_in_opens_no_page(browser: Callable[[], FlaskClient], ana: FlaskClient, path: str) -> None:
    turn_on(ana)
    client = browser()
    sign_in(client, "ana")
    response = client.get(path)
    assert response.status_code in (302, 401, 403) and "/login/" in response.headers.get("Location", "/login/")


@pytest.mark.parametrize("path", ["/api/v1/lead/", "/api/v1/menu/", "/api/method/frappe.auth.get_logged_user"])
def test_a_begun_sign_in_opens_no_api(browser: Callable[[], FlaskClient], ana: FlaskClient, path: str) -> None:
    turn_on(ana)
    client = browser()
    sign_in(client, "ana")
    assert client.get(path).status_code in (401, 403)
    assert client.get("/offline/state").json == {"user": None, "token": None}


def test_a_code_works_once(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    key, _codes = turn_on(ana)
    now, before = code(key), code(key, -1)
    assert send_code(_begun(browser), now).status_code == 302
    assert send_code(_begun(browser), now).status_code == 401
    assert send_code(_begun(browser), before).status_code == 401  # nor one of before
    assert send_code(_begun(browser), code(key, 1)).status_code == 302  # a clock that is ahead


def _begun(browser: Callable[[], FlaskClient]) -> FlaskClient:
    client = browser()
    assert "/login/code/" in sign_in(client, "ana").location
    return client


@pytest.mark.parametrize("typed", ["", "000", "x" * 60, "\0", "' OR 1=1", "١٢٣٤٥٦", "🙂" * 20, "y" * 100_000])
def test_what_is_no_code_is_refused(browser: Callable[[], FlaskClient], ana: FlaskClient, typed: str) -> None:
    turn_on(ana)
    client = _begun(browser)
    response = send_code(client, typed)
    assert response.status_code == 401 and "wrong or was used" in response.text
    assert not is_signed_in(client)


def test_codes_cannot_be_guessed_not_even_from_new_sessions(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, codes = turn_on(ana)
    for _number in range(login_throttle.FREE_ATTEMPTS):
        assert send_code(_begun(browser), "000000").status_code == 401
    client = _begun(browser)
    assert send_code(client, "000000").status_code == 429
    refused = send_code(client, code(key))
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0
    assert send_code(client, codes[0]).status_code == 429
    assert not is_signed_in(client)
    assert audited(app).count("wrong code") == login_throttle.FREE_ATTEMPTS


def test_a_right_password_grants_no_further_codes(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    turn_on(ana)
    answers = [send_code(_begun(browser), "000000").status_code for _number in range(8)]
    assert answers == [401] * 5 + [429] * 3


# --- recovery codes


def test_a_recovery_code_works_once_and_is_told(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    _key, codes = turn_on(ana)
    client = _begun(browser)
    assert 'inputmode="numeric"' not in client.get("/login/code/?recovery=1").text
    assert send_code(client, f" {codes[3].upper().replace('-', ' ')} ", "?recovery=1").status_code == 302
    assert is_signed_in(client)
    assert send_code(_begun(browser), codes[3]).status_code == 401
    assert "This recovery code is wrong" in send_code(_begun(browser), codes[3], "?recovery=1").text
    assert audited(app) == ["turned on", "recovery code used", "wrong code", "wrong code"]
    assert told(app, "ana") == ["turned on", "recovery code used"]
    assert re.findall(r"Recovery codes left</dt><dd>(\d+)", client.get(PAGE).text) == ["9"]


def test_new_recovery_codes_end_the_former_ones(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, codes = turn_on(ana)
    form = {"current_password": PASSWORD, "form": "codes"}
    assert post(ana, "/two-factor/codes", PAGE, code="000000", **form).status_code == 422
    assert post(ana, "/two-factor/codes", PAGE, code=code(key), **form | {"current_password": "no"}).status_code == 422
    made = re.findall(r"<li><code>([^<]+)</code>", post(ana, "/two-factor/codes", PAGE, code=code(key), **form).text)
    assert len(made) == 10 and not set(made) & set(codes)
    assert send_code(_begun(browser), codes[0]).status_code == 401
    assert send_code(_begun(browser), made[0]).status_code == 302
    assert told(app, "ana") == ["turned on", "new recovery codes", "recovery code used"]


@pytest.mark.parametrize(
    "payload, words",
    [
        ({"what": "turned on"}, "was turned on"),
        ({"what": "turned off"}, "was turned off"),
        ({"what": "reset"}, "An admin has reset"),
        ({"what": "new recovery codes"}, "new recovery codes"),
        ({"what": "recovery code used", "left": 1}, "1 is left"),
        ({"what": "recovery code used", "left": 0}, "0 are left"),
    ],
)
def test_what_the_person_is_told(app: Flask, payload: dict[str, Any], words: str) -> None:
    with app.test_request_context():
        notice = Notification(kind="security", payload=payload)
        assert words in notice_texts.text_of(notice) and notice_links.link_of(notice, {}) == PAGE


# --- turning it off


def test_turning_it_off_needs_password_and_code(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, _codes = turn_on(ana)
    form = {"current_password": PASSWORD, "code": code(key), "form": "off"}
    for wrong in ({"current_password": "wrong"}, {"code": "000000"}, {"code": ""}):
        assert post(ana, "/two-factor/off", PAGE, **form | wrong).status_code == 422
    assert len(rows(app, select(TwoFactor))) == 1
    assert post(ana, "/two-factor/off", PAGE, **form).status_code == 302
    for table in (TwoFactor, RecoveryCode, RememberedBrowser):
        assert rows(app, select(table)) == []
    assert is_signed_in(ana)
    assert "/login/code/" not in sign_in(browser(), "ana").location
    assert told(app, "ana")[-1] == "turned off"


@pytest.mark.parametrize("path", ["/two-factor/codes", "/two-factor/off"])
def test_while_it_is_off_there_are_no_codes_to_make(app: Flask, ana: FlaskClient, path: str) -> None:
    assert post(ana, path, PAGE, current_password=PASSWORD, code="000000").location == PAGE
    assert rows(app, select(RecoveryCode)) == [] and told(app, "ana") == []


def test_a_new_password_keeps_the_factor(app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient) -> None:
    turn_on(ana)
    fields = {"current_password": PASSWORD, "password": NEW_PASSWORD, "conf_password": NEW_PASSWORD}
    post(ana, "/resetmypassword/form", "/resetmypassword/form", **fields)
    assert "/login/code/" in sign_in(browser(), "ana", NEW_PASSWORD).location


def test_who_has_no_recovery_codes_left_is_told_at_the_sign_in(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, _codes = turn_on(ana)
    sentence = "You have no recovery codes left"
    client = _begun(browser)
    send_code(client, code(key))
    assert sentence not in client.get("/", follow_redirects=True).text
    with app.app_context(), request_transaction() as session:
        session.execute(delete(RecoveryCode))
    unlock_step(app)
    client = _begun(browser)
    send_code(client, code(key))
    assert sentence in client.get("/", follow_redirects=True).text


# --- remembered browsers


def _remembered(app: Flask, browser: Callable[[], FlaskClient], key: str) -> FlaskClient:
    client = _begun(browser)
    assert send_code(client, code(key), remember="1").status_code == 302
    post(client, "/logout/", "/sessions/")
    return client


def test_a_remembered_browser_asks_for_the_password_only(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    key, _codes = turn_on(ana)
    client = _remembered(app, browser, key)
    cookie = client.get_cookie("crm_browser", path="/login/")
    assert cookie is not None and cookie.http_only and cookie.same_site == "Lax" and cookie.max_age == 30 * 86_400
    assert cookie.value not in str(rows(app, select(RememberedBrowser.token_hash)))
    assert "/login/code/" not in sign_in(client, "ana").location
    assert "/login/code/" in sign_in(browser(), "ana").location
    assert "Remembered browsers</dt><dd>1" in client.get(PAGE).text


def test_it_is_remembered_for_its_user_only(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, root: FlaskClient
) -> None:
    key, _codes = turn_on(ana)
    turn_on(root)
    assert "/login/code/" in sign_in(_remembered(app, browser, key), "root").location


@pytest.mark.parametrize("back", [timedelta(days=30, seconds=1), -timedelta(minutes=3)])
def test_it_is_forgotten_after_thirty_days_and_by_a_clock_that_was_set_back(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, back: timedelta
) -> None:
    key, _codes = turn_on(ana)
    client = _remembered(app, browser, key)
    move_clock(app, RememberedBrowser.started_on, back)
    assert "/login/code/" in sign_in(client, "ana").location


@pytest.mark.parametrize("how", ["password", "sessions", "one session", "forget", "deactivated"])
def test_a_remembered_browser_is_forgotten(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient, how: str
) -> None:
    key, _codes = turn_on(ana)
    client = _remembered(app, browser, key)
    if how == "password":
        fields = {"current_password": PASSWORD, "password": NEW_PASSWORD, "conf_password": NEW_PASSWORD}
        post(ana, "/resetmypassword/form", "/resetmypassword/form", **fields)
    elif how == "sessions":
        post(ana, "/sessions/end-others", "/sessions/")
    elif how == "one session":
        ((key_of_one,),) = rows(app, select(SignIn.id).where(SignIn.ended_on.is_(None)))
        post(ana, f"/sessions/{key_of_one}/end", "/sessions/")
    elif how == "forget":
        post(ana, "/two-factor/forget", PAGE)
    else:
        change(app, "ana", active=False)
        change(app, "ana", active=True)
    assert rows(app, select(RememberedBrowser)) == []
    password = NEW_PASSWORD if how == "password" else PASSWORD
    assert "/login/code/" in sign_in(client, "ana", password).location


def test_a_forged_cookie_is_no_remembered_browser(
    app: Flask, browser: Callable[[], FlaskClient], ana: FlaskClient
) -> None:
    turn_on(ana)
    client = browser()
    client.set_cookie("crm_browser", "x" * 43, path="/login/")
    assert "/login/code/" in sign_in(client, "ana").location
