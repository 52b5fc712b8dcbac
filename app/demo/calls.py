"""Calls with leads, customers and tickets, and those with unknown numbers."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app import models
from app.demo.builder import DAYS, DemoBuilder, Row, id_of, labels, stamps
from app.demo.sample_text import LOST_OUTCOMES, OUTCOMES

#: The outcome of the call that answers a ticket.
ANSWERED_TICKET = ("Explained", "Needs documents", "Passed to the back office", None)
#: Share of the tickets of customers who called that are answered by a call.
CALLED_BACK = 0.7
#: Of so many calls one is an order, if a customer was reached.
ORDER_EVERY = 40


class CallPlan(NamedTuple):
    """When a call starts (UTC), and with whom: the rows of the lead, customer or ticket, if it is about one."""

    at: datetime
    lead: Row | None = None
    customer: Row | None = None
    ticket: Row | None = None


def make_calls(builder: DemoBuilder) -> None:
    """Make calls in order of time, most of them with a lead or customer."""
    customers = {row["id"]: row for row in builder.rows_of(models.Customer)}
    plans = _answers_to_tickets(builder, customers)
    called: Counter[int] = Counter()
    while len(plans) < builder.count("calls"):
        plans.append(_plan(builder, customers, called))
    new = id_of(labels(builder, models.LeadStatus), "New")
    for n, plan in enumerate(sorted(plans, key=lambda plan: plan.at)):
        _call(builder, plan, n, is_new=plan.lead is not None and plan.lead["status_id"] == new)


def _answers_to_tickets(builder: DemoBuilder, customers: dict[int, Row]) -> list[CallPlan]:
    """The calls that were the first reply to a ticket."""
    called = [row for row in builder.rows_of(models.Ticket) if row["source"] == "On Call" and row["replied_on"]]
    return [
        CallPlan(row["replied_on"] - timedelta(minutes=5), None, customers[row["customer_id"]], row)
        for row in called
        if builder.chance(CALLED_BACK) and row["replied_on"] - row["created_on"] > timedelta(minutes=10)
    ]


def _plan(builder: DemoBuilder, customers: dict[int, Row], called: Counter[int]) -> CallPlan:
    """A call with a lead, not more often than once a day; else with a customer or an unknown number."""
    first_day, last = builder.now - timedelta(days=DAYS), builder.now - timedelta(minutes=10)
    lead = builder.choose(builder.rows_of(models.Lead)) if builder.chance(0.6) else None
    if lead and called[lead["id"]] <= (builder.now - lead["created_on"]).days:
        start, end = max(lead["created_on"], first_day), min(builder.work_ended_on(lead), last)
        if start < end:
            called[lead["id"]] += 1
            return CallPlan(builder.office_time(start, end), lead, customers.get(lead["customer_id"]))
    customer = builder.choose(customers.values()) if lead or builder.chance(0.6) else None
    return CallPlan(builder.office_time(first_day, last), None, customer)


def _status(builder: DemoBuilder, plan: CallPlan, direction: str, is_new: bool) -> str:
    """How the call ended. Nobody has talked to a lead that is still new."""
    missed = "Missed Call" if direction == "Incoming" else builder.choose(("No Answer", "Did Not Picked", "Busy"))
    return "Completed" if plan.ticket or (builder.chance(0.68) and not is_new) else str(missed)


def _outcome(builder: DemoBuilder, plan: CallPlan, direction: str, status: str) -> str | None:
    """An outcome that fits the call and its record; none for a missed call, which somebody still has to return."""
    if status != "Completed":
        return "No answer" if direction == "Outgoing" and builder.chance(0.7) else None
    is_lost = plan.lead is not None and plan.lead["id"] in builder.left_alone_on
    found = builder.choose(ANSWERED_TICKET if plan.ticket else LOST_OUTCOMES if is_lost else OUTCOMES)
    return str(found) if found else None


def _call(builder: DemoBuilder, plan: CallPlan, n: int, is_new: bool) -> None:
    employee = _employee(builder, plan)
    direction = "Outgoing" if plan.ticket else builder.rng.choices(("Outgoing", "Incoming"), (70, 30))[0]
    status = _status(builder, plan, direction, is_new)
    seconds = min(3600, int(builder.rng.expovariate(1 / 140)) + 4) if status == "Completed" else 0
    medium = builder.rng.choices(("mobile", "manual"), (88, 12))[0]
    record_ids = {f"{name}_id": row["id"] if row else None for name, row in _records(plan).items()}
    call = builder.add(
        models.CallLog,
        device_call_id=f"demo-{n}" if medium == "mobile" else None,
        direction=direction,
        status=status,
        started_on=plan.at,
        ended_on=plan.at + timedelta(seconds=seconds),
        duration_seconds=seconds,
        native={"type": direction.upper(), "duration": seconds} if medium == "mobile" else {},
        employee_id=employee,
        is_order=status == "Completed" and plan.customer is not None and n % ORDER_EVERY == 0,
        cold=not any(record_ids.values()) and direction == "Outgoing",
        medium=medium,
        outcome=_outcome(builder, plan, direction, status),
        **_numbers(builder, plan, employee, direction),
        **record_ids,
        **stamps(employee, plan.at + timedelta(seconds=seconds + 60)),
    )
    if any(record_ids.values()):
        payload = {"text": f"{direction} call, {status}", "call": call["id"], "seconds": seconds}
        own = {name: key for name, key in record_ids.items() if key}
        builder.add_activity("call", call["created_on"], employee, own, **payload)


def _records(plan: CallPlan) -> dict[str, Row | None]:
    return {"lead": plan.lead, "customer": plan.customer, "ticket": plan.ticket}


def _employee(builder: DemoBuilder, plan: CallPlan) -> int:
    if record := plan.lead or plan.ticket:
        return int(record["assignee_id"])
    return int(builder.choose(builder.staff["Sales User"] + builder.staff["Support User"]))


def _numbers(builder: DemoBuilder, plan: CallPlan, employee: int, direction: str) -> dict[str, Any]:
    """The numbers of both sides, E.164."""
    users = builder.rows_of(models.User)
    own = users[employee - users[0]["id"]]["mobile_e164"]
    peer = (plan.customer or plan.lead or {}).get("mobile_e164") or builder.mobile()[1]
    pair = (own, peer) if direction == "Outgoing" else (peer, own)
    return {"from_number": pair[0], "to_number": pair[1], "other_e164": peer}
