"""Invitations by email: the link works once, for whom it was made, until it ends; nobody learns who was invited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.people.invitations import Invitation
from app.lib import totp
from app.models import AuditEntry, Role, SignIn, User
from app.ops.redis.rate_counter import Rate
from app.outbox import delivery_engine, invitation_delivery
from app.outbox.delivery_engine import DeliveryResult
from app.web.security import rate_limits, second_step
from app.web.settings import user_invitations
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.channels.smtp import MailServer, serving, text_of

PASSWORD = "Blue-kites-fly-2026"
NOBODYS = "a" * 64


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


@pytest.fixture
def crm(app_with: AppMaker, mail_server: MailServer) -> Iterator[Crm]:
    """The product with a mail server; queued calls wait until a test runs them."""
    settings = {"CRM_SMTP_URL": mail_server.url, "CRM_SMTP_FROM": "crm@eshin.test"}
    made = Crm(app_with(**settings))
    yield made
    made.close()


def add_priya(crm: Crm, **more: str) -> Any:
    """An admin adds a user without a password."""
    [role] = crm.rows(select(Role.id).where(Role.name == "Sales User"))
    sent = {"first_name": "Priya", "last_name": "Nair", "username": "priya", "email": "priya@example.in"}
    return crm.client("root").form("/users/add", sent | {"active": "y", "available": "y", "roles": str(role)} | more)


def link_of(crm: Crm, mail_server: MailServer) -> str:
    """The path of the link in the last email, once the invitation is sent."""
    [row] = crm.rows(select(Invitation))
    with crm.app.app_context():
        invitation_delivery.send(row.id)
    text = text_of(mail_server.mail[-1][1])
    assert "priya" in text
    found = re.search(r"https?://[^/]+(/invitation/\?token=[0-9a-f]{64})", text)
    assert found is not None
    return found[1]


def choose(crm: Crm, link: str, password: str = PASSWORD, again: str = PASSWORD) -> Any:
    """Submit the form behind the link, in a new browser."""
    stranger = crm.client(None)
    return stranger.form(link, {"password": password, "conf_password": again})


def test_the_invited_choose_their_password_once_and_land_in_my_day(crm: Crm, mail_server: MailServer) -> None:
    assert add_priya(crm).status_code == 302
    [invited] = crm.rows(select(Invitation))
    assert "Being sent" in crm.client("root").screen("/users/list/").text
    link = link_of(crm, mail_server)
    token = link.partition("=")[2]
    assert token not in (invited.token_hash, invited.nonce)
    shown = crm.client("root").screen("/users/list/").text
    assert "Invited, until" in shown and token not in shown
    page = crm.client(None).screen(link)
    assert page.status_code == 200 and page.headers["Cache-Control"].startswith("no-")
    for typed, again, words in (
        ("short", "short", "too short"),
        ("priya@example.in",) * 2 + ("username or the email",),
        (PASSWORD, "x", "differ"),
    ):
        refused = choose(crm, link, typed, again)
        assert refused.status_code == 422 and words in refused.text
    done = choose(crm, link)
    assert (done.status_code, done.location) == (302, "/")
    assert choose(crm, link).status_code == 410
    used, unknown = (crm.client(None).screen(each) for each in (link, f"/invitation/?token={NOBODYS}"))
    assert used.text.partition("<main")[2] == unknown.text.partition("<main")[2] != ""
    whats = [
        entry.payload.get("what") for entry in crm.rows(select(AuditEntry).where(AuditEntry.event == "user change"))
    ]
    assert {"invited", "invitation accepted"} <= set(whats)
    refused = crm.client("root").form(f"/users/action/invite/{invited.user_id}", {}, follow_redirects=True)
    assert "has signed in already" in refused.text


def test_a_second_factor_outlives_an_invitation(crm: Crm, mail_server: MailServer) -> None:
    add_priya(crm)
    [row] = crm.rows(select(Invitation))
    with crm.app.test_request_context():
        second_step.turn_on(row.user_id, totp.new_key(), 0, datetime.now(UTC))
    done = choose(crm, link_of(crm, mail_server))
    assert (done.status_code, done.location) == (302, "/login/code/")
    assert crm.rows(select(SignIn).where(SignIn.user_id == row.user_id)) == []


def test_a_link_ends(crm: Crm, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_invitations, "EMAILS", Rate(50, 3600))
    add_priya(crm)
    [row] = crm.rows(select(Invitation))
    root, priya = crm.client("root"), update(User).where(User.id == row.user_id)
    again, withdraw = (f"/users/action/{name}/{row.user_id}" for name in ("invite", "revoke_invitation"))
    assert crm.client("mia").form(again, {}).status_code in (403, 404)
    steps: dict[str, Any] = {
        "revoked": lambda: root.form(withdraw, {}),
        "renewed": lambda: root.form(again, {}),
        "expired": update(Invitation).values(expires_on=row.expires_on - timedelta(days=8)),
        "address": priya.values(email="other@example.in"),
        "password": priya.values(password="scrypt:1"),
        "inactive": priya.values(active=False),
    }
    for name, step in steps.items():
        link = link_of(crm, mail_server)
        if callable(step):
            step()
        else:
            crm.session.execute(step)
            crm.session.commit()
        kept = crm.rows(select(User.password).where(User.id == row.user_id))
        assert (crm.client(None).screen(link).status_code, choose(crm, link).status_code) == (410, 410), name
        assert crm.rows(select(User.password).where(User.id == row.user_id)) == kept
        crm.session.execute(priya.values(active=True))
        crm.session.commit()
        root.form(again, {})
    assert choose(crm, link_of(crm, mail_server)).status_code == 302


def test_an_email_that_is_superseded_decides_nothing_about_the_next(crm: Crm, mail_server: MailServer) -> None:
    add_priya(crm)
    [row] = crm.rows(select(Invitation))
    kind, now = invitation_delivery.INVITATIONS, datetime.now(UTC)
    with crm.app.app_context():
        first = delivery_engine.claim(kind, row.id, now)
    crm.client("root").form(f"/users/action/invite/{row.user_id}", {})
    with crm.app.app_context():
        second = delivery_engine.claim(kind, row.id, now + timedelta(minutes=1))
        assert first and second and first.tries == second.tries
        delivery_engine.settle(kind, first, DeliveryResult("sent"), now)
        assert crm.rows(select(Invitation.state)) == ["sending"]
        delivery_engine.settle(kind, second, DeliveryResult("queued", "The mail server disconnected."), now)
        assert crm.rows(select(Invitation.state)) == ["queued"]


def test_a_link_outlives_the_key_that_is_being_replaced(crm: Crm, mail_server: MailServer) -> None:
    add_priya(crm)
    settings, link = crm.app.config["CRM"], link_of(crm, mail_server)
    changed = replace(settings, secret_key="n" * 40)
    crm.app.config["CRM"] = changed
    assert crm.client(None).screen(link).status_code == 410
    crm.app.config["CRM"] = replace(changed, secret_keys_old=("x" * 40, settings.secret_key))
    assert choose(crm, link).status_code == 302


def test_a_browser_that_accepts_is_signed_out_first(crm: Crm, mail_server: MailServer) -> None:
    add_priya(crm)
    root, link = crm.client("root"), link_of(crm, mail_server)
    former = root.cookie("crm")
    assert root.form(link, {"password": PASSWORD, "conf_password": PASSWORD}).status_code == 302
    assert "priya" in root.screen("/users/userinfo/").text
    [ended] = crm.rows(select(AuditEntry).where(AuditEntry.event == "sign-out"))
    assert ended.user_id == crm.people["root"].id
    stale = crm.app.test_client()
    stale.set_cookie("crm", former)
    assert stale.get("/leads/").status_code == 302


def test_emails_to_one_address_are_limited(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_invitations, "EMAILS", Rate(2, 3600))
    add_priya(crm)
    [row] = crm.rows(select(Invitation))
    again = f"/users/action/invite/{row.user_id}"
    for _ in range(2):
        assert "on its way" in crm.client("root").form(again, {}, follow_redirects=True).text
    [sent] = crm.rows(select(Invitation.nonce))
    refused = crm.client("root").form(again, {}, follow_redirects=True)
    assert "several invitations within the hour" in refused.text and "on its way" not in refused.text
    assert crm.rows(select(Invitation.nonce)) == [sent]


def test_links_are_not_guessed(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "SIGN_IN_ATTEMPTS", Rate(2, 60))
    codes = [crm.client(None).screen(f"/invitation/?token={NOBODYS}").status_code for _ in range(3)]
    assert codes == [410, 410, 429]


def test_without_a_mail_server_a_first_password_is_asked_for(app_with: AppMaker) -> None:
    crm = Crm(app_with())
    refused = add_priya(crm)
    assert refused.status_code == 422 and "no mail server is set up" in unescape(refused.text)
    assert 'value="priya"' in refused.text and not crm.rows(select(Invitation))
    assert add_priya(crm, password=PASSWORD, conf_password=PASSWORD).status_code == 302
    crm.close()
