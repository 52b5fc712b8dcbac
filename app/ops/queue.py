"""The queue: what need not be waited for is called later, by workers on Redis or by threads of this process.

Only the name of a function and keys of rows travel, as JSON. What matters lies in the database; a call that gets lost
is made again from there.
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
SECONDS = {"short": 60, "default": 300, "long": 3600}
#: Packages whose functions may be called by name.
TRUSTED = {"app"}
#: Functions that have moved: their old path, which queued calls and dead letters of an older version still name.
MOVED = {
    "app.delivery:send": "app.outbox.notice_delivery:send",
    "app.postman.sending:send": "app.outbox.webhook_delivery:send",
}
#: A wait is made longer or shorter by up to so much of itself, so that not all come back at once.
JITTER = 0.25


@dataclass(frozen=True)
class Call:
    """One call to be made: of `function` ("module:name"), with keys of rows."""

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
    """How one queue stands."""

    name: str
    #: Calls that could be made now, and those that wait for their time.
    waiting: int
    later: int
    workers: int


def _nobody(failure: Failure) -> None:
    """Until create_app names somebody who writes it down."""


@dataclass
class QueueSettings:
    """Where calls are made: inside which context, how often they are tried, and who hears of those that fail."""

    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    #: Seconds before the second, third … try; one try more than there are waits.
    waits: tuple[int, ...] = (5, 30, 120, 600)
    on_failure: Callable[[Failure], None] = _nobody
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

    def put(self, call: Call, after: float = 0.0) -> bool:
        """Take the call; False when it cannot be taken. Never raises, never waits longer than half a second."""

    def depths(self) -> list[Depth] | None:
        """How the queues stand; None = Redis does not answer."""

    def stop(self, seconds: float) -> None:
        """Make no further calls; wait for those at work, at most so long."""


_place = QueueSettings()
_backend: Backend | None = None
_lock = threading.Lock()


def install(place: QueueSettings, backend: Backend) -> None:
    """Name the place and the backend of this process; the one before is told to end."""
    global _place, _backend
    with _lock:
        before, _place, _backend = _backend, place, backend
    if before is not None:
        before.stop(0)


def place() -> QueueSettings:
    """Where calls are made in this process."""
    return _place


def kind() -> str:
    """redis, process, or "" before an application was made."""
    return _backend.kind if _backend else ""


def depths() -> list[Depth] | None:
    """How the queues stand; None = Redis does not answer."""
    return _backend.depths() if _backend else []


def stop(seconds: float = 4.0) -> None:
    """End the threads of this process, if it has any."""
    if _backend is not None:
        _backend.stop(seconds)


# --- putting in


def enqueue(queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """Have `function` of a module called soon. False when no queue takes it; the caller's rows must then suffice.

    Raises TypeError for anything but ints and strings, and for what is no function of a module of ours.
    """
    return enqueue_in(0.0, queue, function, *arguments)


def enqueue_in(seconds: float, queue: str, function: Callable[..., Any], *arguments: int | str) -> bool:
    """The same, not before so many seconds have passed."""
    return put(call_of(queue, function, *arguments), seconds)


def put(call: Call, seconds: float = 0.0) -> bool:
    """Have a call made that was made before, or is known by name."""
    return _backend.put(call, seconds) if _backend else False


def call_of(queue: str, function: Callable[..., Any], *arguments: int | str) -> Call:
    """The call in writing. Raises TypeError, and KeyError for an unknown queue."""
    SECONDS[queue]
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    is_function = inspect.isfunction(function) and function.__qualname__.isidentifier()  # of a module, with a name
    if not is_function or not _is_trusted(function.__module__):
        raise TypeError(f"{name} is no function of a module of ours.")
    strange = [each for each in arguments if not isinstance(each, int | str)]
    if strange:
        raise TypeError(f"{name}: a call takes ints and strings only, not {type(strange[0]).__name__}.")
    return Call(queue, name, arguments)


def jittered(seconds: float) -> float:
    """About so many seconds."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret


# --- making a call


def make(call: Call) -> None:
    """Make the call, here and now. Raises what the function raises, LookupError for one that is not ours."""
    with _place.context():
        _function(call.function)(*call.arguments)


def _function(name: str) -> Callable[..., Any]:
    module, _colon, function = MOVED.get(name, name).partition(":")
    if not _is_trusted(module):
        raise LookupError(f"{name} is none of ours.")
    found = getattr(importlib.import_module(module), function, None)
    if not inspect.isfunction(found) or found.__module__ != module:
        raise LookupError(f"There is no function {name} (any more).")
    return found


def _is_trusted(module: str) -> bool:
    return module.partition(".")[0] in TRUSTED


def heard(call: Call, number: int, error: BaseException, frames: TracebackType | None) -> None:
    """Log the try of that number that went wrong; the last one goes into the list of failures.

    Raises what the writing raises: then the backend must not count the call as settled.
    """
    last = number >= _place.tries
    log.log(
        logging.ERROR if last else logging.WARNING,
        "call %s%r failed, try %s of %s: %s",
        call.function,
        call.arguments,
        number,
        _place.tries,
        said(error),
        exc_info=_without_values(error, frames),
    )
    if last:
        with _place.context():
            _place.on_failure(Failure(call, number, said(error)))


def _without_values(error: BaseException, frames: TracebackType | None) -> Any:
    """For the log; the text of a database's error holds what somebody typed."""
    shown = RuntimeError(said(error)) if isinstance(error, DBAPIError) else error
    return (type(shown), shown, frames)


def said(error: BaseException) -> str:
    """Kind and first line; of the database's errors only kind and number, for their text holds values."""
    if isinstance(error, DBAPIError):
        known = getattr(error.orig, "args", ())[:1]
        return f"{type(error.orig).__name__} {known[0] if known and isinstance(known[0], int) else ''}".strip()
    return f"{type(error).__name__}: {error}".splitlines()[0][:400]
