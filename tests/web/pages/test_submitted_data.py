"""FAB's forms with a file or JSON in place of a text don't cause a server error."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask_appbuilder.upload import FileUploadField
from flask_wtf import FlaskForm
from flask_wtf.form import _Auto
from werkzeug.datastructures import MultiDict
from wtforms import Form, StringField

from app.web.pages.submitted_data import SubmittedData
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.web.invalid_input import assert_no_leak, raising_server_errors

PAGES = (
    *("/users/add", "/roles/add", "/groups/add", "/settings/lead-sources/add", "/settings/lead-statuses/add"),
    *("/settings/message-templates/add", "/settings/sla/add", "/settings/holidays/add", "/settings/office-ranges/add"),
    *("/userinfoeditview/form", "/resetmypassword/form", "/resetpassword/form?pk=2"),
)
NAMES = ("label", "name", "username", "email", "password", "conf_password", "first_name", "mobile", "day", "minutes")


@each_case("path", PAGES)
def test_a_file_in_place_of_a_text_is_no_value(crm: Crm, path: str) -> None:
    client = crm.client("root")
    for name in NAMES:
        with raising_server_errors(f"{path} {name}"):
            answer = client.form(path, {name: (io.BytesIO(b"x"), "x.txt"), "description": "typed before"})
        assert_no_leak(answer, path)
    with raising_server_errors(f"{path} JSON"):
        for body in ("1", '"x"', "[1]", '{"label": 5}', '{"name": ["a"]}'):
            headers = {"X-CSRFToken": client.token, "Content-Type": "application/json"}
            assert_no_leak(client.browser.post(path, data=body, headers=headers), path)


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_stranger_who_signs_in_with_a_file_is_told_that_it_is_wrong(crm: Crm, name: str) -> None:
    sent: dict[str, Any] = {"username": "ana", "password": "x", name: (io.BytesIO(b"x"), "x.txt")}
    with raising_server_errors("/login/"):
        answer = crm.client(None).form("/login/", sent)
    assert (answer.status_code, "wrong" in answer.text) == (401, True)


def test_a_field_that_takes_files_gets_them(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(crm.app.config, "UPLOAD_FOLDER", "/nowhere/")

    class Upload(Form):
        Meta = SubmittedData
        picture = FileUploadField("Picture")
        name = StringField("Name")

    sent = {"picture": (io.BytesIO(b"x"), "x.png"), "name": (io.BytesIO(b"y"), "y.png"), "more": "text"}
    with crm.app.test_request_context("/", method="POST", data=sent):
        found = SubmittedData().wrap_formdata(Upload(meta={"csrf": False}), _Auto)
        assert found["picture"].filename == "x.png" and "name" not in found and found["more"] == "text"
        given = MultiDict({"name": "a"})
        assert SubmittedData().wrap_formdata(Upload(meta={"csrf": False}), given) is given
    assert issubclass(SubmittedData, FlaskForm.Meta)
