"""Several servers for tests: MariaDB with replicas, nginx, Redis behind Sentinels, a Redis Cluster.

All listen on 127.0.0.1, and end with the test.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymysql.cursors import DictCursor
from redis import Redis as Client
from redis.crc import key_slot
from redis.exceptions import RedisError

from app.ops import TAG
from tests.servers import ROOT, LiveServer, MariaDB, Redis, Server, eventually, free_port, program

sys.path.insert(0, str(ROOT / "deploy"))
import render  # a program of its own, not part of the product

#: How often the tests kill what they kill: CRM_TEST_ROUNDS=20 for the long form, whose figures are logged.
ROUNDS = range(int(os.environ.get("CRM_TEST_ROUNDS", "1")))
figures = logging.getLogger("tests.figures")
#: The users of deploy/promote.
ADMIN, REPLICATION = ("keeper", "keeper-pass"), ("repl", "repl-pass")
PASSWORD, SENTINEL_PASSWORD = "redis-pass", "sentinel-pass"

_SEMI_SYNC_PRIMARY = ("--rpl-semi-sync-master-enabled=1", "--rpl-semi-sync-master-timeout=5000")
_SEMI_SYNC = (*_SEMI_SYNC_PRIMARY, "--rpl-semi-sync-master-wait-point=AFTER_SYNC")


class Follower(MariaDB):
    """A MariaDB that keeps a binary log; it follows another one, or is followed."""

    def __init__(self, folder: Path, cache: Path, number: int, *options: str) -> None:
        """`number` is its server_id."""
        kept = ("--log-bin=bin", "--log-slave-updates=1", "--gtid-strict-mode=1", "--binlog-format=ROW")
        super().__init__(folder, cache, *kept, f"--server-id={number}", *options)

    @property
    def place(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    def say(self, *statements: str) -> list[tuple[object, ...]]:
        """The rows of the last of these statements."""
        rows: list[tuple[object, ...]] = []
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for each in statements:
                cursor.execute(each)
                rows = list(cursor.fetchall())
            connection.commit()
        return rows

    def follow(self, primary: Follower, tls: Certificates | None = None) -> None:
        """Follow from the beginning."""
        user, password = REPLICATION
        files = tls.files_of_client.items() if tls else ()
        self.say(
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={primary.port}, master_user='{user}', "
            f"master_password='{password}', master_use_gtid=slave_pos, master_connect_retry=1"
            + "".join(f", master_ssl_{name}='{tls.path(file)}'" for name, file in files if tls)
            + (", master_ssl=1" if tls else ""),
            "START SLAVE",
        )

    def status(self) -> dict[str, object]:
        """What it says as a replica."""
        with contextlib.closing(self.connect()) as connection, connection.cursor(DictCursor) as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            return dict(cursor.fetchone() or {})


@contextlib.contextmanager
def replicated(
    folder: Path, cache: Path, replicas: int = 1, semi_sync: bool = True, tls: Certificates | None = None
) -> Iterator[list[Follower]]:
    """A primary and its replicas, the primary first; each change waits for a replica if `semi_sync`.

    `tls`: the users of deploy/promote must have a certificate.
    """
    over_tls, required = (tls.options_of_mariadb, " REQUIRE X509") if tls else ((), "")
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(Follower(folder / "db1", cache, 1, *over_tls, *(_SEMI_SYNC if semi_sync else ())))
        for name, password in (ADMIN, REPLICATION):
            primary.say(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{password}'{required}")
        primary.say(f"GRANT ALL ON *.* TO {ADMIN[0]}@'127.0.0.1'")
        primary.say(f"GRANT REPLICATION SLAVE ON *.* TO {REPLICATION[0]}@'127.0.0.1'")
        followers = []
        for number in range(2, replicas + 2):
            options = (*over_tls, "--read-only=1", f"--rpl-semi-sync-slave-enabled={int(semi_sync)}")
            made = stack.enter_context(Follower(folder / f"db{number}", cache, number, *options))
            made.follow(primary, tls)
            followers.append(made)
        for each in followers:
            eventually(partial(_follows, each), "a replica doesn't follow")
        yield [primary, *followers]


# --- nginx


class Nginx(Server):
    """nginx with the site of an installation, in front of several servers."""

    def __init__(self, folder: Path, webs: Sequence[LiveServer]) -> None:
        super().__init__(folder)
        values = {
            "WEB_ADDRESS": ",".join(f"127.0.0.1:{each.port}" for each in webs),
            "SOCKETS_ADDRESS": ",".join(f"127.0.0.1:{each.port}" for each in webs),
            "LISTEN": f"    listen 127.0.0.1:{self.port};",
            "SERVER_NAME": "127.0.0.1",
            "LOG_DIR": str(folder),
            "FOLDER": str(folder),
            "NGINX_USER": "user root;" if os.geteuid() == 0 else "",
            "NGINX_MODULES": "",
        }
        (site,) = render.render(folder, values, ["nginx/crm.conf"])
        # The pause until a server is asked again, shorter; `--settle` is as much shorter.
        site.write_text(site.read_text().replace("fail_timeout=5s", "fail_timeout=1s"))
        whole = (ROOT / "deploy" / "stack" / "nginx.conf").read_text()
        (folder / "nginx" / "nginx.conf").write_text(render.filled(whole, render.complete(values)))

    def command(self) -> Sequence[str]:
        return (program("nginx"), "-c", str(self.folder / "nginx" / "nginx.conf"), "-e", "stderr", "-g", "daemon off;")

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            line.request("GET", "/healthz")
            status = line.getresponse().status
            line.close()
            return status == 200
        return False


# --- TLS


@dataclass(frozen=True)
class Certificates:
    """An authority of its own, a certificate of 127.0.0.1 and one of a client, with their keys: files of PEM."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Certificates:
        """Made by openssl, valid for a day."""
        folder.mkdir(parents=True, exist_ok=True)
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
        _openssl(folder, "req", "-x509", *new, "-subj", "/CN=Authority", "-keyout", "ca.key", "-out", "ca.pem")
        for name, alternative in (("server", "IP:127.0.0.1"), ("client", "DNS:client")):
            signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName={alternative}")
            files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
            _openssl(folder, "req", "-x509", *new, "-subj", f"/CN={name}", *signed, *files)
        return cls(folder)

    def path(self, name: str) -> str:
        """The path of a file: ca.pem, server.pem, server.key, client.pem, client.key."""
        return str(self.folder / name)

    @property
    def query(self) -> str:
        """The options of CRM_REDIS_URL."""
        files = (("ssl_ca_certs", "ca.pem"), ("ssl_certfile", "client.pem"), ("ssl_keyfile", "client.key"))
        return "&".join(f"{name}={self.path(file)}" for name, file in files)

    @property
    def query_of_mariadb(self) -> str:
        """The options of CRM_DATABASE_URL."""
        return "&".join(f"ssl_{name}={self.path(file)}" for name, file in self.files_of_client.items())

    @property
    def files_of_client(self) -> dict[str, str]:
        """The files of a client of MariaDB."""
        return {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}

    @property
    def options_of_mariadb(self) -> tuple[str, ...]:
        """For a server that can be reached by TLS, and knows certificates of clients."""
        files = (("ca", "ca.pem"), ("cert", "server.pem"), ("key", "server.key"))
        return tuple(f"--ssl-{option}={self.path(file)}" for option, file in files)

    def options_of_redis(self, port: int) -> tuple[str, ...]:
        """For a server that is reached by TLS only, by clients with a certificate."""
        files = (("cert", "server.pem"), ("key", "server.key"), ("ca-cert", "ca.pem"))
        named = [part for option, file in files for part in (f"--tls-{option}-file", self.path(file))]
        return ("--port", "0", "--tls-port", str(port), *named, "--tls-replication", "yes")

    @property
    def options_of_client(self) -> dict[str, Any]:
        """For redis-py."""
        files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
        return {"ssl": True} | {name: self.path(file) for name, file in files.items()}


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run([program("openssl"), *arguments], cwd=folder, check=True, capture_output=True)


# --- Redis


class Member(Redis):
    """A Redis with a password and options of its own."""

    def __init__(self, folder: Path, *options: str, tls: Certificates | None = None) -> None:
        super().__init__(folder)
        self.options, self.tls = options, tls

    def command(self) -> Sequence[str]:
        plain = (*super().command(), "--requirepass", PASSWORD, "--masterauth", PASSWORD, *self.options)
        return (*plain, *self.tls.options_of_redis(self.port)) if self.tls else plain

    def client(self) -> Client:
        """A client of this one alone."""
        return Client(port=self.port, password=PASSWORD, host="127.0.0.1", **_of_client(self.tls))

    def answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError), self.client() as client:
            return bool(client.ping())
        return False

    def follows(self) -> bool:
        """Whether it is a replica that has reached its master."""
        with self.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")


def _of_client(tls: Certificates | None) -> dict[str, Any]:
    return tls.options_of_client if tls else {}


class Sentinel(Server):
    """One Sentinel; it keeps what it learns in its file."""

    def __init__(self, folder: Path, master: Member) -> None:
        super().__init__(folder)
        self.file, self.tls = folder / "sentinel.conf", master.tls
        options = self.tls.options_of_redis(self.port) if self.tls else ("--port", str(self.port))
        ports = "\n".join(f"{name[2:]} {value}" for name, value in zip(options[::2], options[1::2], strict=True))
        lines = (
            f"{ports}\nbind 127.0.0.1\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}",
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
            f"sentinel monitor crm 127.0.0.1 {master.port} 2\nsentinel auth-pass crm {PASSWORD}",
            "sentinel down-after-milliseconds crm 1000\nsentinel failover-timeout crm 5000\n",
        )
        self.file.write_text("\n".join(lines))

    def command(self) -> Sequence[str]:
        return (program("redis-server"), str(self.file), "--sentinel")

    def answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError), self._client() as client:
            return bool(client.ping())
        return False

    def _client(self) -> Client:
        return Client(port=self.port, password=SENTINEL_PASSWORD, host="127.0.0.1", **_of_client(self.tls))

    def knows_all(self) -> bool:
        """Whether it has found a replica and two other Sentinels."""
        with self._client() as client:
            state = client.execute_command("SENTINEL", "MASTER", "crm")
            fields = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
            named = {(k.decode() if isinstance(k, bytes) else k): v for k, v in fields.items()}
            return int(named["num-slaves"]) >= 1 and int(named["num-other-sentinels"]) >= 2


class SeveralRedis:
    """A house of Redis servers with its URL."""

    def __init__(self, url: str, members: list[Member]) -> None:
        self.url, self.members = url, members

    def master(self) -> Member:
        """The one that takes the CRM's keys at this moment."""
        for each in self.members:
            with contextlib.suppress(RedisError, OSError), each.client() as client:
                client.set(f"{TAG}probe", 1)
                return each
        raise LookupError("nobody takes our keys")


@contextlib.contextmanager
def behind_sentinels(folder: Path, tls: Certificates | None = None) -> Iterator[SeveralRedis]:
    """A master and a replica, watched by three Sentinels; all with passwords."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(Member(folder / "r1", tls=tls))
        replica = stack.enter_context(Member(folder / "r2", "--replicaof", "127.0.0.1", str(master.port), tls=tls))
        eventually(replica.follows, "the replica doesn't follow")
        sentinels = [stack.enter_context(Sentinel(folder / f"s{n}", master)) for n in range(3)]
        for each in sentinels:
            eventually(each.knows_all, "the Sentinels don't find each other")
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
        url = f"redis+sentinel://:{PASSWORD}@{hosts}/crm/0?sentinel_password={SENTINEL_PASSWORD}"
        yield SeveralRedis(f"{url.replace('redis+', 'rediss+')}&{tls.query}" if tls else url, [master, replica])


class Node(Member):
    """A node of a Cluster."""

    def __init__(self, folder: Path, tls: Certificates | None = None) -> None:
        super().__init__(folder, tls=tls)
        self.port = _low_port()
        self.options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        if tls:
            self.options += ("--tls-cluster", "yes")


def _low_port() -> int:
    """A port whose bus, 10000 above, is free, too."""
    while (port := free_port()) > 55_000 or not _is_free(port + 10_000):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextlib.contextmanager
def cluster(folder: Path, tls: Certificates | None = None) -> Iterator[SeveralRedis]:
    """Three masters, and a replica of the one that has the CRM's keys."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Node(folder / f"n{n}", tls)) for n in range(4)]
        clients = [stack.enter_context(each.client()) for each in nodes]
        bounds = [(0, 5460), (5461, 10922), (10923, 16383)]
        for client, (first, last) in zip(clients, bounds, strict=False):
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for other in nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        for client in clients:
            eventually(partial(_says, client, "cluster_known_nodes", "4"), "the nodes don't meet")
        slot = key_slot(TAG.encode())
        owner = clients[next(n for n, (first, last) in enumerate(bounds) if first <= slot <= last)]
        name = owner.execute_command("CLUSTER MYID")
        clients[3].execute_command("CLUSTER REPLICATE", name)
        for client in clients:
            eventually(partial(_says, client, "cluster_state", "ok"), "the Cluster isn't complete")
        eventually(lambda: nodes[3].follows(), "the replica doesn't follow")
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in nodes[:2])
        url = f"redis+cluster://:{PASSWORD}@{hosts}"
        yield SeveralRedis(f"{url.replace('redis+', 'rediss+')}?{tls.query}" if tls else url, list(nodes))


def _follows(server: Any) -> bool:
    return bool(server.status()["Slave_IO_Running"] == "Yes")


def _says(client: Client, key: str, value: str) -> bool:
    """Whether CLUSTER INFO of this node has this value."""
    return _info(client)[key] == value


def _info(client: Client) -> dict[str, str]:
    return dict(client.execute_command("CLUSTER INFO"))


def dumped_into(source_port: int, database: str, target: MariaDB) -> str:
    """Copy a database of the test run's MariaDB into another server; returns the URL there."""
    target.create_database(database)
    at = ("--no-defaults", "--host=127.0.0.1", "--user=root")
    dump = (program("mariadb-dump"), *at, f"--port={source_port}", "--single-transaction", database)
    dumping = subprocess.Popen(dump, stdout=subprocess.PIPE)
    subprocess.run((program("mariadb"), *at, f"--port={target.port}", database), stdin=dumping.stdout, check=True)
    if dumping.stdout is not None:
        dumping.stdout.close()
    assert dumping.wait() == 0
    return target.url(database)
