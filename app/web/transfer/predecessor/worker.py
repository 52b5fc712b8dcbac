"""The worker of a move: some rows per transaction, which also counts them, so that an interrupted one continues.

A row is imported once, by its former name: a second run, or one with a newer export, adds only what is new.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import access
from app.domain import predecessor_names
from app.domain.audit_log import audit
from app.domain.base import NUMBER_PREFIXES, RuleBroken, translatable
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.domain.persistence import bulk_statements, numbering
from app.domain.persistence.transaction_state import transaction_state
from app.domain.predecessor_names import PredecessorName, PredecessorPerson
from app.file_store_and_vault import vault
from app.models import Activity, Customer, Lead, Ticket
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.transfer import import_notices
from app.web.transfer.predecessor import calls, contacts, doctypes, history, records, source_rows, values
from app.web.transfer.predecessor.import_context import ImportContext, RowDraft, RowSkipped
from app.web.transfer.predecessor.row_documents import SourceRow
from app.web.transfer.predecessor.source_rows import PredecessorSource

#: The kind of the import run.
KIND = "predecessor"
#: Rows of one transaction.
CHUNK = 400
#: Problems stored for one run: the rest is only counted.
MAX_PROBLEMS = 100_000
#: Addresses without a user on the page of a move.
MAX_PEOPLE = 500
_NUMBER = re.compile(r"CRM-(LEAD|CUST|TICKET)-([0-9]{4})-([0-9]{5,8})")
_SERIES = {"CRM Lead": "LEAD", "CRM Customer": "CUST", "CRM Ticket": "TICKET"}
_NUMBERED: dict[str, Any] = {"LEAD": Lead, "CUST": Customer, "TICKET": Ticket}
#: DocTypes that later rows refer to, so that a dry run remembers them.
_SEEN = ("CRM Lead", "CRM Customer", "CRM Ticket", "CRM Task")
RESULTS = ("created", "skipped", "wrong", "remarks")


def step(session: Session, run: ImportRun, reader: PredecessorSource, viewer: Viewer) -> bool:
    """Run one transaction of the dry run or the move. Returns whether there is more to do. Commits."""
    is_trial = run.outcome == "checking"
    if is_trial and reader.position != run.position:
        run.position, run.payload = 0, {**run.payload, "kinds": {}, "highest": {}, "people": {}, "problems": 0}
        mine = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(True))
        session.execute(delete(ImportRow).where(*mine), execution_options={"synchronize_session": False})
    with access.as_system(session), session.no_autoflush:
        rows = reader.take(run, CHUNK)
        if not is_trial and not run.payload.get("floors"):
            _reserve(session, run)
        move = _move(session, run, reader, viewer)
        outcomes = _Chunk(move, rows, reader).run() if rows else []
        _count(session, run, outcomes, (reader, move), viewer)
        gathered = transaction_state(session)
        gathered.clear_webhooks()
        gathered.clear_live()
        if not rows and not is_trial:
            import_notices.notify_done(session, run, viewer.now)
        session.commit()
    return bool(rows)


def _move(session: Session, run: ImportRun, reader: PredecessorSource, viewer: Viewer) -> ImportContext:
    zone = ZoneInfo(current_app.config["CRM"].time_zone)
    floors = run.payload.get("floors") or {}
    return ImportContext(session, viewer.now, zone, vault(), run.outcome == "checking", reader.seen, floors)


def _reserve(session: Session, run: ImportRun) -> None:
    """Reserve the predecessor's numbers, so that its records keep theirs, and new ones follow."""
    floors: dict[str, list[list[int]]] = {}
    mine = (ImportRun.kind == KIND, ImportRun.id != run.id)
    for payload in session.scalars(select(ImportRun.payload).where(*mine)):
        for series, spans in (payload.get("floors") or {}).items():
            floors.setdefault(series, []).extend(spans)
    for series, highest in (run.payload.get("highest") or {}).items():
        kind, year = series.split("-")
        last = numbering.raise_to(session, kind, int(year), highest)
        floors.setdefault(series, []).append([last, highest])
    run.payload = {**run.payload, "floors": floors or {"-": []}}


Outcome = tuple[SourceRow, str, list[str]]
Worked = tuple[PredecessorSource, ImportContext]


class _Chunk:
    """Some rows of one DocType."""

    def __init__(self, context: ImportContext, rows: list[SourceRow], reader: PredecessorSource) -> None:
        self.context, self.rows, self.reader = context, rows, reader
        self.doctype = rows[0].doctype
        self.table = doctypes.ORDER[self.doctype]
        self.outcomes: list[Outcome] = []

    def run(self) -> list[Outcome]:
        """Import the rows, or say what would happen."""
        drafts = self._new()
        self.context.prefetch([each.row for each in drafts])
        maker = self._maker(drafts)
        made = [each for each in drafts if self._drafted(maker, each)]
        if not self.context.is_trial:
            self._store(made)
        for each in made:
            self.outcomes.append((each.row, "created", each.warnings))
            if self.context.is_trial and self.doctype in _SEEN:
                self.reader.seen.add((self.doctype, each.name))
        return self.outcomes

    def _maker(self, drafts: list[RowDraft]) -> Any:
        simple = {"CRM Lead": records.Leads, "CRM Ticket": records.Tickets, "CRM Task": records.Tasks}
        if self.doctype == "CRM Customer":
            return contacts.Customers(self.context, drafts, self.reader.taken if self.context.is_trial else {})
        if self.doctype == "CRM Call Log":
            return calls.Calls(self.context, drafts)
        if self.doctype == "User":
            return _Users(self.context)
        return simple.get(self.doctype, history.History)(self.context, drafts)

    def _new(self) -> list[RowDraft]:
        """The rows that have not been imported yet."""
        named = [(row, predecessor_names.stored_form(self.table, _name(row))) for row in self.rows]
        there = predecessor_names.find_moved(self.context.session, self.doctype, (name for _row, name in named))
        found, before = [], set[str]()
        for row, name in named:
            if source_rows.BROKEN in row.values:
                self.outcomes.append((row, "wrong", [str(row.values[source_rows.BROKEN])]))
            elif name in before or (self.doctype, name) in self.reader.seen:
                self.outcomes.append((row, "skipped", [translatable("The files have this row twice.")]))
            elif name in there:
                self.outcomes.append((row, "skipped", []))
            else:
                before.add(name)
                found.append(RowDraft(row, name))
        return found

    def _drafted(self, maker: Any, draft: RowDraft) -> bool:
        try:
            with self.context.session.no_autoflush:
                maker.draft(draft)
        except RuleBroken as broken:
            self.outcomes.append((draft.row, "wrong", [broken.message]))
            return False
        except RowSkipped as why:
            self.outcomes.append((draft.row, "skipped", [why.sentence]))
            return False
        return True

    # --- storing

    def _store(self, drafts: list[RowDraft]) -> None:
        session = self.context.session
        new = [each.record for each in drafts if each.record is not None]
        self._number(drafts)
        session.add_all(new)
        session.flush()
        if self.doctype == "CRM Customer":
            contacts.assign_keys(self.context, new)
        for each in drafts:
            for act in each.after:
                act(each.record)
            if each.record is not None:
                _belong(each)
        self._set_customers(drafts)
        session.add_all([line for each in drafts for line in each.lines])
        session.flush()
        self._remember(drafts)
        session.expunge_all()  # the caller loads the run again

    def _number(self, drafts: list[RowDraft]) -> None:
        """Let records keep their number if it was reserved and is free; others get the next one."""
        series = _SERIES.get(self.doctype)
        if series is None:
            return
        wanted = {number: each for each in drafts if (number := self._own_number(each)) and each.record is not None}
        column = _NUMBERED[series].number
        taken = set(self.context.session.scalars(select(column).where(column.in_(wanted)))) if wanted else set()
        kept = {id(each): number for number, each in wanted.items() if number not in taken}
        for each in drafts:
            if each.record is not None:
                year = each.record.created_on.astimezone(self.context.zone).year
                each.record.number = kept.get(id(each)) or numbering.next_number(self.context.session, series, year)

    def _own_number(self, draft: RowDraft) -> str | None:
        found = _NUMBER.fullmatch(draft.name.upper())
        if (
            found is None
            or found[1] != _SERIES[self.doctype]
            or f"{NUMBER_PREFIXES[found[1]]}-" not in draft.name.upper()
        ):
            return None
        spans = self.context.floors.get(f"{found[1]}-{found[2]}") or []
        is_ours = any(low < int(found[3]) <= high for low, high in spans)
        return draft.name.upper() if is_ours else None

    def _set_customers(self, drafts: list[RowDraft]) -> None:
        """Show history of a lead or ticket on its customer's timeline, too."""
        lines = [each for draft in drafts for each in draft.lines if isinstance(each, Activity)]
        lines += [draft.record for draft in drafts if self.table == "message" and draft.record is not None]
        for model, column in ((Lead, "lead_id"), (Ticket, "ticket_id")):
            which: Any = model
            loose = [each for each in lines if getattr(each, column) and each.customer_id is None]
            ids = {getattr(each, column) for each in loose}
            query = select(which.id, which.customer_id).where(which.id.in_(ids), which.customer_id.is_not(None))
            customers = {each.id: each.customer_id for each in self.context.session.execute(query)} if ids else {}
            for each in loose:
                each.customer_id = customers.get(getattr(each, column))

    def _remember(self, drafts: list[RowDraft]) -> None:
        rows = [
            {"doctype": self.doctype, "name": each.name, "kind": self.table, "record_id": _id_of(each, self.table)}
            for each in drafts
        ]
        bulk_statements.insert_rows(self.context.session, PredecessorName, rows)
        waiting = [
            {"email": email, "kind": owner.__tablename__, "record_id": owner.id, "column_name": column}
            for each in drafts
            for owner, column, email in each.people
            if owner.id is not None
        ]
        bulk_statements.insert_rows(self.context.session, PredecessorPerson, waiting)


def _id_of(draft: RowDraft, table: str) -> int | None:
    """The id of the record that a row became; history of other records has none of its own."""
    if draft.record is not None:
        return int(draft.record.id)
    return draft.there if table in (*predecessor_names.NAMED, "call_log") else None


def _belong(draft: RowDraft) -> None:
    """Set the record of a new record's timeline entries."""
    record = draft.record
    own = doctypes.COLUMNS.get(record.__tablename__)
    for line in draft.lines:
        if own is not None:
            setattr(line, own, record.id)
        if isinstance(line, Activity) and own is not None:
            for name in ("lead_id", "ticket_id", "customer_id"):
                if getattr(record, name, None) is not None and getattr(line, name) is None:
                    setattr(line, name, getattr(record, name))


def _name(row: SourceRow) -> str:
    """The name of a row; without one, a fingerprint of its content."""
    if name := values.name_of(row.values.get("name")):
        return name
    content = json.dumps(row.values, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


class _Users:
    """User: matched by address, never created: users are imported as users, with their roles."""

    def __init__(self, context: ImportContext) -> None:
        self.context = context

    def draft(self, draft: RowDraft) -> None:
        """The user with this address. Raises RuleBroken, RowSkipped."""
        given = draft.row.values
        email = values.line_of(given.get("email") or given.get("name")).lower()
        if email in ("administrator", "guest", "admin@example.com") or given.get("user_type") == "Website User":
            raise RowSkipped(translatable("This isn't a user of the CRM."))
        draft.name, draft.there = email[:140], self.context.users.get(email)
        if draft.there is None:
            raise RuleBroken("There is no user with this address. Please add them, or match the address by hand.")


# --- counting


def _count(session: Session, run: ImportRun, outcomes: list[Outcome], worked: Worked, viewer: Viewer) -> None:
    """Store the results of the rows, in their transaction."""
    run = session.get_one(ImportRun, run.id, populate_existing=True) if run not in session else run
    is_trial = run.outcome == "checking"
    kinds = {name: dict(figures) for name, figures in (run.payload.get("kinds") or {}).items()}
    highest = dict(run.payload.get("highest") or {})
    for row, result, warnings in outcomes:
        figures = kinds.setdefault(row.doctype, dict.fromkeys(RESULTS, 0))
        figures[result] += 1
        figures["remarks"] += bool(warnings) and result == "created"
        if is_trial:
            _note_number(highest, row)
    payload = {**run.payload, "kinds": kinds, "highest": highest, "files": _files(worked[0])}
    people = dict(run.payload.get("people") or {})
    for email, number in worked[1].strangers.items():
        if email in people or len(people) < MAX_PEOPLE:
            people[email] = people.get(email, 0) + number
    payload["people"] = people
    totals = {name: sum(each[name] for each in kinds.values()) for name in RESULTS}
    if is_trial:
        payload["check"] = totals | {"updated": 0}
    else:
        run.created, run.skipped, run.wrong = (totals[name] for name in ("created", "skipped", "wrong"))
    kept = _problems(run, outcomes, viewer.now, run.position)
    bulk_statements.insert_rows(session, ImportRow, kept[: max(0, MAX_PROBLEMS - int(payload.get("problems", 0)))])
    payload["problems"] = int(payload.get("problems", 0)) + len(kept)
    run.position += len(outcomes)
    run.come_further(datetime.now(UTC))
    if not outcomes:
        _end(session, run, payload, viewer)
    run.payload = payload
    session.flush()


def _end(session: Session, run: ImportRun, payload: dict[str, Any], viewer: Viewer) -> None:
    if run.outcome == "checking":
        run.outcome, run.total, run.position, run.seen_on = "checked", run.position, 0, None
        payload |= {
            "checked": payload["kinds"],
            "kinds": {},
            "problems": 0,
            "people": {},
            "strangers": people_of(payload),
        }
        return
    run.outcome, run.finished_on = "done", viewer.now
    figures = {name: getattr(run, name) for name in ("created", "skipped", "wrong", "position")}
    audit.write(session, "import", run.created_by_id, viewer.now, f"{run.kind} {run.id}", **figures)


def people_of(payload: dict[str, Any]) -> dict[str, int]:
    """Addresses without a user -> number of places, the most frequent first."""
    people: dict[str, int] = payload.get("people") or {}
    return dict(sorted(people.items(), key=lambda each: (-each[1], each[0])))


def _note_number(highest: dict[str, int], row: SourceRow) -> None:
    found = _NUMBER.fullmatch(_name(row).upper())
    if found is not None and found[1] == _SERIES.get(row.doctype):
        series = f"{found[1]}-{found[2]}"
        highest[series] = max(highest.get(series, 0), int(found[3]))


def _files(reader: PredecessorSource) -> list[dict[str, str]]:
    return [{"name": each.part.name, "doctype": each.doctype, "why": str(each.why)} for each in reader.files]


def _problems(run: ImportRun, outcomes: Iterable[Outcome], at: datetime, position: int) -> list[dict[str, Any]]:
    """Rows of import_row for values that were not imported unchanged."""
    return [
        {
            "run_id": run.id,
            "is_trial": run.outcome == "checking",
            "line": position + place,
            "result": result,
            "record_id": None,
            "at": at,
            "before": None,
            "problem": " ".join(translate_text(each) for each in warnings)[:500],
            "cells": [row.file[:120], str(row.line), row.doctype, _name(row)[:140]],
        }
        for place, (row, result, warnings) in enumerate(outcomes, 1)
        if warnings
    ]
