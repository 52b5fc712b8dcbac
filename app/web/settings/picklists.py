"""Screens of the picklists: statuses, subjects, account types, sources, support pages, templates."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from markupsafe import Markup
from sqlalchemy import func, select

import config
from app.domain import leads, tickets
from app.domain.base import RuleBroken
from app.domain.messaging import message_templates
from app.domain.picklists import COLORS
from app.extensions import db
from app.models import AccountType, LeadSource, LeadStatus, MessageTemplate, SupportPage, TicketStatus, TicketSubject
from app.web.core.fab_access import current_viewer
from app.web.messaging import template_variables
from app.web.pages.hardened_view import VERBS, HardenedView, select_field
from app.web.records.messages import PURPOSE_WORDS
from app.web.settings.color_picker import NAMES, SwatchWidget, swatch

_URL = re.compile(r"https?://[^\s/]+\.?[^\s]*", re.IGNORECASE)
_COLOR = select_field(
    lazy_gettext("Color"), [(each, NAMES[each]) for each in COLORS], widget=SwatchWidget(), default="gray"
)
PICKLIST_LABELS = {
    "label": lazy_gettext("Label"),
    "position": lazy_gettext("Order"),
    "is_active": lazy_gettext("Active"),
    "color": lazy_gettext("Color"),
    "meaning": lazy_gettext("Meaning"),
    "description": lazy_gettext("Description"),
    "url": lazy_gettext("Address"),
    "channel": lazy_gettext("Channel"),
    "language": lazy_gettext("Language"),
    "body": lazy_gettext("Text"),
    "header": lazy_gettext("Subject"),
    "provider_id": lazy_gettext("Template ID"),
    "purpose": lazy_gettext("Purpose"),
    "day": lazy_gettext("Day"),
    "starts": lazy_gettext("Starts at"),
    "ends": lazy_gettext("Ends at"),
    "weekday": lazy_gettext("Weekday"),
    "applies_to": lazy_gettext("For"),
    "promises": lazy_gettext("Targets"),
}

_MAX_POSITION = 9999


class PicklistScreen(HardenedView):
    """Base of the screens of picklists, and of other short lists: holidays, office hours, SLA policies."""

    class_permission_name = "Settings"
    method_permission_name = VERBS
    columns: tuple[str, ...] = ("label", "position", "is_active")
    fields: dict[str, Any] = {}
    base_order = ("position", "asc")
    page_size = 100

    def __init__(self, **kwargs: Any) -> None:
        columns = list(self.columns)
        self.list_columns = self.list_columns or columns
        self.search_columns = self.search_columns or [each for each in columns if each not in self.fields]
        self.show_columns, self.add_columns, self.edit_columns = columns, columns, columns
        self.add_form_extra_fields = self.edit_form_extra_fields = self.fields
        self.label_columns = PICKLIST_LABELS
        super().__init__(**kwargs)

    def start_form(self, form: Any) -> None:
        """A new entry comes after all others."""
        if "position" in form:
            last = db.session.scalar(select(func.max(self.datamodel.obj.position)))
            form["position"].data = min((last or 0) + 1, _MAX_POSITION)

    def pre_add(self, item: Any) -> None:
        """Check a new row. Raises RuleBroken."""
        self.refuse_invalid(item)

    def pre_update(self, item: Any) -> None:
        """Check a changed row. Raises RuleBroken."""
        self.refuse_invalid(item)

    def refuse_invalid(self, item: Any) -> None:
        """Raise RuleBroken for an invalid row."""
        if not -_MAX_POSITION <= (item.position or 0) <= _MAX_POSITION:
            raise RuleBroken(_("Please enter an order between -9999 and 9999."), "position")
        item.position = item.position or 0


#: Meaning -> its label.
_MEANING_LABELS = {
    "new": lazy_gettext("New: nobody has worked on it"),
    "open": lazy_gettext("Open: seen, not in progress yet"),
    "working": lazy_gettext("In progress"),
    "scheduled": lazy_gettext("Follow-up scheduled: needs an open task"),
    "followed": lazy_gettext("Follow-up done"),
    "documents": lazy_gettext("Documents collected"),
    "sent": lazy_gettext("Sent to the head office: needs a POD ID"),
    "verified": lazy_gettext("Documents verified"),
    "opened": lazy_gettext("Account opened: needs a client ID"),
    "rejected": lazy_gettext("Rejected: needs a reason"),
    "activated": lazy_gettext("Account activated: ends the lead"),
    "unqualified": lazy_gettext("Not qualified: ends the lead"),
    "junk": lazy_gettext("Junk: ends the lead"),
    "expired": lazy_gettext("Expired: ends the lead"),
    "expired_opened": lazy_gettext("Expired after the account was opened"),
    "waiting": lazy_gettext("Waiting for the customer: pauses the SLA"),
    "resolved": lazy_gettext("Resolved: needs a resolution"),
    "closed": lazy_gettext("Closed: needs a resolution"),
}


def meaning_label(meaning: str) -> str:
    """The label of this meaning."""
    return str(_MEANING_LABELS.get(meaning) or meaning.replace("_", " ").capitalize())


class _Statuses(PicklistScreen):
    """Statuses. The code refers to them by meaning, so one active status of each required meaning must stay."""

    columns = ("label", "color", "meaning", "position", "is_active")
    formatters_columns = {"color": swatch, "meaning": meaning_label}
    required_meanings: tuple[str, ...] = ()

    def refuse_invalid(self, item: Any) -> None:
        """Also: the last status of a required meaning keeps its meaning and stays active."""
        super().refuse_invalid(item)
        model = type(item)
        kept = item.meaning if item.is_active else None
        with db.session.no_autoflush:
            before = db.session.execute(select(model.meaning).where(model.id == item.id)).scalar() if item.id else None
        if before is not None and kept != before:
            self._refuse_last(item, before)

    def pre_delete(self, item: Any) -> None:
        """Refuse to delete the last status of a required meaning."""
        self._refuse_last(item, item.meaning)

    def _refuse_last(self, item: Any, meaning: str) -> None:
        model = type(item)
        others = select(model.id).where(model.meaning == meaning, model.id != item.id, model.is_active.is_(True))
        with db.session.no_autoflush:
            is_last = db.session.execute(others.limit(1)).first() is None
        if meaning in self.required_meanings and is_last:
            text = _(
                "This is the only status with the meaning “%(meaning)s”, and the CRM needs one. Create another "
                "one first.",
                meaning=meaning,
            )
            raise RuleBroken(text, "meaning")


def _meanings(statuses: Any) -> list[tuple[str, Any]]:
    return [(each, _MEANING_LABELS.get(each, each)) for each in dict.fromkeys(row[0] for row in statuses)]


#: No lead status means waiting by default; in one that a manager adds, SLA clocks are paused.
_WAITING = ("waiting", _MEANING_LABELS["waiting"])


class LeadStatuses(_Statuses):
    """Statuses of leads."""

    datamodel = SQLAInterface(LeadStatus)
    route_base = "/settings/lead-statuses"
    list_title, show_title = lazy_gettext("Lead statuses"), lazy_gettext("Lead status")
    add_title, edit_title = lazy_gettext("New lead status"), lazy_gettext("Edit lead status")
    fields = {
        "color": _COLOR,
        "meaning": select_field(lazy_gettext("Meaning"), [*_meanings(leads.STATUSES), _WAITING], default="working"),
    }
    required_meanings = tuple(key for key, _label in _meanings(leads.STATUSES))


class TicketStatuses(_Statuses):
    """Statuses of tickets."""

    datamodel = SQLAInterface(TicketStatus)
    route_base = "/settings/ticket-statuses"
    list_title, show_title = lazy_gettext("Ticket statuses"), lazy_gettext("Ticket status")
    add_title, edit_title = lazy_gettext("New ticket status"), lazy_gettext("Edit ticket status")
    fields = {
        "color": _COLOR,
        "meaning": select_field(lazy_gettext("Meaning"), _meanings(tickets.STATUSES), default="working"),
    }
    required_meanings = tuple(key for key, _label in _meanings(tickets.STATUSES))


class TicketSubjects(PicklistScreen):
    """Subjects of tickets."""

    datamodel = SQLAInterface(TicketSubject)
    route_base = "/settings/ticket-subjects"
    list_title, show_title = lazy_gettext("Ticket subjects"), lazy_gettext("Ticket subject")
    add_title, edit_title = lazy_gettext("New ticket subject"), lazy_gettext("Edit ticket subject")
    columns = ("label", "description", "position", "is_active")


class AccountTypes(PicklistScreen):
    """Kinds of brokerage accounts."""

    datamodel = SQLAInterface(AccountType)
    route_base = "/settings/account-types"
    list_title, show_title = lazy_gettext("Account types"), lazy_gettext("Account type")
    add_title, edit_title = lazy_gettext("New account type"), lazy_gettext("Edit account type")


class LeadSources(PicklistScreen):
    """Where leads come from."""

    datamodel = SQLAInterface(LeadSource)
    route_base = "/settings/lead-sources"
    list_title, show_title = lazy_gettext("Lead sources"), lazy_gettext("Lead source")
    add_title, edit_title = lazy_gettext("New lead source"), lazy_gettext("Edit lead source")


class SupportPages(PicklistScreen):
    """Help pages that can be sent to a customer."""

    datamodel = SQLAInterface(SupportPage)
    route_base = "/settings/support-pages"
    class_permission_name = "Support Pages"
    list_title, show_title = lazy_gettext("Support pages"), lazy_gettext("Support page")
    add_title, edit_title = lazy_gettext("New support page"), lazy_gettext("Edit support page")
    columns = ("label", "url", "description", "position", "is_active")

    def refuse_invalid(self, item: Any) -> None:
        """Also: the URL must be one that a customer can open."""
        super().refuse_invalid(item)
        if not _URL.fullmatch(item.url or ""):
            raise RuleBroken(_("Please enter an address that starts with http:// or https://."), "url")


_CHANNELS = [
    ("whatsapp", "WhatsApp"),
    ("sms", "SMS"),
    ("email", lazy_gettext("Email")),
    ("note", lazy_gettext("Note")),
]


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
