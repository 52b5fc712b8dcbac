"""Pushes between processes: with Redis and two workers, and with nothing but the database and two servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simple_websocket
from sqlalchemy import select, update

from app import create_app
from app.models import ApiKey, Delivery, Notification, User
from tests.app_fixtures import settings_for
from tests.offices import SOON, House, all_end, all_hear, open_house, watched
from tests.raw_sockets import Ear
from tests.reuse import dispose, forget
from tests.servers import Databases, Redis, eventually


@contextlib.contextmanager
def maria_house(folder: Path, databases: Databases, settled: str, servers: int, **settings: str) -> Iterator[House]:
    name = databases.create_database()
    databases.copy_database(settled, name)
    settings |= {"CRM_DATABASE_URL": databases.url(name)}
    forget()
    app = create_app(settings_for(folder / "instance", **settings), TESTING=True)
    with open_house(app, folder, servers, **settings) as made:
        yield made
    dispose(app)
    databases.drop_database(name)


@pytest.fixture(scope="module", params=["redis", "database"])
def house_of_module(
    request: pytest.FixtureRequest,
    mariadb_server: Databases,
    settled_mariadb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    """Two workers with Redis; or two servers that share nothing but the database."""
    folder = tmp_path_factory.mktemp("house")
    if request.param == "database":
        with maria_house(folder, mariadb_server, settled_mariadb, 2) as made:
            yield made
        return
    with (
        Redis(folder / "redis") as redis,
        maria_house(folder, mariadb_server, settled_mariadb, 1, CRM_REDIS_URL=redis.url, CRM_WORKERS="2") as made,
    ):
        made.redis = redis
        yield made


@pytest.fixture
def house(house_of_module: House) -> Iterator[House]:
    """The house, with no socket open; each test takes people of its own."""
    yield house_of_module
    house_of_module.close()


def test_who_loses_a_record_hears_so_and_nothing_more(house: House) -> None:
    loser, winner = house.somebody(), house.somebody()
    lead = house.lead(loser)
    lost, kept = watched(house, loser, lead), watched(house, "root", lead)
    house.give(lead, winner)
    all_hear(lost, "gone", lambda value: value == {"kind": "lead", "id": lead.id})
    before = [(len(ear.named("activity")), len(other.named("activity"))) for ear, other in zip(lost, kept, strict=True)]
    house.note(lead, winner)
    for (his, theirs), ear, other in zip(before, lost, kept, strict=True):
        eventually(lambda other=other, n=theirs: len(other.named("activity")) > n, "root hears nothing", SOON)
        assert (len(ear.named("activity")), len(ear.named("gone"))) == (his, 1)


def test_a_notice_rings_on_all_devices_and_reading_it_quiets_them(house: House) -> None:
    name, lead = house.somebody(), house.world.make.lead("root")
    his, hers = house.ears(name, "cookie"), house.ears(house.somebody())
    house.give(lead, name)
    all_hear(his, "bell", lambda bell: bell["unread"] == 1 and lead.number in bell.get("text", ""))
    assert his[0].named("bell")[-1]["kind"] == "assigned"
    house.world.door(name).form("/bell/read")
    for ear in his:
        eventually(lambda ear=ear: ear.named("bell")[-1]["unread"] == 0, "the badge stays", SOON)
        assert len([bell for bell in ear.named("bell") if "text" in bell]) == 1
    assert all(len(ear.named("bell")) == 1 for ear in hers)


def test_who_wants_no_toast_gets_the_number_only(house: House) -> None:
    name, held = house.somebody(), house.world.session
    held.get(User, house.world.id_of(name)).notice_choices = {"assigned": {"screen": False}}
    held.commit()
    ears = house.ears(name)
    house.give(house.world.make.lead("root"), name)
    all_hear(ears, "bell", lambda bell: bell["unread"] == 1)
    assert not any("text" in bell for ear in ears for bell in ear.named("bell"))


def test_a_shown_toast_is_written_down_once_and_by_its_person_only(house: House) -> None:
    name, other = house.somebody(), house.somebody()
    ears, theirs = house.ears(name), house.ears(other, each=1)
    house.give(house.world.make.lead("root"), name)
    all_hear(ears, "bell", lambda bell: "text" in bell)
    key = ears[0].named("bell")[-1]["id"]
    for hearers, rows in ((theirs, []), (ears, [(key, "screen", "shown")])):
        for ear in hearers:
            ear.emit("shown", {"id": key})
        all_hear([ear.watch("lead", 10**6) for ear in hearers], "gone")  # what was said before has been heard
        states = select(Delivery.notification_id, Delivery.channel, Delivery.state)
        assert house.world.rows(states.where(Delivery.notification_id == key)) == rows


def test_a_limited_key_hears_of_notices_only_where_it_may_read_them(house: House) -> None:
    deaf, hears = limited(house, "Leads", "Tickets.read"), limited(house, "Leads", "Dashboard.read")
    [his], hers = house.silent(deaf, 1), house.ears(hears, each=1)
    his.say("40")
    eventually(lambda: his.is_in, "the key has no line", SOON)
    for name in (deaf, hears):
        house.give(house.world.make.lead("root"), name)
    all_hear(hers, "bell", lambda bell: bell["unread"] == 1 and "text" in bell)
    [key] = house.world.rows(select(Notification.id).where(Notification.user_id == house.world.id_of(deaf)))
    his.emit("shown", {"id": key})
    all_hear([his.watch("lead", 10**6)], "gone")  # what was said before has been heard
    assert his.named("bell") == []
    assert house.world.count(Delivery, Delivery.notification_id == key) == 0


def limited(house: House, *scope: str) -> str:
    """Somebody whose key is limited to these."""
    name = house.somebody()
    mine = update(ApiKey).where(ApiKey.user_id == house.world.id_of(name))
    house.world.session.execute(mine.values(scope=list(scope)))
    house.world.session.commit()
    return name


def sign_out(house: House, name: str) -> None:
    assert house.world.door(name).form("/logout/").status_code == 302


def revoke(house: House, name: str) -> None:
    [key] = house.world.rows(select(ApiKey.id).where(ApiKey.user_id == house.world.id_of(name)))
    assert house.world.door(name).form(f"/keys/{key}/revoke").status_code == 302


def deactivate(house: House, name: str) -> None:
    house.world.session.get(User, house.world.id_of(name)).active = False
    house.world.session.commit()


@pytest.mark.parametrize(
    ("end", "cut", "stay"),
    [(sign_out, ["cookie"], ["key"]), (revoke, ["key"], ["cookie"]), (deactivate, ["key", "cookie"], [])],
)
def test_sockets_end_in_all_processes(house: House, end: Any, cut: list[str], stay: list[str]) -> None:
    name = house.somebody()
    ears = {by: house.ears(name, by) for by in ("key", "cookie")}
    end(house, name)
    for by in cut:
        all_end(ears[by])
        with pytest.raises(simple_websocket.ConnectionError):
            Ear(house.servers[0].url, house.headers(name, by))
    assert all(ear.is_open for by in stay for ear in ears[by])


def test_pushes_keep_coming_while_redis_goes_and_comes(house: House) -> None:
    name = house.somebody()
    ears, redis = house.ears(name), house.redis
    for act in (lambda: None, redis.stop, redis.start) if redis else (lambda: None,):
        act()
        lead = house.world.make.lead("root")
        house.give(lead, name)
        all_hear(ears, "bell", lambda bell, lead=lead: lead.number in bell.get("text", ""))
