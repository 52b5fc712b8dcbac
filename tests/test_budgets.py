"""Limits on SQL statements per response, independent of page size, depth and number of rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from app import access, views
from app.domain import assignment, timeline
from app.domain.base import Stamp
from app.models import (
    Activity,
    AssignmentRequest,
    CallLog,
    Complaint,
    Customer,
    Lead,
    Message,
    Notification,
    Task,
    Ticket,
)
from app.web.api.resource import Resource
from app.web.dashboards import widget_data
from app.web.dashboards.widgets import PAGES
from app.web.records.screen import Screen
from tests.app_fixtures import Crm, UserClient
from tests.factories import NOW

#: The lead of a known customer: whether the person sees them, and the link in the audit.
KNOWN_LEAD = 17
LIST, GET, CREATE_LEAD, STATUS, CREATE_TASK, SCREEN, PAGE, HOME, DASHBOARD = 4, 4, 10, 8, 7, 7, 14, 12, 15
#: A call, message or note, and a ticket's status, have more effects.
NOTED, MENTIONING, TICKET_STATUS = 10, 12, 12
#: So deep that pages are cut by index first.
ROWS = 1300
DEEP = 30
_serial = itertools.count(1)


@pytest.fixture(scope="module")
def full(settled: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """A Crm with many rows of every record that counts its SQL statements."""
    import shutil

    from app import create_app
    from tests.app_fixtures import settings_for

    folder = tmp_path_factory.mktemp("full") / "instance"
    shutil.copytree(settled, folder)
    crm = Crm(create_app(settings_for(folder), TESTING=True, COUNT_SQL=True))
    fill(crm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access.rights_cache, "CACHE_SECONDS", 3600)  # the cache must not expire on a slow machine
        yield crm
    crm.close()


def fill(crm: Crm) -> None:
    """Add many rows of every record, owned by Ana (tickets: by Cleo), the first ones complete."""
    make, session, ana = crm.make, crm.session, crm.people["ana"].id
    customer = make.customer("ana", pan="ABCDE1234F")
    lead = make.lead("ana", mobile=customer.mobile, task={})
    ticket = make.ticket("cleo", customer_id=customer.id, lead_id=lead.id, task={})
    for n in range(40):
        timeline.write(session, lead, "note", Stamp(ana, NOW), text=f"Note {n}")
        make.task(lead if n % 2 else ticket)
    for record, values in samples(crm, lead, ticket, customer).items():
        session.execute(record.__table__.insert(), [values(n) for n in range(ROWS)])
    session.commit()


def samples(crm: Crm, lead: Any, ticket: Any, customer: Any) -> dict[Any, Any]:
    """Record -> the values of its n-th row."""
    ana, cleo = crm.people["ana"].id, crm.people["cleo"].id
    stamps = {"created_on": NOW, "changed_on": NOW, "created_by_id": ana}
    own = stamps | {"assignee_id": ana, "owner_id": ana, "version": 1}
    linked = {"lead_id": lead.id, "ticket_id": None, "customer_id": customer.id}
    call = {
        "direction": "Outgoing",
        "status": "Completed",
        "started_on": NOW - timedelta(days=9),
        "employee_id": ana,
        "duration_seconds": 5,
        "native": {},
        "cold": False,
        "medium": "manual",
    }
    sms = {
        "channel": "sms",
        "direction": "out",
        "peer": "+919820012345",
        "body": "x",
        "state": "sent",
        "tries": 0,
        "native": {},
    }
    asked = {"requested_user_id": ana, "reason": "x", "status": "Rejected", "lead_id": lead.id}
    told = {"kind": "assigned", "user_id": ana, "at": NOW, "payload": {"number": lead.number}, "lead_id": lead.id}
    state = {"status_on": NOW, "customer_id": customer.id}
    return {
        Lead: lambda n: own | state | {"number": f"L-{n}", "status_id": lead.status_id, "category": "Direct"},
        Ticket: lambda n: (
            own
            | state
            | {
                "assignee_id": cleo,
                "owner_id": cleo,
                "number": f"T-{n}",
                "status_id": ticket.status_id,
                "title": "x",
                "source": "Web",
                "priority": "Low",
                "lead_id": lead.id,
            }
        ),
        Customer: lambda n: (
            stamps
            | {
                "number": f"C-{n}",
                "first_name": "A",
                "status": "Active",
                "source": "Direct",
                "kyc_status": "Pending",
                "no_calls": False,
                "no_whatsapp": False,
                "no_sms": False,
                "no_email": False,
                "owner_id": ana,
                "version": 1,
            }
        ),
        Task: lambda n: (
            own
            | {
                "title": "x",
                "status": "Todo",
                "priority": "Low",
                "lead_id": lead.id,
                "exhausted": False,
                "tried": [],
                "due_on": NOW,
            }
        ),
        CallLog: lambda n: stamps | call | linked,
        Message: lambda n: stamps | sms | linked,
        Activity: lambda n: {"kind": "note", "at": NOW, "actor_id": ana, "payload": {"text": "x"}} | linked,
        AssignmentRequest: lambda n: stamps | asked | {"number": f"R-{n}"},
        Complaint: lambda n: (
            stamps
            | {"version": 1, "number": f"X-{n}", "ticket_id": n + 2, "title": "x", "source": "Investor"}
            | {"received_on": NOW.date(), "category_id": 1, "officer_id": cleo, "is_impersonation": False}
            | {"acknowledge_due_on": NOW.date(), "report_due_on": NOW.date(), "review_stage": "None"}
        ),
        Notification: lambda n: told | {"event_key": f"k{n}"},
    }


def cost(ask: Any, is_warm: bool = False) -> int:
    """The statements of the second of two equal requests: the first one fills the caches, unless they are warm."""
    is_warm or ask()
    answer = ask()
    assert answer.status_code in (200, 201, 302), answer.text[:500]
    return int(answer.headers["X-SQL-Count"])


def name_of(view: Any) -> str:
    return str(view.__name__)


@pytest.fixture(params=["own", "team", "all"])
def client(full: Crm, request: pytest.FixtureRequest) -> UserClient:
    """A client for a user who sees own, team or all rows."""
    view = next(
        (request.getfixturevalue(name) for name in ("resource", "screen") if name in request.fixturenames), None
    )
    people = {"own": ("ana", "cleo"), "team": ("mia", "sam"), "all": ("root", "root")}[request.param]
    return full.client(people[getattr(view, "module", "") in ("Tickets", "Complaints")])


def sees_all_queries(client: UserClient) -> bool:
    """Whether the client is asked everything: who sees own rows. Others are asked what begins and ends it."""
    return client.who is not None and client.who.username in ("ana", "cleo")


def seen_by_two(views_: Iterable[Any]) -> list[Any]:
    """Each view or path with a user who sees own rows, and one who sees those of a team or all, in turn: how the rule
    of a record is asked for doesn't depend on the view."""
    others = itertools.cycle(("team", "all"))
    pairs = [(view, level) for view in views_ for level in ("own", next(others))]
    return [
        pytest.param(view, level, id=f"{level}-{view if isinstance(view, str) else name_of(view)}")
        for view, level in pairs
    ]


#: Not those without pages: one's newest fifty exports, and the reports that one sees.
PAGED = [each for each in views.RESOURCES if each.resource_name not in ("export", "report")]


@pytest.mark.parametrize(("resource", "client"), seen_by_two(PAGED), indirect=["client"])
def test_a_rest_list_costs_the_same_at_any_size_and_depth(client: UserClient, resource: Any) -> None:
    path = f"{resource.resource_name}/"
    asked: list[Any] = [{}, {"page_size": 100}, {"page_size": 100, "page": 10}, {"page": DEEP}]
    if not sees_all_queries(client):
        asked = [asked[0], asked[2]]
    costs = [cost(lambda q=q: client.rest("GET", path, q=q), is_warm=n > 0) for n, q in enumerate(asked)]
    assert max(costs) <= LIST + (resource.record_table.many is not None if issubclass(resource, Resource) else 0), costs


@pytest.mark.parametrize(("resource", "client"), seen_by_two(views.RESOURCES), indirect=["client"])
def test_one_record_over_rest(client: UserClient, resource: Any) -> None:
    ids = client.rest("GET", f"{resource.resource_name}/").get_json()["ids"]
    if ids:  # one's own notices: only Ana has some
        many = issubclass(resource, Resource) and resource.record_table.many is not None
        assert cost(lambda: client.rest("GET", f"{resource.resource_name}/{ids[0]}")) <= GET + many


@pytest.mark.parametrize(("screen", "client"), seen_by_two(views.SCREENS), indirect=["client"])
def test_a_list_on_the_screen_costs_the_same_at_any_size_and_depth(client: UserClient, screen: Any) -> None:
    asked = ("", "?psize=100", f"?page={DEEP}", "?psize=100&page=10", "?q=nothing", "?_oc=created_on&_od=asc")
    if screen.card_columns:
        asked += ("?layout=board", "?group=status", "?group=assignee")
    if screen.has_calendar:
        asked += tuple(f"?layout=calendar&span={span}&from={NOW:%Y-%m-%d}" for span in ("day", "week", "month"))
    if not sees_all_queries(client):
        asked = asked[::3]
    costs = {
        query: cost(lambda query=query: client.screen(f"{screen.route_base}/{query}"), is_warm=query != "")
        for query in asked
    }
    assert max(costs.values()) <= SCREEN, costs


@pytest.mark.parametrize(
    ("screen", "client"),
    seen_by_two(view for view in views.SCREENS if issubclass(view, Screen)),
    indirect=["client"],
)
def test_the_page_of_a_record_costs_the_same_however_much_belongs_to_it(client: UserClient, screen: Any) -> None:
    first, last = 1, ROWS
    costs = [cost(lambda key=key: client.screen(f"{screen.route_base}/show/{key}")) for key in (first, last)]
    assert max(costs) <= PAGE, costs
    assert cost(lambda: client.screen(f"{screen.route_base}/timeline/{first}")) <= SCREEN


@pytest.mark.parametrize(
    ("screen", "client"),
    seen_by_two(view for view in views.SCREENS if "edit" not in view.exclude_route_methods),
    indirect=["client"],
)
def test_a_form_costs_little(client: UserClient, screen: Any) -> None:
    assert cost(lambda: client.screen(f"{screen.route_base}/edit/1")) <= SCREEN
    if "add" not in screen.exclude_route_methods:
        assert cost(lambda: full_form(client, screen)) <= SCREEN


def full_form(client: UserClient, screen: Any) -> Any:
    answer = client.screen(f"{screen.route_base}/add")
    return answer if answer.status_code == 200 else client.screen(f"{screen.route_base}/")


OTHER_PAGES = (
    *("/", "/me/", "/?only=sla-leads", "/phone/", "/bell/panel", "/bell/count", "/bell/", "/bell/choices/"),
    *("/bell/?show=unread&kind=comment", "/people/lookup", "/people/lookup?about=lead:1&q=a", "/leads/lookup"),
    *(
        "/dashboard/today?period=today",
        "/calls/places?q=a",
        "/leads/assign/1",
        "/calls/?tab=open",
        "/calls/?tab=missed",
    ),
)


@pytest.mark.parametrize(("path", "client"), seen_by_two(OTHER_PAGES), indirect=["client"])
def test_other_pages(client: UserClient, path: str) -> None:
    assert cost(lambda: client.screen(path)) <= HOME


@pytest.mark.parametrize(("name", "client"), seen_by_two(page.name for page in PAGES), indirect=["client"])
def test_a_dashboard_that_is_measured_anew(client: UserClient, name: str) -> None:
    def ask() -> Any:
        widget_data.forget()
        return client.screen(f"/dashboard/{name}")

    if client.screen(f"/dashboard/{name}").status_code == 200:  # else the role has no such page
        assert cost(ask) <= DASHBOARD


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/send due reminders/", "/webhooks/", "/webhooks/add"])
def test_the_pages_of_the_jobs(full: Crm, path: str) -> None:
    assert cost(lambda: full.client("root").screen(path)) <= HOME


@pytest.mark.parametrize(
    "body", [{}, {"task": {"title": "Visit"}}, {"mobile": "known"}], ids=["plain", "task", "known"]
)
def test_a_new_lead(full: Crm, body: dict[str, Any]) -> None:
    client, known = (
        full.client("ana"),
        full.rows(Customer.__table__.select().with_only_columns(Customer.mobile).limit(1))[0],
    )
    values = body | ({"mobile": known} if "mobile" in body else {})
    asked = lambda: client.rest("POST", "lead/", {"mobile": f"97{next(_serial):08d}", "first_name": "R"} | values)  # noqa: E731
    assert cost(asked) <= (KNOWN_LEAD if "mobile" in body else CREATE_LEAD)


@pytest.mark.parametrize(
    "kind, who, statuses", [("lead", "ana", ("Contacted", "Qualified")), ("ticket", "root", ("Open", "In Progress"))]
)
def test_a_change_of_status(full: Crm, kind: str, who: str, statuses: tuple[str, str]) -> None:
    client, moves = full.client(who), iter(statuses)
    assert cost(lambda: client.rest("PUT", f"{kind}/2", {"status": next(moves)})) <= (
        STATUS if kind == "lead" else TICKET_STATUS
    )


def test_a_new_task(full: Crm) -> None:
    client = full.client("ana")
    assert (
        cost(lambda: client.rest("POST", "task/", {"title": "Call", "lead": 1, "due_on": "2030-01-01T10:00Z"}))
        <= CREATE_TASK
    )


def test_a_new_call_note_and_message(full: Crm) -> None:
    client = full.client("ana")
    call = {"direction": "Outgoing", "status": "Completed", "started_on": "2026-01-05T10:00Z", "lead": 1}
    sms = {"channel": "sms", "peer": "9820012345", "body": "Hi", "lead": 1, "noted": True}
    for path, body in (("call_log/", call), ("activity/", {"lead": 1, "text": "x"}), ("message/", sms)):
        assert cost(lambda path=path, body=body: client.rest("POST", path, body)) <= NOTED


@pytest.mark.parametrize("text", ["@mia", "@mia @root @ben @cleo @max @sam @rhea"])
def test_a_note_costs_the_same_however_many_it_names(full: Crm, text: str) -> None:
    client = full.client("ana")
    assert cost(lambda: client.rest("POST", "activity/", {"lead": 1, "text": text})) <= MENTIONING


def test_reassigning_a_lead(full: Crm) -> None:
    client, turn = full.client("root"), iter(("ben", "ana", "ben", "ana"))
    # Two more than for a new lead: the open tasks of the former assignee go with it, and tasks repeat who holds it.
    assert cost(lambda: client.rest("POST", "lead/3/assign", {"assign_to": next(turn)})) <= CREATE_LEAD + 2
    assert assignment.REASONS


@pytest.mark.parametrize("path", ["/turns/", "/turns/?role=Support+User", "/leads/why/3", "/tickets/assign/1"])
def test_the_round_robin_and_reason_pages(full: Crm, path: str) -> None:
    for _ in range(3):
        full.client("root").rest("POST", "lead/3/assign", {"assign_to_role": "Sales User"})
    assert cost(lambda: full.client("root").screen(path)) <= HOME


def test_a_saved_form(full: Crm) -> None:
    client, names = full.client("ana"), iter(("One", "Two"))
    assert cost(lambda: client.form("/leads/edit/4", {"description": next(names)})) <= STATUS
