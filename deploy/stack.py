"""The whole single-server installation in one folder, for trials and tests: `stack.py start|run|stop|status [FOLDER]`.

nginx, gunicorn, the Socket.IO process, the workers and the scheduler, MariaDB and Redis, all under one supervisord, on
free ports of 127.0.0.1. The site, the programs and the settings are those of an installation: rendered from the same
files. The folder stays when the stack is stopped, and the next start uses its data. `start` leaves the stack running;
with `run` it ends with this program, however that ends.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import secrets
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import render

HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = HERE.parent / "instance" / "stack"
START_SECONDS, STOP_SECONDS = 180.0, 60.0
#: Options without durability, for tests that don't cut the power: a start takes a third of the time.
CARELESS = "--innodb-flush-method=nosync --skip-innodb-doublewrite --skip-sync-frm"
PROGRAMS = ("nginx", "supervisord", "supervisorctl", "mariadbd", "mariadb-install-db", "mariadb", "redis-server")


class StackFailed(Exception):
    """The message is a sentence: what is wrong, and what to do."""


def program(name: str) -> str:
    """The path of a program; supervisord is that of the pinned packages. Raises StackFailed."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        packages = "nginx mariadb-server redis-server"
        raise StackFailed(f"{name} is missing. Install it: sudo apt-get install {packages}")
    return found


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 without a listener."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


# --- start


def start(folder: Path, begin: Callable[[Sequence[str]], object]) -> str:
    """Start the stack and return its URL; `begin` runs supervisord's command. Raises StackFailed."""
    paths = {name: program(name) for name in PROGRAMS}
    if pid := running(folder):
        raise StackFailed(f"This stack is running already (pid {pid}). Stop it: {stop_command(folder)}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    values = _values(folder, paths)
    _write(folder, values)
    _install_database(folder, paths)
    begin([paths["supervisord"], "-c", str(folder / "supervisord.conf")])
    address = values["PUBLIC_URL"]
    try:
        _make_database(folder, values, paths)
        _wait(lambda: _is_up(f"{address}/readyz"), "the CRM does not answer", START_SECONDS)
        _wait(lambda: _is_up(f"{address}/socket.io/?EIO=1", 400), "the socket process does not answer", START_SECONDS)
    except StackFailed as failed:
        ends = "\n".join(_end_of(log) for log in sorted((folder / "log").glob("*.log")))
        stop(folder)
        raise StackFailed(f"{failed} The ends of the logs:\n{ends}") from None
    return address


def in_background(command: Sequence[str]) -> None:
    """Run a command that daemonizes itself."""
    subprocess.run(command, check=True)


def in_foreground(command: Sequence[str]) -> None:
    """Run a command; the kernel terminates it when this program ends."""
    bound = ["setpriv", "--pdeathsig", "TERM", *command, "--nodaemon"]
    no = subprocess.DEVNULL
    subprocess.Popen(bound, stdin=no, stdout=no, stderr=no, start_new_session=True)


def _ports_and_secrets(kept: Path) -> dict[str, str]:
    """Ports, passwords and keys, generated once and stored in this file."""
    if kept.exists():
        stored: dict[str, str] = json.loads(kept.read_text())
        return stored
    names = ("HTTP_PORT", "WEB_PORT", "SOCKETS_PORT", "DB_PORT", "REDIS_PORT")
    made = {name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    made |= {name: secrets.token_hex(16) for name in ("DB_PASSWORD", "REDIS_PASSWORD")}
    made |= {"SECRET_KEY": secrets.token_urlsafe(48)}
    made |= {"FIELD_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(made))
    return made


def _values(folder: Path, paths: dict[str, str]) -> dict[str, str]:
    """The values for the files."""
    made = _ports_and_secrets(folder / "stack.json")
    user = getpass.getuser()
    modules = Path("/usr/lib/nginx/modules")
    brotli = "yes" if (modules / "ngx_http_brotli_filter_module.so").exists() else "no"
    load = f"load_module {modules}/ngx_http_brotli_filter_module.so;" if brotli == "yes" else ""
    # The path of a Unix socket has at most 107 characters.
    sockets = folder if len(str(folder)) < 80 else Path(tempfile.gettempdir()) / f"crm-stack-{made['HTTP_PORT']}"
    sockets.mkdir(exist_ok=True, mode=0o700)
    return made | {
        "FOLDER": str(folder),
        "SOCKET_DIR": str(sockets),
        "LOG_DIR": str(folder / "log"),
        "INSTANCE_DIR": str(folder / "instance"),
        "ENV_FILE": str(folder / "env"),
        "REDIS_DIR": str(folder / "redis"),
        "USER": user,
        "NGINX_USER": "user root;" if user == "root" else "",
        "NGINX_MODULES": load,
        "HAS_BROTLI": brotli,
        "LISTEN": f"    listen 127.0.0.1:{made['HTTP_PORT']};",
        "SERVER_NAME": "127.0.0.1 localhost",
        "PUBLIC_URL": f"http://127.0.0.1:{made['HTTP_PORT']}",
        "DB_USER": "crm",
        "DB_NAME": "crm",
        "DB_ADDRESS": f"127.0.0.1:{made['DB_PORT']}",
        "BUFFER_POOL": os.environ.get("STACK_BUFFER_POOL", "64M"),
        "REDO_LOG": "96M",
        "WEB_WORKERS": "2",
        "MARIADBD": paths["mariadbd"],
        "REDIS_SERVER": paths["redis-server"],
        "NGINX": paths["nginx"],
        "PYTHON": sys.executable,
        "DB_OPTIONS": CARELESS if os.environ.get("STACK_CARELESS") else "",
    }


def _write(folder: Path, values: dict[str, str]) -> None:
    for name in ("log", "instance", "nginx", "redis", "mariadb"):
        (folder / name).mkdir(exist_ok=True, mode=0o700)
    wanted = ["nginx/crm.conf", "supervisor/crm.conf", "mariadb/crm.cnf", "redis/crm.conf", "env"]
    render.render(folder, values, wanted)
    for name, place in (("supervisord.conf", "supervisord.conf"), ("nginx.conf", "nginx/nginx.conf")):
        text = (HERE / "stack" / name).read_text()
        (folder / place).write_text(render.filled(text, render.complete(values)))
    # CRM_ settings of the environment, such as CRM_ADMIN_PASSWORD and CRM_DEMO.
    own = [f"{name}='{value}'" for name, value in os.environ.items() if name in ("CRM_ADMIN_PASSWORD", "CRM_DEMO")]
    with (folder / "env").open("a") as file:
        file.write("".join(f"{line}\n" for line in own))


def _install_database(folder: Path, paths: dict[str, str]) -> None:
    data = folder / "mariadb" / "data"
    if data.exists():
        return
    half = data.with_name("half")
    shutil.rmtree(half, ignore_errors=True)
    command = [paths["mariadb-install-db"], "--no-defaults", f"--datadir={half}", "--skip-test-db"]
    command += [f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StackFailed(f"MariaDB could not be installed into {data}:\n{done.stdout}{done.stderr}")
    half.rename(data)


def _make_database(folder: Path, values: dict[str, str], paths: dict[str, str]) -> None:
    """Create the database and its user, like deploy/install.sh."""
    client = [paths["mariadb"], "--no-defaults", f"--socket={values['SOCKET_DIR']}/mariadb.sock", "--user=root"]
    statements = render.filled((HERE / "mariadb" / "database.sql").read_text(), values)

    def made() -> bool:
        return subprocess.run(client, input=statements, text=True, capture_output=True).returncode == 0

    _wait(made, "MariaDB does not take the database of the CRM", START_SECONDS)


def _is_up(url: str, status: int = 200) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == status)
    except urllib.error.HTTPError as error:
        return error.code == status
    except OSError:
        return False


def _wait(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise StackFailed(f"Waited {seconds:.0f} seconds in vain: {what}.")
        time.sleep(0.2)


def _end_of(log: Path) -> str:
    return f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])


# --- stop and status


def running(folder: Path) -> int | None:
    """The pid of the stack's supervisord; None if it isn't running."""
    try:
        pid = int((folder / "supervisord.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(folder / "supervisord.conf").encode() in command else None


def stop(folder: Path) -> None:
    """Stop everything, by pids; only the files remain. Raises StackFailed."""
    pid = running(folder)
    if pid is None:
        return
    handle = os.pidfd_open(pid)
    children = {each: os.pidfd_open(each) for each in descendants(pid)}
    os.kill(pid, signal.SIGTERM)
    try:
        _wait(lambda: not _is_alive(handle), "supervisord does not end", STOP_SECONDS)
    finally:
        for each in children.values():
            if _is_alive(each):
                signal.pidfd_send_signal(each, signal.SIGKILL)
            os.close(each)
        os.close(handle)
    values = json.loads((folder / "stack.json").read_text())
    shutil.rmtree(Path(tempfile.gettempdir()) / f"crm-stack-{values['HTTP_PORT']}", ignore_errors=True)


def descendants(pid: int) -> list[int]:
    """The processes below this one, at any depth."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def _is_alive(handle: int) -> bool:
    """Whether it is running; a zombie has ended."""
    return not select.select([handle], [], [], 0)[0]


def status(folder: Path) -> str:
    """The output of supervisorctl."""
    if running(folder) is None:
        return "The stack is not running."
    command = [program("supervisorctl"), "-c", str(folder / "supervisord.conf"), "status"]
    return subprocess.run(command, capture_output=True, text=True).stdout.rstrip()


def stop_command(folder: Path) -> str:
    """The command with which the operator stops the stack of this folder."""
    command = "make stack-stop"
    return command if folder == DEFAULT_FOLDER.resolve() else f"{command} FOLDER={shlex.quote(str(folder))}"


def _report(address: str, folder: Path) -> None:
    print(f"The stack is running at {address}\nIts folder: {folder}\nStop it: {stop_command(folder)}")
    for line in (folder / "log" / "web.log").read_text().splitlines():
        if "password" in line:
            print(line)
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Returns 1, with a sentence on stderr, if it fails."""
    action = arguments[0] if arguments else ""
    folder = Path(arguments[1] if len(arguments) > 1 else DEFAULT_FOLDER).resolve()
    try:
        if action == "start":
            _report(start(folder, in_background), folder)
        elif action == "run":
            _report(start(folder, in_foreground), folder)
            os.wait()
        elif action == "prepare":
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _values(folder, {name: program(name) for name in PROGRAMS})
            print(f"The values are in {folder / 'stack.json'}.")
        elif action == "stop":
            stop(folder)
            print("The stack is stopped.")
        elif action == "status":
            print(status(folder))
        else:
            print(__doc__, file=sys.stderr)
            return 64
    except StackFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
