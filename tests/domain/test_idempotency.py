"""Idempotency keys: a repeated request is answered by what was stored for the first one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import authentication, idempotency
from app.domain.base import Conflict, RuleBroken
from app.domain.idempotency import IdempotentRequest, StoredResponse
from app.domain.transaction_state import transaction_state
from tests.factories import HOUR, NOW, user


@pytest.fixture
def first(office: Session) -> IdempotentRequest:
    """A request of Ana with the key k."""
    return IdempotentRequest(user(office, "ana").id, "k", "f" * 64)


def test_the_first_request_claims_the_key_and_the_next_gets_its_response(office: Session, first: Any) -> None:
    assert idempotency.claim(office, first, NOW) is None
    idempotency.store_response(office, first, 201, 7)
    stored = idempotency.claim(office, first, NOW + HOUR)
    assert stored is not None and (stored.status, stored.record_id, stored.at) == (201, 7, NOW)
    assert (stored.user_id, stored.key, stored.fingerprint) == (first.user_id, "k", "f" * 64)


def test_keys_of_other_users_and_other_keys_are_free(office: Session, first: Any) -> None:
    idempotency.claim(office, first, NOW)
    others = (replace(first, user_id=user(office, "ben").id), replace(first, key="other"))
    assert [idempotency.claim(office, each, NOW) for each in others] == [None, None]
    for status, each in enumerate((first, *others), 201):
        idempotency.store_response(office, each, status, None)
    assert office.scalars(select(StoredResponse.status).order_by(StoredResponse.id)).all() == [201, 202, 203]


def test_a_repeated_request_conflicts_while_the_first_is_in_progress(office: Session, first: Any) -> None:
    idempotency.claim(office, first, NOW)
    with pytest.raises(Conflict, match="still in progress"):
        idempotency.claim(office, first, NOW)


def test_a_key_is_not_used_for_another_request(office: Session, first: Any) -> None:
    idempotency.claim(office, first, NOW)
    idempotency.store_response(office, first, 201, 7)
    with pytest.raises(RuleBroken, match="different request") as refused:
        idempotency.claim(office, replace(first, fingerprint="e" * 64), NOW)
    assert list(refused.value.errors) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "key, is_valid", [("", False), ("k" * 100, True), ("k" * 101, False), ("ü", False), ("\n", False)]
)
def test_a_key_is_short_and_printable(office: Session, first: Any, key: str, is_valid: bool) -> None:
    if is_valid:
        assert idempotency.claim(office, replace(first, key=key), NOW) is None
        return
    with pytest.raises(RuleBroken, match="at most 100 printable") as refused:
        idempotency.claim(office, replace(first, key=key), NOW)
    assert list(refused.value.errors) == ["Idempotency-Key"]


def test_an_ended_sign_in_is_noted_for_the_users_sockets(office: Session) -> None:
    authentication.note_sign_in_ended(office, 7)
    assert transaction_state(office).ended_sign_ins == {7}
