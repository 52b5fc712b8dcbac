"""Notice choices of users: only what differs from the default is stored."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.domain import notices
from app.domain.base import RuleBroken
from app.domain.transaction_state import transaction_state
from app.models import AuditEntry, Customer, Delivery, Notification
from tests.factories import MINUTE, NOW, lead, task, ticket, user


def send(office, key, *users):
    """Notify these user ids of a status change. Returns how many notices are new."""
    return notices.notify(office, notices.NoticeEvent("status", key, users), NOW)


def read_on(office):
    """Notification id -> when it was read."""
    rows = office.execute(select(Notification.id, Notification.read_on).order_by(Notification.id))
    return {row.id: row.read_on for row in rows}


def test_default_choices_are_not_stored():
    table = {kind: dict(notices.CHANNELS) for kind in notices.KINDS}
    assert notices.non_default_choices(table) is None
    table["mention"] = {"bell": True, "screen": False, "email": True}
    assert notices.non_default_choices(table) == {"mention": {"screen": False, "email": True}}


@pytest.mark.parametrize(
    "table, message, field",
    [
        ({"gossip": {}}, "kind “gossip”", ""),
        ({"x" * 41: {}}, f"kind “{'x' * 40}”", ""),
        ({"mention": {"pigeon": True}}, "channels are bell, screen, email;", "mention"),
        ({"mention": {"bell": "yes"}}, "channels are bell, screen, email;", "mention"),
    ],
)
def test_unknown_kinds_and_channels_are_refused(table, message, field):
    with pytest.raises(RuleBroken, match=message) as refused:
        notices.non_default_choices(table)
    assert [name for name in refused.value.errors if name] == [field] * bool(field)


def test_without_the_panel_a_notice_is_read_at_once_and_still_mailed(office):
    ana, about = user(office, "ana", notice_choices={"assigned": {"bell": False, "email": True}}), lead(office)
    notices.notify(office, notices.NoticeEvent("assigned", "k", (ana.id,), {"number": about.number}, about), NOW)
    assert office.scalars(select(Notification.read_on)).one() == NOW
    assert office.execute(select(Delivery.channel, Delivery.state)).one() == ("email", "queued")


# --- Unread, snoozed, read


@pytest.mark.parametrize("until, is_hidden", [(None, False), (NOW - MINUTE, False), (NOW, False), (NOW + MINUTE, True)])
def test_a_snoozed_notice_comes_back_at_that_moment(office, until, is_hidden):
    ana = user(office, "ana")
    send(office, "k", ana.id)
    row = office.scalars(select(Notification)).one()
    row.snoozed_until = until
    office.flush()
    assert notices.is_snoozed(row, NOW) is is_hidden
    assert office.scalars(select(Notification.id).where(notices.not_snoozed(NOW))).all() == [row.id] * (not is_hidden)
    assert notices.count_unread(office, ana.id, NOW) == (not is_hidden)


def test_badges_count_only_ones_own_unread_notices(office):
    ana, ben = user(office, "ana"), user(office, "ben")
    send(office, "k", ana.id, ben.id)
    send(office, "other", ana.id)
    assert (notices.count_unread(office, ana.id, NOW), notices.count_unread(office, ben.id, NOW)) == (2, 1)
    notices.resolve(office, "k", NOW)
    assert (notices.count_unread(office, ana.id, NOW), notices.count_unread(office, ben.id, NOW)) == (1, 0)


def test_a_snoozed_notice_comes_back_as_unread():
    assert notices.snooze_values(NOW) == {"snoozed_until": NOW, "read_on": None}
    assert notices.snooze_values(None) == {"snoozed_until": None}


def test_users_mark_only_their_own_notices_and_none_twice(office):
    ana, ben = user(office, "ana"), user(office, "ben")
    send(office, "k", ana.id, ben.id)
    send(office, "other", ana.id)
    first, bens, second = office.scalars(select(Notification.id).order_by(Notification.id)).all()
    assert notices.mark_read(office, ana.id, NOW, [first, bens]) == 1
    assert notices.mark_read(office, ana.id, NOW + MINUTE, []) == 0
    assert notices.mark_read(office, ana.id, NOW + MINUTE) == 1
    assert read_on(office) == {first: NOW, bens: None, second: NOW + MINUTE}


def test_a_resolved_event_is_read_for_all_and_no_other_event(office):
    ana, ben = user(office, "ana"), user(office, "ben")
    send(office, "request:1", ana.id, ben.id)
    send(office, "request:11", ana.id)
    notices.mark_read(office, ben.id, NOW)
    notices.resolve(office, "request:1", NOW + MINUTE)
    assert list(read_on(office).values()) == [NOW + MINUTE, NOW, None]


def test_a_toast_is_recorded_once_and_for_its_own_user(office):
    ana, ben = user(office, "ana"), user(office, "ben")
    send(office, "k", ana.id)
    key = office.scalars(select(Notification.id)).one()
    answers = [notices.record_toast_shown(office, each.id, key, NOW) for each in (ben, ana, ana)]
    assert answers == [False, True, False]
    row = office.scalars(select(Delivery)).one()
    values = (row.notification_id, row.channel, row.state, row.at, row.tries)
    assert values == (key, "screen", "shown", NOW, 0)


# --- Who is notified of what


def test_an_event_is_notified_once_to_each_user_but_not_to_its_author(office):
    ana, ben = user(office, "ana"), user(office, "ben")
    event = notices.NoticeEvent("status", "k", (ana.id, None, ben.id, ana.id), {"number": "7"}, by=ben.id)
    assert (notices.notify(office, event, NOW), notices.notify(office, event, NOW)) == (1, 0)
    row = office.scalars(select(Notification)).one()
    assert (row.user_id, row.actor_id, row.at, row.payload) == (ana.id, ben.id, NOW, {"number": "7"})
    assert (row.kind, row.event_key, row.read_on) == ("status", f"k:{ana.id}", None)


def test_open_pages_are_updated_only_for_new_notices(office):
    ana = user(office, "ana")
    assert send(office, "k") == 0
    assert send(office, "k", ana.id) == 1
    assert transaction_state(office).notified == [(ana.id, "status")]
    send(office, "k", ana.id)
    notices.note_count_changed(office, ana.id)
    notices.note_count_changed(office, ana.id, "mention")
    assert transaction_state(office).notified == [(ana.id, "status"), (ana.id, ""), (ana.id, "mention")]


def test_an_unknown_kind_is_an_error(office):
    with pytest.raises(ValueError, match="unknown kind of notification: gossip"):
        notices.notify(office, notices.NoticeEvent("gossip", "k", (1,)), NOW)


def test_email_is_queued_once_for_those_who_want_it(office):
    wanted = {"status": {"email": True}}
    ana, ben = user(office, "ana", notice_choices=wanted), user(office, "ben")
    cy = user(office, "cy", notice_choices=wanted)
    send(office, "k", ana.id, ben.id)
    send(office, "k", ana.id, cy.id)
    rows = office.execute(select(Notification.user_id, Delivery.at, Delivery.next_try_on).join(Notification))
    assert [tuple(row) for row in rows] == [(ana.id, NOW, NOW), (cy.id, NOW, NOW)]


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda office: None, {}),
        (lambda office: lead(office, id=41), {"lead_id": 41}),
        (lambda office: ticket(office, id=42), {"ticket_id": 42}),
        (lambda office: task(office, lead(office, id=41), id=43), {"task_id": 43, "lead_id": 41}),
        (lambda office: task(office, ticket(office, id=42), id=43), {"task_id": 43, "ticket_id": 42}),
        (lambda office: Customer(id=44), {"customer_id": 44}),
        (lambda office: AuditEntry(id=45), {}),
    ],
)
def test_a_notice_refers_to_its_record_and_a_tasks_to_its_parent(office, make, expected):
    empty = dict.fromkeys(("lead_id", "ticket_id", "customer_id", "task_id"))
    assert notices.record_ids_of(make(office)) == empty | expected
    assert notices.record_ids_of({"lead_id": 1}) == {"lead_id": 1}


@pytest.mark.parametrize("channel, by_default", [("bell", True), ("screen", True), ("email", False)])
def test_a_users_own_choice_goes_before_the_channels_default(channel, by_default):
    choices = {1: {"status": {channel: not by_default}}}
    assert notices.wants(choices, 1, "status", channel) is not by_default
    assert notices.wants(choices, 1, "mention", channel) is notices.wants(choices, 2, "status", channel) is by_default


def test_choices_are_loaded_once_in_a_session(office):
    ana = user(office, "ana", notice_choices={"status": {"email": True}})
    user(office, "ben"), user(office, "cy", notice_choices={})
    assert notices.load_choices(office) == {ana.id: {"status": {"email": True}}}
    ana.notice_choices = None
    office.flush()
    assert notices.load_choices(office) == {ana.id: {"status": {"email": True}}}
