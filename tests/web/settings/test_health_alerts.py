"""Alerts of health reach admins by email, also when the queue that sends emails is what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from app import jobs
from app.channels.smtp_client import SmtpClient, server_of
from app.job_runner import run_slot
from app.models import User
from app.ops.queues import queue
from app.ops.queues.redis_queue import RedisQueue
from app.outbox import alert_emails, notice_delivery
from tests.app_fixtures import Crm
from tests.channels.smtp import MailServer, serving, text_of
from tests.servers import Redis, eventually

NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
WATCH = next(job for job in jobs.SCHEDULE if job.name == "watch the health")


def look(crm: Crm, now: datetime) -> None:
    """The job of the minute, as the leader runs it."""
    run_slot(crm.app.extensions["crm_jobs"], WATCH, (now.isoformat()[:16], now), now)


def mails(server: MailServer) -> list[str]:
    return [text_of(raw).splitlines()[0].replace("\u00a0", " ") for _people, raw in server.mail]


def test_a_long_queue_without_workers_is_told_by_email_and_so_is_its_end(
    crm: Crm, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm.session.execute(update(User).where(User.username == "root").values(notice_choices={"health": {"email": True}}))
    crm.session.commit()
    backend = RedisQueue(redis_server.url)
    monkeypatch.setattr(queue, "_backend", backend)
    monkeypatch.setattr(alert_emails, "WORKERS_SECONDS", 0.0)
    for number in range(1001):
        assert queue.enqueue("short", notice_delivery.send, 10**6 + number)
    with serving() as server:
        email = SmtpClient(server_of(server.url), "CRM <crm@eshin.test>", 10)
        monkeypatch.setitem(crm.app.extensions, "crm_channels", {"email": email})
        look(crm, NOW)
        eventually(lambda: len(server.mail) == 1, "the alert does not arrive")
        look(crm, NOW + timedelta(minutes=1))
        redis_server.empty()
        look(crm, NOW + timedelta(minutes=7))
        eventually(lambda: len(server.mail) == 2, "its end does not arrive")
    assert mails(server) == [
        "The queue is above its limit: 1,001 instead of at most 1,000.",
        "The queue is within its limit of 1,000 again.",
    ]
    backend.stop(0)
