"""Two servers of the CRM behind nginx: they are restarted in turn without any failed request; one leads.

Both store their files in one folder.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import pymysql
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.resilience.scenario import Scenario, settled
from tests.server_clusters import ROUNDS, Nginx, figures
from tests.servers import ROOT, Databases, LiveServer, Redis, eventually

#: Between two requests of a person. Sixty a second are enough to meet a server that is away for a moment.
PAUSE_SECONDS = 0.1
#: A file that is uploaded and downloaded slowly: more than the buffers of a connection hold.
FILE_BYTES, PIECES = 8_000_000, 40
#: How long that takes: through nginx, which keeps what is under way, and straight from or to a server, which stops
#: meanwhile (behind a balancer that passes on each piece as it comes).
THROUGH_NGINX_SECONDS, STRAIGHT_SECONDS = 12.0, 4.0


@dataclass
class Deployment:
    """Two servers, and nginx in front of them."""

    scenario: Scenario
    webs: list[LiveServer]
    nginx: Nginx

    def leader(self) -> int | None:
        """Which of them leads the schedule."""
        with Session(self.scenario.crm.engine) as session:
            query = text("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(:lock)")
            host = session.execute(query, {"lock": f"crm-scheduler:{self.scenario.name}"}).scalar()
        port = int(str(host).rpartition(":")[2]) if host else 0
        return next((n for n, each in enumerate(self.webs) if port in _ports_of(each)), None)


@pytest.fixture(scope="module")
def deployment(
    mariadb_server: Databases, settled_mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("many")
    name = mariadb_server.create_database()
    mariadb_server.copy_database(settled_mariadb, name)
    with settled(mariadb_server.url(name), folder, empty=False) as scenario, Redis(folder / "redis") as redis:
        settings = scenario.settings | {
            "CRM_REDIS_URL": redis.url,
            "CRM_PROXIES": "1",
            "CRM_WORKERS": "2",
            "CRM_SCHEDULER": "on",
            "CRM_API_LIMIT": "off",
            "CRM_API_WRITE_LIMIT": "off",
        }
        webs = [LiveServer(folder / f"web{n}", **settings, CRM_SERVER_NAME=f"crm{n}") for n in (1, 2)]
        (folder / "files").mkdir()
        for each in webs:
            (each.folder / "instance").mkdir()
            (each.folder / "instance" / "files").symlink_to(folder / "files")
        with webs[0], webs[1], Nginx(folder / "nginx", webs) as nginx:
            yield Deployment(scenario, webs, nginx)
    mariadb_server.drop_database(name)


@dataclass
class Load:
    """People who read and write through nginx all the time, and what they met."""

    port: int
    headers: Mapping[str, str]
    answered: int = 0
    saved: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    #: Numbers of its own for each round.
    base: int = field(default_factory=lambda: time.time_ns() // 1_000_000 % 90_000_000)
    _is_over: bool = False

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(6)]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._is_over = True
            for each in threads:
                each.join()

    def _work(self, number: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for serial in range(1_000_000):
            if self._is_over:
                break
            began = time.monotonic()
            try:
                self._once(line, self.base + number * 1_000_000 + serial, is_write=number % 3 == 0)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                line.close()
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(PAUSE_SECONDS)
        line.close()

    def _once(self, line: http.client.HTTPConnection, serial: int, is_write: bool) -> None:
        headers = {**self.headers, "Content-Type": "application/json"}
        if is_write:
            body = json.dumps({"first_name": f"L{serial}", "mobile": f"97{serial % 100_000_000:08d}"})
            line.request("POST", "/api/v1/lead/", body, headers)
        else:
            line.request("GET", "/api/v1/lead/?q=(page_size:5)", headers=headers)
        answer = line.getresponse()
        body_text = answer.read()
        self.answered += 1
        if answer.status not in (200, 201):
            self.failures.append(f"{answer.status} {body_text[:200]!r}")
        elif is_write:
            self.saved.append(f"L{serial}")


@pytest.mark.parametrize("_round", ROUNDS)
def test_a_rolling_restart_is_not_noticed(_round: int, deployment: Deployment, tmp_path: Path) -> None:
    """deploy/rolling-restart gives the word, and the main thread, which started them, restarts them.

    Meanwhile people read and write, and slow clients upload and download a file.
    """
    lines, pipes = [], []
    for number, web in enumerate(deployment.webs):
        asked, done = tmp_path / f"asked{number}", tmp_path / f"done{number}"
        os.mkfifo(asked)
        os.mkfifo(done)
        pipes.append((asked, done))
        lines.append(f"{web.url}/readyz sh -c 'echo > {asked} && cat {done} > /dev/null'")
    (tmp_path / "servers").write_text("# two\n" + "\n".join(lines) + "\n")
    slow = SlowClients(
        deployment.scenario.crm.client("ana").headers, deployment.scenario.crm.make.lead().id, deployment.nginx.port
    )
    with Load(deployment.nginx.port, slow.headers).running() as load:
        eventually(lambda: load.answered > 50, "nobody is answered")
        before = [each.pid for each in deployment.webs]
        command = [sys.executable, ROOT / "deploy" / "rolling-restart", tmp_path / "servers", "--settle", "4"]
        slow.begin(deployment.nginx.port, THROUGH_NGINX_SECONDS)
        with Popen([str(each) for each in command], text=True, stdout=-1, stderr=-1) as script:
            for web, (asked, done) in zip(deployment.webs, pipes, strict=True):
                asked.read_text()
                slow.begin(web.port, STRAIGHT_SECONDS)
                web.restart()
                done.write_text("done")
            said, errors = script.communicate(timeout=120)
        at_end = load.answered
        eventually(lambda: load.answered > at_end + 50, "nobody is answered any more")
    figures.info("%s answered, %s failed, slowest %.2f s", load.answered, len(load.failures), load.slowest)
    assert script.returncode == 0, errors
    assert len(re.findall("is ready again", said)) == 2
    assert not {*before} & {each.pid for each in deployment.webs}
    assert load.failures == []
    assert slow.failures(deployment.nginx.port) == []
    there = {row[0] for row in _named(deployment)}
    assert {*load.saved} <= there and len(load.saved) == len({*load.saved})


def test_a_connection_that_was_said_to_stay_open_is_read_while_a_server_stops(deployment: Deployment) -> None:
    """As nginx uses it: the response began before the server was told to stop, the next request comes 3 s after it."""
    web, ana, lead = (
        deployment.webs[0],
        deployment.scenario.crm.client("ana").headers,
        deployment.scenario.crm.make.lead().id,
    )
    line = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
    with _held(deployment, "task", 3.0):
        waiting = Errand(lambda: _task_made(line, ana, lead))
        waiting.start()
        time.sleep(1)
        os.kill(web.pid, signal.SIGTERM)
        waiting.join()
    assert waiting.result == (201, ""), waiting.error
    time.sleep(3)
    try:
        assert _task_made(line, ana, lead) == (201, "")
    finally:
        line.close()
        web.stop()
        web.start()


class Errand(threading.Thread):
    """A call in a thread, and what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call, self.result, self.error = call, None, ""

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001  # told by the test
            self.error = repr(error)


class SlowClients:
    """Who uploads and downloads files of a lead, piece by piece."""

    def __init__(self, headers: Mapping[str, str], lead: int, port: int) -> None:
        """The file to be downloaded is uploaded through this port."""
        self.headers, self._lead = headers, lead
        self._content = b"%PDF-1.7\n" + os.urandom(FILE_BYTES)
        self._kept = self._upload(port, self._content, 0)
        self._uploads: list[Errand] = []
        self._downloads: list[Errand] = []

    def begin(self, port: int, seconds: float) -> None:
        """One upload and one download through this port; returns when both are under way."""
        content = self._content + str(len(self._uploads)).encode()
        self._uploads.append(Errand(lambda: self._upload(port, content, seconds)))
        self._downloads.append(Errand(lambda: self._download(port, self._kept, seconds) == self._content))
        for each in (self._uploads[-1], self._downloads[-1]):
            each.start()
        time.sleep(0.5)

    def failures(self, port: int) -> list[str]:
        """What went wrong, when all have ended; what was uploaded is read again through this port."""
        for each in (*self._uploads, *self._downloads):
            each.join()
        found = [each.error or "other bytes were downloaded" for each in self._downloads if not each.result]
        for number, each in enumerate(self._uploads):
            if each.error:
                found.append(each.error)
            elif self._download(port, each.result, 0) != self._content + str(number).encode():
                found.append("other bytes were uploaded")
        return found

    def _upload(self, port: int, content: bytes, seconds: float) -> int:
        """The id of the file."""
        parts = f'name="record"\r\n\r\nlead:{self._lead}', f'name="file"; filename="{os.urandom(4).hex()}.pdf"\r\n\r\n'
        body = b"".join(f"--x\r\nContent-Disposition: form-data; {each}\r\n".encode() for each in parts)
        body = body[:-2] + content + b"\r\n--x--\r\n"
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
            line.putrequest("POST", "/api/v1/file/")
            more = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(len(body))}
            for name, value in {**self.headers, **more}.items():
                line.putheader(name, value)
            line.endheaders()
            step = len(body) // PIECES + 1
            for place in range(0, len(body), step):
                line.send(body[place : place + step])
                time.sleep(seconds / PIECES)
            answer = line.getresponse()
            said = answer.read()
        assert answer.status == 201, f"{answer.status} {said[:200]!r}"
        return int(json.loads(said)["id"])

    def _download(self, port: int, key: int, seconds: float) -> bytes:
        """The content of a file."""
        pieces = []
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
            line.request("GET", f"/api/v1/file/{key}/content", headers=dict(self.headers))
            answer = line.getresponse()
            assert answer.status == 200, f"{answer.status} {answer.read()[:200]!r}"
            while piece := answer.read(FILE_BYTES // PIECES):
                pieces.append(piece)
                time.sleep(seconds / PIECES)
        return b"".join(pieces)


@contextmanager
def _held(deployment: Deployment, table: str, seconds: float) -> Iterator[None]:
    """Statements on this table wait for so many seconds."""
    connection = pymysql.connect(**_address_of(deployment))
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {table} WRITE")
    timer = threading.Timer(seconds, connection.close)
    timer.start()
    yield
    timer.join()


def _address_of(deployment: Deployment) -> dict[str, Any]:
    url = deployment.scenario.crm.engine.url
    return {"host": url.host, "port": url.port, "user": url.username, "database": url.database}


def _task_made(line: http.client.HTTPConnection, headers: Mapping[str, str], lead: int) -> tuple[int, str]:
    """The status with which a new task is answered, and what is said unless it was made."""
    body = {"title": "Call back", "lead": lead, "priority": "Medium", "due_on": "2030-03-01T10:00:00Z"}
    line.request("POST", "/api/v1/task/", json.dumps(body), {**headers, "Content-Type": "application/json"})
    answer = line.getresponse()
    said = answer.read().decode()
    return answer.status, "" if answer.status == 201 else said[:300]


def test_the_servers_lead_in_turn(deployment: Deployment) -> None:
    eventually(lambda: deployment.leader() is not None, "nobody leads")
    for _ in range(2 * len(ROUNDS)):
        leader = deployment.leader()
        assert leader is not None
        deployment.webs[leader].kill()
        began = time.monotonic()
        eventually(lambda other=1 - leader: deployment.leader() == other, "the other one doesn't lead")  # type: ignore[misc]
        took = time.monotonic() - began
        figures.info("server %s leads after %.1f s", 1 - leader, took)
        deployment.webs[leader].start()
    page = deployment.scenario.crm.client("root").screen("/health/").text
    assert page.count("crm1") and page.count("crm2")


def _named(deployment: Deployment) -> list[Any]:
    with Session(deployment.scenario.crm.engine) as session:
        return list(session.execute(text("SELECT first_name FROM leads WHERE first_name LIKE 'L%'")))


def _ports_of(server: LiveServer) -> set[int]:
    """The local ports of all TCP connections of a server and its children."""
    if server.process is None:
        return set()
    pids = [server.pid, *_descendants(server.pid)]
    inodes = set()
    for pid in pids:
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    inodes.add(os.readlink(entry))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes}


def _descendants(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(each), *_descendants(int(each))]
    return found
