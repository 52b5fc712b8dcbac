"""The table of session hooks is complete: no other listeners, no other data in Session.info.

That importing the app installs none: tests/test_start_budget.py
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain.people.authentication import note_sign_in_ended
from app.domain.persistence import row_effects
from app.domain.persistence.transaction_state import TransactionState, transaction_state
from tests import factories

APP = Path(session_hooks.__file__).parent
#: file -> why it listens outside the table.
LISTENS_TOO = {
    "ops/database/connections.py": "engines, not sessions",
    "ops/monitoring/process_metrics.py": "engines, not sessions",
    "ops/database/primary_address.py": "engines, not sessions",
    "ops/database/closed_connections.py": "engines, not sessions",
    "ops/database/schema_changes.py": "an engine, while a migration runs",
    "job_dry_run.py": "a connection, for one transaction",
    "extensions.py": "mappers, while classes are mapped",
}
#: The two accessors of Session.info.
KEEPS_IN_SESSION = {"domain/persistence/transaction_state.py", "domain/persistence/session_context.py"}


def files_with(pattern: str) -> set[str]:
    return {path.relative_to(APP).as_posix() for path in APP.rglob("*.py") if re.search(pattern, path.read_text())}


def test_every_listener_is_in_the_table() -> None:
    assert files_with(r"event\.listens?_?") == {"session_hooks.py", *LISTENS_TOO}


def test_only_the_two_typed_accessors_touch_session_info() -> None:
    assert files_with(r"session(\(\))?\.info\b") == KEEPS_IN_SESSION


def test_install_registers_every_hook_once() -> None:
    session_hooks.install()
    session_hooks.install()
    assert all(event.contains(hook.target, hook.event, hook.listener) for hook in session_hooks.HOOKS)


def test_what_looks_at_saved_rows_is_an_effect() -> None:
    """A listener of flushes would miss the rows that are written without one."""
    flushes = {hook.listener for hook in session_hooks.HOOKS if "flush" in hook.event}
    assert flushes == {row_effects.before_flush, row_effects.after_flush}
    assert all(effect.moment in ("before_flush", "after_flush") for effect in session_hooks.EFFECTS)


def test_each_session_has_its_own_pending_data_cleared_by_a_rollback() -> None:
    session_hooks.install()
    engine = factories.database()
    with Session(engine) as one, Session(engine) as other:
        one.execute(text("SELECT 1"))
        note_sign_in_ended(one, 7)
        assert (transaction_state(one).ended_sign_ins, transaction_state(other)) == ({7}, TransactionState())
        one.rollback()
        assert transaction_state(one) == TransactionState()
        assert all(part == kind() for kind, part in transaction_state(one).parts.items())
    engine.dispose()
