"""Merging records into one: its fields, everything that refers to them, its keys; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import custom_values, customer_keys, customer_linking, legal_holds, tickets, timeline
from app.domain.assignment import Assignment
from app.domain.audit_log import audit
from app.domain.base import Conflict, NotFound, RuleBroken, refuse_stale, translatable
from app.domain.change_context import ChangeContext
from app.domain.customers import SECRET_FIELDS, Customer
from app.domain.erasure import erasures
from app.domain.erasure.erasures import is_marker
from app.domain.lead_requirements import REQUIRED_FIELDS
from app.domain.leads import Lead
from app.domain.merging import duplicate_pairs, merge_fields, merge_rows, merged_tasks
from app.domain.merging.merge_fields import MergeChoice
from app.domain.merging.merge_rows import UNCOUNTED, MergeLedger
from app.domain.merging.merged_records import MOST, SECRET_COLUMNS, MergedRecord, RecordMerge, as_json, merged_key
from app.domain.persistence import change_events, parent_holders, record_locks, recount_marks
from app.domain.picklists import LeadStatus, TicketSubject
from app.domain.tickets import Ticket, ticket_subjects

#: Records that can be merged, by table.
RECORDS: dict[str, Any] = {"leads": Lead, "ticket": Ticket, "customer": Customer}


@dataclass(frozen=True)
class MergeRequest:
    """The records to merge, and the choices."""

    record: Any
    #: Ids; the remaining record comes first.
    ids: tuple[int, ...]
    #: Field -> whose value; the proposed choice for the others.
    chosen: Mapping[str, MergeChoice] = field(default_factory=dict)
    #: id -> the version that the person saw.
    versions: Mapping[int, int] = field(default_factory=dict)


def lock(session: Session, record: Any, ids: Sequence[int]) -> list[Any]:
    """The rows with these ids, in this order, locked for this transaction. Raises NotFound, RuleBroken."""
    if len(set(ids)) < 2:
        raise RuleBroken("Please choose at least two different records to merge.")
    if len(set(ids)) > MOST:
        raise RuleBroken(translatable("At most %(most)s records can be merged at once.", most=MOST))
    record_locks.lock_customers(session, record, ids)
    query = select(record).where(record.id.in_(sorted(set(ids)))).order_by(record.id)
    found = {
        row.id: row
        for row in session.scalars(query.with_for_update(), execution_options={"populate_existing": True}).unique()
    }
    if set(ids) - set(found):
        raise NotFound("One of these records doesn't exist any more. Somebody may have merged or deleted it.")
    return [found[key] for key in dict.fromkeys(ids)]


def merge(session: Session, request: MergeRequest, context: ChangeContext) -> RecordMerge:
    """Merge the records into the first one. Raises RuleBroken, NotFound, Conflict; nothing is stored then.

    The session acts for the system; the caller has checked what the person may do with each record.
    """
    with session.no_autoflush:
        rows = lock(session, request.record, request.ids)
        for row in rows:
            refuse_stale(row, request.versions.get(row.id))
        _refuse_different_customers(rows)
        erasures.refuse_merge(session, rows)
        for row in rows[1:] if request.record is Ticket else ():
            tickets.refuse_registered(row)
        return _Merge(session, rows, context).run(request)


def _refuse_different_customers(rows: Sequence[Any]) -> None:
    """Raise RuleBroken for records of different customers, which have to be merged first."""
    if len({key for row in rows if (key := getattr(row, "customer_id", None)) is not None}) > 1:
        raise RuleBroken("These records belong to different customers. If it is one person, merge the customers first.")


class _Merge:
    """One merge of locked rows."""

    def __init__(self, session: Session, rows: list[Any], context: ChangeContext) -> None:
        self.session, self.rows, self.context = session, rows, context
        self.kept, self.gone = rows[0], rows[1:]
        self.kind = str(self.kept.__tablename__)
        self.changes_made = MergeLedger()
        #: The columns of all rows before.
        self.before = {row.id: _columns(row) for row in rows}

    def run(self, request: MergeRequest) -> RecordMerge:
        """Merge them."""
        chosen = merge_fields.checked(request.record, self.rows, request.chosen)
        new = merge_fields.values(request.record, self.rows, chosen)
        differences = self._differences()
        keys = self._held_keys()
        self._note_holders(keys)
        status_id: Any = new["status_id"][0] if "status_id" in new else self.before[self.kept.id].get("status_id")
        superfluous = merged_tasks.superfluous(self.session, self.rows, status_id, self.context)
        self._move_rows()
        self._set(new)
        self._link(differences)
        _refuse_incomplete(self.session, self.kept)
        self.kept.stamp(self.context)
        self._join_assignments()
        self.session.flush()
        self.session.expire(self.kept, [name for name in ("status", "subjects") if hasattr(type(self.kept), name)])
        merged_tasks.close(self.session, self.kept, superfluous, self.context, self.changes_made)
        self._delete_gone()
        self._hold_keys(keys)
        return self._store(new)

    # --- rows

    def _move_rows(self) -> None:
        if self.kind in recount_marks.KINDS:
            recount_marks.mark(self.session, self.kind, [self.kept.id])  # their assignments become its own
            parent_holders.note(self.session, self.kind, [self.kept.id])  # and their tasks
        if self.kind == "ticket":
            parent_holders.note_assignments(self.session, [self.kept.id])
        for row in self.gone:
            move = merge_rows.RowMove(self.kind, row.id, self.kept.id, self.changes_made, self.context.now)
            merge_rows.move_all(self.session, move)

    def _join_assignments(self) -> None:
        """End the others' open assignments, because a lead has one assignee; those of a ticket are beside its own."""
        if not isinstance(self.kept, Lead):
            return
        table = Assignment.__table__
        is_open = (table.c.lead_id == self.kept.id, table.c.ended_on.is_(None))
        query = select(table.c.id, table.c.open_key).where(*is_open, table.c.user_id != (self.kept.assignee_id or 0))
        connection = self.session.connection()
        for key, open_key in connection.execute(query.with_for_update()).all():
            step = update(table).where(table.c.id == key).values(ended_on=self.context.now, open_key=None)
            connection.execute(step)
            self.changes_made.changed(table.c.ended_on, None, self.context.now, [key])
            self.changes_made.changed(table.c.open_key, open_key, None, [key])

    def _delete_gone(self) -> None:
        """Delete the merged records. Nothing refers to them any more, so nothing else is deleted."""
        for row in self.gone:
            self.session.expire(row)
            self.session.delete(row)
            timeline.mark_changed(self.session, **({"lead_id": None} | {_COLUMN[self.kind]: row.id}))
        with legal_holds.moved_by_merge(self.session):
            self.session.flush()
        duplicate_pairs.forget(self.session, self.kind, [key for key in self.before if key != self.kept.id])

    # --- the remaining record

    def _set(self, new: Mapping[str, tuple[Any, int]]) -> None:
        for column, (value, _source) in new.items():
            if getattr(self.kept, column) != value:
                setattr(self.kept, column, value)
        for name in ("lead_id", "exhausted_task_id"):
            if hasattr(self.kept, name) and getattr(self.kept, name) is None:
                setattr(self.kept, name, next((v for row in self.gone if (v := getattr(row, name)) is not None), None))
        self.kept.created_on = min(row.created_on for row in self.rows)
        if isinstance(self.kept, Ticket):
            query = select(TicketSubject.label).join(ticket_subjects, ticket_subjects.c.subject_id == TicketSubject.id)
            mine = query.where(ticket_subjects.c.ticket_id == self.kept.id).order_by(TicketSubject.position)
            self.kept.title = self.kept.summary or ", ".join(self.session.scalars(mine))[:500]

    def _differences(self) -> list[list[Any]]:
        """What records without a customer would change in the customer of the others."""
        customer = self._customer()
        if customer is None:
            return []
        apart = [row for row in self.rows if row.customer_id is None]
        found = [
            change
            for row in apart
            for change in customer_linking.differences_of(self.session, row, customer, self.context)
        ]
        return [change for place, change in enumerate(found) if change not in found[:place]]

    def _customer(self) -> Any:
        if isinstance(self.kept, Customer):
            return None
        keys = [row.customer_id for row in self.rows if row.customer_id is not None]
        return self.session.get(Customer, keys[0]) if keys else None

    def _link(self, differences: list[list[Any]]) -> None:
        """Link the remaining record to a customer of one of the records; the customer has the contact data."""
        customer = self._customer()
        if customer is None:
            return
        if isinstance(self.kept, Ticket) and self.kept.customer_id is None:
            self.kept.opens_customer = all(row.opens_customer for row in self.gone if row.customer_id is not None)
        gaps = [name for name in SECRET_FIELDS if getattr(self.kept, f"{name}_blind")]
        kept = {name + suffix for name in gaps for suffix in ("_sealed", "_blind")}
        if is_marker(customer.last_name):  # the ticket of a kept complaint says who complained
            kept |= set(customer_linking.CONTACT_COLUMNS)
        customer_linking.link_to(self.kept, customer, kept)
        self.kept.customer_id = customer.id
        customer_linking.write_proposal(self.session, self.kept, differences, self.context)

    # --- unique values of customers

    def _held_keys(self) -> dict[tuple[str, str], str]:
        if not isinstance(self.kept, Customer):
            return {}
        found: dict[tuple[str, str], str] = {}
        for row in self.rows:
            found |= customer_keys.values_of(row)
        return found

    def _note_holders(self, keys: dict[tuple[str, str], str]) -> None:
        """Record for the undo which of them held which value."""
        for kind, value in keys:
            who = customer_keys.holder(self.session, kind, value)
            if who in self.before:
                self.before[who].setdefault("_keys", []).append([kind, value])

    def _hold_keys(self, before: dict[tuple[str, str], str]) -> None:
        """Make the remaining customer the holder of its values; release the rest. The database has the last word."""
        if not isinstance(self.kept, Customer):
            return
        values = customer_keys.values_of(self.kept)
        gone = [key for key in before if key not in values]
        customer_keys.release_values(self.session, self.kept.id, gone)

    # --- what is recorded

    def _store(self, new: Mapping[str, tuple[Any, int]]) -> RecordMerge:
        session, context = self.session, self.context
        counts = {name: count for name, count in sorted(self.changes_made.counts.items()) if name not in UNCOUNTED}
        made = RecordMerge(kind=self.kind, kept_id=self.kept.id, kept_number=self.kept.number)
        made.at, made.by_id = context.now, context.by
        made.fields, made.counts = self._changed_fields(new), counts
        session.add(made)
        session.flush()
        session.add_all(self._stored(made.id, row_id, columns) for row_id, columns in self.before.items())
        for change in self.changes_made.changes:
            change.merge_id = made.id
        session.add_all(self.changes_made.changes)
        session.flush()
        self._write_lines(made)
        return made

    def _stored(self, merge_id: int, key: int, columns: dict[str, Any]) -> MergedRecord:
        is_gone = key != self.kept.id
        made = MergedRecord(merge_id=merge_id, kind=self.kind, record_id=key, number=columns["number"])
        made.gone_key = merged_key(self.kind, key) if is_gone else None
        made.row = {
            name: value if name == "_keys" else as_json(value)
            for name, value in columns.items()
            if name not in SECRET_COLUMNS
        }
        for name in SECRET_COLUMNS:
            if name in columns:
                setattr(made, name, columns[name])
        return made

    def _changed_fields(self, new: Mapping[str, tuple[Any, int]]) -> dict[str, Any]:
        old, now, found = self.before[self.kept.id], _columns(self.kept), {}
        for name, value in now.items():
            if old[name] == value or name in _STAMPS:
                continue
            source = new.get(name, (None, self.kept.id))[1]
            found[name] = [None, source] if name in SECRET_COLUMNS else [as_json(old[name]), as_json(value)]
        return found

    def _lost(self) -> list[list[Any]]:
        """The differing values of the other records, and the remaining ones: [[column, theirs, kept]]."""
        own = [getattr(self.kept, name) for name in _NUMBERS if hasattr(self.kept, name)]
        found = []
        for key, columns in self.before.items():
            for name in sorted(_TOLD & columns.keys()) if key != self.kept.id else ():
                theirs, now = columns[name], getattr(self.kept, name)
                if theirs in (None, "", now) or (name in _NUMBERS and theirs in own) or isinstance(theirs, bool):
                    continue
                found.append([name, timeline.as_json(theirs), timeline.as_json(now)])
            found += self._lost_custom(columns)
        return found

    def _lost_custom(self, columns: dict[str, Any]) -> list[list[Any]]:
        theirs = columns.get("custom") or {}
        return [[name, old, new] for name, new, old in custom_values.changes(self.kept, theirs) if new is not None]

    def _write_lines(self, merge: RecordMerge) -> None:
        session, context = self.session, self.context
        numbers = [self.before[row_id]["number"] for row_id in self.before if row_id != self.kept.id]
        old = self.before[self.kept.id]
        changes = [
            [name, timeline.as_json(old[name]), timeline.as_json(getattr(self.kept, name))]
            for name in merge.fields
            if name not in SECRET_COLUMNS and name in _TOLD and old[name] != getattr(self.kept, name)
        ]
        changes += custom_values.changes(self.kept, old.get("custom")) if "custom" in old else []
        changes += [[name, None, None] for name in SECRET_FIELDS if f"{name}_blind" in merge.fields]
        if changes:
            timeline.write(session, self.kept, "field_change", context, changes=changes)
        if "status_id" in merge.fields:
            then = {"from": old["status_id"], "to": self.kept.status_id}
            timeline.write(session, self.kept, "status_change", context, **then)
        if "assignee_id" in merge.fields:
            then = {"to": self.kept.assignee_id, "old": old["assignee_id"], "reason": "direct"}
            timeline.write(session, self.kept, "assignment", context, **then)
        text = f"Merged from {', '.join(numbers)}"
        timeline.write(session, self.kept, "system", context, text=text, merge=merge.id, changes=self._lost())
        about = f"{', '.join(numbers)} → {self.kept.number}"
        audit.write(
            session, "merge", context.by, context.now, about, state="merged", merge=merge.id, moved=merge.counts
        )
        change_events.record_event(session, change_events.KINDS[self.kind], self.kept.id, "merged")


_NUMBERS = ("mobile", "alternative_mobile")
_COLUMN = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id"}
#: Columns that are not reported: stamps, and columns that only repeat others.
_STAMPS = ("version", "changed_on", "changed_by_id")
#: Columns whose change is an entry on the timeline.
_TOLD = frozenset(
    each.columns[0]
    for fields in merge_fields.FIELDS.values()
    for each in fields
    if each.name not in ("status", "assignee", *SECRET_FIELDS)
) | frozenset(merge_fields.OPT_OUTS)


def _columns(row: Any) -> dict[str, Any]:
    """The stored columns of a row by name, without computed ones."""
    return {column.name: getattr(row, column.key) for column in row.__mapper__.columns if column.computed is None}


def _refuse_incomplete(session: Session, kept: Any) -> None:
    """Raise RuleBroken if the chosen status needs a field that only another record has."""
    if not isinstance(kept, Lead):
        return
    status = session.get(LeadStatus, kept.status_id)
    name = REQUIRED_FIELDS.get(status.meaning if status is not None else "")
    if name is not None and not getattr(kept, name):
        raise RuleBroken("The chosen status needs a field that would be empty. Please choose its value, too.", name)


def refuse_merged(session: Session, request: MergeRequest) -> None:
    """Raise Conflict if one of the records was merged meanwhile."""
    found = session.scalars(
        select(MergedRecord.number).where(
            MergedRecord.gone_key.in_([merged_key(request.record.__tablename__, key) for key in request.ids])
        )
    ).all()
    if found:
        raise Conflict(translatable("%(numbers)s was merged by someone else meanwhile.", numbers=", ".join(found)))
