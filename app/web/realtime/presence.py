"""Who has the page of a record open, who edits which of its values, and who is typing in a conversation.

Nothing is stored. Each process tells the others who is at its own pages, when that changes and every BEAT_SECONDS; each
report about a record replaces the previous one, and expires, so that a killed server leaves nobody behind. Without
Redis there is one process, which knows all of its pages.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.extensions import socketio
from app.models import User
from app.ops.redis.event_bus import LiveEvent, PagePresence
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.reference_fields import picture_url
from app.web.pages.html_parts import tone_of
from app.web.realtime.credentials import load_person
from app.web.realtime.sockets import PRESENCE_KINDS, RecordKey, SocketConnection, Sockets, can_see

#: How often a process repeats its report, and after how long a silence it expires.
BEAT_SECONDS, LAPSE_SECONDS = 2.0, 6.0

#: User id -> the field that they edit, "" = none.
People = dict[int, str]


@dataclass(frozen=True)
class _RemotePresence:
    """Another process's report about a record."""

    presence: PagePresence
    #: Monotonic seconds.
    at: float


class Presence:
    """The people at the pages of records, in this process and according to the others."""

    def __init__(self, sockets: Sockets, send: Callable[[LiveEvent], None], origin: Callable[[], str]) -> None:
        """`send` sends an event to all processes, including this one; `origin` identifies this process."""
        self._sockets, self._send, self._origin = sockets, send, origin
        #: Record -> other process -> its last report.
        self._remote: dict[RecordKey, dict[str, _RemotePresence]] = {}
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._beat_at = 0.0

    # --- sending

    def announce(self, records: Iterable[RecordKey]) -> None:
        """Send to all processes who has these records open now."""
        announced = frozenset(self._presence_of(record) for record in records if record[0] in PRESENCE_KINDS)
        if announced:
            self._send(LiveEvent(presences=announced))

    def _presence_of(self, record: RecordKey) -> PagePresence:
        with self._lock:  # a higher number belongs to a later report
            here = self._here(record)
            return PagePresence(self._origin(), next(self._serial), *record, tuple(sorted(here.items())))

    def _here(self, record: RecordKey) -> People:
        """The people at the pages of this process."""
        return _merged((each.user_id, each.editing) for each in self._pages(record).values())

    def _pages(self, record: RecordKey) -> dict[str, SocketConnection]:
        """The connections of people's pages that show the record; programs are not present."""
        return {sid: each for sid, each in self._sockets.watching(record).items() if each.is_page}

    def tick(self, has_others: bool) -> None:
        """Once a second: repeat the reports, and drop expired ones. `has_others`: whether there is a bus."""
        now = time.monotonic()
        watched = {record for record in self._sockets.watched_records() if record[0] in PRESENCE_KINDS}
        lapsed = self._forget(watched, now - LAPSE_SECONDS)
        if has_others and now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            lapsed = watched
        self.announce(lapsed)

    def _forget(self, watched: set[RecordKey], before: float) -> set[RecordKey]:
        """Drop records that no page here shows, and processes silent since then. Returns the records that lost some."""
        lost = set()
        with self._lock:
            self._remote = {record: found for record, found in self._remote.items() if record in watched}
            for record, found in self._remote.items():
                for origin in [origin for origin, each in found.items() if each.at < before]:
                    del found[origin]
                    lost.add(record)
        return lost

    # --- receiving

    def receive(self, session: Session, presences: Iterable[PagePresence]) -> None:
        """Process the reports, and push changes to the pages here. A new process gets an answer.

        `session` must act for the system.
        """
        changed, unanswered = set(), set()
        for presence in sorted(presences, key=lambda each: each.serial):
            if not self._pages(presence.record):
                continue
            changed.add(presence.record)
            if presence.origin != self._origin() and self._take(presence):
                unanswered.add(presence.record)
        for record in changed:
            self._push(session, record)
        self.announce(unanswered)

    def _take(self, presence: PagePresence) -> bool:
        """Store another process's report. Returns whether it has people there and was unknown."""
        with self._lock:
            found = self._remote.setdefault(presence.record, {})
            before = found.get(presence.origin)
            if before is not None and before.presence.serial > presence.serial:
                return False
            if not presence.people:
                found.pop(presence.origin, None)
                return False
            found[presence.origin] = _RemotePresence(presence, time.monotonic())
            return before is None

    def _push(self, session: Session, record: RecordKey) -> None:
        """Push "presence" to the pages for which it has changed, if their person still may see the record."""
        pages = self._pages(record)
        with self._lock:
            announced = [pair for each in self._remote.get(record, {}).values() for pair in each.presence.people]
        people = _merged([*announced, *self._here(record).items()])
        due = {}
        for sid, page in pages.items():
            others = tuple(sorted((user, field) for user, field in people.items() if user != page.user_id))
            if others != page.others:
                due[sid] = others
        shown = {user for others in due.values() for user, _field in others}
        stored = select(User.id, User.picture).where(User.id.in_(shown), User.picture.is_not(None))
        pictures = {row[0]: row[1] for row in session.execute(stored)} if shown else {}
        for user in {pages[sid].user_id for sid in due}:
            if not can_see(session, load_person(session, user), *record):
                continue
            for sid, others in due.items():
                if pages[sid].user_id == user:
                    cards = [_card(session, other, pictures) for other in others]
                    socketio.emit("presence", {"kind": record[0], "id": record[1], "people": cards}, to=sid)
                    pages[sid].others = others  # told: not before, for who can't see it yet may do so later

    # --- typing

    def receive_typing(self, session: Session, conversation: int, user: int) -> None:
        """Push "typing" to the others who have the conversation open and may still see it."""
        record = ("conversation", conversation)
        others = {sid: each for sid, each in self._sockets.watching(record).items() if each.user_id != user}
        if not others:
            return
        payload = {"kind": record[0], "id": conversation, "user": user, "name": load_person(session, user).full_name}
        for viewer, scope in {(each.user_id, each.scope) for each in others.values()}:
            who = load_person(session, viewer)
            if can_see(session, replace(who, scope=scope) if scope else who, *record):
                for sid, each in others.items():
                    if (each.user_id, each.scope) == (viewer, scope):
                        socketio.emit("typing", payload, to=sid)


def _merged(pairs: Iterable[tuple[int, str]]) -> People:
    """One entry per person, with a field that they edit on one of their pages."""
    found: People = {}
    for user, field in pairs:
        found[user] = field or found.get(user, "")
    return found


def _card(session: Session, other: tuple[int, str], pictures: Mapping[int, str]) -> dict[str, Any]:
    """A colleague for the page: the public card, as in any list of people."""
    user, field = other
    who: access.Person = load_person(session, user)
    letters, picture = initials(who.full_name), picture_url(user, pictures.get(user))
    card = {"id": user, "name": who.full_name.strip(), "initials": letters, "tone": tone_of(letters), "field": field}
    return card | ({"picture": picture} if picture else {})
