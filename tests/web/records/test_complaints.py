"""Complaints on pages and over REST: who sees them, how they are registered, joined and disposed of."""

from __future__ import annotations

import itertools
import re
from datetime import date, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.domain.audit_log.audit import AuditEntry
from app.domain.persistence.change_events import events_of_columns
from app.models import (
    BusinessSetting,
    Complaint,
    ComplaintCategory,
    ComplaintEntry,
    CustomerAccount,
    Notification,
    Ticket,
)
from app.web.core.localization.default_labels import shown_label
from app.web.core.view_registry import registered
from tests.cases import each_case
from tests.factories import NOW

SCORES = {"source": "SEBI SCORES", "category": "Demat", "title": "Shares not credited"}


def register(crm: Any, who: str, ticket: Any, **values: Any) -> Any:
    return crm.client(who).rest("POST", "complaint/", {"ticket": ticket.number, **SCORES, **values})


@pytest.fixture
def ticket(make: Any) -> Any:
    return make.ticket("cleo", mobile="9820012345", first_name="Asha", last_name="Patel")


@pytest.fixture
def complaint(crm: Any, ticket: Any) -> Any:
    answer = register(crm, "cleo", ticket, reference="SEBIE/1")
    assert answer.status_code == 201, answer.text
    return answer.get_json()["result"] | {"id": answer.get_json()["id"]}


def test_a_ticket_is_registered_and_its_clocks_start(crm: Any, complaint: Any, ticket: Any) -> None:
    assert complaint["number"].startswith("CRM-COMPLAINT-") and complaint["ticket"]["number"] == ticket.number
    assert complaint["outcome"] is None and complaint["report_due_on"] > complaint["received_on"]
    page = crm.client("cleo").screen(f"/tickets/{ticket.number}").text
    assert complaint["number"] in page and "days left" in page and "Register as complaint" not in page
    again = register(crm, "cleo", ticket)
    assert again.status_code == 409 and "already in the register" in again.get_json()["message"]


def test_a_reference_of_a_source_is_taken_once(crm: Any, make: Any, complaint: Any) -> None:
    other = make.ticket("cleo")
    answer = register(crm, "cleo", other, reference="sebie/1")
    assert answer.status_code == 422 and "reference" in answer.get_json()["errors"]
    assert register(crm, "cleo", other, reference="sebie/1", source="Depository").status_code == 201


@each_case("who, status", [("cleo", 200), ("sam", 200), ("rhea", 200), ("root", 200), ("ana", 403), ("mia", 403)])
def test_who_sees_a_complaint(crm: Any, complaint: Any, who: str, status: int) -> None:
    client = crm.client(who)
    assert client.rest("GET", f"complaint/{complaint['id']}").status_code == status
    seen = client.rest("GET", "complaint/").get_json()
    assert complaint["number"] not in str(seen) or status == 200


def test_the_rule_is_that_of_the_ticket_and_of_the_module(crm: Any, make: Any, complaint: Any) -> None:
    make.cell("Support User", "Complaints", "read", "none")
    assert crm.client("cleo").rest("GET", f"complaint/{complaint['id']}").status_code in (403, 404)
    page = crm.client("cleo").screen(f"/tickets/{complaint['ticket']['number']}").text
    assert complaint["number"] not in page
    make.cell("Support User", "Complaints", "read", "all")
    foreign = make.ticket("sam")
    hidden = register(crm, "sam", foreign).get_json()["id"]
    assert crm.client("cleo").rest("GET", f"complaint/{hidden}").status_code == 404


def test_masks_apply_to_the_number_of_the_investor(crm: Any, complaint: Any) -> None:
    assert (
        crm.client("cleo").rest("GET", f"complaint/{complaint['id']}").get_json()["result"]["mobile"] == "+919820012345"
    )
    shown = crm.client("rhea")
    assert "9820012345" not in shown.rest("GET", f"complaint/{complaint['id']}").text
    assert "9820012345" not in shown.screen(f"/complaints/{complaint['number']}").text


def test_a_new_complaint_makes_its_ticket_in_one_transaction(crm: Any) -> None:
    form = {"category": "1", "title": "Pay-out missing", "received_on": "2026-11-20", "source": "Investor"}
    refused = crm.client("cleo").form("/complaints/add", form)
    assert refused.status_code == 422 and "Pay-out missing" in refused.text
    assert crm.rows(select(Ticket)) == []
    wrong = form | {"first_name": "Asha", "mobile": "9820012345", "received_on": "2099-01-01"}
    assert crm.client("cleo").form("/complaints/add", wrong).status_code == 422
    assert crm.rows(select(Ticket)) == []
    made = crm.client("cleo").form("/complaints/add", form | {"first_name": "Asha", "mobile": "9820012345"})
    assert made.status_code == 302
    (row,), (ticket,) = crm.rows(select(Complaint)), crm.rows(select(Ticket))
    assert row.ticket_id == ticket.id and ticket.summary == "Pay-out missing" and ticket.complaint_state == "pending"
    assert row.officer_id == crm.people["cleo"].id


def test_the_way_of_a_complaint_on_pages(crm: Any, complaint: Any, ticket: Any) -> None:
    key, cleo = complaint["id"], crm.client("cleo")
    assert cleo.form(f"/complaints/acknowledge/{key}", {}).status_code == 302
    page = cleo.screen(f"/complaints/{complaint['number']}").text
    assert "Write the report" in page and "Done on" in _strip(page, "Acknowledgment due")
    assert f"/complaints/of/{ticket.id}" in cleo.screen(f"/tickets/{ticket.number}").text
    assert complaint["number"] in cleo.screen(f"/complaints/of/{ticket.id}", follow_redirects=True).text
    assert crm.client("ana").screen(f"/complaints/of/{ticket.id}").status_code == 403
    resolved = {"status": "Resolved", "resolution": "Done."}
    refused = cleo.rest("PUT", f"ticket/{ticket.id}", resolved)
    assert refused.status_code == 422 and "outcome of the complaint first" in refused.get_json()["message"]
    none = cleo.rest("PUT", f"complaint/{key}", {"outcome": "Resolved"})
    assert none.status_code == 422 and "report_actions" in none.get_json()["errors"]
    done = cleo.rest("PUT", f"complaint/{key}", {"outcome": "Resolved", "report_actions": "Credited."})
    assert done.status_code == 200 and done.get_json()["result"]["report_filed_on"]
    assert cleo.rest("PUT", f"ticket/{ticket.id}", resolved).status_code == 200
    assert "Can be asked for until" in cleo.screen(f"/complaints/{complaint['number']}").text
    reviewed = cleo.rest("PUT", f"complaint/{key}", {"review_stage": "First review"}).get_json()["result"]
    assert reviewed["review_due_on"] == reviewed["first_review_due_on"] is not None
    lines = cleo.screen(f"/complaints/timeline/{key}").text
    assert "registered this as a complaint" in lines and "Resolved" in lines


def _strip(page: str, label: str) -> str:
    """What the head of a page shows under a label."""
    found = re.search(rf"{label}</dt>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_after_the_report_comes_the_outcome(crm: Any, complaint: Any) -> None:
    cleo, key = crm.client("cleo"), complaint["id"]
    assert cleo.rest("PUT", f"complaint/{key}", {"acknowledged_on": complaint["received_on"]}).status_code == 200
    assert cleo.rest("PUT", f"complaint/{key}", {"report_actions": "Credited."}).status_code == 200
    page = cleo.screen(f"/complaints/{complaint['number']}").text
    assert "Enter the outcome" in page and "Write the report" not in page


def test_the_day_of_a_running_clock_is_in_its_hint(crm: Any, complaint: Any) -> None:
    day = date.fromisoformat(complaint["report_due_on"])
    assert f'title="{day:%a} {day.day} {day:%b %Y}"' in crm.client("cleo").screen("/complaints/?tab=pending").text


@each_case("language", ["hi", "gu", "mr"])
def test_all_categories_are_in_the_language_of_the_page(crm: Any, language: str) -> None:
    cleo = crm.client("cleo")
    assert cleo.form("/me/language", {"locale": language}).status_code == 302
    options = re.search(r'<select[^>]*name="category".*?</select>', cleo.screen("/complaints/add").text, re.DOTALL)
    assert options is not None
    labels = [row.label for row in crm.rows(select(ComplaintCategory))]
    assert len(labels) > 30 and not [label for label in labels if label in unescape(options[0])]
    assert "required" in options[0].split(">")[0], "nobody registers a complaint without one"


@each_case(
    "tab, is_there", [("pending", 1), ("acknowledge", 1), ("soon", 0), ("overdue", 0), ("scores", 1), ("all", 1)]
)
def test_the_tabs_of_the_list(crm: Any, complaint: Any, tab: str, is_there: int) -> None:
    page = crm.client("rhea").screen(f"/complaints/?tab={tab}").text
    assert (complaint["number"] in page) == bool(is_there)


def test_complaints_of_one_customer_are_suggested_joined_and_parted(crm: Any, make: Any) -> None:
    customer = make.customer("cleo", mobile="9820055555")
    keys = []
    for title in ("First", "Second"):
        made = make.ticket("cleo", customer_id=customer.id)
        keys.append(register(crm, "cleo", made, title=title).get_json())
    kept, other = ({"id": each["id"], "number": each["result"]["number"]} for each in keys)
    cleo = crm.client("cleo")
    page = cleo.screen(f"/complaints/{kept['number']}").text
    assert f"/complaints/join/{kept['id']}?other={other['number']}" in page
    missing = cleo.form(f"/complaints/join/{kept['id']}", {"other": "CRM-COMPLAINT-2026-99999"})
    assert missing.status_code == 422 and "99999" in missing.text
    assert cleo.form(f"/complaints/join/{kept['id']}", {"other": other["number"]}).status_code == 302
    assert {row.complaint_id for row in crm.rows(select(ComplaintEntry))} == {kept["id"]}
    changed = cleo.rest("PUT", f"complaint/{other['id']}", {"title": "Third"})
    assert changed.status_code == 422 and "joined to another one" in changed.get_json()["message"]
    assert "Part" in cleo.screen(f"/complaints/{other['number']}").text
    assert cleo.form(f"/complaints/part/{other['id']}", {}).status_code == 302
    assert len({row.complaint_id for row in crm.rows(select(ComplaintEntry))}) == 2


def test_an_entry_keeps_what_was_typed_when_it_is_refused(crm: Any, complaint: Any) -> None:
    url, cleo = f"/complaints/entry/{complaint['id']}", crm.client("cleo")
    refused = cleo.form(
        url, {"source": "SEBI SCORES", "reference": "SEBIE/1", "received_on": "2026-11-01", "remark": "r"}
    )
    assert refused.status_code == 422 and "SEBIE/1" in refused.text
    assert "must be a date" in cleo.form(url, {"source": "Investor", "received_on": "soon"}).text
    early = {"source": "Investor", "received_on": "2026-11-01", "way": "Telephone"}
    assert cleo.form(url, early).status_code == 302
    shown = cleo.rest("GET", f"complaint/{complaint['id']}").get_json()["result"]
    assert shown["report_due_on"] == "2026-11-22"


@pytest.fixture
def entry_url(crm: Any, complaint: Any) -> str:
    url, early = f"/complaints/entry/{complaint['id']}", {"source": "Investor", "received_on": "2026-11-01"}
    assert crm.client("cleo").form(url, early | {"way": "Telephone", "remark": "first"}).status_code == 302
    return f"{url}/{crm.rows(select(ComplaintEntry.id).where(ComplaintEntry.origin_id.is_(None)))[0]}"


def test_a_way_it_came_is_corrected(crm: Any, complaint: Any, entry_url: str) -> None:
    cleo = crm.client("cleo")
    assert entry_url in cleo.screen(f"/complaints/{complaint['number']}").text
    page = cleo.screen(entry_url).text
    assert "2026-11-01" in page and f"{entry_url}/remove" in page and 'value="first"' in page
    right = {"source": "Depository", "reference": "cd/9", "received_on": "2026-11-05", "way": "Letter", "remark": "r"}
    taken = right | {"source": "SEBI SCORES", "reference": "SEBIE/1"}
    for wrong, word in ((taken, "sebie/1"), (right | {"received_on": "2099-01-01"}, "future")):
        refused = cleo.form(entry_url, wrong)
        assert refused.status_code == 422 and word in refused.text.lower()
    assert cleo.form(entry_url, right).status_code == 302
    (entry,) = crm.rows(select(ComplaintEntry).where(ComplaintEntry.origin_id.is_(None)))
    assert (entry.source, entry.reference, entry.way) == ("Depository", "CD/9", "Letter")
    assert cleo.rest("GET", f"complaint/{complaint['id']}").get_json()["result"]["report_due_on"] == "2026-11-26"
    assert "corrected a way" in cleo.screen(f"/complaints/timeline/{complaint['id']}").text
    (noted,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "complaint"))
    assert noted.payload["what"] == "way changed" and noted.payload["old"]["received_on"] == "2026-11-01"
    assert noted.about == complaint["number"] and noted.user_id == crm.people["cleo"].id


def test_a_way_it_came_is_removed_and_the_audit_keeps_it(crm: Any, complaint: Any, entry_url: str) -> None:
    cleo, path = crm.client("cleo"), f"complaint/{complaint['id']}"
    before = complaint["report_due_on"]
    assert cleo.rest("GET", path).get_json()["result"]["report_due_on"] == "2026-11-22"
    assert cleo.form(f"{entry_url}/remove", {}).status_code == 302
    assert cleo.rest("GET", path).get_json()["result"]["report_due_on"] == before
    assert cleo.form(f"{entry_url}/remove", {}).status_code == 404
    (noted,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "complaint"))
    assert noted.payload["what"] == "way removed" and noted.payload["old"]["way"] == "Telephone"
    assert "removed a way" in cleo.screen(f"/complaints/timeline/{complaint['id']}").text


def test_the_entry_of_a_registered_complaint_stays(crm: Any, make: Any, complaint: Any, entry_url: str) -> None:
    other = register(crm, "cleo", make.ticket("cleo")).get_json()["result"]
    (own,) = crm.rows(select(ComplaintEntry.id).where(ComplaintEntry.origin_id == complaint["id"]))
    foreign = entry_url.replace(f"/{complaint['id']}/", f"/{other['id']}/")
    for url in (f"/complaints/entry/{complaint['id']}/{own}", foreign):
        assert crm.client("cleo").screen(url).status_code == 404
        assert crm.client("cleo").form(f"{url}/remove", {}).status_code == 404
    assert crm.client("ana").form(f"{entry_url}/remove", {}).status_code == 403
    assert len(crm.rows(select(ComplaintEntry))) == 3


def test_a_ticket_of_a_complaint_is_neither_deleted_nor_merged_away(crm: Any, make: Any, complaint: Any) -> None:
    root, other = crm.client("root"), make.ticket("cleo")
    ticket = complaint["ticket"]["id"]
    refused = root.rest("DELETE", f"ticket/{ticket}")
    assert refused.status_code == 422 and "register of complaints" in refused.get_json()["message"]
    merged = root.rest("POST", f"ticket/{other.id}/merge", {"with": [ticket]})
    assert merged.status_code == 422 and "register of complaints" in merged.get_json()["message"]


def test_the_officer_is_told_and_only_those_who_assign_choose_others(crm: Any, make: Any, complaint: Any) -> None:
    key = complaint["id"]
    assert crm.client("cleo").rest("PUT", f"complaint/{key}", {"officer": "sam"}).status_code == 403
    assert crm.client("rhea").rest("PUT", f"complaint/{key}", {"officer": "sam"}).status_code == 200
    told = crm.rows(select(Notification).where(Notification.kind == "complaint"))
    assert [(row.user_id, row.payload["what"]) for row in told] == [(crm.people["sam"].id, "officer")]
    assert complaint["number"] in crm.client("sam").screen("/bell/").text


def test_bad_input_is_refused_and_kept(crm: Any, complaint: Any) -> None:
    form = {"title": "x" * 300, "source": "SEBI SCORES", "category": "1", "version": "1", "received_on": "2026-13-45"}
    refused = crm.client("cleo").form(f"/complaints/edit/{complaint['id']}", form)
    assert refused.status_code == 422 and "2026-13-45" in refused.text
    for raw in (
        {"amount_in_dispute": "1e400"},
        {"amount_in_dispute": -5},
        {"review_stage": "Second review"},
        {"category": 10**12},
    ):
        assert crm.client("cleo").rest("PUT", f"complaint/{complaint['id']}", raw).status_code == 422


def test_days_are_those_of_the_office(crm: Any, make: Any) -> None:
    ticket = make.ticket("cleo")
    shown = register(crm, "cleo", ticket).get_json()["result"]
    (row,) = crm.rows(select(Complaint))
    assert row.report_due_on - row.received_on == timedelta(days=21) and shown["acknowledged_on"] is None


def test_complaints_are_searched_exported_and_told_to_webhooks(crm: Any, complaint: Any) -> None:
    rhea = crm.client("rhea")
    for typed in (complaint["number"], "not credited"):
        assert complaint["number"] in rhea.screen(f"/search?q={typed}").text
        assert complaint["number"] in rhea.screen(f"/complaints/?q={typed}").text
    body = {"kind": "complaint", "format": "csv", "columns": ["number", "source", "report_due_on", "mobile"]}
    file = rhea.rest("POST", "export/", body)
    assert file.status_code == 200 and complaint["number"] in file.text and "9820012345" not in file.text
    assert crm.client("cleo").rest("POST", "export/", body).status_code == 403
    assert events_of_columns("complaint", ["outcome", "changed_on"]) == {"changed"}
    with crm.app.app_context():
        assert registered("resources")[Complaint].resource_name == "complaint"


def test_complaints_are_found_by_references_and_by_their_person(crm: Any, make: Any, complaint: Any) -> None:
    customer = make.customer("cleo", last_name="Kulkarni")
    crm.session.add(CustomerAccount(customer_id=customer.id, client_id="ZX4711", created_on=NOW, changed_on=NOW))
    crm.session.commit()
    other = register(crm, "cleo", make.ticket("cleo", customer_id=customer.id)).get_json()["result"]
    entry = {"source": "Stock exchange", "reference": "NSE/77/2026", "received_on": "2026-01-02", "way": "Portal"}
    assert crm.client("cleo").form(f"/complaints/entry/{complaint['id']}", entry).status_code == 302
    wanted = dict.fromkeys(("SEBIE/1", "sebie/", "nse/77", "Patel", "asha patel", "98200 12345"), complaint["number"])
    wanted |= {complaint["ticket"]["number"]: complaint["number"], "ZX4711": other["number"], "kulk": other["number"]}
    for typed, number in wanted.items():
        for path in ("/search", "/complaints/"):
            assert number in crm.client("cleo").screen(f"{path}?q={quote(typed)}").text, (path, typed)
    assert other["number"] not in crm.client("cleo").screen("/complaints/?q=sebie/1").text


def test_a_search_of_complaints_keeps_to_rights_and_masks(crm: Any, make: Any, complaint: Any) -> None:
    for who, typed in (("rhea", "9820012345"), ("ana", "SEBIE/1"), ("ana", "Patel")):
        assert complaint["number"] not in crm.client(who).screen(f"/search?q={typed}").text
    assert complaint["number"] not in crm.client("rhea").screen("/complaints/?q=9820012345").text
    hidden = register(crm, "sam", make.ticket("sam", last_name="Patel"), reference="SEBIE/2").get_json()["result"]
    make.cell("Support User", "Complaints", "read", "all")
    for path in ("/search", "/complaints/"):
        for typed in ("SEBIE/2", "Patel"):
            assert hidden["number"] not in crm.client("cleo").screen(f"{path}?q={typed}").text


def test_a_complaint_is_found_by_a_common_name(crm: Any, make: Any, complaint: Any, monkeypatch: Any) -> None:
    for _each in range(4):
        make.ticket("sam", last_name="Patel")
    monkeypatch.setattr("app.web.workday.search.MAX_LOOKED_UP", 2)
    assert complaint["number"] in crm.client("root").screen("/search?q=Patel").text


@each_case("language", ["hi", "gu", "mr"])
def test_every_category_that_ships_is_translated(crm: Any, language: str) -> None:
    with crm.app.app_context(), force_locale(language):
        missing = [row.label for row in crm.rows(select(ComplaintCategory)) if shown_label(row.label) == row.label]
    assert missing == []


def test_many_complaints_get_an_officer_at_once(crm: Any, make: Any, complaint: Any) -> None:
    other = register(crm, "cleo", make.ticket("cleo")).get_json()["id"]
    chosen = {"action": "edit", "rowid": [complaint["id"], other], "officer": str(crm.people["sam"].id)}
    assert crm.client("rhea").form("/complaints/action_post", chosen).status_code == 302
    assert {row.officer_id for row in crm.rows(select(Complaint))} == {crm.people["sam"].id}


# --- settings


def settings_of(crm: Any) -> dict[str, str]:
    """The inputs of the page as a browser would post them."""
    page = crm.client("root").screen("/settings/complaints/").text
    inputs = re.findall(r"<input[^>]*>", page)
    found = [(re.search(r'name="([^"]+)"', each), re.search(r'value="([^"]*)"', each)) for each in inputs]
    given = {name[1]: unescape(value[1]) for name, value in found if name and value}
    return {name: value for name, value in given.items() if name != "csrf_token"}


def test_the_clocks_and_their_sources_are_settings(crm: Any, make: Any) -> None:
    form, root = settings_of(crm), crm.client("root")
    assert form["days.report"] == "21" and "P/2023/156" in form["source.report"]
    assert "As set by your compliance officer" in root.screen("/settings/complaints/").text
    wrong = form | {"days.report": "none", "days.desk": "12"}
    refused = root.form("/settings/complaints/", wrong)
    assert refused.status_code == 422 and "none" in refused.text
    for odd in ("9" * 5000, "9" * 30, "-1", "²"):
        answer = root.form("/settings/complaints/", form | {"people.care": odd})
        assert answer.status_code == 422 and odd[:100] in answer.text, odd[:10]
    new = {"days.report": "30", "source.report": "Circular 9", "days.warnings": "28, 7", "people.care": "cleo"}
    assert root.form("/settings/complaints/", form | new).status_code == 302
    assert root.form("/settings/complaints/", form | new).status_code == 409, "based on the former values"
    stored = settings_of(crm)
    assert (stored["days.warnings"], stored["source.report"]) == ("7, 28", "Circular 9")
    register(crm, "cleo", make.ticket("cleo"))
    (row,) = crm.rows(select(Complaint))
    assert row.report_due_on - row.received_on == timedelta(days=30)
    assert crm.client("cleo").screen("/settings/complaints/").status_code == 403


def test_the_compliance_officer_sets_the_clocks_and_the_audit_says_so(crm: Any) -> None:
    form, rhea = settings_of(crm), crm.client("rhea")
    assert "/settings/complaints/" in rhea.screen("/complaints/?tab=all").text
    assert rhea.screen("/settings/complaints/").status_code == 200
    assert rhea.form("/settings/complaints/", form | {"days.review_warning": "5"}).status_code == 302
    assert settings_of(crm)["days.review_warning"] == "5"
    (noted,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "complaint"))
    assert (noted.about, noted.user_id) == ("settings", crm.people["rhea"].id)
    assert list(noted.payload["new"]) == ["complaint_clocks"]
    assert noted.payload["new"]["complaint_clocks"]["review_warning"] == 5
    assert noted.payload["old"]["complaint_clocks"]["review_warning"] == 3


@each_case("who, is_settings", [("cleo", False), ("sam", False), ("ana", False), ("ana", True), ("cleo", True)])
def test_who_may_not_set_the_clocks(crm: Any, make: Any, who: str, is_settings: bool) -> None:
    form = settings_of(crm)
    if is_settings:
        for role, verb in itertools.product(("Sales User", "Support User"), ("read", "write")):
            make.cell(role, "Settings", verb, "all")
    client = crm.client(who)
    assert client.screen("/settings/complaints/").status_code == 403
    assert client.form("/settings/complaints/", form | {"days.report": "90"}).status_code == 403
    assert settings_of(crm)["days.report"] == "21"
    if not is_settings:
        assert "/settings/complaints/" not in client.screen("/").text


def test_who_changes_all_data_requests_sets_their_deadlines(crm: Any, make: Any) -> None:
    rhea, url = crm.client("rhea"), "/settings/personal-data/"
    page = rhea.screen(url).text
    assert 'name="data_request_days"' in page and 'name="breach_board_hours"' in page
    (version,) = re.findall(r'name="version" value="([^"]+)"', page)
    given = {"version": version, "data_request_days": "60"}
    assert rhea.form(url, given | {"data_request_days": "soon"}).status_code == 422
    assert rhea.form(url, given).status_code == 302 and rhea.form(url, given).status_code == 409
    (noted,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "data request"))
    assert (noted.about, noted.payload["old"]) == ("settings", {"data_request_days": 90})
    assert noted.payload["new"] == {"data_request_days": 60}
    assert 'name="data_request_days"' not in crm.client("root").screen("/settings/business/").text
    make.cell("Compliance", "Data Requests", "write", "team")
    for who in ("rhea", "cleo", "mia"):
        assert crm.client(who).screen(url).status_code == 403 and crm.client(who).form(url, given).status_code == 403


def test_who_changes_all_complaints_sets_how_they_are_disclosed(crm: Any, make: Any) -> None:
    rhea, url = crm.client("rhea"), "/settings/disclosure/"
    assert url in rhea.screen("/complaints/?tab=all").text

    def save(**sent: str) -> int:
        (version,) = re.findall(r'name="version" value="([^"]+)"', rhea.screen(url).text)
        return int(rhea.form(url, {"version": version, "disclosure_due_day": "7"} | sent).status_code)

    wrong = ({"disclosure_due_day": "29"}, {"disclosure_reminder_days": "28"}, {"disclosure_layout": "2019"})
    assert [save(**sent) for sent in wrong] == [422, 422, 422]
    assert save(disclosure_layout="2021", disclosure_due_day="28", disclosure_is_public="1") == 302
    stored = {row.key: row.value for row in crm.rows(select(BusinessSetting))}
    assert stored == {"disclosure_layout": "2021", "disclosure_due_day": 28, "disclosure_is_public": True}
    assert save(disclosure_due_day="28") == 302, "an empty check mark is not sent"
    noted = crm.rows(select(AuditEntry).where(AuditEntry.event == "disclosure").order_by(AuditEntry.seq))
    assert [each.payload["new"].get("disclosure_is_public") for each in noted] == [True, False]
    assert 'name="disclosure_layout"' not in crm.client("root").screen("/settings/business/").text
    make.cell("Compliance", "Complaints", "write", "team")
    for who in ("rhea", "cleo", "mia"):
        assert crm.client(who).screen(url).status_code == 403 and crm.client(who).form(url, {}).status_code == 403


def test_categories_are_a_tree_of_two_levels(crm: Any) -> None:
    root = crm.client("root")
    made = root.form(
        "/settings/complaint-categories/add", {"label": "Own", "parent": "1", "position": "99", "is_active": "y"}
    )
    assert made.status_code == 302
    (row,) = crm.rows(select(ComplaintCategory).where(ComplaintCategory.label == "Own"))
    assert row.parent_id == 1
    deep = root.form("/settings/complaint-categories/add", {"label": "Deep", "parent": str(row.id), "position": "99"})
    assert deep.status_code in (200, 422) and "two levels" in deep.text
    assert "Trading and settlement: Own" in crm.client("cleo").screen("/complaints/add").text
