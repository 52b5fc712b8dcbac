"""Who is named in a note by “@name”, and who is told of the note: each person once, and never its author."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import notices
from app.domain.assignment import Assignment
from app.domain.timeline import Activity

#: Further names in one note are plain text.
MAX_MENTIONS = 50
#: After a sign that no e-mail address or URL could end with; a user name may itself be an e-mail address.
_NAMED = re.compile(r"(?<![\w@/.+-])@(\w[\w.+-]*(?:@\w[\w.-]*)?)")


def mention_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, name in lower case) of everything written like a mention; the full stop of a sentence is not in."""
    for found in _NAMED.finditer(text):
        name = found[1].rstrip(".+-")
        yield found.start(), found.start() + 1 + len(name), name.casefold()


def mentioned_users(text: str, known: Mapping[str, int]) -> dict[str, int]:
    """Of `known` (user name in lower case -> id) those that the text mentions, in its order; at most MOST."""
    hits = dict.fromkeys(name for _start, _end, name in mention_spans(text) if name in known)
    return {name: known[name] for name in list(hits)[:MAX_MENTIONS]}


def involved_users(session: Session, about: Any) -> set[int]:
    """The present assignees and the owner of a lead, ticket or customer."""
    people = {getattr(about, "assignee_id", None), about.owner_id}
    if about.__tablename__ == "ticket":
        present = select(Assignment.user_id).where(Assignment.ticket_id == about.id, Assignment.ended_on.is_(None))
        people.update(session.scalars(present))
    return {user for user in people if user is not None}


def notify(
    session: Session, line: Activity, about: Any, mentioned: Collection[int], others: Collection[int], now: datetime
) -> None:
    """Notify who is mentioned in a stored note, and the others concerned, once each for ever; not its author.

    The caller has made sure that all of them see the record.
    """
    place, says = notices.record_ids_of(about), {"number": getattr(about, "number", None) or about.title}
    rest = [user for user in others if user not in mentioned]
    notices.notify_many(
        session,
        [
            notices.NoticeEvent("mention", f"mention:{line.id}", tuple(mentioned), says, place, line.actor_id),
            notices.NoticeEvent("comment", f"comment:{line.id}", tuple(rest), says, place, line.actor_id),
        ],
        now,
    )
