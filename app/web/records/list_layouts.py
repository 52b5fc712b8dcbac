"""The layouts of a list other than a plain table: a board, or a table in groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.fields import Viewer
from app.web.records import board_page, grouped_page


def layout(screen: Any, viewer: Viewer) -> Callable[..., Any] | None:
    """What draws the list, where it is not a plain table: `layout=board` or `group=…`. Raises RuleBroken."""
    wanted, group = request.args.get("layout", ""), request.args.get("group", "")
    if wanted not in ("", "board") or (wanted and not screen.card_columns):
        raise RuleBroken(_("This list has no layout “%(name)s”.", name=wanted[:60]), "layout")
    if wanted:
        return partial(board_page.page, screen)
    return partial(grouped_page.page, screen, group) if group else None
