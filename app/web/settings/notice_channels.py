"""The page of notifications by SMS and WhatsApp: by which account and template they go out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

import config
from app.domain import business_settings
from app.domain.base import RuleBroken
from app.domain.messaging import channel_accounts, notice_templates
from app.domain.messaging.notice_templates import NoticeWay
from app.domain.notifications import notices
from app.extensions import db
from app.lib.ids import parse_id
from app.models import BusinessSetting, MessageTemplate
from app.notice_texts import EVENTS
from app.web.core import fab_access
from app.web.core.fab_access import NOT_REFUSED, Refusal
from app.web.core.localization.languages import translate_text
from app.web.pages.settings_page import SettingsFormPage, refuse_stale, settings_form
from app.web.records.message_words import CHANNEL_WORDS

#: A record and a number as long as any, with which a template is tried out before it is stored.
LONG_RECORD, INDIAN_NUMBER = "CRM-CUSTOMER-2026-0000000", "+919800000000"
Ways = dict[str, dict[str, int]]


class NoticeChannelsView(SettingsFormPage):
    """/settings/notice-channels/"""

    route_base = "/settings/notice-channels"

    def _save(self, session: Session) -> None:
        refuse_stale(_stored(session))
        _store(session, _posted(session))

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        session = db.session()
        stored = _stored(session)
        sections = [
            {
                "title": str(CHANNEL_WORDS[channel]),
                "fields": _fields(session, channel, {**_shown(stored), **posted}, refused.errors),
            }
            for channel in notices.TEXT_CHANNELS
        ]
        title, version = _("Notifications by SMS and WhatsApp"), fab_access.content_hash(stored)
        form = settings_form(title, "/settings/notice-channels/", sections, version)
        form["error"] = refused.sentence
        return self.render_template("settings/notice_channels.html", title=title, form=form)


def _stored(session: Session) -> Ways:
    return {channel: dict(way) for channel, way in notices.set_up_channels(session).items()}


def _shown(stored: Ways) -> dict[str, Any]:
    return {f"{channel}_{part}": key for channel, way in stored.items() for part, key in way.items()}


def _fields(
    session: Session, channel: str, shown: Mapping[str, Any], errors: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    accounts = [(each.id, each.name) for each in channel_accounts.active(session, channel, "service")]
    templates = select(MessageTemplate).where(MessageTemplate.is_active.is_(True)).order_by(MessageTemplate.label)
    usable = [(each.id, each.label) for each in notice_templates.offered(session.scalars(templates), channel)]
    return [
        {
            "name": f"{channel}_{part}",
            "label": label,
            "value": shown.get(f"{channel}_{part}", ""),
            "kind": "choice",
            "options": options,
            "help": about,
            "errors": errors.get(f"{channel}_{part}", []),
        }
        for part, label, options, about in (
            ("account", _("Account"), accounts, _("Leave both empty to send no notifications on this channel.")),
            ("template", _("Template"), usable, ""),
        )
    ]


def _posted(session: Session) -> Ways:
    """The posted accounts and templates, of channels that have both. Raises RuleBroken."""
    ways: Ways = {}
    errors: dict[str, list[str]] = {}
    for channel in notices.TEXT_CHANNELS:
        given = {part: request.form.get(f"{channel}_{part}", "").strip() for part in ("account", "template")}
        if not any(given.values()):
            continue
        try:
            ways[channel] = _way(session, channel, given)
        except RuleBroken as broken:
            part = next((each for each in broken.errors if each in given), "template")
            errors[f"{channel}_{part}"] = [translate_text(broken.message)]
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    return ways


def _way(session: Session, channel: str, given: Mapping[str, str]) -> dict[str, int]:
    """The ids, once the longest text that can occur was tried out. Raises RuleBroken."""
    ids = {part: parse_id(text) for part, text in given.items()}
    account, template = ids["account"], ids["template"]
    if account is None or template is None:
        missing = "account" if account is None else "template"
        raise RuleBroken(_("Please choose one of the options."), missing)
    way = notice_templates.way_of(session, channel, account, template)
    if way is None:
        raise RuleBroken(_("Please choose one of the options."), "template")
    notice_templates.refuse_unusable(way)
    notice_templates.fill(session, way, INDIAN_NUMBER, _longest(way))
    return {"account": account, "template": template}


def _longest(way: NoticeWay) -> dict[str, str]:
    with force_locale(way.language() if way.language() in config.LANGUAGE_NAMES else "en"):
        event = max((str(text) for text in EVENTS.values()), key=len)
    link = f"{current_app.config['CRM'].public_url}/customers/{LONG_RECORD}"
    values = {"event": event, "record": LONG_RECORD, "text": f"{event}: {LONG_RECORD}"}
    return values | {"link": link, "notice": str(2**31)}


def _store(session: Session, ways: Ways) -> None:
    key = business_settings.NOTICE_CHANNELS
    row = session.scalars(select(BusinessSetting).where(BusinessSetting.key == key)).first()
    if row is None:
        row = BusinessSetting(key=key)
        session.add(row)
    row.value, row.changed_on = ways, fab_access.request_time()
