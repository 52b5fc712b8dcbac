"""Settings of lists, for everybody: the quick filters above each, and the fields of its quick form."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import Conflict, NotFound, RuleBroken
from app.extensions import db
from app.models import ListSetup
from app.web.core.fab_access import content_hash, current_viewer
from app.web.core.view_registry import registered
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.records import quick_create
from app.web.records.lists.list_page import quick_names

#: Quick filters of one list; more do not fit above it.
MAX_QUICK = 6
#: Kinds of columns for which quick filters exist.
_QUICK_KINDS = ("picklist", "choice", "person", "flag", "date")


class ListSetupsView(SettingsPage):
    """/settings/lists/"""

    route_base = "/settings/lists"
    VERBS = {"index": "read", "save": "write"}

    @page_route("/")
    def index(self) -> Any:
        """One list: its quick filters, and the fields of its quick form."""
        screens = _screens()
        chosen = _screen(request.args.get("list") or screens[0].list_key)
        tabs = [
            {
                "label": each.list_title,
                "url": f"/settings/lists/?list={each.list_key}",
                "active": each is chosen,
            }
            for each in screens
        ]
        return render_template("settings/list_setups.html", page=_page(chosen) | {"tabs": tabs})

    @page_route("/", methods=["POST"])
    def save(self) -> Any:
        """Store the choices for one list, or restore its defaults."""
        screen = _screen(request.form.get("list", ""))
        session = db.session()
        row = session.scalars(select(ListSetup).where(ListSetup.module == screen.list_key)).first()
        if request.form.get("version") != _mark(row):
            raise Conflict(_("Someone else changed the settings. Review yours, then save again."))
        if request.form.get("reset"):
            if row is not None:
                session.delete(row)
        else:
            row = row or ListSetup(module=screen.list_key)
            row.quick_filters = _sent("quick", _quick_choices(screen), MAX_QUICK)
            offered = quick_create.offered(screen)
            row.create_fields = _sent("create", offered, quick_create.MAX_FIELDS) if offered else None
            if row.create_fields is not None:
                quick_create.refuse_incomplete(screen, row.create_fields)
            session.add(row)
        session.commit()
        flash(_("Settings saved."), "success")
        return redirect(f"/settings/lists/?list={screen.list_key}")


def _screens() -> list[Any]:
    return [screen for screen in registered("screens").values() if screen.has_views and _quick_choices(screen)]


def _screen(key: str) -> Any:
    found = next((screen for screen in _screens() if screen.list_key == key), None)
    if found is None:
        raise NotFound(_("There is no such list."))
    return found


def _quick_choices(screen: Any) -> list[str]:
    """The columns that can be quick filters: single values from a short or searchable list."""
    named = screen.record_table.by_name
    return [name for name, each in named.items() if each.columns and each.filter and each.kind in _QUICK_KINDS]


def _sent(part: str, offered: list[str], maximum: int) -> list[str]:
    wanted = set(request.form.getlist(part))
    names = [name for name in request.form.getlist(f"{part}_order") if name in wanted]
    unknown = [name for name in names if name not in offered]
    if unknown:
        raise RuleBroken(_("This list has no column “%(name)s”.", name=unknown[0][:60]))
    if len(names) > maximum:
        raise RuleBroken(_("Please choose at most %(most)s fields.", most=maximum))
    return names


def _mark(row: ListSetup | None) -> str:
    return content_hash([row.quick_filters, row.create_fields] if row else None)


def _page(screen: Any) -> dict[str, Any]:
    viewer = current_viewer()
    row = db.session.scalars(select(ListSetup).where(ListSetup.module == screen.list_key)).first()
    now = quick_names(screen, viewer)
    fields = quick_create.names_of(screen, viewer)
    return {
        "title": _("Lists"),
        "list": screen.list_key,
        "version": _mark(row),
        "is_own": row is not None,
        "may_save": viewer.person.may("Settings", "write"),
        "parts": [
            {
                "name": "quick",
                "title": _("Quick filters"),
                "help": _("Above the list, at most %(most)s, in this order.", most=MAX_QUICK),
                "fields": _ordered(screen, now, _quick_choices(screen)),
            },
            *_create_part(screen, fields),
        ],
    }


def _create_part(screen: Any, fields: list[str]) -> list[dict[str, Any]]:
    offered = quick_create.offered(screen)
    if not offered:
        return []
    return [
        {
            "name": "create",
            "title": _("Quick form of a new record"),
            "help": _(
                "What “New” asks for, at most %(most)s fields; everything else is on the full form.",
                most=quick_create.MAX_FIELDS,
            ),
            "fields": _ordered(screen, fields, offered),
        }
    ]


def _ordered(screen: Any, chosen: list[str], offered: list[str]) -> list[dict[str, Any]]:
    named = screen.record_table.by_name
    names = [*chosen, *(name for name in offered if name not in chosen)]
    return [{"name": name, "label": str(named[name].label), "on": name in chosen} for name in names if name in offered]
