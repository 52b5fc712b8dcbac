"""Reports errors to a tracker with Sentry's protocol, if CRM_SENTRY_DSN names one. Off by default.

An event contains only what is listed here: kind of the error, places in the code, route and id of the request. No
values of variables, no error texts, no addresses, headers or bodies of requests, no people, no statements.
"""

from __future__ import annotations

import logging
import re
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import has_request_context, request

from app.lib.product_version import product_version
from app.ops.monitoring import error_tracker_client, request_log
from app.ops.monitoring.error_tracker_client import ErrorTracker, TrackerAddress

#: Each process reports the same error at the same place only once in this many seconds.
INTERVAL_SECONDS = 60.0
#: The most different errors remembered for that; above it, all are forgotten.
MAX_REMEMBERED = 500
#: Limits: frames of one error, its neighbours, and its chain of causes.
MAX_FRAMES, MAX_CAUSES = 60, 10
_ROOT = str(Path(__file__).resolve().parents[3])
_PYTHON = sysconfig.get_path("stdlib")
_OWN = "crm"
#: A request id in the format of nginx or ours, or a UUID. Clients may have chosen other ids with a meaning.
_MADE_ID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def install(dsn: str | None, server: str) -> bool:
    """Report errors logged by this process to this address. Returns False if there is none. Idempotent."""
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, ErrorReports)]:
        root.removeHandler(former)
    if dsn is None:
        return False
    root.addHandler(ErrorReports(ErrorTracker(TrackerAddress.of(dsn)), server))
    return True


class ErrorReports(logging.Handler):
    """Sends an event for each logged error, whichever library logs it."""

    def __init__(self, tracker: ErrorTracker, server: str) -> None:
        super().__init__(logging.ERROR)
        self.tracker, self.server = tracker, server
        self._sent: dict[tuple[str, ...], float] = {}
        self._sent_lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one error, unless it was sent recently."""
        try:
            event = event_of(record, self.server)
            if self._is_new(_identity(event)):
                self.tracker.send(event)
        except Exception:  # noqa: BLE001  # to report an error must not cause another one
            return

    def close(self) -> None:
        """Wait a moment for unsent events, at the end of the process."""
        self.tracker.flush()
        super().close()

    def _is_new(self, identity: tuple[str, ...]) -> bool:
        now = time.monotonic()
        with self._sent_lock:
            if now - self._sent.get(identity, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
                return False
            if len(self._sent) >= MAX_REMEMBERED:
                self._sent.clear()
            self._sent[identity] = now
        return True


def event_of(record: logging.LogRecord, server: str) -> dict[str, Any]:
    """The event for a logged error."""
    event: dict[str, Any] = {
        "event_id": error_tracker_client.new_event_id(),
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        "platform": "python",
        "level": "fatal" if record.levelno >= logging.CRITICAL else "error",
        "logger": record.name,
        "release": f"eshin-crm@{product_version()}",
        "server_name": server,
        "tags": {"request_id": _made_id(request_log.request_id())},
    }
    if has_request_context():
        event["transaction"] = f"{request.method} {request.url_rule or '(none)'}"
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        event["exception"] = {"values": [_exception(each) for each in _chain(error)][::-1]}
    else:
        event["logentry"] = {"message": _message(record)}
    return event


def _made_id(request_id: str) -> str:
    return request_id if _MADE_ID.fullmatch(request_id) else ""


def _message(record: logging.LogRecord) -> str:
    """The message template without its values.

    For other loggers only the place, because their texts may contain values.
    """
    is_ours = record.name.partition(".")[0] == _OWN and isinstance(record.msg, str)
    return str(record.msg)[:300] if is_ours else f"{_short(record.pathname)}:{record.lineno}"


def _identity(event: dict[str, Any]) -> tuple[str, ...]:
    values = event.get("exception", {}).get("values")
    if not values:
        return event["logger"], event["logentry"]["message"]
    last = (values[-1]["stacktrace"]["frames"] or [{}])[-1]
    return event["logger"], values[-1]["type"], f"{last.get('filename')}:{last.get('lineno')}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen and len(seen) < MAX_CAUSES:
        seen.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _exception(error: BaseException) -> dict[str, Any]:
    frames = [_frame(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    kind = type(error)
    return {"type": kind.__name__, "module": kind.__module__, "stacktrace": {"frames": frames[-MAX_FRAMES:]}}


def _frame(frame: Any, line: int) -> dict[str, Any]:
    code = frame.f_code
    return {
        "filename": _short(code.co_filename),
        "function": code.co_name,
        "module": _short(str(frame.f_globals.get("__name__", ""))),  # in a template it is the path of its file
        "lineno": line,
        "in_app": code.co_filename.startswith(_ROOT) and "site-packages" not in code.co_filename,
    }


def _short(filename: str) -> str:
    """The file name relative to our folder, the packages or Python; for any other file only its last part."""
    if "site-packages/" in filename:
        return filename.rpartition("site-packages/")[2]
    for folder in (_ROOT, _PYTHON):
        if filename.startswith(f"{folder}/"):
            return filename.removeprefix(f"{folder}/")
    return filename.rpartition("/")[2]
