"""Bulk actions: they return to the same list, report the result for each row, and send one notification."""

from __future__ import annotations

import re
from datetime import date
from html import unescape
from typing import Any

import pymysql
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.domain.bulk_undo import BulkChange
from app.models import Customer, Lead, LeadStatus, Notification
from app.web.records import bulk_undo_actions
from tests.app_fixtures import Crm


def run(crm: Crm, who: str, rows: list[Any], **form: Any) -> Any:
    """The response of the bulk action on these leads, before it is followed."""
    return crm.client(who).form("/leads/action_post", {"rowid": [row.id for row in rows], **form})


def told(crm: Crm, who: str, rows: list[Any], **form: Any) -> str:
    """The page to which it leads."""
    data = {"rowid": [getattr(row, "id", row) for row in rows], **form}
    return read(crm.client(who).form("/leads/action_post", data, follow_redirects=True))


def read(answer: Any) -> str:
    """The page without the elements that keep numbers on one line."""
    return re.sub(r'<span class="whole">([^<]+)</span>', r"\1", unescape(answer.text))


def status_of(crm: Crm, label: str) -> int:
    return crm.session.scalars(select(LeadStatus.id).where(LeadStatus.label == label)).one()


def notices_of(crm: Crm, who: str) -> list[Notification]:
    crm.session.rollback()  # what others committed since
    query = select(Notification).where(Notification.user_id == crm.people[who].id).order_by(Notification.id)
    return list(crm.session.scalars(query))


@pytest.mark.parametrize(
    "back, leads_to",
    [
        ("/leads/?_flt_eq_status=1&_oc=number&page=0", "/leads/?_flt_eq_status=1&_oc=number&page=0"),
        ("/leads/?", "/leads/"),
        ("/leads/list/?q=a%26b", "/leads/list/?q=a%26b"),
        ("https://elsewhere.example/leads/?q=1", "/leads/"),
        ("//elsewhere.example/leads/", "/leads/"),
        ("//[", "/leads/"),
        ("/tickets/?q=1", "/leads/"),
        (None, "/leads/"),
    ],
)
def test_the_filter_of_the_list_is_kept(crm: Crm, back: str | None, leads_to: str) -> None:
    form = {"action": "status", "status": status_of(crm, "Contacted")} | ({"back": back} if back else {})
    answer = run(crm, "mia", [crm.make.lead("ana")], **form)
    assert (answer.status_code, answer.headers["Location"]) == (302, leads_to)


def test_the_list_sends_its_own_address(crm: Crm) -> None:
    crm.make.lead("ana")
    page = unescape(crm.client("mia").screen("/leads/?_oc=number&_od=asc").text)
    assert 'name="back" value="/leads/?_oc=number&_od=asc"' in page


def test_it_says_what_was_done_to_which_rows(crm: Crm) -> None:
    leads = [crm.make.lead("ana") for _ in range(7)]
    page = told(crm, "mia", leads, action="status", status=status_of(crm, "Contacted"))
    named = ", ".join(lead.number for lead in leads[:5])
    assert f"Status: Contacted – 7 records: {named} and 2 more." in page
    page = told(crm, "mia", leads[:1], action="assign", assignee=crm.people["mia"].id)
    assert f"Assigned to Mia Shah – 1 record: {leads[0].number}." in page


def test_refusals_name_records_and_never_inner_ids(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    page = told(crm, "mia", [lead], action="status", status=status_of(crm, "Sent to HO"))
    assert f"1 record was not changed ({lead.number}): “Sent to HO” needs the POD ID" in page
    page = told(crm, "mia", [lead], action="assign", assignee=crm.people["ana"].id)
    assert f"1 record was not changed ({lead.number}): Ana Shah is already assigned." in page
    page = told(crm, "mia", [987654, 987655], action="delete")
    assert "2 records were not changed: " in page and "98765" not in page


def test_more_rows_than_one_action_takes_are_refused_instead_of_dropped(crm: Crm) -> None:
    page = told(crm, "mia", [*range(1, 502)], action="delete")
    assert "Please select at most 500 rows at once." in page


def test_many_records_ring_once(crm: Crm) -> None:
    leads = [crm.make.lead("mia") for _ in range(8)]
    before = len(notices_of(crm, "ana"))
    run(crm, "mia", leads, action="assign", assignee=crm.people["ana"].id)
    (notice,) = notices_of(crm, "ana")[before:]
    page = read(crm.client("ana").screen("/bell/"))
    named = ", ".join(lead.number for lead in leads[:5])
    assert f"8 leads from Mia Shah: {named} and 3 more." in page
    assert (notice.lead_id, notice.payload["count"]) == (None, 8)
    assert 'href="/leads/?_flt_eq_assignee=@me"' in page


def test_one_record_rings_as_ever(crm: Crm) -> None:
    lead = crm.make.lead("mia")
    run(crm, "mia", [lead], action="assign", assignee=crm.people["ana"].id)
    assert notices_of(crm, "ana")[-1].lead_id == lead.id


def test_a_refused_record_is_not_counted_in_the_notice(crm: Crm) -> None:
    leads = [crm.make.lead("mia"), crm.make.lead("mia"), crm.make.lead("ana")]
    run(crm, "mia", leads, action="assign", assignee=crm.people["ana"].id)
    assert notices_of(crm, "ana")[-1].payload["count"] == 2


def test_many_new_statuses_ring_once(crm: Crm) -> None:
    leads = [crm.make.lead("ana") for _ in range(3)]
    run(crm, "mia", leads, action="status", status=status_of(crm, "Contacted"))
    assert [each.kind for each in notices_of(crm, "ana")].count("status") == 1
    page = unescape(crm.client("ana").screen("/bell/").text)
    assert "Mia Shah moved 3 leads to “Contacted”: " in page, page[page.index("notice-text") :][:300]


def test_many_records_of_the_old_api_ring_once(crm: Crm) -> None:
    leads = [crm.make.lead("mia") for _ in range(3)]
    path = "/api/method/crm.api.role_assignment.bulk_assign_leads"
    body = {"lead_names": [lead.number for lead in leads], "user": "ana"}
    answer = crm.client("mia").rest("POST", path, body)
    assert answer.status_code == 200, answer.text
    assert [each.payload.get("count") for each in notices_of(crm, "ana") if each.kind == "assigned"] == [3]


#: What an undone change of status leaves as it was.
CLOCK = ("replied_on", "reply_due_on", "resolve_due_on", "sla_started_on", "paused_on", "reply_late_on")


@pytest.mark.parametrize("status", ["Contacted", "Junk"])
def test_undoing_a_status_takes_back_the_first_response_that_it_counted_as(crm: Crm, status: str) -> None:
    made = crm.client("ana").rest("POST", "lead/", {"first_name": "Zara", "mobile": "98200 12345"})
    lead = crm.session.get_one(Lead, made.get_json()["id"])
    before = {name: crm.stored(lead)[name] for name in CLOCK}
    assert before["replied_on"] is None and before["reply_due_on"] is not None
    told(crm, "mia", [lead], action="status", status=str(status_of(crm, status)))
    assert crm.stored(lead)["replied_on"] is not None
    change = crm.rows(select(BulkChange.id))[0]
    crm.client("mia").form("/leads/undo", {"change": change})
    assert {name: crm.stored(lead)[name] for name in CLOCK} == before


def test_what_was_changed_before_the_database_failed_is_told_and_can_be_undone(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [crm.make.lead("ana", first_name=f"Row{n}") for n in range(4)]
    previous = bulk_undo_actions.previous_values

    def fail_at_third(row: Any, names: Any) -> Any:
        if row.id >= rows[2].id:
            raise OperationalError("UPDATE", {}, pymysql.OperationalError(1205, "Lock wait timeout exceeded"))
        return previous(row, names)

    monkeypatch.setattr(bulk_undo_actions, "previous_values", fail_at_third)
    page = told(crm, "mia", rows, action="status", status=status_of(crm, "Contacted"))
    assert f"2 records: {rows[0].number}" in page and "2 records were not changed: Another save is taking long." in page
    (change,) = crm.rows(select(BulkChange))
    assert len(change.rows) == 2 and "/leads/undo" in page
    nothing = run(crm, "mia", rows[2:], action="status", status=status_of(crm, "Contacted"))
    assert nothing.status_code == 503


def test_customers_are_edited_together_and_the_edit_is_undone(crm: Crm) -> None:
    both = [crm.make.customer(mobile=f"982001234{n}") for n in (1, 2)]
    root, ben = crm.client("root"), crm.id_of("ben")
    owners = {row.id: row.owner_id for row in both}
    assert 'data-dialog="bulk-edit"' in root.screen("/customers/").text
    form = {"rowid": [row.id for row in both], "action": "edit", "kyc_status": "Re-KYC due", "rekyc_on": "2027-02-01"}
    page = root.form("/customers/action_post", form | {"owner": ben}, follow_redirects=True).text
    assert "2 records" in page

    def stored() -> set[tuple[Any, ...]]:
        columns = (Customer.kyc_status, Customer.rekyc_on, Customer.owner_id)
        return {tuple(row) for row in crm.new_session().execute(select(*columns))}

    assert stored() == {("Re-KYC due", date(2027, 2, 1), ben)}
    change = crm.rows(select(BulkChange.id))[0]
    assert "2 records" in root.form("/customers/undo", {"change": change}, follow_redirects=True).text
    assert stored() == {(row.kyc_status, row.rekyc_on, owners[row.id]) for row in both}
