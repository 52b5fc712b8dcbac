"""The webhook pages: setup by admins, the secret, and the delivery log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.webhooks import all_events
from app.models import AuditEntry, Webhook, WebhookDelivery
from app.ops.database.connections import STATEMENTS
from app.ops.queues import queue
from app.web.settings.webhook_log import origin_of
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.cases import each_case
from tests.channels.receiver import Receiver, receiving

GOOD = {"name": "Accounts", "url": "https://example.com/in", "events": ["lead.created", "lead.status"], "is_on": "1"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sending_crm(app_with: AppMaker) -> Iterator[Crm]:
    """An application whose webhooks may call this machine; queued calls run when a test runs them."""
    crm = Crm(app_with(CRM_WEBHOOKS_PRIVATE="on"))
    yield crm
    crm.close()


def made(crm: Crm, **more: Any) -> Any:
    """The response to an admin who creates a webhook."""
    wanted = GOOD | {"user": str(crm.people["root"].id)} | more
    return crm.client("root").form("/webhooks/add", wanted)


def hook_of(crm: Crm) -> Webhook:
    (hook,) = crm.rows(select(Webhook))
    return hook


def secret_in(page: str) -> str:
    return re.findall(r"<code>([\w-]{43})</code>", page)[0]


def work() -> int:
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def done(crm: Crm) -> list[Any]:
    query = select(AuditEntry).where(AuditEntry.event == "webhook change").order_by(AuditEntry.id)
    return [row.payload["what"] for row in crm.rows(query)]


# --- setting up


def test_an_admin_creates_a_webhook_and_sees_its_secret_once(crm: Crm) -> None:
    answer = made(crm)
    hook, secret = hook_of(crm), secret_in(answer.text)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (hook.name, hook.events, hook.state) == ("Accounts", GOOD["events"], "on")
    assert secret not in hook.secret_sealed and crm.vault.open(hook.secret_sealed) == secret
    for path in ("/webhooks/", "/webhooks/1/", "/webhooks/1/edit"):
        page = crm.client("root").screen(path)
        assert page.status_code == 200 and secret not in page.text and hook.secret_sealed not in page.text
    assert done(crm) == ["made"]


@each_case(
    "wrong, sentence",
    [
        ({"name": " "}, "Please enter a name"),
        ({"name": "x" * 121}, "Please enter a name"),
        ({"url": "http://example.com/"}, "must start with https://"),
        ({"url": "https://127.0.0.1/"}, "private or local network"),
        ({"url": "https://a:b@example.com/"}, "username or password"),
        ({"url": "https://example.com:22/"}, "port must be 80, 443"),
        ({"url": "https://0x7f.1/"}, "four numbers"),
        ({"events": []}, "choose at least one event"),
        ({"events": ["lead.eaten"]}, "no such event"),
        ({"user": ""}, "choose an active user"),
        ({"user": "999999"}, "choose an active user"),
    ],
)
def test_an_invalid_webhook_is_refused_and_the_form_keeps_its_values(crm: Crm, wrong: Any, sentence: Any) -> None:
    answer = made(crm, **wrong)
    assert (answer.status_code, sentence in answer.text, crm.count(Webhook)) == (422, True, 0)
    assert "Accounts" in answer.text or "name" in wrong


def test_an_admin_edits_a_webhook_and_an_outdated_form_is_refused(crm: Crm) -> None:
    made(crm)
    client, hook = crm.client("root"), hook_of(crm)
    form = GOOD | {"user": str(crm.people["mia"].id), "name": "Website", "version": str(hook.version)}
    assert client.form("/webhooks/1/edit", form).status_code == 302
    assert (hook_of(crm).name, hook_of(crm).user_id) == ("Website", crm.people["mia"].id)
    stale = client.form("/webhooks/1/edit", form | {"name": "Late"})
    assert (stale.status_code, hook_of(crm).name, done(crm)) == (409, "Website", ["made", "changed"])


def test_rotating_replaces_the_secret(crm: Crm) -> None:
    old = secret_in(made(crm).text)
    new = secret_in(crm.client("root").form("/webhooks/1/secret").text)
    assert new != old and crm.vault.open(hook_of(crm).secret_sealed) == new


def test_pause_resume_and_delete(crm: Crm) -> None:
    made(crm)
    client = crm.client("root")
    states = []
    for what in ("pause", "resume"):
        client.form(f"/webhooks/1/{what}")
        states.append(hook_of(crm).state)
    assert states == ["paused", "on"]
    client.form("/webhooks/1/resume")
    assert client.form("/webhooks/1/delete").location == "/webhooks/"
    assert (crm.count(Webhook), done(crm)) == (0, ["made", "paused", "resumed", "deleted"])


def test_turning_off_drops_waiting_deliveries(crm: Crm) -> None:
    made(crm)
    crm.make.lead("ana")
    form = {**GOOD, "user": str(crm.people["root"].id), "version": "1"}
    del form["is_on"]
    crm.client("root").form("/webhooks/1/edit", form)
    crm.make.lead("ana")
    assert crm.rows(select(WebhookDelivery.state)) == ["dropped"]


def test_the_number_of_webhooks_is_limited(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.domain.webhooks.MAX_WEBHOOKS", 1)
    made(crm)
    assert (made(crm).status_code, crm.count(Webhook)) == (422, 1)


# --- the log


def test_a_test_is_sent_and_its_response_shown_as_text(sending_crm: Crm, receiver: Receiver) -> None:
    made(sending_crm, url=receiver.url)
    receiver.answers = [(500, {}, b"<script>alert(1)</script>" + b"x" * 500)]
    sending_crm.client("root").form("/webhooks/1/test")
    assert work() == 1
    page = sending_crm.client("root").screen("/webhooks/1/").text
    assert "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page
    assert "The receiver refused the delivery (500)." in page and "x" * 200 not in page
    assert b'"event":"test"' in receiver.requests[0].body


def test_a_test_is_sent_while_paused(sending_crm: Crm, receiver: Receiver) -> None:
    made(sending_crm, url=receiver.url)
    for what in ("pause", "test"):
        sending_crm.client("root").form(f"/webhooks/1/{what}")
    assert (work(), len(receiver.requests)) == (1, 1)


def test_the_log_names_the_record_and_resends_with_the_same_key(sending_crm: Crm, receiver: Receiver) -> None:
    made(sending_crm, url=receiver.url)
    lead = sending_crm.make.lead("ana")
    work()
    page = sending_crm.client("root").screen("/webhooks/1/").text
    assert f'href="/leads/{lead.number}"' in page and f">{lead.number}</a>" in page and "Delivered" in page
    sending_crm.client("root").form("/webhooks/again/1")
    assert (work(), len(receiver.requests)) == (1, 2)
    assert len({request.headers["X-CRM-Delivery"] for request in receiver.requests}) == 1


def test_only_failed_deliveries_are_resent(sending_crm: Crm) -> None:
    made(sending_crm)
    for _ in range(3):
        sending_crm.make.lead("ana")
    first_two = update(WebhookDelivery).where(WebhookDelivery.id < 3)
    sending_crm.session.execute(update(WebhookDelivery).values(state="sent", tries=1))
    sending_crm.session.execute(first_two.values(state="failed", tries=8, next_try_on=None, error="It has failed."))
    sending_crm.session.commit()
    root = sending_crm.client("root")
    assert "/webhooks/1/retry" in root.screen("/webhooks/1/?show=failed").text
    assert "/webhooks/1/retry" not in root.screen("/webhooks/1/").text
    for said in (
        "2 deliveries will be resent. They are sent within minutes",
        "No delivery that is still kept has failed.",
    ):
        root.form("/webhooks/1/retry")
        assert said in root.screen("/webhooks/1/").text
    rows = sending_crm.rows(select(WebhookDelivery).order_by(WebhookDelivery.id))
    assert [(row.state, row.tries, row.error) for row in rows] == [("queued", 0, None)] * 2 + [("sent", 1, None)]
    assert all(row.next_try_on is not None for row in rows[:2])
    assert done(sending_crm)[-1] == "2 sent again"


def test_a_delivery_in_progress_is_not_resent(sending_crm: Crm, receiver: Receiver) -> None:
    made(sending_crm, url=receiver.url)
    sending_crm.make.lead("ana")
    sending_crm.client("root").form("/webhooks/again/1")
    assert (work(), len(receiver.requests)) == (1, 1)


@pytest.mark.parametrize(("shown", "seen"), [("", True), ("failed", True), ("waiting", False), ("dropped", False)])
def test_the_log_is_filtered(sending_crm: Crm, shown: str, seen: bool) -> None:
    made(sending_crm)
    sending_crm.make.lead("ana")
    sending_crm.session.execute(update(WebhookDelivery).values(state="failed", error="It has failed."))
    sending_crm.session.commit()
    assert ("It has failed." in sending_crm.client("root").screen(f"/webhooks/1/?show={shown}").text) is seen


def test_the_log_needs_the_same_statements_for_any_length(sending_crm: Crm) -> None:
    made(sending_crm, events=list(all_events()))
    counted = []
    for _ in range(3):
        lead = sending_crm.make.lead("ana", task={"title": "Call"})
        sending_crm.make.ticket("cleo", lead_id=lead.id, customer_id=sending_crm.make.customer("ana").id)
        sending_crm.client("root").screen("/webhooks/1/")
        seen: list[str] = []
        STATEMENTS.set(seen)
        assert sending_crm.client("root").screen("/webhooks/1/").status_code == 200
        counted.append(len(seen))
    STATEMENTS.set(None)
    assert max(counted) == min(counted) <= 10


# --- who may


READS, WRITES = (
    ("/webhooks/", "/webhooks/1/"),
    (
        "/webhooks/add",
        "/webhooks/1/edit",
        "/webhooks/1/pause",
        "/webhooks/1/test",
        "/webhooks/1/retry",
        "/webhooks/1/secret",
        "/webhooks/1/delete",
        "/webhooks/again/1",
    ),
)


@pytest.mark.parametrize("who", ["ana", "mia", "rhea"])
def test_others_have_no_access(crm: Crm, who: str) -> None:
    made(crm)
    crm.make.lead("ana")
    before, client = crm.stored(hook_of(crm)), crm.client(who)
    for path in READS:
        assert client.screen(path).status_code in (302, 403)
    for path in WRITES:
        assert client.form(path, GOOD).status_code in (302, 403)
    assert crm.stored(hook_of(crm)) == before and crm.count(WebhookDelivery) == 1


def test_reading_settings_does_not_allow_actions(crm: Crm) -> None:
    made(crm)
    grant(crm, "mia")
    client, before = crm.client("mia"), crm.stored(hook_of(crm))
    page = client.screen("/webhooks/1/")
    assert page.status_code == 200 and "New secret" not in page.text
    for path in WRITES[2:]:
        assert client.form(path, GOOD).status_code in (302, 403, 404), path
    assert crm.stored(hook_of(crm)) == before


def grant(crm: Crm, name: str) -> None:
    """Let the roles of this person read and write the settings."""
    from app.models import ModulePermission, Role
    from app.web.security.fab_permissions import sync_permissions

    role = crm.session.scalars(select(Role).where(Role.name == "Sales Manager")).one()
    for verb in ("read", "write"):
        crm.session.add(ModulePermission(role_id=role.id, module="Settings", verb=verb, level="all"))
    crm.session.commit()
    sync_permissions(crm.app)


@pytest.mark.parametrize("path", ["/webhooks/99/", "/webhooks/99/edit"])
def test_an_unknown_webhook_is_404(crm: Crm, path: str) -> None:
    assert crm.client("root").screen(path).status_code == 404


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://hooks.example/T0/secret?token=abc", "https://hooks.example/…"),
        ("https://user:pw@hooks.example:8443/x", "https://hooks.example:8443/…"),
    ],
)
def test_only_the_receiver_of_a_webhook_is_shown_to_readers(url: str, shown: str) -> None:
    assert origin_of(url) == shown
