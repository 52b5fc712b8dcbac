"""Markup, template and format codes in whatever people name or write are shown as they are typed, on every page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from flask_appbuilder import Model
from sqlalchemy import String, Table, Text, select, update

from app import access
from app.domain import custom_fields, dashboard_boards, reports, saved_views
from app.domain.base import Stamp
from app.domain.custom_fields import ExistingNames, FieldInput
from app.models import ChannelAccount, Lead, Ticket
from tests.app_fixtures import Crm
from tests.factories import NOW
from tests.web.page_crawler import crawl

#: Breaks out of attributes and elements, and is evaluated by templates and formats, wherever a text isn't escaped.
HOSTILE = "\"onx=1 '<i onx=1>{{1234*4321}}%(x)s%s{0}{x}&lt;"
MADE = "5332114"
#: Columns with texts of people; others hold codes, keys and addresses.
TEXTS = re.compile(
    r"(^|_)(label|labels|title|help|description|resolution|reason|note|words|text|body|subject|sentence|evidence|content"
    r"|first_name|last_name|peer_name|contact_name|decision_note|error|why|address|city)$"
)
#: Tables whose `name` is what people read, and columns whose texts are codes.
NAMED = {"attachment", "campaign", "channel_account", "message_template", "report", "webhook", "support_page", "brand"}
CODES = {
    ("channel_account", "address"),
    ("consent", "address"),
    ("campaign_recipient", "address"),
    ("message", "reason"),
}


class _Breaks(HTMLParser):
    """Collects the attributes that only the text could have made."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"<{tag} {name}>" for name, _value in attrs if "onx" in name]


def columns_of(table: Table) -> list[Any]:
    found = []
    for column in table.columns:
        is_text = isinstance(column.type, String | Text) and column.computed is None and not column.foreign_keys
        is_named = column.name == "name" and table.name in NAMED
        if is_text and (TEXTS.search(column.name) or is_named) and (table.name, column.name) not in CODES:
            found.append(column)
    return found


@pytest.fixture
def hostile(crm: Crm) -> Crm:
    """Records and settings of every kind, with hostile texts in all of them."""
    stamp = Stamp(crm.id_of("root"), NOW)
    lead = crm.make.lead("ana", email="a@x.in", description="x", address="x")
    crm.make.ticket("cleo", description="x")
    crm.make.customer("ana", email="b@x.in", address="x")
    crm.make.task(lead)
    crm.make.call("ana", lead_id=lead.id, notes="x")
    crm.make.message("ana", lead_id=lead.id, subject="x")
    root = crm.client("root")
    assert root.rest("POST", "note/", {"lead": lead.id, "content": HOSTILE}).status_code < 500
    for kind in ("text", "choice"):
        choices = [{"label": f"{n}{HOSTILE}"[:40]} for n in range(2)] if kind == "choice" else ()
        given = FieldInput(f"{kind}{HOSTILE}"[:40], kind, help=HOSTILE, choices=choices, is_quick=True)
        custom_fields.create(crm.session, given, ExistingNames("leads", frozenset()), stamp)
    crm.session.commit()
    arguments = ["channel", "add", "console", "Desk", "--set", "key=" + "k" * 32]
    assert crm.app.test_cli_runner().invoke(args=arguments).exit_code == 0
    saved_views.save(crm.session, None, {"module": "leads", "label": "x", "audience": "all"}, stamp)
    reports.save(crm.session, None, {"label": "x", "kind": "lead", "definition": {}, "audience": "all"}, stamp)
    layout = dashboard_boards.validate_layout([("leads_new", 3)], {"leads_new"})
    dashboard_boards.save(crm.session, None, {"label": "x", "audience": "me", "layout": layout}, stamp)
    crm.session.commit()
    with crm.engine.begin() as connection:
        for table in Model.metadata.sorted_tables:
            _fill(connection, table)
    access.bump_version(crm.session)
    crm.session.commit()
    assert (crm.count(Lead), crm.count(Ticket), crm.count(ChannelAccount)) == (1, 1, 1)
    return crm


def _fill(connection: Any, table: Table) -> None:
    columns, keys = columns_of(table), list(table.primary_key.columns)
    if not columns or len(keys) != 1:
        return
    for n, (key,) in enumerate(connection.execute(select(keys[0])).all()):
        values = {each: f"{n}{HOSTILE}"[: getattr(each.type, "length", None)] for each in columns}
        connection.execute(update(table).where(keys[0] == key).values(values))


@pytest.mark.parametrize(("who", "most"), [("root", 120), ("ana", 40)])
def test_no_text_is_markup_or_a_template(hostile: Crm, who: str, most: int) -> None:
    wrong, seen = [], 0
    for address, answer in crawl(hostile, who, most).items():
        text = answer.text
        breaks = _Breaks()
        breaks.feed(text)
        seen += HOSTILE[:8] in text or "&#34;onx=1" in text or "&quot;onx=1" in text
        if breaks.found or MADE in text:
            wrong.append((address, breaks.found[:3], MADE in text))
    assert not wrong
    assert seen > 10
