"""The bell has whole sentences for every kind, and a snoozed notice returns on time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count as count_up
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask_babel import Babel
from sqlalchemy import select

from app.domain.base import RuleBroken
from app.domain.notifications import notices
from app.domain.notifications.notices import KINDS
from app.models import Delivery, Notification
from app.notice_texts import TEXTS, text_of
from app.web.workday import notice_kinds
from app.web.workday.bell import PAGE_ROWS, snooze_end
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import DAY, HOUR, MINUTE, NOW, OFFICE

SAYS = {"reason": "The disk is full.", "number": "CRM-LEAD-2026-00007", "title": "Call back"}


@pytest.fixture
def speaking() -> Iterator[None]:
    app = Flask("bell")
    Babel(app)
    with app.test_request_context():
        yield


def said(kind: str, **more: object) -> str:
    return text_of(SimpleNamespace(kind=kind, payload=SAYS | more))


@each_case("kind", KINDS)
def test_every_kind_has_its_icon_and_names_the_actor(speaking: Any, kind: Any) -> None:
    assert kind in notice_kinds.KINDS
    named = text_of(SimpleNamespace(kind=kind, payload=SAYS), actor="Mia Shah", taker="Ben Shah", label="Contacted")
    assert named.endswith(".") and "%(" not in named


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("assigned", "Mia Shah assigned CRM-LEAD-2026-00007 to you."),
        ("unassigned", "Mia Shah assigned CRM-LEAD-2026-00007 to Ben Shah."),
        ("status", "Mia Shah moved CRM-LEAD-2026-00007 to “Contacted”."),
        ("mention", "Mia Shah mentioned you on CRM-LEAD-2026-00007."),
        ("task_assigned", "Mia Shah assigned you the task “Call back” (CRM-LEAD-2026-00007)."),
    ],
)
def test_the_sentence_names_the_actor(speaking: Any, kind: Any, sentence: Any) -> None:
    row = SimpleNamespace(kind=kind, payload=SAYS)
    assert text_of(row, actor="Mia Shah", taker="Ben Shah", label="Contacted") == sentence


@each_case("kind", KINDS)
def test_every_kind_has_its_sentence(speaking: Any, kind: Any) -> None:
    assert said(kind).endswith(".")
    assert "%(" not in said(kind)
    assert text_of(SimpleNamespace(kind=kind, payload={}))


def test_an_unknown_kind_has_no_sentence() -> None:
    assert set(TEXTS) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "minutes", "sentence"),
    [
        ("task_due", 60, "“Call back” is due in 60 minutes."),
        ("task_due", 1, "“Call back” is due in 1 minute."),
        ("task_due", 0, "“Call back” is due now."),
        ("task_due", -20, "“Call back” was due 20 minutes ago."),
        ("task_overdue", -61, "“Call back” is overdue by 1 hour."),
        ("task_overdue", -4320, "“Call back” is overdue by 3 days."),
    ],
)
def test_a_reminder_states_the_actual_time(speaking: Any, kind: Any, minutes: Any, sentence: Any) -> None:
    assert said(kind, minutes=minutes) == sentence


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        (30, "The KYC of CRM-LEAD-2026-00007 has to be renewed within 30 days."),
        (1, "The KYC of CRM-LEAD-2026-00007 has to be renewed within 1 day."),
        (0, "The KYC of CRM-LEAD-2026-00007 has to be renewed today."),
        (-1, "The KYC of CRM-LEAD-2026-00007 had to be renewed 1 day ago."),
        (-9, "The KYC of CRM-LEAD-2026-00007 had to be renewed 9 days ago."),
    ],
)
def test_a_reminder_of_kyc_says_how_much_time_is_left(speaking: Any, days: int, sentence: str) -> None:
    assert said("rekyc", days=days) == sentence


def test_several_tasks_are_counted(speaking: Any) -> None:
    assert said("task_assigned", tasks=3) == "3 overdue tasks of CRM-LEAD-2026-00007 were assigned to you."


@pytest.mark.parametrize(
    ("asked", "moment"), [("15m", NOW + 15 * MINUTE), ("1h", NOW + HOUR), ("tomorrow", NOW + DAY - HOUR)]
)
def test_snooze_durations(speaking: Any, asked: Any, moment: Any) -> None:
    assert snooze_end(asked, NOW, OFFICE.zone) == moment


def test_an_unknown_snooze_is_refused(speaking: Any) -> None:
    with pytest.raises(RuleBroken):
        snooze_end("forever", NOW, OFFICE.zone)


# --- at the endpoint

_serial = count_up(1)


def tell(crm: Crm, who: str, about: Any, kind: str = "comment", count: int = 1, by: str | None = None) -> list[int]:
    """That many notices about the record; answers their ids."""
    session, user = crm.session, crm.people[who].id
    actor = crm.people[by].id if by else None
    session.commit()
    for _ in range(count):
        key = f"{kind}:{next(_serial)}"
        notices.notify(
            session, notices.NoticeEvent(kind, key, (user,), {"number": about.number}, about, actor), datetime.now(UTC)
        )
    session.commit()
    mine = select(Notification.id).where(Notification.user_id == user, Notification.kind == kind)
    return list(session.scalars(mine.order_by(Notification.id.desc()).limit(count)))


def unread(crm: Crm, who: str) -> int:
    return int(crm.client(who).screen("/bell/count").json["unread"])


def row_of(crm: Crm, key: int) -> Any:
    return crm.rows(select(Notification).where(Notification.id == key))[0]


def test_all_notices_of_a_record_are_read_or_snoozed_together(crm: Crm) -> None:
    first, second = crm.make.lead("ana"), crm.make.lead("ana")
    crm.client("ana").form("/bell/read")
    tell(crm, "ana", first, count=3)
    tell(crm, "ana", second, count=2)
    crm.client("ana").form("/bell/read", {"about": f"lead_id:{first.id}"})
    assert unread(crm, "ana") == 2
    crm.client("ana").form("/bell/snooze", {"about": f"lead_id:{second.id}", "until": "1h"})
    assert unread(crm, "ana") == 0
    assert len(re.findall("snoozed until", crm.client("ana").screen("/bell/?show=snoozed").text)) >= 2


def test_a_snoozed_notice_returns_on_top(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    ana.form("/bell/read")
    (old,) = tell(crm, "ana", lead, "mention")
    ana.form("/bell/snooze", {"ids": old, "until": "15m"})
    tell(crm, "ana", lead, "comment", 40)
    assert unread(crm, "ana") == 40 and "mentioned" not in ana.screen("/bell/panel").text
    ana.form("/bell/snooze", {"ids": old, "until": "now"})
    assert unread(crm, "ana") == 41
    panel = ana.screen("/bell/panel").text
    assert 0 < panel.index("mentioned") < panel.index("A note was added") and "snooze ended" in panel


@pytest.mark.parametrize("path", ["/bell/read", "/bell/snooze"])
@each_case("form", [{"ids": "{id}"}, {"about": "lead_id:{lead}"}, {}], ids=["ids", "about", "all"])
def test_notices_of_others_cannot_be_read_or_snoozed(crm: Crm, path: str, form: dict[str, str]) -> None:
    lead = crm.make.lead("ana")
    (key,) = tell(crm, "ana", lead)
    before = crm.stored(row_of(crm, key))
    sent = {name: text.format(id=key, lead=lead.id) for name, text in form.items()}
    for name in ("ben", "root"):
        crm.client(name).form(path, sent | {"until": "1h"})
        crm.client(name).form(f"/bell/read/{key}")
        assert crm.client(name).rest("PUT", f"notification/{key}", {"read": True}).status_code == 404
    assert crm.stored(row_of(crm, key)) == before


def test_the_log_shows_no_notices_of_others(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    (key,) = tell(crm, "ana", lead)
    crm.session.add(Delivery(notification_id=key, channel="email", state="failed", at=NOW, error="Mailbox full."))
    crm.session.commit()
    for name in ("ben", "root"):
        assert "Mailbox full" not in crm.client(name).screen("/bell/").text
        assert crm.client(name).rest("GET", f"notification/{key}").status_code == 404
    answer = crm.client("ana").rest("GET", f"notification/{key}").json["result"]
    assert answer["deliveries"][0]["error"] == "Mailbox full."


@pytest.mark.parametrize(
    ("channel", "state", "words"),
    [
        ("screen", "shown", "Shown Mon 23 Nov"),
        ("email", "queued", "Waiting since"),
        ("email", "sent", "Sent Mon"),
        ("email", "failed", "No such address."),
        ("email", "unknown", "is not resent"),
    ],
)
def test_the_delivery_log_of_a_notice(crm: Crm, channel: str, state: str, words: str) -> None:
    (key,) = tell(crm, "ana", crm.make.lead("ana"))
    error = "No such address." if state == "failed" else None
    crm.session.add(Delivery(notification_id=key, channel=channel, state=state, at=NOW, error=error))
    crm.session.commit()
    assert words in crm.client("ana").screen("/bell/?kind=comment").text


def test_all_notices_are_paged_and_filtered(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    tell(crm, "ana", lead, "comment", PAGE_ROWS + 5)
    (mention,) = tell(crm, "ana", lead, "mention", by="mia")
    first = ana.screen("/bell/?kind=comment").text
    older = re.findall(r'href="(/bell/\?kind=comment&amp;before=\d+)"', first)[0].replace("&amp;", "&")
    assert first.count("notice-text") == PAGE_ROWS and ana.screen(older).text.count("notice-text") == 5
    assert "Mia Shah mentioned you" in ana.screen("/bell/?kind=mention").text
    ana.form(f"/bell/read/{mention}")
    assert "mentioned" not in ana.screen("/bell/?show=unread").text.partition("notices-day")[2]


@each_case("query", ["show=x", "kind=gossip", "before=x", "before=-1", "kind=%00"])
def test_an_unknown_filter_is_refused(crm: Crm, query: str) -> None:
    assert crm.client("ana").screen(f"/bell/?{query}").status_code == 400


@each_case("form", [{"ids": "x"}, {"about": "user_id:1"}, {"about": "lead_id:x"}, {"id": "1 or 1"}])
def test_invalid_ids_mark_nothing(crm: Crm, form: dict[str, str]) -> None:
    tell(crm, "ana", crm.make.lead("ana"))
    before = unread(crm, "ana")
    for path in ("/bell/read", "/bell/snooze"):
        assert crm.client("ana").form(path, form | {"until": "1h"}).status_code == 422
    assert unread(crm, "ana") == before


def test_without_access_the_notice_links_to_no_record(crm: Crm) -> None:
    lead = crm.make.give(crm.make.lead("ben"), "ana")
    tell(crm, "ana", lead)
    crm.make.give(lead, "ben")
    assert f"/leads/{lead.number}" not in crm.client("ana").screen("/bell/").text


def test_an_address_that_is_none_leads_to_all_notices(crm: Crm) -> None:
    answer = crm.client("ana").form("/bell/read", headers={"Referer": "//["})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/bell/")
