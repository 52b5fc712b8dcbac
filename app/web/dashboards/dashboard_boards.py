"""The pages of boards: show, arrange and delete one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import dashboard_boards
from app.domain.base import Conflict
from app.extensions import db
from app.models import Board, BoardHome
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, ModulePermissions, Refusal, current_viewer, refusal
from app.web.core.viewer import Viewer
from app.web.dashboards import dashboard_board_form, dashboard_board_list, page_parts, pdf
from app.web.dashboards import filters as url_filters
from app.web.dashboards.dashboard_board_form import BoardInput
from app.web.dashboards.dashboard_board_list import BASE
from app.web.dashboards.widgets import CATALOG, PAGES
from app.web.pages.routes import page_route


class BoardsView(ModulePermissions, BaseView):
    """/dashboard/boards/"""

    route_base = "/dashboard/boards"
    default_view = "show"
    module = "Dashboard"
    VERBS = {"show": "read", "as_pdf": "read", "new": "read", "edit": "read", "delete": "read"}

    @page_route("/<int:key>")
    def show(self, key: int) -> Any:
        """A board, with the cards that the reader may see."""
        viewer = current_viewer()
        context = page_parts.board_page(_found(key), url_filters.parse(viewer), viewer)
        return self.render_template("dashboards/board.html", **context)

    @page_route("/<int:key>.pdf")
    def as_pdf(self, key: int) -> Any:
        """A board as PDF, with the same arguments."""
        viewer = current_viewer()
        return pdf.answer(page_parts.board_page(_found(key), url_filters.parse(viewer), viewer), f"board-{key}", viewer)

    @page_route("/new", methods=["GET", "POST"])
    def new(self) -> Any:
        """Create a board; `from`: the standard page whose cards it begins with."""
        viewer = current_viewer()
        if not dashboard_board_list.may_arrange(viewer):
            raise access.Denied(_("Boards are made by those who see figures of others. Ask your manager for one."))
        if request.method == "GET":
            return self._form(None, dashboard_board_form.of_page(request.args.get("from", ""), viewer), viewer)
        return self._sent(None, viewer)

    @page_route("/<int:key>/edit", methods=["GET", "POST"])
    def edit(self, key: int) -> Any:
        """Arrange a board: every button except Save changes only the form."""
        viewer = current_viewer()
        board = _changeable(key, viewer)
        if request.method == "GET":
            return self._form(board, dashboard_board_form.of_board(board, _is_home(board)), viewer)
        return self._sent(board, viewer)

    @page_route("/<int:key>/delete", methods=["POST"])
    def delete(self, key: int) -> Any:
        """Delete a board."""
        board = _changeable(key, current_viewer())
        label = board.label
        dashboard_boards.remove(db.session(), board)
        db.session.commit()
        flash(_("Board “%(name)s” deleted.", name=label), "success")
        return redirect("/dashboard/")

    def _sent(self, board: Board | None, viewer: Viewer) -> Any:
        draft, key = BoardInput(), None if board is None else board.id
        try:
            draft = dashboard_board_form.of_form(request.form)
            what = request.form.get("do", "save")
            if what != "save":
                return self._form(board, dashboard_board_form.apply_button(draft, what, viewer), viewer)
            stored = dashboard_boards.save(
                db.session(), board, dashboard_board_form.values_of(draft, viewer), viewer.stamp
            )
            key = stored.id
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            board = None if board is None or key is None else db.session.get(Board, key)
            if isinstance(broken, Conflict) and board is not None:
                draft = replace(draft, version=board.version)  # the next save replaces what the other person has saved
            return self._form(board, draft, viewer, refused), refused.status
        flash(_saved_message(draft, viewer), "success")
        return redirect(f"{BASE}{key}")

    def _form(self, board: Board | None, draft: BoardInput, viewer: Viewer, refused: Refusal = NOT_REFUSED) -> Any:
        roles, teams = dashboard_board_list.offered_audiences(viewer)
        unseen = dashboard_board_form.hidden_cards(draft, viewer)
        return self.render_template(
            "dashboards/board_form.html",
            title=_("New board") if board is None else _("Arrange “%(name)s”", name=board.label),
            action=f"{BASE}new" if board is None else f"{BASE}{board.id}/edit",
            back=f"{BASE}{board.id}" if board is not None else "/dashboard/",
            board=board,
            draft=draft,
            cards=[_card(place, name, size, unseen) for place, (name, size) in enumerate(draft.cards)],
            sizes=dashboard_board_form.SIZE_LABELS,
            offered=dashboard_board_form.offered_cards(draft, viewer),
            roles=[(f"role-{key}", name) for key, name in roles],
            teams=[(f"team-{key}", name) for key, name in teams],
            origin=next((page.label for page in PAGES if page.name == draft.origin), ""),
            sentence=refused.sentence,
            errors=refused.errors,
        )


def _card(place: int, name: str, size: int, unseen: dict[str, list[str]]) -> dict[str, Any]:
    is_known = name in CATALOG
    return {
        "place": place,
        "name": name,
        "size": size if size in dashboard_boards.SIZES else 6,
        "label": str(CATALOG[name].label) if is_known else name[:60],
        "kind": dashboard_board_form.kind_of(name) if is_known else "",
        "unseen": unseen.get(name, []),
    }


def _found(key: int) -> Board:
    return dashboard_boards.refuse_missing(db.session.scalars(select(Board).where(Board.id == key)).first())


def _changeable(key: int, viewer: Viewer) -> Board:
    board = _found(key)
    if not dashboard_board_list.may_change(board, viewer):
        raise access.Denied(_("Only the owner can change this board. Make one of your own instead."))
    return board


def _is_home(board: Board) -> bool:
    return db.session.execute(select(BoardHome.role_id).where(BoardHome.board_id == board.id)).first() is not None


def _saved_message(draft: BoardInput, viewer: Viewer) -> str:
    """The message after saving, with the cards that some readers don't see."""
    unseen = dashboard_board_form.hidden_cards(draft, viewer)
    text = str(_("Board “%(name)s” saved.", name=" ".join(draft.label.split())))
    if not unseen:
        return text
    cards = ", ".join(str(CATALOG[name].label) for name in unseen)
    return f"{text} {_('Some of its readers do not see: %(cards)s.', cards=cards)}"
