"""Merging and undoing it, for pages and REST: permissions, and retries if two saves collide."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.merging import merge_fields, merge_rows, merge_undo, record_merge
from app.domain.merging.merge_fields import SECOND, MergeChoice
from app.domain.merging.merge_undo import UndoResult
from app.domain.merging.merged_records import MOST, RecordMerge
from app.domain.merging.record_merge import RECORDS, MergeRequest
from app.extensions import db
from app.file_store_and_vault import vault
from app.lib.ids import parse_id
from app.ops.database.database_errors import Cause, cause_of
from app.web.core.view_registry import kind_of, screen_of
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import refuse_recipient

#: Attempts if another transaction interferes.
_ATTEMPTS = 4
#: Field with the responsible people -> its columns, the person first.
_GIVEN = {"owner": ("owner_id",), "assignee": ("assignee_id", "assigned_role")}
_Made = TypeVar("_Made")


def may_merge(screen: Any, viewer: Viewer) -> bool:
    """Whether this person may merge records of the screen at all."""
    return (
        is_mergeable(screen) and viewer.person.may(screen.module, "merge") and viewer.person.may(screen.module, "write")
    )


def is_mergeable(screen: Any) -> bool:
    """Whether records of the screen can be merged."""
    return screen.service.record in RECORDS.values()


def screens(viewer: Viewer) -> list[Any]:
    """The screens whose records this person may merge."""
    found = (screen_of(record) for record in RECORDS.values())
    return [screen for screen in found if screen is not None and may_merge(screen, viewer)]


def screen_for(kind: str, viewer: Viewer) -> Any:
    """The screen of these records. Raises NotFound, Denied."""
    screen = next(
        (each for record in RECORDS.values() if (each := screen_of(record)) is not None and kind_of(each) == kind), None
    )
    if screen is None:
        raise NotFound(_("There is no such list."))
    for verb in ("merge", "write"):
        viewer.person.refuse_unless(screen.module, verb)
    return screen


def ids_of(raw: Sequence[Any]) -> tuple[int, ...]:
    """The ids without duplicates. Raises RuleBroken for too many, or anything else."""
    keys = tuple(dict.fromkeys(parse_id(each) or 0 for each in raw))
    if 0 in keys:
        raise RuleBroken(_("Please choose the records to merge by their IDs."), "with")
    if len(keys) > MOST:
        raise RuleBroken(_("At most %(most)s records can be merged at once.", most=MOST), "with")
    return keys


def rows_for(view: Any, ids: Sequence[int]) -> list[Any]:
    """The records, each of which the person may change and merge. Raises NotFound, Denied."""
    rows = []
    for key in ids:
        row = view.row_for(key, "write")
        view.refuse_unless_reached(row, "merge")
        rows.append(row)
    return rows


def is_masked(view: Any, name: str, viewer: Viewer) -> bool:
    """Whether the person doesn't see this field."""
    each = view.record_table.by_name.get(name)
    return each is not None and each.is_hidden(viewer)


def drop_unseen_numbers(view: Any, merge_request: MergeRequest, viewer: Viewer) -> MergeRequest:
    """The request, without main numbers that the person doesn't see as second numbers, which they would see."""
    rows, kept_apart = stored_rows(merge_request.record, merge_request.ids), dict[str, MergeChoice]()
    for name, main in SECOND.items():
        if rows and is_masked(view, main, viewer) and not is_masked(view, name, viewer):
            own = merge_fields.newest_own(merge_request.record, rows, name)
            kept_apart |= {name: own} if own is not None else {}
    return replace(merge_request, chosen=kept_apart | dict(merge_request.chosen)) if kept_apart else merge_request


def refuse_masked(view: Any, choices: Mapping[str, MergeChoice], viewer: Viewer) -> None:
    """Raise RuleBroken for a choice between values that the person doesn't see."""
    for name in (each for field, choice in choices.items() for each in (field, choice.name)):
        if is_masked(view, name, viewer):
            raise RuleBroken(
                _("You can't see “%(name)s”, so you can't choose it. The merge keeps a value by itself.", name=name),
                name,
            )


def refuse_given(view: Any, merge_request: MergeRequest, viewer: Viewer) -> None:
    """Raise Denied or RuleBroken for a choice that would assign the remaining record to somebody else."""
    rows = stored_rows(merge_request.record, merge_request.ids)
    by_id, proposed = {row.id: row for row in rows}, merge_fields.defaults(merge_request.record, rows) if rows else {}
    for name, columns in _GIVEN.items():
        choice = merge_request.chosen.get(name)
        row = by_id.get(choice.record_id) if choice is not None and choice != proposed.get(name) else None
        if row is None or all(getattr(row, each) == getattr(rows[0], each) for each in columns):
            continue
        viewer.person.refuse_unless(view.module, "assign")
        refuse_recipient(getattr(row, columns[0]), view.module, viewer, name)


def run(view: Any, merge_request: MergeRequest, viewer: Viewer) -> RecordMerge:
    """Merge and commit. Raises RuleBroken or a subclass; nothing is stored then."""
    refuse_masked(view, merge_request.chosen, viewer)
    refuse_given(view, merge_request, viewer)
    merge_request = drop_unseen_numbers(view, merge_request, viewer)

    def step() -> RecordMerge:
        rows_for(view, merge_request.ids)
        session, context = db.session(), viewer.change_context(vault=vault())
        with access.as_system(session):
            made = record_merge.merge(session, merge_request, context)
        session.commit()
        return made

    return _retried(step)


def undo(key: int, viewer: Viewer, view: Any = None) -> UndoResult:
    """Undo a merge and commit. Raises RuleBroken or a subclass; nothing is stored then."""

    def step() -> UndoResult:
        session = db.session()
        refuse_foreign(find(key), viewer, view)
        with access.as_system(session):
            done = merge_undo.undo(session, key, viewer.change_context(vault=vault()))
        session.commit()
        return done

    return _retried(step)


def find(key: int) -> RecordMerge:
    """The merge of this id. Raises NotFound."""
    session = db.session()
    with access.as_system(session):
        made = session.scalars(select(RecordMerge).where(RecordMerge.id == key)).first()
    if made is None:
        raise NotFound(_("There is no such merge."))
    return made


def refuse_foreign(merge: RecordMerge, viewer: Viewer, view: Any = None) -> Any:
    """The screen of a merge that the person may undo. Raises NotFound, Denied for any other."""
    screen = screen_of(RECORDS[merge.kind])
    if view is not None and view.service.record is not RECORDS[merge.kind]:
        raise NotFound(_("There is no such merge."))
    viewer.person.refuse_unless(screen.module, "merge")
    if _exists(RECORDS[merge.kind], merge.kept_id):
        rows_for(screen, (merge.kept_id,))
    elif not viewer.person.is_admin and merge.by_id != viewer.person.id:
        raise NotFound(_("There is no such merge."))
    return screen


def _exists(record: Any, key: int) -> bool:
    session = db.session()
    with access.as_system(session):
        return session.execute(select(record.id).where(record.id == key)).first() is not None


def _retried(step: Callable[[], _Made]) -> _Made:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return step()
        except DBAPIError as error:
            db.session.rollback()
            if cause_of(error) is not Cause.COLLIDED or attempt == _ATTEMPTS:
                raise
            time.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
    raise AssertionError("unreachable")


def stored_rows(record: Any, ids: Sequence[int]) -> list[Any]:
    """The stored rows, in this order: for rules that include what a mask hides."""
    session = db.session()
    with access.as_system(session):
        found = {row.id: row for row in session.scalars(select(record).where(record.id.in_(ids)))}
    return [found[key] for key in ids if key in found]


def proposal(view: Any, ids: Sequence[int], viewer: Viewer) -> dict[str, Any]:
    """What merging these records would do: {fields: {name: id}, conflicts: [name], moves: {table: count}}.

    Conflicts of fields that the person doesn't see are left out.
    """
    record = view.service.record
    rows = stored_rows(record, ids)
    named, offered = view.record_table.by_name, merge_fields.offered(record, rows)
    session = db.session()
    with access.as_system(session):
        moves = merge_rows.counts(session, record.__tablename__, list(ids[1:]))
    return {
        "fields": {name: choice.record_id for name, choice in merge_fields.defaults(record, rows).items()},
        "conflicts": [
            each.name
            for each in offered
            if merge_fields.is_conflict(each, rows) and not (each.name in named and named[each.name].is_hidden(viewer))
        ],
        "moves": dict(sorted(moves.items())),
    }


def action(kind: str, row: dict[str, Any], module: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The entry in a record page's menu."""
    if not viewer.person.may(module, "merge"):
        return []
    return [{"label": _("Merge…"), "url": f"/merge/{kind}?ids={row['id']}", "method": "get", "icon": "git-merge"}]


def refuse_other_record(key: int, kept: int) -> None:
    """Raise NotFound unless this is a merge into the record with that id."""
    if find(key).kept_id != kept:
        raise NotFound(_("There is no such merge."))


def try_out(view: Any, merge_request: MergeRequest, viewer: Viewer) -> None:
    """Merge and roll back. Raises what the merge would raise."""
    refuse_masked(view, merge_request.chosen, viewer)
    refuse_given(view, merge_request, viewer)
    merge_request = drop_unseen_numbers(view, merge_request, viewer)
    session, context = db.session(), viewer.change_context(vault=vault())
    try:
        with access.as_system(session):
            record_merge.merge(session, merge_request, context)
    finally:
        session.rollback()
