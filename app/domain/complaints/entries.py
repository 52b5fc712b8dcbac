"""The ways in which a grievance came, besides the complaints that were registered: added, changed and removed."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken, translatable
from app.domain.complaints.clocks import ComplaintStamp, ComplaintTerms
from app.domain.complaints.complaint import SOURCES, WAYS, Complaint, ComplaintEntry
from app.domain.complaints.register import clean_reference, restart_clocks

#: Characters of a remark.
MAX_REMARK = 500


def add_entry(session: Session, row: Complaint, values: dict[str, Any], stamp: ComplaintStamp) -> ComplaintEntry:
    """Add one more way in which the grievance came: source, reference, received_on, way, remark. Raises RuleBroken.

    The database refuses a reference that its source has given already.
    """
    _refuse_joined(row)
    entry = ComplaintEntry(complaint_id=row.id)
    _set_values(entry, values, stamp.terms)
    entry.stamp(stamp)
    session.add(entry)
    session.flush()
    restart_clocks(session, row, stamp.terms)
    row.stamp(stamp)
    timeline.write(session, row, "complaint", stamp, what="entry", number=row.number, source=entry.source)
    return entry


def own_entry(session: Session, row: Complaint, entry_id: int | None) -> ComplaintEntry:
    """An entry of this complaint that was added by hand. Raises NotFound, also for that of a registered complaint."""
    entry = session.get(ComplaintEntry, entry_id or 0)
    if entry is None or entry.complaint_id != row.id or entry.origin_id is not None:
        raise NotFound("This record doesn't exist, or you don't have access to it.")
    return entry


def change_entry(session: Session, entry: ComplaintEntry, values: dict[str, Any], stamp: ComplaintStamp) -> None:
    """Correct an entry that was added by hand; `values` as of `add_entry`. Raises RuleBroken."""
    row = session.get_one(Complaint, entry.complaint_id)
    _refuse_joined(row)
    before = _shown(entry)
    _set_values(entry, values, stamp.terms)
    after = _shown(entry)
    if after == before:
        return
    entry.stamp(stamp)
    _settle(session, row, stamp)
    changes = [[name, before[name], after[name]] for name in after if after[name] != before[name]]
    told = {"number": row.number, "source": entry.source, "changes": changes}
    timeline.write(session, row, "complaint", stamp, what="entry changed", **told)
    audit.write(session, "complaint", stamp.by, stamp.now, row.number, what="way changed", entry=entry.id, old=before)


def remove_entry(session: Session, entry: ComplaintEntry, stamp: ComplaintStamp) -> None:
    """Remove an entry that was added by hand; what it said stays in the audit. Raises RuleBroken."""
    row = session.get_one(Complaint, entry.complaint_id)
    _refuse_joined(row)
    old = _shown(entry)
    session.delete(entry)
    _settle(session, row, stamp)
    timeline.write(session, row, "complaint", stamp, what="entry removed", number=row.number, source=entry.source)
    audit.write(session, "complaint", stamp.by, stamp.now, row.number, what="way removed", entry=entry.id, old=old)


def _settle(session: Session, row: Complaint, stamp: ComplaintStamp) -> None:
    """Count the clocks anew, from the earliest receipt that is left."""
    session.flush()
    restart_clocks(session, row, stamp.terms)
    row.stamp(stamp)


def _refuse_joined(row: Complaint) -> None:
    if row.joined_to_id is not None:
        raise RuleBroken("This complaint was joined to another one. Change that one, or part them first.")


def _set_values(entry: ComplaintEntry, values: dict[str, Any], terms: ComplaintTerms) -> None:
    received = values.get("received_on")
    if received is None or received > terms.today:
        raise RuleBroken("Please enter the day on which it was received; it can't be in the future.", "received_on")
    way, source = values.get("way") or "Other", values.get("source")
    for name, chosen, options in (("source", source, SOURCES), ("way", way, WAYS)):
        if chosen not in options:
            raise RuleBroken(translatable("Please choose one of these: %(words)s.", words=", ".join(options)), name)
    entry.source, entry.way, entry.received_on = str(source), way, received
    entry.reference = clean_reference(values.get("reference"))
    entry.remark = (values.get("remark") or "")[:MAX_REMARK] or None


def _shown(entry: ComplaintEntry) -> dict[str, Any]:
    """Its values for the timeline and the audit, which store JSON."""
    found = {name: getattr(entry, name) for name in ("source", "reference", "received_on", "way", "remark")}
    return found | {"received_on": entry.received_on.isoformat()}
