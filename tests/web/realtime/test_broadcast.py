"""Pushes between processes: with Redis and two workers, and with two servers that share only the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simple_websocket
from sqlalchemy import select, update

from app import access, create_app
from app.extensions import db
from app.models import ApiKey, Delivery, Lead, Notification, User
from tests.app_fixtures import settings_for
from tests.deployments import SOON, House, all_end, all_hear, open_house, watched
from tests.raw_sockets import Ear
from tests.servers import Databases, Redis, eventually


@contextlib.contextmanager
def house_on_mariadb(
    folder: Path, databases: Databases, settled: str, servers: int, **settings: str
) -> Iterator[House]:
    name = databases.create_database()
    databases.copy_database(settled, name)
    settings |= {"CRM_DATABASE_URL": databases.url(name)}
    access.clear_cache()
    app = create_app(settings_for(folder / "instance", **settings), TESTING=True)
    with open_house(app, folder, servers, **settings) as made:
        yield made
    with app.app_context():
        db.engine.dispose()
    databases.drop_database(name)


@pytest.fixture(scope="module", params=["redis", "database"])
def house_of_module(
    request: pytest.FixtureRequest,
    mariadb_server: Databases,
    settled_mariadb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    """Two workers with Redis; or two servers that share only the database."""
    folder = tmp_path_factory.mktemp("house")
    if request.param == "database":
        with house_on_mariadb(folder, mariadb_server, settled_mariadb, 2) as made:
            yield made
        return
    with (
        Redis(folder / "redis") as redis,
        house_on_mariadb(folder, mariadb_server, settled_mariadb, 1, CRM_REDIS_URL=redis.url, CRM_WORKERS="2") as made,
    ):
        made.redis = redis
        yield made


@pytest.fixture
def house(house_of_module: House) -> Iterator[House]:
    """The servers, with no socket open; each test uses people of its own."""
    yield house_of_module
    house_of_module.close()


def test_losing_a_record_is_pushed_once_and_nothing_after_it(house: House) -> None:
    loser, winner = house.somebody(), house.somebody()
    lead = house.lead(loser)
    lost, kept = watched(house, loser, lead), watched(house, "root", lead)
    house.give(lead, winner)
    all_hear(lost, "gone", lambda value: value == {"kind": "lead", "id": lead.id})
    before = [
        (len(client.named("activity")), len(other.named("activity"))) for client, other in zip(lost, kept, strict=True)
    ]
    house.note(lead, winner)
    for (count, other_count), client, other in zip(before, lost, kept, strict=True):
        eventually(lambda other=other, n=other_count: len(other.named("activity")) > n, "root hears nothing", SOON)
        assert (len(client.named("activity")), len(client.named("gone"))) == (count, 1)


def test_a_notice_and_its_reading_reach_all_devices(house: House) -> None:
    name, lead = house.somebody(), house.world.make.lead("root")
    clients, other_clients = house.ears(name, "cookie"), house.ears(house.somebody())
    house.give(lead, name)
    all_hear(clients, "bell", lambda bell: bell["unread"] == 1 and lead.number in bell.get("text", ""))
    assert clients[0].named("bell")[-1]["kind"] == "assigned"
    house.world.door(name).form("/bell/read")
    for client in clients:
        eventually(lambda client=client: client.named("bell")[-1]["unread"] == 0, "the badge stays", SOON)
        assert len([bell for bell in client.named("bell") if "text" in bell]) == 1
    assert all(len(client.named("bell")) == 1 for client in other_clients)


def test_who_has_a_record_open_is_known_on_every_worker(house: House) -> None:
    if house.redis is None:
        return  # servers that share only the database know of their own pages
    one, other = house.somebody(), house.somebody()
    lead = house.lead(one)
    access_of_both(house, lead, other)
    names = [{"id": house.world.id_of(each), "field": ""} for each in (one, other)]

    def shown(ear: Ear) -> list[dict[str, Any]]:
        said = ear.named("here")
        return [{"id": each["id"], "field": each["field"]} for each in said[-1]["people"]] if said else []

    first = [ear.watch("lead", lead.id) for ear in house.ears(one, "cookie", each=4)]
    second = [ear.watch("lead", lead.id) for ear in house.ears(other, "cookie", each=4)]
    for ear in first:
        eventually(lambda ear=ear: shown(ear) == names[1:], "the other isn't shown", SOON)
    for ear in second:
        eventually(lambda ear=ear: shown(ear) == names[:1], "the first isn't shown", SOON)
    for ear in second:
        ear.close()
    for ear in first:
        eventually(lambda ear=ear: shown(ear) == [], "who has left is still shown", SOON)


def access_of_both(house: House, lead: Any, owner: str) -> None:
    """Let the owner see the lead beside its assignee."""
    house.world.session.execute(update(Lead).where(Lead.id == lead.id).values(owner_id=house.world.id_of(owner)))
    house.world.session.commit()


def test_without_toasts_only_the_count_is_pushed(house: House) -> None:
    name, session = house.somebody(), house.world.session
    session.get(User, house.world.id_of(name)).notice_choices = {"assigned": {"screen": False}}
    session.commit()
    clients = house.ears(name)
    house.give(house.world.make.lead("root"), name)
    all_hear(clients, "bell", lambda bell: bell["unread"] == 1)
    assert not any("text" in bell for client in clients for bell in client.named("bell"))


def test_a_shown_toast_is_recorded_once_and_only_for_its_user(house: House) -> None:
    name, other = house.somebody(), house.somebody()
    clients, other_clients = house.ears(name), house.ears(other, each=1)
    house.give(house.world.make.lead("root"), name)
    all_hear(clients, "bell", lambda bell: "text" in bell)
    key = clients[0].named("bell")[-1]["id"]
    for senders, rows in ((other_clients, []), (clients, [(key, "screen", "shown")])):
        for client in senders:
            client.emit("shown", {"id": key})
        all_hear([client.watch("lead", 10**6) for client in senders], "gone")  # earlier messages are handled by then
        states = select(Delivery.notification_id, Delivery.channel, Delivery.state)
        assert house.world.rows(states.where(Delivery.notification_id == key)) == rows


def test_a_limited_key_gets_notices_only_if_it_may_read_them(house: House) -> None:
    without_dashboard = user_with_limited_key(house, "Leads", "Tickets.read")
    with_dashboard = user_with_limited_key(house, "Leads", "Dashboard.read")
    [client], other_clients = house.silent(without_dashboard, 1), house.ears(with_dashboard, each=1)
    client.say("40")
    eventually(lambda: client.is_in, "the key has no connection", SOON)
    for name in (without_dashboard, with_dashboard):
        house.give(house.world.make.lead("root"), name)
    all_hear(other_clients, "bell", lambda bell: bell["unread"] == 1 and "text" in bell)
    user_id = house.world.id_of(without_dashboard)
    [key] = house.world.rows(select(Notification.id).where(Notification.user_id == user_id))
    client.emit("shown", {"id": key})
    all_hear([client.watch("lead", 10**6)], "gone")  # earlier messages are handled by then
    assert client.named("bell") == []
    assert house.world.count(Delivery, Delivery.notification_id == key) == 0


def user_with_limited_key(house: House, *scope: str) -> str:
    """A user whose API key is limited to these scopes."""
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
    ("end", "closed", "open_still"),
    [(sign_out, ["cookie"], ["key"]), (revoke, ["key"], ["cookie"]), (deactivate, ["key", "cookie"], [])],
)
def test_sockets_end_in_all_processes(house: House, end: Any, closed: list[str], open_still: list[str]) -> None:
    name = house.somebody()
    clients = {by: house.ears(name, by) for by in ("key", "cookie")}
    end(house, name)
    for by in closed:
        all_end(clients[by])
        with pytest.raises(simple_websocket.ConnectionError):
            Ear(house.servers[0].url, house.headers(name, by))
    assert all(client.is_open for by in open_still for client in clients[by])


def test_pushes_continue_while_redis_stops_and_starts(house: House) -> None:
    name = house.somebody()
    clients, redis = house.ears(name), house.redis
    for act in (lambda: None, redis.stop, redis.start) if redis else (lambda: None,):
        act()
        lead = house.world.make.lead("root")
        house.give(lead, name)
        all_hear(clients, "bell", lambda bell, lead=lead: lead.number in bell.get("text", ""))
