"""Imports through the pages, on MariaDB and Redis: uploaded to the web process, run by a worker, with kill -9.

    python -m bench.import_runs --rows 100000                                     # one import, nobody is killed
    python -m bench.import_runs --rows 20000 --kill worker:check:40 worker:run:50 # step and share in percent
    python -m bench.import_runs --rows 20000 --kill web:upload:50 web:run:50
    python -m bench.import_runs --rows 20000 --policy update --revert --kill stack:run:50 worker:revert:50

Possible targets: `worker` (the process that works on it), `web`, `stack` (all but the databases). At the end the rows
are counted: none is missing or duplicated, and the figures of the page are consistent.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import data, generate, server
from bench.load import Browser
from tests.servers import LiveServer, Redis, Server

#: Seconds between two checks.
PAUSE = 5.0
_FORM = "application/x-www-form-urlencoded"
_STEPS = {"check": "checking", "run": "running", "revert": "reverting"}
_RUN = "SELECT outcome, position, total, created, updated, skipped, wrong, error, tries FROM crm.import_run WHERE id = "


class Background(Server):
    """Workers and scheduler, which serve no requests."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.settings = settings

    def command(self) -> Sequence[str]:
        return (sys.executable, "run.py")

    def environment(self) -> Mapping[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        return outside | dict(self.settings) | {"CRM_ROLE": "worker,scheduler", "CRM_PORT": str(self.port)}

    def answers(self) -> bool:
        return "running" in self.log.read_text(errors="replace")


def kill_all(program: Server) -> None:
    """End the parent and its children at once: a child could answer for a moment longer, on the port of the next."""
    for pid in server.family(program.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    program.kill()


@dataclass
class Use:
    """The processor time and memory of the worker processes."""

    cpu: dict[int, float] = field(default_factory=dict)
    peak: dict[int, int] = field(default_factory=dict)

    def look(self, pid: int) -> None:
        """Record the usage of this process and its descendants so far."""
        for each in server.family(pid):
            with suppress(OSError, IndexError, StopIteration):
                stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
                self.cpu[each] = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                lines = Path(f"/proc/{each}/status").read_text().splitlines()
                self.peak[each] = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) // 1024

    def busiest(self, pid: int, before: Mapping[int, float]) -> int:
        """The descendant with the highest usage since `before`."""
        children = [each for each in server.family(pid)[1:] if each in self.cpu]
        return max(children, key=lambda each: self.cpu[each] - before.get(each, 0.0))


class Installation:
    """The product and its servers."""

    def __init__(
        self, folder: Path, database: server.Database, redis: Redis, more: Mapping[str, str] | None = None
    ) -> None:
        self.database = database
        common = {"CRM_DATABASE_URL": database.address, "CRM_REDIS_URL": redis.url, "CRM_FIELD_KEY": server.FIELD_KEY}
        common |= {"CRM_INSTANCE_DIR": str(folder / "instance"), "CRM_SECRET_KEY": "b" * 64, "CRM_WORKERS": "1"}
        common |= more or {}
        self.web = LiveServer(folder / "web", **common, CRM_ROLE="web")
        self.web.is_preloaded = False
        self.back = Background(folder / "back", common)
        self.browser, self.user = Browser(0), generate.MANAGER
        self.use, self.web_use = Use(), Use()

    def start(self) -> None:
        """Start whatever isn't running, and sign in."""
        for each in (self.web, self.back):
            if each.process is None:
                each.start()
        self.browser = Browser(self.web.port)
        self.post("/login/", {"username": self.user, "password": generate.PASSWORD}, "/login/")

    def stop(self) -> None:
        """Stop everything."""
        self.back.stop()
        self.web.stop()

    # --- requests

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, dict[str, str], str]:
        """Status, headers and body of a response."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())}
        headers |= {"Content-Type": kind, "Referer": f"{self.web.url}/"} if kind else {}
        self.browser.connection.close()  # the server closes idle connections
        self.browser.connection.request(method, path, body or None, headers)
        answer = self.browser.connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _sign, value = cookie.partition(";")[0].partition("=")
            self.browser.cookies[name.strip()] = value
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text

    def form(self, page: str) -> tuple[str, str]:
        """The CSRF token of the forms on a page, and the page."""
        text = self.send("GET", page)[2]
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', text)
        return html.unescape(found[1]) if found else "", text

    def post(self, path: str, values: Mapping[str, Any], page: str) -> str:
        """Submit a form of this page; returns the redirect's target."""
        from urllib.parse import urlencode

        pairs = urlencode({"csrf_token": self.form(page)[0], **values}, doseq=True).encode()
        status, headers, text = self.send("POST", path, pairs, _FORM)
        assert status in (302, 303), (path, status, re.sub(r"<[^>]*>", " ", text)[-800:])
        return headers.get("location", "")

    def cut_upload(self, path: Path) -> None:
        """Kill the web process when half of a file was sent: nothing has started, and the next upload works."""
        token, data_ = self.form("/imports/new")[0], path.read_bytes()
        connection, before = self.browser.connection, self.one("SELECT COUNT(*) FROM crm.import_run")
        connection.putrequest("POST", "/imports/new")
        cookies = "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())
        head = {
            "Cookie": cookies,
            "Content-Type": "multipart/form-data; boundary=x",
            "Content-Length": len(data_) + 300,
        }
        for name, value in (head | {"Referer": f"{self.web.url}/"}).items():
            connection.putheader(name, str(value))
        connection.endheaders()
        fields = f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
        fields += '--x\r\nContent-Disposition: form-data; name="file"; filename="half.csv"\r\n\r\n'
        connection.send(fields.encode() + data_[: len(data_) // 2])
        time.sleep(1)
        kill_all(self.web)
        self.start()
        assert self.one("SELECT COUNT(*) FROM crm.import_run") == before, "half an upload is an import"
        print("  kill -9 of the web process amid an upload: nothing was begun")

    def upload(self, path: Path, kind: str = "lead") -> str:
        """Upload a file; returns the redirect's target."""
        mark, token = uuid.uuid4().hex, self.form("/imports/new")[0]
        parts = [("csrf_token", "", token.encode()), ("kind", "", kind.encode())]
        parts.append(("file", f'; filename="{path.name}"', path.read_bytes()))
        body = b"".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
            for name, more, value in parts
        )
        status, headers, text = self.send(
            "POST", "/imports/new", body + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"
        )
        assert status in (302, 303), (status, re.sub(r"<[^>]*>", " ", text)[-800:])
        return headers["location"]

    # --- the import

    def row(self, key: int) -> tuple[Any, ...]:
        """The columns of the query _RUN, of the import with this id."""
        found: tuple[Any, ...] = self.database._ask(_RUN + f"{key}")[0]
        return found

    def one(self, query: str) -> Any:
        """The only value of a query's result."""
        return self.database._ask(query)[0][0]

    def wait(self, key: int, step: str, ends: Sequence[str], kills: list[tuple[str, str, int]]) -> None:
        """Wait until the import has one of these states, and kill the processes in `kills` on the way."""
        mine, before, shown = [each for each in kills if each[1] == step], dict(self.use.cpu), -1
        while True:
            time.sleep(PAUSE)
            self.use.look(self.back.pid)
            self.web_use.look(self.web.pid)
            outcome, position, total, *_rest = self.row(key)
            if step == "revert":
                position, total = self._undone(key)
            percent = self._percent(key)
            if position // 10_000 != shown:
                shown = position // 10_000
                print(
                    f"    {time.strftime('%H:%M:%S')} {outcome} {position} of {total}, the page says {percent} %",
                    flush=True,
                )
            if outcome in ends:
                assert not mine, f"it was {outcome} before {mine}"
                return
            assert outcome == _STEPS[step], self.row(key)
            if mine and total and position * 100 // total >= mine[0][2]:
                self._kill(mine.pop(0)[0], before, position)
                before = dict(self.use.cpu)

    def _undone(self, key: int) -> tuple[int, int]:
        rows = f"SELECT COUNT(*) FROM crm.import_row WHERE run_id = {key} AND is_trial = 0 AND result IN "  # noqa: S608
        done = self.one(rows + "('reverted', 'kept')")
        return done, done + self.one(rows + "('created', 'updated')")

    def _percent(self, key: int) -> str:
        try:
            found = re.search(r'<progress max="100"(?: value="(\d+)")?', self.send("GET", f"/imports/{key}/")[2])
        except OSError:
            return "?"
        return (found[1] or "–") if found else "–"

    def kill_worker(self, before: Mapping[int, float]) -> None:
        """Kill the worker with the highest processor time since `before`, according to `use`."""
        os.kill(self.use.busiest(self.back.pid, before), signal.SIGKILL)

    def _kill(self, whom: str, before: Mapping[int, float], position: int) -> None:
        print(f"    kill -9 of {whom} at {position}", flush=True)
        if whom == "worker":
            self.kill_worker(before)
            return
        if whom in ("web", "stack"):
            kill_all(self.web)
        if whom == "stack":
            kill_all(self.back)
        time.sleep(PAUSE)
        self.start()


def imported(
    installation: Installation, path: Path, options: argparse.Namespace, kills: list[tuple[str, str, int]]
) -> int:
    """Upload, check, import. Returns the id of the import."""
    place = installation.upload(path)
    key = int(re.search(r"/imports/(\d+)/", place)[1])  # type: ignore[index]
    page = installation.form(place)[1]
    chosen = {
        name: (re.search(rf'<select[^>]*name="{name}".*?</select>', page, re.S) or [""])[0]
        for name in re.findall(r'name="(column_\d+)"', page)
    }
    fields = {name: (re.search(r'value="([^"]*)" selected', text) or ["", ""])[1] for name, text in chosen.items()}
    values = fields | {"duplicates": options.policy, "keys": ["mobile"], "assign": "me", "dates": "dmy"}
    installation.post(f"/imports/{key}/map", values, place)
    began, cpu = time.monotonic(), _cpu(installation)
    installation.wait(key, "check", ("checked",), kills)
    checked = _cpu(installation)
    installation.post(f"/imports/{key}/start", {}, f"/imports/{key}/")
    installation.wait(key, "run", ("done",), kills)
    done = _cpu(installation)
    for name, first, last in (("check", cpu, checked), ("import", checked, done)):
        figures = ", ".join(f"{what} {last[what] - first[what]:.1f} s" for what in last)
        print(f"  {name}: CPU {figures}")
    print(f"  {time.monotonic() - began:.0f} s by the clock, load {os.getloadavg()[1]:.1f}: {installation.row(key)}")
    return key


def _cpu(installation: Installation) -> dict[str, float]:
    installation.use.look(installation.back.pid)
    return {"workers": sum(installation.use.cpu.values()), "MariaDB": server.cpu_seconds(installation.database.pid)}


def verify(installation: Installation, key: int, rows: int, before: int, policy: str) -> None:
    """Raise AssertionError if a row is missing or duplicated."""
    made = installation.one("SELECT COUNT(*) FROM crm.leads") - before
    lines = f"FROM crm.import_row WHERE run_id = {key} AND is_trial = 0"
    counted = [installation.one(f"SELECT COUNT({what}) {lines}") for what in ("*", "DISTINCT line")]
    assert counted == [rows, rows], counted
    distinct = installation.one(f"SELECT COUNT(DISTINCT record_id) {lines} AND result = 'created'")
    outcome, position, total, created, updated, skipped, wrong, *_rest = installation.row(key)
    assert (outcome, position, total) == ("done", rows, rows), installation.row(key)
    assert created + updated + skipped + wrong == rows and made == created == distinct, (made, created, distinct)
    assert policy == "update" or created == rows, installation.row(key)
    told = installation.one(f"SELECT COUNT(*) FROM crm.notification WHERE event_key LIKE 'import:{key}:%'")  # noqa: S608
    assert told == 1, f"{told} notices"
    print(f"  none is missing, none is there twice: {made} leads made, {updated} updated, {told} notice")


def update_file(path: Path, source: Path) -> None:
    """The same people with another remark, every tenth one twice."""
    with source.open(encoding="utf-8", newline="") as old, path.open("w", encoding="utf-8", newline="") as new:
        for number, line in enumerate(old):
            new.write(line.replace("asked for a call", "asked again"))
            if number % 10 == 1:
                new.write(line.replace("asked for a call", "asked twice"))


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.import_runs", description="Import through the real doors.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--leads", type=int, default=4_000, help="leads in the database before")
    parser.add_argument("--policy", choices=("skip", "update"), default="skip")
    parser.add_argument("--revert", action="store_true", help="undo it in the end")
    parser.add_argument("--kill", nargs="*", default=[], metavar="WHO:STEP:PERCENT")
    options = parser.parse_args()
    kills = [(who, step, int(share)) for who, step, share in (each.split(":") for each in options.kill)]
    source, _took = server.filled_data_folder(generate.Sizes.of(options.leads))
    folder = server.scratch()
    try:
        server.copy_data(source, folder / "mariadb")
        with ExitStack() as stack:
            database = server.Database(folder / "mariadb", server.CACHE / "empty", *server.MEASURING)
            installation = Installation(
                folder, stack.enter_context(database), stack.enter_context(Redis(folder / "redis"))
            )
            stack.callback(installation.stop)
            installation.start()
            _measure(installation, folder, options, kills)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _measure(
    installation: Installation, folder: Path, options: argparse.Namespace, kills: list[tuple[str, str, int]]
) -> None:
    path, rows = folder / "leads.csv", options.rows
    data.leads_file(path, rows, 0)
    if ("web", "upload", 50) in kills:
        kills.remove(("web", "upload", 50))
        installation.cut_upload(path)
    before = installation.one("SELECT COUNT(*) FROM crm.leads")
    first = [] if options.policy == "update" else kills
    key = imported(installation, path, argparse.Namespace(**vars(options) | {"policy": "skip"}), first)
    verify(installation, key, rows, before, "skip")
    # Only of these leads: the jobs reassign others meanwhile.
    of_run = "SELECT record_id FROM crm.import_row WHERE is_trial = 0 AND run_id = "
    state = "SELECT BIT_XOR(CRC32(CONCAT_WS('|', id, description, status_id, assignee_id))) FROM crm.leads WHERE id IN "
    state += f"({of_run}{key})"
    if options.policy == "update":
        kept, again = installation.one(state), folder / "again.csv"
        update_file(again, path)
        key = imported(installation, again, options, kills)
        verify(installation, key, rows + -(-rows // 10), installation.one("SELECT COUNT(*) FROM crm.leads"), "update")
    if options.revert:
        installation.post(f"/imports/{key}/revert", {}, f"/imports/{key}/")
        installation.wait(key, "revert", ("reverted",), kills)
        counts = "SELECT result, COUNT(*) FROM crm.import_row WHERE is_trial = 0 AND run_id = %s GROUP BY result"
        print(f"  reverted: {installation.database._ask(counts % key)}")
        if options.policy == "update":
            assert installation.one(state) == kept, "not as before"
        else:
            assert installation.one("SELECT COUNT(*) FROM crm.leads") == before
        print("  all is as it was before")
    peaks = {
        name: max(use.peak.values())
        for name, use in (("a worker", installation.use), ("the web process", installation.web_use))
    }
    print("  peak of memory: " + ", ".join(f"{name} {peak} MB" for name, peak in peaks.items()))


if __name__ == "__main__":
    sys.exit(main())
