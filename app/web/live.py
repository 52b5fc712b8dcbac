"""Live: after a commit, news goes to the sockets of those whom it concerns; a socket knows no more than its person.

Decision: what is sent to a record's room says only which record changed ({kind, id}). The page then fetches the
fragment through its own door, under the law. Who lost the right is put out of the room before each send, in the
process that sends; in other processes he may still learn *that* something happened, never what.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request, session
from flask_babel import force_locale
from flask_login import current_user
from flask_socketio import ConnectionRefusedError, disconnect, join_room, leave_room
from sqlalchemy import event, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain import notices
from app.extensions import db, socketio
from app.models import Customer, Lead, Notification, SignIn, Ticket, User
from app.web import bell
from app.web.sessions import hashed

log = logging.getLogger("crm.live")

WATCHABLE: dict[str, Any] = {"lead": Lead, "ticket": Ticket, "customer": Customer}
#: A socket whose sign-in has ended is cut within this time, whichever process ended it.
SWEEP_SECONDS = 1.0
#: Each socket keeps a thread of its process; so many are left for pages.
THREADS_FOR_PAGES = 8


@dataclass
class Line:
    """One socket of this process."""

    user_id: int
    #: Hash of the sign-in's token; None for a socket that came with an API key.
    token_hash: str | None
    #: kind and id of the record on its page.
    watches: tuple[str, int] | None = None


class Live:
    """The sockets of this process, and the way out to all of them."""

    def __init__(self, app: Flask, most: int, far: bool) -> None:
        self.app, self.most = app, most
        #: Whether other processes hold sockets too, reached through the message queue.
        self.far = far
        self.lines: dict[str, Line] = {}
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None
        # One thread: news keeps its order, and no commit waits for a socket.
        self._post = ThreadPoolExecutor(1, "crm-live")

    # --- coming and going

    def may_enter(self, _environ: Any = None) -> bool:
        """Before the upgrade: strangers, and more than there are threads for, get no thread at all."""
        return len(self.lines) < self.most and _person() is not None

    def connect(self, _auth: Any = None) -> None:
        """Only a signed-in person; he hears what is for him."""
        who = _person()
        if who is None:
            raise ConnectionRefusedError("sign in first")
        token = session.get("sid")
        with self._lock:
            self.lines[_sid()] = Line(who.id, hashed(token) if token else None)
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep_on, name="crm-live-sweep", daemon=True)
                self._sweeper.start()
        join_room(f"user:{who.id}")

    def leave(self, *_reason: Any) -> None:
        """The socket is gone."""
        self.lines.pop(_sid(), None)

    def watch(self, asked: Any) -> None:
        """The page shows a record: {kind, id}. One that the law hides is not watched."""
        who, line = _person(), self.lines.get(_sid())
        if who is None or line is None:
            disconnect()
            return
        if line.watches:
            leave_room("{}:{}".format(*line.watches))
        line.watches = _place(asked)
        if line.watches and _sees(who, *line.watches):
            join_room("{}:{}".format(*line.watches))
        else:
            line.watches = None

    def cut(self, user_id: int) -> None:
        """End the sockets of a person who signed out or was deactivated; other processes find out by themselves."""
        self._cut(sid for sid, line in list(self.lines.items()) if line.user_id == user_id)

    def _cut(self, sids: Iterable[str]) -> None:
        for sid in list(sids):
            self.lines.pop(sid, None)
            eio_sid = socketio.server.manager.eio_sid_from_sid(sid, "/")
            wire = _wire(eio_sid)
            socketio.server.disconnect(sid, ignore_queue=True)
            _hang_up(wire)

    def close(self) -> None:
        """End all sockets of this process, which is about to end; browsers come back by themselves."""
        self._post.shutdown(wait=False, cancel_futures=True)
        wires = [_wire(eio_sid) for eio_sid in list(socketio.server.environ)]
        self.lines.clear()
        for wire in wires:
            _hang_up(wire)

    # --- news

    def announce(self, told: list[tuple[int, str]]) -> None:
        """Tell the bells of these people their new count; [(user id, kind)]."""
        users = dict.fromkeys(user for user, _ in told)
        here = {line.user_id for line in self.lines.values()}
        for user in users if self.far else [user for user in users if user in here]:
            self._later(self._ring, user)

    def activity(self, kind: str, key: int) -> None:
        """Tell those who look at the record, and may, that something happened on it."""
        if self.far or any(line.watches == (kind, key) for line in list(self.lines.values())):
            self._later(self._stir, kind, key)

    def _later(self, send: Callable[..., None], *what: Any) -> None:
        def sent(done: Future[None]) -> None:
            if error := done.exception():
                log.error("news %r could not be sent", what, exc_info=error)

        self._post.submit(send, *what).add_done_callback(sent)

    def flush(self) -> None:
        """Wait until what was announced so far has been sent (tests)."""
        self._post.submit(int).result()

    def _ring(self, user_id: int) -> None:
        with self.app.app_context():
            held = db.session()
            who = _person_of(held, user_id)
            access.act_as(held, who)
            with force_locale(who.locale or "en"):
                news = _news(held, user_id, datetime.now(UTC))
        socketio.emit("bell", news, to=f"user:{user_id}")

    def _stir(self, kind: str, key: int) -> None:
        with self.app.app_context():
            self._put_out_strangers(kind, key)
        socketio.emit("activity", {"kind": kind, "id": key}, to=f"{kind}:{key}")

    def _put_out_strangers(self, kind: str, key: int) -> None:
        """Once per person in the room: does the law still show him the row?"""
        there = {sid: line for sid, line in list(self.lines.items()) if line.watches == (kind, key)}
        held = db.session()
        for user_id in {line.user_id for line in there.values()}:
            if _sees(_person_of(held, user_id), kind, key):
                continue
            for sid in [sid for sid, line in there.items() if line.user_id == user_id]:
                there[sid].watches = None
                socketio.server.leave_room(sid, f"{kind}:{key}")

    # --- the sweep

    def _sweep_on(self) -> None:
        stop = threading.Event()
        while not stop.wait(SWEEP_SECONDS):
            with self._lock:
                if not self.lines:
                    self._sweeper = None
                    return
            try:
                self.sweep()
            except Exception:
                log.exception("the sweep of sockets failed")  # the database is away: the next second tries again

    def sweep(self) -> None:
        """Cut the sockets whose sign-in has ended or whose person was deactivated; one statement."""
        lines = dict(self.lines)
        users = {line.user_id for line in lines.values()}
        query = (
            select(User.id, SignIn.token_hash)
            .outerjoin(SignIn, (SignIn.user_id == User.id) & SignIn.ended_on.is_(None))
            .where(User.id.in_(users), User.active.is_(True))
        )
        with self.app.app_context(), access.as_system(db.session()) as held:
            live = {tuple(row) for row in held.execute(query)}
        active = {user for user, _ in live}
        dead = [sid for sid, line in lines.items() if not _is_live(line, live, active)]
        self._cut(dead)


def _is_live(line: Line, live: set[tuple[Any, ...]], active: set[int]) -> bool:
    return line.user_id in active if line.token_hash is None else (line.user_id, line.token_hash) in live


def _wire(eio_sid: str | None) -> Any:
    """The TCP socket below; None in tests."""
    environ = socketio.server.environ.get(eio_sid, {})
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def _hang_up(wire: Any) -> None:
    """A polite goodbye would leave the thread to whoever does not answer it."""
    if wire is not None:
        with suppress(OSError):
            wire.shutdown(SHUT_RDWR)


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


def _person() -> access.Person | None:
    """Who is behind this request, read anew for every event: the loader of users checks that the sign-in lives."""
    if "Authorization" in request.headers:  # an API key or token; such a socket is no browser's
        return g.person if current_app.appbuilder.sm.enter_by_header() is not None else None  # type: ignore[attr-defined]
    if not current_user.is_authenticated:
        return None
    return g.get("person") or _person_of(db.session(), int(current_user.get_id()))


def _person_of(held: Session, user_id: int) -> access.Person:
    with access.as_system(held):
        version = held.execute(select(access.version_query())).scalar() or 0
    return access.person(held, user_id, version)


def _sees(who: access.Person, kind: str, key: int) -> bool:
    held = db.session()
    before = held.info.get("who")
    access.act_as(held, who)
    try:
        return access.get_visible(held, WATCHABLE[kind], key) is not None
    finally:
        held.info["who"] = before
        held.rollback()


def _place(asked: Any) -> tuple[str, int] | None:
    """What a page asks to watch, whatever it sent."""
    if not isinstance(asked, dict):
        return None
    kind, key = str(asked.get("kind", "")).lower().rstrip("s"), str(asked.get("id", ""))
    return (kind, int(key)) if kind in WATCHABLE and key.isascii() and key.isdigit() and len(key) < 10 else None


def _news(held: Session, user_id: int, now: datetime) -> dict[str, Any]:
    """The bell's count and its newest unread notice, for the toast."""
    news: dict[str, Any] = {"unread": notices.unread(held, user_id, now)}
    awake = or_(Notification.snoozed_until.is_(None), Notification.snoozed_until <= now)
    mine = (Notification.user_id == user_id, Notification.read_on.is_(None), awake)
    newest = held.scalars(select(Notification).where(*mine).order_by(Notification.id.desc()).limit(1)).first()
    if newest is not None:
        cards = bell.cards_of(held, [newest])
        news |= {"id": newest.id, "text": bell.text_of(newest), "url": bell.url_of(newest, cards)}
    return news


# --- after a commit, never before ----------------------------------------------------------------------------------

_live: Live | None = None


def install(app: Flask, session_class: Any = Session) -> Live:
    """Bind Socket.IO to the app, and let every session of the class announce what it committed."""
    global _live
    chosen = app.config["CRM"]
    socketio.init_app(
        app, async_mode="threading", transports=["websocket"], message_queue=chosen.redis_url, channel="crm-live",
        cors_allowed_origins=partial(_is_ours, _origin(chosen.public_url)), max_http_buffer_size=16_384,
    )  # fmt: skip
    _live = Live(app, max(1, chosen.threads - THREADS_FOR_PAGES), bool(chosen.redis_url))
    app.extensions["crm_live"] = _live
    for name, handler in (("connect", _live.connect), ("disconnect", _live.leave), ("watch", _live.watch)):
        socketio.on_event(name, handler)
    _guard_the_door(app, _live)
    if not event.contains(session_class, "after_commit", _after_commit):
        event.listen(session_class, "after_commit", _after_commit)
        event.listen(session_class, "after_rollback", _after_rollback)
    return _live


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _is_ours(public: str, origin: str, environ: dict[str, Any] | None = None) -> bool:
    """Our own pages only: at the public address, or at the very address that was asked."""
    asked = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}" if environ else public
    return origin in (public, asked)


def _guard_the_door(app: Flask, live: Live) -> None:
    """Engine.IO asks before it upgrades; Socket.IO's own "connect" comes only after a thread is taken."""
    enter = socketio.server.eio.handlers["connect"]

    def connect(eio_sid: str, environ: dict[str, Any]) -> Any:
        with app.request_context(environ):
            if not live.may_enter():
                return False
        return enter(eio_sid, environ)

    socketio.server.eio.on("connect", connect)


def announce(told: list[tuple[int, str]]) -> None:
    """For jobs.Runner.announce."""
    if _live is not None and told:
        _live.announce(told)


def activity(kind: str, key: int) -> None:
    """Something happened on this record."""
    if _live is not None:
        _live.activity(kind, key)


def close() -> None:
    """End all sockets of this process."""
    if _live is not None:
        _live.close()


def cut(user_id: int) -> None:
    """End the sockets of this person."""
    live: Live | None = current_app.extensions.get("crm_live")
    if live is not None:
        live.cut(user_id)


def _after_commit(held: Session) -> None:
    if held.in_nested_transaction():
        return  # a savepoint; the rows may still go
    announce(held.info.pop("told", []))
    for kind, key in held.info.pop("stirred", ()):
        activity(kind, key)


def _after_rollback(held: Session) -> None:
    if not held.in_nested_transaction():
        held.info.pop("told", None)
        held.info.pop("stirred", None)
