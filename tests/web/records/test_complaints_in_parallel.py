"""Complaints that several people register, join and resolve at the same moment, on MariaDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import select

from app.models import Complaint, ComplaintEntry, Ticket
from tests.app_fixtures import Crm
from tests.web.records.test_tasks_in_parallel import meeting_after

BODY = {"source": "SEBI SCORES", "category": "Demat", "title": "Shares not credited", "received_on": "2026-11-20"}


def at_once(crm: Crm, words: str, bodies: list[dict[str, Any]]) -> list[int]:
    """The statuses of registrations that begin together."""
    clients = [crm.client("cleo") for _body in bodies]

    def register(n: int) -> int:
        return int(clients[n].rest("POST", "complaint/", BODY | bodies[n]).status_code)

    with meeting_after(crm, words, len(bodies)), ThreadPoolExecutor(len(bodies)) as threads:
        return sorted(threads.map(register, range(len(bodies))))


def test_a_reference_is_registered_once_and_a_refused_registration_leaves_nothing(maria: Crm) -> None:
    tickets = [maria.make.ticket("cleo") for _n in range(2)]
    bodies = [{"ticket": each.number, "reference": "SEBIE/1"} for each in tickets]
    assert at_once(maria, "UPDATE number_series", bodies) == [201, 422]
    assert (maria.count(Complaint), maria.count(ComplaintEntry)) == (1, 1)
    states = [row.complaint_state for row in maria.rows(select(Ticket))]
    assert sorted(states, key=str) == [None, "pending"]


def test_a_ticket_is_registered_once(maria: Crm) -> None:
    ticket = maria.make.ticket("cleo")
    assert at_once(maria, "SELECT complaint_category", [{"ticket": ticket.number}] * 2) == [201, 409]
    assert maria.count(Complaint) == 1


def test_a_ticket_is_not_resolved_while_it_is_registered(maria: Crm) -> None:
    ticket = maria.make.ticket("cleo")
    cleo, sam = maria.client("cleo"), maria.client("sam")
    asked = (
        lambda: cleo.rest("POST", "complaint/", BODY | {"ticket": ticket.number}).status_code,
        lambda: sam.rest("PUT", f"ticket/{ticket.id}", {"status": "Resolved", "resolution": "Done."}).status_code,
    )
    with meeting_after(maria, "UPDATE ticket", 2), ThreadPoolExecutor(2) as threads:
        registered, resolved = threads.map(lambda ask: ask(), asked)
    (row,) = maria.rows(select(Ticket).where(Ticket.id == ticket.id))
    assert registered == 201
    assert (row.complaint_state, row.resolved_on is not None) == ("pending", resolved == 200)
