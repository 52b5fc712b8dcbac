"""What the Screen and the Resource of a record share: its declaration, its module, its rows, and FAB's hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask_appbuilder.security.sqla import models as fab_models
from flask_babel import gettext as _
from sqlalchemy import inspect

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.picklists import PicklistEntry
from app.extensions import db
from app.lib.ids import parse_id
from app.models import CORE_TABLES
from app.web.core.declarations import pretty
from app.web.core.fab_access import ModulePermissions
from app.web.core.queries.record_table import RecordTable
from app.web.core.urls.merged_redirects import refuse_merged
from app.web.core.view_registry import views_of
from app.web.core.viewer import Viewer
from app.web.core.views import custom_columns
from app.web.core.views.column_compiler import compile_table
from app.web.core.views.declaration_checks import refuse_malformed, refuse_taken_module, refuse_unknown_names
from app.web.core.views.record_service import RecordService

log = logging.getLogger("crm.views")


class CompiledTable:
    """The view's RecordTable, compiled from its declaration on first use, with the record's custom fields as of this
    request.
    """

    def __get__(self, view: Any, owner: type) -> RecordTable:
        table = owner.__dict__.get("_record_table")
        if table is None:
            table = compile_table(owner)
            owner._record_table = table  # type: ignore[attr-defined]
        return custom_columns.with_custom_fields(owner, table)


class RecordView(ModulePermissions):
    """A view with a `datamodel`.

    Subclasses are declared as documented by FAB, and may name a `service` of their own.
    """

    service: RecordService
    record_table = CompiledTable()
    #: Field objects for fields that can't be derived from the model's columns; they take precedence over the service's.
    fields: tuple[Any, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        model = getattr(cls.__dict__.get("datamodel"), "obj", None)
        if model is None:
            return
        inherited = getattr(cls, "service", None)
        if inherited is None or inherited.record is not model:
            cls.service = RecordService.of(model)
        if not cls.__dict__.get("module"):
            cls.module = cls.service.module or cls.__dict__.get("class_permission_name") or module_name(model)
        cls.service.module = cls.service.module or cls.module

    def __init__(self, **kwargs: Any) -> None:
        if "datamodel" in kwargs:
            type(self).datamodel = kwargs["datamodel"]  # type: ignore[attr-defined]
        _refuse_unusable(type(self))
        model = self.service.record
        refuse_taken_module(type(self), self.module)
        if not issubclass(model, PicklistEntry):
            access.add_model(model, self.module, has_timeline=self.service.is_generic)
        super().__init__(**kwargs)
        table = self.record_table  # raises at start for columns that cannot be shown
        if self.service.is_generic:
            refuse_unknown_names(type(self), table)

    def create_blueprint(self, *args: Any, **kwargs: Any) -> Any:
        """Called by FAB; also registers the view by its model."""
        made = super().create_blueprint(*args, **kwargs)  # type: ignore[misc]
        for other in args[0].baseviews if args else ():
            if isinstance(other, RecordView) and other is not self and other.route_base == self.route_base:  # type: ignore[attr-defined]
                names = f"{type(other).__name__} and {type(self).__name__}"
                raise TypeError(f"{names} have the same address, {self.route_base}")  # type: ignore[attr-defined]
        views_of(self.service.record).append(self)
        return made

    # --- rows

    def find(self, pk: Any) -> Any:
        """The row with this id that the person sees within the view's base filters. Raises NotFound."""
        key = parse_id(pk)
        row = self.service.find(db.session(), key)
        if row is not None and self.record_table.base_filters and self.record_table.one(db.session(), row.id) is None:
            row = None
        if row is None:
            refuse_merged(self.service.record, key)
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        return row

    def row_for(self, pk: Any, verb: str) -> Any:
        """The row of this id for the verb. Raises NotFound or Denied."""
        row = self.find(pk)
        if verb != "read":
            self.refuse_unless_reached(row, verb)
        return row

    # --- writing, with FAB's hooks

    def create_row(self, values: dict[str, Any], viewer: Viewer) -> Any:
        """Create the record; `pre_add` sees it before it is inserted. Not committed."""
        custom_columns.refuse_missing(self.record_table.fields, values)
        if self.service.is_generic:
            row = self.service.build(values, viewer)
            self._call(self.pre_add, row)  # type: ignore[attr-defined]
            return self.service.insert(db.session(), row, viewer)
        row = self.service.create(db.session(), values, viewer)
        self._call(self.pre_add, row)  # type: ignore[attr-defined]
        return row

    def change_row(self, row: Any, values: dict[str, Any], version: int | None, viewer: Viewer) -> None:
        """Change the record after checking the version; `pre_update` sees it before it is written. Not committed."""
        self.service.save(db.session(), row, values, version, viewer, lambda: self._call(self.pre_update, row))  # type: ignore[attr-defined]

    def remove_row(self, row: Any, viewer: Viewer) -> None:
        """Delete the record, with an audit entry; `pre_delete` may refuse. Not committed."""
        self._call(self.pre_delete, row)  # type: ignore[attr-defined]
        self.service.remove(db.session(), row, viewer)

    @staticmethod
    def _call(hook: Callable[[Any], Any], row: Any) -> None:
        """Call a FAB hook, which refuses by raising any exception. Raises RuleBroken with its text."""
        try:
            with db.session.no_autoflush:
                hook(row)
        except RuleBroken:
            raise
        except Exception as refused:
            log.info("%s refused: %r", getattr(hook, "__qualname__", hook), refused)
            raise RuleBroken(str(refused) or _("This is not allowed.")) from refused


def module_name(model: Any) -> str:
    """The default module of the role matrix for a model: "ContactGroup" → "Contact group"."""
    return str(getattr(model, "__module_name__", None) or pretty(model.__name__))[:32]


def _refuse_unusable(view: type) -> None:
    """Raise TypeError with one sentence for a view that cannot work."""
    model = getattr(getattr(view, "datamodel", None), "obj", None)
    if model is None:
        raise TypeError(f"{view.__name__} needs a datamodel: datamodel = SQLAInterface(YourModel)")
    if model.__module__ == fab_models.__name__:
        raise TypeError(f"{view.__name__}: accounts and roles are kept by their own screens, not by a generic view")
    refuse_malformed(view)
    ours = {table.name for table in inspect(model).tables} & CORE_TABLES
    if ours and not model.__module__.startswith("app."):
        raise TypeError(
            f"{view.__name__}: {model.__name__} maps {min(ours)}, a table of the CRM; use the CRM's own model"
        )
    if model.__module__.startswith("app.") and not issubclass(model, PicklistEntry) and model not in access.RULES:
        raise TypeError(f"{model.__name__} needs an entry in RULES (app/access/row_rules.py): which rows a person sees")
