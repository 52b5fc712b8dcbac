"""Lists of documents in memory: picklists, colleagues, roles. The same parameters as other lists."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.web.compat.filters import Filter, not_permitted, split_filters, unknown_operator
from app.web.compat.list_options import ListOptions
from app.web.compat.list_query import field_names, order_parts, unsortable
from app.web.compat.responses import CompatError
from app.web.compat.text_patterns import checked, labels_like
from app.web.core.viewer import Viewer

Document = dict[str, Any]
_NEGATED = {"!=": "=", "<>": "=", "not in": "in", "not like": "like"}


class MemoryDocType:
    """A read-only DocType whose documents are in memory."""

    name: str

    def documents(self, viewer: Viewer) -> list[Document]:
        """All documents that the person may read, in order. Raises Denied."""
        raise NotImplementedError

    def filter_documents(self, filters: Any, viewer: Viewer) -> list[Document]:
        """The documents that match the filters. Raises CompatError (417)."""
        return matching(self.documents(viewer), filters, self.name)

    def list_documents(self, options: ListOptions, viewer: Viewer) -> list[Document]:
        """The page of a list request. Raises CompatError (417)."""
        return select_page(self.documents(viewer), options, self.name)


def select_page(documents: list[Document], options: ListOptions, doctype: str) -> list[Document]:
    """The documents of a list request. Raises CompatError (417) for unsupported parameters."""
    found = matching(documents, options.filters, doctype, options.or_filters)
    for name, direction in reversed(order_parts(options.order_by, doctype)):
        if documents and name not in documents[0]:
            if name in ("creation", "modified"):  # these documents have no times: they keep their own order
                continue
            raise unsortable(name)
        found = sorted(found, key=lambda each: _sortable(each[name]), reverse=direction == "desc")
    if options.group_by or any("(" in str(each) for each in _listed(options.fields)):
        raise CompatError(417, _("“%(name)s” isn't supported here. Please leave it out.", name="group_by"))
    rows = with_fields(found, field_names(options.fields, doctype))
    if options.distinct:
        rows = list({tuple(row.items()): row for row in rows}.values())
    return rows[options.start : options.start + options.fetched]


def _listed(fields: Any) -> list[Any]:
    return fields if isinstance(fields, list) else [fields]


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value.casefold() if isinstance(value, str) else value or 0


def matching(documents: list[Document], filters: Any, doctype: str, or_filters: Any = None) -> list[Document]:
    """The documents that match all filters, and any of `or_filters`. Raises CompatError (417)."""
    every, either = (split_filters(each, doctype, _operator_and_value) for each in (filters, or_filters))
    for each in (*every, *either):
        if documents and each.field not in documents[0]:
            raise not_permitted(each.field)
    return [
        doc
        for doc in documents
        if all(_matches(doc, each) for each in every) and (not either or any(_matches(doc, each) for each in either))
    ]


def with_fields(documents: list[Document], names: list[str]) -> list[Document]:
    """The documents with these fields only; null for an unknown field."""
    return documents if "*" in names else [{name: doc.get(name) for name in names} for doc in documents]


def _operator_and_value(value: Any) -> tuple[str, Any]:
    """A list of two is always [operator, value] here."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return " ".join(value[0].lower()[:30].split()), value[1]
    return "=", value


def _matches(doc: Document, each: Filter) -> bool:
    if each.operator in _NEGATED:
        return not _matches(doc, each._replace(operator=_NEGATED[each.operator]))
    stored = str(doc.get(each.field) if doc.get(each.field) is not None else "").casefold()
    values = each.value if isinstance(each.value, list) else [each.value]
    texts = [str(int(one) if isinstance(one, bool) else "" if one is None else one).casefold() for one in values]
    if each.operator not in ("=", "in", "like", "is") or not texts:
        raise unknown_operator(each.operator)
    if each.operator == "like":
        return bool(labels_like(checked(each.value, each.field), [(1, stored)]))
    if each.operator == "is":
        return bool(stored) == (texts[0] == "set")
    return stored in texts
