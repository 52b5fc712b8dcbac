"""The emails of invitations. The same link may arrive twice, so they are retried."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import current_app
from flask_babel import force_locale, gettext
from sqlalchemy.orm import Session

from app import access, shown_brand
from app.channels.base import Channel, Content
from app.domain.people import invitations
from app.domain.people.invitations import Invitation
from app.extensions import db
from app.models import User
from app.outbox import delivery_engine
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotToBeSent
from app.outbox.system_emails import SystemEmail, content_of
from app.shown_brand import ShownBrand

if TYPE_CHECKING:
    from config import Settings

#: Seconds before the second, third … attempt.
WAITS = (30, 120, 600, 3600)
IS_OVER = "The invitation was accepted, revoked or has expired."
IS_OTHER = "The user's password, address or the server's key was changed. Please send the invitation again."


def send(invitation_id: int) -> None:
    """Send one invitation that is due. The function's path is stored in queues."""
    delivery_engine.deliver(INVITATIONS, invitation_id)


def keys() -> tuple[str, ...]:
    """The keys from which the tokens of links are derived: the current one, then those being replaced."""
    settings: Settings = current_app.config["CRM"]
    return settings.secret_key, *settings.secret_keys_old


def _prepare(row: Invitation) -> tuple[Channel, str, Content]:
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        user = session.get_one(User, row.user_id)
        if not row.is_open(row.at) or not user.active:
            raise NotToBeSent(IS_OVER)
        token = invitations.current_token(keys(), row, user)
        if token is None or user.email != row.address:
            raise NotToBeSent(IS_OTHER)
        inviter = session.get(User, row.created_by_id) if row.created_by_id else None
        brand = shown_brand.current(current_app, session)
        with force_locale(user.locale or "en"):
            content = _content(row, user, inviter, brand, token)
    channels: Mapping[str, Channel] = current_app.extensions["crm_channels"]
    return channels["email"], row.address, content


def _content(row: Invitation, user: User, inviter: User | None, brand: ShownBrand, token: str) -> Content:
    link = f"{current_app.config['CRM'].public_url}/invitation/?token={token}"
    who = inviter.get_full_name().strip() if inviter is not None else brand.name
    text = gettext(
        "%(who)s invites you to %(brand)s. Your username is %(username)s. Choose your password here:",
        who=who,
        brand=brand.name,
        username=user.username,
    )
    rest = gettext("The link works once, for %(days)s days. If you don't expect it, ignore this email.", days=7)
    email = SystemEmail(
        about=f"user {user.id}: invitation",
        key=f"invitation-{row.id}-{row.nonce[:12]}",
        subject=gettext("Your account in %(brand)s", brand=brand.name),
        lines=(text,),
        link=link,
        button=gettext("Choose your password"),
        after=rest,
    )
    return content_of(email, brand)


INVITATIONS = DeliveryKind(
    label="invitation",
    log=logging.getLogger("crm.delivery"),
    model=Invitation,
    key=Invitation.id,
    began_on=Invitation.at,
    ended_on=Invitation.at,
    queue="short",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=delivery_engine.send_content,
    interrupted=DeliveryResult("queued"),
    same=(Invitation.nonce,),
)


def enqueue(invitation_id: int) -> None:
    """Send it soon; if no queue accepts it, the job does."""
    delivery_engine.enqueue(INVITATIONS, invitation_id)
