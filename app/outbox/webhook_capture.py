"""Change capture: adds a webhook delivery for each change of a record, in the transaction of the change.

`change_events.note_saved` collects saved rows. Statements that bypass the session's objects call
`change_events.record_event`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.orm import Session, SessionTransaction

from app import access
from app.domain import webhooks
from app.domain.persistence import bulk_statements, change_events
from app.domain.persistence.change_events import KINDS
from app.domain.persistence.record_change_event import ChangeEvent, RecordKey
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.domain.webhooks import Subscription
from app.extensions import db
from app.models import WebhookDelivery
from app.ops.database.connections import address_of
from app.outbox import delivery_engine
from app.outbox.webhook_delivery import WEBHOOKS, WebhookSender

#: The database whose webhooks this process serves.
_engine: Engine | None = None
#: Database URL -> (access version, subscriptions). Changing a webhook increases the version.
_cache: dict[str, tuple[int, tuple[Subscription, ...]]] = {}


def install(app: Flask, sender: WebhookSender) -> None:
    """Send the changes of the app's database with this sender."""
    global _engine
    app.extensions["crm_webhook_sender"] = sender
    with app.app_context():
        _engine = db.engine
    _cache.clear()


def _is_ours(session: Session) -> bool:
    return _engine is not None and session.get_bind().engine is _engine


# --- capture


def capture_deletions(session: Session, records: Rows) -> None:
    """Effect before a flush: collect the deleted records, and who sees them, which can't be queried later."""
    for row in records.deleted if _is_ours(session) else ():
        kind = KINDS[row.__tablename__]
        users = [each.user_id for each in _subscriptions(session) if "deleted" in each.wants(kind)]
        seen_by = access.users_who_see(session, users, row, datetime.now(UTC)) if users else frozenset()
        gone = ChangeEvent(frozenset({"deleted"}), getattr(row, "number", None), seen_by)
        change_events.merge_event(session, (kind, row.id), gone)


# --- write


def write_deliveries(session: Session) -> None:
    """Session hook, before a commit: add one delivery for each webhook and event."""
    if session.in_nested_transaction() or not _is_ours(session):
        return
    session.flush()
    gathered = transaction_state(session)
    changes, gathered.change_events = gathered.change_events, {}
    subscriptions = _subscriptions(session) if changes else ()
    if not subscriptions:
        return
    now = datetime.now(UTC)
    rows = [row for record, change in changes.items() for row in _rows(record, change, subscriptions, now)]
    if rows:
        bulk_statements.insert_rows(session, WebhookDelivery, rows)
        gathered.webhook_deliveries.extend(row["key"] for row in rows)


def _rows(
    record: RecordKey, change: ChangeEvent, subscriptions: Iterable[Subscription], now: datetime
) -> Iterable[dict[str, Any]]:
    kind, key = record
    for each in subscriptions:
        for event in change.events_for(each.wants(kind)):
            if event != "deleted" or each.user_id in change.seen_by:
                about = webhooks.WebhookEvent(f"{kind}.{event}", key, change.number)
                yield webhooks.delivery_row(each.id, about, now)


def _subscriptions(session: Session) -> tuple[Subscription, ...]:
    """The webhooks to notify. Cached by access version, which a request knows; other sessions query them."""
    version = access.known_version(session)
    url = address_of(session)
    cached = _cache.get(url)
    if version is not None and cached is not None and cached[0] == version:
        return cached[1]
    with session.no_autoflush, access.as_system(session):
        found = webhooks.subscriptions(session)
    if version is not None:
        _cache[url] = (version, found)
    return found


# --- after the commit


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its deliveries."""
    if session.in_nested_transaction():
        return  # a savepoint: its rows may still be rolled back
    gathered = transaction_state(session)
    committed, gathered.webhook_deliveries = gathered.webhook_deliveries, []
    for key in committed:
        delivery_engine.enqueue(WEBHOOKS, key)


def begin_savepoint(session: Session, transaction: SessionTransaction) -> None:
    """Session hook, when a transaction begins: remember the events before a savepoint."""
    if transaction.nested:
        gathered = transaction_state(session)
        gathered.savepoints.append(dict(gathered.change_events))


def restore_savepoint(session: Session) -> None:
    """Session hook, after a rollback: drop the events of the savepoint."""
    gathered = transaction_state(session)
    if session.in_nested_transaction() and gathered.savepoints:
        gathered.change_events = dict(gathered.savepoints[-1])


def end_transaction(session: Session, transaction: SessionTransaction) -> None:
    """Session hook, when a transaction has ended: forget its savepoint; after the outermost one, everything."""
    gathered = transaction_state(session)
    if transaction.nested and gathered.savepoints:
        gathered.savepoints.pop()
    elif transaction.parent is None:
        gathered.clear_webhooks()
