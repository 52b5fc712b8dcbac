"""Input of people and programs to endpoints: dates, times, numbers, URLs; refused rather than guessed."""

from __future__ import annotations

from typing import Any

import pytest

from app.lib import phone
from app.lib.mail_addresses import is_email
from tests.app_fixtures import Crm
from tests.cases import each_case


@each_case(
    "typed, stored",
    [
        ("1990-05-20", "1990-05-20"),
        ("1990-05-20T00:00:00", "1990-05-20"),
        ("1990-05-19T18:30:00Z", "1990-05-20"),  # midnight in Mumbai
        ("1990-05-19T18:30:00.000+00:00", "1990-05-20"),
        ("1990-05-20T00:00:00+05:30", "1990-05-20"),
        ("1990-05-20 10:00", "1990-05-20"),
        ("19900520", None),
        ("1990-05-20junk", None),
        ("1990-05-20T99:00", None),
        ("1990-W20-7", None),
        ("2199-01-01", None),
        ("1899-12-31", None),
        (643161600000, None),
    ],
)
def test_a_date_of_birth(crm: Crm, typed: Any, stored: str | None) -> None:
    body = {"first_name": "Asha", "mobile": crm.make.mobile(), "date_of_birth": typed}
    answer = crm.client("ana").rest("POST", "lead/", body)
    if stored is None:
        assert answer.status_code == 422 and "date_of_birth" in answer.json["errors"], answer.text
        page = crm.client("ana").form("/leads/add", {**body, "date_of_birth": str(typed)})
        assert page.status_code == 422 and "Asha" in page.text
    else:
        assert answer.status_code == 201 and answer.json["result"]["date_of_birth"] == stored, answer.text


@each_case("typed", [1764123456789, "1764123456789", "20261120T100000", "1764-12-03", 20261120, 1.7e12])
def test_a_start_that_is_no_date(crm: Crm, typed: Any) -> None:
    body = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "from_number": "9820012346"}
    answer = crm.client("ana").rest("POST", "call_log/", body | {"started_on": typed})
    assert answer.status_code == 422 and "started_on" in answer.json["errors"], answer.text


@each_case(
    "typed",
    [
        "9820012345;9820054321",
        "9820012345 / 9820054321",
        "9820012345, 9820054321",
        "9820012345 or 9820054321",
        "9820012345 9820054321",
        "+919820012345+919820054321",
        "022-40001234/40001235",
    ],
)
def test_two_numbers_in_one_field(crm: Crm, typed: str) -> None:
    assert phone.normalize(typed) is None
    for name in ("mobile", "alternative_mobile"):
        answer = crm.client("ana").rest("POST", "lead/", {"first_name": "Asha", name: typed})
        assert answer.status_code == 422 and name in answer.json["errors"], answer.text


@pytest.mark.parametrize("typed", ["9820012345 ext 5", "98200 12345 x77", "022 2345 6789 extension 12"])
def test_an_extension_is_not_dropped_in_silence(crm: Crm, typed: str) -> None:
    answer = crm.client("ana").rest("POST", "lead/", {"first_name": "Asha", "mobile": typed})
    assert answer.status_code == 422 and "extension" in answer.get_json()["errors"]["mobile"][0]


@pytest.mark.parametrize("field", ["next_follow_up_on", "date_of_birth"])
@pytest.mark.parametrize("typed", ["2026-11-27 18.30", "2026-11-27T18,30", "2026-11-27T18"])
def test_a_time_is_not_shortened_in_silence(crm: Crm, field: str, typed: str) -> None:
    answer = crm.client("ana").rest("POST", "lead/", {"first_name": "Asha", field: typed})
    assert answer.status_code == 422 and field in answer.get_json()["errors"]


@pytest.mark.parametrize("typed", ["+91 98200-12345", "098200 12345", "tel:+919820012345", "+91 (98200) 12345"])
def test_one_number(typed: str) -> None:
    assert phone.normalize(typed) == "+919820012345"


ADDRESSES = {
    "a@b.in": True,
    "first.last+tag@mail.example.co.in": True,
    "आशा@उदाहरण.भारत": True,
    "o'neil@x.ie": True,
    "a@b..in": False,
    "a@.b.in": False,
    "a@b.in.": False,
    "a@b": False,
    "@b.in": False,
    "a..b@c.in": False,
    ".a@c.in": False,
    "a.@c.in": False,
    "a@b@c.in": False,
    "a b@c.in": False,
    "a@-b.in": False,
    "a@b-.in": False,
    "a@b.in,c@d.in": False,
    "<a@b.in>": False,
    "a@1.2.3.4": False,
    "a" * 65 + "@b.in": False,
}


@each_case("typed", ADDRESSES)
def test_an_address(crm: Crm, typed: str) -> None:
    assert is_email(typed) is ADDRESSES[typed]
    wanted = 201 if ADDRESSES[typed] else 422
    lead = crm.client("ana").rest("POST", "lead/", {"first_name": "Asha", "email": typed})
    sent = crm.client("ana").rest(
        "POST", "message/", {"channel": "email", "peer": typed, "body": "Text", "noted": True}
    )
    assert (lead.status_code, sent.status_code) == (wanted, wanted), (lead.text, sent.text)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_json_body_is_read_whatever_it_is_called(crm: Crm, kind: str) -> None:
    client, headers = crm.client("ana"), {"Content-Type": kind} if kind else {}
    body = f'{{"first_name": "Asha", "mobile": "{crm.make.mobile()}"}}'
    made = client.rest("POST", "lead/", data=body, headers=headers)
    assert made.status_code == 201, made.text
    changed = client.rest("PUT", f"lead/{made.json['id']}", data='{"last_name": "Rao"}', headers=headers)
    assert changed.status_code == 200 and changed.json["result"]["last_name"] == "Rao", changed.text
    if kind == "application/x-www-form-urlencoded":
        return  # with a cookie, the check of the token has read the body as a form; such a body is refused
    page = client.browser.put(
        f"/api/v1/lead/{made.json['id']}",
        data='{"last_name": "Iyer"}',
        headers=headers | {"X-CSRFToken": client.token},
    )
    assert page.status_code == 200 and page.json["result"]["last_name"] == "Iyer", page.text
