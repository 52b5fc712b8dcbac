"""Webhooks: noted with the change, told at least once, in the eyes of a user, and stopped when nobody listens."""

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
from sqlalchemy.orm import Session

from app import access, jobs, outbox
from app.channels.webhook import WebhookClient, signature
from app.domain import call_sync, reassignment_batch, team, webhooks
from app.domain.call_parsing import Telephone
from app.domain.webhooks import EventFilter
from app.job_runner import run_slot
from app.models import Lead, Notification, Task, User, Webhook, WebhookDelivery
from app.ops import queue
from app.ops.database import STATEMENTS
from tests import makers
from tests.app_fixtures import World
from tests.channels.receiver import Receiver, receiving
from tests.ops.test_queue import Workers
from tests.reuse import AppMaker
from tests.servers import eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "send what webhooks wait for")
ALL = webhooks.EVENTS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def office(app_with: AppMaker) -> Iterator[World]:
    """The product with webhooks allowed to this machine; calls wait until a test makes them."""
    world = World(app_with(CRM_WEBHOOKS_PRIVATE="on"))
    yield world
    world.close()


def listen(world: World, receiver: Receiver, *events: str, user: str = "root") -> tuple[int, str]:
    """A webhook of these events (all of them), seen by the user: its id and secret."""
    session, root = world.session, world.people["root"].id
    wanted = EventFilter("Accounts", receiver.url, events or ALL, world.people[user].id)
    hook, secret = webhooks.make(session, wanted, root, datetime.now(UTC), world.vault, private=True)
    session.commit()
    return hook.id, secret


def work(world: World) -> int:
    """Make all calls that wait."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def letters(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(heard.body) for heard in receiver.heard]


def told(receiver: Receiver) -> list[str]:
    return [letter["event"] for letter in letters(receiver)]


def stands(world: World) -> list[tuple[str, str, int]]:
    """(event, state, tries) of every delivery."""
    return [
        (row.event, row.state, row.tries) for row in world.rows(select(WebhookDelivery).order_by(WebhookDelivery.id))
    ]


def hook_of(world: World) -> Webhook:
    (hook,) = world.rows(select(Webhook))
    return hook  # type: ignore[no-any-return]


def age(world: World, seconds: int) -> None:
    """Let time pass over all deliveries."""
    for row in world.session.scalars(select(WebhookDelivery).execution_options(populate_existing=True)):
        row.tried_on = row.tried_on and row.tried_on - timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    world.session.commit()


def sweep(world: World) -> Any:
    """The minute's sweep."""
    now = datetime.now(UTC)
    return run_slot(world.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what is told


def test_a_new_lead_is_told_signed_and_as_rest_shows_it(office, receiver):
    _id, secret = listen(office, receiver, "lead.created")
    lead = office.door("ana").rest("POST", "lead/", {"first_name": "Ravi", "mobile": "9820011223"}).json["id"]
    assert (work(office), stands(office)) == (1, [("lead.created", "sent", 1)])
    (heard,), (letter,) = receiver.heard, letters(receiver)
    head = heard.headers
    assert head["X-CRM-Signature"] == signature(secret, head["X-CRM-Timestamp"], heard.body)
    assert (head["X-CRM-Event"], head["X-CRM-Delivery"]) == ("lead.created", letter["id"])
    assert letter["record"] == office.door("root").rest("GET", f"lead/{lead}").json["result"]


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
def test_each_change_is_told_once_by_its_narrowest_name(office, receiver, kind, body, events):
    lead = office.make.lead("ana")
    rows = {
        "lead": lead,
        "ticket": office.make.ticket("cleo"),
        "customer": office.make.customer("ana"),
        "task": office.make.task(lead),
    }
    listen(office, receiver)
    answer = office.door("root").rest("PUT", f"{kind}/{rows[kind].id}", body)
    assert answer.status_code == 200, answer.text
    work(office)
    assert [each for each in told(receiver) if each.startswith(kind)] == events


def test_who_hears_of_changes_only_hears_of_a_status_too(office, receiver):
    lead = office.make.lead("ana")
    listen(office, receiver, "lead.changed")
    office.door("ana").rest("PUT", f"lead/{lead.id}", {"status": "Contacted"})
    assert (work(office), told(receiver)) == (1, ["lead.changed"])


def test_a_lead_that_is_given_to_somebody_is_told_as_assigned(office, receiver):
    lead = office.make.lead("ana")
    listen(office, receiver, "lead.assigned", "lead.changed")
    office.door("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    work(office)
    assert [(each["event"], each["record"]["assignee"]["username"]) for each in letters(receiver)] == [
        ("lead.assigned", "ben")
    ]


def test_of_what_is_gone_only_its_number_is_told(office, receiver):
    lead = office.make.lead("ana")
    listen(office, receiver, "lead.deleted")
    assert office.door("root").rest("DELETE", f"lead/{lead.id}").status_code == 200
    work(office)
    assert [each["record"] for each in letters(receiver)] == [{"id": lead.id, "number": lead.number}]


def test_calls_that_a_telephone_syncs_are_told_and_so_is_what_grew(office, receiver):
    listen(office, receiver, "call_log.created", "call_log.changed")
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
    work(office)
    assert told(receiver) == ["call_log.created", "call_log.changed"]


def test_what_is_told_is_the_record_as_it_is_when_it_is_sent(office, receiver):
    lead = office.make.lead("ana", first_name="Old")
    listen(office, receiver, "lead.changed")
    for name in ("Newer", "Newest"):
        office.door("ana").rest("PUT", f"lead/{lead.id}", {"first_name": name})
    work(office)
    assert [each["record"]["first_name"] for each in letters(receiver)] == ["Newest", "Newest"]


# --- when it is noted


def test_of_what_was_rolled_back_nothing_is_told(office, receiver):
    listen(office, receiver)
    lead = office.make.lead("ana")
    work(office)
    before = stands(office)
    lead.description = "x"
    office.session.flush()
    office.session.rollback()
    office.session.commit()
    assert (stands(office), work(office)) == (before, 0)


def test_of_what_a_savepoint_undid_nothing_is_told(office, receiver):
    lead, other = office.make.lead("ana"), office.make.lead("ana")
    listen(office, receiver, "lead.changed")
    other.description = "kept"
    nested = office.session.begin_nested()
    lead.description = "undone"
    office.session.flush()
    nested.rollback()
    office.session.commit()
    work(office)
    assert [each["record"]["id"] for each in letters(receiver)] == [other.id]


def test_while_nobody_listens_nothing_is_written(office):
    office.make.lead("ana")
    assert office.count(WebhookDelivery) == 0


def test_a_webhook_is_heard_of_at_once_and_forgotten_at_once(office, receiver):
    door, body = office.door("ana"), {"first_name": "Ravi", "mobile": "9820011223"}
    door.rest("POST", "lead/", body | {"mobile": "9820011220"})
    listen(office, receiver, "lead.created")
    door.rest("POST", "lead/", body | {"mobile": "9820011221"})
    assert work(office) == 1
    hook = office.session.get(Webhook, 1)
    webhooks.remove(office.session, hook, 1, datetime.now(UTC))
    office.session.commit()
    door.rest("POST", "lead/", body | {"mobile": "9820011222"})
    assert (work(office), office.count(WebhookDelivery)) == (0, 0)


def test_what_a_job_hands_on_is_told(office, receiver):
    lead, now = office.make.lead("ana", task={"title": "Call"}), datetime.now(UTC)
    (task,) = office.session.scalars(select(Task).where(Task.lead_id == lead.id)).all()
    listen(office, receiver)
    sheet, taker = (
        reassignment_batch.ReassignmentBatch(now, now + timedelta(hours=1)),
        team.Decision(office.people["ben"].id, "Sales User"),
    )
    sheet.hand_over(reassignment_batch.RecordToReassign(("lead", lead.id), "Sales User", lead, [task]), taker)
    sheet.write(office.session)
    office.session.commit()
    work(office)
    assert sorted(told(receiver)) == ["lead.assigned", "task.assigned"]


def test_a_session_of_another_database_writes_nothing_down(office, receiver, tmp_path):
    listen(office, receiver)
    engine = makers.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with makers.opened(engine) as session:
        makers.lead(session, makers.user(session, "ana"))
        session.commit()
        assert session.scalars(select(WebhookDelivery.id)).all() == []
    engine.dispose()


def test_without_a_webhook_a_save_costs_no_statement_more(app):
    world = World(app)
    lead, door = world.make.lead("ana"), world.door("ana")
    counted = []
    for n in range(3):
        STATEMENTS.set(seen := [])
        door.rest("PUT", f"lead/{lead.id}", {"description": str(n)})
        counted.append(sum("webhook" in each for each in seen))
    STATEMENTS.set(None)
    assert counted[1:] == [0, 0]
    world.close()


# --- in whose eyes


def test_what_its_user_does_not_see_is_not_told(office, receiver):
    listen(office, receiver, "lead.created", user="ben")
    office.make.lead("ana")
    office.make.lead("ben")
    work(office)
    assert [each["record"]["assignee"]["username"] for each in letters(receiver)] == ["ben"]
    assert [state for _event, state, _tries in stands(office)] == ["dropped", "sent"]
    assert hook_of(office).failures == 0


def test_what_its_user_did_not_see_is_not_told_when_it_is_gone(office, receiver):
    mine, other = office.make.lead("ben"), office.make.lead("ana")
    listen(office, receiver, "lead.deleted", user="ben")
    for lead in (mine, other):
        office.door("root").rest("DELETE", f"lead/{lead.id}")
    work(office)
    assert [each["record"]["id"] for each in letters(receiver)] == [mine.id]


def test_masked_fields_are_masked(office, receiver):
    listen(office, receiver, "customer.created", user="rhea")
    office.make.customer("ana", mobile="9820011223", pan="ABCDE1234F", address="12 Marine Drive")
    work(office)
    body = receiver.heard[0].body.decode()
    assert not any(secret in body for secret in ("9820011223", "ABCDE1234F", "Marine Drive"))
    assert letters(receiver)[0]["record"]["mobile"].endswith("1223")


def test_who_loses_the_right_hears_no_more(office, receiver):
    lead = office.make.lead("ana")
    listen(office, receiver, "lead.changed", user="ana")
    office.door("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    office.session.execute(update(Lead).where(Lead.id == lead.id).values(owner_id=office.people["ben"].id))
    office.session.commit()
    work(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.heard) == ("dropped", outbox.webhook_delivery.NOT_SEEN, [])


def test_a_user_who_left_pauses_the_webhook_and_nothing_is_lost(office, receiver):
    listen(office, receiver, "lead.created", user="mia")
    office.session.get(User, office.people["mia"].id).active = False
    office.session.commit()
    office.make.lead("ana")
    work(office)
    assert (hook_of(office).state, hook_of(office).why) == ("paused", "user")
    assert (stands(office)[0][1], receiver.heard) == ("queued", [])
    assert [row.payload["why"] for row in office.rows(select(Notification).where(Notification.kind == "webhook"))] == [
        "user"
    ]


def test_nor_is_a_user_who_left_told_what_is_gone(office, receiver):
    listen(office, receiver, "lead.deleted", user="mia")
    office.door("root").rest("DELETE", f"lead/{office.make.lead('ana').id}")
    office.session.get(User, office.people["mia"].id).active = False
    office.session.commit()
    work(office)
    assert (hook_of(office).why, stands(office), receiver.heard) == ("user", [("lead.deleted", "queued", 1)], [])


# --- what goes wrong


def make_one(office: World, receiver: Receiver) -> None:
    listen(office, receiver, "lead.created")
    office.make.lead("ana")


def test_after_a_refusal_it_is_tried_again_under_the_same_key(office, receiver):
    receiver.answers = [(500, {}, b"<b>broken</b>")]
    make_one(office, receiver)
    work(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.code, row.answer, row.next_try_on > datetime.now(UTC)) == (
        "queued",
        500,
        "<b>broken</b>",
        True,
    )
    age(office, 3600)
    assert (work(office), stands(office)) == (1, [("lead.created", "sent", 2)])
    assert len({letter["id"] for letter in letters(receiver)}) == 1 and hook_of(office).failures == 0


def test_a_try_before_its_time_is_none(office, receiver):
    receiver.answers = [(500, {}, b"")]
    make_one(office, receiver)
    work(office)
    assert (work(office), stands(office)) == (1, [("lead.created", "queued", 1)])


def test_after_six_refusals_it_has_failed(office, receiver, caplog):
    receiver.answers = [(503, {}, b"")] * 9
    make_one(office, receiver)
    for _ in range(9):
        work(office)
        age(office, 50_000)
    assert (stands(office), len(receiver.heard)) == ([("lead.created", "failed", 6)], 6)
    assert "failed after 6 tries" in caplog.text


def test_a_redirect_is_not_followed(office, receiver):
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    make_one(office, receiver)
    work(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (len(receiver.heard), row.state, "not followed" in row.error) == (1, "queued", True)


def test_410_switches_the_webhook_off_and_tells_the_admins(office, receiver):
    make_one(office, receiver)
    office.make.lead("ana")
    receiver.answers = [(410, {}, b"")]
    work(office)
    assert (hook_of(office).state, hook_of(office).why) == ("off", "gone")
    assert sorted(state for _event, state, _tries in stands(office)) == ["dropped", "failed"]
    (notice,) = office.rows(select(Notification).where(Notification.kind == "webhook"))
    assert (notice.user_id, notice.payload["name"]) == (office.people["root"].id, "Accounts")
    office.make.lead("ana")
    assert office.count(WebhookDelivery) == 2


def test_twenty_failures_in_a_row_pause_it_and_what_waited_goes_out_later(office, receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_FAILURES", 3)
    receiver.answers = [(500, {}, b"")] * 3
    make_one(office, receiver)
    for _ in range(4):
        office.make.lead("ana")
    work(office)
    assert (hook_of(office).state, hook_of(office).why, len(receiver.heard)) == ("paused", "failures", 3)
    assert office.count(Notification, Notification.kind == "webhook") == 1
    webhooks.resume(office.session, office.session.get(Webhook, 1, populate_existing=True), 1, datetime.now(UTC))
    office.session.commit()
    age(office, 90)
    assert (sweep(office).items, work(office) > 0, {state for _e, state, _t in stands(office)}) == (5, True, {"sent"})


def test_a_fault_of_the_program_fails_one_and_is_heard(office, receiver, caplog):
    make_one(office, receiver)
    office.session.execute(update(Webhook).values(secret_sealed="rubbish"))
    office.session.commit()
    work(office)
    assert (stands(office)[0][1], receiver.heard, "could not be written" in caplog.text) == ("failed", [], True)


def test_an_address_inside_is_not_called_without_the_operators_word(app, receiver):
    office = World(app)
    make_one(office, receiver)
    work(office)
    (row,) = office.rows(select(WebhookDelivery))
    assert (row.state, row.error, receiver.heard) == ("queued", "The address must begin with https://.", [])
    office.close()


# --- at least once, and never two at a time


def test_however_often_it_is_queued_it_goes_out_once(office, receiver):
    make_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    for _ in range(3):
        queue.enqueue("default", outbox.send, row.key)
    assert (work(office), len(receiver.heard)) == (4, 1)


def test_of_two_workers_at_the_same_moment_one_sends(office, receiver):
    make_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    ready = threading.Barrier(4)

    def worker() -> None:
        with office.app.app_context():
            ready.wait(60)
            outbox.send(row.key)

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (len(receiver.heard), stands(office)) == (1, [("lead.created", "sent", 1)])


def test_what_no_queue_holds_any_more_is_queued_again(office, receiver):
    make_one(office, receiver)
    queue._backend._waiting["default"].clear()  # type: ignore[union-attr]
    assert (sweep(office).items, work(office)) == (0, 0)
    age(office, 90)
    assert (sweep(office).items, work(office), len(receiver.heard)) == (1, 1, 1)


def test_what_was_broken_off_is_sent_again_and_that_is_logged(office, receiver, caplog):
    make_one(office, receiver)
    work(office)
    then = datetime.now(UTC) - timedelta(minutes=6)
    office.session.execute(update(WebhookDelivery).values(state="sending", tried_on=then))
    office.session.commit()
    with caplog.at_level(logging.WARNING, "crm.webhooks"):
        assert sweep(office).items == 1
    age(office, 5)
    assert (sweep(office).items, work(office), stands(office)) == (1, 1, [("lead.created", "sent", 2)])
    assert "was broken off and is sent again" in caplog.text
    assert len({letter["id"] for letter in letters(receiver)}) == 1


def test_a_late_answer_of_a_try_that_was_given_up_changes_nothing(office, receiver):
    make_one(office, receiver)
    (row,) = office.rows(select(WebhookDelivery))
    with office.app.app_context(), Session(office.engine) as session, access.as_system(session):
        found, hook = webhooks.of_key(session, row.key)
        failed = outbox.webhook_delivery.DeliveryResult("failed")
        outbox.webhook_delivery._settle(found, hook, failed, datetime.now(UTC))
    assert stands(office) == [("lead.created", "queued", 0)]


def test_old_deliveries_are_forgotten(office, receiver):
    make_one(office, receiver)
    jobs.run_now(office.app, "forget old deliveries of webhooks", datetime.now(UTC) + timedelta(days=29))
    assert office.count(WebhookDelivery) == 1
    jobs.run_now(office.app, "forget old deliveries of webhooks", datetime.now(UTC) + timedelta(days=31))
    assert office.count(WebhookDelivery) == 0


def test_a_worker_killed_while_it_sends_is_made_good_by_another(instance, app_with, receiver, redis_server, tmp_path):
    office = World(app_with(CRM_REDIS_URL=redis_server.url, CRM_WEBHOOKS_PRIVATE="on"))
    receiver.answers = ["hang"]
    one = {"CRM_WEBHOOKS_PRIVATE": "on", "CRM_QUEUE_DEFAULT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "default", **one) as workers:
        make_one(office, receiver)
        eventually(lambda: len(receiver.heard) == 1, "it did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert stands(office) == [("lead.created", "sending", 1)]
        for _ in range(2):  # found as broken off, then queued
            age(office, 600)
            sweep(office)
        eventually(lambda: stands(office) == [("lead.created", "sent", 2)], "nobody sent it again")
    assert len({letter["id"] for letter in letters(receiver)}) == 1
    office.close()


def test_all_of_it_on_mariadb_too(maria, receiver):
    line = WebhookClient(private=True)
    maria.app.extensions["crm_post"] = replace(maria.app.extensions["crm_post"], line=line)
    listen(maria, receiver, "lead.created", "lead.deleted")
    lead = maria.make.lead("ana")
    maria.door("root").rest("DELETE", f"lead/{lead.id}")
    work(maria)
    assert stands(maria) == [("lead.created", "dropped", 1), ("lead.deleted", "sent", 1)]
    assert (sweep(maria).outcome, hook_of(maria).failures) == ("done", 0)
