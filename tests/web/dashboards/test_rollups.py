"""Figures of calls from the daily roll-ups equal those of the calls themselves: for five roles, at every moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app import access
from app.domain.analytics import call_rollup_counts, figure_counts
from app.domain.analytics.figures import BY_NUMBER, FIGURES
from app.domain.base import Stamp
from app.domain.periods import Period
from app.domain.telephony import call_rollup_fill, call_rollups, call_sync, calls
from app.domain.telephony.call_parsing import Telephone
from app.models import CallLog, CallRequest, DayCount, RollupMark, RollupState
from app.web.core.fields.lookups import load_lookups
from app.web.core.viewer import Viewer
from app.web.dashboards import widget_data
from app.web.dashboards.widgets import CATALOG
from app.web.records.lists.figure_filter import scope_of
from tests.app_fixtures import Crm

ROLES = ("root", "rhea", "mia", "ana", "cleo")
#: The same clocks under two names: under the second, no roll-up is taken.
ROLLED, RAW = ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Calcutta")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 2), date(2026, 11, 26)
TODAY = call_rollups.number_of(LAST)
WIDGETS = {name: each for name, each in CATALOG.items() if CallLog in each.counted}
NUMBERS = [f"+9198200000{n:02d}" for n in range(12)]
#: What telephones and providers sent as the caller's number.
LINES = ("+911401234567", "1600123456", "098200 11111", "Unknown", None)


def filled(session: Session, days: int = 400) -> list[int]:
    """Fill what waits, as the job does."""
    found = call_rollup_fill.days_to_fill(session, ROLLED, NOW, days)
    done = call_rollup_fill.fill(session, found, ROLLED, NOW)
    session.commit()
    return done


class Phones:
    """Makes, changes and deletes calls by chance, through every endpoint."""

    def __init__(self, crm: Crm, seed: int) -> None:
        self.crm, self.chance = crm, random.Random(seed)
        self.people = [crm.people[name].id for name in ("ana", "ben", "mia", "cleo", "rhea")]

    def moment(self) -> datetime:
        """At some time of five weeks, or of today."""
        start = (
            datetime(2026, 10, 25, tzinfo=UTC) if self.chance.random() < 0.6 else call_rollups.start_of(TODAY, ROLLED)
        )
        return NOW - timedelta(seconds=self.chance.randrange(int((NOW - start).total_seconds())))

    def values(self) -> dict[str, Any]:
        pick, is_in = self.chance.choice, self.chance.random() < 0.5
        return {
            "direction": "Incoming" if is_in else "Outgoing",
            "status": pick(("Completed", "Missed Call", "No Answer") if is_in else ("Completed", "Did Not Picked")),
            "other_e164": pick([*NUMBERS, None]),
            "started_on": self.moment(),
            "duration_seconds": self.chance.randrange(300),
            "employee_id": pick([*self.people, None]),
            "cold": self.chance.random() < 0.2,
            "medium": pick(("mobile", "manual", "twilio")),
            "from_number": pick(LINES),
            "native": {},
            "created_on": NOW,
            "changed_on": NOW,
        }

    def one(self, session: Session) -> CallLog:
        keys = session.scalars(select(CallLog.id)).all()
        return session.get_one(CallLog, self.chance.choice(keys))

    def add(self, session: Session) -> None:
        session.add(CallLog(**self.values()))

    def request(self, session: Session) -> None:
        """A call that the CRM requests, as a person does by a click."""
        call = CallLog(**self.values() | {"medium": "twilio", "direction": "Outgoing"})
        session.add(call)
        session.flush()
        purpose, fits = self.chance.choice(("promotional", "service")), self.chance.random() < 0.5
        state = {"user_id": self.people[0], "person_number": NUMBERS[0], "state": "sent", "tries": 1, "expires_on": NOW}
        request = CallRequest(call_id=call.id, purpose=purpose, fits_purpose=fits, **state)
        request.stamp(Stamp(None, NOW))
        session.add(request)

    def change(self, session: Session) -> None:
        values, names = self.values(), ["status", "started_on", "employee_id", "other_e164", "duration_seconds"]
        for name in self.chance.sample([*names, "from_number", "medium"], 3):
            setattr(self.one(session), name, values[name])

    def remove(self, session: Session) -> None:
        session.delete(self.one(session))

    def insert_many(self, session: Session) -> None:
        session.execute(insert(CallLog.__table__), [self.values() for _n in range(3)])

    def change_many(self, session: Session) -> None:
        rules = CallLog.other_e164 == self.chance.choice(NUMBERS)
        session.execute(update(CallLog).where(rules).values(cold=True, employee_id=self.chance.choice(self.people)))

    def remove_many(self, session: Session) -> None:
        start = self.moment()
        rules = (CallLog.started_on >= start, CallLog.started_on < start + timedelta(hours=6))
        session.execute(delete(CallLog).where(*rules).execution_options(synchronize_session=False))

    def synchronize(self, session: Session) -> None:
        """A telephone sends calls; some were sent before, with another time."""
        records = [
            {
                "from": self.chance.choice(NUMBERS),
                "to": "9820099999",
                "type": "Incoming",
                "status": "Completed",
                "duration": self.chance.randrange(1, 300),
                "start_time": f"{self.moment().astimezone(ROLLED):%Y-%m-%d %H:%M:%S}",
                "device_call_id": f"device_{self.chance.randrange(5)}",
            }
            for _n in range(3)
        ]
        telephone = Telephone(self.people[0], ROLLED, frozenset({"+919820099999"}), "EshinApp/1.0")
        call_sync.sync(session, telephone, records, NOW)

    def undone(self, session: Session) -> None:
        """A savepoint and a transaction that are rolled back."""
        with session.begin_nested() as point:
            session.add(CallLog(**self.values()))
            session.flush()
            point.rollback()
        session.add(CallLog(**self.values()))
        session.flush()
        session.rollback()


STEPS: tuple[Callable[[Phones, Session], None], ...] = (
    *(Phones.add, Phones.change, Phones.remove, Phones.insert_many, Phones.request, Phones.request),
    *(Phones.change_many, Phones.remove_many, Phones.synchronize, Phones.undone),
)


def viewer_of(crm: Crm, session: Session, name: str, zone: ZoneInfo) -> Viewer:
    with crm.app.app_context(), access.as_system(session):
        person = access.load_person(session, crm.people[name].id, NOW)
        lookups = load_lookups(session, 0, str(zone))
    return Viewer(person, lookups, zone, NOW)


def measured(crm: Crm, name: str, zone: ZoneInfo, people: frozenset[int] | None) -> Any:
    """All figures of calls that this person sees: of a month and of today."""
    with crm.as_person(name) as session:
        viewer = viewer_of(crm, session, name, zone)
        widgets = widget_data.visible_widgets(WIDGETS, WIDGETS, viewer)
        found = []
        for first in (FIRST, LAST):
            scope = scope_of(Period(first, LAST, zone), viewer, people)
            each = widget_data.measure(session, widgets, scope, viewer)
            calls_only = {
                n: {k: v for k, v in row.items() if k in ("calls", "talk_seconds")} for n, row in each.people.items()
            }
            found.append(
                (each.counts, {k: sorted(v) for k, v in each.groups.items()}, each.series, each.slots, calls_only)
            )
        return found


def assert_equal(crm: Crm, names: tuple[str, ...] = ROLES) -> None:
    for name in names:
        with crm.as_person(name) as session:
            reach = viewer_of(crm, session, name, ROLLED).person.reach("Dashboard")
        for people in {reach, frozenset({crm.people["ana"].id})}:
            assert measured(crm, name, ROLLED, people) == measured(crm, name, RAW, people), (name, people)
    assert lines_of(crm, ROLLED) == lines_of(crm, RAW)


def lines_of(crm: Crm, zone: ZoneInfo) -> Any:
    """The outgoing calls of a month by line, as the report of calls by number reads them."""
    with access.as_system(crm.session) as session:
        return call_rollup_counts.by_line(session, Period(FIRST, LAST, zone))


def test_roll_ups_say_what_the_calls_say_whatever_happens_to_them(crm: Crm) -> None:
    phones, session = Phones(crm, seed=1), crm.session
    session.execute(insert(CallLog.__table__), [phones.values() for _n in range(120)])
    session.commit()
    filled(session, 9)
    assert_equal(crm, ("root",))  # some days are
    filled(session)
    state = session.get_one(RollupState, 1)
    assert call_rollups.date_of(state.filled_until or 0) == LAST - timedelta(days=1)
    for n, step in enumerate(phones.chance.sample(STEPS * 2, 2 * len(STEPS))):
        step(phones, session)
        session.commit()
        if n % 8 == 7:
            assert_equal(crm, (phones.chance.choice(("root", "mia")),))
            filled(session, 3)  # the job is cut off
    assert_equal(crm, ("root",))
    while filled(session):
        pass
    assert_equal(crm)
    assert session.scalar(select(func.count(RollupMark.id))) == 0
    days = call_rollup_fill.filled_days(session, ROLLED)
    assert not any(call_rollup_fill.differing(session, day, ROLLED) for day in days)


def test_days_that_are_filled_need_no_call_for_lines_and_new_callers(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    phones, session = Phones(crm, seed=3), crm.session
    session.execute(insert(CallLog.__table__), [phones.values() for _n in range(60)])
    for _n in range(8):
        phones.request(session)
    session.commit()
    filled(session)
    counted = lines_of(crm, RAW)
    assert {line.purpose for line in counted} == {"", "promotional", "service"}
    assert {line.series for line in counted} == {"140", "1600", "ten-digit", "other"}
    monkeypatch.setattr(call_rollup_counts, "_raw", lambda _roll, _period: None)
    monkeypatch.setattr(figure_counts, "_new_numbers", lambda scope: select(func.count()).where(scope.period.days > 1))
    yesterday = Period(FIRST, LAST - timedelta(days=1), ROLLED)
    with crm.as_person("ana") as reading:
        assert call_rollup_counts.by_line(reading, yesterday)
        viewer, own = viewer_of(crm, reading, "ana", ROLLED), frozenset({crm.people["ana"].id})
        widgets = widget_data.visible_widgets(WIDGETS, WIDGETS, viewer)
        found = widget_data.measure(reading, widgets, scope_of(yesterday, viewer, own), viewer)
        assert found.counts["numbers_new"].now > 1


def test_all_figures_of_calls_that_add_up_are_served(crm: Crm) -> None:
    filled(crm.session)
    with crm.as_person("root") as session:
        viewer = viewer_of(crm, session, "root", ROLLED)
        scope = widget_data._with_rollups(session, WIDGETS, scope_of(Period(FIRST, LAST, ROLLED), viewer, None), viewer)
        assert scope.rolled is not None
        names = [name for name, each in FIGURES.items() if each.record is CallLog and name not in BY_NUMBER]
        assert call_rollup_counts.can_count(scope, names)
        assert len(call_rollup_counts.by_period(session, names, scope, True)) == len(names) >= 8


def test_a_rule_on_the_duration_of_each_call_is_not_counted_on_sums(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A roll-up has the seconds of a day together; a rule would compare those."""
    long_calls = replace(FIGURES["calls"], rule=lambda _scope: CallLog.duration_seconds >= 600)
    monkeypatch.setitem(FIGURES, "long_calls", long_calls)
    filled(crm.session)
    with crm.as_person("root") as session:
        viewer = viewer_of(crm, session, "root", ROLLED)
        scope = widget_data._with_rollups(session, WIDGETS, scope_of(Period(FIRST, LAST, ROLLED), viewer, None), viewer)
        assert call_rollup_counts.can_count(scope, ["calls"])
        assert not call_rollup_counts.can_count(scope, ["calls", "long_calls"])


def test_a_change_marks_its_day_in_its_own_transaction(crm: Crm) -> None:
    session, day = crm.session, datetime(2026, 11, 10, 9, 7, tzinfo=UTC)
    call = calls.create(
        session, {"direction": "Outgoing", "status": "Completed", "started_on": day}, Stamp(crm.people["ana"].id, NOW)
    )
    session.flush()
    assert session.scalars(select(RollupMark.moment)).all() == []
    session.commit()
    quarter = day.replace(minute=0)
    assert session.scalars(select(RollupMark.moment)).all() == [quarter]
    filled(session)
    assert session.scalars(select(RollupMark.moment)).all() == []
    call.outcome = "Will call back"  # nothing that is counted
    session.commit()
    assert session.scalars(select(RollupMark.moment)).all() == []
    call.started_on = day + timedelta(days=3)
    session.commit()
    assert session.scalars(select(RollupMark.moment)).all() == [quarter, quarter + timedelta(days=3)]


@pytest.fixture
def rolled(crm: Crm) -> Iterator[Crm]:
    """Forty days of calls, filled."""
    crm.session.execute(insert(CallLog.__table__), [Phones(crm, n).values() for n in range(60)])
    crm.session.commit()
    yield crm


def test_the_commands_rebuild_and_check(rolled: Crm) -> None:
    run = rolled.app.test_cli_runner().invoke
    built = run(args=["rollup", "rebuild"])
    assert (built.exit_code, "Counting all days anew." in built.output) == (0, True), built.output
    checked = run(args=["rollup", "check"])
    assert (checked.exit_code, " 0 differ" in checked.output) == (0, True), checked.output
    # Somebody changes the counts behind everybody's back, and a rebuild is cut off in the middle.
    session = rolled.session
    session.execute(update(DayCount).values(calls=DayCount.calls + 1))
    session.commit()
    checked = run(args=["rollup", "check"])
    assert (checked.exit_code, "differs from its calls" in checked.output) == (1, True)
    assert call_rollup_fill.begin_rebuild(session, ROLLED, datetime.now(UTC))
    session.commit()
    built = run(args=["rollup", "rebuild"])
    assert "Going on where the last rebuild was cut off." in built.output
    assert run(args=["rollup", "check"]).exit_code == 0


def test_figures_of_very_many_calls_wait_until_they_are_counted_by_day(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so; other figures, and people in another time zone, don't wait."""
    monkeypatch.setattr(call_rollup_counts, "MOST_UNROLLED", 50)
    session = crm.session
    session.execute(insert(CallLog.__table__), [Phones(crm, seed=2).values() for _n in range(120)])
    session.commit()
    filled(session)
    call_rollups.start_over(session)
    session.commit()
    with crm.as_person("root") as reading:
        for zone, waits in ((ROLLED, True), (RAW, False)):
            viewer = viewer_of(crm, reading, "root", zone)
            scope = scope_of(Period(FIRST, LAST, zone), viewer, None)
            found = widget_data.measure(reading, CATALOG, scope, viewer)
            assert ("calls" in found.waiting) is waits
    path = f"/dashboard/analytics?period=custom&from={FIRST}&to={LAST}"
    shown = crm.client("root").screen(path).text
    assert "Very many calls have come in" in shown and "Leads by status" in shown
    assert crm.client("root").screen(path.replace("analytics", "calls")).status_code == 200


def test_figures_that_compare_too_many_calls_are_left_out_in_words(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    phones = Phones(crm, seed=2)
    crm.session.execute(insert(CallLog.__table__), [phones.values() for _n in range(200)])
    crm.session.commit()
    most = {"calls_missed_returned": ("calls_missed", 40), "numbers": ("calls", 120)}
    monkeypatch.setattr(figure_counts, "MOST_COMPARED", most)
    with crm.as_person("root") as reading:
        viewer = viewer_of(crm, reading, "root", ROLLED)
        for first, left_out in ((FIRST, {"calls_missed_returned", "callback", "numbers"}), (LAST, set())):
            found = widget_data.measure(reading, WIDGETS, scope_of(Period(first, LAST, ROLLED), viewer, None), viewer)
            assert found.left_out == left_out
    # Not the period of another test: figures are kept for a minute.
    path = f"/dashboard/calls?period=custom&from={FIRST + timedelta(days=1)}&to={LAST}"
    shown = crm.client("root").screen(path).text
    assert "This period has very many calls" in shown and "Called back" not in shown
    assert crm.client("root").screen(path.replace("calls?", "calls.pdf?")).status_code == 200


def test_another_version_fills_all_days_again_by_itself(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    phones = Phones(crm, 1)
    for _n in range(20):
        phones.add(crm.session)
    crm.session.commit()
    while filled(crm.session):
        pass
    everything = call_rollup_fill.filled_days(crm.session, ROLLED)
    former, other = call_rollups.RULES, call_rollups.RULES + 1
    monkeypatch.setattr(call_rollups, "RULES", other)
    assert call_rollup_fill.filled_days(crm.session, ROLLED) == []
    assert set(filled(crm.session)) >= set(everything)
    assert call_rollup_fill.filled_days(crm.session, ROLLED) == everything
    assert_equal(crm, ("root", "mia"))
    monkeypatch.setattr(call_rollups, "RULES", former)  # a server of the former version goes on
    assert_equal(crm, ("root", "ana"))
    assert set(filled(crm.session)) >= set(everything)
    monkeypatch.setattr(call_rollups, "RULES", other)
    assert_equal(crm, ("rhea", "cleo"))
    assert set(filled(crm.session)) >= set(everything)
    assert_equal(crm)


def test_a_day_after_a_marked_one_does_not_differ_for_its_new_numbers(crm: Crm) -> None:
    """A call that comes in late makes its number known on all days after; they are counted anew after its own day."""
    session, number = crm.session, NUMBERS[0]
    values = Phones(crm, 1).values() | {"other_e164": number, "employee_id": crm.people["ana"].id}
    late, early = datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 10, 9, tzinfo=UTC)
    session.execute(insert(CallLog.__table__), [values | {"started_on": late}])
    session.commit()
    filled(session)
    session.add(CallLog(**values | {"started_on": early}))
    session.commit()
    days = [call_rollups.day_of(each, ROLLED) for each in (early, late)]
    assert [call_rollup_fill.differing(session, day, ROLLED) for day in days] == [None, False]
    filled(session)  # the first of them
    assert [call_rollup_fill.differing(session, day, ROLLED) for day in days] == [False, None]
    filled(session)
    assert [call_rollup_fill.differing(session, day, ROLLED) for day in days] == [False, False]
