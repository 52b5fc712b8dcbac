"""The context of a new email: the email that it answers or forwards, a conversation, or a record; and its recipients.

Forms identify recipients by keys such as "@peer", so that people who see addresses masked can choose them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import conversations
from app.lib.automatic_mail import takes_answers
from app.lib.ids import parse_id
from app.models import ChannelAccount, Conversation, Customer, Mail, Message
from app.web.core.urls.record_references import PAGES, RECORDS, links_of, named_record
from app.web.core.viewer import Viewer

#: The ways to answer an email.
HOWS = ("reply", "all", "forward")


@dataclass(frozen=True)
class Recipient:
    """A suggested recipient."""

    #: In the form.
    key: str
    address: str
    #: Their name, or role; never their address.
    name: str

    def label(self, viewer: Viewer) -> str:
        """The name and address of the recipient, as the form shows them."""
        shown = viewer.person.mask_value("email", self.address) or "••••••"
        return f"{self.name} · {shown}" if self.name else shown


@dataclass
class MailContext:
    """The context of a new email."""

    #: The hidden fields of the form that identify it.
    fields: dict[str, str]
    #: One of HOWS for a mail, else "new".
    how: str = "new"
    message: Any = None
    mail: Any = None
    conversation: Any = None
    #: Kind and row of the record from whose page it is written.
    kind: str = ""
    record: Any = None
    #: lead_id, ticket_id and customer_id of the email.
    records: dict[str, int | None] = field(default_factory=dict)
    recipients: list[Recipient] = field(default_factory=list)
    #: Keys of `recipients` that are chosen at first.
    to: str = ""
    cc: tuple[str, ...] = ()
    #: The key under which the browser stores its draft, if not `fields`.
    draft: str = ""

    @property
    def url(self) -> str:
        """The page to return to."""
        if self.conversation is not None:
            return f"/inbox/{self.conversation.id}"
        return f"{PAGES[self.kind]}{self.record.id}" if self.kind else "/inbox/"

    @property
    def ticket_id(self) -> int | None:
        """The ticket whose status can be set with the reply."""
        return self.records.get("ticket_id") if self.how != "forward" else None

    def address_of(self, key: str) -> str:
        """The address of a key. Raises RuleBroken for one that wasn't suggested."""
        found = next((each.address for each in self.recipients if each.key == key), None)
        if found is None:
            raise RuleBroken(_("This recipient isn't offered any more. Please choose another one."), "to")
        return found


def find(session: Session, given: Mapping[str, str]) -> MailContext:
    """The context named by the form or URL: `message` and `how`, `conversation`, or `record` as lead:5.

    Raises NotFound for anything that the viewer doesn't see.
    """
    if given.get("message"):
        return _of_message(session, given["message"], given.get("how") or "reply")
    if given.get("conversation"):
        return _of_conversation(session, given["conversation"])
    return _of_record(session, given.get("record") or "")


# --- an email


def _of_message(session: Session, key: str, how: str) -> MailContext:
    message = access.get_visible(session, Message, parse_id(key))
    if message is None or message.channel != "email" or how not in HOWS:
        raise NotFound(_("This email doesn't exist, or you don't have access to it."))
    conversation = access.get_visible(session, Conversation, message.conversation_id)
    about = MailContext({"message": str(message.id), "how": how}, how, message, conversation=conversation)
    about.mail = session.scalars(select(Mail).where(Mail.message_id == message.id)).first()
    about.records = {name: getattr(message, name) for name in conversations.RECORDS}
    about.kind, about.record = _nearest(session, about.records)
    about.recipients = _of_mail(session, about)
    if how != "forward":
        about.to = _answered(about)
    if how == "all":
        about.cc = tuple(each.key for each in about.recipients if each.key.startswith("@m"))
    return about


def _answered(mail_context: MailContext) -> str:
    """The recipient of a reply: the sender, unless nobody reads their mailbox."""
    has_other = any(each.key == "@answer" for each in mail_context.recipients)
    return "@answer" if has_other and not takes_answers(mail_context.message.peer) else "@peer"


def _of_mail(session: Session, mail_context: MailContext) -> list[Recipient]:
    """The other party, at their reply address, and all other participants."""
    message, own = mail_context.message, _own_addresses(session)
    name = (mail_context.conversation.peer_name or "") if mail_context.conversation is not None else ""
    found = [Recipient("@peer", message.peer, name)]
    answer_to = (message.native or {}).get("reply_to")
    if answer_to and answer_to != message.peer:
        found.append(Recipient("@answer", answer_to, _("Where answers go")))
    if mail_context.mail is not None:
        others = dict.fromkeys([*mail_context.mail.cc, *mail_context.mail.participants])
        known = {each.address for each in found} | own
        found += [Recipient(f"@m{n}", each, "") for n, each in enumerate(others) if each not in known]
    return found


def _own_addresses(session: Session) -> set[str]:
    """Addresses of our own mail accounts, which get no copies."""
    with access.as_system(session):
        rows = session.scalars(select(ChannelAccount.settings).where(ChannelAccount.kind.in_(("imap", "smtp"))))
        found = (parseaddr(each.get("address") or each.get("from") or "")[1].lower() for each in rows)
        return {each for each in found if each}


# --- a conversation, a record


def _of_conversation(session: Session, key: str) -> MailContext:
    """Reply to the newest email of the other party; else follow up on our own newest one."""
    conversation = access.get_visible(session, Conversation, parse_id(key))
    if conversation is None or conversation.channel != "email":
        raise NotFound(_("This conversation doesn't exist, or you don't have access to it."))
    mine = select(Message.id).where(Message.conversation_id == conversation.id).order_by(Message.id.desc()).limit(1)
    newest = session.scalar(mine.where(Message.direction == "in")) or session.scalar(mine)
    if newest is not None:
        about = _of_message(session, str(newest), "reply")
        about.draft = f"conversation:{conversation.id}"  # an email that arrives meanwhile doesn't discard it
        return about
    about = MailContext({"conversation": str(conversation.id)}, conversation=conversation, to="@peer")
    about.records = {name: getattr(conversation, name) for name in conversations.RECORDS}
    about.kind, about.record = _nearest(session, about.records)
    about.recipients = [Recipient("@peer", conversation.peer, conversation.peer_name or "")]
    return about


def _of_record(session: Session, named: str) -> MailContext:
    kind, _colon, key = named.partition(":")
    row = named_record(kind, key)
    about = MailContext({"record": f"{kind}:{row.id}"}, kind=kind, record=row)
    about.records = links_of(kind, row)
    about.recipients = list(_of_people(session, row))
    about.to = about.recipients[0].key if about.recipients else ""
    return about


def _of_people(session: Session, row: Any) -> Iterator[Recipient]:
    """The customer of a record, and the contact in the record itself."""
    with access.as_system(session):
        customer: Any = session.get(Customer, row.customer_id) if getattr(row, "customer_id", None) else None
    seen = set()
    for key, person in (("@customer", customer), ("@record", row)):
        address = person.email if person is not None else None
        if address and address not in seen:
            seen.add(address)
            name = " ".join(filter(None, (person.first_name, person.last_name)))
            yield Recipient(key, address, name or person.number)


def _nearest(session: Session, records: Mapping[str, int | None]) -> tuple[str, Any]:
    """The most specific of the records that the viewer sees."""
    for kind in ("ticket", "lead", "customer"):
        key = records.get(f"{kind}_id")
        row = access.get_visible(session, RECORDS[kind], key) if key else None
        if row is not None:
            return kind, row
    return "", None
