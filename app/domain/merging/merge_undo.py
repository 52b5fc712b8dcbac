"""Undoing a merge: restores the records and what was moved; later changes stay where they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import custom_values, customer_keys, legal_holds, timeline
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken, translatable
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.erasure import erasures
from app.domain.leads import Lead
from app.domain.legal_holds import HELD_COLUMNS
from app.domain.merging.merge_rows import UNCOUNTED
from app.domain.merging.merged_records import (
    SECRET_COLUMNS,
    MergeChange,
    MergedRecord,
    RecordMerge,
    as_json,
    from_json,
)
from app.domain.merging.record_merge import RECORDS
from app.domain.persistence import change_events, parent_holders, record_locks, recount_marks
from app.domain.tickets import Ticket
from app.lib.batches import batched

#: How long a merge can be undone; its undo data is deleted afterwards, but not the link to the remaining record.
UNDO_FOR = timedelta(days=30)
#: Ids per statement.
_AT_ONCE = 1000
#: Columns of a lead whose change has further consequences: an account, a customer.
_BINDING = ("customer_id", "opened_on", "activated_on", "converted_on")


@dataclass
class UndoResult:
    """The result of an undo."""

    merge: RecordMerge
    #: Numbers of the restored records.
    numbers: list[str] = field(default_factory=list)
    #: Columns of the remaining record that were changed since, and stay unchanged.
    kept_fields: list[str] = field(default_factory=list)
    #: {table: rows that were moved, and have been changed or deleted since}
    left: dict[str, int] = field(default_factory=dict)


def undo(session: Session, key: int, context: ChangeContext) -> UndoResult:
    """Undo a merge. Raises NotFound, and RuleBroken if that is no longer possible; nothing is stored then.

    The session acts for the system; the caller has checked what the person may do with the remaining record.
    """
    with session.no_autoflush:
        made = _lock(session, key)
        _refuse_too_late(made, context)
        record = RECORDS[made.kind]
        record_locks.lock_customers(session, record, [made.kept_id])
        kept = session.scalars(
            select(record).where(record.id == made.kept_id).with_for_update(),
            execution_options={"populate_existing": True},
        ).first()
        if kept is None:
            raise RuleBroken(_why_missing(session, made))
        erasures.refuse_merge(session, [kept])
        return _Undo(session, made, kept, context).run()


def _lock(session: Session, key: int) -> RecordMerge:
    query = select(RecordMerge).where(RecordMerge.id == key).with_for_update()
    made = session.scalars(query, execution_options={"populate_existing": True}).first()
    if made is None:
        raise NotFound("There is no such merge.")
    return made


def _refuse_too_late(merge: RecordMerge, context: ChangeContext) -> None:
    if merge.undone_on is not None:
        raise RuleBroken("This merge was undone already.")
    if merge.forgotten_on is not None or context.now - merge.at > UNDO_FOR:
        raise RuleBroken(translatable("A merge can only be undone within %(days)s days.", days=UNDO_FOR.days))


def _why_missing(session: Session, merge: RecordMerge) -> str:
    query = select(RecordMerge.kept_number).join(MergedRecord, MergedRecord.merge_id == RecordMerge.id)
    into = session.scalars(query.where(MergedRecord.gone_key == f"{merge.kind}:{merge.kept_id}")).first()
    if into is None:
        return translatable("%(number)s was deleted since, so the merge can't be undone.", number=merge.kept_number)
    return translatable(
        "%(number)s was itself merged into %(into)s since. Undo that merge first.", number=merge.kept_number, into=into
    )


def _taken(numbers: list[str]) -> RuleBroken:
    return RuleBroken(
        translatable(
            "Something that %(numbers)s had belongs to another record by now, such as a mobile number or a client ID. "
            "So the merge can't be undone.",
            numbers=", ".join(numbers),
        )
    )


class _Undo:
    """The undo of one merge; its row and the remaining record are locked."""

    def __init__(self, session: Session, merge: RecordMerge, kept: Any, context: ChangeContext) -> None:
        self.session, self.made, self.kept, self.context = session, merge, kept, context
        stored = session.scalars(select(MergedRecord).where(MergedRecord.merge_id == merge.id)).all()
        self.gone = [each for each in stored if each.record_id != merge.kept_id]
        self.stored = next(each for each in stored if each.record_id == merge.kept_id)
        self.table: Any = type(kept).__table__
        self.done = UndoResult(merge, [each.number for each in self.gone])

    def run(self) -> UndoResult:
        """Undo it."""
        self._refuse_bound()
        self._restore_fields()
        self.kept.stamp(self.context)
        self.session.flush()
        keys = [self.kept.id, *[each.record_id for each in self.gone]]
        if self.table.name in recount_marks.KINDS:
            recount_marks.mark(self.session, self.table.name, [self.kept.id])  # it loses their assignments
            parent_holders.note(self.session, self.table.name, keys)
        if isinstance(self.kept, Ticket):
            parent_holders.note_assignments(self.session, keys)
        self._bring_back()
        self._restore_changes()
        self._settle_keys()
        legal_holds.copy_since(self.session, self.kept, [each.record_id for each in self.gone], self.made.at)
        self.made.undone_on, self.made.undone_by_id = self.context.now, self.context.by
        for each in self.gone:
            each.gone_key = None
        self.session.flush()
        self.session.expire_all()
        self._write_lines()
        return self.done

    def _refuse_bound(self) -> None:
        """Raise RuleBroken if the merged record has had consequences other than fields."""
        if not isinstance(self.kept, Lead):
            return
        before = self.stored.row or {}
        for name in _BINDING:
            after = self.made.fields.get(name, [None, before.get(name)])[1]
            if as_json(getattr(self.kept, name)) != after:
                raise RuleBroken(
                    translatable(
                        "%(number)s got a customer or an account since, so the merge can't be undone.",
                        number=self.made.kept_number,
                    )
                )

    def _restore_fields(self) -> None:
        blinds = {each.record_id: each for each in (*self.gone, self.stored)}
        for name, (before, after) in self.made.fields.items():
            if name in SECRET_COLUMNS:
                blind = name.replace("_sealed", "_blind")
                unchanged = getattr(self.kept, blind) == getattr(blinds[after], blind)
                former = getattr(self.stored, name)
            else:
                unchanged = as_json(getattr(self.kept, name)) == after
                former = from_json(before)
            if unchanged:
                setattr(self.kept, name, former)
            else:
                self.done.kept_fields.append(name)

    def _settle_keys(self) -> None:
        """Make each customer the holder of its values again.

        Raises RuleBroken if somebody else has one of them by now.
        """
        if not isinstance(self.kept, Customer):
            return
        self.session.expire_all()
        for each in (*self.gone, self.stored):
            customer = self.session.get(Customer, each.record_id)
            values, before = (
                customer_keys.values_of(customer),
                {tuple(key) for key in (each.row or {}).get("_keys", ())},
            )
            holders = {key: customer_keys.holder(self.session, *key) for key in values}
            if any(key in before and who not in (None, each.record_id) for key, who in holders.items()):
                raise _taken(self.done.numbers)
            missing = {key: name for key, name in values.items() if holders[key] is None}
            if missing:
                customer_keys.claim_keys(self.session, each.record_id, missing)
            customer_keys.release_values(self.session, each.record_id, [key for key in before if key not in values])

    def _bring_back(self) -> None:
        for each in self.gone:
            row = {name: from_json(value) for name, value in (each.row or {}).items()}
            row |= {name: getattr(each, name) for name in SECRET_COLUMNS if name in self.table.c}
            row["version"] = int(row.get("version") or 1) + 1
            row |= {"changed_on": self.context.now, "changed_by_id": self.context.by}
            known = {name: value for name, value in row.items() if name in self.table.c}
            self._insert(self.table, known)
        custom_values.reindex(self.session, self.table.name, [each.record_id for each in self.gone])

    def _insert(self, table: Any, row: dict[str, Any]) -> None:
        """Insert a row. Raises RuleBroken if one of its unique values belongs to another record by now."""
        if table.name in recount_marks.KINDS:
            recount_marks.mark(self.session, table.name, [row["id"]])
        try:
            self.session.connection().execute(insert(table).values(**row))
        except IntegrityError as error:
            raise _taken(self.done.numbers) from error

    def _restore_changes(self) -> None:
        changes = self.session.scalars(
            select(MergeChange).where(MergeChange.merge_id == self.made.id).order_by(MergeChange.id.desc())
        ).all()
        deleted = [each for each in changes if each.column_name is None and each.before is not None]
        for each in _in_one_step(changes):
            if each.column_name is not None:
                self._restore_column(each)
            elif each.after is not None:
                self._take_away(each)
        for each in deleted:
            self._restore_row(each)

    def _restore_column(self, change: MergeChange) -> None:
        """Restore the former value in rows that still have the one set by the merge."""
        table = Model.metadata.tables.get(change.table_name)
        if table is None or change.column_name not in table.c:
            return
        column, after = table.c[change.column_name], from_json(change.after)
        is_as_left = column.is_(None) if after is None else column == after
        done = 0
        if column.name in recount_marks.COUNTED.get(table.name, ()):
            recount_marks.mark(self.session, table.name, change.rows)
        for some in batched(change.rows, _AT_ONCE):
            step = update(table).where(table.c.id.in_(some), is_as_left)
            done += self.session.connection().execute(step.values({column.name: from_json(change.before)})).rowcount
        if done < len(change.rows) and table.name not in UNCOUNTED:
            self.done.left[table.name] = self.done.left.get(table.name, 0) + len(change.rows) - done

    def _take_away(self, change: MergeChange) -> None:
        table = Model.metadata.tables[change.table_name]
        rule = [table.c[name] == value for name, value in change.after.items()]
        self.session.connection().execute(table.delete().where(*rule))

    def _restore_row(self, change: MergeChange) -> None:
        table = Model.metadata.tables[change.table_name]
        row = {name: from_json(value) for name, value in change.before.items()}
        same = [table.c[name] == row[name] for name in table.primary_key.columns.keys()]  # noqa: SIM118  # a collection of columns, not a dict
        if self.session.connection().execute(select(*table.primary_key.columns).where(*same)).first() is None:
            self._insert(table, row)

    def _write_lines(self) -> None:
        session, context, made = self.session, self.context, self.made
        record = RECORDS[made.kind]
        numbers = ", ".join(self.done.numbers)
        kept = session.get(record, made.kept_id)
        timeline.write(session, kept, "system", context, text=f"Merge undone: {numbers}", merge=made.id)
        for each in self.gone:
            row = session.get(record, each.record_id)
            timeline.write(session, row, "system", context, text=f"Merge undone: {made.kept_number}", merge=made.id)
            change_events.record_event(session, change_events.KINDS[made.kind], each.record_id, "created")
        about = f"{numbers} → {made.kept_number}"
        audit.write(session, "merge", context.by, context.now, about, state="undone", merge=made.id)


def _in_one_step(changes: Iterable[MergeChange]) -> list[MergeChange]:
    """The changes, the newest first; several of the same rows and column as one.

    Somebody else may have the unique value that the rows had between them by now.
    """
    found: dict[Any, MergeChange] = {}
    for each in changes:
        key = (each.table_name, each.column_name, *each.rows)
        newer = found.get(key) if each.column_name is not None else None
        if newer is None or newer.before != each.after:
            found[key if key not in found and each.column_name is not None else each.id] = each
            continue
        names = {"table_name": each.table_name, "column_name": each.column_name, "rows": each.rows}
        found[key] = MergeChange(**names, before=each.before, after=newer.after)
    return list(found.values())


def forget_old(session: Session, now: datetime, maximum: int) -> int:
    """Delete the undo data of merges that can no longer be undone, unless the record is under a legal hold.

    Returns the number of merges.
    """
    old = [RecordMerge.at < now - UNDO_FOR, RecordMerge.forgotten_on.is_(None)]
    for column, ids in legal_holds.ids_on_hold(session, now).ids.items():
        kind = next((name for name, own in HELD_COLUMNS.items() if own == column), None)
        if kind is not None and ids:
            old.append(or_(RecordMerge.kind != kind, RecordMerge.kept_id.not_in(sorted(ids))))
    keys: Sequence[int] = session.scalars(
        select(RecordMerge.id).where(*old).order_by(RecordMerge.id).limit(maximum)
    ).all()
    if not keys:
        return 0
    empty = dict.fromkeys(("row", *SECRET_COLUMNS))
    steps = (
        delete(MergeChange).where(MergeChange.merge_id.in_(keys)),
        update(MergedRecord).where(MergedRecord.merge_id.in_(keys)).values(**empty),
        update(RecordMerge).where(RecordMerge.id.in_(keys)).values(forgotten_on=now, fields={}),
    )
    for step in steps:
        session.execute(step, execution_options={"synchronize_session": False})
    return len(keys)
