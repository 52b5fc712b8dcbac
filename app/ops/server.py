"""The HTTP server: gunicorn with threads, started from Python. It stops within seconds, even with open sockets."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestLine  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

#: The longest request line ("GET /path?query HTTP/1.1") that gunicorn accepts, in bytes.
MAX_REQUEST_LINE = 8190
#: The connection count in a slot without a worker.
NO_WORKER = -1
_TOO_LONG_BODY = b'{"message":"This address is too long. Please ask for less at once.","errors":{}}'
_TOO_LONG = (
    b"HTTP/1.1 414 URI Too Long\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_TOO_LONG_BODY), _TOO_LONG_BODY)
)
#: How often a worker leaves a connection to one that has fewer, and how long it waits each time: 10 ms in all.
MAX_YIELDS, YIELD_SECONDS = 20, 0.0005
#: How long running requests may go on after SIGTERM.
GRACE_SECONDS = 5


@dataclass(frozen=True)
class Hooks:
    """What to do in each worker process: after the fork, when it begins to serve, and when it is told to stop."""

    after_fork: Callable[[], None]
    on_start: Callable[[], None]
    on_stop: Callable[[], None]


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker that closes its sockets and stops its jobs as soon as it is told to stop."""

    hooks: Hooks
    #: The number of connections of each worker, in memory that all share; NO_WORKER in a free slot.
    connection_counts: Any
    #: Which of the counts is this worker's.
    slot: int
    #: How often in a row it left a connection to another worker.
    yields = 0
    #: Runs `hooks.on_stop`, once that has begun.
    stopping: threading.Thread | None = None

    def accept(self, listener: Any) -> None:
        """Accept a connection, unless another worker has fewer.

        Connections are long-lived: if the first worker to wake accepted all that arrive at once, the others would stay
        idle.
        """
        fewest = min((each for each in self.connection_counts if each != NO_WORKER), default=0)
        if self.nr_conns > fewest and self.yields < MAX_YIELDS:
            self.yields += 1
            time.sleep(YIELD_SECONDS)
            return  # the kernel offers it again at once, to all workers
        self.yields = 0
        super().accept(listener)
        self.connection_counts[self.slot] = self.nr_conns

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Publish the connection count before waiting."""
        self.connection_counts[self.slot] = self.nr_conns
        super().wait_for_and_dispatch_events(timeout)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish the running requests. Each open socket keeps a thread, so `on_stop` closes them at once."""
        if self.alive:
            self.stopping = threading.Thread(target=self.hooks.on_stop, daemon=True)
            self.stopping.start()
        super().handle_exit(sig, frame)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Count a closed WebSocket once. It has closed its TCP socket itself, and gunicorn would count it twice.

        Then gunicorn would believe that no connection is left, and interrupt requests when it stops.
        """
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse a request line that is too long: it never reaches the application, but gets an answer of its kind."""
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        with contextlib.suppress(OSError):
            client.sendall(_TOO_LONG)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl+C: finish the running requests, as after SIGTERM."""
        self.handle_exit(sig, frame)


class Server(BaseApplication):  # type: ignore[misc]
    """The application, created before the fork: workers share its memory and start at once."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self.app, self.options = app, options
        super().__init__()

    def load_config(self) -> None:
        """Only the given options: neither command line nor files."""
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application."""
        return self.app


def serve(app: Any, address: str, workers: int, threads: int, hooks: Hooks) -> None:
    """Serve until SIGTERM or Ctrl+C; does not return."""
    # Twice as many slots as workers: while one stops, its successor is running.
    counts = multiprocessing.RawArray("i", [NO_WORKER] * workers * 2)

    def before_fork(server: Any, worker: Worker) -> None:
        used = {each.slot for each in server.WORKERS.values()}
        worker.connection_counts, worker.slot = counts, next((n for n in range(len(counts)) if n not in used), 0)
        counts[worker.slot] = 0

    def on_exit(_server: Any, worker: Worker) -> None:
        counts[worker.slot] = NO_WORKER

    def after_fork(_server: Any, worker: Worker) -> None:
        worker.hooks = hooks
        hooks.after_fork()

    options = {
        "bind": address,
        "workers": workers,
        "threads": threads,
        "worker_class": Worker,
        "preload_app": True,
        "graceful_timeout": GRACE_SECONDS,
        "timeout": 120,
        "keepalive": 5,
        "limit_request_line": MAX_REQUEST_LINE,
        "accesslog": None,
        "loglevel": "warning",
        "control_socket_disable": True,
        # CRM_PROXIES says which proxies to trust.
        "forwarded_allow_ips": "",
        "pre_fork": before_fork,
        "post_fork": after_fork,
        "child_exit": on_exit,
        "post_worker_init": lambda _worker: hooks.on_start(),
        "worker_exit": lambda _server, worker: _exit(0, worker.stopping),
    }
    gc.collect()
    gc.freeze()  # the workers' garbage collectors do not write to shared memory, so that it stays shared
    try:
        Server(app, options).run()
    except SystemExit as error:
        _exit(int(error.code or 0))


def _exit(status: int, stopping: threading.Thread | None = None) -> None:
    """End this process when `stopping` is done.

    Finalising the interpreter would cost seconds on a busy machine and free nothing.
    """
    if stopping is not None:
        stopping.join(GRACE_SECONDS - 0.5)  # after GRACE_SECONDS the parent kills
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
