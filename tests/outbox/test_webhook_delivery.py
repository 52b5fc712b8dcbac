"""Webhooks: stored with the change, delivered at least once, as their user sees the record, paused after failures."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select, update

from app import jobs
from app.channels.webhook import WebhookClient, signature
from app.domain import round_robin, webhooks
from app.domain.automation import reassignment_batch
from app.domain.base import Stamp
from app.domain.telephony import call_sync
from app.domain.telephony.call_parsing import Telephone
from app.domain.webhooks import WebhookSettings
from app.job_runner import run_slot
from app.models import Lead, Notification, Task, User, Webhook, WebhookDelivery
from app.ops.database.connections import STATEMENTS
from app.ops.queues import queue
from app.outbox import delivery_engine, webhook_delivery
from app.outbox.webhook_delivery import WebhookResult
from tests import factories
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.channels.receiver import Receiver, receiving
from tests.ops.test_queue import Workers
from tests.servers import Redis, eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "send what webhooks wait for")
ALL = webhooks.all_events()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sending_crm(app_with: AppMaker) -> Iterator[Crm]:
    """The product with webhooks to this machine allowed; queued calls wait until a test runs them."""
    crm = Crm(app_with(CRM_WEBHOOKS_PRIVATE="on"))
    yield crm
    crm.close()


def add_webhook(crm: Crm, receiver: Receiver, *events: str, user: str = "root") -> tuple[int, str]:
    """Add a webhook of these events (default: all) for this user. Returns its id and secret."""
    session, root = crm.session, crm.people["root"].id
    wanted = WebhookSettings("Accounts", receiver.url, events or ALL, crm.people[user].id, allow_private=True)
    hook, secret = webhooks.create(session, wanted, Stamp(root, datetime.now(UTC)), crm.vault)
    session.commit()
    return hook.id, secret


def run_calls(crm: Crm) -> int:
    """Run all queued calls."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def payloads(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in receiver.requests]


def events_of(receiver: Receiver) -> list[str]:
    return [each["event"] for each in payloads(receiver)]


def states(crm: Crm) -> list[tuple[str, str, int]]:
    """(event, state, tries) of every delivery."""
    return [(row.event, row.state, row.tries) for row in crm.rows(select(WebhookDelivery).order_by(WebhookDelivery.id))]


def hook_of(crm: Crm) -> Webhook:
    (hook,) = crm.rows(select(Webhook))
    return hook


def let_pass(crm: Crm, seconds: int) -> None:
    """Make all deliveries older by these seconds."""
    for row in crm.session.scalars(select(WebhookDelivery).execution_options(populate_existing=True)):
        row.tried_on = row.tried_on and row.tried_on - timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    crm.session.commit()


def sweep(crm: Crm) -> Any:
    """Run the minute job that sweeps up stuck deliveries."""
    now = datetime.now(UTC)
    return run_slot(crm.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what is sent


def test_a_new_lead_is_sent_signed_and_as_rest_shows_it(sending_crm: Crm, receiver: Receiver) -> None:
    _id, secret = add_webhook(sending_crm, receiver, "lead.created")
    lead = sending_crm.client("ana").rest("POST", "lead/", {"first_name": "Ravi", "mobile": "9820011223"}).json["id"]
    assert (run_calls(sending_crm), states(sending_crm)) == (1, [("lead.created", "sent", 1)])
    (request,), (payload,) = receiver.requests, payloads(receiver)
    headers = request.headers
    assert headers["X-CRM-Signature"] == signature(secret, headers["X-CRM-Timestamp"], request.body)
    assert (headers["X-CRM-Event"], headers["X-CRM-Delivery"]) == ("lead.created", payload["id"])
    assert payload["record"] == sending_crm.client("root").rest("GET", f"lead/{lead}").json["result"]


@pytest.mark.parametrize(
    ("kind", "body", "events"),
    [
        ("lead", {"description": "x"}, ["lead.changed"]),
        ("lead", {"status": "Contacted"}, ["lead.status"]),
        ("lead", {"status": "Contacted", "description": "x"}, ["lead.status"]),
        ("lead", {"description": None}, []),
        ("ticket", {"priority": "High"}, ["ticket.changed"]),
        ("ticket", {"status": "Open"}, ["ticket.status"]),
        ("customer", {"first_name": "Zoya"}, ["customer.changed"]),
        ("customer", {"status": "Inactive"}, ["customer.status"]),
        ("task", {"title": "Visit"}, ["task.changed"]),
        ("task", {"status": "In Progress"}, ["task.status"]),
    ],
)
def test_each_change_is_sent_once_as_its_most_specific_event(
    sending_crm: Crm, receiver: Receiver, kind: str, body: Any, events: Any
) -> None:
    lead = sending_crm.make.lead("ana")
    rows = {
        "lead": lead,
        "ticket": sending_crm.make.ticket("cleo"),
        "customer": sending_crm.make.customer("ana"),
        "task": sending_crm.make.task(lead),
    }
    add_webhook(sending_crm, receiver)
    answer = sending_crm.client("root").rest("PUT", f"{kind}/{rows[kind].id}", body)
    assert answer.status_code == 200, answer.text
    run_calls(sending_crm)
    assert [each for each in events_of(receiver) if each.startswith(kind)] == events


def test_a_webhook_of_changes_also_gets_status_changes(sending_crm: Crm, receiver: Receiver) -> None:
    lead = sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.changed")
    sending_crm.client("ana").rest("PUT", f"lead/{lead.id}", {"status": "Contacted"})
    assert (run_calls(sending_crm), events_of(receiver)) == (1, ["lead.changed"])


def test_assigning_a_lead_is_sent_as_assigned(sending_crm: Crm, receiver: Receiver) -> None:
    lead = sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.assigned", "lead.changed")
    sending_crm.client("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    run_calls(sending_crm)
    assert [(each["event"], each["record"]["assignee"]["username"]) for each in payloads(receiver)] == [
        ("lead.assigned", "ben")
    ]


def test_of_a_deleted_record_only_id_and_number_are_sent(sending_crm: Crm, receiver: Receiver) -> None:
    lead = sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.deleted")
    assert sending_crm.client("root").rest("DELETE", f"lead/{lead.id}").status_code == 200
    run_calls(sending_crm)
    assert [each["record"] for each in payloads(receiver)] == [{"id": lead.id, "number": lead.number}]


def test_synced_calls_are_sent_and_so_are_their_updates(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "call_log.created", "call_log.changed")
    ana = Telephone(sending_crm.people["ana"].id, ZoneInfo("Asia/Kolkata"), frozenset({"+919820099999"}), "App/1.0")
    call = {
        "from": "9820012345",
        "to": "9820099999",
        "type": "Incoming",
        "start_time": "2026-01-05 10:00:00",
        "device_call_id": "one",
        "status": "Missed Call",
        "duration": 0,
    }
    for more in ({}, {}, {"status": "Completed", "duration": 42}):
        call_sync.sync(sending_crm.session, ana, [call | more], datetime.now(UTC))
        sending_crm.session.commit()
    run_calls(sending_crm)
    assert events_of(receiver) == ["call_log.created", "call_log.changed"]


def test_the_payload_is_the_record_at_the_time_of_sending(sending_crm: Crm, receiver: Receiver) -> None:
    lead = sending_crm.make.lead("ana", first_name="Old")
    add_webhook(sending_crm, receiver, "lead.changed")
    for name in ("Newer", "Newest"):
        sending_crm.client("ana").rest("PUT", f"lead/{lead.id}", {"first_name": name})
    run_calls(sending_crm)
    assert [each["record"]["first_name"] for each in payloads(receiver)] == ["Newest", "Newest"]


# --- when a delivery is written


def test_nothing_is_sent_after_a_rollback(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver)
    lead = sending_crm.make.lead("ana")
    run_calls(sending_crm)
    before = states(sending_crm)
    lead.description = "x"
    sending_crm.session.flush()
    sending_crm.session.rollback()
    sending_crm.session.commit()
    assert (states(sending_crm), run_calls(sending_crm)) == (before, 0)


def test_nothing_is_sent_of_a_savepoint_that_was_rolled_back(sending_crm: Crm, receiver: Receiver) -> None:
    lead, other = sending_crm.make.lead("ana"), sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.changed")
    other.description = "kept"
    nested = sending_crm.session.begin_nested()
    lead.description = "undone"
    sending_crm.session.flush()
    nested.rollback()
    sending_crm.session.commit()
    run_calls(sending_crm)
    assert [each["record"]["id"] for each in payloads(receiver)] == [other.id]


def test_without_webhooks_nothing_is_written(sending_crm: Crm) -> None:
    sending_crm.make.lead("ana")
    assert sending_crm.count(WebhookDelivery) == 0


def test_adding_and_deleting_a_webhook_takes_effect_at_once(sending_crm: Crm, receiver: Receiver) -> None:
    client, body = sending_crm.client("ana"), {"first_name": "Ravi", "mobile": "9820011223"}
    client.rest("POST", "lead/", body | {"mobile": "9820011220"})
    add_webhook(sending_crm, receiver, "lead.created")
    client.rest("POST", "lead/", body | {"mobile": "9820011221"})
    assert run_calls(sending_crm) == 1
    hook = sending_crm.session.get_one(Webhook, 1)
    webhooks.remove(sending_crm.session, hook, Stamp(1, datetime.now(UTC)))
    sending_crm.session.commit()
    client.rest("POST", "lead/", body | {"mobile": "9820011222"})
    assert (run_calls(sending_crm), sending_crm.count(WebhookDelivery)) == (0, 0)


def test_a_reassignment_by_a_job_is_sent(sending_crm: Crm, receiver: Receiver) -> None:
    lead, now = sending_crm.make.lead("ana", task={"title": "Call"}), datetime.now(UTC)
    (task,) = sending_crm.session.scalars(select(Task).where(Task.lead_id == lead.id)).all()
    add_webhook(sending_crm, receiver)
    batch, decision = (
        reassignment_batch.ReassignmentBatch(now, now + timedelta(hours=1)),
        round_robin.TurnDecision(sending_crm.people["ben"].id, "Sales User"),
    )
    batch.reassign(reassignment_batch.RecordToReassign(("lead", lead.id), "Sales User", lead, [task]), decision)
    batch.write(sending_crm.session)
    sending_crm.session.commit()
    run_calls(sending_crm)
    assert sorted(events_of(receiver)) == ["lead.assigned", "task.assigned"]


def test_a_session_of_another_database_writes_no_delivery(sending_crm: Crm, receiver: Receiver, tmp_path: Path) -> None:
    add_webhook(sending_crm, receiver)
    engine = factories.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with factories.opened(engine) as session:
        factories.lead(session, factories.user(session, "ana"))
        session.commit()
        assert session.scalars(select(WebhookDelivery.id)).all() == []
    engine.dispose()


def test_without_a_webhook_a_save_costs_no_extra_statement(app: Flask) -> None:
    crm = Crm(app)
    lead, client = crm.make.lead("ana"), crm.client("ana")
    counted = []
    for n in range(3):
        statements: list[str] = []
        STATEMENTS.set(statements)
        client.rest("PUT", f"lead/{lead.id}", {"description": str(n)})
        counted.append(sum("webhook" in each for each in statements))
    STATEMENTS.set(None)
    assert counted[1:] == [0, 0]
    crm.close()


# --- as its user sees it


def test_a_record_that_its_user_cannot_see_is_not_sent(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "lead.created", user="ben")
    sending_crm.make.lead("ana")
    sending_crm.make.lead("ben")
    run_calls(sending_crm)
    assert [each["record"]["assignee"]["username"] for each in payloads(receiver)] == ["ben"]
    assert [state for _event, state, _tries in states(sending_crm)] == ["dropped", "sent"]
    assert hook_of(sending_crm).failures == 0


def test_the_deletion_of_a_record_that_its_user_could_not_see_is_not_sent(sending_crm: Crm, receiver: Receiver) -> None:
    mine, other = sending_crm.make.lead("ben"), sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.deleted", user="ben")
    for lead in (mine, other):
        sending_crm.client("root").rest("DELETE", f"lead/{lead.id}")
    run_calls(sending_crm)
    assert [each["record"]["id"] for each in payloads(receiver)] == [mine.id]


def test_masked_fields_are_masked(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "customer.created", user="rhea")
    sending_crm.make.customer("ana", mobile="9820011223", pan="ABCDE1234F", address="12 Marine Drive")
    run_calls(sending_crm)
    body = receiver.requests[0].body.decode()
    assert not any(secret in body for secret in ("9820011223", "ABCDE1234F", "Marine Drive"))
    assert payloads(receiver)[0]["record"]["mobile"].endswith("1223")


def test_a_user_who_loses_access_gets_no_more(sending_crm: Crm, receiver: Receiver) -> None:
    lead = sending_crm.make.lead("ana")
    add_webhook(sending_crm, receiver, "lead.changed", user="ana")
    sending_crm.client("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    sending_crm.session.execute(update(Lead).where(Lead.id == lead.id).values(owner_id=sending_crm.people["ben"].id))
    sending_crm.session.commit()
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.requests) == ("dropped", webhook_delivery.NOT_SEEN, [])


def test_an_inactive_user_pauses_the_webhook_and_nothing_is_lost(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "lead.created", user="mia")
    sending_crm.session.get_one(User, sending_crm.people["mia"].id).active = False
    sending_crm.session.commit()
    sending_crm.make.lead("ana")
    run_calls(sending_crm)
    assert (hook_of(sending_crm).state, hook_of(sending_crm).why) == ("paused", "user")
    assert (states(sending_crm)[0][1], receiver.requests) == ("queued", [])
    assert [
        row.payload["why"] for row in sending_crm.rows(select(Notification).where(Notification.kind == "webhook"))
    ] == ["user"]


def test_deletions_are_not_sent_for_an_inactive_user(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "lead.deleted", user="mia")
    sending_crm.client("root").rest("DELETE", f"lead/{sending_crm.make.lead('ana').id}")
    sending_crm.session.get_one(User, sending_crm.people["mia"].id).active = False
    sending_crm.session.commit()
    run_calls(sending_crm)
    assert (hook_of(sending_crm).why, states(sending_crm), receiver.requests) == (
        "user",
        [("lead.deleted", "queued", 1)],
        [],
    )


# --- what goes wrong


def queue_one(sending_crm: Crm, receiver: Receiver) -> None:
    add_webhook(sending_crm, receiver, "lead.created")
    sending_crm.make.lead("ana")


def test_a_refused_delivery_is_retried_with_the_same_key(sending_crm: Crm, receiver: Receiver) -> None:
    receiver.answers = [(500, {}, b"<b>broken</b>")]
    queue_one(sending_crm, receiver)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert (row.state, row.code, row.answer, row.next_try_on > datetime.now(UTC)) == (
        "queued",
        500,
        "<b>broken</b>",
        True,
    )
    let_pass(sending_crm, 3600)
    assert (run_calls(sending_crm), states(sending_crm)) == (1, [("lead.created", "sent", 2)])
    assert len({each["id"] for each in payloads(receiver)}) == 1 and hook_of(sending_crm).failures == 0


def test_a_call_before_its_time_sends_nothing(sending_crm: Crm, receiver: Receiver) -> None:
    receiver.answers = [(500, {}, b"")]
    queue_one(sending_crm, receiver)
    run_calls(sending_crm)
    assert (run_calls(sending_crm), states(sending_crm)) == (1, [("lead.created", "queued", 1)])


def test_after_six_refusals_a_delivery_has_failed(
    sending_crm: Crm, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [(503, {}, b"")] * 9
    queue_one(sending_crm, receiver)
    for _ in range(9):
        run_calls(sending_crm)
        let_pass(sending_crm, 50_000)
    assert (states(sending_crm), len(receiver.requests)) == ([("lead.created", "failed", 6)], 6)
    assert "failed after 6 tries" in caplog.text


def test_a_busy_receiver_is_given_the_time_that_it_asks_for(sending_crm: Crm, receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "600"}, b"")]
    queue_one(sending_crm, receiver)
    before = datetime.now(UTC)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert (row.state, row.next_try_on - before >= timedelta(seconds=600)) == ("queued", True)


def test_the_last_attempt_counts_although_the_receiver_asks_to_wait(sending_crm: Crm, receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "600"}, b"")]
    queue_one(sending_crm, receiver)
    sending_crm.session.execute(update(WebhookDelivery).values(tries=5))
    sending_crm.session.commit()
    run_calls(sending_crm)
    assert states(sending_crm) == [("lead.created", "failed", 6)]


def test_a_redirect_is_not_followed(sending_crm: Crm, receiver: Receiver) -> None:
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    queue_one(sending_crm, receiver)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert (len(receiver.requests), row.state, "not followed" in row.error) == (1, "queued", True)


def test_410_turns_the_webhook_off_and_notifies_the_admins(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    sending_crm.make.lead("ana")
    receiver.answers = [(410, {}, b"")]
    run_calls(sending_crm)
    assert (hook_of(sending_crm).state, hook_of(sending_crm).why) == ("off", "gone")
    assert sorted(state for _event, state, _tries in states(sending_crm)) == ["dropped", "failed"]
    (notice,) = sending_crm.rows(select(Notification).where(Notification.kind == "webhook"))
    assert (notice.user_id, notice.payload["name"]) == (sending_crm.people["root"].id, "Accounts")
    sending_crm.make.lead("ana")
    assert sending_crm.count(WebhookDelivery) == 2


def test_repeated_failures_pause_a_webhook_and_its_deliveries_are_sent_after_resuming(
    sending_crm: Crm, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_FAILURES", 3)
    receiver.answers = [(500, {}, b"")] * 3
    queue_one(sending_crm, receiver)
    for _ in range(4):
        sending_crm.make.lead("ana")
    run_calls(sending_crm)
    assert (hook_of(sending_crm).state, hook_of(sending_crm).why, len(receiver.requests)) == ("paused", "failures", 3)
    assert sending_crm.count(Notification, Notification.kind == "webhook") == 1
    webhooks.resume(
        sending_crm.session,
        sending_crm.session.get_one(Webhook, 1, populate_existing=True),
        Stamp(1, datetime.now(UTC)),
    )
    sending_crm.session.commit()
    let_pass(sending_crm, 90)
    assert (sweep(sending_crm).items, run_calls(sending_crm) > 0, {state for _e, state, _t in states(sending_crm)}) == (
        5,
        True,
        {"sent"},
    )


def test_a_bug_fails_one_delivery_and_is_logged(
    sending_crm: Crm, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    queue_one(sending_crm, receiver)
    sending_crm.session.execute(update(Webhook).values(secret_sealed="rubbish"))
    sending_crm.session.commit()
    run_calls(sending_crm)
    assert (states(sending_crm)[0][1], receiver.requests, "could not be written" in caplog.text) == ("failed", [], True)


def test_an_unexpected_error_while_sending_is_an_attempt_like_any_other(
    sending_crm: Crm, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WebhookClient, "post", lambda *_request: dict[str, str]()["no such thing"])
    queue_one(sending_crm, receiver)
    for _ in range(9):
        run_calls(sending_crm)
        let_pass(sending_crm, 50_000)
    assert (states(sending_crm), receiver.requests) == ([("lead.created", "failed", 6)], [])
    assert "broke down" in caplog.text


def test_a_call_queued_by_an_older_version_still_runs(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert queue.enqueue_call(queue.Call("default", "app.postman.sending:send", (row.key,)))
    assert (run_calls(sending_crm), states(sending_crm)) == (1, [("lead.created", "sent", 1)])


def test_a_private_address_is_not_called_unless_allowed(app: Flask, receiver: Receiver) -> None:
    sending_crm = Crm(app)
    queue_one(sending_crm, receiver)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.requests) == ("queued", "The address must start with https://.", [])
    sending_crm.close()


# --- at least once, never twice at the same time


def test_a_delivery_is_sent_once_however_often_it_is_queued(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    for _ in range(3):
        queue.enqueue("default", webhook_delivery.send, row.key)
    assert (run_calls(sending_crm), len(receiver.requests)) == (4, 1)


def test_of_several_workers_at_once_one_sends(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    ready = threading.Barrier(4)

    def worker() -> None:
        with sending_crm.app.app_context():
            ready.wait(60)
            webhook_delivery.send(row.key)

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (len(receiver.requests), states(sending_crm)) == (1, [("lead.created", "sent", 1)])


def test_a_delivery_that_the_queue_has_lost_is_queued_again(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    assert (sweep(sending_crm).items, run_calls(sending_crm)) == (0, 0)
    let_pass(sending_crm, 90)
    assert (sweep(sending_crm).items, run_calls(sending_crm), len(receiver.requests)) == (1, 1, 1)


def test_an_interrupted_delivery_is_sent_again_and_logged(
    sending_crm: Crm, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    queue_one(sending_crm, receiver)
    run_calls(sending_crm)
    then = datetime.now(UTC) - timedelta(minutes=6)
    sending_crm.session.execute(update(WebhookDelivery).values(state="sending", tried_on=then))
    sending_crm.session.commit()
    with caplog.at_level(logging.WARNING, "crm.webhooks"):
        assert sweep(sending_crm).items == 1
    let_pass(sending_crm, 5)
    assert (sweep(sending_crm).items, run_calls(sending_crm), states(sending_crm)) == (
        1,
        1,
        [("lead.created", "sent", 2)],
    )
    assert "was broken off and is sent again" in caplog.text
    assert len({each["id"] for each in payloads(receiver)}) == 1


def test_a_late_result_of_an_abandoned_attempt_changes_nothing(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    (row,) = sending_crm.rows(select(WebhookDelivery))
    with sending_crm.app.app_context():
        delivery_engine.settle(webhook_delivery.WEBHOOKS, row, WebhookResult("failed"), datetime.now(UTC))
    assert states(sending_crm) == [("lead.created", "queued", 0)]


def test_old_deliveries_are_deleted(sending_crm: Crm, receiver: Receiver) -> None:
    queue_one(sending_crm, receiver)
    jobs.run_now(sending_crm.app, "forget what is too old", datetime.now(UTC) + timedelta(days=29))
    assert sending_crm.count(WebhookDelivery) == 1
    jobs.run_now(sending_crm.app, "forget what is too old", datetime.now(UTC) + timedelta(days=31))
    assert sending_crm.count(WebhookDelivery) == 0


def test_a_delivery_of_a_killed_worker_is_sent_by_another(
    instance: Path, app_with: AppMaker, receiver: Receiver, redis_server: Redis, tmp_path: Path
) -> None:
    redis = {"CRM_REDIS_URL": redis_server.url, "CRM_WEBHOOKS_PRIVATE": "on"}
    sending_crm = Crm(app_with(**redis))
    receiver.answers = ["hang"]
    one = {"CRM_WEBHOOKS_PRIVATE": "on", "CRM_QUEUE_DEFAULT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "default", **one) as workers:
        queue_one(sending_crm, receiver)
        eventually(lambda: len(receiver.requests) == 1, "it did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert states(sending_crm) == [("lead.created", "sending", 1)]
        for _ in range(2):  # found interrupted, then queued
            let_pass(sending_crm, 600)
            sweep(sending_crm)
        eventually(lambda: states(sending_crm) == [("lead.created", "sent", 2)], "nobody sent it again")
    assert len({each["id"] for each in payloads(receiver)}) == 1
    sending_crm.close()


def test_webhooks_on_mariadb(maria: Crm, receiver: Receiver) -> None:
    client = WebhookClient(private=True)
    maria.app.extensions["crm_webhook_sender"] = replace(maria.app.extensions["crm_webhook_sender"], client=client)
    add_webhook(maria, receiver, "lead.created", "lead.deleted")
    lead = maria.make.lead("ana")
    maria.client("root").rest("DELETE", f"lead/{lead.id}")
    run_calls(maria)
    assert states(maria) == [("lead.created", "dropped", 1), ("lead.deleted", "sent", 1)]
    assert (sweep(maria).outcome, hook_of(maria).failures) == ("done", 0)


@pytest.mark.parametrize("state", ["on", "paused", "off"])
def test_a_test_that_the_queue_has_lost_is_sent_also_to_a_paused_webhook(
    sending_crm: Crm, receiver: Receiver, state: str
) -> None:
    hook, _secret = add_webhook(sending_crm, receiver)
    sending_crm.session.execute(update(Webhook).values(state=state))
    sending_crm.session.commit()
    sending_crm.client("root").form(f"/webhooks/{hook}/test")
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    let_pass(sending_crm, 90)
    assert (sweep(sending_crm).items, run_calls(sending_crm), states(sending_crm)) == (1, 1, [("test", "sent", 1)])
