"""Notices by SMS and WhatsApp: to people who chose it, once, at permitted hours, and a few each day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, select, update

from app import jobs
from app.channels import console_provider, provider_registry
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.provider import ProviderRefusal
from app.domain.base import Stamp
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.persistence.session_context import session_context
from app.job_runner import run_slot
from app.lib import dlt
from app.models import BusinessSetting, ChannelAccount, Delivery, InboundEvent, MessageTemplate, Notification, User
from app.notice_texts import EVENTS
from app.ops.queues import queue
from app.outbox import delivery_engine, notice_delivery, text_notices
from tests.app_fixtures import Crm
from tests.outbox.fake_provider import CARRIER, KIND, Carrier

NUMBER = "+919820012345"
SWEEP = next(job for job in jobs.SCHEDULE if job.name == "queue what was left")


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Carrier]:
    monkeypatch.setitem(provider_registry.KINDS, "carrier", KIND)
    CARRIER.__init__()  # type: ignore[misc]
    yield CARRIER
    CARRIER.__init__()  # type: ignore[misc]


@pytest.fixture
def way(crm: Crm, carrier: Carrier) -> Iterator[tuple[ChannelAccount, MessageTemplate]]:
    """Notices go out by SMS at all hours, and Ana wants those of assignments and of her sign-in."""
    with crm.app.app_context():
        account, template = set_up(crm, "sms", "{{event}}: {{record}} {{link}}")
        choose(crm, {"assigned": {"sms": True}, "security": {"sms": True}})
        yield account, template


def set_up(crm: Crm, channel: str, body: str, kind: Any = KIND, **more: Any) -> tuple[ChannelAccount, MessageTemplate]:
    settings = AccountSettings("Line", {"token": "t0ken"} if kind is KIND else {}, **more)
    account = channel_accounts.create(crm.session, kind, settings, Stamp(None, datetime.now(UTC)), crm.vault)
    template = MessageTemplate(label="Notice", channel=channel, body=body, name="notice", position=1)
    crm.session.add(template)
    crm.session.flush()
    chosen = {channel: {"account": account.id, "template": template.id}}
    crm.session.execute(delete(BusinessSetting).where(BusinessSetting.key.in_(("quiet_hours", "notice_channels"))))
    crm.session.add(BusinessSetting(key="quiet_hours", value="00:00-00:00"))
    crm.session.add(BusinessSetting(key="notice_channels", value=chosen))
    crm.session.commit()
    return account, template


def choose(crm: Crm, choices: Any, **more: Any) -> None:
    values = {"notice_choices": choices, "mobile": NUMBER, "mobile_e164": NUMBER, **more}
    crm.session.execute(update(User).where(User.username == "ana").values(**values))
    crm.session.commit()
    session_context(crm.session).notice_choices = None


def notify(crm: Crm, *keys: str, kind: str = "assigned", about: Any = None, payload: Any = None) -> None:
    users = [crm.people["ana"].id]
    events = [NoticeEvent(kind, key, users, payload or {}, about) for key in keys or ("k",)]
    notices.notify_many(crm.session, events, datetime.now(UTC))
    crm.session.commit()


def run_calls() -> int:
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def deliveries(crm: Crm) -> list[tuple[str, str | None]]:
    """(state, error) of each."""
    return [(row.state, row.error) for row in crm.rows(select(Delivery).order_by(Delivery.id))]


def make_due(crm: Crm) -> None:
    crm.session.execute(update(Delivery).values(next_try_on=datetime.now(UTC)))
    crm.session.commit()


def raiser(error: Exception) -> Any:
    def fault(_message: Any) -> None:
        raise error

    return fault


# --- what is sent


def test_a_person_who_chose_it_gets_one_text(crm: Crm, way: Any, carrier: Carrier) -> None:
    lead = crm.make.lead("ana")
    notify(crm, about=lead, payload={"number": lead.number, "title": "Asha Rao's PAN", "actor": "x"})
    assert (deliveries(crm), run_calls(), deliveries(crm)) == ([("queued", None)], 1, [("sent", None)])
    (text,) = carrier.accepted
    link = f"{crm.app.config['CRM'].public_url}/leads/{lead.number}"
    assert (text.channel, text.to, text.key, text.purpose) == ("sms", NUMBER, "n1", "service")
    assert text.text == f"Assigned to you: {lead.number} {link}"
    assert text.template and text.template.variables == ("Assigned to you", lead.number, link)


def test_whatsapp_gets_the_numbered_variables_of_its_template(crm: Crm, carrier: Carrier) -> None:
    with crm.app.app_context():
        set_up(crm, "whatsapp", "{{1}}. Open: {{2}}")
        choose(crm, {"assigned": {"whatsapp": True, "sms": True}})
        notify(crm, payload={"count": 8, "record": "leads", "numbers": ["CRM-LEAD-2026-00001"]})
        run_calls()
    (text,) = carrier.accepted
    assert text.channel == "whatsapp" and text.text.startswith("Assigned to you: 8 leads. Open: http")


def test_a_record_that_the_person_does_not_see_is_not_named(crm: Crm, way: Any, carrier: Carrier) -> None:
    lead = crm.make.lead("ben")
    notify(crm, about=lead, payload={"number": lead.number})
    run_calls()
    assert lead.number not in carrier.accepted[0].text and carrier.accepted[0].text.endswith("/bell/")


def test_it_is_in_the_language_of_the_template(crm: Crm, way: Any, carrier: Carrier) -> None:
    way[1].language = "hi"
    choose(crm, {"assigned": {"sms": True}}, locale="gu")
    notify(crm)
    run_calls()
    assert "Assigned" not in carrier.accepted[0].text
    assert any("\u0900" <= letter <= "\u097f" for letter in carrier.accepted[0].text)


@pytest.mark.parametrize("language", ["en", "hi", "gu", "mr"])
def test_each_event_fits_into_a_variable_of_dlt(crm: Crm, language: str) -> None:
    from flask_babel import force_locale

    with crm.app.test_request_context(), force_locale(language):
        assert set(EVENTS) == set(notices.KINDS)
        assert {str(text) for text in EVENTS.values() if len(str(text)) > dlt.MAX_VARIABLE} == set()


@pytest.mark.parametrize("choices", [None, {"assigned": {"email": True}}, {"comment": {"sms": True}}])
def test_who_did_not_choose_it_gets_none(crm: Crm, way: Any, choices: Any) -> None:
    choose(crm, choices)
    notify(crm)
    assert not [each for each in crm.rows(select(Delivery)) if each.channel == "sms"]


def test_without_a_channel_that_is_set_up_there_is_no_delivery(crm: Crm, way: Any) -> None:
    crm.session.execute(delete(BusinessSetting).where(BusinessSetting.key == "notice_channels"))
    notify(crm)
    assert deliveries(crm) == []


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"active": False}, notice_delivery.IS_GONE),
        ({"notice_choices": {}}, text_notices.NOT_WANTED),
        ({"mobile_e164": None}, text_notices.NO_NUMBER),
    ],
)
def test_what_is_no_longer_wanted_is_dropped(
    crm: Crm, way: Any, carrier: Carrier, change: dict[str, Any], reason: str
) -> None:
    notify(crm)
    crm.session.execute(update(User).where(User.username == "ana").values(**change))
    crm.session.commit()
    run_calls()
    assert (deliveries(crm), carrier.accepted) == ([("dropped", reason)], [])


def test_a_channel_that_was_turned_off_drops_what_waits(crm: Crm, way: Any, carrier: Carrier) -> None:
    notify(crm)
    crm.session.execute(delete(BusinessSetting).where(BusinessSetting.key == "notice_channels"))
    crm.session.commit()
    run_calls()
    assert (deliveries(crm), carrier.accepted) == ([("dropped", text_notices.NOT_SET_UP)], [])


@pytest.mark.parametrize("field, value", [("approval", "paused"), ("is_active", False), ("purpose", "promotional")])
def test_an_unusable_template_fails_with_its_reason(
    crm: Crm, way: Any, carrier: Carrier, field: str, value: Any
) -> None:
    setattr(way[1], field, value)
    notify(crm)
    run_calls()
    ((state, error),) = deliveries(crm)
    assert (state, carrier.accepted) == ("failed", []) and error and error.endswith("Please choose another one.")


def test_an_account_on_the_console_sends_nothing(crm: Crm) -> None:
    with crm.app.app_context():
        set_up(crm, "sms", "{{text}}", console_provider.KIND)
        choose(crm, {"assigned": {"sms": True}})
        notify(crm)
        run_calls()
    assert deliveries(crm) == [("sent", None)]


# --- when, and how many


def test_quiet_hours_hold_all_but_what_concerns_the_account(crm: Crm, way: Any, carrier: Carrier) -> None:
    local = datetime.now(ZoneInfo(crm.app.config["CRM"].time_zone))
    hours = f"{local - timedelta(hours=1):%H:%M}-{local + timedelta(hours=1):%H:%M}"
    crm.session.execute(update(BusinessSetting).where(BusinessSetting.key == "quiet_hours").values(value=hours))
    notify(crm)
    notify(crm, "s", kind="security")
    run_calls()
    assert deliveries(crm)[0] == ("queued", text_notices.QUIET) and len(carrier.accepted) == 1
    (row,) = crm.rows(select(Delivery).where(Delivery.state == "queued"))
    assert row.tries == 0 and row.next_try_on > datetime.now(UTC) + timedelta(minutes=50)
    assert "Waits for the end of the quiet hours." in crm.client("ana").screen("/bell/").text


def test_a_storm_is_twenty_texts_of_which_the_last_counts_the_rest(crm: Crm, way: Any, carrier: Carrier) -> None:
    notify(crm, *(f"breach {n}" for n in range(60)))
    while run_calls():
        pass
    assert len(carrier.accepted) == text_notices.MOST_A_DAY
    assert carrier.accepted[-1].text.startswith("41 more notifications: ")
    states = [state for state, _error in deliveries(crm)]
    assert (states.count("sent"), states.count("dropped")) == (20, 40)


def test_those_of_other_days_do_not_count(crm: Crm, way: Any, carrier: Carrier) -> None:
    notify(crm, *(f"breach {n}" for n in range(30)))
    crm.session.execute(update(Notification).values(at=datetime.now(UTC) - timedelta(days=2)))
    notify(crm, "today")
    while run_calls():
        pass
    assert len(carrier.accepted) == text_notices.MOST_A_DAY + 1


def test_the_limit_of_the_account_delays_a_text(crm: Crm, way: Any, carrier: Carrier) -> None:
    way[0].per_minute = 1
    notify(crm, "first", "second")
    run_calls()
    assert sorted(deliveries(crm)) == [("queued", None), ("sent", None)]


# --- what goes wrong


def test_a_refusal_for_now_is_retried_and_given_up(crm: Crm, way: Any, carrier: Carrier) -> None:
    carrier.fault = raiser(ChannelError("The line to +91 98200 12345 is down."))
    notify(crm)
    for _each in range(7):
        run_calls()
        make_due(crm)
    assert deliveries(crm) == [("failed", "The line to … is down.")]
    (row,) = crm.rows(select(Delivery))
    assert row.tries == len(notice_delivery.WAITS) + 1
    assert "The line to … is down." in crm.rows(select(ChannelAccount.last_error))


def test_a_permanent_refusal_ends_it(crm: Crm, way: Any, carrier: Carrier) -> None:
    carrier.fault = raiser(ProviderRefusal("No such number.", permanent=True, code="21211"))
    notify(crm)
    run_calls()
    assert deliveries(crm) == [("failed", "No such number.")]
    assert "No such number." in crm.client("ana").screen("/bell/").text


@pytest.mark.parametrize("error", [DeliveryUnknown("No answer."), RuntimeError("a bug")])
def test_one_of_unknown_fate_is_not_sent_again(crm: Crm, way: Any, carrier: Carrier, error: Exception) -> None:
    carrier.drop = raiser(error)
    notify(crm)
    run_calls()
    make_due(crm)
    sweep(crm)
    run_calls()
    assert (deliveries(crm)[0][0], len(carrier.accepted)) == ("unknown", 1)


def test_one_interrupted_while_sending_is_unknown(crm: Crm, way: Any, carrier: Carrier) -> None:
    notify(crm)
    delivery_engine.claim(notice_delivery.NOTICES, 1, datetime.now(UTC))
    crm.session.execute(update(Delivery).values(at=datetime.now(UTC) - timedelta(minutes=6)))
    crm.session.commit()
    sweep(crm)
    run_calls()
    assert (deliveries(crm), carrier.accepted) == ([("unknown", notice_delivery.NOT_KNOWN)], [])


def sweep(crm: Crm) -> None:
    now = datetime.now(UTC)
    run_slot(crm.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what the provider reports


def report(crm: Crm, account: ChannelAccount, state: str, key: str = "n1") -> Any:
    """The processed event."""
    event = {"kind": "status", "provider_id": "C1", "state": state, "key": key, "reason": "Not delivered."}
    headers = {"X-Carrier": "t0ken"}
    token = channel_accounts.token_of(account, crm.vault)
    answer = crm.app.test_client().post(f"/hooks/sms/{token}", data=json.dumps([event]), headers=headers)
    assert answer.status_code == 200
    run_calls()
    return crm.rows(select(InboundEvent).order_by(InboundEvent.id.desc()))[0]


@pytest.mark.parametrize(
    "before, state, after",
    [
        ("sent", "failed", ("failed", "Not delivered.")),
        ("sent", "delivered", ("sent", None)),
        ("unknown", "delivered", ("sent", None)),
        ("unknown", "queued", ("unknown", None)),
        ("dropped", "failed", ("dropped", None)),
    ],
)
def test_a_report_settles_what_became_of_it(crm: Crm, way: Any, before: str, state: str, after: Any) -> None:
    notify(crm)
    run_calls()
    crm.session.execute(update(Delivery).values(state=before))
    crm.session.commit()
    assert report(crm, way[0], state).summary == "1 notification"
    assert deliveries(crm) == [after]


def test_a_report_about_no_notice_of_ours_waits(crm: Crm, way: Any) -> None:
    assert report(crm, way[0], "delivered", "n99").state == "new"


@pytest.mark.parametrize("body", ["{{event}}: {{record}}"])
def test_texts_work_on_mariadb_too(maria: Crm, carrier: Carrier, body: str) -> None:
    with maria.app.app_context():
        set_up(maria, "sms", body)
        choose(maria, {"assigned": {"sms": True}})
        notify(maria, *(f"k{n}" for n in range(22)))
        while run_calls():
            pass
    assert len(carrier.accepted) == 20 and carrier.accepted[-1].text.startswith("3 more notifications: ")
