"""The rows of a list with their cells, not drawn yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.lib.masking import DOTS
from app.web.core.urls.local_links import row_url
from app.web.core.viewer import Viewer
from app.web.records import dial_targets

#: Kinds of fields whose few values are repeated from row to row.
_REPEATED = ("choice", "picklist", "person")


def list_rows(screen: Any, rows: Iterable[Any], names: tuple[str, ...], viewer: Viewer) -> list[dict[str, Any]]:
    """The rows: their cells in the order of the columns."""
    slices, base = screen.record_table.selection(names)[1], screen.route_base
    may_edit = viewer.person.may(screen.module, "write") and "edit" not in screen.exclude_route_methods
    link = dial_targets.linker(screen.service.record, viewer)
    made = []
    cells_of = _cell_maker(slices, viewer)
    for row in rows:
        values = tuple(row)
        key, cells = values[0], cells_of(values)
        if link is not None:
            link(cells, key)
        made.append(
            {
                "id": key,
                "url": row_url(base, key, cells.get("number", {}).get("text")),
                "title": _row_title(cells, key),
                "cells": list(cells.values()),
                "may_edit": may_edit,
                "may_delete": False,
                "edit_url": f"{base}/edit/{key}",
            }
        )
    return made


def _row_title(cells: dict[str, dict[str, Any]], key: int) -> str:
    """What a row is called: its first text, unless that is masked; else its number."""
    first = next((cell["text"] for cell in cells.values() if cell.get("text")), None)
    if first is None or first.startswith(DOTS):
        return cells.get("number", {}).get("text") or str(key)
    return first


def _cell_maker(slices: list[Any], viewer: Viewer) -> Callable[[tuple[Any, ...]], dict[str, dict[str, Any]]]:
    """A function that returns the cells of a row; cells of equal values of a choice or person are the same object."""
    known: dict[Any, dict[str, Any]] = {}
    columns = [(each, cut, each.kind in _REPEATED and each.formatter is None) for each, cut in slices]

    def repeated(each: Any, given: tuple[Any, ...]) -> dict[str, Any]:
        try:
            cell = known.get((each.name, given))
        except TypeError:  # values such as those of custom fields, which come as one dictionary
            return each.shown_cell(given, viewer)
        if cell is None:
            cell = known[each.name, given] = each.shown_cell(given, viewer)
        return cell

    def cells_of(values: tuple[Any, ...]) -> dict[str, dict[str, Any]]:
        return {
            each.name: repeated(each, values[cut]) if is_repeated else each.shown_cell(values[cut], viewer)
            for each, cut, is_repeated in columns
        }

    return cells_of
