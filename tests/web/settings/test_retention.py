"""The page of retention: admins change the days; less than the minimum is refused, and the input is kept."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.domain.maintenance.retention_kinds import KINDS
from app.models import RetentionRule
from app.web.settings.retention import LABELS
from tests.cases import each_case
from tests.web.settings_app import Site

URL = "/settings/retention/"


def save(site: Site, name: str = "root", **sent: Any) -> Any:
    version = site.get("root", URL).text.split('name="version" value="')[1].split('"')[0]
    return site.post(name, URL, version=version, **sent)


def days(site: Site) -> dict[str, int | None]:
    return {row.kind: row.days for row in site.rows(select(RetentionRule)) if row.days is not None}


def test_every_kind_has_a_label_and_a_field(site: Site) -> None:
    page = site.get("root", URL).text
    assert set(LABELS) == {kind.name for kind in KINDS}
    assert [kind.name for kind in KINDS if f'name="{kind.name.replace(" ", "_")}"' not in page] == []
    assert "ask for five years" in page


def test_the_days_are_saved_and_audited(site: Site) -> None:
    assert save(site, notifications="90", health="60").status_code == 302
    assert days(site) == {"notifications": 90, "health": 60}
    assert site.audited("retention")[-1].payload == {"days": {"health": [30, 60], "notifications": [180, 90]}}
    assert 'value="90"' in site.get("root", URL).text


@each_case(
    "sent, said",
    [
        ({"audit": "1825"}, "Please keep these for at least 1826 days. SEBI (Stock Brokers)"),
        ({"sign-ins": "179"}, "CERT-In"),
        ({"notifications": "soon"}, "Please enter a number of days from 30 to 36,500."),
        ({"notifications": "-5"}, "Please enter a number of days from 30 to 36,500."),
        ({"notifications": ""}, "Please enter a number of days from 30 to 36,500."),
        ({"notifications": "9" * 30}, "Please enter a number of days from 30 to 36,500."),
        ({"notifications": "36501"}, "Please enter at most 36500 days."),
    ],
)
def test_wrong_days_are_refused_and_what_was_typed_stays(site: Site, sent: dict[str, str], said: str) -> None:
    response = save(site, job_runs="77", **sent)
    assert response.status_code == 422 and said in response.text and 'value="77"' in response.text
    assert days(site) == {}


def test_an_outdated_page_is_a_conflict(site: Site) -> None:
    assert site.post("root", URL, version="old", notifications="90").status_code == 409
    assert days(site) == {}


@pytest.mark.parametrize("name", ["sid", "ana", "cora"])
def test_only_admins_see_and_change_it(site: Site, name: str) -> None:
    assert site.get(name, URL).status_code in (302, 403)
    assert save(site, name, notifications="90").status_code in (302, 403)
    assert days(site) == {}


def test_the_commands_show_the_days_and_count(site: Site) -> None:
    runner = site.app.test_cli_runner()
    assert "audit\t2922 days\tat least 1826" in runner.invoke(args=["retention", "list"]).output
    assert "0 rows in all. Nothing was deleted." in runner.invoke(args=["retention", "count"]).output
    assert runner.invoke(args=["version"]).output.startswith("Eshin Broking CRM 1.")
