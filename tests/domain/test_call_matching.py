"""Matching calls to records by number: records open at that time, and their assignees."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.domain import customers
from app.domain.change_context import ChangeContext
from app.domain.telephony import call_matching
from app.domain.telephony.call_matching import CallTarget
from app.domain.telephony.call_parsing import ParsedCall
from app.models import Customer
from tests.factories import DAY, HOUR, MINUTE, NOW, double, lead, ticket, user

NUMBER = "+919820012345"


def call(number: str | None = NUMBER, at: Any = NOW, index: int = 0) -> ParsedCall:
    """A call with this other party."""
    return ParsedCall(index, "id", "Incoming", "Completed", "", "", number, number or "", at, at, 0)


def target(session: Session, employee_id: int = 0, at: Any = NOW) -> CallTarget:
    session.flush()
    return call_matching.match(session, employee_id, [call(at=at)])[0]


def customer(session: Session, **values: Any) -> Customer:
    made = customers.create(session, {"first_name": "Asha", **values}, ChangeContext(None, NOW))
    session.flush()
    return made


def test_an_unknown_or_withheld_number_belongs_to_nothing(db: Session) -> None:
    lead(db, mobile_e164="+919811111111")
    found = call_matching.match(db, 0, [call(index=3), call(None, index=5)])
    assert found == {3: CallTarget(), 5: CallTarget()} and not found[3].is_matched
    assert call_matching.match(db, 0, [call(None, index=5)]) == {5: CallTarget()}


@pytest.mark.parametrize("column", ["mobile_e164", "alternative_e164"])
def test_a_lead_is_found_by_either_number(db: Session, column: str) -> None:
    ana = user(db, "ana")
    more: dict[str, Any] = {column: NUMBER}
    about = lead(db, ana, **more)
    more[column] = "+919811111111"
    lead(db, ana, **more)
    found = target(db)
    awaiting = frozenset({("lead", about.id)})
    assert found == CallTarget(None, about.id, None, about.number, (ana.id,), awaiting) and found.is_matched
    assert found.as_columns() == {"lead_id": about.id, "ticket_id": None, "customer_id": None}


def test_a_customer_is_found_with_lead_and_ticket_of_which_the_ticket_decides(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    who = customer(db, mobile=NUMBER)
    about, help_ = lead(db, ana, customer_id=who.id), ticket(db, ben, customer_id=who.id, replied_on=NOW)
    ticket(db, ben, customer_id=customer(db, mobile="9811111111").id)
    found = target(db)
    assert (found.customer_id, found.lead_id, found.ticket_id) == (who.id, about.id, help_.id)
    assert (found.number, found.responsible) == (help_.number, (ben.id,))
    assert found.awaiting_reply == {("lead", about.id)}
    about.replied_on, help_.replied_on = NOW, None
    assert target(db).awaiting_reply == {("ticket", help_.id)}


@pytest.mark.parametrize("has_owner", [False, True])
def test_without_a_record_the_customers_owner_is_responsible(db: Session, has_owner: bool) -> None:
    who, ana = customer(db, mobile=NUMBER), user(db, "ana")
    who.owner_id = ana.id if has_owner else None
    assert target(db) == CallTarget(who.id, None, None, who.number, (ana.id,) if has_owner else ())


def test_without_an_assignee_the_owner_is_responsible(db: Session) -> None:
    ana = user(db, "ana")
    about = lead(db, mobile_e164=NUMBER)
    assert target(db).responsible == ()
    about.owner_id = ana.id
    assert target(db).responsible == (ana.id,)


def test_a_main_number_wins_over_an_alternative_one(db: Session) -> None:
    double(db, mobile="9811111111", alternative_mobile=NUMBER)
    main = double(db, mobile=NUMBER)
    double(db, mobile="9822222222", alternative_mobile=NUMBER)
    assert target(db).customer_id == main.id


def test_an_alternative_number_finds_the_customer(db: Session) -> None:
    who = customer(db, mobile="9811111111", alternative_mobile=NUMBER)
    assert target(db).customer_id == who.id


@pytest.mark.parametrize(
    "meaning, at, is_found",
    [
        ("new", NOW - MINUTE, False),
        ("new", NOW, True),
        ("new", NOW + 9 * DAY, True),
        ("junk", NOW + HOUR - MINUTE, True),
        ("junk", NOW + HOUR, False),
    ],
)
def test_a_record_counts_while_it_was_open(db: Session, meaning: str, at: Any, is_found: bool) -> None:
    about = lead(db, meaning=meaning, mobile_e164=NUMBER)
    about.status_on = NOW + HOUR
    assert target(db, at=at).is_matched is is_found


@pytest.mark.parametrize(
    "meaning, is_found", [("new", True), ("waiting", True), ("resolved", False), ("closed", False)]
)
def test_an_ended_ticket_is_not_found(db: Session, meaning: str, is_found: bool) -> None:
    who = customer(db, mobile=NUMBER)
    about = ticket(db, meaning=meaning, customer_id=who.id)
    assert target(db).ticket_id == (about.id if is_found else None)


def test_the_employees_own_record_goes_before_the_newest(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    own, other, newest = (lead(db, each, mobile_e164=NUMBER) for each in (ana, ben, ben))
    assert [target(db, each.id).lead_id for each in (ana, ben)] == [own.id, newest.id]
    assert other.id < newest.id


def test_a_lead_with_a_customer_is_found_by_the_customers_number_only(db: Session) -> None:
    who = customer(db, mobile="9811111111")
    lead(db, customer_id=who.id, mobile_e164=NUMBER)
    assert not target(db).is_matched


def test_calls_of_one_batch_are_matched_each_for_itself(db: Session) -> None:
    who, about = customer(db, mobile=NUMBER), lead(db, mobile_e164="+919811111111")
    found = call_matching.match(db, 0, [call(index=1), call("+919811111111", index=2)])
    assert (found[1].customer_id, found[1].lead_id) == (who.id, None)
    assert (found[2].customer_id, found[2].lead_id) == (None, about.id)


@pytest.mark.parametrize("make, kind", [(lead, "lead"), (ticket, "ticket")])
@pytest.mark.parametrize("column", ["mobile_e164", "alternative_e164"])
def test_a_record_whose_link_waits_is_found_by_its_number(db: Session, make: Any, kind: str, column: str) -> None:
    ben, who = user(db, "ben"), customer(db, mobile=NUMBER)
    about = make(db, ben, **{column: NUMBER})
    found = target(db)
    assert (found.customer_id, getattr(found, f"{kind}_id")) == (who.id, about.id)
