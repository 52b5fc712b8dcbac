"""Views of a list on its page: the switcher, saving changes, and layouts other than a table."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.lib.ids import parse_id
from app.web.core.viewer import Viewer
from app.web.core.views.list_preferences import ListPreferences, ListView, preferences_of
from app.web.records.lists import list_groups

#: Arguments that a view does not store: the position in the list, and the view itself.
_PASSING = ("page", "view", "after", "before", "cursor")
#: Views in the menu of the list; the others are on the page of views.
MAX_SHOWN = 15


def view_url(base: str, view: ListView) -> str:
    """The URL of a view: with all its arguments, so that the URL is the complete state, and the view's id."""
    query = f"{view.query}&" if view.query else ""
    return f"{base}/?{query}view={view.id}"


def default_url(screen: Any, viewer: Viewer) -> str | None:
    """The URL with which the list opens for this person by default."""
    if request.args or not screen.has_views or request.headers.get("HX-Request"):
        return None
    view = preferences_of(viewer).default(screen.list_key)
    return view_url(screen.route_base, view) if view else None


def opening_url(screen: Any, viewer: Viewer) -> str | None:
    """The URL with the tab that opens first, for a URL without arguments."""
    tab = None if request.args or request.headers.get("HX-Request") else screen.opening_tab(viewer)
    return f"{screen.route_base}/?{urlencode({'tab': tab})}" if tab else None


def kept_query(query: str) -> str:
    """The part of a query string that a view stores: filters, search, order, columns, layout."""
    pairs = pairs_of(query)
    # A view of a calendar opens today.
    passing = (*_PASSING, "from") if ("layout", "calendar") in pairs else _PASSING
    return urlencode([(key, value) for key, value in pairs if key not in passing])


def pairs_of(query: str) -> list[tuple[str, str]]:
    """The arguments with a value. Raises RuleBroken for too many."""
    try:
        return parse_qsl(query.lstrip("?"), max_num_fields=200)
    except ValueError:
        raise RuleBroken(_("This address has too many parts."), "query") from None


def _is_same(one: str, other: str) -> bool:
    return sorted(pairs_of(one)) == sorted(pairs_of(other))


def switcher(screen: Any, viewer: Viewer) -> dict[str, Any]:
    """The context of records/_view_switcher.html; for lists without views just the URL that clears their filters."""
    choices, base = preferences_of(viewer), f"{screen.route_base}/"
    cleared = {"clear_url": _clear_url(screen, choices, base)}
    if not screen.has_views:
        return cleared
    current = choices.views.get(parse_id(request.args.get("view", "")) or 0)
    if current is not None and current.module != screen.list_key:
        current = None
    here = kept_query(request.query_string.decode(errors="replace"))
    views = choices.of(screen.list_key)
    # A list with tabs has one of its own that shows all rows.
    plain = _("Standard") if screen.tab_names else _("All")
    return (
        cleared
        | {
            "views": {
                "list": screen.list_key,
                "base": base,
                "query": here,
                "label": current.label if current else plain,
                "plain": plain,
                "current": _current(current, choices, viewer) if current else None,
                "items": [_item(screen, view, current, choices) for view in views[:MAX_SHOWN]],
                "all_url": f"{base}?view=all",
                "more": len(views) - MAX_SHOWN,
                "is_changed": _is_worth_saving(here, current),
                "new_url": f"/views/new?{urlencode({'list': screen.list_key, 'query': here})}",
                "columns_url": f"/views/columns?{urlencode({'list': screen.list_key, 'query': here})}",
            },
        }
        | _layouts(screen, base, here)
    )


def _is_worth_saving(here: str, current: ListView | None) -> bool:
    """Whether *Save view* stands above the list: not for a tab or a layout alone, which is one click away.

    Nor for the calendar as it opens, with the own tasks.
    """
    if current is not None:
        return not _is_same(here, current.query)
    pairs = pairs_of(here)
    opens = [("_flt_eq_assignee", "@me")] if ("layout", "calendar") in pairs else []
    return any(name not in ("tab", "layout", "span", "from") and (name, value) not in opens for name, value in pairs)


def _clear_url(screen: Any, choices: ListPreferences, base: str) -> str | None:
    """The list without filters, on the same tab; None if that is its URL without arguments."""
    if (tab := request.args.get("tab")) in screen.tab_names:
        return f"{base}?{urlencode({'tab': tab})}"
    # Without arguments the list would open with the default view, and its filters.
    return f"{base}?view=all" if choices.default(screen.list_key) else None


def _current(view: ListView, choices: ListPreferences, viewer: Viewer) -> dict[str, Any]:
    return {
        "id": view.id,
        "is_own": view.owner_id == viewer.person.id,
        "is_pinned": view.id in choices.pins,
        "is_default": choices.defaults.get(view.module) == view.id,
    }


def _item(screen: Any, view: ListView, current: ListView | None, choices: ListPreferences) -> dict[str, Any]:
    return {
        "label": view.label,
        "url": view_url(screen.route_base, view),
        "active": current is not None and current.id == view.id,
        "is_default": choices.defaults.get(view.module) == view.id,
        "is_pinned": view.id in choices.pins,
        "is_shared": view.audience != "me",
    }


def _layouts(screen: Any, base: str, here: str) -> dict[str, Any]:
    """The URLs of the other layouts, which keep filters, search, order and columns."""
    is_calendar = request.args.get("layout") == "calendar"
    gone = ("layout", "group", *(("from", "span") if is_calendar else ()))
    kept = [(key, value) for key, value in pairs_of(here) if key not in gone]
    view = [("view", request.args["view"])] if request.args.get("view") else []

    def address(**more: str) -> str:
        return f"{base}?{urlencode([*kept, *more.items(), *view])}"

    chosen = request.args.get("group", "")
    columns = list_groups.columns_of(screen)
    return {
        "is_board": request.args.get("layout") == "board",
        "list_url": address() if kept or view else f"{base}?view=all",
        "board_url": address(layout="board") if screen.card_columns else None,
        "is_calendar": is_calendar,
        "calendar_url": address(layout="calendar") if screen.has_calendar and "figure" not in request.args else None,
        "group_by": [
            {"label": label, "url": address(group=name), "active": name == chosen} for name, label in columns.items()
        ],
        "is_grouped": bool(chosen),
    }
