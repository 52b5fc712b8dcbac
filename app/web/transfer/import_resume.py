"""The records that the rows of a file have created so far, for a worker that continues an import.

A later row of the same person then finds them, as it does for the worker that created them, even if the person doesn't
see these records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.web.transfer.import_plan import ImportPlan
from app.web.transfer.import_rows import Line, Seen, is_repeated, note_made

#: Rows per step.
_STEP = 1000


def seen_so_far(session: Session, run: ImportRun, lines: Iterable[Line]) -> Seen:
    """The state after these rows, which are all that the import or its dry run has processed. Ends transactions."""
    plan = ImportPlan.of(run)
    seen: Seen = {}
    is_trial = run.outcome == "checking"
    every = iter(lines)
    while part := list(islice(every, _STEP)):
        made = _would_be_made(session, run, plan, part) if is_trial else _made(session, run, part)
        session.rollback()  # otherwise nobody else could write on SQLite meanwhile
        for line, raw in _raws(plan, [each for each in part if each[0] in made]):
            if not (is_trial and is_repeated(plan, seen, raw)):
                note_made(plan, seen, raw, (made[line], line))
    return seen


def _raws(plan: ImportPlan, lines: list[Line]) -> Iterator[tuple[int, dict[str, str]]]:
    for line, cells in lines:
        try:
            yield line, plan.raw(cells)
        except RuleBroken:
            continue


def _made(session: Session, run: ImportRun, lines: list[Line]) -> dict[int, int]:
    """Row → id of the record that it has created."""
    of_run = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(False), ImportRow.result == "created")
    query = select(ImportRow.line, ImportRow.record_id).where(
        *of_run, ImportRow.line.between(lines[0][0], lines[-1][0])
    )
    with access.as_system(session):
        return {line: key or 0 for line, key in session.execute(query)}


def _would_be_made(session: Session, run: ImportRun, plan: ImportPlan, lines: list[Line]) -> dict[int, int]:
    """The rows that the dry run has found to be new; they have no record."""
    of_run = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(True))
    query = select(ImportRow.line).where(*of_run, ImportRow.line.between(lines[0][0], lines[-1][0]))
    with access.as_system(session):
        left_out = set(session.scalars(query))  # wrong, or skipped
    raws = {line: raw for line, raw in _raws(plan, lines) if line not in left_out and raw}
    there = plan.kind.find(session, raws, plan.options.keys)
    return {line: 0 for line in raws if line not in there}
