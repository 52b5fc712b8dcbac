"""Replacing the keys: everything stays readable, unique and signed in, and the former key isn't needed afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy import select, text

import run
from app.commands.keys import rotate_field_key
from app.domain import customers
from app.domain.audit_log import audit_chain
from app.domain.base import AlreadyExists, RuleBroken
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.maintenance import key_rotation
from app.domain.messaging import mails
from app.extensions import db
from app.lib import totp
from app.lib.field_encryption import generate_key
from app.models import Customer, CustomerKey, Lead, LeadStatus
from app.web.core.request_transaction import request_transaction
from app.web.security import second_step
from config import WrongSetting
from tests.app_pool import AppPool, dispose
from tests.web.security_app import PASSWORD, get_menu, log_in, make_app, migrated, sign_in, user_id
from tests.web.two_factor_steps import code

__all__ = ["migrated"]
PAN, OTHER_PAN, LEAD_PAN = "ABCDE1234F", "BBCDE1234F", "CBCDE1234F"
NOW = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)

Opened = Callable[..., Any]


@pytest.fixture
def opened(migrated: AppPool, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens the application on one database, with these settings; in its context unless `in_context` is false."""
    folder = tmp_path / "house"
    shutil.copytree(tmp_path_factory.getbasetemp() / "security-migrated", folder)

    @contextmanager
    def open_app(in_context: bool = True, **settings: str) -> Iterator[Flask]:
        app = make_app(folder, **settings)
        with app.app_context() if in_context else nullcontext():
            yield app
        dispose(app)

    return open_app


def context() -> ChangeContext:
    return ChangeContext(None, NOW, vault=_vault(), customer_rights=ALL_RIGHTS)


def _vault() -> Any:
    return current_app.extensions["vault"]


def forget_audit() -> None:
    """Begin without an audit log: that of the copied database was sealed with the key of its folder."""
    with db.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_entry"))
        connection.execute(text("DELETE FROM audit_head"))


def add_customer(mobile: str, pan: str) -> None:
    with request_transaction() as session:
        customers.create(session, {"first_name": "Asha", "mobile": mobile, "pan": pan}, context())


def add_lead(pan: str) -> None:
    with request_transaction() as session:
        status = session.scalars(select(LeadStatus.id)).first()
        lead = Lead(number="CRM-LEAD-2026-09999", category="Direct", status_id=status, status_on=NOW, version=1)
        lead.set_contact({"first_name": "Ravi", "mobile": "9820055555", "pan": pan}, _vault())
        lead.stamp(context())
        session.add(lead)


def pans() -> list[str]:
    """The PANs of customers and leads, as opened by this application."""
    with request_transaction() as session:
        sealed = [*session.scalars(select(Customer.pan_sealed)), *session.scalars(select(Lead.pan_sealed))]
    return sorted(_vault().open(each) for each in sealed if each)


def verified() -> tuple[bool, int, int]:
    """Whether the audit log's key is ours, how many entries it has, and how many of them are broken."""
    with request_transaction() as session:
        report = audit_chain.verify(session)
    return report.is_our_key, report.head.seq, report.broken


def turn_on_two_factor(app: Flask) -> str:
    """Let Mia sign in with two factors; returns the key of her app."""
    key = totp.new_key()
    with app.test_request_context():
        second_step.turn_on(user_id(app, "mia"), key, 0, datetime.now(UTC))
    return key


def test_a_field_key_is_replaced_under_running_servers(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = generate_key(), generate_key()
    with opened(CRM_FIELD_KEY=old) as app:
        forget_audit()
        add_customer("9820012345", PAN)
        add_lead(LEAD_PAN)
        sign_in(app.test_client(), "ana")
        key = turn_on_two_factor(app)
        header = mails.header_id_of(_vault(), 7, "crm.example")
        with pytest.raises(RuleBroken, match="There is no key to replace"):
            rotate_field_key(str)

    with opened(CRM_FIELD_KEY=new, CRM_FIELD_KEYS_OLD=old) as app:
        assert pans() == [PAN, LEAD_PAN]
        sign_in(app.test_client(), "ana")  # sealed with the old key until the command runs
        add_customer("9820012346", OTHER_PAN)
        with pytest.raises(AlreadyExists):
            add_customer("9820012347", PAN)  # held under the old fingerprint
        monkeypatch.setattr(key_rotation, "CHUNK", 1)
        with pytest.raises(InterruptedError):
            rotate_field_key(cut_off)
        sign_in(app.test_client(), "mia")
        assert verified()[::2] == (True, 0)
        answer = app.test_cli_runner().invoke(args=["keys", "rotate"])
        assert answer.exit_code == 0, answer.output
        assert "Every value is under the new key" in answer.output
        assert "leads: 1 rows, 1 sealed anew" in answer.output
        assert "two_factor: 1 rows, 1 sealed anew" in answer.output

    with opened(CRM_FIELD_KEY=new) as app:
        run._refuse_other_key()
        assert pans() == [PAN, OTHER_PAN, LEAD_PAN]
        sign_in(app.test_client(), "root")
        second_step.check(user_id(app, "mia"), code(key), datetime.now(UTC))
        is_ours, _entries, broken = verified()
        assert (is_ours, broken) == (True, 0)
        with request_transaction() as session:
            assert mails.message_of(session, _vault(), header) == 7
            assert mails.message_of(session, _vault(), header.replace("m7.", "m8.")) is None
            held = set(session.scalars(select(CustomerKey.value).where(CustomerKey.kind == "pan")))
            assert held == set(session.scalars(select(Customer.pan_blind)))
            session.execute(text("UPDATE audit_entry SET about = 'x' WHERE seq = 1"))
        for pan in (PAN, OTHER_PAN):
            with pytest.raises(AlreadyExists):
                add_customer("9820012348", pan)
        assert verified()[2] == 1  # the part under the former key is still checked

    with opened(CRM_FIELD_KEY=old), pytest.raises(run.CannotStart):
        run._refuse_other_key()


def cut_off(line: str) -> None:
    """As if the command were stopped after the first table with rows."""
    if line.startswith("customer:"):
        raise InterruptedError


def test_a_value_that_no_key_opens_is_named_and_the_older_key_kept(opened: Opened) -> None:
    old, new = generate_key(), generate_key()
    with opened(CRM_FIELD_KEY=generate_key()):
        forget_audit()
        add_customer("9820012345", PAN)
    with opened(CRM_FIELD_KEY=new, CRM_FIELD_KEYS_OLD=old) as app:
        forget_audit()
        answer = app.test_cli_runner().invoke(args=["keys", "rotate"])
        assert answer.exit_code == 1
        assert "customer 1" in answer.output
        assert PAN not in answer.output


def test_sessions_forms_and_tokens_outlive_a_new_secret_key(opened: Opened) -> None:
    old, new = "o" * 40, "n" * 40
    with opened(in_context=False, CRM_SECRET_KEY=old) as app:
        browser = app.test_client()
        assert sign_in(browser, "ana").status_code == 302
        token = log_in(app.test_client()).json["access_token"]
        name = app.config["SESSION_COOKIE_NAME"]
        page = browser.get("/sessions/").text
        cookie = browser.get_cookie(name).value
    for settings, lives in (({"CRM_SECRET_KEYS_OLD": old}, True), ({}, False)):
        with opened(in_context=False, CRM_SECRET_KEY=new, **settings) as app:
            assert (get_menu(app.test_client(), f"Bearer {token}").status_code == 200) is lives
            browser = app.test_client()
            browser.set_cookie(name, cookie)
            form = {"csrf_token": page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]}
            sent = browser.post("/sessions/end-others", data=form | {"password": PASSWORD})
            assert (sent.status_code < 400 and "/login" not in sent.headers.get("Location", "")) is lives


def test_what_is_no_key_is_refused_without_repeating_it(tmp_path: Path) -> None:
    for name in ("CRM_FIELD_KEYS_OLD", "CRM_SECRET_KEYS_OLD"):
        with pytest.raises(WrongSetting, match=name) as refused:
            make_app(tmp_path, **{name: "hush"})
        assert "hush" not in str(refused.value)
