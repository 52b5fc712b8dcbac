"""Idempotency keys: a repeated request gets the response stored for the first one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import idempotency
from app.domain.base import Conflict, RuleBroken
from app.domain.idempotency import IdempotentRequest, StoredResponse
from app.domain.people import authentication
from app.domain.persistence.transaction_state import transaction_state
from tests.factories import HOUR, NOW, user


@pytest.fixture
def first(db: Session) -> IdempotentRequest:
    """A request of Ana with the key k."""
    return IdempotentRequest(user(db, "ana").id, "k", "f" * 64)


def test_the_first_request_claims_the_key_and_the_next_gets_its_response(db: Session, first: Any) -> None:
    assert idempotency.claim(db, first, NOW) is None
    idempotency.store_response(db, first, 201, 7)
    stored = idempotency.claim(db, first, NOW + HOUR)
    assert stored is not None and (stored.status, stored.record_id, stored.at) == (201, 7, NOW)
    assert (stored.user_id, stored.key, stored.fingerprint) == (first.user_id, "k", "f" * 64)


def test_keys_of_other_users_and_other_keys_are_free(db: Session, first: Any) -> None:
    idempotency.claim(db, first, NOW)
    others = (replace(first, user_id=user(db, "ben").id), replace(first, key="other"))
    assert [idempotency.claim(db, each, NOW) for each in others] == [None, None]
    for status, each in enumerate((first, *others), 201):
        idempotency.store_response(db, each, status, None)
    assert db.scalars(select(StoredResponse.status).order_by(StoredResponse.id)).all() == [201, 202, 203]


def test_a_repeated_request_conflicts_while_the_first_is_in_progress(db: Session, first: Any) -> None:
    idempotency.claim(db, first, NOW)
    with pytest.raises(Conflict, match="still in progress"):
        idempotency.claim(db, first, NOW)


def test_a_key_is_not_used_for_another_request(db: Session, first: Any) -> None:
    idempotency.claim(db, first, NOW)
    idempotency.store_response(db, first, 201, 7)
    with pytest.raises(RuleBroken, match="different request") as refused:
        idempotency.claim(db, replace(first, fingerprint="e" * 64), NOW)
    assert list(refused.value.errors) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "key, is_valid", [("", False), ("k" * 100, True), ("k" * 101, False), ("ü", False), ("\n", False)]
)
def test_a_key_is_short_and_printable(db: Session, first: Any, key: str, is_valid: bool) -> None:
    if is_valid:
        assert idempotency.claim(db, replace(first, key=key), NOW) is None
        return
    with pytest.raises(RuleBroken, match="at most 100 printable") as refused:
        idempotency.claim(db, replace(first, key=key), NOW)
    assert list(refused.value.errors) == ["Idempotency-Key"]


def test_an_ended_sign_in_is_noted_for_the_users_sockets(db: Session) -> None:
    authentication.note_sign_in_ended(db, 7)
    assert transaction_state(db).ended_sign_ins == {7}
