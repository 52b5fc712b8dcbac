"""The field `close_tasks`: tasks of a record that are marked as done with a status change or a call outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.generated_titles import shown_title
from app.lib.ids import parse_id
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer


class TaskIdsField(Field):
    """Ids of the tasks to close with a status change."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "array", "items": {"type": "integer"}}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A list of ids; None if none is given."""
        return None if raw is None else chosen_tasks(raw)


def chosen_tasks(raw: Any) -> list[int]:
    """Ids of tasks from a list or a comma-separated text. Raises RuleBroken for anything else."""
    parts = raw if isinstance(raw, list) else str(raw or "").split(",")
    ids = [key for part in parts if (key := parse_id(str(part).strip())) is not None]
    if len(ids) != len([part for part in parts if str(part).strip()]):
        raise RuleBroken(_("“close_tasks” must be a list of task IDs."), "close_tasks")
    return ids


def tasks_input(found: Iterable[tuple[int, str, Any]], chosen: Collection[str], viewer: Viewer) -> dict[str, Any]:
    """Checkboxes for (id, title, due time) of tasks to close, for the form macro."""
    options = []
    for key, title, due_on in found:
        due, name = moment_cell(due_on, viewer), shown_title(title)
        options.append((key, f"{name} · {due['title']}" if due_on else name))
    return {
        "name": "close_tasks",
        "label": _("Mark as done"),
        "kind": "checks",
        "options": options,
        "value": [key for key, _label in options if str(key) in chosen],
        "errors": [],
        "wide": True,
    }
