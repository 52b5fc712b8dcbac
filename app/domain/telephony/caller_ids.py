"""The number that a called customer sees: India has number series for promotional and service calls.

Promotional calls come from the 140 series, service calls of SEBI-regulated firms from the 1600 series; ordinary
ten-digit numbers are to be used for neither (TCCCPR as amended on 12 Feb 2025, TRAI's direction of 19 Nov 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.base import RuleBroken, TranslatableText, translatable
from app.domain.leads import Lead
from app.domain.messaging import channel_accounts, consents
from app.domain.messaging.channel_accounts import ChannelAccount
from app.lib import phone, phone_number_series

#: What happens if no caller ID suits the purpose of a call: values of the setting `caller_id_rule`.
RULES = ("warn", "refuse")


@dataclass(frozen=True)
class CallerLine:
    """The account and number from which a call is made."""

    account: ChannelAccount
    #: E.164; "" = the account's own first number, chosen by the provider.
    number: str
    #: Whether the number suits the purpose of the call.
    fits: bool

    @property
    def series(self) -> str:
        """The series of the number: one of phone_number_series.SERIES."""
        return phone_number_series.phone_series(self.number)


def purpose_of(session: Session, peer: str, records: Mapping[str, int | None], now: datetime) -> str:
    """promotional for a lead without consent to calls, service for customers and people who asked for help."""
    lead_id = records.get("lead_id")
    if lead_id is None or records.get("customer_id") or records.get("ticket_id"):
        return "service"
    if session.scalar(select(Lead.customer_id).where(Lead.id == lead_id)):
        return "service"
    latest = consents.latest(session, "voice", peer)
    is_given = latest is not None and latest.action == "given" and (latest.ends_on is None or latest.ends_on > now)
    return "service" if is_given else "promotional"


def choose(session: Session, purpose: str) -> CallerLine:
    """The line for a call of this purpose: a caller ID made for it, else one for any. Raises RuleBroken.

    If none is suitable, the setting decides whether the call is refused or made with a warning.
    """
    accounts = channel_accounts.active(session, "voice", purpose)
    if not accounts:
        text = "No calls can be made from the CRM yet. An admin has to add a phone account in Channels."
        raise RuleBroken(text, "channel")
    for wanted in (purpose, "any"):
        for account in accounts:
            if number := _number_for(account, wanted):
                return CallerLine(account, number, fits=True)
    if business_settings.value_of(session, "caller_id_rule") == "refuse":
        raise RuleBroken(_no_number(purpose), "caller_id")
    return CallerLine(accounts[0], own_number(accounts[0]), fits=False)


def _number_for(account: ChannelAccount, purpose: str) -> str:
    return next((each["number"] for each in account.caller_ids if each["purpose"] == purpose), "")


def own_number(account: ChannelAccount) -> str:
    """The number that the provider uses if none is chosen; "" = unknown."""
    listed: Iterable[str] = (account.settings or {}).get("from", "").split(",")
    plain = [each.strip() for each in listed if not each.strip().startswith("whatsapp:")]
    return next((number for each in plain if (number := phone.normalize(each))), "")


def _no_number(purpose: str) -> TranslatableText:
    if purpose == "promotional":
        return translatable(
            "Promotional calls need a caller ID of the 140 series, and there is none. Ask an admin to add one, "
            "or record the customer's consent first."
        )
    return translatable(
        "Service calls need a caller ID of the 1600 series, and there is none. Ask an admin to add one."
    )


def warning_of(fits: bool, purpose: str) -> TranslatableText | None:
    """A sentence if the chosen number isn't suitable for this purpose, else None."""
    if fits:
        return None
    if purpose == "promotional":
        return translatable("No caller ID for promotional calls (140 series) is set up, so another number is shown.")
    return translatable("No caller ID for service calls (1600 series) is set up, so another number is shown.")
