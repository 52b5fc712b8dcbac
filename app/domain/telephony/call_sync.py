"""Stores a batch of a telephone's calls in a few statements whatever its size. Sending it again changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import RECORD_COLUMNS
from app.domain.leads import Lead
from app.domain.persistence import bulk_statements, change_events, record_locks
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.telephony import call_deduplication, call_matching, call_rollups, missed_calls, telephones
from app.domain.telephony.call_deduplication import ERASED, KnownCall
from app.domain.telephony.call_matching import CallTarget
from app.domain.telephony.call_parsing import ParsedCall, Telephone, UnreadableCall, parse_call, storable_text
from app.domain.telephony.calls import CallLog, timeline_payload
from app.domain.telephony.missed_calls import MissedCall
from app.domain.tickets import Ticket
from app.domain.working_time import sla

#: Tables of the records of a call -> its column; and how often a batch is prepared again because one was merged.
_TABLES, _MERGES = {name: RECORD_COLUMNS[name] for name in ("leads", "ticket", "customer")}, 3
#: Calls in one batch.
MAX_BATCH = 1000
#: Older missed calls notify nobody: a new telephone sends its old calls first.
NOTIFY_WITHIN = timedelta(hours=12)


@dataclass
class SyncedCallResult:
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
    """The records of one batch, their results, and what to write."""

    telephone: Telephone
    now: datetime
    calls: list[ParsedCall] = field(default_factory=list)
    #: Record, code and text of records that can't be parsed.
    rejected: list[tuple[Any, str, str]] = field(default_factory=list)
    #: By index.
    results: dict[int, SyncedCallResult] = field(default_factory=dict)
    #: The stored calls on which the results are based.
    known: list[call_deduplication.Row] = field(default_factory=list)
    #: New and updated calls, by the telephone's id.
    to_write: dict[str, ParsedCall] = field(default_factory=dict)
    #: When these began, as stored.
    moments: list[datetime] = field(default_factory=list)
    #: By index; for the calls in `to_write`.
    targets: dict[int, CallTarget] = field(default_factory=dict)
    #: The rows of `to_write`.
    insertion: bulk_statements.Insertion | None = None


def sync(
    session: Session, telephone: Telephone, records: list[Any], now: datetime, is_retry: bool = False
) -> list[SyncedCallResult]:
    """Store a batch of at most MAX_BATCH records; the caller commits. Returns one result per record, in order.

    A record that can't be parsed is quarantined, with an error as its result. Any other failure raises, and nothing of
    the batch is stored. Raises ValueError for a batch that is too long.

    `is_retry`: the batch failed before, perhaps because a lead was merged while it was prepared. So it is prepared
    after the telephone is locked, and its records are locked, too.
    """
    if len(records) > MAX_BATCH:
        raise ValueError(f"more than {MAX_BATCH} calls in one batch")
    employee_id = telephone.employee_id
    profile = telephones.profile(session, employee_id)
    telephone = replace(telephone, own_numbers=telephone.own_numbers | profile.numbers)
    if is_retry:
        telephones.lock(session, employee_id)
    # Other batches of the telephone need not wait for this. If one of them is stored meanwhile, it is prepared again.
    batch = _prepared(session, telephone, records, now)
    if not is_retry and telephones.lock(session, employee_id) != profile.batches and not _still_holds(session, batch):
        batch = _prepared(session, telephone, records, now)
    for _ in range(_MERGES if is_retry else 0):
        if _has_records(session, batch):
            break
        batch = _prepared(session, telephone, records, now)
    _write(session, batch)
    results = [batch.results[index] for index in range(len(records))]
    if telephone.is_by_hand:
        telephones.count_batch(session, employee_id)
    else:
        _record_sync(session, batch, results)
    return results


def _has_records(session: Session, batch: Batch) -> bool:
    """Lock the records of its calls; False if one of them was merged since it was matched."""
    columns = [target.as_columns() for target in batch.targets.values()]
    wanted = {(table, key) for each in columns for table, name in _TABLES.items() if (key := each[name]) is not None}
    return wanted <= record_locks.lock(session, wanted)


def _still_holds(session: Session, batch: Batch) -> bool:
    """Whether the stored calls on which it is based are unchanged."""
    return set(call_deduplication.read(session, batch.telephone.employee_id, batch.calls)) == set(batch.known)


def _record_sync(session: Session, batch: Batch, results: list[SyncedCallResult]) -> None:
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
        batch.results[index] = SyncedCallResult(index, device_call_id, "error", None, error.code, error.sentence)


# --- New, known and updated calls


def _prepared(session: Session, telephone: Telephone, records: list[Any], now: datetime) -> Batch:
    """The batch with everything that can be determined without the telephone's lock; writes nothing."""
    batch = Batch(telephone, now)
    for index, raw in enumerate(records):
        _parse(batch, index, raw)
    batch.known = call_deduplication.read(session, telephone.employee_id, batch.calls)
    _compare(batch)
    if batch.to_write:
        batch.targets = call_matching.match(session, telephone.employee_id, list(batch.to_write.values()))
        batch.insertion = _insertion(session, batch)
    return batch


def _compare(batch: Batch) -> None:
    """Find out which calls are new, which add something to known ones, and which are repeated."""
    by_id, by_natural_key = call_deduplication.by_keys(batch.known, batch.telephone)
    for call in batch.calls:
        key = call.natural_key
        known = by_id.get(call.device_call_id) or by_natural_key.get(key) or by_natural_key.get((ERASED, key[1]))
        status = "created" if known is None else "updated" if known.merge(call) else "duplicate"
        batch.results[call.index] = SyncedCallResult(
            call.index, call.device_call_id, status, known.id if known else None
        )
        known = known or KnownCall.of(call)
        # A later record of the batch may be the same call, by either key.
        by_id.setdefault(call.device_call_id, known)
        by_natural_key.setdefault(key, known)
        call.device_call_id = known.device_call_id
        if status != "duplicate":
            batch.moments.append(known.started_on)
            known.copy_to(batch.to_write.setdefault(known.device_call_id, call))


# --- Writing


def _write(session: Session, batch: Batch) -> None:
    call_rollups.mark_changed(session, batch.moments)
    if batch.insertion is None:
        return
    to_write, targets = batch.to_write, batch.targets
    # Before the rows: their foreign keys lock the leads, and two batches that then update these would deadlock.
    _record_first_replies(session, to_write, targets)
    stored = _insert(session, batch.insertion)
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


def _insertion(session: Session, batch: Batch) -> bulk_statements.Insertion:
    """The INSERT of the rows, which returns the telephone's id, our id and the start of each."""
    same = _shared_columns(batch)
    return bulk_statements.insertion(
        session,
        CallLog,
        [same | _row(call, batch.targets[call.index]) for call in batch.to_write.values()],
        InsertPlan(
            unique=("employee_id", "device_call_id"),
            update=_UPDATED,
            returning=("device_call_id", "id", "started_on"),
        ),
    )


def _insert(session: Session, insertion: bulk_statements.Insertion) -> dict[str, int]:
    """Write the rows. Returns the telephone's id -> our id."""
    stored = bulk_statements.send_insertion(session, insertion)
    # As stored: another request may have stored one of them first.
    call_rollups.mark_changed(session, [started_on for _name, _key, started_on in stored])
    return {str(name): key for name, key, _started_on in stored}


def _record_first_replies(session: Session, calls: dict[str, ParsedCall], targets: dict[int, CallTarget]) -> None:
    """Count a conversation with the customer as the first reply to the lead and the ticket; voicemail doesn't count."""
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
        "is_order": False,
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
    """Add one entry per new call to the timelines it belongs to, at the time of the call."""
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
    bulk_statements.insert_rows(session, timeline.Activity, lines)


def _notify_missed(session: Session, batch: Batch, created: list[_CreatedCall]) -> None:
    """Notify whoever is responsible for a customer whose recent call was missed."""
    missed = [
        MissedCall(call_id, target.responsible, target.as_columns(), target.number)
        for call_id, call, target in created
        if call.status == "Missed Call" and target.responsible and batch.now - call.started_on < NOTIFY_WITHIN
    ]
    missed_calls.notify(session, missed, batch.now)
