"""For whom a session acts: the system, which sees everything, or one person, if only for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app.access.person import Person
from app.domain.session_context import session_context


class System:
    """Jobs, sign-in and the access rules' own queries; there is one instance, SYSTEM."""


SYSTEM = System()


def act_as(session: Session, who: Person | System | None) -> None:
    """From now on the session acts for this person (None = for nobody, who sees no rows)."""
    session_context(session).acting = who


@contextmanager
def acting_as(session: Session, who: Person | System | None) -> Iterator[Session]:
    """Inside, the session acts for this person; afterwards for whom it acted before."""
    context = session_context(session)
    before, context.acting = context.acting, who
    try:
        yield session
    finally:
        context.acting = before


@contextmanager
def as_system(session: Session) -> Iterator[Session]:
    """Inside, the session sees everything."""
    with acting_as(session, SYSTEM):
        yield session


def acting(session: Session) -> Person | None:
    """The person for whom the session acts; None for the system and for nobody."""
    who = session_context(session).acting
    return who if isinstance(who, Person) else None
