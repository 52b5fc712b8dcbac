"""Sockets: who may open one, which messages are accepted, and how connections are closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import SHUT_RDWR
from typing import Any

import orjson
import simple_websocket
from engineio.async_drivers.threading import SimpleWebSocketWSGI
from flask import Flask, current_app, g, request
from flask import session as flask_session
from flask_jwt_extended import get_jwt
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_login import current_user
from flask_socketio import ConnectionRefusedError, disconnect, emit
from jwt import PyJWTError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from app import access
from app.domain import notices
from app.extensions import db, socketio
from app.lib.ids import parse_id
from app.models import ApiKey, Customer, Lead, SignIn, Ticket, User
from app.web.security.sessions import hash_token, lives, own_transaction

#: (kind, id) of a record.
RecordKey = tuple[str, int]
WATCHABLE: dict[str, Any] = {"lead": Lead, "ticket": Ticket, "customer": Customer}
#: Events that our pages send; all others are ignored.
CLIENT_EVENTS = ("watch", "shown")
#: Limit of one message from a browser; those of our pages are shorter than 100 bytes.
MAX_MESSAGE_BYTES = 4096
#: Token bucket for the messages of one browser; a browser that exceeds it is disconnected.
MESSAGE_BURST, MESSAGES_PER_SECOND = 60.0, 20.0
#: How long a thread waits for a message before it checks that its connection is alive.
RECEIVE_TIMEOUT_SECONDS = 2.0
#: A client that holds a thread must complete the Socket.IO handshake within this time.
HANDSHAKE_SECONDS = 10.0


# --- messages from browsers --------------------------------------------------------------------------------------


class SocketTransport(SimpleWebSocketWSGI):
    """The WebSocket of a browser. Passes on expected messages only, and frees its thread when the connection dies."""

    def __init__(self, handler: Any, server: Any) -> None:
        super().__init__(handler, server, max_message_size=MAX_MESSAGE_BYTES)
        #: Engine.IO's socket of this connection.
        self._engine_socket = handler.__self__
        self._allowance, self._refilled_at = MESSAGE_BURST, time.monotonic()

    def close(self) -> None:
        """Close the connection; one that is closed already is no error."""
        with suppress(OSError, simple_websocket.ConnectionClosed):
            super().close()

    def wait(self) -> str | None:
        """The next expected message; None when the connection is dead or its browser exceeds the rate."""
        while True:
            try:
                message = self.ws.receive(timeout=RECEIVE_TIMEOUT_SECONDS)
            except simple_websocket.ConnectionClosed:
                return None
            if message is None and not self._is_alive():
                return None
            if message is None:
                continue
            if not self._is_within_rate():
                close_tcp(self.ws.sock)
                return None
            if is_expected_message(message):
                return str(message)

    def _is_alive(self) -> bool:
        """False after a message that was too long, a broken frame or an unanswered close: these raise nothing here."""
        alive = self.ws.connected and self.ws.thread.is_alive() and not self._engine_socket.closed
        if not alive:
            close_tcp(self.ws.sock)
        return bool(alive)

    def _is_within_rate(self) -> bool:
        now = time.monotonic()
        self._allowance = min(MESSAGE_BURST, self._allowance + (now - self._refilled_at) * MESSAGES_PER_SECOND) - 1
        self._refilled_at = now
        return self._allowance >= 0 and len(self.ws.input_buffer) < MESSAGE_BURST


def is_expected_message(message: Any) -> bool:
    """Whether it is a pong, a close, a connect, or one of CLIENT_EVENTS with one value."""
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_BYTES:
        return False
    if message in ("1", "3", "40", "41"):
        return True
    if not message.startswith(("40{", '42["')):
        return False
    try:
        packet = orjson.loads(message[2:])
    except ValueError:
        return False
    return isinstance(packet, dict) or (len(packet) == 2 and packet[0] in CLIENT_EVENTS)


def close_tcp(tcp_socket: Any) -> None:
    """Shut the TCP socket down; a WebSocket close would hold the thread until the client answers."""
    if tcp_socket is not None:
        with suppress(OSError):
            tcp_socket.shutdown(SHUT_RDWR)


# --- connections -------------------------------------------------------------------------------------------------


@dataclass
class SocketConnection:
    """One socket of this process, and the credentials under which it is open."""

    user_id: int
    #: Hash of the sign-in's token, of a browser or a bearer.
    token_hash: str | None = None
    #: API key, and the modules and verbs it is limited to.
    key_id: int | None = None
    scope: frozenset[str] | None = None
    #: When a bearer's token expires, UTC.
    ends_on: datetime | None = None
    #: (kind, id) of the record that its page shows.
    watched: RecordKey | None = None
    #: Whether the unread count was sent.
    bell_sent: bool = False


@dataclass
class PendingConnection:
    """A socket before its Socket.IO handshake, or one that stays open after it has left Socket.IO."""

    user_id: int
    #: Monotonic seconds.
    opened_at: float = field(default_factory=time.monotonic)


class Sockets:
    """The connections of this process."""

    def __init__(self, app: Flask, max_connections: int) -> None:
        self.app, self.max_connections = app, max_connections
        #: So that many tabs, or a broken program, of one user leave room for others.
        self.max_per_user = max(4, max_connections // 2)
        self.connections: dict[str, SocketConnection] = {}
        #: By Engine.IO's id; removed when the connection is made.
        self.pending: dict[str, PendingConnection] = {}
        #: The process is about to end; nobody is let in.
        self.is_closing = False
        #: Called for a new connection, and for a record that is watched.
        self.on_connect: Callable[[int], None] = lambda user: None
        self.on_watch: Callable[[RecordKey], None] = lambda record: None

    # --- connecting and disconnecting

    def may_connect(self, eio_sid: str | None = None) -> bool:
        """Whether the socket may be upgraded. Anonymous clients, and more than there are threads for, get no thread."""
        open_now = sum(not each.closed for each in list(socketio.server.eio.sockets.values()))
        # The asking socket is counted already.
        full = open_now > self.max_connections or len(self.connections) >= self.max_connections
        who = None if self.is_closing or full else requesting_person()
        if who is None or self._open_count(who.id) >= self.max_per_user:
            return False
        if eio_sid is not None:
            self.pending[eio_sid] = PendingConnection(who.id)
        return True

    def _open_count(self, user_id: int) -> int:
        return len(self.of_user(user_id)) + sum(each.user_id == user_id for each in list(self.pending.values()))

    def connect(self, _auth: Any = None) -> None:
        """Handle Socket.IO's "connect": signed-in people only."""
        who = requesting_person()
        if who is None or self.is_closing:
            raise ConnectionRefusedError("sign in first")
        sid = _sid()
        self.pending.pop(socketio.server.manager.eio_sid_from_sid(sid, "/") or "", None)
        self.connections[sid] = _connection_of(who)
        self.on_connect(who.id)

    def disconnect(self, *_reason: Any) -> None:
        """Handle Socket.IO's "disconnect". A socket that stays open has HANDSHAKE_SECONDS to connect again."""
        eio_sid = socketio.server.manager.eio_sid_from_sid(_sid(), "/")
        connection = self.connections.pop(_sid(), None)
        if eio_sid is not None:
            self.pending[eio_sid] = PendingConnection(connection.user_id if connection else 0)

    # --- events of a page

    def watch(self, *args: Any) -> None:
        """Handle "watch": the page shows the record {kind, id}. Answers "gone" when the person cannot see it."""
        connection, who = self._sender()
        if connection is None or who is None:
            return
        connection.watched, record = None, parse_record_key(args[0] if args else None)
        if record is None:
            return
        if can_see(db.session(), who, *record):
            connection.watched = record
            self.on_watch(record)
        else:
            emit("gone", {"kind": record[0], "id": record[1]})

    def toast_shown(self, *args: Any) -> None:
        """Handle "shown": the page has shown the toast of the notice {id}. Recorded once, for own notices only."""
        connection, who = self._sender()
        payload = args[0] if args else None
        key = parse_id(payload.get("id")) if isinstance(payload, dict) else None
        if connection is None or who is None or key is None or not may_receive_notices(who):
            return
        with own_transaction() as session:
            notices.record_toast_shown(session, connection.user_id, key, datetime.now(UTC))

    def _sender(self) -> tuple[SocketConnection | None, access.Person | None]:
        """The connection and its current person; disconnects a socket whose sign-in has ended."""
        connection, who = self.connections.get(_sid()), requesting_person()
        if connection is None or who is None or who.id != connection.user_id:
            disconnect()
            return None, None
        return connection, who

    # --- look-ups

    def user_ids(self) -> set[int]:
        """Users with a connection."""
        return {connection.user_id for connection in list(self.connections.values())}

    def of_user(self, user_id: int) -> dict[str, SocketConnection]:
        """The connections of a user, by sid."""
        return {sid: connection for sid, connection in list(self.connections.items()) if connection.user_id == user_id}

    def watching(self, record: RecordKey) -> dict[str, SocketConnection]:
        """The connections whose pages show the record, by sid."""
        return {sid: connection for sid, connection in list(self.connections.items()) if connection.watched == record}

    def watched_records(self) -> set[RecordKey]:
        """All records that are watched."""
        return {connection.watched for connection in list(self.connections.values()) if connection.watched}

    # --- closing

    def close_connections(self, sids: Iterable[str]) -> None:
        """Close these connections now."""
        for sid in [sid for sid in sids if self.connections.pop(sid, None)]:
            tcp_socket = _tcp_socket(socketio.server.manager.eio_sid_from_sid(sid, "/"))
            socketio.server.disconnect(sid, ignore_queue=True)
            close_tcp(tcp_socket)

    def close_invalid(self, session: Session, now: datetime, users: Iterable[int] | None = None) -> None:
        """Close connections (of these users) whose sign-in, key or user is no longer valid; two statements at most."""
        chosen = set(users) if users is not None else None
        connections = {
            sid: connection
            for sid, connection in list(self.connections.items())
            if chosen is None or connection.user_id in chosen
        }
        rules = lives(now, self.app.config["CRM"])
        tokens = _valid_tokens(session, {connection.token_hash for connection in connections.values()} - {None}, rules)
        keys = _valid_keys(session, {connection.key_id for connection in connections.values()} - {None}, now)
        self.close_connections(
            sid for sid, connection in connections.items() if not _is_valid(connection, tokens, keys, now)
        )

    def close_pending(self) -> None:
        """Close sockets that hold a thread and did not complete the handshake in time."""
        late = time.monotonic() - HANDSHAKE_SECONDS
        for eio_sid, each in list(self.pending.items()):
            if each.opened_at < late:
                self.pending.pop(eio_sid, None)
                close_tcp(_tcp_socket(eio_sid))

    def close(self) -> None:
        """Close all connections, because the process is about to end; browsers reconnect by themselves."""
        self.is_closing = True
        tcp_sockets = [_tcp_socket(eio_sid) for eio_sid in list(socketio.server.environ)]
        self.connections.clear()
        for tcp_socket in tcp_sockets:
            close_tcp(tcp_socket)


def _is_valid(
    connection: SocketConnection, tokens: set[tuple[int, str]], keys: set[tuple[int, int]], now: datetime
) -> bool:
    if connection.ends_on is not None and connection.ends_on <= now:
        return False
    if connection.key_id is not None:
        return (connection.user_id, connection.key_id) in keys
    return (connection.user_id, connection.token_hash or "") in tokens


def _valid_tokens(session: Session, hashes: set[Any], rules: tuple[Any, ...]) -> set[tuple[int, str]]:
    if not hashes:
        return set()
    query = select(SignIn.user_id, SignIn.token_hash).join(User, User.id == SignIn.user_id)
    live = query.where(SignIn.token_hash.in_(hashes), User.active.is_(True), *rules)
    return {(user, token) for user, token in session.execute(live)}


def _valid_keys(session: Session, keys: set[Any], now: datetime) -> set[tuple[int, int]]:
    if not keys:
        return set()
    query = select(ApiKey.user_id, ApiKey.id).join(User, User.id == ApiKey.user_id)
    lasts = or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > now)
    live = query.where(ApiKey.id.in_(keys), ApiKey.revoked_on.is_(None), lasts, User.active.is_(True))
    return {(user, key) for user, key in session.execute(live)}


def _tcp_socket(eio_sid: str | None) -> Any:
    """The TCP socket below; None in tests."""
    environ = socketio.server.environ.get(eio_sid, {})
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


# --- the person behind a connection ------------------------------------------------------------------------------


def requesting_person() -> access.Person | None:
    """The person of this request, loaded again for each event, so that an ended sign-in or key counts at once."""
    if "Authorization" in request.headers:  # an API key or token, not a browser
        try:
            entered = current_app.appbuilder.sm.authenticate_by_header()  # type: ignore[attr-defined]
        except (HTTPException, JWTExtendedException, PyJWTError):
            return None
        return g.person if entered is not None else None
    if not current_user.is_authenticated:
        return None
    return g.get("person") or load_person(db.session(), int(current_user.get_id()))


def _connection_of(who: access.Person) -> SocketConnection:
    """A connection with the credentials of this request."""
    if "Authorization" not in request.headers:
        return SocketConnection(who.id, token_hash=hash_token(str(flask_session.get("sid"))))
    if g.get("api_key_id") is not None:
        return SocketConnection(who.id, key_id=g.api_key_id, scope=who.scope)
    claims = get_jwt()
    return SocketConnection(
        who.id, token_hash=hash_token(str(claims["sid"])), ends_on=datetime.fromtimestamp(claims["exp"], UTC)
    )


def load_person(session: Session, user_id: int) -> access.Person:
    """The person by user id, with their current rights."""
    with access.as_system(session):
        version = session.execute(select(access.version_query())).scalar() or 0
    return access.person(session, user_id, version)


def can_see(session: Session, who: access.Person, kind: str, key: int) -> bool:
    """Whether the person can see the record now."""
    with access.acting_as(session, who):
        try:
            return access.get_visible(session, WATCHABLE[kind], key) is not None
        finally:
            session.rollback()


def may_receive_notices(who: access.Person) -> bool:
    """Whether notices are pushed to the person; for a limited key, only if it may read the Dashboard, as in REST."""
    return who.scope is None or who.may("Dashboard", "read")


def parse_record_key(raw: Any) -> RecordKey | None:
    """(kind, id) from untrusted input; None for anything else."""
    if not isinstance(raw, dict):
        return None
    kind, key = str(raw.get("kind", "")).lower().rstrip("s"), parse_id(raw.get("id"))
    return (kind, key) if kind in WATCHABLE and key is not None else None
