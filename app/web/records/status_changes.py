"""Changing the status of one record: from its page, and from a board; a status may have required inputs."""

from __future__ import annotations

from typing import Any

from flask import flash, make_response, redirect, render_template, request
from flask_babel import gettext as _

from app.domain.base import Conflict, NotFound
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.fab_access import (
    NOT_REFUSED,
    REFUSABLE,
    Refusal,
    current_viewer,
    parse_integer,
    refusal,
    sentence_header,
)
from app.web.core.localization.default_labels import shown_label
from app.web.core.repeated_writes import again_if_overtaken_with
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.pages.routes import page_route
from app.web.records import record_page as pages
from app.web.records.lists import board_page, list_groups

#: Fields that a page or a board sends besides the inputs of a status.
_OWN = ("status", "from", "asked", "version", "csrf_token")


class StatusMoves:
    """The endpoints of a screen for changing a status."""

    service: Any
    record_table: Any
    route_base: Any
    status_picklist: str
    status_requirements: dict[str, str]
    card_columns: tuple[str, ...]
    row_for: Any
    change_row: Any
    url_of: Any
    title_column: str
    list_title: Any
    _list_query: Any

    @page_route("/move/<pk>", methods=["GET", "POST"], permission="edit")
    def move(self, pk: str) -> Any:
        """Change the status; refused while a required field is missing. GET: the form with the required inputs."""
        if self.service.resource is None:
            raise NotFound(_("There is no such action."))
        row, viewer = self.row_for(pk, "write"), current_viewer()
        if request.method == "GET":
            status = parse_id(request.args.get("status"))
            wanted = pages.inputs_for_status(self, row.id, status, viewer)
            if not wanted or status is None:
                raise NotFound(_("There is no such page."))
            return self._asking_form(row, status, wanted, viewer)
        key, version = row.id, parse_integer(request.form.get("version"), 0, 0, 2**31) or None
        try:
            again_if_overtaken_with(
                row, lambda: self.row_for(pk, "write"), lambda each: self._move_to(each, version, viewer)
            )
        except REFUSABLE as broken:
            db.session.rollback()
            return self._asked_again(key, broken, viewer)
        return redirect(self.url_of(row))

    def _asked_again(self, key: int, broken: Exception, viewer: Viewer) -> Any:
        """The form with the input and its errors; re-raises errors that the form can't fix."""
        code, _sentence, errors = refusal(broken)
        row, status = self.row_for(key, "write"), parse_id(request.form.get("status"))
        wanted = pages.inputs_for_status(self, key, status, viewer)
        if status is None or not _fill(wanted, errors):
            raise broken
        return self._asking_form(row, status, wanted, viewer), code

    def _asking_form(self, row: Any, status: int, wanted: list[dict[str, Any]], viewer: Viewer) -> str:
        """The required inputs of the status: a dialog for the record's page, else a page of its own."""
        url = self.url_of(row)
        card = viewer.lookups.cards[self.status_picklist][status]
        page = {
            "id": status,
            "title": shown_label(card["label"]),
            "color": card.get("color") or "gray",
            "fields": wanted,
            "action": f"{self.route_base}/move/{row.id}",
            "version": parse_integer(request.values.get("version"), row.version, 1, 2**31),
            "list_url": url,
            "list_label": getattr(row, "number", None) or self.list_title,
        }
        template = "records/_status_dialog.html" if request.headers.get("HX-Request") else "records/status_form.html"
        return render_template(template, page=page)

    def _move_to(self, row: Any, version: int | None, viewer: Viewer) -> None:
        """Set the submitted status, with the submitted inputs, and commit."""
        raw: dict[str, Any] = {
            name: request.form[name]
            for name in ("status", *set(self.status_requirements.values()))
            if request.form.get(name)
        }
        if request.form.get("task_title") or request.form.get("task_due_on"):
            raw["task"] = {"title": request.form.get("task_title"), "due_on": request.form.get("task_due_on")}
        if request.form.get("offered_tasks") or request.form.getlist("close_tasks"):
            raw["close_tasks"] = request.form.getlist("close_tasks")
        values = self.service.record_table.parse(raw, "edit", viewer)
        self.change_row(row, values, version, viewer)
        db.session.commit()

    # --- boards

    @page_route("/board/<string:key>", methods=["GET"], permission="list")
    def board_column(self, key: str) -> Any:
        """Further cards of one column of the board."""
        self._refuse_without_board()
        viewer = current_viewer()
        list_query = self._list_query(viewer)
        return board_page.more_cards(self, list_query, key, viewer)

    @page_route("/board/move/<pk>", methods=["GET", "POST"], permission="edit")
    def board_move(self, pk: str) -> Any:
        """Move a card: the form with the statuses; then the status's required inputs; then the updated card."""
        self._refuse_without_board()
        row, viewer = self.row_for(pk, "write"), current_viewer()
        key, now = row.id, self._status_of(row)
        if request.method == "GET" or not request.form.get("status"):
            return self._move_form(key, now, viewer)
        self._refuse_moved(row, viewer)
        board_page.group_of(self, request.form["status"], viewer)  # a board that was opened before has other columns
        wanted = pages.inputs_for_status(self, key, parse_id(request.form["status"]), viewer)
        if wanted and not request.form.get("asked"):
            return self._needs_form(key, now, wanted)
        try:
            again_if_overtaken_with(row, lambda: self.row_for(pk, "write"), lambda each: self._move_card(each, viewer))
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            if not wanted:
                raise
            return self._needs_form(key, now, wanted, refused)
        return self._moved(key, viewer)

    def _move_card(self, row: Any, viewer: Viewer) -> None:
        self._refuse_moved(row, viewer)
        self._move_to(row, None, viewer)

    def _refuse_without_board(self) -> None:
        if not self.card_columns:
            raise NotFound(_("There is no such page."))

    def _status_of(self, row: Any) -> Any:
        return row.status_id if self.status_picklist else row.status

    def _refuse_moved(self, row: Any, viewer: Viewer) -> None:
        """Raise Conflict if the card has left the column from which it was dragged."""
        seen, now = request.form.get("from"), self._status_of(row)
        if seen and seen != str(now):
            label = self._status_label(now, viewer)
            text = _("Someone else moved this to “%(status)s” meanwhile. Look again, then move it.", status=label)
            raise Conflict(text, "status")

    def _status_label(self, value: Any, viewer: Viewer) -> Any:
        """What the status is called, also one that is no longer offered."""
        if self.status_picklist:
            return shown_label(viewer.lookups.cards[self.status_picklist][value]["label"])
        groups = list_groups.groups_of(self, "status", viewer)
        return next((each.label for each in groups if each.value == value), value)

    def _moved(self, key: int, viewer: Viewer) -> Any:
        """The updated card; empty for a record that the move has taken out of reach."""
        sentences = save_warnings.pop_all()
        if not request.headers.get("HX-Request"):
            for sentence in sentences:
                flash(sentence, "warning")
            return redirect(request.form.get("back") or f"{self.route_base}/?layout=board")
        names = board_page.card_names(self)
        row = self.record_table.one(db.session(), key, names)
        if row is None:
            return ""
        self.record_table.prepare([row], names, viewer)
        html = str(board_page.cards(self, [row], names, viewer))
        return html, 200, (sentence_header(" ".join(sentences)) if sentences else {})

    def _move_form(self, key: int, now: Any, viewer: Viewer) -> Any:
        """All statuses, to choose one."""
        options = [each for each in list_groups.groups_of(self, "status", viewer) if each.value != now]
        return self._board_form(key, now, {"options": options})

    def _needs_form(self, key: int, now: Any, wanted: list[dict[str, Any]], refused: Refusal = NOT_REFUSED) -> Any:
        """The required inputs of the chosen status, with the input and its errors."""
        viewer, is_shown = current_viewer(), _fill(wanted, refused.errors)
        chosen = next(
            (g for g in list_groups.groups_of(self, "status", viewer) if str(g.value) == request.form["status"]), None
        )
        parts = {"chosen": chosen, "fields": wanted, "error": None if is_shown else refused.sentence or None}
        made = make_response(self._board_form(key, now, parts), refused.status)
        made.headers["X-Needs"] = "1"
        return made

    def _board_form(self, key: int, now: Any, parts: dict[str, Any]) -> str:
        """`parts`: options, the statuses to choose from; or the chosen one, its fields, and an error."""
        names = tuple(name for name in (self.title_column, "number") if name in self.record_table.by_name)
        row = self.record_table.one(db.session(), key, names)
        cells = self.record_table.selection(names)[1]
        title = next(
            (text for each, cut in cells if (text := each.cell(tuple(row)[cut], current_viewer()).get("text"))), key
        )
        page = {
            "title": _("Move “%(title)s”", title=title),
            "action": f"{self.route_base}/board/move/{key}",
            "from": now,
            "status": request.form.get("status"),
            "chosen": None,
            "fields": [],
            "options": [],
            "error": None,
            "list_label": self.list_title,
            "list_url": f"{self.route_base}/?layout=board",
            **parts,
        }
        template = "records/_move_card.html" if request.headers.get("HX-Request") else "records/move_card.html"
        return render_template(template, page=page)


def _fill(wanted: list[dict[str, Any]], errors: dict[str, list[str]]) -> bool:
    """Fill the input and its errors into these fields. Returns whether an error belongs to one of them."""
    for each in wanted:
        name = each["name"]
        if name in request.form:
            each["value"] = request.form.getlist(name) if each["kind"] == "checks" else request.form[name]
        each["errors"] = errors.get(name, [])
    return any(each["errors"] for each in wanted)
