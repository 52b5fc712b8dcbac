"""Every session is watched: what it did to records is written down for the webhooks, in the same transaction.

All doors and jobs pass here, for all write through a session. Statements that go around its objects say by
`happenings.note` what they did. Where no webhook listens it costs nothing but a look at what was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import Engine, event, insert, inspect
from sqlalchemy.orm import Session, SessionTransaction

from app import access
from app.domain import change_events, webhooks
from app.domain.change_events import KINDS, ChangeEvent, RecordKey
from app.domain.webhooks import Listener
from app.extensions import db
from app.models import WebhookDelivery
from app.ops import queue
from app.outbox.webhook_delivery import QUEUE, WebhookSender, send

#: The database whose webhooks this process serves.
_engine: Engine | None = None
#: Database -> (version of access, who listens); a change of a webhook counts the version up.
_kept: dict[str, tuple[int, tuple[Listener, ...]]] = {}


def install(app: Flask, post: WebhookSender, session_class: Any = Session) -> None:
    """Send by this post, and watch every session of the class. Idempotent."""
    global _engine
    app.extensions["crm_post"] = post
    with app.app_context():
        _engine = db.engine
    _kept.clear()
    watched: dict[str, Any] = {
        "before_flush": _before_flush,
        "after_flush": _after_flush,
        "before_commit": _before_commit,
        "after_commit": _after_commit,
        "after_rollback": _after_rollback,
        "after_transaction_create": _after_begin,
        "after_transaction_end": _after_end,
    }
    for name, listener in watched.items():
        if not event.contains(session_class, name, listener):
            event.listen(session_class, name, listener)


def _is_ours(session: Session) -> bool:
    return _engine is not None and session.get_bind().engine is _engine


# --- what happens


def _before_flush(session: Session, _context: Any, _rows: Any) -> None:
    """A record that goes: who sees it can be asked for the last time."""
    for row in session.deleted:
        kind = KINDS.get(row.__tablename__)
        if kind is None or not _is_ours(session):
            continue
        users = [each.user_id for each in _listeners(session) if "deleted" in each.wants(kind)]
        seen_by = access.sighted(session, users, row, datetime.now(UTC)) if users else frozenset()
        gone = ChangeEvent(frozenset({"deleted"}), getattr(row, "number", None), seen_by)
        change_events.add(session, (kind, row.id), gone)


def _after_flush(session: Session, _context: Any) -> None:
    if not _is_ours(session):
        return
    for row in session.new:
        if kind := KINDS.get(row.__tablename__):
            given = ("assigned",) if getattr(row, "assignee_id", None) is not None else ()
            change_events.note(session, kind, row.id, "created", *given)
    for row in session.dirty:
        kind = KINDS.get(row.__tablename__)
        if kind and (events := change_events.of_columns(kind, _changed(row))):
            change_events.note(session, kind, row.id, *events)


def _changed(row: Any) -> Iterable[str]:
    """The columns whose value is another one now; only those that were set are looked at."""
    state: Any = inspect(row)
    columns = state.mapper.columns
    return [name for name in state.committed_state if name in columns and state.attrs[name].history.has_changes()]


# --- what is written down


def _before_commit(session: Session) -> None:
    """The last flush of a transaction, then one row for each webhook and event."""
    if session.in_nested_transaction() or not _is_ours(session):
        return
    session.flush()
    happened: dict[RecordKey, ChangeEvent] = session.info.pop("happened", {})
    listeners = _listeners(session) if happened else ()
    now = datetime.now(UTC)
    rows = [row for place, each in happened.items() for row in _rows(place, each, listeners, now)]
    if rows:
        session.execute(insert(WebhookDelivery.__table__), rows)
        session.info.setdefault("posted", []).extend(row["key"] for row in rows)


def _rows(
    place: RecordKey, each: ChangeEvent, listeners: Iterable[Listener], now: datetime
) -> Iterable[dict[str, Any]]:
    kind, key = place
    for listener in listeners:
        for event_ in each.told(listener.wants(kind)):
            if event_ != "deleted" or listener.user_id in each.seen_by:
                yield webhooks.delivery(listener.id, f"{kind}.{event_}", key, now, each.number)


def _listeners(session: Session) -> tuple[Listener, ...]:
    """Who listens: a person's session knows under which version of access it began, others ask."""
    who = access.acting(session)
    url = str(session.get_bind().engine.url)
    held = _kept.get(url)
    if who is not None and held is not None and held[0] == who.version:
        return held[1]
    with session.no_autoflush, access.as_system(session):
        found = webhooks.listening(session)
    if who is not None:
        _kept[url] = (who.version, found)
    return found


# --- after a commit, never before


def _after_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        for key in session.info.pop("posted", ()):
            queue.enqueue(QUEUE, send, key)


def _after_begin(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info.setdefault("marks", []).append(dict(change_events.gathered(session)))


def _after_rollback(session: Session) -> None:
    """What happened inside a savepoint did not happen."""
    marks = session.info.get("marks")
    if session.in_nested_transaction() and marks:
        session.info["happened"] = dict(marks[-1])


def _after_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested and session.info.get("marks"):
        session.info["marks"].pop()
    elif transaction.parent is None:
        for name in ("happened", "posted", "marks"):
            session.info.pop(name, None)
