"""Client ids of leads: set before the account is open, corrected afterwards, unique per person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select, union_all
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, Stamp, hold_name
from app.domain.customers import CustomerAccount, client_id_conflict, open_account
from app.lib.identity_numbers import is_client_id


def set_client_id(session: Session, lead: Any, entered: str | None, stamp: Stamp) -> None:
    """Set the client id of the lead, and of the account that the lead has opened.

    Raises AlreadyExists when it belongs to another customer, RuleBroken when it is empty but the account is open.
    """
    code = normalize_client_id(entered)
    if code == lead.client_id:
        return
    if code is not None:
        refuse_taken(session, lead, code)
    if lead.opened_on is not None:
        _correct(session, lead, code, stamp)
    lead.client_id = code


def normalize_client_id(entered: str | None) -> str | None:
    """The client id in capitals, or None. Raises RuleBroken for anything but letters A to Z and digits."""
    typed = (entered or "").strip()
    code = typed.upper()
    if code and not (typed.isascii() and is_client_id(code)):  # ß and ı become ASCII in capitals
        raise RuleBroken(
            "A client ID has only letters A to Z and digits, such as E10234. Please check it.", "client_id"
        )
    return code or None


def refuse_taken(session: Session, lead: Any, code: str) -> None:
    """Raise AlreadyExists if the client id belongs to another person.

    Locks it: until the transaction ends, no other one can assign the same client id.
    """
    hold_name(session, f"client id {code}")
    record, own = type(lead), lead.customer_id or 0
    is_other_person = or_(record.customer_id.is_(None), record.customer_id != own)
    accounts = select(CustomerAccount.id).where(CustomerAccount.client_id == code, CustomerAccount.customer_id != own)
    leads = select(record.id).where(record.client_id == code, record.id != (lead.id or 0), is_other_person)
    with session.no_autoflush:
        taken = session.execute(union_all(accounts, leads).limit(1)).first()
    if taken:
        raise client_id_conflict(code)


def _correct(session: Session, lead: Any, code: str | None, stamp: Stamp) -> None:
    if code is None:
        raise RuleBroken("The account of this lead is open, so it needs a client ID.", "client_id")
    own = CustomerAccount.customer_id == (lead.customer_id or 0)
    query = select(CustomerAccount).where(own, CustomerAccount.client_id.in_([lead.client_id, code]))
    known = {account.client_id: account for account in session.scalars(query)}
    account = known.get(lead.client_id)
    if account is None or code in known:
        return  # there is no account to correct, or one has the right code already
    if account.lead_id not in (None, lead.id) and lead.customer is not None:
        lead.client_id = code  # the account of another lead stays unchanged
        open_account(session, lead.customer, lead, stamp)
        return
    account.client_id = code
    account.stamp(stamp)
    if lead.customer is not None and lead.customer.referral_code == lead.client_id:
        lead.customer.referral_code = code
