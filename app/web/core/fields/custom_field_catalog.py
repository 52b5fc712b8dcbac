"""The custom fields: each process reads them again when the version of access changes.

That version is read with the signed-in user, so a field that an admin adds is available in the next request of every
server that sees the admin's commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import g, has_app_context

from app.domain.custom_fields import FieldDefinition
from app.lib.cached_property import cached_property
from app.web.core.flask_internals import app_context


@dataclass(eq=False)
class CustomFieldCatalog:
    """All custom fields, in order; and the compiled tables that contain them."""

    fields: tuple[FieldDefinition, ...] = ()
    #: View class -> its RecordTable with these fields.
    tables: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def _by_table(self) -> dict[str, tuple[FieldDefinition, ...]]:
        found: dict[str, tuple[FieldDefinition, ...]] = {}
        for each in self.fields:
            if not each.is_removed:
                found[each.table] = (*found.get(each.table, ()), each)
        return found

    @cached_property
    def _by_name(self) -> dict[str, FieldDefinition]:
        return {f"{each.table}.{each.name}": each for each in self.fields}

    def of(self, table: str) -> tuple[FieldDefinition, ...]:
        """The fields of this table that are in use."""
        return self._by_table.get(table, ())

    def named(self, name: str) -> FieldDefinition | None:
        """The field of “leads.x_risk”, including removed ones."""
        return self._by_name.get(name)

    @cached_property
    def restricted(self) -> tuple[FieldDefinition, ...]:
        """The fields whose visibility is decided by the role matrix."""
        return tuple(each for each in self.fields if each.is_restricted and not each.is_removed)


def use(catalog: CustomFieldCatalog) -> None:
    """Use these fields for the rest of this request or task."""
    if has_app_context():
        g.custom_catalog = catalog


def held() -> CustomFieldCatalog | None:
    """The fields that this request or task uses so far."""
    context = app_context()
    if context is None:
        return None
    # A proxy would be resolved four times, and this is called for each table.
    found: CustomFieldCatalog | None = vars(context.g).get("custom_catalog")
    return found
