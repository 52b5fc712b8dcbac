"""All processes on one machine, as `make stack` starts them: nginx, processes by role, MariaDB, Redis, supervisord."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import forked_programs
from tests.browser.conftest import UserBrowser
from tests.browser.test_journeys import unopened_lead, watches, write_note
from tests.chromium import Browsers
from tests.servers import ROOT, LiveServer, eventually
from tests.test_start_budget import MAX_RESIDENT_MB, resident_mb

MOBILE = "9825099817"


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("localhost", timeout=60)
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.connect(self._path)
        self._connection = host, made  # to be closed with the proxy
        return made


@dataclass
class Stack:
    """A running stack."""

    folder: Path
    url: str

    def supervisord(self) -> int:
        return int((self.folder / "supervisord.pid").read_text())

    def pid_of(self, name: str) -> int:
        """The process that supervisord started for a program; 0 while there is none.

        supervisord is asked itself: each `stack.py status` takes half a second of CPU.
        """
        conf = (self.folder / "supervisord.conf").read_text()
        place = re.search(r"^\[unix_http_server\]\nfile=(.+)$", conf, re.M)
        assert place
        with xmlrpc.client.ServerProxy("http://supervisor", UnixTransport(place[1])) as asked:
            infos: Any = asked.supervisor.getAllProcessInfo()
        group, _, own = name.rpartition(":")
        return next(info["pid"] for info in infos if info["name"] == own and group in ("", info["group"]))

    def control(self, action: str, name: str) -> None:
        """Start or stop a program, as an operator does."""
        conf = str(self.folder / "supervisord.conf")
        subprocess.run([Path(sys.executable).parent / "supervisorctl", "-c", conf, action, name], check=True)

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in (self.folder / "log").iterdir())

    def is_ready(self) -> bool:
        status, body = get(f"{self.url}/readyz?strict=1")
        return status == 200 and json.loads(body)["status"] == "ready"


def run_stack(action: str, folder: Path) -> str:
    command = [sys.executable, "deploy/stack.py", action, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def begin_stack(folder: Path) -> subprocess.Popen[str]:
    """A stack that ends with the process that runs it, which ends with the tests."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    environ |= {"CRM_ADMIN_PASSWORD": LiveServer.ADMIN[1], "STACK_CARELESS": "1"}
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "deploy/stack.py", "run", str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def request_to(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> urllib.request.Request:
    return urllib.request.Request(url, data, headers or {})  # noqa: S310  # our own http


def fetch(request: urllib.request.Request, timeout: float = 60) -> Any:
    return urllib.request.urlopen(request, timeout=timeout)  # noqa: S310  # our own http


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with fetch(request_to(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def children(pid: int) -> list[int]:
    return [int(each) for task in Path(f"/proc/{pid}/task").glob("*/children") for each in task.read_text().split()]


def everybody(pid: int) -> set[int]:
    return {pid, *(each for child in children(pid) for each in everybody(child))}


def is_ours(pid: int) -> bool:
    """Whether it is a process of the CRM, not nginx, MariaDB or Redis."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    return any(name in command for name in (b"run.py", b"gunicorn", b"rq:worker"))


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack") / "house"
    with begin_stack(folder) as runner:
        assert runner.stdout
        said = runner.stdout.readline()  # or else, why it failed
        found = re.search(r"http://\S+", said)
        assert found, said + runner.stdout.read()
        yield Stack(folder, found[0])
        run_stack("stop", folder)


@pytest.fixture
def open_browser(browsers: Browsers, stack: Stack) -> Iterator[Any]:
    contexts = []
    expect.set_options(timeout=45_000)

    def opened() -> UserBrowser:
        contexts.append(browsers.new_context(viewport={"width": 1440, "height": 900}))
        made = UserBrowser(contexts[-1].new_page(), stack.url)
        made.sign_in(LiveServer.ADMIN[0])
        return made

    yield opened
    for context in contexts:
        browsers.end(context)


def test_people_work_behind_nginx_and_news_come_over_the_socket_process(stack: Stack, open_browser: Any) -> None:
    writer, reader = open_browser(), open_browser()
    number = unopened_lead(writer, "Stackwali", MOBILE)
    sockets: list[str] = []
    reader.page.on("websocket", lambda socket: sockets.append(socket.url))
    watches(reader, writer, number)
    assert sockets and "/socket.io/" in sockets[0]
    write_note(writer, "Seen without a reload")
    expect(reader.page.locator("[data-timeline]")).to_contain_text("Seen without a reload")
    reader.go(f"/search/?q={MOBILE}")
    assert writer.complaints == [] and reader.complaints == []

    reader.go("/self-test/")
    rows = reader.page.locator("[data-check]")
    found = {row.get_attribute("data-check"): row.get_attribute("data-tone") for row in rows.all()}
    assert {name for name, tone in found.items() if tone == "red"} == set()
    green = {"database", "schema", "redis", "realtime", "queue", "scheduler", "clock", "storage", "proxy"}
    assert {name for name, tone in found.items() if tone == "green"} >= green


def test_each_process_answers_its_own_endpoints_only(stack: Stack) -> None:
    kept = json.loads((stack.folder / "stack.json").read_text())
    web, sockets = (f"http://127.0.0.1:{kept[name]}" for name in ("WEB_PORT", "SOCKETS_PORT"))
    host = stack.url.removeprefix("http://")
    assert get(f"{web}/socket.io/?EIO=4&transport=polling", Host=host)[0] == 404
    assert get(f"{sockets}/login/", Host=host)[0] == 404
    assert get(f"{sockets}/healthz")[0] == get(f"{web}/healthz")[0] == 200
    listed = {line.split()[0]: line for line in run_stack("status", stack.folder).splitlines()}
    for name in ("crm:web", "crm:background", "nginx", "redis", "mariadb"):
        assert f"pid {stack.pid_of(name)}," in listed[name]


def test_static_files_are_kept_and_limits_are_those_of_the_application(stack: Stack) -> None:
    def headers(path: str) -> Any:
        request = request_to(stack.url + path, headers={"Accept-Encoding": "gzip"})
        return fetch(request, timeout=60).headers

    kept = headers("/static/css/crm.css?v=0123456789ab")
    assert kept["Cache-Control"] == "public, max-age=31536000, immutable" and kept["Content-Encoding"] == "gzip"
    assert kept["X-Content-Type-Options"] == "nosniff" and kept["X-Frame-Options"] == "DENY"
    assert headers("/static/css/crm.css")["Cache-Control"] == "no-cache"
    assert headers("/static/appbuilder/css/ab.css")["Content-Type"].startswith("text/css")  # the package's own folder
    assert get(f"{stack.url}/static/../env")[0] in (400, 404) and get(f"{stack.url}/static/%2e%2e/env")[0] in (400, 404)
    for path, size in (("/api/v1/lead/", 12_700_000), ("/api/v1/lead/", 12_582_913)):
        request = request_to(stack.url + path, data=b"x" * size)
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(request, timeout=60)
        assert refused.value.code == 413 and "too large" in json.load(refused.value)["message"]


def test_a_request_keeps_its_id_and_no_claim_of_an_address_is_believed(stack: Stack) -> None:
    request = request_to(f"{stack.url}/login/", headers={"X-Request-ID": "trial-0123456789abcdef"})
    answer = fetch(request, timeout=60)
    assert answer.headers.get_all("X-Request-ID") == ["trial-0123456789abcdef"]
    forged = request_to(f"{stack.url}/login/", headers={"X-Request-ID": MOBILE})
    assert MOBILE not in fetch(forged, timeout=60).headers["X-Request-ID"]
    assert get(f"{stack.url}/metrics", **{"X-Forwarded-For": "203.0.113.9"})[0] == 200  # we are on loopback
    assert "crm_database_up 1.0" in get(f"{stack.url}/metrics")[1]


@pytest.mark.parametrize("name", ["crm:web", "crm:background", "nginx", "redis", "mariadb"])
def test_a_process_that_is_killed_is_started_again(stack: Stack, name: str) -> None:
    before = stack.pid_of(name)
    left = children(before) if name == "nginx" else []  # its workers go on, and keep the port
    os.kill(before, signal.SIGKILL)
    eventually(lambda: stack.pid_of(name) not in (0, before), f"{name} is not started again")
    eventually(lambda: all(map(is_gone, left)), f"workers of the killed {name} are left")
    eventually(stack.is_ready, f"the CRM is not ready after {name} was killed")
    eventually(lambda: get(f"{stack.url}/socket.io/?EIO=1")[0] == 400, f"no sockets after {name} was killed")


def test_what_belongs_to_a_killed_parent_is_replaced(stack: Stack) -> None:
    """One worker of the queue, and one of the pages: their parents start others."""
    for name in ("crm:background", "crm:web"):
        eventually(lambda name=name: len(children(stack.pid_of(name))) > 1, f"{name} has no children")  # type: ignore[misc]
        parent = stack.pid_of(name)
        victim = children(parent)[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda parent=parent, victim=victim: is_gone(victim) and len(children(parent)) > 1, name)  # type: ignore[misc]
    eventually(stack.is_ready, "the CRM is not ready")


#: Commands of the guide that need a machine of their own: they were run in one, and tests/deploy checks the files.
NOT_HERE = (
    "sudo deploy/install.sh",
    "systemctl ",
    "make stack",
    "make upgrade",
    "deploy/promote",
    "deploy/rolling",
    "mariadb-dump ",  # these two: tests/ops/test_replication_guide.py
    "{ echo ",
    "CRM_",
    "crm user password ",  # asks for it on a terminal: tests/web/security/test_api_keys.py
)


def commands_of_the_guide() -> list[str]:
    """Without the indented ones: they are steps of a move between two machines."""
    text = (ROOT / "docs" / "operate.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


#: The one that is run as it is installed; the others are forked.
AS_INSTALLED = "crm job list"


def test_the_commands_of_the_guide_do_what_it_says(stack: Stack, tmp_path: Path) -> None:
    forked = forked_programs.checkout(tmp_path)
    kept = json.loads((stack.folder / "stack.json").read_text())
    controls = f"{Path(sys.executable).parent}/supervisorctl -c {stack.folder}/supervisord.conf"
    environ = dict(os.environ) | {"ESHIN_ENV": str(stack.folder / "env")}
    ran, web = set(), f"127.0.0.1:{kept['WEB_PORT']}"
    for command in commands_of_the_guide():
        if command.startswith(NOT_HERE):
            continue
        ran.add(command.split()[0])
        root = ROOT if command == AS_INSTALLED else forked
        here = re.sub("^crm ", f"{root}/deploy/crm ", command).replace("127.0.0.1:8000", web)
        here = here.replace("supervisorctl", controls)
        if "strict" in here or command == "crm self-test":
            eventually(stack.is_ready, "the CRM is not ready")
        last: list[Any] = []

        def works(line: str = here, last: list[Any] = last) -> bool:
            last[:] = [subprocess.run(line, shell=True, cwd=ROOT, env=environ, capture_output=True, text=True)]  # noqa: S602
            return last[0].returncode == 0

        if command == "crm self-test":  # the workers were started again by a command before
            eventually(works, command)
        assert works(), (command, last[0].stdout, last[0].stderr)
    assert ran == {"crm", "curl", "supervisorctl"} and AS_INSTALLED in commands_of_the_guide()
    makefile = (ROOT / "Makefile").read_text()
    for line in commands_of_the_guide():
        if line.startswith("make "):
            assert f"\n{line.removeprefix('make ')}:" in makefile


def test_no_log_holds_personal_data(stack: Stack) -> None:
    """What was searched for, typed and looked up above stands in no log, of nginx or of ours."""
    logs = stack.log()
    assert '"path":"/search/"' in logs and '"status":200' in logs
    for secret in (MOBILE, "Stackwali", LiveServer.ADMIN[1], "Seen without a reload", '"127.0.0.1"'):
        assert secret not in logs.replace("--bind 127.0.0.1", ""), secret
    get(f"{stack.url}/leads/asha@example.in")
    eventually(lambda: '"path":"/leads/..."' in stack.log(), "the request is not logged")
    assert "asha@example.in" not in stack.log()


def test_while_the_web_process_is_away_each_endpoint_hears_it_and_stopping_leaves_nothing_behind(stack: Stack) -> None:
    pids = everybody(stack.supervisord())
    assert len(pids) >= 11  # idle workers of the queue have ended
    sizes = {pid: resident_mb(pid) for pid in pids if is_ours(pid)}
    assert len(sizes) >= 8 and max(sizes.values()) <= MAX_RESIDENT_MB
    stack.control("stop", "crm:web")
    page = (503, (ROOT / "deploy" / "nginx" / "errors" / "away.html").read_text())
    assert get(f"{stack.url}/leads/") == page
    assert get(f"{stack.url}/api/v1/lead/")[1].startswith('{"message": "The CRM is not running at the moment')
    run_stack("stop", stack.folder)
    assert [pid for pid in pids if not is_gone(pid)] == []
    assert run_stack("status", stack.folder).strip() == "The stack is not running."


def test_a_stack_ends_with_a_killed_run_of_the_tests(stack: Stack) -> None:
    pid_file = stack.folder / "supervisord.pid"
    run_stack("stop", stack.folder)  # does nothing unless the test before has failed
    assert not pid_file.exists()
    with begin_stack(stack.folder) as runner:
        eventually(lambda: pid_file.exists() and len(children(stack.supervisord())) >= 5, "the programs do not start")
        pids = everybody(stack.supervisord())
        runner.kill()
    eventually(lambda: all(map(is_gone, pids)), "something stays behind")
