"""Customers: the one home of a person's data, found by normalised number."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Boolean, Date, ForeignKey, Index, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import timeline
from app.domain.base import AlreadyExists, Record, RuleBroken, UtcDateTime, Versioned, next_number, translatable
from app.domain.settings import AccountType
from app.lib import phone
from app.lib.identity import is_aadhaar, is_pan
from app.lib.vault import Vault

KYC_STATUSES = ("Pending", "Verified", "Rejected", "Re-KYC due")
#: Contact fields that a lead holds only until it has a customer.
CONTACT_FIELDS = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "address", "pan", "aadhaar")


class Contact:
    """A person's contact fields; a lead has them until it has a customer."""

    first_name: Mapped[str | None] = mapped_column(String(80))
    last_name: Mapped[str | None] = mapped_column(String(80))
    #: As typed, and in E.164 (null when it is no number).
    mobile: Mapped[str | None] = mapped_column(String(40))
    mobile_e164: Mapped[str | None] = mapped_column(String(20), index=True)
    alternative_mobile: Mapped[str | None] = mapped_column(String(40))
    alternative_e164: Mapped[str | None] = mapped_column(String(20), index=True)
    #: Lower case.
    email: Mapped[str | None] = mapped_column(String(254), index=True)
    address: Mapped[str | None] = mapped_column(String(500))
    #: Encrypted; the blind index beside it finds exact matches.
    pan_sealed: Mapped[str | None] = mapped_column(String(200))
    pan_blind: Mapped[str | None] = mapped_column(String(64), index=True)
    aadhaar_sealed: Mapped[str | None] = mapped_column(String(200))
    aadhaar_blind: Mapped[str | None] = mapped_column(String(64), index=True)

    @property
    def name(self) -> str:
        """First and last name, or the number, or an empty string."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.mobile or ""

    def take(self, values: dict[str, Any], vault: Vault | None) -> None:
        """Write contact fields that are in `values`; raises RuleBroken for what cannot be right."""
        for plain in ("first_name", "last_name", "address"):
            if plain in values:
                setattr(self, plain, _clean(values[plain]))
        if "email" in values:
            self.email = _email(values["email"])
        if "mobile" in values:
            self.mobile, self.mobile_e164 = _number(values["mobile"], "mobile")
        if "alternative_mobile" in values:
            self.alternative_mobile, self.alternative_e164 = _number(values["alternative_mobile"], "alternative_mobile")
        for secret in ("pan", "aadhaar"):
            if secret in values:
                self._seal(secret, values[secret], vault)

    def _seal(self, which: str, typed: str | None, vault: Vault | None) -> None:
        text = "".join((typed or "").upper().split()).replace("-", "")
        sound = is_pan(text) if which == "pan" else is_aadhaar(text)
        if text and not sound:
            raise RuleBroken(_WRONG[which], which)
        if text and vault is None:
            raise ValueError("a vault is needed to keep " + which)
        setattr(self, which + "_sealed", vault.seal(text) if text and vault else None)
        setattr(self, which + "_blind", vault.blind(text, which) if text and vault else None)


_WRONG = {
    "pan": "A PAN has five letters, four digits and one letter, such as ABCDE1234F. Please check it.",
    "aadhaar": "An Aadhaar number has twelve digits and does not start with 0 or 1. Please check it.",
}


class Customer(Contact, Versioned, Record):
    """A person we deal with."""

    #: What other records show of it: the number, and behind it what people call it.
    __label_columns__ = ("number", "first_name", "last_name")
    __tablename__ = "customer"
    __table_args__ = (
        Index("ix_customer_owner", "owner_id", "id"),
        Index("ix_customer_changed", "changed_on"),
        Index("ix_customer_name", "first_name", "last_name"),
    )
    number: Mapped[str] = mapped_column(String(24), nullable=False, unique=True)
    #: Active or Inactive.
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Active")
    #: Lead, Ticket, Direct or Other.
    source: Mapped[str] = mapped_column(String(16), nullable=False, default="Direct")
    #: Client id by which this customer refers others, and who referred him.
    referral_code: Mapped[str | None] = mapped_column(String(40), index=True)
    referred_by: Mapped[str | None] = mapped_column(String(40), index=True)
    kyc_status: Mapped[str] = mapped_column(String(16), nullable=False, default="Pending")
    rekyc_on: Mapped[date | None] = mapped_column(Date)
    #: Do not disturb, per channel.
    no_calls: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_whatsapp: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_sms: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    no_email: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Who answers for this customer.
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    accounts: Mapped[list[CustomerAccount]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class CustomerAccount(Record):
    """One brokerage account."""

    __tablename__ = "customer_account"
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, index=True)
    #: The brokerage's client code, upper case; the database refuses a second one.
    client_id: Mapped[str] = mapped_column(String(40), nullable=False, unique=True)
    account_type_id: Mapped[int | None] = mapped_column(ForeignKey("account_type.id"))
    opened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    activated_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The lead that it came from.
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"), index=True)
    customer: Mapped[Customer] = relationship(back_populates="accounts")
    account_type: Mapped[AccountType | None] = relationship()


def create(session: Session, values: dict[str, Any], by: int | None, now: datetime, vault: Vault | None) -> Customer:
    """Make a customer. Raises RuleBroken when there is no name, or the mobile is another customer's."""
    customer = Customer(version=1)
    customer.take(values, vault)
    if not customer.name:
        raise RuleBroken("Please enter a name or a mobile number for the customer.", "first_name")
    refuse_taken_mobile(session, customer, values)
    _take_rest(customer, values)
    customer.owner_id = values.get("owner_id", by)
    customer.number = next_number(session, "CUST", now.year)
    customer.stamp(by, now)
    session.add(customer)
    session.flush()
    timeline.write(session, customer, "system", by, now, text="Customer created")
    return customer


def change(
    session: Session, customer: Customer, values: dict[str, Any], by: int | None, now: datetime, vault: Vault | None
) -> None:
    """Change a customer; what changed is written to the timeline (PAN and Aadhaar without their values)."""
    before = {name: getattr(customer, name, None) for name in (*CONTACT_FIELDS, *_REST)}
    customer.take(values, vault)
    if not customer.name:
        raise RuleBroken("Please enter a name or a mobile number for the customer.", "first_name")
    refuse_taken_mobile(session, customer, values)
    _take_rest(customer, values)
    customer.stamp(by, now)
    changes = [[n, _plain(before[n]), _plain(getattr(customer, n, None))] for n in before if n in values]
    changes = [row for row in changes if row[1] != row[2]]
    changes += [[secret, None, None] for secret in ("pan", "aadhaar") if secret in values]
    if changes:
        timeline.write(session, customer, "field_change", by, now, changes=changes)


_REST = (
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


def _take_rest(customer: Customer, values: dict[str, Any]) -> None:
    for name in _REST:
        if name in values and not (name == "owner_id" and values[name] is None):
            setattr(customer, name, values[name])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def refuse_taken_mobile(session: Session, customer: Customer, values: dict[str, Any]) -> None:
    """Raise RuleBroken when another customer has this mobile as his own."""
    if not values.get("mobile") or customer.mobile_e164 is None:
        return
    query = select(Customer.number).where(Customer.mobile_e164 == customer.mobile_e164)
    with session.no_autoflush:
        other = session.execute(query.where(Customer.id != (customer.id or 0)).limit(1)).scalar()
    if other:
        raise AlreadyExists("Another customer already has this mobile number. Open that customer instead.", "mobile")


def find_by_mobile(session: Session, e164: str | None) -> Customer | None:
    """The customer with this number, main numbers before alternative ones; None if nobody has it."""
    if not e164:
        return None
    query = select(Customer).where(or_(Customer.mobile_e164 == e164, Customer.alternative_e164 == e164)).limit(5)
    found = list(session.scalars(query))
    return min(found, key=lambda c: (c.mobile_e164 != e164, c.id)) if found else None


def open_account(
    session: Session, customer: Customer, client_id: str, lead: Any, by: int | None, now: datetime
) -> CustomerAccount:
    """Find or make the account of this client id. Raises RuleBroken when it belongs to somebody else."""
    code = client_id.strip().upper()
    account = session.scalars(select(CustomerAccount).where(CustomerAccount.client_id == code)).first()
    if account is not None and account.customer_id != customer.id:
        raise client_id_conflict(code)
    if account is None:
        account = CustomerAccount(client_id=code, customer_id=customer.id, account_type_id=lead.account_type_id)
        account.lead_id, account.opened_on = lead.id, now
        account.stamp(by, now)
        session.add(account)
    customer.referral_code = customer.referral_code or code
    return account


def client_id_conflict(code: str) -> AlreadyExists:
    """The refusal of a client id that is another customer's."""
    text = translatable("The client ID %(code)s already belongs to another customer. Please check it.", code=code)
    return AlreadyExists(text, "client_id")


def _clean(text: Any) -> str | None:
    return " ".join(str(text).split()) or None if text is not None else None


def _email(text: str | None) -> str | None:
    email = (text or "").strip().lower()
    local, _, domain = email.partition("@")
    if email and (
        not local
        or "." not in domain
        or " " in email
        or "@" in domain
        or domain.startswith(".")
        or domain.endswith(".")
        or any(ord(sign) < 33 for sign in email)
    ):
        raise RuleBroken("This isn't a valid email address. It should look like name@example.com.", "email")
    return email or None


def _number(typed: str | None, field: str) -> tuple[str | None, str | None]:
    text = (typed or "").strip()
    if not text:
        return None, None
    e164 = phone.normal(text)
    if e164 is None or (e164.startswith("+91") and len(e164) != 13):
        raise RuleBroken(
            "This isn't a valid phone number. An Indian mobile number has ten digits, such as 98200 12345.", field
        )
    return text, e164
