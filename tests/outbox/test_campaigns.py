"""Campaigns: left-out recipients, each addressed once even if processes are killed, rights, pauses, the rate."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import campaign_recipients, campaigns, consents, dnd_uploads
from app.domain.messaging.campaigns import CampaignInput, RecipientSource
from app.domain.messaging.dnd_uploads import DndLine
from app.extensions import db
from app.models import BusinessSetting, Campaign, CampaignRecipient, Conversation, Message, MessageTemplate
from app.outbox import campaign_sending, delivery_engine, message_delivery
from tests.app_fixtures import Crm
from tests.outbox.fake_provider import Carrier
from tests.outbox.test_message_delivery import _context, account, add_account, carrier, now, run_calls  # noqa: F401

NUMBERS = [f"+9198200{n:05d}" for n in range(1, 100)]
PLAN = CampaignInput(
    "Offer", "sms", "Namaste {{first_name}}", variables={"first_name": {"from": "first_name", "text": ""}}
)


@pytest.fixture(autouse=True)
def _ready(crm: Crm, account: Any) -> None:  # noqa: F811
    for key in ("promotional_hours", "quiet_hours"):
        setting(crm, key, "00:00-00:00")  # at any time


def setting(crm: Crm, key: str, value: Any) -> None:
    crm.session.add(BusinessSetting(key=key, value=value))
    crm.session.commit()


def draft(crm: Crm, ids: Any, who: str = "mia", kind: str = "leads", plan: CampaignInput = PLAN) -> Campaign:
    stamp = Stamp(crm.id_of(who), now())
    made = campaigns.create(crm.session, "Offer", RecipientSource(kind, ids), stamp)
    campaigns.change(crm.session, made, plan, stamp)
    crm.session.commit()
    campaign_sending.advance(made.id)
    return fresh(crm, made.id)


def fresh(crm: Crm, key: int) -> Campaign:
    crm.session.commit()
    crm.session.expire_all()
    return crm.session.get_one(Campaign, key)


def start(crm: Crm, campaign: Campaign, who: str = "mia") -> None:
    campaigns.start(crm.session, campaign, None, Stamp(crm.id_of(who), now()))
    crm.session.commit()


def let_pass(crm: Crm, campaign: Campaign, seconds: float = 60) -> None:
    """As if so much time had gone by at the campaign's pace."""
    values = {"paced_on": now() - timedelta(seconds=seconds), "next_on": None}
    crm.session.execute(update(Campaign).where(Campaign.id == campaign.id).values(values))
    crm.session.commit()
    campaign_sending.advance(campaign.id)


def result(crm: Crm, campaign: Campaign) -> Counter[str]:
    crm.session.commit()
    found: Counter[str] = Counter()
    for state, code, count in campaign_recipients.counts(crm.session, campaign):
        found[code or state] += count
    return found


def test_each_recipient_is_addressed_or_left_out_with_a_reason(crm: Crm, carrier: Carrier) -> None:  # noqa: F811
    make = crm.make
    fine = make.lead("ana", first_name="Asha", mobile=NUMBERS[1])
    twin = make.lead("ana", first_name="Asha", mobile=NUMBERS[1])
    nameless = make.lead("ana", mobile=NUMBERS[2], first_name="Tara")
    foreign, without = make.lead("ben", mobile=NUMBERS[3]), make.lead("ana", mobile=None, email="a@b.in")
    blocked, out = make.lead("ana", mobile=NUMBERS[4]), make.lead("ana", mobile=NUMBERS[5])
    allowed = make.lead("ana", mobile=NUMBERS[6], first_name="Ravi")
    moment = now()
    for number in (NUMBERS[4], NUMBERS[6]):
        dnd_uploads.store(crm.session, [DndLine(number, "blocked", moment)], "scrub file", moment)
    for number, action in ((NUMBERS[5], "withdrawn"), (NUMBERS[6], "given")):
        said = {"channel": "sms", "address": number, "action": action, "how": "form"}
        consents.record(crm.session, said, Stamp(None, moment))
    crm.session.commit()
    rows = [fine, twin, nameless, foreign, without, blocked, out, allowed]
    campaign = draft(crm, [each.id for each in rows])
    expected = {"waiting": 3, "duplicate": 1, "not_yours": 1, "no_address": 1, "dnd": 1, "opted_out": 1}
    assert campaigns.is_checked(campaign) and result(crm, campaign) == expected
    start(crm, campaign)
    let_pass(crm, campaign)
    run_calls()
    assert sorted(each.text for each in carrier.accepted) == ["Namaste Asha", "Namaste Ravi", "Namaste Tara"]
    let_pass(crm, campaign)
    assert fresh(crm, campaign.id).state == "done"
    assert result(crm, campaign)["sent"] == 3


def test_a_campaign_is_no_answer_and_the_conversation_goes_to_who_has_the_lead(crm: Crm) -> None:
    lead = crm.make.lead("ana", mobile=NUMBERS[1])
    campaign = draft(crm, [lead.id])
    start(crm, campaign)
    let_pass(crm, campaign)
    run_calls()
    (message,) = crm.rows(select(Message))
    crm.session.refresh(lead)
    assert (message.state, message.lead_id, message.created_by_id) == ("sent", lead.id, crm.id_of("mia"))
    assert lead.replied_on is None
    assert crm.session.get_one(Conversation, message.conversation_id).claimed_by_id == crm.id_of("ana")


def test_consent_can_be_required(crm: Crm) -> None:
    setting(crm, "promotional_needs_consent", True)
    lead = crm.make.lead("ana", mobile=NUMBERS[1])
    assert result(crm, draft(crm, [lead.id])) == {"no_consent": 1}
    service = CampaignInput("Notice", "sms", "Your account is ready", purpose="service")
    assert result(crm, draft(crm, [lead.id], plan=service)) == {"waiting": 1}


@pytest.mark.parametrize("level, expected", [("team", {"waiting": 1, "not_yours": 2}), ("all", {"waiting": 3})])
def test_numbers_of_a_file_are_within_the_rights(crm: Crm, level: str, expected: dict[str, int]) -> None:
    crm.make.cell("Sales Manager", "Messages", "bulk", level)
    crm.make.lead("ana", mobile=NUMBERS[1])
    crm.make.lead("ben", mobile=NUMBERS[2])
    plan = CampaignInput("Offer", "sms", "Hi {{name}}", variables={"name": {"from": "column:name", "text": "there"}})
    rows = [[each, {"name": "x"}] for each in NUMBERS[1:4]]
    assert result(crm, draft(crm, rows, kind="numbers", plan=plan)) == expected


@pytest.mark.parametrize(
    "plan, field",
    [
        (CampaignInput("", "sms", "Hi"), "name"),
        (CampaignInput("X", "fax", "Hi"), "channel"),
        (CampaignInput("X", "sms", " "), "body"),
        (CampaignInput("X", "whatsapp", "Hi"), "template"),
        (CampaignInput("X", "sms", "Hi", purpose="spam"), "purpose"),
        (CampaignInput("X", "sms", "Hi", per_minute=0), "per_minute"),
        (CampaignInput("X", "sms", "Hi", account_id=99), "account"),
        (CampaignInput("X", "sms", "Hi {{who}}"), "var.who"),
        (CampaignInput("X", "sms", "Hi {{who}}", variables={"who": {"from": "mobile"}}), "var.who"),
    ],
)
def test_what_is_missing_is_said(crm: Crm, plan: CampaignInput, field: str) -> None:
    stamp = Stamp(crm.id_of("mia"), now())
    campaign = campaigns.create(crm.session, "X", RecipientSource("leads", [1]), stamp)
    with pytest.raises(RuleBroken) as refused:
        campaigns.change(crm.session, campaign, plan, stamp)
    assert list(refused.value.errors) == [field]
    crm.session.rollback()


def test_the_rate_holds_and_at_most_a_minute_is_made_up_for(crm: Crm) -> None:
    leads = [crm.make.lead("ana", mobile=each).id for each in NUMBERS[:12]]
    campaign = draft(crm, leads, plan=CampaignInput("Slow", "sms", "Hi", per_minute=6))
    start(crm, campaign)
    for seconds, made in ((0, 0), (31, 3), (3600, 9)):
        let_pass(crm, campaign, seconds)
        assert crm.session.scalar(select(func.count()).select_from(Message)) == made, seconds


def test_rights_that_are_taken_away_pause_it_with_words(crm: Crm) -> None:
    leads = [crm.make.lead("ana", mobile=each).id for each in NUMBERS[:4]]
    campaign = draft(crm, leads, plan=CampaignInput("Slow", "sms", "Hi", per_minute=1))
    start(crm, campaign)
    let_pass(crm, campaign)
    crm.make.cell("Sales Manager", "Messages", "bulk", "none")
    let_pass(crm, campaign)
    held = fresh(crm, campaign.id)
    assert held.state == "paused" and "Messages: create and bulk" in (held.reason or "")
    assert result(crm, campaign) == {"queued": 1, "waiting": 3}
    run_calls()  # what was in the outbox already is held back, too
    assert result(crm, campaign)["queued"] == 1


def test_stop_cancels_all_that_is_not_sent(crm: Crm, carrier: Carrier) -> None:  # noqa: F811
    leads = [crm.make.lead("ana", mobile=each).id for each in NUMBERS[:6]]
    campaign = draft(crm, leads, plan=CampaignInput("Fast", "sms", "Hi", per_minute=3))
    start(crm, campaign)
    let_pass(crm, campaign)
    first = crm.rows(select(Message.id).order_by(Message.id))[0]
    message_delivery.send(first)
    crm.session.commit()
    claimed = delivery_engine.claim(message_delivery.MESSAGES, first + 1, now())
    campaigns.stop(crm.session, fresh(crm, campaign.id), Stamp(crm.id_of("mia"), now()))
    crm.session.commit()
    outcome = delivery_engine.attempt(message_delivery.MESSAGES, claimed)  # it was claimed before the stop
    delivery_engine.settle(message_delivery.MESSAGES, claimed, outcome, now())
    run_calls()
    assert result(crm, campaign) == {"sent": 1, "canceled": 5} and len(carrier.accepted) == 1
    for step in (campaigns.stop, campaigns.pause, campaigns.resume):
        with pytest.raises(RuleBroken):
            step(crm.session, fresh(crm, campaign.id), Stamp(None, now()))
        crm.session.rollback()


#: Enough for several rounds of two workers.
ADDRESSED = 24


def test_two_workers_that_are_killed_again_and_again_address_each_once(maria: Crm, carrier: Carrier) -> None:  # noqa: F811
    crm = maria
    with crm.app.app_context():
        add_account(crm)
        leads = [crm.make.lead("ana", mobile=each).id for each in NUMBERS[:ADDRESSED]]
        stamp = Stamp(crm.id_of("mia"), now())
        campaign = campaigns.create(crm.session, "Offer", RecipientSource("leads", leads), stamp)
        campaigns.change(crm.session, campaign, CampaignInput("Fast", "sms", "Hi", per_minute=600), stamp)
        crm.session.commit()
        killed = _work_and_kill(crm, campaign, lambda: fresh(crm, campaign.id).filled, chunk=10)
        start(crm, campaign)
        killed += _work_and_kill(crm, campaign, lambda: _sent(crm), chunk=4)
        found = crm.rows(select(Message.peer))
        assert sorted(found) == sorted(NUMBERS[:ADDRESSED]) and result(crm, campaign) == {"queued": len(leads)}
        assert killed >= 3


def _sent(crm: Crm) -> int:
    crm.session.commit()
    return int(crm.session.scalar(select(func.count()).select_from(Message)) or 0)


def _work_and_kill(crm: Crm, campaign: Campaign, done: Any, chunk: int) -> int:
    """Let pairs of processes work, each killed a moment after something was done. Returns how many were killed."""
    killed, random, key, before = 0, Random(7), campaign.id, 0
    while before < ADDRESSED:
        values = {"paced_on": now() - timedelta(seconds=60), "next_on": None}
        crm.session.execute(update(Campaign).values(values))
        crm.session.commit()
        children = [os.fork() or _child(key, chunk) for _n in range(2)]
        ends = time.monotonic() + 30
        while done() <= before and time.monotonic() < ends:
            time.sleep(0.005)
        for child in children:
            time.sleep(random.uniform(0.0, 0.04))
            os.kill(child, signal.SIGKILL)
        before = done()
        killed += sum(os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) == -signal.SIGKILL for each in children)
    return killed


def _child(key: int, chunk: int) -> int:
    db.engine.dispose(close=False)
    campaign_recipients.FILL_CHUNK = campaign_recipients.SEND_CHUNK = chunk
    campaign_sending.advance(key)
    os._exit(0)


def test_a_step_that_is_killed_has_never_happened(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = [crm.make.lead("ana", mobile=each).id for each in NUMBERS[:5]]
    campaign = draft(crm, leads, plan=CampaignInput("Fast", "sms", "Hi", per_minute=600))
    start(crm, campaign)
    with monkeypatch.context() as patched:
        patched.setattr(campaign_recipients, "timedelta", _die)
        with pytest.raises(KeyboardInterrupt):
            let_pass(crm, campaign)
    assert crm.rows(select(Message)) == [] and result(crm, campaign) == {"waiting": 5}
    let_pass(crm, campaign)
    assert result(crm, campaign) == {"queued": 5}


def _die(**_given: Any) -> Any:
    raise KeyboardInterrupt


def test_whose_template_was_changed_meanwhile_is_left_out_with_words(crm: Crm) -> None:
    template = MessageTemplate(label="Hello", channel="sms", body="Hi {{first_name}}", position=0, purpose="service")
    crm.session.add(template)
    crm.session.commit()
    lead = crm.make.lead("ana", mobile=NUMBERS[1])
    plan = CampaignInput(
        "T", "sms", template_id=template.id, variables={"first_name": {"from": "first_name", "text": ""}}
    )
    campaign = draft(crm, [lead.id], plan=plan)
    template.body = "Hi {{first_name}}, {{day}}"
    start(crm, campaign)
    let_pass(crm, campaign)
    (row,) = crm.rows(select(CampaignRecipient))
    assert (row.state, row.code) == ("left_out", "refused") and "day" in (row.reason or "")
