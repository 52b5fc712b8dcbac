"""deploy/promote with real servers: no acknowledged change is lost, and dangerous steps are refused with a message."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import pytest

from tests.app_fixtures import FIELD_KEY
from tests.server_clusters import ADMIN, REPLICATION, ROUNDS, Certificates, Follower, dumped_into, figures, replicated
from tests.servers import ROOT, Databases, LiveServer, eventually

TABLE = (
    "CREATE DATABASE crm",
    "CREATE TABLE crm.t (id INT PRIMARY KEY) ENGINE=InnoDB",
    "CREATE USER crm@'127.0.0.1' IDENTIFIED BY 'p@ss'",
    "GRANT ALL ON crm.* TO crm@'127.0.0.1'",
)


@dataclass
class Writers:
    """Threads that write until their server is gone, and remember what it has acknowledged."""

    server: Follower
    first: int
    acknowledged: list[int] = field(default_factory=list)

    def __enter__(self) -> Writers:
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(4)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._threads:
            each.join()

    def _write(self, number: int) -> None:
        with contextlib.suppress(pymysql.MySQLError, OSError), contextlib.closing(_as_the_crm(self.server)) as line:
            for key in range(self.first + number, self.first + 1_000_000, 4):
                with line.cursor() as cursor:
                    cursor.execute(f"INSERT INTO t VALUES ({key})")  # noqa: S608
                line.commit()
                self.acknowledged.append(key)


@dataclass
class Operator:
    """Who runs deploy/promote, with the settings of one server of the CRM."""

    env: Path
    admin: Path

    @classmethod
    def of(cls, folder: Path, servers: list[Follower], database: str = "crm", options: str = "") -> Operator:
        made = cls(folder / "env", folder / "promote")
        urls = [f"mysql+pymysql://crm:p%40ss@{each.place}/{database}?charset=utf8mb4{options}" for each in servers]
        made.env.write_text(f"# settings\nCRM_DATABASE_URL='{urls[0]}'\nCRM_PORT='8000'\n")
        with made.env.open("a") as file:
            file.write(f"CRM_REPLICA_URLS='{','.join(urls[1:])}'\n")
        text = "".join(
            f"[{part}]\nuser = {user}\npassword = {password}\n"
            for part, (user, password) in (("admin", ADMIN), ("replication", REPLICATION))
        )
        made.admin.write_text(text)
        made.admin.chmod(0o600)
        return made

    def promotes(self, server: Follower, *options: str) -> str:
        """What the script says when it succeeds."""
        done = self._run(server.place, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_refused(self, server: str | Follower, *options: str) -> str:
        """The sentence with which it refuses."""
        done = self._run(server if isinstance(server, str) else server.place, *options)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
        return done.stderr

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [ROOT / "deploy" / "promote", *arguments, "--env", self.env, "--admin", self.admin]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def primary(self) -> str:
        """The line of the primary."""
        return next(line for line in self.env.read_text().splitlines() if line.startswith("CRM_DATABASE_URL"))

    def replicas(self) -> str:
        """The line of the replicas."""
        return next(line for line in self.env.read_text().splitlines() if line.startswith("CRM_REPLICA_URLS"))


@pytest.mark.parametrize("_round", ROUNDS)
def test_the_primary_is_killed_under_writes(_round: int, tmp_path: Path, mariadb_cache: Path) -> None:
    with replicated(tmp_path, mariadb_cache, replicas=2) as servers:
        first, second, third = servers
        first.say(*TABLE)
        operator, other = Operator.of(tmp_path, servers), Operator.of(_made(tmp_path / "other"), servers)
        assert "lives and takes changes" in operator.is_refused(second)
        assert "is no server of" in operator.is_refused("127.0.0.1:1")
        with Writers(first, 0) as writers:
            eventually(lambda: len(writers.acknowledged) > 500, "nothing is written")
            first.kill()
            began = time.monotonic()
        ahead, behind = (second, third) if _received(second) >= _received(third) else (third, second)
        if _received(ahead) > _received(behind):
            assert "has changes that" in operator.is_refused(behind)
        said = operator.promotes(ahead)
        took = time.monotonic() - began
        assert "all that people were told is saved is here" in said
        assert ahead.place in operator.primary() and "p%40ss" in operator.primary()
        assert behind.place in operator.replicas() and first.place not in operator.replicas()
        assert "CRM_PORT='8000'" in operator.env.read_text()
        with contextlib.closing(ahead.connect("crm")) as line, line.cursor() as cursor:
            cursor.execute("SELECT id FROM t")
            there = {row[0] for row in cursor.fetchall()}
        lost = {*writers.acknowledged} - there
        figures.info("%s acknowledged, %s lost, promoted in %.2f s", len(writers.acknowledged), len(lost), took)
        assert not lost
        assert "no replica confirms" not in said
        began = time.monotonic()
        ahead.say("INSERT INTO crm.t VALUES (-1)")
        assert time.monotonic() - began < 4, "a commit waits for a replica in vain"
        eventually(lambda: behind.say("SELECT COUNT(*) FROM crm.t WHERE id = -1")[0][0] == 1, "it isn't followed")
        # On the next server of the CRM all is done but its settings, and once more nothing is
        assert "is the primary already" in other.promotes(ahead)
        assert other.primary() == operator.primary()
        assert "is right already" in operator.promotes(ahead)
        # What comes back with changes that nobody else has stays out, read-only
        first.start()
        assert "both take changes" in Operator.of(_made(tmp_path / "late"), servers).is_refused(ahead)
        first.say("INSERT INTO crm.t VALUES (-2)")
        assert "holds changes that" in operator.is_refused(first, "--rejoin")
        assert first.say("SELECT @@global.read_only")[0][0] == 1


@dataclass
class Savers:
    """People who save through a running server of the CRM until they are told to stop."""

    web: LiveServer
    #: Phone numbers of leads that were answered with 201, and when.
    saved: dict[str, float] = field(default_factory=dict)
    #: Answers of other statuses.
    other: list[int] = field(default_factory=list)
    is_over: bool = False

    @contextlib.contextmanager
    def running(self) -> Iterator[Savers]:
        threads = [threading.Thread(target=self._save, args=(number,)) for number in range(3)]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self.is_over = True
            for each in threads:
                each.join()

    def _save(self, number: int) -> None:
        serial = number * 1_000_000
        while not self.is_over:
            serial += 1
            body = json.dumps({"first_name": "Saved", "mobile": f"97{serial:08d}"})
            headers = {"Authorization": "token keyana:secret-ana", "Content-Type": "application/json"}
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=60)) as line:
                line.request("POST", "/api/v1/lead/", body, headers)
                answer = line.getresponse()
                answer.read()
            if answer.status == 201:
                self.saved[f"97{serial:08d}"] = time.monotonic()
            else:
                self.other.append(answer.status)
            time.sleep(0.05)

    def since(self, moment: float) -> float | None:
        """How many seconds after this moment somebody could save again."""
        later = [at for at in list(self.saved.values()) if at > moment]
        return min(later) - moment if later else None


def test_a_running_server_saves_again_without_a_restart(
    tmp_path: Path, mariadb_cache: Path, mariadb_server: Databases, settled_mariadb: str
) -> None:
    """deploy/promote rewrites the file of settings; lost primary, then a planned switch back."""
    with replicated(tmp_path, mariadb_cache) as servers:
        first, second = servers
        name = settled_mariadb
        dumped_into(mariadb_server.port, name, first)
        first.say("CREATE USER crm@'127.0.0.1' IDENTIFIED BY 'p@ss'", f"GRANT ALL ON {name}.* TO crm@'127.0.0.1'")
        operator = Operator.of(tmp_path, servers, name)
        url = operator.primary().partition("=")[2].strip("'")
        more = {"CRM_SETTINGS_FILE": str(operator.env), "CRM_FIELD_KEY": FIELD_KEY, "CRM_SCHEDULER": "on"}
        web = LiveServer(tmp_path / "web", CRM_DATABASE_URL=url, CRM_API_LIMIT="off", CRM_API_WRITE_LIMIT="off", **more)
        with web, Savers(web).running() as savers:
            eventually(lambda: len(savers.saved) > 20, "nobody can save")
            pid = web.pid
            first.kill()
            killed = time.monotonic()
            operator.promotes(second)
            promoted = time.monotonic()
            eventually(lambda: savers.since(promoted) is not None, "nobody can save again")
            figures.info("promoted after %.1f s, saving %.1f s later", promoted - killed, savers.since(promoted))
            first.options = (*first.options, "--read-only=1")
            first.start()
            operator.promotes(first, "--rejoin")
            operator.promotes(first, "--switch")
            switched = time.monotonic()
            eventually(lambda: savers.since(switched) is not None, "nobody can save after the switch")
            figures.info("saving %.1f s after the switch", savers.since(switched))
            eventually(lambda: _leads_on(first, name), "nobody leads the schedule there")
        assert web.process is None and pid
        assert {*savers.other} <= {503}, savers.other
        there = {row[0] for row in first.say(f"SELECT mobile FROM {name}.leads WHERE first_name = 'Saved'")}  # noqa: S608
        assert {*savers.saved} <= there, {*savers.saved} - there


def _leads_on(server: Follower, name: str) -> bool:
    return server.say(f"SELECT IS_USED_LOCK('crm-scheduler:{name}')")[0][0] is not None


def test_a_planned_switch_and_back(tmp_path: Path, mariadb_cache: Path) -> None:
    with replicated(tmp_path, mariadb_cache, semi_sync=False) as servers:
        first, second = servers
        first.say(*TABLE)
        operator = Operator.of(tmp_path, servers)
        for serial, (old, new) in enumerate([(first, second), (second, first)]):
            with Writers(old, serial * 1_000_000) as writers:
                eventually(lambda w=writers: len(w.acknowledged) > 100, "nothing is written")  # type: ignore[misc]
                assert "takes changes" in operator.promotes(new, "--switch")
            count = new.say(f"SELECT COUNT(*) FROM crm.t WHERE id >= {serial * 1_000_000}")[0][0]  # noqa: S608
            assert count == len(writers.acknowledged)
            assert new.place in operator.primary() and old.place in operator.replicas()
            assert old.say("SELECT @@global.read_only")[0][0] == 1
        # Cut off in the middle: it follows nobody, and takes no changes
        first.say("SET GLOBAL read_only = 1")
        second.say("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL rpl_semi_sync_slave_enabled = 0")
        first.stop()
        assert "WARNING: semi-synchronous replication was not on" in operator.promotes(second)
        assert second.say("SELECT @@global.read_only")[0][0] == 0
        first.options = (*first.options, "--read-only=1")
        first.start()
        assert f"{first.place} follows" in operator.promotes(first, "--rejoin")
        assert first.place in operator.replicas()
        _dangers_are_refused(operator, second, first)


def test_servers_that_ask_for_certificates_change_places(tmp_path: Path, mariadb_cache: Path) -> None:
    tls = Certificates.made(tmp_path / "tls")
    with replicated(tmp_path, mariadb_cache, semi_sync=False, tls=tls) as servers:
        first, second = servers
        first.say(*TABLE, "ALTER USER crm@'127.0.0.1' REQUIRE X509")
        operator = Operator.of(tmp_path, servers, options=f"&{tls.query_of_mariadb}")
        with operator.admin.open("a") as file:  # the part of the user who replicates is the last
            file.write("".join(f"ssl_{name} = {tls.path(path)}\n" for name, path in tls.files_of_client.items()))
        operator.promotes(second, "--switch")
        status = first.status()  # it was told nothing of certificates before
        assert (status["Master_SSL_Allowed"], status["Slave_IO_Running"]) == ("Yes", "Yes")
        assert status["Master_SSL_Verify_Server_Cert"] == "Yes"
        assert second.place in operator.primary() and tls.query_of_mariadb in operator.primary()
        strange = Certificates.made(tmp_path / "other")
        text = operator.env.read_text().replace(tls.path("ca.pem"), strange.path("ca.pem"))
        operator.env.write_text(text)
        assert "doesn't answer" in operator.is_refused(first, "--rejoin")


def _dangers_are_refused(operator: Operator, primary: Follower, replica: Follower) -> None:
    replica.say("SET GLOBAL read_only = 0", "DROP TABLE crm.t", "SET GLOBAL read_only = 1")
    primary.say("INSERT INTO crm.t VALUES (-1)")
    eventually(lambda: replica.status()["Slave_SQL_Running"] == "No", "replication is not broken")
    primary.kill()
    assert "is broken (error" in operator.is_refused(replica)
    operator.admin.chmod(0o644)
    assert "Others may read" in operator.is_refused(replica)
    operator.admin.chmod(0o600)
    operator.admin.write_text(operator.admin.read_text().replace("keeper-pass", "wrong"))
    assert "doesn't let the administrator in" in operator.is_refused(replica)
    replica.stop()
    assert "doesn't answer" in operator.is_refused(replica)


def _as_the_crm(server: Follower) -> pymysql.Connection:
    """Not as root, whom read_only doesn't stop."""
    return pymysql.connect(host="127.0.0.1", port=server.port, user="crm", password="p@ss", database="crm")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _received(server: Follower) -> int:
    row = server.status()
    return int(str(row["Gtid_IO_Pos"]).rpartition("-")[2] or 0)
