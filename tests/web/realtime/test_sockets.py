"""Sockets and what nobody's page says: it is not heard, it keeps no thread, and it stops nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simple_websocket

from app import access, create_app
from app.extensions import db
from tests.app_fixtures import settings_for
from tests.offices import SOON, House, all_end, open_house, watched
from tests.servers import eventually

RUBBISH = (
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
def house_of_module(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server on SQLite."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(settled, folder / "instance")
    access.clear_cache()
    app = create_app(settings_for(folder / "instance"), TESTING=True)
    with open_house(app, folder, 1, CRM_INSTANCE_DIR=str(folder / "instance")) as made:
        yield made
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def house(house_of_module: House) -> Iterator[House]:
    """The house, with no socket open; after what was done to it, it holds as many as ever and serves pages."""
    yield house_of_module
    house_of_module.close()
    eventually(lambda: holds(house_of_module, 20), "there is no room any more", SOON)
    assert house_of_module.servers[0].answers()
    assert "Traceback" not in house_of_module.servers[0].last_words(500)


def holds(house: House, count: int) -> bool:
    """Whether so many pages may watch a record at once."""
    lead = house.world.make.lead("ana")
    try:
        ears = [ear for who in ("ana", "mia") for ear in watched(house, who, lead, each=count // 2)]
        return all(ear.is_open for ear in ears)
    except simple_websocket.ConnectionError:
        return False
    finally:
        house.close()


def test_rubbish_is_not_heard_and_keeps_no_thread(house: House) -> None:
    for word in RUBBISH:
        [ear] = house.ears("ben", each=1)
        ear.say(word)
        ear.emit("watch", {"kind": "lead", "id": 10**6})
        eventually(lambda ear=ear: bool(ear.named("gone")) or not ear.is_open, f"{word[:40]!r} stops it", SOON)
        house.close()


@pytest.mark.parametrize(
    "say",
    [
        lambda ear: [ear.emit("watch", {"kind": "lead", "id": 1}) for _ in range(1500)],
        lambda ear: [ear.emit("shown", {"id": 1}) for _ in range(1500)],
        lambda ear: ear.say('42["watch","' + "x" * 500_000 + '"]'),
        lambda ear: [ear.say("40") for _ in range(1500)],
    ],
    ids=["watches", "toasts", "huge", "greetings"],
)
def test_who_talks_too_much_is_hung_up_on(house: House, say: Any) -> None:
    for _ in range(6):
        ears = house.ears(house.somebody(), each=4)
        for ear in ears:
            say(ear)
        all_end(ears)


def test_who_takes_a_thread_and_says_nothing_loses_it(house: House) -> None:
    [talker] = house.ears("ben", each=1)
    talker.say("41")
    all_end([*house.silent("ben", 3), talker])


def test_more_sockets_than_threads_are_refused_and_pages_are_served(house: House) -> None:
    # Those hung up before may still end.
    eventually(lambda: filled(house, "ben", "ana", "mia") == [12, 12, 0], "not 24 of 32 threads", SOON)
    assert house.servers[0].answers()


def test_nobody_takes_the_room_of_the_others(house: House) -> None:
    eventually(lambda: filled(house, "ben") == [12], "not half of 24", SOON)
    [ear] = house.ears("ana", each=1)
    assert ear.is_open
    house.close()
    eventually(lambda: filled(house, "ben") == [12], "those who hung up are counted still", SOON)


def filled(house: House, *people: str) -> list[int]:
    """How many sockets there is room for, for one after the other; they stay open."""
    house.close()
    return [taken(house, who) for who in people]


def taken(house: House, who: str) -> int:
    for opened in range(40):
        try:
            house.silent(who, 1)
        except simple_websocket.ConnectionError:
            return opened
    return 40
