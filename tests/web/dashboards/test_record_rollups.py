"""Figures of leads, tickets and tasks from their daily sums equal those of the rows, whatever happens to the rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, insert, select, true, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate

from app.domain import assignment
from app.domain.analytics import figure_tables, record_rollup_counts, record_rollup_fill
from app.domain.analytics.record_rollups import CUBES, DUE_BY_HOUR, RECORDS, hour_of, start_of_hour
from app.domain.assignment import NewAssignee
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.merging import merge_undo, record_merge
from app.domain.merging.record_merge import MergeRequest
from app.domain.periods import Period
from app.domain.persistence import recount_marks
from app.domain.telephony.call_rollups import date_of, number_of
from app.domain.working_time import sla
from app.models import (
    CountedRow,
    Lead,
    LeadSource,
    LeadStatus,
    RecordRollupState,
    RecordSum,
    RowMark,
    Task,
    Ticket,
    TicketStatus,
    User,
)
from app.web.core.viewer import Viewer
from app.web.dashboards import widget_data
from app.web.dashboards.widgets import CATALOG
from app.web.records.lists.figure_filter import scope_of
from tests.app_fixtures import Crm
from tests.web.dashboards.test_rollups import NOW, RAW, ROLES, ROLLED, viewer_of

FIRST, LAST = date(2026, 11, 2), date(2026, 11, 26)
#: The first days of periods until LAST: nearly a month, a week, and most of another month before it.
BEGINNINGS = (FIRST, date(2026, 11, 20), date(2026, 10, 8))
WIDGETS = {name: each for name, each in CATALOG.items() if each.counted & {Lead, Ticket, Task}}


def filled(session: Session, at_most: int = 1000) -> int:
    """Count what waits, as the job does. Returns the transactions that had something to count."""
    kinds, done = record_rollup_fill.to_count(session, ROLLED, NOW, 3), 0
    session.rollback()
    for kind in kinds[:at_most]:
        done += record_rollup_fill.count_marked(session, kind, ROLLED, NOW) > 0
        session.commit()
    return done


class Office:
    """Makes, changes and deletes leads, tickets and tasks by chance, through every door."""

    def __init__(self, crm: Crm, seed: int, session: Session | None = None) -> None:
        self.crm, self.chance, self.session = crm, random.Random(seed), session or crm.session
        self.people = [crm.people[name].id for name in ("ana", "ben", "mia", "cleo", "rhea")]
        self.statuses = {
            Lead: list(self.session.scalars(select(LeadStatus.id))),
            Ticket: list(self.session.scalars(select(TicketStatus.id))),
        }
        self.sources = [None, *self.session.scalars(select(LeadSource.id))]
        self.merges: list[int] = []

    @property
    def context(self) -> ChangeContext:
        return ChangeContext(None, NOW, vault=self.crm.vault, customer_rights=ALL_RIGHTS, may_reopen=True)

    def own(self, _record: Any) -> Any:
        """SQL: the rows that it changes."""
        return true()

    def moment(self) -> datetime:
        seconds = self.chance.randrange(int((NOW - datetime(2026, 10, 4, tzinfo=UTC)).total_seconds()))
        return NOW - timedelta(seconds=seconds, microseconds=self.chance.randrange(10**6))

    def one(self, record: Any) -> Any:
        keys = self.session.scalars(select(record.id).where(self.own(record))).all()
        while not keys:
            self.add()
            keys = self.session.scalars(select(record.id)).all()
        return self.session.get_one(record, self.chance.choice(keys))

    def record(self) -> Any:
        return self.one(self.chance.choice((Lead, Ticket)))

    def add(self) -> None:
        about = self.crm.make.lead if self.chance.random() < 0.6 else self.crm.make.ticket
        made = about(self.chance.choice(("ana", "ben", "mia")), at=self.moment())
        self.crm.make.task(made, priority=self.chance.choice(("Low", "High")))

    def change(self) -> None:
        row = self.record()
        row.status_id = self.chance.choice(self.statuses[type(row)])
        row.assignee_id = self.chance.choice([*self.people, None])
        row.owner_id = self.chance.choice(self.people)
        if self.chance.random() < 0.2:  # nobody gets a ticket before it was created
            row.created_on = self.moment() if isinstance(row, Lead) else min(self.moment(), row.created_on)
        row.replied_on = self.chance.choice([None, row.created_on + timedelta(seconds=self.chance.randrange(99999))])
        row.sla_started_on = self.chance.choice([None, row.created_on])
        row.reply_late_on = self.chance.choice([None, self.moment()])
        if isinstance(row, Lead):
            row.source_id, row.referral = self.chance.choice(self.sources), self.chance.choice([None, "", "R1"])
            row.opened_on = self.chance.choice([None, self.moment()])
            row.activated_on = self.chance.choice([None, self.moment()])
        else:
            row.priority = self.chance.choice(("Low", "High"))
            row.resolve_late_on, row.resolved_on = self.moment(), self.chance.choice([None, self.moment()])

    def give(self) -> None:
        """To several people on several days, some twice."""
        lead = self.one(Lead)
        for moment in sorted(self.moment() for _n in range(4)):
            whom = NewAssignee(self.chance.choice(self.people[:3]), "direct", notify=False)
            assignment.assign(self.session, lead, whom, Stamp(None, moment))

    def share(self) -> None:
        """A ticket with one more person, or without one of its people."""
        ticket, person = self.one(Ticket), self.chance.choice(self.people)
        with suppress(RuleBroken):  # the person has it already, or hasn't
            if self.chance.random() < 0.7:
                assignment.add_assignee(self.session, ticket, person, Stamp(None, NOW))
            else:
                assignment.remove_assignee(self.session, ticket, person, Stamp(None, NOW))

    def finish(self) -> None:
        task = self.one(Task)
        task.status, task.done_on = self.chance.choice((("Done", self.moment()), ("Todo", None)))
        task.due_on = self.chance.choice((self.moment(), NOW - timedelta(seconds=self.chance.randrange(-3600, 86_400))))

    def reply(self) -> None:
        row = self.record()
        sla.record_first_reply(self.session, type(row), row.id, NOW)

    def insert_many(self) -> None:
        row = self.one(Lead)
        columns = [column for column in Lead.__table__.c if column.name not in ("id", "number") and not column.computed]
        values = {column.name: getattr(row, column.key) for column in columns}
        rows = [values | {"number": f"M-{self.chance.random()}", "created_on": self.moment()} for _n in range(3)]
        self.session.execute(insert(Lead.__table__), rows)

    def change_many(self) -> None:
        rules = Lead.assignee_id == self.chance.choice(self.people)
        self.session.execute(update(Lead).where(rules).values(status_id=self.chance.choice(self.statuses[Lead])))
        self.session.execute(update(Task).where(Task.priority == "High").values(priority="Low"), _BULK)

    def remove(self) -> None:
        self.session.delete(self.record())

    def remove_many(self) -> None:
        about = self.one(Ticket)
        self.session.execute(delete(Ticket).where(Ticket.created_on == about.created_on), _BULK)

    def merge(self) -> None:
        rows = self.session.scalars(select(Lead).where(Lead.customer_id.is_(None), self.own(Lead)).limit(2)).all()
        if len(rows) == 2:
            request = MergeRequest(Lead, tuple(row.id for row in rows), {})
            with suppress(RuleBroken), self.session.begin_nested():  # the status may need a field that is empty
                self.merges.append(record_merge.merge(self.session, request, self.context).id)

    def unmerge(self) -> None:
        if self.merges:
            with suppress(RuleBroken):  # the lead may have got an account since
                merge_undo.undo(self.session, self.merges.pop(), self.context)

    def undone(self) -> None:
        """A savepoint and a transaction that are rolled back."""
        with self.session.begin_nested() as point:
            self.one(Task).status = "Done"
            self.session.flush()
            point.rollback()
        row = self.record()
        row.status_id = self.statuses[type(row)][0]
        self.session.flush()
        self.session.rollback()


_BULK: Any = {"synchronize_session": False}
STEPS: tuple[Callable[[Office], None], ...] = (
    *(Office.give, Office.give, Office.share, Office.share, Office.share),
    *(Office.add, Office.change, Office.change, Office.finish, Office.reply, Office.insert_many, Office.change_many),
    *(Office.remove, Office.remove_many, Office.merge, Office.unmerge, Office.undone),
)


def measured(crm: Crm, name: str, zone: ZoneInfo, beginnings: Sequence[date] = BEGINNINGS) -> Any:
    """All figures that this person sees, for a month and for a week."""
    with crm.as_person(name) as session:
        return measured_in(session, viewer_of(crm, session, name, zone), beginnings)


def measured_in(session: Session, viewer: Viewer, beginnings: Sequence[date] = BEGINNINGS) -> Any:
    """All figures that the viewer sees: for a month those of everybody, two people, and themselves; for a week those
    of everybody and of one person."""
    widgets, found = widget_data.visible_widgets(WIDGETS, WIDGETS, viewer), []
    two = frozenset(session.scalars(select(User.id).where(User.username.in_(("ana", "ben")))))
    ana, own = (frozenset((key,)) for key in (min(two), viewer.person.id))
    for first in beginnings:
        scope = scope_of(Period(first, LAST, viewer.zone), viewer, None)
        for people in (None, two, own) if first == FIRST else (None, ana):
            each = widget_data.measure(session, widgets, replace(scope, people=people), viewer)
            found.append((each.counts, each.groups, each.series, _without_zeros(each.people), each.referrals))
    return found


def _without_zeros(people: figure_tables.ByPerson) -> figure_tables.ByPerson:
    """A table of people leaves out who has nothing, and what is missing is zero."""
    found = {key: {name: value for name, value in values.items() if value} for key, values in people.items()}
    return {key: values for key, values in found.items() if values}


def assert_equal(crm: Crm, names: tuple[str, ...] = ROLES, beginnings: Sequence[date] = BEGINNINGS) -> None:
    for name in names:
        of_sums, of_rows = (measured(crm, name, zone, beginnings) for zone in (ROLLED, RAW))
        for summed, counted in zip(of_sums, of_rows, strict=True):
            for part, other in zip(summed, counted, strict=True):
                assert part == other, name


def used(crm: Crm) -> bool:
    """Whether root's figures come from the sums."""
    with crm.as_person("root") as session:
        viewer = viewer_of(crm, session, "root", ROLLED)
        scope = scope_of(Period(FIRST, LAST, ROLLED), viewer, None)
        seen = dict.fromkeys(RECORDS.values(), record_rollup_counts.ALL)
        found = record_rollup_counts.coverage_of(session, scope, seen)
        return found is not None and set(found.turns) == set(RECORDS)


def differing_unmarked(session: Session) -> int:
    """How many rows differ from what is counted of them without a mark; the session mends nothing."""
    found = sum(record_rollup_fill.compare_turn(session, kind, ROLLED, NOW)[1] for kind in RECORDS)
    session.rollback()
    return found


@pytest.mark.parametrize("seed", [1, 3])
def test_the_sums_say_what_the_rows_say_whatever_happens_to_them(crm: Crm, seed: int) -> None:
    office, comparing = Office(crm, seed), crm.new_session()
    for _n in range(12):
        office.add()
    assert not used(crm)
    assert_equal(crm, ("root",))
    while filled(office.session):
        pass
    assert used(crm)
    for n in range(60):
        office.chance.choice(STEPS)(office)
        office.session.commit()
        assert differing_unmarked(comparing) == 0
        if n % 5 == 4:
            assert used(crm)
            who = office.chance.choice(ROLES)
            assert_equal(crm, (who if n % 2 else "root",), BEGINNINGS[n // 10 % 3 :][:1])
        if n % 7 == 6:
            filled(office.session, 1)  # the job is cut off
    while filled(office.session):
        pass
    assert_equal(crm)
    assert office.session.scalar(select(func.count(RowMark.id))) == 0
    assert not any(record_rollup_fill.differing_days(office.session, kind, ROLLED) for kind in RECORDS)


@pytest.mark.parametrize(
    "zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"]
)
def test_what_was_due_before_now_is_whole_hours_and_the_one_that_has_begun(zone: str) -> None:
    """Also where the clock is set: forward and back, by a whole or half an hour, at night and at midnight."""
    chance, where = random.Random(zone), ZoneInfo(zone)
    begin, year = datetime(2018, 1, 1, tzinfo=UTC), 365 * 24 * 3600
    for turn in range(4_000):
        now = begin + timedelta(seconds=chance.randrange(year))
        due = now + timedelta(seconds=chance.randrange(-10_000, 10_000) if turn % 2 else chance.randrange(-year, year))
        hour = hour_of(now, where)
        is_before, is_in_it = hour_of(due, where) < hour, start_of_hour(hour, where) <= due < now
        assert is_before + is_in_it == (due < now), (now, due)


@pytest.mark.parametrize(
    "first, last, months, added, taken",
    [
        (date(2026, 11, 1), date(2026, 11, 29), [11], [], [date(2026, 11, 30)]),
        (date(2026, 11, 1), date(2026, 11, 3), [11], [], [date(2026, 11, day) for day in range(4, 31)]),
        (date(2026, 10, 30), date(2026, 11, 3), [11], [date(2026, 10, 30), date(2026, 10, 31)], None),
        (date(2025, 12, 3), date(2026, 2, 2), [12, 1], [date(2026, 2, 1), date(2026, 2, 2)], None),
    ],
)
def test_a_chart_reads_whole_months_and_the_fewer_days_of_each(
    first: date, last: date, months: list[int], added: list[date], taken: list[date] | None
) -> None:
    """On 3 November, the days of that month that are still to come cost nothing."""
    whole = record_rollup_counts._Whole(Period(first, last, ROLLED), None, number_of(date(2026, 11, 3)))
    found = [[date_of(day) for day in days] for days in whole._spans]
    assert [day.month for day in found[0]] == months
    assert all(day.day == 1 for day in found[0])
    assert found[1] == added
    assert taken is None or found[2] == taken


def test_every_column_that_is_counted_is_marked_when_it_changes() -> None:
    for cube in (*CUBES, DUE_BY_HOUR):
        parts: list[Any] = [part for column in cube.columns for part in iterate(column)]
        names = {
            part.key for part in parts if getattr(getattr(part, "table", None), "name", "") in recount_marks.COUNTED
        }
        assert names <= recount_marks.COUNTED[cube.record.__tablename__], cube.id
        assert cube.at in names


def test_a_change_of_nothing_that_is_counted_marks_nothing(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    task = crm.make.task(lead)
    while filled(crm.session):
        pass
    lead.description, task.title = "Calls back", "Call again"
    crm.session.commit()
    assert crm.session.scalar(select(func.count(RowMark.id))) == 0
    lead.referral = "R1"
    crm.session.commit()
    assert crm.session.scalar(select(func.count(RowMark.id))) == 1


def settle(crm: Crm, at: datetime) -> None:
    """One pass of the job."""
    with crm.new_session() as session:
        for kind in record_rollup_fill.to_count(session, ROLLED, at, 50):
            record_rollup_fill.count_next(session, kind, ROLLED, at)
            session.commit()


def test_a_row_that_waits_to_be_counted_differs_from_nothing(crm: Crm) -> None:
    """The nightly comparison alarms only about rows that were changed without a mark."""
    crm.make.lead("ana")
    while filled(crm.session):
        pass
    lead, kind = crm.rows(select(Lead).limit(1))[0], recount_marks.KINDS["leads"]

    def differing() -> int:
        with crm.new_session() as session:
            found = record_rollup_fill.compare_turn(session, kind, ROLLED, NOW)[1]
            session.commit()
            return found

    crm.make.lead("ana")
    assert differing() == 0
    with crm.engine.begin() as connection:  # past the session's hooks
        connection.execute(delete(RowMark.__table__))
        connection.execute(delete(Lead.__table__).where(Lead.__table__.c.id == lead.id))
    assert differing() == 1


def test_what_a_former_version_changes_during_an_upgrade_is_counted_by_itself(crm: Crm) -> None:
    """Its servers may go on for a while, and leave no marks."""
    office = Office(crm, 1)
    for _n in range(8):
        office.add()
    while filled(office.session):
        pass
    for hours in (1, 2, 23):
        with crm.engine.begin() as connection:  # past the session's hooks
            lead = office.one(Lead)
            connection.execute(update(Lead.__table__).values(assignee_id=office.chance.choice(office.people)))
            connection.execute(delete(Lead.__table__).where(Lead.__table__.c.id == lead.id))
        office.session.rollback()
        settle(crm, NOW + timedelta(hours=hours))
        assert used(crm)
        assert_equal(crm, ("root",))
    settle(crm, NOW + timedelta(hours=25))
    assert not record_rollup_fill.to_count(office.session, ROLLED, NOW + timedelta(hours=26), 50)


def test_another_version_counts_everything_anew_by_itself(crm: Crm) -> None:
    office = Office(crm, 1)
    office.add()
    while filled(office.session):
        pass
    for state in office.session.scalars(select(RecordRollupState)):
        state.rules, state.settles_on = "those of the former version", None
    office.session.execute(delete(CountedRow), _BULK)
    office.session.execute(delete(RecordSum), _BULK)
    office.session.commit()
    assert not used(crm)
    settle(crm, NOW)
    assert used(crm)
    assert_equal(crm, ("root",))
    states = office.session.scalars(select(RecordRollupState).execution_options(populate_existing=True)).all()
    assert {state.settles_on for state in states} == {NOW + record_rollup_fill.SETTLES_IN}


def test_another_meaning_of_a_status_counts_leads_anew(crm: Crm) -> None:
    office = Office(crm, 1)
    for _n in range(6):
        office.add()
    while filled(office.session):
        pass
    status = office.session.get_one(LeadStatus, office.one(Lead).status_id)
    status.meaning = "opened"
    office.session.commit()
    assert not used(crm)
    assert_equal(crm, ("root",))
    settle(crm, NOW)
    assert used(crm)
    assert_equal(crm, ("root",))


def test_what_a_row_adds_in_another_order_is_no_difference(crm: Crm) -> None:
    """The database returns the people of a lead in the order of whatever index it reads."""
    office = Office(crm, 1)
    office.give()
    crm.session.commit()
    while filled(crm.session):
        pass
    for row in crm.session.scalars(select(CountedRow)).all():
        row.shares = "|".join(reversed(row.shares.split("|")))
    crm.session.commit()
    compared = [record_rollup_fill.compare_turn(crm.session, kind, ROLLED, NOW) for kind in RECORDS]
    assert sum(looked for looked, _differed in compared) > 1
    assert sum(differed for _looked, differed in compared) == 0


def test_the_check_of_sums_takes_marked_rows_as_they_were_counted(crm: Crm) -> None:
    office = Office(crm, 1)
    for _n in range(4):
        office.add()
    crm.session.commit()
    while filled(crm.session):
        pass
    for step in (office.change, office.finish, office.add, office.remove):
        step()
        crm.session.commit()
    assert crm.session.scalar(select(func.count(RowMark.id)))
    assert not any(record_rollup_fill.differing_days(crm.session, kind, ROLLED) for kind in RECORDS)
    crm.session.execute(delete(RowMark))
    crm.session.commit()
    assert any(record_rollup_fill.differing_days(crm.session, kind, ROLLED) for kind in RECORDS)
