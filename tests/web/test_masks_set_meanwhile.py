"""A changed mask or right takes effect with the next request, on any page or endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from app.models import ChannelAccount
from app.ops.queues import queue
from tests.app_fixtures import Crm
from tests.web.messaging.test_channel_endpoints import KEY, hook
from tests.web.page_crawler import crawl

MOBILE, OTHER, EMAIL, PAN, AADHAAR = "9812345678", "9812399999", "sentinel@mask.in", "ZZZPZ1234Q", "234123412346"
CONTACT = {"mobile": MOBILE, "alternative_mobile": OTHER, "email": EMAIL, "pan": PAN, "aadhaar": AADHAAR}
MASKED = (*CONTACT, "address")
KINDS = ("lead", "customer", "ticket", "task", "call_log", "message", "activity", "notification", "consent")
DOCTYPES = ("CRM Lead", "CRM Customer", "CRM Task", "CRM Call Log", "CRM Ticket", "Comment")
#: What nobody types here: "Zebrina" is searched for.
PAGES, WORD = 80, "Zebrina"


def told(answer: Any) -> list[str]:
    """Which of the values, in any spelling, an answer holds."""
    text = answer.get_data(as_text=True)
    flat, low = re.sub(r"[\s.-]", "", text), text.lower()
    return [each for each in (MOBILE, OTHER, AADHAAR) if each in flat] + [
        each for each in (EMAIL, PAN.lower(), "sentinel street") if each in low
    ]


@pytest.fixture
def filled(crm: Crm) -> Crm:
    """A lead twice, and everything by which its numbers reach other pages."""
    lead = crm.make.lead("ana", first_name=WORD, last_name="Quux", address="1 Sentinel Street", **CONTACT)
    twin = crm.make.lead("ana", first_name="Zebrin", last_name="Quux", **CONTACT)
    crm.make.customer("ana", first_name="Quagga", last_name="Quux", mobile="9812345000", email=EMAIL)
    runner = crm.app.test_cli_runner()
    assert runner.invoke(args=["channel", "add", "console", "Desk", "--set", f"key={KEY}"]).exit_code == 0
    account = crm.rows(select(ChannelAccount))[0]
    for n, peer in enumerate((MOBILE, OTHER)):
        event = {"type": "message", "provider_id": f"I{n}", "channel": "sms", "peer": f"+91{peer}", "text": "Namaste"}
        hook(crm, account, event)
    queue._backend.run_waiting()  # type: ignore[union-attr]
    crm.make.call("ana", to_number=MOBILE, lead_id=lead.id)
    crm.make.call("ana", direction="Incoming", status="Missed Call", from_number=OTHER, to_number="9800000000")
    crm.make.message("ana", peer=MOBILE, lead_id=lead.id)
    crm.make.message("ana", channel="email", peer=EMAIL, lead_id=lead.id)
    crm.make.task(twin)
    client = crm.client("mia")
    client.rest("PUT", f"lead/{lead.id}", {"email": "old@x.in"})
    client.rest("PUT", f"lead/{lead.id}", {"email": EMAIL})
    client.form("/duplicates/look", {"kind": "lead"})
    return crm


def answers(crm: Crm, pages: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """What the manager is answered, on these pages and at each endpoint."""
    client = crm.client("mia")
    for address in pages:
        yield address, client.screen(address)
    for kind in KINDS:
        yield f"REST {kind}", client.rest("GET", f"{kind}/")
        yield f"REST {kind} 1", client.rest("GET", f"{kind}/1")
    for doctype in DOCTYPES:
        asked = {"fields": '["*"]', "limit_page_length": "50"}
        yield doctype, client.rest("GET", f"/api/resource/{doctype}", query_string=asked)
    for path in ("/search/hits", "/search/", "/leads/lookup", "/customers/lookup", "/inbox/"):
        yield f"{path} {WORD}", client.screen(path, query_string={"q": WORD})
    for kind in ("lead", "customer", "call_log", "message"):
        yield f"export of {kind}", client.form(f"/exports/{kind}", {"format": "csv"})


def test_what_was_open_is_masked_with_the_next_request(filled: Crm) -> None:
    pages = crawl(filled, "mia", PAGES)
    open_before = [name for name, answer in (*pages.items(), *answers(filled, ())) if told(answer)]
    assert len(open_before) > 25, open_before
    for level in ("hidden", "last4"):
        filled.make.mask("Sales Manager", **dict.fromkeys(MASKED, level))
        assert {name: told(answer) for name, answer in answers(filled, pages) if told(answer)} == {}, level


def test_what_was_open_is_gone_with_the_right_to_it(filled: Crm) -> None:
    pages = crawl(filled, "mia", PAGES)
    for module in ("Leads", "Customers", "Tasks", "Call Logs", "Messages", "Notes", "Tickets"):
        filled.make.cell("Sales Manager", module, "read", "none")
    shown = {}
    for name, answer in answers(filled, pages):
        text = answer.get_data(as_text=True).replace(f"q={WORD}", "").replace(f'value="{WORD}"', "")
        if answer.status_code == 200 and (told(answer) or ("Quux" in text)):
            shown[name] = told(answer) or "the name"
    assert shown == {}
