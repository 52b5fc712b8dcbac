"""Works in the name of a person outside of their requests, with their current rights, language and time zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flask import current_app, g
from flask_babel import force_locale
from sqlalchemy import select

from app import access
from app.domain.base import translatable
from app.domain.persistence.session_context import session_context
from app.extensions import db
from app.models import User
from app.ops.database.connections import WRITES
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer

_KEPT = ("person", "now", "viewer", "save_remarks")


@contextmanager
def acting_for(
    user_id: int | None, address: str = "/", writes: bool = False, scope: Iterable[str] = ()
) -> Iterator[Viewer]:
    """Inside, `db.session` acts for this user as if they had opened the URL. Raises Denied if they can't sign in.

    `scope`: of the API key that requested the work; empty = no limit. On SQLite, sessions take the write lock at once
    if `writes`. Uncommitted changes are rolled back.
    """
    token, kept = WRITES.set(writes), {name: g.pop(name) for name in _KEPT if name in g}
    before = session_context(db.session()).acting
    try:
        with current_app.test_request_context(address):
            session = db.session()
            session.rollback()  # on SQLite a transaction that began with a read can't become a write
            with access.as_system(session):
                user = session.get(User, user_id, populate_existing=True) if user_id else None
                if user is None or not user.active:
                    text = translatable("Stopped: the user who started it can't sign in any more.")
                    raise access.Denied(text)
                version = session.execute(select(access.version_query())).scalar() or 0
                person = access.person(session, user.id, version).within(frozenset(scope))
            g.person, g.now = person, datetime.now(UTC)
            access.act_as(session, person)
            with force_locale(person.locale or "en"):
                yield current_viewer()
    finally:
        session = db.session()
        session.rollback()
        session.expunge_all()
        access.act_as(session, before)  # type: ignore[arg-type]
        for name in _KEPT:
            g.pop(name, None)
        for name, value in kept.items():
            setattr(g, name, value)
        WRITES.reset(token)
