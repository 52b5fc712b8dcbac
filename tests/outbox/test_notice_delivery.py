"""Notices by e-mail: sent at most once, retried where that is safe, and marked unknown where it is not."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
from sqlalchemy import select, update

from app import jobs
from app.channels.email import Email
from app.domain import notices
from app.domain.session_context import session_context
from app.job_runner import run_slot
from app.models import Delivery, User
from app.ops import queue
from app.ops.database import STATEMENTS
from app.outbox import engine, notice_delivery
from tests.app_fixtures import World
from tests.app_pool import AppMaker
from tests.channels.smtp import MailServer, serving
from tests.ops.test_queue import Workers
from tests.servers import eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "queue what was left")
SENDER = "Eshin CRM <crm@eshin.test>"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


@pytest.fixture
def office(app_with: AppMaker, mail_server: MailServer) -> Iterator[World]:
    """The product with a mail server; queued calls wait until a test runs them."""
    world = open_product(app_with, mail_server)
    yield world
    world.close()


def open_product(app_with: AppMaker, mail_server: MailServer, **environ: str) -> World:
    """The product with this mail server; Ana wants e-mail about her assignments."""
    settings = {
        "CRM_SMTP_URL": mail_server.url,
        "CRM_SMTP_FROM": SENDER,
        "CRM_SMTP_TIMEOUT_SECONDS": "1",
        "CRM_PUBLIC_URL": "https://crm.eshin.test",
    }
    world = World(app_with(**settings, **environ))
    choose(world, {"assigned": {"email": True}})
    return world


def choose(world: World, choices: Any) -> None:
    world.session.execute(update(User).where(User.username == "ana").values(notice_choices=choices))
    world.session.commit()
    session_context(world.session).notice_choices = None


def notify(world: World, key: str = "k", about: Any = None, kind: str = "assigned", who: str = "ana") -> None:
    """Notify somebody of something, now."""
    users, number = [world.people[who].id], getattr(about, "number", "CRM-LEAD-2026-00001")
    notices.notify(world.session, notices.NoticeEvent(kind, key, users, {"number": number}, about), datetime.now(UTC))
    world.session.commit()


def run_calls(world: World) -> int:
    """Run all queued calls."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def states(world: World) -> list[tuple[Any, ...]]:
    """(state, tries) of every delivery."""
    return [(row.state, row.tries) for row in world.rows(select(Delivery).order_by(Delivery.id))]


def let_pass(world: World, seconds: int) -> None:
    """Make all deliveries older by these seconds."""
    for row in world.session.scalars(select(Delivery)):
        row.at -= timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    world.session.commit()


def sweep(world: World) -> Any:
    """Run the minute job that sweeps up stuck deliveries."""
    now = datetime.now(UTC)
    return run_slot(world.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what is sent


def test_a_user_who_chose_email_gets_one(office, mail_server):
    lead = office.make.lead("ana")
    notify(office, about=lead)
    assert (states(office), run_calls(office), states(office)) == ([("queued", 0)], 1, [("sent", 1)])
    (to, raw), mail = mail_server.mail[0], message_from_string(mail_server.mail[0][1], policy=default)
    assert (to, mail["Subject"]) == (["ana@eshin.test"], f"Ravi Kumar ({lead.number}) was assigned to you.")
    assert f"https://crm.eshin.test/leads/{lead.number}" in mail.get_content()
    assert "CRM_" not in raw


def test_a_record_that_the_user_cannot_see_is_not_linked(office, mail_server):
    lead = office.make.lead("ben")
    notify(office, about=lead)
    run_calls(office)
    lines = message_from_string(mail_server.mail[0][1], policy=default).get_content().splitlines()
    assert lines[2] == "https://crm.eshin.test/bell/"


@pytest.mark.parametrize(("kind", "who"), [("comment", "ana"), ("assigned", "ben")])
def test_a_user_who_did_not_choose_email_gets_none(office, kind, who):
    notify(office, kind=kind, who=who)
    assert (states(office), run_calls(office)) == ([], 0)


def test_nothing_is_sent_after_a_rollback(office):
    now = datetime.now(UTC)
    notices.notify(office.session, notices.NoticeEvent("assigned", "k", (office.people["ana"].id,)), now)
    office.session.flush()
    office.session.rollback()
    assert run_calls(office) == 0


def test_a_notice_is_sent_once_however_often_it_is_queued(office, mail_server):
    notify(office)
    for _ in range(3):
        queue.enqueue("short", notice_delivery.send, 1)
    assert (run_calls(office), len(mail_server.mail), states(office)) == (4, 1, [("sent", 1)])


@pytest.mark.parametrize("change", [{"notice_choices": None}, {"active": False}])
def test_a_user_who_left_or_changed_their_choice_meanwhile_gets_none(office, mail_server, change):
    notify(office)
    office.session.execute(update(User).where(User.username == "ana").values(**change))
    office.session.commit()
    run_calls(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, bool(row.error), mail_server.mail) == ("dropped", True, [])


def test_without_a_mail_server_it_is_only_logged(world, caplog):
    choose(world, {"assigned": {"email": True}})
    notify(world)
    with caplog.at_level(logging.INFO, "crm.channels"):
        run_calls(world)
    assert caplog.messages == [f"would send e-mail to user {world.people['ana'].id}: notice 1"]
    assert states(world) == [("sent", 1)]


# --- what goes wrong


def test_a_temporary_refusal_is_retried(office, mail_server):
    mail_server.to_rcpt = ["451 busy"]
    notify(office)
    run_calls(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, row.tries, row.next_try_on > datetime.now(UTC)) == ("queued", 1, True)
    let_pass(office, 3600)
    assert (run_calls(office), states(office), len(mail_server.mail)) == (1, [("sent", 2)], 1)


def test_a_permanent_refusal_is_not_retried(office, mail_server):
    mail_server.to_rcpt = ["550 no such person"]
    notify(office)
    run_calls(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, row.error, run_calls(office)) == ("failed", "The mail server refused it for good (550).", 0)


def test_after_five_refusals_a_delivery_has_failed(office, mail_server):
    mail_server.to_rcpt = ["451 busy"] * 9
    notify(office)
    for _ in range(9):
        run_calls(office)
        let_pass(office, 7200)
    assert states(office) == [("failed", 5)]


def test_a_call_before_its_time_sends_nothing(office, mail_server):
    mail_server.to_rcpt = ["451 busy"]
    notify(office)
    run_calls(office)
    assert (run_calls(office), states(office), mail_server.mail) == (1, [("queued", 1)], [])


def test_a_server_that_hangs_at_the_end_leaves_the_result_unknown(office, mail_server):
    mail_server.to_text = ["hang"]
    notify(office)
    run_calls(office)
    assert states(office) == [("unknown", 1)]
    let_pass(office, 7200)
    sweep(office)
    assert (run_calls(office), len(mail_server.mail)) == (0, 1)


def test_a_bug_fails_one_notice_and_is_logged(office, mail_server, monkeypatch, caplog):
    monkeypatch.setattr(notice_delivery, "text_of", lambda _notice: {}["no sentence"])
    notify(office)
    run_calls(office)
    assert (states(office), mail_server.mail) == ([("failed", 1)], [])
    assert "delivery 1 could not be written" in caplog.text


def test_an_unexpected_error_while_sending_leaves_the_result_unknown(office, monkeypatch, caplog):
    monkeypatch.setattr(Email, "send", lambda *_content: {}["no such thing"])
    notify(office)
    run_calls(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, row.error, run_calls(office)) == ("unknown", notice_delivery.NOT_KNOWN, 0)
    assert "delivery 1 broke down" in caplog.text


def test_a_call_queued_by_an_older_version_still_runs(office, mail_server):
    notify(office)
    queue._backend._waiting["short"].clear()  # type: ignore[union-attr]
    assert queue.enqueue_call(queue.Call("short", "app.delivery:send", (1,)))
    assert (run_calls(office), states(office)) == (1, [("sent", 1)])


# --- the sweep


def test_a_delivery_that_the_queue_has_lost_is_queued_again(office, mail_server):
    notify(office)
    queue._backend._waiting["short"].clear()  # type: ignore[union-attr]
    assert (sweep(office).items, run_calls(office)) == (0, 0)
    let_pass(office, 90)
    assert (sweep(office).items, run_calls(office), len(mail_server.mail)) == (1, 1, 1)


def test_an_interrupted_delivery_is_unknown_after_five_minutes(office, mail_server):
    notify(office)
    run_calls(office)
    office.session.execute(update(Delivery).values(state="sending", at=datetime.now(UTC) - timedelta(minutes=4)))
    office.session.commit()
    assert (sweep(office).items, states(office)) == (0, [("sending", 1)])
    let_pass(office, 120)
    assert (sweep(office).items, states(office), run_calls(office)) == (1, [("unknown", 1)], 0)


def test_a_full_queue_gets_no_more(office, monkeypatch):
    monkeypatch.setattr(engine, "MAX_QUEUED", 1)
    notify(office)
    let_pass(office, 90)
    assert sweep(office).items == 0


def test_a_sweep_without_work_is_cheap(office):
    STATEMENTS.set(statements := [])
    sweep(office)
    assert len(statements) <= 6
    STATEMENTS.set(None)


# --- on Redis


def test_after_redis_lost_its_queue_each_notice_arrives_once(
    instance, app_with, mail_server, redis_server, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.ops.redis_queue.BACKOFF_SECONDS", 0.0)
    office = open_product(app_with, mail_server, CRM_REDIS_URL=redis_server.url)
    notify(office, "before")
    redis_server.stop()  # it stores nothing on disk: its queue is lost
    notify(office, "while")
    redis_server.start()
    let_pass(office, 90)
    assert sweep(office).items == 2
    with Workers(tmp_path / "workers", instance, redis_server, "short", **mail_settings(office)):
        eventually(lambda: states(office) == [("sent", 1)] * 2, "not all were sent")
    assert len(mail_server.mail) == 2


def test_a_worker_killed_while_sending_leaves_the_result_unknown(
    instance, app_with, mail_server, redis_server, tmp_path
):
    office = open_product(app_with, mail_server, CRM_REDIS_URL=redis_server.url)
    mail_server.to_text = ["hang"]
    slow = mail_settings(office) | {"CRM_SMTP_TIMEOUT_SECONDS": "30", "CRM_QUEUE_SHORT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "short", **slow) as workers:
        notify(office)
        eventually(lambda: len(mail_server.mail) == 1, "the mail did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert states(office) == [("sending", 1)]
        let_pass(office, 600)
        sweep(office)
        notify(office, "next")
        eventually(lambda: states(office) == [("unknown", 1), ("sent", 1)], "the next was not sent")
    assert len(mail_server.mail) == 2


def mail_settings(office: World) -> dict[str, str]:
    """The mail settings of an office, for workers."""
    chosen = office.app.config["CRM"]
    return {"CRM_SMTP_URL": chosen.smtp_url, "CRM_SMTP_FROM": chosen.smtp_from, "CRM_SMTP_TIMEOUT_SECONDS": "2"}


def test_a_session_of_another_database_queues_nothing_here(office, tmp_path):
    from tests import factories

    engine = factories.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with factories.opened(engine) as session:
        ana = factories.user(session, "ana", notice_choices={"assigned": {"email": True}})
        notices.notify(session, notices.NoticeEvent("assigned", "k", (ana.id,)), datetime.now(UTC))
        session.commit()
        assert session.scalars(select(Delivery.state)).all() == ["queued"]
    engine.dispose()
    assert run_calls(office) == 0


def test_deliveries_work_on_mariadb_too(maria):
    choose(maria, {"assigned": {"email": True}})
    notify(maria)
    assert (run_calls(maria), states(maria)) == (1, [("sent", 1)])
    assert sweep(maria).outcome == "done"
