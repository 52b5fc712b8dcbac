"""Bulk actions: what may be done to many rows of a list at once, each row for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app.web.core.fields import Viewer


@dataclass(frozen=True)
class BulkAction:
    """One button of the bar that appears when rows are chosen."""

    name: str
    label: str
    icon: str
    #: (row, form, viewer) → the user id of who got the record, or None. Raises RuleBroken.
    run: Callable[[Any, Any, Viewer], int | None]
    #: The verb of the matrix that each row must allow.
    verb: str = "write"
    confirm: str | None = None
    #: Inputs that the action asks for, as the form macro draws them.
    fields: tuple[dict[str, Any], ...] = ()

    def shown(self) -> dict[str, Any]:
        """As the templates draw it."""
        return {
            "name": self.name,
            "label": self.label,
            "icon": self.icon,
            "confirm": self.confirm,
            "fields": list(self.fields),
        }


def shared_actions(screen: Any, viewer: Viewer) -> list[BulkAction]:
    """Those of every record: FAB's declared actions, its status where it has one, deletion."""
    if not viewer.person.may(screen.module, "bulk"):
        return []
    made = [_declared(action) for action in screen.actions.values() if action.multiple]
    if screen.status_master and viewer.person.may(screen.module, "write"):
        asked = screen.record_table.by_name["status"].form_input(None, [], viewer) | {"required": True}
        change = _column_setter(screen, "status")
        made.append(BulkAction("status", _("Status"), "arrow-right", change, fields=(asked,)))
    if viewer.person.may(screen.module, "delete") and "delete" not in screen.exclude_route_methods:
        sure = _("Delete the selected records?")
        made.append(BulkAction("delete", _("Delete"), "trash", _remover(screen), verb="delete", confirm=sure))
    return made


def _declared(action: Any) -> BulkAction:
    return BulkAction(
        action.name, str(action.text), _icon(action.icon), lambda *_: None, confirm=action.confirmation or None
    )


def _icon(name: str | None) -> str:
    """Font Awesome's names are FAB's; ours have no prefix."""
    return (name or "checkbox").removeprefix("fa-").removesuffix("-o")


def _column_setter(screen: Any, name: str, value: Any = None) -> Callable[[Any, Any, Viewer], None]:
    def run(row: Any, form: Any, viewer: Viewer) -> None:
        raw = {name: value if value is not None else form.get(name)}
        screen.change_row(row, screen.record_table.parse(raw, "edit", viewer), None, viewer)

    return run


def _remover(screen: Any) -> Callable[[Any, Any, Viewer], None]:
    def run(row: Any, _form: Any, viewer: Viewer) -> None:
        screen.remove_row(row, viewer)

    return run


def set_column(screen: Any, name: str, value: str) -> Callable[[Any, Any, Viewer], None]:
    """The action that gives a column this value."""
    return _column_setter(screen, name, value)
