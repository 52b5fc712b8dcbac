"""Access rules at every endpoint: records that a user can't see behave as missing, and can't be changed by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Mapped, class_mapper, mapped_column
from werkzeug.test import EnvironBuilder

from app import access
from app.domain.base import Record, Stamp
from app.domain.picklists import LeadStatus
from app.models import Activity, AssignmentRequest, CallLog, Customer, Delivery, Lead, Notification, Task, User
from tests.app_fixtures import KINDS, Crm
from tests.factories import NOW

EVERYBODY = ("ana", "ben", "mia", "max", "cleo", "sam", "rhea", "root")
SALES = {"ana", "mia", "rhea", "root"}
#: kind -> who sees the record of that kind in `samples`.
SEEN_BY = {
    "lead": SALES,
    "customer": SALES,
    "task": SALES,
    "call": SALES,
    "message": SALES,
    "request": SALES,
    "ticket": {"cleo", "sam", "rhea", "root"},
}
#: kind -> a user of the same role in another team.
OUTSIDER = dict.fromkeys(SEEN_BY, "ben") | {"ticket": "dev"}
#: kind -> a change that its assignee can make.
CHANGE = {
    "lead": {"description": "Changed"},
    "customer": {"referred_by": "C9"},
    "task": {"title": "Changed"},
    "call": {"outcome": "Changed"},
    "message": {"body": "Changed"},
    "ticket": {"description": "Changed"},
    "request": {"status": "Rejected", "decision_note": "No"},
}
MISSING = 987_654
REFUSED = (403, 404, 405)


@dataclass
class Samples:
    """One record of every kind: Ana's, and a ticket of Cleo's."""

    crm: Crm
    rows: dict[str, Any]

    def everything(self) -> dict[str, list[Any]]:
        """All rows under access rules, except sign-ins and audit."""
        names = [r.__tablename__ for r in access.RULES if r.__tablename__ not in ("sign_in", "audit_entry")]
        with self.crm.engine.connect() as raw:
            return {name: raw.exec_driver_sql(f"SELECT * FROM {name}").all() for name in names}  # noqa: S608


@pytest.fixture
def samples(crm: Crm) -> Samples:
    make = crm.make
    lead = make.lead("ana", email="ravi@example.in")
    rows = {
        "lead": lead,
        "customer": make.customer("ana"),
        "task": make.task(lead),
        "call": make.call("ana"),
        "message": make.message("ana"),
        "request": make.request(lead, "mia"),
        "ticket": make.ticket("cleo"),
    }
    make.user("dev", "Support User")
    return Samples(crm, rows)


def urls_of(row: Any) -> tuple[str, str, str]:
    """(REST resource, root of the screens, permalink) of a row."""
    kind, base = KINDS[row.__tablename__]
    return kind, base, f"{base}/{getattr(row, 'number', None) or f'show/{row.id}'}"


# --- who sees what


def endpoints_that_show(client: Any, row: Any) -> dict[str, bool]:
    """Endpoint -> whether it shows the row to the user."""
    kind, base, link = urls_of(row)
    listed, found = client.rest("GET", f"{kind}/").get_json(), client.screen(f"{base}/lookup")
    hits = found.get_json()["results"] if found.status_code == 200 else []
    return {
        "get": client.rest("GET", f"{kind}/{row.id}").status_code == 200,
        "list": row.id in listed.get("ids", ()),
        "page": client.screen(f"{base}/show/{row.id}").status_code == 200,
        "permalink": client.screen(link).status_code == 200,
        "timeline": client.screen(f"{base}/timeline/{row.id}").status_code == 200,
        "rows": f'"{link}"' in client.screen(f"{base}/{'?tab=all' if kind == 'assignment_request' else ''}").text,
        "lookup": row.id in [hit["value"] for hit in hits],
    }


def test_every_endpoint_shows_a_record_to_the_same_users(samples: Samples) -> None:
    shown = {
        (kind, name): endpoints_that_show(samples.crm.client(name), samples.rows[kind])
        for kind in SEEN_BY
        for name in EVERYBODY
    }
    expected = {case: dict.fromkeys(found, case[1] in SEEN_BY[case[0]]) for case, found in shown.items()}
    assert {case: found for case, found in shown.items() if found != expected[case]} == {}


def test_support_sees_no_lead_at_any_endpoint(samples: Samples) -> None:
    cleo, lead = samples.crm.client("cleo"), samples.rows["lead"]
    for path in (
        "/",
        "/leads/",
        "/tasks/",
        "/customers/",
        "/calls/",
        "/messages/",
        "/requests/?tab=mine",
        "/bell/panel",
    ):
        assert lead.number not in cleo.screen(path).text, path
    for kind in ("lead", "task", "activity", "customer", "call_log", "message", "assignment_request", "notification"):
        assert lead.number not in cleo.rest("GET", f"{kind}/").text, kind


def test_support_sees_a_customer_without_its_leads(crm: Crm) -> None:
    lead = crm.make.lead("ana", description="Sales only")
    customer = crm.make.customer("ana")
    row = crm.session.merge(lead)
    row.customer_id = customer.id
    crm.session.commit()
    crm.make.ticket("cleo", customer_id=customer.id)
    crm.client("ana").form(f"/leads/note/{lead.id}", {"body": "He haggles"})
    cleo = crm.client("cleo")
    assert cleo.sees(customer)
    for answer in (cleo.rest("GET", "activity/"), cleo.screen(f"/customers/show/{customer.id}")):
        assert lead.number not in answer.text and "haggles" not in answer.text


def test_counts_and_deep_pages_cover_visible_rows_only(crm: Crm) -> None:
    own = [crm.make.lead("ana", task={}).id for _ in range(2)]
    for _ in range(3):
        crm.make.lead("ben", task={})
    ana = crm.client("ana")
    first = ana.rest("GET", "lead/", q={"page_size": 1}).get_json()
    assert (first["count"], first["ids"]) == (2, own[1:])
    assert ana.rest("GET", "lead/", q={"page_size": 1, "page": 450}).get_json()["ids"] == []
    assert ana.rest("GET", "lead/", q={"page_size": 100, "cursor": own[1]}).get_json()["ids"] == own[:1]


def test_a_deep_page_contains_visible_rows_only(crm: Crm) -> None:
    first = crm.make.lead("ana", task={})
    status = first.status_id
    for n in range(900):
        who = crm.people["ana" if n % 2 else "ben"].id
        row = Lead(number=f"L{n:05d}", status_id=status, status_on=first.created_on, version=1, category="Direct")
        row.assignee_id = row.owner_id = who
        row.stamp(Stamp(who, first.created_on))
        crm.session.add(row)
    crm.session.commit()
    page = crm.client("ana").rest("GET", "lead/", q={"page_size": 10, "page": 42}).get_json()
    assert len(page["ids"]) == 10 and page["count"] == 451


# --- users can't change what they don't see


def all_requests(client: Any, row: Any, kind: str, key: int) -> dict[str, Any]:
    """Responses to every way to read or change a record by its id."""
    resource, base, _link = urls_of(row)
    change, me = CHANGE[kind], client.who.id
    status = {"lead": 2, "ticket": 2, "task": "Done", "call": "Failed"}.get(kind, "Approved")
    made = {
        "get": client.rest("GET", f"{resource}/{key}"),
        "put": client.rest("PUT", f"{resource}/{key}", change),
        "delete": client.rest("DELETE", f"{resource}/{key}"),
        "give": client.rest("POST", f"{resource}/{key}/assign", {"assign_to": me}),
        "page": client.screen(f"{base}/show/{key}"),
        "form": client.screen(f"{base}/edit/{key}"),
        "timeline": client.screen(f"{base}/timeline/{key}"),
        "save": client.form(f"{base}/edit/{key}", {**change, "version": "1"}),
        "move": client.form(f"{base}/move/{key}", {"status": status, "task_title": "x"}),
        "note": client.form(f"{base}/note/{key}", {"body": "I was here"}),
        "remove": client.form(f"{base}/delete/{key}"),
        "done": client.form(f"{base}/done/{key}"),
        "decide": client.form(f"{base}/decide/{key}", {"approve": "1"}),
        "convert": client.form(f"{base}/convert/{key}"),
        "assign page": client.screen(f"{base}/assign/{key}"),
        "assign": client.form(f"{base}/assign/{key}", {"how": "person", "assignee": me}),
        "by turn": client.form(f"{base}/assign/{key}", {"how": "role", "role": "Sales User"}),
        "ask": client.form(f"{base}/assign/{key}", {"how": "request", "assignee": me, "reason": "please"}),
    }
    for name in ("assign", "status", "done", "delete"):
        more = {"action": name, "assignee": me, "status": status}
        client.form(f"{base}/action_post", more | {"rowid": key})
        client.form(f"{base}/action/{name}/{key}", more)
    return made


def comparable_text(text: str) -> str:
    """The response without ids and CSRF tokens."""
    return re.sub(r"\d+", "", re.sub(r"k\.[\w.-]{40,}|[\w-]{8,}\.[\w-]{5,}\.[\w-]{10,}", "", text))


def test_an_invisible_record_behaves_as_missing_at_every_endpoint(samples: Samples) -> None:
    before = samples.everything()
    for kind, row in samples.rows.items():
        foreign, missing = (  # each in a session of its own: a page shows what the form before it has said
            all_requests(samples.crm.client(OUTSIDER[kind]), row, kind, key) for key in (row.id, MISSING)
        )
        for name, answer in foreign.items():
            assert answer.status_code in REFUSED, (kind, name)
            assert answer.status_code == missing[name].status_code, (kind, name)
            assert comparable_text(answer.text) == comparable_text(missing[name].text), (kind, name)
        assert samples.everything() == before, kind


def test_a_manager_of_another_team_can_change_nothing(samples: Samples) -> None:
    before, client = samples.everything(), samples.crm.client("max")
    for kind, row in samples.rows.items():
        if kind not in ("ticket", "customer"):
            for name, answer in all_requests(client, row, kind, row.id).items():
                assert answer.status_code in REFUSED, (kind, name)
            assert samples.everything() == before, kind


def test_compliance_reads_all_and_changes_nothing(samples: Samples) -> None:
    client, before = samples.crm.client("rhea"), samples.everything()
    open_to_read = {"get", "page", "timeline", "assign page"}
    for kind, row in samples.rows.items():
        for name, answer in all_requests(client, row, kind, row.id).items():
            expected = (200, 404) if name in open_to_read else (302, *REFUSED)
            assert answer.status_code in expected, (kind, name)
        assert samples.everything() == before, kind
    for resource in ("lead", "ticket", "customer", "task", "call_log", "message", "activity", "assignment_request"):
        assert client.rest("POST", f"{resource}/", {}).status_code == 403, resource
    assert samples.everything() == before


def test_an_anonymous_user_is_sent_to_the_sign_in_page(samples: Samples) -> None:
    client, before = samples.crm.client(None), samples.everything()
    for number, (kind, row) in enumerate(samples.rows.items()):
        resource, base, link = urls_of(row)
        assert client.rest("GET", f"{resource}/{row.id}").status_code == 401, kind
        wrong = {"Authorization": "token a:b"}
        place = {"REMOTE_ADDR": f"10.0.0.{number}"}  # from one address, only a few wrong keys are tried
        answer = client.rest("PUT", f"{resource}/{row.id}", CHANGE[kind], headers=wrong, environ_base=place)
        assert answer.status_code in (401, 405), kind
        for path in (link, f"{base}/", f"{base}/lookup"):
            assert client.screen(path).location.startswith("/login/"), path
        assert client.form(f"{base}/note/{row.id}", {"body": "hello"}).status_code == 302, kind
    assert samples.everything() == before


def test_a_bulk_action_changes_own_rows_and_refuses_others_by_number(crm: Crm, stored: Any) -> None:
    own, foreign = crm.make.lead("ana"), crm.make.lead("ben")
    before, ana = stored(foreign), crm.client("ana")
    move = {"action": "status", "status": crm.lead_status["Contacted"], "rowid": [own.id, foreign.id, MISSING]}
    page = ana.form("/leads/action_post", move, follow_redirects=True).text
    assert stored(own)["status_id"] == crm.lead_status["Contacted"]
    assert stored(foreign) == before and "2 records were not changed: " in page


# --- nothing can be attached to an invisible record


#: (resource, field of the record that it belongs to, its other fields).
ATTACHED = (
    ("task", "lead", {"title": "Call"}),
    ("call_log", "lead", {"direction": "Outgoing", "status": "Completed", "started_on": "2026-01-05T10:00+05:30"}),
    ("call_log", "customer", {"direction": "Outgoing", "status": "Completed", "started_on": "2026-01-05T10:00"}),
    ("message", "lead", {"channel": "sms", "peer": "9820012345", "body": "Hi"}),
    ("message", "customer", {"channel": "sms", "peer": "9820012345", "body": "Hi"}),
    ("activity", "lead", {"text": "I was here"}),
    ("activity", "customer", {"text": "I was here"}),
    ("assignment_request", "lead", {"requested_user": "ben", "reason": "Give it to me"}),
)


def test_nothing_can_be_attached_to_an_invisible_record(samples: Samples) -> None:
    ben, before = samples.crm.client("ben"), samples.everything()
    for resource, field, values in ATTACHED:
        missing = ben.rest("POST", f"{resource}/", values | {field: MISSING}).get_json()["message"]
        for name in (samples.rows[field].id, samples.rows[field].number):
            answer = ben.rest("POST", f"{resource}/", values | {field: name})
            refusal = answer.get_json()
            assert (answer.status_code, list(refusal["errors"])) == (422, [field]), (resource, name)
            assert missing.replace(str(MISSING), "") == refusal["message"].replace(str(name), ""), (resource, name)
    assert samples.everything() == before


def test_no_form_attaches_anything_to_an_invisible_record(samples: Samples) -> None:
    before, lead = samples.everything(), samples.rows["lead"]
    values = {
        "title": "x",
        "direction": "Outgoing",
        "status": "Completed",
        "started_on": "2026-01-05T10:00",
        "channel": "sms",
        "peer": "9820012345",
        "body": "Hi",
        "requested_user": "ben",
        "reason": "Mine",
        "lead": lead.id,
    }
    for path in ("/tasks/add", "/calls/add", "/messages/add", "/requests/add"):
        page = samples.crm.client("ben").form(path, values | ({"status": "Todo"} if path == "/tasks/add" else {}))
        assert page.status_code == 422 and "There is no such record" in page.text, path
    assert samples.everything() == before


def test_support_cannot_attach_a_ticket_to_an_invisible_lead(samples: Samples) -> None:
    before = samples.everything()
    values = {"subjects": ["Re-KYC"], "lead": samples.rows["lead"].id}
    assert samples.crm.client("cleo").rest("POST", "ticket/", values).status_code == 422
    values = {"lead": samples.rows["lead"].number}
    assert samples.crm.client("cleo").rest("PUT", f"ticket/{samples.rows['ticket'].id}", values).status_code == 422
    assert samples.everything() == before


def test_a_request_about_an_invisible_record_accepts_no_note(crm: Crm) -> None:
    lead = crm.make.lead("ben")
    asked = crm.make.request(lead, "ana", who="ben")
    ana = crm.client("ana")
    assert ana.sees(asked) and not ana.sees(lead)
    assert ana.form(f"/requests/note/{asked.id}", {"body": "hello"}).status_code == 404
    assert crm.count(Activity, Activity.kind == "note") == 0


def test_a_reference_to_an_invisible_record_shows_nothing_of_it(crm: Crm) -> None:
    lead = crm.make.lead("ben")
    asked = crm.make.request(lead, "ana", who="ben")
    ana = crm.client("ana")
    assert ana.rest("GET", f"assignment_request/{asked.id}").get_json()["result"]["lead"] is None
    for page in (f"/requests/show/{asked.id}", "/requests/?tab=all", "/requests/lookup"):
        assert lead.number not in ana.screen(page).text


# --- changes of access


def test_a_former_assignee_loses_access_at_once(crm: Crm) -> None:
    lead = crm.make.lead("root", assignee_id=crm.people["ana"].id)
    assert crm.client("ana").sees(lead)
    crm.make.give(lead, "ben")
    assert not crm.client("ana").sees(lead) and crm.client("ben").sees(lead)


def test_a_delegate_sees_rows_only_during_the_leave(crm: Crm) -> None:
    lead, now = crm.make.lead("ana"), datetime.now(UTC)
    ana = crm.session.get(User, crm.people["ana"].id)
    for start, end, sees in ((-2, -1, False), (-1, 1, True), (1, 2, False)):
        ana.delegate_id = crm.people["ben"].id
        ana.leave_from, ana.leave_to = now + timedelta(days=start), now + timedelta(days=end)
        crm.session.commit()
        assert crm.client("ben").sees(lead) is sees


def test_a_managers_access_follows_their_reports(crm: Crm) -> None:
    lead, ben = crm.make.lead("ben"), crm.session.get(User, crm.people["ben"].id)
    for manager, sees in (("mia", True), ("max", False)):
        ben.manager_id = crm.people[manager].id
        crm.session.commit()
        assert crm.client("mia").sees(lead) is sees


def test_a_permission_removed_in_the_matrix_takes_effect_at_once(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    assert crm.client("ana").sees(lead)
    crm.make.cell("Sales User", "Leads", "read", "none")
    assert not crm.client("ana").sees(lead)


def test_a_deactivated_user_has_no_access(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.session.get(User, crm.people["ana"].id)
    ana.active = False
    crm.session.commit()
    client = crm.client("ana")
    assert client.rest("GET", f"lead/{lead.id}").status_code == 401
    assert client.screen(f"/leads/show/{lead.id}").location.startswith("/login/")


def test_reading_all_but_assigning_in_the_team_assigns_no_other_lead(crm: Crm, stored: Any) -> None:
    crm.make.cell("Sales Manager", "Leads", "read", "all")
    lead, mia = crm.make.lead("ben"), crm.client("mia")
    before = stored(lead)
    assert mia.rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ana"}).status_code == 403
    assert mia.rest("POST", f"lead/{lead.id}/assign", {"assign_to_role": "Sales User"}).status_code == 403
    for how in ({"how": "person", "assignee": "ana"}, {"how": "role", "role": "Sales User"}):
        assert mia.form(f"/leads/assign/{lead.id}", how).status_code == 403
    mia.form("/leads/action_post", {"action": "assign", "assignee": "ana", "rowid": lead.id})
    assert stored(lead) == before


def test_reading_all_but_writing_own_changes_no_other_lead(crm: Crm, stored: Any) -> None:
    crm.make.cell("Sales User", "Leads", "read", "all")
    lead, ana = crm.make.lead("ben"), crm.client("ana")
    before = stored(lead)
    assert ana.rest("GET", f"lead/{lead.id}").status_code == 200
    for name, answer in all_requests(ana, lead, "lead", lead.id).items():
        if name not in ("get", "page", "timeline", "assign page", "note", "ask"):
            assert answer.status_code in REFUSED, name
    assert stored(lead) == before


@pytest.mark.parametrize("kind", ["customer", "task", "call"])
def test_reading_all_leads_changes_nothing_attached_to_others(crm: Crm, stored: Any, kind: str) -> None:
    lead, make = crm.make.lead("ben"), crm.make
    make.cell("Sales User", "Leads", "read", "all")
    customer = make.customer("ben")
    crm.session.execute(update(Lead).where(Lead.id == lead.id).values(customer_id=customer.id))
    crm.session.commit()
    row = (
        customer
        if kind == "customer"
        else make.task(lead, "ben")
        if kind == "task"
        else (getattr(make, kind)("ben", lead_id=lead.id))
    )
    before = stored(row)
    for which, answer in all_requests(crm.client("ana"), row, kind, row.id).items():
        assert answer.status_code in REFUSED or which in ("get", "page", "timeline", "note"), which
    assert stored(row) == before
    resource = urls_of(row)[0]
    assert crm.client("ana").rest("GET", f"{resource}/{row.id}").status_code == 200
    assert crm.client("ben").rest("PUT", f"{resource}/{row.id}", CHANGE[kind]).status_code == 200


@pytest.mark.parametrize("kind", ["lead", "customer"])
@pytest.mark.parametrize(
    ("module", "said"), [("Notes", "He moves to Pune"), ("Tasks", "Bring the form"), ("Call Logs", "Outgoing call")]
)
def test_timelines_omit_entries_of_modules_without_access(crm: Crm, kind: str, module: str, said: str) -> None:
    lead, make = crm.make.lead("ana", mobile="9820055555", task={}), crm.make
    about = lead if kind == "lead" else make.customer("ana")
    client, key = crm.client("ana"), {f"{kind}_id": about.id}
    assert client.form(f"/{kind}s/note/{about.id}", {"body": "He moves to Pune"}).status_code == 302
    make.call("ana", **key)
    if kind == "lead":
        make.task(lead, title="Bring the form")

    def shown() -> list[bool]:
        over_rest = client.rest("GET", "activity/", q={"page_size": 100}).text
        return [said in client.screen(f"/{kind}s/timeline/{about.id}").text, said in over_rest]

    is_there = kind == "lead" or module != "Tasks"
    before = shown()
    assert before[0] is is_there or module == "Call Logs"  # a page renders a call from the call itself
    assert before[1] is is_there
    make.cell("Sales User", module, "read", "none")
    assert shown() == [False, False]


# --- HEAD


def test_head_is_a_get_without_a_body(crm: Crm) -> None:
    lead, client = crm.make.lead("ana", task={}), crm.client("ana")
    call, before = crm.make.call("ana", lead_id=lead.id), crm.rows(select(Lead.id, Lead.first_name))
    typed = {"first_name": "By HEAD", "mobile": "9820066666", "outcome": "By HEAD", "version": "1"}
    for path in ("/leads/add", f"/leads/edit/{lead.id}", f"/calls/outcome/{call.id}", f"/calls/edit/{call.id}"):
        for asked in ({"query_string": typed}, {"data": typed}):
            answer = client.browser.head(path, **asked)
            assert (answer.status_code, answer.data) == (200, b""), path
    assert client.browser.head("/tasks/done/1").status_code == 405
    assert crm.rows(select(Lead.id, Lead.first_name)) == before
    assert crm.rows(select(CallLog.outcome)) == [None]


def test_a_lower_case_head_is_treated_as_head(crm: Crm) -> None:
    cookie = f"crm={crm.client('ana').browser.get_cookie('crm').value}"
    asked = EnvironBuilder("/leads/add", query_string={"first_name": "By head", "mobile": "9820066666"}).get_environ()
    heard: list[str] = []
    answer = crm.app.wsgi_app(
        asked | {"REQUEST_METHOD": "head", "HTTP_COOKIE": cookie},
        lambda status, _headers, _exc=None: heard.append(status),
    )
    assert (heard, list(answer), crm.count(Lead)) == (["200 OK"], [], 0)


# --- a user's own rows


def test_notifications_belong_to_their_recipient(crm: Crm, stored: Any) -> None:
    crm.make.give(crm.make.lead("ben"), "ana")
    (notice,) = crm.rows(select(Notification).where(Notification.user_id == crm.people["ana"].id))
    before = stored(notice)
    for name in ("ben", "mia", "root"):
        answer = crm.client(name).rest("PUT", f"notification/{notice.id}", {"read": True})
        assert answer.status_code == 404
        crm.client(name).form(f"/bell/read/{notice.id}")
    assert stored(notice) == before
    assert crm.client("ana").rest("PUT", f"notification/{notice.id}", {"read": True}).status_code == 200


def test_timeline_entries_over_rest_are_visible_with_their_record(samples: Samples) -> None:
    lines = samples.crm.rows(select(Activity).where(Activity.lead_id == samples.rows["lead"].id))
    for name, sees in (("ana", True), ("mia", True), ("ben", False), ("cleo", False)):
        client = samples.crm.client(name)
        ids = set(client.rest("GET", "activity/").get_json()["ids"])
        assert {line.id for line in lines} <= ids if sees else not ids & {line.id for line in lines}
        assert {client.rest("GET", f"activity/{line.id}").status_code for line in lines} == {200 if sees else 404}


# --- requests are decided by managers of the requested person


@pytest.mark.parametrize(
    "who, code", [("ana", 403), ("ben", 403), ("max", 404), ("cleo", 403), ("rhea", 403), ("mia", 200), ("root", 200)]
)
def test_who_decides_a_request(crm: Crm, stored: Any, who: str, code: int) -> None:
    crm.make.user("asha", "Sales User", "mia")
    asked = crm.make.request(crm.make.lead("ana"), "asha")
    answer = crm.client(who).rest("PUT", f"assignment_request/{asked.id}", {"status": "Approved"})
    assert answer.status_code == code
    assert stored(asked)["status"] == ("Approved" if code == 200 else "Pending")


def test_nobody_decides_their_own_request(crm: Crm, stored: Any) -> None:
    asked = crm.make.request(crm.make.lead("ana"), "mia")
    assert crm.client("mia").rest("PUT", f"assignment_request/{asked.id}", {"status": "Approved"}).status_code == 403
    assert stored(asked)["status"] == "Pending"


def test_a_request_is_approved_by_the_button_on_its_page(crm: Crm, stored: Any) -> None:
    crm.make.user("asha", "Sales User", "mia")
    lead = crm.make.lead("ana")
    asked = crm.make.request(lead, "asha")
    mia = crm.client("mia")
    assert f"/requests/decide/{asked.id}?approve=1" in mia.screen(f"/requests/{asked.number}").text
    mia.form(f"/requests/decide/{asked.id}?approve=1")
    assert stored(asked)["status"] == "Approved"
    assert stored(lead)["assignee_id"] == crm.people["asha"].id


# --- the session


def test_a_session_without_a_user_shows_no_rows(samples: Samples) -> None:
    with samples.crm.as_person(None) as session:
        for record in access.RULES:
            assert session.scalars(select(record)).unique().all() == [], record
            mapper = record.__mapper__  # by its attribute: a bare column has no rules
            key = getattr(record, mapper.get_property_by_column(mapper.primary_key[0]).key)
            assert session.execute(select(key)).all() == [], record


def test_a_record_without_a_rule_shows_no_rows(crm: Crm) -> None:
    class Diary(Record):  # type: ignore[misc]
        __tablename__ = "diary"
        text: Mapped[str] = mapped_column()

    Diary.__table__.create(crm.engine)
    diary = Diary(text="secret")
    diary.stamp(Stamp(None, datetime.now(UTC)))
    crm.session.add(diary)
    crm.session.commit()
    try:
        for name in (None, "ana", "root"):
            with crm.as_person(name) as session:
                assert session.scalars(select(Diary)).all() == []
                assert session.execute(select(Diary.text)).all() == []
                assert session.scalars(select(Lead).join(Diary, Diary.id == Lead.id, isouter=True)).all() == []
    finally:
        Record.metadata.remove(Diary.__table__)
        manager = class_mapper(Diary).class_manager
        Record.registry._dispose_manager_and_mapper(manager)
        del Record.registry._managers[manager]  # otherwise it stays among the mappers until garbage collection


def test_everyone_can_read_picklists(crm: Crm) -> None:
    with crm.as_person("cleo") as session:
        assert len(session.scalars(select(LeadStatus)).all()) > 10


def test_updates_and_deletes_by_query_reach_visible_rows_only(samples: Samples) -> None:
    before = samples.everything()
    with samples.crm.as_person("ben") as session:
        for record in (Lead, Task, Customer, AssignmentRequest):
            session.query(record).update({record.changed_by_id: None}, synchronize_session=False)
            session.query(record).delete(synchronize_session=False)
        session.commit()
    assert samples.everything() == before


def test_deliveries_of_other_users_notices_are_hidden(crm: Crm) -> None:
    told = Notification(event_key="x:1", kind="assigned", user_id=crm.people["ana"].id, at=NOW, payload={})
    crm.session.add(told)
    crm.session.flush()
    crm.session.add(Delivery(notification_id=told.id, channel="email", state="queued", at=NOW))
    crm.session.commit()
    for name, seen in (("ana", 1), ("ben", 0), ("mia", 0), ("root", 0)):
        with crm.as_person(name) as session:
            assert len(session.scalars(select(Delivery)).all()) == seen, name
