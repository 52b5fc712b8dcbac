"""What a person sees and has chosen of lists and boards, kept by each process until any of it changes.

The version of these is read with the signed-in user (access.lists_version_query), so a page that finds its person in
the cache asks nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from flask import g

from app.extensions import db
from app.ops.database import address_of
from app.web.core.fields import Viewer

#: People whom a process remembers.
MAX_PEOPLE = 5000
Kept = TypeVar("Kept")


class PersonCache(Generic[Kept]):
    """One value a person; `load` makes it when it is asked for the first time, and after a change."""

    def __init__(self, load: Callable[[Viewer], Kept]) -> None:
        self._load = load
        self._lock = threading.Lock()
        #: (address of the database, user id) -> (version, value).
        self._kept: dict[tuple[str, int], tuple[Any, Kept]] = {}

    def of(self, viewer: Viewer) -> Kept:
        """The value of this person. Under the scope of an API key they may see less, so that isn't kept for them."""
        if viewer.person.scope is not None:
            return self._load(viewer)
        version = (viewer.person.version, g.get("lists_version"))
        key = (address_of(db.session()), viewer.person.id)
        found = self._kept.get(key)
        if found is None or found[0] != version or version[1] is None:
            found = (version, self._load(viewer))
            with self._lock:
                if len(self._kept) > MAX_PEOPLE:
                    self._kept.clear()
                self._kept[key] = found
        return found[1]
