"""Public clients of the predecessor's API with the running product: JavaScript, Python, and the phone app."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests import forked_programs
from tests.servers import LiveServer

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("public_client.cjs")


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of this file's own: its clients count what they find."""
    with LiveServer(tmp_path_factory.mktemp("public-clients")) as server:
        yield server


@pytest.fixture(scope="module")
def session(live_server: LiveServer) -> Iterator[requests.Session]:
    """The admin, signed in by the form of the predecessor's clients."""
    with requests.Session() as session:
        session.headers["Accept"] = "application/json"
        credentials = {"cmd": "login", "usr": live_server.ADMIN[0], "pwd": live_server.ADMIN[1]}
        assert session.post(live_server.url, data=credentials).json()["message"] == "Logged In"
        yield session


@pytest.fixture(scope="module")
def key(live_server: LiveServer) -> str:
    """An API key of the admin, as "key:secret"."""
    command = ("-m", "flask", "--app", "run", "api-key", "create", "--user", "admin", "--name", "old clients")
    done = forked_programs.run(command, live_server.environment())
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace('"', " ").replace(",", " ").split()
    return next(word for word in words if ":" in word and len(word) > 20).removeprefix("token ")


# --- JavaScript: frappe-js-sdk


@pytest.fixture(scope="module")
def answers(live_server: LiveServer, key: str) -> Any:
    """Name of a call -> what frappe-js-sdk answered."""
    command = ["node", SCRIPT, live_server.url, key, *live_server.ADMIN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_javascript_client_reads_and_writes(answers: Any) -> None:
    me = answers["loggedUser"]
    assert answers["created"]["lead_owner"] == me
    assert answers["read"]["name"] == answers["created"]["name"]
    assert [each["lead_name"] for each in answers["list"]] == ["Leela", "Kavita"]
    assert answers["asList"] == [["Leela"]]
    assert answers["grouped"] == [{"status": "New", "total": 2}]
    assert (answers["count"], answers["last"]["first_name"]) == (1, "Leela")
    assert (answers["updated"]["description"], answers["value"]["message"]) == ("Called", {"description": "Twice"})
    assert answers["set"]["message"]["description"] == "Twice"
    assert answers["single"]["message"] == "Asia/Kolkata"
    assert me in [each["name"] for each in answers["users"]]
    assert answers["deleted"] == {"message": "ok"}
    assert "is_open" in answers["called"]["message"]
    assert answers["posted"]["message"] == {"has_permission": True}
    assert answers["signedIn"]["message"] == "Logged In"


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("stale", 409, "TimestampMismatchError"),
        ("renamed", 417, "ValidationError"),
        ("submitted", 417, "ValidationError"),
        ("unknown", 404, "DoesNotExistError"),
        ("wrongPassword", 401, "AuthenticationError"),
        ("wrongKey", 401, "AuthenticationError"),
        ("guest", 401, "AuthenticationError"),
    ],
)
def test_the_javascript_client_learns_why_it_is_refused(answers: Any, name: str, status: int, kind: str) -> None:
    refusal = answers[name]
    assert (refusal["refused"], refusal["type"]) == (status, kind)
    assert kind in refusal["exception"] and len(refusal["exception"]) > 40


# --- Python: a client of our own words that sends what frappe-client documents


class Refused(Exception):
    """The server answered with `exc`, as the Python clients look for it."""


class FrappeClient:
    """The requests of the public Python clients: forms with JSON inside, `cmd` at the root, documents in "data"."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self.session, self.url = session, url

    def _result(self, response: requests.Response) -> Any:
        body = response.json()
        if body.get("exc"):
            raise Refused(json.loads(body["exc"])[0])
        return body["message"] if "message" in body else body.get("data")

    def get_list(self, doctype: str, fields: Any = '"*"', filters: Any = None, **page: Any) -> Any:
        params = {"fields": fields if isinstance(fields, str) else json.dumps(fields), **page}
        params |= {"filters": json.dumps(filters)} if filters else {}
        return self._result(self.session.get(f"{self.url}/api/resource/{doctype}", params=params))

    def get_doc(self, doctype: str, name: str) -> Any:
        return self._result(self.session.get(f"{self.url}/api/resource/{doctype}/{name}"))

    def insert(self, doc: dict[str, Any]) -> Any:
        address = f"{self.url}/api/resource/{quote(doc['doctype'])}"
        return self._result(self.session.post(address, data={"data": json.dumps(doc)}))

    def update(self, doc: dict[str, Any]) -> Any:
        address = f"{self.url}/api/resource/{quote(doc['doctype'])}/{quote(doc['name'])}"
        return self._result(self.session.put(address, data={"data": json.dumps(doc)}))

    def command(self, cmd: str, verb: str = "POST", **sent: Any) -> Any:
        values = {name: json.dumps(each) if isinstance(each, dict | list) else each for name, each in sent.items()}
        where = "params" if verb == "GET" else "data"
        return self._result(self.session.request(verb, self.url, **{where: {"cmd": cmd} | values}))


@pytest.fixture
def client(session: requests.Session, live_server: LiveServer) -> FrappeClient:
    return FrappeClient(session, live_server.url)


def test_the_python_client_reads_and_writes(client: FrappeClient) -> None:
    lead = client.insert({"doctype": "CRM Lead", "first_name": "Manu", "mobile_no": "9820046001"})
    assert client.get_doc("CRM Lead", lead["name"])["first_name"] == "Manu"
    assert client.get_list("CRM Lead", filters={"name": lead["name"]})[0]["mobile_no"] == "+919820046001"
    page = {"limit_start": 0, "limit_page_length": 5, "order_by": "modified desc"}
    assert client.get_list("CRM Lead", ["name"], {"first_name": "Manu"}, **page) == [{"name": lead["name"]}]
    changed = client.update(lead | {"description": "By update"})
    assert changed["description"] == "By update"
    with pytest.raises(Refused, match="TimestampMismatchError"):
        client.update(lead | {"description": "Stale"})
    names = client.command(
        "frappe.client.insert_many", docs=[{"doctype": "CRM Lead", "first_name": "Nina", "mobile_no": "9820046002"}]
    )
    docs = [{"doctype": "CRM Lead", "docname": names[0], "description": "In bulk"}]
    assert client.command("frappe.client.bulk_update", docs=docs) == {"failed_docs": []}
    where = {"doctype": "CRM Lead", "filters": {"name": names[0]}, "fieldname": "description"}
    assert client.command("frappe.client.get_value", "GET", **where) == {"description": "In bulk"}
    change = {"doctype": "CRM Lead", "name": names[0], "fieldname": "description", "value": "Set"}
    assert client.command("frappe.client.set_value", **change)["description"] == "Set"
    with pytest.raises(Refused, match="number"):
        client.command("frappe.client.rename_doc", doctype="CRM Lead", old_name=names[0], new_name="X")
    assert client.command("frappe.client.delete", doctype="CRM Lead", name=names[0]) is None
    with pytest.raises(Refused, match="DoesNotExistError"):
        client.get_doc("CRM Lead", names[0])


# --- the Flutter app: its exact requests

APP_HEADERS = {
    "Accept": "application/json, text/plain, */*",
    "X-Requested-With": "XMLHttpRequest",
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) Mobile Safari EshinApp/1.0",
}


class FlutterApp:
    """Signs in by form, keeps the sid from Set-Cookie, and takes any answer below 500 with a message for success."""

    def __init__(self, url: str) -> None:
        self.url, self.sid = url, ""

    def login(self, user: str, password: str) -> requests.Response:
        headers = APP_HEADERS | {"Accept-Encoding": "identity", "Referer": self.url}
        answer = requests.post(
            f"{self.url}/api/method/login",
            data={"usr": user, "pwd": password},
            headers=headers,
            allow_redirects=False,
            timeout=60,
        )
        cookies = answer.headers.get("Set-Cookie", "")
        self.sid = cookies.partition("sid=")[2].partition(";")[0]
        return answer

    def headers(self) -> dict[str, str]:
        return APP_HEADERS | {"Referer": self.url, "Cookie": f"sid={self.sid}"}

    def is_signed_in(self) -> bool:
        address = f"{self.url}/api/method/frappe.auth.get_logged_user"
        answer = requests.get(address, headers=self.headers(), timeout=60)
        return answer.status_code < 500 and answer.json().get("message") is not None

    def post(self, method: str, body: Any) -> requests.Response:
        address = f"{self.url}/api/method/crm.api.mobile_sync.{method}"
        return requests.post(address, json=body, headers=self.headers(), timeout=60)


def test_the_telephone_app(live_server: LiveServer) -> None:
    app = FlutterApp(live_server.url)
    app.login(live_server.ADMIN[0], "wrong")
    assert app.sid == "" and not app.is_signed_in()
    answer = app.login(*live_server.ADMIN)
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"] == "Logged In" and answer.json()["full_name"]
    cookies = {each.name: each.value for each in answer.cookies}
    assert {"sid", "full_name", "user_id", "system_user"} <= set(cookies) and cookies["system_user"] == "yes"
    assert app.is_signed_in()
    log = {
        "from": "",
        "to": "9820099999",
        "type": "Incoming",
        "status": "Completed",
        "duration": 42,
        "start_time": "2025-09-29 14:03:22",
        "end_time": "2025-09-29 14:04:04",
        "device_call_id": "device_1759138402000__42_in",
        "native_call_type": "in",
        "native_call_status": "completed",
        "native_duration": 42,
        "method": "Mobile",
        "source": "Mobile App",
    }
    for expected in ((1, 0), (0, 1)):
        data = app.post("sync_call_logs", {"call_logs_data": [log]}).json()["message"]["data"]
        assert (data["success_count"], data["duplicate_count"]) == expected
    own = app.post("get_user_call_logs", {"limit": 50, "offset": 0}).json()["message"]["data"]
    assert own[0]["from"] == "withheld"
    assert app.post("get_sync_stats", {}).json()["message"]["data"]["total_call_logs"] == 1
    assert app.post("get_user_profile", {}).json()["message"]["data"]["user"]
    requests.get(f"{live_server.url}/api/method/logout", headers=app.headers(), timeout=60)
    assert isinstance(app.is_signed_in(), bool)  # whether GET signs out is a rule of sign-in, not of the app
    app.sid = "x" * 43
    assert not app.is_signed_in()
    answer = app.post("sync_call_logs", {"call_logs_data": [log]})
    assert answer.status_code == 403 and answer.json()["session_expired"] == 1 and "message" not in answer.json()
