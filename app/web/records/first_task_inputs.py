"""The first task of a new lead or ticket in its quick form: a title and a due time, both optional."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.models import Lead, Task, Ticket
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer

#: Input of the form -> field of the task.
_INPUTS = {"task_title": "title", "task_due_on": "due_on"}


def is_offered(screen: Any, viewer: Viewer) -> bool:
    """Whether the quick form of these records asks for a first task: of leads and tickets, if the person adds tasks."""
    return screen.service.record in (Lead, Ticket) and viewer.person.may("Tasks", "create")


def typed(screen: Any, viewer: Viewer) -> dict[str, Any]:
    """{task: {title, due_on}} as the person typed them; {} for none: the CRM chooses both. Raises RuleBroken."""
    given = {name: request.form.get(name, "").strip() for name in _INPUTS}
    if not is_offered(screen, viewer) or not any(given.values()):
        return {}
    named, task, errors = screen_of(Task).record_table.by_name, {}, dict[str, list[str]]()
    for name, column in _INPUTS.items():
        try:
            task[column] = named[column].parse(given[name], viewer) if given[name] else None
        except RuleBroken as broken:
            errors[name] = [broken.message]
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    return {"task": {column: value for column, value in task.items() if value is not None}}


def inputs(screen: Any, errors: dict[str, Any], viewer: Viewer, keeps: bool) -> list[dict[str, Any]]:
    """The inputs for the form macro, `keeps`: with what was typed; empty if none is asked for."""
    if not is_offered(screen, viewer):
        return []
    named = screen_of(Task).record_table.by_name
    labels = {"task_title": _("First task"), "task_due_on": _("First task due")}
    helps = {"task_title": _("Without a title or time, the CRM chooses them.")}
    return [
        named[column].form_input((request.form.get(name) or None) if keeps else None, errors.get(name, []), viewer)
        | {"name": name, "label": labels[name], "required": False, "help": helps.get(name)}
        for name, column in _INPUTS.items()
    ]
