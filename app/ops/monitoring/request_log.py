"""Machine-readable logs: a request id in every line, JSON if configured, and no personal data.

A request's id comes from the proxy in front (X-Request-ID) or is generated here, and is returned with the response.
Lines contain the route of a request (/leads/show/<pk>), never its path or query, which may contain user input.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

from flask import Flask, Response, g, has_request_context, request

from app.ops.monitoring import log_files

HEADER = "X-Request-ID"
#: Ids accepted from a proxy or client; others are replaced. Too long for a phone number, and not an address.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{15,63}")
log = logging.getLogger("crm.access")


def request_id() -> str:
    """The id of the current request; "" outside of one."""
    return str(g.get("request_id", "")) if has_request_context() else ""


def bind(app: Flask) -> None:
    """Assign an id to every request, before anything else, and log a line when it is answered."""
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)
    app.after_request(_end)


def _begin() -> None:
    given, held = request.headers.get(HEADER, ""), g._get_current_object()  # a proxy would be resolved each time
    held.request_id = given if _ID.fullmatch(given) else os.urandom(16).hex()
    held.received = time.perf_counter()


def _end(response: Response) -> Response:
    held = vars(g._get_current_object())
    if "request_id" not in held:  # refused before it began
        _begin()
    response.headers.add(HEADER, held["request_id"])
    if log.isEnabledFor(logging.INFO):
        log.info("request", extra={"request": _summary(response)})
    return response


def _summary(response: Response) -> dict[str, object]:
    return {
        "method": request.method,
        "route": str(request.url_rule) if request.url_rule else "(none)",
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.received) * 1000, 1),
    }


@contextmanager
def silenced() -> Iterator[None]:
    """Inside, requests leave no line in the log."""
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


# --- the lines


class JsonLines(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, and if available request_id, request, error."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if key := request_id():
            line["request_id"] = key
        if hasattr(record, "request"):
            line["request"] = record.request
        if record.exc_text:  # made safe by log_redaction
            line["error"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """A line for people: time, level, logger, message, and the request's id in brackets."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, followed by the traceback if there is one."""
        key = request_id()
        return f"{super().format(record)} [{key}]" if key and not record.exc_text else super().format(record)


def install(is_json: bool) -> None:
    """Log to stderr. JSON has a line for each request; for text, see the proxy's log."""
    handler = log_files.StderrHandler()
    handler.setFormatter(_formatter(is_json))
    root = logging.getLogger()
    for former in [each for each in root.handlers if getattr(each, "is_ours", False)]:
        root.removeHandler(former)
    handler.is_ours = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    log.setLevel(logging.INFO if is_json else logging.WARNING)


def print_line(sentence: str, stream: TextIO, is_json: bool = False) -> None:
    """Print what a start says: as it is to a person's terminal, else as a line of the log, with its time."""
    if not stream.isatty():
        level = logging.ERROR if stream is sys.stderr else logging.INFO
        record = logging.LogRecord("crm.start", level, __file__, 0, sentence, None, None)
        sentence = _formatter(is_json).format(record)
    with suppress(OSError):  # a full disk of logs keeps no server from starting
        print(sentence, file=stream, flush=True)


def _formatter(is_json: bool) -> logging.Formatter:
    return JsonLines() if is_json else TextLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
