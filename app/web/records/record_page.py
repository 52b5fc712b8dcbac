"""The context of a record page."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from flask_babel import gettext as _

from app.domain.task_closing import HANDLE_TICKET
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import CallLog, Customer, Lead, Task, Ticket
from app.web.core.declarations import STAMPS
from app.web.core.fields.base import TextField
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.languages import in_page_language, language_key
from app.web.core.queries.record_table import RecordTable
from app.web.core.viewer import Viewer
from app.web.pages.cached_page_frame import Document, render_document
from app.web.records import (
    dial_targets,
    inline_edit_fields,
    legal_hold_action,
    open_tasks,
    record_form,
    related_lists,
    reveals,
)
from app.web.records.close_tasks_field import tasks_input
from app.web.records.lists.list_page import title_of
from app.web.records.suggested_times import next_follow_up
from app.web.records.timelines import composer, timeline_tabs

#: Names of records in live events.
KINDS = composer.KINDS


def record_page(screen: Any, row: Any, viewer: Viewer, args: Any) -> dict[str, Any]:
    """The context of records/_record.html for a row of the screen's RecordTable."""
    serialized = screen.record_table.serialize_rows(db.session(), [row], None, viewer)[0]
    cells = _cells(screen, row, serialized["id"], viewer)
    related = screen.related_parts(serialized, viewer)
    location = timeline_tabs.TimelineLocation.of(screen, serialized["id"], serialized.get("number"), viewer)
    return (
        _head(screen, serialized, cells, viewer)
        | _body(screen, serialized, cells, viewer)
        | _related(screen, serialized, related, viewer)
        | _addresses(screen, serialized, cells, viewer)
        | {
            "moves": _other_statuses(screen, serialized, related, viewer)
            if _may_edit(screen, viewer) and screen.status_picklist and _may_leave_status(screen, serialized, viewer)
            else [],
            "conflict": None,
        }
        | timeline_tabs.context(location, args, viewer)
        | screen.context_overrides(serialized, viewer)
    )


def render(context: dict[str, Any]) -> str:
    """The page of a record with this context."""
    shared = {
        "module": context["module"],
        "list_url": context.get("list_url") or context["base_url"],
        "list_label": in_page_language(context["list_label"]),
    }
    texts = {"title": context["title"], "id": str(context["id"])}
    if context["number"]:
        texts["number"] = context["number"]
    return render_document(Document("records/record.html", shared, texts), "records/_record.html", {"record": context})


def _may_edit(screen: Any, viewer: Viewer) -> bool:
    return viewer.person.may(screen.module, "write") and "edit" not in screen.exclude_route_methods


def _cells(screen: Any, row: Any, key: int, viewer: Viewer) -> dict[str, dict[str, Any]]:
    """Field -> its cell, with what its value links to: a call, or the page that reveals it."""
    slices, values = screen.record_table.selection(None)[1], tuple(row)
    for each, cut in slices:
        if each.name in screen.summary_columns and hasattr(each, "prepare"):
            each.prepare([values[cut]], viewer)
    cells = {each.name: each.shown_cell(values[cut], viewer) for each, cut in slices}
    if (link := dial_targets.linker(screen.service.record, viewer)) is not None:
        link(cells, key)
    reveals.link(screen, cells, key, viewer)
    return cells


def _head(screen: Any, serialized: dict[str, Any], cells: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """What names the record, its status, and the buttons."""
    record, named = screen.record_table.record, cells.get(screen.title_column, {})
    return {
        "id": serialized["id"],
        "title": title_of(screen.title_column, cells) or serialized.get("number") or str(screen.record_name),
        "face": named.get("picture"),
        "face_initials": named.get("initials"),
        "number": serialized.get("number"),
        "module": KINDS.get(record, record.__tablename__),
        "list_label": screen.list_title,
        "version": serialized.get("version"),
        "status": _shown_status(serialized["status"]) if screen.status_picklist else None,
        "assignees": _assignees(serialized),
        "assignee_id": _assignee_id(screen, serialized, viewer),
        "primary": screen.main_action(serialized, viewer),
        "more": _more(screen, serialized, viewer),
    }


def _related(screen: Any, serialized: dict[str, Any], related: list[dict[str, Any]], viewer: Viewer) -> dict[str, Any]:
    """The next steps, and the other related rows."""
    steps = open_tasks.context(screen, serialized, related, viewer)
    return {
        "open_tasks": steps,
        "related": [part for part in related if steps is None or "open_tasks" not in part],
    }


def _body(screen: Any, serialized: dict[str, Any], cells: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """The values and the composer."""
    labels = _labels_of(screen.record_table)
    editable_names = inline_edit_fields.names_on_page(screen, serialized["id"], viewer)
    if screen.status_picklist and not _may_leave_status(screen, serialized, viewer):
        editable_names -= {"status"}
    sections = _sections(screen, cells, editable_names)
    return {
        "strip": [{"name": name, "label": labels[name], "cell": cells[name]} for name in _strip_names(screen, cells)],
        "texts": _take_texts(screen, sections),
        "sections": sections,
        "composer": composer.context(screen, serialized, viewer),
    }


def _strip_names(screen: Any, cells: dict[str, dict[str, Any]]) -> list[str]:
    """The columns of the summary strip: the screen's, and of those that it shows if there is any, these."""
    more = [name for name in screen.summary_if_any if cells.get(name, {}).get("kind", "missing") != "missing"]
    return [name for name in (*screen.summary_columns, *more) if name in cells]


def _addresses(screen: Any, serialized: dict[str, Any], cells: dict[str, Any], viewer: Viewer) -> dict[str, str | None]:
    """Where the buttons and links of the page lead; None for what the viewer isn't offered."""
    record, base, key = screen.record_table.record, screen.route_base, serialized["id"]
    may_write_to = record in KINDS and viewer.person.may("Messages", "create") and serialized.get("mobile")
    return {
        "base_url": f"{base}/",
        "hold_url": legal_hold_action.mark_url(record, key, viewer),
        "move_url": f"{base}/move/{key}",
        "whatsapp_url": f"/inbox/to/{KINDS[record]}/{key}?channel=whatsapp" if may_write_to else None,
        "call_url": _call_url(screen, serialized, cells, viewer),
        "edit_url": f"{base}/edit/{key}" if _may_edit(screen, viewer) else None,
        "delete_url": f"{base}/delete/{key}" if viewer.person.may(screen.module, "delete") else None,
        "duplicates_url": _duplicates_url(screen, key, viewer),
        "overview_url": f"/customer-overview/{key}" if screen.service.record is Customer else None,
        "assign_url": f"{base}/assign/{key}" if hasattr(screen, "assign") else None,
        "files_url": _files_url(record, key, viewer),
        "why_url": f"{base}/why/{key}" if hasattr(screen, "why") else None,
    }


def _more(screen: Any, serialized: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entries of the record's menu."""
    may = viewer.person.may(screen.module, screen.more_actions_verb)
    offered = screen.more_actions(serialized, viewer) if may else []
    return [*offered, *legal_hold_action.action(screen.record_table.record, serialized, viewer)]


def _files_url(record: Any, key: int, viewer: Viewer) -> str | None:
    """The URL of a record's files, for people who may see them."""
    kind = (KINDS | {Task: "task"}).get(record)
    return f"/files/of/{kind}/{key}" if kind and viewer.person.may("Notes", "read") else None


def _duplicates_url(screen: Any, key: int, viewer: Viewer) -> str | None:
    """The URL of the record's duplicates, for people who may merge."""
    kind = {Lead: "lead", Customer: "customer"}.get(screen.service.record)
    may = all(viewer.person.may(screen.module, verb) for verb in ("merge", "write"))
    return f"/duplicates/of/{kind}/{key}" if kind and may else None


def _call_url(screen: Any, serialized: dict[str, Any], cells: dict[str, Any], viewer: Viewer) -> str | None:
    """The URL of a click on Call, if the record has a number, visible to the viewer or not.

    None = the CRM can't call.
    """
    kind = (KINDS | {CallLog: "call"}).get(screen.service.record)
    shown = cells.get("other_number" if kind == "call" else "mobile") or {"kind": "missing"}
    return dial_targets.url_of(kind, serialized["id"], viewer) if kind and shown["kind"] != "missing" else None


def _assignees(serialized: dict[str, Any]) -> list[dict[str, Any]]:
    """The cards of the record's assignees; an add-on's columns of these names may contain anything."""
    people = serialized.get("assignees") or [serialized.get("assignee")]
    return [person_card(card) for card in people if isinstance(card, dict) and {"full_name", "username"} <= card.keys()]


def _assignee_id(screen: Any, serialized: dict[str, Any], viewer: Viewer) -> int | str | None:
    """The id of the assignee, empty for nobody; None for people who may not assign these records."""
    if not hasattr(screen, "assign") or not viewer.person.may(screen.module, "assign"):
        return None
    card = serialized.get("assignee")
    return card.get("id", "") if isinstance(card, dict) else ""


def _shown_status(card: dict[str, Any] | None) -> dict[str, Any] | None:
    return card and card | {"label": shown_label(card["label"])}


def _other_statuses(
    screen: Any, serialized: dict[str, Any], related: list[dict[str, Any]], viewer: Viewer
) -> list[dict[str, Any]]:
    """The other statuses; `needs`: whether one has required inputs, see `inputs_for_status`."""
    cards, meanings = viewer.lookups.cards[screen.status_picklist], viewer.lookups.meanings[screen.status_picklist]
    now = (serialized.get("status") or {}).get("id")
    offered = [key for key in viewer.lookups.offered[screen.status_picklist] if key != now]
    tasks: list[Any] = next((part["open_tasks"] for part in related if part.get("open_tasks")), [])
    return [
        cards[key]
        | {
            "label": shown_label(cards[key]["label"]),
            "needs": _has_required_inputs(screen, meanings[key]) or bool(tasks and _is_closing(screen, meanings[key])),
        }
        for key in offered
    ]


def _may_leave_status(screen: Any, serialized: dict[str, Any], viewer: Viewer) -> bool:
    """Whether the viewer may change the record's status, as far as that depends on what it is now."""
    now = (serialized.get("status") or {}).get("id") or 0
    return bool(screen.may_leave_status(viewer.lookups.meanings[screen.status_picklist].get(now, ""), viewer))


def _has_required_inputs(screen: Any, meaning: str) -> bool:
    """Whether a status of this meaning always has required inputs."""
    return bool(screen.status_requirements.get(meaning)) or meaning == "scheduled"


def _is_closing(screen: Any, meaning: str) -> bool:
    """Whether a status of this meaning offers to close the open tasks."""
    return meaning in _CLOSING.get(screen.service.record, ())


def inputs_for_status(screen: Any, key: int, status: int | None, viewer: Viewer) -> list[dict[str, Any]]:
    """The inputs of a status change of this record: none for most, and for records without such statuses."""
    if not screen.status_picklist or status not in viewer.lookups.meanings[screen.status_picklist]:
        return []
    meaning = viewer.lookups.meanings[screen.status_picklist][status]
    is_closing = _is_closing(screen, meaning)
    if not (_has_required_inputs(screen, meaning) or is_closing):
        return []
    table, session = screen.record_table, db.session()
    serialized = table.serialize_rows(session, [table.one(session, key)], None, viewer)[0]
    kind = KINDS.get(screen.service.record, "")
    tasks = related_lists.open_tasks(kind, key, viewer).get("open_tasks") or [] if is_closing else []
    return [*_required_inputs(screen, meaning, serialized, viewer), *_closing_inputs(screen, meaning, tasks, viewer)]


def _required_inputs(screen: Any, meaning: str, serialized: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    name = screen.status_requirements.get(meaning)
    if name:
        return [screen.record_table.by_name[name].form_input(serialized.get(name), [], viewer) | {"required": True}]
    if meaning == "scheduled":
        return _task_inputs(viewer)
    return []


#: Record -> meanings of the statuses that offer to close its open tasks.
_CLOSING = {Ticket: (*ENDED, "scheduled"), Lead: ("followed", "scheduled")}


def _closing_inputs(screen: Any, meaning: str, tasks: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """Checkboxes for the open tasks.

    Checked are those to handle the ticket, and those that the next follow-up replaces.
    """
    if not tasks or not _is_closing(screen, meaning):
        return []
    if meaning == "scheduled":
        until, own = _end_of_day(viewer), viewer.person.id
        chosen = {str(key) for key, _title, due_on, who in tasks if who == own and due_on and due_on < until}
    else:
        chosen = {str(key) for key, title, *_rest in tasks if title.startswith(HANDLE_TICKET)}
    return [tasks_input([task[:3] for task in tasks], chosen, viewer)]


def _end_of_day(viewer: Viewer) -> datetime:
    """The next midnight of the viewer, UTC."""
    tomorrow = viewer.today + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=viewer.zone).astimezone(UTC)


def _task_inputs(viewer: Viewer) -> list[dict[str, Any]]:
    return [
        {
            "name": "task_title",
            "label": _("Task"),
            "kind": "text",
            "value": _("Follow up"),
            "errors": [],
            "required": True,
        },
        {
            "name": "task_due_on",
            "label": _("Due"),
            "kind": "moment",
            "value": next_follow_up(viewer),
            "errors": [],
            "required": True,
        },
    ]


def _sections(screen: Any, cells: dict[str, Any], editable_names: frozenset[str]) -> list[dict[str, Any]]:
    """Label and value pairs, grouped by `show_fieldsets`; without any, the columns and then the timestamps."""
    fieldsets = record_form.with_custom_part(screen, screen.show_fieldsets or _default_fieldsets(screen))
    table = screen.record_table
    named, labels = table.by_name, _labels_of(table)
    return [
        {
            "title": in_page_language(title) if title else _("Details"),
            "fields": [
                {
                    "name": name,
                    "label": labels[name],
                    "cell": cells[name],
                    "help": named[name].help,
                    "is_editable": name in editable_names,
                }
                for name in options["fields"]
                if name in cells
            ],
        }
        for title, options in fieldsets
    ]


#: Table -> language -> the labels of its fields by name. A change of custom fields makes another table.
_labels: WeakKeyDictionary[RecordTable, dict[Any, dict[str, str]]] = WeakKeyDictionary()


def _labels_of(table: RecordTable) -> dict[str, str]:
    """The labels of a table's fields in the language of the page."""
    known = _labels.setdefault(table, {})
    language = language_key()
    if language not in known:
        known[language] = {name: in_page_language(each.label) for name, each in table.by_name.items()}
    return known[language]


def _take_texts(screen: Any, sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fields shown in full above the timeline, removed from the sections; empty ones stay there."""
    taken: list[dict[str, Any]] = []
    for part in sections:
        fields, part["fields"] = part["fields"], []
        for each in fields:
            stands_above = each["name"] in screen.text_columns and each["cell"].get("kind") != "missing"
            (taken if stands_above else part["fields"]).append(each)
    return taken


def _default_fieldsets(screen: Any) -> list[Any]:
    named = [name for name in screen.show_columns if name not in ("version", "number")]
    if not screen.service.is_generic:  # records with a service have their name in the page's heading
        named = [name for name in named if name != screen.title_column]
    stamps = [name for name in named if name in STAMPS]
    parts = [(_("Details"), [name for name in named if name not in stamps]), (_("Record"), stamps)]
    return [(title, {"fields": names}) for title, names in parts if names]


def title_column(record_table: Any) -> str:
    """The column that names a row: name or title, else its first text column."""
    texts = [each.name for each in record_table.fields if isinstance(each, TextField)]
    return next((name for name in ("name", "title", "full_name", "label") if name in texts), texts[0] if texts else "")
