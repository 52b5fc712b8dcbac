"""Notices by e-mail: sent once, tried again when it makes sense, and honest about what nobody knows."""

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
from app.domain import notices
from app.job_runner import run_slot
from app.models import Delivery, User
from app.ops import queue
from app.ops.database import STATEMENTS
from app.outbox import notice_delivery
from tests.app_fixtures import World
from tests.channels.smtp import MailServer, serving
from tests.ops.test_queue import Workers
from tests.reuse import AppMaker
from tests.servers import eventually

SWEEP = next(job for job in jobs.SCHEDULE if job.name == "queue what was left")
SENDER = "Eshin CRM <crm@eshin.test>"


@pytest.fixture
def post() -> Iterator[MailServer]:
    with serving() as post:
        yield post


@pytest.fixture
def office(app_with: AppMaker, post: MailServer) -> Iterator[World]:
    """The product with a mail server; calls wait until a test makes them."""
    world = opened(app_with, post)
    yield world
    world.close()


def opened(app_with: AppMaker, post: MailServer, **environ: str) -> World:
    """The product with this mail server; Ana wants e-mail about what is assigned to her."""
    mail = {
        "CRM_SMTP_URL": post.url,
        "CRM_SMTP_FROM": SENDER,
        "CRM_SMTP_TIMEOUT_SECONDS": "1",
        "CRM_PUBLIC_URL": "https://crm.eshin.test",
    }
    world = World(app_with(**mail, **environ))
    choose(world, {"assigned": {"email": True}})
    return world


def choose(world: World, choices: Any) -> None:
    world.session.execute(update(User).where(User.username == "ana").values(notice_choices=choices))
    world.session.commit()
    world.session.info.pop("choices", None)


def tell(world: World, key: str = "k", about: Any = None, kind: str = "assigned", who: str = "ana") -> None:
    """Something happens to somebody, now."""
    users, number = [world.people[who].id], getattr(about, "number", "CRM-LEAD-2026-00001")
    notices.tell(world.session, users, kind, key, about, None, datetime.now(UTC), number=number)
    world.session.commit()


def work(world: World) -> int:
    """Make all calls that wait."""
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def stands(world: World) -> list[tuple[Any, ...]]:
    """(state, tries) of every delivery."""
    return [(row.state, row.tries) for row in world.rows(select(Delivery).order_by(Delivery.id))]


def age(world: World, seconds: int) -> None:
    """Let time pass over all deliveries."""
    for row in world.session.scalars(select(Delivery)):
        row.at -= timedelta(seconds=seconds)
        row.next_try_on = row.next_try_on and row.next_try_on - timedelta(seconds=seconds)
    world.session.commit()


def sweep(world: World) -> Any:
    """The minute's sweep."""
    now = datetime.now(UTC)
    return run_slot(world.app.extensions["crm_jobs"], SWEEP, (now.isoformat()[:30], now), now)


# --- what goes out


def test_who_chose_e_mail_gets_one(office, post):
    lead = office.make.lead("ana")
    tell(office, about=lead)
    assert (stands(office), work(office), stands(office)) == ([("queued", 0)], 1, [("sent", 1)])
    (to, raw), mail = post.mail[0], message_from_string(post.mail[0][1], policy=default)
    assert (to, mail["Subject"]) == (["ana@eshin.test"], f"{lead.number} is yours now.")
    assert f"https://crm.eshin.test/leads/{lead.number}" in mail.get_content()
    assert "CRM_" not in raw


def test_a_record_that_the_person_does_not_see_is_not_linked(office, post):
    lead = office.make.lead("ben")
    tell(office, about=lead)
    work(office)
    said = message_from_string(post.mail[0][1], policy=default).get_content().splitlines()
    assert said[2] == "https://crm.eshin.test/bell/"


@pytest.mark.parametrize(("kind", "who"), [("comment", "ana"), ("assigned", "ben")])
def test_who_did_not_choose_it_gets_none(office, kind, who):
    tell(office, kind=kind, who=who)
    assert (stands(office), work(office)) == ([], 0)


def test_nothing_is_sent_of_what_was_rolled_back(office):
    now = datetime.now(UTC)
    notices.tell(office.session, [office.people["ana"].id], "assigned", "k", None, None, now)
    office.session.flush()
    office.session.rollback()
    assert work(office) == 0


def test_a_notice_goes_out_once_however_often_it_is_queued(office, post):
    tell(office)
    for _ in range(3):
        queue.enqueue("short", notice_delivery.send, 1)
    assert (work(office), len(post.mail), stands(office)) == (4, 1, [("sent", 1)])


@pytest.mark.parametrize("change", [{"notice_choices": None}, {"active": False}])
def test_who_left_or_chose_otherwise_meanwhile_gets_none(office, post, change):
    tell(office)
    office.session.execute(update(User).where(User.username == "ana").values(**change))
    office.session.commit()
    work(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, bool(row.error), post.mail) == ("dropped", True, [])


def test_without_a_mail_server_it_is_only_logged(world, caplog):
    choose(world, {"assigned": {"email": True}})
    tell(world)
    with caplog.at_level(logging.INFO, "crm.channels"):
        work(world)
    assert caplog.messages == [f"would send e-mail to user {world.people['ana'].id}: notice 1"]
    assert stands(world) == [("sent", 1)]


# --- what goes wrong


def test_a_refusal_for_now_is_tried_again(office, post):
    post.to_rcpt = ["451 busy"]
    tell(office)
    work(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, row.tries, row.next_try_on > datetime.now(UTC)) == ("queued", 1, True)
    age(office, 3600)
    assert (work(office), stands(office), len(post.mail)) == (1, [("sent", 2)], 1)


def test_a_refusal_for_good_is_not(office, post):
    post.to_rcpt = ["550 no such person"]
    tell(office)
    work(office)
    (row,) = office.rows(select(Delivery))
    assert (row.state, row.error, work(office)) == ("failed", "The mail server refused it for good (550).", 0)


def test_after_five_refusals_it_has_failed(office, post):
    post.to_rcpt = ["451 busy"] * 9
    tell(office)
    for _ in range(9):
        work(office)
        age(office, 7200)
    assert stands(office) == [("failed", 5)]


def test_a_try_before_its_time_is_none(office, post):
    post.to_rcpt = ["451 busy"]
    tell(office)
    work(office)
    assert (work(office), stands(office), post.mail) == (1, [("queued", 1)], [])


def test_a_server_that_hangs_at_the_end_leaves_it_unknown(office, post):
    post.to_text = ["hang"]
    tell(office)
    work(office)
    assert stands(office) == [("unknown", 1)]
    age(office, 7200)
    sweep(office)
    assert (work(office), len(post.mail)) == (0, 1)


def test_a_fault_in_the_program_fails_one_notice_and_is_heard(office, post, monkeypatch, caplog):
    monkeypatch.setattr(notice_delivery, "text_of", lambda _notice: {}["no sentence"])
    tell(office)
    work(office)
    assert (stands(office), post.mail) == ([("failed", 1)], [])
    assert "delivery 1 could not be written" in caplog.text


# --- the sweep


def test_what_no_queue_holds_any_more_is_queued_again(office, post):
    tell(office)
    queue._backend._waiting["short"].clear()  # type: ignore[union-attr]
    assert (sweep(office).items, work(office)) == (0, 0)
    age(office, 90)
    assert (sweep(office).items, work(office), len(post.mail)) == (1, 1, 1)


def test_what_was_broken_off_is_unknown_after_five_minutes(office, post):
    tell(office)
    work(office)
    office.session.execute(update(Delivery).values(state="sending", at=datetime.now(UTC) - timedelta(minutes=4)))
    office.session.commit()
    assert (sweep(office).items, stands(office)) == (0, [("sending", 1)])
    age(office, 120)
    assert (sweep(office).items, stands(office), work(office)) == (1, [("unknown", 1)], 0)


def test_a_queue_with_plenty_to_do_gets_no_more(office, monkeypatch):
    monkeypatch.setattr(notice_delivery, "FULL", 1)
    tell(office)
    age(office, 90)
    assert sweep(office).items == 0


def test_the_sweep_of_an_idle_office_is_cheap(office):
    STATEMENTS.set(seen := [])
    sweep(office)
    assert len(seen) <= 6
    STATEMENTS.set(None)


# --- on Redis


def test_redis_was_away_and_wiped_and_each_notice_still_arrives_once(
    instance, app_with, post, redis_server, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.ops.redis_queue.REST_SECONDS", 0.0)
    office = opened(app_with, post, CRM_REDIS_URL=redis_server.url)
    tell(office, "before")
    redis_server.stop()  # it keeps nothing: what it held is gone
    tell(office, "while")
    redis_server.start()
    age(office, 90)
    assert sweep(office).items == 2
    with Workers(tmp_path / "workers", instance, redis_server, "short", **mail(office)):
        eventually(lambda: stands(office) == [("sent", 1)] * 2, "not all were sent")
    assert len(post.mail) == 2


def test_a_worker_killed_while_it_sends_leaves_it_unknown_and_unsent(instance, app_with, post, redis_server, tmp_path):
    office = opened(app_with, post, CRM_REDIS_URL=redis_server.url)
    post.to_text = ["hang"]
    slow = mail(office) | {"CRM_SMTP_TIMEOUT_SECONDS": "30", "CRM_QUEUE_SHORT": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, "short", **slow) as workers:
        tell(office)
        eventually(lambda: len(post.mail) == 1, "the mail did not arrive")
        os.kill(workers.children()[0], signal.SIGKILL)
        assert stands(office) == [("sending", 1)]
        age(office, 600)
        sweep(office)
        tell(office, "next")
        eventually(lambda: stands(office) == [("unknown", 1), ("sent", 1)], "the next was not sent")
    assert len(post.mail) == 2


def mail(office: World) -> dict[str, str]:
    """The mail settings of an office, for workers."""
    chosen = office.app.config["CRM"]
    return {"CRM_SMTP_URL": chosen.smtp_url, "CRM_SMTP_FROM": chosen.smtp_from, "CRM_SMTP_TIMEOUT_SECONDS": "2"}


def test_a_session_of_another_database_queues_nothing_here(office, tmp_path):
    from tests import makers

    engine = makers.database(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    with makers.opened(engine) as session:
        ana = makers.user(session, "ana", notice_choices={"assigned": {"email": True}})
        notices.tell(session, [ana.id], "assigned", "k", None, None, datetime.now(UTC))
        session.commit()
        assert session.scalars(select(Delivery.state)).all() == ["queued"]
    engine.dispose()
    assert work(office) == 0


def test_deliveries_wait_on_mariadb_too(maria):
    choose(maria, {"assigned": {"email": True}})
    tell(maria)
    assert (work(maria), stands(maria)) == (1, [("sent", 1)])
    assert sweep(maria).outcome == "done"
