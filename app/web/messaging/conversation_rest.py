"""Conversations over REST: list and read them; claim, hand over, close, mark as read, link and reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import conversations, message_sending
from app.domain.messaging.conversations import STATES, Conversation
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.models import Customer, Lead, Message, MessageTemplate, Ticket
from app.web.api.operations import OperationSpec
from app.web.api.resource import Resource, request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import current_viewer, json_answer, parse_json_integer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field, NumberField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.messaging import record_from_conversation
from app.web.records import conversation_list
from app.web.records.call_fields import CallNumberField
from app.web.records.message_words import CHANNEL_WORDS
from app.web.records.messages import MessageResource, seen_by

#: Messages of a thread in one response.
MAX_MESSAGES = 100


class WindowField(DateTimeField):
    """The end of the window for free text: 24 hours after the peer's last WhatsApp message."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = (Conversation.last_inbound_on, Conversation.channel)

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The end of the window; None if there is none, or it is unknown."""
        heard, channel = values
        return heard + conversations.WINDOW if heard and channel in conversations.WINDOWED else None


class PeerNameField(Field):
    """The name that the peer gives themselves, which may contain the number or address."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The name; None if it could reveal what a mask hides."""
        return conversation_list.shown_name(values[0], viewer) or None


_STATE_WORDS = {"open": _("Open"), "closed": _("Closed")}
FIELDS: tuple[Field, ...] = (
    ChoiceField("channel", options=tuple(CHANNEL_WORDS), words=CHANNEL_WORDS),
    CallNumberField("peer", columns=(Conversation.peer,), max_length=254),
    PeerNameField("peer_name", columns=(Conversation.peer_name,)),
    ChoiceField("state", options=STATES, words=_STATE_WORDS),
    PersonField("claimed_by", columns=(Conversation.claimed_by_id,)),
    NumberField("account", columns=(Conversation.account_id,)),
    NumberField("last_message", columns=(Conversation.last_message_id,)),
    WindowField("window_ends"),
)
LABELS = {
    "channel": _("Channel"),
    "peer": _("Recipient / sender"),
    "peer_name": _("Name"),
    "state": _("State"),
    "claimed_by": _("Answered by"),
    "account": _("Account"),
    "unread": _("Unread"),
    "last_message": _("Newest message"),
    "last_message_on": _("Last message"),
    "last_inbound_on": _("Last heard of"),
    "window_ends": _("Free text until"),
    "lead": _("Lead"),
    "ticket": _("Ticket"),
    "customer": _("Customer"),
    "created_on": _("Created"),
}


class ConversationService(RecordService):
    """Conversations, which begin with a message."""

    record = Conversation
    module = "Messages"
    fields = FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Conversation:
        """Refuse to create one: a message begins a conversation."""
        raise RuleBroken(_("A conversation begins with its first message."))

    def change(self, session: Session, row: Conversation, values: dict[str, Any], viewer: Viewer) -> None:
        """Refuse changes: the steps have endpoints of their own."""
        raise RuleBroken(_("A conversation is changed by claiming, handing over or closing it."))


_ROW = (404, 409, 422)
_ANY_ID = {"anyOf": [ID, STRING]}
_RECORD = shape({name: {**_ANY_ID, "nullable": True} for name in ("lead", "ticket", "customer")})
_REPLY = shape(
    {
        "body": STRING,
        "template": {"anyOf": [ID, STRING], "nullable": True},
        "variables": {"type": "object", "additionalProperties": STRING, "nullable": True},
        "reply_to": {**ID, "nullable": True},
        "files": {"type": "array", "items": STRING, "nullable": True},
        "purpose": {"type": "string", "enum": ["promotional", "service"], "nullable": True},
    }
)
_USER = shape({"user": {**_ANY_ID, "nullable": True}})
_MADE = shape({"id": ID, "conversation": ID}, "id", "conversation")


class ConversationResource(Resource):
    """/api/v1/conversation/"""

    resource_name = "conversation"
    datamodel = SQLAInterface(Conversation)
    module = "Messages"
    service = ConversationService()
    exclude_route_methods = {"post", "put", "delete"}
    show_columns = [
        "channel",
        "peer",
        "peer_name",
        "state",
        "claimed_by",
        "unread",
        "last_message",
        "last_message_on",
        "last_inbound_on",
        "window_ends",
        "account",
        "customer",
        "lead",
        "ticket",
        "created_on",
    ]
    add_columns: list[str] = []
    edit_columns: list[str] = []
    search_exclude_columns = ["peer_name", "last_message", "window_ends"]
    order_columns = ["last_message_on", "created_on"]
    VERBS = Resource.VERBS | {
        "thread": "read",
        **dict.fromkeys(("read", "claim", "hand_over", "close", "reopen", "link"), "write"),
        **dict.fromkeys(("send", "lead", "ticket"), "create"),
    }
    documentation = {
        "thread": OperationSpec("The newest 100 messages", (404, 422), ("pk",), answer="list"),
        "claim": OperationSpec("Take a conversation that is nobody's", _ROW, ("pk",)),
        "hand_over": OperationSpec("Give it to a colleague, or to nobody", (*_ROW, 413), ("pk",), _USER),
        "close": OperationSpec("Close it until the peer writes again", _ROW, ("pk",)),
        "reopen": OperationSpec("Open it again", _ROW, ("pk",)),
        "read": OperationSpec("Mark all its messages as read", _ROW, ("pk",)),
        "link": OperationSpec("Let it belong to a lead, ticket or customer", (*_ROW, 413), ("pk",), _RECORD),
        "send": OperationSpec("Answer; returns the message", (*_ROW, 413), ("pk",), _REPLY, good=(201,)),
        "lead": OperationSpec("Make a lead from it", (*_ROW, 413), ("pk",), "LeadCreate", _MADE, good=(201,)),
        "ticket": OperationSpec("Make a ticket from it", (*_ROW, 413), ("pk",), "TicketCreate", _MADE, good=(201,)),
    }

    @expose("/<int:pk>/messages", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("thread")
    def thread(self, pk: Any) -> Any:
        """The newest messages of the conversation, oldest first, in the format of the message resource."""
        row, viewer = self._row(pk, "read"), current_viewer()
        table = MessageResource.service.record_table
        newest = select(Message.id).where(Message.conversation_id == row.id).order_by(Message.id.desc())
        ids = sorted(db.session.scalars(newest.limit(MAX_MESSAGES)))
        rows = [each for key in ids if (each := table.one(db.session(), key, table.shown)) is not None]
        result = table.serialize_rows(db.session(), rows, table.shown, viewer)
        shown = {"count": len(ids), "count_capped": len(ids) == MAX_MESSAGES, "ids": ids, "result": result}
        return json_answer(200, shown)

    @expose("/<int:pk>/claim", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("claim")
    def claim(self, pk: Any) -> Any:
        """Claim the conversation."""
        return self._moved(pk, "write", conversations.claim)

    @expose("/<int:pk>/hand_over", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("hand_over")
    def hand_over(self, pk: Any) -> Any:
        """Hand it over to {user}; null = release it."""
        given = request_json().get("user")
        user = current_viewer().lookups.find_person(given) if given is not None else None
        if given is not None and user is None:
            raise RuleBroken(_("There is no such colleague."), "user")
        return self._moved(pk, "write", lambda session, row, stamp: conversations.hand_over(session, row, user, stamp))

    @expose("/<int:pk>/close", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("close")
    def close(self, pk: Any) -> Any:
        """Close the conversation."""
        return self._moved(pk, "write", conversations.close)

    @expose("/<int:pk>/reopen", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("reopen")
    def reopen(self, pk: Any) -> Any:
        """Reopen the conversation."""
        return self._moved(pk, "write", conversations.reopen)

    @expose("/<int:pk>/read", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("read")
    def read(self, pk: Any) -> Any:
        """Mark the conversation as read."""
        return self._moved(pk, "write", conversations.mark_read)

    @expose("/<int:pk>/link", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("link")
    def link(self, pk: Any) -> Any:
        """Link it to {lead}, {ticket} or {customer}."""
        self._row(pk, "write")
        record = self._record(request_json())
        return self._moved(pk, "write", lambda session, row, stamp: conversations.link(session, row, record, stamp))

    @expose("/<int:pk>/send", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("send")
    def send(self, pk: Any) -> Any:
        """Reply through the conversation's own account."""
        row, viewer, raw = self._row(pk, "read"), current_viewer(), request_json()
        values = MessageResource.service.record_table.parse(_only(raw, _REPLY), "add", viewer)
        with access.as_system(db.session()):
            message = message_sending.send_all(db.session(), _reply(db.session(), row, values, viewer), viewer.stamp)
            db.session.commit()
        table = MessageResource.service.record_table
        found = table.one(db.session(), message.id, table.shown)
        shown = table.serialize_rows(db.session(), [found], table.shown, viewer) if found is not None else [None]
        return json_answer(201, {"id": message.id, "result": shown[0]})

    @expose("/<int:pk>/lead", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("lead")
    def lead(self, pk: Any) -> Any:
        """Create a lead with its number; the body may contain any field of a lead."""
        return self._made_from(pk, "lead")

    @expose("/<int:pk>/ticket", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("ticket")
    def ticket(self, pk: Any) -> Any:
        """Create a ticket with its number; the body may contain any field of a ticket."""
        return self._made_from(pk, "ticket")

    def _moved(self, pk: Any, verb: str, step: Callable[[Session, Conversation, Stamp], None]) -> Any:
        row, viewer = self._row(pk, verb), current_viewer()
        with access.as_system(db.session()):
            step(db.session(), row, viewer.stamp)
            db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})

    def _record(self, raw: dict[str, Any]) -> Any:
        """The one record named in the request, if the person sees it."""
        models = {"lead": Lead, "ticket": Ticket, "customer": Customer}
        named = [(name, raw[name]) for name in models if raw.get(name) is not None]
        if len(named) != 1:
            raise RuleBroken(_("Please name exactly one lead, ticket or customer."), "lead")
        (name, given) = named[0]
        row = access.get_visible(db.session(), models[name], parse_json_integer(given, 0, 1, 2**31 - 1))
        if row is None:
            raise RuleBroken(_("There is no such record."), name)
        return row

    def _made_from(self, pk: Any, kind: str) -> Any:
        """Create a lead or ticket; its default name is that of the sender."""
        row, viewer, raw = self._row(pk, "write"), current_viewer(), request_json()
        name = conversation_list.own_name(row, viewer)
        named = {}
        if name and "first_name" not in raw:
            first, _blank, last = name.partition(" ")
            named = {"first_name": first} | ({"last_name": last} if last else {})
        table = record_from_conversation.RESOURCES[kind].service.record_table
        viewer.person.refuse_unless(record_from_conversation.RESOURCES[kind].module, "create")
        values = table.parse(record_from_conversation.contact_of(row) | named | raw, "add", viewer)
        made = record_from_conversation.create(row, kind, values, viewer)
        db.session.commit()
        return json_answer(201, {"id": made.id, "conversation": row.id})


def _only(raw: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The request, if it has no other keys. Raises RuleBroken."""
    if unknown := sorted(set(raw) - set(schema["properties"])):
        raise RuleBroken(_("“%(name)s” isn't a field of a reply.", name=unknown[0]), unknown[0])
    return raw


def _reply(session: Session, row: Conversation, values: dict[str, Any], viewer: Viewer) -> OutgoingRequest:
    template = session.get(MessageTemplate, values["template_id"]) if values.get("template_id") else None
    return OutgoingRequest(
        channel=row.channel,
        peer=row.peer,
        body=values.get("body") or "",
        account_id=row.account_id,
        template=template,
        variables=values.get("variables") or {},
        media=tuple(values.get("files") or ()),
        reply_to_id=values.get("reply_to_id"),
        purpose=values.get("purpose") or (None if template else "service"),
        records={name: getattr(row, name) for name in conversations.RECORDS},
        sees=seen_by(session, viewer),
    )
