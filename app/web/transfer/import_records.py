"""Imports of leads, customers with their accounts, tickets, tasks and calls."""

from __future__ import annotations

from typing import Any, ClassVar

from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import client_ids, customers
from app.domain.base import RuleBroken, translatable
from app.lib.batches import batched
from app.models import CallLog, Customer, Lead, Task, Ticket
from app.web.core.fields.base import Field, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField, PicklistField
from app.web.core.viewer import Viewer
from app.web.transfer.import_kind import ImportKind, by_client_id, by_column, by_secret


class LeadKind(ImportKind):
    """Leads. Those of known customers are found through the customer, which has their number."""

    name, module, label = "lead", "Leads", _("Leads")
    more = ("client_id", "pod_id", "rejection_reason")
    keys: ClassVar[tuple[str, ...]] = ("mobile", "pan", "client_id")
    assignee = "assign_to"

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Create the lead; without a first task unless its status requires one."""
        code = client_ids.normalize_client_id(values.get("client_id"))
        status = viewer.lookups.meanings["lead_status"].get(values.get("status_id") or 0, "")
        if status == "scheduled":
            due = values.get("next_follow_up_on")
            values["task"] = {"due_on": due} if due is not None else None
        lead = super().create(session, values, viewer)
        if code is not None and lead.client_id is None:
            with access.as_system(session):  # a client id is unique among all
                client_ids.set_client_id(session, lead, code, viewer.stamp)
        return lead

    def create_many(self, session: Session, many: list[dict[str, Any]], viewer: Viewer) -> list[Any] | None:
        """Together, unless a client id, or a status with requirements, needs a separate check."""
        meanings = viewer.lookups.meanings["lead_status"]
        plain = ("", "new", "working")
        if any(each.get("client_id") or meanings.get(each.get("status_id") or 0, "") not in plain for each in many):
            return None
        made: list[Any] = self.service.create_many(session, many, viewer)
        return made

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Look up records by the lead's own number or PAN, by its customer's, or by its client id."""
        if key == "client_id":
            return by_column(session, Lead.client_id, texts, Lead.id)
        if key == "pan":
            return by_secret(session, Lead, "pan", texts)
        found = by_column(session, Lead.mobile_e164, texts, Lead.id)
        through = select(Customer.mobile_e164, Lead.id).join(Customer, Customer.id == Lead.customer_id)
        for part in batched(texts):
            for text, lead_id in session.execute(through.where(Customer.mobile_e164.in_(part))):
                found.setdefault(str(text), set()).add(lead_id)
        return found


class CustomerKind(ImportKind):
    """Customers, each row with at most one of their accounts: a customer with three accounts has three rows."""

    name, module, label = "customer", "Customers", _("Customers with accounts")
    keys: ClassVar[tuple[str, ...]] = ("client_id", "mobile", "pan")

    def extra(self) -> dict[str, Field]:
        """The account of the row."""
        return {
            "client_id": TextField("client_id", _("Client ID"), max_length=40, edit=True),
            "account_type": PicklistField("account_type", _("Account type"), picklist="account_type", edit=True),
            "opened_on": DateTimeField("opened_on", _("Account opened on"), edit=True),
        }

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Create the customer and its account."""
        account = _taken(values)
        customer = super().create(session, values, viewer)
        _open_account(session, customer, account, viewer)
        return customer

    def update(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change the customer; an account that it lacks is opened."""
        account = _taken(values)
        if values:
            super().update(session, row, values, viewer)
        _open_account(session, row, account, viewer)

    def before(self, row: Any, values: dict[str, Any]) -> dict[str, Any]:
        """The replaced values; and the existing accounts."""
        plain = {name: value for name, value in values.items() if name not in _ACCOUNT}
        return super().before(row, plain) | {"accounts": [each.client_id for each in row.accounts]}

    def is_unchanged(self, row: Any, values: dict[str, Any], viewer: Viewer) -> bool:
        """Whether nothing is new, no account either."""
        plain = {name: value for name, value in values.items() if name not in _ACCOUNT}
        code = client_ids.normalize_client_id(values.get("client_id"))
        has_account = code is None or code in {each.client_id for each in row.accounts}
        return has_account and super().is_unchanged(row, plain, viewer)

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Look up records by client id, either number, or PAN."""
        if key == "client_id":
            return by_client_id(session, texts)
        if key == "pan":
            return by_secret(session, Customer, "pan", texts)
        found = by_column(session, Customer.mobile_e164, texts, Customer.id)
        for text, ids in by_column(session, Customer.alternative_e164, texts, Customer.id).items():
            found.setdefault(text, set()).update(ids)
        return found


_ACCOUNT = ("client_id", "account_type", "opened_on")


def _taken(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.pop(name) for name in _ACCOUNT if name in values}


def _open_account(session: Session, customer: Customer, given: dict[str, Any], viewer: Viewer) -> None:
    """Open the account if the customer lacks it. Raises AlreadyExists for another person's client id."""
    code = client_ids.normalize_client_id(given.get("client_id"))
    if code is None:
        return
    with access.as_system(session):  # a client id is unique among all
        opened = Lead(customer_id=customer.id, client_id=code, account_type_id=given.get("account_type"))
        client_ids.refuse_taken(session, opened, code)
        account = customers.open_account(session, customer, opened, viewer.stamp)
        account.opened_on = given.get("opened_on") or account.opened_on
        session.flush()


class TicketKind(ImportKind):
    """Tickets. They have no identifying field, so each row is a new one."""

    name, module, label = "ticket", "Tickets", _("Tickets")
    assignee = "assign_to"
    keys: ClassVar[tuple[str, ...]] = ()

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Nothing: tickets have no key besides their number."""
        return {}


class TaskKind(ImportKind):
    """Tasks of leads and tickets, which a column identifies by number or phone number."""

    name, module, label = "task", "Tasks", _("Tasks")
    assignee = "assignee"
    keys: ClassVar[tuple[str, ...]] = ()

    def read(self, raw: dict[str, Any], mode: str, viewer: Viewer) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """A column that may name a lead or a ticket fills in the right field."""
        lead = str(raw.get("lead") or "")
        if "ticket" not in raw and lead.upper().startswith("CRM-TICKET-"):
            raw = {name: value for name, value in raw.items() if name != "lead"} | {"ticket": lead}
        return super().read(raw, mode, viewer)

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Nothing: tasks have no key."""
        return {}


class CallKind(ImportKind):
    """Calls. The id that a phone gave a call is unique per employee."""

    name, module, label = "call_log", "Call Logs", _("Calls")
    keys: ClassVar[tuple[str, ...]] = ("device_call_id",)

    def extra(self) -> dict[str, Field]:
        """The additional column: whose call it was."""
        return {"employee": PersonField("employee", _("Employee"), key="employee_id")}

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Log the call; of a colleague only within the reach of the right to log calls."""
        chosen = values.get("employee_id")
        reach = viewer.person.reach("Call Logs", "create")
        if chosen is not None and reach is not None and chosen not in reach:
            raise access.Denied(translatable("You can only log calls of yourself and your team."), "employee")
        return super().create(session, values, viewer)

    def text(self, key: str, raw: dict[str, Any]) -> str | None:
        """The id as the phone gave it."""
        return str(raw.get(key) or "").strip() or None

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Look up records by the phone's id of the call."""
        return by_column(session, CallLog.device_call_id, texts, CallLog.id)


KINDS: tuple[ImportKind, ...] = (LeadKind(), CustomerKind(), TicketKind(), TaskKind(), CallKind())
#: Records with timeline entries that show later work: column of Activity.
TIMELINE = {Lead: "lead_id", Ticket: "ticket_id", Customer: "customer_id", Task: "task_id"}


def refuse_several(count: int) -> None:
    """Raise RuleBroken for a row that matches more than one record."""
    if count > 1:
        raise RuleBroken(
            translatable(
                "%(count)s records match this row. Please merge them, or correct them one by one.", count=count
            )
        )
