"""Writes that are done again if another save came between their reading and their writing, or deadlocked with them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from app.extensions import db
from app.ops.database.database_errors import Cause, cause_of
from app.web.core.views import save_warnings

#: How often a write is tried that others overtake, and one that collides with them.
TRIES, TRIES_AFTER_DEADLOCKS = 3, 6
#: The longest pause before the second try after a deadlock, longer before each further one: so that two that collided
#: don't meet again.
_PAUSE_SECONDS = 0.05
_Result = TypeVar("_Result")


def again_if_overtaken(write: Callable[[], _Result]) -> _Result:
    """The result of a write that reads its rows itself. Raises the error of the last try.

    So a write without a version wins, as promised, also over a job that saves the record at that moment; one with a
    version is refused for what it finds then. After a deadlock, the database has rolled back the whole transaction, so
    the request may have written nothing before that has to stay.
    """
    before, tried = save_warnings.pop_all(), 0
    while True:
        tried += 1
        for sentence in before:
            save_warnings.add(sentence)
        try:
            return write()
        except (StaleDataError, DBAPIError) as broken:
            if tried >= _most_tries(broken):
                raise
            has_collided = isinstance(broken, DBAPIError)
        db.session.rollback()
        save_warnings.pop_all()
        if has_collided:
            time.sleep(random.uniform(0, _PAUSE_SECONDS * tried))  # noqa: S311  # jitter, no secret


def again_if_overtaken_with(row: Any, read: Callable[[], Any], write: Callable[[Any], _Result]) -> _Result:
    """`again_if_overtaken` for a page, which has read its row already: `read` reads it anew for each further try."""
    rows = iter([row])
    return again_if_overtaken(lambda: write(next(rows, None) or read()))


def _most_tries(broken: BaseException) -> int:
    if isinstance(broken, StaleDataError):
        return TRIES
    return TRIES_AFTER_DEADLOCKS if cause_of(broken) is Cause.COLLIDED else 1
