"""The business settings page."""

from __future__ import annotations

from typing import Any

from app.domain import business_settings
from app.extensions import db
from tests.cases import each_case
from tests.web.settings_app import (
    Site,
)


def stored(site: Site) -> dict[str, Any]:
    with site.app.app_context():
        return {key: business_settings.value_of(db.session(), key) for key in business_settings.DEFINITIONS}


def save_business(site: Site, **sent: Any) -> Any:
    page = site.get("sid", "/settings/business/").text
    version = page.split('name="version" value="')[1].split('"')[0]
    return site.post("sid", "/settings/business/", version=version, **sent)


def test_business_settings_are_saved(site: Site) -> None:
    sent = {"grace_minutes": "45", "first_task_minutes.High": "30", "default_referral": "HOUSE1"}
    assert save_business(site, **sent).status_code == 302
    after = stored(site)
    assert after["grace_minutes"] == 45 and after["default_referral"] == "HOUSE1"
    assert after["first_task_minutes"] == {"Low": 1440, "Medium": 120, "High": 30}
    assert 'value="45"' in site.get("sid", "/settings/business/").text


@each_case(
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
def test_invalid_business_settings_are_refused(site: Site, sent: dict[str, str]) -> None:
    before = stored(site)
    response = save_business(site, retry_minutes="77", **sent)
    assert response.status_code == 422 and 'value="77"' in response.text
    assert stored(site) == before


def test_an_outdated_page_of_settings_is_a_conflict(site: Site) -> None:
    before = stored(site)
    assert site.post("root", "/settings/business/", version="old", grace_minutes="77").status_code == 409
    assert stored(site) == before
