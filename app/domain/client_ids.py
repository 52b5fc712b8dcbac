"""Client ids: noted on a lead before its account is open, corrected afterwards, and never two people's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, union_all
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.customers import CustomerAccount, client_id_conflict


def set_client_id(session: Session, lead: Any, typed: str | None, by: int | None, now: datetime) -> None:
    """Note the client id on the lead; the account that the lead opened follows a correction.

    Raises AlreadyExists for one that is another customer's, RuleBroken for none where the account is open.
    """
    code = (typed or "").strip().upper() or None
    if code == lead.client_id:
        return
    if code is not None:
        _refuse_foreign(session, lead, code)
    if lead.opened_on is not None:
        _correct(session, lead, code, by, now)
    lead.client_id = code


def _refuse_foreign(session: Session, lead: Any, code: str) -> None:
    kind, own = type(lead), lead.customer_id or 0
    foreign = or_(kind.customer_id.is_(None), kind.customer_id != own)
    accounts = select(CustomerAccount.id).where(CustomerAccount.client_id == code, CustomerAccount.customer_id != own)
    leads = select(kind.id).where(kind.client_id == code, kind.id != (lead.id or 0), foreign)
    with session.no_autoflush:
        taken = session.execute(union_all(accounts, leads).limit(1)).first()
    if taken:
        raise client_id_conflict(code)


def _correct(session: Session, lead: Any, code: str | None, by: int | None, now: datetime) -> None:
    if code is None:
        raise RuleBroken("The account of this lead is open, so it needs a client ID.", "client_id")
    own = CustomerAccount.customer_id == (lead.customer_id or 0)
    query = select(CustomerAccount).where(own, CustomerAccount.client_id.in_([lead.client_id, code]))
    known = {account.client_id: account for account in session.scalars(query)}
    account = known.get(lead.client_id)
    if account is None or code in known:
        return  # this lead's account stands under the right code already
    account.client_id = code
    account.stamp(by, now)
    if lead.customer is not None and lead.customer.referral_code == lead.client_id:
        lead.customer.referral_code = code
