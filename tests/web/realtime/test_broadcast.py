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
from tests.deployments import SOON, Deployment, expect_closed, expect_event, open_deployment, watched
from tests.raw_sockets import EventListener
from tests.servers import Databases, Redis, eventually


@contextlib.contextmanager
def deployment_on_mariadb(
    folder: Path, databases: Databases, settled: str, servers: int, **settings: str
) -> Iterator[Deployment]:
    name = databases.create_database()
    databases.copy_database(settled, name)
    settings |= {"CRM_DATABASE_URL": databases.url(name)}
    access.clear_cache()
    app = create_app(settings_for(folder / "instance", **settings), TESTING=True)
    with open_deployment(app, folder, servers, **settings) as made:
        yield made
    with app.app_context():
        db.engine.dispose()
    databases.drop_database(name)


@pytest.fixture(scope="module", params=["redis", "database"])
def deployment_of_module(
    request: pytest.FixtureRequest,
    mariadb_server: Databases,
    settled_mariadb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Two workers with Redis; or two servers that share only the database."""
    folder = tmp_path_factory.mktemp("house")
    if request.param == "database":
        with deployment_on_mariadb(folder, mariadb_server, settled_mariadb, 2) as made:
            yield made
        return
    with (
        Redis(folder / "redis") as redis,
        deployment_on_mariadb(
            folder, mariadb_server, settled_mariadb, 1, CRM_REDIS_URL=redis.url, CRM_WORKERS="2"
        ) as made,
    ):
        made.redis = redis
        yield made


@pytest.fixture
def deployment(deployment_of_module: Deployment) -> Iterator[Deployment]:
    """The servers, with no socket open; each test uses people of its own."""
    yield deployment_of_module
    deployment_of_module.close()


def test_losing_a_record_is_pushed_once_and_nothing_after_it(deployment: Deployment) -> None:
    loser, winner = deployment.somebody(), deployment.somebody()
    lead = deployment.lead(loser)
    lost, kept = watched(deployment, loser, lead), watched(deployment, "root", lead)
    deployment.give(lead, winner)
    expect_event(lost, "gone", lambda value: value == {"kind": "lead", "id": lead.id})
    before = [
        (len(client.named("activity")), len(other.named("activity"))) for client, other in zip(lost, kept, strict=True)
    ]
    deployment.note(lead, winner)
    for (count, other_count), client, other in zip(before, lost, kept, strict=True):
        eventually(lambda other=other, n=other_count: len(other.named("activity")) > n, "root hears nothing", SOON)
        assert (len(client.named("activity")), len(client.named("gone"))) == (count, 1)


def test_a_notice_and_its_reading_reach_all_devices(deployment: Deployment) -> None:
    name, lead = deployment.somebody(), deployment.crm.make.lead("root")
    clients, other_clients = deployment.listeners(name, "cookie"), deployment.listeners(deployment.somebody())
    deployment.give(lead, name)
    expect_event(clients, "bell", lambda bell: bell["unread"] == 1 and lead.number in bell.get("text", ""))
    assert clients[0].named("bell")[-1]["kind"] == "assigned"
    deployment.crm.client(name).form("/bell/read")
    for client in clients:
        eventually(lambda client=client: client.named("bell")[-1]["unread"] == 0, "the badge stays", SOON)
        assert len([bell for bell in client.named("bell") if "text" in bell]) == 1
    assert all(len(client.named("bell")) == 1 for client in other_clients)


def test_who_has_a_record_open_is_known_on_every_worker(deployment: Deployment) -> None:
    if deployment.redis is None:
        return  # servers that share only the database know of their own pages
    one, other = deployment.somebody(), deployment.somebody()
    lead = deployment.lead(one)
    access_of_both(deployment, lead, other)
    names = [{"id": deployment.crm.id_of(each), "field": ""} for each in (one, other)]

    def shown(listener: EventListener) -> list[dict[str, Any]]:
        said = listener.named("presence")
        return [{"id": each["id"], "field": each["field"]} for each in said[-1]["people"]] if said else []

    first = [listener.watch("lead", lead.id) for listener in deployment.listeners(one, "cookie", each=4)]
    second = [listener.watch("lead", lead.id) for listener in deployment.listeners(other, "cookie", each=4)]
    for listener in first:
        eventually(lambda listener=listener: shown(listener) == names[1:], "the other isn't shown", SOON)
    for listener in second:
        eventually(lambda listener=listener: shown(listener) == names[:1], "the first isn't shown", SOON)
    for listener in second:
        listener.close()
    for listener in first:
        eventually(lambda listener=listener: shown(listener) == [], "who has left is still shown", SOON)


def access_of_both(deployment: Deployment, lead: Any, owner: str) -> None:
    """Let the owner see the lead beside its assignee."""
    deployment.crm.session.execute(update(Lead).where(Lead.id == lead.id).values(owner_id=deployment.crm.id_of(owner)))
    deployment.crm.session.commit()


def test_without_toasts_only_the_count_is_pushed(deployment: Deployment) -> None:
    name, session = deployment.somebody(), deployment.crm.session
    session.get_one(User, deployment.crm.id_of(name)).notice_choices = {"assigned": {"screen": False}}
    session.commit()
    clients = deployment.listeners(name)
    deployment.give(deployment.crm.make.lead("root"), name)
    expect_event(clients, "bell", lambda bell: bell["unread"] == 1)
    assert not any("text" in bell for client in clients for bell in client.named("bell"))


def test_a_shown_toast_is_recorded_once_and_only_for_its_user(deployment: Deployment) -> None:
    name, other = deployment.somebody(), deployment.somebody()
    clients, other_clients = deployment.listeners(name), deployment.listeners(other, each=1)
    deployment.give(deployment.crm.make.lead("root"), name)
    expect_event(clients, "bell", lambda bell: "text" in bell)
    key = clients[0].named("bell")[-1]["id"]
    for senders, rows in ((other_clients, []), (clients, [(key, "screen", "shown")])):
        for client in senders:
            client.emit("shown", {"id": key})
        expect_event(
            [client.watch("lead", 10**6) for client in senders], "gone"
        )  # earlier messages are handled by then
        states = select(Delivery.notification_id, Delivery.channel, Delivery.state)
        assert deployment.crm.rows(states.where(Delivery.notification_id == key)) == rows


def test_a_limited_key_gets_notices_only_if_it_may_read_them(deployment: Deployment) -> None:
    without_dashboard = user_with_limited_key(deployment, "Leads", "Tickets.read")
    with_dashboard = user_with_limited_key(deployment, "Leads", "Dashboard.read")
    [client], other_clients = deployment.silent(without_dashboard, 1), deployment.listeners(with_dashboard, each=1)
    client.say("40")
    eventually(lambda: client.is_in, "the key has no connection", SOON)
    for name in (without_dashboard, with_dashboard):
        deployment.give(deployment.crm.make.lead("root"), name)
    expect_event(other_clients, "bell", lambda bell: bell["unread"] == 1 and "text" in bell)
    user_id = deployment.crm.id_of(without_dashboard)
    [key] = deployment.crm.rows(select(Notification.id).where(Notification.user_id == user_id))
    client.emit("shown", {"id": key})
    expect_event([client.watch("lead", 10**6)], "gone")  # earlier messages are handled by then
    assert client.named("bell") == []
    assert deployment.crm.count(Delivery, Delivery.notification_id == key) == 0


def user_with_limited_key(deployment: Deployment, *scope: str) -> str:
    """A user whose API key is limited to these scopes."""
    name = deployment.somebody()
    mine = update(ApiKey).where(ApiKey.user_id == deployment.crm.id_of(name))
    deployment.crm.session.execute(mine.values(scope=list(scope)))
    deployment.crm.session.commit()
    return name


def sign_out(deployment: Deployment, name: str) -> None:
    assert deployment.crm.client(name).form("/logout/").status_code == 302


def revoke(deployment: Deployment, name: str) -> None:
    [key] = deployment.crm.rows(select(ApiKey.id).where(ApiKey.user_id == deployment.crm.id_of(name)))
    assert deployment.crm.client(name).form(f"/keys/{key}/revoke").status_code == 302


def deactivate(deployment: Deployment, name: str) -> None:
    deployment.crm.session.get_one(User, deployment.crm.id_of(name)).active = False
    deployment.crm.session.commit()


@pytest.mark.parametrize(
    ("end", "closed", "open_still"),
    [(sign_out, ["cookie"], ["key"]), (revoke, ["key"], ["cookie"]), (deactivate, ["key", "cookie"], [])],
)
def test_sockets_end_in_all_processes(
    deployment: Deployment, end: Any, closed: list[str], open_still: list[str]
) -> None:
    name = deployment.somebody()
    clients = {by: deployment.listeners(name, by) for by in ("key", "cookie")}
    end(deployment, name)
    for by in closed:
        expect_closed(clients[by])
        with pytest.raises(simple_websocket.ConnectionError):
            EventListener(deployment.servers[0].url, deployment.headers(name, by))
    assert all(client.is_open for by in open_still for client in clients[by])


def test_pushes_continue_while_redis_stops_and_starts(deployment: Deployment) -> None:
    name = deployment.somebody()
    clients, redis = deployment.listeners(name), deployment.redis
    for act in (lambda: None, redis.stop, redis.start) if redis else (lambda: None,):
        act()
        lead = deployment.crm.make.lead("root")
        deployment.give(lead, name)
        expect_event(clients, "bell", lambda bell, lead=lead: lead.number in bell.get("text", ""))
