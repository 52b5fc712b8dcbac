"""The public Socket.IO clients connect with their default settings, with every kind of credentials."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from app import access, create_app
from app.extensions import db
from tests.app_fixtures import PASSWORD, settings_for
from tests.deployments import Deployment, open_deployment
from tests.servers import ROOT, program

FOLDER = ROOT / "tests" / "web" / "realtime"
KEY = "keyben:secret-ben"
#: What a client shows: (extra headers, `auth`). {crm} and {sid} are cookies of a sign-in.
CREDENTIALS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "page cookie": ({"Cookie": "crm={crm}"}, {}),
    "sid": ({"Cookie": "sid={sid}"}, {}),
    "key in header": ({"Authorization": f"token {KEY}"}, {}),
    "key in auth": ({}, {"token": KEY}),
    "sid in auth": ({}, {"sid": "{sid}"}),
    "header in auth": ({}, {"authorization": f"token {KEY}"}),
}
PACKAGES = ("socket.io-client-3", "socket.io-client")
TRANSPORTS = {"default": {}, "websocket": {"transports": ["websocket"]}, "polling": {"transports": ["polling"]}}


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def deployment(request: Any, settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One server, of one or two processes."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(settled, folder / "instance")
    access.clear_cache()
    app = create_app(settings_for(folder / "instance"), TESTING=True)
    settings = {"CRM_INSTANCE_DIR": str(folder / "instance"), "CRM_WORKERS": str(request.param)}
    with open_deployment(app, folder, 1, **settings) as made:
        yield made
    with app.app_context():
        db.engine.dispose()


def shown(deployment: Deployment, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """These credentials of ben."""
    url = deployment.servers[0].url
    cookies = {"crm": deployment.crm.client("ben").browser.get_cookie("crm").value, "sid": ""}
    if "sid" in name:
        signed_in = requests.post(f"{url}/api/method/login", data={"usr": "ben", "pwd": PASSWORD}, timeout=60)
        cookies["sid"] = signed_in.cookies["sid"]
    headers, auth = CREDENTIALS[name]
    return tuple({key: value.format(**cookies) for key, value in each.items()} for each in (headers, auth))  # type: ignore[return-value]


#: (arguments for the client) -> what it hears.
Client = Callable[..., Any]


@contextmanager
def client(*command: str) -> Iterator[Client]:
    """A process with clients, which connect one after the other: it takes a line of JSON and answers with one."""
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        said, heard = process.stdin, process.stdout

        def ask(*arguments: Any) -> Any:
            print(json.dumps(arguments), file=said, flush=True)
            return json.loads(heard.readline())

        yield ask
        said.close()


@pytest.fixture(scope="module")
def javascript() -> Iterator[Client]:
    """javascript(package, url, options)"""
    with client(program("node"), str(FOLDER / "client.mjs")) as made:
        yield made


@pytest.fixture(scope="module")
def python() -> Iterator[Client]:
    """python(url, headers, auth, transports); the product keeps this package from being imported, to start faster."""
    with client(sys.executable, str(FOLDER / "client.py")) as made:
        yield made


@pytest.mark.parametrize("credentials", CREDENTIALS)
@pytest.mark.parametrize("package", PACKAGES)
def test_the_javascript_client_connects_and_upgrades(
    deployment: Deployment, javascript: Client, package: str, credentials: str
) -> None:
    headers, auth = shown(deployment, credentials)
    options = {"extraHeaders": headers, "auth": auth, "reconnection": False}
    events = javascript(package, deployment.servers[0].url, options)
    assert events[0][0] == "connect" and events[-1] == ["gone", "websocket"], events


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("package", PACKAGES)
def test_the_javascript_client_connects_by_either_transport(
    deployment: Deployment, javascript: Client, package: str, transport: str
) -> None:
    options = {"auth": {"token": KEY}, "reconnection": False, **TRANSPORTS[transport]}
    events = javascript(package, deployment.servers[0].url, options)
    assert events[-1] == ["gone", "polling" if transport == "polling" else "websocket"], events


@pytest.mark.parametrize("package", PACKAGES)
def test_the_javascript_client_is_told_why_it_is_refused(
    deployment: Deployment, javascript: Client, package: str
) -> None:
    options = {"auth": {"token": "keyben:wrong"}, "reconnection": False}
    assert javascript(package, deployment.servers[0].url, options) == [["connect_error", "Please sign in first."]]


@pytest.mark.parametrize("transports", [None, ["websocket"], ["polling"]], ids=["default", "websocket", "polling"])
@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_python_socketio_connects(
    deployment: Deployment, python: Client, credentials: str, transports: list[str] | None
) -> None:
    headers, auth = shown(deployment, credentials)
    transport = python(deployment.servers[0].url, headers, auth, transports)
    assert transport == ("polling" if transports == ["polling"] else "websocket")


def test_more_sockets_than_a_share_are_refused_with_a_sentence(deployment: Deployment) -> None:
    url, key = f"{deployment.servers[0].url}/socket.io/?EIO=4&transport=polling", {"Authorization": f"token {KEY}"}
    answers = [requests.get(url, headers=key, timeout=60) for _ in range(40)]
    refused = [each for each in answers if each.status_code != 200]
    assert refused and {each.status_code for each in refused} == {503}
    assert refused[0].json()["message"].startswith("Too many live connections") and refused[0].headers["Retry-After"]
    wrong = requests.get(url, headers={"Authorization": "token keyben:no"}, timeout=60)
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Please sign in first.")
