"""Leave and delegates: invalid absences are refused, and overlapping leaves are found."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.people.absence import COLUMNS, overlapping_leave, refuse_bad_absence
from app.models import User
from tests import factories
from tests.cases import each_case
from tests.factories import DAY, HOUR, MINUTE, NOW


@pytest.fixture
def people(session: Session) -> dict[str, Any]:
    return {name: factories.user(session, name, "Sales User") for name in ("ana", "ben", "cleo")}


def away(user: Any, starts: datetime, ends: datetime | None, delegate: Any = None) -> None:
    user.leave_from, user.leave_to, user.delegate_id = starts, ends, delegate.id if delegate else None


def refusal(session: Session, user: Any, **values: Any) -> str:
    with pytest.raises(RuleBroken) as broken:
        refuse_bad_absence(session, user, values, NOW)
    assert list(broken.value.errors)
    return str(broken.value)


@each_case(
    "values, sentence",
    [
        ({"away_until": NOW}, "This time is in the past"),
        ({"leave_to": NOW + DAY}, "enter when it starts"),
        ({"leave_from": NOW + DAY, "leave_to": NOW + DAY}, "must end after it starts"),
        ({"leave_from": NOW - 3 * DAY, "leave_to": NOW - DAY}, "already over"),
        ({"leave_from": NOW - 3 * DAY, "leave_to": NOW + DAY}, "before it starts"),
        ({"delegate_id": 999}, "no such colleague"),
    ],
)
def test_invalid_absences_are_refused(session: Session, people: dict[str, Any], values: Any, sentence: Any) -> None:
    assert sentence in refusal(session, people["ana"], **values)


def test_no_one_is_their_own_delegate(session: Session, people: dict[str, Any]) -> None:
    assert "own delegate" in refusal(session, people["ana"], delegate_id=people["ana"].id)


def test_an_inactive_user_cannot_be_a_delegate(session: Session, people: dict[str, Any]) -> None:
    people["ben"].active = False
    assert "no longer works here" in refusal(session, people["ana"], delegate_id=people["ben"].id)


def test_a_leave_since_this_morning_and_one_without_an_end_are_valid(session: Session, people: dict[str, Any]) -> None:
    refuse_bad_absence(session, people["ana"], {"leave_from": NOW - HOUR, "leave_to": None}, NOW)
    refuse_bad_absence(session, people["ana"], {"leave_from": NOW + DAY, "leave_to": NOW + 2 * DAY}, NOW)


def test_a_past_leave_does_not_block_other_changes(session: Session, people: dict[str, Any]) -> None:
    away(people["ana"], NOW - 5 * DAY, NOW - 4 * DAY, people["ben"])
    people["ben"].active = False
    session.flush()
    refuse_bad_absence(session, people["ana"], {"away_until": NOW + HOUR}, NOW)
    people["ana"].first_name = "Anna"
    refuse_bad_absence(session, people["ana"], {}, NOW)


def test_unsaved_values_are_checked_too(session: Session, people: dict[str, Any]) -> None:
    people["ana"].leave_from = NOW - 3 * DAY
    people["ana"].leave_to = NOW - DAY
    session.flush()
    people["ana"].leave_to = NOW - HOUR
    with session.no_autoflush:
        assert "already over" in refusal(session, people["ana"])


@pytest.mark.parametrize("others", [("ben",), ("ben", "cleo")])
def test_delegates_cannot_form_a_circle_at_the_same_time(session: Session, people: dict[str, Any], others: Any) -> None:
    chain = [*(people[name] for name in others), people["ana"]]
    for user, delegate in pairwise(chain):
        away(user, NOW + 2 * DAY, None, delegate)
    session.flush()
    leave = {"leave_from": NOW + DAY, "leave_to": NOW + 3 * DAY, "delegate_id": people["ben"].id}
    assert "no one would cover it" in refusal(session, people["ana"], **leave)
    refuse_bad_absence(session, people["ana"], leave | {"leave_to": NOW + 2 * DAY}, NOW)


def test_a_circle_of_others_does_not_loop_forever(session: Session, people: dict[str, Any]) -> None:
    away(people["ben"], NOW, None, people["cleo"])
    away(people["cleo"], NOW, None, people["ben"])
    session.flush()
    leave = {"leave_from": NOW + DAY, "leave_to": None, "delegate_id": people["ben"].id}
    refuse_bad_absence(session, people["ana"], leave, NOW)


def test_the_time_in_which_both_are_on_leave(session: Session, people: dict[str, Any]) -> None:
    away(people["ben"], NOW + 2 * DAY, NOW + 9 * DAY)
    session.flush()
    assert overlapping_leave(session, people["ben"].id, (NOW, None)) == (NOW + 2 * DAY, NOW + 9 * DAY)
    assert overlapping_leave(session, people["ben"].id, (NOW, NOW + 3 * DAY)) == (NOW + 2 * DAY, NOW + 3 * DAY)
    assert overlapping_leave(session, people["ben"].id, (NOW, NOW + 2 * DAY)) is None
    assert overlapping_leave(session, people["cleo"].id, (NOW, None)) is None
    people["ben"].leave_to = None
    session.flush()
    assert overlapping_leave(session, people["ben"].id, (NOW, None)) == (NOW + 2 * DAY, None)


# --- At the boundaries, and field by field


@each_case(
    "values, field",
    [
        ({"away_until": NOW}, "away_until"),
        ({"away_until": NOW + MINUTE}, None),
        ({"leave_to": NOW + DAY}, "leave_from"),
        ({"leave_from": NOW + DAY, "leave_to": NOW + DAY}, "leave_to"),
        ({"leave_from": NOW + DAY, "leave_to": NOW + DAY + MINUTE}, None),
        ({"leave_from": NOW - HOUR, "leave_to": NOW}, "leave_to"),
        ({"leave_from": NOW - HOUR, "leave_to": NOW + MINUTE}, None),
        ({"leave_from": NOW - DAY, "leave_to": NOW + DAY}, None),
        ({"leave_from": NOW - DAY - MINUTE, "leave_to": NOW + DAY}, "leave_from"),
        ({"leave_from": NOW - DAY - MINUTE}, "leave_from"),
        ({"delegate_id": 999}, "delegate_id"),
        ({"delegate_id": 1}, "delegate_id"),
        ({"delegate_id": 2}, None),
    ],
)
def test_each_refusal_names_its_field(session: Session, people: dict[str, Any], values: Any, field: Any) -> None:
    assert (people["ana"].id, people["ben"].id) == (1, 2)
    if field is None:
        refuse_bad_absence(session, people["ana"], values, NOW)
        return
    with pytest.raises(RuleBroken) as broken:
        refuse_bad_absence(session, people["ana"], values, NOW)
    assert list(broken.value.errors) == [field]


def test_times_that_stay_as_they_are_may_be_past(session: Session, people: dict[str, Any]) -> None:
    ana = people["ana"]
    ana.away_until, ana.leave_from, ana.leave_to = NOW - DAY, NOW - 5 * DAY, NOW - 4 * DAY
    session.flush()
    refuse_bad_absence(session, ana, {name: getattr(ana, name) for name in COLUMNS}, NOW)
    refuse_bad_absence(session, ana, {"leave_to": NOW + DAY}, NOW)
    assert "already over" in refusal(session, ana, leave_to=NOW - DAY)
    assert "already over" in refusal(session, ana, leave_from=NOW - 6 * DAY)


def test_the_times_of_a_new_user_are_all_checked(session: Session) -> None:
    assert "in the past" in refusal(session, User(away_until=NOW))


@pytest.mark.parametrize("ends, is_refused", [(NOW - MINUTE, False), (NOW, False), (NOW + MINUTE, True), (None, True)])
def test_the_delegate_is_checked_until_the_leave_is_over(
    session: Session, people: dict[str, Any], ends: Any, is_refused: bool
) -> None:
    away(people["ana"], NOW - 5 * DAY, ends, people["ben"])
    people["ben"].active = False
    session.flush()
    if is_refused:
        assert "no longer works here" in refusal(session, people["ana"])
    else:
        refuse_bad_absence(session, people["ana"], {}, NOW)


def test_a_new_delegate_is_checked_without_a_leave_too(session: Session, people: dict[str, Any]) -> None:
    people["cleo"].active = False
    assert "Cleo Shah no longer works" in refusal(session, people["ana"], delegate_id=people["cleo"].id)


@pytest.mark.parametrize(
    "others, sentence", [(("ben",), "Ben Shah has named you"), (("ben", "cleo"), "Ben Shah's work comes back")]
)
def test_the_refusal_says_how_the_circle_closes(
    session: Session, people: dict[str, Any], others: Any, sentence: str
) -> None:
    for user, delegate in pairwise([*(people[name] for name in others), people["ana"]]):
        away(user, NOW + DAY, NOW + 2 * DAY, delegate)
    session.flush()
    leave = {"leave_from": NOW + DAY, "leave_to": NOW + 3 * DAY, "delegate_id": people["ben"].id}
    with pytest.raises(RuleBroken, match=sentence) as broken:
        refuse_bad_absence(session, people["ana"], leave, NOW)
    assert list(broken.value.errors) == ["delegate_id"]
    refuse_bad_absence(session, people["ana"], leave | {"leave_from": NOW + 2 * DAY}, NOW)
    refuse_bad_absence(session, people["ana"], leave | {"leave_from": None, "leave_to": None}, NOW)


def test_a_chain_that_does_not_lead_back_is_no_circle(session: Session, people: dict[str, Any]) -> None:
    dev = factories.user(session, "dev", "Sales User")
    for user, delegate in (("ben", people["cleo"]), ("cleo", dev)):
        away(people[user], NOW, None, delegate)
    dev.delegate_id = people["ana"].id
    session.flush()
    refuse_bad_absence(session, people["ana"], {"leave_from": NOW, "delegate_id": people["ben"].id}, NOW)
