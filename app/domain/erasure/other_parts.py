"""What belongs to a person without referring to their record by a column: opt-outs, imports, merges, rejected calls."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Text, and_, delete, or_, select, true, type_coerce, update
from sqlalchemy.orm import Session

from app.domain import address_hashes
from app.domain.base import Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.table_parts import RecordPart, Stays, TablePart
from app.domain.files.export_and_import_runs import ImportRun
from app.domain.merging.merged_records import SECRET_COLUMNS, MergeChange, MergedRecord

_HASHED = f"{address_hashes.PREFIX}%"
#: Digits at the end of a number by which it is found in what telephones sent.
_LAST_DIGITS = 10


class ConsentPart(TablePart):
    """The consent ledger: what was said stays, under a keyed hash of the number or address."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Replace the addresses of these entries, and what was written by hand."""
        rows = session.execute(select(self.table.c.id, self.table.c.address).where(self.table.c.id.in_(list(ids))))
        for key, address in rows.all():
            values = {"address": address_hashes.hashed(session, address), "words": None, "evidence": None}
            session.connection().execute(update(self.table).where(self.table.c.id == key).values(values))

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        return self.table.c.address.not_like(_HASHED)

    def _stays(self, scope: Scope) -> list[Stays]:
        """Of a customer who is kept, the ledger stays as it is: it decides what they are sent."""
        return [Stays("customer", scope.kept_until, true())] if scope.is_kept else []


class DoNotDisturbPart(ConsentPart):
    """Do-not-disturb lists: a blocked number stays blocked, under its hash."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Replace these numbers; one whose hash is listed already goes."""
        rows = session.execute(select(self.table.c.id, self.table.c.number).where(self.table.c.id.in_(list(ids))))
        for key, number in rows.all():
            name, own = address_hashes.hashed(session, number), self.table.c.id == key
            if session.execute(select(self.table.c.id).where(self.table.c.number == name)).first() is not None:
                session.connection().execute(delete(self.table).where(own))
            else:
                session.connection().execute(update(self.table).where(own).values(number=name))

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        return [self.table.c.number.in_(scope.addresses)] if scope.addresses else []

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        return self.table.c.number.not_like(_HASHED)


class ImportPart(TablePart):
    """Rows of imports: the values before them, with which an import is undone, and remarks on what was wrong."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        runs = ImportRun.__table__
        ids = {"customer": scope.customer, "lead": scope.leads, "ticket": scope.tickets, "task": scope.tasks}
        return [
            and_(
                self.table.c.run_id.in_(select(runs.c.id).where(runs.c.kind == kind)), self.table.c.record_id.in_(keys)
            )
            for kind, keys in ids.items()
            if keys
        ]


class MergePart(TablePart):
    """Merges into the records: with what would undo them, the values of the merged records go."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Delete what these merges replaced."""
        changes, merged = MergeChange.__table__, MergedRecord.__table__
        empty = dict.fromkeys(("row", *SECRET_COLUMNS))
        steps = (
            delete(changes).where(changes.c.merge_id.in_(list(ids))),
            update(merged).where(merged.c.merge_id.in_(list(ids))).values(**empty),
            update(self.table).where(self.table.c.id.in_(list(ids))).values(forgotten_on=stamp.now, fields={}),
        )
        for step in steps:
            session.connection().execute(step)

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        ids = {"customer": scope.customer, "leads": scope.leads, "ticket": scope.tickets}
        return [and_(self.table.c.kind == kind, self.table.c.kept_id.in_(keys)) for kind, keys in ids.items() if keys]

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        return self.table.c.forgotten_on.is_(None)

    def _stays(self, scope: Scope) -> list[Stays]:
        return []


class RejectedCallPart(TablePart):
    """What telephones sent and nobody could read, with the person's number in it."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        numbers = sorted({each[-_LAST_DIGITS:] for each in scope.addresses if each.startswith("+")})
        text = type_coerce(self.table.c.raw, Text)
        return [or_(*(text.like(f"%{number}%") for number in numbers))] if numbers else []


class RequestPart(RecordPart):
    """The person's requests themselves, which prove what was asked and answered."""

    def _stays(self, scope: Scope) -> list[Stays]:
        return [Stays("proof", scope.proof_until, true())] if scope.is_proof_kept else []
