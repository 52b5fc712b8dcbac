"""The columns of a list, their order and width, from the URL, the person's choice or the declaration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.fields.base import Field
from app.web.core.viewer import Viewer
from app.web.core.views.list_preferences import preferences_of

#: Pixels of a column; columns of one list.
MIN_WIDTH, MAX_WIDTH, MAX_COLUMNS = 60, 800, 20
#: Kinds that are not shown in rows: long texts stay on the record page.
_TOO_LONG = ("textarea", "html")


@dataclass(frozen=True)
class ChosenColumns:
    """The columns of one page of a list."""

    names: tuple[str, ...]
    #: Name -> pixels, if changed.
    widths: dict[str, int]
    #: Whether they differ from the declared ones.
    is_own: bool

    def text(self) -> str:
        """The columns as a URL argument: "name:220,status,mobile"."""
        return ",".join(f"{name}:{self.widths[name]}" if name in self.widths else name for name in self.names)


def chosen(screen: Any, args: Any, viewer: Viewer) -> ChosenColumns:
    """The columns by `cols` in the URL, the person's choice or the declaration. Raises RuleBroken."""
    if args.get("cols"):
        return read(screen, args["cols"], viewer)
    kept = preferences_of(viewer).columns.get(screen.list_key) if screen.has_views else None
    if kept:
        try:
            return read(screen, kept, viewer)
        except RuleBroken:  # a column that an upgrade or add-on has removed
            pass
    return ChosenColumns(tuple(screen.list_columns), {}, False)


def read(screen: Any, text: str, viewer: Viewer) -> ChosenColumns:
    """The columns listed in a text. The first column names the row and stays. Raises RuleBroken."""
    offered = {each.name for each in offered_fields(screen, viewer)}
    names: list[str] = []
    widths = {}
    for part in text.split(","):
        name, _colon, width = part.strip().partition(":")
        if name not in offered:
            raise RuleBroken(_("This list has no column “%(name)s”.", name=name[:60]), "cols")
        if name in names:
            raise RuleBroken(_("“%(name)s” is given more than once.", name=name), "cols")
        names.append(name)
        if width:
            widths[name] = _width(width)
    first = screen.list_columns[0]
    names = [first, *(name for name in names if name != first)]
    if len(names) > MAX_COLUMNS:
        raise RuleBroken(_("A list shows at most %(most)s columns.", most=MAX_COLUMNS), "cols")
    own = (tuple(names), widths) != (tuple(screen.list_columns), {})
    return ChosenColumns(tuple(names), widths, own)


def _width(text: str) -> int:
    if not (text.isascii() and text.isdigit() and MIN_WIDTH <= int(text[:5]) <= MAX_WIDTH):
        text = text[:12]
        raise RuleBroken(_("A column is %(least)s to %(most)s pixels wide.", least=MIN_WIDTH, most=MAX_WIDTH), "cols")
    return int(text)


def offered_fields(screen: Any, viewer: Viewer) -> list[Field]:
    """The columns that a person may choose: those of the list and the record page, except long texts."""
    named, declared = screen.record_table.by_name, screen.record_table.declared
    names: Iterable[str] = dict.fromkeys((*screen.list_columns, *declared.show))
    found = [named[name] for name in names if name != "version" and named[name].columns]
    first = screen.list_columns[0]
    return [each for each in found if each.name == first or each.kind not in _TOO_LONG]


def chooser(screen: Any, args: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """The column chooser: the chosen ones in order, then the others: {name, label, on, width, fixed}."""
    now = chosen(screen, args, viewer)
    fields = {each.name: each for each in offered_fields(screen, viewer)}
    ordered = [*now.names, *(name for name in fields if name not in now.names)]
    return [
        {
            "name": name,
            "label": str(fields[name].label),
            "on": name in now.names,
            "width": now.widths.get(name),
            "fixed": name == screen.list_columns[0],
        }
        for name in ordered
    ]
