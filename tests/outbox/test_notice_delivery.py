"""Notices by email: sent at most once, retried where that is safe, otherwise marked as unknown."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app import access, jobs
from app.channels.smtp_client import SmtpClient
from app.domain.notifications import notices
from app.domain.persistence.session_context import session_context
from app.job_runner import run_slot
from app.models import Delivery, User
from app.ops.database.connections import STATEMENTS
from app.ops.queues import queue
from app.outbox import delivery_engine, notice_delivery
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.channels.smtp import MailServer, serving, text_of
from tests.ops.test_queue import Workers
from tests.servers import Redis, eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "queue what was left")
SENDER = "Eshin CRM <crm@eshin.test>"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


@pytest.fixture
def sending_crm(app_with: AppMaker, mail_server: MailServer) -> Iterator[Crm]:
    """The product with a mail server; queued calls wait until a test runs them."""
    crm = open_product(app_with, mail_server)
    yield crm
    crm.close()


def test_a_colleagues_action_sends_the_email_too(app_with: AppMaker, mail_server: MailServer) -> None:
    """The colleague doesn't see the notice of whom they assign the lead to."""
    settings = {"CRM_SMTP_URL": mail_server.url, "CRM_SMTP_FROM": SENDER, "CRM_SMTP_TIMEOUT_SECONDS": "1"}
    crm = Crm(app_with(**settings))
    choose(crm, {"assigned": {"email": True}})
    access.bump_version(crm.session)  # as the page of the preferences does
    crm.session.commit()
    lead = crm.make.lead("mia")
    form = {"how": "person", "assignee": str(crm.people["ana"].id)}
    assert crm.client("mia").form(f"/leads/assign/{lead.id}", form).status_code == 302
    assert (states(crm), run_calls(crm), states(crm)) == ([("queued", 0)], 1, [("sent", 1)])
    assert [to for to, _raw in mail_server.mail] == [["ana@eshin.test"]]
    crm.close()


def open_product(app_with: AppMaker, mail_server: MailServer, **environ: str) -> Crm:
    """The product with this mail server; Ana wants e-mail about her assignments."""
    settings = {
        "CRM_SMTP_URL": mail_server.url,
        "CRM_SMTP_FROM": SENDER,
        "CRM_SMTP_TIMEOUT_SECONDS": "1",
        "CRM_PUBLIC_URL": "https://crm.eshin.test",
    }
    crm = Crm(app_with(**settings, **environ))
    choose(crm, {"assigned": {"email": True}})
    return crm


def choose(crm: Crm, choices: Any) -> None:
    crm.session.execute(update(User).where(User.username == "ana").values(notice_choices=choices))
    crm.session.commit()
    session_context(crm.session).notice_choices = None


def notify(crm: Crm, key: str = "k", about: Any = None, kind: str = "assigned", who: str = "ana") -> None:
    """Notify somebody of something, now."""
    users, number = [crm.people[who].id], getattr(about, "number", "CRM-LEAD-2026-00001")
    notices.notify(crm.session, notices.NoticeEvent(kind, key, users, {"number": number}, about), datetime.now(UTC))
    crm.session.commit()


def run_calls(crm: Crm) -> int:
    """Run all queued calls."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def states(crm: Crm) -> list[tuple[Any, ...]]:
    """(state, tries) of every delivery."""
    return [(row.state, row.tries) for row in crm.rows(select(Delivery).order_by(Delivery.id))]


def let_pass(crm: Crm, seconds: int) -> None:
    """Make all deliveries older by these seconds."""
    for row in crm.session.scalars(select(Delivery)):
        row.at -= timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    crm.session.commit()


def sweep(crm: Crm) -> Any:
    """Run the minute job that sweeps up stuck deliveries."""
    now = datetime.now(UTC)
    return run_slot(crm.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what is sent


def test_a_user_who_chose_email_gets_one(sending_crm: Crm, mail_server: MailServer) -> None:
    lead = sending_crm.make.lead("ana")
    notify(sending_crm, about=lead)
    assert (states(sending_crm), run_calls(sending_crm), states(sending_crm)) == ([("queued", 0)], 1, [("sent", 1)])
    (to, raw), mail = mail_server.mail[0], message_from_string(mail_server.mail[0][1], policy=default)
    assert (to, mail["Subject"]) == (["ana@eshin.test"], f"Ravi Kumar ({lead.number}) was assigned to you.")
    assert f"https://crm.eshin.test/leads/{lead.number}" in text_of(raw)
    assert "CRM_" not in raw


def test_a_record_that_the_user_cannot_see_is_not_linked(sending_crm: Crm, mail_server: MailServer) -> None:
    lead = sending_crm.make.lead("ben")
    notify(sending_crm, about=lead)
    run_calls(sending_crm)
    lines = text_of(mail_server.mail[0][1]).splitlines()
    assert lines[2] == "https://crm.eshin.test/bell/"


@pytest.mark.parametrize(("kind", "who"), [("comment", "ana"), ("assigned", "ben")])
def test_a_user_who_did_not_choose_email_gets_none(sending_crm: Crm, kind: str, who: str) -> None:
    notify(sending_crm, kind=kind, who=who)
    assert (states(sending_crm), run_calls(sending_crm)) == ([], 0)


def test_nothing_is_sent_after_a_rollback(sending_crm: Crm) -> None:
    now = datetime.now(UTC)
    notices.notify(sending_crm.session, notices.NoticeEvent("assigned", "k", (sending_crm.people["ana"].id,)), now)
    sending_crm.session.flush()
    sending_crm.session.rollback()
    assert run_calls(sending_crm) == 0


def test_a_notice_is_sent_once_however_often_it_is_queued(sending_crm: Crm, mail_server: MailServer) -> None:
    notify(sending_crm)
    for _ in range(3):
        queue.enqueue("short", notice_delivery.send, 1)
    assert (run_calls(sending_crm), len(mail_server.mail), states(sending_crm)) == (4, 1, [("sent", 1)])


@pytest.mark.parametrize("change", [{"notice_choices": None}, {"active": False}])
def test_a_user_who_left_or_changed_their_choice_meanwhile_gets_none(
    sending_crm: Crm, mail_server: MailServer, change: Any
) -> None:
    notify(sending_crm)
    sending_crm.session.execute(update(User).where(User.username == "ana").values(**change))
    sending_crm.session.commit()
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(Delivery))
    assert (row.state, bool(row.error), mail_server.mail) == ("dropped", True, [])


def test_without_a_mail_server_it_is_only_logged(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    choose(crm, {"assigned": {"email": True}})
    notify(crm)
    with caplog.at_level(logging.INFO, "crm.channels"):
        run_calls(crm)
    assert caplog.messages == [f"would send e-mail to user {crm.people['ana'].id}: notice 1"]
    assert states(crm) == [("sent", 1)]


# --- what goes wrong


def test_a_temporary_refusal_is_retried(sending_crm: Crm, mail_server: MailServer) -> None:
    mail_server.to_rcpt = ["451 busy"]
    notify(sending_crm)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(Delivery))
    assert (row.state, row.tries, row.next_try_on > datetime.now(UTC)) == ("queued", 1, True)
    let_pass(sending_crm, 3600)
    assert (run_calls(sending_crm), states(sending_crm), len(mail_server.mail)) == (1, [("sent", 2)], 1)


def test_a_permanent_refusal_is_not_retried(sending_crm: Crm, mail_server: MailServer) -> None:
    mail_server.to_rcpt = ["550 no such person"]
    notify(sending_crm)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(Delivery))
    assert (row.state, row.error, run_calls(sending_crm)) == ("failed", "The mail server refused it for good (550).", 0)


def test_after_five_refusals_a_delivery_has_failed(sending_crm: Crm, mail_server: MailServer) -> None:
    mail_server.to_rcpt = ["451 busy"] * 9
    notify(sending_crm)
    for _ in range(9):
        run_calls(sending_crm)
        let_pass(sending_crm, 7200)
    assert states(sending_crm) == [("failed", 5)]


def test_a_call_before_its_time_sends_nothing(sending_crm: Crm, mail_server: MailServer) -> None:
    mail_server.to_rcpt = ["451 busy"]
    notify(sending_crm)
    run_calls(sending_crm)
    assert (run_calls(sending_crm), states(sending_crm), mail_server.mail) == (1, [("queued", 1)], [])


def test_a_server_that_hangs_at_the_end_leaves_the_result_unknown(sending_crm: Crm, mail_server: MailServer) -> None:
    mail_server.to_text = ["hang"]
    notify(sending_crm)
    run_calls(sending_crm)
    assert states(sending_crm) == [("unknown", 1)]
    let_pass(sending_crm, 7200)
    sweep(sending_crm)
    assert (run_calls(sending_crm), len(mail_server.mail)) == (0, 1)


def test_a_bug_fails_one_notice_and_is_logged(
    sending_crm: Crm, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notice_delivery, "text_of", lambda _notice: dict[str, str]()["no sentence"])
    notify(sending_crm)
    run_calls(sending_crm)
    assert (states(sending_crm), mail_server.mail) == ([("failed", 1)], [])
    assert "delivery 1 could not be written" in caplog.text


def test_an_unexpected_error_while_sending_leaves_the_result_unknown(
    sending_crm: Crm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SmtpClient, "send", lambda *_content: dict[str, str]()["no such thing"])
    notify(sending_crm)
    run_calls(sending_crm)
    (row,) = sending_crm.rows(select(Delivery))
    assert (row.state, row.error, run_calls(sending_crm)) == ("unknown", notice_delivery.NOT_KNOWN, 0)
    assert "delivery 1 broke down" in caplog.text


def test_a_call_queued_by_an_older_version_still_runs(sending_crm: Crm, mail_server: MailServer) -> None:
    notify(sending_crm)
    queue._backend._waiting["short"].clear()  # type: ignore[union-attr]
    assert queue.enqueue_call(queue.Call("short", "app.delivery:send", (1,)))
    assert (run_calls(sending_crm), states(sending_crm)) == (1, [("sent", 1)])


# --- the sweep


def test_a_delivery_that_the_queue_has_lost_is_queued_again(sending_crm: Crm, mail_server: MailServer) -> None:
    notify(sending_crm)
    queue._backend._waiting["short"].clear()  # type: ignore[union-attr]
    assert (sweep(sending_crm).items, run_calls(sending_crm)) == (0, 0)
    let_pass(sending_crm, 90)
    assert (sweep(sending_crm).items, run_calls(sending_crm), len(mail_server.mail)) == (1, 1, 1)


def test_an_interrupted_delivery_is_unknown_after_five_minutes(sending_crm: Crm, mail_server: MailServer) -> None:
    notify(sending_crm)
    run_calls(sending_crm)
    sending_crm.session.execute(update(Delivery).values(state="sending", at=datetime.now(UTC) - timedelta(minutes=4)))
    sending_crm.session.commit()
    assert (sweep(sending_crm).items, states(sending_crm)) == (0, [("sending", 1)])
    let_pass(sending_crm, 120)
    assert (sweep(sending_crm).items, states(sending_crm), run_calls(sending_crm)) == (1, [("unknown", 1)], 0)


def test_a_full_queue_gets_no_more(sending_crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_engine, "MAX_QUEUED", 1)
    notify(sending_crm)
    let_pass(sending_crm, 90)
    assert sweep(sending_crm).items == 0


def test_a_sweep_without_work_is_cheap(sending_crm: Crm) -> None:
    statements: list[str] = []
    STATEMENTS.set(statements)
    sweep(sending_crm)
    assert len(statements) <= 6
    STATEMENTS.set(None)


# --- on Redis


def test_after_redis_lost_its_queue_each_notice_arrives_once(
    instance: Path,
    app_with: AppMaker,
    mail_server: MailServer,
    redis_server: Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.ops.queues.redis_queue.BACKOFF_SECONDS", 0.0)
    sending_crm = open_product(app_with, mail_server, CRM_REDIS_URL=redis_server.url)
    notify(sending_crm, "before")
    redis_server.stop()  # it stores nothing on disk: its queue is lost
    notify(sending_crm, "while")
    redis_server.start()
    let_pass(sending_crm, 90)
    assert sweep(sending_crm).items == 2
    with Workers(tmp_path / "workers", instance, redis_server, "short", **mail_settings(sending_crm)):
        eventually(lambda: states(sending_crm) == [("sent", 1)] * 2, "not all were sent")
    assert len(mail_server.mail) == 2


def test_a_worker_killed_while_sending_leaves_the_result_unknown(
    instance: Path, app_with: AppMaker, mail_server: MailServer, redis_server: Redis, tmp_path: Path
) -> None:
    sending_crm = open_product(app_with, mail_server, CRM_REDIS_URL=redis_server.url)
    mail_server.to_text = ["hang"]
    slow = mail_settings(sending_crm) | {"CRM_SMTP_TIMEOUT_SECONDS": "30", "CRM_QUEUE_SHORT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "short", **slow) as workers:
        notify(sending_crm)
        eventually(lambda: len(mail_server.mail) == 1, "the mail did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert states(sending_crm) == [("sending", 1)]
        let_pass(sending_crm, 600)
        sweep(sending_crm)
        notify(sending_crm, "next")
        eventually(lambda: states(sending_crm) == [("unknown", 1), ("sent", 1)], "the next was not sent")
    assert len(mail_server.mail) == 2


def mail_settings(sending_crm: Crm) -> dict[str, str]:
    """The mail settings of an office, for workers."""
    chosen = sending_crm.app.config["CRM"]
    return {"CRM_SMTP_URL": chosen.smtp_url, "CRM_SMTP_FROM": chosen.smtp_from, "CRM_SMTP_TIMEOUT_SECONDS": "2"}


def test_a_session_of_another_database_queues_nothing_here(sending_crm: Crm, tmp_path: Path) -> None:
    from tests import factories

    engine = factories.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with factories.opened(engine) as session:
        ana = factories.user(session, "ana", notice_choices={"assigned": {"email": True}})
        notices.notify(session, notices.NoticeEvent("assigned", "k", (ana.id,)), datetime.now(UTC))
        session.commit()
        assert session.scalars(select(Delivery.state)).all() == ["queued"]
    engine.dispose()
    assert run_calls(sending_crm) == 0


def test_deliveries_work_on_mariadb_too(maria: Crm) -> None:
    choose(maria, {"assigned": {"email": True}})
    notify(maria)
    assert (run_calls(maria), states(maria)) == (1, [("sent", 1)])
    assert sweep(maria).outcome == "done"
