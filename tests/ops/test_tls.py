"""Redis and MariaDB over TLS, with their own authority and client certificates: all deadlines apply there, too."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

import config
import database_engine
from app.backups.create import make
from app.backups.drill import drill
from app.backups.errors import BackupError
from app.backups.restore import RestoreRequest, restore
from app.ops.database import connections
from app.ops.database.replica_positions import SavedPositions
from app.ops.redis import redis_client
from app.ops.redis.event_bus import EventBus, LiveEvent
from server_urls import BadUrl, redis_topology, refuse_missing_files
from tests.app_fixtures import settings_for
from tests.backups.installations import fill, installation, rows_of
from tests.server_clusters import PASSWORD, Certificates, Member, SeveralRedis, behind_sentinels, cluster
from tests.servers import MariaDB, eventually


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made(tmp_path_factory.mktemp("tls"))


@contextmanager
def single(folder: Path, tls: Certificates) -> Iterator[SeveralRedis]:
    with Member(folder, tls=tls) as member:
        yield SeveralRedis(f"rediss://:{PASSWORD}@127.0.0.1:{member.port}/0?{tls.query}", [member])


@pytest.mark.parametrize("make", [single, behind_sentinels, cluster])
def test_redis_over_tls(make: object, certificates: Certificates, tmp_path: Path) -> None:
    with make(tmp_path / "redis", certificates) as redis_servers:  # type: ignore[operator]
        config.load({"CRM_INSTANCE_DIR": str(tmp_path), "CRM_REDIS_URL": redis_servers.url})
        heard: list[LiveEvent] = []
        bus, saved = EventBus(redis_servers.url, heard.append), SavedPositions(redis_servers.url)
        bus.listen()
        eventually(lambda: bus.is_up, "nobody listens")
        eventually(lambda: bus.publish(LiveEvent(notified=frozenset({7}))), "nobody takes the event")
        eventually(lambda: bool(heard), "the event does not arrive")
        saved.remember(7, {0: 42})
        saved.resend()
        with closing(redis_client.connect_worker(redis_servers.url)) as worker:
            assert worker.zscore("{crm}saved:7", "0") == 42
        bus.close()
        _ends_in_time(redis_servers)
        stranger = redis_client.connect(_without_certificate(redis_servers.url), 2.0)
        with closing(stranger), pytest.raises(redis_client.TROUBLE):
            stranger.ping()
        for each in (bus, saved):
            each._redis.close()  # type: ignore[attr-defined]


def _ends_in_time(redis_servers: SeveralRedis) -> None:
    """An answer that doesn't come is not waited for, on a connection that stands."""
    with closing(redis_client.connect(redis_servers.url, 0.4)) as redis:
        eventually(lambda: _pings(redis), "Redis is too slow")
        pid = redis_servers.master().pid
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(redis_client.TROUBLE):
                redis.ping()
            assert time.monotonic() - began < 20
        finally:
            os.kill(pid, signal.SIGCONT)


def _pings(redis: object) -> bool:
    try:
        return bool(redis.ping())  # type: ignore[attr-defined]
    except redis_client.TROUBLE:
        return False


def _without_certificate(url: str) -> str:
    return url.partition("&ssl_certfile")[0]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("rediss://h/0?ssl_min_version=771", "option of TLS that is not known"),
        ("redis://h/0?ssl_ca_certs=/x", "option of TLS that is not known"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs must be one of"),
        ("rediss+cluster://h?ssl_check_hostname=perhaps", "ssl_check_hostname must be one of"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(url: str, word: str) -> None:
    with pytest.raises(BadUrl, match=word):
        redis_topology(url)


def test_a_certificate_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(BadUrl, match="can't be read"):
        refuse_missing_files("rediss://h/0?ssl_ca_certs=/nowhere/ca.pem")


@contextmanager
def strict_mariadb(folder: Path, tls: Certificates, cache: Path) -> Iterator[str]:
    """The URL, without files, of a database whose user must have a certificate."""
    with MariaDB(folder, cache, *tls.options_of_mariadb) as server:
        with closing(server.connect()) as line, line.cursor() as cursor:
            cursor.execute("CREATE DATABASE crm")
            cursor.execute("CREATE USER crm@'127.0.0.1' IDENTIFIED BY 'x' REQUIRE X509")
            cursor.execute("GRANT ALL ON *.* TO crm@'127.0.0.1'")
        yield f"mysql+pymysql://crm:x@127.0.0.1:{server.port}/crm?charset=utf8mb4"


def test_mariadb_over_tls(certificates: Certificates, tmp_path: Path, mariadb_cache: Path) -> None:
    with strict_mariadb(tmp_path / "db", certificates, mariadb_cache) as address:
        query = certificates.query_of_mariadb
        settings = settings_for(tmp_path / "instance", CRM_DATABASE_URL=f"{address}&{query}")
        engine = create_engine(settings.database_url, **database_engine.engine_options(settings))
        connections.tune(engine, lambda: 1.0)
        with engine.connect() as connection:
            assert connection.execute(text("SHOW STATUS LIKE 'Ssl_version'")).one()[1].startswith("TLS")
            assert len(connection.execute(text("SELECT REPEAT('x', 3000000)")).scalar_one()) == 3_000_000
            began = time.monotonic()
            with pytest.raises(OperationalError):
                connection.execute(text("SELECT SLEEP(25)"))
            assert time.monotonic() - began < 20
        engine.dispose()
        other = Certificates.made(tmp_path / "other")
        for url in (address, f"{address}&{query.replace(certificates.path('ca.pem'), other.path('ca.pem'))}"):
            refused = create_engine(url)
            connections.tune(refused)
            with pytest.raises(OperationalError):
                refused.connect()
            refused.dispose()


def test_backups_drills_and_restores_go_over_tls(
    certificates: Certificates, tmp_path: Path, mariadb_cache: Path
) -> None:
    with strict_mariadb(tmp_path / "db", certificates, mariadb_cache) as address:
        url = f"{address}&{certificates.query_of_mariadb}"
        made = installation(tmp_path / "installation", url)
        fill(made)
        backup = make(made).backup
        report = drill(made)
        assert not report.faults and "The database was restored: 2 tables" in " ".join(report.checked)
        target = url.replace("/crm?", "/copy?")
        restore(made, RestoreRequest(backup.name, target))
        assert rows_of(target) == rows_of(url)
        other = Certificates.made(tmp_path / "other")
        strange = url.replace(certificates.path("ca.pem"), other.path("ca.pem"))
        for refused in (address, strange):
            with pytest.raises(BackupError, match="MariaDB"):
                make(replace(made, database_url=refused))
