"""Imports a few rows in one transaction, each within a savepoint: a refused row leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, translatable
from app.domain.notifications.notice_batches import NoticeBatch
from app.domain.persistence.session_context import session_context
from app.lib.cached_property import cached_property
from app.ops.database.database_errors import cause_of
from app.web.core.fab_access import REFUSABLE
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.transfer import import_problems
from app.web.transfer.import_kind import ImportKind, MatchedRecord, as_json
from app.web.transfer.import_plan import ImportPlan
from app.web.transfer.import_records import refuse_several

#: Characters of a problem.
MAX_PROBLEM = 500
#: Characters of a stored row, and of each of its cells if it has more.
MAX_KEPT, MAX_CUT = 40_000, 200
#: (key, text) → (id of the record that a row of this file has created, 0 in a dry run; the row).
Seen = dict[tuple[str, str], tuple[int, int]]
Line = tuple[int, list[str]]


@dataclass
class RowOutcome:
    """The result of one row."""

    line: int
    #: created, updated, skipped or wrong.
    result: str
    record_id: int | None = None
    before: dict[str, Any] | None = None
    problem: str | None = None
    cells: list[str] | None = None


@dataclass
class RowChunk:
    """Some rows of a file, and the state from earlier ones."""

    plan: ImportPlan
    lines: list[Line]
    seen: Seen
    #: Whether it is the dry run.
    is_trial: bool = False
    outcomes: list[RowOutcome] = field(default_factory=list)
    #: Numbers of the records that rows match, by id.
    numbers: dict[int, str] = field(default_factory=dict)

    @cached_property
    def _cells(self) -> dict[int, list[str]]:
        return dict(self.lines)

    def note(self, line: int, result: str, problem: str, record_id: int | None = None) -> None:
        """Record a row that creates nothing: its cells are stored, so that it can be corrected and uploaded again."""
        cells = [str(each) for each in self._cells[line]]
        if sum(map(len, cells)) > MAX_KEPT:
            cells = [each[:MAX_CUT] for each in cells]
        self.outcomes.append(RowOutcome(line, result, record_id, problem=problem[:MAX_PROBLEM], cells=cells))

    def note_wrong(self, line: int, broken: BaseException, viewer: Viewer, mode: str = "add") -> None:
        """Record a refused row with all that is wrong with it."""
        self.note(line, "wrong", import_problems.text_of(self.plan, self._cells[line], broken, (mode, viewer)))

    def note_made(self, raw: dict[str, Any], line: int, record_id: int) -> None:
        """Remember the record of a row, so that a later row finds it; the dry run undoes it."""
        note_made(self.plan, self.seen, raw, (0 if self.is_trial else record_id, line))


def run(session: Session, chunk: RowChunk, viewer: Viewer) -> list[RowOutcome]:
    """Import the rows; the session acts for the person. Not committed. Raises errors that affect all rows."""
    raws: dict[int, dict[str, Any]] = {}
    for line, cells in chunk.lines:
        if not any(cells):
            continue
        try:
            raws[line] = chunk.plan.raw(cells)
        except RuleBroken as broken:
            chunk.note_wrong(line, broken, viewer)
    options = chunk.plan.options
    is_matched = options.duplicates != "create" and options.keys
    found = chunk.plan.kind.find(session, raws, options.keys) if is_matched else {}
    if options.duplicates == "skip" and found:
        chunk.numbers = chunk.plan.kind.numbers(session, {match.ids[0] for match in found.values()})
    rest = _together(session, chunk, {n: raw for n, raw in raws.items() if n not in found}, viewer)
    for line, raw in raws.items():
        if line in rest or line in found:
            _run_one(session, chunk, (line, raw, found.get(line)), viewer)
    return chunk.outcomes


@contextmanager
def _attempt(session: Session) -> Iterator[None]:
    """A savepoint; if it is rolled back, nobody is notified."""
    batch = session_context(session).notice_batch or NoticeBatch()
    with batch.record(), session.begin_nested():
        yield


def _together(session: Session, chunk: RowChunk, raws: dict[int, dict[str, Any]], viewer: Viewer) -> set[int]:
    """Create the new rows together, within one savepoint. Returns those to be tried one by one.

    That is much faster; if one of them is refused, all of them are.
    """
    plan, values, firsts = chunk.plan, dict[int, dict[str, Any]](), dict[tuple[str, str], int]()
    for line, raw in raws.items():
        texts = [(key, text) for key in plan.options.keys if (text := plan.kind.text(key, raw))]
        if plan.options.duplicates != "create" and any(each in chunk.seen or each in firsts for each in texts):
            continue  # it occurs twice in the file
        firsts |= dict.fromkeys(texts, line)
        try:
            values[line] = _values(plan, raw, viewer)
        except RuleBroken:
            continue
    try:
        with _attempt(session):
            made = plan.kind.create_many(session, list(values.values()), viewer) if len(values) > 1 else None
            session.flush()
    except REFUSABLE as broken:
        if cause_of(broken) is not None:
            raise
        made = None
    if made is None:
        return set(raws)
    for (line, _given), record in zip(values.items(), made, strict=True):
        chunk.outcomes.append(RowOutcome(line, "created", record.id))
        chunk.note_made(raws[line], line, record.id)
    return set(raws) - set(values)


def note_made(plan: ImportPlan, seen: Seen, raw: dict[str, Any], made: tuple[int, int]) -> None:
    """Remember (id of the record, row), so that a later row of the same file finds it."""
    for key in plan.kind.keys:
        if text := plan.kind.text(key, raw):
            seen[key, text] = made


def _is_updated(chunk: RowChunk) -> bool:
    return chunk.plan.options.duplicates == "update"


def _run_one(
    session: Session, chunk: RowChunk, row: tuple[int, dict[str, Any], MatchedRecord | None], viewer: Viewer
) -> None:
    line, raw, _match = row
    try:
        with _attempt(session):
            outcome = _import(session, chunk, row, viewer)
            session.flush()
    except REFUSABLE as broken:
        if cause_of(broken) is not None:
            raise  # not the row is wrong: the transaction is lost, and all its rows are tried again
        chunk.note_wrong(line, broken, viewer, "edit" if _match is not None and _is_updated(chunk) else "add")
        return
    finally:
        save_warnings.pop_all()
    if outcome.result == "skipped":
        chunk.note(line, "skipped", outcome.problem or "", outcome.record_id)
        return
    chunk.outcomes.append(outcome)
    if outcome.result == "created":
        chunk.note_made(raw, line, outcome.record_id or 0)


def _import(
    session: Session, chunk: RowChunk, row: tuple[int, dict[str, Any], MatchedRecord | None], viewer: Viewer
) -> RowOutcome:
    line, raw, match = row
    plan, kind = chunk.plan, chunk.plan.kind
    policy = plan.options.duplicates
    former = 0
    if match is None and policy != "create":
        match, former = _in_file(plan, chunk.seen, raw)
    if match is not None and policy == "skip":
        return RowOutcome(line, "skipped", match.ids[0] or None, problem=_why_skipped(chunk, match, former))
    if match is not None and policy == "update":
        refuse_several(len(match.ids))
        return _update(session, kind, (line, raw, match.ids[0]), viewer)
    made = kind.create(session, _values(plan, raw, viewer), viewer)
    session.flush()
    return RowOutcome(line, "created", made.id)


def _values(plan: ImportPlan, raw: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """The values of a new record. Raises RuleBroken."""
    values = plan.kind.parse(_with_assignee(plan, raw), "add", viewer)
    if plan.kind.name in ("lead", "ticket"):
        if not plan.options.makes_tasks:
            values["task"] = {}
        if plan.options.assign == "role":
            values["assign_to_role"] = plan.options.role
    return values


def _why_skipped(chunk: RowChunk, match: MatchedRecord, former: int) -> str:
    """The sentence for a row whose record exists already; `former`: the row of the file that has it, if any."""
    by = import_problems.label_of(chunk.plan, match.by)
    if former:
        return _("Row %(row)s of this file has the same value (%(by)s).", row=former + chunk.plan.heading_rows, by=by)
    number = chunk.numbers.get(match.ids[0])
    if number is None:
        return _("Already exists (%(by)s).", by=by)
    return _("Already exists: %(number)s (%(by)s).", number=number, by=by)


def is_repeated(plan: ImportPlan, seen: Seen, raw: dict[str, Any]) -> bool:
    """Whether an earlier row of the file has created the record of this one."""
    return _in_file(plan, seen, raw)[0] is not None


def _in_file(plan: ImportPlan, seen: Seen, raw: dict[str, Any]) -> tuple[MatchedRecord | None, int]:
    """The record that an earlier row of the same file has created, and that row; (None, 0) if none has."""
    for key in plan.options.keys:
        text = plan.kind.text(key, raw)
        if text and (key, text) in seen:
            record_id, line = seen[key, text]
            return MatchedRecord((record_id,), key), line
    return None, 0


def _with_assignee(plan: ImportPlan, raw: dict[str, Any]) -> dict[str, Any]:
    """The row with its assignee, unless that comes from a column."""
    name = plan.kind.assignee
    if not name or plan.options.assign == "column":
        return raw
    rest = {each: given for each, given in raw.items() if each != name}
    return rest | ({name: plan.options.assignee_id} if plan.options.assign == "person" else {})


def _update(session: Session, kind: ImportKind, row: tuple[int, dict[str, Any], int], viewer: Viewer) -> RowOutcome:
    line, raw, key = row
    given = {name: value for name, value in raw.items() if name != kind.assignee}
    if not key:  # created by an earlier row of a dry run, and gone again
        kind.parse(given, "edit", viewer)
        return RowOutcome(line, "updated")
    record = session.scalars(select(kind.model).where(kind.model.id == key)).unique().first()
    if record is None:
        raise RuleBroken(translatable("This record was deleted meanwhile."))
    if kind.module != "Settings" and not access.reaches_row(session, viewer.person, record, "write"):
        raise access.Denied("You can see this record but not edit it. Ask its assignee or your manager.")
    values = kind.parse(given, "edit", viewer)
    with access.as_system(session):
        before, is_same = kind.before(record, values), kind.is_unchanged(record, values, viewer)
        before["changed_on"] = as_json(getattr(record, "changed_on", None))
    if is_same:
        return RowOutcome(line, "skipped", key, problem=_("Has these values already."))
    kind.update(session, record, values, viewer)
    return RowOutcome(line, "updated", key, before=before)


def row_values(run_id: int, outcomes: Iterable[RowOutcome], at: datetime, is_trial: bool) -> list[dict[str, Any]]:
    """Rows of the table import_row; a dry run stores only wrong and skipped ones."""
    return [
        {
            "run_id": run_id,
            "is_trial": is_trial,
            "line": each.line,
            "result": each.result,
            "record_id": each.record_id,
            "at": at,
            "before": each.before,
            "problem": each.problem,
            "cells": each.cells,
        }
        for each in outcomes
        if not is_trial or each.result in ("wrong", "skipped")
    ]
