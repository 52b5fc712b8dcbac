"""Leads and customers with a number or address of somebody who is erased: the same person may be noted twice.

Before the confirmation they can be merged. Afterwards they stay, also those that came in since, and the page of the
request names them, so that people can decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.domain.customers import Customer
from app.domain.erasure.erasures import DataErasure
from app.domain.leads import Lead

#: Records of each kind that are looked for.
MOST = 50


@dataclass(frozen=True)
class SameContact:
    """A lead or customer with the same number or address."""

    number: str
    model: type[Any]
    #: When it was entered, UTC.
    created_on: datetime


def find(
    session: Session, addresses: Iterable[str], erased: Mapping[type[Any], Collection[int]]
) -> dict[str, SameContact]:
    """Number -> other leads and customers that have one of these numbers (E.164) or email addresses.

    `erased`: kind -> ids that are left out. The access rules of the session apply; at most MOST of each kind.
    """
    wanted = sorted(set(addresses))
    found: dict[str, SameContact] = {}
    for model in (Lead, Customer) if wanted else ():
        others = model.id.not_in(list(erased[model]))
        for column in (model.mobile_e164, model.alternative_e164, model.email):
            found |= _selected(session, model, column.in_(wanted), others)
    return _most_of_each(found)


def of_numbers(session: Session, numbers: Iterable[str]) -> dict[str, SameContact]:
    """The same of records with these numbers that exist, and weren't erased for a request of their own.

    The access rules of the session apply.
    """
    wanted = sorted(set(numbers))
    found: dict[str, SameContact] = {}
    for model in (Lead, Customer) if wanted else ():
        own = select(DataErasure.id).where(DataErasure.number == model.number).exists()
        found |= _selected(session, model, model.number.in_(wanted), ~own)
    return _most_of_each(found)


def visible(session: Session, found: Mapping[str, SameContact]) -> set[str]:
    """Those of these numbers whose records are seen by whom the session acts for."""
    seen: set[str] = set()
    for model in (Lead, Customer):
        if mine := [number for number, each in found.items() if each.model is model]:
            seen |= set(session.scalars(select(model.number).where(model.number.in_(mine))))
    return seen


def _selected(session: Session, model: Any, *rules: ColumnElement[bool]) -> dict[str, SameContact]:
    query = select(model.number, model.created_on).where(*rules).order_by(model.id).limit(MOST)
    return {number: SameContact(number, model, created_on) for number, created_on in session.execute(query)}


def _most_of_each(found: dict[str, SameContact]) -> dict[str, SameContact]:
    made: dict[str, SameContact] = {}
    for model in (Lead, Customer):
        mine = sorted(number for number, each in found.items() if each.model is model)
        made |= {number: found[number] for number in mine[:MOST]}
    return made
