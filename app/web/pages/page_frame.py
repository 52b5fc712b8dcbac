"""The frame around the content of a page: the sidebar, the top bar and their counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import current_app, g, request
from markupsafe import Markup
from sqlalchemy import bindparam, select

from app.access import Person
from app.domain.notifications import notices
from app.domain.telephony import call_cards
from app.extensions import db
from app.lib.cached_property import cached_property
from app.models import CallCard, Notification
from app.web.core.fab_access import request_time
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.reference_fields import picture_of
from app.web.core.flask_internals import request_values
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.pages import brand
from app.web.pages.cached_fragments import render_cached

#: The records that `unread_columns` counts.
UNREAD = (Notification, CallCard)
Entry = dict[str, Any]
#: (person, path) -> the entries of the sidebar and of the "New" menu.
Menu = Callable[[Person, str], tuple[list[Entry], list[Entry]]]


class Frame:
    """The frame of this person's page. Each part is rendered when a template needs it: most fragments need none."""

    def __init__(self, menu: Menu, person: Person) -> None:
        self._menu, self._person = menu, person

    @cached_property
    def _menus(self) -> tuple[list[Entry], list[Entry]]:
        return self._menu(self._person, request.path)

    @property
    def menu(self) -> list[Entry]:
        """The entries of the sidebar."""
        return self._menus[0]

    @property
    def new_items(self) -> list[Entry]:
        """The entries of the "New" menu; those that are not `is_in_menu` are for the palette."""
        return self._menus[1]

    @property
    def is_in_settings(self) -> bool:
        """Whether the page belongs to the settings, to which the menu has an entry."""
        return True in [entry["active"] for entry in self.menu if entry["group"] == "settings"]

    @property
    def unread(self) -> int:
        """The number of unread notices."""
        self._count()
        return int(g.unread)

    @property
    def has_calls(self) -> bool:
        """Whether a call is in progress."""
        self._count()
        return bool(g.has_calls)

    @property
    def sidebar(self) -> Markup:
        """The sidebar as HTML."""
        found = brand.current_brand()
        shown = tuple([tuple(entry.items()) for entry in self.menu])
        return render_cached(
            "shell/sidebar.html", (shown, found.name, found.logo, found.icons.get("icon_192")), self._of_sidebar
        )

    @property
    def topbar_end(self) -> Markup:
        """The end of the top bar: search, the "New" menu, the bell, the user menu."""
        person = self.person
        has_calls_page = "calls" in [entry["name"] for entry in self.menu]
        new = tuple([tuple(entry.items()) for entry in self.new_items])
        key = (new, self.unread, has_calls_page, *person.values())
        return render_cached("shell/topbar_end.html", key, self._of_topbar)

    @cached_property
    def person(self) -> dict[str, Any]:
        """The person, for templates."""
        who = self._person
        return {
            "id": who.id,
            "username": who.username,
            "full_name": who.full_name,
            "initials": initials(who.full_name or who.username),
            "picture": picture_of(who.id),
            "time_zone": who.time_zone,
            "locale": who.locale,
            "is_admin": who.is_admin,
            "url": "/users/userinfo/",
        }

    def _of_sidebar(self) -> dict[str, Any]:
        shown_brand, menu = brand.for_pages(), self.menu
        name = shown_brand["name"] or current_app.appbuilder.app_name  # type: ignore[attr-defined]
        return {"brand": shown_brand, "app_name": name, "menu": menu, "categories": _categories(menu)}

    def _of_topbar(self) -> dict[str, Any]:
        return {
            "new_items": self.new_items,
            "unread": self.unread,
            "menu_names": {entry["name"] for entry in self.menu},
            "languages": languages(),
            "person": self.person,
        }

    def _count(self) -> None:
        """Count unread notices, once per request; not for fragments, which have no badge."""
        held = request_values()
        if "unread" in held:
            return
        is_fragment = bool(request.headers.get("HX-Request"))
        if not is_fragment:
            _ = self._menus  # its statement counts them, too
        if "unread" in held:
            return
        if is_fragment:
            g.unread, g.has_calls = 0, False
        else:
            count_unread(self._person.id)


#: The extension of the application with the function of its menu.
MENU = "crm_menu"


def frame_of(person: Person) -> Frame:
    """The frame of this person's page."""
    return Frame(current_app.extensions[MENU], person)


def languages() -> list[tuple[str, str]]:
    """(code, name) of the languages of pages."""
    return [(code, row["name"]) for code, row in current_app.config["LANGUAGES"].items()]


def _categories(entries: list[Entry]) -> list[tuple[str, list[Entry]]]:
    """The entries of add-ons by category: (its name, its entries)."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry["group"] == "category":
            found.setdefault(entry["category"], []).append(entry)
    return sorted(found.items())


def count_unread(user_id: int) -> int:
    """The number of unread notices, for the badge; the same statement reads whether a call is in progress."""
    g.unread, g.has_calls = _unread_query().ask(db.session(), {}, unread_values(user_id))[0]
    return int(g.unread)


def unread_columns() -> tuple[Any, Any]:
    """The number of unread notices, and whether a call is in progress, as columns with the parameters
    `unread_values`.
    """
    unread = notices.unread_query(bindparam("user"), bindparam("now")).scalar_subquery()
    is_shown = call_cards.open_query(bindparam("user"), bindparam("since")).exists()
    return unread.label("unread"), is_shown.label("has_calls")


def unread_values(user_id: int) -> dict[str, Any]:
    """The parameters of `unread_columns`."""
    return {"user": user_id, "now": request_time(), "since": request_time() - call_cards.LASTS}


@lru_cache
def _unread_query() -> PreparedQuery:
    return PreparedQuery.of(select(*unread_columns()), *UNREAD)
