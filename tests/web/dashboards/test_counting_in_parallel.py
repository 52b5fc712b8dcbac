"""On MariaDB, daily sums are right while people write, records are counted, counted anew, and a count is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import access
from app.domain.analytics import record_rollup_fill
from app.domain.analytics.record_rollups import RECORDS
from app.models import Lead, RowMark, Task
from app.ops.database.database_errors import Cause, cause_of
from tests import forked_programs
from tests.app_fixtures import Crm
from tests.web.dashboards.test_record_rollups import Office, assert_equal, filled, measured_in, used
from tests.web.dashboards.test_rollups import NOW, RAW, ROLLED, viewer_of

WRITERS, STEPS_OF_EACH, READS = 4, 30, 8
#: Counts, and stops when the sums of one transaction are half written.
_CUT_OFF = """
import sys, time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from app import access, models
from app.domain.analytics import record_rollup_fill
def stop(*_):
    print("half written", flush=True)
    time.sleep(600)
record_rollup_fill._add_to_sums = stop
with Session(create_engine(sys.argv[1])) as session, access.as_system(session):
    record_rollup_fill.count_marked(session, 1, ZoneInfo("Asia/Kolkata"), datetime.now(UTC))
"""


class Writer(Office):
    """Changes rows of its own, in a transaction of its own for each step."""

    def __init__(self, crm: Crm, number: int) -> None:
        self.number = number
        super().__init__(crm, number, crm.new_session())

    def own(self, record: Any) -> Any:
        if record is Task:  # goes with its lead or ticket
            return or_(Task.lead_id % WRITERS == self.number, Task.ticket_id % WRITERS == self.number)
        return record.id % WRITERS == self.number

    def add(self) -> None:
        raise AssertionError("there are enough rows")

    def change_own(self) -> None:
        theirs = self.session.scalars(select(Task.id).where(Task.priority == "High", self.own(Task))).all()
        step = update(Task).where(Task.id.in_(theirs)).values(priority="Low", assignee_id=self.people[0])
        self.session.execute(step)

    def remove(self) -> None:
        if (self.session.scalar(select(func.count(Lead.id)).where(self.own(Lead))) or 0) > 4:
            self.session.delete(self.one(Lead))

    def run(self) -> None:
        steps: tuple[Callable[[Any], None], ...] = (
            *(Writer.change, Writer.give, Writer.finish, Writer.reply, Writer.insert_many, Writer.change_own),
            *(Writer.remove, Writer.merge),
        )
        for n in range(STEPS_OF_EACH):
            try:
                self.chance.choice(steps)(self)
                self.session.rollback() if n % 10 == 9 else self.session.commit()
            except OperationalError as error:
                self.session.rollback()
                if cause_of(error) is not Cause.COLLIDED:  # a person would be asked to try again
                    raise
        self.session.close()


class Counters:
    """Count what is marked, count all anew, and compare, until told to end."""

    def __init__(self, crm: Crm) -> None:
        self.crm, self.is_over, self.passes = crm, threading.Event(), 0
        #: Rows that comparing found to be counted otherwise than they are.
        self.differed = 0

    def fold(self) -> None:
        session = self.crm.new_session()
        while not self.is_over.is_set():
            for kind in RECORDS:
                record_rollup_fill.count_next(session, kind, ROLLED, NOW)
                session.commit()
            self.passes += 1
        session.close()

    def compare(self) -> None:
        session = self.crm.new_session()
        while not self.is_over.is_set():
            for kind in RECORDS:
                self.differed += record_rollup_fill.compare_turn(session, kind, ROLLED, NOW)[1]
                session.commit()
            self.passes += 1
        session.close()

    def rebuild(self) -> None:
        session = self.crm.new_session()
        while not self.is_over.is_set():
            for kind in RECORDS:
                record_rollup_fill.start_over(session, kind, ROLLED, NOW)
                session.rollback() if self.passes % 3 == 2 else session.commit()  # cut off
            self.is_over.wait(0.2)
        session.close()


def assert_equal_at_one_moment(crm: Crm) -> None:
    """Figures from sums are those of the rows, in one snapshot of the database."""
    engine = crm.engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session:
        with access.as_system(session):
            who = access.load_person(session, crm.people["root"].id, NOW)
        access.act_as(session, who)
        summed, counted = [measured_in(session, viewer_of(crm, session, "root", zone)) for zone in (ROLLED, RAW)]
    for one, other in zip(summed, counted, strict=True):
        for part, same in zip(one, other, strict=True):
            assert part == same


def _filled_office(crm: Crm) -> Office:
    office = Office(crm, 1)
    for _n in range(6 * WRITERS):
        office.add()
    office.session.commit()
    while filled(office.session):
        pass
    return office


def _assert_settled(crm: Crm) -> None:
    """Once everything is counted, nothing is marked, and no day is wrong."""
    session = crm.new_session()
    while filled(session):
        pass
    assert session.scalar(select(func.count(RowMark.id))) == 0
    assert not any(record_rollup_fill.differing_days(session, kind, ROLLED) for kind in RECORDS)
    session.close()
    assert used(crm)
    assert_equal(crm)


def test_sums_are_right_while_several_write_count_and_count_anew(maria: Crm) -> None:
    _filled_office(maria).session.close()
    counters = Counters(maria)
    with ThreadPoolExecutor(WRITERS + 2) as threads:
        writers = [threads.submit(Writer(maria, n).run) for n in range(WRITERS)]
        others = [threads.submit(each) for each in (counters.fold, counters.rebuild)]
        try:
            for _n in range(READS):
                assert_equal_at_one_moment(maria)
                if all(each.done() for each in writers):
                    break  # from now on the same rows are counted again and again
            for each in writers:
                each.result()
        finally:
            counters.is_over.set()
        for each in others:
            each.result()
    assert counters.passes
    _assert_settled(maria)


def test_comparing_finds_no_difference_while_several_write(maria: Crm) -> None:
    """Nor does the operator's command, which reads all rows and all sums."""
    _filled_office(maria).session.close()
    counters = Counters(maria)
    with ThreadPoolExecutor(WRITERS + 2) as threads:
        others = [threads.submit(each) for each in (counters.fold, counters.compare)]
        writers = [threads.submit(Writer(maria, n).run) for n in range(WRITERS)]
        try:
            found = []
            while not all(each.done() for each in writers):
                found += maria.app.test_cli_runner().invoke(args=["rollup", "check"]).output.splitlines()
            for each in writers:
                each.result()
        finally:
            counters.is_over.set()
        for each in others:
            each.result()
    assert counters.passes
    assert counters.differed == 0
    assert not [line for line in found if "differs" in line]
    _assert_settled(maria)


def test_a_count_that_is_killed_leaves_nothing_behind(maria: Crm) -> None:
    office = _filled_office(maria)
    office.give()
    office.change_many()
    office.session.commit()
    command = ("-c", _CUT_OFF, maria.engine.url.render_as_string(hide_password=False))
    reader, output = os.pipe()
    counting = forked_programs.start(command, os.environ, output)
    os.close(output)
    with os.fdopen(reader) as said:
        assert said.readline() == "half written\n", said.read()
    assert_equal_at_one_moment(maria)
    os.kill(counting.pid, signal.SIGKILL)
    counting.wait(60)
    office.finish()
    office.session.commit()
    assert used(maria)
    assert_equal(maria, ("root", "ana"))
    _assert_settled(maria)
