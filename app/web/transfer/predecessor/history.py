"""The history of records: notes, comments, field changes, assignments, requests, emails and WhatsApp messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from app.domain.assignment import Assignment
from app.domain.base import RuleBroken, translatable
from app.domain.messaging.messages import clean_peer
from app.lib.digit_grouping import grouped
from app.models import Message, StatusChange
from app.web.transfer.predecessor import doctypes, status_log, values
from app.web.transfer.predecessor.import_context import NOBODY, ImportContext, RowDraft, RowSkipped

_MOST = 20_000
#: Their fields -> ours, as on the timeline.
_FIELDS = {
    "lead_owner": "owner_id",
    "ticket_owner": "owner_id",
    "assign_to": "assignee_id",
    "assigned_to": "assignee_id",
    "mobile_no": "mobile",
    "alternative_mobile_no": "alternative_mobile",
    "pan_card_number": "pan",
    "aadhaar_card_number": "aadhaar",
    "source": "source_id",
    "lead_source": "source_id",
    "lead_category": "category",
    "account_type": "account_type_id",
    "referral_through": "referral",
    "ticket_source": "source",
    "subject": "title",
    "follow_up_date": "next_follow_up_on",
    "due_date": "due_on",
}
_PICKLISTS = {"source_id": "lead_source", "account_type_id": "account_type"}
#: Fields that the predecessor changed by itself.
_NOISE = ("modified", "modified_by", "_assign", "sla_status", "communication_status", "response_by", "idx", "lead_name")
_KINDS_OF_COMMENTS = {"Comment": "note", "Label": "", "Like": "", "Attachment": "", "Attachment Removed": ""}


class History:
    """Rows of these DocTypes; each belongs to an imported record."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft]) -> None:
        self.context = context

    def draft(self, draft: RowDraft) -> None:
        """Convert a row. Raises RuleBroken, RowSkipped."""
        _HANDLERS[draft.row.doctype](self.context, draft)


def _about(context: ImportContext, draft: RowDraft) -> dict[str, int]:
    """The column for the record that an entry belongs to. Raises RuleBroken."""
    given = draft.row.values
    doctype = given.get("reference_doctype") or given.get("ref_doctype") or given.get("parenttype")
    name = given.get("reference_docname") or given.get("docname") or given.get("parent")
    if draft.row.doctype == "FCRM Note":
        doctype = doctype or "CRM Lead"
    if not values.name_of(name):
        raise RuleBroken("It names no record that it belongs to.")
    table, key = context.about(doctype, name)
    if table not in doctypes.COLUMNS:
        raise RowSkipped(translatable("It belongs to a call, which has its own outcome."))
    draft.there = key
    return {doctypes.COLUMNS[table]: key}


def _at(context: ImportContext, draft: RowDraft, *names: str) -> datetime:
    found = next((at for name in names if (at := context.moment(draft, name))), None)
    if found is None:
        raise RuleBroken("It says no moment at which it was written.")
    return min(found, context.now)


def _place(line: Any, about: dict[str, int]) -> None:
    for column, key in about.items():
        setattr(line, column, key)


def _note(context: ImportContext, draft: RowDraft) -> None:
    given, about = draft.row.values, _about(context, draft)
    title, text = values.line_of(given.get("title")), values.from_html(given.get("content"))
    whole = "\n".join(filter(None, (title, text if text != title else "")))
    if not whole:
        raise RowSkipped(translatable("It is empty."))
    line = context.line(draft, "note", _at(context, draft, "creation"), given.get("owner"), text=_cut(draft, whole))
    _place(line, about)


def _cut(draft: RowDraft, text: str) -> str:
    if len(text) > _MOST:
        draft.warn(
            translatable("%(name)s had %(count)s characters and was cut.", name="text", count=grouped(len(text)))
        )
    return text[:_MOST]


def _comment(context: ImportContext, draft: RowDraft) -> None:
    given = draft.row.values
    what = values.line_of(given.get("comment_type")) or "Comment"
    kind = _KINDS_OF_COMMENTS.get(what, "system")
    if not kind:
        raise RowSkipped(translatable("It is a like, a label, or the entry of a file."))
    about, text = _about(context, draft), values.from_html(given.get("content"))
    if not text:
        raise RowSkipped(translatable("It is empty."))
    who = given.get("comment_email") or given.get("owner")
    if values.line_of(who).lower() in NOBODY:
        who = given.get("owner")
    _place(context.line(draft, kind, _at(context, draft, "creation"), who, text=_cut(draft, text)), about)


def _version(context: ImportContext, draft: RowDraft) -> None:
    given = draft.row.values
    table, key = context.about(given.get("ref_doctype"), given.get("docname"))
    about, at = _about(context, draft), _at(context, draft, "creation")
    try:
        data: Any = given.get("data")
        data = json.loads(data) if isinstance(data, str) else data
        changed = [each for each in data.get("changed") or [] if isinstance(each, list) and len(each) == 3]
    except (ValueError, AttributeError, RecursionError) as error:
        raise RuleBroken("What it says to have changed can't be read.") from error
    for name, old, new in changed:
        if name == "status" and table in status_log.PICKLISTS:
            picklist = status_log.PICKLISTS[table]
            pair = (context.entry_id(picklist, old), context.entry_id(picklist, new))
            if None not in pair and not status_log.is_known(context, (doctypes.COLUMNS[table], key), pair, at):
                change = StatusChange(from_id=pair[0], to_id=pair[1], at=at, seconds=values.seconds(None))
                status_log.add(context, draft, change, given.get("owner"))
    changes = [made for name, old, new in changed if (made := _change(context, name, old, new))]
    if changes:
        context.line(draft, "field_change", at, given.get("owner"), changes=changes)
    if not draft.lines:
        raise RowSkipped(translatable("It changed nothing that is shown."))
    for line in draft.lines:
        _place(line, about)


def _change(context: ImportContext, name: Any, old: Any, new: Any) -> list[Any] | None:
    """[field, old, new] as on the timeline; for PAN and Aadhaar only that they changed."""
    field = _FIELDS.get(str(name), str(name)[:40])
    if name in _NOISE or name in ("status", "status_change_log") or field.startswith("_"):
        return None
    if field in ("pan", "aadhaar"):
        return [field, None, None]
    shown = [values.from_html(each)[:500] or None for each in (old, new)]
    if field in ("owner_id", "assignee_id"):
        shown = [context.users.get(str(each or "").lower()) for each in shown]  # type: ignore[misc]
    if field in _PICKLISTS:
        shown = [context.entry_id(_PICKLISTS[field], each) for each in shown]  # type: ignore[misc]
    return None if shown[0] == shown[1] else [field, *shown]


def _todo(context: ImportContext, draft: RowDraft) -> None:
    """An assignment: an entry, and for former assignees the period."""
    given, about = draft.row.values, _about(context, draft)
    at = _at(context, draft, "creation")
    holder = given.get("allocated_to")
    line = context.line(draft, "assignment", at, given.get("assigned_by") or given.get("owner"), reason="direct")
    email = values.line_of(holder).lower()
    user_id = context.users.get(email)
    line.payload = {"to": user_id, "old": None, "reason": "direct"}
    if user_id is None:
        line.kind, line.payload = "system", {"text": f"Assigned to {email[:140]}"}
    _place(line, about)
    is_over = values.line_of(given.get("status")) in ("Closed", "Cancelled", "Canceled")
    column = next(iter(about))
    if is_over and user_id is not None and column in ("lead_id", "ticket_id"):
        ended = context.moment(draft, "modified") or at
        past = Assignment(user_id=user_id, started_on=at, ended_on=max(at, ended), reason="direct", decision={})
        context.person(draft, past, "by_id", given.get("assigned_by") or given.get("owner"))
        _place(past, about)
        draft.lines.append(past)


def _request(context: ImportContext, draft: RowDraft) -> None:
    """An assignment request; its result is in its record's history."""
    given, about = draft.row.values, _about(context, draft)
    requested = context.users.get(values.line_of(given.get("requested_user")).lower())
    status = values.line_of(given.get("status")) or "Pending"
    text = ". ".join(
        filter(None, (status, values.line_of(given.get("reason")), values.line_of(given.get("rejection_reason"))))
    )
    who = given.get("requested_by") or given.get("owner")
    line = context.line(
        draft, "assignment", _at(context, draft, "creation"), who, what="requested", to=requested, text=text[:1000]
    )
    _place(line, about)
    if status == "Pending":
        draft.warn(translatable("It waited for a decision. Please make it again if it is still wanted."))


def _mail(context: ImportContext, draft: RowDraft) -> None:
    given = draft.row.values
    if values.line_of(given.get("communication_medium")) not in ("", "Email"):
        raise RowSkipped(translatable("This isn't an email."))
    is_in = values.line_of(given.get("sent_or_received")) == "Received"
    peer = clean_peer("email", _address(given.get("sender") if is_in else given.get("recipients")))
    texts = (values.line_of(given.get("subject")), values.from_html(given.get("content") or given.get("text_content")))
    _message(context, draft, ("email", "in" if is_in else "out", peer), texts)


def _address(value: Any) -> str:
    """The first address in a list, without a name."""
    first = values.line_of(value).replace(";", ",").split(",")[0]
    return first.rpartition("<")[2].strip("<> ")


def _whatsapp(context: ImportContext, draft: RowDraft) -> None:
    given = draft.row.values
    is_in = values.line_of(given.get("type")) == "Incoming"
    number = values.line_of(given.get("from") if is_in else given.get("to"))
    peer = clean_peer("whatsapp", number) or clean_peer("whatsapp", f"+{number}")
    _message(context, draft, ("whatsapp", "in" if is_in else "out", peer), ("", values.from_html(given.get("message"))))


def _message(context: ImportContext, draft: RowDraft, way: tuple[str, str, str], texts: tuple[str, str]) -> None:
    """A message that was sent or received in the predecessor: noted, never sent."""
    channel, direction, peer = way
    about = _about(context, draft)
    if not peer:
        raise RuleBroken("It has no number or address that can be read.")
    if "task_id" in about:
        raise RowSkipped(translatable("It belongs to a task, which has no messages."))
    at = _at(context, draft, "communication_date", "creation")
    message = Message(channel=channel, direction=direction, peer=peer, state="noted", purpose="service")
    message.tries = message.asks = 0
    message.native, message.happened_on = {"former": True}, at
    message.subject = texts[0][:200] or None
    context.put(draft, message, "body", texts[1] or texts[0] or "–")
    context.stamp(draft, message, at)
    message.created_on = message.changed_on = at
    _place(message, about)
    draft.record, draft.there = message, None
    draft.after.append(lambda made: _add_timeline_entry(context, draft, made, about))


def _add_timeline_entry(context: ImportContext, draft: RowDraft, made: Message, about: dict[str, int]) -> None:
    payload = {"message": made.id, "channel": made.channel, "state": made.state, "direction": made.direction}
    line = context.line(draft, "message", made.created_on, None, **payload)
    line.actor_id = made.created_by_id
    _place(line, about)


_HANDLERS: dict[str, Callable[[ImportContext, RowDraft], None]] = {
    "CRM Status Change Log": status_log.place,
    "ToDo": _todo,
    "FCRM Note": _note,
    "Comment": _comment,
    "Version": _version,
    "CRM Assignment Request": _request,
    "Communication": _mail,
    "WhatsApp Message": _whatsapp,
}
