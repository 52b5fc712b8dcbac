"""The queue: function calls that run later, in workers on Redis or in threads of this process.

Only a function's name and row keys are queued, as JSON. The data is in the database; a lost call is queued again from
there.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

log = logging.getLogger("crm.queue")

#: Queue -> seconds that one call may take.
TIMEOUT_SECONDS = {"short": 60, "default": 300, "long": 3600}
#: Packages whose functions may be called by name.
ALLOWED_PACKAGES = {"app"}
#: Functions that have moved: their old path, which queued calls and dead letters of an older version still name.
MOVED = {
    "app.delivery:send": "app.outbox.notice_delivery:send",
    "app.postman.sending:send": "app.outbox.webhook_delivery:send",
}
#: The share by which a wait is randomly lengthened or shortened, so that not all retries come at once.
JITTER = 0.25


@dataclass(frozen=True)
class Call:
    """One call to run: `function` ("module:name") with row keys as arguments."""

    queue: str
    function: str
    arguments: tuple[int | str, ...]


@dataclass(frozen=True)
class Failure:
    """A call that failed for good."""

    call: Call
    tries: int
    #: Kind and first line, without the values of a statement.
    error: str


@dataclass(frozen=True)
class Depth:
    """The state of one queue."""

    name: str
    #: Calls that are ready to run, and calls scheduled for later.
    waiting: int
    later: int
    workers: int


def _ignore(failure: Failure) -> None:
    """The default until create_app sets a function that stores failures."""


@dataclass
class QueueSettings:
    """How calls run: inside which context, how often they are tried, and where failures are stored."""

    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    #: Seconds before the second, third … try; there is one try more than there are waits.
    waits: tuple[int, ...] = (5, 30, 120, 600)
    on_failure: Callable[[Failure], None] = _ignore
    #: Queue -> workers, or threads where there is no Redis.
    workers: Mapping[str, int] = field(default_factory=lambda: {"short": 2, "default": 2, "long": 1})

    @property
    def tries(self) -> int:
        """How often a call is tried before it has failed for good."""
        return len(self.waits) + 1


class Backend(Protocol):
    """Redis, or this process."""

    #: redis or process.
    kind: str

    def enqueue(self, call: Call, after: float = 0.0) -> bool:
        """Queue the call to run after so many seconds. False when it cannot be queued.

        Never raises, and never blocks for more than half a second.
        """

    def depths(self) -> list[Depth] | None:
        """The state of each queue; None when Redis does not answer."""

    def stop(self, seconds: float) -> None:
        """Start no further calls, and wait at most this long for those that run."""


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


def depths() -> list[Depth] | None:
    """The state of each queue; None when Redis does not answer."""
    return _backend.depths() if _backend else []


def stop(seconds: float = 4.0) -> None:
    """Stop the threads of this process, if it has any."""
    if _backend is not None:
        _backend.stop(seconds)


# --- enqueue


def enqueue(queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """Run a module-level function soon. False when no queue takes the call.

    Raises TypeError for arguments other than ints and strings, and for anything but a function of one of our modules.
    """
    return enqueue_in(0.0, queue, function, *arguments)


def enqueue_in(seconds: float, queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """Like `enqueue`, but not before this many seconds have passed."""
    return enqueue_call(build_call(queue, function, *arguments), seconds)


def enqueue_call(call: Call, seconds: float = 0.0) -> bool:
    """Queue a call that already exists, for example one that failed before."""
    return _backend.enqueue(call, seconds) if _backend else False


def build_call(queue: str, function: Callable[..., Any], *arguments: int | str) -> Call:
    """The call as data. Raises TypeError as `enqueue` does, and KeyError for an unknown queue."""
    TIMEOUT_SECONDS[queue]
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    is_function = inspect.isfunction(function) and function.__qualname__.isidentifier()  # module-level, not a lambda
    if not is_function or not _is_allowed(function.__module__):
        raise TypeError(f"{name} is no function of a module of ours.")
    invalid = [each for each in arguments if not isinstance(each, int | str)]
    if invalid:
        raise TypeError(f"{name}: a call takes ints and strings only, not {type(invalid[0]).__name__}.")
    return Call(queue, name, arguments)


def jittered(seconds: float) -> float:
    """These seconds, randomly lengthened or shortened by up to JITTER."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret


# --- run a call


def run_call(call: Call) -> None:
    """Run the call here and now. Raises what the function raises, and LookupError for a function that is not ours."""
    with _settings.context():
        _function(call.function)(*call.arguments)


def _function(name: str) -> Callable[..., Any]:
    module, _colon, function = MOVED.get(name, name).partition(":")
    if not _is_allowed(module):
        raise LookupError(f"{name} is none of ours.")
    found = getattr(importlib.import_module(module), function, None)
    if not inspect.isfunction(found) or found.__module__ != module:
        raise LookupError(f"There is no function {name} (any more).")
    return found


def _is_allowed(module: str) -> bool:
    return module.partition(".")[0] in ALLOWED_PACKAGES


def record_failure(call: Call, number: int, error: BaseException, traceback: TracebackType | None) -> None:
    """Log that try `number` of a call failed, and store the last one as a dead letter.

    Raises what storing raises: then the backend must not count the call as finished.
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
        exc_info=_without_values(error, traceback),
    )
    if is_last:
        with _settings.context():
            _settings.on_failure(Failure(call, number, error_summary(error)))


def _without_values(error: BaseException, traceback: TracebackType | None) -> Any:
    """`exc_info` for the log; the text of a database error can hold what somebody typed."""
    shown = RuntimeError(error_summary(error)) if isinstance(error, DBAPIError) else error
    return (type(shown), shown, traceback)


def error_summary(error: BaseException) -> str:
    """Kind and first line; of a database error only kind and number, for its text holds values."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "args", ())[:1]
        return f"{type(error.orig).__name__} {code[0] if code and isinstance(code[0], int) else ''}".strip()
    return f"{type(error).__name__}: {error}".splitlines()[0][:400]
