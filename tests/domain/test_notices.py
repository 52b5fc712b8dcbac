"""How people want to be told: only what differs from the default is kept."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.domain import notices
from app.domain.base import RuleBroken
from app.models import Delivery, Notification
from tests.makers import NOW, lead, user


def test_what_is_as_shipped_is_not_kept():
    table = {kind: dict(notices.CHANNELS) for kind in notices.KINDS}
    assert notices.non_default_choices(table) is None
    table["mention"] = {"bell": True, "screen": False, "email": True}
    assert notices.non_default_choices(table) == {"mention": {"screen": False, "email": True}}


@pytest.mark.parametrize("table", [{"gossip": {}}, {"mention": {"pigeon": True}}, {"mention": {"bell": "yes"}}])
def test_nobody_chooses_what_there_is_not(table):
    with pytest.raises(RuleBroken):
        notices.non_default_choices(table)


def test_who_wants_no_bell_finds_it_as_read_and_gets_his_mail(office):
    ana, about = user(office, "ana", notice_choices={"assigned": {"bell": False, "email": True}}), lead(office)
    notices.notify(office, [ana.id], "assigned", "k", about, None, NOW, number=about.number)
    assert office.scalars(select(Notification.read_on)).one() == NOW
    assert office.execute(select(Delivery.channel, Delivery.state)).one() == ("email", "queued")
