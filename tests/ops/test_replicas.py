"""Lists from a replica: never older than the reader's own changes, same access rules, else from the primary."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.ops.database import replicas
from app.ops.database.replicas import Replicas
from app.web.core.queries import replica_lists
from tests.app_fixtures import Crm, settings_for
from tests.server_clusters import Follower, dumped_into, replicated
from tests.servers import Databases, Redis, eventually


@dataclass
class Deployment:
    """An application with a primary and a replica."""

    crm: Crm
    primary: Follower
    replica: Follower
    replicas: Replicas
    redis: Redis

    def forget_saved(self) -> dict[int, dict[str, int]]:
        """Forget what this process knows of what people have saved, as if it were another server; what it would have
        told Redis."""
        saved = self.replicas.saved
        untold = dict(saved._untold)
        saved._own.clear()
        saved._untold.clear()
        saved._backoff_until = 0.0
        return untold

    def list_of(self, who: str, query: str = "") -> tuple[str, list[int]]:
        """(where the list came from, ids of the leads that REST shows this person)."""
        before = dict(self.replicas.served)
        answer = self.crm.client(who).rest("GET", f"lead/?{query}")
        assert answer.status_code == 200, answer.text
        new = [name for name, count in self.replicas.served.items() if count > before.get(name, 0)]
        return new[0], answer.json["ids"]

    def look(self) -> str:
        """How the replica is now."""
        self.replicas.look()
        return self.replicas.all[0].seen.state

    def becomes(self, state: str) -> None:
        """Wait until the replica is seen so."""
        eventually(lambda: self.look() == state, f"the replica is not seen as {state}, but {self.look()}")

    def caught_up(self) -> None:
        """Wait until the replica has everything."""
        at = self.primary.say("SELECT @@gtid_binlog_pos")[0][0]
        assert self.replica.say(f"SELECT MASTER_GTID_WAIT('{at}', 60)")[0][0] == 0


@pytest.fixture(scope="module")
def deployment(
    mariadb_server: Databases, settled_mariadb: str, tmp_path_factory: pytest.TempPathFactory, mariadb_cache: Path
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("replicas")
    with replicated(folder, mariadb_cache) as (primary, replica), Redis(folder / "redis") as redis:
        url = dumped_into(mariadb_server.port, settled_mariadb, primary)
        app = create_app(
            settings_for(
                folder / "instance",
                CRM_DATABASE_URL=url,
                CRM_REPLICA_URLS=replica.url(settled_mariadb),
                CRM_REDIS_URL=redis.url,
                CRM_REPLICA_LAG_SECONDS="2",
            ),
            TESTING=True,
        )
        with app.app_context():
            found = replica_lists.replicas_of_app()
        assert found is not None
        made = Deployment(Crm(app), primary, replica, found, redis)
        made.caught_up()
        made.becomes(replicas.OK)
        yield made
        made.crm.close()
        for each in found.all:
            each.close()
            each.engine.dispose()


def test_a_list_comes_from_the_replica_and_holds_what_its_reader_has_saved(deployment: Deployment) -> None:
    name = deployment.replicas.all[0].name
    assert deployment.list_of("ana")[0] == name
    saved = []
    for number in range(20):
        body = {"first_name": f"Number {number}", "mobile": deployment.crm.make.mobile()}
        answer = deployment.crm.client("ana").rest("POST", "lead/", json=body)
        assert answer.status_code == 201, answer.text
        saved.append(answer.json["id"])
        where, ids = deployment.list_of("ana", "q=(page_size:100)")
        assert saved[-1] in ids, (number, where)
    assert deployment.replicas.served[name] > 10, deployment.replicas.served
    page = deployment.crm.client("ana").screen("/leads/")
    assert page.status_code == 200 and "Number 19" in page.text


def test_behind_the_wait_the_primary_answers(deployment: Deployment) -> None:
    deployment.becomes(replicas.OK)
    deployment.replica.say("STOP SLAVE SQL_THREAD")
    body = {"first_name": "Unseen", "mobile": deployment.crm.make.mobile()}
    made = deployment.crm.client("ana").rest("POST", "lead/", json=body).json["id"]
    began = time.monotonic()
    where, ids = deployment.list_of("ana")
    assert where in ("not there yet", "no replica") and made in ids
    assert time.monotonic() - began < 5
    deployment.becomes(replicas.BROKEN)
    assert deployment.list_of("ben")[0] == "no replica"
    text = deployment.crm.client("root").screen("/health/").text
    assert "Replication is broken" in re.sub(r"\s+", " ", text)
    metrics = deployment.crm.client(None).screen("/metrics").text
    assert re.search(r'crm_replica_up\{replica="[^"]+"\} 0', metrics), metrics[:2000]
    deployment.replica.say("START SLAVE SQL_THREAD")
    deployment.becomes(replicas.OK)


def test_the_health_page_says_what_would_be_lost_with_the_primary(deployment: Deployment) -> None:
    deployment.becomes(replicas.OK)
    assert deployment.replicas.primary.is_semi_sync and deployment.replicas.loss_seconds() == 0
    deployment.primary.say("SET GLOBAL rpl_semi_sync_master_enabled = 0")
    deployment.look()
    seconds = deployment.replicas.loss_seconds()
    assert seconds is not None and not deployment.replicas.primary.is_semi_sync
    assert "saved in the last" in _health(deployment)
    deployment.primary.say("SET GLOBAL rpl_semi_sync_master_enabled = 1")
    deployment.replica.say("STOP SLAVE")
    eventually(
        lambda: deployment.look() != replicas.OK and not deployment.replicas.primary.is_semi_sync, "it is still safe"
    )
    assert deployment.replicas.loss_seconds() is None
    assert "No replica receives what is saved here" in _health(deployment)
    deployment.replica.say("START SLAVE")
    eventually(
        lambda: bool(deployment.look() == replicas.OK and deployment.replicas.primary.is_semi_sync), "it is not safe"
    )
    assert "counts as saved once a replica has it" in _health(deployment)


def _health(deployment: Deployment) -> str:
    return re.sub(r"\s+", " ", deployment.crm.client("root").screen("/health/").text)


def test_a_replica_far_behind_is_left_out(deployment: Deployment) -> None:
    deployment.becomes(replicas.OK)
    deployment.replica.say("STOP SLAVE", "CHANGE MASTER TO master_delay=60", "START SLAVE")
    deployment.crm.make.lead("ben")
    deployment.becomes(replicas.BEHIND)
    deployment.replica.say("STOP SLAVE", "CHANGE MASTER TO master_delay=0", "START SLAVE")
    deployment.becomes(replicas.OK)


def test_a_browser_brings_what_redis_has_not_taken(deployment: Deployment) -> None:
    """A server that Redis doesn't tell what a person has saved on another one learns it from their browser."""
    deployment.becomes(replicas.OK)
    deployment.replicas.limit_seconds = 1000
    with contextlib.closing(deployment.replica.connect()) as held, held.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")  # it receives all, and takes over nothing
        deployment.redis.kill()
        client = deployment.crm.client("ana")
        body = {"first_name": "Brought", "mobile": deployment.crm.make.mobile()}
        assert client.form("/leads/add", body).status_code == 302
        untold, browser = deployment.forget_saved(), client.browser
        assert list(untold) == [deployment.crm.id_of("ana")]
        deployment.redis.start()
        cookie = browser.get_cookie(replica_lists.COOKIE)
        assert cookie is not None and cookie.http_only
        before = dict(deployment.replicas.served)
        assert "Brought" in browser.get("/leads/").text
        assert deployment.replicas.served.get("not there yet", 0) > before.get("not there yet", 0)
        for value in ("", "x.y.z", replica_lists_of_another(deployment)):
            browser.set_cookie(replica_lists.COOKIE, value)
            assert "Brought" not in browser.get("/leads/").text, "it did not come from the replica: nothing is proved"
        browser.set_cookie(replica_lists.COOKIE, cookie.value)
        deployment.replicas.saved._untold.update(untold)
        deployment.replicas.saved.resend()  # for those without a browser
        browser.delete_cookie(replica_lists.COOKIE)
        assert "Brought" in browser.get("/leads/").text
    deployment.replicas.limit_seconds = 2
    deployment.becomes(replicas.OK)


def replica_lists_of_another(deployment: Deployment) -> str:
    """A position that somebody else has saved."""
    with deployment.crm.app.test_request_context():
        return str(replica_lists._serializer().dumps([deployment.crm.id_of("ben"), "0-1-999999"]))


def test_access_rules_hold_on_both_ways(deployment: Deployment) -> None:
    """A list that is compiled anew, one that is finished, and a row that only the replica has, with somebody else's."""
    hers = deployment.crm.make.lead("ana").id
    deployment.caught_up()
    deployment.becomes(replicas.OK)
    for _ in range(3):  # the third one is sent as finished text
        where, ids = deployment.list_of("ben", "q=(page_size:100)")
        assert where == deployment.replicas.all[0].name and hers not in ids
        assert hers in deployment.list_of("ana", "q=(page_size:100)")[1]
    deployment.crm.make.give(deployment.crm.session.get(_lead(), hers), "ben")
    deployment.caught_up()
    where, ids = deployment.list_of("ben", "q=(page_size:100)")
    assert where == deployment.replicas.all[0].name and hers in ids
    deployment.crm.make.cell("Sales User", "Leads", "read", "none")
    assert deployment.crm.client("ben").rest("GET", "lead/").status_code == 403
    deployment.crm.make.cell("Sales User", "Leads", "read", "team")
    deployment.caught_up()


def test_nothing_can_be_changed_through_the_replica(deployment: Deployment) -> None:
    with deployment.replicas.all[0].engine.connect() as connection, pytest.raises(Exception, match=r"1792|READ ONLY"):
        connection.exec_driver_sql("UPDATE access_version SET n = n + 1")


def test_a_user_who_may_not_see_replication_is_told_so(deployment: Deployment) -> None:
    user = "plain@'127.0.0.1'"
    name = deployment.crm.engine.url.database
    deployment.primary.say(f"CREATE USER {user} IDENTIFIED BY 'x'", f"GRANT ALL ON {name}.* TO {user}")
    deployment.caught_up()
    watch = replica_lists._watching(f"mysql+pymysql://plain:x@{deployment.replica.place}/{name}")
    plain = replicas.Replica("plain", watch, watch)
    plain.look(deployment.replicas.primary, 10)
    assert plain.seen.state == replicas.CLOSED
    deployment.primary.say(f"GRANT REPLICA MONITOR ON *.* TO {user}")
    deployment.caught_up()
    plain.look(deployment.replicas.primary, 10)
    assert plain.seen.state == replicas.OK
    plain.close()


def test_a_replica_that_dies_under_a_list_is_replaced_by_the_primary(deployment: Deployment) -> None:
    deployment.becomes(replicas.OK)
    deployment.list_of("ana")
    deployment.replica.kill()
    assert deployment.list_of("ana")[1]
    deployment.becomes(replicas.AWAY)
    assert deployment.list_of("ana")[0] == "no replica"
    deployment.replica.start()
    deployment.becomes(replicas.OK)
    assert deployment.list_of("ana")[0] == deployment.replicas.all[0].name


def _lead() -> Any:
    from app.models import Lead

    return Lead
