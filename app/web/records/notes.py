"""Writing, editing and deleting notes: who may; whom they notify; the author is told who was named but not notified."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import mentions, timeline
from app.domain.base import NotFound, RuleBroken
from app.models import Activity, Customer, Lead, Ticket
from app.web.core.fields.base import clean_text
from app.web.core.viewer import Viewer

#: Records that take notes: name in a URL -> (record, its column in Activity).
ABOUT = {"ticket": (Ticket, "ticket_id"), "lead": (Lead, "lead_id"), "customer": (Customer, "customer_id")}


def clean_note(raw: Any, name: str) -> str | None:
    """The normalized text of a note, or None if empty. Raises RuleBroken, at this field."""
    return clean_text(raw, name, timeline.MAX_NOTE_LENGTH, has_lines=True)


def write_note(session: Session, about: Any, text: str, viewer: Viewer) -> Activity:
    """Write a note on a record that the viewer sees; notifies the users it mentions and the record's involved users."""
    line = timeline.write_line(session, about, "note", viewer.stamp, text=text)
    session.flush()
    if about.__tablename__ == "task":  # a note on a task concerns its lead or ticket
        about = _parent(session, line) or about
    named, others = _mentioned(text, viewer), mentions.involved_users(session, about) - {viewer.person.id}
    # Users who see the entry also see its record (or the customer it was converted to) and can read notes.
    seeing = access.users_who_see(session, [*named.values(), *others], line, viewer.now)
    notified, not_notified = _split_by_visibility(named, seeing)
    if notified:
        line.payload = {**line.payload, "mentions": notified}
    recipients = mentions.NoteRecipients(notified.values(), others & seeing - {*notified.values()})
    mentions.notify(session, line, about, recipients, viewer.now)
    g.remarks = [_not_notified_warning(key, viewer) for key in not_notified]
    return line


@dataclass(frozen=True)
class NoteEdit:
    """The new text of a note, and its `edited_on` as the author saw it."""

    text: str
    seen: datetime | None


def edit_note(session: Session, line: Activity, edit: NoteEdit, viewer: Viewer) -> None:
    """Change the text of the viewer's own note; notifies only users who were not mentioned before.

    Raises NotFound if the record is no longer visible, Conflict, RuleBroken.
    """
    if edit.text == (line.payload or {}).get("text"):
        return
    about, before = about_of(session, line), _mentioned(line.payload["text"], viewer)
    named = _mentioned(edit.text, viewer)
    notified, not_notified = _split_by_visibility(
        named, access.users_who_see(session, named.values(), line, viewer.now)
    )
    timeline.edit_note(session, line, edit.seen, viewer.now, text=edit.text, mentions=notified)
    # A repeated event key notifies nobody twice.
    mentions.notify(session, line, about, mentions.NoteRecipients(notified.values()), viewer.now)
    g.remarks = [_not_notified_warning(key, viewer) for key in not_notified if key not in before.values()]


def unnotified_people() -> list[str]:
    """Sentences for a note's author about who was mentioned in this request but not notified."""
    return list(g.get("remarks", []))


def _parent(session: Session, line: Activity) -> Any:
    """The entry's ticket, lead or customer, the first that the person sees; None if there is none."""
    for record, column in ABOUT.values():
        key = getattr(line, column)
        row = access.get_visible(session, record, key) if key is not None else None
        if row is not None:
            return row
    return None


def about_of(session: Session, line: Activity) -> Any:
    """The entry's record. Raises NotFound if the person no longer sees it."""
    row = _parent(session, line)
    if row is not None:
        return row
    raise NotFound(_("This note doesn't exist, or you don't have access to its record."))


def refuse_foreign(line: Any, viewer: Viewer) -> None:
    """Raise Denied or RuleBroken for an entry whose text the viewer cannot change."""
    viewer.person.refuse_unless("Notes", "write")
    if line.kind != "note":
        raise RuleBroken(_("Only notes can be edited. Entries written by the system can't be changed."), "text")
    if line.actor_id != viewer.person.id:
        raise access.Denied(_("Only the author can edit a note. You can add your own."))


def may_delete(line: Any, viewer: Viewer) -> bool:
    """Whether the viewer may delete this note: their level of “Notes: delete” determines whose."""
    if not viewer.person.may("Notes", "delete"):
        return False
    reach = viewer.person.reach("Notes", "delete")
    return reach is None or line.actor_id in reach


def refuse_undeletable(line: Any, viewer: Viewer) -> None:
    """Raise Denied or RuleBroken for an entry that the viewer may not delete."""
    viewer.person.refuse_unless("Notes", "delete")
    if line.kind != "note":
        raise RuleBroken(_("Only notes can be deleted. Entries written by the system stay."), "text")
    if not may_delete(line, viewer):
        raise access.Denied(_("You can't delete this note. Ask its author or your manager."))


def _mentioned(text: str, viewer: Viewer) -> dict[str, int]:
    return mentions.mentioned_users(
        text, {card["username"].casefold(): key for key, card in viewer.lookups.people.items()}
    )


def _split_by_visibility(named: dict[str, int], seeing: frozenset[int]) -> tuple[dict[str, int], list[int]]:
    """(username -> id of the mentioned users who see the note, ids of the others)."""
    notified = {name: key for name, key in named.items() if key in seeing}
    return notified, [key for key in named.values() if key not in seeing]


def _not_notified_warning(key: int, viewer: Viewer) -> str:
    name = viewer.lookups.people[key]["full_name"]
    if key not in viewer.lookups.active:
        return str(_("%(name)s wasn't notified: the account is deactivated.", name=name))
    return str(
        _(
            "%(name)s wasn't notified because they don't have access to this record. A manager can assign it to them.",
            name=name,
        )
    )
