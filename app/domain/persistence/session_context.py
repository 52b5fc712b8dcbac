"""The context of a session: the acting person, their address and time zone, and everybody's notice preferences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Protocol

from sqlalchemy.orm import Session

#: user id -> kind -> channel -> wanted; only what differs from notices.CHANNELS.
NoticeChoices = Mapping[int, Mapping[str, Mapping[str, bool]]]
_KEY = "context"


class NoticeCollector(Protocol):
    """Collects the notices of a bulk action: `notice_batches.NoticeBatch`."""

    def add(self, events: Iterable[Any], /) -> None:
        """Collect these events of `notices` instead of writing them."""

    def record(self) -> AbstractContextManager[None]:
        """Work on one record: an exception drops the notices collected for it."""


@dataclass
class SessionContext:
    """The person, address and time zone that a session works for. Commits and rollbacks keep it."""

    #: access.Person, access.SYSTEM, or None for nobody, who sees no rows. Only app/access reads and writes it.
    acting: object = None
    #: The person for whom the session acted before acting for the system, if any. Also for app/access only.
    asked_by: object = None
    #: The IP address of the request, for the audit; None outside requests.
    address: str | None = None
    #: The zone of times in refusals; requests set the person's.
    zone: tzinfo = UTC
    #: Everybody's choices; None = not loaded yet. Requests and jobs set those that they have.
    notice_choices: NoticeChoices | None = None
    #: Collects the notices of a bulk action; None = each is written at once.
    notice_batch: NoticeCollector | None = None
    #: Collects a change's history rows by class, see history_rows; None = each is written by itself.
    history_rows: dict[Any, list[dict[str, Any]]] | None = None
    #: (acting person, class of a record, id) -> number of records that the person was just found to see.
    seen_numbers: dict[tuple[object, Any, int], str] = field(default_factory=dict)
    #: Whether records are deleted because a merge has moved everything that belonged to them.
    is_merging: bool = False
    #: Whether the session refuses every write, see access.read_only_sessions.
    is_read_only: bool = False


def session_context(session: Session) -> SessionContext:
    """The context of this session; for a new session: nobody, in UTC."""
    found = session.info.get(_KEY)
    if not isinstance(found, SessionContext):
        found = session.info[_KEY] = SessionContext()
    return found
