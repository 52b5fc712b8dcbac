"""Badge, notifications panel and REST agree on what is unread: not read and not snoozed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.domain.notifications import notices
from app.domain.snooze import next_morning, snoozed_until
from app.models import Notification
from app.web.realtime import live_values
from tests.app_fixtures import Crm
from tests.factories import DAY, HOUR, MINUTE, NOW, OFFICE

#: read_on, snoozed_until -> whether the badge counts it at NOW.
STATES: list[tuple[datetime | None, datetime | None, bool]] = [
    (None, None, True),
    (None, NOW - HOUR, True),
    (None, NOW, True),
    (None, NOW + timedelta(microseconds=1), False),
    (None, NOW + HOUR, False),
    (NOW - HOUR, None, False),
    (NOW - HOUR, NOW - MINUTE, False),
    (NOW - HOUR, NOW + HOUR, False),
]


def notification(crm: Crm, read_on: datetime | None, snoozed: datetime | None, key: str = "k") -> Notification:
    row = Notification(
        event_key=key,
        kind="assigned",
        user_id=crm.people["ana"].id,
        at=NOW - DAY,
        payload={"number": "CRM-LEAD-2026-00001"},
        read_on=read_on,
        snoozed_until=snoozed,
    )
    crm.session.add(row)
    crm.session.commit()
    return row


@pytest.fixture
def clean(crm: Crm) -> Crm:
    crm.session.execute(delete(Notification))
    crm.session.commit()
    return crm


@pytest.mark.parametrize(("read_on", "snoozed", "counts"), STATES)
def test_the_live_badge_and_the_panel_agree(clean: Crm, read_on: Any, snoozed: Any, counts: bool) -> None:
    row, ana = notification(clean, read_on, snoozed), clean.people["ana"].id
    live = live_values.load_bells(clean.session, [ana], NOW)[ana].unread
    assert live == notices.count_unread(clean.session, ana, NOW) == int(counts)
    assert notices.is_snoozed(row, NOW) == (snoozed is not None and snoozed > NOW)


def test_they_agree_about_all_states_at_once_and_page_and_badge_too(clean: Crm) -> None:
    now = datetime.now(UTC)
    for index, (read_on, snoozed, _) in enumerate(STATES):
        moved = snoozed and snoozed - NOW + now
        notification(clean, read_on, moved + MINUTE if moved and moved > now else moved, f"k{index}")
    ana, client = clean.people["ana"].id, clean.client("ana")
    expected = sum(counts for *_, counts in STATES)
    assert client.screen("/bell/count").json["unread"] == expected
    assert live_values.load_bells(clean.session, [ana], now)[ana].unread == expected
    assert client.screen("/bell/panel").text.count('visually-hidden"> · new') == expected


@pytest.mark.parametrize("until", [NOW + HOUR, datetime.now(UTC) + DAY])
def test_snoozing_does_the_same_in_the_panel_and_over_rest(clean: Crm, until: datetime) -> None:
    rows = [notification(clean, NOW, None, key) for key in ("panel", "rest")]
    clean.client("ana").form("/bell/snooze", {"ids": rows[0].id, "until": "1h"})
    answer = clean.client("ana").rest("PUT", f"notification/{rows[1].id}", {"snoozed_until": until.isoformat()})
    assert answer.status_code == 200, answer.text
    columns = select(Notification.read_on, Notification.snoozed_until.is_not(None))
    assert clean.rows(columns) == [(None, True)]


def test_a_snooze_can_be_taken_back_and_what_is_read_stays_read(clean: Crm) -> None:
    row = notification(clean, NOW, NOW + DAY)
    clean.client("ana").rest("PUT", f"notification/{row.id}", {"snoozed_until": None})
    assert clean.rows(select(Notification.read_on, Notification.snoozed_until)) == [(NOW, None)]
    until = (datetime.now(UTC) + DAY).isoformat()
    clean.client("ana").rest("PUT", f"notification/{row.id}", {"snoozed_until": until, "read": True})
    assert clean.rows(select(Notification.read_on.is_not(None))) == [True]


def test_tomorrow_is_nine_in_the_morning_in_the_persons_zone() -> None:
    assert snoozed_until("tomorrow", NOW, OFFICE.zone) == next_morning(NOW, OFFICE.zone) == NOW + DAY - HOUR
