"""Customers and their brokerage accounts. A person's contact data is stored here once, found by normalized number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Boolean, Date, ForeignKey, Index, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import custom_values, customer_keys, timeline, typed_codes
from app.domain.base import (
    AlreadyExists,
    Code,
    Record,
    RuleBroken,
    Stamp,
    UtcDateTime,
    Versioned,
    translatable,
)
from app.domain.change_context import ChangeContext
from app.domain.custom_values import HasCustomFields
from app.domain.persistence import bulk_statements
from app.domain.persistence.file_references import STORED_FILE
from app.domain.persistence.numbering import next_number
from app.domain.picklists import AccountType
from app.lib import phone
from app.lib.field_encryption import Vault
from app.lib.identity_numbers import is_aadhaar, is_pan
from app.lib.mail_addresses import is_email

KYC_STATUSES = ("Pending", "Verified", "Rejected", "Re-KYC due")
#: Stored encrypted; their values never appear on a timeline.
SECRET_FIELDS = ("pan", "aadhaar")
#: Contact fields, which a lead has only until it is linked to a customer.
CONTACT_FIELDS = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "address", *SECRET_FIELDS)


class Contact:
    """The contact fields of a customer, or of a lead without one."""

    first_name: Mapped[str | None] = mapped_column(String(80))
    last_name: Mapped[str | None] = mapped_column(String(80))
    #: As entered, and in E.164 (null if it isn't a number).
    mobile: Mapped[str | None] = mapped_column(String(40))
    mobile_e164: Mapped[str | None] = mapped_column(String(20), index=True)
    alternative_mobile: Mapped[str | None] = mapped_column(String(40))
    alternative_e164: Mapped[str | None] = mapped_column(String(20), index=True)
    #: Lower case.
    email: Mapped[str | None] = mapped_column(String(254), index=True)
    address: Mapped[str | None] = mapped_column(String(500))
    #: Encrypted; the blind index allows exact matches.
    pan_sealed: Mapped[str | None] = mapped_column(String(200))
    pan_blind: Mapped[str | None] = mapped_column(String(64), index=True)
    aadhaar_sealed: Mapped[str | None] = mapped_column(String(200))
    aadhaar_blind: Mapped[str | None] = mapped_column(String(64), index=True)

    #: Not stored: whether this save has written a proposal of what was entered differently from the customer's data.
    was_proposed = False
    #: Not stored: fingerprints of a new PAN or Aadhaar by keys being replaced, by field.
    older_blinds = MappingProxyType[str, tuple[str, ...]]({})

    @property
    def name(self) -> str:
        """First and last name, or the number, or an empty string."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.mobile or ""

    def set_contact(self, values: dict[str, Any], vault: Vault | None) -> None:
        """Set the contact fields that are in `values`. Raises RuleBroken for an invalid one."""
        for name in ("first_name", "last_name", "address"):
            if name in values:
                setattr(self, name, _clean(values[name]))
        if "email" in values:
            self.email = _email(values["email"])
        if "mobile" in values:
            self.mobile, self.mobile_e164 = _number(values["mobile"], "mobile")
        if "alternative_mobile" in values:
            self.alternative_mobile, self.alternative_e164 = _number(values["alternative_mobile"], "alternative_mobile")
        for name in SECRET_FIELDS:
            if name in values:
                self._set_secret(name, values[name], vault)

    def _set_secret(self, name: str, entered: str | None, vault: Vault | None) -> None:
        text = "".join((entered or "").upper().split()).replace("-", "")
        is_valid = is_pan(text) if name == "pan" else is_aadhaar(text)
        if text and not is_valid:
            raise RuleBroken(_INVALID_SECRET[name], name)
        if text and vault is None:
            raise ValueError("a vault is needed to store " + name)
        setattr(self, name + "_sealed", vault.seal(text) if text and vault else None)
        blinds = vault.blinds(text, name) if text and vault else [None]
        setattr(self, name + "_blind", blinds[0])
        older = tuple(each for each in blinds[1:] if each)
        self.older_blinds = MappingProxyType({**self.older_blinds, name: older})


_INVALID_SECRET = {
    "pan": "A PAN has five letters, four digits and one letter, such as ABCDE1234F. Please check it.",
    "aadhaar": "An Aadhaar number has twelve digits and does not start with 0 or 1. Please check it.",
}


class Customer(Contact, HasCustomFields, Versioned, Record):
    """A person who is a customer of the broker."""

    #: What other records show of it: the number, followed by the name.
    __label_columns__ = ("number", "first_name", "last_name")
    __tablename__ = "customer"
    __table_args__ = (
        Index("ix_customer_owner", "owner_id", "id"),
        Index("ix_customer_changed", "changed_on"),
        Index("ix_customer_created", "created_on"),
        Index("ix_customer_rekyc", "rekyc_on", "id"),
        Index("ix_customer_status", "status", "id"),
        Index("ix_customer_first_name", "first_name", "last_name"),
        Index("ix_customer_last_name", "last_name", "first_name"),
        Index("ix_customer_owner_first_name", "owner_id", "first_name"),
        Index("ix_customer_owner_last_name", "owner_id", "last_name"),
    )
    number: Mapped[str] = mapped_column(Code(24), nullable=False, unique=True)
    #: Active or Inactive.
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Active")
    #: Lead, Ticket, Direct or Other.
    source: Mapped[str] = mapped_column(String(16), nullable=False, default="Direct")
    #: Client id by which this customer refers others, and the one by which they were referred.
    referral_code: Mapped[str | None] = mapped_column(Code(40), index=True)
    referred_by: Mapped[str | None] = mapped_column(Code(40), index=True)
    kyc_status: Mapped[str] = mapped_column(String(16), nullable=False, default="Pending")
    #: When the KYC has to be renewed.
    rekyc_on: Mapped[date | None] = mapped_column(Date)
    #: Their picture, a square, in the file store; null = initials.
    picture: Mapped[str | None] = mapped_column(String(64), index=True, info=STORED_FILE)
    #: Opt-outs per channel.
    no_calls: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_whatsapp: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_sms: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_email: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Who is responsible for this customer.
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    accounts: Mapped[list[CustomerAccount]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class CustomerAccount(Record):
    """A brokerage account of a customer."""

    __tablename__ = "customer_account"
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, index=True)
    #: The broker's client code in upper case, unique in the database.
    client_id: Mapped[str] = mapped_column(Code(40), nullable=False, unique=True)
    account_type_id: Mapped[int | None] = mapped_column(ForeignKey("account_type.id"))
    opened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    activated_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The lead that opened it.
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"), index=True)
    customer: Mapped[Customer] = relationship(back_populates="accounts")
    account_type: Mapped[AccountType | None] = relationship()


def create(session: Session, values: dict[str, Any], context: ChangeContext) -> Customer:
    """Create a customer. Raises RuleBroken without a name, AlreadyExists when another one has a number or identity."""
    customer = build(values, context)
    with refusing_duplicates(session, context):
        insert(session, customer, context)
    timeline.write(session, customer, "system", context, text="Customer created")
    return customer


def build(values: dict[str, Any], context: ChangeContext) -> Customer:
    """The customer with these values, not yet in the session. Raises RuleBroken without a name."""
    customer = Customer(version=1)
    _set_checked_contact(customer, values, context)
    _set_fields(customer, values)
    customer.owner_id = values.get("owner_id", context.by)
    return customer


def insert(session: Session, customer: Customer, stamp: Stamp) -> None:
    """Insert a new customer as the only holder of its numbers and identities.

    All customers are created here, so the database decides about duplicates even if others are created at the same
    time. Raises customer_keys.KeyTaken; then roll back the transaction, or the caller's savepoint.
    """
    customer.number = next_number(session, "CUST", stamp.now.year)
    customer.stamp(stamp)
    session.add(customer)
    session.flush()
    customer_keys.assign_keys(session, customer)


@contextmanager
def refusing_duplicates(session: Session, context: ChangeContext) -> Iterator[None]:
    """Inside, refuse a value that belongs to another customer by a sentence, which names the customer if visible."""
    try:
        yield
    except customer_keys.KeyTaken as taken:
        raise duplicate_refusal(session, taken, context) from taken


def duplicate_refusal(session: Session, taken: customer_keys.KeyTaken, context: ChangeContext) -> AlreadyExists:
    """The refusal of a number or identity that another customer has."""
    with session.no_autoflush:
        other = session.get(Customer, taken.customer_id)
    if other is not None and context.rights.may_find(session, other, taken.field):
        return AlreadyExists(translatable(_TAKEN_BY[taken.field], number=other.number), taken.field)
    return AlreadyExists(_TAKEN[taken.field], taken.field)


_TAKEN = {
    "mobile": "Another customer already has this mobile number. Ask a manager who looks after them.",
    "alternative_mobile": "Another customer already has this mobile number. Ask a manager who looks after them.",
    "pan": "Another customer already has this PAN. Ask a manager who looks after them.",
    "aadhaar": "Another customer already has this Aadhaar number. Ask a manager who looks after them.",
}
_TAKEN_BY = {
    "mobile": "Customer %(number)s already has this mobile number. Open that customer instead.",
    "alternative_mobile": "Customer %(number)s already has this mobile number. Open that customer instead.",
    "pan": "Customer %(number)s already has this PAN. Open that customer instead.",
    "aadhaar": "Customer %(number)s already has this Aadhaar number. Open that customer instead.",
}


def change(session: Session, customer: Customer, values: dict[str, Any], context: ChangeContext) -> None:
    """Change a customer and write to the timeline what changed (PAN and Aadhaar without their values)."""
    before = {name: getattr(customer, name, None) for name in (*CONTACT_FIELDS, *_FIELDS, "custom") if name in values}
    held = customer_keys.values_of(customer)
    with session.no_autoflush, refusing_duplicates(session, context):
        _set_checked_contact(customer, values, context)
        customer_keys.assign_keys(session, customer, held)
    _set_fields(customer, values)
    customer.stamp(context)
    changes = timeline.field_changes(customer, before)
    changes += [[name, None, None] for name in SECRET_FIELDS if name in values]
    if changes:
        timeline.write(session, customer, "field_change", context, changes=changes)


def _set_checked_contact(customer: Customer, values: dict[str, Any], context: ChangeContext) -> None:
    customer.set_contact(values, context.vault)
    if not customer.name:
        raise RuleBroken("Please enter a name or a mobile number for the customer.", "first_name")


#: Fields that are stored as given, apart from the contact fields.
_FIELDS = (
    "status",
    "source",
    "referral_code",
    "referred_by",
    "kyc_status",
    "rekyc_on",
    "no_calls",
    "no_whatsapp",
    "no_sms",
    "no_email",
    "owner_id",
)


def _set_fields(customer: Customer, values: dict[str, Any]) -> None:
    typed_codes.refuse_ambiguous(customer, values)
    for name in _FIELDS:
        if name in values and not (name == "owner_id" and values[name] is None):
            setattr(customer, name, values[name])
    custom_values.set_values(customer, values)


_HAS_MOBILE = (
    "SELECT id FROM customer WHERE mobile_e164 = %(e164)s "
    "UNION ALL SELECT id FROM customer WHERE alternative_e164 = %(e164)s LIMIT 1"
)


def with_mobile(session: Session, e164: str | None) -> list[Customer]:
    """The customers with this number, as main number or alternative one; the holder of the main number first."""
    if not e164:
        return []
    if not bulk_statements.read_rows(session, _HAS_MOBILE, {"e164": e164}):
        return []  # as with most numbers
    query = select(Customer).where(or_(Customer.mobile_e164 == e164, Customer.alternative_e164 == e164)).limit(5)
    return sorted(session.scalars(query), key=lambda customer: (customer.mobile_e164 != e164, customer.id))


def free_numbers(session: Session, typed: Iterable[str]) -> frozenset[str]:
    """Those of the numbers (as E.164) that no customer has; repeated ones are left out."""
    seen: dict[str, int] = {}
    for each in typed:
        e164 = phone.normalize(each)
        if e164 is not None:
            seen[e164] = seen.get(e164, 0) + 1
    wanted = [e164 for e164, count in seen.items() if count == 1]
    taken: set[str | None] = set()
    for column in (Customer.mobile_e164, Customer.alternative_e164):
        taken |= set(session.scalars(select(column).where(column.in_(wanted)))) if wanted else set()
    return frozenset(wanted) - taken


def find_by_mobile(session: Session, e164: str | None) -> Customer | None:
    """The customer with this number, preferably as main number, else as alternative one; None if there is none."""
    found = with_mobile(session, e164)
    return found[0] if found else None


def open_account(session: Session, customer: Customer, lead: Any, stamp: Stamp) -> CustomerAccount:
    """Find or create the account of the lead's client id. Raises AlreadyExists if it is another customer's."""
    code = (lead.client_id or "").strip().upper()
    account = session.scalars(select(CustomerAccount).where(CustomerAccount.client_id == code)).first()
    if account is not None and account.customer_id != customer.id:
        raise client_id_conflict(code)
    if account is None:
        account = CustomerAccount(client_id=code, customer_id=customer.id, account_type_id=lead.account_type_id)
        account.lead_id, account.opened_on = lead.id, stamp.now
        account.stamp(stamp)
        session.add(account)
    customer.referral_code = customer.referral_code or code
    return account


def client_id_conflict(code: str) -> AlreadyExists:
    """The refusal of a client id that belongs to another customer."""
    text = translatable("The client ID %(code)s already belongs to another customer. Please check it.", code=code)
    return AlreadyExists(text, "client_id")


def _clean(text: Any) -> str | None:
    return " ".join(str(text).split()) or None if text is not None else None


def _email(text: str | None) -> str | None:
    email = (text or "").strip().lower()
    if email and not is_email(email):
        raise RuleBroken("This isn't a valid email address. It should look like name@example.com.", "email")
    return email or None


def _number(entered: str | None, field: str) -> tuple[str | None, str | None]:
    """The number as entered, and in E.164; (None, None) if empty."""
    text = (entered or "").strip()
    if not text:
        return None, None
    if phone.has_several(text):
        raise RuleBroken("Please enter one number in each field; there is another field for a second one.", field)
    e164 = phone.normalize(text)
    if e164 is None or (e164.startswith("+91") and len(e164) != 13):
        raise RuleBroken(
            "This isn't a valid phone number. An Indian mobile number has ten digits, such as 98200 12345.", field
        )
    if phone.has_extension(text):
        raise RuleBroken("Please enter the number without its extension, and put the extension into a note.", field)
    return text, e164


def refuse_self_referral(session: Session, customer: Customer | None, referral: str | None) -> None:
    """Raise RuleBroken if the referral code of a lead is the client id of its own customer."""
    if customer is None or not referral:
        return
    own = select(CustomerAccount.id).where(
        CustomerAccount.customer_id == customer.id, CustomerAccount.client_id == referral
    )
    if session.execute(own.limit(1)).first():
        raise RuleBroken("A customer can't refer themselves. Please enter another referral code.", "referral")
