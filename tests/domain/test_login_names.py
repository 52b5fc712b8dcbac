"""Names and addresses are unique among all users, ensured by a unique column."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.domain.base import RuleBroken
from app.domain.people.login_names import clashes
from app.models import LoginName, User
from tests.app_fixtures import Crm
from tests.cases import each_case


def make(crm: Crm, username: str, email: str) -> None:
    with crm.new_session() as session:
        session.add(User(first_name="N", last_name="N", username=username, email=email, active=True, password="-"))
        session.commit()


TAKEN: dict[str, Callable[[Any], tuple[str, str]]] = {
    "an address as a name": lambda user: (user.email, "new@eshin.test"),
    "an address as a name, in capitals": lambda user: (user.email.upper(), "new@eshin.test"),
    "a name as an address": lambda user: ("new", user.username),
    "an accent": lambda user: ("ána", "new@eshin.test"),
    "another script": lambda user: ("аnа", "new@eshin.test"),
    "full width": lambda user: ("ａｎａ", "new@eshin.test"),
    "an address in another script": lambda user: ("new", user.email.replace("a", "а")),
    "an invisible letter": lambda user: ("a\u200bna", "new@eshin.test"),
}


@each_case("how", TAKEN)
def test_a_name_that_looks_like_another_is_refused(crm_on_both: Crm, how: str) -> None:
    ana = crm_on_both.rows(select(User).where(User.username == "ana"))[0]
    before = crm_on_both.count(User)
    with pytest.raises(RuleBroken, match="looks like"):
        make(crm_on_both, *TAKEN[how](ana))
    assert crm_on_both.count(User) == before


def test_a_rename_frees_the_old_name_and_takes_the_new_one(crm_on_both: Crm) -> None:
    with crm_on_both.new_session() as session:
        ana = session.scalars(select(User).where(User.username == "ana")).one()
        ana.username = "anna"
        session.commit()
    with pytest.raises(RuleBroken):
        make(crm_on_both, "ANNA", "new@eshin.test")
    make(crm_on_both, "ana", "new@eshin.test")


def test_one_person_may_have_the_same_name_and_address(crm_on_both: Crm) -> None:
    make(crm_on_both, "new@eshin.test", "new@eshin.test")
    make(crm_on_both, "newer", "newer@eshin.test")
    with crm_on_both.new_session() as session:
        user = session.scalars(select(User).where(User.username == "newer")).one()
        user.username, user.email = user.email, user.username
        session.commit()


def test_a_deleted_user_frees_their_names(crm_on_both: Crm) -> None:
    make(crm_on_both, "new", "new@eshin.test")
    with crm_on_both.new_session() as session:
        session.delete(session.scalars(select(User).where(User.username == "new")).one())
        session.commit()
    make(crm_on_both, "NEW", "new@eshin.test")


def test_of_many_at_once_one_gets_the_name(crm_on_both: Crm) -> None:
    barrier = threading.Barrier(8)

    def attempt(number: int) -> bool:
        barrier.wait()
        try:
            make(crm_on_both, "twin" if number % 2 else "TWIN", f"twin{number + 2}@eshin.test")
        except (RuleBroken, SQLAlchemyError):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1
    assert len(crm_on_both.rows(select(User.id).where(User.email.like("twin%")))) == 1


def test_every_user_has_keys(crm_on_both: Crm) -> None:
    with_keys = set(crm_on_both.rows(select(LoginName.user_id)))
    assert with_keys == set(crm_on_both.rows(select(User.id)))


def test_clashes_are_named_with_who_holds_the_name() -> None:
    users = [(1, "ana", "ana@x.in"), (2, "ana@x.in", "b@x.in"), (3, "ánа", "c@x.in"), (4, "dev", "dev")]
    assert list(clashes(users)) == [("ana@x.in", 2, 1), ("ánа", 3, 1)]
