"""Pictures of people and customers: who sets them, where they are shown, and when they are deleted."""

from __future__ import annotations

import io
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from app.domain.audit_log.audit import AuditEntry
from app.models import Customer, User
from tests import sample_uploads
from tests.app_fixtures import Crm
from tests.web.records.test_files import by_script

JPEG = sample_uploads.picture((400, 300))


def post(crm: Crm, who: str, url: str, content: bytes = JPEG) -> Any:
    """Send a picture."""
    client = crm.client(who)
    sent = {"csrf_token": client.token, "picture": FileStorage(io.BytesIO(content), "face.jpg")}
    boundary, body = encode_multipart(MultiDict(sent))
    return client.browser.post(url, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def picture_of(crm: Crm, who: str) -> str:
    """The address of a user's picture; "" without one."""
    crm.session.rollback()
    (digest,) = crm.rows(select(User.picture).where(User.id == crm.id_of(who)))
    return f"/pictures/user/{crm.id_of(who)}/{digest}" if digest else ""


def test_a_picture_is_set_by_those_above_and_goes_with_the_account(crm: Crm) -> None:
    ana = f"/pictures/of/{crm.id_of('ana')}"
    for who, url, status in (
        ("mia", ana, 302),
        ("root", ana, 302),
        ("ben", ana, 403),
        ("ana", f"/pictures/of/{crm.id_of('mia')}", 403),
        ("mia", f"/pictures/of/{crm.id_of('root')}", 403),
        ("root", "/pictures/of/999999", 404),
    ):
        assert post(crm, who, url).status_code == status, (who, url)
        assert crm.client(who).screen(url).status_code == (200 if status == 302 else status)
    shown = picture_of(crm, "ana")
    post(crm, "root", ana, b"<svg onload=alert(1)>")
    assert picture_of(crm, "ana") == shown != ""
    answer = crm.client("ben").screen(shown)
    assert (answer.mimetype, answer.data[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert "immutable" in answer.headers["Cache-Control"]
    told = crm.rows(select(AuditEntry).where(AuditEntry.event == "user change"))
    assert any("picture" in each.payload for each in told)
    assert ana in crm.client("mia").screen(f"/users/can/{crm.id_of('ana')}").text
    user = crm.session.get_one(User, crm.id_of("ana"))
    user.active = False
    crm.session.commit()
    assert picture_of(crm, "ana") == ""
    assert crm.client("ben").screen(shown).status_code == 404


def test_pictures_are_shown_where_people_and_customers_are(crm: Crm) -> None:
    make = crm.make
    lead, customer = make.lead("ana"), make.customer("ana", first_name="Asha", last_name="Rao")
    make.task(lead)
    post(crm, "ana", "/pictures/me")
    post(crm, "root", f"/pictures/customer/{customer.id}")
    crm.client("ana").rest("POST", "note/", {"text": "Called", "lead": lead.id})
    face = f'src="{picture_of(crm, "ana")}"'
    for url in (
        "/leads/",
        f"/leads/show/{lead.id}",
        f"/leads/show/{lead.id}?tab=tasks",
        "/users/list/",
        f"/users/can/{crm.id_of('ana')}",
        "/dashboard/team",
    ):
        assert face in crm.client("root").screen(url).text, url
    (digest,) = crm.rows(select(Customer.picture).where(Customer.id == customer.id))
    for url in ("/customers/", f"/customers/show/{customer.id}", "/customers/?q=Asha+Rao"):
        assert f"/pictures/customer/{customer.id}/{digest}" in crm.client("root").screen(url).text, url
    assert crm.client("root").rest("GET", f"customer/{customer.id}").json["result"]["name"] == "Asha Rao"
    exported = crm.client("root").form("/exports/customer?", {"format": "csv", "columns": ["name"]})
    assert "Asha Rao" in exported.text and digest not in exported.text


@pytest.mark.parametrize("who", ["ben", "ana"])
def test_names_in_the_trash_are_for_those_who_may_delete_them(crm: Crm, who: str) -> None:
    lead = crm.make.lead("mia")
    crm.make.cell("Sales User", "Leads", "read", "all")
    url = f"/files/of/lead/{lead.id}"
    made = by_script(crm.client("ana"), url, "PAN-of-somebody-else.pdf", sample_uploads.PDF).json["id"]
    pages = (url, f"/leads/show/{lead.id}")
    assert all("PAN-of-somebody-else" in crm.client(who).screen(each).text for each in pages)
    crm.client("ana").form(f"/files/{made}/delete")
    for each in pages:
        shown = crm.client(who).screen(each).text
        assert ("PAN-of-somebody-else" in shown) is (who == "ana"), each
    crm.client("ana").form(f"/files/{made}/restore")
    assert all("PAN-of-somebody-else" in crm.client(who).screen(each).text for each in pages)


def test_files_are_found_by_words_of_their_names_as_far_as_one_sees_their_records(maria: Crm) -> None:
    lead = maria.make.lead("ana")
    url = f"/files/of/lead/{lead.id}"
    by_script(maria.client("ana"), url, "Photo 9820077777.pdf", sample_uploads.PDF + b"1")
    made = by_script(maria.client("ana"), url, "Signed contract Rao.pdf", sample_uploads.PDF).json["id"]
    by_script(maria.client("ana"), f"/files/{made}/version", "Signed contract Rao.pdf", sample_uploads.PDF + b"2")

    def found(who: str, typed: str) -> list[str]:
        groups = maria.client(who).screen(f"/search/hits?q={typed}").json["groups"]
        return [row["title"] for group in groups if group["title"] == "Files" for row in group["rows"]]

    for who, typed, count in (
        ("ana", "contract", 1),
        ("ana", "contract rao", 1),
        ("ana", "9820077777", 1),
        ("ben", "9820077777", 0),
        ("mia", "signed", 1),
        ("ben", "contract", 0),
        ("ana", "nothing", 0),
    ):
        assert len(found(who, typed)) == count, (who, typed)
    shown = maria.client("ana").screen("/search/?q=contract").text
    assert f"/files/{made + 1}/place" in shown
    assert maria.client("ana").screen(f"/files/{made}/place").location == url
    assert maria.client("ben").screen(f"/files/{made}/place").status_code == 404
    maria.client("ana").form(f"/files/{made}/delete")
    assert found("ana", "contract") == []
