"""Many people at the same few records, through doors that write several rows: nobody is in another's way for good.

Each of these doors once locked a record after what refers to it, or shared its lock before writing it (ADR 0139): of
such saves a third was answered with 503.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from app.models import Task
from tests.resilience.concurrent_requests import Reply, ask, at_once
from tests.resilience.conftest import RunningProduct
from tests.resilience.scenario import MORE

WRITERS, SAVES = 10, 6


def due(turn: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=2 + turn)).isoformat()


class Desk:
    """Two leads and two tickets, and what people do to them; `turn` tells the saves of one writer apart."""

    def __init__(self, product: RunningProduct) -> None:
        self.port, self.scenario, make = product.port, product.scenario, product.scenario.crm.make
        self.records: dict[str, list[Any]] = {
            "lead": [make.lead("ana") for _ in range(2)],
            "ticket": [make.ticket("cleo") for _ in range(2)],
        }

    def ask(self, method: str, path: str, body: Any) -> Reply:
        return ask(self.port, "root", method, f"/api/{path}", body)

    def status(self, kind: str, turn: int) -> Reply:
        """A status with the task that it needs, or one that closes tasks."""
        ended = {"status": "Resolved", "resolution": "Done"} if kind == "ticket" else {"status": "Contacted"}
        planned = {"status": "Follow-up Scheduled", "task": {"title": "Call", "due_on": due(turn)}}
        return self.ask("PUT", f"v1/{kind}/{self.key(kind, turn)}", (planned, ended)[turn % 2])

    def key(self, kind: str, turn: int) -> int:
        return int(self.records[kind][turn // 2 % 2].id)

    def assign(self, kind: str, turn: int) -> Reply:
        who = self.scenario.crm.people[MORE[turn % len(MORE)]].id
        return self.ask("POST", f"v1/{kind}/{self.key(kind, turn)}/assign", {"assign_to": who})

    def give_task(self, kind: str, turn: int) -> Reply:
        """A task is given to somebody, who is notified of it."""
        column = Task.lead_id if kind == "lead" else Task.ticket_id
        found = self.scenario.rows(select(Task.id).where(column == self.key(kind, turn)).order_by(Task.id))
        who = self.scenario.crm.people[MORE[turn % len(MORE)]].id
        return self.ask("PUT", f"v1/task/{found[0]}", {"assignee": who, "title": f"Call {turn}"})

    def call_and_plan(self, kind: str, turn: int) -> Reply:
        """A call with its outcome, a note and the next follow-up."""
        call = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "duration_seconds": 60}
        made = self.ask("POST", "v1/call_log/", call | {kind: self.key(kind, turn), "started_on": past(turn)})
        if made.status != 201:
            return made
        body = {"outcome": "Interested", "note": "Wants futures", "follow_up_on": due(turn)}
        return self.ask("POST", f"v1/call_log/{made.body['id']}/outcome", body)

    def change_all(self, kind: str, turn: int) -> Reply:
        """All records by one request, in another order each time."""
        doctype, name = ("CRM Lead", "first_name") if kind == "lead" else ("CRM Ticket", "description")
        numbers = [row.number for row in self.records[kind]][:: 1 - 2 * (turn % 2)]
        docs = [{"doctype": doctype, "docname": number, name: f"New {turn}"} for number in numbers]
        return self.ask("POST", "method/frappe.client.bulk_update", {"docs": docs})


def past(turn: int) -> str:
    return (datetime.now(UTC) - timedelta(hours=2 + turn)).isoformat()


@pytest.mark.parametrize("kind", ["lead", "ticket"])
@pytest.mark.parametrize(
    "doors",
    [
        (Desk.status,),
        (Desk.status, Desk.assign),
        (Desk.status, Desk.give_task),
        (Desk.call_and_plan, Desk.status),
        (Desk.change_all,),
        (Desk.assign, Desk.give_task, Desk.call_and_plan, Desk.change_all),
    ],
    ids=lambda doors: "+".join(each.__name__ for each in doors),
)
def test_nobody_deadlocks_with_others_at_the_same_records(
    hall: RunningProduct, kind: str, doors: tuple[Callable[[Desk, str, int], Reply], ...]
) -> None:
    desk = Desk(hall)

    def save(writer: int) -> list[Reply]:
        return [doors[writer % len(doors)](desk, kind, writer + turn) for turn in range(SAVES)]

    replies = [reply for several in at_once([partial(save, n) for n in range(WRITERS)]) for reply in several]
    # 409: somebody else has saved a newer version; that is said at once.
    assert {reply.status for reply in replies} <= {200, 201, 409}, [each for each in replies if each.status > 409]
    assert any(reply.status in (200, 201) for reply in replies)


def test_nobody_deadlocks_with_who_changes_the_contact_data_of_many_leads(hall: RunningProduct) -> None:
    """These are their customers', who come before the leads."""
    desk = Desk(hall)
    for lead in desk.records["lead"]:
        opened = {"status": "Account Opened", "client_id": f"LCK{lead.id}"}
        assert desk.ask("PUT", f"v1/lead/{lead.id}", opened).status == 200

    def save(writer: int) -> list[Reply]:
        doors = (Desk.change_all, Desk.assign)
        return [doors[writer % 2](desk, "lead", writer + turn) for turn in range(SAVES)]

    replies = [reply for several in at_once([partial(save, n) for n in range(WRITERS)]) for reply in several]
    assert {reply.status for reply in replies} <= {200, 409}, [each for each in replies if each.status > 409]
    assert any(reply.status == 200 for reply in replies)


def test_nobody_deadlocks_with_who_merges_into_a_customers_lead(hall: RunningProduct) -> None:
    """A merge writes about the customer, too, and locks them before the lead."""
    desk = Desk(hall)
    kept = desk.records["lead"][0].id
    opened = {"status": "Account Opened", "client_id": f"MRG{kept}"}
    assert desk.ask("PUT", f"v1/lead/{kept}", opened).status == 200
    merged = [[desk.scenario.crm.make.lead("ana").id for _ in range(3)] for _ in range(3)]

    def merge(several: list[int]) -> list[Reply]:
        return [desk.ask("POST", f"v1/lead/{kept}/merge", {"with": [key]}) for key in several]

    def rename(writer: int) -> list[Reply]:
        return [
            desk.ask(
                "PUT", f"v1/lead/{kept}", {"first_name": f"New {writer} {turn}", "description": f"{writer} {turn}"}
            )
            for turn in range(SAVES)
        ]

    acts = [*(partial(merge, several) for several in merged), *(partial(rename, n) for n in range(4))]
    replies = [reply for several in at_once(acts) for reply in several]
    assert {reply.status for reply in replies} <= {200, 409}, [each for each in replies if each.status > 409]
