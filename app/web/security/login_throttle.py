"""Failed sign-ins are counted per name in the database, so that all processes share the growing delay."""

from __future__ import annotations

import hashlib
import math
import time
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.people.authentication import FAILED_LOGINS_KEPT_FOR
from app.models import FailedLogin
from app.web.core.request_transaction import request_transaction

#: Attempts before the first delay.
FREE_ATTEMPTS = 5
#: The delay doubles from one minute up to this many.
MAX_DELAY_MINUTES = 15
#: How long an attempt being checked holds back the next one after FREE_ATTEMPTS, and how long that one waits.
CHECK_TIME, WAIT_SECONDS, LOOK_SECONDS = timedelta(seconds=10), 5.0, 0.1


class Locked(RuleBroken):
    """Too many failed attempts (429); `seconds` is how long to wait."""

    #: Whether earlier attempts are still being checked: a correct one lifts the lock.
    is_provisional = False

    def __init__(self, until: datetime, now: datetime) -> None:
        self.seconds = max(1, math.ceil((until - now).total_seconds()))
        at = until.astimezone(ZoneInfo(current_app.config["CRM"].time_zone)).strftime("%H:%M:%S")
        super().__init__(_("Too many failed attempts. Please try again at %(time)s.", time=at))


def normalize(name: str) -> str:
    """The name without surrounding blanks, lower-cased."""
    return name.strip().casefold()


def counter(about: str) -> str:
    """The name of a count of something else than sign-ins; nobody can be called so, or sign in with such a name."""
    return f"\0{about}"


def count_attempt(name: str, now: datetime) -> None:
    """Count an attempt that has failed, or counts as failed unless `reset` follows. Raises Locked."""
    _count(name, now, is_checked=True)


def begin_attempt(name: str, now: datetime) -> None:
    """Count an attempt *before* it is checked, so that a hundred at once do not all pass; `reset` or `fail` follows.

    Waits while others are being checked: correct ones do not use up anybody's attempts. Raises Locked.
    """
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            _count(name, now, is_checked=False)
        except Locked as locked:
            if not locked.is_provisional or time.monotonic() > give_up_at:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return


def fail(session: Session, name: str) -> None:
    """Record a wrong password: start the delay, if there were enough attempts."""
    row = session.scalars(select(FailedLogin).where(FailedLogin.name_hash == _key(name)).with_for_update()).first()
    if row is not None and row.count >= FREE_ATTEMPTS:
        row.locked_until = row.last_on + delay(row.count)


def _count(name: str, now: datetime, is_checked: bool) -> None:
    with request_transaction() as session:
        row = _locked_row(session, name, now)
        if row.locked_until is not None and row.locked_until > now:
            locked = Locked(row.locked_until, now)
            locked.is_provisional = row.locked_until - row.last_on <= CHECK_TIME
            raise locked
        if now - row.last_on > FAILED_LOGINS_KEPT_FOR:
            row.count = 0
        row.count, row.last_on = row.count + 1, now
        wait = delay(row.count) if is_checked else CHECK_TIME
        row.locked_until = now + wait if row.count >= FREE_ATTEMPTS else None


def delay(attempts: int) -> timedelta:
    """1, 2, 4, 8, 15 minutes after the fifth, sixth … failed attempt."""
    return timedelta(minutes=min(2 ** min(attempts - FREE_ATTEMPTS, 10), MAX_DELAY_MINUTES))


def reset(session: Session, name: str) -> None:
    """Delete the count of this name, after a correct password."""
    session.execute(delete(FailedLogin).where(FailedLogin.name_hash == _key(name)))


def _key(name: str) -> str:
    return hashlib.sha256(normalize(name).encode("utf-8", "surrogatepass")).hexdigest()


def _locked_row(session: Session, name: str, now: datetime) -> FailedLogin:
    values: dict[str, Any] = {"name_hash": _key(name), "count": 0, "last_on": now}
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(FailedLogin).values(**values).on_conflict_do_nothing())
    else:
        # Takes the row's lock at once; INSERT IGNORE would share it, and two attempts would deadlock.
        session.execute(
            mysql.insert(FailedLogin).values(**values).on_duplicate_key_update(name_hash=values["name_hash"])
        )
    query = select(FailedLogin).where(FailedLogin.name_hash == values["name_hash"]).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one()
