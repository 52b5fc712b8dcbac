"""The sidebar and the "New" menu of a person, from FAB's menu: each entry follows the permissions of its view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from flask import current_app, request
from flask_babel import gettext as _
from sqlalchemy import func, select

from app import access
from app.extensions import db
from app.models import AssignmentRequest, Conversation
from app.web.core.fab_access import ModulePermissions, current_viewer
from app.web.core.flask_internals import request_values
from app.web.core.localization.languages import language_key
from app.web.core.view_registry import registered
from app.web.core.views.list_preferences import preferences_of
from app.web.pages import page_frame
from app.web.records.conversation_list import own_unread
from app.web.records.lists.view_switcher import view_url
from app.web.security.fab_permissions import is_allowed
from app.web.settings import settings_menu
from app.web.workday.assignment_requests import MAX_COUNTED, waiting

#: FAB's own category of its security screens: ours are in the settings.
_HIDDEN = "Security"
#: The icon of an entry whose own icon is not among ours.
_DEFAULT_ICON = "layout-list"
Entry = dict[str, Any]
_HOLDS = "/settings/legal-holds/"


class _Offered(NamedTuple):
    """An entry that a person may open."""

    #: The name of the menu item.
    item: str
    entry: Entry
    #: Prefixes of the URLs of its pages.
    pages: tuple[str, ...]

    def shown(self, path: str, person: access.Person) -> Entry:
        """The entry, for the page at this path."""
        url = self.entry["url"]
        active = path == url if url == "/" else path.startswith(self.pages)
        return self.entry | {"active": active} | (_badge(self.item, person) if self.item in _COUNTED else {})


def menu(person: access.Person, path: str) -> tuple[list[Entry], list[Entry]]:
    """(sidebar, "New" menu) of this person, for the templates."""
    offered, new = _menus(person)
    pinned = list(_pinned(person, path))
    entries = [each.shown(path, person) for each in offered] + pinned
    if any(entry["active"] for entry in pinned):
        entries = [entry | {"active": entry["active"] and entry["group"] == "views"} for entry in entries]
    if person.may("Settings", "read"):
        shown = {"name": "settings", "label": _("Settings"), "icon": "settings", "url": "/settings/"}
        entries.append(shown | {"badge": None, "group": "settings", "active": _is_settings(path)})
    else:
        entries += [each | {"active": path.startswith(each["url"])} for each in _own_settings(person)]
    return entries, new


def _own_settings(person: access.Person) -> list[Entry]:
    """The pages of the settings that people without access to settings can have a permission for.

    Cached while their rights stay the same, which alone decide.
    """
    key = ("own settings", language_key())
    found: list[Entry] | None = person.derived.get(key)
    if found is None:
        found = list(_settings_for(person))
        person.derived.keep(key, found)
    return found


def _settings_for(person: access.Person) -> Iterator[Entry]:
    for each in (*settings_menu.BUSINESS, *settings_menu.SYSTEM):
        opens_for = getattr(each.view, "opens_for", None)
        is_own = each.url == _HOLDS and person.may("Legal Holds", "read")
        if is_own or (opens_for is not None and opens_for(person)):
            label = str(each.label) if is_own else _("Settings: %(name)s", name=each.label)
            shown = {"name": each.name, "label": label, "icon": each.icon, "url": each.url}
            yield shown | {"badge": None, "group": "settings"}


def _menus(person: access.Person) -> tuple[list[_Offered], list[Entry]]:
    """The menus of this person, cached while their rights stay the same."""
    items = current_app.appbuilder.menu  # type: ignore[attr-defined]
    key = (items, language_key())
    found: tuple[list[_Offered], list[Entry]] | None = None if _has_conditions(items) else person.derived.get(key)
    if found is None:
        found = list(_sidebar(person)), list(_new(person))
        person.derived.keep(key, found)
    return found


def _has_conditions(menu: Any) -> bool:
    """Whether an add-on shows an entry only sometimes. Two loops, because every page asks: a generator takes longer."""
    for item in menu.get_list():
        if item.cond is not None:
            return True
        for child in item.childs:
            if child.cond is not None:
                return True
    return False


def _sidebar(person: access.Person) -> Iterator[_Offered]:
    for item in current_app.appbuilder.menu.get_list():  # type: ignore[attr-defined]
        if item.name == _HIDDEN or item.name in settings_menu.NAMES or not item.should_render():
            continue
        if not item.childs:
            if may_open(person, item):
                yield _entry_of(item, "main")
            continue
        for child in item.childs:
            if child.name != "-" and child.should_render() and may_open(person, child):
                yield _entry_of(child, "category", str(item.label))


def _pinned(person: access.Person, path: str) -> Iterator[Entry]:
    """The views that the person has pinned, of lists that they may open."""
    choices = preferences_of(current_viewer())
    for key, label in choices.reports:
        url = f"/reports/{key}/"
        active = path == url
        shown = {"name": f"report-{key}", "label": label, "icon": "chart-pie", "url": url}
        yield shown | {"badge": None, "group": "views", "active": active}
    if not choices.pins:
        return
    screens = {screen.list_key: screen for screen in registered("screens").values()}
    for view in choices.views.values():
        screen = screens.get(view.module)
        if view.id in choices.pins and screen is not None and person.may(screen.module, "read"):
            is_shown = request.args.get("view") == str(view.id) and path.strip("/") == view.module
            yield {
                "name": f"view-{view.id}",
                "label": view.label,
                "icon": _view_icon(view.query),
                "url": view_url(screen.route_base, view),
                "badge": None,
                "group": "views",
                "active": is_shown,
            }


def _view_icon(query: str) -> str:
    """The icon of a view, by its layout."""
    layouts = {"layout=board": "layout-kanban", "layout=calendar": "calendar"}
    return next((icon for layout, icon in layouts.items() if layout in query), "bookmark")


def may_open(person: access.Person, item: Any) -> bool:
    """Whether the person may open a menu entry: as its view says, by its module, else by FAB's own menu permission."""
    in_menu = getattr(item.baseview, "in_menu", None)
    if in_menu is not None and not in_menu(person):
        return False
    opens_for = getattr(item.baseview, "opens_for", None)
    if opens_for is not None:
        return bool(opens_for(person))
    if isinstance(item.baseview, ModulePermissions):
        return person.may(item.baseview.module, "read")
    return item.name == "day" or is_allowed(person, "menu_access", item.name)


def _entry_of(item: Any, group: str, category: str | None = None) -> _Offered:
    url = _url_of(item)
    base = url.removesuffix("list/")
    entry = {
        "name": str(item.name).lower(),
        "label": str(item.label),
        "icon": icon_of(item.icon),
        "url": url,
        "badge": None,
        "group": group,
        "category": category,
        "board": f"{base}?layout=board" if getattr(item.baseview, "card_columns", ()) else None,
    }
    return _Offered(item.name, entry, (base, *getattr(item.baseview, "also_at", ())))


def _url_of(item: Any) -> str:
    """The URL of a menu entry, cached: FAB builds it from the routes each time, although it is the same for
    everybody.
    """
    if not hasattr(item, "known_url"):
        item.known_url = item.get_url()
    return str(item.known_url)


#: Menu entry -> (module, verb, SELECT of what is counted, the URL while there is a count; None = unchanged).
_COUNTED: dict[str, tuple[str, str, Callable[[access.Person], Any], str | None]] = {
    "Requests": ("Requests", "write", waiting, "/requests/?tab=waiting"),
    "Inbox": ("Messages", "read", own_unread, None),
}


#: The counted tables.
_TABLES = frozenset(each.__tablename__ for each in (AssignmentRequest, Conversation, *page_frame.UNREAD))


def _badge(name: str, person: access.Person) -> Entry:
    """The count beside a menu entry, and its URL while there is one."""
    count = _counts(person).get(name, 0)
    if not count:
        return {}
    url = _COUNTED[name][3]
    return {"badge": f"{MAX_COUNTED - 1}+" if count == MAX_COUNTED else count} | ({"url": url} if url else {})


def _counts(person: access.Person) -> dict[str, int]:
    """All counts of the sidebar, up to MAX_COUNTED; one statement, once per full page, with those of the top bar."""
    if request.headers.get("HX-Request"):
        return {}
    held = request_values()
    if "sidebar_counts" not in held:
        known = {"Requests": held["waiting"]} if "waiting" in held else {}  # the page of requests has counted them
        shown = [
            name for name, (module, verb, *_) in _COUNTED.items() if person.may(module, verb) and name not in known
        ]
        has_unread = "unread" in held
        question = access.CachedStatement(
            ("sidebar", *shown, has_unread), partial(_count, shown, person, has_unread), _TABLES
        )
        is_needed = bool(shown) or not has_unread
        row = access.answer(db.session(), question, page_frame.unread_values(person.id))[0] if is_needed else ()
        if not has_unread:
            (held["unread"], held["has_calls"]), row = row[:2], row[2:]
        held["sidebar_counts"] = known | dict(zip(shown, row, strict=True))
    counts: dict[str, int] = held["sidebar_counts"]
    return counts


def _count(shown: list[str], person: access.Person, has_unread: bool) -> Any:
    """SELECT of the counts of the shown entries, after those of the top bar unless they are known."""
    rows = [_COUNTED[name][2](person).limit(MAX_COUNTED).subquery() for name in shown]
    parts = [select(func.count()).select_from(each).scalar_subquery() for each in rows]
    return select(*(() if has_unread else page_frame.unread_columns()), *parts)


#: Prefixes of the URLs of settings.
_SETTINGS = (
    *("/settings", "/roles", "/users", "/jobs", "/queue", "/audit", "/groups", "/turns", "/undelivered"),
    *("/health", "/self-test", "/backups", "/mails", "/webhooks"),
)


def _is_settings(path: str) -> bool:
    return path.startswith(_SETTINGS)


def _new(person: access.Person) -> Iterator[Entry]:
    menu = current_app.appbuilder.menu  # type: ignore[attr-defined]
    icons = {item.baseview: item.icon for top in menu.get_list() for item in (top, *top.childs)}
    for screen in registered("screens").values():
        can_add = "add" not in screen.exclude_route_methods and (screen.is_in_new_menu or screen.is_searched)
        if can_add and person.may(screen.module, "create"):
            yield {
                "is_in_menu": screen.is_in_new_menu,  # the palette offers everything
                "label": str(screen.record_name),
                "icon": icon_of(icons.get(screen)),
                "url": f"{screen.route_base}/{'quick' if screen.quick_fields else 'add'}",
                "quick": f"{screen.route_base}/" if screen.quick_fields else None,
            }


def icon_of(name: str | None) -> str:
    """The icon of this name; Font Awesome names, as FAB's examples use them, lose their prefix."""
    plain = (name or "").removeprefix("fa-").removesuffix("-o")
    return plain if plain in _icons() else _DEFAULT_ICON


@lru_cache(maxsize=1)
def _icons() -> frozenset[str]:
    listed = (Path(current_app.static_folder or "") / "icons.txt").read_text(encoding="utf-8")
    return frozenset(filter(None, (line.split("#")[0].strip() for line in listed.splitlines())))
