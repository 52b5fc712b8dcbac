"""The tabs above a list: parts of its rows that have an address of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ListTab:
    """One tab of a list."""

    #: Its name in the address, as `?tab=open`; "" for the address without one.
    name: str
    label: Any
    #: What is said if it has no rows; "" = the same as of the list itself.
    empty: Any = ""
    #: The number beside the label.
    count: int | None = None
    #: Of a page that isn't the list.
    url: str = ""


def shown_tabs(base: str, tabs: Iterable[ListTab], chosen: str) -> list[dict[str, Any]]:
    """The tabs of the list at `base`, such as "/tasks", as its page draws them."""
    return [
        {
            "label": str(tab.label),
            "url": tab.url or (f"{base}/?tab={tab.name}" if tab.name else f"{base}/"),
            "count": tab.count,
            "active": tab.name == chosen,
            "empty": str(tab.empty) or None,
        }
        for tab in tabs
    ]
