"""Live: after a commit, news goes to the sockets of those whom it concerns; a socket knows no more than its person.

A commit makes tidings: whose bell, which records, whose sign-ins. Each process looks at its own lines only, under the
law of this very moment, and says no more than {kind, id}; the page fetches the rest through its own door.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy.orm import Session

from app import access
from app.domain.pending import pending
from app.extensions import db, socketio
from app.ops.broadcast import EventBroadcaster
from app.ops.event_bus import EventBus, LiveEvent
from app.web.realtime import current_state
from app.web.realtime.sockets import LONGEST_WORD, SocketConnection, Sockets, SocketTransport, has_bell, person_of, sees

log = logging.getLogger("crm.live")

#: A socket whose sign-in or key has ended is cut within this time, whichever process ended it.
SWEEP_SECONDS = 1.0
#: While the bus works, what is on show is compared with the database every so many sweeps; without it at each.
CALM_SWEEPS = 10
#: Each socket keeps a thread of its process; so many are left for pages.
THREADS_FOR_PAGES = 8


class Live:
    """The way from a commit to the pages that are open, here and in the other processes."""

    def __init__(self, app: Flask, most: int, redis_url: str | None) -> None:
        self.app, self.sockets = app, Sockets(app, most)
        self.sockets.on_arrival, self.sockets.on_watch = self._arrived, self._watched
        self.bus = EventBus(redis_url, self._heard) if redis_url else None
        self.post = EventBroadcaster(self._deliver)
        #: What was last said: user id -> his bell, record -> id of its newest activity.
        self.rung: dict[int, current_state.Bell] = {}
        self.seen: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None

    @property
    def lines(self) -> dict[str, SocketConnection]:
        """The lines of this process."""
        return self.sockets.lines

    # --- tidings come and go

    def send(self, tidings: LiveEvent) -> None:
        """Tell everybody whom it concerns, in all processes, soon. Never waits; nothing without sockets and bus."""
        if tidings and (self.bus is not None or self.lines):
            self.post.send(tidings, to_others=True)

    def _heard(self, tidings: LiveEvent) -> None:
        if self.lines:
            self.post.send(tidings, to_others=False)

    def _deliver(self, far: LiveEvent, here: LiveEvent) -> None:
        if far and self.bus is not None:
            self.bus.publish(far)
        if here and self.lines:
            with self.app.app_context():
                self._look(db.session(), here, datetime.now(UTC))

    def _look(self, held: Session, tidings: LiveEvent, now: datetime) -> None:
        """What of it concerns the lines of this process."""
        here, places = self.sockets.users(), self.sockets.places()
        with access.as_system(held):
            if ended := tidings.ended_sign_ins & here:
                self.sockets.cut_dead(held, now, ended)
            self._ring(held, here if tidings.compare_all else tidings.notified & here, now)
            self._stir(
                held, places if tidings.compare_all else tidings.changed_timelines & places, tidings.changed_timelines
            )

    # --- bells

    def _ring(self, held: Session, users: Iterable[int], now: datetime) -> None:
        users = set(users)
        for user, bell in current_state.bells(held, users, now).items() if users else ():
            before = self.rung.get(user)
            told = self._with_bell(held, user)
            lines = {sid: line for sid, line in told.items() if bell != before or not line.greeted}
            news = {"unread": bell.unread, "id": bell.newest or None}
            if lines and (before is None or bell.newest > before.newest):
                news |= self._toast(held, user, before.newest if before else None, now)
            for sid, line in lines.items():
                line.greeted = True
                socketio.emit("bell", news, to=sid)
            self.rung[user] = bell

    def _with_bell(self, held: Session, user: int) -> dict[str, SocketConnection]:
        """The person's lines, but for those of keys that may not read his notices."""
        lines = self.sockets.of(user)
        return {
            sid: line
            for sid, line in lines.items()
            if line.scope is None or has_bell(_limited(person_of(held, user), line.scope))
        }

    def _toast(self, held: Session, user: int, after: int | None, now: datetime) -> dict[str, Any]:
        who = person_of(held, user)
        with access.acting_as(held, who):
            return current_state.toast(held, who, after, now)

    def _arrived(self, user_id: int) -> None:
        """A new line: its bell may have changed since its page was made."""
        if self.bus is not None:
            self.bus.listen()
        self._begin_sweep()
        self.post.send(LiveEvent(notified=frozenset([user_id])), to_others=False)

    # --- records

    def _stir(self, held: Session, places: Iterable[tuple[str, int]], stirred: frozenset[tuple[str, int]]) -> None:
        places = set(places)
        newest = current_state.newest_on(held, places)
        for place in places:
            last = newest.get(place, 0)
            if place in stirred or last > self.seen.get(place, last):
                self._push(held, place)
            self.seen[place] = last

    def _push(self, held: Session, place: tuple[str, int]) -> None:
        """Tell those who look at the record and may; who lost it hears so once, and nothing ever after."""
        kind, key = place
        lines = self.sockets.watching(place)
        for right in {(line.user_id, line.scope) for line in lines.values()}:
            news = "activity" if sees(held, _limited(person_of(held, right[0]), right[1]), kind, key) else "gone"
            for sid, line in lines.items():
                if (line.user_id, line.scope) != right or line.watches != place:
                    continue
                line.watches = place if news == "activity" else None
                socketio.emit(news, {"kind": kind, "id": key}, to=sid)

    def _watched(self, place: tuple[str, int]) -> None:
        """From now on: what happened before stands on the page."""
        if place not in self.seen:
            with access.as_system(db.session()) as held:
                self.seen.setdefault(place, current_state.newest_on(held, [place]).get(place, 0))

    # --- the sweep: what holds without any tidings

    def _begin_sweep(self) -> None:
        with self._lock:
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep_on, name="crm-live-sweep", daemon=True)
                self._sweeper.start()

    def _sweep_on(self) -> None:
        stop, blind = threading.Event(), False
        for beat in itertools.count(1):
            stop.wait(SWEEP_SECONDS)
            with self._lock:
                if not self.lines and not self.sockets.newcomers:
                    self._sweeper = None
                    return
            try:
                self.sweep()
                blind = False
            except Exception:
                if not blind:
                    log.exception("the sweep of sockets failed")  # the database is away: the next second tries again
                blind = True
            if beat % CALM_SWEEPS == 0 or self.bus is None or not self.bus.is_up:
                self.post.send(LiveEvent(compare_all=True), to_others=False)

    def sweep(self) -> None:
        """Cut the lines whose right has ended, and forget what nobody looks at any more; at most two statements."""
        self.sockets.cut_silent()
        with self.app.app_context(), access.as_system(db.session()) as held:
            self.sockets.cut_dead(held, datetime.now(UTC))
        here, places = self.sockets.users(), self.sockets.places()
        self.rung = {user: bell for user, bell in self.rung.items() if user in here}
        self.seen = {place: last for place, last in self.seen.items() if place in places}

    def net(self) -> None:
        """Compare what is on show with the database, and push what differs; two statements when nothing does."""
        self._deliver(LiveEvent(), LiveEvent(compare_all=True))

    def close(self) -> None:
        """End all sockets of this process, which is about to end."""
        if self.bus is not None:
            self.bus.close()
        self.sockets.close()


def _limited(who: access.Person, scope: frozenset[str] | None) -> access.Person:
    """The person as the key sees him."""
    return replace(who, scope=scope) if scope else who


# --- after a commit, never before ----------------------------------------------------------------------------------

_live: Live | None = None


def install(app: Flask) -> Live:
    """Bind Socket.IO to the app."""
    global _live
    chosen = app.config["CRM"]
    socketio.init_app(
        app,
        async_mode="threading",
        transports=["websocket"],
        async_handlers=False,
        max_http_buffer_size=LONGEST_WORD,
        cors_allowed_origins=partial(_is_ours, _origin(chosen.public_url)),
    )
    _live = Live(app, max(1, chosen.threads - THREADS_FOR_PAGES), chosen.redis_url)
    app.extensions["crm_live"] = _live
    sockets = _live.sockets
    for name, hear in (
        ("connect", sockets.connect),
        ("disconnect", sockets.leave),
        ("watch", sockets.watch),
        ("shown", sockets.shown),
    ):
        socketio.on_event(name, hear)
    _guard_the_door(app, _live)
    return _live


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _is_ours(public: str, origin: str, environ: dict[str, Any] | None = None) -> bool:
    """Our own pages only: at the public address, or at the very address that was asked."""
    asked = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}" if environ else public
    return origin in (public, asked)


def _guard_the_door(app: Flask, live: Live) -> None:
    """Engine.IO asks before it upgrades; Socket.IO's own "connect" comes only after a thread is taken."""
    eio = socketio.server.eio
    enter, part = eio.handlers["connect"], eio.handlers["disconnect"]

    def connect(eio_sid: str, environ: dict[str, Any]) -> Any:
        with app.request_context(environ):
            if not live.sockets.may_enter(eio_sid):
                return False
        live._begin_sweep()
        return enter(eio_sid, environ)

    def leave(eio_sid: str, reason: Any = None) -> None:
        part(eio_sid, reason)
        live.sockets.newcomers.pop(eio_sid, None)

    eio.on("connect", connect)
    eio.on("disconnect", leave)
    eio._async = {**eio._async, "websocket": SocketTransport}


def announce(told: list[tuple[int, str]]) -> None:
    """For jobs.Runner.announce."""
    if _live is not None:
        _live.send(LiveEvent(notified=frozenset(user for user, _ in told)))


def flush(seconds: float = 1.0) -> None:
    """Wait until the other processes have been told; for processes that end without ceremony."""
    if _live is not None:
        _live.post.flush(seconds)


def close() -> None:
    """End all sockets of this process."""
    if _live is not None:
        _live.close()


def publish(session: Session) -> None:
    """Session hook, after a commit: tell the open pages and sockets whom it concerns."""
    if session.in_nested_transaction():
        return  # a savepoint: its rows may still be rolled back
    gathered = pending(session)
    users = frozenset(user for user, _ in gathered.notified)
    event = LiveEvent(users, frozenset(gathered.changed_timelines), frozenset(gathered.ended_sign_ins))
    gathered.clear_live()
    if _live is not None:
        _live.send(event)


def forget(session: Session) -> None:
    """Session hook, after a rollback: there is nothing to tell."""
    if not session.in_nested_transaction():
        pending(session).clear_live()
