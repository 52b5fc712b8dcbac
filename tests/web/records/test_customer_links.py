"""Entering another customer's number on a lead or ticket doesn't reveal or change anything of that customer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.models import (
    Activity,
    AuditEntry,
    Customer,
    CustomerAccount,
    CustomerLink,
    Lead,
    LeadStatus,
    Notification,
    Ticket,
)

MOBILE, OTHER, UNKNOWN = "9820012345", "9820054321", "9820099999"


@pytest.fixture
def asha(make: Any) -> Any:
    """Ana's customer, whom Ben and Cleo don't see."""
    return make.customer(
        "ana",
        first_name="Asha",
        last_name="Patel",
        mobile=MOBILE,
        alternative_mobile=OTHER,
        email="asha@example.in",
        address="1 Dalal Street",
        pan="ABCDE1234F",
    )


def stored(crm: Any, record: Any, answer: Any) -> Any:
    return crm.rows(select(record).where(record.id == answer.get_json()["id"]))[0]


def payloads(crm: Any, record: Any, *rules: Any) -> list[Any]:
    return [each.payload for each in crm.rows(select(record).where(*rules).order_by(record.id))]


def create(crm: Any, kind: str, who: str, **values: Any) -> Any:
    """Create it at this endpoint and return the answer of the REST API about it."""
    subject = {"subjects": ["KYC update"]} if kind == "ticket" else {}
    return crm.client(who).rest("POST", f"{kind}/", {"first_name": "Typed", **subject, **values})


def by_form(crm: Any, kind: str, who: str, **values: Any) -> Any:
    subject = {"subjects": "1"} if kind == "ticket" else {}
    answer = crm.client(who).form(f"/{kind}s/add", {"first_name": "Typed", **subject, **values})
    assert answer.status_code == 302, answer.text[:800]
    return answer


def by_old_api(crm: Any, kind: str, who: str, **values: Any) -> Any:
    subject = {"ticket_subjects": [{"subject": "KYC update"}]} if kind == "ticket" else {}
    doc = {"doctype": f"CRM {kind.title()}", "first_name": "Typed", "mobile_no": values["mobile"], **subject}
    answer = crm.client(who).rest("POST", "/api/method/frappe.client.insert", {"doc": doc})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    "kind, endpoint, mobile",
    [
        *((kind, endpoint, MOBILE) for kind in ("lead", "ticket") for endpoint in (create, by_form, by_old_api)),
        *(("ticket", create, OTHER), ("lead", by_form, OTHER), ("ticket", by_old_api, OTHER)),
        *(("lead", create, "+91 98200-12345"), ("ticket", by_form, "+91 98200-12345")),
        ("lead", by_old_api, "+91 98200-12345"),
    ],
)
def test_a_number_alone_shows_nothing_of_its_customer(
    crm: Any, asha: Any, kind: str, endpoint: Any, mobile: str
) -> None:
    record: Any
    who, record = {"lead": ("ben", Lead), "ticket": ("cleo", Ticket)}[kind]
    before = crm.stored(asha)
    answer = endpoint(crm, kind, who, mobile=mobile)
    (row,) = crm.rows(select(record).order_by(record.id.desc()).limit(1))
    assert (row.customer_id, row.first_name, row.mobile) == (None, "Typed", mobile)
    shown = answer.text + crm.client(who).screen(f"/{kind}s/show/{row.id}").text
    shown += crm.client(who).rest("GET", f"{kind}/{row.id}").text
    for secret in ("Asha", "Patel", "asha@", "Dalal", asha.number):
        assert secret not in shown
    assert not crm.client(who).sees(asha)
    assert crm.stored(asha) == before
    (link,) = crm.rows(select(CustomerLink))
    assert (link.customer_id, link.status) == (asha.id, "Waiting")


@pytest.mark.parametrize("matrix", [{}, {"Customers": "none"}])
@pytest.mark.parametrize("name, value", [("email", "evil@example.in"), ("first_name", "Evil"), ("mobile", UNKNOWN)])
def test_a_lead_with_a_strangers_number_never_changes_the_stranger(
    crm: Any, asha: Any, make: Any, matrix: Any, name: str, value: str
) -> None:
    for module, level in matrix.items():
        for verb in ("read", "write"):
            make.cell("Sales User", module, verb, level)
    before = crm.stored(asha)
    key = create(crm, "lead", "ben", mobile=MOBILE).get_json()["id"]
    assert crm.client("ben").rest("PUT", f"lead/{key}", {name: value}).status_code == 200
    assert crm.client("ben").form(f"/leads/edit/{key}", {name: value + "m"}).status_code in (302, 422)
    assert crm.stored(asha) == before


def test_known_and_unknown_numbers_get_the_same_answer(crm: Any, asha: Any) -> None:
    answers = [create(crm, "lead", "ben", mobile=mobile).get_json() for mobile in (MOBILE, UNKNOWN)]
    varying = {"id", "number", "mobile", "reply_due_on", "resolve_due_on", "created_on", "changed_on", "sla"}
    varying |= {"next_follow_up_on"}
    same = [{name: value for name, value in each["result"].items() if name not in varying} for each in answers]
    assert same[0] == same[1] and answers[0]["remarks"] == answers[1]["remarks"]
    for known in (True, False):
        query = {"filters": [{"col": "customer", "opr": "null", "value": known}]}
        found = crm.client("ben").rest("GET", "lead/", q=query).get_json()["ids"]
        assert len([key for key in found if key in {each["id"] for each in answers}]) == (2 if known else 0)
    timelines = [
        [(line.kind, sorted(line.payload)) for line in crm.rows(select(Activity).where(Activity.lead_id == each["id"]))]
        for each in answers
    ]
    assert timelines[0] == timelines[1]


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_a_masked_number_cannot_be_tested_by_a_lead(crm: Any, make: Any, asha: Any, level: str) -> None:
    make.mask("Sales User", mobile=level, alternative_mobile=level)
    for mobile in (MOBILE, OTHER):
        assert create(crm, "lead", "ana", mobile=mobile).get_json()["result"]["customer"] is None
    assert crm.client("ana").rest("GET", "customer/links").get_json()["result"] == []
    page = crm.client("ana").screen(f"/customers/{asha.number}").text
    assert "/customers/links/" not in page


def test_a_masked_email_cannot_be_tested_by_a_proposal(crm: Any, make: Any, asha: Any) -> None:
    make.mask("Sales User", email="last4")
    keys = [
        create(crm, "lead", "ana", mobile=MOBILE, email=email).get_json()["id"]
        for email in ("asha@example.in", "else@example.in")
    ]
    found = [payloads(crm, Activity, Activity.kind == "proposal", Activity.lead_id == key) for key in keys]
    names = [[change[:2] for line in each for change in line["changes"]] for each in found]
    assert names[0] == names[1] and ["email", None] in names[0]


def test_who_sees_the_customer_links_at_once_and_the_audit_says_so(crm: Any, asha: Any) -> None:
    result = create(crm, "lead", "ana", mobile=MOBILE).get_json()["result"]
    assert result["customer"]["number"] == asha.number
    entries = crm.rows(select(AuditEntry).where(AuditEntry.event == "customer link"))
    assert [(each.about, each.payload["state"]) for each in entries] == [
        (f"{result['number']} → {asha.number}", "linked")
    ]


@pytest.mark.parametrize("decider", ["ana", "mia", "root"])
@pytest.mark.parametrize("confirm", [True, False])
def test_the_owner_or_a_manager_decides_about_a_link(crm: Any, asha: Any, decider: str, confirm: bool) -> None:
    lead = create(crm, "lead", "ben", mobile=MOBILE, email="new@example.in").get_json()["id"]
    notices = crm.rows(select(Notification.user_id).where(Notification.kind == "link"))
    assert notices == [crm.people["ana"].id]
    client = crm.client(decider)
    (link,) = client.rest("GET", "customer/links").get_json()["result"]
    assert link["requested_by"]["username"] == "ben"
    assert client.rest("POST", f"customer/{asha.id}/links", {"link": link["id"], "confirm": confirm}).status_code == 200
    assert client.rest("POST", f"customer/{asha.id}/links", {"link": link["id"], "confirm": confirm}).status_code == 409
    assert crm.client("ben").sees(asha) is confirm
    row = crm.rows(select(Lead).where(Lead.id == lead))[0]
    assert (row.customer_id, row.mobile) == ((asha.id, None) if confirm else (None, MOBILE))
    proposals = payloads(crm, Activity, Activity.lead_id == lead, Activity.kind == "proposal")
    assert bool(proposals) is confirm
    states = payloads(crm, AuditEntry, AuditEntry.event == "customer link")
    assert [each["state"] for each in states] == ["waiting", "linked" if confirm else "refused"]


@pytest.mark.parametrize("who", ["ben", "max", "cleo", "rhea"])
def test_nobody_else_decides_about_a_link(crm: Any, asha: Any, who: str) -> None:
    create(crm, "lead", "ben", mobile=MOBILE)
    (key,) = crm.rows(select(CustomerLink.id))
    client = crm.client(who)
    assert client.rest("POST", f"customer/{asha.id}/links", {"link": key, "confirm": True}).status_code in (403, 404)
    assert client.form(f"/customers/links/{asha.id}/{key}?confirm=1").status_code in (403, 404)
    assert crm.rows(select(CustomerLink.status)) == ["Waiting"]


def test_the_page_of_the_customer_offers_both(crm: Any, asha: Any) -> None:
    create(crm, "lead", "ben", mobile=MOBILE)
    (key,) = crm.rows(select(CustomerLink.id))
    page = crm.client("ana").screen(f"/customers/{asha.number}").text
    assert f"/customers/links/{asha.id}/{key}?confirm=1" in page and "Refuse the link" in page
    assert crm.client("ana").form(f"/customers/links/{asha.id}/{key}?confirm=1").status_code == 302
    assert crm.rows(select(Lead.customer_id)) == [asha.id]


def test_another_number_drops_the_waiting_link(crm: Any, asha: Any) -> None:
    key = create(crm, "lead", "ben", mobile=MOBILE).get_json()["id"]
    assert crm.client("ben").rest("PUT", f"lead/{key}", {"mobile": UNKNOWN}).status_code == 200
    assert crm.rows(select(CustomerLink.status)) == ["Dropped"]


def open_by_rest(crm: Any, key: int, status: str) -> int:
    values = {"status": status, "client_id": "Z100"}
    return int(crm.client("ben").rest("PUT", f"lead/{key}", values).status_code)


def open_by_form(crm: Any, key: int, status: str) -> int:
    (status_id,) = crm.rows(select(LeadStatus.id).where(LeadStatus.label == status))
    values = {"status": str(status_id), "client_id": "Z100", "first_name": "Typed"}
    return int(crm.client("ben").form(f"/leads/edit/{key}", values).status_code)


def open_by_old_api(crm: Any, key: int, status: str) -> int:
    method = "crm.api.lead_operations.update_lead_status_with_client_id"
    (number,) = crm.rows(select(Lead.number).where(Lead.id == key))
    body = {"lead_name": number, "status": status, "client_id": "Z100"}
    return int(crm.client("ben").rest("POST", f"/api/method/{method}", body).status_code)


@pytest.mark.parametrize("endpoint", [open_by_rest, open_by_form, open_by_old_api])
@pytest.mark.parametrize("status", ["Account Opened", "Account Activated"])
def test_opening_an_account_opens_no_stranger_until_the_link_is_confirmed(
    crm: Any, asha: Any, endpoint: Any, status: str
) -> None:
    key = create(crm, "lead", "ben", mobile=MOBILE).get_json()["id"]
    before = crm.stored(asha)
    assert endpoint(crm, key, status) in (409, 417, 422)
    assert crm.stored(asha) == before and crm.count(CustomerAccount) == 0
    assert crm.rows(select(Lead.customer_id, Lead.client_id)) == [(None, None)]
    assert not crm.client("ben").sees(asha)
    (link,) = crm.client("ana").rest("GET", "customer/links").get_json()["result"]
    body = {"link": link["id"], "confirm": True}
    assert crm.client("ana").rest("POST", f"customer/{asha.id}/links", body).status_code == 200
    assert endpoint(crm, key, status) in (200, 302)
    assert crm.rows(select(Lead.customer_id, Lead.client_id)) == [(asha.id, "Z100")]


def test_a_refused_opening_asks_for_the_link(crm: Any, make: Any) -> None:
    """The customer got the number after the lead, so nothing waits yet."""
    key = create(crm, "lead", "ben", mobile=MOBILE).get_json()["id"]
    asha = make.customer("ana", first_name="Asha", mobile=MOBILE)
    assert crm.rows(select(CustomerLink)) == []
    assert open_by_rest(crm, key, "Account Opened") == 422
    assert crm.rows(select(CustomerLink.customer_id, CustomerLink.lead_id)) == [(asha.id, key)]
    entries = payloads(crm, AuditEntry, AuditEntry.event == "customer link")
    assert [(each["how"], each["state"]) for each in entries] == [("conversion", "waiting")]
    assert open_by_rest(crm, key, "Account Opened") == 422 and crm.count(CustomerLink) == 1


def test_opening_the_account_of_a_new_lead_opens_no_stranger(crm: Any, asha: Any) -> None:
    answer = create(crm, "lead", "ben", mobile=MOBILE, status="Account Opened", client_id="Z100")
    assert answer.status_code == 422 and "Asha" not in answer.text
    assert crm.count(Lead) == 0 and not crm.client("ben").sees(asha)


def test_a_lead_that_names_the_account_of_another_lead_does_not_rename_it(crm: Any, asha: Any) -> None:
    """Both are Ana's; the second one is corrected to an account of its own."""
    for code in ("E100", "E100"):
        key = create(crm, "lead", "ana", mobile=MOBILE).get_json()["id"]
        values = {"status": "Account Opened", "client_id": code}
        assert crm.client("ana").rest("PUT", f"lead/{key}", values).status_code == 200
    assert crm.client("ana").rest("PUT", f"lead/{key}", {"client_id": "E200"}).status_code == 200
    accounts = select(CustomerAccount.client_id, CustomerAccount.lead_id).order_by(CustomerAccount.client_id)
    assert crm.rows(accounts) == [("E100", key - 1), ("E200", key)]


@pytest.mark.parametrize("kind", ["lead", "ticket"])
def test_who_enters_a_known_customer_differently_is_told_what_became_of_it(
    crm: Any, make: Any, asha: Any, kind: str
) -> None:
    make.cell("Sales User", "Tickets", "create", "own")
    make.cell("Sales User", "Tickets", "read", "own")
    known = create(crm, kind, "ana", mobile=MOBILE).get_json()
    assert "proposal in the timeline" in known["remarks"][0]  # of the name
    same = create(crm, kind, "ana", first_name="Asha", mobile=MOBILE).get_json()
    assert "remarks" not in same
    page = crm.client("ana").form(
        f"/{kind}s/add",
        {"first_name": "Typed", "mobile": MOBILE} | ({"subjects": "1"} if kind == "ticket" else {}),
        follow_redirects=True,
    )
    assert "It was linked to the customer who is known already." in page.text


def test_a_number_that_is_entered_later_links_the_lead_and_says_what_is_proposed(crm: Any, asha: Any) -> None:
    key = create(crm, "lead", "ana").get_json()["id"]
    answer = crm.client("ana").rest("PUT", f"lead/{key}", {"mobile": MOBILE}).get_json()
    assert answer["result"]["customer"]["id"] == asha.id
    assert "proposal in the timeline" in answer["remarks"][0]


def test_contact_fields_of_a_linked_lead_need_the_right_to_write_its_customer(crm: Any, make: Any, asha: Any) -> None:
    key = create(crm, "lead", "ana", mobile=MOBILE).get_json()["id"]
    make.cell("Sales User", "Customers", "write", "none")
    before = crm.stored(asha)
    answer = crm.client("ana").rest("PUT", f"lead/{key}", {"email": "new@example.in", "pan": "ABCDE1234F"})
    assert answer.status_code == 200 and "proposal" in answer.get_json()["remarks"][0]
    page = crm.client("ana").form(f"/leads/edit/{key}", {"email": "form@example.in"}, follow_redirects=True)
    assert "proposal" in page.text
    assert crm.stored(asha) == before
    lines = payloads(crm, Activity, Activity.kind == "proposal", Activity.actor_id.is_not(None))
    assert [change for line in lines for change in line["changes"]][1:] == [  # the first one is that of the creation
        ["email", "asha@example.in", "new@example.in"],
        ["pan", None, None],
        ["email", "asha@example.in", "form@example.in"],
    ]
    make.cell("Sales User", "Customers", "write", "own")
    assert crm.client("ana").rest("PUT", f"lead/{key}", {"email": "new@example.in"}).status_code == 200
    assert crm.fresh(asha).email == "new@example.in"


def test_a_call_to_a_strangers_number_opens_nothing(crm: Any, make: Any, asha: Any) -> None:
    make.cell("Sales User", "Tickets", "create", "own")
    make.cell("Sales User", "Tickets", "read", "own")
    call = make.call("ben", to_number=MOBILE, customer_id=asha.id)
    for kind in ("ticket", "lead"):
        assert crm.client("ben").form(f"/calls/{kind}/{call.id}").status_code == 302
    assert crm.rows(select(Ticket.customer_id)) == [None] and crm.rows(select(Lead.customer_id)) == [None]
    assert not crm.client("ben").sees(asha)


def test_a_role_without_customers_creates_none_by_a_ticket(crm: Any, make: Any) -> None:
    make.cell("Support User", "Customers", "create", "none")
    result = create(crm, "ticket", "cleo", mobile=UNKNOWN).get_json()["result"]
    assert (result["customer"], result["caller"], result["mobile"]) == (None, "Typed", "+919820099999")
    assert crm.count(Customer) == 0
