"""FCRM Note: a note on a record's timeline, with a title."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func

from app.domain.timeline import Activity
from app.web.compat.doctypes.base import REFERENCE, DocType, reference_fields
from app.web.compat.references import CUSTOMER_TARGET, LEAD_TARGET, TICKET_TARGET
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.viewer import Viewer
from app.web.records import notes
from app.web.records.timelines.timeline_rest import ActivityResource


def split_note(payload: dict[str, Any] | None) -> tuple[str, str]:
    """(title, content) of a note: the title is the first line of several."""
    text = str((payload or {}).get("text") or "")
    title, _newline, rest = text.partition("\n")
    return title[:140], rest.strip() or text


def join_note(title: str, content: str) -> str:
    """The text of a note with this title and content."""
    return content if not title or content.startswith(title) else f"{title}\n{content}".strip()


class TitleField(Field):
    """The first line of a note."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The title, at most 140 characters."""
        return split_note(values[0])[0]


class ContentField(Field):
    """A note without its title."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The text of the note, without HTML."""
        return split_note(values[0])[1]


NOTE = DocType(
    "FCRM Note",
    ActivityResource,
    REFERENCE
    | {
        "title": "title",
        "content": "content",
        "owner": "actor",
        "creation": "at",
        "modified": "changed_on",
        "modified_by": "actor",
    },
    name_field=None,
    extra_fields=(
        TitleField("title", "Title", (Activity.payload,)),
        ContentField("content", "Content", (Activity.payload,)),
        DateTimeField("changed_on", "Changed", (func.coalesce(Activity.edited_on, Activity.at),)),
        *reference_fields(Activity, TICKET_TARGET, LEAD_TARGET, CUSTOMER_TARGET),
    ),
    conditions=(Activity.kind == "note",),
    refuse_change=notes.refuse_foreign,
    refuse_delete=notes.refuse_undeletable,
)
