"""The chain of the audit log: the hash of each entry includes the one before, and the end is a locked row.

Without the key, which is derived from CRM_FIELD_KEY, no entry can be changed, removed, inserted or moved unnoticed.
Entries missing at the end would leave a valid chain; heads recorded outside the database reveal that
(`app/ops/storage/audit_head_file.py`). Entries that are too old are deleted from the beginning; the new beginning is
sealed with the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session, SessionTransaction

from app.domain import retired_keys
from app.domain.audit_log import audit_keys
from app.domain.audit_log.audit import AuditEntry, AuditHead, PendingEntries
from app.domain.base import RuleBroken
from app.domain.notifications import notices
from app.domain.people import users
from app.domain.persistence.transaction_state import part_of
from app.domain.retired_keys import KeyToRetire
from app.lib.field_encryption import Vault

#: The most faults that a check lists; further ones are only counted.
MAX_FAULTS = 100
#: Entries that a check reads at once.
_BATCH = 1000
# Bare tables: the chain is the same for everybody, whatever rows the current person may see.
_ENTRIES, _HEAD = AuditEntry.__table__, AuditHead.__table__


def replace_key(session: Session, vault: Vault) -> bool:
    """Seal with the newest key from the next entry on, and keep the former one. Returns False if it is in use already.

    Raises RuleBroken if this process does not have the former key.
    """
    (head, named), keys = _locked_head(session), audit_keys.keys_of(session)
    if named == keys.id:
        return False
    if named not in keys.older:
        raise RuleBroken("The audit log was sealed with a key that is not in CRM_FIELD_KEYS_OLD. Add it and try again.")
    retired_keys.store(session, KeyToRetire(retired_keys.AUDIT, named, keys.older[named], head.seq), vault)
    beginning, values = _beginning(session), {"key_id": keys.id}
    if beginning.seq:
        values["base_seal"] = _seal_of(beginning, keys.key)
    session.execute(update(_HEAD).where(_HEAD.c.id == 1).values(**values))
    return True


class ChainHead(NamedTuple):
    """The end of the chain."""

    #: The position of the last entry, equal to the number of entries.
    seq: int
    hash: str


class ChainFault(NamedTuple):
    """One place where the chain is broken. `what` is missing, altered, inserted, head or record."""

    seq: int
    what: str
    #: The id of the entry, if there is one.
    entry_id: int | None = None


@dataclass(frozen=True)
class ChainReport:
    """The result of a check."""

    head: ChainHead
    faults: list[ChainFault] = field(default_factory=list)
    #: How many faults there are in all.
    broken: int = 0
    #: False if another key sealed the chain: then nothing can be verified.
    is_our_key: bool = True
    #: Entries from before the chain had a key that did not match their predecessor, as found by the upgrade.
    carried_over: list[int] = field(default_factory=list)
    #: The last entry deleted for its age; 0 if none was.
    deleted_until: int = 0


# --- sealing


def entry_hash(seq: int, previous_hash: str, entry: Any, key: bytes) -> str:
    """The hash of an entry at this position after one with this hash; "" for the first entry."""
    at = entry.at.replace(tzinfo=UTC) if entry.at.tzinfo is None else entry.at.astimezone(UTC)
    row = [seq, previous_hash, at.isoformat(), entry.event, entry.user_id, entry.about, entry.address, entry.payload]
    return hmac.new(key, _canonical(row).encode(), hashlib.sha256).hexdigest()


def _canonical(value: Any) -> str:
    """JSON that is the same before and after the value was stored in the database."""
    return json.dumps(json.loads(json.dumps(value)), sort_keys=True)


def seal(session: Session) -> None:
    """Session hook, before a commit: append the entries of this transaction to the chain."""
    if session.in_nested_transaction():
        return
    pending = part_of(session, PendingEntries)
    session.flush()  # this may add audit entries
    entries, pending.entries = pending.entries, []
    if entries:
        _append(session, entries)


def _append(session: Session, entries: list[AuditEntry]) -> None:
    head, named = _locked_head(session)
    key = audit_keys.keys_of(session).named(named)
    if key is None:
        raise RuleBroken(
            "This server does not have the key that seals the audit log since it was replaced. Nothing was saved. "
            "Please ask your admin to give this server the new CRM_FIELD_KEY and to restart it."
        )
    rows = []
    for seq, entry in enumerate(entries, head.seq + 1):
        head = ChainHead(seq, entry_hash(seq, head.hash, entry, key))
        columns = ("at", "event", "user_id", "about", "address", "payload")
        rows.append({name: getattr(entry, name) for name in columns} | {"seq": seq, "hash": head.hash})
    session.execute(insert(_ENTRIES), rows)
    session.execute(update(_HEAD).where(_HEAD.c.id == 1).values(count=head.seq, hash=head.hash))


def _locked_head(session: Session) -> tuple[ChainHead, str]:
    """The end of the chain and the id of the sealing key, locked until the commit.

    A missing end is recreated, and reported by the next check.
    """
    columns = (_HEAD.c.count, _HEAD.c.hash, _HEAD.c.key_id)
    row = session.execute(select(*columns).where(_HEAD.c.id == 1).with_for_update()).first()
    if row is not None:
        return ChainHead(row[0], row[1]), row[2]
    last = select(_ENTRIES.c.seq, _ENTRIES.c.hash).order_by(_ENTRIES.c.seq.desc()).limit(1)
    head, name = ChainHead(*(session.execute(last).first() or (0, ""))), audit_keys.keys_of(session).id
    session.execute(insert(_HEAD).values(id=1, count=head.seq, hash=head.hash, key_id=name))
    return head, name


# --- session hooks: a rolled back savepoint drops the entries written in it


def begin_savepoint(session: Session, transaction: SessionTransaction) -> None:
    """Session hook, when a transaction begins: remember the number of entries before a savepoint."""
    if transaction.nested:
        pending = part_of(session, PendingEntries)
        pending.savepoints.append(len(pending.entries))


def restore_savepoint(session: Session) -> None:
    """Session hook, after a rollback: drop the entries written in the savepoint."""
    pending = part_of(session, PendingEntries)
    if session.in_nested_transaction() and pending.savepoints:
        del pending.entries[pending.savepoints[-1] :]


def end_transaction(session: Session, transaction: SessionTransaction) -> None:
    """Session hook, when a transaction has ended: forget its savepoint; the outermost one forgets everything."""
    pending = part_of(session, PendingEntries)
    if transaction.nested and pending.savepoints:
        pending.savepoints.pop()
    elif transaction.parent is None:
        pending.entries, pending.savepoints = [], []


# --- checking


def current_head(session: Session) -> ChainHead:
    """The current end of the chain, to be recorded outside the database (a log, the manifest of a backup)."""
    row = session.execute(select(_HEAD.c.count, _HEAD.c.hash).where(_HEAD.c.id == 1)).first()
    return ChainHead(*row) if row else ChainHead(0, "")


def is_our_key(session: Session) -> bool:
    """Whether this process has the key that sealed the chain; also True before anything was sealed."""
    named = session.execute(select(_HEAD.c.key_id).where(_HEAD.c.id == 1)).scalar()
    return audit_keys.keys_of(session).named(named) is not None


def verify(session: Session, noted: Iterable[ChainHead] = ()) -> ChainReport:
    """Check the whole chain, and that it still contains the heads `noted` outside the database.

    Reads only, in batches; entries may be appended or deleted for their age meanwhile.
    """
    noted = list(noted)
    if not is_our_key(session):
        return ChainReport(current_head(session), is_our_key=False)
    # Read before the entries: deletions meanwhile only move the beginning forward.
    head, faults, beginning = current_head(session), _Faults(), _beginning(session)
    known = {head.seq: head.hash for head in noted if head.seq >= max(1, beginning.seq)}
    if known.get(beginning.seq) == beginning.hash:
        del known[beginning.seq]
    last = _walk(session, (beginning, head), known, faults)
    if _beginning(session) != beginning:
        return verify(session, noted)  # the entries read may have been deleted meanwhile
    before = select(_ENTRIES.c.seq, _ENTRIES.c.id).where(_ENTRIES.c.seq <= beginning.seq).limit(MAX_FAULTS)
    for seq, key in session.execute(before) if beginning.seq else ():
        faults.add(ChainFault(seq, "altered", key))
    if last != head:
        faults.add(ChainFault(head.seq, "head"))
    for seq in sorted(known):
        faults.add(ChainFault(seq, "record"))  # _walk has removed the heads that it found
    # The end is read after the entries, so it can only be further on.
    furthest = session.execute(select(func.max(_ENTRIES.c.seq))).scalar() or 0
    if furthest > current_head(session).seq:
        faults.add(ChainFault(furthest, "inserted"))
    carried_over = _carried_over(session)
    return ChainReport(head, faults.listed, faults.count, carried_over=carried_over, deleted_until=beginning.seq)


@dataclass
class _Faults:
    listed: list[ChainFault] = field(default_factory=list)
    count: int = 0

    def add(self, fault: ChainFault) -> None:
        self.count += 1
        if len(self.listed) < MAX_FAULTS:
            self.listed.append(fault)


def _walk(session: Session, ends: tuple[ChainHead, ChainHead], known: dict[int, str], faults: _Faults) -> ChainHead:
    """Check every entry between these two positions; removes noted heads that match from `known`.

    Returns the last entry.
    """
    last, named = ends[0], session.execute(select(_HEAD.c.key_id).where(_HEAD.c.id == 1)).scalar()
    periods = audit_keys.keys_of(session).periods(session, named)
    for entry in _entries(session, last.seq, ends[1].seq):
        key = next(key for until, key in periods if entry.seq <= until)
        if entry.seq != last.seq + 1:
            faults.add(ChainFault(last.seq + 1, "missing"))
        if not hmac.compare_digest(entry.hash, entry_hash(entry.seq, last.hash, entry, key)):
            faults.add(ChainFault(entry.seq, "altered", entry.id))
        if known.get(entry.seq) == entry.hash:
            del known[entry.seq]
        last = ChainHead(entry.seq, entry.hash)
    return last


def _entries(session: Session, after: int, until: int) -> Iterator[Any]:
    """All entries after one position up to another, in order."""
    done = after or None  # in a log that was never shortened, an entry before position 1 was inserted
    while True:
        later = (_ENTRIES.c.seq <= until, *(() if done is None else (_ENTRIES.c.seq > done,)))
        batch = session.execute(select(_ENTRIES).where(*later).order_by(_ENTRIES.c.seq).limit(_BATCH)).all()
        yield from batch
        if len(batch) < _BATCH:
            return
        done = batch[-1].seq


def _carried_over(session: Session) -> list[int]:
    found = session.execute(select(_ENTRIES.c.payload).where(_ENTRIES.c.event == "audit carried over"))
    return [key for (payload,) in found for key in (payload or {}).get("broken", ())]


# --- the beginning


def _beginning(session: Session) -> ChainHead:
    """The last entry deleted for its age; (0, "") if there is none or its seal is wrong, which a check reports."""
    columns = (_HEAD.c.base_seq, _HEAD.c.base_hash, _HEAD.c.base_seal, _HEAD.c.key_id)
    row = session.execute(select(*columns).where(_HEAD.c.id == 1)).first()
    key = audit_keys.keys_of(session).named(row.key_id) if row is not None and row.base_seq else None
    if row is None or key is None:
        return ChainHead(0, "")
    found = ChainHead(row.base_seq, row.base_hash)
    return found if hmac.compare_digest(row.base_seal, _seal_of(found, key)) else ChainHead(0, "")


def _seal_of(beginning: ChainHead, key: bytes) -> str:
    return hmac.new(key, f"beginning {beginning.seq} {beginning.hash}".encode(), hashlib.sha256).hexdigest()


def forget(session: Session, places: Sequence[int], before: datetime) -> int:
    """Delete the entries up to the last of these positions that are older, and seal the new beginning.

    Raises RuleBroken if one of them was altered or is missing: it is evidence, and stays.
    """
    _end, named = _locked_head(session)
    key = audit_keys.keys_of(session).named(named)
    if key is None:
        raise RuleBroken("The audit log was sealed with another key than this server has, so it can't be shortened.")
    first, until = _beginning(session), max(places)
    span = (_ENTRIES.c.seq > first.seq, _ENTRIES.c.seq <= until)
    younger = session.execute(select(func.min(_ENTRIES.c.seq)).where(*span, _ENTRIES.c.at >= before)).scalar()
    until, faults = younger - 1 if younger else until, _Faults()
    last = _walk(session, (first, ChainHead(until, "")), {}, faults)
    if faults.count:
        raise RuleBroken("The audit log was altered among the entries that are old enough to be deleted. They stay.")
    values = {"base_seq": last.seq, "base_hash": last.hash, "base_seal": _seal_of(last, key)}
    done = session.execute(delete(_ENTRIES).where(*span, _ENTRIES.c.seq <= until))
    session.execute(update(_HEAD).where(_HEAD.c.id == 1).values(**values))
    return int(done.rowcount)  # type: ignore[attr-defined]


# --- alerts


def notify_admins(session: Session, report: ChainReport, now: datetime) -> int:
    """Notify the admins of a broken chain, once a day. Returns how many notices were new."""
    first = report.faults[0] if report.faults else None
    payload: Mapping[str, Any] = {"broken": report.broken, "seq": first.seq if first else 0, "key": report.is_our_key}
    event = notices.NoticeEvent("audit", f"audit:{now:%Y-%m-%d}", tuple(users.active_admins(session)), dict(payload))
    return notices.notify_many(session, [event], now)
