"""The webhook receiver of docs/api.md accepts each delivery of the CRM once, and nothing else."""

from __future__ import annotations

import re
import threading
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import requests
from sqlalchemy import select

from app.models import WebhookDelivery
from tests.outbox.test_webhook_delivery import add_webhook, run_calls, sending_crm  # noqa: F401  # a fixture
from tests.test_api_guide import GUIDE


@pytest.fixture
def guide():
    """The guide's receiver, running; accepted deliveries are in `taken`."""
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    (block,) = [block for block in blocks if "class WebhookReceiver" in block]
    exec(compile(block, str(GUIDE), "exec"), names)  # noqa: S102  # our own guide

    class Receiver(names["WebhookReceiver"]):  # type: ignore[name-defined,misc]
        taken: list[Any] = []
        process = lambda self, event: self.taken.append(event)  # noqa: E731
        log_message = lambda self, *said: None  # noqa: E731

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    Receiver.url = f"http://127.0.0.1:{server.server_address[1]}/"
    yield Receiver
    server.shutdown()
    server.server_close()


def test_the_guides_receiver_accepts_a_signed_delivery_once(sending_crm, guide):  # noqa: F811
    _id, guide.secret = add_webhook(sending_crm, guide, "lead.created")
    lead = sending_crm.make.lead("ana")
    run_calls(sending_crm)
    sending_crm.client("root").form("/webhooks/again/1")
    run_calls(sending_crm)
    assert [(told["event"], told["record"]["number"]) for told in guide.taken] == [("lead.created", lead.number)]
    assert sending_crm.rows(select(WebhookDelivery.state)) == ["sent"]


def test_the_guides_receiver_refuses_an_unsigned_delivery(sending_crm, guide):  # noqa: F811
    add_webhook(sending_crm, guide, "lead.created")
    sending_crm.make.lead("ana")
    run_calls(sending_crm)
    forged = {"X-CRM-Timestamp": "1700000000", "X-CRM-Delivery": "x", "X-CRM-Signature": "sha256=00"}
    assert requests.post(guide.url, b"{}", headers=forged, timeout=60).status_code == 403
    assert (guide.taken, sending_crm.rows(select(WebhookDelivery.code))) == ([], [403])
