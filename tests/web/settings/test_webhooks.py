"""The webhook pages: setup by admins, the secret, and the delivery log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.webhooks import all_events
from app.models import AuditEntry, Webhook, WebhookDelivery
from app.ops import queue
from app.ops.database import STATEMENTS
from app.web.settings.webhook_log import origin_of
from tests.app_fixtures import World
from tests.app_pool import AppMaker
from tests.channels.receiver import Receiver, receiving

GOOD = {"name": "Accounts", "url": "https://example.com/in", "events": ["lead.created", "lead.status"], "is_on": "1"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def office(app_with: AppMaker) -> Iterator[World]:
    """An application whose webhooks may call this machine; queued calls run when a test runs them."""
    world = World(app_with(CRM_WEBHOOKS_PRIVATE="on"))
    yield world
    world.close()


def made(world: World, **more: Any) -> Any:
    """The response to an admin who creates a webhook."""
    wanted = GOOD | {"user": str(world.people["root"].id)} | more
    return world.door("root").form("/webhooks/add", wanted)


def hook_of(world: World) -> Webhook:
    (hook,) = world.rows(select(Webhook))
    return hook  # type: ignore[no-any-return]


def secret_in(page: str) -> str:
    return re.findall(r"<code>([\w-]{43})</code>", page)[0]


def work() -> int:
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def done(world: World) -> list[Any]:
    query = select(AuditEntry).where(AuditEntry.event == "webhook change").order_by(AuditEntry.id)
    return [row.payload["what"] for row in world.rows(query)]


# --- setting up


def test_an_admin_creates_a_webhook_and_sees_its_secret_once(world):
    answer = made(world)
    hook, secret = hook_of(world), secret_in(answer.text)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (hook.name, hook.events, hook.state) == ("Accounts", GOOD["events"], "on")
    assert secret not in hook.secret_sealed and world.vault.open(hook.secret_sealed) == secret
    for path in ("/webhooks/", "/webhooks/1/", "/webhooks/1/edit"):
        page = world.door("root").screen(path)
        assert page.status_code == 200 and secret not in page.text and hook.secret_sealed not in page.text
    assert done(world) == ["made"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
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
def test_an_invalid_webhook_is_refused_and_the_form_keeps_its_values(world, wrong, sentence):
    answer = made(world, **wrong)
    assert (answer.status_code, sentence in answer.text, world.count(Webhook)) == (422, True, 0)
    assert "Accounts" in answer.text or "name" in wrong


def test_an_admin_edits_a_webhook_and_an_outdated_form_is_refused(world):
    made(world)
    door, hook = world.door("root"), hook_of(world)
    form = GOOD | {"user": str(world.people["mia"].id), "name": "Website", "version": str(hook.version)}
    assert door.form("/webhooks/1/edit", form).status_code == 302
    assert (hook_of(world).name, hook_of(world).user_id) == ("Website", world.people["mia"].id)
    stale = door.form("/webhooks/1/edit", form | {"name": "Late"})
    assert (stale.status_code, hook_of(world).name, done(world)) == (409, "Website", ["made", "changed"])


def test_rotating_replaces_the_secret(world):
    old = secret_in(made(world).text)
    new = secret_in(world.door("root").form("/webhooks/1/secret").text)
    assert new != old and world.vault.open(hook_of(world).secret_sealed) == new


def test_pause_resume_and_delete(world):
    made(world)
    door = world.door("root")
    states = []
    for what in ("pause", "resume"):
        door.form(f"/webhooks/1/{what}")
        states.append(hook_of(world).state)
    assert states == ["paused", "on"]
    door.form("/webhooks/1/resume")
    assert door.form("/webhooks/1/delete").location == "/webhooks/"
    assert (world.count(Webhook), done(world)) == (0, ["made", "paused", "resumed", "deleted"])


def test_turning_off_drops_waiting_deliveries(world):
    made(world)
    world.make.lead("ana")
    form = {**GOOD, "user": str(world.people["root"].id), "version": "1"}
    del form["is_on"]
    world.door("root").form("/webhooks/1/edit", form)
    world.make.lead("ana")
    assert world.rows(select(WebhookDelivery.state)) == ["dropped"]


def test_the_number_of_webhooks_is_limited(world, monkeypatch):
    monkeypatch.setattr("app.domain.webhooks.MAX_WEBHOOKS", 1)
    made(world)
    assert (made(world).status_code, world.count(Webhook)) == (422, 1)


# --- the log


def test_a_test_is_sent_and_its_response_shown_as_text(office, receiver):
    made(office, url=receiver.url)
    receiver.answers = [(500, {}, b"<script>alert(1)</script>" + b"x" * 500)]
    office.door("root").form("/webhooks/1/test")
    assert work() == 1
    page = office.door("root").screen("/webhooks/1/").text
    assert "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page
    assert "The receiver refused the delivery (500)." in page and "x" * 200 not in page
    assert b'"event":"test"' in receiver.requests[0].body


def test_a_test_is_sent_while_paused(office, receiver):
    made(office, url=receiver.url)
    for what in ("pause", "test"):
        office.door("root").form(f"/webhooks/1/{what}")
    assert (work(), len(receiver.requests)) == (1, 1)


def test_the_log_names_the_record_and_resends_with_the_same_key(office, receiver):
    made(office, url=receiver.url)
    lead = office.make.lead("ana")
    work()
    page = office.door("root").screen("/webhooks/1/").text
    assert f'href="/leads/{lead.number}"' in page and f">{lead.number}</a>" in page and "Delivered" in page
    office.door("root").form("/webhooks/again/1")
    assert (work(), len(receiver.requests)) == (1, 2)
    assert len({request.headers["X-CRM-Delivery"] for request in receiver.requests}) == 1


def test_only_failed_deliveries_are_resent(office):
    made(office)
    for _ in range(3):
        office.make.lead("ana")
    first_two = update(WebhookDelivery).where(WebhookDelivery.id < 3)
    office.session.execute(update(WebhookDelivery).values(state="sent", tries=1))
    office.session.execute(first_two.values(state="failed", tries=8, next_try_on=None, error="It has failed."))
    office.session.commit()
    root = office.door("root")
    assert "/webhooks/1/retry" in root.screen("/webhooks/1/?show=failed").text
    assert "/webhooks/1/retry" not in root.screen("/webhooks/1/").text
    for said in (
        "2 deliveries will be resent. They are sent within minutes",
        "No delivery that is still kept has failed.",
    ):
        root.form("/webhooks/1/retry")
        assert said in root.screen("/webhooks/1/").text
    rows = office.rows(select(WebhookDelivery).order_by(WebhookDelivery.id))
    assert [(row.state, row.tries, row.error) for row in rows] == [("queued", 0, None)] * 2 + [("sent", 1, None)]
    assert all(row.next_try_on is not None for row in rows[:2])
    assert done(office)[-1] == "2 sent again"


def test_a_delivery_in_progress_is_not_resent(office, receiver):
    made(office, url=receiver.url)
    office.make.lead("ana")
    office.door("root").form("/webhooks/again/1")
    assert (work(), len(receiver.requests)) == (1, 1)


@pytest.mark.parametrize(("shown", "seen"), [("", True), ("failed", True), ("waiting", False), ("dropped", False)])
def test_the_log_is_filtered(office, shown, seen):
    made(office)
    office.make.lead("ana")
    office.session.execute(update(WebhookDelivery).values(state="failed", error="It has failed."))
    office.session.commit()
    assert ("It has failed." in office.door("root").screen(f"/webhooks/1/?show={shown}").text) is seen


def test_the_log_needs_the_same_statements_for_any_length(office):
    made(office, events=list(all_events()))
    counted = []
    for _ in range(3):
        lead = office.make.lead("ana", task={"title": "Call"})
        office.make.ticket("cleo", lead_id=lead.id, customer_id=office.make.customer("ana").id)
        office.door("root").screen("/webhooks/1/")
        STATEMENTS.set(seen := [])
        assert office.door("root").screen("/webhooks/1/").status_code == 200
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
def test_others_have_no_access(world, who):
    made(world)
    world.make.lead("ana")
    before, door = world.stored(hook_of(world)), world.door(who)
    for path in READS:
        assert door.screen(path).status_code in (302, 403)
    for path in WRITES:
        assert door.form(path, GOOD).status_code in (302, 403)
    assert world.stored(hook_of(world)) == before and world.count(WebhookDelivery) == 1


def test_reading_settings_does_not_allow_actions(world):
    made(world)
    grant(world, "mia")
    door, before = world.door("mia"), world.stored(hook_of(world))
    page = door.screen("/webhooks/1/")
    assert page.status_code == 200 and "New secret" not in page.text
    for path in WRITES[2:]:
        assert door.form(path, GOOD).status_code in (302, 403, 404), path
    assert world.stored(hook_of(world)) == before


def grant(world: World, name: str) -> None:
    """Let the roles of this person read and write the settings."""
    from app.models import ModulePermission, Role
    from app.web.security.security_manager import sync_permissions

    role = world.session.scalars(select(Role).where(Role.name == "Sales Manager")).one()
    for verb in ("read", "write"):
        world.session.add(ModulePermission(role_id=role.id, module="Settings", verb=verb, level="all"))
    world.session.commit()
    sync_permissions(world.app)


@pytest.mark.parametrize("path", ["/webhooks/99/", "/webhooks/99/edit"])
def test_an_unknown_webhook_is_404(world, path):
    assert world.door("root").screen(path).status_code == 404


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://hooks.example/T0/secret?token=abc", "https://hooks.example/…"),
        ("https://user:pw@hooks.example:8443/x", "https://hooks.example:8443/…"),
    ],
)
def test_only_the_receiver_of_a_webhook_is_shown_to_readers(url: str, shown: str) -> None:
    assert origin_of(url) == shown
