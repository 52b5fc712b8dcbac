"""Messages: pages and REST resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import channel_accounts, mail_sending, message_sending, messages
from app.domain.messaging.conversations import Conversation
from app.domain.messaging.mail_sending import MailParts
from app.domain.messaging.message_sending import OutgoingRequest
from app.domain.messaging.messages import CHANNELS, PURPOSES, STATES, Message
from app.extensions import db
from app.lib import phone
from app.models import Customer, Lead, MessageTemplate, Ticket
from app.web.api.operations import OperationSpec
from app.web.api.resource import Resource
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields import contact_guesses
from app.web.core.fields.base import ChoiceField, Field, LongTextField, NumberField, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PicklistField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.records import mails, message_text_search
from app.web.records.call_fields import CallNumberField
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS, STATE_WORDS
from app.web.records.related_person_field import RelatedPersonField
from app.web.records.screen import Screen

COLORS = {
    "noted": "teal",
    "queued": "gray",
    "sending": "blue",
    "unknown": "orange",
    "sent": "blue",
    "delivered": "teal",
    "read": "green",
    "failed": "red",
    "canceled": "gray",
}
_DIRECTION_WORDS = {"out": _("Outgoing"), "in": _("Incoming")}


class VariablesField(Field):
    """The variables of a template: an object of texts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "object", "additionalProperties": {"type": "string"}, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Texts by name; numbers are texts too. Raises RuleBroken for anything else."""
        if raw is None:
            return None
        if not isinstance(raw, dict) or not all(isinstance(each, str | int | float) for each in raw.values()):
            raise RuleBroken(_("“variables” must be an object of texts."), "variables")
        return {str(name): str(each) for name, each in raw.items()}


class ReasonField(TextField):
    """Why a message wasn't sent, or not yet."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The sentence in the language of the page; what a provider said as it is."""
        return super().cell((translate_text(values[0] or "") or None, *values[1:]), viewer)


SPECIAL_FIELDS: tuple[Field, ...] = (
    ChoiceField("channel", options=CHANNELS, words=CHANNEL_WORDS, required=True),
    ChoiceField("direction", options=("out", "in"), words=_DIRECTION_WORDS),
    CallNumberField("peer", columns=(Message.peer,), max_length=254),
    LongTextField("body"),
    BooleanField("noted"),
    ReasonField("reason"),
    TextField("account", max_length=60),
    PicklistField("template", columns=(Message.template_id,), key="template_id", picklist="message_template"),
    VariablesField("variables"),
    NumberField("reply_to", columns=(Message.reply_to_id,), key="reply_to_id"),
    NumberField("conversation", columns=(Message.conversation_id,)),
    ChoiceField("state", options=STATES, colors=COLORS, words=STATE_WORDS),
    ChoiceField("purpose", options=PURPOSES, words=PURPOSE_WORDS),
    DateTimeField("happened_on"),
    RelatedPersonField("about", _("For"), Message),
    *mails.FIELDS,
)
LABELS = {
    "channel": _("Channel"),
    "direction": _("Direction"),
    "peer": _("Recipient / sender"),
    "subject": _("Subject"),
    "body": _("Text"),
    "state": _("State"),
    "reason": _("Reason"),
    "about": _("For"),
    "customer": _("Customer"),
    "lead": _("Lead"),
    "ticket": _("Ticket"),
    "purpose": _("Purpose"),
    "happened_on": _("Sent or received"),
    "created_on": _("Created"),
    "noted": _("Only noted"),
    "account": _("Account"),
    "template": _("Template"),
    "variables": _("Variables"),
    "reply_to": _("Answers message"),
    "conversation": _("Conversation"),
    "code": _("Provider's code"),
    "delivered_on": _("Delivered on"),
    "read_on": _("Read on"),
    "to": _("More recipients"),
    "cc": _("Copies to"),
    "html": _("Text with formatting"),
    "files": _("Files"),
}
#: Fields of messages that are sent, and of those the ones of emails only.
_OF_SENT = ("account", "template_id", "variables", "reply_to_id", "files", "to", "cc", "html")
_OF_EMAIL = ("to", "cc", "html")


class ManualMessageService(RecordService):
    """Messages recorded by hand; never changed."""

    record = Message
    module = "Messages"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Message:
        """Record a message that was sent or received elsewhere; without `peer`, by the number of its record."""
        given = values | {"peer": values.get("peer") or peer_of(session, values.get("channel") or "", values)}
        with access.as_system(session):  # an opt-out counts whoever may see the customer
            return messages.record_elsewhere(session, given, viewer.stamp)

    def change(self, session: Session, row: Message, values: dict[str, Any], viewer: Viewer) -> None:
        """Refuse: a message can't be changed."""
        raise RuleBroken(_("A message can't be edited. Write a new one."))


class MessageService(ManualMessageService):
    """Messages over REST: sent, unless they are only to be noted."""

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Message:
        """Send a message. One that is `noted`, incoming, or has a time is only recorded."""
        given = dict(values)
        is_noted = given.pop("noted", None) or given.get("direction") == "in" or given.get("happened_on") is not None
        if is_noted:
            if unsent := [name for name in _OF_SENT if given.get(name)]:
                text = _("A message that is only noted has no “%(name)s”.", name=unsent[0].removesuffix("_id"))
                raise RuleBroken(text, unsent[0].removesuffix("_id"))
            given = {name: value for name, value in given.items() if name not in (*_OF_EMAIL, "files")}
            return super().create(session, given, viewer)
        if given.get("peer"):
            contact_guesses.refuse(given.get("channel") or "", "peer", viewer)
        for field in ("to", "cc"):
            if given.get(field):
                contact_guesses.refuse("email", field, viewer)
        with access.as_system(session):  # an opt-out counts whoever may see the customer
            outgoing = replace(_outgoing_request(session, given), sees=seen_by(session, viewer))
            if outgoing.channel == "email":
                beside = MailParts(
                    given.get("html") or "", tuple(given.get("cc") or ()), to=tuple(given.get("to") or ())
                )
                return mail_sending.send(session, outgoing, beside, viewer.stamp)
            if foreign := [name for name in _OF_EMAIL if given.get(name)]:
                raise RuleBroken(_("Only an email has “%(name)s”.", name=foreign[0]), foreign[0])
            return message_sending.send_all(session, outgoing, viewer.stamp)


def _outgoing_request(session: Session, values: dict[str, Any]) -> OutgoingRequest:
    """The message to send. Raises RuleBroken, NotFound for an unknown account."""
    records = {name: values.get(name) for name in ("lead_id", "ticket_id", "customer_id")}
    account = channel_accounts.find(session, values["account"]) if values.get("account") else None
    template = session.get(MessageTemplate, values["template_id"]) if values.get("template_id") else None
    channel = values.get("channel") or ""
    return OutgoingRequest(
        channel=channel,
        peer=values.get("peer") or peer_of(session, channel, records),
        body=values.get("body") or "",
        account_id=account.id if account else None,
        template=template,
        variables=values.get("variables") or {},
        reply_to_id=values.get("reply_to_id"),
        media=tuple(values.get("files") or ()),
        subject=values.get("subject"),
        purpose=values.get("purpose"),
        records=records,
    )


def seen_by(session: Session, viewer: Viewer) -> Callable[[Conversation], bool]:
    """Whether the viewer sees a conversation, for `OutgoingRequest.sees`."""
    return lambda row: access.sees_row(session, viewer.person, row)


def peer_of(session: Session, channel: str, records: Mapping[str, Any]) -> str:
    """The number or address of the record, so that people who see it masked can send too; "" if it has none."""
    for model, name in ((Ticket, "ticket_id"), (Lead, "lead_id"), (Customer, "customer_id")):
        row: Any = session.get(model, records[name]) if records.get(name) else None
        if row is not None and (found := peer_of_record(session, channel, row)):
            return found
    return ""


def peer_of_record(session: Session, channel: str, row: Any) -> str:
    """The number or address of a lead, ticket or customer on this channel; see `peer_of`."""
    column = "email" if channel == "email" else "mobile_e164"
    with access.as_system(session):
        customer = session.get(Customer, row.customer_id) if getattr(row, "customer_id", None) else None
    found = getattr(customer, column, None) or getattr(row, column, None)
    if not found and channel != "email" and isinstance(row, Ticket):
        found = phone.normalize(row.mobile)  # of a complaint that is kept after the erasure of its person
    return str(found or "")


class MessageResource(mails.MailRoutes, message_text_search.SearchRoutes, Resource):
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
        "code",
        "purpose",
        "happened_on",
        "delivered_on",
        "read_on",
        "conversation",
        "template",
        "reply_to",
        "customer",
        "lead",
        "ticket",
        "created_on",
    ]
    add_columns = [
        "noted",
        "account",
        "template",
        "variables",
        "reply_to",
        "channel",
        "direction",
        "peer",
        "subject",
        "body",
        "html",
        "to",
        "cc",
        "files",
        "purpose",
        "happened_on",
        "customer",
        "lead",
        "ticket",
    ]
    edit_columns: list[str] = []
    search_exclude_columns = ["subject", "body", "reason", "code", "template"]
    order_columns = ["created_on"]
    VERBS = Resource.VERBS | {"cancel": "write", "send_again": "write", "give_up": "write", "arrived": "write"}
    VERBS |= mails.VERBS | message_text_search.VERBS
    documentation = (
        mails.DOCUMENTATION
        | message_text_search.DOCUMENTATION
        | {
            "cancel": OperationSpec("Cancel a message that waits to be sent", (404, 409, 422), ("pk",)),
            "send_again": OperationSpec("Send a failed or unknown message again", (404, 409, 422), ("pk",)),
            "give_up": OperationSpec("Decide that an unknown message has failed", (404, 409, 422), ("pk",)),
            "arrived": OperationSpec("Say that an unknown message has arrived", (404, 409, 422), ("pk",)),
        }
    )

    @expose("/<int:pk>/cancel", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("cancel")
    def cancel(self, pk: Any) -> Any:
        """Cancel it before it is sent."""
        return self._moved(pk, messages.cancel)

    @expose("/<int:pk>/send_again", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("send_again")
    def send_again(self, pk: Any) -> Any:
        """Resend it under the same key."""
        return self._moved(pk, messages.send_again)

    @expose("/<int:pk>/give_up", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("give_up")
    def give_up(self, pk: Any) -> Any:
        """Mark the message as not delivered; it is not sent again."""
        return self._moved(pk, messages.mark_not_delivered)

    @expose("/<int:pk>/arrived", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("arrived")
    def arrived(self, pk: Any) -> Any:
        """Mark the message as sent, by a person's word."""
        return self._moved(pk, messages.mark_arrived)

    def _moved(self, pk: Any, step: Callable[[Session, Message, Stamp], None]) -> Any:
        row, viewer = self._row(pk, "write"), current_viewer()
        with access.as_system(db.session()):
            step(db.session(), row, viewer.stamp)
            db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})


class MessageScreen(Screen):
    """/messages/"""

    route_base = "/messages"
    datamodel = SQLAInterface(Message)
    module = "Messages"
    service = MessageService()
    list_title, record_name = _("Messages"), _("Message")
    empty_text = _("No messages yet. To write one, open a lead, ticket or customer and choose WhatsApp, SMS or Email.")
    list_columns = ["peer", "channel", "direction", "state", "body", "about", "created_on"]
    search_exclude_columns = ["subject", "body", "reason"]
    order_columns = MessageResource.order_columns
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

    def create_row(self, values: dict[str, Any], viewer: Viewer) -> Any:
        """The form records messages from elsewhere; conversations send."""
        return super().create_row(values | {"noted": True}, viewer)
