"""Numbers and identities that only one customer may have: phone numbers, PAN, Aadhaar.

The database decides: the row of a value has a unique key, so if several people create the same customer at once, one
wins. Customers that shared a value before this table existed keep it; the oldest of them is its holder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    ForeignKey,
    Integer,
    String,
    UniqueConstraint,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

#: Column of a customer -> (kind of the value, field of a form). Main and alternative numbers are one kind.
KEYED = {
    "mobile_e164": ("mobile", "mobile"),
    "alternative_e164": ("mobile", "alternative_mobile"),
    "pan_blind": ("pan", "pan"),
    "aadhaar_blind": ("aadhaar", "aadhaar"),
}


class CustomerKey(Model):  # type: ignore[misc]
    """A value that only one customer may have."""

    __tablename__ = "customer_key"
    __table_args__ = (UniqueConstraint("kind", "value", name="uq_customer_key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: mobile, pan or aadhaar.
    kind: Mapped[str] = mapped_column(String(8), nullable=False)
    #: A number in E.164, or a blind index.
    value: Mapped[str] = mapped_column(String(64), nullable=False)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), nullable=False, index=True)


class KeyTaken(Exception):
    """Another customer has the value of this field."""

    def __init__(self, field: str, customer_id: int) -> None:
        super().__init__(field)
        self.field, self.customer_id = field, customer_id


#: (kind, value) -> form field.
Values = dict[tuple[str, str], str]


def values_of(customer: Any) -> Values:
    """All values that no other customer may have."""
    found: Values = {}
    for column, (kind, field) in KEYED.items():
        if value := getattr(customer, column):
            found.setdefault((kind, value), field)
        # While the field key is being replaced, others may still hold the value under its older fingerprint.
        found |= {(kind, value): field for value in customer.older_blinds.get(kind, ())}
    return found


def assign_keys(session: Session, customer: Any, before: Values | None = None) -> None:
    """Make a stored customer the holder of its values. Raises KeyTaken for a value of another customer.

    `before`: `values_of` before a change: only new values are claimed, and removed ones are released. After KeyTaken,
    roll back the transaction, or the savepoint in which the customer was inserted.
    """
    values = values_of(customer)
    new = {key: field for key, field in values.items() if key not in (before or {})}
    if new:
        _claim(session, customer.id, new)
    _give_up(session, customer.id, [key for key in before or {} if key not in values])


def release(session: Session, customer: Any) -> None:
    """Release all values of a customer who is about to be deleted."""
    _give_up(session, customer.id, list(values_of(customer)))


def holder(session: Session, kind: str, value: str) -> int | None:
    """The id of the customer who has the value, or None."""
    return _holder(session, kind, value)


def claim_keys(session: Session, customer_id: int, new: Values) -> None:
    """Make a customer the holder of values without a holder. Raises KeyTaken."""
    _claim(session, customer_id, new)


def release_values(session: Session, customer_id: int, gone: list[tuple[str, str]]) -> None:
    """Release these values, which a customer no longer has."""
    _give_up(session, customer_id, gone)


def _claim(session: Session, customer_id: int, new: Values) -> None:
    """Insert the rows of these values; waits for other transactions that have just inserted one of them."""
    rows = [{"kind": kind, "value": value, "customer_id": customer_id} for kind, value in sorted(new)]
    try:
        session.execute(insert(CustomerKey.__table__).values(rows))  # one statement: all or none
    except IntegrityError as error:
        for kind, value in sorted(new):
            winner = _holder(session, kind, value)
            if winner not in (None, customer_id):
                raise KeyTaken(new[kind, value], int(winner or 0)) from error
        raise


def _give_up(session: Session, customer_id: int, gone: list[tuple[str, str]]) -> None:
    """Delete the rows of these values, or transfer them to a customer who has shared one since before the table."""
    customer = Model.metadata.tables["customer"].c
    for kind, value in gone:
        own = (CustomerKey.kind == kind, CustomerKey.value == value, CustomerKey.customer_id == customer_id)
        sharing = [
            select(customer.id).where(customer[name] == value, customer.id != customer_id)
            for name, (each, _field) in KEYED.items()
            if each == kind
        ]
        heir = session.execute(sharing[0].union(*sharing[1:]).limit(1)).scalar()
        step = update(CustomerKey).values(customer_id=heir) if heir is not None else delete(CustomerKey)
        session.execute(step.where(*own), execution_options={"synchronize_session": False})


def _holder(session: Session, kind: str, value: str) -> int | None:
    """The id of the customer who has the value, or None."""
    own = (CustomerKey.kind == kind, CustomerKey.value == value)
    return session.execute(select(CustomerKey.customer_id).where(*own)).scalar()


def assign_bulk(session: Session) -> None:
    """Make customers that were inserted in bulk the holders of their values; of several, the oldest."""
    customer = Model.metadata.tables["customer"].c
    for name, (kind, _field) in KEYED.items():
        value = customer[name]
        held = exists().where(CustomerKey.kind == kind, CustomerKey.value == value)
        new = select(literal(kind), value, func.min(customer.id)).where(value.is_not(None), ~held).group_by(value)
        session.execute(insert(CustomerKey).from_select(["kind", "value", "customer_id"], new))


@dataclass(frozen=True)
class SharedKey:
    """A customer who shares a value with its holder."""

    field: str
    number: str
    holder: str


def find_duplicates(session: Session) -> Iterator[SharedKey]:
    """Customers whose number, PAN or Aadhaar another customer holds, by their record numbers."""
    table = Model.metadata.tables["customer"]
    one, other = table.alias("one"), table.alias("other")
    for name, (kind, field) in KEYED.items():
        shares = (CustomerKey.kind == kind) & (CustomerKey.value == one.c[name]) & (CustomerKey.customer_id != one.c.id)
        query = select(one.c.number, other.c.number).join(CustomerKey, shares)
        query = query.join(other, other.c.id == CustomerKey.customer_id).order_by(one.c.id)
        for number, holding in session.execute(query):
            yield SharedKey(field, number, holding)
