"""Fast statements find exactly the rows and counts of the access rules, in the list's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.access import (
    MAX_BRANCHES,
    MODULE_OF,
    NOT_COUNTED,
    PageQuery,
    Person,
    asks_for_own,
    count_by_path,
    count_by_person,
    exact_count,
    first_of_holder,
    holds_many,
    is_counted_by_path,
    is_shared,
    newest_entries,
    page_by_person,
    page_of_union,
    pages_of_groups,
)
from app.access.paging import counting_limits, entry_pages, fast_paging, grouped_paging, holder_pages, reach_branches
from app.access.paging.entry_pages import FoundEntries
from app.access.row_rules import RULES, OwnedRows, visible
from app.domain import task_holders
from app.domain.assignment import Assignment
from app.models import Activity, CallLog, Customer, Lead, Message, Task, Ticket
from tests.access.factories import person, row
from tests.factories import NOW, database, lead, ticket, user
from tests.servers import Databases

RECORDS = (Lead, Ticket, Customer, Task, CallLog, Message)
HOLDER = {CallLog: "employee_id", Message: "created_by_id", Customer: "owner_id"}
STATUSES = ("Active", "Inactive")
MODULES = [MODULE_OF[record] for record in RECORDS]
ALL_OWN = {f"{module}.read": "own" for module in MODULES}


@dataclass
class Dataset:
    """A database with rows of all records that belong to each other at random, and the ids of six people."""

    session: Session
    people: list[int]
    #: (place among the viewers, record) -> what the law shows; it doesn't change.
    shown: dict[tuple[int, Any], list[Any]] = field(default_factory=dict)


def fill(session: Session) -> Dataset:
    rng = Random(11)
    users = [user(session, f"user{n}") for n in range(6)]
    ids = [each.id for each in users]

    def any_of(rows: list[Any]) -> int | None:
        return rng.choice(rows).id if rows and rng.random() < 0.6 else None

    customers = [
        row(session, Customer, owner_id=rng.choice([*ids, None]), changed_on=_at(rng), status=STATUSES[n % 4 == 0])
        for n in range(40)
    ]
    leads, tickets = [], []
    for _ in range(60):
        made = lead(session, rng.choice(users), customer_id=any_of(customers))
        made.owner_id, made.changed_on = rng.choice(ids), _at(rng)
        leads.append(made)
        made = ticket(session, rng.choice(users), customer_id=any_of(customers))
        made.owner_id, made.changed_on = rng.choice(ids), _at(rng)
        tickets.append(made)
        if rng.random() < 0.5:
            ended = NOW if rng.random() < 0.3 else None
            key = None if ended else f"shared:{made.id}"
            row(session, Assignment, ticket_id=made.id, user_id=rng.choice(ids), ended_on=ended, open_key=key)
    for n in range(120):
        parent = {"lead_id": rng.choice(leads).id} if n % 2 else {"ticket_id": rng.choice(tickets).id}
        row(session, Task, assignee_id=rng.choice([*ids, None]), due_on=_at(rng), **parent)
        for record in (CallLog, Message):
            parents = {"lead_id": any_of(leads), "ticket_id": any_of(tickets), "customer_id": any_of(customers)}
            row(session, record, **parents, **{HOLDER[record]: rng.choice(ids)}, created_on=_at(rng))
    for each in leads[::3]:
        each.converted_on = NOW
    for n in range(200):
        parents = {"lead_id": any_of(leads), "ticket_id": any_of(tickets) if n % 3 else None}
        kind = ("note", "status", "call")[n % 3]
        row(session, Activity, kind=kind, at=NOW, payload={}, customer_id=any_of(customers), **parents)
    session.commit()
    settle(session)
    return Dataset(session, ids)


def settle(session: Session) -> None:
    """Fill in the holders that tasks repeat, which nothing has written here, as after an upgrade."""
    for name in ("task", "assignment"):
        task_holders.settle(session, name, NOW)
    assert task_holders.is_settled(session)


def _at(rng: Random) -> Any:
    return NOW - timedelta(days=rng.randrange(9))  # often the same: the id decides


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def dataset(request: pytest.FixtureRequest) -> Iterator[Dataset]:
    if request.param == "sqlite":
        with Session(database()) as session:
            yield fill(session)
        return
    server: Databases = request.getfixturevalue("mariadb_server")
    name = server.create_database()
    engine = database(server.url(name))
    with Session(engine) as session:
        yield fill(session)
    engine.dispose()
    server.drop_database(name)


def is_sqlite(dataset: Dataset) -> bool:
    return dataset.session.get_bind().dialect.name == "sqlite"


def viewers(dataset: Dataset) -> list[Person]:
    one, two, *others = dataset.people
    return [
        person(one, ALL_OWN),
        person(one, ALL_OWN, own_ids=frozenset({one, two})),
        person(two, dict.fromkeys(ALL_OWN, "team"), team=(one, others[0])),
        person(two, {**ALL_OWN, "Leads.read": "none"}),
        person(two, {**ALL_OWN, "Customers.read": "none"}),
        person(two, {**ALL_OWN, "Tickets.read": "none", "Customers.read": "none"}),
        person(two, {**ALL_OWN, "Leads.read": "team"}, team=(one,)),
        person(999_999, ALL_OWN),
    ]


def law(dataset: Dataset, n: int, who: Person, record: Any) -> list[Any]:
    """(id, key) of the rows that the access rule shows to the viewer at this place."""
    if (n, record) not in dataset.shown:
        asked = select(record.id, key_of(record)).where(visible(who, record))
        dataset.shown[n, record] = list(dataset.session.execute(asked))
    return dataset.shown[n, record]


def expected(rows: list[Any], wanted: PageQuery, holds: Callable[[int], bool]) -> list[int]:
    kept = [row for row in rows if holds(row[0])]
    kept.sort(key=(lambda row: row[0]) if wanted.key is None else (lambda row: (row[1], row[0])))
    return [row[0] for row in (kept[::-1] if wanted.descending else kept)][wanted.offset : wanted.limit]


def found(dataset: Dataset, who: Person, record: Any, wanted: PageQuery) -> set[int]:
    page = page_by_person(dataset.session, who, record, wanted)
    assert page is not None
    ids = page if isinstance(page, list) else list(dataset.session.scalars(page))
    assert len(set(ids)) == len(ids)
    return set(ids)


KEYS = {Lead: "changed_on", Ticket: "changed_on", Customer: "changed_on", Task: "due_on"}


def key_of(record: Any) -> Any:
    return getattr(record, KEYS.get(record, "created_on"))


@pytest.fixture(params=["scan", "branches", "holders"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lists of tasks, calls, messages and customers are first scanned; the branches serve whom the scan fails.

    Tasks by due time are found by the holders that they repeat, once these have settled.
    """
    monkeypatch.setattr(holder_pages, "are_settled", lambda _session: request.param == "holders")
    if request.param == "branches":
        monkeypatch.setattr(fast_paging, "_scan", lambda *_: None)
    return str(request.param)


@pytest.mark.parametrize("record", RECORDS)
def test_pages_are_those_of_the_access_rule(dataset: Dataset, way: str, record: Any) -> None:
    key = key_of(record)
    asked: list[tuple[PageQuery, Callable[[int], bool]]] = [
        (PageQuery([], 5), lambda _: True),
        (PageQuery([], 500), lambda _: True),
        (PageQuery([], 5, 5), lambda _: True),
        (PageQuery([record.id % 3 != 0], 5), lambda id_: id_ % 3 != 0),
        (PageQuery([], 7, 3, key), lambda _: True),
        (PageQuery([], 7, 3, key, descending=False), lambda _: True),
        (PageQuery([record.id < 20], 50, 0, key), lambda id_: id_ < 20),
    ]
    for n, who in enumerate(viewers(dataset)):
        if not who.may(MODULE_OF[record], "read"):
            continue
        rows = law(dataset, n, who, record)
        if way == "holders" and record is Task:
            for wanted, holds in asked[4:]:
                assert found(dataset, who, record, wanted) == set(expected(rows, wanted, holds)), (who.levels, wanted)
            continue
        # One question to each viewer, in each way and on each database another: each is asked by at least four of them
        turn = n + 2 * (way == "scan") + 4 * is_sqlite(dataset)
        wanted, holds = asked[turn % len(asked)]
        assert found(dataset, who, record, wanted) == set(expected(rows, wanted, holds)), (who.levels, wanted)


@pytest.mark.parametrize("record", [Lead, Ticket])
def test_deep_pages_are_those_of_the_access_rule(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, record: Any
) -> None:
    """Those of all rows are read in the order of an index: of very many rows, MariaDB would rather sort all."""
    monkeypatch.setattr(fast_paging, "DEEP_OFFSET", 3)
    for n, who in enumerate(viewers(dataset)):
        if not who.may(MODULE_OF[record], "read"):
            continue
        rows = law(dataset, n, who, record)
        for wanted in (PageQuery([], 5, 3), PageQuery([], 5, 4, key_of(record)), PageQuery([record.id > 0], 5, 3)):
            assert found(dataset, who, record, wanted) == set(expected(rows, wanted, lambda _: True))
            union = page_of_union(who, record, wanted)
            assert union is not None
            page = str(union.compile(dataset.session.get_bind()))
            has_index = not is_sqlite(dataset) and not wanted.conditions
            assert ("(ix_leads_owner" in page or "(ix_ticket_owner" in page) == has_index


@pytest.mark.parametrize("record, by_holders", [*[(record, False) for record in RECORDS], (Task, True)])
def test_counts_are_those_of_the_access_rule_up_to_the_cap(dataset: Dataset, record: Any, by_holders: bool) -> None:
    for n, who in enumerate(viewers(dataset)):
        if not who.may(MODULE_OF[record], "read"):
            continue
        total = len(law(dataset, n, who, record))
        for cap in {max(1, total - 1), total + 1, *((1, max(1, total)) if n % 2 else ())}:
            count = count_by_person(who, record, PageQuery([], cap, by_holders=by_holders))
            assert count is not None
            assert dataset.session.scalar(count) == min(cap, total), (who.levels, cap)


@pytest.mark.parametrize("status", STATUSES)
def test_customers_of_a_status_are_those_of_the_access_rule(dataset: Dataset, way: str, status: str) -> None:
    """A status that few customers have is counted on its index, one that many have by who reaches them."""
    asked = select(Customer.id).where(Customer.status == status)
    of_status = set(dataset.session.scalars(asked))
    for n, who in enumerate(viewers(dataset)):
        if not who.may("Customers", "read"):
            continue
        rows = law(dataset, n, who, Customer)
        seen = [row for row in rows if row[0] in of_status]
        wanted = PageQuery([Customer.__table__.c.status == status], 4, n % 3)
        assert found(dataset, who, Customer, wanted) == set(expected(seen, wanted, lambda _: True)), who.levels
        # Customers are counted in the same way whichever way their pages are found
        cap = {"scan": 2, "branches": len(seen) + 1, "holders": 1000}[way]
        count = count_by_person(who, Customer, PageQuery(wanted.conditions, cap))
        assert count is not None
        assert dataset.session.scalar(count) == min(cap, len(seen)), (who.levels, cap)


@pytest.mark.parametrize("is_many", [True, False])
def test_the_newest_entries_are_those_of_the_access_rule(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, is_many: bool
) -> None:
    monkeypatch.setattr(entry_pages, "holds_many", lambda *_: is_many)
    monkeypatch.setattr(entry_pages, "CHUNK", 30)
    monkeypatch.setattr(entry_pages, "CHUNKS", 10)
    columns = Activity.__table__.c
    asked = [
        ([], None, lambda row: True),
        ([columns.id < 120], 120, lambda row: row.id < 120),
        ([columns.kind == "note"], None, lambda row: row.kind == "note"),
    ]
    questions = [*product(asked, ((5, 0), (7, 4), (1000, 0)))]
    everybody = [*viewers(dataset), person(dataset.people[0], {**ALL_OWN, "Call Logs.read": "none"})]
    for n, who in enumerate(everybody):
        rows = dataset.session.execute(
            select(Activity.id, Activity.kind).where(visible(who, Activity)).order_by(Activity.id.desc())
        ).all()
        # Each is asked by each viewer in both ways, of one database each
        for (conditions, before, holds), (size, offset) in questions[(n + is_many + is_sqlite(dataset)) % 2 :: 2]:
            listed = [row.id for row in rows if holds(row)][offset : offset + size]
            wanted = PageQuery(conditions, size, offset)
            assert newest_entries(dataset.session, who, wanted, before) == FoundEntries(listed), who.levels


def test_entries_are_looked_through_up_to_a_limit_and_the_page_says_where_to_go_on(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_pages, "holds_many", lambda *_: True)
    monkeypatch.setattr(entry_pages, "CHUNK", 10)
    monkeypatch.setattr(entry_pages, "CHUNKS", 2)
    who = viewers(dataset)[0]
    rule = select(Activity.id).where(visible(who, Activity)).order_by(Activity.id.desc())
    ids, pages, before = list[int](), 0, None
    while pages == 0 or before is not None:
        cursor: list[Any] = [] if before is None else [Activity.__table__.c.id < before]
        page = newest_entries(dataset.session, who, PageQuery([*cursor], 50), before)
        assert page is not None
        ids, before, pages = [*ids, *page.ids], page.rest, pages + 1
    assert pages == 10
    assert ids == list(dataset.session.scalars(rule))


def test_entries_of_one_record_or_of_everybody_are_found_by_its_index(dataset: Dataset) -> None:
    columns = Activity.__table__.c
    for rule in (columns.lead_id == 1, columns.customer_id == 1, columns.actor_id == 1):
        assert newest_entries(dataset.session, viewers(dataset)[0], PageQuery([rule], 5)) is None
    everything = person(1, dict.fromkeys(ALL_OWN, "all"))
    assert newest_entries(dataset.session, everything, PageQuery([], 5)) is None
    assert newest_entries(dataset.session, viewers(dataset)[0], PageQuery([], 5, descending=False)) is None


@pytest.mark.parametrize("record", [CallLog, Message, Activity])
def test_exact_numbers_are_those_of_the_access_rule(dataset: Dataset, record: Any) -> None:
    for who in viewers(dataset):
        if record is Activity or who.may(MODULE_OF[record], "read"):
            count = exact_count(who, record)
            assert count is not None
            asked = select(func.count(record.id)).where(visible(who, record))
            assert dataset.session.scalar(count) == dataset.session.scalar(asked), who.levels
    assert exact_count(viewers(dataset)[0], Task) is None
    assert exact_count(person(1, dict.fromkeys(ALL_OWN, "all")), record) is None


def test_the_first_tasks_of_somebody_are_read_by_status_if_all_of_theirs_are_seen(dataset: Dataset) -> None:
    one, two, *_ = dataset.people
    columns = Task.__table__.c
    wanted = PageQuery([columns.status.in_(["Todo", "Done"])], 3, 1, columns.due_on, descending=False)
    ways = first_of_holder(person(one, ALL_OWN), Task, wanted, ("assignee_id", one))
    found_rows = sorted((row.key, row.id) for way in ways for row in dataset.session.execute(way))
    rule = (Task.assignee_id == one, Task.status.in_(["Todo", "Done"]), Task.due_on.is_not(None))
    listed = select(Task.due_on, Task.id).where(*rule).order_by(Task.due_on, Task.id).limit(4)
    assert found_rows[:4] == [tuple(row) for row in dataset.session.execute(listed)]
    assert not first_of_holder(person(one, ALL_OWN), Task, wanted, ("assignee_id", two))
    assert first_of_holder(person(one, dict.fromkeys(ALL_OWN, "all")), Task, wanted, ("assignee_id", two))
    unsorted = PageQuery(wanted.conditions, 3)
    assert not first_of_holder(person(one, ALL_OWN), Task, unsorted, ("assignee_id", one))


@pytest.mark.parametrize("record, by_holders", [(Task, False), (Task, True), (CallLog, False), (Message, False)])
def test_own_rows_and_those_through_others_are_told_apart(dataset: Dataset, record: Any, by_holders: bool) -> None:
    wanted, alone = PageQuery([], 1000, by_holders=by_holders), 0
    for n, who in enumerate(viewers(dataset)):
        if not who.may(MODULE_OF[record], "read"):
            continue
        assert is_counted_by_path(who, record, wanted)
        rows = law(dataset, n, who, record)
        held = or_(
            *[getattr(record, name).in_(who.reach(MODULE_OF[record])) for name in reach_branches.HOLDERS[record]]
        )
        own = len(list(dataset.session.scalars(select(record.id).where(held))))
        assert list(dataset.session.execute(count_by_path(who, record, wanted, 0)).one()) == [own, len(rows) - own]
        assert dataset.session.execute(count_by_path(who, record, wanted, own + 1)).one().others is None
        if own:
            assert dataset.session.execute(count_by_path(who, record, PageQuery([], own), 0)).one().others is None
        for turn, others in enumerate((0, NOT_COUNTED)):
            few = (n + turn + is_sqlite(dataset)) % 2 == 0  # each with each viewer, on one of the databases
            count = count_by_path(who, record, wanted, 0, others, few)
            assert list(dataset.session.execute(count).one()) == [own, others]
            assert dataset.session.execute(count_by_path(who, record, wanted, own + 1, others)).one().others is None
        if len(rows) == own:  # then a page is that of the own rows
            for asked in (PageQuery([], 5), PageQuery([], 7, 3, key_of(record), descending=False)):
                page = page_by_person(dataset.session, who, record, asked, True)
                assert page == expected(rows, asked, lambda _: True)
                alone += 1
    assert alone
    assert not is_counted_by_path(person(1, {}), record, wanted)


def test_a_list_of_own_rows_has_none_of_others() -> None:
    one, both = person(1, ALL_OWN), person(1, ALL_OWN, own_ids=frozenset({1, 2}))
    own = Task.assignee_id
    for who, conditions, is_own in (
        (one, [], False),
        (one, [own == 1], True),
        (one, [Task.status == "Todo", own.in_([1])], True),
        (one, [own == 2], False),
        (one, [own.in_([1, 2])], False),
        (both, [own.in_([1, 2])], True),
        (one, [own != 1], False),
        (one, [or_(own == 1, own == 2)], False),
        (one, [own.is_(None)], False),
        (one, [Task.lead_id == 1], False),
        (one, [Task.created_by_id == 1], False),
        (one, [CallLog.employee_id == 1], False),
        (person(1, {}), [own == 1], False),
    ):
        assert asks_for_own(who, Task, conditions) is is_own
    assert not asks_for_own(one, Ticket, [Ticket.assignee_id == 1])  # one of several ways to hold it


@pytest.mark.parametrize("record", [Task, CallLog, Message])
def test_who_holds_many_is_known_without_counting_all_of_them(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, record: Any
) -> None:
    for n, who in enumerate(viewers(dataset)):
        held = 0
        for source in dict.fromkeys(reach_branches.sources(who, record)):
            names = reach_branches.HOLDERS[source]
            ways = [getattr(source, name).in_(who.reach(MODULE_OF[source]) or ()) for name in names]
            found = set(dataset.session.scalars(select(source.id).where(or_(*ways))))
            if source is Ticket:
                shared = select(Assignment.ticket_id).where(Assignment.ended_on.is_(None))
                found |= set(dataset.session.scalars(shared.where(Assignment.user_id.in_(who.reach("Tickets") or ()))))
            held += len(found)
        for most, is_many in ((held, False), (held - 1, True)) if held else ((0, False),):
            monkeypatch.setattr(counting_limits, "MOST_HELD", most)
            assert holds_many(dataset.session, viewers(dataset)[n], record) is is_many, (n, held)


def test_who_holds_many_is_remembered_for_a_while(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    one, answers = viewers(dataset)[0], [[1], [], [1]]
    monkeypatch.setattr(counting_limits, "_answer", lambda *_: answers.pop())
    assert [holds_many(dataset.session, one, Task) for _ in range(3)] == [True] * 3
    assert not holds_many(dataset.session, one, CallLog)  # each list by itself
    one.many_held.keep(Task, (0.0, False))
    assert holds_many(dataset.session, one, Task) and not answers
    assert not holds_many(dataset.session, person(1, {"Tasks.read": "own"}), Task)  # no way to any


@pytest.mark.parametrize(
    "levels, record",
    [
        ({"Leads.read": "all"}, Lead),
        ({}, Lead),
        ({**ALL_OWN, "Leads.read": "all"}, Task),
        ({**ALL_OWN, "Customers.read": "all"}, CallLog),
        ({**ALL_OWN, "Tickets.read": "all"}, Customer),
        ({**ALL_OWN, "Tasks.read": "none"}, Task),
    ],
)
def test_who_reaches_all_rows_or_none_has_no_such_shape(dataset: Dataset, levels: dict[str, str], record: Any) -> None:
    who = person(1, levels)
    assert page_by_person(dataset.session, who, record, PageQuery([], 5)) is None
    assert count_by_person(who, record, PageQuery([], 5)) is None


@pytest.mark.parametrize("size, has_shape", [(MAX_BRANCHES, True), (MAX_BRANCHES + 1, False)])
def test_a_team_is_looked_up_person_by_person_up_to_a_size(dataset: Dataset, size: int, has_shape: bool) -> None:
    who = person(1, {**ALL_OWN, "Leads.read": "team"}, team=tuple(range(2, size + 1)))
    for record in (Lead, Task):
        assert (count_by_person(who, record, PageQuery([], 5)) is not None) is has_shape


def test_a_rule_of_an_add_on_has_no_such_shape(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, Lead, OwnedRows(Lead, "Leads"))
    assert count_by_person(person(1, ALL_OWN), Lead, PageQuery([], 5)) is None


def test_the_newest_tickets_fill_pages_of_groups_that_are_right(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few are looked at: a full page is that of the access rule."""
    size, groups = 2, [Ticket.id % 3 == rem for rem in (0, 1)]
    wanted, full = PageQuery([], size), 0
    for newest in (1, 3, 10):
        monkeypatch.setattr(grouped_paging, "NEWEST", newest)
        for n, who in enumerate(viewers(dataset)):
            if not is_shared(who, Ticket, wanted):
                continue
            rows = law(dataset, n, who, Ticket)
            answer = dataset.session.execute(pages_of_groups(who, groups, wanted, "newest")).all()
            for place in (0, 1):
                made = sorted((each for each in answer if each[0] == place), key=lambda each: each[2])
                mine = [row for row in rows if row[0] % 3 == place]
                if len(made) == size:
                    full += 1
                    assert [each[1] for each in made] == expected(mine, wanted, lambda _: True)
    assert full


@pytest.mark.parametrize("by_change", [True, False])
def test_pages_of_groups_are_those_of_the_access_rule(dataset: Dataset, by_change: bool) -> None:
    key = key_of(Ticket) if by_change else None
    rest, size = [Ticket.id % 7 != 0], 4
    for n, who in enumerate(viewers(dataset)):
        rows = law(dataset, n, who, Ticket)
        for offset, descending in ((0, True), (3, False)):
            wanted = PageQuery(rest, size, offset, key, descending)
            if not is_shared(who, Ticket, wanted):
                continue
            groups = [Ticket.id % 3 == rem for rem in (0, 1)]
            answer = dataset.session.execute(pages_of_groups(who, groups, wanted)).all()
            for place in (0, 1):
                mine = [row for row in rows if row[0] % 7 and row[0] % 3 == place]
                made = sorted((each for each in answer if each[0] == place), key=lambda each: each[2])
                assert [each[1] for each in made] == expected(mine, wanted, lambda _: True)
                own = count_by_person(who, Ticket, PageQuery([*rest, groups[place]], 500), with_shared=False)
                assert own is not None
                counted = dataset.session.scalar(own) or 0
                assert {counted + each[3] for each in made} <= {len(mine)}
