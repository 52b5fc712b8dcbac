"""Pages other than records: search, jobs, settings, deciding requests, assigning, My day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.models import JobRun
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW


@pytest.mark.parametrize(
    "typed", ["Zarina", "zari", "98200 77001", "+919820077001", "09820077001", "zarina@mail.example"]
)
def test_a_lead_is_found_by_name_telephone_and_e_mail(crm: Crm, typed: str) -> None:
    crm.make.lead("ana", first_name="Zarina", mobile="9820077001", email="zarina@mail.example")
    assert "Zarina" in crm.client("ana").screen("/search?q=" + typed.replace("+", "%2B")).text


@each_case(
    "typed, is_found",
    [
        ("zarina mistry", True),
        ("Mistry Zar", True),
        ("Zarina  Mis", True),
        ("Anna Maria", True),
        ("Zarina Shah", False),
    ],
)
def test_several_words_are_first_and_last_name(crm: Crm, typed: str, is_found: bool) -> None:
    crm.make.lead("ana", first_name="Zarina", last_name="Mistry")
    crm.make.lead("ana", first_name="Anna Maria", last_name="Pinto")
    page = crm.client("ana").screen(f"/search?q={typed}").text
    assert ("CRM-LEAD" in page) is is_found


def test_a_lead_is_found_by_its_number(crm: Crm) -> None:
    lead = crm.make.lead("ana", first_name="Zarina")
    for typed in (lead.number, lead.number.lower(), str(int(lead.number[-5:]))):
        assert "Zarina" in crm.client("ana").screen(f"/search?q={typed}&x=1").text or len(typed) < 2


@pytest.mark.parametrize("who", ["ben", "cleo"])
def test_search_finds_nothing_of_others(crm: Crm, who: str) -> None:
    crm.make.lead("ana", first_name="Zarina", mobile="9820077001")
    for typed in ("Zarina", "9820077001"):
        assert "CRM-LEAD" not in crm.client(who).screen(f"/search?q={typed}").text


@each_case("typed", ["", "x", "%", "%00", "'\"><script>", "a" * 5000, "%ED%A0%80"])
def test_search_takes_any_rubbish(crm: Crm, typed: str) -> None:
    answer = crm.client("ana").screen(f"/search?q={typed}")
    assert answer.status_code < 500
    assert "<script>" not in answer.text


def test_an_admin_runs_a_job_and_sees_the_run(crm: Crm) -> None:
    root = crm.client("root")
    assert root.form("/jobs/run/send due reminders").status_code == 302
    assert crm.count(JobRun) == 1
    assert "send due reminders" in root.screen("/jobs/").text


@pytest.mark.parametrize("who", ["ana", "mia", "rhea"])
def test_nobody_else_runs_jobs(crm: Crm, who: str) -> None:
    assert crm.client(who).form("/jobs/run/send due reminders").status_code == 403
    assert crm.count(JobRun) == 0


def test_an_unknown_job_is_not_there(crm: Crm) -> None:
    assert crm.client("root").form("/jobs/run/nonsense").status_code == 404


def test_settings_are_for_those_who_may(crm: Crm) -> None:
    assert crm.client("root").screen("/settings/").status_code == 200
    assert crm.client("ana").screen("/settings/").status_code == 403


def _request(crm: Crm) -> tuple[Any, Any]:
    lead = crm.make.lead("mia")
    return lead, crm.make.request(lead, "ana", who="mia")


def test_an_admin_approves_by_the_button(crm: Crm, people: dict[str, Any]) -> None:
    lead, request = _request(crm)
    crm.client("root").form(f"/requests/decide/{request.id}?approve=1")
    assert (crm.stored(request) or {})["status"] == "Approved"
    assert (crm.stored(lead) or {})["assignee_id"] == people["ana"].id


def test_rejecting_asks_for_a_reason(crm: Crm) -> None:
    lead, request = _request(crm)
    before, root = crm.stored(lead), crm.client("root")
    assert "Reason" in root.screen(f"/requests/reject/{request.id}").text
    root.form(f"/requests/decide/{request.id}", {"note": " "})
    assert (crm.stored(request) or {})["status"] == "Pending"
    root.form(f"/requests/decide/{request.id}", {"note": "She has too many"})
    assert ((crm.stored(request) or {})["status"], crm.stored(lead)) == ("Rejected", before)


@pytest.mark.parametrize("who", ["ana", "ben", "cleo", "rhea"])
def test_others_do_not_decide(crm: Crm, who: str) -> None:
    lead, request = _request(crm)
    before = crm.stored(lead)
    assert crm.client(who).form(f"/requests/decide/{request.id}?approve=1").status_code in (403, 404)
    assert ((crm.stored(request) or {})["status"], crm.stored(lead)) == ("Pending", before)


def test_the_assign_page_says_why_this_person(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    page = crm.client("mia").screen(f"/leads/assign/{lead.id}").text
    assert "Why this person?" in page and "created" in page


def test_a_manager_hands_a_lead_to_the_next_in_turn(crm: Crm, people: dict[str, Any]) -> None:
    lead = crm.make.lead("mia")
    crm.client("mia").form(f"/leads/assign/{lead.id}", {"how": "role", "role": "Sales User"})
    assert (crm.stored(lead) or {})["assignee_id"] in (people["ana"].id, people["ben"].id)


def test_a_sales_user_assigns_nobody(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    before = crm.stored(lead)
    crm.client("ana").form(f"/leads/assign/{lead.id}", {"how": "role", "role": "Sales User"})
    crm.client("ana").form(f"/leads/assign/{lead.id}", {"how": "person", "assignee": "ben"})
    assert crm.stored(lead) == before


def test_my_day_shows_what_is_overdue_and_lets_me_finish_it(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    task = crm.make.task(lead, "ana", title="Ring him up", due_on=NOW - timedelta(days=400))
    ana = crm.client("ana")
    assert "Ring him up" in ana.screen("/").text
    assert "Ring him up" not in crm.client("ben").screen("/").text
    ana.form(f"/tasks/done/{task.id}")
    assert (crm.stored(task) or {})["status"] == "Done"


def test_a_page_is_compressed_and_static_files_stay_for_a_year(crm: Crm) -> None:
    client = crm.app.test_client()
    page = client.get("/login/", headers={"Accept-Encoding": "br"})
    assert page.headers["Content-Encoding"] == "br"
    with client.get("/static/css/crm.css?v=1") as file:
        assert "immutable" in file.headers["Cache-Control"]
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
