"""A batch of calls: how many it may hold; stored whole or not at all, again when another transaction interferes."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import access
from app.domain.base import RuleBroken
from app.domain.telephony import call_sync
from app.domain.telephony.call_parsing import Telephone
from app.domain.telephony.call_sync import SyncedCallResult
from app.extensions import db
from app.ops.database.connections import WRITES
from app.web.core.viewer import Viewer

log = logging.getLogger("crm.telephones")

#: Attempts and seconds before the phone is asked to retry later.
MAX_ATTEMPTS, MAX_RETRY_SECONDS = 4, 5.0


class TemporarilyUnavailable(RuleBroken):
    """A temporary failure: nothing of the batch is stored, the same batch can be sent again (503)."""

    http_status = 503


class BatchTooLarge(RuleBroken):
    """The batch has more than `call_sync.MAX_BATCH` calls (413)."""

    http_status = 413


def refuse_too_large(records: list[Any]) -> None:
    """Raise BatchTooLarge for more calls than one request may send."""
    if len(records) > call_sync.MAX_BATCH:
        text = _("A batch holds at most %(most)s calls. Please send fewer at once.", most=call_sync.MAX_BATCH)
        raise BatchTooLarge(text)


def store(records: list[Any], viewer: Viewer, by_hand: bool = False) -> list[SyncedCallResult]:
    """Sync the person's batch and commit. Raises TemporarilyUnavailable when the database is busy or unreachable.

    `by_hand`: entered by a person, not sent by a phone.
    """
    began = time.monotonic()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return _sync_and_commit(records, viewer, by_hand, is_retry=attempt > 1)
        except SQLAlchemyError as error:
            db.session.rollback()
            why = getattr(error, "orig", None) or error
            log.warning("a batch of %s calls was not stored: %s %s", len(records), type(why).__name__, _code(error))
            if attempt == MAX_ATTEMPTS or time.monotonic() - began > MAX_RETRY_SECONDS:
                break
            time.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
            WRITES.set(True)
    raise TemporarilyUnavailable(
        _("Sync failed: the server is busy. Nothing was stored. Please send the same calls again.")
    )


def _code(error: SQLAlchemyError) -> Any:
    """The database's error number. Its text is not logged: it can contain personal data."""
    args = getattr(error.orig, "args", None) if isinstance(error, DBAPIError) else None
    return args[0] if args and isinstance(args[0], int) else ""


def _sync_and_commit(records: list[Any], viewer: Viewer, by_hand: bool, is_retry: bool) -> list[SyncedCallResult]:
    session = db.session()
    with access.as_system(session):  # a number is matched against all customers
        agent = request.user_agent.string[:200]
        telephone = Telephone(viewer.person.id, viewer.zone, agent=agent, is_by_hand=by_hand)
        results = call_sync.sync(session, telephone, records, viewer.now, is_retry)
        session.commit()
    return results
