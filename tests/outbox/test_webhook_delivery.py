"""Webhooks: captured with the change, delivered at least once, as their user sees the record, and paused on failure."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from app import jobs
from app.channels.webhook import WebhookClient, signature
from app.domain import call_sync, reassignment_batch, team, webhooks
from app.domain.base import Stamp
from app.domain.call_parsing import Telephone
from app.domain.webhooks import WebhookSettings
from app.job_runner import run_slot
from app.models import Lead, Notification, Task, User, Webhook, WebhookDelivery
from app.ops import queue
from app.ops.database import STATEMENTS
from app.outbox import engine, webhook_delivery
from app.outbox.webhook_delivery import WebhookResult
from tests import factories
from tests.app_fixtures import World
from tests.app_pool import AppMaker
from tests.channels.receiver import Receiver, receiving
from tests.ops.test_queue import Workers
from tests.servers import eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "send what webhooks wait for")
ALL = webhooks.all_events()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def office(app_with: AppMaker) -> Iterator[World]:
    """The product with webhooks to this machine allowed; queued calls wait until a test runs them."""
    world = World(app_with(CRM_WEBHOOKS_PRIVATE="on"))
    yield world
    world.close()


def add_webhook(world: World, receiver: Receiver, *events: str, user: str = "root") -> tuple[int, str]:
    """Add a webhook of these events (default: all) for this user. Returns its id and secret."""
    session, root = world.session, world.people["root"].id
    wanted = WebhookSettings("Accounts", receiver.url, events or ALL, world.people[user].id, allow_private=True)
    hook, secret = webhooks.create(session, wanted, Stamp(root, datetime.now(UTC)), world.vault)
    session.commit()
    return hook.id, secret


def run_calls(world: World) -> int:
    """Run all queued calls."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def payloads(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in receiver.requests]


def events_of(receiver: Receiver) -> list[str]:
    return [each["event"] for each in payloads(receiver)]


def states(world: World) -> list[tuple[str, str, int]]:
    """(event, state, tries) of every delivery."""
    return [
        (row.event, row.state, row.tries) for row in world.rows(select(WebhookDelivery).order_by(WebhookDelivery.id))
    ]


def hook_of(world: World) -> Webhook:
    (hook,) = world.rows(select(Webhook))
    return hook  # type: ignore[no-any-return]


def let_pass(world: World, seconds: int) -> None:
    """Make all deliveries older by these seconds."""
    for row in world.session.scalars(select(WebhookDelivery).execution_options(populate_existing=True)):
        row.tried_on = row.tried_on and row.tried_on - timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    world.session.commit()


def sweep(world: World) -> Any:
    """Run the minute job that sweeps up stuck deliveries."""
    now = datetime.now(UTC)
    return run_slot(world.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what is sent


def test_a_new_lead_is_sent_signed_and_as_rest_shows_it(office, receiver):
    _id, secret = add_webhook(office, receiver, "lead.created")
    lead = office.door("ana").rest("POST", "lead/", {"first_name": "Ravi", "mobile": "9820011223"}).json["id"]
    assert (run_calls(office), states(office)) == (1, [("lead.created", "sent", 1)])
    (request,), (payload,) = receiver.requests, payloads(receiver)
    headers = request.headers
    assert headers["X-CRM-Signature"] == signature(secret, headers["X-CRM-Timestamp"], request.body)
    assert (headers["X-CRM-Event"], headers["X-CRM-Delivery"]) == ("lead.created", payload["id"])
    assert payload["record"] == office.door("root").rest("GET", f"lead/{lead}").json["result"]


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
def test_each_change_is_sent_once_as_its_most_specific_event(office, receiver, kind, body, events):
    lead = office.make.lead("ana")
    rows = {
        "lead": lead,
        "ticket": office.make.ticket("cleo"),
        "customer": office.make.customer("ana"),
        "task": office.make.task(lead),
    }
    add_webhook(office, receiver)
    answer = office.door("root").rest("PUT", f"{kind}/{rows[kind].id}", body)
    assert answer.status_code == 200, answer.text
    run_calls(office)
    assert [each for each in events_of(receiver) if each.startswith(kind)] == events


def test_a_webhook_of_changes_also_gets_status_changes(office, receiver):
    lead = office.make.lead("ana")
    add_webhook(office, receiver, "lead.changed")
    office.door("ana").rest("PUT", f"lead/{lead.id}", {"status": "Contacted"})
    assert (run_calls(office), events_of(receiver)) == (1, ["lead.changed"])


def test_assigning_a_lead_is_sent_as_assigned(office, receiver):
    lead = office.make.lead("ana")
    add_webhook(office, receiver, "lead.assigned", "lead.changed")
    office.door("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    run_calls(office)
    assert [(each["event"], each["record"]["assignee"]["username"]) for each in payloads(receiver)] == [
        ("lead.assigned", "ben")
    ]


def test_of_a_deleted_record_only_id_and_number_are_sent(office, receiver):
    lead = office.make.lead("ana")
    add_webhook(office, receiver, "lead.deleted")
    assert office.door("root").rest("DELETE", f"lead/{lead.id}").status_code == 200
    run_calls(office)
    assert [each["record"] for each in payloads(receiver)] == [{"id": lead.id, "number": lead.number}]


def test_synced_calls_are_sent_and_so_are_their_updates(office, receiver):
    add_webhook(office, receiver, "call_log.created", "call_log.changed")
    ana = Telephone(office.people["ana"].id, ZoneInfo("Asia/Kolkata"), frozenset({"+919820099999"}), "App/1.0")
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
        call_sync.sync(office.session, ana, [call | more], datetime.now(UTC))
        office.session.commit()
    run_calls(office)
    assert events_of(receiver) == ["call_log.created", "call_log.changed"]


def test_the_payload_is_the_record_at_the_time_of_sending(office, receiver):
    lead = office.make.lead("ana", first_name="Old")
    add_webhook(office, receiver, "lead.changed")
    for name in ("Newer", "Newest"):
        office.door("ana").rest("PUT", f"lead/{lead.id}", {"first_name": name})
    run_calls(office)
    assert [each["record"]["first_name"] for each in payloads(receiver)] == ["Newest", "Newest"]


# --- when a delivery is written


def test_nothing_is_sent_after_a_rollback(office, receiver):
    add_webhook(office, receiver)
    lead = office.make.lead("ana")
    run_calls(office)
    before = states(office)
    lead.description = "x"
    office.session.flush()
    office.session.rollback()
    office.session.commit()
    assert (states(office), run_calls(office)) == (before, 0)


def test_nothing_is_sent_of_a_savepoint_that_was_rolled_back(office, receiver):
    lead, other = office.make.lead("ana"), office.make.lead("ana")
    add_webhook(office, receiver, "lead.changed")
    other.description = "kept"
    nested = office.session.begin_nested()
    lead.description = "undone"
    office.session.flush()
    nested.rollback()
    office.session.commit()
    run_calls(office)
    assert [each["record"]["id"] for each in payloads(receiver)] == [other.id]


def test_without_webhooks_nothing_is_written(office):
    office.make.lead("ana")
    assert office.count(WebhookDelivery) == 0


def test_adding_and_deleting_a_webhook_takes_effect_at_once(office, receiver):
    door, body = office.door("ana"), {"first_name": "Ravi", "mobile": "9820011223"}
    door.rest("POST", "lead/", body | {"mobile": "9820011220"})
    add_webhook(office, receiver, "lead.created")
    door.rest("POST", "lead/", body | {"mobile": "9820011221"})
    assert run_calls(office) == 1
    hook = office.session.get(Webhook, 1)
    webhooks.remove(office.session, hook, Stamp(1, datetime.now(UTC)))
    office.session.commit()
    door.rest("POST", "lead/", body | {"mobile": "9820011222"})
    assert (run_calls(office), office.count(WebhookDelivery)) == (0, 0)


def test_a_reassignment_by_a_job_is_sent(office, receiver):
    lead, now = office.make.lead("ana", task={"title": "Call"}), datetime.now(UTC)
    (task,) = office.session.scalars(select(Task).where(Task.lead_id == lead.id)).all()
    add_webhook(office, receiver)
    batch, decision = (
        reassignment_batch.ReassignmentBatch(now, now + timedelta(hours=1)),
        team.Decision(office.people["ben"].id, "Sales User"),
    )
    batch.reassign(reassignment_batch.RecordToReassign(("lead", lead.id), "Sales User", lead, [task]), decision)
    batch.write(office.session)
    office.session.commit()
    run_calls(office)
    assert sorted(events_of(receiver)) == ["lead.assigned", "task.assigned"]


def test_a_session_of_another_database_writes_no_delivery(office, receiver, tmp_path):
    add_webhook(office, receiver)
    engine = factories.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with factories.opened(engine) as session:
        factories.lead(session, factories.user(session, "ana"))
        session.commit()
        assert session.scalars(select(WebhookDelivery.id)).all() == []
    engine.dispose()


def test_without_a_webhook_a_save_costs_no_extra_statement(app):
    world = World(app)
    lead, door = world.make.lead("ana"), world.door("ana")
    counted = []
    for n in range(3):
        STATEMENTS.set(statements := [])
        door.rest("PUT", f"lead/{lead.id}", {"description": str(n)})
        counted.append(sum("webhook" in each for each in statements))
    STATEMENTS.set(None)
    assert counted[1:] == [0, 0]
    world.close()


# --- as its user sees it


def test_a_record_that_its_user_cannot_see_is_not_sent(office, receiver):
    add_webhook(office, receiver, "lead.created", user="ben")
    office.make.lead("ana")
    office.make.lead("ben")
    run_calls(office)
    assert [each["record"]["assignee"]["username"] for each in payloads(receiver)] == ["ben"]
    assert [state for _event, state, _tries in states(office)] == ["dropped", "sent"]
    assert hook_of(office).failures == 0


def test_the_deletion_of_a_record_that_its_user_could_not_see_is_not_sent(office, receiver):
    mine, other = office.make.lead("ben"), office.make.lead("ana")
    add_webhook(office, receiver, "lead.deleted", user="ben")
    for lead in (mine, other):
        office.door("root").rest("DELETE", f"lead/{lead.id}")
    run_calls(office)
    assert [each["record"]["id"] for each in payloads(receiver)] == [mine.id]


def test_masked_fields_are_masked(office, receiver):
    add_webhook(office, receiver, "customer.created", user="rhea")
    office.make.customer("ana", mobile="9820011223", pan="ABCDE1234F", address="12 Marine Drive")
    run_calls(office)
    body = receiver.requests[0].body.decode()
    assert not any(secret in body for secret in ("9820011223", "ABCDE1234F", "Marine Drive"))
    assert payloads(receiver)[0]["record"]["mobile"].endswith("1223")


def test_a_user_who_loses_access_gets_no_more(office, receiver):
    lead = office.make.lead("ana")
    add_webhook(office, receiver, "lead.changed", user="ana")
    office.door("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    office.session.execute(update(Lead).where(Lead.id == lead.id).values(owner_id=office.people["ben"].id))
    office.session.commit()
    run_calls(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.requests) == ("dropped", webhook_delivery.NOT_SEEN, [])


def test_an_inactive_user_pauses_the_webhook_and_nothing_is_lost(office, receiver):
    add_webhook(office, receiver, "lead.created", user="mia")
    office.session.get(User, office.people["mia"].id).active = False
    office.session.commit()
    office.make.lead("ana")
    run_calls(office)
    assert (hook_of(office).state, hook_of(office).why) == ("paused", "user")
    assert (states(office)[0][1], receiver.requests) == ("queued", [])
    assert [row.payload["why"] for row in office.rows(select(Notification).where(Notification.kind == "webhook"))] == [
        "user"
    ]


def test_deletions_are_not_sent_for_an_inactive_user(office, receiver):
    add_webhook(office, receiver, "lead.deleted", user="mia")
    office.door("root").rest("DELETE", f"lead/{office.make.lead('ana').id}")
    office.session.get(User, office.people["mia"].id).active = False
    office.session.commit()
    run_calls(office)
    assert (hook_of(office).why, states(office), receiver.requests) == ("user", [("lead.deleted", "queued", 1)], [])


# --- what goes wrong


def queue_one(office: World, receiver: Receiver) -> None:
    add_webhook(office, receiver, "lead.created")
    office.make.lead("ana")


def test_a_refused_delivery_is_retried_with_the_same_key(office, receiver):
    receiver.answers = [(500, {}, b"<b>broken</b>")]
    queue_one(office, receiver)
    run_calls(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.code, row.answer, row.next_try_on > datetime.now(UTC)) == (
        "queued",
        500,
        "<b>broken</b>",
        True,
    )
    let_pass(office, 3600)
    assert (run_calls(office), states(office)) == (1, [("lead.created", "sent", 2)])
    assert len({each["id"] for each in payloads(receiver)}) == 1 and hook_of(office).failures == 0


def test_a_call_before_its_time_sends_nothing(office, receiver):
    receiver.answers = [(500, {}, b"")]
    queue_one(office, receiver)
    run_calls(office)
    assert (run_calls(office), states(office)) == (1, [("lead.created", "queued", 1)])


def test_after_six_refusals_a_delivery_has_failed(office, receiver, caplog):
    receiver.answers = [(503, {}, b"")] * 9
    queue_one(office, receiver)
    for _ in range(9):
        run_calls(office)
        let_pass(office, 50_000)
    assert (states(office), len(receiver.requests)) == ([("lead.created", "failed", 6)], 6)
    assert "failed after 6 tries" in caplog.text


def test_a_redirect_is_not_followed(office, receiver):
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    queue_one(office, receiver)
    run_calls(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (len(receiver.requests), row.state, "not followed" in row.error) == (1, "queued", True)


def test_410_turns_the_webhook_off_and_notifies_the_admins(office, receiver):
    queue_one(office, receiver)
    office.make.lead("ana")
    receiver.answers = [(410, {}, b"")]
    run_calls(office)
    assert (hook_of(office).state, hook_of(office).why) == ("off", "gone")
    assert sorted(state for _event, state, _tries in states(office)) == ["dropped", "failed"]
    (notice,) = office.rows(select(Notification).where(Notification.kind == "webhook"))
    assert (notice.user_id, notice.payload["name"]) == (office.people["root"].id, "Accounts")
    office.make.lead("ana")
    assert office.count(WebhookDelivery) == 2


def test_repeated_failures_pause_a_webhook_and_its_deliveries_are_sent_after_resuming(office, receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_FAILURES", 3)
    receiver.answers = [(500, {}, b"")] * 3
    queue_one(office, receiver)
    for _ in range(4):
        office.make.lead("ana")
    run_calls(office)
    assert (hook_of(office).state, hook_of(office).why, len(receiver.requests)) == ("paused", "failures", 3)
    assert office.count(Notification, Notification.kind == "webhook") == 1
    webhooks.resume(office.session, office.session.get(Webhook, 1, populate_existing=True), Stamp(1, datetime.now(UTC)))
    office.session.commit()
    let_pass(office, 90)
    assert (sweep(office).items, run_calls(office) > 0, {state for _e, state, _t in states(office)}) == (
        5,
        True,
        {"sent"},
    )


def test_a_bug_fails_one_delivery_and_is_logged(office, receiver, caplog):
    queue_one(office, receiver)
    office.session.execute(update(Webhook).values(secret_sealed="rubbish"))
    office.session.commit()
    run_calls(office)
    assert (states(office)[0][1], receiver.requests, "could not be written" in caplog.text) == ("failed", [], True)


def test_an_unexpected_error_while_sending_is_an_attempt_like_any_other(office, receiver, monkeypatch, caplog):
    monkeypatch.setattr(WebhookClient, "post", lambda *_request: {}["no such thing"])
    queue_one(office, receiver)
    for _ in range(9):
        run_calls(office)
        let_pass(office, 50_000)
    assert (states(office), receiver.requests) == ([("lead.created", "failed", 6)], [])
    assert "broke down" in caplog.text


def test_a_call_queued_by_an_older_version_still_runs(office, receiver):
    queue_one(office, receiver)
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    (row,) = office.rows(select(WebhookDelivery))
    assert queue.enqueue_call(queue.Call("default", "app.postman.sending:send", (row.key,)))
    assert (run_calls(office), states(office)) == (1, [("lead.created", "sent", 1)])


def test_a_private_address_is_not_called_unless_allowed(app, receiver):
    office = World(app)
    queue_one(office, receiver)
    run_calls(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.requests) == ("queued", "The address must start with https://.", [])
    office.close()


# --- at least once, never twice at the same time


def test_a_delivery_is_sent_once_however_often_it_is_queued(office, receiver):
    queue_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    for _ in range(3):
        queue.enqueue("default", webhook_delivery.send, row.key)
    assert (run_calls(office), len(receiver.requests)) == (4, 1)


def test_of_several_workers_at_once_one_sends(office, receiver):
    queue_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    ready = threading.Barrier(4)

    def worker() -> None:
        with office.app.app_context():
            ready.wait(60)
            webhook_delivery.send(row.key)

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (len(receiver.requests), states(office)) == (1, [("lead.created", "sent", 1)])


def test_a_delivery_that_the_queue_has_lost_is_queued_again(office, receiver):
    queue_one(office, receiver)
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    assert (sweep(office).items, run_calls(office)) == (0, 0)
    let_pass(office, 90)
    assert (sweep(office).items, run_calls(office), len(receiver.requests)) == (1, 1, 1)


def test_an_interrupted_delivery_is_sent_again_and_logged(office, receiver, caplog):
    queue_one(office, receiver)
    run_calls(office)
    then = datetime.now(UTC) - timedelta(minutes=6)
    office.session.execute(update(WebhookDelivery).values(state="sending", tried_on=then))
    office.session.commit()
    with caplog.at_level(logging.WARNING, "crm.webhooks"):
        assert sweep(office).items == 1
    let_pass(office, 5)
    assert (sweep(office).items, run_calls(office), states(office)) == (1, 1, [("lead.created", "sent", 2)])
    assert "was broken off and is sent again" in caplog.text
    assert len({each["id"] for each in payloads(receiver)}) == 1


def test_a_late_result_of_an_abandoned_attempt_changes_nothing(office, receiver):
    queue_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    with office.app.app_context():
        engine.settle(webhook_delivery.WEBHOOKS, row, WebhookResult("failed"), datetime.now(UTC))
    assert states(office) == [("lead.created", "queued", 0)]


def test_old_deliveries_are_deleted(office, receiver):
    queue_one(office, receiver)
    jobs.run_now(office.app, "forget what is too old", datetime.now(UTC) + timedelta(days=29))
    assert office.count(WebhookDelivery) == 1
    jobs.run_now(office.app, "forget what is too old", datetime.now(UTC) + timedelta(days=31))
    assert office.count(WebhookDelivery) == 0


def test_a_delivery_of_a_killed_worker_is_sent_by_another(instance, app_with, receiver, redis_server, tmp_path):
    redis = {"CRM_REDIS_URL": redis_server.url, "CRM_WEBHOOKS_PRIVATE": "on"}
    office = World(app_with(**redis))
    receiver.answers = ["hang"]
    one = {"CRM_WEBHOOKS_PRIVATE": "on", "CRM_QUEUE_DEFAULT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "default", **one) as workers:
        queue_one(office, receiver)
        eventually(lambda: len(receiver.requests) == 1, "it did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert states(office) == [("lead.created", "sending", 1)]
        for _ in range(2):  # found interrupted, then queued
            let_pass(office, 600)
            sweep(office)
        eventually(lambda: states(office) == [("lead.created", "sent", 2)], "nobody sent it again")
    assert len({each["id"] for each in payloads(receiver)}) == 1
    office.close()


def test_webhooks_on_mariadb(maria, receiver):
    client = WebhookClient(private=True)
    maria.app.extensions["crm_webhook_sender"] = replace(maria.app.extensions["crm_webhook_sender"], client=client)
    add_webhook(maria, receiver, "lead.created", "lead.deleted")
    lead = maria.make.lead("ana")
    maria.door("root").rest("DELETE", f"lead/{lead.id}")
    run_calls(maria)
    assert states(maria) == [("lead.created", "dropped", 1), ("lead.deleted", "sent", 1)]
    assert (sweep(maria).outcome, hook_of(maria).failures) == ("done", 0)


@pytest.mark.parametrize("state", ["on", "paused", "off"])
def test_a_test_that_the_queue_has_lost_is_sent_also_to_a_paused_webhook(office, receiver, state):
    hook, _secret = add_webhook(office, receiver)
    office.session.execute(update(Webhook).values(state=state))
    office.session.commit()
    office.door("root").form(f"/webhooks/{hook}/test")
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    let_pass(office, 90)
    assert (sweep(office).items, run_calls(office), states(office)) == (1, 1, [("test", "sent", 1)])
