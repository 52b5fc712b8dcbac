"""What the CRM's application does for each request is what Flask does, with fewer calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from app.web.core.application import Answer, Application

KINDS = (Application, Flask)


def _made(kind: type[Flask], calls: list[str]) -> FlaskClient:
    """A client of an application with hooks of its own and of two nested blueprints."""
    app = kind("made-for-a-test")
    app.secret_key = "x" * 40
    outer, inner = flask.Blueprint("outer", __name__), flask.Blueprint("inner", __name__)
    for name, owner in (("app", app), ("outer", outer), ("inner", inner)):
        for number in "12":
            owner.before_request(lambda place=f"before {name} {number}": calls.append(place))
            owner.after_request(lambda response, place=f"after {name} {number}": (calls.append(place), response)[1])
        owner.url_value_preprocessor(lambda endpoint, values, place=name: calls.append(f"{place} {endpoint} {values}"))

    @inner.before_request
    def stop() -> str | None:
        return "stopped" if flask.request.args.get("stop") else None

    @inner.get("/page/<int:number>")
    def page(number: int) -> str:
        calls.append(f"page {number}")
        flask.after_this_request(lambda response: (calls.append("after this one"), response)[1])
        flask.session["number"] = number
        return "page"

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    return app.test_client()


@pytest.mark.parametrize("path", ["/page/3", "/page/3?stop=1", "/nowhere"])
def test_hooks_are_called_in_the_order_of_flask(path: str) -> None:
    made = []
    for kind in KINDS:
        calls: list[str] = []
        answer = _made(kind, calls).get(path)
        made.append((calls, answer.status_code, answer.text, answer.headers.get("Set-Cookie", "").partition("=")[0]))
    assert made[0] == made[1] and made[0][0]


def _pieces() -> Iterator[bytes]:
    yield b"text"


ANSWERS: dict[str, dict[str, Any]] = {
    "usual": {"response": "text"},
    "empty": {"response": ""},
    "in pieces": {"response": _pieces},
    "a length of its own": {"response": _pieces, "headers": {"Content-Length": "4"}},
    "no content": {"response": "", "status": 204},
    "not modified": {"response": "text", "status": 304, "headers": {"ETag": '"x"'}},
    "informational": {"response": "", "status": 101},
    "elsewhere": {"response": "text", "status": 302, "headers": {"Location": "/é?a b"}},
    "created": {"response": "text", "status": 201, "headers": {"content-location": "/é"}},
    "refused": {"response": "text", "status": 404, "headers": {"Vary": "Cookie"}},
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("given", ANSWERS.values(), ids=ANSWERS)
def test_a_response_is_sent_as_by_flask(given: dict[str, Any], method: str) -> None:
    made = []
    for kind in (Answer, flask.Response):
        content = given["response"]
        answer = kind(**given | {"response": content() if callable(content) else content})
        pieces, status, headers = answer.get_wsgi_response(EnvironBuilder(method=method).get_environ())
        made.append((b"".join(pieces), status, headers))
    assert made[0] == made[1]


HOSTS = (
    "localhost",
    "127.0.0.1:8000",
    "CRM.Example.org:443",
    "bücher.example",
    "[::1]:80",
    "x" * 64 + ".in",
    "a..b",
    "",
)
REQUESTS: tuple[dict[str, Any], ...] = (
    {"path": "/page/3", "query_string": "q=é&n=1"},
    {"path": "/ગુજરાતી/a b//c", "method": "POST"},
    {"path": "/", "base_url": "https://localhost/crm/"},
    {"path": "/page/3", "environ_overrides": {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}},
)


def _adapter(kind: type[Flask], environ: dict[str, Any], config: dict[str, Any]) -> Any:
    """What finds the view of a request, or the error of its host."""
    app = kind("made-for-a-test")
    app.config.update(config)
    asked = app.request_class(environ)
    try:
        made = app.create_url_adapter(asked)
    except HTTPException as refused:
        return type(refused)
    return asked.host, {name: value for name, value in vars(made).items() if name != "map"}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("config", [{}, {"SERVER_NAME": "localhost"}, {"TRUSTED_HOSTS": ["localhost"]}])
def test_the_view_of_a_request_is_found_as_by_flask(host: str, config: dict[str, Any]) -> None:
    for each in REQUESTS:
        environ = EnvironBuilder(**each).get_environ() | {"HTTP_HOST": host}
        ours, theirs = (_adapter(kind, dict(environ), config) for kind in KINDS)
        assert ours == theirs == _adapter(Application, dict(environ), config)


def test_a_session_lasts_as_long_as_its_application_context(app: Flask) -> None:
    from app.extensions import db

    with app.app_context():
        one = db.session()
        assert db.session() is one
        with app.app_context():
            assert db.session() is not one
        assert db.session() is one
    with pytest.raises(RuntimeError, match="application context"):
        db.session()
    with app.app_context():
        assert db.session() is not one
