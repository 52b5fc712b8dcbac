"""The recipients of a campaign: who they are, who is excluded and why, and the message for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import case, func, insert, or_, select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.messaging import consents, message_sending, message_templates, messages
from app.domain.messaging.campaigns import Campaign, CampaignRecipient
from app.domain.messaging.message_sending import OutgoingRequest
from app.domain.messaging.message_templates import MessageTemplate
from app.domain.messaging.messages import Message

#: Recipients filled in, and messages created, per transaction.
FILL_CHUNK, SEND_CHUNK = 250, 20
#: (kind, ids) -> those that the sender sees.
Sees = Callable[[str, list[int]], set[int]]
_SENTENCES: dict[str, str] = {
    "no_number": translatable("There is no phone number."),
    "no_email": translatable("There is no email address."),
    "wrong": translatable("This isn't a number or address to which a message can be sent."),
    "not_yours": translatable("Not one of the leads or customers that you can see."),
    "duplicate": translatable("This person or number is in the list already."),
}


@dataclass
class CampaignCandidate:
    """One item of the source, and its data."""

    address: str = ""
    person: str | None = None
    lead_id: int | None = None
    customer_id: int | None = None
    #: The values of FIELDS, or the columns of the file.
    values: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    reason: str | None = None

    def leave_out(self, code: str, reason: str) -> None:
        """Exclude it for this reason, unless it has one already."""
        if self.code is None:
            self.code, self.reason = code, reason


# --- filling in


@dataclass(frozen=True)
class SenderRights:
    """Whom the sender of a campaign may address."""

    sees: Sees
    #: Whether numbers that belong to no record may be addressed too, as for senders who may send to all.
    is_open: bool = False


def add_recipients(session: Session, campaign: Campaign, rights: SenderRights, now: datetime) -> int:
    """Turn the next items of the source into recipients; the campaign is locked. Returns how many."""
    items = campaign.source[campaign.filled : campaign.filled + FILL_CHUNK]
    if campaign.kind == "numbers":
        found = _numbers(session, campaign, items, rights)
    else:
        found = _records(session, campaign, items, rights.sees)
    _refuse_unwanted(session, campaign, found, now)
    _refuse_repeated(session, campaign, found)
    rows = [_row(campaign, each, now) for each in found]
    if rows:
        session.execute(insert(CampaignRecipient), rows)
    campaign.filled += len(items)
    session.flush()
    return len(items)


def _records(session: Session, campaign: Campaign, ids: list[int], sees: Sees) -> list[CampaignCandidate]:
    """Leads or customers by id, in the order of the list."""
    model: Any = Lead if campaign.kind == "leads" else Customer
    seen = sees(campaign.kind, ids)
    rows = {row.id: row for row in session.scalars(select(model).where(model.id.in_(ids)))}
    owners = _customers_of(session, rows.values()) if model is Lead else rows
    made = []
    for key in ids:
        row = rows.get(key)
        if row is None or key not in seen:
            each = CampaignCandidate()
            each.leave_out("not_yours", _SENTENCES["not_yours"])
        else:
            each = _found(campaign, row, owners.get(row.customer_id) if model is Lead else row)
        made.append(each)
    return made


def _customers_of(session: Session, leads: Iterable[Lead]) -> dict[int | None, Customer]:
    ids = [each.customer_id for each in leads if each.customer_id]
    found = session.scalars(select(Customer).where(Customer.id.in_(ids))) if ids else ()
    return {each.id: each for each in found}


def _found(campaign: Campaign, row: Any, customer: Customer | None) -> CampaignCandidate:
    """A record with its number; a lead with a customer uses the customer's."""
    owner: Any = customer or row
    is_lead = isinstance(row, Lead)
    column = "email" if campaign.channel == "email" else "mobile_e164"
    each = CampaignCandidate(
        address=(getattr(owner, column) or "").lower() if column == "email" else getattr(owner, column) or "",
        person=f"customer {customer.id}" if customer is not None else f"lead {row.id}",
        lead_id=row.id if is_lead else None,
        customer_id=customer.id if customer is not None else None,
        values=values_of(row, owner),
    )
    if not each.address:
        each.leave_out("no_address", _SENTENCES["no_email" if campaign.channel == "email" else "no_number"])
    return each


def values_of(row: Any, owner: Any) -> dict[str, str]:
    """FIELDS of a record, as texts."""
    first, last = owner.first_name or "", owner.last_name or ""
    full = f"{first} {last}".strip()
    code = getattr(row, "client_id", None) or ""
    return {"first_name": first, "last_name": last, "full_name": full, "number": row.number or "", "client_id": code}


def _numbers(session: Session, campaign: Campaign, rows: list[Any], rights: SenderRights) -> list[CampaignCandidate]:
    """Rows of a file. A number is linked to the customer or lead that the person sees.

    Numbers without such a record are excluded unless the person may send to all, in the same words whether or not the
    number belongs to a record of somebody else.
    """
    made = []
    for number, values in rows:
        each = CampaignCandidate(address=messages.clean_peer(campaign.channel, number), values=dict(values))
        if not each.address:
            each.leave_out("no_address", _SENTENCES["wrong"])
        made.append(each)
    known = _owners(session, campaign.channel, [each.address for each in made if each.address], rights.sees)
    for each in made:
        person, lead_id, customer_id = known.get(each.address, (None, None, None))
        each.person, each.lead_id, each.customer_id = person, lead_id, customer_id
        if person is None and not rights.is_open:
            each.leave_out("not_yours", _SENTENCES["not_yours"])
    return made


def _owners(
    session: Session, channel: str, addresses: list[str], sees: Sees
) -> dict[str, tuple[str, int | None, int | None]]:
    """Address -> (person, lead, customer) visible to the person; a customer takes precedence over a lead."""
    made: dict[str, tuple[str, int | None, int | None]] = {}
    names = ("email",) if channel == "email" else ("mobile_e164", "alternative_e164")
    for kind, model in (("leads", Lead), ("customers", Customer)):
        found: list[tuple[str, Any]] = []
        for column in (getattr(model, name) for name in names if hasattr(model, name)):
            query = select(column, model).where(column.in_(addresses))
            found += [(address, row) for address, row in session.execute(query)]
        seen = sees(kind, [row.id for _address, row in found])
        for address, row in found:
            if row.id not in seen:
                continue
            customer_id = row.id if model is Customer else row.customer_id
            person = f"customer {customer_id}" if customer_id else f"lead {row.id}"
            made[address.lower()] = (person, row.id if model is Lead else None, customer_id)
    return made


def _refuse_unwanted(session: Session, campaign: Campaign, candidates: list[CampaignCandidate], now: datetime) -> None:
    """Exclude people who opted out of such messages, and those with empty variables."""
    if campaign.purpose == "promotional":
        able = {each.address: each.customer_id for each in candidates if each.code is None}
        refused = consents.refusals(session, campaign.channel, able, now)
        for each in candidates:
            if each.code is None and each.address in refused:
                each.leave_out(*refused[each.address])
    for each in candidates:
        try:
            each.values = fill_variables(campaign, each.values)
        except RuleBroken as broken:
            each.leave_out("no_value", broken.message)
            each.values = {}


def fill_variables(campaign: Campaign, values: dict[str, str]) -> dict[str, str]:
    """The variables of the text by name. Raises RuleBroken for one without a value."""
    made = {}
    for name, origin in campaign.variables.items():
        place = origin["from"].removeprefix("column:")
        value = origin["text"] if place == "text" else (values.get(place) or "").strip() or origin["text"]
        if not value:
            raise RuleBroken(translatable("There is no value for “%(name)s”.", name=name), "variables")
        made[name] = value[:300]
    return made


def _refuse_repeated(session: Session, campaign: Campaign, candidates: list[CampaignCandidate]) -> None:
    """Exclude people whom the campaign addresses already: the same number, or the same person by another number."""
    able = [each for each in candidates if each.code is None]
    mine = CampaignRecipient.campaign_id == campaign.id
    addresses, persons = [each.address for each in able], [each.person for each in able if each.person]
    query = select(CampaignRecipient.address, CampaignRecipient.person)
    held = or_(CampaignRecipient.address.in_(addresses), CampaignRecipient.person.in_(persons))
    taken = {value for row in session.execute(query.where(mine, held)) for value in row if value} if able else set()
    for each in able:
        if each.address in taken or each.person in taken:
            each.leave_out("duplicate", _SENTENCES["duplicate"])
        else:
            taken |= {each.address} | ({each.person} if each.person else set())


def _row(campaign: Campaign, each: CampaignCandidate, now: datetime) -> dict[str, Any]:
    is_out = each.code is not None
    return {
        "campaign_id": campaign.id,
        "address": None if is_out else each.address,
        "person": None if is_out else each.person,
        "lead_id": each.lead_id,
        "customer_id": each.customer_id,
        "state": "left_out" if is_out else "waiting",
        "code": each.code,
        "reason": str(each.reason)[:300] if each.reason else None,
        "variables": each.values or None,
        "created_on": now,
        "changed_on": now,
    }


# --- sending


def allowance(campaign: Campaign, now: datetime) -> int:
    """The number of messages that its rate allows now; after a pause, at most those of one minute."""
    paced = max(campaign.paced_on or now, now - timedelta(minutes=1))
    return int((now - paced).total_seconds() * campaign.per_minute / 60)


def send_some(session: Session, campaign: Campaign, sees: Sees, now: datetime) -> int:
    """Create the next messages that the rate allows; the campaign is running and locked. Returns how many were handled.

    Each is created in this transaction together with the state of its recipient, so that both are stored or neither.
    """
    most = min(SEND_CHUNK, allowance(campaign, now))
    mine = (CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.state == "waiting")
    rows = list(session.scalars(select(CampaignRecipient).where(*mine).order_by(CampaignRecipient.id).limit(most)))
    template = session.get(MessageTemplate, campaign.template_id) if campaign.template_id else None
    seen = {
        "leads": sees("leads", [row.lead_id for row in rows if row.lead_id]),
        "customers": sees("customers", [row.customer_id for row in rows if row.customer_id]),
    }
    sending = _Sending(campaign, template, seen, now)
    count = sum(_address(session, sending, row) for row in rows)
    step = timedelta(minutes=1) / campaign.per_minute
    campaign.paced_on = max(campaign.paced_on or now, now - timedelta(minutes=1)) + count * step
    session.flush()
    return len(rows)


def has_ended(session: Session, campaign: Campaign) -> bool:
    """Whether no recipient is waiting any more."""
    mine = (CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.state == "waiting")
    return session.execute(select(CampaignRecipient.id).where(*mine).limit(1)).first() is None


@dataclass(frozen=True)
class _Sending:
    """What the messages of one step of a campaign have in common."""

    campaign: Campaign
    template: MessageTemplate | None
    #: "leads" and "customers" -> ids that the sender sees.
    seen: dict[str, set[int]]
    now: datetime


def _address(session: Session, sending: _Sending, row: CampaignRecipient) -> bool:
    """Put the message for one recipient into the outbox; False if they are excluded."""
    row.changed_on = sending.now
    try:
        if not _is_seen(row, sending.seen):
            raise RuleBroken("Not one of the leads or customers that you can see.")
        with session.begin_nested():
            outgoing = _outgoing_request(session, sending.campaign, row, sending.template)
            message = message_sending.send(session, outgoing, Stamp(sending.campaign.sender_id, sending.now))
    except RuleBroken as broken:
        row.state, row.code, row.reason = "left_out", "refused", str(broken.message)[:300]
        return False
    row.state, row.message_id = "addressed", message.id
    return True


def _is_seen(row: CampaignRecipient, seen: dict[str, set[int]]) -> bool:
    """Whether the sender still sees the record; a number without a record has none."""
    if row.lead_id is None and row.customer_id is None:
        return True
    return row.lead_id in seen["leads"] or row.customer_id in seen["customers"]


def _outgoing_request(
    session: Session, campaign: Campaign, row: CampaignRecipient, template: MessageTemplate | None
) -> OutgoingRequest:
    values = row.variables or {}
    lead = session.get(Lead, row.lead_id) if row.lead_id else None
    customer = session.get(Customer, row.customer_id) if row.customer_id else None
    holder = (lead.assignee_id or lead.owner_id) if lead is not None else customer.owner_id if customer else None
    return OutgoingRequest(
        channel=campaign.channel,
        peer=row.address or "",
        body="" if template is not None else text_of(campaign, values),
        account_id=campaign.account_id,
        template=template,
        variables=values if template is not None else {},
        subject=campaign.subject,
        purpose=campaign.purpose,
        cause=f"{messages.CAMPAIGN_CAUSE}{campaign.id}:{row.id}",
        records={"lead_id": row.lead_id, "customer_id": row.customer_id},
        responsible=holder,
    )


def text_of(campaign: Campaign, values: dict[str, str]) -> str:
    """The text with its variables filled in. Raises RuleBroken."""
    return message_templates.render(SimpleNamespace(body=campaign.body), values)


# --- results


#: The state of a recipient on pages: that of the message, if there is one.
SHOWN_STATE: Any = case(
    (CampaignRecipient.state == "addressed", func.coalesce(Message.state, "sent")), else_=CampaignRecipient.state
)


def counts(session: Session, campaign: Campaign) -> list[tuple[str, str | None, int]]:
    """(state, code, how many), current. Codes only for excluded recipients."""
    query = select(SHOWN_STATE, CampaignRecipient.code, func.count()).outerjoin(
        Message, Message.id == CampaignRecipient.message_id
    )
    grouped = query.where(CampaignRecipient.campaign_id == campaign.id).group_by(SHOWN_STATE, CampaignRecipient.code)
    return [tuple(row) for row in session.execute(grouped)]


def sample_recipients(session: Session, campaign: Campaign, maximum: int = 3) -> list[CampaignRecipient]:
    """The first recipients who will get the message, at most `maximum`."""
    mine = (CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.state.in_(("waiting", "addressed")))
    return list(session.scalars(select(CampaignRecipient).where(*mine).order_by(CampaignRecipient.id).limit(maximum)))
