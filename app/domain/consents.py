"""Who wants which messages: the consent ledger, opt-outs of customers, and do-not-disturb lists of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, select, union, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.tickets import Ticket

#: Channel -> the customer's opt-out.
OPT_OUTS = {"whatsapp": "no_whatsapp", "sms": "no_sms", "email": "no_email", "voice": "no_calls"}
PURPOSES = ("promotional", "service")
ACTIONS = ("given", "withdrawn")
#: Consent given only to finish a going transaction lapses after this long (TCCCPR).
TRANSACTION_LASTS = timedelta(days=7)
#: For so long after an opt-out a person may not be asked again (TCCCPR).
ASK_AGAIN_AFTER = timedelta(days=90)
#: What a do-not-disturb list says of a number.
PREFERENCES = ("none", "blocked", "partial")
#: The answer of a do-not-disturb list holds for so long.
DND_LASTS = timedelta(days=30)


class Consent(Record):
    """One entry of the ledger, never changed and never deleted: what somebody allowed, or does not allow any more."""

    __tablename__ = "consent"
    __table_args__ = (
        Index("ix_consent_address", "address", "channel", "id"),
        Index("ix_consent_customer", "customer_id", "id"),
        Index("ix_consent_lead", "lead_id", "id"),
    )
    #: whatsapp, sms, email or voice.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    #: Whose it is: a number in E.164, or an email address in lower case.
    address: Mapped[str] = mapped_column(String(254), nullable=False)
    #: One of PURPOSES.
    purpose: Mapped[str] = mapped_column(String(16), nullable=False, default="promotional")
    #: One of ACTIONS.
    action: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When the person said so, UTC.
    happened_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Until when a consent holds, UTC; null = until it is withdrawn.
    ends_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How: "message", "form", "call", "letter", "provider".
    how: Mapped[str] = mapped_column(String(24), nullable=False)
    #: What the person wrote, or the words that were shown to them; and in which language.
    words: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(16))
    #: The number, name or address of the evidence: a file, a message, a call.
    evidence: Mapped[str | None] = mapped_column(String(190))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="SET NULL"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))


class DoNotDisturb(Record):
    """What a do-not-disturb list says of a number."""

    __tablename__ = "do_not_disturb"
    #: E.164.
    number: Mapped[str] = mapped_column(String(20), nullable=False, unique=True)
    #: One of PREFERENCES.
    preference: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When and how it was checked: "scrub file" or "provider".
    checked_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    how: Mapped[str] = mapped_column(String(24), nullable=False)


def record(session: Session, values: dict[str, Any], stamp: Stamp) -> Consent:
    """Add an entry to the ledger. Raises RuleBroken.

    `values`: channel, address, action, how; purpose (default: promotional), happened_on (default: now), ends_on, words,
    language, evidence, message_id, customer_id, lead_id. A withdrawal also opts the customers of the address out.
    """
    if values.get("channel") not in OPT_OUTS or values.get("action") not in ACTIONS:
        raise RuleBroken("Please say for which channel, and whether consent was given or withdrawn.", "channel")
    entry = Consent(**{"purpose": "promotional", "happened_on": stamp.now, **values})
    entry.stamp(stamp)
    session.add(entry)
    session.flush()
    if entry.purpose == "promotional":
        _keep_on_customers(session, entry, stamp)
    return entry


def _keep_on_customers(session: Session, entry: Consent, stamp: Stamp) -> None:
    """The customers who have the address show what the ledger says."""
    column = getattr(Customer, OPT_OUTS[entry.channel])
    wants_none = entry.action == "withdrawn"
    for way in _addresses(entry.channel, entry.address):
        for customer in session.scalars(select(Customer).where(way, column.is_not(wants_none))):
            setattr(customer, column.key, wants_none)
            customer.stamp(stamp)
    session.flush()


def note_dnd(session: Session, number: str, preference: str, how: str, now: datetime) -> None:
    """Store what a do-not-disturb list says of a number in E.164."""
    stamp, values = Stamp(None, now), {"preference": preference, "checked_on": now, "how": how}
    step = update(DoNotDisturb).where(DoNotDisturb.number == number).values(values | {"changed_on": now})
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not done.rowcount:
        row = DoNotDisturb(number=number, **values)
        row.stamp(stamp)
        session.add(row)
        session.flush()


# --- may this be sent?


@dataclass(frozen=True)
class Addressed:
    """What `refusal` asks of a message, for an address that is not its recipient's: a copy."""

    channel: str
    peer: str
    purpose: str
    customer_id: int | None = None
    lead_id: int | None = None
    ticket_id: int | None = None


def refusal(session: Session, message: Any, now: datetime) -> str | None:
    """Why a promotional message must not be sent, as a sentence; None = it may be, as every service message.

    The outbox asks again before it sends: the customer may have opted out meanwhile. `message` has channel, peer,
    purpose, customer_id, lead_id and ticket_id.
    """
    if message.purpose == "service":
        return None
    said = latest(session, message.channel, message.peer)
    if (said is not None and said.action == "withdrawn") or has_opted_out(session, message):
        return translatable(
            "This customer doesn't want promotional messages on this channel. Only service messages are allowed."
        )
    has_consent = said is not None and (said.ends_on is None or said.ends_on > now)
    if not has_consent and message.channel != "email" and is_blocked(session, message.peer, now):
        return translatable(
            "This number is on the do-not-disturb list. Promotional messages need the customer's consent."
        )
    return None


def latest(session: Session, channel: str, address: str, purpose: str = "promotional") -> Consent | None:
    """What the ledger last says of an address."""
    mine = (Consent.address == address, Consent.channel == channel, Consent.purpose == purpose)
    return session.scalars(select(Consent).where(*mine).order_by(Consent.id.desc()).limit(1)).first()


def may_ask_again(session: Session, channel: str, address: str, now: datetime) -> bool:
    """Whether the person may be asked for their consent: not within 90 days of an opt-out."""
    said = latest(session, channel, address)
    return said is None or said.action == "given" or said.happened_on + ASK_AGAIN_AFTER <= now


def is_blocked(session: Session, number: str, now: datetime) -> bool:
    """Whether a do-not-disturb list that still holds blocks the number."""
    mine = (DoNotDisturb.number == number, DoNotDisturb.preference != "none")
    query = select(DoNotDisturb.id).where(*mine, DoNotDisturb.checked_on > now - DND_LASTS)
    return session.execute(query).first() is not None


def has_opted_out(session: Session, message: Any) -> bool:
    """Whether a customer of the message has opted out of its channel: the given one, its record's, or the peer's."""
    of_lead = select(Lead.customer_id).where(Lead.id == message.lead_id)
    of_ticket = select(Ticket.customer_id).where(Ticket.id == message.ticket_id)
    ways: list[Any] = list(_addresses(message.channel, message.peer))
    if message.customer_id is not None:
        ways.append(Customer.id == message.customer_id)
    ways += [Customer.id.in_(of_lead)] if message.lead_id is not None else []
    ways += [Customer.id.in_(of_ticket)] if message.ticket_id is not None else []
    opted_out = getattr(Customer, OPT_OUTS[message.channel])
    # One indexed SELECT per way: no index serves an OR of them all.
    queries = [select(Customer.id).where(way, opted_out.is_(True)) for way in ways]
    return session.execute(union(*queries).limit(1)).first() is not None


def _addresses(channel: str, address: str) -> Iterable[Any]:
    """Rules for the customers whom this number or address reaches."""
    if channel == "email":
        return [Customer.email == address, *_same_mailbox(address)]
    return [column == address for column in (Customer.mobile_e164, Customer.alternative_e164)]


def _same_mailbox(address: str) -> list[Any]:
    """Rules for addresses that reach the mailbox of this one: name+anything@domain is name@domain."""
    name, _at, domain = address.rpartition("@")
    name = name.partition("+")[0]
    if not name:
        return []
    tagged = Customer.email.like(f"{_escaped(name)}+%@{_escaped(domain)}", escape="!")
    return [Customer.email == f"{name}@{domain}", tagged]


def _escaped(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)
