"""The session cookie is Flask's own, signed by one signer, with the application's keys at any time."""

from __future__ import annotations

from time import time

import pytest
from flask import Flask, Response, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from app.web.security import session_cookie
from app.web.security.session_cookie import SessionCookies

VALUES = {"sid": "abc", "_permanent": True, "list": [1, "zwei"]}


def _opened(app: Flask, cookie: str) -> SecureCookieSession | None:
    headers = {"Cookie": f"crm={cookie}"} if cookie else {}
    with app.test_request_context(headers=headers) as context:
        return SessionCookies().open_session(app, context.request)


def _app(key: str, *former: str) -> Flask:
    app = Flask("cookies")
    app.config.update(SECRET_KEY=key, SECRET_KEY_FALLBACKS=list(former), SESSION_COOKIE_NAME="crm")
    return app


def _signed(interface: SecureCookieSessionInterface, app: Flask) -> str:
    signer = interface.get_signing_serializer(app)
    assert signer is not None
    return str(signer.dumps(VALUES))


def test_a_cookie_of_flask_is_read_and_the_other_way_round() -> None:
    app, theirs = _app("one"), SecureCookieSessionInterface()
    assert dict(_opened(app, _signed(theirs, app)) or {}) == VALUES
    with app.test_request_context(headers={"Cookie": f"crm={_signed(SessionCookies(), app)}"}) as context:
        assert dict(theirs.open_session(app, context.request) or {}) == VALUES


def test_a_former_key_is_accepted_and_any_other_is_not() -> None:
    cookie = _signed(SessionCookies(), _app("one"))
    assert dict(_opened(_app("two", "one"), cookie) or {}) == VALUES
    for app, sent in ((_app("two"), cookie), (_app("one"), cookie + "x"), (_app("one"), "")):
        opened = _opened(app, sent)
        assert opened is not None and not opened and not opened.modified


def test_the_signer_is_made_once_and_each_session_is_its_own() -> None:
    app, sessions = _app("one"), SessionCookies()
    assert sessions.get_signing_serializer(app) is sessions.get_signing_serializer(app)
    cookie = _signed(sessions, app)
    first, second = _opened(app, cookie), _opened(app, cookie)
    assert first is not None and second is not None
    first["list"].append(2)
    assert second["list"] == VALUES["list"]


@pytest.mark.parametrize("seconds, is_valid", [(-1, False), (0, True), (60, True), (61, False)])
def test_a_cookie_that_is_known_ends_like_any_other(
    monkeypatch: pytest.MonkeyPatch, seconds: int, is_valid: bool
) -> None:
    app, theirs, now = _app("one"), SecureCookieSessionInterface(), int(time())
    app.config["PERMANENT_SESSION_LIFETIME"] = 60
    monkeypatch.setattr("time.time", lambda: now)  # of itsdangerous
    cookie = _signed(theirs, app)
    monkeypatch.setattr(session_cookie, "time", lambda: now)
    assert dict(_opened(app, cookie) or {}) == VALUES
    monkeypatch.setattr(session_cookie, "time", lambda: now + seconds)
    monkeypatch.setattr("time.time", lambda: now + seconds)
    with app.test_request_context(headers={"Cookie": f"crm={cookie}"}) as context:
        assert dict(_opened(app, cookie) or {}) == dict(theirs.open_session(app, context.request) or {})
    assert bool(_opened(app, cookie)) is is_valid


@pytest.mark.parametrize("vary", ["", "Accept-Encoding"])
def test_a_response_says_that_it_depends_on_the_session_that_was_read(vary: str) -> None:
    app, sessions = _app("one"), SessionCookies()
    app.session_interface = sessions

    @app.route("/<what>")
    def view(what: str) -> Response:
        if what == "write":
            session["word"] = "new"
        return Response(str(what != "none" and session.get("word")), headers={"Vary": vary} if vary else {})

    client = app.test_client()
    found = {what: client.get(f"/{what}").headers for what in ("none", "read", "write", "read")}
    before = {vary} - {""}
    varies = {what: set(filter(None, headers.get("Vary", "").split(", "))) for what, headers in found.items()}
    assert varies == {"none": before, "read": before | {"Cookie"}, "write": before | {"Cookie"}}
    assert {what for what, headers in found.items() if "Set-Cookie" in headers} == {"write"}
    assert client.get("/read").text == "new"


def test_without_a_key_there_are_no_sessions() -> None:
    app = _app("one")
    app.config["SECRET_KEY"] = None
    assert SessionCookies().get_signing_serializer(app) is None and _opened(app, "") is None
