"""The main part of a record's page: open tasks, long texts, and the customer's other records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.app_fixtures import Crm

MISSING = "No next step is planned."


def part(crm: Crm, who: str, path: str, name: str) -> str:
    """What the page, and what it asks for when something changes, has in this part."""
    page = crm.client(who).screen(path)
    assert page.status_code == 200
    return page.text.partition(f"data-{name}")[2].partition("data-composer" if name == "texts" else "data-timeline")[0]


def test_open_tasks_stand_above_the_timeline_with_a_button_to_finish_them(crm: Crm) -> None:
    lead, soon = crm.make.lead("ana", task={}), datetime.now(UTC) + timedelta(hours=1)
    task = crm.make.task(lead, title="Bring the form", due_on=soon)
    crm.make.task(lead, title="Sent long ago", status="Done")
    shown = part(crm, "ana", f"/leads/{lead.number}", "next")
    assert "Bring the form" in shown and f'action="/tasks/done/{task.id}"' in shown and "is-soon" in shown
    assert "Sent long ago" not in shown and MISSING not in shown
    live = crm.client("ana").screen(f"/leads/panel/{lead.id}").text
    assert "Bring the form" in live.partition("data-next")[2].partition("data-side")[0]
    assert crm.client("ben").screen(f"/leads/{lead.number}").status_code == 404


@pytest.mark.parametrize("status, is_told", [("New", True), ("Unqualified", False)])
def test_an_open_record_without_a_task_says_so(crm: Crm, status: str, is_told: bool) -> None:
    lead = crm.make.lead("ana", task={}, status_id=crm.lead_status[status])
    assert (MISSING in part(crm, "ana", f"/leads/{lead.number}", "next")) is is_told


@pytest.mark.parametrize("status, is_shown", [("Contacted", True), ("Unqualified", False)])
def test_only_an_open_lead_has_a_next_follow_up(crm: Crm, status: str, is_shown: bool) -> None:
    due = datetime.now(UTC) + timedelta(days=3, hours=1)
    lead = crm.make.lead("ana", task={}, next_follow_up_on=due, status_id=crm.lead_status[status])
    client = crm.client("ana")
    for path in (f"/leads/{lead.number}", "/leads/", "/leads/?layout=board", f"/leads/preview/{lead.id}"):
        assert ("in 3 d" in client.screen(path).text) is is_shown, path
    assert client.rest("GET", f"lead/{lead.id}").json["result"]["next_follow_up_on"] is not None


@pytest.mark.parametrize("tab, invitation", [("notes", "Write the first one above"), ("calls", "Call from here")])
def test_an_empty_tab_invites_only_those_who_may_add_something(crm: Crm, tab: str, invitation: str) -> None:
    lead = crm.make.lead("ana", task={}, status_id=crm.lead_status["Unqualified"])
    path = f"/leads/timeline/{lead.id}?tab="
    assert invitation in crm.client("ana").screen(f"{path}{tab}").text
    assert "No tasks here." in (tasks := crm.client("ana").screen(f"{path}tasks").text) and "Add one" not in tasks
    crm.make.cell("Sales User", {"notes": "Notes", "calls": "Call Logs"}[tab], "create", "none")
    assert invitation not in crm.client("ana").screen(f"{path}{tab}").text


def test_who_may_not_read_tasks_is_told_nothing_of_them(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    crm.make.task(lead, title="Bring the form")
    for verb in ("read", "create", "write"):
        crm.make.cell("Sales User", "Tasks", verb, "none")
    page = crm.client("ana").screen(f"/leads/{lead.number}").text
    assert "Bring the form" not in page and MISSING not in page


@pytest.mark.parametrize("kind", ["lead", "ticket"])
def test_texts_stand_whole_above_the_timeline_and_empty_ones_beside_it(crm: Crm, kind: str) -> None:
    who = "ana" if kind == "lead" else "cleo"
    row: Any = getattr(crm.make, kind)(who, description="First line\nSecond line")
    page = f"/{kind}s/{row.number}"
    assert 'data-pair="description"' in part(crm, who, page, "texts")
    assert crm.client(who).screen(page).text.count('data-pair="description"') == 1
    other: Any = getattr(crm.make, kind)(who)
    page = f"/{kind}s/{other.number}"
    assert 'data-pair="description"' not in part(crm, who, page, "texts")
    assert crm.client(who).screen(page).text.count('data-pair="description"') == 1
    assert "Second line" in crm.client(who).screen(f"/{kind}s/preview/{row.id}").text


def test_other_tickets_of_the_customer_are_named_and_the_own_one_is_not_among_them(crm: Crm) -> None:
    customer = crm.make.customer("cleo")
    own, other = (crm.make.ticket("cleo", customer_id=customer.id) for _ in range(2))
    beside = crm.client("cleo").screen(f"/tickets/{own.number}").text.partition("<aside")[2]
    assert f'href="/tickets/{other.number}"' in beside and f'href="/tickets/{own.number}"' not in beside
    assert other.title in beside and f"/tickets/add?customer={customer.id}" in beside
    page = crm.client("cleo").screen(f"/customers/{customer.number}").text.partition("<aside")[2]
    assert f'href="/tickets/{own.number}"' in page and f"/tickets/?_flt_eq_customer={customer.id}" in page
    assert f"{own.number} · {own.created_on:%-d %b}</span>" in page  # the year only if it is another one


def test_what_was_typed_for_a_status_comes_back_with_what_is_wrong_with_it(crm: Crm) -> None:
    lead, client, status = crm.make.lead("ana"), crm.client("ana"), crm.lead_status["Sent to HO"]
    refused = client.form(f"/leads/move/{lead.id}", {"status": status, "version": lead.version, "pod_id": "<b>"})
    assert refused.status_code == 422 and 'value="&lt;b&gt;"' in refused.text and "field-error" in refused.text
    typed = {"status": status, "version": lead.version, "pod_id": "POD-1"}
    assert client.form(f"/leads/move/{lead.id}", typed).status_code == 302


def test_an_open_task_is_finished_by_its_main_button(crm: Crm) -> None:
    lead = crm.make.lead("ana", first_name="Zubin", last_name="Wadia")
    task = crm.make.task(lead, title="Bring the form", description="The blue one")
    page = crm.client("ana").screen(f"/tasks/show/{task.id}").text
    assert "Zubin Wadia" in page.partition("data-strip")[2].partition("</dl>")[0]
    assert f'action="/tasks/done/{task.id}"' in page and f'href="/tasks/finish/{task.id}"' in page
    assert 'data-pair="description"' in page.partition("data-texts")[2].partition("data-timeline")[0]
    crm.client("ana").form(f"/tasks/done/{task.id}")
    page = crm.client("ana").screen(f"/tasks/show/{task.id}").text
    assert f'action="/tasks/done/{task.id}"' not in page and "/tasks/finish/" not in page
