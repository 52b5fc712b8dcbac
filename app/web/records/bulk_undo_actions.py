"""Undoes a bulk action: each row gets its former values, through the service that changed them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _

from app.domain import bulk_undo
from app.domain.base import Conflict, RuleBroken
from app.domain.bulk_undo import BulkChange
from app.domain.working_time.sla import CLOCK_COLUMNS, SlaRecord
from app.extensions import db
from app.web.core import request_custom_fields
from app.web.core.viewer import Viewer
from app.web.records import assignment_actions

#: Where the SLA clock is kept among the previous values of a change of status.
_CLOCK = "clock"


def previous_values(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The values that the action is about to replace, in their JSON form."""
    kept = {name: _as_json(value) for name, value in bulk_undo.values_of(row, names).items()}
    if "custom" in kept:  # including those without a value, so that a value given by the action is removed again
        fields = request_custom_fields.current().of(row.__tablename__)
        kept["custom"] = {"json": {each.name: (row.custom or {}).get(each.name) for each in fields}}
    if "status_id" in names and isinstance(row, SlaRecord):
        clock = bulk_undo.values_of(row, CLOCK_COLUMNS)
        kept[_CLOCK] = {name: _as_json(value) for name, value in clock.items()}
    return kept


def refuse_unchanged(row: Any, names: tuple[str, ...], before: dict[str, Any]) -> None:
    """Raise RuleBroken if an action that sets these columns left all of them as they were."""
    if names and previous_values(row, names) == before:
        raise RuleBroken(_("Has these values already."))


def _as_json(value: Any) -> Any:
    return {"moment" if isinstance(value, datetime) else "day": value.isoformat()} if isinstance(value, date) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if "json" in value:
            return value["json"]
        return datetime.fromisoformat(value["moment"]) if "moment" in value else date.fromisoformat(value["day"])
    return value


def remember(screen: Any, replaced: list[dict[str, Any]], label: str, viewer: Viewer) -> dict[str, Any]:
    """Store the replaced values. Returns the button of the message: {url, fields}."""
    made = BulkChange(user_id=viewer.person.id, module=screen.list_key, label=label[:200], at=viewer.now, rows=replaced)
    change = bulk_undo.remember(db.session(), made)
    return {"url": f"{screen.route_base}/undo", "fields": {"change": change.id}}


def values_before(kept: dict[str, Any]) -> dict[str, Any]:
    """The former values of one row, by column."""
    return {name: _from_json(value) for name, value in kept["before"].items() if name != _CLOCK}


def restore(screen: Any, row: Any, kept: dict[str, Any], viewer: Viewer) -> None:
    """Restore the former values of one row. Raises Conflict if it was changed since."""
    if kept["version"] is not None and row.version != kept["version"]:
        raise Conflict(_("It was changed since."))
    values = values_before(kept)
    if "assignee_id" in values and hasattr(screen, "assign"):
        chosen = values.pop("assignee_id")
        if chosen is None:
            raise RuleBroken(_("It had no assignee before."))
        if row.assignee_id != chosen:
            assignment_actions.assign_directly(screen, row, chosen, viewer, "undo")
    if values:
        viewer.is_undoing = True
        try:
            screen.change_row(row, values, None, viewer)
        finally:
            viewer.is_undoing = False
    for name, value in kept["before"].get(_CLOCK, {}).items():  # what the action counted as, it doesn't any more
        setattr(row, name, _from_json(value))
