"""Screens of the picklists: statuses, subjects, account types, sources; and what all picklists share."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import func, select

from app.domain import leads, tickets
from app.domain.base import RuleBroken
from app.domain.picklists import COLORS
from app.extensions import db
from app.models import AccountType, ComplaintCategory, LeadSource, LeadStatus, TicketStatus, TicketSubject
from app.web.pages.hardened_view import VERBS, HardenedView, select_field
from app.web.settings.color_picker import NAMES, SwatchWidget, swatch

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
    "parent": lazy_gettext("Part of"),
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


class ComplaintCategories(PicklistScreen):
    """What complaints are about: a tree of two levels."""

    datamodel = SQLAInterface(ComplaintCategory)
    route_base = "/settings/complaint-categories"
    list_title, show_title = lazy_gettext("Complaint categories"), lazy_gettext("Complaint category")
    add_title, edit_title = lazy_gettext("New complaint category"), lazy_gettext("Edit complaint category")
    columns = ("label", "parent", "position", "is_active")
    search_columns = ["label", "position", "is_active"]

    def refuse_invalid(self, item: Any) -> None:
        """Also: a category with parts is part of none, so that the tree has two levels."""
        super().refuse_invalid(item)
        with db.session.no_autoflush:
            parts = select(ComplaintCategory.id).where(ComplaintCategory.parent_id == item.id).limit(1)
            has_parts = item.id is not None and db.session.execute(parts).first() is not None
        is_deep = item.parent is not None and (item.parent.parent_id is not None or item.parent is item)
        if item.parent is not None and (has_parts or is_deep):
            text = _("The tree of categories has two levels: a category with parts can't be part of another one.")
            raise RuleBroken(text, "parent")


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
