"""MariaDB or Redis is unavailable for a while: nothing is lost or done twice, and nobody sees a traceback."""

from __future__ import annotations

from pathlib import Path

from tests.resilience import outages
from tests.resilience.scenario import Scenario, settled
from tests.servers import MariaDB, Redis


def test_mariadb_dies_amid_a_pass_and_the_pass_goes_on_by_itself(lone_mariadb: MariaDB, tmp_path: Path) -> None:
    with settled(lone_mariadb.url(lone_mariadb.create_database()), tmp_path) as scenario:
        seen = outages.of_mariadb(lone_mariadb, scenario, 600)
    assert seen.faults == []
    for reply in seen.meanwhile:
        assert reply.status == 503 and "Traceback" not in str(reply.body), reply
    assert all("database" in reply.sentence for reply in seen.meanwhile if isinstance(reply.body, dict))


def test_without_redis_and_with_an_emptied_one_everything_goes_on(redis_server: Redis, scenario: Scenario) -> None:
    seen = outages.of_redis(redis_server, scenario, 300, 3.0)
    assert seen.faults == []
    assert [reply for reply in seen.meanwhile + seen.around if not 0 < reply.status < 500] == []
