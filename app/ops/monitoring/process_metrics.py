"""Metrics of this process: response times, errors, slow statements. They are stored once a minute.

They contain no personal data: statements without their values, errors by kind and place. Values not stored yet are lost
if the process is killed, at most a minute's worth; if storing fails, they are kept, within limits, for the next minute.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
import traceback
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from app.ops.monitoring import prometheus_metrics, request_log

log = logging.getLogger("crm.health")

#: Upper bounds of response times, in milliseconds; slower ones are counted beyond the last.
BUCKETS_MS = (50, 100, 200, 500, 1000, 5000)
#: Statements that take longer are recorded.
SLOW_MS = 100
#: Different statements and errors recorded per minute; others are only counted in the log.
MAX_NOTED = 50
MAX_STATEMENT, MAX_TRACE = 1000, 4000
#: Not measured: they respond at once, or stay open.
_UNMEASURED = ("/static/", "/socket.io", "/healthz", "/readyz", "/metrics")
_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\b\d{4,}\b")
_ROOT = str(Path(__file__).resolve().parents[3])


@dataclass
class NotableEvent:
    """Something that happened once or repeatedly since the last minute: a slow statement, or an error."""

    #: The statement, or the kind of the error.
    text: str
    #: The route, job or logger where it last happened.
    place: str
    times: int = 0
    total_ms: int = 0
    max_ms: int = 0
    #: For an error: its traceback without values, and the id of the last request in which it happened.
    trace: str = ""
    request_id: str = ""


@dataclass
class MetricsBatch:
    """The values counted since the last minute."""

    requests: int = 0
    #: Responses with status 500 and above.
    errors: int = 0
    total_ms: int = 0
    #: Requests that took at most BUCKETS_MS[i], but longer than the bound before.
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_MS))
    #: Digest -> slow statement.
    slow: dict[str, NotableEvent] = field(default_factory=dict)
    failures: dict[str, NotableEvent] = field(default_factory=dict)

    def add(self, other: MetricsBatch) -> None:
        """Merge another batch, which could not be stored."""
        self.requests += other.requests
        self.errors += other.errors
        self.total_ms += other.total_ms
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        for ours, theirs in ((self.slow, other.slow), (self.failures, other.failures)):
            for digest, noted in theirs.items():
                if digest in ours or len(ours) < MAX_NOTED:
                    ours.setdefault(digest, noted)


_batch = MetricsBatch()
_lock = threading.Lock()


# --- counting


def bind(app: Flask, engine: Engine, store: Callable[[MetricsBatch], None]) -> None:
    """Measure the requests and statements of this application; `store` writes a batch into the database."""
    app.extensions["crm_store_measures"] = store
    app.after_request(_measure)
    watch(engine)
    logger = logging.getLogger("crm")
    if not any(isinstance(each, _ErrorNotes) for each in logger.handlers):
        logger.addHandler(_ErrorNotes(logging.ERROR))


def watch(engine: Engine) -> None:
    """Record the engine's slow statements."""
    event.listen(engine, "before_cursor_execute", _begin_statement)
    event.listen(engine, "after_cursor_execute", _end_statement)


def _measure(response: Response) -> Response:
    path, received = request.path, vars(g._get_current_object()).get("received")
    if received is not None and not path.startswith(_UNMEASURED):
        seconds, status = time.perf_counter() - received, response.status_code
        count_request(status, round(seconds * 1000))
        prometheus_metrics.observe(_kind_of(path), status, seconds)
    return response


def _kind_of(path: str) -> str:
    if path.startswith(("/api/method/", "/api/resource/")):
        return "compat"
    return "rest" if path.startswith("/api/") else "hook" if path.startswith("/hooks/") else "page"


def count_request(status: int, milliseconds: int) -> None:
    """Count a response by its status and time in milliseconds."""
    place = bisect_left(BUCKETS_MS, milliseconds)
    with _lock:
        _batch.requests += 1
        _batch.errors += status >= 500
        _batch.total_ms += milliseconds
        if place < len(BUCKETS_MS):
            _batch.buckets[place] += 1


def _begin_statement(_c: Any, _cursor: Any, _statement: str, _p: Any, context: Any, _many: bool) -> None:
    if context is not None:
        context.began = time.perf_counter()


def _end_statement(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _many: bool) -> None:
    milliseconds = (time.perf_counter() - getattr(context, "began", float("inf"))) * 1000
    if milliseconds >= SLOW_MS:
        note_slow(statement, round(milliseconds))


def note_slow(statement: str, milliseconds: int) -> None:
    """Record a slow statement, without its values."""
    text = _LITERAL.sub("…", " ".join(statement.split()))[:MAX_STATEMENT]
    with _lock:
        noted = _noted(_batch.slow, text, text)
        if noted is not None:
            noted.total_ms += milliseconds
            noted.max_ms = max(noted.max_ms, milliseconds)


def _noted(known: dict[str, NotableEvent], key: str, text: str) -> NotableEvent | None:
    """The entry with this key, counted once more; None if there are too many. Call it with the lock held."""
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]
    if digest not in known and len(known) >= MAX_NOTED:
        return None
    noted = known.setdefault(digest, NotableEvent(text, ""))
    noted.times += 1
    noted.place = _place()
    noted.request_id = request_log.request_id()
    return noted


def _place() -> str:
    if not has_request_context():
        return threading.current_thread().name.partition("-")[0][:100]
    return f"{request.method} {request.url_rule or '(none)'}"[:100]


class _ErrorNotes(logging.Handler):
    """Records errors logged by our own loggers: the kind, never the values of the message."""

    def emit(self, record: logging.LogRecord) -> None:
        """Record one error."""
        error = record.exc_info[1] if record.exc_info else None
        # Without an exception: the message template, without values.
        text = f"{type(error).__name__} at {_our_frame(error)}" if error else str(record.msg)
        with _lock:
            noted = _noted(_batch.failures, f"{record.name} {text}", text[:300])
            if noted is not None:
                noted.trace = _trace_of(error)[-MAX_TRACE:] if error else ""
                noted.place = noted.place if has_request_context() else record.name


def _trace_of(error: BaseException) -> str:
    """Where it was raised, and its causes: places and kinds, no error texts."""
    parts: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        parts.append(f"{''.join(traceback.format_tb(each.__traceback__))}{type(each).__name__}")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n\nled to\n\n".join(reversed(parts))


def _our_frame(error: BaseException) -> str:
    """File and line of our innermost code, else of any code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if each.filename.startswith(_ROOT) and "site-packages" not in each.filename]
    for last in reversed(ours or frames):
        return f"{last.filename.removeprefix(_ROOT).lstrip('/')}:{last.lineno}"
    return "?"


# --- storing


def collect() -> MetricsBatch:
    """The counted values; counting starts anew."""
    global _batch
    with _lock:
        taken, _batch = _batch, MetricsBatch()
    return taken


def flush(app: Flask) -> None:
    """Store the counted values; keep them if the database fails."""
    taken = collect()
    try:
        app.extensions["crm_store_measures"](taken)
    except (SQLAlchemyError, OSError) as error:
        log.warning("this minute's measures could not be stored yet (%s)", type(error).__name__)
        with _lock:
            _batch.add(taken)


def ticker(app: Flask, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """A function to call every second: once a minute, it stores the values in a thread of its own, and calls `then`."""
    last = [-1]
    busy = threading.Lock()

    def work() -> None:
        with busy:
            flush(app)
            then()

    def tick() -> None:
        minute = int(time.time() // 60)
        if minute != last[0] and not busy.locked():
            last[0] = minute
            threading.Thread(target=work, name="crm-measures", daemon=True).start()

    return tick
