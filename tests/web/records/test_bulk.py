"""Bulk actions: they return to the list as it was, say what was done to which rows, and ring once."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from app.models import LeadStatus, Notification
from tests.app_fixtures import World


def run(world: World, who: str, rows: list[Any], **form: Any) -> Any:
    """The response of the bulk action on these leads, before it is followed."""
    return world.door(who).form("/leads/action_post", {"rowid": [row.id for row in rows], **form})


def told(world: World, who: str, rows: list[Any], **form: Any) -> str:
    """The page to which it leads."""
    data = {"rowid": [getattr(row, "id", row) for row in rows], **form}
    return unescape(world.door(who).form("/leads/action_post", data, follow_redirects=True).text)


def status_of(world: World, label: str) -> int:
    return world.session.scalars(select(LeadStatus.id).where(LeadStatus.label == label)).one()


def notices_of(world: World, who: str) -> list[Notification]:
    world.session.rollback()  # what others committed since
    query = select(Notification).where(Notification.user_id == world.people[who].id).order_by(Notification.id)
    return list(world.session.scalars(query))


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
def test_the_filter_of_the_list_is_kept(world: World, back: str | None, leads_to: str) -> None:
    form = {"action": "status", "status": status_of(world, "Contacted")} | ({"back": back} if back else {})
    answer = run(world, "mia", [world.make.lead("ana")], **form)
    assert (answer.status_code, answer.headers["Location"]) == (302, leads_to)


def test_the_list_sends_its_own_address(world: World) -> None:
    world.make.lead("ana")
    page = unescape(world.door("mia").screen("/leads/?_oc=number&_od=asc").text)
    assert 'name="back" value="/leads/?_oc=number&_od=asc"' in page


def test_it_says_what_was_done_to_which_rows(world: World) -> None:
    leads = [world.make.lead("ana") for _ in range(7)]
    page = told(world, "mia", leads, action="status", status=status_of(world, "Contacted"))
    named = ", ".join(lead.number for lead in leads[:5])
    assert f"Status: Contacted – 7 records: {named} and 2 more." in page
    page = told(world, "mia", leads[:1], action="assign", assignee=world.people["mia"].id)
    assert f"Assigned to Mia Shah – 1 record: {leads[0].number}." in page


def test_refusals_name_records_and_never_inner_ids(world: World) -> None:
    lead = world.make.lead("ana")
    page = told(world, "mia", [lead], action="status", status=status_of(world, "Sent to HO"))
    assert f"1 record was not changed ({lead.number}): “Sent to HO” needs the POD ID" in page
    page = told(world, "mia", [lead], action="assign", assignee=world.people["ana"].id)
    assert f"1 record was not changed ({lead.number}): Ana Shah is already assigned." in page
    page = told(world, "mia", [987654, 987655], action="delete")
    assert "2 records were not changed: " in page and "98765" not in page


def test_more_rows_than_one_action_takes_are_refused_instead_of_dropped(world: World) -> None:
    page = told(world, "mia", [*range(1, 502)], action="delete")
    assert "Please select at most 500 rows at once." in page


def test_many_records_ring_once(world: World) -> None:
    leads = [world.make.lead("mia") for _ in range(8)]
    before = len(notices_of(world, "ana"))
    run(world, "mia", leads, action="assign", assignee=world.people["ana"].id)
    (notice,) = notices_of(world, "ana")[before:]
    page = unescape(world.door("ana").screen("/bell/").text)
    named = ", ".join(lead.number for lead in leads[:5])
    assert f"8 leads from Mia Shah: {named} and 3 more." in page
    assert (notice.lead_id, notice.payload["count"]) == (None, 8)
    assert 'href="/leads/?_flt_eq_assignee=@me"' in page


def test_one_record_rings_as_ever(world: World) -> None:
    lead = world.make.lead("mia")
    run(world, "mia", [lead], action="assign", assignee=world.people["ana"].id)
    assert notices_of(world, "ana")[-1].lead_id == lead.id


def test_a_refused_record_is_not_counted_in_the_notice(world: World) -> None:
    leads = [world.make.lead("mia"), world.make.lead("mia"), world.make.lead("ana")]
    run(world, "mia", leads, action="assign", assignee=world.people["ana"].id)
    assert notices_of(world, "ana")[-1].payload["count"] == 2


def test_many_new_statuses_ring_once(world: World) -> None:
    leads = [world.make.lead("ana") for _ in range(3)]
    run(world, "mia", leads, action="status", status=status_of(world, "Contacted"))
    assert [each.kind for each in notices_of(world, "ana")].count("status") == 1
    page = unescape(world.door("ana").screen("/bell/").text)
    assert "Mia Shah moved 3 leads to “Contacted”: " in page, page[page.index("notice-text") :][:300]


def test_many_records_of_the_old_door_ring_once(world: World) -> None:
    leads = [world.make.lead("mia") for _ in range(3)]
    path = "/api/method/crm.api.role_assignment.bulk_assign_leads"
    body = {"lead_names": [lead.number for lead in leads], "user": "ana"}
    answer = world.door("mia").rest("POST", path, body)
    assert answer.status_code == 200, answer.text
    assert [each.payload.get("count") for each in notices_of(world, "ana") if each.kind == "assigned"] == [3]
