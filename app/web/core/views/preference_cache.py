"""A person's choices for lists and boards, cached by each process until any of them changes.

Their version is read with the signed-in user (access.lists_version_query), so a page that finds its person in the cache
needs no query.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from flask import g

from app.extensions import db
from app.ops.database.connections import address_of
from app.web.core.viewer import Viewer

#: People cached by a process.
MAX_PEOPLE = 5000
Kept = TypeVar("Kept")


class PersonCache(Generic[Kept]):
    """One value per person; `load` creates it on first use, and after a change."""

    def __init__(self, load: Callable[[Viewer], Kept]) -> None:
        self._load = load
        self._lock = threading.Lock()
        #: (address of the database, user id) -> (version, value).
        self._kept: dict[tuple[str, int], tuple[Any, Kept]] = {}

    def of(self, viewer: Viewer) -> Kept:
        """The value for this person. Not cached under the scope of an API key, which may see less."""
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
