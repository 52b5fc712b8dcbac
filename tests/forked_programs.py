"""Programs of the product, forked from a process that has imported it: they start in a third of the time.

    python -m tests.forked_programs SOCKET

imports the product and waits at the socket for programs to run. Tests use `start(…)` in place of
subprocess.Popen([sys.executable, …]); our shell scripts run in a `checkout(…)`. A program starts like `python run.py`,
`python -m …` or `python -c …`: with its own arguments, environment, folder, session and files, and it ends likewise.
Only the imports are shared.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests import compiled_templates

ROOT = Path(__file__).resolve().parent.parent
#: Starting to import may take this long on a busy machine.
PATIENCE_SECONDS = 120.0
#: What programs of the product import; not prometheus_client, which looks at the environment when it is imported.
IMPORTED = (
    *("run", "app.jobs", "app.cli", "flask.cli", "flask_migrate.cli", "alembic.command", "encodings.idna"),
    *("app.ops.http_server.server", "app.ops.http_server.worker", "app.warm_up", "jinja2.ext", "logging.config"),
)
#: Bytes of a request, at most.
LONGEST = 1 << 20


class Forked:
    """A program that runs, with the part of subprocess.Popen's interface that tests use."""

    def __init__(self, keeper: socket.socket, args: Sequence[str]) -> None:
        """`keeper` is the connection to the process that waits for the program's end."""
        self._keeper, self.args = keeper, args
        self.returncode: int | None = None
        self._heard = b""
        told = self._line()
        assert told, "The process that imports the product has ended."
        self.pid = int(told)

    def _line(self) -> bytes:
        """The next line that the keeper says; b"" when it was killed too."""
        while b"\n" not in self._heard:
            heard = self._keeper.recv(100)
            if not heard:
                return b""
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._keeper], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, when it has ended. Raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None:
            if not select.select([self._keeper], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        self.returncode = int(self._line() or -signal.SIGKILL)
        self._keeper.close()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(args: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int = -1, stdin: int = -1) -> Forked:
    """Run `python *args` with this environment in the checkout, with these file descriptors.

    Without `stderr`, errors go to stdout. The program is killed when the thread that called this ends.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_address())
    request = json.dumps([list(args), dict(env), stdin >= 0]).encode()
    files = [stdout, stdout if stderr < 0 else stderr, *([stdin] if stdin >= 0 else [])]
    socket.send_fds(connection, [len(request).to_bytes(8, "big")], files)
    connection.sendall(request)
    return Forked(connection, args)


def run(args: Sequence[str], env: Mapping[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run `python *args` to its end, at most so many seconds; with what it wrote."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        program = start(args, env, output.fileno(), errors.fileno())
        try:
            status = program.wait(timeout)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess([*args], status, output.read(), errors.read())


def checkout(folder: Path) -> Path:
    """A checkout in this folder for the shell scripts of ours, whose `.venv/bin/flask` is forked; its root."""
    for name in ("scripts", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    flask = folder / ".venv" / "bin" / "flask"
    flask.parent.mkdir(parents=True)
    command = shlex.join([sys.executable, "-IS", str(ROOT / "tests" / "forked_command.py"), _address(), "-m", "flask"])
    flask.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    flask.chmod(0o755)
    return folder


#: The parent of all forks of this process, and the path of its socket.
_parent: tuple[subprocess.Popen[bytes], str] | None = None


def _address() -> str:
    """The path of the socket; starts the parent if there is none. It ends with the thread that calls this first."""
    global _parent
    if _parent is None or _parent[0].poll() is not None:
        folder = tempfile.mkdtemp(prefix="crm-")  # short: a socket's path has at most 107 characters
        path = f"{folder}/s"
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        _parent = subprocess.Popen([sys.executable, "-m", "tests.forked_programs", path], cwd=ROOT, env=outside), path
        atexit.register(_end, *_parent)
        _await(*_parent)
    return _parent[1]


def _await(parent: subprocess.Popen[bytes], path: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not os.path.exists(path):
        assert parent.poll() is None, "The process that imports the product ended; see above."
        assert time.monotonic() < end, "The product isn't imported in time."
        time.sleep(0.01)


def _end(parent: subprocess.Popen[bytes], path: str) -> None:
    parent.kill()
    parent.wait()
    with contextlib.suppress(OSError):
        os.unlink(path)
        os.rmdir(os.path.dirname(path))


# --- in the parent of all, its forks, and theirs


def main(path: str) -> None:
    """Serve starts; returns only in a process that was forked to run a program, after it has run."""
    gc.disable()  # it would look through all modules again and again while they are imported, a fifth of the time
    for name in IMPORTED:
        importlib.import_module(name)
    compiled_templates.share()
    from app.ops.processes.prefork import end_with_parent

    end_with_parent(os.getppid(), signal.SIGKILL)
    gc.collect()
    gc.freeze()
    gc.enable()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.part")
        listener.listen(20)
        os.rename(f"{path}.part", path)
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                break
            client.close()
            _bury()
    _keep(client)


def _bury() -> None:
    """Take leave of the keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(client: socket.socket) -> None:
    """Fork once more: the parent reports the end of the program, the child runs it."""
    from app.ops.processes.prefork import end_with_parent

    end_with_parent(os.getppid(), signal.SIGKILL)
    length, files, _flags, _address = socket.recv_fds(client, 8, 3)
    request = client.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
    keeper, pid = os.getpid(), os.fork()
    if pid == 0:
        client.close()
        end_with_parent(keeper, signal.SIGKILL)
        args, env, has_input = json.loads(request)
        _become(args, env, has_input, files)
        return
    for each in files:
        os.close(each)
    _report(client, pid)


def _report(client: socket.socket, pid: int) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody asks any more
        client.sendall(b"%d\n" % pid)
        _pid, status = os.waitpid(pid, 0)
        client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(args: list[str], env: dict[str, str], has_input: bool, files: Sequence[int]) -> None:
    """Take over the arguments, environment and files of the program, in a session of its own."""
    os.setsid()
    source = files[2] if has_input else os.open(os.devnull, os.O_RDONLY)
    for target, file in ((0, source), (1, files[0]), (2, files[1])):
        os.dup2(file, target)
    for each in {source, *files}:
        os.close(each)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.path[:0] = [each for each in env.get("PYTHONPATH", "").split(":") if each]
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.argv[:] = args


def run_program() -> None:
    """Run what sys.argv names, as Python's own command line does."""
    how, *rest = sys.argv
    if how == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        exec(compile(rest[0], "<string>", "exec"), names)  # noqa: S102
    elif how == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
    run_program()
