"""Consents to messages: the consent ledger, opt-outs of customers, and do-not-disturb lists of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, select, union
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, mapped_column

from app.domain import address_hashes, business_settings
from app.domain.audit_log import audit
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.persistence.row_effects import Rows
from app.domain.tickets import Ticket

#: Channel -> the customer's opt-out.
OPT_OUTS = {"whatsapp": "no_whatsapp", "sms": "no_sms", "email": "no_email", "voice": "no_calls"}
PURPOSES = ("promotional", "service")
ACTIONS = ("given", "withdrawn")
#: How somebody expressed it: ways that people can record, and those that the CRM records itself.
NOTED_WAYS = ("form", "call", "letter", "meeting", "website")
WAYS = (*NOTED_WAYS, "message", "provider", "mail", "erasure")
#: What a do-not-disturb list says about a number.
PREFERENCES = ("none", "blocked", "partial")
UNWANTED = translatable(
    "This customer doesn't want promotional messages on this channel. Only service messages are allowed."
)
ON_DND = translatable("This number is on the do-not-disturb list. Promotional messages need the customer's consent.")
NO_CONSENT = translatable("No consent is on record for promotional messages on this channel.")
#: The refusal of any change to existing `Consent` rows.
APPEND_ONLY = "The consent ledger is append-only: entries are never changed or deleted. Add a new entry instead."


class Consent(Record):
    """One entry of the ledger, never changed or deleted: somebody gave or withdrew their consent."""

    __tablename__ = "consent"
    __table_args__ = (
        Index("ix_consent_address", "address", "channel", "id"),
        Index("ix_consent_customer", "customer_id", "id"),
        Index("ix_consent_lead", "lead_id", "id"),
    )
    #: whatsapp, sms, email or voice.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The recipient: a number in E.164, or an email address in lower case; of an erased person, its keyed hash.
    address: Mapped[str] = mapped_column(String(254), nullable=False)
    #: One of PURPOSES.
    purpose: Mapped[str] = mapped_column(String(16), nullable=False, default="promotional")
    #: One of ACTIONS.
    action: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When the person expressed it, UTC.
    happened_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When a consent ends, UTC; null = when it is withdrawn.
    ends_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How: one of WAYS.
    how: Mapped[str] = mapped_column(String(24), nullable=False)
    #: What the person wrote, or the words that were shown to them; and the language.
    words: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(16))
    #: The number, name or address of the evidence: a file, a message, a call.
    evidence: Mapped[str | None] = mapped_column(String(190))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="SET NULL"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))


class DoNotDisturb(Record):
    """The entry of a do-not-disturb list for one number."""

    __tablename__ = "do_not_disturb"
    #: E.164; of an erased person, its keyed hash.
    number: Mapped[str] = mapped_column(String(20), nullable=False, unique=True)
    #: One of PREFERENCES.
    preference: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When and how it was checked: "scrub file" or "provider".
    checked_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    how: Mapped[str] = mapped_column(String(24), nullable=False)


def record(session: Session, values: dict[str, Any], stamp: Stamp) -> Consent:
    """Add an entry to the ledger. Raises RuleBroken.

    `values`: channel, address, action, how; purpose (default: promotional), happened_on (default: now), ends_on, words,
    language, evidence, message_id, customer_id, lead_id. A withdrawal also opts out the customers with this address,
    unless the person has said something else since: messages arrive late, and people enter what they heard last week.
    """
    if values.get("channel") not in OPT_OUTS or values.get("action") not in ACTIONS:
        raise RuleBroken("Please say for which channel, and whether consent was given or withdrawn.", "channel")
    if address_hashes.is_hash(values.get("address")):
        raise RuleBroken("Please enter the number or address that it is about.", "address")
    entry = Consent(**{"purpose": "promotional", "happened_on": stamp.now, **values})
    entry.stamp(stamp)
    session.add(entry)
    session.flush()
    values = {"channel": entry.channel, "purpose": entry.purpose, "action": entry.action, "how": entry.how}
    audit.write(session, "consent", stamp.by, stamp.now, f"consent {entry.id}", **values)
    if entry.purpose == "promotional" and latest(session, entry.channel, entry.address) is entry:
        _keep_on_customers(session, entry, stamp)
    return entry


@dataclass(frozen=True)
class ConsentInput:
    """An entry that a person records in the ledger."""

    channel: str
    address: str
    #: given or withdrawn; how, one of NOTED_WAYS; and when (None = now).
    action: str
    how: str
    happened_on: datetime | None = None
    #: The words shown or said, their language, and where the evidence is.
    words: str = ""
    language: str | None = None
    evidence: str | None = None
    purpose: str = "promotional"
    #: Given only for one transaction: it lapses when that is finished.
    is_for_transaction: bool = False
    #: Whether the person acted on their own initiative, without being asked.
    is_unasked: bool = False
    customer_id: int | None = None
    lead_id: int | None = None


def record_input(session: Session, noted: ConsentInput, stamp: Stamp) -> Consent:
    """Add what a person was told outside the CRM. Raises RuleBroken."""
    happened_on = noted.happened_on or stamp.now
    rules = business_settings.values_of(session, "consent_transaction_days", "consent_ask_again_days")
    _refuse_incomplete(noted, happened_on, stamp.now)
    if noted.action == "given" and not noted.is_unasked:
        free_on = asked_again_on(session, noted.channel, noted.address, rules["consent_ask_again_days"])
        if free_on is not None and happened_on < free_on:
            text = (
                "This person has opted out and may not be asked again until %(day)s. "
                "If they came to you by themselves, say so."
            )
            raise RuleBroken(translatable(text, day=f"{free_on:%d %b %Y}"), "is_unasked")
    lasts = timedelta(days=rules["consent_transaction_days"])
    ends_on = happened_on + lasts if noted.is_for_transaction and noted.action == "given" else None
    values = {name: getattr(noted, name) for name in _COPIED} | {"happened_on": happened_on, "ends_on": ends_on}
    return record(session, values | {"words": noted.words.strip() or None}, stamp)


_COPIED = ("channel", "address", "action", "how", "language", "evidence", "purpose", "customer_id", "lead_id")


def _refuse_incomplete(noted: ConsentInput, happened_on: datetime, now: datetime) -> None:
    if noted.purpose not in PURPOSES:
        raise RuleBroken("Please say whether it is about promotional or service messages.", "purpose")
    if not noted.address:
        raise RuleBroken("Please enter the number or address that it is about.", "address")
    if noted.how not in NOTED_WAYS:
        raise RuleBroken("Please say how the person told you.", "how")
    if happened_on > now or happened_on.year < 2000:
        raise RuleBroken("Please enter when the person said so; it can't be in the future.", "happened_on")
    if noted.action == "given" and not noted.words.strip():
        raise RuleBroken("Please enter the words that were shown or read out: they say what was agreed to.", "words")


def asked_again_on(session: Session, channel: str, address: str, days: int) -> datetime | None:
    """When the person may be asked for consent again, UTC; None = now."""
    newest = latest(session, channel, address)
    return newest.happened_on + timedelta(days=days) if newest is not None and newest.action == "withdrawn" else None


def refuse_change(session: Session, consents: Rows) -> None:
    """Effect before a flush: entries can't be changed or deleted, not even by admins. Raises RuleBroken."""
    if consents.deleted or any(session.is_modified(row) for row in consents.changed):
        raise RuleBroken(APPEND_ONLY)


def refuse_bulk(state: ORMExecuteState) -> None:
    """Session hook: no UPDATE or DELETE of the ledger. Raises RuleBroken."""
    if state.is_update or state.is_delete:
        table: Any = getattr(state.statement, "table", None)  # a copy with annotations
        if getattr(table, "name", "") == Consent.__tablename__:
            raise RuleBroken(APPEND_ONLY)


def _keep_on_customers(session: Session, entry: Consent, stamp: Stamp) -> None:
    """Update the opt-outs of customers with this address to match the ledger."""
    column = getattr(Customer, OPT_OUTS[entry.channel])
    wants_none = entry.action == "withdrawn"
    for way in _addresses(entry.channel, entry.address):
        for customer in session.scalars(select(Customer).where(way, column.is_not(wants_none))):
            setattr(customer, column.key, wants_none)
            customer.stamp(stamp)
    session.flush()


# --- permission to send


@dataclass(frozen=True)
class MessageAddress:
    """The attributes of a message that `refusal` reads, for another address than its recipient's: a copy."""

    channel: str
    peer: str
    purpose: str
    customer_id: int | None = None
    lead_id: int | None = None
    ticket_id: int | None = None


def refusal(session: Session, message: Any, now: datetime) -> str | None:
    """Why a promotional message must not be sent, as a sentence; None = it may. Service messages always may.

    The outbox checks again before sending, because the customer may have opted out meanwhile. `message` has channel,
    peer, purpose, customer_id, lead_id and ticket_id.
    """
    if message.purpose == "service":
        return None
    newest = latest(session, message.channel, message.peer)
    if (newest is not None and newest.action == "withdrawn") or has_opted_out(session, message):
        return UNWANTED
    if newest is not None and (newest.ends_on is None or newest.ends_on > now):
        return None
    rules = business_settings.values_of(session, "dnd_valid_days", "promotional_needs_consent")
    if message.channel != "email" and is_blocked(session, message.peer, now, rules["dnd_valid_days"]):
        return ON_DND
    return NO_CONSENT if rules["promotional_needs_consent"] else None


def refusals(
    session: Session, channel: str, addresses: Mapping[str, int | None], now: datetime
) -> dict[str, tuple[str, str]]:
    """The addresses to which nothing promotional may be sent. Each address comes with its known customer.

    Address -> (opted_out, dnd or no_consent; the sentence). Same result as `refusal`, except for tagged email
    addresses.
    """
    newest = _latest_of(session, channel, addresses)
    rules = business_settings.values_of(session, "dnd_valid_days", "promotional_needs_consent")
    out = _opted_out_of(session, channel, addresses)
    blocked = _blocked_of(session, addresses, now, rules["dnd_valid_days"]) if channel != "email" else set()
    made: dict[str, tuple[str, str]] = {}
    for address in addresses:
        action, ends_on = newest.get(address, ("", None))
        if action == "withdrawn" or address in out:
            made[address] = ("opted_out", UNWANTED)
        elif action == "given" and (ends_on is None or ends_on > now):
            continue
        elif address in blocked:
            made[address] = ("dnd", ON_DND)
        elif rules["promotional_needs_consent"]:
            made[address] = ("no_consent", NO_CONSENT)
    return made


def _latest_of(session: Session, channel: str, addresses: Iterable[str]) -> dict[str, tuple[str, datetime | None]]:
    named = address_hashes.address_by_name(session, addresses)
    mine = (Consent.address.in_(list(named)), Consent.channel == channel, Consent.purpose == "promotional")
    columns = (Consent.address, Consent.action, Consent.ends_on)
    query = select(*columns).where(*mine).order_by(Consent.happened_on, Consent.id)
    return {named[row.address]: (row.action, row.ends_on) for row in session.execute(query)}


def _opted_out_of(session: Session, channel: str, addresses: Mapping[str, int | None]) -> set[str]:
    opted_out: Any = getattr(Customer, OPT_OUTS[channel])
    columns = [Customer.email] if channel == "email" else [Customer.mobile_e164, Customer.alternative_e164]
    found: set[str] = set()
    for column in columns:
        query = select(column).where(column.in_(list(addresses)), opted_out.is_(True))
        found |= {str(each).lower() for each in session.scalars(query)}
    ids = {key for key in addresses.values() if key is not None}
    out = set(session.scalars(select(Customer.id).where(Customer.id.in_(ids), opted_out.is_(True)))) if ids else set()
    return found | {address for address, key in addresses.items() if key in out}


def _blocked_of(session: Session, numbers: Iterable[str], now: datetime, days: int) -> set[str]:
    named = address_hashes.address_by_name(session, numbers)
    mine = (DoNotDisturb.number.in_(list(named)), DoNotDisturb.preference != "none")
    return {named[each] for each in session.scalars(select(DoNotDisturb.number).where(*mine, _holds(now, days)))}


def _holds(now: datetime, days: int) -> Any:
    return DoNotDisturb.checked_on > now - timedelta(days=days)


def latest(session: Session, channel: str, address: str, purpose: str = "promotional") -> Consent | None:
    """What the person with this address said last, whatever was entered after it."""
    names = address_hashes.known_as(session, address)
    mine = (Consent.address.in_(names), Consent.channel == channel, Consent.purpose == purpose)
    newest_first = (Consent.happened_on.desc(), Consent.id.desc())
    return session.scalars(select(Consent).where(*mine).order_by(*newest_first).limit(1)).first()


def is_blocked(session: Session, number: str, now: datetime, days: int) -> bool:
    """Whether a do-not-disturb list checked within so many days blocks the number."""
    names = address_hashes.known_as(session, number)
    mine = (DoNotDisturb.number.in_(names), DoNotDisturb.preference != "none")
    return session.execute(select(DoNotDisturb.id).where(*mine, _holds(now, days))).first() is not None


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
    # One indexed SELECT per case: no index serves an OR of them all.
    queries = [select(Customer.id).where(way, opted_out.is_(True)) for way in ways]
    return session.execute(union(*queries).limit(1)).first() is not None


def _addresses(channel: str, address: str) -> Iterable[Any]:
    """Conditions for the customers with this number or address."""
    if channel == "email":
        return [Customer.email == address, *_same_mailbox(address)]
    return [column == address for column in (Customer.mobile_e164, Customer.alternative_e164)]


def _same_mailbox(address: str) -> list[Any]:
    """Conditions for addresses of the same mailbox: name+anything@domain is name@domain."""
    name, _at, domain = address.rpartition("@")
    name = name.partition("+")[0]
    if not name:
        return []
    tagged = Customer.email.like(f"{_escaped(name)}+%@{_escaped(domain)}", escape="!")
    return [Customer.email == f"{name}@{domain}", tagged]


def _escaped(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)
