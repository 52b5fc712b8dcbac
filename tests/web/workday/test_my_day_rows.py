"""My day reads ids under no more than its reader's rights, and shows kept rows as new ones."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import access
from app.access import RULES
from app.models import Lead, Task, Ticket
from app.ops.database.connections import STATEMENTS
from app.web.workday import my_day_html
from tests.app_fixtures import Crm

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Eleven in the office.
NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
BAD = '"><script>alert(1)</script>'
_TOKEN = re.compile(r'name="csrf_token" value="[^"]+"|csrf-token" content="[^"]+"')


@pytest.fixture(autouse=True)
def eleven(monkeypatch: pytest.MonkeyPatch) -> None:
    """All endpoints look at the same clock."""
    from app.web.core import fab_access

    monkeypatch.setattr(fab_access, "request_time", lambda: NOW)


def part(crm: Crm, who: str, name: str) -> str:
    """The HTML of a section; "" if it isn't there."""
    found = re.split(r'data-part="([a-z-]+)"', crm.client(who).screen("/").text)
    return dict(zip(found[1::2], found[2::2], strict=True)).get(name, "")


def day_of_everything(crm: Crm) -> list[Any]:
    """Rows of every section: their times and names differ."""
    rows: list[Any] = []
    for place, name in enumerate(("Asha", "Uma & Co", BAD, "")):
        lead = crm.make.lead("ana", first_name=name, task={}, at=NOW - DAY)
        lead.reply_due_on = NOW + HOUR
        due = NOW + (-HOUR, HOUR, 5 * HOUR, -DAY)[place]
        rows += [lead, crm.make.task(lead, "ana", at=NOW - DAY, due_on=due, title=f"Call {name or 'back'}")]
    ticket = crm.make.ticket("cleo", task={}, first_name="Zarina")
    ticket.resolve_due_on = NOW - HOUR
    rows.append(ticket)
    crm.make.request(crm.make.lead("ben", task={}), "ana", who="ben", reason="I know them")
    stuck = crm.make.task(rows[0], "ben", at=NOW - DAY, due_on=NOW - DAY, title="Bring the form")
    stuck.exhausted = True
    crm.session.commit()
    return rows


def test_kept_rows_are_the_same_as_new_ones(crm: Crm) -> None:
    rows = day_of_everything(crm)
    chance, seen = random.Random(20), ""
    clients = {name: crm.client(name) for name in ("ana", "ben", "mia", "cleo", "root")}
    for _ in range(60):
        who, row = chance.choice([*clients]), chance.choice(rows)
        clients[who].screen(f"/lang/{chance.choice(('en', 'hi'))}")
        if chance.random() < 0.3:
            name = f"Name {chance.randrange(9)}"
            setattr(row, "title" if isinstance(row, Task) else "first_name", name)
            crm.session.commit()
        path = chance.choice(("/", "/", "/?only=overdue", "/?only=new-leads"))
        kept = _TOKEN.sub("", clients[who].screen(path).text)
        my_day_html._kept.cache_clear()
        assert kept == _TOKEN.sub("", clients[who].screen(path).text), (who, path)
        seen += kept
    assert {*re.findall(r'data-part="([a-z-]+)"', seen)} >= {"overdue", "soon", "later", "new-leads", "sla-leads"}
    assert {*re.findall(r'data-part="([a-z-]+)"', seen)} >= {"new-tickets", "sla-tickets", "requests", "nobody"}
    assert "<script>alert" not in seen


def test_each_page_has_a_token_of_its_own_in_kept_rows(crm: Crm) -> None:
    day_of_everything(crm)
    client = crm.client("ana")
    tokens = [set(re.findall(r'name="csrf_token" value="([^"]+)"', client.screen("/").text)) for _ in range(2)]
    assert all(each.startswith("k.") for page in tokens for each in page)
    assert not tokens[0] & tokens[1]


@pytest.mark.parametrize("right, gone", [("Leads", ("new-leads", "sla-leads")), ("Tasks", ("overdue", "soon"))])
def test_a_right_that_is_taken_away_is_gone_with_the_next_page(crm: Crm, right: str, gone: tuple[str, ...]) -> None:
    day_of_everything(crm)
    assert all(part(crm, "ana", name) for name in gone), gone
    crm.make.cell("Sales User", right, "read", "none")
    assert not any(part(crm, "ana", name) for name in gone), gone


def test_a_number_that_becomes_masked_is_gone_with_the_next_page(crm: Crm) -> None:
    crm.make.lead("ana", first_name="Asha", mobile="9825099817", task={})
    assert "9825099817" in part(crm, "ana", "new-leads")
    crm.make.mask("Sales User", mobile="last4")
    assert "Asha" in part(crm, "ana", "new-leads") and "9825099817" not in part(crm, "ana", "new-leads")


@pytest.mark.parametrize("record, name", [(Lead, "new-leads"), (Task, "overdue"), (Ticket, "new-tickets")])
def test_a_rule_that_an_addon_puts_in_place_counts_for_own_rows(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, record: Any, name: str
) -> None:
    rows = day_of_everything(crm)
    who, kept = "cleo" if record is Ticket else "ana", next(row.id for row in rows if isinstance(row, record))
    others = {Lead: 1, Task: 1, Ticket: 0}[record]
    before = part(crm, who, name)
    assert before.count("data-row=") > others
    monkeypatch.setitem(RULES, record, lambda _person: record.id != kept)
    access.clear_cache()
    after = part(crm, who, name)
    count = before.count("data-row=") - 1
    assert after.count("data-row=") == count and (f'<span class="count">{count}</span>' in after or not count)


@pytest.mark.parametrize(("who", "most"), [("sam", 3), ("ana", 5), ("mia", 5)])
def test_a_page_asks_for_ids_once_and_then_for_each_kind_of_record(crm: Crm, who: str, most: int) -> None:
    """Who is signed in, the ids, at most four kinds of records, and the counts of the frame."""
    day_of_everything(crm)
    client = crm.client(who)
    client.screen("/")
    sent: list[str] = []
    token = STATEMENTS.set(sent)
    client.screen("/")
    STATEMENTS.reset(token)
    assert len(sent) <= most, sent
