"""Limits on the rows that MariaDB reads for a request, in a database of many rows, and on the HTML of lists.

A list may read ten rows for each that it shows, and three for each row up to the cap of its count (read, stored
temporarily and read again); twice as many for the person's own rows or those of their leads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text

from app import access, jobs
from app.access.paging import fast_paging
from app.domain.analytics import record_rollup_fill
from app.domain.analytics.record_rollups import RECORDS
from app.domain.telephony.call_rollups import counted_by, day_of, lock
from app.job_runner import Every, every_minute
from app.models import CallLog, Customer, Lead, RecordRollupState, Task, Ticket
from app.web.core.queries.record_table import COUNT_CAP
from app.web.dashboards import widget_data
from app.web.records.lists import calendar_items
from tests.generated_data import PEOPLE, Dataset, dataset

__all__ = ["dataset"]

JSON = {"Accept": "application/json"}
WHO = ("sales", "manager")
SHOWN = 20
LIST, THROUGH_OTHERS = 10 * SHOWN + 3 * COUNT_CAP, 10 * SHOWN + 6 * COUNT_CAP
#: Bytes of a list of twenty rows, before compression.
MAX_HTML = 40_000
BY_CHANGE = "page_size:20,order_column:changed_on,order_direction:desc"
NEWEST = "page_size:20"


# --- lists, records and REST calls


def test_the_installation_is_so_large_that_a_scan_is_seen(dataset: Dataset) -> None:
    with dataset.crm.engine.connect() as connection:
        for record in (Lead, Task, CallLog):
            rows = connection.execute(select(func.count()).select_from(record.__table__)).scalar_one()
            assert rows > 3 * THROUGH_OTHERS


@pytest.mark.parametrize("who", ["sales", "manager"])
@pytest.mark.parametrize(
    "path, asked",
    [
        ("lead", NEWEST),
        ("lead", BY_CHANGE),
        ("lead", "filters:!((col:status,opr:eq,value:Contacted))," + BY_CHANGE),
        ("lead", "filters:!((col:status,opr:eq,value:Contacted))," + NEWEST),
        ("task", NEWEST),
        ("task", "page_size:20,order_column:due_on,order_direction:desc"),
        ("call_log", NEWEST),
        ("customer", NEWEST),
        ("customer", "filters:!((col:status,opr:eq,value:Active))," + NEWEST),
        ("message", NEWEST),
    ],
)
def test_a_list_reads_little_more_than_it_shows_and_counts(dataset: Dataset, who: str, path: str, asked: str) -> None:
    found = dataset.cost(who, f"/api/v1/{path}/?q=({asked})")
    assert found.total <= (THROUGH_OTHERS if path in ("task", "call_log") else LIST), found.dearest


@pytest.mark.parametrize("who", ["sales", "manager", "support"])
@pytest.mark.parametrize(
    "path",
    [
        "/tasks/",
        "/calls/",
        "/customers/",
        "/messages/",
        "/api/v1/task/?q=(page_size:20,order_column:due_on,order_direction:asc)",
        f"/api/v1/task/?q=({BY_CHANGE})",
        f"/api/v1/call_log/?q=({NEWEST},order_column:created_on,order_direction:desc)",
        f"/api/v1/customer/?q=({NEWEST},order_column:created_on,order_direction:desc)",
    ],
)
def test_other_orders_read_little_more_too(dataset: Dataset, who: str, path: str) -> None:
    found = dataset.cost(who, path)
    assert found.total <= 10 * (SHOWN + COUNT_CAP), found.dearest


@pytest.mark.parametrize("who, most", [("sales", 1_500), ("manager", 2_000)])
def test_missed_calls_to_return_are_found_by_status(dataset: Dataset, who: str, most: int) -> None:
    found = dataset.cost(who, "/calls/?tab=missed")
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", ["sales", "manager"])
def test_orders_without_evidence_are_found_by_their_mark(dataset: Dataset, who: str) -> None:
    # The quick filter reads the person's own calls.
    for path, most in (("/calls/?tab=orders", 300), ("/calls/?_flt_eq_is_order=1", 3_000)):
        found = dataset.cost(who, path)
        assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", ["sales", "support"])
def test_open_tasks_are_found_by_who_holds_them_or_their_record(dataset: Dataset, who: str) -> None:
    found = dataset.cost(who, "/tasks/")
    assert found.total <= 1_000, found.dearest


@pytest.mark.parametrize("who", ["sales", "support"])
def test_a_month_of_everybodys_tasks_reads_those_that_are_seen(dataset: Dataset, who: str) -> None:
    found = dataset.cost(who, f"/tasks/?layout=calendar&span=month&from={datetime.now(UTC):%Y-%m-%d}")
    assert found.total <= 1_500, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 1_200), ("manager", 2_500)])
def test_a_month_of_many_tasks_reads_the_first_ones_of_each_day(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, who: str, most: int
) -> None:
    """The manager sees the tasks of everybody."""
    monkeypatch.setattr(calendar_items, "MANY", 10)
    found = dataset.cost(who, f"/tasks/?layout=calendar&span=month&from={datetime.now(UTC):%Y-%m-%d}")
    assert found.total <= most, (found.total, found.dearest)


def test_who_sees_all_tasks_finds_those_of_a_person_and_a_search_by_themselves(dataset: Dataset) -> None:
    month = f"/tasks/?layout=calendar&span=month&_flt_eq_assignee=@me&from={datetime.now(UTC):%Y-%m-%d}"
    for path in (month, "/tasks/?q=unheard"):
        found = dataset.cost("manager", path)
        assert found.total <= 300, (path, found.dearest)


@pytest.mark.parametrize("who", ["sales", "support"])
def test_a_board_of_tasks_reads_each_column_up_to_its_cards(dataset: Dataset, who: str) -> None:
    found = dataset.cost(who, "/tasks/?layout=board")
    assert found.total <= 1_500, found.dearest


def test_pages_of_a_person_read_no_rows_of_others(dataset: Dataset) -> None:
    """My day, the month of own tasks, and dashboards: in a month, 1,700 leads, 2,500 tasks and 4,000 calls came in."""
    month = "/tasks/?layout=calendar&span=month&_flt_eq_assignee=@me"
    for who, path, most in (
        ("sales", "/", 900),
        ("support", "/", 900),
        ("sales", month, 3_000),
        ("sales", "/dashboard/mine?period=month", 3_000),
        ("sales", "/dashboard/sla?period=month", 1_000),
        ("sales", "/dashboard/referrals?period=month", 1_000),
        ("support", "/dashboard/analytics?period=month", 2_500),
        ("support", "/dashboard/mine?period=month", 2_500),
        ("support", "/dashboard/sla?period=month", 3_000),
    ):
        widget_data.forget()
        client = dataset.client(who)
        client.screen(path)
        widget_data.forget()
        with dataset.counting() as found:
            assert client.screen(path).status_code == 200
        assert found.total <= most, (who, path, found.dearest)


@pytest.fixture(scope="module")
def counted(dataset: Dataset) -> Dataset:
    """The dataset with everything counted by day, as the jobs leave it: on a slow machine, a pass ends early."""
    _skip_earlier_days(dataset)
    while jobs.run_now(dataset.crm.app, "count the calls of each day").items:
        pass
    with pytest.MonkeyPatch.context() as patch:  # each record is counted once, and not compared after that
        patch.setattr(record_rollup_fill, "count_next", record_rollup_fill.count_marked)
        while not _are_records_counted(dataset):
            assert jobs.run_now(dataset.crm.app, "count records that have changed").items
    return dataset


def _skip_earlier_days(dataset: Dataset) -> None:
    """Count no calls of more than 100 days ago: the figures of a month, and of the one before, don't read them."""
    zone = ZoneInfo("Asia/Kolkata")
    with dataset.crm.new_session() as session:
        state = lock(session)
        state.zone, state.filled_until = counted_by(zone), day_of(datetime.now(UTC), zone) - 100
        session.commit()


def _are_records_counted(dataset: Dataset) -> bool:
    complete = select(RecordRollupState.kind).where(RecordRollupState.is_complete)
    with dataset.crm.engine.connect() as connection:
        return set(connection.scalars(complete)) == set(RECORDS)


@pytest.mark.parametrize(
    "page, most",
    [("analytics", 2_600), ("team", 10_500), ("sla", 900), ("referrals", 700)],
)
def test_figures_of_everybody_are_read_from_daily_sums(counted: Dataset, page: str, most: int) -> None:
    """In a month, 1,700 leads, 400 tickets, 2,500 tasks and 4,000 calls came in, and 1,000 tasks are overdue."""
    client, path = counted.client("manager"), f"/dashboard/{page}?period=month"
    client.screen(path)
    widget_data.forget()
    with counted.counting() as found:
        assert client.screen(path).status_code == 200
    assert found.total <= most, found.dearest


@pytest.mark.parametrize(
    "who, page, most",
    [
        ("sales", "analytics", 1_400),
        ("support", "analytics", 900),
        ("sales", "mine", 2_100),
        ("support", "mine", 1_200),
        ("sales", "sla", 450),
        ("support", "sla", 700),
        ("sales", "referrals", 700),
        ("manager", "mine", 1_200),
    ],
)
def test_figures_are_read_from_one_sum_for_each_day_and_charts_from_those_of_months(
    counted: Dataset, who: str, page: str, most: int
) -> None:
    client, path = counted.client(who), f"/dashboard/{page}?period=month"
    client.screen(path)
    widget_data.forget()
    with counted.counting() as found:
        assert client.screen(path).status_code == 200
    assert found.total <= most, (found.total, found.dearest)


def test_calls_by_number_read_the_calls_of_the_running_quarter_alone(counted: Dataset) -> None:
    """In 30 days there were 2,900 outgoing calls."""
    found = counted.cost("root", "/settings/caller-ids/")
    assert found.total <= 300, found.dearest


def test_calls_of_today_are_read_from_the_sums_of_their_quarters(counted: Dataset) -> None:
    client, path = counted.client("manager"), "/dashboard/calls?period=today"
    client.screen(path)
    widget_data.forget()
    with counted.counting() as found:
        assert client.screen(path).status_code == 200
    assert found.total <= 1_200, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 1_600), ("support", 1_600)])
def test_new_callers_of_a_person_are_read_from_daily_counts(counted: Dataset, who: str, most: int) -> None:
    path = "/dashboard/calls?period=month"
    counted.client(who).screen(path)
    widget_data.forget()
    with counted.counting() as found:
        assert counted.client(who).screen(path).status_code == 200
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 9_000), ("manager", 300), ("support", 20_000)])
def test_customers_in_groups_by_status_read_no_others(dataset: Dataset, who: str, most: int) -> None:
    """Nobody's customers are inactive."""
    found = dataset.cost(who, "/customers/?group=status")
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 1_000), ("manager", 21_000), ("support", 1_000)])
def test_tasks_in_groups_by_person_read_no_done_ones(dataset: Dataset, who: str, most: int) -> None:
    """Each of 40 people has 600 tasks that are done."""
    found = dataset.cost(who, "/tasks/?group=assignee")
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", ["sales", "support"])
def test_the_exact_number_of_calls_reads_no_calls_but_an_index(dataset: Dataset, who: str) -> None:
    client = dataset.client(who)
    with dataset.counting() as found:
        assert client.screen("/calls/count", headers={"HX-Request": "true"}).status_code == 200
    assert found.total <= 20_000, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 4_000), ("support", 50_000)])
def test_the_newest_timeline_entries_are_found_without_a_record(dataset: Dataset, who: str, most: int) -> None:
    """The newest fifth of the entries belongs to leads, so that a Support User sees none of them."""
    found = dataset.cost(who, "/api/v1/activity/")
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who, most", [("sales", 15_000), ("support", 75_000)])
def test_the_exact_number_of_entries_reads_those_of_ones_own_records(dataset: Dataset, who: str, most: int) -> None:
    """Of 100,000 entries; the Support User's page alone reads 50,000."""
    found = dataset.cost(who, "/api/v1/activity/?q=(count:exact)")
    assert found.total <= most, found.dearest


def test_a_board_of_tickets_reads_the_assignments_of_its_reader_once(dataset: Dataset) -> None:
    found = dataset.cost("support", "/tickets/?layout=board")
    assert found.total <= 6_000, found.dearest


def test_who_holds_very_many_leads_has_no_tasks_counted_through_them(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with 2,500 leads in a database of 100,000."""
    monkeypatch.setattr(access, "holds_many", lambda *_: True)
    found = dataset.cost("sales", "/tasks/")
    page = dataset.client("sales").screen("/tasks/").text
    assert re.search(r'id="list-count"[^>]*>\d+\+<', page)
    assert found.total <= 700, found.dearest


@pytest.mark.parametrize("who", ["sales", "support"])
def test_a_board_of_who_holds_very_many_counts_own_tasks_only(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr(access, "holds_many", lambda *_: True)
    found = dataset.cost(who, "/tasks/?layout=board")
    page = dataset.client(who).screen("/tasks/?layout=board").text
    assert re.search(r'id="list-count"[^<]*>[\d,]+\+<', page)
    assert found.total <= 1_000, found.dearest


def test_a_scan_that_must_sort_is_given_up(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB then gives an error instead of a warning."""
    monkeypatch.setattr(fast_paging, "index_in_order", lambda *_: "ix_call_figures")
    asked = "/api/v1/call_log/?q=(page_size:20,order_column:started_on,order_direction:asc)"
    assert dataset.cost("sales", asked).total


def test_a_long_list_is_not_counted_again_for_its_next_page(dataset: Dataset) -> None:
    found = dataset.cost("manager", f"/api/v1/lead/?q=(page:1,{NEWEST})")
    assert found.total <= 20 * SHOWN, found.dearest


@pytest.mark.parametrize(
    "who, path, record",
    [
        ("sales", "lead", Lead),
        ("manager", "lead", Lead),
        ("manager", "customer", Customer),
        ("support", "ticket", Ticket),
        ("sales", "task", Task),
    ],
)
def test_one_record_reads_a_handful_of_rows(dataset: Dataset, who: str, path: str, record: Any) -> None:
    key = _one_of(dataset, who, record)
    found = dataset.cost(who, f"/api/v1/{path}/{key}")
    assert found.total <= 50, found.dearest


def _one_of(dataset: Dataset, who: str, record: Any) -> int:
    user = dataset.crm.people[PEOPLE[who]].id
    column = getattr(record, "assignee_id", None)
    query = select(func.max(record.id))
    if column is not None and who != "manager":
        query = query.where(column == user)
    with dataset.crm.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def test_writing_reads_only_what_it_is_about(dataset: Dataset) -> None:
    client, lead = dataset.client("sales"), _one_of(dataset, "sales", Lead)
    due = "2099-01-04T10:00:00Z"
    for path, body in (
        ("lead", {"first_name": "Row", "last_name": "Budget"}),
        ("task", {"title": "Call", "lead": lead, "due_on": due}),
    ):
        client.rest("POST", f"/api/v1/{path}/", json=body)
        with dataset.counting() as found:
            made = client.rest("POST", f"/api/v1/{path}/", json=body)
        assert made.status_code == 201, made.text
        assert found.total <= 100, found.dearest


# --- bytes


@pytest.mark.parametrize("who", ["sales", "manager", "support"])
@pytest.mark.parametrize("path", ["/leads/", "/tickets/", "/tasks/", "/customers/", "/calls/"])
def test_the_html_of_a_list_is_small(dataset: Dataset, who: str, path: str) -> None:
    page = dataset.client(who).screen(path)
    if page.status_code == 403:
        assert (who, path) in {("manager", "/tickets/"), ("sales", "/tickets/"), ("support", "/leads/")}
        return
    assert page.text.count("<tr data-id") == SHOWN
    assert len(page.data) <= MAX_HTML


def test_pinned_reports_keep_the_html_of_a_list_small(dataset: Dataset) -> None:
    client = dataset.client("manager")
    form = {"kind": "lead", "label": "Leads by month and source", "group1": "source", "of0": "count", "audience": "me"}
    made = client.form("/reports/new", form).location
    client.form(f"{made}pin")
    page = client.screen("/leads/")
    client.form(f"{made}delete")
    assert f'href="{made}"' in page.text
    assert len(page.data) <= MAX_HTML


# --- searches


@cache
def phone(dataset: Dataset) -> str:
    """The number of a lead of the Sales User."""
    mine = Lead.assignee_id == dataset.crm.people["bench_sales"].id
    return str(
        dataset.crm.rows(Lead.__table__.select().with_only_columns(Lead.mobile).where(mine, Lead.mobile > "").limit(1))[
            0
        ]
    )


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    "text, most",
    [
        ("phone", 200),
        ("last five", 350),
        ("Quennell", 200),
        ("Aarav", 2000),
        ("Shah", 2000),
        ("Aarav Patel", 300),
        ("B0000123", 300),
        ("a.b@", 200),
        ("Ledger", 1500),
        ("શિકાયત", 300),
    ],
)
def test_a_search(dataset: Dataset, who: str, text: str, most: int) -> None:
    typed = {"phone": phone(dataset), "last five": phone(dataset)[-5:]}.get(text, text)
    found = dataset.cost(who, f"/search?q={quote(typed)}", headers=JSON)
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", [*WHO, "support"])
@pytest.mark.parametrize("text, most", [("comparison", 2500), ("cheque tomorrow", 2500), ("peculiar", 250)])
def test_a_search_of_words_in_notes(dataset: Dataset, who: str, text: str, most: int) -> None:
    found = dataset.cost(who, f"/search?q={quote(text)}", headers=JSON)
    assert found.total <= most, found.dearest


@pytest.fixture
def long_timeline(dataset: Dataset) -> Iterator[Dataset]:
    """A customer has a timeline of 20,000 calls meanwhile."""
    calls = """INSERT INTO activity (kind, at, customer_id, payload)
        SELECT 'call', at, 1, '{"of": "long"}' FROM activity ORDER BY id LIMIT 20000"""
    with dataset.crm.engine.begin() as connection:
        newest = connection.scalar(text("SELECT MAX(id) FROM activity"))
        connection.execute(text(calls.replace(":", r"\:")))
    yield dataset
    with dataset.crm.engine.begin() as connection:
        connection.execute(text("DELETE FROM activity WHERE id > :newest"), {"newest": newest})


def test_a_customer_with_a_long_timeline_has_some_of_it_read(long_timeline: Dataset) -> None:
    found = long_timeline.cost("manager", "/customers/show/1")
    assert found.total <= 4_500, found.dearest


@pytest.fixture
def kumars(dataset: Dataset) -> Iterator[Dataset]:
    """Every twentieth lead and customer has the second name Kumar meanwhile."""
    named = "UPDATE {} SET first_name = {} WHERE id % 20 = 3 AND first_name > ''"
    with dataset.crm.engine.begin() as connection:
        for table in ("leads", "customer"):
            connection.execute(text(named.format(table, "concat(first_name, ' Kumar')")))
    yield dataset
    with dataset.crm.engine.begin() as connection:
        for table in ("leads", "customer"):
            connection.execute(text(named.format(table, "replace(first_name, ' Kumar', '')")))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("typed, most", [("Kumar", 2000), ("Kumar Patel", 800), ("Patel Kumar", 800)])
def test_a_common_second_name(kumars: Dataset, who: str, typed: str, most: int) -> None:
    found = kumars.cost(who, f"/search?q={quote(typed)}", headers=JSON)
    assert found.total <= most, found.dearest


@pytest.mark.parametrize("who", [*WHO, "support"])
def test_a_mistyped_common_name_reads_the_rows_of_a_person_once(dataset: Dataset, who: str) -> None:
    found = dataset.cost(who, "/search?q=aarzv", headers=JSON)
    assert found.total <= 4000, found.dearest


@pytest.mark.parametrize("who", WHO)
def test_a_number_in_a_filter_and_in_a_list(dataset: Dataset, who: str) -> None:
    asked = f"/api/v1/lead/?q=(filters:!((col:mobile,opr:eq,value:'{phone(dataset)}')),page_size:20)"
    for path in (asked, f"/leads/?q={phone(dataset)}"):
        found = dataset.cost(who, path)
        assert found.total <= 100, found.dearest


@pytest.mark.parametrize("who", WHO)
def test_the_last_digits_of_a_number_in_the_list_of_calls(dataset: Dataset, who: str) -> None:
    called = CallLog.__table__.select().with_only_columns(CallLog.other_e164).where(CallLog.other_e164 > "").limit(1)
    found = dataset.cost(who, f"/calls/?q={dataset.crm.rows(called)[0][-5:]}")
    assert found.total <= 100, found.dearest


@pytest.mark.parametrize("who", WHO)
def test_a_pick_list_while_a_common_name_is_typed(dataset: Dataset, who: str) -> None:
    found = dataset.cost(who, "/leads/lookup?q=Aa")
    assert found.total <= 2000, found.dearest


# --- jobs


#: Jobs of every minute or every few minutes. Those of once a day may read more.
FREQUENT = [job.name for job in jobs.SCHEDULE if job.when == every_minute or isinstance(job.when, Every)]
#: They have a backlog in new data: days of calls to count, records to compare.
CATCHING_UP = {"count the calls of each day", "count records that have changed", "look for duplicates"}


@pytest.mark.parametrize("name", [each for each in FREQUENT if each not in CATCHING_UP])
def test_a_frequent_job_with_nothing_to_do_reads_a_handful_of_rows(dataset: Dataset, name: str) -> None:
    sunday_night = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)  # the office is closed, so that no task is reassigned
    jobs.run_now(dataset.crm.app, name, at=sunday_night)  # opens its tables
    with dataset.counting() as found:
        run = jobs.run_now(dataset.crm.app, name, at=sunday_night)
    assert run.outcome == "done"
    assert found.total <= 150, found.dearest
