"""No page reads as if it were generated: Flask-AppBuilder's texts are reworded, values have names and units."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import flask_appbuilder
from babel.messages.pofile import read_po

from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.servers import ROOT

#: FAB's texts that read well as they are.
FINE = {
    "Account activation",
    "Back",
    "Created by",
    "Email",
    "Group by",
    "Groups",
    "Name",
    "Password",
    "Permission",
    "Permissions",
    "Role",
    "Save",
    "Search",
    "Security",
    "Sum of",
}


def texts_of_fab() -> Iterator[str]:
    """Every text that FAB's own views, forms and filters can show."""
    folder = Path(flask_appbuilder.__file__).parent
    for path in folder.rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name: Any = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name in ("_", "gettext", "lazy_gettext"):
                yield str(node.args[0].value)


def test_every_text_of_fab_is_reworded_or_fine() -> None:
    with (ROOT / "translations" / "en" / "LC_MESSAGES" / "fab.po").open("rb") as file:
        reworded = {message.id for message in read_po(file) if message.id and message.string}
    assert set(texts_of_fab()) - reworded - FINE == set()


@each_case(
    "path, said, unsaid",
    [
        ("/settings/lead-statuses/list/", "Expired after the account was opened", "expired_opened"),
        ("/settings/lead-statuses/add", 'type="radio" name="color" value="teal"', '<option value="teal"'),
        ("/settings/sla/list/", "response in", "120 / 1080"),
        ("/users/add", "What the user can see and do.", "The user role on the application"),
    ],
)
def test_settings_speak_to_people(crm: Crm, path: str, said: str, unsaid: str) -> None:
    page = unescape(crm.client("root").screen(path).text)
    assert said in page and unsaid not in page


def test_a_color_is_stored_as_before(crm: Crm) -> None:
    form = {"label": "Parked", "color": "teal", "meaning": "working", "position": "20", "is_active": "y"}
    assert crm.client("root").form("/settings/lead-statuses/add", form).status_code == 302
    page = unescape(crm.client("root").screen("/settings/lead-statuses/list/").text)
    assert "Parked" in page and 'tone-teal"' in page
