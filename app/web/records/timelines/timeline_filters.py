"""The filters of a timeline: its records, author, days and kind. All of them are in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.base import RuleBroken
from app.web.core.fab_access import parse_integer
from app.web.core.fields.date_fields import DateField
from app.web.core.viewer import Viewer

#: Names of tabs whose query strings are kept.
MAX_TABS = 100
#: (kind, id) of records: lead, ticket, customer, task; else the name of a table.
Records = tuple[tuple[str, int], ...]
#: Value of the filter by kind -> its label, and the kinds of Activity.
KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "note": (_l("Notes"), ("note", "comment")),
    "call": (_l("Calls"), ("call",)),
    "message": (_l("Messages"), ("message",)),
    "task": (_l("Tasks"), ("task",)),
    "change": (_l("Changes"), ("status_change", "field_change", "proposal")),
    "assignment": (_l("Assignment"), ("assignment",)),
    "complaint": (_l("Complaint"), ("complaint",)),
    "file": (_l("Files"), ("file",)),
    "system": (_l("System"), ("system",)),
}


@dataclass(frozen=True)
class TimelineQuery:
    """One page of a timeline, as requested by its URL."""

    records: Records
    #: "lead" or "ticket", if the records are one that the person is known to see.
    seen: str | None = None
    #: Only what this user did; for tasks, those assigned to them.
    who: int | None = None
    first: date | None = None
    last: date | None = None
    #: One of KINDS.
    kind: str = ""
    #: The part of a tab: "open" or "done" tasks.
    part: str = ""
    #: The position of the page, from the previous one; "" = the newest.
    before: str = ""

    @property
    def parent(self) -> tuple[str, int] | None:
        """The only record, if it is `seen`."""
        return self.records[0] if self.seen else None

    @property
    def is_filtered(self) -> bool:
        """Whether something is filtered out."""
        return bool(self.who or self.first or self.last or self.kind)

    def query(self, tab: str, **changes: Any) -> str:
        """The query string of this page, or of one that differs from it; "" or "?…"."""
        if not (changes or self.part or self.is_filtered):
            return _query_of_tab(tab)
        kept: dict[str, Any] = {
            "tab": "" if tab == "activity" else tab,
            "who": self.who,
            "kind": self.kind,
            "part": self.part,
        }
        kept |= {"from": self.first, "to": self.last}
        left = {name: value for name, value in (kept | changes).items() if value}
        return f"?{urlencode(left)}" if left else ""

    def since(self, viewer: Viewer) -> datetime | None:
        """The first moment, UTC."""
        return None if self.first is None else _midnight(self.first, viewer)

    def until(self, viewer: Viewer) -> datetime | None:
        """The end, UTC (exclusive)."""
        return None if self.last is None else _midnight(self.last + timedelta(days=1), viewer)

    def rules(self, who: Any, at: Any, viewer: Viewer) -> list[Any]:
        """The conditions on the author and time, by these columns."""
        since, until = self.since(viewer), self.until(viewer)
        made = [who == self.who] if self.who else []
        made += [at >= since] if since is not None else []
        return made + ([at < until] if until is not None else [])


@lru_cache(MAX_TABS)
def _query_of_tab(tab: str) -> str:
    return "" if tab == "activity" else f"?{urlencode({'tab': tab})}"


def parse(args: Mapping[str, Any], records: Records, viewer: Viewer, seen: str | None = None) -> TimelineQuery:
    """The filters in the URL. Raises RuleBroken for invalid ones, so that nothing is silently left out."""
    who = parse_integer(args.get("who"), 0, 0, 2**31 - 1) or None
    if args.get("who--typed") or (who is not None and who not in viewer.lookups.people):
        raise RuleBroken(_("Please choose a colleague from the list."), "who")
    kind, part = args.get("kind") or "", args.get("part") or ""
    if kind and kind not in KINDS:
        raise RuleBroken(_("A timeline has no entries of the kind “%(kind)s”.", kind=kind[:40]), "kind")
    first, last = (DateField(name).parse(args.get(name), viewer) for name in ("from", "to"))
    if first and last and first > last:
        raise RuleBroken(_("The period ends before it begins. Please swap the two days."), "to")
    return TimelineQuery(records, seen, who, first, last, kind, part[:20], (args.get("before") or "")[:80])


def _midnight(day: date, viewer: Viewer) -> datetime:
    return datetime.combine(day, time.min, tzinfo=viewer.zone).astimezone(UTC)
