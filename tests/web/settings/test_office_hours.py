"""Holidays and office hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.domain.working_time import office_hours
from app.domain.working_time.office_schedule import load_office
from app.extensions import db
from app.models import (
    Holiday,
    OfficeRange,
)
from tests.cases import each_case
from tests.web.settings_app import (
    Site,
    first_id,
    labels,
)


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
def test_an_invalid_holiday_is_refused(site: Site, sent: dict[str, str], sentence: str) -> None:
    assert site.post("root", "/settings/holidays/add", day="2027-01-26", label="Republic Day").status_code == 302
    response = site.post("root", "/settings/holidays/add", **{"label": "Other", **sent})
    assert response.status_code == 422 and sentence in response.text
    assert labels(site, Holiday) == ["Republic Day"]


def test_a_half_day(site: Site) -> None:
    site.post("root", "/settings/holidays/add", day="2026-11-08", label="Diwali", starts="09:00", ends="13:00")
    assert "13:00" in site.get("root", "/settings/holidays/list/").text
    key = first_id(site, Holiday)
    edited = site.post("root", f"/settings/holidays/edit/{key}", day="2026-11-08", label="Diwali", starts="", ends="")
    assert edited.status_code == 302 and site.rows(select(Holiday))[0].starts is None


def ranges(site: Site) -> list[tuple[int, str, str]]:
    rows = site.rows(select(OfficeRange).order_by(OfficeRange.weekday, OfficeRange.starts))
    return [(row.weekday, f"{row.starts:%H:%M}", f"{row.ends:%H:%M}") for row in rows]


def save_hours(site: Site, **sent: Any) -> Any:
    page = site.get("root", "/settings/hours/").text
    return site.post("root", "/settings/hours/", seen=page.split('name="seen" value="')[1].split('"')[0], **sent)


def test_the_week_is_saved_as_a_grid(site: Site) -> None:
    monday = {"starts_0": ["09:00", "14:00", ""], "ends_0": ["13:00", "18:00", ""]}
    assert save_hours(site, **monday, starts_5="09:00", ends_5="00:00").status_code == 302
    assert ranges(site) == [(0, "09:00", "13:00"), (0, "14:00", "18:00"), (5, "09:00", "00:00")]


@each_case(
    "sent, sentence",
    [
        ({"starts_0": "18:00", "ends_0": "09:00"}, "ends before it starts"),
        ({"starts_0": "09:00", "ends_0": ""}, "two times"),
        ({"starts_0": ["09:00", "10:00"], "ends_0": ["12:00", "13:00"]}, "overlap"),
        ({"starts_6": "soon", "ends_6": "later"}, "two times"),
    ],
)
def test_invalid_hours_are_refused(site: Site, sent: dict[str, Any], sentence: str) -> None:
    before = ranges(site)
    response = save_hours(site, **sent)
    assert response.status_code == 422 and sentence in response.text
    typed = sent["starts_0"] if "starts_0" in sent else sent["starts_6"]
    assert f'value="{typed if isinstance(typed, str) else typed[0]}"' in response.text
    assert ranges(site) == before


@each_case("typed", ["18.30", "18,30", "18", "18:30Z", "T18:30"])
def test_a_time_that_would_be_shortened_is_refused(site: Site, typed: str) -> None:
    refused = save_hours(site, starts_0="09:00", ends_0=typed)
    assert refused.status_code == 422 and f"not 09:00–{typed}" in refused.text


def test_the_page_warns_without_office_hours(site: Site) -> None:
    assert "always open" not in site.get("root", "/settings/hours/").text
    assert save_hours(site).status_code == 302
    assert ranges(site) == []
    assert "No office hours: the office is treated as always open" in site.get("root", "/settings/hours/").text


def test_an_outdated_page_of_hours_is_a_conflict(site: Site) -> None:
    before = ranges(site)
    response = site.post("root", "/settings/hours/", seen="old", starts_0="07:00", ends_0="08:00")
    assert response.status_code == 409 and 'value="07:00"' in response.text
    assert ranges(site) == before


def test_an_overlapping_range_is_refused_in_the_list(site: Site) -> None:
    before = ranges(site)
    response = site.post("root", "/settings/office-ranges/add", weekday="0", starts="10:00", ends="11:00")
    assert response.status_code == 422 and "overlap" in response.text
    key = first_id(site, OfficeRange)
    edited = site.post("root", f"/settings/office-ranges/edit/{key}", weekday="0", starts="10:00", ends="09:00")
    assert edited.status_code == 422
    assert ranges(site) == before
    more = site.post("root", "/settings/office-ranges/add", weekday="6", starts="10:00", ends="11:00")
    assert more.status_code == 302 and (6, "10:00", "11:00") in ranges(site)


def until_midnight(site: Site) -> Any:
    return save_hours(
        site, **{f"{side}_{day}": at for day in range(7) for side, at in (("starts", "00:00"), ("ends", "24:00"))}
    )


def test_an_office_can_be_open_until_24_00_and_never_shuts_then(site: Site) -> None:
    assert until_midnight(site).status_code == 302
    assert 'name="ends_3" value="24:00"' in site.get("root", "/settings/hours/").text
    assert "24:00" in site.get("root", "/settings/office-ranges/list/").text
    with site.app.app_context(), access.as_system(db.session()) as session:
        office = load_office(session, "Asia/Kolkata")
    assert dict(enumerate(office.week)) == dict.fromkeys(range(7), ((timedelta(0), timedelta(days=1)),))
    nights = [datetime(2026, 11, 22, 18, 29, 59, 999_999, tzinfo=UTC) + n * timedelta(seconds=15) for n in range(9)]
    assert all(office_hours.is_open(office, now) for now in nights)
    whole_week = timedelta(days=7)
    assert office_hours.open_time_between(office, nights[0], nights[0] + whole_week) == whole_week


def test_24_00_can_be_typed_wherever_an_end_is(site: Site) -> None:
    save_hours(site)
    added = site.post("root", "/settings/office-ranges/add", weekday="6", starts="18:00", ends="24:00")
    assert (added.status_code, ranges(site)) == (302, [(6, "18:00", "00:00")])
    key = first_id(site, OfficeRange)
    form = site.get("root", f"/settings/office-ranges/edit/{key}").text
    assert 'value="24:00"' in form
    half_day = {"day": "2026-11-08", "label": "Diwali", "starts": "18:00", "ends": "24:00"}
    assert site.post("root", "/settings/holidays/add", **half_day).status_code == 302
    assert "24:00" in site.get("root", "/settings/holidays/list/").text


@each_case("ends", ["24:01", "24:30", "25:00", "24", "24:00:01", "२४:००"])
def test_no_other_time_after_24_00_is_taken(site: Site, ends: str) -> None:
    before = ranges(site)
    refused = save_hours(site, starts_0="09:00", ends_0=ends)
    assert (refused.status_code, f'value="{ends}"' in refused.text, ranges(site)) == (422, True, before)
    added = site.post("root", "/settings/office-ranges/add", weekday="6", starts="18:00", ends=ends)
    assert (added.status_code, f'value="{ends}"' in added.text, ranges(site)) == (422, True, before)


def test_an_end_of_23_59_is_taken_as_it_is_but_not_in_silence(site: Site) -> None:
    save_hours(site, starts_0="00:00", ends_0="23:59")
    assert ranges(site) == [(0, "00:00", "23:59")]
    assert "closes the office for one minute each night" in site.get("root", "/settings/hours/").text
