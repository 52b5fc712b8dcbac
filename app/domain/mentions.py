"""Mentions of users in notes by “@name”, and the notices of notes: once per user, and never to the author."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.domain import assignment
from app.domain.notifications import notices
from app.domain.timeline import Activity

#: Further mentions in one note are plain text.
MAX_MENTIONS = 50
#: Not after a character of an email address or URL; a user name may itself be an email address.
_MENTION = re.compile(r"(?<![\w@/.+-])@(\w[\w.+-]*(?:@\w[\w.-]*)?)")


def mention_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, name in lower case) of everything that looks like a mention, without a final full stop."""
    for match in _MENTION.finditer(text):
        name = match[1].rstrip(".+-")
        yield match.start(), match.start() + 1 + len(name), name.casefold()


def mentioned_users(text: str, known: Mapping[str, int]) -> dict[str, int]:
    """The part of `known` (user name in lower case -> id) that the text mentions, in order, up to MAX_MENTIONS."""
    names = dict.fromkeys(name for _start, _end, name in mention_spans(text) if name in known)
    return {name: known[name] for name in list(names)[:MAX_MENTIONS]}


def involved_users(session: Session, record: Any) -> set[int]:
    """Ids of the current assignees and the owner of a lead, ticket or customer."""
    users = {getattr(record, "assignee_id", None), record.owner_id}
    if record.__tablename__ == "ticket":
        users.update(assignment.current_assignees(session, record))
    return {user for user in users if user is not None}


@dataclass(frozen=True)
class NoteRecipients:
    """Ids of the users to notify of a note."""

    mentioned: Collection[int]
    #: Users who are involved with the record without being mentioned.
    involved: Collection[int] = ()


def notify(session: Session, line: Activity, record: Any, recipients: NoteRecipients, now: datetime) -> None:
    """Notify the recipients of a stored note, each of them only once, but not its author.

    The caller has checked that all of them may see the record.
    """
    about, payload = notices.record_ids_of(record), {"number": getattr(record, "number", None) or record.title}
    others = tuple(user for user in recipients.involved if user not in recipients.mentioned)
    mentioned = tuple(recipients.mentioned)
    events = [
        notices.NoticeEvent("mention", f"mention:{line.id}", mentioned, payload, about, line.actor_id),
        notices.NoticeEvent("comment", f"comment:{line.id}", others, payload, about, line.actor_id),
    ]
    notices.notify_many(session, events, now)
