"""Serving: gunicorn with threads, started from Python; it ends within seconds, also while sockets are open."""

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

#: Bytes of "GET /address?question HTTP/1.1": the most that gunicorn takes.
LONGEST_LINE = 8190
#: In the place of a worker that is not there.
GONE = -1
_SENTENCE = b'{"message":"This address is too long. Please ask for less at once.","errors":{}}'
_TOO_LONG = (
    b"HTTP/1.1 414 URI Too Long\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_SENTENCE), _SENTENCE)
)
#: How often a worker leaves a connection to one that has fewer, and for how long each time: 10 ms in all.
STANDS_BACK, STANDS_BACK_SECONDS = 20, 0.0005
#: How long requests at work may go on after SIGTERM.
GRACE_SECONDS = 5


@dataclass(frozen=True)
class Hooks:
    """What to do in each worker process: after it was forked, when it serves, and when it is told to end."""

    forked: Callable[[], None]
    started: Callable[[], None]
    ending: Callable[[], None]


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker that lets go of its sockets and jobs as soon as it is told to end."""

    hooks: Hooks
    #: Connections of every worker of this server, in memory that all share; GONE where there is none.
    shares: Any
    #: Which of the shares is one's own.
    place: int
    #: How often in a row it stood back.
    stood_back = 0
    #: What lets go, once it has begun.
    ending: threading.Thread | None = None

    def accept(self, listener: Any) -> None:
        """Take a connection, unless a colleague has fewer.

        Connections last: where the first to wake takes all that come at once, the others have nothing to do for long.
        """
        least = min((each for each in self.shares if each != GONE), default=0)
        if self.nr_conns > least and self.stood_back < STANDS_BACK:
            self.stood_back += 1
            time.sleep(STANDS_BACK_SECONDS)
            return  # it is offered again at once, to all
        self.stood_back = 0
        super().accept(listener)
        self.shares[self.place] = self.nr_conns

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Before it waits, its colleagues hear how many it has."""
        self.shares[self.place] = self.nr_conns
        super().wait_for_and_dispatch_events(timeout)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish the requests at work; each open socket keeps a thread, so they are closed at once."""
        if self.alive:
            self.ending = threading.Thread(target=self.hooks.ending, daemon=True)
            self.ending.start()
        super().handle_exit(sig, frame)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A WebSocket has closed its TCP socket by itself; gunicorn would count it as gone twice.

        Then it would believe that nobody is there any more, and break off requests when it ends.
        """
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """An address that is too long never reaches the application; it is refused in its words all the same."""
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        with contextlib.suppress(OSError):
            client.sendall(_TOO_LONG)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl+C is no reason to break off a request."""
        self.handle_exit(sig, frame)


class Server(BaseApplication):  # type: ignore[misc]
    """The application, made before the fork: workers share its memory and start at once."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self.app, self.options = app, options
        super().__init__()

    def load_config(self) -> None:
        """Ours only: neither command line nor files."""
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application."""
        return self.app


def serve(app: Any, address: str, workers: int, threads: int, hooks: Hooks) -> None:
    """Serve until SIGTERM or Ctrl+C; does not return."""

    shares = multiprocessing.RawArray("i", [GONE] * workers * 2)  # while one ends, its successor is there

    def forking(server: Any, worker: Worker) -> None:
        taken = {each.place for each in server.WORKERS.values()}
        worker.shares, worker.place = shares, next((each for each in range(len(shares)) if each not in taken), 0)
        shares[worker.place] = 0

    def gone(_server: Any, worker: Worker) -> None:
        shares[worker.place] = GONE

    def forked(_server: Any, worker: Worker) -> None:
        worker.hooks = hooks
        hooks.forked()

    options = {
        "bind": address,
        "workers": workers,
        "threads": threads,
        "worker_class": Worker,
        "preload_app": True,
        "graceful_timeout": GRACE_SECONDS,
        "timeout": 120,
        "keepalive": 5,
        "limit_request_line": LONGEST_LINE,
        "accesslog": None,
        "loglevel": "warning",
        "control_socket_disable": True,
        # Which proxies to believe is CRM_PROXIES' concern.
        "forwarded_allow_ips": "",
        "pre_fork": forking,
        "post_fork": forked,
        "child_exit": gone,
        "post_worker_init": lambda _worker: hooks.started(),
        "worker_exit": lambda _server, worker: _leave(0, worker.ending),
    }
    gc.collect()
    gc.freeze()  # what the workers share stays shared: their collector does not write to it
    try:
        Server(app, options).run()
    except SystemExit as ended:
        _leave(int(ended.code or 0))


def _leave(status: int, ending: threading.Thread | None = None) -> None:
    """End, once what lets go has done so.

    Taking the interpreter apart object by object costs seconds on a busy machine and frees nothing.
    """
    if ending is not None:
        ending.join(GRACE_SECONDS - 0.5)  # after the grace the parent kills
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
