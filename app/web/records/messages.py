"""Messages on the screen and over REST."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app.domain import messages
from app.domain.base import RuleBroken
from app.domain.messages import CHANNELS, STATES, Message
from app.models import Customer, Lead, Ticket
from app.web.api.resource import Resource
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import ChoiceField, Field, LongTextField, TextField, Viewer
from app.web.core.record_service import RecordService
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import RecordField
from app.web.pages.screen import Screen
from app.web.records.calls import CallNumberField

_COLORS = {
    "queued": "gray",
    "sending": "blue",
    "unknown": "orange",
    "sent": "blue",
    "delivered": "teal",
    "read": "green",
    "failed": "red",
}
FIELDS: list[Field] = [
    ChoiceField(
        "channel", _("Channel"), (Message.channel,), options=CHANNELS, listed=True, filter=True, add=True, required=True
    ),
    ChoiceField("direction", _("Direction"), (Message.direction,), options=("out", "in"), listed=True, filter=True),
    CallNumberField(
        "peer", _("Recipient / sender"), (Message.peer,), listed=True, filter=True, add=True, required=True, most=254
    ),
    TextField("subject", _("Subject"), (Message.subject,), most=200, add=True),
    LongTextField("body", _("Text"), (Message.body,), add=True, required=True),
    ChoiceField("state", _("State"), (Message.state,), options=STATES, colors=_COLORS, listed=True, filter=True),
    TextField("reason", _("Reason"), (Message.reason,), listed=True),
    RecordField(
        "customer",
        _("Customer"),
        (Message.customer_id, Customer.number, Customer.first_name, Customer.last_name),
        key="customer_id",
        record=Customer,
        url="/customers/",
        listed=True,
        filter=True,
        add=True,
    ),
    RecordField(
        "lead",
        _("Lead"),
        (Message.lead_id, Lead.number),
        key="lead_id",
        record=Lead,
        url="/leads/",
        filter=True,
        add=True,
    ),
    RecordField(
        "ticket",
        _("Ticket"),
        (Message.ticket_id, Ticket.number),
        key="ticket_id",
        record=Ticket,
        url="/tickets/",
        filter=True,
        add=True,
    ),
    DateTimeField("created_on", _("Created"), (Message.created_on,), listed=True, filter=True, sort=True),
]


class MessageService(RecordService):
    """Messages: written into the outbox, never changed."""

    record = Message
    module = "Messages"
    record_table = RecordTable(
        Message,
        FIELDS,
        joins=(
            (Customer, Customer.id == Message.customer_id),
            (Lead, Lead.id == Message.lead_id),
            (Ticket, Ticket.id == Message.ticket_id),
        ),
    )

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Message:
        """Into the outbox."""
        return messages.enqueue(session, values, viewer.stamp)

    def change(self, session: Session, row: Message, values: dict[str, Any], viewer: Viewer) -> None:
        """Never: what was said was said."""
        raise RuleBroken(_("A message can't be edited. Write a new one."))


class MessageResource(Resource):
    """/api/v1/message/"""

    resource_name = "message"
    module = "Messages"
    service = MessageService()
    exclude_route_methods = {"put", "delete"}


class MessageScreen(Screen):
    """/messages/"""

    route_base = "/messages"
    module = "Messages"
    service = MessageService()
    title, singular = _("Messages"), _("Message")
    columns = ("peer", "channel", "direction", "state", "body", "customer", "created_on")
    quick = ("channel", "direction", "state")
    strip = ("channel", "state", "peer")
    input_names = ("channel", "peer", "customer", "lead", "ticket", "subject", "body")
    headline = "peer"
    exclude_route_methods = {"edit", "delete"}
