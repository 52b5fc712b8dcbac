"""Sockets with unexpected messages: they are ignored, occupy no thread, and affect nobody."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simple_websocket
from wsproto.events import Ping, Pong, TextMessage

from app import access, create_app
from app.extensions import db
from tests.app_fixtures import settings_for
from tests.deployments import SOON, Deployment, expect_closed, open_deployment, watched
from tests.servers import eventually

UNEXPECTED_MESSAGES = (
    "",
    "4",
    "42",
    "x",
    "9",
    "42x",
    "42[",
    "42[]",
    "42[1]",
    "42{}",
    '42["watch"]',
    '42["watch",null]',
    '42["watch",[]]',
    '42["watch",{"kind":{},"id":[]}]',
    '42["watch",{"kind":"lead","id":-1}]',
    '42["watch",{"kind":"user","id":1}]',
    '42["shown",{"id":"1 or 1"}]',
    '42["shown",{"id":99999999999}]',
    '42["shown",{"id":true}]',
    '42["editing"]',
    '42["editing",[]]',
    '42["editing",{"kind":"lead","id":1,"field":{}}]',
    '42["editing",{"kind":"lead","id":1,"field":"email"}]',
    '42["editing",{"kind":{},"id":[],"field":"' + "x" * 3000 + '"}]',
    '42["typing",{"kind":"conversation","id":{}}]',
    '42["board",{"kind":[]}]',
    '42["connect",{}]',
    '42["disconnect","x"]',
    '42/admin,["watch",{}]',
    "40/admin,",
    '450-["watch",{"_placeholder":true,"num":0}]',
    '451-["watch",{"_placeholder":true,"num":0}]',
    "430[]",
    "44",
    "46",
    '42["watch",' + "[" * 4000 + "]",
    '42["watch",' + "[" * 1500 + "]" * 1500 + "]",
    "40",
    "40{",
    '40{"a":1}',
    "2probe",
    "5",
    "6",
    "b4AAAA",
    "\x00",
    "4\x002",
    b"",
    b"\x04",
    b"\xff" * 3000,
)


@pytest.fixture(scope="module")
def deployment_of_module(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One server on SQLite."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(settled, folder / "instance")
    access.clear_cache()
    app = create_app(settings_for(folder / "instance"), TESTING=True)
    with open_deployment(app, folder, 1, CRM_INSTANCE_DIR=str(folder / "instance")) as made:
        yield made
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def deployment(deployment_of_module: Deployment) -> Iterator[Deployment]:
    """The server, with no socket open; after the test it still accepts 20 sockets and serves pages."""
    yield deployment_of_module
    deployment_of_module.close()
    eventually(lambda: has_room_for(deployment_of_module, 20), "there is no room any more", SOON)
    assert deployment_of_module.servers[0].answers()
    assert "Traceback" not in deployment_of_module.servers[0].last_words(500)


def has_room_for(deployment: Deployment, count: int) -> bool:
    """Whether this many pages can watch a record at once."""
    lead = deployment.crm.make.lead("ana")
    try:
        clients = [client for who in ("ana", "mia") for client in watched(deployment, who, lead, each=count // 2)]
        return all(client.is_open for client in clients)
    except simple_websocket.ConnectionError:
        return False
    finally:
        deployment.close()


def test_an_unexpected_message_is_ignored_and_holds_no_thread(deployment: Deployment) -> None:
    for message in UNEXPECTED_MESSAGES:
        [client] = deployment.listeners("ben", each=1)
        client.say(message)
        client.emit("watch", {"kind": "lead", "id": 10**6})
        eventually(lambda c=client: bool(c.named("gone")) or not c.is_open, f"{message[:40]!r} stops it", SOON)
        deployment.close()


def frames(client: Any, frame: Any) -> None:
    """Send many frames that never become a message."""
    with contextlib.suppress(OSError):
        for _ in range(1500):
            client.wire.sock.send(client.wire.ws.send(frame))


@pytest.mark.parametrize(
    "send",
    [
        lambda client: [client.emit("watch", {"kind": "lead", "id": 1}) for _ in range(1500)],
        lambda client: [client.emit("shown", {"id": 1}) for _ in range(1500)],
        lambda client: [client.emit("editing", {"kind": "lead", "id": 1, "field": "a"}) for _ in range(1500)],
        lambda client: client.say('42["watch","' + "x" * 500_000 + '"]'),
        lambda client: [client.say("40") for _ in range(1500)],
        lambda client: frames(client, Ping()),
        lambda client: frames(client, Pong()),
        lambda client: frames(client, TextMessage("", message_finished=False)),
    ],
    ids=["watches", "toasts", "edits", "huge", "greetings", "pings", "pongs", "fragments"],
)
def test_a_client_that_exceeds_the_rate_is_disconnected(deployment: Deployment, send: Any) -> None:
    """Twelve of them: if every second one held a thread, there would be no room for twenty others."""
    for _ in range(3):
        clients = deployment.listeners(deployment.somebody(), each=4)
        for client in clients:
            send(client)
        expect_closed(clients)


def test_a_client_without_a_handshake_is_disconnected(deployment: Deployment) -> None:
    [leaver] = deployment.listeners("ben", each=1)
    leaver.say("41")
    expect_closed([*deployment.silent("ben", 3), leaver])


def test_more_sockets_than_threads_are_refused_and_pages_are_served(deployment: Deployment) -> None:
    # Sockets of the test before may still be closing.
    eventually(lambda: open_counts(deployment, "ben", "ana", "mia") == [12, 12, 0], "not 24 of 32 threads", SOON)
    assert deployment.servers[0].answers()


def test_one_user_takes_at_most_half_of_the_sockets(deployment: Deployment) -> None:
    eventually(lambda: open_counts(deployment, "ben") == [12], "not half of 24", SOON)
    [client] = deployment.listeners("ana", each=1)
    assert client.is_open
    deployment.close()
    eventually(lambda: open_counts(deployment, "ben") == [12], "closed sockets are still counted", SOON)


def open_counts(deployment: Deployment, *people: str) -> list[int]:
    """How many sockets each of these people can open, one after the other; they stay open."""
    deployment.close()
    return [open_until_refused(deployment, who) for who in people]


def open_until_refused(deployment: Deployment, who: str) -> int:
    for opened in range(40):
        try:
            deployment.silent(who, 1)
        except simple_websocket.ConnectionError:
            return opened
    return 40
