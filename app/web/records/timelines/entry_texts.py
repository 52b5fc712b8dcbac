"""The entries of a timeline as text for the viewer. Pages: `timeline_tabs`; REST: `timeline_rest`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.people import permissions
from app.generated_titles import shown_title
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.languages import in_page_language
from app.web.core.viewer import Viewer
from app.web.core.views import custom_columns
from app.web.records import mentions, notes, sla_fields
from app.web.records.complaint_fields import LABELS as COMPLAINT_LABELS

ICONS = {
    "note": "note",
    "comment": "message",
    "status_change": "arrow-right",
    "assignment": "user-check",
    "call": "phone",
    "message": "send",
    "task": "checkbox",
    "field_change": "pencil",
    "file": "paperclip",
    "system": "settings",
    "proposal": "alert-circle",
    "complaint": "scale",
}


def entry(row: Any, viewer: Viewer) -> dict[str, Any]:
    """One entry for the template: headline, body, changes; masked."""
    payload = _shown_payload(row.payload or {})
    card = viewer.lookups.person(row.actor_id)
    rendered = RENDERERS.get(row.kind, render_text)(payload, viewer, picklist_of(row))
    return {
        "id": row.id,
        "kind": row.kind,
        "icon": rendered.get("icon") or ICONS.get(row.kind, "circle"),
        "tone": rendered.get("tone", ""),
        "actor": person_card(card) if card else None,
        "at": moment_cell(row.at, viewer),
        "headline": rendered["headline"],
        "body": rendered.get("body"),
        "changes": rendered.get("changes", []),
        "is_sentence": bool(rendered.get("is_sentence")),
        "act": (row.at, row.actor_id),
        "what": rendered.get("what") or payload.get("what"),
        "open_url": rendered.get("open_url"),
        "is_silent": row.kind == "assignment" and payload.get("to") == row.actor_id,
    } | (_of_note(row, payload, viewer) if row.kind == "note" else {})


def _shown_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """The data of an entry; in place of what was erased, by which request, in the person's language."""
    if "erased" not in payload:
        return payload
    said = _("Erased by request %(number)s", number=payload["erased"])
    return payload | {name: said for name in ("text", "name") if payload.get(name, "").startswith("Erased by request ")}


def picklist_of(row: Any) -> str:
    """The picklist of the statuses of the record that a row belongs to."""
    return "ticket_status" if row.ticket_id and not row.lead_id else "lead_status"


def _of_note(row: Any, payload: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """The keys of a note: its text in parts, earlier texts, and the URL where its author edits it."""
    is_own = row.actor_id == viewer.person.id and viewer.person.may("Notes", "write")
    former = [
        {"text": old.get("text"), "at": _moment_text(old.get("at"), viewer)} for old in payload.get("history", [])
    ]
    return {
        "parts": mentions.split_mentions(str(payload.get("text") or ""), payload.get("mentions") or {}, viewer),
        "edited": moment_cell(row.edited_on, viewer) if row.edited_on else None,
        "former": former[::-1],
        "edit_url": f"/notes/{row.id}" if is_own else None,
        "delete_url": f"/notes/{row.id}/delete" if notes.may_delete(row, viewer) else None,
        "files": [{"url": f"/files/{key}", "label": name} for key, name in payload.get("files") or ()],
    }


def name_of(key: Any, viewer: Viewer) -> str:
    """The full name of the user with this id, or the text for nobody."""
    card = viewer.lookups.person(key)
    return card["full_name"] if card else str(_("no one"))


def render_text(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    return {"headline": str(payload.get("text") or ""), "is_sentence": True}


def _note(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    return {"headline": _("wrote a note"), "body": payload.get("text")}


def _status_change(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    old, new = (viewer.lookups.card(picklist, payload.get(name)) or {} for name in ("from", "to"))
    text = _(
        "changed the status from %(old)s to %(new)s",
        old=shown_label(old.get("label", "–")),
        new=shown_label(new.get("label", "–")),
    )
    return {"headline": text, "body": payload.get("note"), "tone": new.get("color", "")}


_ABOUT = {
    "joined": _l("added %(name)s as an assignee"),
    "released": _l("removed %(old)s"),
    "request expired": _l("The request to assign this to %(name)s expired"),
    "request withdrawn": _l("withdrew the request to assign this to %(name)s"),
}


#: Reason of an assignment -> the text of its entry.
_REASONS = {
    "direct": _l("assigned this to %(name)s"),
    "created": _l("assigned this to %(name)s"),
    "bulk": _l("assigned this to %(name)s, with other records"),
    "round robin": _l("assigned this to %(name)s by round robin"),
    "request": _l("assigned this to %(name)s as requested"),
    "overdue": _l("assigned this to %(name)s because a task was overdue"),
    "delegate": _l("assigned this back to %(name)s after the leave"),
    "returned": _l("assigned this back to %(name)s"),
}


def _assigned(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    if payload.get("what") == "requested":
        text = _("requested assignment to %(name)s", name=name_of(payload.get("to"), viewer))
        return {"headline": text, "body": payload.get("text")}
    if payload.get("what") in _ABOUT:
        names = {"name": name_of(payload.get("to"), viewer), "old": name_of(payload.get("old"), viewer)}
        return {
            "headline": in_page_language(_ABOUT[payload["what"]]) % names,
            "is_sentence": payload["what"] == "request expired",
        }
    if payload.get("what") == "exhausted":
        return {"headline": _("No one is available to take this over"), "tone": "red", "is_sentence": True}
    text = in_page_language(_REASONS.get(payload.get("reason") or "", _REASONS["direct"])) % {
        "name": name_of(payload.get("to"), viewer)
    }
    return {"headline": text}


#: The domain's text of an entry -> its form after the name of the author.
_CREATED = {
    "Lead created": _l("created this lead"),
    "Ticket created": _l("created this ticket"),
    "Customer created": _l("created this customer"),
    "Conversion undone": _l("undid the conversion"),
}
_CREATED_ANY = _l("created this record")
_WITH_NUMBER = {
    "Customer created from ": _l("created this customer from %(number)s"),
    "Converted to ": _l("converted this lead to %(number)s"),
    "Merged from ": _l("merged %(number)s into this record"),
    "Merge undone: ": _l("undid the merge with %(number)s"),
}


def _system(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    if payload.get("what") in sla_fields.LINES:
        people = ", ".join(name_of(key, viewer) for key in payload.get("to") or [])
        return sla_fields.line(payload, people, viewer) | {"is_sentence": True}
    text = str(payload.get("text") or "")
    if payload.get("event") == "created" or text in _CREATED:
        return {"headline": in_page_language(_CREATED.get(text, _CREATED_ANY)), "what": "created"}
    for beginning, template in _WITH_NUMBER.items():
        if text.startswith(beginning):
            rows = [_change(change, viewer, picklist) for change in payload.get("changes", [])]
            return {
                "headline": in_page_language(template) % {"number": text.removeprefix(beginning)},
                "what": "created",
                "changes": rows,
            }
    return render_text(payload, viewer, picklist)


#: What was done with a task -> the text of its entry.
_TASK_STEPS = {
    "created": _l("added a task"),
    "done": _l("finished a task"),
    "canceled": _l("canceled a task"),
    "changed": _l("changed a task"),
}
#: Why a task was changed by itself -> the text of its entry.
_TASK_REASONS = {
    ("done", "record closed"): _l("finished a task, because this was closed"),
    ("canceled", "record closed"): _l("canceled a task, because this was closed"),
    ("changed", "record reopened"): _l("opened a task again, because this was reopened"),
}


def _task(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    what = payload.get("what", "")
    step = _TASK_REASONS.get((what, payload.get("reason") or "")) or _TASK_STEPS.get(what, _TASK_STEPS["changed"])
    text = in_page_language(step)
    return {"headline": f"{text}: {shown_title(str(payload.get('text', '')))}"}


def _changed(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    rows = [_change(change, viewer, picklist) for change in payload.get("changes", []) if len(change) == 3]
    return {"headline": _("changed %(names)s", names=", ".join(row["label"] for row in rows)), "changes": rows}


def _proposed(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    rows = [_change(change, viewer, picklist) for change in payload.get("changes", []) if len(change) == 3]
    for row in rows:
        row["is_proposed"] = True
        if row["new"] is None:  # a PAN or Aadhaar, which timelines never contain
            row["old"], row["new"] = _("the customer's value is kept"), _("the entered value isn't stored")
    text = _("This customer already exists. The entered values differ and were not saved")
    return {"headline": text, "changes": rows, "tone": "amber", "is_sentence": True}


_PICKLISTS = {"source_id": "lead_source", "account_type_id": "account_type"}


def _change(change: list[Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    name, old, new = change
    definition = viewer.lookups.custom.named(name)
    if definition is not None:
        shown = [custom_columns.in_words(definition, value, viewer) for value in (old, new)]
        return {"label": custom_columns.label_of(definition), "old": shown[0], "new": shown[1]}
    return {
        "label": name.removesuffix("_id").replace("_", " "),
        "old": _shown(name, old, viewer, picklist),
        "new": _shown(name, new, viewer, picklist),
    }


def _shown(name: str, value: Any, viewer: Viewer, picklist: str) -> str | None:
    if name in permissions.MASKED:
        return str(viewer.person.mask_value(name, value)) if value else None
    if value is None:
        return None
    if name in ("owner_id", "assignee_id"):
        return name_of(value, viewer)
    if name in _PICKLISTS:
        return shown_label((viewer.lookups.card(_PICKLISTS[name], value) or {}).get("label", str(value)))
    return _moment_text(value, viewer) if name.endswith("_on") else str(value)


def _moment_text(value: Any, viewer: Viewer) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return format_local_date(moment.astimezone(viewer.zone), "%-d %b %Y, %H:%M") if moment.tzinfo else str(value)


def _call(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    if "erased" in payload:
        return {"headline": _("had a call"), "body": payload.get("text")}
    return {"headline": str(payload.get("text") or _("Call"))}


def _file(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    name, what = _file_name(payload, viewer), payload.get("what")
    texts = {
        "version": _("attached a new version of %(name)s", name=name),
        "deleted": _("deleted the file %(name)s", name=name),
        "restored": _("restored the file %(name)s", name=name),
        "infected": _("The virus scanner found %(threat)s in %(name)s", name=name, threat=payload.get("threat")),
    }
    is_open = what not in ("deleted", "infected") and payload.get("file") and "gone" not in payload
    return {
        "headline": texts.get(what or "") or _("attached %(name)s", name=name),
        "open_url": f"/files/{payload['file']}" if is_open else None,
        "tone": "red" if what == "infected" else "",
        "is_sentence": what == "infected",
    }


def _file_name(payload: dict[str, Any], viewer: Viewer) -> str:
    """The name of a file; for one in the trash only shown to people who may delete it."""
    reach = viewer.person.reach("Notes", "delete")
    is_visible = "gone" not in payload or reach is None or any(each in reach for each in payload["gone"])
    return str(payload.get("name") or "") if is_visible else _("(a deleted file)")


#: The channels of messages whose names are the same in all languages.
_CHANNELS = {"whatsapp": "WhatsApp", "sms": "SMS"}


def _message(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    channel = _CHANNELS.get(payload.get("channel", ""), _("email"))
    if payload.get("direction") == "in":
        return {"headline": _("received a message by %(channel)s", channel=channel)}
    if payload.get("state") == "queued":
        return {"headline": _("queued a message by %(channel)s", channel=channel)}
    return {"headline": _("sent a message by %(channel)s", channel=channel)}


#: What happened to a complaint -> the text of its entry.
_COMPLAINT_STEPS = {
    "registered": _l("registered this as a complaint: %(number)s"),
    "changed": _l("changed the complaint %(number)s"),
    "disposed": _l("disposed of the complaint %(number)s: %(outcome)s"),
    "reopened": _l("took back the outcome of the complaint %(number)s"),
    "entry": _l("added a way in which the complaint %(number)s came: %(source)s"),
    "entry changed": _l("corrected a way in which the complaint %(number)s came: %(source)s"),
    "entry removed": _l("removed a way in which the complaint %(number)s came: %(source)s"),
    "joined": _l("joined the complaint %(other)s to %(number)s"),
    "joined to": _l("joined the complaint %(number)s to %(other)s"),
    "parted": _l("parted the complaints %(number)s and %(other)s"),
}


def _complaint(payload: dict[str, Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    what = str(payload.get("what"))
    if what == "joined" and not payload.get("is_kept"):
        what = "joined to"
    texts = {name: str(payload.get(name) or "") for name in ("number", "other")}
    texts |= {name: str(shown_label(payload.get(name) or "")) for name in ("outcome", "source")}
    template = in_page_language(_COMPLAINT_STEPS.get(what, _COMPLAINT_STEPS["changed"]))
    rows = [_complaint_change(change, viewer, picklist) for change in payload.get("changes", [])]
    return {"headline": template % texts, "changes": rows}


def _complaint_change(change: list[Any], viewer: Viewer, picklist: str) -> dict[str, Any]:
    """A changed field of a complaint, under its label on the complaint's page."""
    name, old, new = change
    label = COMPLAINT_LABELS.get(name.removesuffix("_id")) or name
    shown = [_complaint_value(name, value, viewer) for value in (old, new)]
    return {"label": in_page_language(label), "old": shown[0], "new": shown[1]}


def _complaint_value(name: str, value: Any, viewer: Viewer) -> str | None:
    if value is None or isinstance(value, bool):
        return None if value is None else str(_("yes") if value else _("no"))
    if name in ("officer_id", "report_officer_id"):
        return name_of(value, viewer)
    if name == "category_id":
        return str(shown_label((viewer.lookups.card("complaint_category", value) or {}).get("label", str(value))))
    return str(shown_label(str(value)))


RENDERERS = {
    "note": _note,
    "comment": _note,
    "status_change": _status_change,
    "assignment": _assigned,
    "task": _task,
    "call": _call,
    "message": _message,
    "file": _file,
    "field_change": _changed,
    "proposal": _proposed,
    "system": _system,
    "complaint": _complaint,
}
