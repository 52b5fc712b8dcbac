"""An error tracker with Sentry's protocol gets type and location of each error, and no user input."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import text

from app.extensions import db
from app.ops.monitoring import error_reports, error_tracker_client
from app.ops.monitoring.error_reports import ErrorReports
from app.ops.monitoring.error_tracker_client import ErrorTracker, TrackerAddress
from tests.app_fixtures import Crm
from tests.servers import eventually

MOBILE, NAME = "9825011223", "Asha Mehta"


@dataclass
class TrackerDouble:
    """What a tracker took, and how it answers."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: (path, headers, body) of each request.
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"http://publickey@127.0.0.1:{self.port}/folder/42"

    def events(self) -> list[dict[str, Any]]:
        """The events, after the checks that a tracker makes of an envelope."""
        found = []
        for _path, _headers, body in self.taken:
            head, item, rest = body.split(b"\n", 2)
            length = json.loads(item)["length"]
            assert json.loads(item)["type"] == "event" and rest[length:] == b"\n"
            event = json.loads(rest[:length])
            assert json.loads(head)["event_id"] == event["event_id"] and len(event["event_id"]) == 32
            found.append(event)
        return found


@pytest.fixture
def tracker() -> Iterator[TrackerDouble]:
    double = TrackerDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            double.taken.append((self.path, dict(self.headers), body))
            self.send_response(double.status)
            for name, value in double.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield double
        server.shutdown()
        error_reports.install(None, "")


def handler() -> ErrorReports:
    """The one that reports in this process."""
    (found,) = [each for each in logging.getLogger().handlers if isinstance(each, ErrorReports)]
    return found


def test_a_bug_is_reported_by_kind_place_and_route_only(
    crm: Crm, tracker: TrackerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_reports.install(tracker.dsn, "crm1") and error_reports.install(tracker.dsn, "crm1")
    typed = {"mobile": MOBILE, "name": NAME}

    def broken(**_values: Any) -> Any:
        secret = f"{NAME} {MOBILE}"
        try:
            db.session.execute(text("SELECT :name, :mobile FROM nowhere"), typed)
        except Exception as error:
            raise ValueError(secret) from error

    with crm.app.test_request_context(f"/api/v1/lead/{MOBILE}", method="PUT") as context:
        endpoint = str(context.request.endpoint)
    monkeypatch.setitem(crm.app.view_functions, endpoint, broken)
    headers = {"X-Person": NAME, "Cookie": f"x={MOBILE}"}
    answer = crm.client("root").rest("PUT", f"/api/v1/lead/{MOBILE}?q={NAME}", typed, headers=headers)
    assert answer.status_code == 500
    handler().tracker.flush(30)
    (event,) = tracker.events()
    path, sent, body = tracker.taken[0]
    assert not any(word in body.decode() + str(sent) for word in (MOBILE, NAME, "Asha", "SELECT", str(os.getcwd())))
    assert path == "/folder/api/42/envelope/" and "sentry_key=publickey" in sent["X-Sentry-Auth"]
    driver, first, last = event["exception"]["values"]
    assert [each["type"] for each in (driver, first, last)] == ["OperationalError", "OperationalError", "ValueError"]
    assert set(last) == {"type", "module", "stacktrace"}
    place = last["stacktrace"]["frames"][-1]
    assert place["function"] == "broken" and place["filename"] == "tests/ops/test_error_reports.py"
    assert set(place) == {"filename", "function", "module", "lineno", "in_app"} and place["in_app"]
    assert event["transaction"] == "PUT /api/v1/lead/<int:pk>"
    assert event["tags"]["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("sent", "is_reported"),
    [(f"call-{MOBILE}-AshaMehta", False), ("5b5bd6ba-2b3f-4c5e-8d0a-0123456789ab", True), ("ab" * 16, True)],
)
def test_an_id_that_a_client_chose_by_what_it_is_about_stays_here(crm: Crm, sent: str, is_reported: bool) -> None:
    record = logging.LogRecord("crm.x", logging.ERROR, "x.py", 1, "broken", (), None)
    with crm.app.test_request_context("/", headers={"X-Request-ID": sent}):
        crm.app.preprocess_request()
        event = error_reports.event_of(record, "crm1")
    assert event["tags"]["request_id"] == (sent if is_reported else "")


def test_places_name_no_folder_of_the_server(crm: Crm) -> None:
    with crm.app.test_request_context("/"), pytest.raises(ValueError) as raised:
        crm.app.jinja_env.get_template("shell/sidebar.html").render(
            app_name="CRM", brand={}, menu=(json.loads("{") for _ in range(1))
        )
    error = raised.value
    record = logging.LogRecord(
        "crm.x", logging.ERROR, "x.py", 1, "broken", (), (type(error), error, error.__traceback__)
    )
    places = error_reports.event_of(record, "crm1")["exception"]["values"][0]["stacktrace"]["frames"]
    names = {place["filename"] for place in places} | {place["module"] for place in places}
    assert {"app/templates/shell/sidebar.html", "json/decoder.py"} <= names
    assert not any(name.startswith("/") or error_reports._ROOT[1:] in name for name in names)
    assert error_reports._short("/home/asha/addons/branches.py") == "branches.py"


def test_the_same_error_is_reported_once_a_minute_and_a_message_without_its_values(tracker: TrackerDouble) -> None:
    error_reports.install(tracker.dsn, "crm1")
    for _ in range(5):
        logging.getLogger("crm.queue").error("call %s failed", MOBILE)
    logging.getLogger("crm.queue").warning("no error")
    logging.getLogger("other").error(f"of a library: {MOBILE}")
    handler().tracker.flush(30)
    ours, other = tracker.events()
    assert ours["logentry"]["message"] == "call %s failed" and "exception" not in ours
    assert other["logentry"]["message"].startswith("tests/ops/test_error_reports.py:")


def test_none_is_reported_unless_an_address_is_given(tracker: TrackerDouble) -> None:
    assert not error_reports.install(None, "crm1")
    logging.getLogger("crm.queue").error("unreported")
    assert tracker.taken == []


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, error_tracker_client.PAUSE_SECONDS)]
)
def test_a_tracker_that_refuses_is_left_alone_for_a_while(
    tracker: TrackerDouble, headers: dict[str, str], seconds: float
) -> None:
    tracker.status, tracker.headers = 429, headers
    sender = ErrorTracker(TrackerAddress.of(tracker.dsn))
    for _ in range(3):
        sender.send({"event_id": error_tracker_client.new_event_id()})
    sender.flush(30)
    assert len(tracker.taken) == 1
    assert 0 < sender._silent_until - time.monotonic() <= seconds


def test_who_reports_never_waits_and_what_is_too_much_is_dropped() -> None:
    sender = ErrorTracker(TrackerAddress.of("https://key@tracker.invalid/1"))
    began = time.monotonic()
    for _ in range(10 * error_tracker_client.MAX_WAITING):
        sender.send({"event_id": "0" * 32})
    assert time.monotonic() - began < 5 and sender._waiting.qsize() <= error_tracker_client.MAX_WAITING


def test_a_forked_process_reports_too(tracker: TrackerDouble) -> None:
    sender = ErrorTracker(TrackerAddress.of(tracker.dsn))
    sender.send({"event_id": error_tracker_client.new_event_id()})
    sender.flush(30)
    pid = os.fork()
    if pid == 0:
        try:
            sender.send({"event_id": error_tracker_client.new_event_id()})
            sender.flush(30)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    eventually(lambda: len(tracker.taken) == 2, "the child reported nothing")


@pytest.mark.parametrize("dsn", ["https://host/1", "https://key@host", "ftp://key@host/1", "key@host", ""])
def test_what_is_no_dsn_is_refused(dsn: str) -> None:
    with pytest.raises(ValueError, match="not a DSN"):
        TrackerAddress.of(dsn)


def test_the_default_port_is_that_of_the_scheme() -> None:
    assert TrackerAddress.of("https://k@errors.example/7") == ("https", "errors.example", 443, "/api/7/envelope/", "k")
