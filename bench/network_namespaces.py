"""python -m bench.network_namespaces: two servers of the CRM, MariaDB and Redis, each in its own network namespace.

Needs root and `ip netns`. Each part has its own address behind a bridge, so a cable can be pulled, unlike with a killed
process: nothing answers and nothing refuses. Prints the observations, and exits with 1 if something was lost or didn't
recover. docs/benchmarks.md has a result.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.servers import ROOT, _as_root, _pristine_data, program

PARTS = {"db": "10.77.0.10", "redis": "10.77.0.20", "crm1": "10.77.0.31", "crm2": "10.77.0.32"}
BRIDGE, OUTSIDE, PASSWORD = "crmtrial", "10.77.0.1", "Trial-of-cables-2026"
#: The time for a part to start, and to recover.
PATIENCE_SECONDS = 400.0


def run(*command: str) -> None:
    """Run a command; raises CalledProcessError."""
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """A bridge with our own address, and a namespace for each part."""
    try:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for name, address in PARTS.items():
            space, inside = f"crm-{name}", f"c-{name}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", inside, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", inside, "master", BRIDGE, "up")
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                run("ip", "-n", space, "link", "set", device, "up")
        yield
    finally:
        for name in PARTS:
            subprocess.run(["ip", "netns", "del", f"crm-{name}"], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def cable(name: str, is_plugged: bool) -> None:
    """Pull or plug in the cable of a part."""
    run("ip", "link", "set", f"c-{name}", "up" if is_plugged else "down")


def start(name: str, command: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program in the namespace of a part."""
    inside = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", f"crm-{name}", *command]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CRM_")}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(inside, stdout=log, stderr=log, cwd=ROOT, env=kept | environment)


def ask(name: str, path: str, body: object = None, key: str = "") -> tuple[int, str]:
    """(status, text) of a response of a CRM server; 0 if there is none within 30 seconds."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{PARTS[name]}:8000{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(what: str, name: str, path: str, status: int, **more: object) -> float:
    """Wait for this status of the server. Returns the seconds. Raises TimeoutError."""
    began = time.monotonic()
    while ask(name, path, **more)[0] != status:  # type: ignore[arg-type]
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise TimeoutError(what)
        time.sleep(0.1)
    return time.monotonic() - began


class Trial:
    """The servers, and the leads whose creation was answered with 201."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.saved, self.serial, self.key = folder, list[int](), 0, ""

    def begin(self) -> None:
        """Start all parts and sign in."""
        shutil.copytree(_pristine_data(Path("~/.cache/eshin-crm-bench/empty").expanduser()), self.folder / "data")
        made = ("DATABASE crm CHARACTER SET utf8mb4", "USER crm@'10.77.0.%' IDENTIFIED BY 'trial'")
        lines = [*(f"CREATE {each};" for each in made), "GRANT ALL ON crm.* TO crm@'10.77.0.%';", ""]
        (self.folder / "init.sql").write_text("\n".join(lines))  # one statement per line
        options = [f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 's'}", "--bind-address=0.0.0.0"]
        options += [
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--skip-name-resolve",
            f"--init-file={self.folder / 'init.sql'}",
            f"--tmpdir={self.folder}",
        ]
        start("db", [program("mariadbd"), "--no-defaults", *_as_root(), *options], self.folder)
        redis = [program("redis-server"), "--bind", PARTS["redis"], "--requirepass", "trial", "--save", ""]
        start("redis", redis, self.folder)
        time.sleep(5)
        for name in ("crm1", "crm2"):
            settings = {
                "CRM_DATABASE_URL": f"mysql+pymysql://crm:trial@{PARTS['db']}/crm?charset=utf8mb4",
                "CRM_REDIS_URL": f"redis://:trial@{PARTS['redis']}:6379/0",
                "CRM_HOST": PARTS[name],
                "CRM_PUBLIC_URL": f"http://{PARTS[name]}:8000",
                "CRM_INSTANCE_DIR": str(self.folder / name),
                "CRM_SECRET_KEY": "t" * 40,
                "CRM_FIELD_KEY": "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=",
                "CRM_ADMIN_PASSWORD": PASSWORD,
                "CRM_SERVER_NAME": name,
                "PYTHONNODEBUGRANGES": "1",
            }
            start(name, [sys.executable, "run.py"], self.folder, **settings)
            until(f"{name} doesn't start", name, "/readyz", 200)
        body = {"username": "admin", "password": PASSWORD, "provider": "db"}
        self.key = json.loads(ask("crm1", "/api/v1/security/login", body)[1])["access_token"]

    def save(self, name: str) -> int:
        """Create a lead on this server. Returns the status."""
        self.serial += 1
        body = {"first_name": "Cable", "mobile": f"98{self.serial:08d}"}
        status, text = ask(name, "/api/v1/lead/", body, self.key)
        if status == 201:
            self.saved.append(json.loads(text)["id"])
        return status

    def until_saved(self, name: str) -> float:
        """The seconds until a lead can be saved there."""
        began = time.monotonic()
        while self.save(name) != 201:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise TimeoutError(f"nobody can save on {name}")
        return time.monotonic() - began

    def run(self) -> list[str]:
        """Pull one cable after the other. Returns the observations."""
        said = [f"both servers save: {self.save('crm1')}, {self.save('crm2')}"]
        cable("crm1", False)
        said.append(f"crm1 cut off: crm2 saves after {self.until_saved('crm2'):.1f} s")
        cable("crm1", True)
        said.append(f"crm1 back: it saves after {self.until_saved('crm1'):.1f} s")
        cable("redis", False)
        times = [self.until_saved("crm2") for _ in range(5)]
        said.append(f"Redis cut off: saves take {max(times):.1f} s at most, /readyz {ask('crm2', '/readyz')[0]}")
        cable("redis", True)
        cable("db", False)
        began = time.monotonic()
        status = self.save("crm2")
        said.append(f"database cut off: {status} after {time.monotonic() - began:.1f} s")
        cable("db", True)
        said.append(f"database back: crm2 saves after {self.until_saved('crm2'):.1f} s")
        lost = [key for key in self.saved if ask("crm1", f"/api/v1/lead/{key}", key=self.key)[0] != 200]
        said.append(f"{len(self.saved)} leads acknowledged, {len(lost)} lost")
        if lost:
            raise TimeoutError(f"lost: {lost}")
        return said


def main() -> int:
    """Returns 1 if something was lost or didn't recover."""
    folder = Path(tempfile.mkdtemp(prefix="crm-cables-"))
    trial = Trial(folder)
    try:
        with networks():
            trial.begin()
            print("\n".join(trial.run()))
    except (TimeoutError, subprocess.CalledProcessError, KeyError, ValueError) as error:
        print(f"{error}\nSee the logs in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
