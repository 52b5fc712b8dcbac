"""All listeners on SQLAlchemy sessions (`HOOKS`), and what saved rows trigger (`EFFECTS`), each in their order.

An effect applies to every row that is written through objects, by a flush or, without one, by `fast_insert` and
`row_updates`. Code that reacts to saved rows is therefore an effect, never a listener of a flush. Statements that
bypass the session's objects trigger no effects.

Listeners and effects pass data to each other through `transaction_state` and `session_context` (both in
`app.domain.persistence`), which are kept in `Session.info`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.access import (
    legal_hold_guard,
    read_only_sessions,
    rights_cache,
    role_rules,
    session_filter,
    user_account_rules,
)
from app.domain import custom_values, legal_holds, searchable_notes
from app.domain.audit_log import audit_chain
from app.domain.erasure import erasures
from app.domain.maintenance import order_retention
from app.domain.messaging import consents
from app.domain.people import login_names
from app.domain.persistence import (
    change_events,
    numbering,
    parent_holders,
    record_locks,
    recount_marks,
    row_effects,
    stored_text,
    transaction_state,
)
from app.domain.persistence.row_effects import Effect, classes, every_class
from app.domain.telephony import call_rollups
from app.inbound import inbound_processing, message_file_fetch, recording_fetch
from app.models import (
    Activity,
    Assignment,
    CallLog,
    Consent,
    Customer,
    CustomField,
    Delivery,
    FieldMask,
    Group,
    Lead,
    ModulePermission,
    Role,
    Task,
    Ticket,
    User,
)
from app.outbox import (
    call_delivery,
    campaign_sending,
    message_delivery,
    notice_delivery,
    reaction_delivery,
    webhook_capture,
)
from app.web.realtime import live_events
from app.web.security import account_effects


class Hook(NamedTuple):
    """One listener; listeners of the same event are called in the order of `HOOKS`."""

    event: str
    listener: Callable[..., Any]
    why: str
    target: Any = Session


_ACCOUNTS = classes(User, Role, Group)
_COUNTED = classes(Lead, Ticket, Task)
EFFECTS = (
    Effect(
        "before_flush",
        read_only_sessions.refuse_rows,
        every_class,
        "A view as another user changes nothing.",
    ),
    Effect(
        "before_flush",
        consents.refuse_change,
        classes(Consent),
        "The consent ledger is append-only, also for admins and jobs.",
    ),
    Effect(
        "before_flush",
        legal_hold_guard.refuse_losses,
        legal_holds.is_guarded,
        "Nothing that is under a legal hold is deleted, or moved out of it.",
    ),
    Effect(
        "before_flush",
        erasures.refuse_deletion,
        classes(Customer, Lead),
        "Whoever is being erased isn't deleted before all of it is found, or the duty to keep it ends.",
    ),
    Effect(
        "before_flush",
        order_retention.refuse_deletions,
        classes(CallLog),
        "An order by telephone is kept as long as its recording has to be.",
    ),
    Effect(
        "before_flush",
        stored_text.keep_storable,
        every_class,
        "Nothing stores control characters or decomposed letters.",
    ),
    Effect(
        "before_flush",
        role_rules.enforce,
        classes(ModulePermission, FieldMask, CustomField, Role, Group, User),
        "Role matrix and FAB permissions agree; no grant exceeds its author's.",
        needs_flush=True,
    ),
    Effect(
        "before_flush",
        login_names.refuse_taken_names,
        classes(User),
        "A name that looks like another's is refused with its field.",
    ),
    Effect(
        "before_flush",
        account_effects.end_sign_ins,
        _ACCOUNTS,
        "A new password or deactivation ends the user's sessions.",
    ),
    Effect(
        "before_flush",
        webhook_capture.capture_deletions,
        change_events.has_events,
        "A webhook is sent a deletion only if its user saw the row.",
    ),
    Effect(
        "before_flush",
        recount_marks.note_tasks_of_deleted,
        classes(Lead, Ticket),
        "Tasks that go with their record are no longer counted.",
    ),
    Effect("before_flush", record_locks.lock_parents, classes(Task), "Tasks are locked after their lead or ticket."),
    Effect("after_flush", login_names.reserve_names, classes(User), "No two people sign in by names that look alike."),
    Effect(
        "after_flush",
        rights_cache.bump_version_on_change,
        rights_cache.is_cached,
        "All processes reload people and picklists after a change.",
    ),
    Effect("after_flush", account_effects.refuse_without_admin, _ACCOUNTS, "The last active admin keeps the role."),
    Effect(
        "after_flush",
        change_events.note_saved,
        change_events.has_events,
        "Webhooks are sent new and changed records.",
    ),
    Effect(
        "after_flush",
        custom_values.forget_read_fields,
        classes(CustomField),
        "A transaction that changes custom fields does not go on with those that it has read.",
    ),
    Effect(
        "after_flush",
        custom_values.index_changed,
        classes(custom_values.HasCustomFields),
        "Lists filter and sort by the custom values that were written.",
    ),
    Effect("after_flush", searchable_notes.copy_saved, classes(Activity), "Notes are found by their words."),
    Effect("after_flush", call_rollups.note_saved, classes(CallLog), "Days whose calls change are counted anew."),
    Effect("after_flush", recount_marks.note_saved, _COUNTED, "Leads, tickets and tasks that change are counted anew."),
    Effect(
        "after_flush",
        parent_holders.note_saved,
        classes(Lead, Ticket),
        "Tasks are found by who holds their lead or ticket.",
    ),
    Effect("after_flush", parent_holders.note_tasks, classes(Task), "New and moved tasks, too."),
    Effect(
        "after_flush",
        parent_holders.note_saved_assignments,
        classes(Assignment),
        "Tickets are found by who has them beside the main assignee.",
    ),
    Effect("after_flush", recount_marks.note_given, classes(Assignment), "Leads and tickets that people get, too."),
    Effect(
        "after_flush",
        role_rules.add_cells_of_new_roles,
        classes(Role),
        "A new role gets matrix cells once it has an id.",
    ),
)
HOOKS = (
    Hook(
        "do_orm_execute",
        session_filter.filter_statement,
        "Queries reach only rows that the person may see.",
    ),
    Hook("do_orm_execute", read_only_sessions.refuse_statement, "A view as another user changes nothing."),
    Hook(
        "do_orm_execute",
        user_account_rules.refuse_bulk,
        "Accounts and roles are changed row by row, under their rules.",
    ),
    Hook("do_orm_execute", consents.refuse_bulk, "The consent ledger is append-only, also for admins and jobs."),
    Hook(
        "do_orm_execute",
        legal_hold_guard.refuse_bulk,
        "Statements without objects spare what is under a legal hold, too.",
    ),
    Hook("do_orm_execute", call_rollups.note_statement, "Calls changed without objects are counted anew, too."),
    Hook("do_orm_execute", recount_marks.note_statement, "Leads, tickets and tasks changed without objects, too."),
    Hook("do_orm_execute", parent_holders.note_statement, "Holders that change without objects reach tasks, too."),
    Hook("before_flush", row_effects.before_flush, "The effects of that moment are applied."),
    Hook("after_insert", notice_delivery.note_delivery, "A notice to be sent is queued once.", Delivery),
    Hook("after_flush", row_effects.after_flush, "The effects of that moment are applied."),
    Hook(
        "before_commit", webhook_capture.write_deliveries, "A webhook delivery is committed together with its change."
    ),
    Hook("before_commit", call_rollups.write_marks, "A day is marked together with the change of its calls."),
    Hook("before_commit", parent_holders.write, "What is found by holders names them together with the change."),
    Hook("before_commit", recount_marks.write_marks, "Rows are marked together with their change."),
    Hook(
        "before_commit", audit_chain.seal, "Audit entries are chained last of all, under the lock of the chain's end."
    ),
    Hook("after_commit", live_events.publish, "Live events are published only after the commit."),
    Hook("after_commit", notice_delivery.enqueue_committed, "Notices are sent only after the commit."),
    Hook("after_commit", webhook_capture.enqueue_committed, "Webhooks are called only after the commit."),
    Hook("after_commit", numbering.return_unused, "The rest of a block of numbers serves the next records."),
    Hook("after_soft_rollback", numbering.discard_unused, "A block whose taking was undone is not given out."),
    Hook("after_transaction_end", numbering.end_transaction, "The next block of numbers can be taken."),
    Hook("after_commit", message_delivery.enqueue_committed, "Messages are sent only after the commit."),
    Hook("after_commit", message_file_fetch.enqueue_committed, "Files are fetched and made small after the commit."),
    Hook("after_commit", reaction_delivery.enqueue_committed, "Reactions are sent only after the commit."),
    Hook(
        "after_commit", campaign_sending.enqueue_committed, "A campaign is looked at after it was planned or started."
    ),
    Hook(
        "after_commit", inbound_processing.enqueue_committed, "What providers report is processed after it is stored."
    ),
    Hook("after_commit", call_delivery.enqueue_committed, "Calls are dialed only after the commit."),
    Hook("after_commit", recording_fetch.enqueue_committed, "Recordings are fetched after the report is stored."),
    Hook("after_rollback", live_events.forget, "Live events of a rolled-back change are dropped."),
    Hook("after_rollback", call_rollups.forget, "Days whose change was rolled back stay as they are counted."),
    Hook("after_rollback", recount_marks.forget, "Rows whose change was rolled back stay as they are counted."),
    Hook("after_rollback", parent_holders.forget, "Holders whose change was rolled back stay as they are in tasks."),
    Hook("after_rollback", transaction_state.forget_queued, "Nothing of a rolled-back change is sent or fetched."),
    Hook(
        "after_rollback",
        webhook_capture.restore_savepoint,
        "Changes rolled back by a savepoint are not sent.",
    ),
    Hook("after_rollback", audit_chain.restore_savepoint, "Entries written inside a savepoint go with it."),
    Hook("after_transaction_create", audit_chain.begin_savepoint, "A savepoint's audit entries can be dropped alone."),
    Hook("after_transaction_end", audit_chain.end_transaction, "Entries of a rolled-back change are dropped."),
    Hook("after_transaction_create", webhook_capture.begin_savepoint, "A savepoint can be rolled back on its own."),
    Hook("after_transaction_end", webhook_capture.end_transaction, "The next transaction starts with nothing pending."),
)


def install() -> None:
    """Register all hooks and effects, for all sessions of this process. Idempotent; an import registers nothing."""
    row_effects.register(EFFECTS)
    for hook in HOOKS:
        if not event.contains(hook.target, hook.event, hook.listener):
            event.listen(hook.target, hook.event, hook.listener)
