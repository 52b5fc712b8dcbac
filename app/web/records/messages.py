"""Messages: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import messages
from app.domain.base import RuleBroken
from app.domain.messages import CHANNELS, PURPOSES, STATES, Message
from app.web.api.resource import Resource
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import ChoiceField, Field, LongTextField, Viewer
from app.web.core.record_service import RecordService
from app.web.records.call_fields import CallNumberField
from app.web.records.screen import Screen

_COLORS = {
    "noted": "teal",
    "queued": "gray",
    "sending": "blue",
    "unknown": "orange",
    "sent": "blue",
    "delivered": "teal",
    "read": "green",
    "failed": "red",
}
_CHANNEL_WORDS = {"whatsapp": "WhatsApp", "sms": "SMS", "email": _("Email")}
_DIRECTION_WORDS = {"out": _("Outgoing"), "in": _("Incoming")}
_STATE_WORDS = {
    "noted": _("Noted"),
    "queued": _("Queued"),
    "sending": _("Sending"),
    "unknown": _("Unknown"),
    "sent": _("Sent"),
    "delivered": _("Delivered"),
    "read": _("Read"),
    "failed": _("Failed"),
}
_PURPOSE_WORDS = {"promotional": _("Promotional"), "service": _("Service")}
SPECIAL_FIELDS: tuple[Field, ...] = (
    ChoiceField("channel", options=CHANNELS, words=_CHANNEL_WORDS, required=True),
    ChoiceField("direction", options=("out", "in"), words=_DIRECTION_WORDS),
    CallNumberField("peer", columns=(Message.peer,), required=True, max_length=254),
    LongTextField("body", required=True),
    ChoiceField("state", options=STATES, colors=_COLORS, words=_STATE_WORDS),
    ChoiceField("purpose", options=PURPOSES, words=_PURPOSE_WORDS),
    DateTimeField("happened_on"),
)
LABELS = {
    "channel": _("Channel"),
    "direction": _("Direction"),
    "peer": _("Recipient / sender"),
    "subject": _("Subject"),
    "body": _("Text"),
    "state": _("State"),
    "reason": _("Reason"),
    "customer": _("Customer"),
    "lead": _("Lead"),
    "ticket": _("Ticket"),
    "purpose": _("Purpose"),
    "happened_on": _("Sent or received"),
    "created_on": _("Created"),
}


class MessageService(RecordService):
    """Messages: written down by hand, never changed."""

    record = Message
    module = "Messages"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Message:
        """Write down a message that was sent or received: nothing sends messages yet."""
        with access.as_system(session):  # an opt-out counts whoever may see the customer
            return messages.note(session, values, viewer.stamp)

    def change(self, session: Session, row: Message, values: dict[str, Any], viewer: Viewer) -> None:
        """Refused: a message cannot be changed."""
        raise RuleBroken(_("A message can't be edited. Write a new one."))


class MessageResource(Resource):
    """/api/v1/message/"""

    resource_name = "message"
    datamodel = SQLAInterface(Message)
    module = "Messages"
    service = MessageService()
    exclude_route_methods = {"put", "delete"}
    show_columns = [
        "channel",
        "direction",
        "peer",
        "subject",
        "body",
        "state",
        "reason",
        "purpose",
        "happened_on",
        "customer",
        "lead",
        "ticket",
        "created_on",
    ]
    add_columns = [
        "channel",
        "direction",
        "peer",
        "subject",
        "body",
        "purpose",
        "happened_on",
        "customer",
        "lead",
        "ticket",
    ]
    edit_columns: list[str] = []
    search_exclude_columns = ["subject", "body", "reason"]
    order_columns = ["created_on"]


class MessageScreen(Screen):
    """/messages/"""

    route_base = "/messages"
    datamodel = SQLAInterface(Message)
    module = "Messages"
    service = MessageService()
    list_title, record_name = _("Messages"), _("Message")
    list_columns = ["peer", "channel", "direction", "state", "body", "customer", "created_on"]
    search_exclude_columns = MessageResource.search_exclude_columns
    order_columns = MessageResource.order_columns
    show_columns = MessageResource.show_columns
    add_columns = [
        "channel",
        "direction",
        "peer",
        "purpose",
        "happened_on",
        "customer",
        "lead",
        "ticket",
        "subject",
        "body",
    ]
    edit_columns: list[str] = []
    quick_filters = ("channel", "direction", "state")
    summary_columns = ("channel", "state", "peer")
    title_column = "peer"
    new_values = {"direction": "out"}
    exclude_route_methods = {"edit", "delete"}
    is_searched = False
