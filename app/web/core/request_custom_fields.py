"""The custom fields of the current request."""

from __future__ import annotations

from flask import g, has_app_context

from app.web.core.fab_access import current_viewer
from app.web.core.fields import custom_field_catalog
from app.web.core.fields.custom_field_catalog import CustomFieldCatalog

_NONE = CustomFieldCatalog()


def current() -> CustomFieldCatalog:
    """The fields of this request; none before the person is known."""
    found = custom_field_catalog.held()
    if found is None and has_app_context() and g.get("person") is not None:
        current_viewer()  # loads them
        found = custom_field_catalog.held()
    return _NONE if found is None else found
