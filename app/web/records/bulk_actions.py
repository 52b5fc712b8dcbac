"""Bulk actions: actions on many rows of a list, each checked individually."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder.actions import ActionItem
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.exc import SQLAlchemyError

from app.domain.base import NotFound, RuleBroken
from app.domain.notifications.notice_batches import NoticeBatch, one_notice_each
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.ops.database.database_errors import cause_of
from app.web.core.fab_access import REFUSABLE, current_viewer, database_sentence, refusal_of_one
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records import bulk_undo_actions
from app.web.records.bulk_preview import BulkPreview
from app.web.records.row_names import MAX_NAMED, list_url, name_some, row_name

log = logging.getLogger("crm.views")
#: Rows of one bulk action.
MAX_ROWS = 500
__all__ = ["MAX_NAMED", "MAX_ROWS", "BulkAction", "BulkActions", "row_name", "set_column"]


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
    #: Inputs of the action, for the form macro.
    fields: tuple[dict[str, Any], ...] = ()
    #: The URL of a page that takes over the selection instead: it needs more input.
    opens: str | None = None
    #: The message, e.g. “Deleted”; None = the action's label with the chosen value, e.g. “Status: Contacted”.
    done: str | None = None
    #: The changed columns, whose former values are stored for an undo; empty = no undo.
    undo: tuple[str, ...] = ()
    #: Whether it can be tried on a row and rolled back; not for actions declared in FAB's way.
    can_be_tried: bool = True

    def shown(self) -> dict[str, Any]:
        """The context for the templates."""
        return {
            "name": self.name,
            "label": self.label,
            "icon": self.icon,
            "confirm": self.confirm,
            "asks": bool(self.fields),
            "is_tried": self.can_be_tried and self.opens is None,
        }


def shared_actions(screen: Any, viewer: Viewer) -> list[BulkAction]:
    """The actions of every record: FAB's declared actions, the status if it has one, deletion."""
    if not viewer.person.may(screen.module, "bulk"):
        return []
    may_write = viewer.person.may(screen.module, "write")
    made = [_declared(action) for action in screen.actions.values() if action.multiple and may_write]
    if screen.status_picklist and may_write:
        status = screen.record_table.by_name["status"].form_input(None, [], viewer) | {"required": True}
        change, kept = _column_setter(screen, "status"), (screen.record_table.by_name["status"].key,)
        made.append(BulkAction("status", _("Status"), "arrow-right", change, fields=(status,), undo=kept))
    if screen.bulk_edit_columns and may_write:
        made.append(_editor(screen, viewer))
    if viewer.person.may(screen.module, "delete") and "delete" not in screen.exclude_route_methods:
        sure = _("Delete the selected records?")
        remove = _remover(screen)
        made.append(BulkAction("delete", _("Delete"), "trash", remove, verb="delete", confirm=sure, done=_("Deleted")))
    return [*_send_to_many(screen, viewer), *made]


#: Screens whose records can be sent a campaign -> their part of its URL.
SENT_FROM = {"Leads": "leads", "Customers": "customers"}


def _send_to_many(screen: Any, viewer: Viewer) -> list[BulkAction]:
    """The campaign for the selected records, for people who may send to many."""
    person, kind = viewer.person, SENT_FROM.get(screen.module)
    if kind is None or not (person.may("Messages", "bulk") and person.may("Messages", "create")):
        return []
    label = _("Send a message…")
    return [BulkAction("message", label, "send", lambda *_: None, verb="read", opens=f"/campaigns/choose/{kind}")]


def _declared(action: Any) -> BulkAction:
    return BulkAction(
        *(action.name, str(action.text), _icon(action.icon), lambda *_: None),
        confirm=action.confirmation or None,
        can_be_tried=False,
    )


def _icon(name: str | None) -> str:
    """The icon's name without Font Awesome's prefix, which FAB uses."""
    return (name or "checkbox").removeprefix("fa-").removesuffix("-o")


def _column_setter(screen: Any, name: str, value: Any = None) -> Callable[[Any, Any, Viewer], None]:
    def run(row: Any, form: Any, viewer: Viewer) -> None:
        raw = {name: value if value is not None else form.get(name)}
        screen.change_row(row, screen.record_table.parse(raw, "edit", viewer), None, viewer)

    return run


def _editor(screen: Any, viewer: Viewer) -> BulkAction:
    """Change several columns at once; empty inputs leave them unchanged."""
    named = screen.record_table.by_name
    names = (*screen.bulk_edit_columns, *screen.record_table.declared.custom)
    fields = [named[name] for name in names if not named[name].is_hidden(viewer)]
    inputs = [each.form_input(None, [], viewer) | {"required": False} for each in fields]
    if inputs:
        inputs[-1]["help"] = _("Only what you fill in is changed.")

    def run(row: Any, form: Any, viewer: Viewer) -> None:
        raw = {each.name: form.get(each.name) for each in fields if form.get(each.name)}
        if not raw:
            raise RuleBroken(_("Please fill in what is to be changed."))
        screen.change_row(row, screen.record_table.parse(raw, "edit", viewer), None, viewer)

    keys = tuple(dict.fromkeys("custom" if each.shares_column else each.key for each in fields))
    return BulkAction("edit", _("Edit"), "pencil", run, fields=tuple(inputs), done=_("Changed"), undo=keys)


def _remover(screen: Any) -> Callable[[Any, Any, Viewer], None]:
    def run(row: Any, _form: Any, viewer: Viewer) -> None:
        screen.remove_row(row, viewer)

    return run


def set_column(screen: Any, name: str, value: str) -> Callable[[Any, Any, Viewer], None]:
    """The action that sets a column to this value."""
    return _column_setter(screen, name, value)


@dataclass
class _BulkResult:
    """The result of a bulk action."""

    #: Names of the rows that were changed.
    done: list[str] = field(default_factory=list)
    #: (name of the row, "" = out of reach; why it was refused).
    failed: list[tuple[str, str]] = field(default_factory=list)
    #: User id -> number of records they got.
    takers: Counter[int] = field(default_factory=Counter)
    #: The replaced values, as BulkChange.rows.
    replaced: list[dict[str, Any]] = field(default_factory=list)

    def messages(self, screen: Any, action: BulkAction, viewer: Viewer) -> list[tuple[str, str]]:
        """(sentence, category): what was done to which rows, then what was refused and why."""
        made = []
        if self.done:
            what = action.done or chosen_value(action, request.form) or action.label
            summary = screen.bulk_summary(self.takers, viewer)
            count = ngettext("%(num)s record", "%(num)s records", GroupedInt(len(self.done)))
            text = _("%(what)s – %(count)s: %(names)s.", what=what, count=count, names=name_some(self.done))
            made.append((f"{text} {summary}".strip(), "success"))
        elif not self.failed:
            made.append((_("Please select at least one row."), "info"))
        return made + [(text, "warning") for text in self._refusals()]

    def _refusals(self) -> list[str]:
        """One sentence per reason, with the rows refused for it."""
        reasons: dict[str, list[str]] = {}
        for name, why in self.failed:
            reasons.setdefault(why, []).append(name)
        made = []
        for why, names in reasons.items():
            known = [name for name in names if name]
            count = ngettext(
                "%(num)s record was not changed", "%(num)s records were not changed", GroupedInt(len(names))
            )
            listed = f" ({name_some(known)})" if known else ""
            made.append(f"{count}{listed}: {why}")
        return made


def chosen_value(action: BulkAction, form: Any) -> str:
    """“Status: Contacted”: the action with the label of the submitted value."""
    for each in action.fields:
        labels = {str(value): str(label) for value, label in each.get("options") or ()}
        if form.get(each["name"]) in labels:
            return f"{action.label}: {labels[form[each['name']]]}"
    return ""


class BulkActions(BulkPreview):
    """The endpoints of a screen's bulk actions, and of FAB's declared ones."""

    service: Any
    module: str
    actions: dict[str, Any]
    route_base: Any
    row_for: Any

    @page_route("/action/<string:name>/<pk>", methods=["POST"], permission="action_post")
    def action(self, name: str, pk: str) -> Any:
        """Run a bulk action on one record."""
        return self._run_action(name, [pk])

    @page_route("/action_post", methods=["POST"])
    def action_post(self) -> Any:
        """Run an action on the selected records; those out of reach are refused by number, the others are changed."""
        keys = request.form.getlist("rowid")
        if len(keys) > MAX_ROWS:
            raise RuleBroken(_("Please select at most %(most)s rows at once.", most=MAX_ROWS))
        return self._run_action(request.form.get("action", ""), keys)

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
        action = next((each for each in self.bulk_actions(viewer) if each.name == name), None)
        if action is None:
            raise NotFound(_("There is no such action."))
        if action.opens is not None:
            return redirect(action.opens, 307)  # the browser posts the selection there
        result = _BulkResult()
        with one_notice_each(db.session(), viewer.now) as notices:
            waiting = deque(dict.fromkeys(keys))
            while waiting:
                try:
                    self._run_one(action, waiting[0], result, notices)
                except SQLAlchemyError as trouble:  # the others would fail, too, each after a wait
                    cause = cause_of(trouble)
                    if cause is None or not result.done:
                        raise
                    result.failed += [("", database_sentence(cause))] * len(waiting)
                    break
                waiting.popleft()
        messages = result.messages(self, action, viewer)
        undo = bulk_undo_actions.remember(self, result.replaced, messages[0][0], viewer) if result.replaced else None
        db.session.commit()
        for sentence, category in messages:
            can_undo = undo is not None and category == "success"
            flash({"text": sentence, "undo": undo} if can_undo else sentence, category)  # type: ignore[arg-type]
        return redirect(list_url(self.route_base))

    def _run_one(self, action: BulkAction, key: str, result: _BulkResult, notices: NoticeBatch) -> None:
        """Run the action on one row, in a transaction of its own."""
        name = ""
        try:
            name = row_name(self, self.row_for(key, "read"))  # so that a refusal can name it
            row = self.row_for(key, action.verb)
            before = bulk_undo_actions.previous_values(row, action.undo)
            with notices.record():
                taker = action.run(row, request.form, current_viewer())
                bulk_undo_actions.refuse_unchanged(row, action.undo, before)
                db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            result.failed.append((name, refusal_of_one(broken)[1]))
        else:
            result.done.append(name)
            result.takers.update([taker] if taker else [])
            if action.undo:
                result.replaced.append({"id": row.id, "version": getattr(row, "version", None), "before": before})

    def _run_declared(self, declared: ActionItem, keys: Iterable[str]) -> Any:
        """Run FAB's @action: the method gets the rows that the person can change, or one row, and returns the
        response.
        """
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
