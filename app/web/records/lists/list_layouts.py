"""The layouts of a list other than a plain table: a board, a calendar, or a table in groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import redirect, request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.viewer import Viewer
from app.web.records.lists import board_page, calendar_page, grouped_page
from app.web.records.lists.list_page import AskedList


def layout(screen: Any, viewer: Viewer) -> Callable[[AskedList], Any] | None:
    """The function that draws the list, unless it is a plain table: by `layout` or `group`. Raises RuleBroken."""
    wanted, group = request.args.get("layout", ""), request.args.get("group", "")
    if wanted == "calendar" and screen.has_calendar and "figure" not in request.args:
        return _calendar(viewer)
    if wanted not in ("", "board") or (wanted and not screen.card_columns):
        raise RuleBroken(_("This list has no layout “%(name)s”.", name=wanted[:60]), "layout")
    if wanted:
        return board_page.page
    return partial(grouped_page.page, group) if group else None


def _calendar(viewer: Viewer) -> Callable[[AskedList], Any]:
    """The calendar. Without other arguments it redirects to one's own tasks, so that the URL contains the filter."""
    calendar_page.read(request.args, viewer)
    if calendar_page.is_default_view(request.args):
        return lambda _asked: redirect(calendar_page.own_url(viewer))
    return calendar_page.page
