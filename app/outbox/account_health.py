"""The health of channel accounts: when a provider last accepted something, and its last refusal."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from app.domain.messaging import channel_accounts
from app.outbox import engine

#: Each process stores a success at most once in this many seconds, and an error as often.
INTERVAL_SECONDS = 5.0

log = logging.getLogger("crm.messages")
_lock = threading.Lock()
_noted: dict[tuple[int, bool], float] = {}


def record_result(account_id: int, error: str | None) -> None:
    """Record that an account's provider accepted something (None), or an error.

    Never raises if the database is busy.
    """
    key, now = (account_id, error is None), time.monotonic()
    with _lock:
        if now - _noted.get(key, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return
        _noted[key] = now
    try:
        with engine.writing() as session:
            if error is None:
                channel_accounts.record_success(session, account_id, datetime.now(UTC))
            else:
                channel_accounts.record_error(session, account_id, error, datetime.now(UTC))
    except OperationalError:
        log.warning("the health of account %s could not be stored", account_id)


def forget() -> None:
    """Store the next result at once, because another database is used."""
    with _lock:
        _noted.clear()
