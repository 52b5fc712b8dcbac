"""The registered views of this application, by model."""

from __future__ import annotations

from typing import Any

from flask import current_app


def registered(kind: str) -> dict[Any, Any]:
    """The registered views by model: `registered("screens")`, `registered("resources")`."""
    found: dict[Any, Any] = current_app.extensions.setdefault(f"crm_{kind}", {})
    return found


def views_of(model: Any) -> list[Any]:
    """All registered screens and resources of a model."""
    views: list[Any] = registered("views").setdefault(model, [])
    return views


def screen_of(model: Any) -> Any:
    """The registered screen of a model, or None."""
    return registered("screens").get(model)


def kind_of(screen: Any) -> str:
    """The API name of a screen's records: that of their REST resource, else of their table."""
    resource = screen.service.resource
    return str(resource.resource_name if resource is not None else screen.service.record.__tablename__)


def screen_of_kind(kind: str) -> Any:
    """The registered screen of the records of this kind, or None."""
    return next((screen for screen in registered("screens").values() if kind_of(screen) == kind), None)
