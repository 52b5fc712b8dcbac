"""Finds the calls in a telephone's batch that were stored before, or that occur earlier in the batch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import ColumnElement, Text, and_, bindparam, literal, not_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from app.domain import address_hashes
from app.domain.persistence import system_statements
from app.domain.telephony import calls
from app.domain.telephony.call_parsing import ParsedCall, Telephone, call_status, other_number, other_party
from app.domain.telephony.calls import CallLog


@dataclass
class KnownCall:
    """A call that is stored already, or comes earlier in this batch."""

    #: None = not stored yet.
    id: int | None
    device_call_id: str
    direction: str
    duration_seconds: int
    ended_on: datetime | None
    #: Parsed, or JSON that isn't parsed yet.
    native: dict[str, Any] | str
    #: When it began, as stored.
    started_on: datetime
    #: Whether it was erased: nothing is added to it.
    is_erased: bool = False

    @classmethod
    def of(cls, call: ParsedCall) -> KnownCall:
        """A call that is in no other record yet."""
        return cls(
            None,
            call.device_call_id,
            call.direction,
            call.duration_seconds,
            call.ended_on,
            call.native,
            call.started_on,
        )

    def merge(self, call: ParsedCall) -> bool:
        """Merge the record into this call. Returns whether it adds anything.

        Telephones record a call while it is in progress, and each app knows different details. The longest talk, the
        latest end and a known direction win, in whatever order the records come.
        """
        if self.is_erased:
            return False
        before = (self.direction, self.duration_seconds, self.ended_on)
        self.direction = call.direction if self.direction == "Unknown" else self.direction
        self.duration_seconds = max(call.duration_seconds, self.duration_seconds)
        self.ended_on = max(call.ended_on, self.ended_on or call.ended_on)
        known = json.loads(self.native) if isinstance(self.native, str) else self.native
        self.native = call.native | known | {"duration": call.native["duration"]}
        return before != (self.direction, self.duration_seconds, self.ended_on)

    def copy_to(self, call: ParsedCall) -> None:
        """Copy everything known about the call to the record that will be written."""
        call.direction, call.duration_seconds = self.direction, self.duration_seconds
        call.ended_on, call.native = self.ended_on or call.ended_on, cast(dict[str, Any], self.native)
        call.status = call_status(self.direction, bool(self.duration_seconds))


#: In place of the other party of an erased call. Nobody has two calls that begin in the same second.
ERASED = "erased"
_ERASED = json.dumps(calls.ERASED)
#: A stored call, as read by `read`.
Row = tuple[Any, ...]


def read(session: Session, employee_id: int, calls: list[ParsedCall]) -> list[Row]:
    """The employee's stored calls that may be among these, in one statement; a row may occur twice.

    Two statements if the employee may have erased calls: their ids are hashed only then.
    """
    if not calls:
        return []
    seconds = [call.started_on.replace(microsecond=0) for call in calls]
    first, end = min(seconds), max(seconds) + timedelta(seconds=1)
    values: dict[str, Any] = {
        "employee": employee_id,
        "names": sorted({call.device_call_id for call in calls}),
        "first": first,
        "end": end,
    }
    if end - first <= _SHORT:
        query = _query()
    else:
        numbers = {call.other_e164 for call in calls}
        values |= {"numbers": sorted(filter(None, numbers))} if numbers != {None} else {}
        query = _query(numbers != {None}, None in numbers)
    rows = system_statements.rows(session, query, values)
    # Not only those of the form of a hash: of all that begin like one, any stands for the others.
    if not any(row[1].startswith(address_hashes.PREFIX) for row in rows):
        return rows
    # Erased calls have the hash of the telephone's id.
    names = address_hashes.ids_known_as(session, values["names"])
    hashes = {"employee": employee_id, "names": [each for each in names if each not in values["names"]]}
    rows += system_statements.rows(session, _named_query(), hashes)
    return [(row[0], names.get(row[1], row[1]), *row[2:]) for row in rows]


def by_keys(rows: Iterable[Row], telephone: Telephone) -> tuple[dict[str, KnownCall], dict[Any, KnownCall]]:
    """The calls by the telephone's id and by natural key; one object per call, however many rows it came in."""
    by_id: dict[str, KnownCall] = {}
    by_natural_key: dict[Any, KnownCall] = {}
    for *columns, from_number, to_number, other_e164 in rows:
        found = KnownCall(*columns)
        found.is_erased = found.native == _ERASED
        known = by_id.setdefault(found.device_call_id, found)
        if known.is_erased:
            by_natural_key[ERASED, found.started_on.replace(microsecond=0)] = known
            continue
        party = other_e164 or other_party(other_number(found.direction, from_number or "", to_number or "", telephone))
        by_natural_key[party, found.started_on.replace(microsecond=0)] = known
    return by_id, by_natural_key


#: A person has so few calls in this time that reading all of them costs less than looking up each number.
_SHORT = timedelta(hours=12)


@lru_cache
def _query(has_numbers: bool | None = None, has_unknown: bool = False) -> Any:
    """SELECT of the `employee`'s calls with these `names`, of those between `first` and `end`, and of one erased call.

    `has_numbers`: of the latter, only those with the `numbers`; `has_unknown`: also those without a number. Cached:
    building it costs more than sending it.
    """
    within = and_(CallLog.started_on >= bindparam("first"), CallLog.started_on < bindparam("end"))
    named = _is_named()
    rules: list[ColumnElement[bool]] = [named]
    if has_numbers is None:
        rules = [and_(named, not_(within)), within]  # most are repeated, and each is read once
    if has_numbers:
        rules.append(and_(CallLog.other_e164.in_(bindparam("numbers", expanding=True)), within))
    if has_unknown:
        rules.append(and_(CallLog.other_e164.is_(None), within))
    # One statement with one index per branch: an OR would read all calls of the employee.
    return union_all(*(_calls_where(each) for each in (*rules, CallLog.id == _an_erased_call())))


@lru_cache
def _named_query() -> Any:
    """SELECT of the `employee`'s calls with these `names`."""
    return _calls_where(_is_named())


def _calls_where(rule: ColumnElement[bool]) -> Any:
    columns = (
        CallLog.id,
        CallLog.device_call_id,
        CallLog.direction,
        CallLog.duration_seconds,
        CallLog.ended_on,
        type_coerce(CallLog.native, Text),
        CallLog.started_on,
        CallLog.from_number,
        CallLog.to_number,
        CallLog.other_e164,
    )
    return select(*columns).where(_is_own(), CallLog.device_call_id.is_not(None), rule)


def _is_own() -> ColumnElement[bool]:
    return CallLog.employee_id == bindparam("employee")


def _is_named() -> ColumnElement[bool]:
    return CallLog.device_call_id.in_(bindparam("names", expanding=True))


def _an_erased_call() -> Any:
    """The id of one of the `employee`'s calls whose telephone's id begins like a hash, if they have any: few do."""
    begins = literal(address_hashes.PREFIX, CallLog.device_call_id.type)
    after = literal(chr(ord(address_hashes.PREFIX) + 1), CallLog.device_call_id.type)
    hashed = and_(CallLog.device_call_id >= begins, CallLog.device_call_id < after)
    return select(CallLog.id).where(_is_own(), hashed).limit(1).scalar_subquery()
