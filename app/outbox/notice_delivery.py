"""Notices sent by email, SMS or WhatsApp. Each is sent at most once on each channel."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app
from flask_babel import force_locale, gettext
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, object_session

from app import access, shown_brand
from app.channels.base import Channel, Content
from app.domain.notifications import notices
from app.domain.persistence.transaction_state import pop_committed, transaction_state
from app.extensions import db
from app.models import Delivery, Notification, User
from app.notice_links import link_of, names_of, record_cards
from app.notice_texts import text_of
from app.outbox import delivery_engine, text_notices
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotToBeSent
from app.outbox.system_emails import Link, SystemEmail, content_of
from app.outbox.text_notices import ReadyText

#: An email as (channel, address, content), or a text.
Prepared = tuple[Channel, str, Content] | ReadyText

#: Seconds before the second, third … attempt; there is one attempt more than there are waits.
WAITS = (30, 120, 600, 3600)
NOT_KNOWN = "Unknown whether it arrived: sending was interrupted. Please check before you resend it."
NOT_WANTED = "The user turned off email for this kind of notification."
IS_GONE = "The user is no longer active."


def send(delivery_id: int) -> None:
    """Send one notice that is due. The function's path is stored in queues."""
    delivery_engine.deliver(NOTICES, delivery_id)


# --- what is sent


def _prepare(row: Delivery) -> Prepared:
    """What is sent. Raises NotSent if the person is inactive or no longer wants it, or if a text has to wait."""
    with Session(db.engine, expire_on_commit=False) as session:
        with access.as_system(session):
            notice, user = session.execute(_notice_and_user(row)).unique().one()
            if not user.active:
                raise NotToBeSent(IS_GONE)
            if not notices.wants({user.id: user.notice_choices or {}}, user.id, notice.kind, row.channel):
                raise NotToBeSent(NOT_WANTED if row.channel == "email" else text_notices.NOT_WANTED)
            version = session.execute(select(access.version_query())).scalar() or 0
        access.act_as(session, access.person(session, user.id, version))
        if row.channel in notices.TEXT_CHANNELS:
            return text_notices.prepare(session, row, notice, user)
        with force_locale(user.locale or "en"):
            content = _content(session, notice, user)
    channels: Mapping[str, Channel] = current_app.extensions["crm_channels"]
    return channels[row.channel], user.email, content


def _transmit(row: Delivery, prepared: Prepared) -> DeliveryResult:
    if isinstance(prepared, ReadyText):
        return text_notices.transmit(prepared)
    return delivery_engine.send_content(row, prepared)


def _notice_and_user(row: Delivery) -> Any:
    query = select(Notification, User).join(User, User.id == Notification.user_id)
    return query.where(Notification.id == row.notification_id)


def _content(session: Session, notice: Any, user: Any) -> Content:
    """The notice's text and a link to its record, if the person can see it; nothing that a mask could hide."""
    chosen, cards = current_app.config["CRM"], record_cards(session, [notice])
    text = text_of(notice, **names_of(notice, cards))
    link = chosen.public_url + link_of(notice, cards)
    brand = shown_brand.current(current_app, session)
    why = gettext(
        "You receive this email because you turned on email for this kind of notification in %(brand)s.",
        brand=brand.name,
    )
    email = SystemEmail(
        about=f"user {user.id}: notice {notice.id}",
        key=f"notice-{notice.id}-{int(notice.at.timestamp())}",
        subject=text,
        lines=(text,),
        link=link,
        button=gettext("Open in %(brand)s", brand=brand.name),
        reason=why,
        choices=Link(gettext("Notification preferences"), f"{chosen.public_url}/bell/choices/"),
    )
    return content_of(email, brand)


NOTICES = DeliveryKind(
    label="delivery",
    log=logging.getLogger("crm.delivery"),
    model=Delivery,
    key=Delivery.id,
    began_on=Delivery.at,
    ended_on=Delivery.at,
    queue="short",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("unknown", NOT_KNOWN),
)


# --- after the commit


#: The database whose deliveries this process sends.
_engine: Engine | None = None


def install(app: Flask, channels: Mapping[str, Channel]) -> None:
    """Send the committed deliveries of the app's database through these channels."""
    global _engine
    app.extensions["crm_channels"] = channels
    with app.app_context():
        _engine = db.engine


def note_delivery(_mapper: Any, connection: Any, row: Delivery) -> None:
    """Mapper hook, after the INSERT of a delivery: queue it after the commit."""
    session = object_session(row)
    if session is not None and row.state == "queued" and connection.engine is _engine:
        transaction_state(session).notice_deliveries.append(row.id)


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its deliveries."""
    for key in pop_committed(session, "notice_deliveries"):
        delivery_engine.enqueue(NOTICES, key)
