"""Checks of a view's declaration at start; each error is one sentence that names the view."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.models.filters import BaseFilter
from sqlalchemy import inspect

from app import access
from app.domain.people import permissions

_LISTS = ("list", "show", "add", "edit", "search", "order")


def refuse_malformed(view: type) -> None:
    """Raise TypeError for attributes of the wrong shape."""
    for name in (*(f"{which}_columns" for which in _LISTS), "quick_filters", "summary_columns", "related_views"):
        if isinstance(getattr(view, name, None), str):
            raise TypeError(f"{view.__name__}.{name} must be a list, not a text")
    _refuse_wrong_fieldsets(view)
    _refuse_wrong_filters(view)
    for other in getattr(view, "related_views", None) or ():
        if not hasattr(other, "datamodel"):
            raise TypeError(f"{view.__name__}.related_views must be screens, not {other!r}")
    _refuse_other_keys(view)


def _refuse_wrong_fieldsets(view: type) -> None:
    for which in ("show", "add", "edit"):
        for part in getattr(view, f"{which}_fieldsets", None) or ():
            if len(part) != 2 or not isinstance(part[1], dict) or "fields" not in part[1]:
                raise TypeError(f'{view.__name__}.{which}_fieldsets: each must be (title, {{"fields": [...]}})')


def _refuse_wrong_filters(view: type) -> None:
    for name, filters in (getattr(view, "search_filters", None) or {}).items():
        for each in filters:
            if not (isinstance(each, type) and issubclass(each, BaseFilter)):
                raise TypeError(f"{view.__name__}.search_filters of “{name}” must be classes of filters, not {each!r}")
    model = view.datamodel.obj  # type: ignore[attr-defined]
    for name in [each[0] for each in getattr(view, "base_filters", None) or () if each[0]]:
        _refuse_unless(hasattr(model, name.partition(".")[0]), view, "base_filters", name)


def _refuse_other_keys(view: type) -> None:
    model: Any = view.datamodel.obj  # type: ignore[attr-defined]
    keys = [inspect(model).get_property_by_column(column).key for column in inspect(model).primary_key]
    if keys != ["id"]:
        raise TypeError(
            f"{view.__name__}: {model.__name__} needs one integer primary key named id; it has {', '.join(keys)}"
        )


def refuse_unknown_names(view: type, record_table: Any) -> None:
    """Raise TypeError for names of columns that the compiled view does not have."""
    named = record_table.by_name
    if record_table.base_order is not None:
        name = record_table.base_order[0]
        _refuse_unless(name == "id" or (name in named and named[name].sort), view, "base_order", name)
    for name in getattr(view, "quick_filters", ()):
        _refuse_unless(name in named, view, "quick_filters", name)
    title = getattr(view, "title_column", "")
    _refuse_unless(not title or title in named, view, "title_column", title)


def refuse_taken_module(view: type, module: str) -> None:
    """Raise TypeError if a view's default module, from its model's name, belongs to other records."""
    model: Any = view.datamodel.obj  # type: ignore[attr-defined]
    if getattr(view, "class_permission_name", None) or model.__module__.startswith("app."):
        return
    others = {other.__name__ for other, name in access.MODULE_OF.items() if name == module and other is not model}
    if module in permissions.MODULES or others:
        taken = "one of the CRM's own" if module in permissions.MODULES else f"that of {min(others)}"
        raise TypeError(
            f"{view.__name__}: the module “{module}”, named after {model.__name__}, is {taken}; "
            "name another: class_permission_name = …"
        )


def _refuse_unless(is_right: bool, view: type, attribute: str, name: str) -> None:
    if not is_right:
        raise TypeError(f"{view.__name__}.{attribute} names “{name}”, which is no such column of the view")
