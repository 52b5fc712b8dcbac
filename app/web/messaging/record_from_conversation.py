"""Creates a lead or ticket for the person of a conversation, under the rules of its own resource."""

from __future__ import annotations

from typing import Any

from app import access
from app.domain.messaging import conversations
from app.domain.messaging.conversations import Conversation
from app.extensions import db
from app.web.core.viewer import Viewer
from app.web.records.leads import LeadResource
from app.web.records.tickets import TicketResource

#: Kind of record -> its resource.
RESOURCES: dict[str, Any] = {"lead": LeadResource, "ticket": TicketResource}


def contact_of(conversation: Conversation) -> dict[str, str]:
    """The field of a record for its number or address."""
    return {"email" if conversation.channel == "email" else "mobile": conversation.peer}


def create(conversation: Conversation, kind: str, values: dict[str, Any], viewer: Viewer) -> Any:
    """Create the record, and link the conversation to it. Raises RuleBroken, Denied.

    `values` are fields of the record; the conversation's number or address is used if it isn't among them.
    """
    resource, session = RESOURCES[kind], db.session()
    viewer.person.refuse_unless(resource.module, "create")
    made = resource.service.create(session, contact_of(conversation) | values, viewer)
    session.flush()
    with access.as_system(session):
        conversations.link(session, conversation, made, viewer.stamp)
    return made
