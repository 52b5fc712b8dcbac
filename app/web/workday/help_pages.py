"""Help: the guides of docs/ with their pictures, as pages of the product."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import abort, render_template, send_from_directory
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from markupsafe import Markup

import config
from app.web.core.fab_access import current_person, signed_in

DOCS = config.ROOT / "docs"
#: Guide -> its URL.
GUIDES = {"user": "/help/", "admin": "/help/admin"}


class HelpView(BaseView):
    """/help/"""

    route_base = "/help"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The first page: the user guide."""
        return _page("user")

    @expose("/admin")
    @signed_in
    def admin(self) -> Any:
        """The admin guide, for people who may see the settings."""
        current_person().refuse_unless("Settings", "read")
        return _page("admin")

    @expose("/keys")
    @signed_in
    def keys(self) -> Any:
        """The dialog with the keyboard shortcuts, for an open page."""
        return render_template("shell/shortcuts.html")

    @expose("/pictures/<string:name>")
    @signed_in
    def picture(self, name: str) -> Any:
        """A picture of a guide."""
        response = send_from_directory(DOCS / "pictures", name, max_age=86_400)
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response


def _page(name: str) -> str:
    path = DOCS / f"{name}.md"
    if not path.exists():  # installed without its documentation
        abort(404)
    shown = _guide(name)
    is_admin = current_person().may("Settings", "read")
    tabs = [(_("User guide"), GUIDES["user"], name == "user")]
    tabs += [(_("Admin guide"), GUIDES["admin"], name == "admin")] if is_admin else []
    return render_template("shell/help.html", guide=shown, html=Markup(shown.html), tabs=tabs)  # noqa: S704  (ours)


@lru_cache
def _guide(name: str) -> Any:
    from app.lib import guide_html  # its library is needed only for these pages

    return guide_html.guide((DOCS / f"{name}.md").read_text(encoding="utf-8"), _place)


def _place(address: str) -> str | None:
    """The URL of a guide's link on the pages; None if they don't show the target."""
    file, _sep, chapter = address.partition("#")
    if not file or address.startswith("https://"):
        return address
    if file.startswith("pictures/"):
        return f"/help/{file}"
    found = GUIDES.get(file.removesuffix(".md"))
    return found and f"{found}#{chapter}".rstrip("#")
