"""Limits that count first also hold when several transactions count at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from app.domain import webhooks
from app.domain.base import RuleBroken, Stamp
from app.domain.webhooks import WebhookSettings
from app.extensions import db
from app.models import ApiKey, Webhook
from app.web.core.request_transaction import request_transaction
from app.web.security import api_keys
from tests.app_fixtures import Crm

WRITERS, FREE = 8, 2


@pytest.fixture(params=["sqlite", "mariadb"])
def seeded(request: pytest.FixtureRequest) -> Any:
    """The product on each database."""
    crm: Crm = request.getfixturevalue("crm" if request.param == "sqlite" else "maria")
    return crm


def in_parallel(crm: Crm, step: Any) -> int:
    """How many of the writers succeed."""
    barrier = threading.Barrier(WRITERS)

    def run(number: int) -> bool:
        with crm.app.test_request_context():
            barrier.wait()
            try:
                step(number)
            except RuleBroken:
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(WRITERS) as threads:
        return sum(threads.map(run, range(WRITERS)))


def test_keys_of_one_person(seeded: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, now = seeded.people["ana"].id, datetime.now(UTC)
    mine = select(func.count(ApiKey.id)).where(ApiKey.user_id == ana)
    before = seeded.rows(mine)[0]
    monkeypatch.setattr(api_keys, "MAX_KEYS", before + FREE)
    made = in_parallel(seeded, lambda n: api_keys.create_key(ana, api_keys.ApiKeyRequest(f"key {n}"), now))
    assert (made, seeded.rows(mine)[0]) == (FREE, before + FREE)


def test_webhooks(seeded: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    root, now = seeded.people["root"].id, datetime.now(UTC)
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", FREE)

    def create(number: int) -> None:
        asked = WebhookSettings(f"hook {number}", "https://crm.example/x", ("lead.created",), root)
        with request_transaction() as session:
            webhooks.create(session, asked, Stamp(root, now), seeded.vault)

    assert (in_parallel(seeded, create), seeded.count(Webhook)) == (FREE, FREE)
