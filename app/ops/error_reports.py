"""Errors reported to a tracker that speaks Sentry's protocol, where CRM_SENTRY_DSN names one. Off by default.

An event is made of what is named here, and of nothing else: kind of the error, places in the code, route and id of the
request. No value of a variable, no text of an error, no address, header or body of a request, no person, no statement.
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
from app.ops import error_tracker, request_log
from app.ops.error_tracker import ErrorTracker, TrackerAddress

#: The same error at the same place is reported once in so many seconds by each process.
INTERVAL_SECONDS = 60.0
#: So many different ones are remembered for that; with more, all are forgotten.
MAX_REMEMBERED = 500
#: Places of one error, those next to it, and errors that led to it.
MAX_FRAMES, MAX_CAUSES = 60, 10
_ROOT = str(Path(__file__).resolve().parents[2])
_PYTHON = sysconfig.get_path("stdlib")
_OWN = "crm"
#: An id of a request as we and nginx make it, or a UUID. A client may have chosen any other by what it is about.
_MADE_ID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def install(dsn: str | None, server: str) -> bool:
    """Report what this process logs as errors to this address. False where none is given. Idempotent."""
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, ErrorReports)]:
        root.removeHandler(former)
    if dsn is None:
        return False
    root.addHandler(ErrorReports(ErrorTracker(TrackerAddress.of(dsn)), server))
    return True


class ErrorReports(logging.Handler):
    """Sends an event for each error that is logged, by whichever library."""

    def __init__(self, tracker: ErrorTracker, server: str) -> None:
        super().__init__(logging.ERROR)
        self.tracker, self.server = tracker, server
        self._sent: dict[tuple[str, ...], float] = {}
        self._sent_lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one error, unless it was sent a moment ago."""
        try:
            event = event_of(record, self.server)
            if self._is_new(_identity(event)):
                self.tracker.send(event)
        except Exception:  # noqa: BLE001  # to report an error must not cause another one
            return

    def close(self) -> None:
        """Wait a moment for events that are still to be sent, at the end of the process."""
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
    """The event of an error that was logged."""
    event: dict[str, Any] = {
        "event_id": error_tracker.new_event_id(),
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
    """The message before its values are filled in. What other loggers write can hold values: only the place."""
    is_ours = record.name.partition(".")[0] == _OWN and isinstance(record.msg, str)
    return str(record.msg)[:300] if is_ours else f"{_short(record.pathname)}:{record.lineno}"


def _identity(event: dict[str, Any]) -> tuple[str, ...]:
    values = event.get("exception", {}).get("values")
    if not values:
        return event["logger"], event["logentry"]["message"]
    last = (values[-1]["stacktrace"]["frames"] or [{}])[-1]
    return event["logger"], values[-1]["type"], f"{last.get('filename')}:{last.get('lineno')}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what led to it, and so on."""
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
        "module": _short(str(frame.f_globals.get("__name__", ""))),  # that of a template is the path of its file
        "lineno": line,
        "in_app": code.co_filename.startswith(_ROOT) and "site-packages" not in code.co_filename,
    }


def _short(filename: str) -> str:
    """The name of a file below our folder, that of the packages or that of Python; of any other only its last part."""
    if "site-packages/" in filename:
        return filename.rpartition("site-packages/")[2]
    for folder in (_ROOT, _PYTHON):
        if filename.startswith(f"{folder}/"):
            return filename.removeprefix(f"{folder}/")
    return filename.rpartition("/")[2]
