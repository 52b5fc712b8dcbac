"""The pages of saved views: save, rename, share, pin, make the default, delete; and the columns of a list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from app import access
from app.domain import saved_views
from app.domain.base import NotFound, RuleBroken
from app.domain.saved_views import SavedView
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Role
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.urls.local_links import redirect_to
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.core.views import list_preferences
from app.web.pages.routes import signed_in_route
from app.web.records.lists import list_columns, view_switcher
from app.web.records.lists.list_page import list_query_from


def list_of(key: str) -> Any:
    """The screen of this list, if the person may open it and it has views. Raises NotFound."""
    person = current_viewer().person
    for screen in registered("screens").values():
        if screen.list_key == key and screen.has_views and person.may(screen.module, "read"):
            return screen
    raise NotFound(_("There is no such list."))


def may_share(viewer: Viewer) -> bool:
    """Whether this person may share views: people who manage people or settings."""
    return viewer.person.is_manager or viewer.person.may("Settings", "write")


class SavedViewsView(BaseView):
    """/views/"""

    route_base = "/views"
    default_view = "all"

    @signed_in_route("/")
    def all(self) -> Any:
        """Every view that the person sees, by list."""
        viewer = current_viewer()
        choices, own = list_preferences.preferences_of(viewer), viewer.person.id
        lists = []
        for screen in registered("screens").values():
            views = choices.of(screen.list_key) if screen.has_views and viewer.person.may(screen.module, "read") else []
            shown = [
                {
                    "id": view.id,
                    "label": view.label,
                    "url": view_switcher.view_url(screen.route_base, view),
                    "is_own": view.owner_id == own,
                    "owner": (viewer.lookups.person(view.owner_id) or {}).get("full_name", ""),
                    "audience": view.audience,
                    "is_pinned": view.id in choices.pins,
                    "is_default": choices.defaults.get(view.module) == view.id,
                }
                for view in views
            ]
            if shown:
                lists.append({"label": screen.list_title, "views": shown})
        return render_template("records/saved_views.html", lists=lists)

    @signed_in_route("/new", methods=["GET", "POST"])
    def new(self) -> Any:
        """Save the list with these arguments under a name."""
        screen = list_of(request.values.get("list", ""))
        return self._form(screen, None)

    @signed_in_route("/<int:key>/edit", methods=["GET", "POST"])
    def edit(self, key: int) -> Any:
        """Rename or share the person's own view."""
        view = self._own(key)
        return self._form(list_of(view.module), view)

    def _form(self, screen: Any, view: SavedView | None) -> Any:
        viewer = current_viewer()
        if request.method == "GET":
            return self._page(screen, view, viewer)
        try:
            stored = self._store(screen, view, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return self._page(screen, view, viewer, refused), refused.status
        flash(_("View “%(name)s” saved.", name=stored.label), "success")
        return redirect_to(self._address(screen, stored))

    def _store(self, screen: Any, view: SavedView | None, viewer: Viewer) -> SavedView:
        query = view_switcher.kept_query(request.form.get("query", "")) if view is None else view.query
        if view is None:  # what the list would refuse is not saved
            given = MultiDict(view_switcher.pairs_of(query))
            list_query_from(screen, given, viewer)
            list_columns.chosen(screen, given, viewer)
        audience = request.form.get("audience", "me")
        if audience != "me" and not may_share(viewer):
            raise access.Denied(_("Only managers can share views."))
        values = {
            "module": screen.list_key,
            "label": request.form.get("label"),
            "query": query,
            "audience": "role" if audience.isdigit() else audience,
            "role_id": self._role(audience, viewer),
        }
        stored = saved_views.save(db.session(), view, values, viewer.stamp)
        saved_views.pin(db.session(), viewer.person.id, stored, bool(request.form.get("pinned")))
        self._make_default(screen, stored, viewer, bool(request.form.get("default")))
        return stored

    @staticmethod
    def _role(audience: str, viewer: Viewer) -> int | None:
        key = parse_id(audience)
        return key if key and key in dict(_roles()) else None

    @staticmethod
    def _make_default(screen: Any, view: SavedView, viewer: Viewer, wanted: bool) -> None:
        now = list_preferences.preferences_of(viewer).defaults.get(screen.list_key)
        if wanted != (now == view.id):
            saved_views.choose(db.session(), viewer.person.id, screen.list_key, view_id=view.id if wanted else None)

    def _page(self, screen: Any, view: SavedView | None, viewer: Viewer, refused: Refusal = NOT_REFUSED) -> str:
        errors = refused.errors
        is_sent, choices = request.method == "POST", list_preferences.preferences_of(viewer)
        audience = "me" if view is None else str(view.role_id or "me") if view.audience == "role" else view.audience
        is_default = view is not None and choices.defaults.get(screen.list_key) == view.id
        page = {
            "title": _("Save view") if view is None else _("View “%(name)s”", name=view.label),
            "list_label": screen.list_title,
            "list_url": f"{screen.route_base}/",
            "action": "/views/new" if view is None else f"/views/{view.id}/edit",
            "list": screen.list_key,
            "query": request.values.get("query", "") if view is None else view.query,
            "label": request.form.get("label", "") if is_sent else (view.label if view else ""),
            "audience": request.form.get("audience", "me") if is_sent else audience,
            "audiences": [("me", _("Only me"))],
            "pinned": bool(request.form.get("pinned")) if is_sent else view is None or view.id in choices.pins,
            "default": bool(request.form.get("default")) if is_sent else is_default,
            "errors": errors,
            "error": refused.sentence if not errors or set(errors) - {"label", "audience"} else None,
        }
        if may_share(viewer):
            page["audiences"] += [("team", _("My team")), ("all", _("Everybody"))] + [
                (str(key), _("Role: %(role)s", role=name)) for key, name in _roles()
            ]
        template = "records/_saved_view.html" if request.headers.get("HX-Request") else "records/saved_view.html"
        return render_template(template, page=page)

    # --- one click

    @signed_in_route("/<int:key>/<any(update,pin,unpin,default,plain,delete):what>", methods=["POST"])
    def change(self, key: int, what: str) -> Any:
        """Pin or unpin a view, make it the default or not; overwrite or delete one's own."""
        viewer, session = current_viewer(), db.session()
        view = session.scalars(select(SavedView).where(SavedView.id == key)).first()
        if view is None:
            raise NotFound(_("This view doesn't exist, or it is no longer shared with you."))
        screen = list_of(view.module)
        address, own = self._address(screen, view), viewer.person.id
        if what in ("pin", "unpin"):
            saved_views.pin(session, own, view, what == "pin")
        elif what in ("default", "plain"):
            saved_views.choose(session, own, screen.list_key, view_id=view.id if what == "default" else None)
        elif what == "delete":
            with access.as_system(session):  # other people's pins of it are deleted, too
                saved_views.remove(session, saved_views.refuse_foreign(view, own))
            address = f"{screen.route_base}/?view=all"
        else:
            address = self._overwrite(screen, view, viewer)
        session.commit()
        flash(_done_message(what), "success")
        return redirect(address if request.form.get("list") else "/views/")

    def _overwrite(self, screen: Any, view: SavedView, viewer: Viewer) -> str:
        """Replace the person's own view by what its list shows now."""
        saved_views.refuse_foreign(view, viewer.person.id)
        if view.audience != "me" and not may_share(viewer):
            raise access.Denied(_("Only managers can share views."))
        query = view_switcher.kept_query(request.form.get("query", ""))
        given = MultiDict(view_switcher.pairs_of(query))
        list_query_from(screen, given, viewer)
        list_columns.chosen(screen, given, viewer)
        values: dict[str, Any] = {"module": view.module, "label": view.label, "query": query}
        values |= {"audience": view.audience, "role_id": view.role_id}
        saved_views.save(db.session(), view, values, viewer.stamp)
        return self._address(screen, view)

    @staticmethod
    def _own(key: int) -> SavedView:
        view = db.session.scalars(select(SavedView).where(SavedView.id == key)).first()
        return saved_views.refuse_foreign(view, current_viewer().person.id)

    @staticmethod
    def _address(screen: Any, view: Any) -> str:
        return view_switcher.view_url(screen.route_base, view)

    # --- columns

    @signed_in_route("/columns", methods=["GET", "POST"])
    def columns(self) -> Any:
        """Choose the columns of a list: in its URL, and optionally for every visit."""
        screen, viewer = list_of(request.values.get("list", "")), current_viewer()
        query = view_switcher.kept_query(request.values.get("query", ""))
        pairs = [(key, value) for key, value in view_switcher.pairs_of(query) if key != "cols"]
        if request.method == "GET":
            given = MultiDict(view_switcher.pairs_of(query))
            page = {
                "title": _("Columns"),
                "list": screen.list_key,
                "query": query,
                "list_label": screen.list_title,
                "list_url": f"{screen.route_base}/",
                "columns": list_columns.chooser(screen, given, viewer),
            }
            template = (
                "records/_column_chooser.html" if request.headers.get("HX-Request") else "records/column_chooser.html"
            )
            return render_template(template, page=page)
        is_reset = bool(request.form.get("reset"))
        text = "" if is_reset else self._sent_columns(screen, viewer)
        if is_reset or request.form.get("remember"):
            saved_views.choose(db.session(), viewer.person.id, screen.list_key, columns=text)
            db.session.commit()
        else:
            pairs.append(("cols", text))
        view = parse_id(request.form.get("view"))
        pairs.append(("view", str(view) if view else "all"))
        return redirect_to(f"{screen.route_base}/?{urlencode(pairs)}")

    @staticmethod
    def _sent_columns(screen: Any, viewer: Viewer) -> str:
        """The chosen columns in the form for a URL."""
        names = [name for name in request.form.getlist("order") if name in request.form.getlist("column")]
        if not names:
            raise RuleBroken(_("Please choose at least one column."), "column")
        parts = [f"{name}:{width}" if (width := request.form.get(f"width.{name}", "")) else name for name in names]
        return list_columns.read(screen, ",".join(parts), viewer).text()


def _roles() -> list[tuple[int, str]]:
    chosen = select(Role.id, Role.name).where(Role.name != "Public").order_by(Role.name)
    return [(key, name) for key, name in db.session.execute(chosen)]


def _done_message(what: str) -> str:
    return {
        "pin": _("The view is in your sidebar now."),
        "unpin": _("The view is no longer in your sidebar."),
        "default": _("The list opens with this view now."),
        "plain": _("The list opens without a view now."),
        "delete": _("The view was deleted."),
        "update": _("The view was updated."),
    }[what]
