"""The pages of dashboards; all state is in the address."""

from __future__ import annotations

from typing import Any

from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.access import Person
from app.domain import periods
from app.domain.base import NotFound
from app.extensions import db
from app.web.core.fields import Viewer
from app.web.core.gate import ModulePermissions, current_viewer
from app.web.dashboards import call_export, measure
from app.web.dashboards import filters as url_filters
from app.web.dashboards.drawing import Canvas, draw
from app.web.dashboards.filters import Filters
from app.web.dashboards.widgets import CATALOG, PAGES, Page
from app.web.pages.refusals import refuse_as_page
from app.web.records.figure_filter import REACH, dates, scope_of, who_words

BASE = "/dashboard/"
PERIOD_LABELS = {
    periods.TODAY: _l("Today"),
    periods.WEEK: _l("7 days"),
    periods.MONTH: _l("This month"),
    periods.CUSTOM: _l("From – to"),
}


class DashboardView(ModulePermissions, BaseView):
    """/dashboard/"""

    route_base = "/dashboard"
    default_view = "index"
    module = "Dashboard"
    VERBS = {"index": "read", "page": "read", "monthly": "read"}

    @expose("/")
    @has_access
    @refuse_as_page
    @permission_name("index")
    def index(self) -> Any:
        """Analytics for who sees more than their own figures, else their own numbers."""
        viewer = current_viewer()
        return self._page("analytics" if sees_others(viewer.person) else "mine", viewer)

    @expose("/<any(analytics, mine, team, calls, referrals, sla, messages):name>")
    @has_access
    @refuse_as_page
    @permission_name("page")
    def page(self, name: str) -> Any:
        """One page: `period`, `from`, `to`, `who`."""
        return self._page(name, current_viewer())

    @expose("/calls/monthly.<any(xlsx, csv):kind>")
    @has_access
    @refuse_as_page
    @permission_name("monthly")
    def monthly(self, kind: str) -> Any:
        """The monthly summary of calls as a file; by default of everybody whose calls the person sees."""
        viewer = current_viewer()
        return call_export.summary_file(kind, url_filters.parse(viewer), viewer)

    def _page(self, name: str, viewer: Viewer) -> Any:
        page = next(each for each in PAGES if each.name == name)
        if not may_open(page, viewer):
            raise NotFound(_("This dashboard shows records that your role doesn't see."))
        filters = url_filters.parse(viewer, str(viewer.person.id) if name == "mine" else "")
        widgets = measure.visible_widgets(CATALOG, page.widgets, viewer)
        found = measure.kept(db.session(), widgets, scope_of(filters.period, viewer, filters.people), viewer)
        canvas = Canvas(found, filters, viewer)
        drawn = [draw(each, widget, canvas) for each, widget in widgets.items()]
        hidden = [CATALOG[each] for each in page.widgets if each not in widgets]
        return self.render_template(
            "dashboards/page.html",
            title=page.label,
            tabs=_tabs(page, filters, viewer),
            numbers=[each for each in drawn if each["kind"] == "number"],
            parts=[each for each in drawn if each["kind"] != "number"],
            files=_files(page, filters, viewer),
            is_masked=any(measure.is_masked(each, viewer) for each in hidden),
            **filter_bar(page.name, filters, viewer),
        )


def sees_others(person: Person) -> bool:
    """Whether the person sees figures of others."""
    return person.level("Dashboard", "read") in ("team", "all")


def may_open(page: Page, viewer: Viewer) -> bool:
    """Whether the page has something to show to the viewer."""
    if page.is_of_team and not sees_others(viewer.person):
        return False
    return not page.modules or any(viewer.person.may(module, "read") for module in page.modules)


def _tabs(page: Page, filters: Filters, viewer: Viewer) -> list[dict[str, Any]]:
    is_own = page.name == "mine" and filters.who == str(viewer.person.id)
    who = "" if is_own else filters.who
    return [
        {"label": each.label, "url": filters.address(BASE + each.name, who=who), "active": each is page}
        for each in PAGES
        if may_open(each, viewer)
    ]


def _files(page: Page, filters: Filters, viewer: Viewer) -> list[tuple[str, str]]:
    """(label, address) of the files of a page."""
    if page.name != "calls" or not call_export.may_export(viewer):
        return []
    return [(kind.upper(), filters.address(f"{BASE}calls/monthly.{kind}")) for kind in ("xlsx", "csv")]


def filter_bar(name: str, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """What the filter bar and the heading show."""
    path, previous = BASE + name, filters.period.previous()
    people, teams = url_filters.offered(viewer)
    return {
        "path": path,
        "spans": [
            {"label": label, "url": filters.address(path, period=key), "active": key == filters.name}
            for key, label in PERIOD_LABELS.items()
            if key != periods.CUSTOM
        ],
        "from_day": filters.period.first_day.isoformat(),
        "to_day": filters.period.last_day.isoformat(),
        "is_custom": filters.name == periods.CUSTOM,
        "who": filters.who,
        "who_words": who_words(filters.who, viewer) if filters.who else _("Everybody"),
        "everybody": who_words(REACH, viewer) if viewer.person.reach("Dashboard") is not None else _("Everybody"),
        "people": people,
        "teams": teams,
        "dates": dates(filters.period),
        "compared": dates(previous),
    }
