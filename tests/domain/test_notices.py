"""Notification preferences of users: only differences from the default are stored."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.notifications import notices
from app.domain.persistence.transaction_state import transaction_state
from app.models import AuditEntry, Customer, Delivery, Notification
from tests.factories import MINUTE, NOW, lead, task, ticket, user


def send(db: Any, key: Any, *users: Any) -> Any:
    """Notify these user ids of a status change. Returns how many notices are new."""
    return notices.notify(db, notices.NoticeEvent("status", key, users), NOW)


def read_on(db: Any) -> Any:
    """Notification id -> when it was read."""
    rows = db.execute(select(Notification.id, Notification.read_on).order_by(Notification.id))
    return {row.id: row.read_on for row in rows}


def test_default_choices_are_not_stored() -> None:
    table = {kind: {each: notices.is_default(kind, each) for each in notices.CHANNELS} for kind in notices.KINDS}
    assert notices.non_default_choices(table) is None
    table["mention"] = {"bell": True, "screen": False, "email": True}
    assert notices.non_default_choices(table) == {"mention": {"screen": False, "email": True}}


@pytest.mark.parametrize("choices, is_emailed", [({}, True), ({7: {"security": {"email": False}}}, False)])
def test_what_concerns_the_account_is_emailed_unless_the_person_chose_otherwise(
    choices: dict[int, dict[str, dict[str, bool]]], is_emailed: bool
) -> None:
    assert notices.wants(choices, 7, "security", "email") is is_emailed
    assert not notices.wants(choices, 7, "status", "email")


@pytest.mark.parametrize(
    "table, message, field",
    [
        ({"gossip": {}}, "kind “gossip”", ""),
        ({"x" * 41: {}}, f"kind “{'x' * 40}”", ""),
        ({"mention": {"pigeon": True}}, "channels are bell, screen, email, sms, whatsapp;", "mention"),
        ({"mention": {"bell": "yes"}}, "channels are bell, screen, email, sms, whatsapp;", "mention"),
    ],
)
def test_unknown_kinds_and_channels_are_refused(table: Any, message: str, field: str) -> None:
    with pytest.raises(RuleBroken, match=message) as refused:
        notices.non_default_choices(table)
    assert [name for name in refused.value.errors if name] == [field] * bool(field)


def test_without_the_panel_a_notice_is_read_at_once_and_still_mailed(db: Session) -> None:
    ana, about = user(db, "ana", notice_choices={"assigned": {"bell": False, "email": True}}), lead(db)
    notices.notify(db, notices.NoticeEvent("assigned", "k", (ana.id,), {"number": about.number}, about), NOW)
    assert db.scalars(select(Notification.read_on)).one() == NOW
    assert db.execute(select(Delivery.channel, Delivery.state)).one() == ("email", "queued")


# --- Unread, snoozed, read


@pytest.mark.parametrize("until, is_hidden", [(None, False), (NOW - MINUTE, False), (NOW, False), (NOW + MINUTE, True)])
def test_a_snoozed_notice_comes_back_at_that_moment(db: Session, until: Any, is_hidden: bool) -> None:
    ana = user(db, "ana")
    send(db, "k", ana.id)
    row = db.scalars(select(Notification)).one()
    row.snoozed_until = until
    db.flush()
    assert notices.is_snoozed(row, NOW) is is_hidden
    assert db.scalars(select(Notification.id).where(notices.not_snoozed(NOW))).all() == [row.id] * (not is_hidden)
    assert notices.count_unread(db, ana.id, NOW) == (not is_hidden)


def test_badges_count_only_ones_own_unread_notices(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    send(db, "k", ana.id, ben.id)
    send(db, "other", ana.id)
    assert (notices.count_unread(db, ana.id, NOW), notices.count_unread(db, ben.id, NOW)) == (2, 1)
    notices.resolve(db, "k", NOW)
    assert (notices.count_unread(db, ana.id, NOW), notices.count_unread(db, ben.id, NOW)) == (1, 0)


def test_a_snoozed_notice_comes_back_as_unread() -> None:
    assert notices.snooze_values(NOW) == {"snoozed_until": NOW, "read_on": None}
    assert notices.snooze_values(None) == {"snoozed_until": None}


def test_users_mark_only_their_own_notices_and_none_twice(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    send(db, "k", ana.id, ben.id)
    send(db, "other", ana.id)
    first, bens, second = db.scalars(select(Notification.id).order_by(Notification.id)).all()
    assert notices.mark_read(db, ana.id, NOW, [first, bens]) == 1
    assert notices.mark_read(db, ana.id, NOW + MINUTE, []) == 0
    assert notices.mark_read(db, ana.id, NOW + MINUTE) == 1
    assert read_on(db) == {first: NOW, bens: None, second: NOW + MINUTE}


def test_a_resolved_event_is_read_for_all_and_no_other_event(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    send(db, "request:1", ana.id, ben.id)
    send(db, "request:11", ana.id)
    notices.mark_read(db, ben.id, NOW)
    notices.resolve(db, "request:1", NOW + MINUTE)
    assert list(read_on(db).values()) == [NOW + MINUTE, NOW, None]


def test_a_toast_is_recorded_once_and_for_its_own_user(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    send(db, "k", ana.id)
    key = db.scalars(select(Notification.id)).one()
    answers = [notices.record_toast_shown(db, each.id, key, NOW) for each in (ben, ana, ana)]
    assert answers == [False, True, False]
    row = db.scalars(select(Delivery)).one()
    values = (row.notification_id, row.channel, row.state, row.at, row.tries)
    assert values == (key, "screen", "shown", NOW, 0)


# --- Who is notified of what


def test_an_event_is_notified_once_to_each_user_but_not_to_its_author(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    event = notices.NoticeEvent("status", "k", (ana.id, None, ben.id, ana.id), {"number": "7"}, by=ben.id)
    assert (notices.notify(db, event, NOW), notices.notify(db, event, NOW)) == (1, 0)
    row = db.scalars(select(Notification)).one()
    assert (row.user_id, row.actor_id, row.at, row.payload) == (ana.id, ben.id, NOW, {"number": "7"})
    assert (row.kind, row.event_key, row.read_on) == ("status", f"k:{ana.id}", None)


def test_open_pages_are_updated_only_for_new_notices(db: Session) -> None:
    ana = user(db, "ana")
    assert send(db, "k") == 0
    assert send(db, "k", ana.id) == 1
    assert transaction_state(db).notified == [(ana.id, "status")]
    send(db, "k", ana.id)
    notices.note_count_changed(db, ana.id)
    notices.note_count_changed(db, ana.id, "mention")
    assert transaction_state(db).notified == [(ana.id, "status"), (ana.id, ""), (ana.id, "mention")]


def test_an_unknown_kind_is_an_error(db: Session) -> None:
    with pytest.raises(ValueError, match="unknown kind of notification: gossip"):
        notices.notify(db, notices.NoticeEvent("gossip", "k", (1,)), NOW)


def test_email_is_queued_once_for_those_who_want_it(db: Session) -> None:
    wanted = {"status": {"email": True}}
    ana, ben = user(db, "ana", notice_choices=wanted), user(db, "ben")
    cy = user(db, "cy", notice_choices=wanted)
    send(db, "k", ana.id, ben.id)
    send(db, "k", ana.id, cy.id)
    rows = db.execute(select(Notification.user_id, Delivery.at, Delivery.next_try_on).join(Notification))
    assert [tuple(row) for row in rows] == [(ana.id, NOW, NOW), (cy.id, NOW, NOW)]


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda db: None, {}),
        (lambda db: lead(db, id=41), {"lead_id": 41}),
        (lambda db: ticket(db, id=42), {"ticket_id": 42}),
        (lambda db: task(db, lead(db, id=41), id=43), {"task_id": 43, "lead_id": 41}),
        (lambda db: task(db, ticket(db, id=42), id=43), {"task_id": 43, "ticket_id": 42}),
        (lambda db: Customer(id=44), {"customer_id": 44}),
        (lambda db: AuditEntry(id=45), {}),
    ],
)
def test_a_notice_refers_to_its_record_and_a_tasks_to_its_parent(db: Session, make: Any, expected: Any) -> None:
    empty = dict.fromkeys(("lead_id", "ticket_id", "customer_id", "task_id"))
    assert notices.record_ids_of(make(db)) == empty | expected
    assert notices.record_ids_of({"lead_id": 1}) == {"lead_id": 1}


@pytest.mark.parametrize("channel, by_default", [("bell", True), ("screen", True), ("email", False)])
def test_a_users_own_choice_goes_before_the_channels_default(channel: str, by_default: bool) -> None:
    choices = {1: {"status": {channel: not by_default}}}
    assert notices.wants(choices, 1, "status", channel) is not by_default
    assert notices.wants(choices, 1, "mention", channel) is notices.wants(choices, 2, "status", channel) is by_default


def test_choices_are_loaded_once_in_a_session(db: Session) -> None:
    ana = user(db, "ana", notice_choices={"status": {"email": True}})
    user(db, "ben"), user(db, "cy", notice_choices={})
    assert notices.load_choices(db) == {ana.id: {"status": {"email": True}}}
    ana.notice_choices = None
    db.flush()
    assert notices.load_choices(db) == {ana.id: {"status": {"email": True}}}
