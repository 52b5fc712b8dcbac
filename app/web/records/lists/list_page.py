"""The context of a list page: columns, cells, filters, pages. All state is in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core.fab_access import parse_integer
from app.web.core.fields.base import Field
from app.web.core.fields.filter_operators import OPERATOR_LABELS, WITHOUT_VALUE
from app.web.core.localization.languages import in_page_language
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_table import MAX_FILTERS, MAX_PAGE, MAX_PAGE_SIZE, RecordTable
from app.web.core.queries.text_search import MAX_LOOKED_UP, TextSearch, matching, matching_all
from app.web.core.view_registry import kind_of
from app.web.core.viewer import Viewer
from app.web.records import inline_edit_fields
from app.web.records.lists import figure_filter, list_conditions
from app.web.records.lists.filter_texts import filter_field, in_words, quick_filter
from app.web.records.lists.list_cells import list_rows
from app.web.records.lists.list_columns import ChosenColumns


@dataclass(frozen=True)
class ListExtent:
    """Which rows of a list a page shows, of how many."""

    list_query: ListQuery
    #: The number of rows on the page.
    shown: int
    count: int
    #: Whether there may be more than `count` rows.
    is_capped: bool

    @property
    def has_more(self) -> bool:
        """Whether there is a next page."""
        last = self.list_query.offset + self.shown
        return self.shown == self.list_query.size and (self.is_capped or last < self.count)

    @property
    def count_text(self) -> str:
        """The number of rows of the list: "1,000+"."""
        return f"{grouped(self.count)}+" if self.is_capped else grouped(self.count)

    @property
    def range_text(self) -> str:
        """The range of the page: "1–20 of 1,000+"; empty without rows."""
        if not self.shown:
            return ""
        first, last = self.list_query.offset + 1, self.list_query.offset + self.shown
        return _("%(first)s–%(last)s of %(all)s", first=grouped(first), last=grouped(last), all=self.count_text)


def extent_of(screen: Any, list_query: ListQuery, rows: list[Any]) -> ListExtent:
    """Count the rows of the list, of which these are on the page."""
    return ListExtent(list_query, len(rows), *screen.record_table.count_for_page(db.session(), list_query, rows))


@dataclass(frozen=True)
class AskedList:
    """The list that a request asks for."""

    screen: Any
    list_query: ListQuery
    columns: ChosenColumns
    viewer: Viewer


def list_page(asked: AskedList, rows: list[Any]) -> dict[str, Any]:
    """The context of records/list.html, with these rows."""
    screen, columns, viewer = asked.screen, asked.columns, asked.viewer
    extent = extent_of(screen, asked.list_query, rows)
    screen.record_table.prepare(rows, columns.names, viewer)
    actions = [action.shown() for action in screen.bulk_actions(viewer)]
    shown = {"rows": list_rows(screen, rows, columns.names, viewer), "actions": actions}
    return around_rows(screen, extent, columns, viewer) | shown


def around_rows(screen: Any, extent: ListExtent, columns: ChosenColumns, viewer: Viewer) -> dict[str, Any]:
    """The context of records/list.html without the rows, and without what can be done with them."""
    record_table, names = screen.record_table, columns.names
    return _paging(extent) | {
        "title": screen.list_title,
        "singular": screen.record_name,
        "module": screen.route_base.strip("/"),
        "base_url": f"{screen.route_base}/",
        "search": request.args.get("q", ""),
        "count_url": count_url(screen) if extent.is_capped else None,
        "columns": [
            column_head(record_table.by_name[name], columns)
            | {"editable": inline_edit_fields.in_list(screen, record_table.by_name[name], viewer)}
            for name in names
        ],
        "filters": _chips(screen, viewer),
        "is_filtered": any(key.startswith("_flt_") or key in ("q", "where", "figure") for key in request.args),
        "filters_path": f"{screen.route_base}/filters",
        "filters_url": _filters_url(screen) if record_table.filterable(viewer) else None,
        "quick": [quick_filter(record_table.by_name[name], viewer) for name in quick_names(screen, viewer)],
        "sort": sort_menu(record_table, names, viewer),
        "add_url": f"{screen.route_base}/add"
        if viewer.person.may(screen.module, "create") and "add" not in screen.exclude_route_methods
        else None,
        "quick_url": f"{screen.route_base}/quick" if screen.quick_fields else None,
        "export_url": _export_url(screen, viewer),
        "more": _more(screen, viewer),
        "empty_text": None,
        "empty_hint": screen.empty_text,
    }


def _paging(extent: ListExtent) -> dict[str, Any]:
    """The count and range as text, and the links to other pages."""
    list_query = extent.list_query
    return {
        "count_text": extent.count_text,
        "page_sizes": [(n, url(psize=n, page=None), n == list_query.size) for n in (20, 50, 100)],
        "next_url": url(page=list_query.page + 1) if extent.has_more else None,
        "prev_url": url(page=list_query.page - 1 or None) if list_query.page else None,
        "first_url": url(page=None),
        "range_text": extent.range_text,
    }


def quick_names(screen: Any, viewer: Viewer) -> list[str]:
    """The columns of the quick filters: the admin's choice, else the declared ones.

    Only those that this person can use.
    """
    chosen = viewer.lookups.list_setups.get(screen.list_key, {}).get("quick_filters") if screen.has_views else None
    named = screen.record_table.by_name
    wanted = screen.quick_filters if chosen is None else chosen
    return [name for name in wanted if name in named and named[name].filter and not named[name].is_hidden(viewer)]


def _more(screen: Any, viewer: Viewer) -> list[dict[str, str]]:
    """The overflow menu: export this list as filtered, import into it."""
    made = []
    if address := _export_url(screen, viewer):
        made.append({"label": _("Export…"), "url": address, "icon": "file-export"})
    if viewer.person.may(screen.module, "import"):
        address = f"/imports/new?kind={kind_of(screen)}"
        made.append({"label": _("Import…"), "url": address, "icon": "file-import"})
    return made


def _export_url(screen: Any, viewer: Viewer) -> str | None:
    """The page that exports this list, or the rows that are posted to it; None for people who may not export."""
    if not viewer.person.may(screen.module, "export"):
        return None
    return _with_arguments(f"/exports/{kind_of(screen)}/new")


def filters_page(screen: Any, viewer: Viewer) -> dict[str, Any]:
    """The context of records/_filters.html: the fields this person may filter by, with their operators and options."""
    return {
        "title": screen.list_title,
        "base_url": f"{screen.route_base}/",
        "filter_fields": [filter_field(f, viewer) for f in screen.record_table.filterable(viewer)],
    }


def _filters_url(screen: Any) -> str:
    """The page with the filter builder, which keeps the arguments of this list."""
    return _with_arguments(f"{screen.route_base}/filters")


def _with_arguments(address: str) -> str:
    """The address with the arguments of this list."""
    query = request.query_string.decode(errors="replace")
    return address + (f"?{query}" if query else "")


def count_url(screen: Any) -> str:
    """The address of the exact number of rows of this list."""
    return _with_arguments(f"{screen.route_base}/count")


def list_query_from(screen: Any, args: Any, viewer: Viewer) -> ListQuery:
    """Filters, search, order and page of a list URL, with our argument names or FAB's. Raises RuleBroken."""
    table, given = screen.record_table, _without_view_name(screen, args)
    _refuse_unknown(screen, given)
    rules = [table.filter_clause(name, op, value, viewer) for _key, op, name, value in filters_of(screen, given)]
    rules += figure_filter.rules_of(screen.service.record, given, viewer)
    nested = list_conditions.read(screen, given.get("where", ""))
    clause = list_conditions.clause(screen, nested, viewer) if nested else None
    if clause is not None:
        rules.append(clause)
    typed = given.get("q", "").strip()
    if typed:
        rules.append(matching(table, typed, viewer))
    column, direction = given.get("_oc") or None, given.get("_od") or None
    order = table.order_by(column, direction or ("desc" if column else None), viewer)
    size = parse_integer(given.get("psize"), screen.page_size, 1, MAX_PAGE_SIZE)
    newest = not column and direction in (None, "desc") and table.base_order is None
    conditions = [*table.base_conditions(), *rules]
    return ListQuery(conditions, order, size, parse_integer(given.get("page"), 0, 0, MAX_PAGE), newest=newest)


#: Arguments of every list.
_ARGUMENTS = ("q", "_oc", "_od", "psize", "page", "where")
#: Arguments of lists that have views.
_VIEW_ARGUMENTS = ("cols", "view", "layout", "group")
#: Arguments of a calendar.
_CALENDAR_ARGUMENTS = ("from", "span")


def _refuse_unknown(screen: Any, args: Any) -> None:
    """Raise RuleBroken for an argument that this list does not know or that is repeated: none is ignored."""
    known = (*_ARGUMENTS, *(_VIEW_ARGUMENTS if screen.has_views else ()), *(["tab"] if screen.tab_names else []))
    known += figure_filter.ARGUMENTS if "figure" in args else ()
    known += _CALENDAR_ARGUMENTS if screen.has_calendar and args.get("layout") == "calendar" else ()
    for key in args:
        is_filter = key.startswith("_flt_")
        if not is_filter and key not in known:
            raise RuleBroken(_("This list has no parameter “%(name)s”.", name=key[:60]), key[:60])
        if not is_filter and len(args.getlist(key)) > 1:
            raise RuleBroken(_("“%(name)s” is given more than once.", name=key), key)
    if args.get("tab", "") not in ("", *screen.tab_names):
        raise RuleBroken(_("This list has no tab “%(name)s”.", name=args["tab"][:60]), "tab")


def _without_view_name(screen: Any, args: Any) -> Any:
    """The arguments without the view's name, which FAB appends (`_oc_LeadScreen`, `page_LeadScreen`)."""
    suffix = f"_{type(screen).__name__}"
    if not any(key.endswith(suffix) for key in args):
        return args
    return MultiDict((key.removesuffix(suffix), value) for key, value in args.items(multi=True))


def filters_of(screen: Any, args: Any) -> list[tuple[str, str, str, str]]:
    """(argument, operator, column, value) of the `_flt_<operator>_<column>=value` arguments.

    An empty value is an unused input, except for operators without a value. FAB's own URLs have the filter's index in
    the column's list instead of the operator: `_flt_0_name`. Raises RuleBroken for too many.
    """
    found = []
    for key, value in args.items(multi=True):
        if key.startswith("_flt_"):
            op, name = _split_filter(key[5:])
            screen.record_table.column_field(name)
            is_place = op.isascii() and op.isdigit() and len(op) < 3
            op = _fab_operator(screen, name, int(op)) if is_place else op
            if value != "" or op in WITHOUT_VALUE:
                found.append((key, op, name, value))
    if len(found) > MAX_FILTERS:
        raise RuleBroken(_("A list takes at most %(most)s filters.", most=MAX_FILTERS), "filters")
    return found


def _split_filter(text: str) -> tuple[str, str]:
    """(operator, column): "eq_status", or "not_in_status" for an operator with an underscore."""
    for op in (each for each in OPERATOR_LABELS if "_" in each):
        if text.startswith(f"{op}_"):
            return op, text.removeprefix(f"{op}_")
    op, _sep, name = text.partition("_")
    return op, name


def _fab_operator(screen: Any, name: str, place: int) -> str:
    """The operator at this index of FAB's filters of the column. Raises RuleBroken for an invalid index."""
    own = {key: each for key, each in (getattr(screen, "search_filters", None) or {}).items() if key == name}
    filters = screen.datamodel.get_filters([name], own).get_search_filters()
    known = filters.get(name, [])
    if place >= len(known):
        raise RuleBroken(_("“%(name)s” has no such filter.", name=name), "filters")
    return str(known[place].arg_name)


def hits(screen: Any, typed: str, viewer: Viewer, maximum: int) -> list[dict[str, Any]]:
    """The newest visible rows that match, for a picklist; any rows if nothing is typed: {value, label, hint}."""
    record_table = screen.record_table
    found = matching_all(TextSearch((record_table,), typed, viewer, MAX_LOOKED_UP), 2 * maximum) if typed else []
    rules = [*record_table.base_conditions(), *(each.rule() for each in found)]
    named = tuple(
        name
        for name in ("number", screen.title_column)
        if name in record_table.by_name and record_table.by_name[name].columns
    )
    rows = record_table.rows(
        db.session(), ListQuery(rules, record_table.order_by(None, "desc", viewer), maximum), named
    )
    return [
        {
            "value": row["id"],
            "label": str(row.get(screen.title_column) or row.get("number") or row["id"]),
            "hint": row.get("number", ""),
        }
        for row in record_table.serialize_rows(db.session(), rows, named, viewer)
    ]


def url(**changes: Any) -> str:
    """This list's URL with some arguments changed; None removes one."""
    args = request.args.to_dict(flat=False)
    for key, value in changes.items():
        args.pop(key, None)
        if value is not None:
            args[key] = [str(value)]
    query = urlencode(args, doseq=True)
    return f"{request.path}?{query}" if query else request.path


def column_head(each: Field, columns: ChosenColumns) -> dict[str, Any]:
    """The head of a column."""
    sorted_by = (request.args.get("_od") or "desc") if request.args.get("_oc") == each.name else None
    turned = "asc" if sorted_by == "desc" else "desc"
    return {
        "name": each.name,
        "kind": each.kind,
        "label": in_page_language(each.label),
        "sortable": each.sort,
        "sorted": sorted_by,
        "sort_url": url(_oc=each.name, _od=turned, page=None) if each.sort else None,
        "align": "end" if each.kind == "number" else None,
        "width": columns.widths.get(each.name),
    }


def sort_menu(table: RecordTable, names: tuple[str, ...], viewer: Viewer) -> dict[str, Any] | None:
    """The context of records/_list_sort.html: the shown columns and the one of the order; None if there is none."""
    column, direction = table.base_order or ("", "desc")
    if request.args.get("_oc"):
        column, direction = request.args["_oc"], "desc"
    direction = request.args.get("_od") or direction
    offered = [each for each in table.fields if each.sort and not each.is_hidden(viewer)]
    offered = [each for each in offered if each.name in (*names, column)]
    if not offered:
        return None
    offered.sort(key=lambda each: names.index(each.name) if each.name in names else len(names))
    active = next((each for each in offered if each.name == column), None)
    return {
        "label": in_page_language(active.label) if active else "",
        "is_default": not request.args.get("_oc") and not request.args.get("_od"),
        "default_url": url(_oc=None, _od=None, page=None),
        "columns": [
            {
                "label": in_page_language(each.label),
                "url": url(_oc=each.name, _od=direction if each is active else _first_direction(each), page=None),
                "active": each is active,
            }
            for each in offered
        ],
        "directions": [
            {"label": label, "url": url(_od=each, page=None), "active": each == direction, "direction": each}
            for each, label in _directions(active)
        ],
    }


def _first_direction(each: Field) -> str:
    """Latest and largest first; texts from A to Z."""
    return "desc" if each.kind in ("moment", "date", "number", "duration", "flag") else "asc"


def _directions(active: Field | None) -> list[tuple[str, str]]:
    """The directions with their names; a list without a chosen column is sorted by time."""
    if active is None or active.kind in ("moment", "date"):
        return [("asc", _("Earliest first")), ("desc", _("Latest first"))]
    return [("asc", _("Ascending")), ("desc", _("Descending"))]


def _chips(screen: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """The active filters as text, each with a URL without it.

    Not those of a quick filter or the search box above the list: chips that come and go would move the rows under the
    pointer.
    """
    chips, quick = [], quick_names(screen, viewer)
    if "figure" in request.args:
        gone = dict.fromkeys(figure_filter.ARGUMENTS)
        chips.append({"label": figure_filter.figure_chip(request.args, viewer), "remove_url": url(**gone, page=None)})
    for key, op, name, value in filters_of(screen, _without_view_name(screen, request.args)):
        if op == "eq" and name in quick:
            continue
        chips.append(
            {
                "label": in_words(screen, (name, op, value), viewer),
                "remove_url": url(**{key: None}, page=None),
            }
        )
    nested = list_conditions.read(screen, request.args.get("where", ""))
    if nested:
        text = list_conditions.describe(screen, nested, lambda *condition: in_words(screen, condition, viewer))
        chips.append({"label": text, "remove_url": url(where=None, page=None)})
    return chips


def title_of(column: str, cells: dict[str, dict[str, Any]]) -> str | None:
    """What a record is called: its title, or the phone number of a person without a name, as lists show it."""
    number = cells.get("mobile", {})
    return cells.get(column, {}).get("text") or (number.get("text") if number.get("kind") == "phone" else None)
