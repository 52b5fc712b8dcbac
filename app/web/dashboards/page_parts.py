"""Shared parts of the pages of dashboards and boards: tabs, filters, and their widgets, computed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain import periods
from app.extensions import db
from app.web.core.viewer import Viewer
from app.web.dashboards import dashboard_board_list, widget_data
from app.web.dashboards import filters as url_filters
from app.web.dashboards.dashboard_board_list import sees_others
from app.web.dashboards.filters import Filters
from app.web.dashboards.rendering import Drawn, RenderContext, draw
from app.web.dashboards.widgets import CATALOG, PAGES, DashboardPage
from app.web.records.lists.figure_filter import REACH, dates, person_label, scope_of

BASE = "/dashboard/"
#: The width of a page, in twelfths.
FULL = 12
PERIOD_LABELS = {
    periods.TODAY: _l("Today"),
    periods.WEEK: _l("7 days"),
    periods.MONTH: _l("This month"),
    periods.CUSTOM: _l("From – to"),
}

#: Why figures of calls are missing.
_WAITING = _l(
    "Very many calls have come in and are being counted. Until that is done, figures of calls are left out; "
    "open this page again in a few minutes."
)
#: Why figures that compare calls with each other are missing.
_TOO_MANY = _l(
    "This period has very many calls, so figures for which calls are compared with each other are left out. Choose a "
    "shorter period to see them."
)


def may_open(page: DashboardPage, viewer: Viewer) -> bool:
    """Whether the page has something to show to the viewer."""
    if page.is_of_team and not sees_others(viewer.person):
        return False
    return not page.modules or any(viewer.person.may(module, "read") for module in page.modules)


def widgets(names: Sequence[str], filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """{cards, is_masked, why_waiting}: those of these widgets that the viewer may see and that have data, in order."""
    known = [name for name in names if name in CATALOG]
    visible = widget_data.visible_widgets(CATALOG, known, viewer)
    scope = replace(
        scope_of(filters.period, viewer, filters.people),
        leads=tuple((column, value) for _name, column, value in filters.leads),
    )
    found = widget_data.cached(db.session(), visible, scope, viewer)
    canvas = RenderContext(found, filters, viewer)
    hidden = [CATALOG[name] for name in known if name not in visible]
    return {
        "cards": [draw(name, widget, canvas) for name, widget in visible.items() if name not in found.left_out],
        "is_masked": any(widget_data.is_masked(each, viewer) for each in hidden),
        "why_waiting": str(_WAITING if found.waiting else _TOO_MANY if found.too_many else ""),
    }


def standard_page(page: DashboardPage, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """The context of a standard page: numbers first, then larger widgets."""
    found = widgets(page.widgets, filters, viewer)
    cards: list[Drawn] = found.pop("cards")
    numbers = [each for each in cards if each["kind"] == "number"]
    return {
        "title": page.label,
        "tabs": tabs(page.name, None, filters, viewer),
        "numbers": numbers,
        "columns": columns_of(len(numbers)),
        "parts": stretch_rows([each for each in cards if each["kind"] != "number"]),
        "may_arrange": dashboard_board_list.may_arrange(viewer),
        "new_url": f"{dashboard_board_list.BASE}new?from={page.name}",
        **found,
        **filter_bar(page.name, filters, viewer),
    }


def columns_of(count: int) -> int:
    """The number of columns in which this many tiles leave no place empty, else as few as possible."""
    return min((5, 4, 3), key=lambda columns: -count % columns)


def stretch_rows(parts: list[Drawn]) -> list[Drawn]:
    """The parts, with the last one of each row stretched to fill it."""
    made: list[Drawn] = []
    used = 0
    for part in parts:
        if used + part["size"] > FULL:
            made[-1] = made[-1] | {"size": made[-1]["size"] + FULL - used}
            used = 0
        made.append(part)
        used = (used + part["size"]) % FULL
    if used:
        made[-1] = made[-1] | {"size": made[-1]["size"] + FULL - used}
    return made


def board_page(board: Any, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """The context of a board: its cards in order, in their chosen sizes."""
    sizes = {name: size for name, size in board.layout}  # noqa: C416  # JSON has lists for pairs
    found = widgets(list(sizes), filters, viewer)
    cards: list[Drawn] = found.pop("cards")
    return {
        "title": board.label,
        "tabs": tabs("", board.id, filters, viewer),
        "cards": [card | {"size": sizes[card["name"]]} for card in cards],
        "board": board,
        "may_change": dashboard_board_list.may_change(board, viewer),
        **found,
        **filter_bar(f"boards/{board.id}", filters, viewer),
    }


def tabs(page: str, board: int | None, filters: Filters, viewer: Viewer) -> list[dict[str, Any]]:
    """The pages that the viewer may open, then their boards; period and people are kept."""
    is_own = page == "mine" and filters.who == str(viewer.person.id)
    who = "" if is_own else filters.who
    shown = [
        {"label": each.label, "url": filters.address(BASE + each.name, who=who), "active": each.name == page}
        for each in PAGES
        if may_open(each, viewer)
    ]
    return shown + dashboard_board_list.tabs(board, filters, viewer)


def who_words(filters: Filters, viewer: Viewer) -> str:
    """Whose figures are shown, and of which leads."""
    return ", ".join(_about(filters, viewer))


def _about(filters: Filters, viewer: Viewer) -> list[str]:
    """The people and leads of the figures, as text."""
    chosen = {name: value for name, _column, value in filters.leads}
    labels = [
        label
        for name in chosen
        for _value, label, column_value in url_filters.lead_choices(name, viewer)
        if column_value == chosen[name]
    ]
    return [person_label(filters.who, viewer) if filters.who else _("Everybody"), *labels]


def _lead_filters(filters: Filters, viewer: Viewer) -> list[dict[str, Any]]:
    """{name, label, value, choices: [(value, label)]} of the filters on leads."""
    chosen = {name: str(value) for name, _column, value in filters.leads}
    labels = {"account_type": _("Account type"), "category": _("Category")}
    return [
        {
            "name": name,
            "label": labels[name],
            "value": chosen.get(name, ""),
            "choices": [(value, label) for value, label, _typed in url_filters.lead_choices(name, viewer)],
        }
        for name in url_filters.OF_LEADS
    ]


def filter_bar(name: str, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """The context of the filter bar and the heading."""
    path, previous = BASE + name, filters.period.previous()
    people, teams = url_filters.offered(viewer)
    return {
        "path": path,
        "pdf_url": filters.address(f"{path}.pdf"),
        "filters": filters,
        "spans": [
            {"label": label, "url": filters.address(path, period=key), "active": key == filters.name}
            for key, label in PERIOD_LABELS.items()
            if key != periods.CUSTOM
        ],
        "from_day": filters.period.first_day.isoformat(),
        "to_day": filters.period.last_day.isoformat(),
        "is_custom": filters.name == periods.CUSTOM,
        "who": filters.who,
        "who_words": who_words(filters, viewer),
        "lead_filters": _lead_filters(filters, viewer) if path == url_filters.REFERRALS else [],
        "everybody": person_label(REACH, viewer) if viewer.person.reach("Dashboard") is not None else _("Everybody"),
        "people": people,
        "teams": teams,
        "dates": dates(filters.period),
        "compared": dates(previous),
    }
