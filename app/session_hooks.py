"""CONTENTS: what happens around every flush, commit and rollback. HOOKS, in the order in which SQLAlchemy calls them.

Listeners hand data to each other through `domain.pending` and `domain.session_context`, both kept in `Session.info`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.access import people, role_rules, session_filter
from app.models import Delivery
from app.outbox import change_capture, notice_delivery
from app.web.realtime import live_events
from app.web.security import passwords


class Hook(NamedTuple):
    """One listener; of several on the same event, the upper one is called first."""

    event: str
    listener: Callable[..., Any]
    why: str
    target: Any = Session


HOOKS = (
    Hook("do_orm_execute", session_filter.filter_statement, "Nobody reads or changes a row that they may not see."),
    Hook("before_flush", role_rules.enforce, "Cells and FAB's permissions agree, nobody grants more than they hold."),
    Hook("before_flush", passwords.end_sign_ins, "A new password or a deactivation ends the user's sign-ins."),
    Hook("before_flush", change_capture.capture_deletions, "Webhooks hear of a deletion only from who saw the row."),
    Hook("after_insert", notice_delivery.note_delivery, "A notice that goes out by e-mail is queued once.", Delivery),
    Hook("after_flush", people.bump_version_on_change, "All processes read people and masters again after a change."),
    Hook("after_flush", passwords.refuse_without_admin, "The last active administrator stays one."),
    Hook("after_flush", change_capture.capture_changes, "Webhooks learn what is new and what changed."),
    Hook("after_flush_postexec", role_rules.add_cells_of_new_roles, "A new role gets its cells once it has an id."),
    Hook("before_commit", change_capture.write_deliveries, "A webhook delivery is committed with its change, or not."),
    Hook("after_commit", live_events.publish, "Open pages and sockets hear only of what was committed."),
    Hook("after_commit", notice_delivery.enqueue_committed, "E-mail goes out only about what was committed."),
    Hook("after_commit", change_capture.enqueue_committed, "Webhooks are called only about what was committed."),
    Hook("after_rollback", live_events.forget, "What was rolled back reaches no page."),
    Hook("after_rollback", notice_delivery.forget, "What was rolled back is not sent."),
    Hook("after_rollback", change_capture.restore_savepoint, "What a savepoint rolled back reaches no webhook."),
    Hook("after_transaction_create", change_capture.begin_savepoint, "A savepoint can be rolled back by itself."),
    Hook("after_transaction_end", change_capture.end_transaction, "The next transaction begins with nothing gathered."),
)


def install() -> None:
    """Register all hooks, for every session of this process. Idempotent; importing a module registers nothing."""
    for hook in HOOKS:
        if not event.contains(hook.target, hook.event, hook.listener):
            event.listen(hook.target, hook.event, hook.listener)
