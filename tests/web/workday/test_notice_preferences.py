"""Notification preferences: nothing is lost, and nobody changes another's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text, update

from app import access
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.models import BusinessSetting, Delivery, Notification, User
from app.web.workday.notice_kinds import GROUPS
from tests.app_fixtures import Crm
from tests.cases import each_case

URL = "notification/choices"


def chosen(crm: Crm, name: str) -> Any:
    return crm.rows(select(User).where(User.username == name))[0].notice_choices


def ticked(crm: Crm, name: str, **off: str) -> dict[str, Any]:
    """The form of the page as it stands, without what is to be taken away: kind=channel."""
    table = crm.client(name).rest("GET", URL).json
    away = {f"{kind}:{channel}" for kind, channel in off.items()}
    on = [f"{kind}:{channel}" for kind, row in table["choices"].items() for channel, wanted in row.items() if wanted]
    return {"mark": table["mark"], "on": [each for each in on if each not in away]}


def test_every_kind_has_a_label_and_a_group() -> None:
    placed = [kind for _title, kinds in GROUPS for kind in kinds]
    assert len(placed) == len(set(placed)) and set(notices.KINDS) == set(placed)


def test_only_differences_are_stored_and_reach_every_process(crm: Crm) -> None:
    before = crm.rows(text("SELECT n FROM access_version"))
    form = ticked(crm, "ana", comment="bell")
    answer = crm.client("ana").form("/bell/choices/", form | {"on": [*form["on"], "mention:email"]})
    assert answer.status_code == 302
    assert chosen(crm, "ana") == {"comment": {"bell": False}, "mention": {"email": True}}
    assert crm.rows(text("SELECT n FROM access_version")) > before
    assert chosen(crm, "ben") is None


def test_resetting_to_the_defaults(crm: Crm) -> None:
    crm.client("ana").form("/bell/choices/", ticked(crm, "ana", comment="bell"))
    form = ticked(crm, "ana")
    assert crm.client("ana").form("/bell/choices/", form | {"reset": "1"}).status_code == 302
    assert chosen(crm, "ana") is None


def test_an_outdated_window_overwrites_nothing(crm: Crm) -> None:
    ana, stale = crm.client("ana"), ticked(crm, "ana")
    ana.form("/bell/choices/", ticked(crm, "ana", status="screen"))
    answer = ana.form("/bell/choices/", stale)
    assert answer.status_code == 409 and "another window" in answer.text
    assert chosen(crm, "ana") == {"status": {"screen": False}}


def test_a_kind_unwanted_in_the_bell_is_added_as_read(crm: Crm) -> None:
    ben = crm.client("ben")
    ben.form("/bell/choices/", ticked(crm, "ben", comment="bell"))
    lead = crm.make.lead("ben")
    crm.client("root").rest("POST", "activity/", {"lead": lead.id, "text": "Hello"})
    told = crm.rows(select(Notification).where(Notification.kind == "comment"))[0]
    assert (told.user_id, told.read_on) == (crm.people["ben"].id, told.at)
    assert "added as read" in ben.screen("/bell/").text


def test_preferences_over_rest(crm: Crm) -> None:
    ana = crm.client("ana")
    seen = ana.rest("GET", URL).json
    assert seen["choices"]["mention"] == {"bell": True, "screen": True, "email": False}
    answer = ana.rest("PUT", URL, {"choices": {"mention": {"email": True}}, "mark": seen["mark"]})
    assert answer.status_code == 200 and answer.json["choices"]["mention"]["email"] is True
    assert ana.rest("PUT", URL, {"choices": {}, "mark": seen["mark"]}).status_code == 409
    assert ana.rest("PUT", URL, {"choices": {}}).status_code == 200 and chosen(crm, "ana") is None


@each_case(
    "body",
    [
        {},
        {"choices": []},
        {"choices": {"gossip": {}}},
        {"choices": {"mention": {"pigeon": True}}},
        {"choices": 1},
        {"choices": {"mention": {"bell": 1}}},
        {"choices": {"mention": []}},
        {"choices": {}, "mark": 5},
        {"user": 1},
    ],
)
def test_invalid_preferences_are_refused(crm: Crm, body: dict[str, Any]) -> None:
    answer = crm.client("ana").rest("PUT", URL, body)
    assert answer.status_code == 422 and answer.json["message"].endswith(".")
    assert chosen(crm, "ana") is None


def test_preferences_need_sign_in(crm: Crm) -> None:
    assert crm.client(None).screen("/bell/choices/").status_code == 302
    assert crm.client(None).rest("GET", URL).status_code == 401


# --- SMS and WhatsApp


def set_up_sms(crm: Crm, number: str | None = "+919820012345") -> None:
    """Notifications go out by SMS, and Ana has this mobile number."""
    way = {"sms": {"account": 1, "template": 1}}
    crm.session.add(BusinessSetting(key="notice_channels", value=way))
    crm.session.execute(update(User).where(User.username == "ana").values(mobile=number, mobile_e164=number))
    access.bump_version(crm.session)
    crm.session.commit()


def test_channels_that_nobody_set_up_are_not_offered(crm: Crm) -> None:
    page = crm.client("ana").screen("/bell/choices/").text
    assert "mention:email" in page and "mention:sms" not in page and "mobile number" not in page


def test_a_channel_that_is_set_up_is_offered_and_off(crm: Crm) -> None:
    set_up_sms(crm)
    page = crm.client("ana").screen("/bell/choices/").text
    assert 'value="mention:sms"><' in page and "mention:whatsapp" not in page
    form = ticked(crm, "ana")
    assert crm.client("ana").form("/bell/choices/", form | {"on": [*form["on"], "mention:sms"]}).status_code == 302
    assert chosen(crm, "ana") == {"mention": {"sms": True}}
    assert 'value="mention:sms" checked' in crm.client("ana").screen("/bell/choices/").text


def test_without_a_mobile_number_the_page_says_what_is_missing(crm: Crm) -> None:
    set_up_sms(crm, None)
    page = crm.client("ana").screen("/bell/choices/").text
    assert "enter your mobile number in your profile" in page and "mention:sms" not in page
    assert set(crm.client("ana").rest("GET", URL).json["choices"]["mention"]) == {"bell", "screen", "email"}


def test_rest_refuses_a_channel_that_is_not_offered(crm: Crm) -> None:
    answer = crm.client("ana").rest("PUT", URL, {"choices": {"mention": {"sms": True}}})
    assert answer.status_code == 422 and "an admin has to set up the channel" in answer.json["message"]
    set_up_sms(crm)
    answer = crm.client("ana").rest("PUT", URL, {"choices": {"mention": {"sms": True}}})
    assert answer.status_code == 200 and answer.json["choices"]["mention"]["sms"] is True


def test_choices_for_a_channel_that_is_not_offered_now_are_kept(crm: Crm) -> None:
    kept = {"mention": {"sms": True}, "status": {"whatsapp": True}}
    crm.session.execute(update(User).where(User.username == "ana").values(notice_choices=kept))
    set_up_sms(crm, None)
    form = ticked(crm, "ana", mention="bell")
    assert crm.client("ana").form("/bell/choices/", form).status_code == 302
    assert chosen(crm, "ana") == {"mention": {"bell": False, "sms": True}, "status": {"whatsapp": True}}


def test_the_delivery_log_has_the_channels_that_are_set_up(crm: Crm) -> None:
    notify = NoticeEvent("mention", "k", [crm.people["ana"].id], {"number": "X"})
    notices.notify(crm.session, notify, datetime.now(UTC))
    crm.session.commit()
    assert "SMS</dt>" not in crm.client("ana").screen("/bell/").text
    set_up_sms(crm)
    page = crm.client("ana").screen("/bell/").text
    assert "SMS</dt>" in page and "this kind of notification is turned off for this channel" in page
    key = crm.rows(select(Notification.id))[0]
    crm.session.add(
        Delivery(notification_id=key, channel="whatsapp", state="dropped", at=datetime.now(UTC), error="It is late.")
    )
    crm.session.commit()
    page = crm.client("ana").screen("/bell/").text
    assert "WhatsApp</dt>" in page and "Not sent: It is late." in page and "will be retried" not in page
