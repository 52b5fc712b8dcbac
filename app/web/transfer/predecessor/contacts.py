"""Customers, and the contact fields of leads and tickets without one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from app.domain import client_ids, customer_keys
from app.domain.base import RuleBroken, TranslatableText, translatable
from app.domain.customer_keys import CustomerKey
from app.domain.persistence import bulk_statements
from app.domain.predecessor_names import PredecessorName
from app.lib import phone
from app.models import Customer, CustomerAccount
from app.web.transfer.predecessor import values
from app.web.transfer.predecessor.import_context import ImportContext, RowDraft

#: Our field -> theirs.
CONTACT = {
    "first_name": "first_name",
    "last_name": "last_name",
    "mobile": "mobile_no",
    "alternative_mobile": "alternative_mobile_no",
    "email": "email",
    "pan": "pan_card_number",
    "aadhaar": "aadhaar_card_number",
}
_ADDRESS = ("address_line_1", "address_line_2", "city", "state", "country", "pincode")
#: Fields that the record has a place for, and meaningless ones.
_TAKEN = {
    *CONTACT.values(),
    *_ADDRESS,
    *(
        "name",
        "owner",
        "creation",
        "modified",
        "modified_by",
        "doctype",
        "docstatus",
        "idx",
        "naming_series",
        "full_name",
    ),
    *("middle_name", "customer_name", "lead_name", "status", "customer_source", "accounts", "referral_code"),
    *(
        "referral_through",
        "referral_count",
        "created_from_lead",
        "created_from_ticket",
        "image",
        "liked_by",
        "comments",
    ),
    *(
        "_user_tags",
        "_comments",
        "_assign",
        "_liked_by",
        "assign",
        "user_tags",
        "_seen",
        "seen",
        "parent",
        "parenttype",
    ),
    *("customer_image", "mobile_no", "alternative_mobile_no", "email_id"),
}
_NO_VALUE = re.compile(r"|0|0[.]0+|no|false|\[\]|\{\}", re.IGNORECASE)
_MOST_REST = 4000


def split_name(given: dict[str, Any], field: str) -> tuple[str, str]:
    """First and last name; a middle name belongs to the first."""
    first = " ".join(filter(None, (values.line_of(given.get(name)) for name in ("first_name", "middle_name"))))
    last = values.line_of(given.get("last_name"))
    if not first and not last:
        first, _blank, last = values.line_of(given.get(field)).partition(" ")
    return first[:80], last.strip()[:80]


def address_of(given: dict[str, Any]) -> str:
    """The parts of an address on one line."""
    return ", ".join(filter(None, (values.line_of(given.get(name)) for name in _ADDRESS)))[:500]


def set_contact(draft: RowDraft, record: Any, wanted: dict[str, str], vault: Any) -> None:
    """Set the contact fields; an invalid number, address or PAN is left out, with a remark."""
    for name, text in wanted.items():
        if not text:
            continue
        try:
            record.set_contact({name: text}, vault)
        except RuleBroken as broken:
            shown = "…" if name in ("pan", "aadhaar") else text[:40]
            draft.warn(translatable("%(name)s (%(value)s): %(why)s", name=name, value=shown, why=broken.message))


def unmapped_text(given: dict[str, Any], taken: Iterable[str]) -> str:
    """Values that the record has no place for, as “Organization: X; Job title: Y”; never PAN or Aadhaar."""
    known, found = _TAKEN | set(taken), []
    for name, value in given.items():
        if name in known or name.startswith("_") or isinstance(value, dict | list):
            continue
        text = values.line_of(value)
        if not _NO_VALUE.fullmatch(text) and not any(part in name for part in ("pan_card", "aadhaar", "password")):
            found.append(f"{name.replace('_', ' ').capitalize()}: {text}")
    return "; ".join(found)[:_MOST_REST]


def write_unmapped(context: ImportContext, draft: RowDraft, taken: Iterable[str]) -> None:
    """Write values without a place to the timeline, so that nothing is silently lost."""
    if text := unmapped_text(draft.row.values, taken):
        context.line(draft, "system", draft.record.created_on, None, text=f"Former system: {text}")


class Customers:
    """CRM Customer."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft], taken: dict[tuple[str, str], int]) -> None:
        self.context, self.taken = context, taken
        self._look_up(drafts)

    def _look_up(self, drafts: list[RowDraft]) -> None:
        """Look up the holders of the numbers and client ids in these rows."""
        numbers = {
            number
            for each in drafts
            for name in ("mobile_no", "alternative_mobile_no")
            if (number := phone.normalize(values.line_of(each.row.values.get(name))))
        }
        query = select(CustomerKey.kind, CustomerKey.value, CustomerKey.customer_id)
        for kind, value, key in self.context.session.execute(query.where(CustomerKey.value.in_(numbers))):
            self.taken[kind, value] = key

    def draft(self, draft: RowDraft) -> None:
        """Convert the customer, or find the existing one."""
        given, move = draft.row.values, self.context
        number = phone.normalize(values.line_of(given.get("mobile_no")))
        if number and (holder := self._here_before(number)):
            draft.there = holder
            draft.warn(translatable("A customer with this mobile number is there already: they stay as they are."))
            return
        draft.record = record = Customer(version=1)
        wanted = {name: values.line_of(given.get(theirs)) for name, theirs in CONTACT.items()}
        wanted["first_name"], wanted["last_name"] = split_name(given, "customer_name")
        wanted["address"] = address_of(given)
        set_contact(draft, record, wanted, move.vault)
        if not record.name:
            raise RuleBroken("It has neither a name nor a mobile number.")
        self._leave_out_taken_values(draft, record)
        status, source = values.line_of(given.get("status")), values.line_of(given.get("customer_source"))
        record.status = status if status in ("Active", "Inactive") else "Active"
        record.source = source if source in ("Lead", "Ticket", "Direct", "Other") else "Other"
        record.kyc_status = "Pending"
        record.no_calls = record.no_whatsapp = record.no_sms = record.no_email = False
        record.referral_code, record.referred_by = self._codes(draft)
        move.stamp(draft, record)
        move.person(draft, record, "owner_id", given.get("customer_owner") or given.get("owner"))
        write_unmapped(move, draft, ("customer_owner",))
        self._accounts(draft)

    def _here_before(self, number: str) -> int | None:
        """The customer with this main number who existed before the move."""
        holder = self.taken.get(("mobile", number), 0)
        if holder <= 0:
            return None
        moved = select(PredecessorName.id).where(
            PredecessorName.kind == "customer", PredecessorName.record_id == holder
        )
        has_it = select(Customer.id).where(Customer.id == holder, Customer.mobile_e164 == number, ~moved.exists())
        return self.context.session.scalar(has_it)

    def _leave_out_taken_values(self, draft: RowDraft, record: Customer) -> None:
        """Leave out values of another customer: a number or identity has one holder."""
        clash = {name for key, name in customer_keys.values_of(record).items() if self._holder(key)}
        for name in clash:
            columns = {"pan": ("pan_sealed", "pan_blind"), "aadhaar": ("aadhaar_sealed", "aadhaar_blind")}
            numbers = {"mobile": ("mobile", "mobile_e164")}
            for column in columns.get(name) or numbers.get(name) or ("alternative_mobile", "alternative_e164"):
                setattr(record, column, None)
            draft.warn(translatable("%(name)s was left out: another customer has the same.", name=name))
        for key in customer_keys.values_of(record):
            self.taken[key] = -1

    def _holder(self, key: tuple[str, str]) -> int | None:
        if key not in self.taken and key[0] != "mobile":
            found = customer_keys.holder(self.context.session, *key)
            if found:
                self.taken[key] = found
        return self.taken.get(key)

    def _codes(self, draft: RowDraft) -> tuple[str | None, str | None]:
        found = []
        for name in ("referral_code", "referral_through"):
            text = values.line_of(draft.row.values.get(name)).upper()
            found.append(client_id_or_none(text))
            if text and found[-1] is None:
                draft.warn(invalid_code_warning(name, text))
        return found[0], found[1]

    def _accounts(self, draft: RowDraft) -> None:
        """The accounts, which the predecessor kept in a JSON list."""
        move = self.context
        for given in values.listed(draft.row.values.get("accounts")):
            if (
                not isinstance(given, dict)
                or (client := client_id_or_none(values.line_of(given.get("client_id")))) is None
            ):
                continue
            if ("client", client) in self.taken or self._has_account(client):
                draft.warn(
                    translatable("The client ID %(code)s belongs to another customer, and was left out.", code=client)
                )
                continue
            self.taken["client", client] = -1
            account = CustomerAccount(
                client_id=client, account_type_id=move.entry_id("account_type", given.get("account_type"))
            )
            try:
                opened = values.moment(given.get("created_on") or given.get("created_date"), move.zone)
            except RuleBroken:
                opened = None
            account.created_on = account.changed_on = opened or draft.record.created_on
            account.opened_on = opened
            draft.record.accounts.append(account)

    def _has_account(self, client: str) -> bool:
        query = select(CustomerAccount.id).where(CustomerAccount.client_id == client)
        return self.context.session.scalar(query) is not None


def invalid_code_warning(name: str, text: str) -> TranslatableText:
    """The remark on an invalid client ID."""
    return translatable("%(name)s isn't a client ID and was left out: %(value)s", name=name, value=text[:40])


def client_id_or_none(text: str) -> str | None:
    """A client ID, or None if it is invalid."""
    try:
        found = client_ids.normalize_client_id(text)
    except RuleBroken:
        return None
    return found if found is None or len(found) <= 40 else None


def assign_keys(context: ImportContext, made: list[Customer]) -> None:
    """Make the stored customers the holders of their numbers and identities."""
    rows = [
        {"kind": kind, "value": value, "customer_id": each.id}
        for each in made
        for kind, value in customer_keys.values_of(each)
    ]
    bulk_statements.insert_rows(context.session, CustomerKey, rows)
