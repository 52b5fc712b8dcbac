"""Timeline entries over REST, where notes are written and edited."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import timeline
from app.domain.base import RuleBroken
from app.domain.timeline import KINDS, MAX_NOTE_LENGTH, Activity
from app.models import Customer, Lead, Ticket
from app.web.api.resource import Resource
from app.web.core.fab_access import current_viewer
from app.web.core.fields.base import ChoiceField, Field, NumberField
from app.web.core.fields.reference_fields import RecordField
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.records import notes
from app.web.records.timelines import entry_texts


class TextLineField(Field):
    """The payload rendered as text, so that no unmasked value leaves the server."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """{headline, body, changes, mentions, history}."""
        kind, payload, lead_id, ticket_id = values
        picklist = "ticket_status" if ticket_id and not lead_id else "lead_status"
        rendered = entry_texts.RENDERERS.get(kind, entry_texts.render_text)(payload or {}, viewer, picklist)
        named = [viewer.lookups.person(key) for key in ((payload or {}).get("mentions") or {}).values()]
        return {
            "headline": str(rendered["headline"]),
            "body": rendered.get("body"),
            "changes": rendered.get("changes", []),
            "mentions": [card for card in named if card],
            "history": (payload or {}).get("history", []),
        }


class NoteText(Field):
    """The text of a note."""

    has_lines = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.max_length = MAX_NOTE_LENGTH


SPECIAL_FIELDS: tuple[Field, ...] = (
    ChoiceField("kind", options=KINDS),
    RecordField("customer", columns=(Activity.customer_id, Customer.number), key="customer_id", record=Customer),
    NumberField("task_id", columns=(Activity.task_id,)),
    TextLineField(
        "told",
        columns=(Activity.kind, Activity.payload, Activity.lead_id, Activity.ticket_id),
        schema={"type": "object", "nullable": True},
    ),
    NoteText("text", required=True),
)
LABELS = {
    "kind": "Kind",
    "at": "At",
    "actor": "Actor",
    "lead": "Lead",
    "ticket": "Ticket",
    "customer": "Customer",
    "task_id": "Task",
    "told": "Line",
    "text": "Text",
    "edited_on": "Edited on",
}


class ActivityService(RecordService):
    """Timeline entries are read-only, except notes: added to records that the viewer
    sees, changed by their author, and deleted by whom the role matrix lets."""

    record = Activity
    module = "Notes"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Activity:
        """Create a note on exactly one record."""
        text = values.pop("text", None)
        parents = {name: key for name, key in values.items() if name.endswith("_id") and key}
        if not text:
            raise RuleBroken(_("Please enter a text."), "text")
        if len(parents) != 1:
            raise RuleBroken(_("A note needs exactly one lead, ticket or customer."), "lead")
        ((name, key),) = parents.items()
        record = {"lead_id": Lead, "ticket_id": Ticket, "customer_id": Customer}[name]
        row = notes.write_note(session, access.get_visible(session, record, key), text, viewer)
        session.flush()
        return row

    def change(self, session: Session, row: Activity, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a note's text; `edited_on` as the author saw it, by default the stored one."""
        if not values.get("text"):
            raise RuleBroken(_("Please enter a text. A note can't be empty."), "text")
        edit = notes.NoteEdit(values["text"], values.get("edited_on", row.edited_on))
        notes.edit_note(session, row, edit, viewer)

    def remove(self, session: Session, row: Activity, viewer: Viewer) -> None:
        """Delete a note; open pages that show it update after the commit."""
        super().remove(session, row, viewer)
        timeline.mark_changed(session, row.lead_id, row.ticket_id, row.customer_id, row.task_id)


class ActivityResource(Resource):
    """/api/v1/activity/"""

    resource_name = "activity"
    datamodel = SQLAInterface(Activity)
    module = "Notes"
    service = ActivityService()
    show_columns = ["kind", "at", "actor", "lead", "ticket", "customer", "task_id", "told", "edited_on"]
    add_columns = ["lead", "ticket", "customer", "text"]
    edit_columns = ["text", "edited_on"]
    search_columns = ["kind", "at", "actor", "lead", "ticket", "customer", "task_id"]
    order_columns: list[str] = []
    extra_schema = {
        "warnings": {
            "type": "array",
            "items": {"type": "string"},
            "description": "On create or update: users who were mentioned but not notified.",
        }
    }

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """Raise Denied or RuleBroken for an entry that the viewer can't change, or delete."""
        refuse = notes.refuse_undeletable if verb == "delete" else notes.refuse_foreign
        refuse(row, current_viewer())

    def _after(self, pk: int) -> dict[str, Any] | None:
        """The stored entry, with warnings about users who were not notified."""
        found = super()._after(pk)
        return found | {"warnings": notes.unnotified_people()} if found is not None else None
