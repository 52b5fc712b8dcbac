"""What is wrong with a row of an imported file: all of it in one text, so that one correction is enough."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.notifications.notice_batches import NoticeBatch
from app.domain.persistence.session_context import session_context
from app.extensions import db
from app.ops.database.database_errors import cause_of
from app.web.core.fab_access import REFUSABLE, refusal
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.transfer.import_plan import ImportPlan

#: Sentences of one row; further ones are only counted.
MAX_SENTENCES = 5


def label_of(plan: ImportPlan, name: str) -> str:
    """The label of a field, as the page of the mapping shows it."""
    found = plan.kind.known.get(name)
    return str(found.label or name) if found is not None else name


def text_of(plan: ImportPlan, cells: list[str], broken: BaseException, asked: tuple[str, Viewer]) -> str:
    """The refusal of a row, and what else would be refused; each sentence says which field it is about.

    `asked`: "add" or "edit", and the viewer.
    """
    _status, text, errors = refusal(broken)
    known = plan.kind.known
    named = {name: sentences for name, sentences in errors.items() if name in known}
    found = [_about(label_of(plan, name), name, each) for name, every in errors.items() for each in every]
    found = found if named else [text]
    for name, every in _others(plan, cells, asked).items():
        if name not in errors:
            found += [_about(label_of(plan, name), name, translate_text(each)) for each in every]
    found = list(dict.fromkeys(found))
    left = len(found) - MAX_SENTENCES
    more = [_("Further errors: %(count)s.", count=left)] if left > 0 else []
    return " ".join([*found[:MAX_SENTENCES], *more])


def _others(plan: ImportPlan, cells: list[str], asked: tuple[str, Viewer]) -> dict[str, list[str]]:
    """Errors by field of the cells, of their values, of required fields without a value, and of the rules."""
    mode, viewer = asked
    try:
        made, errors = plan.read(cells)
    except RuleBroken:
        return {}
    if mode == "edit" or plan.options.assign != "column":
        made.pop(plan.kind.assignee, None)  # it isn't taken from the row
    values, refused = plan.kind.read(made, mode, viewer)
    if mode == "edit":
        return errors | refused
    missing = [name for name, each in plan.kind.known.items() if each.is_required and name not in made | errors]
    errors |= refused | {name: [_("Please fill this in.")] for name in missing}
    return errors if missing else _broken_rules(plan, values, viewer) | errors


class _Undone(Exception):
    """Ends the trial of a row that could be created."""


def _broken_rules(plan: ImportPlan, values: dict[str, Any], viewer: Viewer) -> dict[str, list[str]]:
    """Errors by field with which the rules refuse these values, each without those refused before; nothing is kept."""
    found: dict[str, list[str]] = {}
    for _time in range(MAX_SENTENCES):
        errors = _refusal_of(plan, dict(values), viewer)
        keys = {plan.kind.known[name].key for name in errors.keys() & plan.kind.known.keys()} & values.keys()
        found |= errors
        if not keys:
            break
        values = {key: value for key, value in values.items() if key not in keys}
    return {name: sentences for name, sentences in found.items() if name in plan.kind.known}


def _refusal_of(plan: ImportPlan, values: dict[str, Any], viewer: Viewer) -> dict[str, list[str]]:
    session = db.session()
    batch = session_context(session).notice_batch or NoticeBatch()
    try:
        with batch.record(), session.begin_nested():
            plan.kind.create(session, values, viewer)
            session.flush()
            raise _Undone
    except _Undone:
        return {}
    except REFUSABLE as broken:
        if cause_of(broken) is not None:
            raise
        return refusal(broken).errors
    finally:
        save_warnings.pop_all()


def _about(label: str, name: str, sentence: str) -> str:
    named = sentence.replace(f"“{name}”", f"“{label}”")
    return named if label.casefold() in named.casefold() else f"{label}: {named}"
