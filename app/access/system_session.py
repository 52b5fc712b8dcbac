"""A session of the system sees everything: jobs, sign-in and the law's own questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

SYSTEM = object()


@contextmanager
def as_system(session: Session) -> Iterator[Session]:
    """Inside, the session sees everything: jobs, sign-in and the law's own questions."""
    before = session.info.get("who")
    session.info["who"] = SYSTEM
    try:
        yield session
    finally:
        session.info["who"] = before
