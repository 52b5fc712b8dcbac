"""Many people at the same endpoint at the same moment: turns stay even, one decision wins, no save is lost."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import Activity, Assignment, Customer, Lead, RoundRobin, Ticket, User
from tests.resilience.concurrent_requests import Reply, ask, at_once
from tests.resilience.conftest import RunningProduct
from tests.resilience.scenario import MORE, Scenario

THREADS, SAVES = 20, 10


def test_fifty_assignments_at_once_spread_evenly_over_seven(hall: RunningProduct) -> None:
    scenario, before = hall.scenario, hall.scenario.rows(select(RoundRobin.turns))
    leads = [scenario.crm.make.lead("mia").id for _ in range(50)]
    scenario.crm.session.execute(update(User).where(User.id == scenario.ana).values(available=False))
    scenario.crm.session.commit()
    wish = {"assign_to_role": "Sales User"}
    replies = at_once([partial(ask, hall.port, "root", "POST", f"/api/v1/lead/{key}/assign", wish) for key in leads])
    assert {reply.status for reply in replies} == {200}, [reply for reply in replies if reply.status != 200]
    shares = Counter(scenario.rows(select(Lead.assignee_id).where(Lead.id.in_(leads))))
    assert sorted(shares) == sorted(scenario.sellers)
    assert max(shares.values()) - min(shares.values()) <= 1
    assert scenario.rows(select(RoundRobin.turns)) == [sum(before) + 50]
    by_turn = (Assignment.reason == "round robin", Assignment.lead_id.in_(leads))
    assert sorted(scenario.rows(select(Assignment.lead_id).where(*by_turn))) == sorted(leads)


@pytest.mark.parametrize("second", ["Approved", "Rejected"])
def test_of_two_who_decide_at_the_same_moment_exactly_one_wins(hall: RunningProduct, second: str) -> None:
    scenario = hall.scenario
    for _ in range(10):
        lead = scenario.crm.make.lead("ana")
        request = scenario.crm.make.request(lead, "ben")
        first, other = at_once(
            [
                partial(decide, hall.port, "max", request.id, "Approved"),
                partial(decide, hall.port, "root", request.id, second),
            ]
        )
        assert {first.status, other.status} == {200, 409}, (first, other)
        assert "already decided this request" in (first if first.status == 409 else other).sentence
        by_request = select(Assignment.user_id).where(Assignment.lead_id == lead.id, Assignment.reason == "request")
        approved = first.status == 200 or second == "Approved"
        assert scenario.rows(by_request) == ([scenario.crm.people["ben"].id] if approved else [])


def decide(port: int, who: str, key: int, status: str) -> Reply:
    wish = {"status": status, "decision_note": "He knows him."}
    return ask(port, who, "PUT", f"/api/v1/assignment_request/{key}", wish)


def test_of_two_hundred_saves_at_once_none_is_lost_and_none_is_overwritten(hall: RunningProduct) -> None:
    scenario, lead = hall.scenario, hall.scenario.crm.make.lead("ana")
    before = lead.version
    tries = at_once([partial(save_often, hall.port, lead.id, n) for n in range(THREADS)])
    replies = [reply for several in tries for reply in several]
    saved = [text for text, reply in replies if reply.status == 200]
    # 503: two transactions were in each other's way; the same request can be sent again.
    assert {200, 409} <= {reply.status for _, reply in replies} <= {200, 409, 503}
    assert all(reply.sentence.startswith("Someone ") for _, reply in replies if reply.status == 409)
    assert scenario.rows(select(Lead.version).where(Lead.id == lead.id)) == [before + len(saved)]
    assert sorted(told(scenario, lead.id)) == sorted(saved)


def save_often(port: int, key: int, thread: int) -> list[tuple[str, Reply]]:
    """Read, then save with the version that was read: what was written, and the answer."""
    tries = []
    for n in range(SAVES):
        seen = ask(port, "ana", "GET", f"/api/v1/lead/{key}").body["result"]
        text = f"thread {thread}, save {n}"
        wish = {"description": text, "version": seen["version"]}
        tries.append((text, ask(port, "ana", "PUT", f"/api/v1/lead/{key}", wish)))
    return tries


def told(scenario: Scenario, key: int) -> list[Any]:
    """Every description that the timeline tells of."""
    lines = scenario.rows(select(Activity.payload).where(Activity.lead_id == key, Activity.kind == "field_change"))
    return [change[2] for line in lines for change in line["changes"] if change[0] == "description"]


WRITERS = 8


def new_customer(port: int, who: str, n: int, **contact: Any) -> Reply:
    return ask(port, who, "POST", "/api/v1/customer/", {"first_name": f"Writer {n}", **contact})


def new_ticket(port: int, who: str, n: int, **contact: Any) -> Reply:
    return ask(port, who, "POST", "/api/v1/ticket/", {"subjects": [1], "first_name": f"Writer {n}", **contact})


def new_document(port: int, who: str, n: int, **contact: Any) -> Reply:
    doc = {"doctype": "CRM Customer", "first_name": f"Writer {n}", "mobile_no": contact["mobile"]}
    return ask(port, who, "POST", "/api/method/frappe.client.insert", {"doc": doc})


def spelled(mobile: str, n: int) -> str:
    """The same number as different people write it."""
    return (mobile, f"+91 {mobile[:5]} {mobile[5:]}", f"0{mobile}")[n % 3]


@pytest.mark.parametrize(
    "client, who, good",
    [
        (new_customer, "root", 1),
        (new_document, "root", 1),
        (new_ticket, "cleo", WRITERS),
        (new_ticket, "root", WRITERS),
    ],
)
def test_of_many_who_create_a_customer_with_one_number_one_wins(
    hall: RunningProduct, client: Any, who: str, good: int
) -> None:
    scenario = hall.scenario
    for _ in range(3):
        mobile = scenario.crm.make.mobile()
        replies = at_once([partial(client, hall.port, who, n, mobile=spelled(mobile, n)) for n in range(WRITERS)])
        made = scenario.rows(select(Customer.id).where(Customer.mobile_e164 == f"+91{mobile}"))
        assert len(made) == 1, replies
        assert sorted({reply.status for reply in replies}) in ([200, 409], [200, 417], [201], [201, 422]), replies
        assert sum(reply.status in (200, 201) for reply in replies) == good, replies
        if good == WRITERS:  # the others join
            found = scenario.rows(select(Ticket.customer_id).where(Ticket.customer_id == made[0]))
            assert len(found) == WRITERS
        elif client is new_customer:
            assert {reply.sentence.split()[0] for reply in replies if reply.status == 422} == {"Customer"}


def test_an_alternative_number_a_pan_and_an_aadhaar_have_one_holder_too(hall: RunningProduct) -> None:
    scenario, make = hall.scenario, hall.scenario.crm.make
    for n, (name, value) in enumerate((("pan", "QWERT1234Z"), ("aadhaar", "234123412346"), ("alternative_mobile", ""))):
        given = {name: value or make.mobile()}
        acts = [
            partial(new_customer, hall.port, "root", each, mobile=make.mobile(), **given) for each in range(WRITERS)
        ]
        replies = at_once(acts)
        assert Counter(reply.status for reply in replies) == {201: 1, 422: WRITERS - 1}, (n, replies)
        assert {name} == {key for reply in replies if reply.status == 422 for key in reply.body["errors"]}
    number = make.mobile()
    acts = [
        partial(new_customer, hall.port, "root", n, **({"mobile": number} if n % 2 else {"alternative_mobile": number}))
        for n in range(WRITERS)
    ]
    assert Counter(reply.status for reply in at_once(acts)) == {201: 1, 422: WRITERS - 1}
    assert scenario.crm.count(Customer, Customer.first_name == "Writer 0") >= 0


def test_of_many_accounts_opened_at_once_for_one_number_all_join_one_customer(hall: RunningProduct) -> None:
    scenario = hall.scenario
    mobile = scenario.crm.make.mobile()
    leads = [scenario.crm.make.lead(who, mobile=mobile) for who in ("ana", "ben", *MORE)]

    def open_account(n: int, lead: Any) -> Reply:
        wish = {"status": "Account Opened", "client_id": f"PAR{mobile[-4:]}{n}"}
        return ask(hall.port, "root", "PUT", f"/api/v1/lead/{lead.id}", wish)

    replies = at_once([partial(open_account, n, lead) for n, lead in enumerate(leads)])
    assert {reply.status for reply in replies} == {200}, replies
    made = scenario.rows(select(Customer.id).where(Customer.mobile_e164 == f"+91{mobile}"))
    assert len(made) == 1
    assert scenario.rows(select(Lead.customer_id).where(Lead.id.in_([lead.id for lead in leads]))) == made * len(leads)


def test_of_many_who_convert_a_lead_at_once_one_does(hall: RunningProduct) -> None:
    scenario = hall.scenario
    mobile = scenario.crm.make.mobile()
    lead = scenario.crm.make.lead("ana", mobile=mobile)
    wish = {"status": "Account Activated", "client_id": f"ONE{mobile[-4:]}"}
    assert ask(hall.port, "root", "PUT", f"/api/v1/lead/{lead.id}", wish).status == 200
    form = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": scenario.cookie("root")}
    token = f"csrf_token={scenario.crm.client('root').token}"
    act = partial(ask, hall.port, "", "POST", f"/leads/convert/{lead.id}", token, **form)
    replies = at_once([act] * WRITERS)
    assert {reply.status for reply in replies} <= {302, 409}, replies
    assert any(reply.status == 302 for reply in replies)
    lines = scenario.rows(select(Activity.payload).where(Activity.lead_id == lead.id, Activity.kind == "system"))
    assert [line.get("what") for line in lines].count("converted") == 1
    assert len(scenario.rows(select(Customer.id).where(Customer.mobile_e164 == f"+91{mobile}"))) == 1


def test_changes_to_one_number_at_once_leave_one_holder(hall: RunningProduct) -> None:
    make, number = hall.scenario.crm.make, hall.scenario.crm.make.mobile()
    people = [make.customer("ana") for _ in range(WRITERS)]
    acts = [partial(ask, hall.port, "root", "PUT", f"/api/v1/customer/{row.id}", {"mobile": number}) for row in people]
    replies = at_once(acts)
    assert Counter(reply.status for reply in replies) == {200: 1, 422: WRITERS - 1}, replies
