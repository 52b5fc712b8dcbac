"""The write transaction of a request, in which it acts as the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app import access
from app.extensions import db
from app.ops.database.connections import WRITES


@contextmanager
def request_transaction() -> Iterator[Session]:
    """The request's session in a write transaction of the system, committed at the end.

    It ends the transaction that the request has begun. `access.system_transaction` opens a session of its own instead.
    """
    session = db.session()
    # On SQLite a transaction that began with a read cannot always become a write: end it first.
    session.commit()
    token = WRITES.set(True)
    try:
        with access.as_system(session):
            yield session
            session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        WRITES.reset(token)
