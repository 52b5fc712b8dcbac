"""Notice choices of users: only what differs from the default is stored."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.domain import notices
from app.domain.base import RuleBroken
from app.models import Delivery, Notification
from tests.makers import NOW, lead, user


def test_default_choices_are_not_stored():
    table = {kind: dict(notices.CHANNELS) for kind in notices.KINDS}
    assert notices.non_default_choices(table) is None
    table["mention"] = {"bell": True, "screen": False, "email": True}
    assert notices.non_default_choices(table) == {"mention": {"screen": False, "email": True}}


@pytest.mark.parametrize("table", [{"gossip": {}}, {"mention": {"pigeon": True}}, {"mention": {"bell": "yes"}}])
def test_unknown_kinds_and_channels_are_refused(table):
    with pytest.raises(RuleBroken):
        notices.non_default_choices(table)


def test_without_the_panel_a_notice_is_read_at_once_and_still_mailed(office):
    ana, about = user(office, "ana", notice_choices={"assigned": {"bell": False, "email": True}}), lead(office)
    notices.notify(office, notices.NoticeEvent("assigned", "k", (ana.id,), {"number": about.number}, about), NOW)
    assert office.scalars(select(Notification.read_on)).one() == NOW
    assert office.execute(select(Delivery.channel, Delivery.state)).one() == ("email", "queued")
