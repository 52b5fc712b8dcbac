"""Filters that scripts of the predecessor send: every operator, on every kind of field."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from app.web.compat.doctypes import DOCTYPES
from tests.app_fixtures import Crm
from tests.web.compat.test_client import Script


@pytest.fixture
def script(crm: Crm) -> Script:
    """Ana's, with a lead, two calls, a task and a note."""
    lead = crm.make.lead("ana", first_name="Asha", last_name="Rao_X", mobile="98112 34567", email="asha@example.com")
    crm.make.lead("ana", first_name="Bina", last_name=None, mobile="98200 12345", task={})
    crm.make.call("ana", from_number="+919811234567", to_number="9820099999", direction="Incoming", duration_seconds=7)
    crm.make.call("ana", from_number="9820099999", to_number="0 98200 77777", direction="Outgoing", duration_seconds=70)
    crm.client("ana").rest("POST", "activity/", {"lead": lead.id, "text": "Met\nat the fair 50%"})
    return Script(crm)


LEADS: list[tuple[Any, list[str]]] = [
    ({"lead_name": "Asha Rao_X"}, ["Asha"]),
    ({"lead_name": ["like", "%rao%"]}, ["Asha"]),
    ({"lead_name": ["like", "Asha R%"]}, ["Asha"]),
    ({"lead_name": ["not like", "%rao%"]}, ["Bina"]),
    ({"lead_name": ["in", ["Bina", "X"]]}, ["Bina"]),
    ({"lead_name": ["!=", "Bina"]}, ["Asha"]),
    ({"mobile_no": ["like", "98112%"]}, ["Asha"]),
    ({"mobile_no": ["like", "098112%"]}, ["Asha"]),
    ({"mobile_no": ["like", "+9198112%"]}, ["Asha"]),
    ({"mobile_no": ["like", "9198112%"]}, ["Asha"]),
    ({"mobile_no": ["like", "98112 3%"]}, ["Asha"]),
    ({"mobile_no": ["like", "%34567"]}, ["Asha"]),
    ({"mobile_no": ["like", "%1234%"]}, ["Asha", "Bina"]),
    ({"mobile_no": ["not like", "%34567"]}, ["Bina"]),
    ({"mobile_no": ["in", ["9811234567", "1"]]}, ["Asha"]),
    ({"mobile_no": ["not in", ["9811234567"]]}, ["Bina"]),
    ({"email": ["like", "%@example.com"]}, ["Asha"]),
    ({"email": ["like", "ASHA%"]}, ["Asha"]),
    ({"email": ["not like", "%example%"]}, ["Bina"]),
    ({"email": ["is", "not set"]}, ["Bina"]),
    ({"last_name": ["like", "%o_X%"]}, ["Asha"]),
    ({"last_name": ["like", "%o\\_X"]}, ["Asha"]),
    ({"first_name": ["like", "%a_h%"]}, ["Asha"]),
    ({"first_name": ["like", "A_ha"]}, ["Asha"]),
    ({"first_name": ["like", "A%h%"]}, ["Asha"]),
    ({"status": ["not in", ["Junk"]]}, ["Asha", "Bina"]),
    ({"status": ["like", "%ew"]}, ["Asha", "Bina"]),
    ({"status": ["not like", "N%"]}, []),
    ({"docstatus": 0}, ["Asha", "Bina"]),
    ({"docstatus": ["<", 2]}, ["Asha", "Bina"]),
    ({"docstatus": 1}, []),
    ({"docstatus": ["!=", 2]}, ["Asha", "Bina"]),
    ({"idx": 0}, ["Asha", "Bina"]),
    ({"_assign": ["like", "%ana@eshin.test%"]}, ["Asha", "Bina"]),
    ({"_assign": ["like", '%"ben@eshin.test"%']}, []),
    ({"_assign": ["is", "set"]}, ["Asha", "Bina"]),
    ({"assign_to": "ana@eshin.test"}, ["Asha", "Bina"]),
    ({"assign_to": "ana"}, ["Asha", "Bina"]),
    ({"assign_to": "ANA@Eshin.test"}, ["Asha", "Bina"]),
    ({"lead_owner": ["like", "ana%"]}, ["Asha", "Bina"]),
    ({"lead_owner": ["in", ["ben@eshin.test"]]}, []),
    ({"name": ["like", "CRM-LEAD-%"]}, ["Asha", "Bina"]),
    ({"name": ["like", "%00002"]}, ["Bina"]),
    ({"name": ["not in", ["CRM-LEAD-2026-00002"]]}, ["Asha"]),
    ({"name": [">", "CRM-LEAD-2026-00001"]}, ["Bina"]),
    ({"creation": ["timespan", "this year"]}, ["Asha", "Bina"]),
    ({"creation": ["Timespan", "last 90 days"]}, ["Asha", "Bina"]),
    ({"creation": ["timespan", "next month"]}, []),
    ({"creation": ["like", "2026-11-23%"]}, ["Asha", "Bina"]),
    ({"creation": "2026-11-23 10:00"}, ["Asha", "Bina"]),
    ({"creation": "2026-11-23 10:00:00"}, ["Asha", "Bina"]),
    ({"creation": ["between", "2026-11-23,2026-11-23"]}, ["Asha", "Bina"]),
    ({"creation": ["not in", ["2026-11-23"]]}, []),
]


def test_filters_of_leads(script: Script) -> None:
    found = {}
    for filters, _expected in LEADS:
        asked = {"doctype": "CRM Lead", "filters": filters}
        names = script.result("get_list", **asked, pluck="first_name", order_by="first_name asc")
        as_list = [[name, *(value if isinstance(value, list) else ["=", value])] for name, value in filters.items()]
        counts = {script.result("get_count", **asked | {"filters": each}) for each in (filters, as_list)}
        found[str(filters)] = names, counts
    assert found == {str(filters): (expected, {len(expected)}) for filters, expected in LEADS}


OTHERS: list[tuple[str, Any, int]] = [
    ("CRM Call Log", {"from": "9811234567"}, 1),
    ("CRM Call Log", {"from": "+91 98112 34567"}, 1),
    ("CRM Call Log", {"from": ["like", "%4567"]}, 1),
    ("CRM Call Log", {"to": "9820077777"}, 1),
    ("CRM Call Log", {"to": ["in", ["09820077777"]]}, 1),
    ("CRM Call Log", {"to": ["not like", "98200%"]}, 0),
    ("CRM Call Log", {"customer": ["like", "98112%"]}, 1),
    ("CRM Call Log", {"duration": [">", 10]}, 1),
    ("CRM Call Log", {"duration": ["between", [5, 10]]}, 1),
    ("CRM Call Log", {"duration": ["not in", [7]]}, 1),
    ("CRM Call Log", {"type": ["like", "In%"]}, 1),
    ("CRM Call Log", {"employee": "ana@eshin.test"}, 2),
    ("CRM Call Log", {"modified": [">", "2020-01-01"]}, 2),
    ("CRM Task", {"_assign": ["like", "%ana@eshin.test%"]}, 1),
    ("CRM Task", {"title": ["not like", "%zzz%"]}, 1),
    ("FCRM Note", {"content": ["like", "%fair%"]}, 1),
    ("FCRM Note", {"content": ["like", "%50\\%"]}, 1),
    ("FCRM Note", {"content": "at the fair 50%"}, 1),
    ("FCRM Note", {"title": "Met"}, 1),
    ("FCRM Note", {"title": ["like", "%fair%"]}, 0),
    ("FCRM Note", {"title": ["not like", "M%"]}, 0),
    ("FCRM Note", {"modified": [">", "2020-01-01"]}, 1),
    ("FCRM Note", {"owner": "ana@eshin.test"}, 1),
]


def test_filters_of_other_documents(script: Script) -> None:
    found = {}
    for doctype, filters, _count in OTHERS:
        asked = {"doctype": doctype, "filters": filters}
        rows = script.result("get_list", **asked, order_by="modified desc")
        found[doctype, str(filters)] = script.result("get_count", **asked), len(rows)
    assert found == {(doctype, str(filters)): (count, count) for doctype, filters, count in OTHERS}


def test_every_document_sorts_by_modified(script: Script, crm: Crm) -> None:
    root = Script(crm, "root")
    for doctype, direction in itertools.product(DOCTYPES, ("asc", "desc")):
        found = root.result("get_list", doctype=doctype, fields=["modified"], order_by=f"modified {direction}")
        times = [each["modified"] for each in found]
        assert None not in times and times == sorted(times, reverse=direction == "desc"), doctype


REFUSED = [
    ("CRM Lead", {"mobile_no": [">", "98"]}, "mobile_no"),
    ("CRM Lead", {"pan_card_number": ["like", "A%"]}, "pan_card_number"),
    ("CRM Lead", {"lead_name": [">", "A"]}, "lead_name"),
    ("CRM Lead", {"salutation": "Mr"}, "salutation"),
    ("CRM Call Log", {"duration": ["like", "1%"]}, "duration"),
    ("CRM Lead", {"assign_to": "nobody@eshin.test"}, "assign_to"),
    ("CRM Lead", {"status": "No such"}, "status"),
    ("CRM Lead", {"creation": ["timespan", "whenever"]}, "whenever"),
    ("CRM Lead", {"first_name": ["like", "%" * 9]}, "first_name"),
    ("CRM Lead", {"first_name": ["like", "x" * 300]}, "first_name"),
    ("CRM Lead", {"_assign": [">", "a"]}, "_assign"),
    ("CRM Lead", {"first_name": ["ancestors of", "a"]}, "ancestors of"),
]


def test_a_refusal_names_the_field_of_the_client(script: Script) -> None:
    for doctype, filters, named in REFUSED:
        response = script.call("get_list", doctype=doctype, filters=filters)
        assert response.status_code == 417 and named in response.get_json()["exception"], (filters, response.text)


# --- the ends of days


@pytest.mark.parametrize(
    ("moment", "filters", "fits"),
    [
        ("23:59:59.900000", ["between", ["2026-11-20", "2026-11-20"]], True),
        ("23:59:59.900000", ["between", ["2026-11-20 00:00:00", "2026-11-20 23:59:59"]], True),
        ("23:59:59.900000", ["<=", "2026-11-20 23:59:59"], True),
        ("23:59:59.900000", "2026-11-20", True),
        ("23:59:59.900000", ["between", ["2026-11-21", "2026-11-21"]], False),
        ("00:00:00", ["between", ["2026-11-20", "2026-11-20"]], True),
        ("00:00:00", ["between", ["2026-11-19", "2026-11-19"]], False),
        ("14:03:22.500000", "2026-11-20 14:03:22", True),
        ("14:03:22.500000", "2026-11-20 14:03", True),
        ("14:03:22.500000", "2026-11-20 14:03:23", False),
        ("14:03:22.500000", ["!=", "2026-11-20 14:03"], False),
    ],
)
def test_a_time_means_its_whole_day_minute_or_second(crm: Crm, moment: str, filters: Any, fits: bool) -> None:
    local = datetime.fromisoformat(f"2026-11-20 {moment}+05:30")
    crm.make.call("ana", started_on=local.astimezone(UTC))
    script = Script(crm)
    assert script.result("get_count", doctype="CRM Call Log", filters={"start_time": filters}) == int(fits)
    if filters[0] == "between" and "00:" not in str(filters):
        days = {"from_date": filters[1][0], "to_date": filters[1][1]}
        own = script.browser.post(
            "/api/method/crm.api.mobile_sync.get_user_call_logs", json=days, headers=script.headers
        ).get_json()["message"]
        assert len(own["data"]) == int(fits)
