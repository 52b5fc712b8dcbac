"""Leads and customers with a number or address of somebody who is to be erased: the same person may be noted twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.customers import Customer
from app.domain.leads import Lead

#: Records of each kind that are named.
MOST = 10


def find(
    session: Session, addresses: Iterable[str], erased: Mapping[type[Any], Collection[int]]
) -> dict[str, type[Any]]:
    """Number -> kind of other leads and customers that have one of these numbers (E.164) or email addresses.

    `erased`: kind -> ids that are left out. The access rules of the session apply; at most MOST of each kind.
    """
    wanted = sorted(set(addresses))
    found: dict[str, type[Any]] = {}
    for model in (Lead, Customer) if wanted else ():
        numbers: set[str] = set()
        for column in (model.mobile_e164, model.alternative_e164, model.email):
            query = select(model.number).where(column.in_(wanted), model.id.not_in(list(erased[model])))
            numbers |= set(session.scalars(query.order_by(model.id).limit(MOST)))
        found |= dict.fromkeys(sorted(numbers)[:MOST], model)
    return found
