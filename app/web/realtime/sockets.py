"""Sockets: who may open one, the handlers of its events, and how connections are closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, g, request
from flask import session as flask_session
from flask_babel import gettext as _
from flask_jwt_extended import get_jwt
from flask_socketio import ConnectionRefusedError, disconnect, emit
from sqlalchemy import not_, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain.notifications import notices
from app.domain.people import two_factor
from app.extensions import db, socketio
from app.lib.ids import parse_id
from app.lib.token_hash import hash_token
from app.models import ApiKey, Conversation, Customer, Lead, SignIn, Task, Ticket, User
from app.ops.redis.event_bus import MAX_FIELD
from app.web.core.request_transaction import request_transaction
from app.web.realtime.credentials import compat_token, has_credentials, requesting_person, take_auth
from app.web.realtime.socket_message_limits import SocketTransport, close_tcp
from app.web.security.sessions import valid_sign_ins

#: (kind, id) of a record.
RecordKey = tuple[str, int]
WATCHABLE: dict[str, Any] = {
    "lead": Lead,
    "ticket": Ticket,
    "customer": Customer,
    "task": Task,
    "conversation": Conversation,
}
#: Records whose pages show who else has them open.
PRESENCE_KINDS = ("lead", "ticket", "customer", "task")
#: Table -> the kind of its records in events; a board of tasks changes with its leads and tickets.
BOARDS = {"leads": "lead", "ticket": "ticket", "task": "task"}
#: A "typing" event of a person is passed on once in this time.
TYPING_SECONDS = 2.0
#: A client that occupies a thread must complete the Socket.IO handshake within this time.
HANDSHAKE_SECONDS = 10.0
#: The same for a client without credentials so far, because it sends them with the handshake; and how many of them are
#: allowed, in total and per address.
STRANGER_SECONDS, MAX_STRANGERS, MAX_STRANGERS_OF_ADDRESS = 5.0, 8, 4


# --- connections -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SocketRefused:
    """The reason why a session may not begin."""

    #: 401 or 503.
    status: int
    sentence: str


@dataclass
class SocketConnection:
    """One socket of this process, with its credentials."""

    user_id: int
    #: Hash of the sign-in's token, from a cookie or bearer token.
    token_hash: str | None = None
    #: API key, and the modules and verbs it is limited to.
    key_id: int | None = None
    scope: frozenset[str] | None = None
    #: When a bearer's token expires, UTC.
    ends_on: datetime | None = None
    #: (kind, id) of the record that its page shows.
    watched: RecordKey | None = None
    #: The kind of records whose board its page shows.
    board: str | None = None
    #: When it last reported that its person is typing, in monotonic seconds.
    typed_at: float = 0.0
    #: Whether the unread count was sent.
    bell_sent: bool = False
    #: The field of the watched record that its person is editing; "" = none.
    editing: str = ""
    #: (user id, field) of the others at the record, as last pushed.
    others: tuple[tuple[int, str], ...] = ()

    @property
    def is_page(self) -> bool:
        """Whether it belongs to one of our pages, not to a program."""
        return self.key_id is None and self.ends_on is None and self.scope is None


@dataclass
class PendingConnection:
    """A socket before its Socket.IO handshake, or one that stays open after it has left Socket.IO."""

    #: None = unknown: credentials may come with the handshake.
    user_id: int | None
    address: str = ""
    #: Monotonic seconds.
    opened_at: float = field(default_factory=time.monotonic)


class Sockets:
    """The connections of this process."""

    def __init__(self, app: Flask, max_connections: int) -> None:
        self.app, self.max_connections = app, max_connections
        #: So that many tabs, or a faulty program, of one user leave room for others.
        self.max_per_user = max(4, max_connections // 2)
        self.connections: dict[str, SocketConnection] = {}
        #: By Engine.IO's id; removed when the connection is made.
        self.pending: dict[str, PendingConnection] = {}
        #: Whether the process is about to end; nobody is admitted.
        self.is_closing = False
        #: Called with (conversation id, user id) when somebody types a reply.
        self.on_typing: Callable[[int, int], None] = lambda conversation, user: None
        #: Called for a new connection, and for a record that is watched.
        self.on_connect: Callable[[int], None] = lambda user: None
        self.on_watch: Callable[[RecordKey], None] = lambda record: None
        #: Called with the records whose presence or edited field has changed.
        self.on_presence_change: Callable[[Iterable[RecordKey]], None] = lambda records: None

    # --- connecting and disconnecting

    def admit(self, eio_sid: str) -> SocketRefused | None:
        """Let a session begin, or return why not, before it occupies a thread.

        Clients without credentials may send them with the handshake, soon.
        """
        address = str(request.remote_addr)
        is_known = has_credentials()
        who = requesting_person() if is_known else None
        if is_known and who is None:
            return SocketRefused(401, _("Please sign in first."))
        if self._is_full() or (self._is_over_share(who.id) if who else self._too_many_strangers(address)):
            return SocketRefused(503, _("Too many live connections are open. Please close some, or try again soon."))
        self.pending[eio_sid] = PendingConnection(who.id if who else None, address)
        return None

    def _is_full(self) -> bool:
        """Whether there is no thread for another session; the requesting one is counted already."""
        open_now = sum(not each.closed for each in list(socketio.server.eio.sockets.values()))
        return self.is_closing or open_now > self.max_connections or len(self.connections) >= self.max_connections

    def _is_over_share(self, user_id: int) -> bool:
        pending = sum(each.user_id == user_id for each in list(self.pending.values()))
        return len(self.of_user(user_id)) + pending >= self.max_per_user

    def _too_many_strangers(self, address: str) -> bool:
        strangers = [each.address for each in list(self.pending.values()) if each.user_id is None]
        return len(strangers) >= MAX_STRANGERS or strangers.count(address) >= MAX_STRANGERS_OF_ADDRESS

    def connect(self, auth: Any = None) -> None:
        """Handle Socket.IO's "connect": signed-in people only."""
        take_auth(auth)
        who, sid = requesting_person(), _sid()
        if who is None or self.is_closing:
            raise ConnectionRefusedError(_("Please sign in first."))
        before = self.pending.pop(socketio.server.manager.eio_sid_from_sid(sid, "/") or "", None)
        if before is not None and before.user_id is None and self._is_over_share(who.id):
            raise ConnectionRefusedError(_("Too many live connections are open. Please close some, or try again soon."))
        self.connections[sid] = _connection_of(who)
        self.on_connect(who.id)

    def disconnect(self, *_reason: Any) -> None:
        """Handle Socket.IO's "disconnect". A socket that stays open has HANDSHAKE_SECONDS to reconnect."""
        eio_sid = socketio.server.manager.eio_sid_from_sid(_sid(), "/")
        connection = self.connections.pop(_sid(), None)
        if eio_sid is not None:
            self.pending[eio_sid] = PendingConnection(connection.user_id if connection else None)
        if connection is not None and connection.watched is not None:
            self.on_presence_change([connection.watched])

    # --- events of a page

    def watch(self, *args: Any) -> None:
        """Handle "watch": the page shows the record {kind, id}. Returns "gone" if the person can't see it."""
        connection, who = self._sender()
        if connection is None or who is None:
            return
        before, record = connection.watched, parse_record_key(args[0] if args else None)
        connection.watched, connection.editing, connection.others = None, "", ()
        if record is not None and can_see(db.session(), who, *record):
            connection.watched = record
            self.on_watch(record)
        elif record is not None:
            emit("gone", {"kind": record[0], "id": record[1]})
        self.on_presence_change({each for each in (before, connection.watched) if each is not None})

    def editing(self, *args: Any) -> None:
        """Handle "editing": the person edits the {field} of the record {kind, id} on their page; "" = no longer."""
        connection, payload = self.connections.get(_sid()), args[0] if args and isinstance(args[0], dict) else {}
        field, record = payload.get("field"), parse_record_key(payload)
        if connection is None or record is None or connection.watched != record or not isinstance(field, str):
            return
        is_name = not field or (len(field) <= MAX_FIELD and field.isascii() and field.isidentifier())
        if is_name and field != connection.editing and self._sender()[0] is connection:
            connection.editing = field
            self.on_presence_change([record])

    def watch_board(self, *args: Any) -> None:
        """Handle "board": the page shows a board of records of this {kind}."""
        connection, who = self._sender()
        kind = args[0].get("kind") if args and isinstance(args[0], dict) else None
        if connection is not None and who is not None:
            connection.board = BOARDS.get(kind) if isinstance(kind, str) else None

    def boards(self, kinds: Iterable[str]) -> list[tuple[str, str]]:
        """(sid, kind) of the connections whose pages show a board of one of these kinds."""
        wanted = set(kinds)
        return [
            (sid, each.board) for sid, each in list(self.connections.items()) if each.board in wanted and each.board
        ]

    def typing(self, *args: Any) -> None:
        """Handle "typing": the person types in the conversation {kind, id} on their page. Nothing is stored."""
        connection, record = self.connections.get(_sid()), parse_record_key(args[0] if args else None)
        if connection is None or record is None or record[0] != "conversation" or connection.watched != record:
            return
        if time.monotonic() - connection.typed_at < TYPING_SECONDS:
            return
        connection.typed_at = time.monotonic()
        connection, who = self._sender()
        if connection is not None and who is not None and who.may("Messages", "create"):
            self.on_typing(record[1], who.id)

    def toast_shown(self, *args: Any) -> None:
        """Handle "shown": the page has shown the toast of the notice {id}. Recorded once, for own notices only."""
        connection, who = self._sender()
        payload = args[0] if args else None
        key = parse_id(payload.get("id")) if isinstance(payload, dict) else None
        if connection is None or who is None or key is None or not may_receive_notices(who):
            return
        with request_transaction() as session:
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
        closed = {sid: connection for sid in sids if (connection := self.connections.pop(sid, None))}
        for sid in closed:
            eio_sid = socketio.server.manager.eio_sid_from_sid(sid, "/")
            socketio.server.disconnect(sid, ignore_queue=True)
            close_session(eio_sid)
        self.on_presence_change({each.watched for each in closed.values() if each.watched is not None})

    def close_invalid(self, session: Session, now: datetime, users: Iterable[int] | None = None) -> None:
        """Close connections (of these users) whose sign-in, key or user is no longer valid; at most two statements."""
        chosen = set(users) if users is not None else None
        connections = {
            sid: connection
            for sid, connection in list(self.connections.items())
            if chosen is None or connection.user_id in chosen
        }
        rules = valid_sign_ins(now, self.app.config["CRM"])
        tokens = _valid_tokens(session, {connection.token_hash for connection in connections.values()} - {None}, rules)
        keys = _valid_keys(session, {connection.key_id for connection in connections.values()} - {None}, now)
        self.close_connections(
            sid for sid, connection in connections.items() if not _is_valid(connection, tokens, keys, now)
        )

    def close_pending(self) -> None:
        """Close sockets that hold a thread and did not complete the handshake in time."""
        now = time.monotonic()
        for eio_sid, each in list(self.pending.items()):
            if now - each.opened_at > (STRANGER_SECONDS if each.user_id is None else HANDSHAKE_SECONDS):
                self.pending.pop(eio_sid, None)
                close_session(eio_sid)

    def close(self) -> None:
        """Close all connections, because the process is about to end; browsers reconnect by themselves."""
        self.is_closing = True
        self.connections.clear()
        for eio_sid in list(socketio.server.eio.sockets):
            close_session(eio_sid)


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
    live = query.where(SignIn.token_hash.in_(hashes), User.active.is_(True), not_(two_factor.owes()), *rules)
    return {(user, token) for user, token in session.execute(live)}


def _valid_keys(session: Session, keys: set[Any], now: datetime) -> set[tuple[int, int]]:
    if not keys:
        return set()
    query = select(ApiKey.user_id, ApiKey.id).join(User, User.id == ApiKey.user_id)
    lasts = or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > now)
    live = query.where(ApiKey.id.in_(keys), ApiKey.revoked_on.is_(None), lasts, User.active.is_(True))
    return {(user, key) for user, key in session.execute(live)}


def close_session(eio_sid: str | None) -> None:
    """Close a session of Engine.IO now: its WebSocket, or the waiting poll."""
    transport = SocketTransport.open.get(eio_sid or "")
    if transport is not None:
        close_tcp(transport.ws.sock)
        return
    session = socketio.server.eio.sockets.get(eio_sid)
    if session is not None:
        session.close(wait=False, abort=True)
        socketio.server.eio.sockets.pop(eio_sid, None)


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


# --- the person behind a connection ------------------------------------------------------------------------------


def _connection_of(person: access.Person) -> SocketConnection:
    """A connection with the credentials of this request."""
    if "Authorization" not in request.headers:
        token = compat_token() if g.get("by_compat") else str(flask_session.get("sid"))
        return SocketConnection(person.id, token_hash=hash_token(token))
    if g.get("api_key_id") is not None:
        return SocketConnection(person.id, key_id=g.api_key_id, scope=person.scope)
    claims = get_jwt()
    return SocketConnection(
        person.id, token_hash=hash_token(str(claims["sid"])), ends_on=datetime.fromtimestamp(claims["exp"], UTC)
    )


def can_see(session: Session, person: access.Person, kind: str, key: int) -> bool:
    """Whether the person can see the record now."""
    with access.acting_as(session, person):
        try:
            return access.get_visible(session, WATCHABLE[kind], key) is not None
        finally:
            session.rollback()


def may_receive_notices(person: access.Person) -> bool:
    """Whether notices are pushed to the person; for a limited key, only if it may read the Dashboard, as in REST."""
    return person.scope is None or person.may("Dashboard", "read")


def parse_record_key(raw: Any) -> RecordKey | None:
    """(kind, id) from untrusted input; None for anything else."""
    if not isinstance(raw, dict):
        return None
    kind, key = str(raw.get("kind", "")).lower().rstrip("s"), parse_id(raw.get("id"))
    return (kind, key) if kind in WATCHABLE and key is not None else None
