"""Phones send their calls repeatedly: none is lost, and none is stored twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from app.domain import customers
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.notifications.notices import Notification
from app.domain.persistence.transaction_state import transaction_state
from app.domain.telephony import call_matching, call_sync, telephones
from app.domain.telephony.call_parsing import Telephone, UnreadableCall, parse_call
from app.domain.telephony.call_sync import SyncedCallResult, sync
from app.domain.telephony.calls import CallLog
from app.domain.telephony.telephones import PhoneSync, QuarantinedCall
from app.domain.tickets import Ticket
from app.domain.timeline import Activity
from app.ops.database.connections import STATEMENTS
from tests import factories
from tests.cases import each_case
from tests.factories import NOW

INDIA = ZoneInfo("Asia/Kolkata")
START = "2026-11-23 09:30:00"
NAMES = (
    "from",
    "to",
    "type",
    "status",
    "duration",
    "start_time",
    "end_time",
    "device_call_id",
    "contact_name",
    "native_duration",
    "native_call_type",
)
#: Everything JSON can contain, with what telephones send: surrogate halves, NaN and infinity.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def call(number: int = 1, **values: Any) -> dict[str, Any]:
    """An answered incoming call as a telephone sends it."""
    defaults = {
        "from": f"+9198200{number:05d}",
        "to": "9820099999",
        "type": "Incoming",
        "status": "Completed",
        "duration": 42,
        "start_time": START,
        "device_call_id": f"device_{number}",
    }
    return defaults | values


def telephone(user: Any, own: str = "+919820099999") -> Telephone:
    return Telephone(user.id, INDIA, frozenset({own}), "EshinApp/1.0")


def statuses_of(results: list[SyncedCallResult]) -> list[str]:
    return [result.status for result in results]


# --- One record


@pytest.mark.parametrize(
    ("sent", "direction", "status", "seconds"),
    [
        ({}, "Incoming", "Completed", 42),
        ({"duration": 0}, "Incoming", "Missed Call", 0),
        ({"type": "Missed", "duration": 12}, "Incoming", "Missed Call", 0),
        ({"status": "Rejected", "duration": 12}, "Incoming", "Missed Call", 0),
        ({"native_call_type": "rejected", "duration": 12}, "Incoming", "Missed Call", 0),
        ({"type": "Voicemail", "to": "9820011111"}, "Unknown", "Completed", 42),
        ({"type": "Whatever", "to": "9820011111", "duration": 0}, "Unknown", "No Answer", 0),
        ({"type": "Outgoing", "from": "9820099999", "to": "98"}, "Outgoing", "Completed", 42),
        ({"type": "Outgoing", "from": "98", "to": "98200", "status": "No Answer"}, "Outgoing", "Did Not Picked", 0),
        ({"type": "Outgoing", "from": "98", "to": "9820011111", "duration": 0}, "Outgoing", "Did Not Picked", 0),
        ({"type": "Outgoing"}, "Incoming", "Completed", 42),  # "to" is the employee's own number
        ({"type": "Incoming", "from": "09820099999", "to": "9820011111"}, "Outgoing", "Completed", 42),
    ],
)
def test_direction_and_status_are_parsed(sent: Any, direction: str, status: str, seconds: int) -> None:
    parsed = parse_call(0, call(**sent), Telephone(1, INDIA, frozenset({"+919820099999"})), NOW)
    assert (parsed.direction, parsed.status, parsed.duration_seconds) == (direction, status, seconds)


@pytest.mark.parametrize(
    "sent", ["", None, "-1", "-2", "Private", "UNKNOWN", " Restricted ", "withheld", "No Caller ID"]
)
@each_case("kind", ["Incoming", "Missed", "Voicemail"])
def test_a_caller_who_withholds_the_number_is_kept(sent: str | None, kind: Any) -> None:
    more: dict[str, Any] = {"from": sent}
    parsed = parse_call(0, call(type=kind, **more), Telephone(1, INDIA), NOW)
    assert (parsed.from_number, parsed.other_e164, parsed.party) == ("withheld", None, "")


def test_a_call_without_a_caller_is_stored(session: Session, ana: Any) -> None:
    record = call(1, **{"from": ""}, device_call_id=None)
    assert [each.status for each in sync(session, telephone(ana), [record], NOW)] == ["created"]
    assert [each.status for each in sync(session, telephone(ana), [record], NOW)] == ["duplicate"]
    assert session.scalars(select(CallLog.from_number)).one() == "withheld"


@pytest.mark.parametrize(
    "sent",
    [
        *(1795422802000, "1795422802000", 1795422802, "1795422802", 1795422802.0, " 1795422802000 "),
        *("2026-11-23 14:03:22", "2026-11-23T14:03:22+05:30", "2026-11-23T08:33:22Z"),
    ],
)
def test_a_start_is_read_however_it_is_written(sent: Any) -> None:
    parsed = parse_call(0, call(start_time=sent), Telephone(1, INDIA), datetime(2027, 1, 1, tzinfo=UTC))
    assert parsed.started_on.replace(microsecond=0) == datetime(2026, 11, 23, 8, 33, 22, tzinfo=UTC)


def test_native_values_of_an_unanswered_call_are_kept() -> None:
    parsed = parse_call(0, call(type="Missed", duration=12, native_duration=12), Telephone(1, INDIA), NOW)
    assert (parsed.native["duration"], parsed.native["type"], parsed.native["start_time"]) == (12, "Missed", START)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"from": "", "type": "Outgoing"}, "missing_field"),
        ({"to": None}, "missing_field"),
        ({"start_time": ""}, "missing_field"),
        ({"start_time": "yesterday"}, "bad_time"),
        ({"start_time": "0001-01-01 00:00:00"}, "bad_time"),
        ({"start_time": "1999-01-01 00:00:00"}, "too_old"),
        ({"start_time": "2099-01-01 00:00:00"}, "in_the_future"),
        ({"start_time": [1]}, "bad_time"),
        ({"start_time": 10**20}, "bad_time"),
        ({"duration": "long"}, "bad_duration"),
        ({"duration": -3}, "bad_duration"),
        ({"duration": 10**6}, "bad_duration"),
        ({"duration": True}, "bad_duration"),
        ({"from": "98200 \N{TELEPHONE RECEIVER}"}, "bad_number"),
        ({"from": "9" * 41}, "too_long"),
        ({"from": {"a": 1}}, "wrong_type"),
        ({"device_call_id": "x" * 121}, "too_long"),
    ],
)
def test_an_unreadable_record_has_an_error_code(values: Any, code: str) -> None:
    with pytest.raises(UnreadableCall) as error:
        parse_call(0, call(**values), Telephone(1, INDIA), NOW)
    assert error.value.code == code


def test_times_without_a_zone_are_in_the_telephones_zone() -> None:
    parsed = parse_call(0, call(), Telephone(1, ZoneInfo("America/New_York")), NOW + timedelta(days=1))
    assert parsed.started_on == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert parsed.native["zone"] == "America/New_York"


def test_a_broken_character_in_a_name_loses_no_call() -> None:
    parsed = parse_call(0, call(contact_name="Ravi \ud83d\x00"), Telephone(1, INDIA), NOW)
    assert parsed.native["contact_name"] == "Ravi ?"


# --- A batch


@pytest.fixture
def session(db: Session) -> Session:
    return db


@pytest.fixture
def people(session: Session) -> dict[str, Any]:
    return {name: factories.user(session, name, "Sales User") for name in ("ana", "ben")}


@pytest.fixture
def ana(people: dict[str, Any]) -> Any:
    return people["ana"]


def test_a_repeated_batch_changes_nothing(session: Session, ana: Any) -> None:
    batch = [call(n) for n in range(5)]
    first, second = (sync(session, telephone(ana), batch, NOW) for _ in range(2))
    assert statuses_of(first) == ["created"] * 5
    assert statuses_of(second) == ["duplicate"] * 5
    assert [r.call_id for r in first] == [r.call_id for r in second]
    assert session.scalar(select(func.count(CallLog.id))) == 5


def test_ids_of_both_apps_are_matched(session: Session, ana: Any) -> None:
    sync(session, telephone(ana), [call(1)], NOW)
    other = sync(session, telephone(ana), [call(1, device_call_id="device_1_in_42")], NOW)
    assert statuses_of(other) == ["duplicate"]
    assert session.scalars(select(CallLog.device_call_id)).all() == ["device_1"]


def test_a_call_in_progress_gets_longer_and_never_shorter(session: Session, ana: Any) -> None:
    for seconds, status in ((0, "created"), (30, "updated"), (95, "updated"), (30, "duplicate"), (95, "duplicate")):
        assert statuses_of(sync(session, telephone(ana), [call(1, duration=seconds)], NOW)) == [status]
    stored = session.scalars(select(CallLog)).one()
    assert (stored.duration_seconds, stored.status) == (95, "Completed")


def test_the_same_call_twice_in_one_batch_is_one(session: Session, ana: Any) -> None:
    batch = [call(1, duration=5), call(1, duration=9), call(1, device_call_id="else", duration=9)]
    results = sync(session, telephone(ana), batch, NOW)
    assert statuses_of(results) == ["created", "updated", "duplicate"]
    assert len({result.call_id for result in results}) == 1
    assert session.scalars(select(CallLog.duration_seconds)).all() == [9]


def test_the_same_id_of_another_employee_is_another_call(session: Session, ana: Any, people: dict[str, Any]) -> None:
    for user in (ana, people["ben"]):
        assert statuses_of(sync(session, telephone(user), [call(1)], NOW)) == ["created"]


def test_an_unreadable_record_does_not_stop_the_others(session: Session, ana: Any) -> None:
    results = sync(session, telephone(ana), [call(1), call(2, start_time="never"), "no", call(3)], NOW)
    assert statuses_of(results) == ["created", "error", "error", "created"]
    assert [result.code for result in results] == [None, "bad_time", "not_a_record", None]
    assert session.scalar(select(func.count(QuarantinedCall.id))) == 2


def test_a_repeated_unreadable_record_is_counted(session: Session, ana: Any) -> None:
    for _ in range(3):
        sync(session, telephone(ana), [call(2, start_time="never")], NOW)
    kept = session.scalars(select(QuarantinedCall)).one()
    assert (kept.times, kept.code, kept.raw["start_time"]) == (3, "bad_time", "never")


def test_the_sync_of_the_telephone_is_recorded(session: Session, ana: Any) -> None:
    sync(session, telephone(ana), [call(1), call(1), call(2, to="")], NOW)
    phone_sync = session.scalars(select(PhoneSync)).one()
    assert (phone_sync.created, phone_sync.duplicates, phone_sync.refused, phone_sync.synced_on) == (1, 1, 1, NOW)
    assert phone_sync.agent == "EshinApp/1.0"


# --- Matching


def lead_of_caller(session: Session, ana: Any) -> Any:
    """A lead with the number of call(1), created before the call."""
    return factories.lead(session, ana, mobile="98200 00001", mobile_e164="+919820000001", at=NOW - timedelta(days=3))


def test_a_call_belongs_to_the_open_lead_of_its_number(session: Session, ana: Any) -> None:
    lead = lead_of_caller(session, ana)
    sync(session, telephone(ana), [call(1)], NOW)
    assert session.scalars(select(CallLog.lead_id)).one() == lead.id
    line = session.scalars(select(Activity).where(Activity.kind == "call")).one()
    assert (line.lead_id, line.payload["seconds"], line.at) == (lead.id, 42, datetime(2026, 11, 23, 4, tzinfo=UTC))


def test_a_call_from_before_the_lead_is_not_matched(session: Session, ana: Any) -> None:
    lead_of_caller(session, ana)
    sync(session, telephone(ana), [call(1, start_time="2026-11-01 09:00:00")], NOW)
    assert session.scalars(select(CallLog.lead_id)).all() == [None]


def test_a_missed_call_notifies_the_responsible_user_once(session: Session, ana: Any, people: dict[str, Any]) -> None:
    lead = lead_of_caller(session, ana)
    for _ in range(2):
        sync(session, telephone(people["ben"]), [call(1, duration=0, to="9820011111")], NOW)
    notification = session.scalars(select(Notification).where(Notification.kind == "missed_call")).one()
    assert (notification.user_id, notification.lead_id) == (ana.id, lead.id)


def test_a_missed_call_of_somebody_on_leave_notifies_their_delegate_too(
    session: Session, ana: Any, people: dict[str, Any]
) -> None:
    lead_of_caller(session, ana)
    ben = people["ben"]
    ana.leave_from, ana.leave_to, ana.delegate_id = NOW - timedelta(days=1), NOW + timedelta(days=1), ben.id
    sync(session, telephone(ben), [call(1, duration=0, to="9820011111")], NOW)
    query = select(Notification.user_id).where(Notification.kind == "missed_call")
    assert sorted(session.scalars(query)) == sorted([ana.id, ben.id])


def test_every_column_of_a_synced_call_is_stored(session: Session, ana: Any) -> None:
    customer = customers.create(session, {"first_name": "A", "mobile": "9820000001"}, ChangeContext(None, NOW))
    about = factories.lead(session, ana, customer_id=customer.id, at=NOW - timedelta(days=3))
    help_ = factories.ticket(session, ana, customer_id=customer.id, at=NOW - timedelta(days=3))
    (result,) = sync(session, telephone(ana), [call(1)], NOW)
    row = session.scalars(select(CallLog)).one()
    assert (result.index, result.call_id, result.device_call_id) == (0, row.id, "device_1")
    assert (row.customer_id, row.lead_id, row.ticket_id) == (customer.id, about.id, help_.id)
    assert (row.direction, row.status, row.from_number, row.to_number) == (
        "Incoming",
        "Completed",
        "+919820000001",
        "9820099999",
    )
    start = datetime(2026, 11, 23, 4, tzinfo=UTC)
    assert (row.other_e164, row.duration_seconds, row.started_on) == ("+919820000001", 42, start)
    assert (row.ended_on, row.employee_id, row.medium) == (start + timedelta(seconds=42), ana.id, "mobile")
    assert (row.cold, row.linked, row.created_on, row.changed_on) == (False, False, NOW, NOW)
    assert (row.created_by_id, row.changed_by_id) == (ana.id, ana.id)
    line = session.scalars(select(Activity).where(Activity.kind == "call")).one()
    assert (line.customer_id, line.lead_id, line.ticket_id) == (customer.id, about.id, help_.id)
    assert (line.actor_id, line.payload["call"]) == (ana.id, row.id)
    marked = {("customer", customer.id), ("lead", about.id), ("ticket", help_.id)}
    assert marked <= transaction_state(session).changed_timelines


def test_a_synced_call_is_an_event_for_webhooks(session: Session, ana: Any) -> None:
    (result,) = sync(session, telephone(ana), [call(1)], NOW)
    assert set(transaction_state(session).change_events["call_log", result.call_id or 0].events) == {"created"}
    transaction_state(session).change_events.clear()
    assert statuses_of(sync(session, telephone(ana), [call(1)], NOW)) == ["duplicate"]
    assert not transaction_state(session).change_events
    sync(session, telephone(ana), [call(1, duration=99)], NOW)
    assert set(transaction_state(session).change_events["call_log", result.call_id or 0].events) == {"changed"}


@pytest.mark.parametrize(
    "sent, device_call_id",
    [({"device_call_id": "x" * 130}, "x" * 120), ({"device_call_id": 7}, "7"), ({}, ""), ("no", "")],
)
def test_the_result_of_an_unreadable_record_names_it(
    session: Session, ana: Any, sent: Any, device_call_id: str
) -> None:
    (result,) = sync(session, telephone(ana), [sent], NOW)
    assert (result.device_call_id, result.status, result.call_id) == (device_call_id, "error", None)
    assert result.sentence and session.scalars(select(QuarantinedCall.sentence)).one() == result.sentence


def test_a_batch_has_a_maximum(session: Session, ana: Any) -> None:
    with pytest.raises(ValueError, match="more than"):
        sync(session, telephone(ana), [{}] * (call_sync.MAX_BATCH + 1), NOW)
    assert len(sync(session, telephone(ana), [{}] * call_sync.MAX_BATCH, NOW)) == call_sync.MAX_BATCH


def test_calls_entered_by_hand_are_no_sync_of_a_telephone(session: Session, ana: Any) -> None:
    by_hand = replace(telephone(ana), is_by_hand=True)
    assert statuses_of(sync(session, by_hand, [call(1), "no"], NOW)) == ["created", "error"]
    assert session.scalars(select(PhoneSync.synced_on)).all() == [None]
    assert session.scalars(select(QuarantinedCall)).all() == []


@pytest.mark.parametrize(
    "values, replied",
    [({}, True), ({"duration": 0}, False)],
)
def test_a_talk_is_the_first_reply_at_the_moment_of_the_call(
    session: Session, ana: Any, values: Any, replied: bool
) -> None:
    lead = lead_of_caller(session, ana)
    later = call(1, start_time="2026-11-23 09:50:00", device_call_id="later")
    sync(session, telephone(ana), [later | values, call(1, **values)], NOW)
    session.refresh(lead)
    assert lead.replied_on == (datetime(2026, 11, 23, 4, tzinfo=UTC) if replied else None)


@pytest.mark.parametrize(("hours", "count"), [(12, 0), (11.9, 1)])
def test_only_recent_missed_calls_notify(session: Session, ana: Any, hours: float, count: int) -> None:
    lead = lead_of_caller(session, ana)
    start = datetime(2026, 11, 23, 4, tzinfo=UTC)
    sync(session, telephone(ana), [call(1, duration=0)], start + timedelta(hours=hours))
    rows = session.scalars(select(Notification).where(Notification.kind == "missed_call")).all()
    key = session.scalars(select(CallLog.id)).one()
    assert [row.payload for row in rows] == [{"number": lead.number, "call": key}] * count
    assert [row.event_key for row in rows] == [f"missed_call:{key}:{ana.id}"] * count


def test_an_answered_or_unmatched_call_notifies_no_one(session: Session, ana: Any) -> None:
    lead_of_caller(session, ana)
    sync(session, telephone(ana), [call(1), call(2, duration=0)], NOW)
    assert session.scalars(select(Notification)).all() == []
    assert session.scalars(select(Activity.kind)).all() == ["call"]


def test_a_thousand_calls_cost_eleven_statements(session: Session, ana: Any) -> None:
    lead_of_caller(session, ana)
    session.commit()
    counted: list[str] = []
    token = STATEMENTS.set(counted)
    sync(session, telephone(ana), [call(n, duration=n % 3, to="9820011111") for n in range(1000)], NOW)
    STATEMENTS.reset(token)
    assert len(counted) <= 11, counted


def test_a_gap_between_two_batches_of_the_newest_fifty_is_recorded(session: Session, ana: Any) -> None:
    minute = lambda n: f"2026-11-23 {8 + n // 60:02d}:{n % 60:02d}:00"  # noqa: E731
    sync(session, telephone(ana), [call(n, start_time=minute(n)) for n in range(50)], NOW)
    sync(session, telephone(ana), [call(n, start_time=minute(n)) for n in range(60, 110)], NOW)
    phone_sync = session.scalars(select(PhoneSync)).one()
    assert (phone_sync.gap_from, phone_sync.gap_to) == (
        datetime(2026, 11, 23, 3, 19, tzinfo=UTC),
        datetime(2026, 11, 23, 3, 30, tzinfo=UTC),
    )


# --- The same rows whatever the order


def _sent_record(number: int, app: str, seconds: int, type_: str) -> dict[str, Any]:
    """One of six calls, as one of the two apps sends it at some moment; the id of the new one contains the length."""
    other = "Private" if number == 5 and app == "old" else "Unknown" if number == 5 else f"+9198200{number:05d}"
    minute = f"2026-11-23 09:{number:02d}:00"
    return call(
        number,
        **{"from": other},
        type=type_,
        duration=seconds,
        start_time=minute,
        native_duration=seconds,
        device_call_id=f"device_{number}" + (f"_{seconds}_in" if app == "new" else ""),
    )


SENT_RECORDS = st.builds(
    _sent_record,
    st.integers(0, 5),
    st.sampled_from(["old", "new"]),
    st.sampled_from([0, 5, 42, 600]),
    st.sampled_from(["Incoming", "Unknown"]),
)
CUTS = st.lists(st.integers(1, 6), max_size=12)


def batches(records: list[Any], cuts: list[int]) -> list[list[Any]]:
    """The records in batches of these sizes; the rest is one more batch."""
    made: list[Any] = []
    rest = records
    for size in cuts:
        made, rest = [*made, rest[:size]], rest[size:]
    return [batch for batch in [*made, rest] if batch]


def stored_after(session: Session, ana: Any, sent_batches: list[list[Any]]) -> list[Any]:
    """The stored calls after these batches. After each batch, no call is shorter than before."""
    session.execute(delete(CallLog))
    longest: dict[str, int] = {}
    for batch in sent_batches:
        results = sync(session, telephone(ana, "+911111111111"), batch, NOW)
        assert [result.index for result in results] == list(range(len(batch)))
        assert all(result.call_id is not None for result in results)
        rows = session.execute(select(CallLog.other_e164, CallLog.duration_seconds)).all()
        assert all(seconds >= longest.get(str(other), 0) for other, seconds in rows)
        longest = {str(other): seconds for other, seconds in rows}
    columns = (
        CallLog.started_on,
        CallLog.other_e164,
        CallLog.direction,
        CallLog.status,
        CallLog.duration_seconds,
        CallLog.ended_on,
    )
    return list(session.execute(select(*columns).order_by(CallLog.started_on)).all())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SENT_RECORDS, min_size=1, max_size=12), CUTS, CUTS, st.randoms(use_true_random=False))
def test_order_repetition_and_batch_size_do_not_change_the_rows(
    session: Session, ana: Any, records: Any, cuts: Any, others: Any, chance: Any
) -> None:
    shuffled = records + chance.sample(records, len(records) // 2)
    chance.shuffle(shuffled)
    once = stored_after(session, ana, [records])
    assert len(once) == len({each["start_time"] for each in records})
    assert stored_after(session, ana, batches(shuffled, cuts)) == once
    assert stored_after(session, ana, batches(shuffled[::-1], others)) == once


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(ANYTHING, st.dictionaries(st.sampled_from(NAMES), ANYTHING).map(lambda odd: call(1) | odd)),
        max_size=6,
    )
)
def test_every_record_gets_a_result_whatever_is_sent(session: Session, ana: Any, records: Any) -> None:
    results = sync(session, telephone(ana), records, NOW)
    assert [result.index for result in results] == list(range(len(records)))
    assert all((result.call_id is None) == (result.status == "error") for result in results)
    orjson.dumps([result.device_call_id for result in results])


def test_the_indexes_that_matching_forces_exist() -> None:
    for column in (
        Lead.mobile_e164,
        Lead.alternative_e164,
        Lead.customer_id,
        Ticket.customer_id,
        Customer.mobile_e164,
        Customer.alternative_e164,
    ):
        sql = str(call_matching._by_index(select(column), column, "values").compile(dialect=mysql.dialect()))
        index_name = sql.partition("FORCE INDEX (")[2].partition(")")[0]
        assert index_name in {index.name for index in column.class_.__table__.indexes}


def test_a_batch_that_waited_for_another_looks_again(
    session: Session, ana: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was prepared before the lock is not written if the same calls were stored meanwhile."""
    sync(session, telephone(ana), [call(1)], NOW)
    lock = telephones.lock
    waited: list[Any] = []

    def wait(own: Session, employee_id: int) -> int:
        if not waited:
            waited.append(True)
            sync(own, telephone(ana), [call(2), call(3, duration=60)], NOW)
        return lock(own, employee_id)

    monkeypatch.setattr(telephones, "lock", wait)
    results = sync(session, telephone(ana), [call(1), call(2), call(3, duration=90), call(4)], NOW)
    assert [each.status for each in results] == ["duplicate", "duplicate", "updated", "created"]
    assert sorted(session.scalars(select(CallLog.duration_seconds))) == [42, 42, 42, 90]
    assert session.scalars(select(PhoneSync.batches)).all() == [3]


@pytest.mark.parametrize(("start", "times"), [(START, 2), ("2026-11-20 09:30:00", 1)])
def test_a_batch_is_prepared_again_only_if_calls_of_its_time_were_stored(
    session: Session, ana: Any, monkeypatch: pytest.MonkeyPatch, start: Any, times: int
) -> None:
    sync(session, telephone(ana), [call(1)], NOW)
    prepared: list[list[Any]] = []
    lock, prepare = telephones.lock, call_sync._prepared

    def note(own: Session, sender: Telephone, records: list[Any], now: datetime) -> Any:
        prepared.append(records)
        return prepare(own, sender, records, now)

    def wait(own: Session, employee_id: int) -> int:
        if len(prepared) == 1:
            sync(own, telephone(ana), [call(5, start_time=start)], NOW)
        return lock(own, employee_id)

    monkeypatch.setattr(call_sync, "_prepared", note)
    monkeypatch.setattr(telephones, "lock", wait)
    mine = [call(2, start_time=START)]
    assert [each.status for each in sync(session, telephone(ana), mine, NOW)] == ["created"]
    assert prepared.count(mine) == times
