"""The HTTP server: gunicorn with threads, started from Python. It stops within seconds, even with open sockets."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from app.ops.http_server.request_buffer import BodyLimits
from app.ops.http_server.worker import KEEP_ALIVE_SECONDS, MAX_CONNECTIONS, NO_WORKER, Worker
from app.ops.http_server.worker_channels import WorkerChannels
from app.ops.processes import prefork
from app.ops.processes.sidecar_process import GunicornParent, SidecarProcess

#: The longest request line ("GET /path?query HTTP/1.1") that gunicorn accepts, in bytes.
MAX_REQUEST_LINE = 8190
#: Open files per worker: connections, database, Redis and spooled requests.
OPEN_FILES = 4 * MAX_CONNECTIONS
#: How long running requests may continue after SIGTERM; behind a proxy, where others serve meanwhile, longer than a
#: statement may take, counted from the end of DRAIN_SECONDS.
GRACE_SECONDS, PROXIED_GRACE_SECONDS = 5, 22
#: How long a stopping server still reads from connections of a proxy. nginx closes unused ones after 3 seconds
#: (deploy/nginx/crm.conf); if the server did so first, it could cut off a request that is on its way.
DRAIN_SECONDS = 4.5


@dataclass(frozen=True)
class Hooks:
    """Callbacks in each worker process: after the fork, when it begins to serve, and when it is told to stop."""

    #: Called with the worker's slot, a number that no other running worker has.
    after_fork: Callable[[int], None]
    on_start: Callable[[], None]
    on_stop: Callable[[], None]
    #: Runs in one process beside the workers, until it is told to stop.
    beside: Callable[[], None] | None = None
    #: Called every second in each worker; must not wait.
    every_second: Callable[[], None] = lambda: None


class Server(BaseApplication):  # type: ignore[misc]
    """The application, created before the fork: workers share its memory and start at once."""

    def __init__(self, app: Any, options: dict[str, Any], beside: Callable[[], None] | None) -> None:
        self.app, self.options, self.beside = app, options, beside
        super().__init__()

    def load_config(self) -> None:
        """Only the given options: neither command line nor files."""
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called by gunicorn: the WSGI application."""
        return self.app

    def run(self) -> None:
        """Serve; does not return."""
        if self.beside is None:
            super().run()
        else:
            GunicornParent(self, SidecarProcess(self.beside)).run()


def serve(app: Any, address: str, workers: int, threads: int, hooks: Hooks) -> None:
    """Serve until SIGTERM or Ctrl+C; does not return."""
    is_proxied = bool(app.config["CRM"].proxies)
    _raise_file_limit()
    options = {
        "bind": address,
        "workers": workers,
        "threads": threads,
        "worker_class": Worker,
        "preload_app": True,
        "graceful_timeout": PROXIED_GRACE_SECONDS if is_proxied else GRACE_SECONDS,
        "timeout": 120,
        "keepalive": int(KEEP_ALIVE_SECONDS),
        # Never reached: the worker closes connections itself.
        "worker_connections": 2 * MAX_CONNECTIONS,
        "limit_request_line": MAX_REQUEST_LINE,
        "accesslog": None,
        "loglevel": "warning",
        "control_socket_disable": True,
        # CRM_PROXIES says which proxies to trust.
        "forwarded_allow_ips": "",
        # Its own lines go where all others go, in the same format.
        "on_starting": _log_as_everybody,
        **_worker_hooks(app, workers, is_proxied, hooks),
    }
    prefork.settle_memory()
    try:
        Server(app, options, hooks.beside).run()
    except SystemExit as error:
        _exit(int(error.code or 0))


def _worker_hooks(app: Any, workers: int, is_proxied: bool, hooks: Hooks) -> dict[str, Any]:
    """gunicorn's hooks, which give each worker a slot and what it shares with the others."""
    # Twice as many slots as workers, because a stopping worker and its successor run at the same time.
    counts = multiprocessing.RawArray("i", [NO_WORKER] * workers * 2)
    channels = WorkerChannels(len(counts))

    def before_fork(server: Any, worker: Worker) -> None:
        used = {each.slot for each in server.WORKERS.values()}
        worker.connection_counts, worker.slot = counts, next((n for n in range(len(counts)) if n not in used), 0)
        counts[worker.slot] = 0
        worker.channels, worker.body_limits = channels, _body_limits(app.config)
        if is_proxied:
            worker.drain_seconds = DRAIN_SECONDS

    def on_exit(_server: Any, worker: Worker) -> None:
        counts[worker.slot] = NO_WORKER

    def after_fork(_server: Any, worker: Worker) -> None:
        worker.hooks = hooks
        hooks.after_fork(worker.slot)

    return {
        "pre_fork": before_fork,
        "post_fork": after_fork,
        "child_exit": on_exit,
        "post_worker_init": lambda _worker: hooks.on_start(),
        "worker_exit": lambda _server, worker: _exit(0, worker.stopping),
    }


def _log_as_everybody(server: Any) -> None:
    server.log.error_log.handlers.clear()
    server.log.error_log.propagate = True


def _body_limits(config: Any) -> BodyLimits:
    paths = tuple(each.encode() for each in config["UPLOAD_PATHS"])
    return BodyLimits(int(config["MAX_CONTENT_LENGTH"]), paths, int(config["MAX_UPLOAD_LENGTH"]))


def _raise_file_limit() -> None:
    """Allow as many open files as the connections need, up to the operator's limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _exit(status: int, stopping: threading.Thread | None = None) -> None:
    """End this process when `stopping` is done.

    Finalising the interpreter would take seconds on a busy machine and free nothing.
    """
    if stopping is not None:
        stopping.join(GRACE_SECONDS - 0.5)  # after GRACE_SECONDS the parent kills this process
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
