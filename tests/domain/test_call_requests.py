"""Calls from the CRM: caller IDs, refused numbers, one at a time; and who sees an incoming call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.channels.console_provider import KIND
from app.channels.provider import CallUpdate
from app.domain import customers, leads
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts, consents, dnd_uploads
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.dnd_uploads import DndLine
from app.domain.persistence.session_context import session_context
from app.domain.telephony import call_cards, call_requests
from app.domain.telephony.call_requests import NewCallRequest
from app.lib.field_encryption import Vault
from app.lib.phone_number_series import phone_series
from app.models import BusinessSetting, CallCard, CallLog, CallRequest, ModulePermission, Role
from tests.factories import hours, user

PEER, OTHER, MOBILE = "+919820012345", "+919820054321", "+919811100001"
PROMO, SERVICE, ANY = "+911401234567", "+911600123456", "+912223456789"
#: Noon in Kolkata, and ten in the evening.
NOON, LATE = datetime(2026, 3, 3, 6, 30, tzinfo=UTC), datetime(2026, 3, 3, 16, 30, tzinfo=UTC)
ZONE = "Asia/Kolkata"


@pytest.fixture
def asha(db: Session) -> Any:
    made = user(db, "asha", "Sales User")
    made.mobile = made.mobile_e164 = MOBILE
    db.flush()
    return made


@pytest.fixture
def lead(db: Session, asha: Any) -> Any:
    return leads.create(db, {"first_name": "Ravi", "mobile": PEER}, ChangeContext(asha.id, NOON))


def account(db: Session, vault: Vault, *caller_ids: tuple[str, str]) -> Any:
    wanted = AccountSettings("Desk", channels=("voice",), caller_ids=caller_ids)
    return channel_accounts.create(db, KIND, wanted, Stamp(None, NOON), vault)


def call(db: Session, asha: Any, peer: str = PEER, now: datetime = NOON, **records: Any) -> Any:
    return call_requests.start(db, NewCallRequest(peer, records), Stamp(asha.id, now), ZONE)


@pytest.mark.parametrize(
    "number, series",
    [
        (PROMO, "140"),
        (SERVICE, "1600"),
        (PEER, "ten-digit"),
        (ANY, "ten-digit"),
        ("+14155550100", "other"),
        (None, "other"),
    ],
)
def test_the_series_of_a_number(number: str | None, series: str) -> None:
    assert phone_series(number) == series


BOTH = ((PROMO, "promotional"), (SERVICE, "service"))


@pytest.mark.parametrize(
    "caller_ids, is_customer, has_consent, shown, fits",
    [
        (BOTH, False, False, PROMO, True),
        (BOTH, False, True, SERVICE, True),
        (BOTH, True, False, SERVICE, True),
        (((ANY, "any"), (SERVICE, "service")), True, False, SERVICE, True),
        (((ANY, "any"), (SERVICE, "service")), False, False, ANY, True),
        (((SERVICE, "service"),), False, False, None, False),
        ((), True, False, None, False),
    ],
)
def test_who_is_called_decides_the_number(
    db: Session,
    vault: Vault,
    asha: Any,
    lead: Any,
    caller_ids: Any,
    is_customer: bool,
    has_consent: bool,
    shown: str | None,
    fits: bool,
) -> None:
    account(db, vault, *caller_ids)
    if has_consent:
        entry = {"channel": "voice", "address": PEER, "action": "given", "how": "form"}
        consents.record(db, entry, Stamp(None, NOON))
    person = customers.create(db, {"first_name": "Ravi"}, ChangeContext(asha.id, NOON)) if is_customer else None
    started = call(db, asha, lead_id=lead.id, customer_id=person.id if person else None)
    assert (started.request.caller_id, started.request.fits_purpose) == (shown, fits)
    assert (started.call.status, started.call.from_number, started.call.employee_id) == ("Queued", shown, asha.id)


def set_to(db: Session, key: str, value: Any) -> None:
    db.add(BusinessSetting(key=key, value=value))
    db.flush()


def forbid(db: Session, what: str, asha: Any) -> None:
    if what == "no number":
        set_to(db, "caller_id_rule", "refuse")
    elif what == "no phone":
        asha.mobile = asha.mobile_e164 = None
    elif what == "opt-out":
        consents.record(
            db, {"channel": "voice", "address": PEER, "action": "withdrawn", "how": "call"}, Stamp(None, NOON)
        )
    elif what == "dnd":
        dnd_uploads.store(db, [DndLine(PEER, "blocked", NOON)], "scrub file", NOON)
    elif what == "off":
        for each in channel_accounts.active(db, "voice"):
            each.is_active = False


@pytest.mark.parametrize(
    "what, now, field",
    [
        ("no number", NOON, "caller_id"),
        ("no phone", NOON, "person"),
        ("opt-out", NOON, "peer"),
        ("dnd", NOON, "peer"),
        ("off", NOON, "channel"),
        ("late", LATE, "peer"),
    ],
)
def test_what_may_not_be_called_is_refused_in_words(
    db: Session, vault: Vault, asha: Any, lead: Any, what: str, now: datetime, field: str
) -> None:
    account(db, vault)
    forbid(db, what, asha)
    db.flush()
    with pytest.raises(RuleBroken) as refused:
        call(db, asha, now=now, lead_id=lead.id)
    assert list(refused.value.errors) == [field] and PEER not in refused.value.message
    assert db.scalars(select(CallLog)).all() == []


def test_a_service_call_passes_the_opt_out_and_the_evening(db: Session, vault: Vault, asha: Any) -> None:
    account(db, vault)
    forbid(db, "opt-out", asha)
    forbid(db, "dnd", asha)
    assert call(db, asha, now=LATE).request.purpose == "service"


def test_a_second_click_rings_nobody_and_another_call_has_to_wait(db: Session, vault: Vault, asha: Any) -> None:
    desk = account(db, vault)
    first = call(db, asha)
    again = call(db, asha, now=NOON + timedelta(seconds=1))
    assert again.is_repeated and again.request.id == first.request.id
    with pytest.raises(Conflict):
        call(db, asha, OTHER)
    ended = CallUpdate("C1", "completed", "out", PEER, "", key=f"c{first.call.id}", talk_seconds=5)
    provider_events.process(db, desk, ended, NOON + timedelta(minutes=1))
    assert not call(db, asha, OTHER, NOON + timedelta(minutes=2)).is_repeated
    assert len(db.scalars(select(CallLog)).all()) == 2


def test_a_call_of_which_nobody_hears_lets_the_line_go(db: Session, vault: Vault, asha: Any) -> None:
    account(db, vault)
    call(db, asha)
    assert not call(db, asha, OTHER, NOON + call_requests.SILENT_FOR + timedelta(seconds=1)).is_repeated


@pytest.mark.parametrize("has_rung, status, line", [(True, "Initiated", True), (False, "Failed", False)])
def test_a_person_says_whether_a_call_of_unknown_fate_rings(
    db: Session, vault: Vault, asha: Any, has_rung: bool, status: str, line: bool
) -> None:
    account(db, vault)
    started = call(db, asha)
    started.request.state = "unknown"
    db.flush()
    call_requests.decide(db, started.call, has_rung, Stamp(asha.id, NOON))
    db.expire_all()
    assert (started.call.status, started.request.line_of is not None) == (status, line)
    with pytest.raises(Conflict):
        call_requests.decide(db, started.call, True, Stamp(asha.id, NOON))


@pytest.mark.parametrize("own, key", [(True, True), (False, True), (False, False)])
def test_only_its_own_account_reports_on_a_call(db: Session, vault: Vault, asha: Any, own: bool, key: bool) -> None:
    desk = account(db, vault)
    other = channel_accounts.create(db, KIND, AccountSettings("Other"), Stamp(None, NOON), vault)
    started = call(db, asha)
    started.request.state = "unknown"
    db.flush()
    event = CallUpdate("C9", "answered", "out", PEER, "", key=f"c{started.call.id}" if key else "")
    provider_events.process(db, desk if own else other, event, NOON)
    db.expire_all()
    assert (started.call.status, started.request.state) == (("In Progress", "sent") if own else ("Queued", "unknown"))


# --- incoming


def ring(db: Session, desk: Any, now: datetime = NOON, state: str = "ringing", **more: Any) -> CallLog:
    provider_events.process(db, desk, CallUpdate("I1", state, "in", PEER, SERVICE, **more), now)
    return db.scalars(select(CallLog).where(CallLog.provider_id == "I1")).one()


def shown_to(db: Session) -> set[int]:
    return set(db.scalars(select(CallCard.user_id).where(CallCard.closed_on.is_(None))))


def test_a_known_caller_is_shown_to_who_answers_for_them(db: Session, vault: Vault, asha: Any, lead: Any) -> None:
    desk, bala = account(db, vault), user(db, "bala", "Sales User")
    ring(db, desk)
    assert shown_to(db) == {asha.id}
    asha.leave_from, asha.delegate_id = NOON - timedelta(days=1), bala.id
    provider_events.process(db, desk, CallUpdate("I2", "ringing", "in", PEER, SERVICE), NOON)
    assert shown_to(db) == {asha.id, bala.id}


@pytest.mark.parametrize(
    "chosen, now, expected", [(True, LATE, {"bala"}), (False, NOON, {"asha", "bala"}), (False, LATE, set())]
)
def test_a_stranger_is_shown_to_those_on_duty(
    db: Session, vault: Vault, asha: Any, chosen: bool, now: datetime, expected: set[str]
) -> None:
    desk, bala = account(db, vault), user(db, "bala", "Sales User")
    bala.takes_calls = chosen
    role = db.scalars(select(Role).where(Role.name == "Sales User")).one()
    db.add(ModulePermission(role_id=role.id, module="Call Logs", verb="create", level="own"))
    hours(db)
    session_context(db).zone = ZoneInfo(ZONE)
    ring(db, desk, now)
    names = {asha.id: "asha", bala.id: "bala"}
    assert {names.get(key, "others") for key in shown_to(db)} - {"others"} == expected


def test_who_answers_has_the_call_and_its_outcome(db: Session, vault: Vault, asha: Any) -> None:
    desk, bala = account(db, vault), user(db, "bala", "Sales User")
    ring(db, desk)
    answered = ring(db, desk, state="answered", person=MOBILE)
    assert (answered.employee_id, shown_to(db)) == (asha.id, {asha.id})
    ended = ring(db, desk, state="completed", talk_seconds=9)
    assert (ended.status, shown_to(db)) == ("Completed", {asha.id})
    assert bala.id not in shown_to(db)


def test_a_missed_call_leaves_the_pages(db: Session, vault: Vault, asha: Any, lead: Any) -> None:
    desk = account(db, vault)
    ring(db, desk)
    ring(db, desk, state="no-answer")
    assert shown_to(db) == set()


def test_the_note_of_a_call_is_its_persons(db: Session, vault: Vault, asha: Any) -> None:
    account(db, vault)
    started = call(db, asha)
    card = db.scalars(select(CallCard)).one()
    call_cards.write_note(db, card, "Asks for an SIP", Stamp(asha.id, NOON))
    db.flush()
    assert call_cards.note_of(db, started.call.id, asha.id) == "Asks for an SIP"
    assert call_cards.note_of(db, started.call.id, asha.id + 1) == ""
    assert db.scalars(select(CallRequest)).one().line_of == asha.id
