"""Employees' telephones: when each last synced, and the call records that were rejected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
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
    bindparam,
    case,
    delete,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.domain.persistence import bulk_statements, system_statements
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.telephony.call_parsing import PLACEHOLDERS, storable_text

#: One of the apps sends at most its newest fifty calls; older ones stay on the telephone.
NEWEST_ONLY = 50
#: Rejected records stored per employee; surplus ones are deleted at once, old ones by `retention`.
MAX_KEPT = 500
#: The fields that parsing reads; a rejected record is stored without any others.
_PARSED_FIELDS = (
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
_MAX_TEXT = 200


class PhoneSync(Model):  # type: ignore[misc]
    """One employee's telephone; its row lock serialises batches of the same employee."""

    __tablename__ = "phone_sync"
    __table_args__ = (UniqueConstraint("employee_id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    employee_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: When the latest batch arrived, UTC, whatever its contents.
    synced_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the newest call started, UTC.
    newest_call_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Numbers of records since the first batch.
    created: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    updated: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    duplicates: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    refused: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: Number of batches stored, including manual retries; each is counted under the row's lock.
    batches: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: The app's User-Agent.
    agent: Mapped[str | None] = mapped_column(String(200))
    #: Between these moments (UTC) calls may be missing, because the app sent only its newest ones.
    gap_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    gap_to: Mapped[datetime | None] = mapped_column(UtcDateTime)


class QuarantinedCall(Model):  # type: ignore[misc]
    """A record that can't be parsed. It is stored, so the telephone need not send it again."""

    __tablename__ = "quarantined_call"
    __table_args__ = (
        UniqueConstraint("employee_id", "fingerprint"),
        Index("ix_quarantined_call_last", "employee_id", "last_on"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    employee_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: Hash of the record: telephones send the same one every minute.
    fingerprint: Mapped[str] = mapped_column(String(64), nullable=False)
    #: What is wrong: a code, and a text for users.
    code: Mapped[str] = mapped_column(String(32), nullable=False)
    sentence: Mapped[str] = mapped_column(String(300), nullable=False)
    #: The fields that parsing reads, as received; texts too long to be valid are cut.
    raw: Mapped[Any] = mapped_column(JSON, nullable=False)
    first_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    last_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: How often it was sent.
    times: Mapped[int] = mapped_column(Integer, nullable=False, default=1, server_default="1")


# --- the telephone


@dataclass(frozen=True)
class Profile:
    """What a batch needs to know about its employee."""

    #: Their own numbers in E.164, from their profile.
    numbers: frozenset[str]
    #: Number of batches stored; 0 before the first.
    batches: int


def profile(session: Session, employee_id: int) -> Profile:
    """The employee's numbers and the number of their batches, in one statement."""
    found = system_statements.rows(session, _profile_query(), {"employee": employee_id})
    numbers = frozenset(number for *numbers, _batches in found for number in numbers if number)
    return Profile(numbers - PLACEHOLDERS, found[0][-1] or 0 if found else 0)


@lru_cache
def _profile_query() -> Any:
    columns = (User.mobile_e164, User.telephony_number, PhoneSync.batches)
    query = select(*columns).outerjoin(PhoneSync, PhoneSync.employee_id == User.id)
    return query.where(User.id == bindparam("employee"))


def lock(session: Session, employee_id: int) -> int:
    """Block other batches of the employee until the commit. Returns the number of batches stored.

    One statement, two for the very first batch. Data read earlier is still valid if `profile` returned the same number.
    """
    found = system_statements.rows(session, _locking_query(), {"employee": employee_id})
    if not found:
        row = {"employee_id": employee_id} | dict.fromkeys((*_COUNTED, "batches"), 0)
        key = ("employee_id",)  # an update without effect of a row that another batch has inserted meanwhile
        plan = InsertPlan(unique=key, update=key, returning=("batches",))
        insertion = bulk_statements.insertion(session, PhoneSync, [row], plan)
        found = bulk_statements.send_insertion(session, insertion)
    return int(found[0][0])


@lru_cache
def _locking_query() -> Any:
    return select(PhoneSync.batches).where(PhoneSync.employee_id == bindparam("employee")).with_for_update()


def count_batch(session: Session, employee_id: int) -> None:
    """Count a change that isn't a sync of the telephone, so that a batch prepared before it is prepared again."""
    system_statements.run(session, _counting(), {"employee": employee_id})


@lru_cache
def _counting() -> Any:
    counted = update(PhoneSync).values(batches=PhoneSync.batches + 1)
    return counted.where(PhoneSync.employee_id == bindparam("employee"))


@dataclass(frozen=True)
class SyncSummary:
    """The summary of a batch for the telephone's row."""

    agent: str | None
    #: The status of each record: created, updated, duplicate or error.
    statuses: Collection[str]
    #: When its calls started, UTC.
    started_on: Collection[datetime]


_COUNTED = {"created": "created", "updated": "updated", "duplicates": "duplicate", "refused": "error"}


def record_sync(session: Session, employee_id: int, batch: SyncSummary, now: datetime) -> None:
    """Add a batch to the telephone's row, in one statement.

    There is a gap if the app sent only its newest calls and all of them are newer than the known ones.
    """
    statuses = list(batch.statuses)
    values: dict[str, Any] = {f"more_{name}": statuses.count(status) for name, status in _COUNTED.items()}
    values |= {"employee": employee_id, "now": now, "by_agent": (batch.agent or "")[:200] or None}
    may_have_gap = bool(batch.started_on) and len(statuses) >= NEWEST_ONLY
    if batch.started_on:
        values["newest"] = max(batch.started_on)
    if may_have_gap:
        values["first"] = min(batch.started_on)
    system_statements.run(session, _recording(bool(batch.started_on), may_have_gap), values)


@lru_cache
def _recording(has_calls: bool, may_have_gap: bool) -> Any:
    """The UPDATE of the telephone's row; built once."""
    row = PhoneSync
    values: dict[str, Any] = {name: getattr(row, name) + bindparam(f"more_{name}", type_=Integer) for name in _COUNTED}
    if may_have_gap:
        first = bindparam("first", type_=UtcDateTime)
        is_gap = and_(row.newest_call_on.is_not(None), row.newest_call_on < first)
        # An earlier gap becomes part of the new one.
        since = case((row.gap_from.is_(None), row.newest_call_on), else_=row.gap_from)
        values |= {
            "gap_from": case((is_gap, since), else_=row.gap_from),
            "gap_to": case((is_gap, first), else_=row.gap_to),
        }
    if has_calls:
        newest = bindparam("newest", type_=UtcDateTime)
        is_newer = row.newest_call_on.is_(None) | (row.newest_call_on < newest)
        values["newest_call_on"] = case((is_newer, newest), else_=row.newest_call_on)
    values |= {"synced_on": bindparam("now", type_=UtcDateTime), "agent": bindparam("by_agent", type_=String)}
    values["batches"] = row.batches + 1
    # MariaDB reads values that the same statement has set already, so the newest call is set after the gap.
    statement = update(row).where(row.employee_id == bindparam("employee"))
    return statement.ordered_values(*((getattr(row, name), value) for name, value in values.items()))


# --- rejected records


def quarantine(session: Session, employee_id: int, rejected: list[tuple[Any, str, str]], now: datetime) -> None:
    """Store rejected records (record, code, text); known ones are counted. Two statements."""
    if not rejected:
        return
    rows: dict[str, dict[str, Any]] = {}
    for raw, code, sentence in rejected:
        kept = _kept(raw)
        fingerprint = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        rows[fingerprint] = {
            "employee_id": employee_id,
            "fingerprint": fingerprint,
            "code": code,
            "sentence": sentence[:300],
            "raw": kept,
            "first_on": now,
            "last_on": now,
            "times": 1,
        }
    times = QuarantinedCall.__table__.c.times
    keys = ("employee_id", "fingerprint")
    statement = bulk_statements.upsert(
        session, QuarantinedCall, keys, lambda new: {"last_on": new.last_on, "times": times + new.times}
    )
    session.execute(statement, list(rows.values()))
    _delete_surplus(session, employee_id)


def _kept(raw: Any) -> Any:
    """The fields of the record that parsing reads, in characters that every database can store."""
    if not isinstance(raw, dict):
        return _scalar(raw)
    return {name: _scalar(raw[name]) for name in _PARSED_FIELDS if raw.get(name) is not None}


def _scalar(value: Any) -> Any:
    """The value in a form that can be stored; a list or object stays invalid, but its content is dropped."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, str | int | float):
        return storable_text(str(value))[:_MAX_TEXT]
    return [type(value).__name__]


def _delete_surplus(session: Session, employee_id: int) -> None:
    """Delete the oldest records above MAX_KEPT."""
    call = QuarantinedCall
    is_own = call.employee_id == employee_id
    surplus = select(call.id).where(is_own).order_by(call.last_on.desc(), call.id.desc()).offset(MAX_KEPT).limit(10**6)
    is_too_much = call.id.in_(select(surplus.subquery().c.id))
    session.execute(delete(call).where(is_own, is_too_much), execution_options={"synchronize_session": False})
