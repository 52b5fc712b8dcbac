"""Notices by SMS and WhatsApp, to people who chose it: what is sent, by which account, when, and how many a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import force_locale, ngettext
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

import config
from app import access, shown_brand
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.provider import OutgoingMessage, Provider, Template
from app.domain.base import RuleBroken
from app.domain.messaging import notice_templates, permitted_hours
from app.domain.messaging.notice_templates import NoticeWay
from app.domain.notifications import notices
from app.lib import dlt
from app.lib.digit_grouping import GroupedInt
from app.models import Delivery, Notification
from app.notice_links import link_of, record_cards, record_link
from app.notice_texts import event_and_record
from app.outbox import account_health, account_rate_limits, provider_clients
from app.outbox.delivery_engine import DeliveryResult, NotSent, NotToBeSent
from app.outbox.provider_clients import NoProvider, impersonal

#: Texts for one person, channel and day of the office. The last one says how many more notices there are.
MOST_A_DAY = 20
NOT_SET_UP = "Notifications are no longer sent on this channel."
NOT_WANTED = "The user turned off this channel for this kind of notification."
NO_NUMBER = "The user has no mobile number."
TOO_MANY = "The most texts of this day were sent already. It waits in the CRM."
QUIET = "Waits for the end of the quiet hours."


@dataclass(frozen=True)
class ReadyText:
    """A notice with the client that sends it."""

    account_id: int
    provider: Provider
    message: OutgoingMessage


def prepare(session: Session, row: Delivery, notice: Any, user: Any) -> ReadyText:
    """The notice for its provider; the session acts for its recipient.

    Raises NotSent: it isn't wanted or possible any more, there were too many, or it has to wait.
    """
    with access.as_system(session):
        way = notice_templates.find(session, row.channel)
        if way is None:
            raise NotToBeSent(NOT_SET_UP)
        if not user.mobile_e164:
            raise NotToBeSent(NO_NUMBER)
        before, more = _texts_of_the_day(session, row, notice)
        if before >= MOST_A_DAY:
            raise NotToBeSent(TOO_MANY)
        _wait(session, way, notice)
    with force_locale(way.language() if way.language() in config.LANGUAGE_NAMES else "en"):
        is_last = before == MOST_A_DAY - 1 and more > 1
        values = _summary(session, row, more) if is_last else _values(session, notice)
    with access.as_system(session):
        return _ready(session, row, way, user.mobile_e164, values)


def _texts_of_the_day(session: Session, row: Delivery, notice: Any) -> tuple[int, int]:
    """How many texts of the notice's day, person and channel are older than this one, and how many are not.

    Counted by their order and not by what was sent, so that each has its place however many workers send.
    """
    zone = ZoneInfo(current_app.config["CRM"].time_zone)
    day = notice.at.astimezone(zone).date()
    begins, ends = (datetime.combine(each, time(), zone).astimezone(UTC) for each in (day, day + timedelta(days=1)))
    is_older = case((Delivery.id < row.id, 1), else_=0)
    query = select(func.coalesce(func.sum(is_older), 0), func.count(Delivery.id))
    query = query.join(Notification, Notification.id == Delivery.notification_id)
    same_day = (Notification.at >= begins, Notification.at < ends)
    query = query.where(Notification.user_id == notice.user_id, *same_day, Delivery.channel == row.channel)
    older, count = session.execute(query).one()
    return int(older), int(count) - int(older)


def _wait(session: Session, way: NoticeWay, notice: Any) -> None:
    """Raise NotSent during the quiet hours, and while the account is at its limit."""
    now = datetime.now(UTC)
    zone = current_app.config["CRM"].time_zone
    is_delayed = notice.kind not in notices.UNDELAYED_KINDS
    if is_delayed and (until := permitted_hours.end_of_quiet_hours(session, now, zone)):
        raise NotSent(DeliveryResult("queued", QUIET, was_attempted=False, wait=(until - now).total_seconds()))
    if wait := account_rate_limits.wait_for_turn(way.account, now):
        raise NotSent(DeliveryResult("queued", was_attempted=False, wait=wait))


def _values(session: Session, notice: Any) -> dict[str, str]:
    """The values of the template for one notice: what happened, and the number of a record that the person sees."""
    cards = record_cards(session, [notice])
    found = record_link(notice, cards)
    event, record = event_and_record(notice, found[1] if found else "")
    return _as_values(session, event, record, link_of(notice, cards)) | {"notice": str(notice.id)}


def _summary(session: Session, row: Delivery, more: int) -> dict[str, str]:
    """The same for the last text of a day: how many notices wait in the CRM."""
    event = ngettext("%(num)s more notification", "%(num)s more notifications", GroupedInt(more))
    return _as_values(session, event, "", "/bell/") | {"notice": str(row.notification_id)}


def _as_values(session: Session, event: str, record: str, path: str) -> dict[str, str]:
    record = record or shown_brand.current(current_app, session).name
    return {
        "event": event,
        "record": record[: dlt.MAX_VARIABLE],
        "text": f"{event}: {record}",
        "link": f"{current_app.config['CRM'].public_url}{path}",
    }


def _ready(session: Session, row: Delivery, way: NoticeWay, number: str, values: dict[str, str]) -> ReadyText:
    """Raises NotSent permanently if the account or template can't be used."""
    try:
        notice_templates.refuse_unusable(way)
        text, given = notice_templates.fill(session, way, number, values)
        provider, url = provider_clients.provider_of(way.account), provider_clients.hook_url(way.account, way.channel)
    except (RuleBroken, NoProvider) as error:
        raise NotSent(DeliveryResult("failed", str(error), was_attempted=False)) from error
    template = way.template
    filled = Template(template.name or template.label, template.language, given, template.provider_id or "")
    message = OutgoingMessage(f"n{row.id}", way.channel, number, text, template=filled, status_url=url)
    return ReadyText(way.account.id, provider, message)


def transmit(ready: ReadyText) -> DeliveryResult:
    """Send it. Raises ChannelError and DeliveryUnknown, without numbers of people in their text."""
    error: ChannelError | None = None
    try:
        ready.provider.send(ready.message)
    except DeliveryUnknown as unknown:
        error = DeliveryUnknown(impersonal(unknown))
    except ChannelError as refused:
        error = ChannelError(impersonal(refused), permanent=refused.permanent)
    account_health.record_result(ready.account_id, None if error is None else str(error))
    if error is not None:
        raise error
    return DeliveryResult("sent")
