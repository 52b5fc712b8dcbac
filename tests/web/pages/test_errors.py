"""Error messages for people and programs: a sentence and a way back, never a stack trace."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort

from app.domain.base import Conflict, NotFound, RuleBroken
from tests.app_fixtures import Crm, UserClient
from tests.cases import each_case
from tests.web.invalid_input import spare_app

SECRET = "the stack knows SELECT password"
STATUSES = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503)


class Broken(Exception):
    """A bug."""


def _raising(error: BaseException) -> Callable[[], Any]:
    def view() -> Any:
        raise error

    return view


@pytest.fixture(scope="module")
def app(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """One application for all tests here: none of them writes."""
    with spare_app(settled, tmp_path_factory.mktemp("errors")) as made:
        yield made


@pytest.fixture(scope="module")
def client(app: Flask) -> UserClient:
    """Root's endpoints, with views that break in every way behind them."""
    wrong = {
        "bug": Broken(SECRET),
        "busy": Conflict("This record has changed."),
        "gone": NotFound("There is no such thing."),
        "rule": RuleBroken("A rule of the trade.", "mobile"),
    }
    for name, error in wrong.items():
        app.add_url_rule(f"/try/{name}", f"page_{name}", _raising(error))
        app.add_url_rule(f"/api/try/{name}", f"rest_{name}", _raising(error))
    app.add_url_rule("/try/status/<int:status>", "page_status", lambda status: abort(status))
    app.add_url_rule("/api/try/status/<int:status>", "rest_status", lambda status: abort(status))
    return Crm(app).client("root")


def assert_friendly(answer: Any, status: int) -> str:
    """A whole page with a title, a sentence and a way on; nothing of the inside."""
    assert answer.status_code == status and answer.mimetype == "text/html"
    html = str(answer.text)
    assert '<html lang="en"' in html and len(re.findall(r"<h1[ >]", html)) == 1
    assert re.search(r'<a class="btn btn-primary" href="/[^"]*"', html), "no way back"
    assert not re.search(r"Traceback|\bSQL\b|sqlalchemy|SELECT", html)
    return html


@each_case("status", STATUSES)
def test_every_status_has_a_page_with_a_way_back(client: UserClient, status: int) -> None:
    html = assert_friendly(client.screen(f"/try/status/{status}"), status)
    assert re.search(r"<p>[^<]{10,}[.!]</p>", html)


@each_case("status", STATUSES)
def test_every_status_is_json_on_the_api(client: UserClient, status: int) -> None:
    answer = client.rest("GET", f"/api/try/status/{status}")
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert answer.json["message"].endswith(".") and answer.json["errors"] == {}


@pytest.mark.parametrize("name, status", [("busy", 409), ("gone", 404), ("rule", 422)])
def test_what_the_trade_refuses_keeps_its_sentence(client: UserClient, name: str, status: int) -> None:
    page, told = client.screen(f"/try/{name}"), client.rest("GET", f"/api/try/{name}")
    assert told.status_code == status and told.json["message"] in assert_friendly(page, status)


def test_a_rule_names_its_field(client: UserClient) -> None:
    assert client.rest("GET", "/api/try/rule").json["errors"] == {"mobile": ["A rule of the trade."]}


def test_a_bug_shows_a_reference_and_no_stack(client: UserClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "crm.errors"):
        html = assert_friendly(client.screen("/try/bug"), 500)
    (line,) = [record for record in caplog.records if record.name == "crm.errors"]
    reference = re.search(r"Reference: (\w+)", html)
    assert reference and reference[1] in line.getMessage() and "GET /try/bug" in line.getMessage()
    assert line.exc_info and SECRET in str(line.exc_info[1])
    assert SECRET not in html and "Broken" not in html


def test_a_bug_on_the_api_shows_a_reference_and_no_stack(client: UserClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "crm.errors"):
        answer = client.rest("GET", "/api/try/bug")
    assert answer.status_code == 500 and answer.mimetype == "application/json"
    assert answer.json["reference"] in caplog.text and SECRET not in answer.text
    assert answer.json["message"].endswith(".")


def test_a_stranger_sees_a_page_too(app: Flask) -> None:
    answer = Crm(app).client(None).screen("/nowhere")
    assert_friendly(answer, 404)


def test_real_addresses(client: UserClient) -> None:
    assert_friendly(client.screen("/leads/CRM-LEAD-1999-00001"), 404)
    assert_friendly(client.screen("/healthz/nothing"), 404)
    assert_friendly(client.form("/healthz"), 405)
    assert_friendly(client.browser.post("/leads/add", data={"first_name": "Eve"}), 400)
    answer = client.rest("PATCH", "lead/1")
    assert answer.status_code == 405 and set(answer.headers["Allow"].split(", ")) >= {"GET", "PUT", "DELETE"}


def test_somebody_without_the_right(app: Flask) -> None:
    cleo = Crm(app).client("cleo")
    answer = cleo.rest("GET", "lead/")
    assert answer.status_code == 403 and answer.json["message"].endswith(".")


def test_too_much_at_once(client: UserClient) -> None:
    assert_friendly(client.form("/leads/add", {"description": "x" * 13_000_000}), 413)
    answer = client.rest("POST", "lead/", data=b"x" * 13_000_000, content_type="application/json")
    assert answer.status_code == 413 and answer.json["message"].endswith(".")


def test_too_many_tries(app: Flask) -> None:
    stranger = Crm(app).client(None)
    sent = {"username": "ana", "password": "wrong"}
    pages = [stranger.form("/login/", sent) for _turn in range(25)]
    assert pages[-1].status_code == 429 and int(pages[-1].headers["Retry-After"]) > 0
    assert len(re.findall(r"<h1[ >]", pages[-1].text)) == 1
    answers = [stranger.rest("POST", "security/login", json={**sent, "provider": "db"}) for _turn in range(25)]
    assert answers[-1].status_code == 429 and answers[-1].json["message"].endswith(".")


def test_a_refused_htmx_request_is_answered_with_the_page_of_its_status(client: UserClient) -> None:
    for path in ("/leads/show/987654", "/leads/CRM-LEAD-2020-99999"):
        answer = client.screen(path, headers={"HX-Request": "true"})
        assert answer.status_code == 404 and "X-Sentence" in answer.headers
        assert "Page not found" in answer.text and "understand this request" not in answer.text, path
