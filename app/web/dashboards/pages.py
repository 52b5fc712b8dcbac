"""The pages of dashboards; all state is in the address."""

from __future__ import annotations

from typing import Any

from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import NotFound
from app.extensions import db
from app.models import Board
from app.web.core.fab_access import ModulePermissions, current_viewer
from app.web.core.viewer import Viewer
from app.web.dashboards import call_export, dashboard_board_list, page_parts, pdf
from app.web.dashboards import filters as url_filters
from app.web.dashboards.filters import Filters
from app.web.dashboards.widgets import PAGES, TODAY
from app.web.pages.routes import page_route


class DashboardView(ModulePermissions, BaseView):
    """/dashboard/"""

    route_base = "/dashboard"
    default_view = "index"
    module = "Dashboard"
    VERBS = {"index": "read", "today": "read", "page": "read", "as_pdf": "read", "monthly": "read"}

    @page_route("/")
    def index(self) -> Any:
        """The home of the person's role; without one, analytics if they see other people's figures, else their own."""
        viewer = current_viewer()
        home = dashboard_board_list.home_of(viewer)
        board = None if home is None else db.session.scalars(select(Board).where(Board.id == home)).first()
        if board is not None:
            context = page_parts.board_page(board, url_filters.parse(viewer), viewer)
            return self.render_template("dashboards/board.html", **context)
        return self._page("analytics" if dashboard_board_list.sees_others(viewer.person) else "mine", viewer)

    @page_route("/today")
    def today(self) -> Any:
        """The person's numbers of the period, today from My day, or those of their team; a fragment."""
        viewer = current_viewer()
        is_team = dashboard_board_list.sees_others(viewer.person)
        filters = url_filters.parse(viewer, "" if is_team else str(viewer.person.id))
        title = page_parts.who_words(filters, viewer) if is_team else _("My numbers")
        url = filters.address(page_parts.BASE + ("analytics" if is_team else "mine"))
        found = page_parts.widgets(TODAY, filters, viewer)
        return self.render_template("dashboards/_today.html", title=title, url=url, **found)

    @page_route("/<any(analytics, mine, team, calls, referrals, sla, messages):name>")
    def page(self, name: str) -> Any:
        """One page: `period`, `from`, `to`, `who`."""
        return self._page(name, current_viewer())

    @page_route("/<any(analytics, mine, team, calls, referrals, sla, messages):name>.pdf")
    def as_pdf(self, name: str) -> Any:
        """One page as PDF, with the same arguments."""
        viewer = current_viewer()
        return pdf.answer(_context(name, viewer), name, viewer)

    @page_route("/calls/monthly.<any(xlsx, csv):kind>")
    def monthly(self, kind: str) -> Any:
        """The monthly summary of calls as a file; by default for everybody whose calls the person sees."""
        viewer = current_viewer()
        return call_export.summary_file(kind, url_filters.parse(viewer), viewer)

    def _page(self, name: str, viewer: Viewer) -> Any:
        context = _context(name, viewer)
        return self.render_template("dashboards/page.html", files=_files(name, context["filters"], viewer), **context)


def _context(name: str, viewer: Viewer) -> dict[str, Any]:
    """The context of a page. Raises NotFound if it has nothing for the viewer."""
    page = next(each for each in PAGES if each.name == name)
    if not page_parts.may_open(page, viewer):
        raise NotFound(_("This dashboard shows records that your role doesn't see."))
    default_who = str(viewer.person.id) if name == "mine" else ""
    return page_parts.standard_page(page, url_filters.parse(viewer, default_who, name), viewer)


def _files(name: str, filters: Filters, viewer: Viewer) -> list[tuple[str, str]]:
    """(label, URL) of the files of a page."""
    if name != "calls" or not call_export.may_export(viewer):
        return []
    return [(kind.upper(), filters.address(f"{page_parts.BASE}calls/monthly.{kind}")) for kind in ("xlsx", "csv")]
