"""The settings of the monthly disclosure are called as their page, and a running clock has room for its words."""

from __future__ import annotations

import re
from pathlib import Path

from app.models import Complaint, DataRequest
from app.web.compliance.deadline_fields import AnswerDueField
from app.web.core.view_registry import views_of
from app.web.records.complaint_fields import ClockField
from app.web.settings import settings_menu
from tests.app_fixtures import Crm

CSS = Path(__file__).parents[3] / "app" / "static" / "css" / "list.css"


def test_the_settings_of_the_disclosure_have_one_name(crm: Crm) -> None:
    page = crm.client("root").screen("/settings/disclosure/").text
    with crm.app.test_request_context():
        [label] = [str(each.label) for each in settings_menu.BUSINESS if each.name == "settings-disclosure"]
    assert label == "Monthly disclosure" and "<h1>Monthly disclosure</h1>" in page
    assert "Settings: Monthly disclosure" in crm.client("rhea").screen("/complaints/?tab=pending").text


def test_columns_of_running_clocks_are_wide_enough_for_days_overdue(crm: Crm) -> None:
    [names] = re.findall(r"\.kind-date\.kind-date:is\(([^)]+)\) \{ width: 9\.5rem", CSS.read_text())
    wide = {name.strip().removeprefix(".col-") for name in names.split(",")}
    with crm.app.app_context():
        tables = [views_of(model)[0].service.record_table for model in (Complaint, DataRequest)]
        fields = [each for table in tables for each in table.by_name.values()]
    assert {each.name for each in fields if isinstance(each, ClockField | AnswerDueField)} == wide
