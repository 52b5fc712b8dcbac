"""Storing a batch of a telephone's calls: a few statements whatever its size, and no change when it comes again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import ColumnElement, Text, and_, bindparam, select, type_coerce, union_all
from sqlalchemy.orm import Session

from app.domain import (
    bulk,
    call_matching,
    call_rollups,
    change_events,
    compiled_texts,
    notices,
    sla,
    telephones,
    timeline,
)
from app.domain.call_matching import CallTarget
from app.domain.call_parsing import (
    ParsedCall,
    Telephone,
    UnreadableCall,
    call_status,
    other_number,
    other_party,
    parse_call,
    storable_text,
)
from app.domain.calls import CallLog, timeline_payload
from app.domain.leads import Lead
from app.domain.tickets import Ticket

#: Calls in one batch.
MAX_BATCH = 1000
#: Older missed calls notify nobody: a new telephone sends its old calls first.
NOTIFY_WITHIN = timedelta(hours=12)


@dataclass
class CallResult:
    """The result for one record of the batch."""

    index: int
    device_call_id: str
    #: created, updated, duplicate or error.
    status: str
    #: Key of the call; None for an error.
    call_id: int | None = None
    code: str | None = None
    sentence: str | None = None


@dataclass
class Batch:
    """The records of one batch, and their results."""

    telephone: Telephone
    now: datetime
    calls: list[ParsedCall] = field(default_factory=list)
    #: Record, code and text of those that cannot be parsed.
    rejected: list[tuple[Any, str, str]] = field(default_factory=list)
    #: By index.
    results: dict[int, CallResult] = field(default_factory=dict)


def sync(session: Session, telephone: Telephone, records: list[Any], now: datetime) -> list[CallResult]:
    """Store a batch of at most MAX_BATCH records; the caller commits. Returns one result per record, in order.

    A record that cannot be parsed is quarantined, with an error as its result. Any other failure raises, and nothing
    of the batch is stored. Raises ValueError for a batch that is too long.
    """
    if len(records) > MAX_BATCH:
        raise ValueError(f"more than {MAX_BATCH} calls in one batch")
    own_numbers = telephone.own_numbers | telephones.own_numbers(session, telephone.employee_id)
    batch = Batch(replace(telephone, own_numbers=own_numbers), now)
    for index, raw in enumerate(records):
        _parse(batch, index, raw)
    telephones.lock(session, telephone.employee_id)  # after the parsing, which nobody needs to wait for
    _store(session, batch)
    results = [batch.results[index] for index in range(len(records))]
    if not telephone.is_by_hand:
        _record_sync(session, batch, results)
    return results


def _record_sync(session: Session, batch: Batch, results: list[CallResult]) -> None:
    """Record that the telephone has synced, and quarantine the rejected records."""
    employee_id, agent = batch.telephone.employee_id, batch.telephone.agent
    telephones.quarantine(session, employee_id, batch.rejected, batch.now)
    statuses, started_on = [result.status for result in results], [call.started_on for call in batch.calls]
    telephones.record_sync(session, employee_id, telephones.SyncSummary(agent, statuses, started_on), batch.now)


def _parse(batch: Batch, index: int, raw: Any) -> None:
    try:
        batch.calls.append(parse_call(index, raw, batch.telephone, batch.now))
    except UnreadableCall as error:
        sent_id = raw.get("device_call_id") if isinstance(raw, dict) else None
        device_call_id = storable_text(str(sent_id))[:120] if isinstance(sent_id, str | int) else ""
        batch.rejected.append((raw, error.code, error.sentence))
        batch.results[index] = CallResult(index, device_call_id, "error", None, error.code, error.sentence)


# --- New, known and updated calls


@dataclass
class _KnownCall:
    """A call that is stored already, or comes earlier in this batch."""

    id: int | None
    device_call_id: str
    direction: str
    duration_seconds: int
    ended_on: datetime | None
    #: As JSON, if it was read.
    native: dict[str, Any] | str
    #: When it began, as it is stored.
    started_on: datetime

    def merge(self, call: ParsedCall) -> bool:
        """Merge the record into this call. Returns whether it adds anything.

        Telephones record a call while it goes on, and each app knows something else about it. The longest talk, the
        latest end and a known direction win, in whatever order the records come.
        """
        before = (self.direction, self.duration_seconds, self.ended_on)
        self.direction = call.direction if self.direction == "Unknown" else self.direction
        self.duration_seconds = max(call.duration_seconds, self.duration_seconds)
        self.ended_on = max(call.ended_on, self.ended_on or call.ended_on)
        known = json.loads(self.native) if isinstance(self.native, str) else self.native
        self.native = call.native | known | {"duration": call.native["duration"]}
        return before != (self.direction, self.duration_seconds, self.ended_on)

    def copy_to(self, call: ParsedCall) -> None:
        """Give the record that will be written everything that is known about the call."""
        call.direction, call.duration_seconds = self.direction, self.duration_seconds
        call.ended_on, call.native = self.ended_on or call.ended_on, cast(dict[str, Any], self.native)
        call.status = call_status(self.direction, bool(self.duration_seconds))


def _store(session: Session, batch: Batch) -> None:
    if not batch.calls:
        return
    by_id, by_natural_key = _known_calls(session, batch)
    to_write: dict[str, ParsedCall] = {}
    moments: list[datetime] = []
    for call in batch.calls:
        key = call.natural_key
        known = by_id.get(call.device_call_id) or by_natural_key.get(key)
        status = "created" if known is None else "updated" if known.merge(call) else "duplicate"
        batch.results[call.index] = CallResult(call.index, call.device_call_id, status, known.id if known else None)
        known = known or _KnownCall(
            None,
            call.device_call_id,
            call.direction,
            call.duration_seconds,
            call.ended_on,
            call.native,
            call.started_on,
        )
        # A later record of the batch may be the same call, by either key.
        by_id.setdefault(call.device_call_id, known)
        by_natural_key.setdefault(key, known)
        call.device_call_id = known.device_call_id
        if status != "duplicate":
            moments.append(known.started_on)
            known.copy_to(to_write.setdefault(known.device_call_id, call))
    call_rollups.mark_changed(session, moments)
    if to_write:
        _write(session, batch, to_write)


def _known_calls(session: Session, batch: Batch) -> tuple[dict[str, _KnownCall], dict[Any, _KnownCall]]:
    """The employee's stored calls that the batch may contain, by the telephone's id and by natural key."""
    seconds = [call.started_on.replace(microsecond=0) for call in batch.calls]
    first, end = min(seconds), max(seconds) + timedelta(seconds=1)
    values: dict[str, Any] = {
        "employee": batch.telephone.employee_id,
        "names": sorted({call.device_call_id for call in batch.calls}),
        "first": first,
        "end": end,
    }
    if end - first <= _SHORT:
        query = _known_calls_query()
    else:
        numbers = {call.other_e164 for call in batch.calls}
        values |= {"numbers": sorted(filter(None, numbers))} if numbers != {None} else {}
        query = _known_calls_query(numbers != {None}, None in numbers)
    by_id: dict[str, _KnownCall] = {}
    by_natural_key: dict[Any, _KnownCall] = {}
    for *columns, from_number, to_number, other_e164 in compiled_texts.rows(session, query, values):
        found = _KnownCall(*columns)
        known = by_id.setdefault(found.device_call_id, found)
        party = other_e164 or other_party(
            other_number(found.direction, from_number or "", to_number or "", batch.telephone)
        )
        by_natural_key[party, found.started_on.replace(microsecond=0)] = known
    return by_id, by_natural_key


#: A person has so few calls in this time that all of them are read, which costs less than to ask for each number.
_SHORT = timedelta(hours=12)


@lru_cache
def _known_calls_query(has_numbers: bool | None = None, has_unknown: bool = False) -> Any:
    """SELECT of the `employee`'s calls with these `names`, and of those between `first` and `end`.

    `has_numbers`: of the latter only those with the `numbers`; `has_unknown`: also those without a number.
    Made once: making it costs more than sending it.
    """
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
    within = and_(CallLog.started_on >= bindparam("first"), CallLog.started_on < bindparam("end"))
    rules: list[ColumnElement[bool]] = [CallLog.device_call_id.in_(bindparam("names", expanding=True))]
    if has_numbers is None:
        rules.append(within)
    if has_numbers:
        rules.append(and_(CallLog.other_e164.in_(bindparam("numbers", expanding=True)), within))
    if has_unknown:
        rules.append(and_(CallLog.other_e164.is_(None), within))
    is_own = CallLog.employee_id == bindparam("employee")
    # One statement with one index per branch: an OR would read all calls of the employee.
    return union_all(*(select(*columns).where(is_own, CallLog.device_call_id.is_not(None), each) for each in rules))


# --- Writing


def _write(session: Session, batch: Batch, to_write: dict[str, ParsedCall]) -> None:
    targets = call_matching.match(session, batch.telephone.employee_id, list(to_write.values()))
    # Before the rows: their foreign keys lock the leads, and two batches that then want to write these would deadlock.
    _record_first_replies(session, to_write, targets)
    stored = _insert(session, batch, to_write, targets)
    for call in batch.calls:
        result = batch.results[call.index]
        result.call_id = result.call_id or stored[call.device_call_id]
    written = [batch.results[call.index] for call in to_write.values()]
    events = {result.call_id or 0: "created" if result.status == "created" else "changed" for result in written}
    change_events.record_events(session, "call_log", events)
    new = {call.device_call_id for call in batch.calls if batch.results[call.index].status == "created"}
    created = [(stored[name], call, targets[call.index]) for name, call in to_write.items() if name in new]
    _write_timelines(session, batch, created)
    for ids in {(each.lead_id, each.ticket_id, each.customer_id) for each in targets.values()}:
        timeline.mark_changed(session, *ids)
    _notify_missed(session, batch, created)


#: The columns of a stored call that a later record of it may change.
_UPDATED = ("direction", "status", "ended_on", "duration_seconds", "native", "changed_on", "changed_by_id")


def _insert(
    session: Session, batch: Batch, to_write: dict[str, ParsedCall], targets: dict[int, CallTarget]
) -> dict[str, int]:
    """Write the rows. Returns the telephone's id -> our id."""
    same = _shared_columns(batch)
    rows = [same | _row(call, targets[call.index]) for call in to_write.values()]
    stored = bulk.insert_returning(
        session,
        CallLog,
        rows,
        ("device_call_id", "id", "started_on"),
        unique=("employee_id", "device_call_id"),
        update=_UPDATED,
    )
    # As stored: another request may have stored one of them first.
    call_rollups.mark_changed(session, [started_on for _name, _key, started_on in stored])
    return {str(name): key for name, key, _started_on in stored}


def _record_first_replies(session: Session, calls: dict[str, ParsedCall], targets: dict[int, CallTarget]) -> None:
    """Count a talk with the customer as the first reply of the lead and the ticket; a voicemail is none."""
    first: dict[str, dict[int, datetime]] = {"lead": {}, "ticket": {}}
    for call in calls.values():
        if call.status == "Completed" and call.direction != "Unknown":
            for kind, key in targets[call.index].awaiting_reply:
                first[kind][key] = min(call.started_on, first[kind].get(key, call.started_on))
    sla.record_first_replies(session, Lead, first["lead"])
    sla.record_first_replies(session, Ticket, first["ticket"])


def _shared_columns(batch: Batch) -> dict[str, Any]:
    """The columns that all rows of the batch share."""
    by, now = batch.telephone.employee_id, batch.now
    return {
        "employee_id": by,
        "medium": "mobile",
        "cold": False,
        "linked": False,
        "created_on": now,
        "changed_on": now,
        "created_by_id": by,
        "changed_by_id": by,
    }


def _row(call: ParsedCall, target: CallTarget) -> dict[str, Any]:
    return {
        "device_call_id": call.device_call_id,
        "direction": call.direction,
        "status": call.status,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "other_e164": call.other_e164,
        "started_on": call.started_on,
        "ended_on": call.ended_on,
        "duration_seconds": call.duration_seconds,
        "native": call.native,
        "customer_id": target.customer_id,
        "lead_id": target.lead_id,
        "ticket_id": target.ticket_id,
    }


#: Id, record and target of a call that was not stored before.
_CreatedCall = tuple[int, ParsedCall, CallTarget]


def _write_timelines(session: Session, batch: Batch, created: list[_CreatedCall]) -> None:
    """Write one line per new call to the timelines it belongs to, at the moment of the call."""
    lines = [
        {
            "kind": "call",
            "at": call.started_on,
            "actor_id": batch.telephone.employee_id,
            "payload": timeline_payload(call, call_id),
            **target.as_columns(),
        }
        for call_id, call, target in created
        if target.is_matched
    ]
    bulk.insert_rows(session, timeline.Activity, lines)


def _notify_missed(session: Session, batch: Batch, created: list[_CreatedCall]) -> None:
    """Notify whoever is responsible for a customer whose recent call was missed."""
    events = [
        notices.NoticeEvent(
            "missed_call",
            f"missed_call:{call_id}",
            target.responsible,
            {"number": target.number, "call": call_id},
            {"task_id": None, **target.as_columns()},
        )
        for call_id, call, target in created
        if call.status == "Missed Call" and target.responsible and batch.now - call.started_on < NOTIFY_WITHIN
    ]
    if events:
        notices.notify_many(session, events, batch.now)
