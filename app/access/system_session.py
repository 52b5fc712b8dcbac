"""For whom a session acts: the system, which sees everything, or a person; also temporarily."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session, scoped_session

from app.access.person import Person
from app.domain.persistence.session_context import session_context
from app.extensions import db
from app.models import FieldMask, Group, ModulePermission, Role, User
from app.ops.database.connections import WRITES

#: Tables whose rules depend on who changes them: see `role_rules`.
_ACCOUNTS = (FieldMask, Group, ModulePermission, Role, User)


class System:
    """The actor of jobs, sign-in and the access rules' own queries. There is one instance, SYSTEM."""


SYSTEM = System()


def act_as(session: Session, who: Person | System | None) -> None:
    """Let the session act for this person from now on; None = for nobody, who sees no rows."""
    session_context(session).acting = who


@contextmanager
def acting_as(session: Session, who: Person | System | None) -> Iterator[Session]:
    """Inside, the session acts for this person; afterwards again for the previous actor.

    What a person changed of accounts and rights is written before, so that it is checked and audited as theirs: the
    first query inside would write it for the new actor.
    """
    context = session_context(session)
    if isinstance(context.acting, Person) and _has_changed_accounts(session):
        session.flush()
    before, asked_by, context.acting = context.acting, context.asked_by, who
    if isinstance(before, Person):
        context.asked_by = before
    try:
        yield session
    finally:
        context.acting, context.asked_by = before, asked_by


def _has_changed_accounts(session: Session) -> bool:
    """Whether accounts or rights wait to be written; not within a flush, which writes them."""
    changed = any(isinstance(row, _ACCOUNTS) for rows in (session.dirty, session.new, session.deleted) for row in rows)
    own: Session = session() if isinstance(session, scoped_session) else session
    return changed and not own._flushing


@contextmanager
def as_system(session: Session) -> Iterator[Session]:
    """Inside, the session sees everything."""
    with acting_as(session, SYSTEM):
        yield session


@contextmanager
def system_transaction() -> Iterator[Session]:
    """A new session of the system, which may write; commits at the end."""
    token = WRITES.set(True)
    try:
        with Session(db.engine, expire_on_commit=False) as session, as_system(session):
            yield session
            session.commit()
    finally:
        WRITES.reset(token)


def acting(session: Session) -> Person | None:
    """The person for whom the session acts; None for the system and for nobody."""
    who = session_context(session).acting
    return who if isinstance(who, Person) else None


def asking(session: Session) -> Person | None:
    """The person of the request, also while the session acts for the system; None in jobs and commands."""
    context = session_context(session)
    who = context.acting if isinstance(context.acting, Person) else context.asked_by
    return who if isinstance(who, Person) else None


def known_version(session: Session) -> int | None:
    """The version of access that this request has read, also while the session acts for the system; else None."""
    who = asking(session)
    return who.version if who is not None else None
