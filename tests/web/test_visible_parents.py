"""The visible rows by a record's fast rules equal those by its complete rules, whatever a person's rights."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.access import row_rules, visible_parents
from app.access.compiled_statements import CachedStatement, answer
from app.models import Activity, CallLog, Lead, Message, MessageFile, Task, Ticket
from tests.app_fixtures import PEOPLE, Crm

#: Rights that a role may lack: (module, verb, level).
CHANGES: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (),
    (("Notes", "read", "none"), ("Call Logs", "read", "none")),
    (("Tasks", "read", "none"), ("Messages", "read", "none")),
    (("Leads", "read", "none"),),
    (("Tickets", "read", "none"), ("Customers", "read", "none")),
    (("Tasks", "read", "all"), ("Call Logs", "read", "team")),
)
#: Record -> SELECT of its ids and the columns of its parents.
ROWS: dict[Any, Any] = {
    **{each: (select(each.id), each) for each in (Task, CallLog, Message, Activity)},
    MessageFile: (select(MessageFile.id).join(Message, Message.id == MessageFile.message_id), Message),
}


def build(crm: Crm) -> dict[str, Any]:
    """A lead and a ticket of several people, with rows of every kind by Ana, Ben and Cleo."""
    make = crm.make
    customer = make.customer("mia")
    lead = make.lead("ana", mobile=customer.mobile)
    ticket = make.ticket("cleo", customer_id=customer.id, lead_id=lead.id)
    for who in ("ana", "ben", "cleo"):
        make.task(lead, who)
        make.task(ticket, who)
        for links in ({"lead_id": lead.id}, {"ticket_id": ticket.id}, {"lead_id": lead.id, "customer_id": customer.id}):
            make.call(who, **links)
            message = make.message(who, **links)
            crm.session.add(MessageFile(message_id=message.id, place=0, state="stored"))
        crm.client("root").form(f"/leads/note/{lead.id}", {"body": f"Note for {who}"})
        crm.client("root").form(f"/tickets/note/{ticket.id}", {"body": f"Note for {who}"})
    crm.session.commit()
    return {"lead": lead, "ticket": ticket}


def ids_of(crm: Crm, person: access.Person, record: Any, parent: tuple[str, int], reduced: bool) -> set[int]:
    """The rows of the record of this parent that the person gets, by a compiled statement."""
    query, owner = ROWS[record]
    kind, key = parent
    tables = frozenset(["message", "message_file"]) if record is MessageFile else frozenset([record.__tablename__])
    name = ("seen parents", record, parent, reduced)
    question = CachedStatement(
        name, lambda: query.where(getattr(owner, f"{kind}_id") == key), tables, kind if reduced else None
    )
    with access.acting_as(crm.session, person):
        first, second = (answer(crm.session, question, {}) for _ in range(2))
    assert set(first) == set(second)
    return {row[0] for row in second}


#: Who has the rights of support or of all records: with each of CHANGES, one pair is looked at.
LEFT_OUT = (("cleo", "rhea"), ("sam", "root"))


@pytest.mark.parametrize("turn", range(len(CHANGES)))
def test_the_rows_of_a_seen_record_are_those_of_the_whole_rule(crm: Crm, turn: int) -> None:
    parents = build(crm)
    for role in ("Sales User", "Support User", "Sales Manager"):
        for module, verb, level in CHANGES[turn]:
            crm.make.cell(role, module, verb, level)
    compared = 0
    names = [name for name in PEOPLE if name not in LEFT_OUT[turn % 2]]
    kinds = (("lead", Lead), ("ticket", Ticket))
    for place, name in enumerate(names):
        with crm.app.app_context():
            person = access.person(crm.session, crm.people[name].id, 100 + place)
            # With nothing changed, both; else one, of the next person and with the next change the other
            for kind, model in kinds if turn == 0 else (kinds[(turn // 2 + place) % 2],):
                key = parents[kind].id
                with access.acting_as(crm.session, person):
                    if access.get_visible(crm.session, model, key) is None:
                        continue
                for record in ROWS:
                    whole, reduced = (ids_of(crm, person, record, (kind, key), each) for each in (False, True))
                    assert whole == reduced, (name, kind, record.__tablename__)
                    compared += 1
    assert compared >= 10


def test_a_rule_of_an_add_on_counts(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    with crm.app.app_context():
        ana = access.person(crm.session, crm.people["ana"].id, 1)
    assert "SELECT" in str(access.visible(ana, Task)) and "SELECT" not in str(of_lead(ana, Task))
    for record in (Task, Lead):
        with monkeypatch.context() as patch:
            patch.setitem(row_rules.RULES, record, lambda person, each=record: each.id == 7)
            assert str(of_lead(ana, Task)) == str(access.visible(ana, Task))
    with monkeypatch.context() as patch:
        patch.setitem(row_rules._TIMELINES, Ticket, None)
        assert str(of_lead(ana, Activity)) == str(access.visible(ana, Activity))
    for record in (Lead, Ticket):
        assert str(of_lead(ana, record)) == str(access.visible(ana, record))


def of_lead(person: access.Person, record: Any) -> Any:
    return visible_parents.visible_under_parent(person, record, "lead")
