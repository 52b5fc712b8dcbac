"""A code, a recovery code and a begun sign-in are used once, however many requests come at once; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import session as cookie
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.domain.base import RuleBroken
from app.domain.people import two_factor
from app.lib import totp
from app.models import PendingSignIn, TwoFactor
from app.web.core.request_transaction import request_transaction
from app.web.security import login_throttle, second_step
from tests.app_fixtures import Crm
from tests.domain.test_limits_in_parallel import WRITERS, in_parallel


@pytest.fixture
def factor(crm_on_both: Crm) -> tuple[str, list[str]]:
    """The key of Ana's app, and her recovery codes."""
    key = totp.new_key()
    with crm_on_both.app.test_request_context():
        return key, second_step.turn_on(_ana(crm_on_both), key, 0, datetime.now(UTC))


def _ana(crm: Crm) -> int:
    return crm.people["ana"].id


def test_a_code_of_the_app(crm_on_both: Crm, factor: Any) -> None:
    now = datetime.now(UTC)
    code = totp.code_at(factor[0], totp.step_at(now))
    assert in_parallel(crm_on_both, lambda _number: second_step.check(_ana(crm_on_both), code, now)) == 1


def test_a_recovery_code(crm_on_both: Crm, factor: Any) -> None:
    code = factor[1][0]
    now = datetime.now(UTC)
    assert in_parallel(crm_on_both, lambda _number: second_step.check(_ana(crm_on_both), code, now)) == 1


def test_a_begun_sign_in(crm_on_both: Crm, factor: Any) -> None:
    now = datetime.now(UTC)
    with crm_on_both.app.test_request_context(), request_transaction() as session:
        token = two_factor.begin_sign_in(session, _ana(crm_on_both), now)

    def finish(_number: int) -> None:
        cookie["begun"] = token
        if not second_step.finish(None, now):
            raise RuleBroken("too late")

    assert in_parallel(crm_on_both, finish) == 1
    assert crm_on_both.rows(select(PendingSignIn)) == []


def test_wrong_codes(crm_on_both: Crm, factor: Any) -> None:
    refused: list[Any] = []

    def guess(number: int) -> None:
        try:
            second_step.check(_ana(crm_on_both), f"{number:06}", datetime(2026, 1, 1, tzinfo=UTC))
        except RuleBroken as broken:
            refused.append(type(broken))
            raise

    assert in_parallel(crm_on_both, guess) == 0
    assert refused.count(second_step.CodeRefused) == login_throttle.FREE_ATTEMPTS
    assert refused.count(login_throttle.Locked) == WRITERS - login_throttle.FREE_ATTEMPTS


def test_two_browsers_turn_it_on(crm_on_both: Crm) -> None:
    """One key is stored; the other browser is sent to the page that says that it is on."""
    now, ana = datetime.now(UTC), _ana(crm_on_both)

    def turn_on(_number: int) -> None:
        try:
            second_step.turn_on(ana, totp.new_key(), 0, now)
        except IntegrityError as error:
            raise RuleBroken("on already") from error

    assert in_parallel(crm_on_both, turn_on) == 1
    assert len(crm_on_both.rows(select(TwoFactor))) == 1
    with crm_on_both.app.app_context(), request_transaction() as session:
        assert two_factor.count_recovery_codes(session, ana) == two_factor.RECOVERY_CODES
