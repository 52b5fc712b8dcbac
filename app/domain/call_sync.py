"""One batch of a telephone's calls: a handful of statements whatever its size, harmless when it comes again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, select, union_all
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from app.domain import call_matching, change_events, notices, sla, telephones, timeline
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
from app.domain.calls import CallLog
from app.domain.leads import Lead
from app.domain.tickets import Ticket

MAX_BATCH = 1000
#: A missed call of yesterday rings nobody's bell: telephones send old calls when they are new.
NOTIFY_WITHIN = timedelta(hours=12)


@dataclass
class CallResult:
    """What became of one record of the batch."""

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
    """The records of one batch, sorted by what is to be done with them."""

    telephone: Telephone
    now: datetime
    heard: list[ParsedCall] = field(default_factory=list)
    refused: list[tuple[Any, str, str]] = field(default_factory=list)
    results: dict[int, CallResult] = field(default_factory=dict)


def sync(session: Session, telephone: Telephone, records: list[Any], now: datetime) -> list[CallResult]:
    """Store a batch of at most MOST records; the caller commits. One result a record, in the order of the batch.

    A record that can never be read goes to the quarantine and is an error; whatever else goes wrong raises, and
    nothing of the batch is stored. Raises ValueError for a batch that is too long.
    """
    if len(records) > MAX_BATCH:
        raise ValueError(f"more than {MAX_BATCH} calls in one batch")
    own = telephone.own | telephones.lock(session, telephone.employee_id)
    batch = Batch(replace(telephone, own=own), now)
    for index, raw in enumerate(records):
        _read_one(batch, index, raw)
    _store(session, batch)
    results = [batch.results[index] for index in range(len(records))]
    if not telephone.is_by_hand:
        _note(session, batch, results)
    return results


def _note(session: Session, batch: Batch, results: list[CallResult]) -> None:
    """What the batch says of the telephone itself, and what of it could not be taken."""
    employee_id, agent = batch.telephone.employee_id, batch.telephone.agent
    telephones.quarantine(session, employee_id, batch.refused, batch.now)
    came = telephones.SyncSummary(
        agent, [result.status for result in results], [heard.started_on for heard in batch.heard]
    )
    telephones.record_sync(session, employee_id, came, batch.now)


def _read_one(batch: Batch, index: int, raw: Any) -> None:
    try:
        batch.heard.append(parse_call(index, raw, batch.telephone, batch.now))
    except UnreadableCall as wrong:
        named = raw.get("device_call_id") if isinstance(raw, dict) else None
        own_id = storable_text(str(named))[:120] if isinstance(named, str | int) else ""
        batch.refused.append((raw, wrong.code, wrong.sentence))
        batch.results[index] = CallResult(index, own_id, "error", None, wrong.code, wrong.sentence)


# --- What is new, what is known, what has grown


@dataclass
class _Known:
    """A call that stands already, or one earlier in this batch."""

    id: int | None
    device_call_id: str
    direction: str
    duration_seconds: int
    ended_on: datetime | None
    native: dict[str, Any]

    def grow(self, heard: ParsedCall) -> bool:
        """Take what the record says more; answers whether there was any.

        Telephones write a call down while it goes on, and each application knows something else of it: the longest
        talk, the latest end and a known direction stay, in whatever order the records come.
        """
        before = (self.direction, self.duration_seconds, self.ended_on)
        self.direction = heard.direction if self.direction == "Unknown" else self.direction
        self.duration_seconds = max(heard.duration_seconds, self.duration_seconds)
        self.ended_on = max(heard.ended_on, self.ended_on or heard.ended_on)
        self.native = heard.native | self.native | {"duration": heard.native["duration"]}
        return before != (self.direction, self.duration_seconds, self.ended_on)

    def tell(self, heard: ParsedCall) -> None:
        """The record that will be written says it all."""
        heard.direction, heard.duration_seconds = self.direction, self.duration_seconds
        heard.ended_on, heard.native = self.ended_on or heard.ended_on, self.native
        heard.status = call_status(self.direction, bool(self.duration_seconds))


def _store(session: Session, batch: Batch) -> None:
    if not batch.heard:
        return
    by_id, by_second = _known(session, batch)
    writing: dict[str, ParsedCall] = {}
    for heard in batch.heard:
        known = by_id.get(heard.device_call_id) or by_second.get(heard.second)
        status = "created" if known is None else "updated" if known.grow(heard) else "duplicate"
        batch.results[heard.index] = CallResult(heard.index, heard.device_call_id, status, known.id if known else None)
        known = known or _Known(
            None, heard.device_call_id, heard.direction, heard.duration_seconds, heard.ended_on, heard.native
        )
        # The next record of the batch may be the same call once more, under either name.
        by_id.setdefault(heard.device_call_id, known)
        by_second.setdefault(heard.second, known)
        heard.device_call_id = known.device_call_id
        if status != "duplicate":
            known.tell(writing.setdefault(known.device_call_id, heard))
    if writing:
        _write(session, batch, writing)


def _known(session: Session, batch: Batch) -> tuple[dict[str, _Known], dict[Any, _Known]]:
    """The employee's calls that the batch may name again, by the telephone's id and by other side and second."""
    columns = (
        CallLog.id,
        CallLog.device_call_id,
        CallLog.direction,
        CallLog.duration_seconds,
        CallLog.ended_on,
        CallLog.native,
        CallLog.from_number,
        CallLog.to_number,
        CallLog.other_e164,
        CallLog.started_on,
    )
    mine = CallLog.employee_id == batch.telephone.employee_id
    ways = [CallLog.device_call_id.in_({heard.device_call_id for heard in batch.heard}), *_near(batch)]
    # One statement, one index a branch: an OR would read all calls of the employee.
    query = union_all(*(select(*columns).where(mine, CallLog.device_call_id.is_not(None), way) for way in ways))
    by_id: dict[str, _Known] = {}
    by_second: dict[Any, _Known] = {}
    for row in session.execute(query):
        known = by_id.setdefault(row.device_call_id, _Known(*row[:6]))
        other = row.other_e164 or other_number(
            row.direction, row.from_number or "", row.to_number or "", batch.telephone
        )
        by_second[row.other_e164 or other_party(other), row.started_on.replace(microsecond=0)] = known
    return by_id, by_second


def _near(batch: Batch) -> list[ColumnElement[bool]]:
    """Calls with the same other sides between the first and the last second of the batch."""
    moments = [heard.started_on.replace(microsecond=0) for heard in batch.heard]
    within = and_(CallLog.started_on >= min(moments), CallLog.started_on < max(moments) + timedelta(seconds=1))
    numbers = {heard.other_e164 for heard in batch.heard if heard.other_e164}
    ways = [and_(CallLog.other_e164.in_(numbers), within)] if numbers else []
    if any(heard.other_e164 is None for heard in batch.heard):
        ways.append(and_(CallLog.other_e164.is_(None), within))
    return ways


# --- Writing


def _write(session: Session, batch: Batch, writing: dict[str, ParsedCall]) -> None:
    places = call_matching.match(session, batch.telephone.employee_id, list(writing.values()))
    # Before the rows: their foreign keys hold the leads, and two batches that then want to write these would meet.
    _answer(session, writing, places)
    session.execute(_upsert(session), [_row(batch, heard, places[heard.index]) for heard in writing.values()])
    keys = _keys(session, batch)
    for heard in batch.heard:
        result = batch.results[heard.index]
        result.call_id = result.call_id or keys[heard.device_call_id]
    new = {heard.device_call_id for heard in batch.heard if batch.results[heard.index].status == "created"}
    created = [(keys[own_id], heard, places[heard.index]) for own_id, heard in writing.items() if own_id in new]
    for result in (batch.results[heard.index] for heard in writing.values()):
        event = "created" if result.status == "created" else "changed"
        change_events.note(session, "call_log", result.call_id or 0, event)
    _tell_timelines(session, batch, created)
    _stir(session, (places[heard.index] for heard in writing.values()))
    _ring(session, batch, created)


def _keys(session: Session, batch: Batch) -> dict[str, int]:
    """The telephone's own id -> the key, of the calls that were new."""
    names = {heard.device_call_id for heard in batch.heard if batch.results[heard.index].call_id is None}
    if not names:
        return {}
    mine = (CallLog.employee_id == batch.telephone.employee_id, CallLog.device_call_id.in_(names))
    found = session.execute(select(CallLog.id, CallLog.device_call_id).where(*mine))
    return {str(own_id): key for key, own_id in found}


def _answer(session: Session, writing: dict[str, ParsedCall], places: dict[int, call_matching.CallTarget]) -> None:
    """Where a customer and one of us talked, the lead and the ticket have their first answer; a voicemail is none."""
    first: dict[str, dict[int, datetime]] = {"lead": {}, "ticket": {}}
    for heard in writing.values():
        if heard.status == "Completed" and heard.direction != "Unknown":
            for kind, key in places[heard.index].waiting:
                first[kind][key] = min(heard.started_on, first[kind].get(key, heard.started_on))
    sla.record_first_replies(session, Lead, first["lead"])
    sla.record_first_replies(session, Ticket, first["ticket"])


def _row(batch: Batch, heard: ParsedCall, place: call_matching.CallTarget) -> dict[str, Any]:
    by, now = batch.telephone.employee_id, batch.now
    return {
        "device_call_id": heard.device_call_id,
        "direction": heard.direction,
        "status": heard.status,
        "from_number": heard.from_number,
        "to_number": heard.to_number,
        "other_e164": heard.other_e164,
        "started_on": heard.started_on,
        "ended_on": heard.ended_on,
        "duration_seconds": heard.duration_seconds,
        "native": heard.native,
        "employee_id": by,
        "customer_id": place.customer_id,
        "lead_id": place.lead_id,
        "ticket_id": place.ticket_id,
        "medium": "mobile",
        "cold": False,
        "linked": False,
        "created_on": now,
        "changed_on": now,
        "created_by_id": by,
        "changed_by_id": by,
    }


_GROWS = ("direction", "status", "ended_on", "duration_seconds", "native", "changed_on", "changed_by_id")


def _upsert(session: Session) -> Any:
    """New calls and grown ones in one statement; of a known call only what grows is written.

    The rows are its parameters: a statement with a thousand rows in it would take longer to write than to run.
    """
    table: Any = CallLog.__table__
    if session.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(table)
        grown = {name: made.excluded[name] for name in _GROWS}
        return made.on_conflict_do_update(index_elements=["employee_id", "device_call_id"], set_=grown)
    own = mysql.insert(table)
    return own.on_duplicate_key_update({name: own.inserted[name] for name in _GROWS})


def _tell_timelines(session: Session, batch: Batch, created: list[tuple[int, ParsedCall, Any]]) -> None:
    """One line a new call on the pages that it belongs to, at the moment of the call."""
    lines = [
        {
            "kind": "call",
            "at": heard.started_on,
            "actor_id": batch.telephone.employee_id,
            **place.as_columns(),
            "payload": {
                "text": f"{heard.direction} call, {heard.status}",
                "call": key,
                "seconds": heard.duration_seconds,
            },
        }
        for key, heard, place in created
        if place.is_somewhere
    ]
    if lines:
        session.execute(insert(timeline.Activity.__table__), lines)


def _stir(session: Session, places: Iterable[call_matching.CallTarget]) -> None:
    """Who looks at one of the pages sees the call, or how long it became."""
    for place in places:
        timeline.mark_changed(session, place.lead_id, place.ticket_id, place.customer_id)


def _ring(session: Session, batch: Batch, created: list[tuple[int, ParsedCall, Any]]) -> None:
    """A customer called in vain: whoever answers for him hears of it."""
    missed = [each for each in created if each[1].status == "Missed Call" and each[2].answers]
    fresh = [each for each in missed if batch.now - each[1].started_on < NOTIFY_WITHIN]
    news = [
        notices.NoticeEvent(
            "missed_call",
            f"missed_call:{key}",
            place.answers,
            {"number": place.number, "call": key},
            {"task_id": None, **place.as_columns()},
        )
        for key, _heard, place in fresh
    ]
    if news:
        notices.notify_many(session, news, batch.now)
