"""Sockets: who may have a line, what he may say on it, and how a line is cut; each word of a browser is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from socket import SHUT_RDWR
from typing import Any

import orjson
import simple_websocket
from engineio.async_drivers.threading import SimpleWebSocketWSGI
from flask import Flask, current_app, g, request, session
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
from app.web.security.sessions import IDLE_HOURS, TOKEN_DAYS, hashed, own_transaction

WATCHABLE: dict[str, Any] = {"lead": Lead, "ticket": Ticket, "customer": Customer}
#: What a page says; anything else is not heard.
SAYINGS = ("watch", "shown")
#: Bytes of one word of a browser; ours have less than a hundred.
LONGEST_WORD = 4096
#: A browser says so many words at once and so many a second; one that says more is hung up on.
MOST_AT_ONCE, MOST_A_SECOND = 60.0, 20.0
#: How long a thread waits for a word before it looks whether its line is still there.
PATIENCE_SECONDS = 2.0
#: Who took a thread and has not said by then that he speaks Socket.IO loses it.
SILENCE_SECONDS = 10.0


# --- what comes in -----------------------------------------------------------------------------------------------


class SocketTransport(SimpleWebSocketWSGI):
    """A browser's WebSocket. It passes on only what our pages say, and lets go of its thread when the line is dead."""

    def __init__(self, handler: Any, server: Any) -> None:
        super().__init__(handler, server, max_message_size=LONGEST_WORD)
        #: Engine.IO's end of the line.
        self._end = handler.__self__
        self._left, self._at = MOST_AT_ONCE, time.monotonic()

    def close(self) -> None:
        """Say goodbye; to whom is gone already it needs not be said."""
        with suppress(OSError, simple_websocket.ConnectionClosed):
            super().close()

    def wait(self) -> str | None:
        """The next word that is one of ours; None when the line is dead or its browser talks too much."""
        while True:
            try:
                word = self.ws.receive(timeout=PATIENCE_SECONDS)
            except simple_websocket.ConnectionClosed:
                return None
            if word is None and not self._is_alive():
                return None
            if word is None:
                continue
            if not self._may_speak():
                hang_up(self.ws.sock)
                return None
            if is_understood(word):
                return str(word)

    def _is_alive(self) -> bool:
        """Not after a word too long, a broken frame or a goodbye that nobody answered: these wake nobody up."""
        alive = self.ws.connected and self.ws.thread.is_alive() and not self._end.closed
        if not alive:
            hang_up(self.ws.sock)
        return bool(alive)

    def _may_speak(self) -> bool:
        now = time.monotonic()
        self._left = min(MOST_AT_ONCE, self._left + (now - self._at) * MOST_A_SECOND) - 1
        self._at = now
        return self._left >= 0 and len(self.ws.input_buffer) < MOST_AT_ONCE


def is_understood(word: Any) -> bool:
    """Whether it is a pong, a goodbye, a greeting, or one of SAYINGS with one value."""
    if not isinstance(word, str) or len(word) > LONGEST_WORD:
        return False
    if word in ("1", "3", "40", "41"):
        return True
    if not word.startswith(("40{", '42["')):
        return False
    try:
        said = orjson.loads(word[2:])
    except ValueError:
        return False
    return isinstance(said, dict) or (len(said) == 2 and said[0] in SAYINGS)


def hang_up(wire: Any) -> None:
    """A polite goodbye would leave the thread to whoever does not answer it."""
    if wire is not None:
        with suppress(OSError):
            wire.shutdown(SHUT_RDWR)


# --- lines -------------------------------------------------------------------------------------------------------


@dataclass
class SocketConnection:
    """One socket of this process, and by what right it is open."""

    user_id: int
    #: Hash of the token of a sign-in, be it a browser's or a bearer's.
    token_hash: str | None = None
    #: API key, and the modules and verbs it is limited to.
    key_id: int | None = None
    scope: frozenset[str] | None = None
    #: When a bearer's token ends by itself, UTC.
    ends_on: datetime | None = None
    #: kind and id of the record on its page.
    watches: tuple[str, int] | None = None
    #: Whether it has heard the count of its bell.
    greeted: bool = False


@dataclass
class PendingConnection:
    """A socket whose browser has not said yet that it speaks Socket.IO, or has said goodbye and stayed."""

    user_id: int
    #: Monotonic seconds.
    came: float = field(default_factory=time.monotonic)


class Sockets:
    """The lines of this process."""

    def __init__(self, app: Flask, most: int) -> None:
        self.app, self.most = app, most
        #: Sockets of one person: his many tabs, or a broken program of his, leave room for his colleagues.
        self.most_each = max(4, most // 2)
        self.lines: dict[str, SocketConnection] = {}
        #: By Engine.IO's id; who has a line by now is no newcomer any more.
        self.newcomers: dict[str, PendingConnection] = {}
        #: No one is let in any more: the process is about to end.
        self.closing = False
        #: Are told of a new line, and of a record that is watched.
        self.on_arrival: Callable[[int], None] = lambda user: None
        self.on_watch: Callable[[tuple[str, int]], None] = lambda place: None

    # --- coming and going

    def may_enter(self, eio_sid: str | None = None) -> bool:
        """Before the upgrade: strangers, and more than there are threads for, get no thread at all."""
        open_now = sum(not each.closed for each in list(socketio.server.eio.sockets.values()))
        # The one who asks is counted already.
        full = open_now > self.most or len(self.lines) >= self.most
        who = None if self.closing or full else person_asking()
        if who is None or self._open_of(who.id) >= self.most_each:
            return False
        if eio_sid is not None:
            self.newcomers[eio_sid] = PendingConnection(who.id)
        return True

    def _open_of(self, user_id: int) -> int:
        return len(self.of(user_id)) + sum(each.user_id == user_id for each in list(self.newcomers.values()))

    def connect(self, _auth: Any = None) -> None:
        """Only a signed-in person; he hears what is for him."""
        who = person_asking()
        if who is None or self.closing:
            raise ConnectionRefusedError("sign in first")
        sid = _sid()
        self.newcomers.pop(socketio.server.manager.eio_sid_from_sid(sid, "/") or "", None)
        self.lines[sid] = _line_of(who)
        self.on_arrival(who.id)

    def leave(self, *_reason: Any) -> None:
        """The line is gone; who keeps the socket all the same has SILENCE_SECONDS to say what for."""
        eio_sid = socketio.server.manager.eio_sid_from_sid(_sid(), "/")
        line = self.lines.pop(_sid(), None)
        if eio_sid is not None:
            self.newcomers[eio_sid] = PendingConnection(line.user_id if line else 0)

    # --- what a page says

    def watch(self, *said: Any) -> None:
        """The page shows a record: {kind, id}. One that the law hides, or that there is not, is "gone"."""
        line, who = self._speaker()
        if line is None or who is None:
            return
        line.watches, place = None, place_of(said[0] if said else None)
        if place is None:
            return
        if sees(db.session(), who, *place):
            line.watches = place
            self.on_watch(place)
        else:
            emit("gone", {"kind": place[0], "id": place[1]})

    def shown(self, *said: Any) -> None:
        """The page has shown the toast of a notice: {id}. Written down once, for one's own notices only."""
        line, who = self._speaker()
        asked = said[0] if said else None
        key = parse_id(asked.get("id")) if isinstance(asked, dict) else None
        if line is None or who is None or key is None or not has_bell(who):
            return
        with own_transaction() as held:
            notices.record_toast_shown(held, line.user_id, key, datetime.now(UTC))

    def _speaker(self) -> tuple[SocketConnection | None, access.Person | None]:
        """The line, and its person as of now; who is nobody any more is shown out."""
        line, who = self.lines.get(_sid()), person_asking()
        if line is None or who is None or who.id != line.user_id:
            disconnect()
            return None, None
        return line, who

    # --- seen from here

    def users(self) -> set[int]:
        """Who has a line."""
        return {line.user_id for line in list(self.lines.values())}

    def of(self, user_id: int) -> dict[str, SocketConnection]:
        """The lines of a person."""
        return {sid: line for sid, line in list(self.lines.items()) if line.user_id == user_id}

    def watching(self, place: tuple[str, int]) -> dict[str, SocketConnection]:
        """The lines of pages that show the record."""
        return {sid: line for sid, line in list(self.lines.items()) if line.watches == place}

    def places(self) -> set[tuple[str, int]]:
        """All records that are watched."""
        return {line.watches for line in list(self.lines.values()) if line.watches}

    # --- the end of a line

    def cut(self, sids: Iterable[str]) -> None:
        """End these lines now."""
        for sid in [sid for sid in sids if self.lines.pop(sid, None)]:
            wire = _wire(socketio.server.manager.eio_sid_from_sid(sid, "/"))
            socketio.server.disconnect(sid, ignore_queue=True)
            hang_up(wire)

    def cut_dead(self, held: Session, now: datetime, users: Iterable[int] | None = None) -> None:
        """Cut the lines (of these people) whose sign-in, key or person is no good any more; two statements at most."""
        asked = set(users) if users is not None else None
        lines = {sid: line for sid, line in list(self.lines.items()) if asked is None or line.user_id in asked}
        tokens = _live_tokens(held, {line.token_hash for line in lines.values()} - {None}, now)
        keys = _live_keys(held, {line.key_id for line in lines.values()} - {None}, now)
        self.cut(sid for sid, line in lines.items() if not _is_live(line, tokens, keys, now))

    def cut_silent(self) -> None:
        """Hang up on those who took a thread and never said what they want."""
        late = time.monotonic() - SILENCE_SECONDS
        for eio_sid, each in list(self.newcomers.items()):
            if each.came < late:
                self.newcomers.pop(eio_sid, None)
                hang_up(_wire(eio_sid))

    def close(self) -> None:
        """End all lines of this process, which is about to end; browsers come back by themselves."""
        self.closing = True
        wires = [_wire(eio_sid) for eio_sid in list(socketio.server.environ)]
        self.lines.clear()
        for wire in wires:
            hang_up(wire)


def _is_live(line: SocketConnection, tokens: set[tuple[int, str]], keys: set[tuple[int, int]], now: datetime) -> bool:
    if line.ends_on is not None and line.ends_on <= now:
        return False
    if line.key_id is not None:
        return (line.user_id, line.key_id) in keys
    return (line.user_id, line.token_hash or "") in tokens


def _live_tokens(held: Session, hashes: set[Any], now: datetime) -> set[tuple[int, str]]:
    if not hashes:
        return set()
    idle, old = now - timedelta(hours=IDLE_HOURS), now - timedelta(days=TOKEN_DAYS)
    in_use = or_(SignIn.seen_on > idle, (SignIn.door == "jwt") & (SignIn.seen_on > old))
    query = select(SignIn.user_id, SignIn.token_hash).join(User, User.id == SignIn.user_id)
    live = query.where(SignIn.token_hash.in_(hashes), SignIn.ended_on.is_(None), User.active.is_(True), in_use)
    return {(user, token) for user, token in held.execute(live)}


def _live_keys(held: Session, keys: set[Any], now: datetime) -> set[tuple[int, int]]:
    if not keys:
        return set()
    query = select(ApiKey.user_id, ApiKey.id).join(User, User.id == ApiKey.user_id)
    lasts = or_(ApiKey.expires_on.is_(None), ApiKey.expires_on > now)
    live = query.where(ApiKey.id.in_(keys), ApiKey.revoked_on.is_(None), lasts, User.active.is_(True))
    return {(user, key) for user, key in held.execute(live)}


def _wire(eio_sid: str | None) -> Any:
    """The TCP socket below; None in tests."""
    environ = socketio.server.environ.get(eio_sid, {})
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


# --- who is it ---------------------------------------------------------------------------------------------------


def person_asking() -> access.Person | None:
    """Who is behind this request, read anew for every event: the doors check that sign-in or key lives."""
    if "Authorization" in request.headers:  # an API key or token; such a socket is no browser's
        try:
            entered = current_app.appbuilder.sm.enter_by_header()  # type: ignore[attr-defined]
        except (HTTPException, JWTExtendedException, PyJWTError):
            return None
        return g.person if entered is not None else None
    if not current_user.is_authenticated:
        return None
    return g.get("person") or person_of(db.session(), int(current_user.get_id()))


def _line_of(who: access.Person) -> SocketConnection:
    """A line with the right by which its person has just come in."""
    if "Authorization" not in request.headers:
        return SocketConnection(who.id, token_hash=hashed(str(session.get("sid"))))
    if g.get("api_key_id") is not None:
        return SocketConnection(who.id, key_id=g.api_key_id, scope=who.scope)
    claims = get_jwt()
    return SocketConnection(
        who.id, token_hash=hashed(str(claims["sid"])), ends_on=datetime.fromtimestamp(claims["exp"], UTC)
    )


def person_of(held: Session, user_id: int) -> access.Person:
    """The person by id, as the law knows him now."""
    with access.as_system(held):
        version = held.execute(select(access.version_query())).scalar() or 0
    return access.person(held, user_id, version)


def sees(held: Session, who: access.Person, kind: str, key: int) -> bool:
    """Whether the law shows the record to the person at this very moment."""
    with access.acting_as(held, who):
        try:
            return access.get_visible(held, WATCHABLE[kind], key) is not None
        finally:
            held.rollback()


def has_bell(who: access.Person) -> bool:
    """Whether he hears of notices: everybody of his own, a limited key where it may read the Dashboard, as at REST."""
    return who.scope is None or who.may("Dashboard", "read")


def place_of(asked: Any) -> tuple[str, int] | None:
    """What a page asks to watch, whatever it sent."""
    if not isinstance(asked, dict):
        return None
    kind, key = str(asked.get("kind", "")).lower().rstrip("s"), parse_id(asked.get("id"))
    return (kind, key) if kind in WATCHABLE and key is not None else None
