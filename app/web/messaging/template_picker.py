"""Message templates offered after “/”: for a channel, those in the person's language first, filled in for a record.

The server fills them in, so that a template never reveals a masked value: it counts as missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import request
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

import config
from app.domain.base import RuleBroken
from app.domain.messaging import message_templates
from app.domain.messaging.messages import CHANNELS
from app.extensions import db
from app.models import Consent, Conversation, Message, MessageTemplate
from app.web.core.fab_access import ModulePermissions, current_viewer, json_answer, refuse_as_json
from app.web.core.urls.record_references import RECORDS, named_record
from app.web.messaging import template_variables

MOST = 12
#: Notes, and the channels for sending messages.
OFFERED = (*CHANNELS, "note")
_WORD_ENDS = re.compile(r"[.,!?;:।]")
_GUJARATI, _DEVANAGARI = re.compile(r"[\u0a80-\u0aff]"), re.compile(r"[\u0900-\u097f]")
#: Marathi and Hindi share a script; these words identify Marathi.
_MARATHI = frozenset({"आहे", "आहेत", "नाही", "मला", "माझे", "माझा", "तुम्ही", "हवे", "हवी", "पाहिजे"})


class TemplatesView(ModulePermissions, BaseView):
    """/templates/offer"""

    route_base = "/templates"
    default_view = "offer"
    module = "Messages"
    VERBS = {"offer": "create"}

    @expose("/offer")
    @has_access
    @refuse_as_json
    @permission_name("offer")
    def offer(self) -> Any:
        """`channel`, `about` as lead:5 or conversation:7, and `q`, a part of the label."""
        session, viewer, args = db.session(), current_viewer(), request.args
        if args.get("channel") not in OFFERED:
            raise RuleBroken(_("There is no such channel. Choose WhatsApp, SMS or Email."), "channel")
        row = _about(args.get("about") or "")
        person = template_variables.person_of(session, row)
        values = template_variables.values_for(session, row, person, viewer)
        language = language_of(session, row, person)
        found = _matching(session, args["channel"], (args.get("q") or "")[:40], row)
        order = [language, viewer.person.locale or "en", "en"]
        found.sort(key=lambda each: _place(order, each.language))
        return json_answer(200, {"results": [_offered(each, values) for each in found[:MOST]], "language": language})


def _about(named: str) -> Any:
    """The record or conversation, if the viewer sees it; None when none is named. Raises NotFound."""
    if not named:
        return None
    kind, _colon, key = named.partition(":")
    return named_record(kind, key, {**RECORDS, "conversation": Conversation})


def language_of(session: Session, row: Any, person: Any) -> str:
    """The person's language: that of their consent, else of their last message, else English."""
    if row is None:
        return "en"
    mine = {kind: person.id for kind in ("customer", "lead") if isinstance(person, RECORDS[kind])}
    for kind, key in mine.items():
        languages = select(Consent.language).where(getattr(Consent, f"{kind}_id") == key, Consent.language.is_not(None))
        if language := session.scalar(languages.order_by(Consent.id.desc()).limit(1)):
            return str(language).partition("-")[0]
    column = "conversation_id" if isinstance(row, Conversation) else f"{_kind(row)}_id"
    last = select(Message.body).where(getattr(Message, column) == row.id, Message.direction == "in")
    return language_in(session.scalar(last.order_by(Message.id.desc()).limit(1)) or "")


def _kind(row: Any) -> str:
    return next(kind for kind, model in RECORDS.items() if isinstance(row, model))


def language_in(text: str) -> str:
    """The language of a text by its script: Gujarati, Hindi or Marathi, else English."""
    if _GUJARATI.search(text):
        return "gu"
    if not _DEVANAGARI.search(text):
        return "en"
    return "mr" if _MARATHI & set(_WORD_ENDS.sub(" ", text).split()) else "hi"


def _matching(session: Session, channel: str, typed: str, row: Any) -> list[Any]:
    usable = (MessageTemplate.is_active.is_(True), MessageTemplate.approval.in_(message_templates.USABLE))
    query = select(MessageTemplate).where(MessageTemplate.channel == channel, *usable)
    account = row.account_id if isinstance(row, Conversation) else None
    found = session.scalars(query.order_by(MessageTemplate.position, MessageTemplate.label).limit(500))
    wanted = typed.casefold()
    return [
        each
        for each in found
        if wanted in each.label.casefold() and (account is None or each.account_id in (None, account))
    ]


def _place(order: list[str], language: str) -> int:
    plain = language.partition("_")[0].partition("-")[0]
    return order.index(plain) if plain in order else len(order)


def _offered(template: Any, values: Mapping[str, str]) -> dict[str, Any]:
    names = message_templates.variables(template)
    missing = [name for name in names if name not in values]
    language = template.language.partition("_")[0].partition("-")[0]
    return {
        "id": template.id,
        "label": template.label,
        "language": template.language,
        "language_name": config.LANGUAGE_NAMES.get(language, template.language),
        "subject": message_templates.subject_of(template, values) or None,
        "preview": message_templates.fill(template, values),
        "values": {name: values[name] for name in names if name in values},
        "missing": missing,
        "missing_text": _("Please fill in: %(names)s.", names=", ".join(missing)) if missing else "",
    }
