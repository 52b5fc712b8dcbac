"""What a transaction has collected in its session, to be processed at the commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from flask_appbuilder.security.sqla.models import Role
from sqlalchemy.orm import Session

from app.domain.persistence.record_change_event import ChangeEvent, RecordKey

_KEY = "pending"
#: What is queued after the commit: the lists of ids in TransactionState.
QUEUED = (
    *("notice_deliveries", "messages", "message_files", "message_reactions"),
    *("call_requests", "recordings", "inbound_events", "campaigns"),
)
Part = TypeVar("Part")


@dataclass
class TransactionState:
    """What one session has collected since its last commit. `app/session_hooks.py` lists who clears what, and when."""

    #: (user id, kind) of the notices written; "" = one was read. Their open pages update after the commit.
    notified: list[tuple[int, str]] = field(default_factory=list)
    #: (lead, ticket or customer; id) whose timeline changed. Pages that show them update after the commit.
    changed_timelines: set[tuple[str, int]] = field(default_factory=set)
    #: Users with a sign-in or API key that has ended. Their sockets are checked after the commit.
    ended_sign_ins: set[int] = field(default_factory=set)
    #: The changes of each record. Become webhook deliveries before the commit.
    change_events: dict[RecordKey, ChangeEvent] = field(default_factory=dict)
    #: `change_events` as they were when each open savepoint began, the innermost last.
    savepoints: list[dict[RecordKey, ChangeEvent]] = field(default_factory=list)
    #: Keys of the webhook deliveries written. Queued after the commit.
    webhook_deliveries: list[str] = field(default_factory=list)
    #: Ids of the notice deliveries written. Queued after the commit.
    notice_deliveries: list[int] = field(default_factory=list)
    #: Ids of the messages put into the outbox. Queued after the commit.
    messages: list[int] = field(default_factory=list)
    #: Ids of files to be fetched or to get a preview, and of reactions to be sent. Queued after the commit.
    message_files: list[int] = field(default_factory=list)
    message_reactions: list[int] = field(default_factory=list)
    #: Ids of the calls to be dialed, and of the recordings to be fetched. Queued after the commit.
    call_requests: list[int] = field(default_factory=list)
    recordings: list[int] = field(default_factory=list)
    #: Users whose call cards changed. Their open pages update after the commit.
    call_card_users: set[int] = field(default_factory=set)
    #: Ids of the hook events to process. Queued after the commit.
    inbound_events: list[int] = field(default_factory=list)
    #: Ids of the campaigns that a worker has to check. Queued after the commit.
    campaigns: list[int] = field(default_factory=list)
    #: New roles and their (module, verb) cells, added when the flush has given the roles their ids.
    new_roles: list[tuple[Role, set[tuple[str, str]]]] = field(default_factory=list)
    #: Quarter hours in which calls were changed. Become marks of the roll-ups before the commit.
    call_moments: set[datetime] = field(default_factory=set)
    #: (kind, id) of rows whose figures change, and table -> the last id before rows without known ids were added.
    #: Become marks before the commit.
    marked_rows: set[tuple[int, int]] = field(default_factory=set)
    rows_after: dict[str, int] = field(default_factory=dict)
    #: (leads or ticket, id) of records whose holders or tasks change, ids of tasks that are new or move, and the last
    #: id before tasks without known ids were added. Their tasks get these holders before the commit.
    held_records: set[tuple[str, int]] = field(default_factory=set)
    held_tasks: set[int] = field(default_factory=set)
    tasks_after: int | None = None
    #: Tickets whose assignments or main assignees change; 0 = any. Their assignments say who is beside, at the commit.
    assigned_tickets: set[int] = field(default_factory=set)
    #: Whether there was an active admin before this flush; False if the flush can't remove the last one.
    had_admin: bool = False
    #: What single modules collect in classes of their own, by class, see `part_of`.
    parts: dict[type, Any] = field(default_factory=dict, compare=False)

    def take_notified(self) -> list[tuple[int, str]]:
        """Return `notified` and empty it."""
        notified, self.notified = self.notified, []
        return notified

    def clear_live(self) -> None:
        """Drop updates for open pages and sockets."""
        self.notified, self.changed_timelines, self.ended_sign_ins, self.call_card_users = [], set(), set(), set()

    def clear_webhooks(self) -> None:
        """Drop events for webhooks."""
        self.change_events, self.savepoints, self.webhook_deliveries = {}, [], []


def transaction_state(session: Session) -> TransactionState:
    """What this session has collected so far."""
    found = session.info.get(_KEY)
    if not isinstance(found, TransactionState):
        found = session.info[_KEY] = TransactionState()
    return found


def part_of(session: Session, kind: type[Part]) -> Part:
    """What this session has collected in this class; made without arguments when it is first asked for."""
    parts = transaction_state(session).parts
    found: Part | None = parts.get(kind)
    if found is None:
        found = parts[kind] = kind()
    return found


def pop_committed(session: Session, name: str) -> list[int]:
    """Return the ids that the session has collected under this name, and empty it. For hooks after a commit.

    Nothing is returned within a savepoint: its rows may still be rolled back, or the outer transaction's still be
    stored.
    """
    if session.in_nested_transaction():
        return []
    gathered = transaction_state(session)
    found: list[int] = getattr(gathered, name)
    setattr(gathered, name, [])
    return found


def forget_queued(session: Session) -> None:
    """Session hook, after a rollback: of what the transaction has collected, nothing is queued."""
    for name in QUEUED:
        pop_committed(session, name)
