"""The tabs of a record's timeline, one row of TABS each. For a new kind of entries, add a row or extend one.

A row has the name of the tab, who sees it, the function that loads a page of entries, and its template:

- `page(wanted, viewer)` returns a `timeline_rows.TimelinePage`: entries (dictionaries) and where the next page begins.
  `wanted` (timeline_filters.TimelineQuery) has the records, the filters and the position;
  `timeline_rows.belongs(Model, wanted.records)` is the condition for the rows of these records. At most
  `timeline_rows.PAGE` entries, one indexed statement.
- `rows` is a SELECT of what the tab's count tells, and `counted(records)` its condition for these records, None for
  records that can't have any, which have no such tab. The counts of all tabs are one statement, each up to
  `timeline_counts.MAX_COUNTED`. Of entries of the timeline, those of the kinds `among` count. `tables` are the models
  that `rows` names.
- `template` has a macro `items(entries)` that draws each entry as a `<li>`.

    TABS["files"] = replace(TABS["files"], page=my_page, rows=my_select, counted=my_rule, tables=(Attachment, Message))

A timeline may be that of several records: a screen's `timeline_records` names them, see app/web/records/screen.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext
from markupsafe import Markup
from sqlalchemy import and_, select

from app.domain.base import RuleBroken
from app.domain.searchable_notes import NOTES
from app.domain.tasks import OPEN
from app.lib.html_escape import escape
from app.models import Activity, CallLog, Lead, Message, MessageFile, Task, Ticket
from app.web.core.localization.languages import in_page_language
from app.web.core.urls.local_links import row_url
from app.web.core.viewer import Viewer
from app.web.records.timelines import timeline_counts, timeline_filters, timeline_rows
from app.web.records.timelines.timeline_filters import KINDS, Records, TimelineQuery
from app.web.records.timelines.timeline_rows import CHANGES, TimelinePage, belongs, by_column
from app.web.records.timelines.timeline_tab import Tab

#: Record -> its kind, if everybody who sees it sees everything that belongs to it (access.visible_parents).
_SEEN_ALONE = {Lead: "lead", Ticket: "ticket"}
#: Records whose timeline has all tabs; the others have only their activity.
WITH_TABS = ("lead", "ticket", "customer")


def _of(model: Any, *rules: Any) -> Callable[[Records], Any]:
    """The condition for counting rows of a model with its own columns for records."""

    def rule(records: Records) -> Any:
        of_records = belongs(model, records)
        return None if of_records is None else and_(of_records, *rules)

    rule.is_by_id = True  # type: ignore[attr-defined]
    rule.alternatives = lambda records: [and_(each, *rules) for each in by_column(model, records)]  # type: ignore[attr-defined]
    return rule


def _messages_of(channel: str) -> dict[str, Any]:
    return {
        "page": timeline_rows.messages(channel),
        "rows": select(Message.id),
        "counted": _of(Message, Message.channel == channel),
        "tables": (Message,),
        "module": "Messages",
        "composes": channel,
    }


#: Name in the URL -> tab, in their order on the page.
TABS: dict[str, Tab] = {
    "activity": Tab(_l("Activity"), timeline_rows.activity, _l("No activity yet.")),
    "notes": Tab(
        _l("Notes"),
        timeline_rows.notes,
        _l("No notes yet."),
        invitation=_l("No notes yet. Write the first one above."),
        module="Notes",
        rows=select(Activity.id, Activity.kind),
        counted=_of(Activity),
        among=NOTES,
        tables=(Activity,),
    ),
    "tasks": Tab(
        _l("Tasks"),
        timeline_rows.tasks,
        _l("No tasks here."),
        module="Tasks",
        rows=select(Task.id),
        counted=_of(Task, Task.status.in_(OPEN)),
        tables=(Task,),
        template="records/_entries_tasks.html",
        composes="task",
        parts=(("open", lazy_pgettext("label", "Open")), ("done", _l("Done"))),
    ),
    "calls": Tab(
        _l("Calls"),
        timeline_rows.calls,
        _l("No calls yet."),
        invitation=_l("No calls yet. Call from here, or write down a call that you made elsewhere."),
        module="Call Logs",
        rows=select(CallLog.id),
        counted=_of(CallLog),
        tables=(CallLog,),
        composes="call",
    ),
    "whatsapp": Tab("WhatsApp", empty=_l("No WhatsApp messages yet."), **_messages_of("whatsapp")),
    "sms": Tab("SMS", empty=_l("No SMS yet."), is_optional=True, **_messages_of("sms")),
    "email": Tab(_l("Email"), empty=_l("No emails yet."), **_messages_of("email")),
    "files": Tab(
        _l("Files"),
        timeline_rows.files,
        _l("Files of messages are collected here, too. There are none yet."),
        module="Messages",
        rows=select(MessageFile.id).join(Message, Message.id == MessageFile.message_id),
        counted=_of(Message),
        tables=(MessageFile, Message),
        template="records/_entries_files.html",
    ),
    "changes": Tab(
        _l("Changes"),
        timeline_rows.changes,
        _l("Nothing has been changed yet."),
        rows=select(Activity.id, Activity.kind),
        counted=_of(Activity),
        among=CHANGES,
        tables=(Activity,),
        template="records/_entries_changes.html",
    ),
}


@dataclass(frozen=True)
class TimelineLocation:
    """The page, fragment and records of a timeline."""

    page_url: str
    part_url: str
    records: Records
    has_tabs: bool
    #: The numbers of the other records, shown in their entries.
    numbers: Mapping[tuple[str, int], str | None] = field(default_factory=dict)
    #: Whether to count the tabs' entries.
    is_counted: bool = True
    #: "lead" or "ticket", if it is the timeline of that record alone: everybody who sees the page sees the record.
    seen: str | None = None

    @classmethod
    def of(cls, screen: Any, key: int, number: Any, viewer: Viewer) -> TimelineLocation:
        """The location of a record's timeline on its own page, for people who see the record."""
        numbers = screen.timeline_records(key, viewer)
        records = tuple(numbers)
        page = row_url(screen.route_base, key, number)
        has_tabs = bool(records) and records[0][0] in WITH_TABS
        own = _SEEN_ALONE.get(screen.service.record)
        seen = own if records == ((own, key),) else None
        return cls(page, f"{screen.route_base}/timeline/{key}", records, has_tabs, numbers, seen=seen)


def offered(location: TimelineLocation, viewer: Viewer) -> dict[str, Tab]:
    """The tabs that the viewer may open and that these records can fill."""
    if not location.has_tabs:
        return {"activity": TABS["activity"]}
    return {
        name: tab
        for name, tab in TABS.items()
        if (not tab.module or viewer.person.may(tab.module, "read"))
        and (tab.counted is None or _has_column(tab, location.records))
    }


#: (condition of a tab, kinds of records) -> whether records of these kinds can have any of its rows.
_columns: dict[tuple[Any, tuple[str, ...]], bool] = {}


def _has_column(tab: Tab, records: Records) -> bool:
    counted: Any = tab.counted
    if not hasattr(counted, "is_by_id"):
        return counted(records) is not None
    key = (counted, tuple(kind for kind, _id in records))
    if key not in _columns:
        _columns[key] = counted(records) is not None
    return _columns[key]


def context(location: TimelineLocation, args: Mapping[str, Any], viewer: Viewer) -> dict[str, Any]:
    """The timeline keys of records/record.html, as requested by the URL. Raises RuleBroken."""
    tabs, name = offered(location, viewer), args.get("tab") or "activity"
    if name not in tabs:
        raise RuleBroken(_("This record has no tab “%(name)s”. Please choose one of its tabs.", name=name[:40]), "tab")
    tab, timeline_query = tabs[name], timeline_filters.parse(args, location.records, viewer, location.seen)
    _refuse_unused(name, tab, timeline_query)
    page = tab.page(timeline_query, viewer) if location.records else TimelinePage()
    _name_owners(page, location)
    older, here = timeline_query.query(name, before=page.older) if page.older else "", timeline_query.query(name)
    counts = (
        timeline_counts.counts_of(tabs, location.records, location.seen)
        if location.has_tabs and location.is_counted
        else {}
    )
    return {
        "timeline": page.entries,
        "timeline_url": f"{location.part_url}{here}",
        "page_url": f"{location.page_url}{here}",
        "older_url": f"{location.page_url}{older}" if older else None,
        "older_part_url": f"{location.part_url}{older}",
        "tab": name,
        "tab_template": tab.template,
        "composes": tab.composes,
        "counts": {each: counts.get(each, "") for each in tabs},
        "tabs": _shown(location, tabs, name, counts),
        "filters": _filters(location, name, timeline_query, _people(timeline_query, page, viewer))
        if location.has_tabs
        else None,
        "parts": _parts(location, name, timeline_query),
        "empty_text": _("Nothing fits the filters.") if timeline_query.is_filtered else str(_empty_text(tab, viewer)),
    }


#: Kind of a record -> the URL of its pages.
_BASES = {"lead": "/leads", "ticket": "/tickets", "customer": "/customers"}


def _empty_text(tab: Tab, viewer: Viewer) -> Any:
    """What a tab without entries says: to whom may add one, how."""
    return tab.invitation if tab.invitation and viewer.person.may(tab.module, "create") else tab.empty


def _name_owners(page: TimelinePage, location: TimelineLocation) -> None:
    """Add to each entry of another record which one it belongs to."""
    for entry in page.entries:
        owner = entry.get("of")
        if owner is not None and (number := location.numbers.get(owner)):
            entry["owner"] = {"number": number, "url": row_url(_BASES[owner[0]], owner[1], number)}


def _refuse_unused(name: str, tab: Tab, timeline_query: TimelineQuery) -> None:
    if timeline_query.kind and name != "activity":
        raise RuleBroken(_("Only the tab Activity can be filtered by kind."), "kind")
    if timeline_query.part and timeline_query.part not in dict(tab.parts):
        raise RuleBroken(_("This tab has no part “%(part)s”.", part=timeline_query.part), "part")


def _shown(
    location: TimelineLocation, tabs: dict[str, Tab], chosen: str, counts: dict[str, str]
) -> list[dict[str, Any]]:
    bare = TimelineQuery(location.records)
    made = []
    for name, tab in tabs.items():
        query, count = bare.query(name), counts.get(name, "")
        made.append(
            {
                "name": name,
                "label": in_page_language(tab.label),
                "count": count,
                "url": f"{location.page_url}{query}",
                "part_url": f"{location.part_url}{query}",
                "active": name == chosen,
                "composes": tab.composes,
                "is_hidden": tab.is_optional and name != chosen and not count,
            }
        )
    return made


def _parts(location: TimelineLocation, name: str, timeline_query: TimelineQuery) -> list[dict[str, Any]]:
    """The links to the parts of a tab, such as open and done tasks."""
    parts = TABS[name].parts
    first = parts[0][0] if parts else ""
    return [
        {
            "label": str(label),
            "url": f"{location.page_url}{timeline_query.query(name, part='' if value == first else value)}",
            "part_url": f"{location.part_url}{timeline_query.query(name, part='' if value == first else value)}",
            "active": value == (timeline_query.part or first),
        }
        for value, label in parts
    ]


# --- filters


def _filters(location: TimelineLocation, name: str, timeline_query: TimelineQuery, people: Any) -> dict[str, Any]:
    """The filter form with these people to choose from."""
    clear = TimelineQuery(location.records, part=timeline_query.part).query(name)
    return {
        "action": location.page_url,
        "part_url": location.part_url,
        "hidden": [(key, value) for key, value in (("tab", name), ("part", timeline_query.part)) if value],
        "kinds": [(value, in_page_language(label)) for value, (label, _kinds) in KINDS.items()]
        if name == "activity"
        else [],
        "kind": timeline_query.kind,
        "options": _options(people, timeline_query.who),
        "who": timeline_query.who,
        "first": timeline_query.first.isoformat() if timeline_query.first else "",
        "last": timeline_query.last.isoformat() if timeline_query.last else "",
        "count": sum(map(bool, (timeline_query.kind, timeline_query.who, timeline_query.first or timeline_query.last))),
        "clear_url": f"{location.page_url}{clear}",
        "clear_part_url": f"{location.part_url}{clear}",
    }


def _options(people: list[tuple[int, str]], chosen: int | None) -> Markup:
    made = (
        f'<option value="{key}"{" selected" if key == chosen else ""}>{escape(name)}</option>' for key, name in people
    )
    return Markup("".join(made))


def _people(timeline_query: TimelineQuery, page: TimelinePage, viewer: Viewer) -> list[tuple[int, str]]:
    people = viewer.lookups.people
    cards = [each.get("actor") or each.get("assignee") or {} for each in page.entries]
    names = dict.fromkeys(card["username"] for card in cards if "username" in card)
    keys = dict.fromkeys([viewer.person.id, timeline_query.who, *map(viewer.lookups.find_person, names)])
    return [(key, people[key]["full_name"]) for key in keys if key is not None and key in people]
