"""The REST resource of the person's own notifications, with their deliveries and preferences."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.notifications import notices
from app.domain.notifications.notices import KINDS, Notification
from app.extensions import db
from app.models import Customer
from app.notice_texts import text_of
from app.web.api import schemas
from app.web.api.operations import OperationSpec
from app.web.api.resource import Resource, request_json
from app.web.core.fab_access import json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field, NumberField
from app.web.core.fields.reference_fields import RecordField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.workday import notice_deliveries, notice_preferences


class ReadFlagField(BooleanField):
    """Whether the notice is read, from the column read_on."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """True if read_on is set."""
        return values[0] is not None

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """True or False."""
        return values[0] is not None

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """True if read_on is set."""
        read = self.parse(raw, viewer) == (op != "neq")
        return self.columns[0].is_not(None) if read else self.columns[0].is_(None)


class NoticeTextField(Field):
    """The notice's sentence, in the language of the response."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """One sentence."""
        kind, payload, actor_id, lead_id = values
        row = Notification(kind=kind, payload=payload, actor_id=actor_id, lead_id=lead_id)
        return text_of(row, **notice_deliveries.text_values(row, viewer))


SPECIAL_FIELDS = (
    NoticeTextField(
        "text",
        columns=(Notification.kind, Notification.payload, Notification.actor_id, Notification.lead_id),
        schema={"type": "string"},
    ),
    ChoiceField("kind", options=KINDS),
    RecordField("customer", columns=(Notification.customer_id, Customer.number), record=Customer),
    NumberField("task_id", columns=(Notification.task_id,)),
    ReadFlagField("read", columns=(Notification.read_on,)),
)
LABELS = {
    "text": "Text",
    "kind": "Kind",
    "at": "At",
    "actor": "Actor",
    "lead": "Lead",
    "ticket": "Ticket",
    "customer": "Customer",
    "task_id": "Task",
    "read": "Read",
    "snoozed_until": "Snoozed until",
}


def deliveries(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """Id -> {deliveries}: the delivery on each channel except the bell; one statement for a whole page."""
    found = notice_deliveries.deliveries_of(session, ids)
    return {
        key: {
            "deliveries": [
                {
                    "channel": each.channel,
                    "state": each.state,
                    "at": each.at.isoformat(),
                    "tries": each.tries,
                    "error": each.error,
                }
                for _name, each in sorted(found.get(key, {}).items())
            ]
        }
        for key in ids
    }


class NoticeService(RecordService):
    """The person's own notifications: read, mark read, snooze."""

    record = Notification
    module = "Dashboard"
    fields = SPECIAL_FIELDS
    label_columns = LABELS
    load_children = staticmethod(deliveries)

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Notification:
        """Refuse: the system creates notifications."""
        raise RuleBroken(_("Notifications are created by the system."))

    def change(self, session: Session, row: Notification, values: dict[str, Any], viewer: Viewer) -> None:
        """Mark read or unread, snooze."""
        columns = notices.snooze_values(values["snoozed_until"]) if "snoozed_until" in values else {}
        if "read" in values:
            columns["read_on"] = viewer.now if values["read"] else None
        for name, value in columns.items():
            setattr(row, name, value)
        notices.note_count_changed(session, viewer.person.id)
        if not values:
            raise RuleBroken(_("Please send what to change: read or snoozed_until."))


_TABLE = {
    "type": "object",
    "additionalProperties": schemas.shape(
        {channel: {"type": "boolean"} for channel in notices.CHANNELS}, additionalProperties=False
    ),
}
_CHOICES = schemas.shape(
    {
        "choices": _TABLE,
        "mark": {
            "type": "string",
            "nullable": True,
            "description": ("From the version you read; an outdated one is refused (409)."),
        },
    },
    "choices",
    additionalProperties=False,
)


class NoticeResource(Resource):
    """/api/v1/notification/"""

    resource_name = "notification"
    datamodel = SQLAInterface(Notification)
    module = "Dashboard"
    service = NoticeService()
    show_columns = [
        "text",
        "kind",
        "at",
        "actor",
        "lead",
        "ticket",
        "customer",
        "task_id",
        "read",
        "snoozed_until",
    ]
    add_columns: list[str] = []
    edit_columns = ["read", "snoozed_until"]
    search_columns = ["kind", "at", "read"]
    order_columns = ["at"]
    VERBS = Resource.VERBS | {"put": "read", "choices": "read", "choose": "read"}
    exclude_route_methods = {"post", "delete"}
    documentation = {
        "choices": OperationSpec("Read your notification preferences", answer=_CHOICES),
        "choose": OperationSpec(
            "Replace your notification preferences", (409, 413, 422), body=_CHOICES, answer=_CHOICES
        ),
    }
    extra_schema = {
        "deliveries": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "channel": {"type": "string"},
                    "state": {"type": "string"},
                    "tries": {"type": "integer"},
                    "at": {"type": "string", "format": "date-time"},
                    "error": {"type": "string", "nullable": True},
                },
            },
        }
    }

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """Nothing to check: access rules show only own rows."""

    @expose("/choices", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("choices")
    def choices(self) -> Response:
        """kind -> channel -> wanted, for all kinds and channels, and the ETag of this version."""
        return _chosen()

    @expose("/choices", methods=["PUT"])
    @protect()
    @refuse_as_json
    @permission_name("choose")
    def choose(self) -> Response:
        """Replace the preferences; a missing kind or channel gets the default."""
        body = request_json()
        table, mark = body.get("choices"), body.get("mark")
        if set(body) - {"choices", "mark"} or not _is_table(table) or not isinstance(mark, str | None):
            raise RuleBroken(_("Please send {choices: {kind: {channel: true or false}}, mark}."), "choices")
        notice_preferences.save_table(db.session(), body["choices"], mark)
        return _chosen()


def _is_table(table: Any) -> bool:
    return isinstance(table, dict) and all(isinstance(row, dict) for row in table.values())


def _chosen() -> Response:
    user = notice_preferences.own_user(db.session())
    return json_answer(200, {"choices": notice_preferences.table_of(user), "mark": notice_preferences.etag_of(user)})


__all__ = ["NoticeResource", "NoticeService", "notices"]
