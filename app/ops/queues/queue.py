"""The queue: function calls that run later, in workers on Redis or in threads of this process.

Only a function's name and row keys are queued, as JSON. The data is in the database, from which a lost call is queued
again.
"""

from __future__ import annotations

import inspect
import logging
import os
import random
import threading
import traceback as traceback_module
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

from app.ops.database.database_errors import cause_of, summary_of

log = logging.getLogger("crm.queue")

#: Queue -> seconds that one call may take.
TIMEOUT_SECONDS = {"short": 60, "default": 300, "long": 3600}
#: Name -> the function that may be called by it. Filled by `register`; functions are never imported by name.
_functions: dict[str, Callable[..., Any]] = {}
#: Moved functions: their old path, which queued calls and dead letters of an older version still use.
MOVED = {
    "app.delivery:send": "app.outbox.notice_delivery:send",
    "app.postman.sending:send": "app.outbox.webhook_delivery:send",
    "app.outbox.file_work:work": "app.inbound.message_file_fetch:work",
    "app.outbox.dnd_reading:read": "app.web.messaging.dnd_list_worker:read",
    "app.backups.work:run": "app.backups.requested_runs:run",
    "app.outbox.campaign_work:advance": "app.outbox.campaign_sending:advance",
    "app.outbox.inbound_work:work_off": "app.inbound.inbound_processing:work_off",
    "app.outbox.scan_work:scan": "app.inbound.delayed_virus_scans:scan",
    "app.web.transfer.export_work:work": "app.web.transfer.export_worker:work",
    "app.web.transfer.import_work:work": "app.web.transfer.import_worker:work",
    "app.web.reports.schedule_work:make": "app.web.reports.schedule_worker:make",
    "app.web.reports.schedule_work:send": "app.web.reports.schedule_worker:send",
    "app.outbox.message_files:work": "app.inbound.message_file_fetch:work",
    "app.outbox.recording_delivery:send": "app.inbound.recording_fetch:send",
    "app.outbox.mail_fetch:fetch": "app.inbound.mail_fetch:fetch",
    "app.outbox.inbound_processing:work_off": "app.inbound.inbound_processing:work_off",
    "app.outbox.virus_scans:scan": "app.inbound.delayed_virus_scans:scan",
    "app.outbox.dnd_import:read": "app.web.messaging.dnd_list_worker:read",
}
#: The share by which a wait is randomly lengthened or shortened, so that retries don't coincide.
JITTER = 0.25


@dataclass(frozen=True)
class Call:
    """One call to run: `function` ("module:name") with row keys as arguments."""

    queue: str
    function: str
    arguments: tuple[int | str, ...]


@dataclass(frozen=True)
class QueueFailure:
    """A call that failed permanently."""

    call: Call
    tries: int
    #: Kind and first line, without the values of a statement.
    error: str


@dataclass(frozen=True)
class QueueDepth:
    """The state of one queue."""

    name: str
    #: Calls ready to run, and calls scheduled for later.
    waiting: int
    later: int
    workers: int


def _ignore(failure: QueueFailure) -> None:
    """The default until create_app sets a function that stores failures."""


@dataclass
class QueueSettings:
    """How calls run: their context, the number of attempts, and where failures are stored."""

    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    #: Seconds before the second, third … attempt; there is one attempt more than there are waits.
    waits: tuple[int, ...] = (5, 30, 120, 600)
    on_failure: Callable[[QueueFailure], None] = _ignore
    #: Signs queued calls outside this process; derived from the secret key.
    signing_key: bytes = b""
    #: Queue -> workers, or threads without Redis.
    workers: Mapping[str, int] = field(default_factory=lambda: {"short": 2, "default": 2, "long": 1})
    #: Keys being replaced: calls signed by them are still run.
    older_keys: tuple[bytes, ...] = ()
    #: The name of this server.
    server: str = "server"

    @property
    def tries(self) -> int:
        """The number of attempts before a call has failed permanently."""
        return len(self.waits) + 1


class Backend(Protocol):
    """Redis, or this process."""

    #: redis or process.
    kind: str

    def enqueue(self, call: Call, after: float = 0.0, is_urgent: bool = False) -> bool:
        """Queue the call to run after so many seconds; an urgent one before all others. False if it can't be queued.

        Never raises, and never blocks for more than half a second.
        """

    def depths(self) -> list[QueueDepth] | None:
        """The state of each queue; None if Redis does not respond."""

    def workers(self) -> dict[str, list[str]]:
        """Server -> its workers by queue and number, such as "short 1", not counting this process."""

    def try_again(self) -> None:
        """Retry at once what could not be reached a moment ago."""

    def stop(self, seconds: float) -> None:
        """Start no further calls, and wait at most `seconds` for running ones."""


#: Whether calls of this context are discarded (dry runs of jobs).
_held_back: ContextVar[bool] = ContextVar("held_back", default=False)
_settings = QueueSettings()
_backend: Backend | None = None
_lock = threading.Lock()


def install(settings: QueueSettings, backend: Backend) -> None:
    """Set the settings and the backend of this process, and stop the previous backend."""
    global _settings, _backend
    with _lock:
        before, _settings, _backend = _backend, settings, backend
    if before is not None:
        before.stop(0)


def settings() -> QueueSettings:
    """How calls run in this process."""
    return _settings


def backend_kind() -> str:
    """redis, process, or "" before an application was created."""
    return _backend.kind if _backend else ""


def depths() -> list[QueueDepth] | None:
    """The state of each queue; None if Redis does not respond."""
    return _backend.depths() if _backend else []


def workers() -> dict[str, list[str]]:
    """Server -> its workers by queue and number, such as "short 1"; empty without Redis, or if it does not respond."""
    return _backend.workers() if _backend else {}


def try_again() -> None:
    """Retry Redis at once, although it could not be reached a moment ago."""
    if _backend is not None:
        _backend.try_again()


def stop(seconds: float = 4.0) -> None:
    """Stop the threads of this process, if it has any."""
    if _backend is not None:
        _backend.stop(seconds)


# --- enqueue


def enqueue(queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """Run a module-level function soon. Returns False if it can't be queued.

    Raises TypeError for arguments other than ints and strings, and for a function that is not registered.
    """
    return enqueue_in(0.0, queue, function, *arguments)


def enqueue_in(seconds: float, queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """Like `enqueue`, but not before this many seconds have passed."""
    return enqueue_call(build_call(queue, function, *arguments), seconds)


@contextmanager
def discard_calls() -> Iterator[None]:
    """Inside, queued calls are discarded, as if they had been accepted."""
    token = _held_back.set(True)
    try:
        yield
    finally:
        _held_back.reset(token)


def enqueue_call(call: Call, seconds: float = 0.0, is_urgent: bool = False) -> bool:
    """Queue an existing call, for example one that failed before; an urgent one goes to the front."""
    if _held_back.get():
        return True
    return _backend.enqueue(call, seconds, is_urgent) if _backend else False


def build_call(queue: str, function: Callable[..., Any], *arguments: int | str) -> Call:
    """The call as data. Raises TypeError as `enqueue` does, and KeyError for an unknown queue."""
    TIMEOUT_SECONDS[queue]
    name = name_of(function)
    if _functions.get(name) is not function:
        raise TypeError(f"{name} is not registered: see QUEUED in app/jobs.py.")
    invalid = [each for each in arguments if not isinstance(each, int | str)]
    if invalid:
        raise TypeError(f"{name}: a call takes ints and strings only, not {type(invalid[0]).__name__}.")
    return Call(queue, name, arguments)


def add_jitter(seconds: float) -> float:
    """The seconds, randomly lengthened or shortened by up to JITTER."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret


# --- run a call


def run_call(call: Call) -> None:
    """Run the call now, in this process. Raises what the function raises, and LookupError if it is not registered."""
    with _settings.context():
        function_named(call.function)(*call.arguments)


def register(*functions: Callable[..., Any]) -> None:
    """Allow these module-level functions to be queued and called by name. Raises TypeError for anything else."""
    for function in functions:
        if not inspect.isfunction(function) or not function.__qualname__.isidentifier():
            raise TypeError(f"{function!r} is no function of a module.")
        _functions[name_of(function)] = function


def name_of(function: Callable[..., Any]) -> str:
    """The name under which a function is queued, module:name; stored in queues and dead letters."""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"


def function_named(name: str) -> Callable[..., Any]:
    """The function with this name or former name. Raises LookupError for any other."""
    found = _functions.get(MOVED.get(name, name))
    if found is None:
        raise LookupError(f"There is no function {name} (any more).")
    return found


def is_known(name: str) -> bool:
    """Whether this process can run a call of this name."""
    return MOVED.get(name, name) in _functions


def record_failure(call: Call, number: int, error: BaseException, traceback: TracebackType | None) -> None:
    """Log that an attempt of a call failed, and store the last one as a dead letter.

    The log has a traceback unless the reason lies outside of the call: problems of the database affect every call, and
    a thousand tracebacks a minute help nobody. Raises what storing raises: then the backend must not count the call as
    finished.
    """
    is_last = number >= _settings.tries
    log.log(
        logging.ERROR if is_last else logging.WARNING,
        "call %s%r failed, try %s of %s: %s",
        call.function,
        call.arguments,
        number,
        _settings.tries,
        error_summary(error),
        exc_info=None if cause_of(error) else (type(error), error, traceback or error.__traceback__),
    )
    if is_last:
        with _settings.context():
            _settings.on_failure(QueueFailure(call, number, error_summary(error)))


def error_summary(error: BaseException) -> str:
    """Kind of the error and where it was raised, to be stored; never its text, which may contain user input."""
    if isinstance(error, DBAPIError):
        return summary_of(error)
    frames = traceback_module.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}site-packages{os.sep}" not in frame.filename]
    place = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}{place}"
