"""Bulk actions: actions on many rows of a list, each row in its own right."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.actions import ActionItem
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _

from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.web.core.fields import Viewer
from app.web.core.gate import REFUSABLE, current_viewer, refusal_of_one
from app.web.core.relation_fields import label_of
from app.web.pages.refusals import refuse_as_page

log = logging.getLogger("crm.views")
#: Refused records that are told one by one.
_MOST_TOLD = 10


@dataclass(frozen=True)
class BulkAction:
    """One button of the bar that appears when rows are selected."""

    name: str
    label: str
    icon: str
    #: (row, form, viewer) → the user id of the new assignee, or None. Raises RuleBroken.
    run: Callable[[Any, Any, Viewer], int | None]
    #: The verb of the role matrix that is required on each row.
    verb: str = "write"
    confirm: str | None = None
    #: Inputs that the action asks for, as the form macro draws them.
    fields: tuple[dict[str, Any], ...] = ()

    def shown(self) -> dict[str, Any]:
        """The context of the templates."""
        return {
            "name": self.name,
            "label": self.label,
            "icon": self.icon,
            "confirm": self.confirm,
            "fields": list(self.fields),
        }


def shared_actions(screen: Any, viewer: Viewer) -> list[BulkAction]:
    """The actions of every record: FAB's declared actions, the status if it has one, deletion."""
    if not viewer.person.may(screen.module, "bulk"):
        return []
    may_write = viewer.person.may(screen.module, "write")
    made = [_declared(action) for action in screen.actions.values() if action.multiple and may_write]
    if screen.status_master and may_write:
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
    """The icon's name without Font Awesome's prefix, which FAB uses."""
    return (name or "checkbox").removeprefix("fa-").removesuffix("-o")


def _named(row: Any) -> str:
    """How people call a record: its number and name. A row that the person does not see has none."""
    if row is None:
        return _("A selected record")
    number, name = getattr(row, "number", None), getattr(row, "display_name", None)
    return " ".join(dict.fromkeys(filter(None, (number, name)))) or label_of(row)


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


class BulkActions:
    """The endpoints of a screen's bulk actions, and of FAB's declared ones."""

    service: Any
    module: str
    actions: dict[str, Any]
    route_base: Any
    row_for: Any

    @expose("/action/<string:name>/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("action_post")
    def action(self, name: str, pk: str) -> Any:
        """An action on one record."""
        return self._run_action(name, [pk])

    @expose("/action_post", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("action_post")
    def action_post(self) -> Any:
        """An action on the selected records; those out of reach are refused by number, the others are done."""
        return self._run_action(request.form.get("action", ""), request.form.getlist("rowid")[:500])

    def bulk_actions(self, viewer: Viewer) -> list[BulkAction]:
        """The bulk actions that the viewer can use; subclasses add theirs."""
        return shared_actions(self, viewer)

    def bulk_summary(self, takers: Counter[int], viewer: Viewer) -> str:
        """Text after the number of updated rows; `takers`: user id → number of records they got."""
        return ""

    def _run_action(self, name: str, keys: Iterable[str]) -> Any:
        declared: ActionItem | None = self.actions.get(name)
        if declared is not None:
            return self._run_declared(declared, keys)
        viewer = current_viewer()
        known = {action.name: action for action in self.bulk_actions(viewer)}
        if name not in known:
            raise NotFound(_("There is no such action."))
        done, failed, takers = 0, [], Counter[int]()
        for key in dict.fromkeys(keys):
            row = None
            try:
                row = self.row_for(key, "read")
                taker = known[name].run(self.row_for(key, known[name].verb), request.form, viewer)
                db.session.commit()
                done += 1
                takers.update([taker] if taker else [])
            except REFUSABLE as broken:
                db.session.rollback()
                failed.append(f"{_named(row)}: {refusal_of_one(broken)[1]}")
        sentences = [_("%(n)s updated.", n=done), self.bulk_summary(takers, viewer)]
        flash(" ".join(filter(None, sentences)), "success" if done else "info")
        for sentence in failed[:_MOST_TOLD]:
            flash(sentence, "warning")
        if len(failed) > _MOST_TOLD:
            flash(_("%(n)s more were refused.", n=len(failed) - _MOST_TOLD), "warning")
        return redirect(f"{self.route_base}/")

    def _run_declared(self, declared: ActionItem, keys: Iterable[str]) -> Any:
        """FAB's @action: the method gets the rows that the person can change, or one row, and returns the response."""
        current_viewer().person.refuse_unless(self.module, "bulk")
        rows = [self.row_for(key, "write") for key in dict.fromkeys(keys)]
        if not rows:
            raise RuleBroken(_("Please select at least one row."))
        try:
            answer = declared.func(rows if declared.multiple and request.path.endswith("/action_post") else rows[0])
        except ValueError as refused:
            if isinstance(refused, REFUSABLE):
                raise
            log.info("%s.%s refused: %r", type(self).__name__, declared.name, refused)
            raise RuleBroken(str(refused) or _("This is not allowed.")) from refused
        db.session.commit()
        return answer
