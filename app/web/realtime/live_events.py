"""Live updates: after a commit, open pages are told whose bell, which records and whose sign-ins have changed.

Each process handles only its own connections, under the current access rules, and pushes no more than {kind, id}; the
page fetches the rest through its own endpoint.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable, Set
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask_socketio import emit
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import access
from app.domain.persistence.transaction_state import transaction_state
from app.extensions import db, socketio
from app.ops.database.database_errors import cause_of
from app.ops.http_server.worker_channels import session_prefix
from app.ops.redis.broadcast import EventBroadcaster
from app.ops.redis.event_bus import EventBus, LiveEvent
from app.web.core.fab_access import database_sentence
from app.web.pages import errors
from app.web.realtime import live_values
from app.web.realtime.credentials import load_person
from app.web.realtime.polling_limits import REFUSAL, PollingLimits
from app.web.realtime.presence import Presence
from app.web.realtime.socket_message_limits import MAX_MESSAGE_BYTES, SocketTransport
from app.web.realtime.sockets import (
    RecordKey,
    SocketConnection,
    SocketRefused,
    Sockets,
    can_see,
    may_receive_notices,
)

log = logging.getLogger("crm.live")

#: A socket whose sign-in or key has ended is closed within this time, whichever process ended it.
SWEEP_SECONDS = 1.0
#: While the bus works, pages are compared with the database every so many sweeps; without it, on each one.
SWEEPS_PER_COMPARISON = 10
#: Each socket occupies a thread of its process; this many are left for pages.
THREADS_FOR_PAGES = 8


class LiveUpdates:
    """Delivers events from a commit to open pages, in this process and the others."""

    def __init__(self, app: Flask, max_connections: int, redis_url: str | None) -> None:
        self.app, self.sockets = app, Sockets(app, max_connections)
        self.sockets.on_connect, self.sockets.on_watch = self._connected, self._watched
        self.sockets.on_typing = lambda talk, user: self.send(LiveEvent(typing=frozenset([(talk, user)])))
        self.bus = EventBus(redis_url, self._receive) if redis_url else None
        self.broadcaster = EventBroadcaster(self._deliver)
        self.presence = Presence(self.sockets, self.send, lambda: self.bus.origin if self.bus else "")
        self.sockets.on_presence_change = self.presence.announce
        #: The last values sent: user id -> bell, record -> id of its newest activity.
        self.sent_bells: dict[int, live_values.Bell] = {}
        self.newest_activity: dict[RecordKey, int] = {}
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None

    @property
    def connections(self) -> dict[str, SocketConnection]:
        """The connections of this process."""
        return self.sockets.connections

    # --- events of this and other processes

    def send(self, event: LiveEvent) -> None:
        """Deliver to all processes soon. Never waits; does nothing without sockets and bus."""
        if event and (self.bus is not None or self.connections):
            self.broadcaster.send(event, to_others=True)

    def _receive(self, event: LiveEvent) -> None:
        if self.connections:
            self.broadcaster.send(event, to_others=False)

    def _deliver(self, for_others: LiveEvent, for_this: LiveEvent) -> None:
        if for_others and self.bus is not None:
            self.bus.publish(for_others)
        if for_this and self.connections:
            with self.app.app_context():
                self._update(db.session(), for_this, datetime.now(UTC))

    def _update(self, session: Session, event: LiveEvent, now: datetime) -> None:
        """Push what the event changes on the connections of this process."""
        here, records = self.sockets.user_ids(), self.sockets.watched_records()
        with access.as_system(session):
            if ended := event.ended_sign_ins & here:
                self.sockets.close_invalid(session, now, ended)
            self._send_bells(session, here if event.compare_all else event.notified & here, now)
            self._send_calls(event.call_card_users & here)
            shown = records if event.compare_all else event.changed_timelines & records
            self._send_activity(session, shown, event.changed_timelines)
            self._send_boards(event)
            for conversation, user in event.typing:
                self.presence.receive_typing(session, conversation, user)
            self.presence.receive(session, event.presences)

    # --- boards of records

    def _send_boards(self, event: LiveEvent) -> None:
        """Tell boards that a record of their kind has changed, but not which: each reloads under its own rules."""
        kinds = {kind for kind, _key in event.changed_timelines}
        if kinds & {"lead", "ticket"}:
            kinds.add("task")
        for sid, kind in self.sockets.boards(kinds):
            socketio.emit("board", {"kind": kind}, to=sid)

    # --- bells

    def _send_bells(self, session: Session, users: Iterable[int], now: datetime) -> None:
        users = set(users)
        for user, bell in live_values.load_bells(session, users, now).items() if users else ():
            before = self.sent_bells.get(user)
            connections = self._notice_connections(session, user)
            due = {sid: each for sid, each in connections.items() if bell != before or not each.bell_sent}
            payload = {"unread": bell.unread, "id": bell.newest or None}
            if due and (before is None or bell.newest > before.newest):
                payload |= self._toast(session, user, before.newest if before else None, now)
            for sid, connection in due.items():
                connection.bell_sent = True
                socketio.emit("bell", payload, to=sid)
            self.sent_bells[user] = bell

    def _notice_connections(self, session: Session, user: int) -> dict[str, SocketConnection]:
        """The user's connections, except those of keys that may not read notices."""
        return {
            sid: each
            for sid, each in self.sockets.of_user(user).items()
            if each.scope is None or may_receive_notices(_with_scope(load_person(session, user), each.scope))
        }

    def _toast(self, session: Session, user: int, after: int | None, now: datetime) -> dict[str, Any]:
        who = load_person(session, user)
        with access.acting_as(session, who):
            return live_values.toast(session, who, after, now)

    def _connected(self, user_id: int) -> None:
        """Update a new connection: the bell may have changed since its page was rendered."""
        if self.bus is not None:
            self.bus.listen()
        self._start_sweeper()
        self.broadcaster.send(LiveEvent(notified=frozenset([user_id])), to_others=False)

    def _send_calls(self, users: Set[int]) -> None:
        """Let the pages of these users reload their call cards. API keys have no pages."""
        for user in users:
            for sid, connection in self.sockets.of_user(user).items():
                if connection.scope is None:
                    socketio.emit("call", {}, to=sid)

    # --- records

    def _send_activity(self, session: Session, records: Set[RecordKey], changed: Set[RecordKey]) -> None:
        newest = live_values.newest_activities(session, records)
        for record in records:
            last = newest.get(record, 0)
            if record in changed or last > self.newest_activity.get(record, last):
                self._send_record_event(session, record)
            self.newest_activity[record] = last

    def _send_record_event(self, session: Session, record: RecordKey) -> None:
        """Push "activity" to those who can see the record; "gone", once, to those who no longer can."""
        kind, key = record
        connections = self.sockets.watching(record)
        for user_id, scope in {(each.user_id, each.scope) for each in connections.values()}:
            is_visible = can_see(session, _with_scope(load_person(session, user_id), scope), kind, key)
            for sid, connection in connections.items():
                if (connection.user_id, connection.scope) != (user_id, scope) or connection.watched != record:
                    continue
                connection.watched = record if is_visible else None
                socketio.emit("activity" if is_visible else "gone", {"kind": kind, "id": key}, to=sid)
                if not is_visible:
                    self.presence.announce([record])

    def _watched(self, record: RecordKey) -> None:
        """Remember the newest activity; earlier ones are on the page already."""
        if record not in self.newest_activity:
            with access.as_system(db.session()) as session:
                newest = live_values.newest_activities(session, [record]).get(record, 0)
                self.newest_activity.setdefault(record, newest)

    # --- the sweep: checks that need no event

    def _start_sweeper(self) -> None:
        with self._lock:
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._run_sweeper, name="crm-live-sweep", daemon=True)
                self._sweeper.start()

    def _run_sweeper(self) -> None:
        stop, has_failed = threading.Event(), False
        for count in itertools.count(1):
            stop.wait(SWEEP_SECONDS)
            with self._lock:
                if not self.connections and not self.sockets.pending:
                    self._sweeper = None
                    return
            try:
                self.sweep()
                has_failed = False
            except Exception:
                if not has_failed:
                    log.exception("the sweep of sockets failed")  # the database is unreachable: retried within a second
                has_failed = True
            if count % SWEEPS_PER_COMPARISON == 0 or self.bus is None or not self.bus.is_up:
                self.broadcaster.send(LiveEvent(compare_all=True), to_others=False)

    def sweep(self) -> None:
        """Close connections whose credentials have ended, and forget unwatched records; at most two statements."""
        self.sockets.close_pending()
        self.presence.tick(self.bus is not None)
        with self.app.app_context(), access.as_system(db.session()) as session:
            self.sockets.close_invalid(session, datetime.now(UTC))
        here, records = self.sockets.user_ids(), self.sockets.watched_records()
        self.sent_bells = {user: bell for user, bell in self.sent_bells.items() if user in here}
        self.newest_activity = {record: last for record, last in self.newest_activity.items() if record in records}

    def compare_all(self) -> None:
        """Compare pages with the database and push differences; two statements if there are none."""
        self._deliver(LiveEvent(), LiveEvent(compare_all=True))

    def close(self) -> None:
        """Close all sockets, because the process is about to end."""
        if self.bus is not None:
            self.bus.close()
        self.sockets.close()


def _with_scope(person: access.Person, scope: frozenset[str] | None) -> access.Person:
    """The person, limited to the scope of an API key."""
    return replace(person, scope=scope) if scope else person


# --- after a commit, never before ----------------------------------------------------------------------------------

_live: LiveUpdates | None = None


def _logger(name: str) -> logging.Logger:
    """A logger of the libraries: given none, they make one that writes each line a second time, without a time."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.ERROR)
    return logger


def install(app: Flask) -> LiveUpdates:
    """Bind Socket.IO to the app."""
    global _live
    settings = app.config["CRM"]
    socketio.init_app(
        app,
        async_mode="threading",
        transports=["polling", "websocket"],
        async_handlers=False,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        logger=_logger("socketio.server"),
        engineio_logger=_logger("engineio.server"),
        cors_allowed_origins=partial(_is_ours, _origin(settings.public_url)),
    )
    _live = LiveUpdates(app, max(1, settings.threads - THREADS_FOR_PAGES), settings.redis_url)
    app.extensions["crm_live"] = _live
    sockets = _live.sockets
    for name, handler in (
        ("connect", sockets.connect),
        ("disconnect", sockets.disconnect),
        ("watch", sockets.watch),
        ("shown", sockets.toast_shown),
        ("typing", sockets.typing),
        ("editing", sockets.editing),
        ("board", sockets.watch_board),
    ):
        socketio.on_event(name, handler)
    socketio.on_error_default(_on_event_error)
    _check_before_upgrade(app, _live)
    return _live


def _on_event_error(error: Exception) -> None:
    """Handle an error in an event: database problems are reported to the client and logged in one line."""
    cause = cause_of(error)
    if cause is None:
        raise error
    db.session.rollback()
    errors.log_trouble(cause, error, "a socket's event")
    emit("trouble", {"message": database_sentence(cause), "retry_after": errors.RETRY_SECONDS})


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _is_ours(public: str, origin: str, environ: dict[str, Any] | None = None) -> bool:
    """Whether the origin is ours: the public URL, or the host of this request."""
    requested = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}" if environ else public
    return origin in (public, requested)


def _check_before_upgrade(app: Flask, live: LiveUpdates) -> None:
    """Check in Engine.IO's "connect", before the upgrade; Socket.IO's own comes only after a thread is occupied."""
    eio, limits = socketio.server.eio, PollingLimits(app.wsgi_app)
    app.wsgi_app = limits  # type: ignore[method-assign]
    on_connect, on_disconnect, on_message = (eio.handlers[name] for name in ("connect", "disconnect", "message"))

    def connect(eio_sid: str, environ: dict[str, Any]) -> Any:
        with app.request_context(environ):
            refused = _admit(live, eio_sid)
        if refused is not None:
            environ.get(REFUSAL, {})["refusal"] = refused
            return False
        live._start_sweeper()
        return on_connect(eio_sid, environ)

    def disconnect(eio_sid: str, reason: Any = None) -> None:
        on_disconnect(eio_sid, reason)
        live.sockets.pending.pop(eio_sid, None)

    def message(eio_sid: str, data: Any) -> None:
        if limits.accepts_message(eio_sid, data):
            on_message(eio_sid, data)

    eio.on("connect", connect)
    eio.on("disconnect", disconnect)
    eio.on("message", message)
    eio._async = {**eio._async, "websocket": SocketTransport}


def _admit(live: LiveUpdates, eio_sid: str) -> SocketRefused | None:
    try:
        return live.sockets.admit(eio_sid)
    except (SQLAlchemyError, OSError) as error:
        cause = cause_of(error)
        if cause is None:
            raise
        db.session.rollback()
        errors.log_trouble(cause, error, "a new socket")
        return SocketRefused(503, database_sentence(cause))


def name_sessions(slot: int) -> None:
    """Prefix the ids of this process's sessions with its worker slot, so that other workers pass on their requests."""
    eio = socketio.server.eio
    make, prefix = type(eio).generate_id, session_prefix(slot)
    eio.generate_id = lambda: prefix + make(eio)


def announce(notified: list[tuple[int, str]]) -> None:
    """Push the bells of these (user id, kind); the job runner calls it after a job's commit."""
    if _live is not None:
        _live.send(LiveEvent(notified=frozenset(user for user, _ in notified)))


def flush(seconds: float = 1.0) -> None:
    """Wait until the events sent so far are delivered; for processes that end without running exit handlers."""
    if _live is not None:
        _live.broadcaster.flush(seconds)


def close() -> None:
    """Close all sockets of this process."""
    if _live is not None:
        _live.close()


def publish(session: Session) -> None:
    """Session hook, after a commit: push what has changed to open pages and sockets."""
    if session.in_nested_transaction():
        return  # a savepoint: its rows may still be rolled back
    gathered = transaction_state(session)
    users = frozenset(user for user, _ in gathered.notified)
    event = LiveEvent(
        users,
        frozenset(gathered.changed_timelines),
        frozenset(gathered.ended_sign_ins),
        call_card_users=frozenset(gathered.call_card_users),
    )
    gathered.clear_live()
    if _live is not None:
        _live.send(event)


def forget(session: Session) -> None:
    """Session hook, after a rollback: drop what was collected."""
    if not session.in_nested_transaction():
        transaction_state(session).clear_live()
