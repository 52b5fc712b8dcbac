"""The views that are registered in this application, by their model."""

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
