"""What belongs to a person without referring to their record by a column: opt-outs, imports, merges, rejected calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

from sqlalchemy import ColumnElement, Text, and_, delete, false, not_, or_, select, true, type_coerce, update
from sqlalchemy.orm import Session

from app.domain import address_hashes, saved_views
from app.domain.base import Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.table_parts import RecordPart, ScannedPart, Stays, TablePart
from app.domain.files.export_and_import_runs import ImportRun
from app.domain.merging.merged_records import SECRET_COLUMNS, MergeChange, MergedRecord
from app.domain.saved_views import SavedView

#: Digits at the end of a number by which it is found in what telephones sent.
_LAST_DIGITS = 10
#: What stands between the digits of a number that somebody typed; never quotation marks, which end a text in JSON.
_SEPARATORS = "[-. ()/]*"
#: The key of a list, by which bulk actions name it -> the column that refers to its records.
_LISTS = {"customers": "customer_id", "tickets": "ticket_id", "leads": "lead_id", "tasks": "task_id"}


def has_address(column: Any, scope: Scope) -> ColumnElement[bool]:
    """Whether a text or JSON has one of the person's numbers, written with any separators, or addresses."""
    text = type_coerce(column, Text)
    rules = [text.contains(each, autoescape=True) for each in scope.addresses if "@" in each]
    rules += [text.regexp_match(number_pattern(each)) for each in scope.addresses if each.startswith("+")]
    return and_(column.is_not(None), or_(false(), *rules))


def number_pattern(number: str) -> str:
    """A regular expression for a number in E.164, as people and telephones write it: not within a longer one."""
    code, digits = number[1:-_LAST_DIGITS], number[-_LAST_DIGITS:].lstrip("+")
    return f"(^|[^0-9])(0*{code}{_SEPARATORS})?0?{_SEPARATORS.join(digits)}([^0-9]|$)"


def address_pattern(addresses: Sequence[str]) -> re.Pattern[str]:
    """Finds any of the numbers in E.164, as `number_pattern`, or of the email addresses."""
    any_of = "|".join(re.escape(each) if "@" in each else f"(?:{number_pattern(each)})" for each in addresses)
    return re.compile(f"{any_of}", re.IGNORECASE)


class NoticePart(TablePart):
    """Notices about the records, and those of an earlier version that name whoever made a request."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        key, text = self.table.c.event_key, type_coerce(self.table.c.payload, Text)
        names_person = (self.table.c.kind == "compliance", text.not_like('%"name": "DR-%'))
        found = super()._branches(scope)
        for request in scope.requests:
            found.append(and_(key.like(f"request:{request}:%"), *names_person))
            of_row = or_(text.like(f'%"row": {request},%'), text.like(f'%"row": {request}}}%'))
            found.append(and_(key.like("full copy:%"), of_row, *names_person))
        return found


class BulkPart(ScannedPart):
    """What would undo bulk actions, and deletions of notes."""

    def found(self, session: Session, scope: Scope) -> list[int]:
        """Ids of actions on what belongs to the person; they are kept for minutes, so there are few."""
        query = select(self.table.c.id, self.table.c.module, self.table.c.rows).order_by(self.table.c.id)
        rows = session.execute(query).all()
        return [key for key, module, changed in rows if any(_is_of(scope, module, each) for each in changed)]

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Take the person's rows out of these actions; one that is empty then goes."""
        query = select(self.table).where(self.table.c.id.in_(list(ids))).with_for_update()
        for row in session.execute(query).all():
            left = [each for each in row.rows if not _is_of(scope, row.module, each)]
            own = self.table.c.id == row.id
            step = update(self.table).where(own).values(rows=left) if left else delete(self.table).where(own)
            session.connection().execute(step)


def _is_of(scope: Scope, module: str, changed: dict[str, Any]) -> bool:
    """Whether a row of an action is, or belonged to, a record of the person."""
    ids = {"customer_id": scope.customer, "ticket_id": scope.tickets, "lead_id": scope.leads, "task_id": scope.tasks}
    if module in _LISTS:
        return changed["id"] in ids[_LISTS[module]]
    before = changed.get("before") or {}
    first = next((name for name in ids if before.get(name) is not None), None)
    return first is not None and before[first] in ids[first]


class MailAlonePart(TablePart):
    """Emails outside of conversations, which had no message."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        alone = self.table.c.message_id.is_(None)
        return [and_(self.table.c.peer.in_(scope.addresses), alone)] if scope.addresses else []


class ConsentPart(TablePart):
    """The consent ledger: what was said stays, under a keyed hash of the number or address."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Replace the addresses of these entries, and what was written by hand."""
        rows = session.execute(select(self.table.c.id, self.table.c.address).where(self.table.c.id.in_(list(ids))))
        for key, address in rows.all():
            values = {"address": address_hashes.hashed(session, address), "words": None, "evidence": None}
            session.connection().execute(update(self.table).where(self.table.c.id == key).values(values))

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        return not_(address_hashes.is_hash_sql(self.table.c.address))

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
        return not_(address_hashes.is_hash_sql(self.table.c.number))


class ImportPart(TablePart):
    """Rows of imports: the values before them, with which an import is undone, and remarks on what was wrong."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        runs = ImportRun.__table__
        ids = {"customer": scope.customer, "lead": scope.leads, "ticket": scope.tickets, "task": scope.tasks}
        found = [
            and_(
                self.table.c.run_id.in_(select(runs.c.id).where(runs.c.kind == kind)), self.table.c.record_id.in_(keys)
            )
            for kind, keys in ids.items()
            if keys
        ]
        if scope.addresses:  # rows that were wrong
            found.append(and_(self.table.c.record_id.is_(None), has_address(self.table.c.cells, scope)))
        return found


class MergePart(TablePart):
    """Merges of the records, of what was merged into these, and undone ones: what would undo them goes."""

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
        merged = MergedRecord.__table__
        return [
            self.table.c.id.in_(
                select(merged.c.merge_id).where(merged.c.kind == kind, merged.c.record_id.in_(sorted(ids)))
            )
            for kind, ids in scope.merged.items()
        ]

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        return self.table.c.forgotten_on.is_(None)

    def _stays(self, scope: Scope) -> list[Stays]:
        return []


class RejectedCallPart(TablePart):
    """What telephones sent and nobody could read, with the person's number in it."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        return [has_address(self.table.c.raw, scope)] if scope.addresses else []


class WrongLinePart(TablePart):
    """Lines of do-not-disturb lists that could not be stored."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        return [has_address(self.table.c.text, scope)] if scope.addresses else []


class WebhookPart(TablePart):
    """What receivers of webhooks answered: they may repeat what was sent."""

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        ids = {"customer": scope.customer, "lead": scope.leads, "ticket": scope.tickets, "task": scope.tasks}
        event, record = self.table.c.event, self.table.c.record_id
        return [and_(event.like(f"{kind}.%"), record.in_(keys)) for kind, keys in ids.items() if keys]


class RequestPart(RecordPart):
    """The person's requests themselves, which prove what was asked and answered."""

    def _stays(self, scope: Scope) -> list[Stays]:
        return [Stays("proof", scope.proof_until, true())] if scope.is_proof_kept else []


class SavedViewPart(ScannedPart):
    """Views of lists that look for the person's number or address: they find nobody any more."""

    def found(self, session: Session, scope: Scope) -> list[int]:
        """Ids of those views, whoever has saved them."""
        known = [each for each in scope.addresses if each.startswith("+") or "@" in each]
        if not known:
            return []
        pattern, columns = address_pattern(known), (self.table.c.id, self.table.c.label, self.table.c.query)
        rows = session.execute(select(*columns).order_by(self.table.c.id))
        return [key for key, *texts in rows if any(pattern.search(unquote_plus(each)) for each in texts)]

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Delete these views."""
        for view in session.scalars(select(SavedView).where(SavedView.id.in_(list(ids))).with_for_update()).all():
            saved_views.remove(session, view)
