"""Who makes a request: the person, with what every page and REST resource needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.access import Person, PersonsCustomers
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.web.core.fields.lookups import Lookups


@dataclass
class Viewer:
    """The person of a request, with the lookups, their time zone, and the time of the request (UTC)."""

    person: Person
    lookups: Lookups
    zone: ZoneInfo
    now: datetime
    #: (model, id) -> object, or None if not visible; for columns that are relations, properties or methods.
    objects: dict[tuple[Any, int], Any] = field(default_factory=dict)
    #: Search results and statements shared by several records, see text_search and custom_search.
    searched: dict[Any, Any] = field(default_factory=dict)
    #: Whether they undo their own bulk action, which may reopen what it has closed.
    is_undoing: bool = False

    @property
    def stamp(self) -> Stamp:
        """The person as the author of a change in this request, and its time."""
        return Stamp(self.person.id, self.now)

    @property
    def today(self) -> date:
        """The date of today in the person's zone."""
        return self.now.astimezone(self.zone).date()

    def change_context(self, **settings: Any) -> ChangeContext:
        """The person and the time with settings for the change; see ChangeContext."""
        return ChangeContext(self.person.id, self.now, customer_rights=PersonsCustomers(self.person), **settings)
