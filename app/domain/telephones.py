"""Telephones in the field: when each synced last, and what of it could not be taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    and_,
    case,
    delete,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.domain.call_parsing import PLACEHOLDERS, storable_text

#: One of the applications sends its newest fifty calls only; what lies before them is lost in the telephone.
NEWEST_ONLY = 50
#: What a telephone has not sent again for so long, it has forgotten.
KEEP_FOR = timedelta(days=30)
#: More of one person's records are not kept; the oldest go.
MAX_KEPT = 500
#: What the reading looks at; nothing else of a record is kept.
_READ = (
    "from",
    "to",
    "type",
    "status",
    "duration",
    "start_time",
    "end_time",
    "device_call_id",
    "native_call_type",
    "native_call_status",
    "native_duration",
    "contact_name",
    "method",
    "source",
)
_LONGEST = 200


class PhoneSync(Model):  # type: ignore[misc]
    """One employee's telephone; the lock of its row puts his batches in line."""

    __tablename__ = "phone_sync"
    __table_args__ = (UniqueConstraint("employee_id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    employee_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: When the newest batch came, UTC, whatever was in it.
    synced_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the newest call of all began, UTC.
    newest_call_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How many records, since the first batch.
    created: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    updated: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    duplicates: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    refused: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: What the application calls itself.
    agent: Mapped[str | None] = mapped_column(String(200))
    #: Between these moments (UTC) calls may be missing: the application sent its newest ones only.
    gap_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    gap_to: Mapped[datetime | None] = mapped_column(UtcDateTime)


class QuarantinedCall(Model):  # type: ignore[misc]
    """A record that can never be taken as it is: kept, shown to its person, and counted as dealt with."""

    __tablename__ = "quarantined_call"
    __table_args__ = (
        UniqueConstraint("employee_id", "fingerprint"),
        Index("ix_quarantined_call_last", "employee_id", "last_on"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    employee_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: Hash of the record: telephones send the same one each minute.
    fingerprint: Mapped[str] = mapped_column(String(64), nullable=False)
    #: What is wrong, for machines and for people.
    code: Mapped[str] = mapped_column(String(32), nullable=False)
    sentence: Mapped[str] = mapped_column(String(300), nullable=False)
    #: What the reading looks at of the record as it came; whatever is too long to be right is cut.
    raw: Mapped[Any] = mapped_column(JSON, nullable=False)
    first_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    last_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: How often it was sent.
    times: Mapped[int] = mapped_column(Integer, nullable=False, default=1, server_default="1")


# --- the telephone itself


def lock(session: Session, employee_id: int) -> frozenset[str]:
    """Put the batches of an employee in line until the commit; answers his own numbers, E.164.

    One statement, three for the very first batch. The sub-queries lock nothing: only the telephone's row is held.
    """
    own = [select(column).where(User.id == employee_id) for column in (User.mobile_e164, User.telephony_number)]
    query = select(*(each.scalar_subquery() for each in own)).where(PhoneSync.employee_id == employee_id)
    held = session.execute(query.select_from(PhoneSync).with_for_update()).first()
    if held is None:
        session.execute(_opened(session, employee_id))
        held = session.execute(select(*(each.scalar_subquery() for each in own))).one()
    return frozenset(number for number in held if number) - PLACEHOLDERS


def _opened(session: Session, employee_id: int) -> Any:
    """The first batch makes the row; where another one was faster, it waits for that one."""
    values = {"employee_id": employee_id, "created": 0, "updated": 0, "duplicates": 0, "refused": 0}
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(PhoneSync).values(values).on_conflict_do_nothing(index_elements=["employee_id"])
    return mysql.insert(PhoneSync).values(values).on_duplicate_key_update(employee_id=PhoneSync.employee_id)


@dataclass(frozen=True)
class SyncSummary:
    """What a batch was, for the telephone's row."""

    agent: str | None
    #: The status of each record, as callsync says it.
    told: Collection[str]
    #: When the calls of it began, UTC.
    moments: Collection[datetime]


def record_sync(session: Session, employee_id: int, came: SyncSummary, now: datetime) -> None:
    """Count the batch; one statement. A batch of the newest calls only that begins after all known ones left a gap."""
    held, first = PhoneSync, min(came.moments, default=None)
    names = {"created": "created", "updated": "updated", "duplicates": "duplicate", "refused": "error"}
    values: dict[str, Any] = {
        name: getattr(held, name) + list(came.told).count(status) for name, status in names.items()
    }
    if first is not None and len(came.told) >= NEWEST_ONLY:
        is_gap = and_(held.newest_call_on.is_not(None), held.newest_call_on < first)
        # An older gap that nobody has looked at stays a part of it.
        since = case((held.gap_from.is_(None), held.newest_call_on), else_=held.gap_from)
        values |= {
            "gap_from": case((is_gap, since), else_=held.gap_from),
            "gap_to": case((is_gap, literal(first, UtcDateTime)), else_=held.gap_to),
        }
    if first is not None:
        newest = literal(max(came.moments), UtcDateTime)
        is_newer = held.newest_call_on.is_(None) | (held.newest_call_on < newest)
        values["newest_call_on"] = case((is_newer, newest), else_=held.newest_call_on)
    values |= {"synced_on": now, "agent": (came.agent or "")[:200] or None}
    # MariaDB reads what the statement itself has set before: the newest call comes after the gap.
    step = update(held).where(held.employee_id == employee_id)
    step = step.ordered_values(*((getattr(held, name), value) for name, value in values.items()))
    session.execute(step, execution_options={"synchronize_session": False})


# --- what cannot be taken


def quarantine(session: Session, employee_id: int, refused: list[tuple[Any, str, str]], now: datetime) -> None:
    """Keep what cannot be taken: (record, code, sentence); one that came before is counted. Two statements."""
    if not refused:
        return
    rows: dict[str, dict[str, Any]] = {}
    for raw, code, sentence in refused:
        kept = _kept(raw)
        mark = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        rows[mark] = {
            "employee_id": employee_id,
            "fingerprint": mark,
            "code": code,
            "sentence": sentence[:300],
            "raw": kept,
            "first_on": now,
            "last_on": now,
            "times": 1,
        }
    session.execute(_counted(session), list(rows.values()))
    _forget(session, employee_id, now)


def _kept(raw: Any) -> Any:
    """The part of the record that the reading looks at, in signs that every database stores."""
    if not isinstance(raw, dict):
        return _scalar(raw)
    return {name: _scalar(raw[name]) for name in _READ if raw.get(name) is not None}


def _scalar(value: Any) -> Any:
    """A list stays a list, and so as wrong as it was; what is in it does not matter."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, str | int | float):
        return storable_text(str(value))[:_LONGEST]
    return [type(value).__name__]


def _counted(session: Session) -> Any:
    """One that came before is counted. Only columns behind ON DUPLICATE KEY: the driver takes no parameter there."""
    table: Any = QuarantinedCall.__table__
    if session.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(table)
        again = {"last_on": made.excluded.last_on, "times": table.c.times + made.excluded.times}
        return made.on_conflict_do_update(index_elements=["employee_id", "fingerprint"], set_=again)
    own = mysql.insert(table)
    return own.on_duplicate_key_update(last_on=own.inserted.last_on, times=table.c.times + own.inserted.times)


def _forget(session: Session, employee_id: int, now: datetime) -> None:
    """Keep no more than is needed: neither what is long past, nor more than anybody would look through."""
    kept = QuarantinedCall
    mine = kept.employee_id == employee_id
    oldest = select(kept.id).where(mine).order_by(kept.last_on.desc(), kept.id.desc()).offset(MAX_KEPT).limit(10**6)
    old = (kept.last_on < now - KEEP_FOR) | kept.id.in_(select(oldest.subquery().c.id))
    session.execute(delete(kept).where(mine, old), execution_options={"synchronize_session": False})
