"""Pages and REST endpoints; business rules are in `app.domain`, access rules in `app.access`.

`from app.web import Screen, Resource`: the base classes of record screens and REST resources, for add-ons too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.web.api.resource import Resource
    from app.web.records.screen import Screen

__all__ = ["Resource", "Screen"]


def __getattr__(name: str) -> Any:
    """Import a base class when it is first asked for, so that importing one part of `app.web` imports no other."""
    if name == "Screen":
        from app.web.records.screen import Screen

        return Screen
    if name == "Resource":
        from app.web.api.resource import Resource

        return Resource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
