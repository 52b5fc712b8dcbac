"""A batch of calls at a door: stored whole or not at all, tried again when another transaction was in the way."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import access
from app.domain import call_sync
from app.domain.base import RuleBroken
from app.domain.call_parsing import Telephone
from app.domain.call_sync import CallResult
from app.extensions import db
from app.ops.database import WRITES
from app.web.core.fields import Viewer

log = logging.getLogger("crm.telephones")

#: How often a batch is tried, and for how many seconds at most, before the telephone is asked to come again.
TRIES, PATIENCE_SECONDS = 4, 5.0


class TemporarilyUnavailable(RuleBroken):
    """A passing fault: nothing of the batch is stored, and the same batch will be taken later (503)."""

    http_status = 503


def store(records: list[Any], viewer: Viewer, by_hand: bool = False) -> list[CallResult]:
    """Sync the person's batch and commit. Raises ComeAgain when the database is busy or away.

    `by_hand`: it does not come from the telephone.
    """
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return _stored(records, viewer, by_hand)
        except SQLAlchemyError as error:
            db.session.rollback()
            why = getattr(error, "orig", None) or error
            log.warning("a batch of %s calls was not stored: %s %s", len(records), type(why).__name__, _code(error))
            if attempt == TRIES or time.monotonic() - began > PATIENCE_SECONDS:
                break
            time.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
            WRITES.set(True)
    raise TemporarilyUnavailable(
        _("Sync failed: the server is busy. Nothing was stored. Please send the same calls again.")
    )


def _code(error: SQLAlchemyError) -> Any:
    """The database's number; its text may hold what people said."""
    said = getattr(error.orig, "args", None) if isinstance(error, DBAPIError) else None
    return said[0] if said and isinstance(said[0], int) else ""


def _stored(records: list[Any], viewer: Viewer, by_hand: bool) -> list[CallResult]:
    held = db.session()
    with access.as_system(held):  # to whom a number belongs is asked of all customers
        agent = request.user_agent.string[:200]
        telephone = Telephone(viewer.person.id, viewer.zone, agent=agent, is_by_hand=by_hand)
        results = call_sync.sync(held, telephone, records, viewer.now)
        held.commit()
    return results
