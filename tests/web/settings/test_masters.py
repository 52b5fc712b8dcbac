"""What a manager may turn: masters, office hours, SLA, business settings; and the audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain import audit, settings
from app.extensions import db
from app.models import (
    AuditEntry,
    BusinessSetting,
    Holiday,
    Lead,
    LeadSource,
    LeadStatus,
    MessageTemplate,
    OfficeRange,
    SlaPolicy,
    SlaTarget,
    SupportPage,
    TicketStatus,
)
from app.web.settings import settings_menu
from tests.web.settings import test_users_and_roles

Desk = test_users_and_roles.Desk
desk, house = test_users_and_roles.desk, test_users_and_roles.house

LISTS = [address for _label, _view, _icon, address in settings_menu.BUSINESS if address.endswith("/list/")]
ADMIN_PAGES = [address for _label, _view, _icon, address in settings_menu.BUSINESS]
VIEWS = {address: view.__name__ for _label, view, _icon, address in settings_menu.BUSINESS}
MASTER = {"label": "Walk-in", "position": "3", "is_active": "y"}


def labels(desk: Desk, model: Any) -> list[str]:
    return sorted(desk.rows(select(model.label)))


def first_id(desk: Desk, model: Any) -> int:
    return int(desk.rows(select(model.id).order_by(model.id))[0])


# --- who may


@pytest.mark.parametrize("url", ADMIN_PAGES)
def test_the_settings_open_for_those_who_may(desk: Desk, url: str) -> None:
    for who in ("root", "sid"):
        if (who, url) != ("sid", "/settings/support-pages/list/"):
            answer = desk.get(who, url)
            assert answer.status_code == 200, who
            assert " style=" not in answer.text and "onclick=" not in answer.text
    expected = 200 if url == "/settings/support-pages/list/" else 403
    assert desk.get("ana", url).status_code == expected


def test_support_pages_follow_their_own_module(desk: Desk) -> None:
    sent = {"label": "KYC", "url": "https://example.in/kyc", "description": "", "position": "1", "is_active": "y"}
    assert desk.post("ana", "/settings/support-pages/add", **sent).status_code == 403
    assert desk.post("sid", "/settings/support-pages/add", **sent).status_code == 403
    assert desk.rows(select(SupportPage)) == []
    assert desk.post("root", "/settings/support-pages/add", **sent).status_code == 302
    assert "https://example.in/kyc" in desk.get("ana", "/settings/support-pages/list/").text


def test_ana_changes_no_setting(desk: Desk) -> None:
    before = labels(desk, LeadSource)
    key = first_id(desk, LeadSource)
    assert desk.post("ana", "/settings/lead-sources/add", **MASTER).status_code == 403
    assert desk.post("ana", f"/settings/lead-sources/edit/{key}", **MASTER).status_code == 403
    assert desk.post("ana", f"/settings/lead-sources/delete/{key}").status_code == 403
    assert desk.post("ana", "/settings/business/", grace_minutes="1").status_code == 403
    assert desk.post("ana", "/settings/hours/").status_code == 403
    assert labels(desk, LeadSource) == before and desk.rows(select(BusinessSetting)) == []
    assert desk.rows(select(OfficeRange))


# --- masters


def test_a_master_is_made_renamed_and_deleted(desk: Desk) -> None:
    assert desk.post("sid", "/settings/lead-sources/add", **MASTER).status_code == 302
    key = desk.ids(LeadSource, LeadSource.label)["Walk-in"]
    desk.post("sid", f"/settings/lead-sources/edit/{key}", **{**MASTER, "label": "  Branch "})
    assert "Branch" in labels(desk, LeadSource) and "Walk-in" not in labels(desk, LeadSource)
    desk.post("sid", f"/settings/lead-sources/delete/{key}")
    assert "Branch" not in labels(desk, LeadSource)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"label": ""}, ""),
        ({"label": "   "}, ""),
        ({"label": "x" * 141}, ""),
        ({"position": "many"}, ""),
        ({"position": "99999999999999999999"}, "between -9999 and 9999"),
        ({"label": "*taken*"}, "already exists"),
    ],
)
def test_a_bad_master_is_refused_and_keeps_what_was_typed(desk: Desk, change: dict[str, str], sentence: str) -> None:
    before = labels(desk, LeadSource)
    if change.get("label") == "*taken*":
        change = {"label": before[0]}
    answer = desk.post("root", "/settings/lead-sources/add", **{**MASTER, **change})
    assert answer.status_code == 422 and sentence in answer.text
    assert f'value="{(change.get("label") or change.get("position") or "").strip()}"' in answer.text
    assert labels(desk, LeadSource) == before


@pytest.mark.parametrize("field, value", [("color", "ultraviolet"), ("meaning", "lost in space")])
def test_colour_and_meaning_come_from_the_list(desk: Desk, field: str, value: str) -> None:
    before = labels(desk, LeadStatus)
    sent = {**MASTER, "color": "teal", "meaning": "working", field: value}
    assert desk.post("root", "/settings/lead-statuses/add", **sent).status_code == 422
    assert labels(desk, LeadStatus) == before
    good = {**sent, field: "blue" if field == "color" else "new"}
    assert desk.post("root", "/settings/lead-statuses/add", **good).status_code == 302
    assert "Walk-in" in labels(desk, LeadStatus)


@pytest.mark.parametrize("model, base", [(LeadStatus, "lead-statuses"), (TicketStatus, "ticket-statuses")])
def test_the_last_status_of_a_needed_meaning_stays(desk: Desk, model: Any, base: str) -> None:
    row = desk.rows(select(model).where(model.meaning == "new"))[0]
    desk.post("root", f"/settings/{base}/delete/{row.id}")
    sent = {"label": row.label, "color": row.color, "position": "1"}
    hidden = desk.post("root", f"/settings/{base}/edit/{row.id}", **sent, meaning="new")
    turned = desk.post("root", f"/settings/{base}/edit/{row.id}", **sent, meaning="working", is_active="y")
    assert (hidden.status_code, turned.status_code) == (422, 422) and "only status" in turned.text
    again = desk.rows(select(model).where(model.id == row.id))[0]
    assert again.is_active and again.meaning == "new"


def test_a_master_in_use_is_not_deleted(desk: Desk) -> None:
    key = first_id(desk, LeadSource)
    with desk.app.app_context():
        status, root = first_id(desk, LeadStatus), desk.user("root")
        now = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
        db.session.add(
            Lead(
                number="CRM-LEAD-2026-00001",
                first_name="Asha",
                status_id=status,
                status_on=now,
                source_id=key,
                owner_id=root,
                created_on=now,
                changed_on=now,
            )
        )
        db.session.commit()
    before = labels(desk, LeadSource)
    assert desk.post("root", f"/settings/lead-sources/delete/{key}").status_code == 302
    assert "still in use" in desk.get("root", "/settings/lead-sources/list/").text
    assert labels(desk, LeadSource) == before


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://example.in", "example.in", "https://", "http://a b"])
def test_a_support_page_has_an_address_that_opens(desk: Desk, url: str) -> None:
    sent = {"label": "KYC", "url": url, "description": "", "position": "1", "is_active": "y"}
    answer = desk.post("root", "/settings/support-pages/add", **sent)
    assert answer.status_code == 422 and "http:// or https://" in answer.text
    assert desk.rows(select(SupportPage)) == []


def test_words_of_a_master_are_escaped(desk: Desk) -> None:
    evil = "<script>alert(1)</script>"
    desk.post("root", "/settings/message-templates/add", **{**MASTER, "label": evil, "channel": "sms", "body": evil})
    assert len(desk.rows(select(MessageTemplate))) == 1
    key = first_id(desk, MessageTemplate)
    for page in ("list/", f"show/{key}", f"edit/{key}"):
        assert evil not in desk.get("root", f"/settings/message-templates/{page}").text


def test_a_nul_is_refused(desk: Desk) -> None:
    before = labels(desk, LeadSource)
    assert desk.post("root", "/settings/lead-sources/add", **{**MASTER, "label": "a\0b"}).status_code == 400
    assert labels(desk, LeadSource) == before


# --- holidays and hours


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({"day": "2027-01-26"}, "already on the list"),
        ({"day": "2027-01-27", "starts": "14:00", "ends": "09:00"}, "end after it starts"),
        ({"day": "2027-01-27", "starts": "09:00"}, "both times"),
        ({"day": "soon"}, ""),
        ({"day": ""}, ""),
        ({"day": "2027-01-27", "starts": "25:00", "ends": "26:00"}, ""),
        ({"day": "99999-01-01"}, ""),
    ],
)
def test_a_bad_holiday_is_refused(desk: Desk, sent: dict[str, str], sentence: str) -> None:
    assert desk.post("root", "/settings/holidays/add", day="2027-01-26", label="Republic Day").status_code == 302
    answer = desk.post("root", "/settings/holidays/add", **{"label": "Other", **sent})
    assert answer.status_code == 422 and sentence in answer.text
    assert labels(desk, Holiday) == ["Republic Day"]


def test_a_half_day(desk: Desk) -> None:
    desk.post("root", "/settings/holidays/add", day="2026-11-08", label="Diwali", starts="09:00", ends="13:00")
    assert "13:00" in desk.get("root", "/settings/holidays/list/").text
    key = first_id(desk, Holiday)
    edited = desk.post("root", f"/settings/holidays/edit/{key}", day="2026-11-08", label="Diwali", starts="", ends="")
    assert edited.status_code == 302 and desk.rows(select(Holiday))[0].starts is None


def ranges(desk: Desk) -> list[tuple[int, str, str]]:
    rows = desk.rows(select(OfficeRange).order_by(OfficeRange.weekday, OfficeRange.starts))
    return [(row.weekday, f"{row.starts:%H:%M}", f"{row.ends:%H:%M}") for row in rows]


def save_hours(desk: Desk, **sent: Any) -> Any:
    page = desk.get("root", "/settings/hours/").text
    return desk.post("root", "/settings/hours/", seen=page.split('name="seen" value="')[1].split('"')[0], **sent)


def test_the_week_is_saved_as_a_grid(desk: Desk) -> None:
    monday = {"starts_0": ["09:00", "14:00", ""], "ends_0": ["13:00", "18:00", ""]}
    assert save_hours(desk, **monday, starts_5="09:00", ends_5="00:00").status_code == 302
    assert ranges(desk) == [(0, "09:00", "13:00"), (0, "14:00", "18:00"), (5, "09:00", "00:00")]


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({"starts_0": "18:00", "ends_0": "09:00"}, "ends before it starts"),
        ({"starts_0": "09:00", "ends_0": ""}, "two times"),
        ({"starts_0": ["09:00", "10:00"], "ends_0": ["12:00", "13:00"]}, "overlap"),
        ({"starts_6": "soon", "ends_6": "later"}, "two times"),
    ],
)
def test_bad_hours_are_refused(desk: Desk, sent: dict[str, Any], sentence: str) -> None:
    before = ranges(desk)
    answer = save_hours(desk, **sent)
    assert answer.status_code == 422 and sentence in answer.text
    typed = sent.get("starts_0", sent.get("starts_6"))
    assert f'value="{typed if isinstance(typed, str) else typed[0]}"' in answer.text
    assert ranges(desk) == before


def test_no_hours_at_all_is_said_aloud(desk: Desk) -> None:
    assert "always open" not in desk.get("root", "/settings/hours/").text
    assert save_hours(desk).status_code == 302
    assert ranges(desk) == []
    assert "No office hours: the office is treated as always open" in desk.get("root", "/settings/hours/").text


def test_old_hours_are_not_saved_over_new_ones(desk: Desk) -> None:
    before = ranges(desk)
    answer = desk.post("root", "/settings/hours/", seen="old", starts_0="07:00", ends_0="08:00")
    assert answer.status_code == 409 and 'value="07:00"' in answer.text
    assert ranges(desk) == before


def test_a_range_that_overlaps_is_refused_in_the_list_too(desk: Desk) -> None:
    before = ranges(desk)
    answer = desk.post("root", "/settings/office-ranges/add", weekday="0", starts="10:00", ends="11:00")
    assert answer.status_code == 422 and "overlap" in answer.text
    key = first_id(desk, OfficeRange)
    edited = desk.post("root", f"/settings/office-ranges/edit/{key}", weekday="0", starts="10:00", ends="09:00")
    assert edited.status_code == 422
    assert ranges(desk) == before
    more = desk.post("root", "/settings/office-ranges/add", weekday="6", starts="10:00", ends="11:00")
    assert more.status_code == 302 and (6, "10:00", "11:00") in ranges(desk)


# --- SLA


def targets(desk: Desk, policy: int) -> dict[str, tuple[int, int | None]]:
    rows = desk.rows(select(SlaTarget).where(SlaTarget.policy_id == policy))
    return {row.priority: (row.first_response_minutes, row.resolution_minutes) for row in rows}


def test_a_policy_with_its_targets(desk: Desk) -> None:
    sent = {"label": "Gold", "applies_to": "ticket", "position": "1", "is_active": "y"}
    aims = {"reply_any": "60", "solve_any": "", "reply_high": "15", "solve_high": "90"}
    assert desk.post("root", "/settings/sla/add", **sent, **aims).status_code == 302
    key = desk.ids(SlaPolicy, SlaPolicy.label)["Gold"]
    assert targets(desk, key) == {"": (60, None), "High": (15, 90)}
    assert 'value="15"' in desk.get("root", f"/settings/sla/edit/{key}").text
    desk.post("root", f"/settings/sla/edit/{key}", **sent, reply_any="", solve_any="", reply_high="20", solve_high="90")
    assert targets(desk, key) == {"High": (20, 90)}
    assert "High: 20 / 90" in desk.get("root", "/settings/sla/list/").text


@pytest.mark.parametrize(
    "aims",
    [
        {},
        {"reply_high": "90", "solve_high": "15"},
        {"solve_high": "15"},
        {"reply_high": "0"},
        {"reply_high": "soon"},
        {"reply_high": "99999999999999999999"},
    ],
)
def test_a_bad_policy_is_refused(desk: Desk, aims: dict[str, str]) -> None:
    before = labels(desk, SlaPolicy)
    sent = {"label": "Gold", "applies_to": "ticket", "position": "1", "is_active": "y", **aims}
    empty = {f"{side}_high": "" for side in ("reply", "solve")}
    assert desk.post("root", "/settings/sla/add", **{**empty, **sent}).status_code == 422
    assert labels(desk, SlaPolicy) == before


def test_a_policy_goes_with_its_targets(desk: Desk) -> None:
    key = first_id(desk, SlaPolicy)
    desk.post("root", f"/settings/sla/delete/{key}")
    assert targets(desk, key) == {} and key not in desk.rows(select(SlaPolicy.id))


# --- business settings


def stored(desk: Desk) -> dict[str, Any]:
    with desk.app.app_context():
        return {key: settings.value_of(db.session(), key) for key in settings.DEFINITIONS}


def save_business(desk: Desk, **sent: Any) -> Any:
    page = desk.get("sid", "/settings/business/").text
    version = page.split('name="version" value="')[1].split('"')[0]
    return desk.post("sid", "/settings/business/", version=version, **sent)


def test_business_settings_are_saved(desk: Desk) -> None:
    sent = {"grace_minutes": "45", "first_task_minutes.High": "30", "default_referral": "HOUSE1"}
    assert save_business(desk, **sent).status_code == 302
    after = stored(desk)
    assert after["grace_minutes"] == 45 and after["default_referral"] == "HOUSE1"
    assert after["first_task_minutes"] == {"Low": 1440, "Medium": 120, "High": 30}
    assert 'value="45"' in desk.get("sid", "/settings/business/").text


@pytest.mark.parametrize(
    "sent",
    [
        {"grace_minutes": "soon"},
        {"grace_minutes": "0"},
        {"grace_minutes": "-5"},
        {"grace_minutes": "9" * 30},
        {"lead_expiry_days": "4000"},
        {"first_task_minutes.Low": ""},
        {"default_referral": ""},
        {"default_referral": "x" * 200},
        {"default_referral": "a\nb"},
    ],
)
def test_bad_business_settings_are_refused(desk: Desk, sent: dict[str, str]) -> None:
    before = stored(desk)
    answer = save_business(desk, retry_minutes="77", **sent)
    assert answer.status_code == 422 and 'value="77"' in answer.text
    assert stored(desk) == before


def test_old_business_settings_are_not_saved_over_new_ones(desk: Desk) -> None:
    before = stored(desk)
    assert desk.post("root", "/settings/business/", version="old", grace_minutes="77").status_code == 409
    assert stored(desk) == before


# --- no address ends in a 500


@pytest.mark.parametrize("url", LISTS)
def test_odd_addresses_of_master_screens(desk: Desk, url: str) -> None:
    odd = [*test_users_and_roles.ODD, "_flt_0_label=%25", "_flt_0_position=x", "_flt_0_day=soon", "_flt_0_weekday=mon"]
    for each in odd:
        assert desk.get("root", f"{url}?{each.format(v=VIEWS[url])}").status_code == 200, each
    base = url.removesuffix("list/")
    for key in ("abc", "0", "-1", "99999999999999999999"):
        assert desk.get("root", f"{base}edit/{key}").status_code == 404
        assert desk.get("root", f"{base}show/{key}").status_code == 404
        assert desk.post("root", f"{base}delete/{key}").status_code == 404
    assert desk.post("root", f"{base}action_post", action="nothing").status_code == 404
    assert desk.get("root", f"{base}add").status_code == 200


# --- the audit


@pytest.mark.parametrize("who, status", [("root", 200), ("cora", 200), ("ana", 403), ("mia", 403), ("sid", 403)])
def test_who_reads_the_audit(desk: Desk, who: str, status: int) -> None:
    assert desk.get(who, "/audit/").status_code == status
    assert desk.post(who, "/audit/check").status_code == (302 if status == 200 else 403)


def write_entries(desk: Desk, count: int) -> None:
    with desk.app.app_context():
        root = desk.user("root")
        for number in range(count):
            at = datetime(2026, 11, 23, 4, 30, number % 60, tzinfo=UTC)
            with test_users_and_roles.access.as_system(db.session()) as session:
                audit.write(session, "reveal", root, at, about=f"lead {number}", reason="<b>why</b>")
        db.session.commit()


def test_the_audit_is_narrowed_and_paged(desk: Desk) -> None:
    write_entries(desk, 60)
    page = desk.get("cora", f"/audit/?event=reveal&person={desk.user('root')}&since=2026-11-23&until=2026-11-23").text
    assert "lead 59" in page and "lead 9<" not in page and "<b>why</b>" not in page
    older = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "lead 9<" in desk.get("cora", older).text
    assert "lead 59" not in desk.get("cora", "/audit/?event=reveal&since=2027-01-01").text
    assert "lead 59" not in desk.get("cora", f"/audit/?event=reveal&person={desk.user('ana')}").text


@pytest.mark.parametrize(
    "odd",
    [
        "event=x",
        "person=abc",
        "person=99999999999999999999",
        "since=soon",
        "until=9999-12-31",
        "since=0001-01-01",
        "before=-1",
        "before=abc",
        "event=%00",
    ],
)
def test_odd_questions_to_the_audit(desk: Desk, odd: str) -> None:
    assert desk.get("root", f"/audit/?{odd}").status_code == 200


def test_the_chain_is_checked(desk: Desk) -> None:
    write_entries(desk, 3)
    desk.post("cora", "/audit/check")
    assert "The log is intact" in desk.get("cora", "/audit/").text
    with desk.app.app_context(), test_users_and_roles.access.as_system(db.session()) as session:
        session.execute(update(AuditEntry).where(AuditEntry.about == "lead 1").values(about="lead 7"))
        session.commit()
    desk.post("cora", "/audit/check")
    assert "The log was altered" in desk.get("cora", "/audit/").text
