"""The settings page of message templates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from markupsafe import Markup

import config
from app.domain.messaging import message_templates
from app.extensions import db
from app.models import MessageTemplate
from app.web.core.fab_access import current_viewer
from app.web.messaging import template_variables
from app.web.pages.hardened_view import select_field
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS
from app.web.settings.picklists import PicklistScreen

_CHANNELS = [*CHANNEL_WORDS.items(), ("note", lazy_gettext("Note"))]


def _with_example(body: str) -> str:
    """A template's text and, if it has variables, how it reads for a ticket."""
    values = template_variables.example_values(db.session(), current_viewer())
    filled = message_templates.fill(SimpleNamespace(body=body), values)
    if filled == body:
        return body
    return Markup('<p>{body}</p><p class="quiet small">{label}</p><p>{filled}</p>').format(
        body=body, label=_("For example, as the answer to a ticket:"), filled=filled
    )


class MessageTemplates(PicklistScreen):
    """Templates of messages."""

    datamodel = SQLAInterface(MessageTemplate)
    route_base = "/settings/message-templates"
    list_title, show_title = lazy_gettext("Message templates"), lazy_gettext("Message template")
    add_title, edit_title = lazy_gettext("New message template"), lazy_gettext("Edit message template")
    list_columns = ["label", "channel", "language", "position", "is_active"]
    columns = (*("label", "channel", "language", "purpose", "header", "body", "provider_id", "position", "is_active"),)
    fields = {
        "channel": select_field(lazy_gettext("Channel"), _CHANNELS),
        "language": select_field(lazy_gettext("Language"), list(config.LANGUAGE_NAMES.items())),
        "purpose": select_field(lazy_gettext("Purpose"), list(PURPOSE_WORDS.items()), default="service"),
    }
    description_columns = {
        "header": lazy_gettext(
            "The subject of an email; it can have variables such as {{first_name}}, as the text can."
        ),
        "body": lazy_gettext(
            "These variables are filled in for the lead, ticket or customer: %(names)s. For others, the sender is "
            "asked.",
            names=", ".join(f"{{{{{name}}}}}" for name in template_variables.VARIABLES),
        ),
        "provider_id": lazy_gettext("Of an SMS to India: the ID of its template on the DLT platform."),
        "purpose": lazy_gettext("Promotional messages have certain hours, and are never sent to people who want none."),
    }
    formatters_columns = {
        "body": _with_example,
        "channel": lambda channel: str(dict(_CHANNELS).get(channel, channel)),
        "language": lambda language: str(config.LANGUAGE_NAMES.get(language, language)),
        "purpose": lambda purpose: str(PURPOSE_WORDS.get(purpose, purpose)),
    }

    def refuse_invalid(self, item: Any) -> None:
        """Also: the rules of templates; a subject is one line."""
        super().refuse_invalid(item)
        item.header, item.provider_id = " ".join((item.header or "").split()), (item.provider_id or "").strip()
        message_templates.refuse_invalid(item)
        item.header, item.provider_id = item.header or None, item.provider_id or None
