"""Transactions at the same record lock in one order: at the very moment at which they once deadlocked, both go on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, select

from app.channels.console_provider import KIND as CONSOLE
from app.channels.provider import IncomingMessage
from app.domain import assignment
from app.domain.base import NotFound, Stamp
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.models import Conversation, Message, StatusChange, Ticket
from tests.app_fixtures import Crm
from tests.factories import HOUR, NOW
from tests.web.records.test_tasks_in_parallel import DUE, meeting_after

PEER = "+919820012345"


@pytest.mark.parametrize("words", ["INSERT INTO notification", "INSERT INTO task"])
@pytest.mark.parametrize("kind", ["lead", "ticket"])
def test_a_status_is_written_before_its_notice_and_its_task(maria: Crm, kind: str, words: str) -> None:
    row = maria.make.lead("ana") if kind == "lead" else maria.make.ticket("cleo")
    clients = [maria.client("root") for _ in range(2)]

    def plan(number: int) -> int:
        task = {"title": f"Call {number}", "due_on": (DUE + HOUR * number).isoformat()}
        body = {"status": "Follow-up Scheduled", "task": task}
        return int(clients[number].rest("PUT", f"{kind}/{row.id}", body).status_code)

    with meeting_after(maria, words, 2), ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(plan, range(2))) in ([200, 200], [200, 409])
    column = StatusChange.lead_id if kind == "lead" else StatusChange.ticket_id
    assert len(maria.rows(select(StatusChange.id).where(column == row.id, StatusChange.from_id.is_not(None)))) == 1


def test_messages_of_one_number_that_arrive_at_the_same_moment_are_all_stored_at_once(maria: Crm) -> None:
    account = channel_accounts.create(maria.session, CONSOLE, AccountSettings("Desk"), Stamp(None, NOW), maria.vault)
    maria.session.commit()

    def arrive(number: int) -> str:
        event = IncomingMessage(f"M{number}", "whatsapp", PEER, "+912212345678", "Namaste", NOW)
        with maria.new_session() as session:
            done = provider_events.process(session, session.merge(account), event, NOW)
            session.commit()
        return done

    arrive(0)
    with meeting_after(maria, "INSERT INTO message", 2), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(arrive, (1, 2))) == ["message", "message"]
    assert len(maria.rows(select(Message.id))) == 3
    assert maria.rows(select(Conversation.unread)) == [3]


def test_a_ticket_that_is_gone_when_it_is_locked_is_said_to_be_deleted(crm_on_both: Crm) -> None:
    crm = crm_on_both
    ticket = crm.make.ticket("cleo", task={})
    session = crm.new_session()
    row = session.get_one(Ticket, ticket.id)
    session.commit()
    crm.session.execute(delete(Ticket).where(Ticket.id == ticket.id))
    crm.session.commit()
    with pytest.raises(NotFound, match="deleted meanwhile"):
        assignment.add_assignee(session, row, crm.people["sam"].id, Stamp(None, NOW))
