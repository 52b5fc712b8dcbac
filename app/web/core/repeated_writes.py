"""Writes that are done once more if another save came between their reading and their writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm.exc import StaleDataError

from app.extensions import db
from app.web.core.views import save_warnings

#: How often a write is tried.
TRIES = 3
_Result = TypeVar("_Result")


def again_if_stale(write: Callable[[], _Result]) -> _Result:
    """The result of a write that reads its rows itself. Raises StaleDataError only if each try was overtaken.

    So a write without a version wins, as promised, also over a job that saves the record at that moment; one with a
    version is refused for what it finds then.
    """
    for _try in range(TRIES - 1):
        try:
            return write()
        except StaleDataError:
            db.session.rollback()
            save_warnings.pop_all()
    return write()
