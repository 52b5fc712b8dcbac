"""Complaints that several people register, join and resolve at the same moment, on MariaDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.models import Complaint, ComplaintEntry, Ticket
from tests.app_fixtures import Crm
from tests.servers import eventually
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
    # One of them may find that the other has changed the ticket meanwhile.
    assert registered == 201 or (registered, resolved) == (409, 200)
    state = "pending" if registered == 201 else None
    assert (row.complaint_state, row.resolved_on is not None) == (state, resolved == 200)


def registered(crm: Crm, count: int) -> list[Any]:
    """So many complaints, in the order of their ids."""
    for _n in range(count):
        ticket = crm.make.ticket("cleo")
        assert crm.client("cleo").rest("POST", "complaint/", BODY | {"ticket": ticket.number}).status_code == 201
    return crm.rows(select(Complaint).order_by(Complaint.id))


def is_waiting(crm: Crm) -> bool:
    """Whether a transaction on this database waits for a lock."""
    waiting = text(
        "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON "
        "processlist.id = trx_mysql_thread_id WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()"
    )
    with crm.engine.connect() as connection:
        return bool(connection.execute(waiting).scalar())


def test_a_join_locks_what_was_joined_before_in_the_order_of_ids(maria: Crm) -> None:
    child, kept, other = registered(maria, 3)
    cleo = maria.client("cleo")
    assert cleo.form(f"/complaints/join/{other.id}", {"other": child.number}).status_code == 302
    hold = text("SELECT id FROM complaint WHERE id = :key FOR UPDATE NOWAIT")
    with ThreadPoolExecutor(1) as threads, maria.engine.connect() as somebody, maria.engine.connect() as third:
        somebody.execute(hold, {"key": child.id})
        joined = threads.submit(cleo.form, f"/complaints/join/{kept.id}", {"other": other.number})
        eventually(lambda: is_waiting(maria), "nobody waits for the complaint that was joined before")
        third.execute(hold, {"key": other.id})  # it is free: whoever holds it could wait for the first one
        third.rollback()
        with pytest.raises(OperationalError):
            third.execute(hold, {"key": child.id})
        somebody.rollback()
        assert joined.result().status_code == 302
    joined_ids = maria.rows(select(Complaint.id).where(Complaint.joined_to_id == kept.id))
    assert sorted(joined_ids) == [child.id, other.id]
