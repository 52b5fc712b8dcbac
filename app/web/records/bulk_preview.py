"""Before a bulk action: a preview of which rows would change, and why not the others. And after it: undo."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _
from flask_babel import ngettext

from app.domain import bulk_undo
from app.domain.base import NotFound, RuleBroken
from app.domain.notifications.notice_batches import one_notice_each
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.lib.ids import parse_id
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal_of_one
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records import bulk_undo_actions
from app.web.records.row_names import list_url, name_some, row_name

#: Rows that a preview tries; it says if there are more.
MAX_TRIED = 100


class BulkPreview:
    """The endpoints of a screen around its bulk actions."""

    row_for: Any
    route_base: Any
    url_of: Any
    bulk_actions: Any
    list_key: str

    @page_route("/bulk/forms", methods=["GET"], permission="action_post")
    def bulk_forms(self) -> Any:
        """The inputs of the viewer's bulk actions: a fragment, fetched when the first row is selected."""
        asking = [action for action in self.bulk_actions(current_viewer()) if action.fields]
        return render_template("records/_bulk_forms.html", page={"actions": asking})

    @page_route("/bulk/preview", methods=["POST"], permission="action_post")
    def bulk_preview(self) -> Any:
        """Try the action on each row and roll it back: how many would change, and why not the others. A fragment."""
        viewer, name = current_viewer(), request.form.get("action", "")
        action = next((each for each in self.bulk_actions(viewer) if each.name == name), None)
        if action is None:
            raise NotFound(_("There is no such action."))
        keys = list(dict.fromkeys(request.form.getlist("rowid")))
        allowed, refused = 0, []
        for key in keys[:MAX_TRIED]:
            why = self._try(key, action, viewer)
            allowed += why is None
            refused += [why] if why else []
        page = {
            "allowed": ngettext("%(num)s record will change.", "%(num)s records will change.", GroupedInt(allowed)),
            "is_none": not allowed and len(keys) <= MAX_TRIED,
            "refused": _grouped(refused),
            "untried": GroupedInt(max(0, len(keys) - MAX_TRIED)),
            "can_undo": bool(action.undo),
        }
        return render_template("records/_bulk_preview.html", page=page)

    def _try(self, key: str, action: Any, viewer: Viewer) -> tuple[str, str] | None:
        """None if the row would be changed, else (its name, why not); everything is rolled back."""
        name = ""
        try:
            name = row_name(self, self.row_for(key, "read"))
            row = self.row_for(key, action.verb)
            before = bulk_undo_actions.previous_values(row, action.undo)
            with one_notice_each(db.session(), viewer.now) as notices, notices.record():
                action.run(row, request.form, viewer)
                db.session.flush()
            bulk_undo_actions.refuse_unchanged(row, action.undo, before)
            return None
        except REFUSABLE as broken:
            db.session.rollback()
            return name, refusal_of_one(broken)[1]
        finally:
            db.session.rollback()

    @page_route("/undo", methods=["POST"])
    def undo(self) -> Any:
        """Undo the person's own bulk action; rows that were changed since stay unchanged."""
        viewer, session = current_viewer(), db.session()
        change = bulk_undo.claim(session, parse_id(request.form.get("change")) or 0, viewer.person.id, viewer.now)
        rows, module = change.rows, change.module
        if module != self.list_key:
            raise NotFound(_("There is nothing to undo here."))
        session.commit()
        done: list[str] = []
        refused: list[tuple[str, str]] = []
        with one_notice_each(session, viewer.now) as notices:
            for kept in rows:
                found = self._undo_one(kept, notices, viewer)
                refused.append(found) if isinstance(found, tuple) else done.append(found)
        session.commit()
        if done:
            count = ngettext(
                "Undone for %(num)s record: %(names)s.",
                "Undone for %(num)s records: %(names)s.",
                GroupedInt(len(done)),
                names=name_some(done),
            )
            flash(count, "success")
        for text in _grouped(refused):
            flash(text, "warning")
        return redirect(self._page_after_undo(rows))

    def _page_after_undo(self, rows: list[dict[str, Any]]) -> str:
        """The record's page if the undone action was made there and the person still sees it, else the list."""
        if request.form.get("to") == "record" and len(rows) == 1:
            with suppress(RuleBroken):
                return str(self.url_of(self.row_for(str(rows[0]["id"]), "read")))
        return list_url(self.route_base)

    def _undo_one(self, kept: dict[str, Any], notices: Any, viewer: Viewer) -> Any:
        """The row's name, or (its name, why it stays unchanged)."""
        name = ""
        try:
            row = self.row_for(str(kept["id"]), "write")
            name = row_name(self, row)
            with notices.record():
                bulk_undo_actions.restore(self, row, kept, viewer)
                db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            return name, refusal_of_one(broken)[1]
        return name


def _grouped(refused: list[tuple[str, str]]) -> list[str]:
    """One sentence per reason, with the rows refused for it."""
    reasons: dict[str, list[str]] = {}
    for name, why in refused:
        reasons.setdefault(why, []).append(name)
    made = []
    for why, names in reasons.items():
        known = [name for name in names if name]
        count = ngettext("%(num)s record stays as it is", "%(num)s records stay as they are", GroupedInt(len(names)))
        made.append(f"{count}{f' ({name_some(known)})' if known else ''}: {why}")
    return made
