"""The parameters of a list request. Every one that changes a result is applied or refused; none is ignored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask_babel import gettext as _

from app.web.compat.arguments import Arguments
from app.web.compat.responses import CompatError
from app.web.core.queries.record_table import MAX_PAGE

#: Documents in one response. 0 requests all; more than this are refused, never truncated.
MAX_PAGE_SIZE = 5000
DEFAULT_PAGE_SIZE = 20
#: Names of one parameter, in different methods and versions.
SIZE_NAMES = ("limit_page_length", "page_length", "limit")
START_NAMES = ("limit_start", "start")
#: Unsupported parameters that would change the result of a list. Their default values are harmless.
UNSUPPORTED = {
    "list": (
        *("parent", "parent_doctype", "expand", "expand_links", "ignore_permissions", "ignore_ifnull", "join", "user"),
        *("with_childnames", "strict", "run_method", "having", "add_total_row", "update", "limit_to", "as_csv"),
    ),
    "document": ("expand", "expand_links", "ignore_permissions", "run_method", "parent_doctype", "for_update"),
    "count": ("ignore_permissions", "parent", "parent_doctype", "group_by", "having", "user"),
}
_NOTHING = ("", "0", "false", "none", "null", "[]", "{}")


def is_set(value: Any) -> bool:
    """Whether a parameter has a value other than none, no or empty."""
    return not (value is None or value is False or value == 0 or str(value)[:10].strip().lower() in _NOTHING)


def refuse_unknown_options(arguments: Arguments, kind: str) -> None:
    """Raise CompatError (417) for an unsupported parameter that would change the result."""
    for name in UNSUPPORTED[kind]:
        if is_set(arguments.raw(name)):
            raise CompatError(417, _("“%(name)s” isn't supported here. Please leave it out.", name=name))


@dataclass(frozen=True)
class ListOptions:
    """A list request, not yet checked against a DocType."""

    fields: Any
    filters: Any
    or_filters: Any
    order_by: str
    group_by: Any
    size: int
    start: int
    #: Whether all documents were requested.
    is_whole: bool = False
    distinct: bool = False
    #: The field whose values are the result.
    pluck: str | None = None
    #: Rows as lists of values.
    as_list: bool = False

    @classmethod
    def of_resource(cls, arguments: Arguments) -> ListOptions:
        """Parse the arguments of frappe.client.get_list or /api/resource. Raises CompatError (417)."""
        refuse_unknown_options(arguments, "list")
        size = _one_of(arguments, SIZE_NAMES, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        pluck = arguments.text("pluck") if is_set(arguments.raw("pluck")) else None
        return cls(
            fields=arguments.json_value("fields", [pluck or "name"]),
            filters=arguments.json_value("filters"),
            or_filters=arguments.json_value("or_filters"),
            order_by=_order_text(arguments),
            group_by=arguments.json_value("group_by"),
            size=size or MAX_PAGE_SIZE,
            start=_one_of(arguments, START_NAMES, 0, MAX_PAGE),
            is_whole=size == 0,
            distinct=is_set(arguments.raw("distinct")),
            pluck=pluck,
            as_list=is_set(arguments.raw("as_list")) or ("as_dict" in arguments and not arguments.flag("as_dict")),
        )

    def with_one_more(self) -> ListOptions:
        """The same page with one document more, to tell whether there is a next page."""
        return replace(self, size=self.size + 1)

    @property
    def fetched(self) -> int:
        """How many documents to read: one more than allowed if all are requested."""
        return self.size + 1 if self.is_whole else self.size

    def shaped(self, rows: list[dict[str, Any]]) -> list[Any]:
        """The rows in the requested format. Raises CompatError (417) if all were requested and there are too many."""
        if self.is_whole and len(rows) > self.size:
            text = _("There are more than %(most)s documents. Please ask for them page by page.", most=self.size)
            raise CompatError(417, text)
        if self.pluck is not None:
            return [row[_plucked(self.pluck, row)] for row in rows]
        return [list(row.values()) for row in rows] if self.as_list else rows


def _plucked(name: str, row: dict[str, Any]) -> str:
    if name not in row:
        raise CompatError(417, _("“pluck” must be one of the fields: %(name)s.", name=name[:60]))
    return name


def _one_of(arguments: Arguments, names: tuple[str, ...], default: int, maximum: int) -> int:
    """The number under one of these names. Raises CompatError (417) if two of them differ."""
    values = {arguments.integer(name, default, 0, maximum) for name in names if name in arguments}
    if len(values) > 1:
        raise CompatError(417, _("Please send only one of: %(names)s.", names=", ".join(names)))
    return values.pop() if values else default


def _order_text(arguments: Arguments) -> str:
    order_by = arguments.raw("order_by")
    if order_by in (None, ""):
        return ""
    if not isinstance(order_by, str) or len(order_by) > 300:
        raise CompatError(417, _("A list can't be sorted by “%(name)s”.", name=str(order_by)[:60]))
    return order_by
