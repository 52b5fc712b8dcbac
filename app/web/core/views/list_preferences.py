"""A person's views of lists, pins, defaults and columns. Cached until any of them changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from flask import g
from sqlalchemy import literal, select, union_all

from app.extensions import db
from app.models import ListChoice, Report, ReportPin, SavedView, ViewPin
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.core.views.preference_cache import PersonCache

#: Distinguishes a pinned report from the choice for a list.
_REPORT = "/report"
#: A search word that may be a number or an address.
_PERSONAL, _SEARCHED = re.compile(r"[0-9]{5}|@"), frozenset(("mobile", "alternative_mobile", "email"))


@dataclass(frozen=True)
class ListView:
    """A saved view, as pages show it."""

    id: int
    module: str
    label: str
    query: str
    owner_id: int
    audience: str
    role_id: int | None


@dataclass(frozen=True)
class ListPreferences:
    """The views that a person sees, by id; their pins; and by module the default view and the columns."""

    views: dict[int, ListView] = field(default_factory=dict)
    pins: frozenset[int] = frozenset()
    defaults: dict[str, int] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    #: The reports that they have pinned: (id, name).
    reports: tuple[tuple[int, str], ...] = ()

    def of(self, module: str) -> list[ListView]:
        """The views of a list: the person's own first, then those shared with them, by name."""
        return [view for view in self.views.values() if view.module == module]

    def default(self, module: str) -> ListView | None:
        """The view that the list opens with."""
        return self.views.get(self.defaults.get(module, 0))


def preferences_of(viewer: Viewer) -> ListPreferences:
    """The person's choices; two statements if something has changed since the last call."""
    if "list_choices" not in g:
        g.list_choices = _cache.of(viewer)
    choices: ListPreferences = g.list_choices
    return choices


def forget() -> None:
    """Read them again in this request; other requests see the new version by themselves."""
    g.pop("list_choices", None)
    g.lists_version = None


def _own_choices(own: int) -> Any:
    return select(ListChoice.module, ListChoice.view_id, ListChoice.columns).where(ListChoice.user_id == own)


def _pinned_reports(own: int) -> Any:
    """In the same columns: a marker, the id of a report, its name."""
    pinned = select(literal(_REPORT), Report.id, Report.label).join(ReportPin, ReportPin.report_id == Report.id)
    return pinned.where(ReportPin.user_id == own)


def _load(viewer: Viewer) -> ListPreferences:
    session, own = db.session(), viewer.person.id
    columns = (SavedView.id, SavedView.module, SavedView.label, SavedView.query, SavedView.owner_id)
    pin = select(ViewPin.id).where(ViewPin.view_id == SavedView.id, ViewPin.user_id == own).exists()
    query = select(*columns, SavedView.audience, SavedView.role_id, pin).order_by(
        (SavedView.owner_id != own), SavedView.label, SavedView.id
    )
    views, pins = {}, set()
    for *values, is_pinned in session.execute(query):
        view = ListView(*values)
        if view.owner_id != own and _tells_hidden_values(view, viewer):
            continue
        views[view.id] = view
        if is_pinned:
            pins.add(view.id)
    found = session.execute(union_all(_own_choices(own), _pinned_reports(own))).all()
    may_see = viewer.person.may("Reports", "read")
    reports = [(key, label) for module, key, label in found if module == _REPORT and may_see]
    chosen = [row for row in found if row[0] != _REPORT]
    return ListPreferences(
        views,
        frozenset(pins),
        {module: view for module, view, _columns in chosen if view in views},
        {module: columns for module, _view, columns in chosen if columns},
        tuple(sorted(reports, key=lambda each: (each[1].casefold(), each[0]))),
    )


def _tells_hidden_values(view: ListView, viewer: Viewer) -> bool:
    """Whether the address of a view has a value of a field that this person sees masked or not at all."""
    screen = next((each for each in registered("screens").values() if each.list_key == view.module), None)
    hidden = [each.name for each in screen.record_table.fields if each.is_hidden(viewer)] if screen else []
    if not hidden:
        return False
    for name, value in parse_qsl(view.query):
        if name.startswith("_flt_") and name.endswith(tuple(f"_{each}" for each in hidden)):
            return True
        if name == "where" and any(f'"{each}"' in value for each in hidden):
            return True
        if name == "q" and _PERSONAL.search(value) and not _SEARCHED.isdisjoint(hidden):
            return True
    return False


_cache = PersonCache(_load)
