"""Steps of people with two-factor sign-in, for the tests of pages, APIs and databases."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from app.lib import totp
from app.models import Notification, Role, TwoFactor
from app.web.core.request_transaction import request_transaction
from tests.web.security_app import PASSWORD, post, rows, user_id

PAGE = "/two-factor/"


def code(key: str, steps: int = 0) -> str:
    """The code that the app shows, this many steps later."""
    return totp.code_at(key, totp.step_at(datetime.now(UTC)) + steps)


def offered(client: Any, page: str = PAGE) -> tuple[str, str]:
    """The key that the page offers, sealed and as text."""
    text = client.get(page).text
    offer, key = re.search(r'name="offer" value="([^"]+)"', text), re.search(r'data-copy="([A-Z2-7]{32})"', text)
    assert offer and key, text
    return html.unescape(offer[1]), key[1]


def turn_on(client: Any, **fields: Any) -> tuple[str, list[str]]:
    """Turn it on as the page does; returns the key and the recovery codes."""
    offer, key = offered(client)
    sent = {"offer": offer, "code": code(key), "current_password": PASSWORD, "form": "on"} | fields
    response = post(client, "/two-factor/on", PAGE, **sent)
    assert response.status_code == 200, response.text
    unlock_step(client.application)
    return key, re.findall(r"<li><code>([^<]+)</code>", response.text)


def send_code(client: Any, typed: str, query: str = "", **fields: Any) -> Any:
    """Fill in the second page of the sign-in and send it."""
    path = f"/login/code/{query}"
    return post(client, path, path, code=typed, **fields)


def demand(app: Flask, role: str, needed: bool = True) -> None:
    """Switch the demand of a role, as its page does."""
    from app.extensions import db

    with app.app_context(), request_transaction():
        row = db.session.scalars(select(Role).where(Role.name == role)).one()
        row.needs_two_factor = needed


def unlock_step(app: Flask) -> None:
    """Let the last code be valid again, instead of waiting for the next one."""
    with app.app_context(), request_transaction() as session:
        session.execute(update(TwoFactor).values(last_step=0))


def told(app: Flask, name: str) -> list[str]:
    """What the person was notified of, oldest first."""
    query = select(Notification.payload).where(Notification.kind == "security").order_by(Notification.id)
    return [payload["what"] for (payload,) in rows(app, query.where(Notification.user_id == user_id(app, name)))]
