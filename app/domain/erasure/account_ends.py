"""The last day of a customer's accounts, from which their data is kept for some years: which days it may be."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, translatable
from app.domain.customers import Customer, CustomerAccount
from app.domain.leads import Lead


def refuse_implausible(session: Session, table: str, key: int, ended_on: date | None, today: date) -> None:
    """Raise RuleBroken for a day in the future, or from before there was a customer or an account.

    A day that is too early would end the duty to keep their data at once. `table`, `key`: the customer or lead.
    """
    first = min(_first_day(session, table, key) or today, today)
    if ended_on is not None and not first <= ended_on <= today:
        text = translatable(
            "The last day of the accounts has to be between %(first)s, when the customer or their first account was "
            "noted or opened, and today. Please correct it, or leave it empty.",
            first=first.isoformat(),
        )
        raise RuleBroken(text, "accounts_ended_on")


def _first_day(session: Session, table: str, key: int) -> date | None:
    """The day, in UTC, on which the customer was noted or their first account was opened, whichever came first."""
    record: Any = (Customer if table == "customer" else Lead).__table__
    accounts = CustomerAccount.__table__.c
    opened = select(func.min(accounts.opened_on), func.min(accounts.activated_on)).where(accounts.customer_id == key)
    found = [session.scalars(select(record.c.created_on).where(record.c.id == key)).first()]
    found += session.execute(opened).one() if table == "customer" else ()
    return min((moment.date() for moment in found if moment is not None), default=None)
