"""Who was referred by whom, through the client IDs of a customer's accounts, over several generations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.customers import Customer, CustomerAccount
from app.domain.leads import Lead
from app.lib.batches import batched

#: Generations and people in one tree; a larger one says that there are more.
MOST_DEEP, MOST = 8, 300


@dataclass
class ReferredPerson:
    """One person of the tree: a customer, or a lead who isn't one yet."""

    #: customer or lead, and its id.
    kind: str
    id: int
    children: list[ReferredPerson] = field(default_factory=list)


@dataclass
class ReferralTree:
    """Everybody whom a customer has referred, directly or through others."""

    children: list[ReferredPerson] = field(default_factory=list)
    count: int = 0
    #: Whether there are more people than the tree shows.
    is_cut: bool = False


def tree_of(session: Session, customer_id: int) -> ReferralTree:
    """The tree below a customer. Everybody occurs in it once, so a cycle of referrals ends.

    Reads what the session may see: the caller decides for whom.
    """
    tree, seen = ReferralTree(), {("customer", customer_id)}
    level: dict[int, list[ReferredPerson]] = {customer_id: tree.children}
    for _deep in range(MOST_DEEP):
        found = _referred_by(session, level)
        below: dict[int, list[ReferredPerson]] = {}
        for parent, kind, key in found:
            if (kind, key) in seen:
                continue
            if tree.count >= MOST:
                tree.is_cut = True
                return tree
            seen.add((kind, key))
            node = ReferredPerson(kind, key)
            level[parent].append(node)
            tree.count += 1
            if kind == "customer":
                below[key] = node.children
        if not below:
            return tree
        level = below
    tree.is_cut = bool(_referred_by(session, level))
    return tree


def _referred_by(session: Session, parents: Iterable[int]) -> list[tuple[int, str, int]]:
    """(parent, kind, id) of people referred by these customers; a lead with a customer counts as that customer."""
    codes = _codes(session, list(parents))
    if not codes:
        return []
    wanted = sorted(codes)
    leads = session.execute(select(Lead.id, Lead.referral, Lead.customer_id).where(Lead.referral.in_(wanted)))
    found = [
        (codes[str(code)], "lead" if customer is None else "customer", key if customer is None else customer)
        for key, code, customer in leads
    ]
    people = session.execute(select(Customer.id, Customer.referred_by).where(Customer.referred_by.in_(wanted)))
    found += [(codes[str(code)], "customer", key) for key, code in people]
    return sorted(set(found))


def _codes(session: Session, customers: list[int]) -> dict[str, int]:
    """Client id -> its customer, for a limited number of customers at once."""
    found: dict[str, int] = defaultdict(int)
    for some in batched(customers):
        accounts = select(CustomerAccount.client_id, CustomerAccount.customer_id)
        own = select(Customer.referral_code, Customer.id).where(Customer.referral_code.is_not(None))
        for code, key in session.execute(accounts.where(CustomerAccount.customer_id.in_(some))):
            found[code] = key
        for shared, key in session.execute(own.where(Customer.id.in_(some))):
            found.setdefault(str(shared), key)
    return dict(found)
