"""CONTENTS: the settings menu, by group, and the screens that replace FAB's own."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import current_app
from flask_babel import lazy_gettext as _

from app.web.messaging.channel_accounts import ChannelsView
from app.web.messaging.console import ConsoleView
from app.web.messaging.dnd_lists import DndListsView
from app.web.messaging.unassigned_mails import UnassignedMailsView
from app.web.messaging.undelivered_messages import UndeliveredView
from app.web.settings.audit import Audit
from app.web.settings.backups import BackupsView
from app.web.settings.brand import BrandView
from app.web.settings.business_settings import Business, DisclosureSettingsView, PersonalDataSettingsView
from app.web.settings.caller_id_report import CallerReportView
from app.web.settings.complaint_settings import ComplaintSettingsView
from app.web.settings.custom_fields import CustomFieldsView
from app.web.settings.effective_rights import EffectiveRightsView
from app.web.settings.files import FileSettingsView
from app.web.settings.health import HealthView, SelfTestView
from app.web.settings.jobs import JobsView
from app.web.settings.legal_holds import LegalHoldsView
from app.web.settings.list_setups import ListSetupsView
from app.web.settings.message_templates import MessageTemplates
from app.web.settings.notice_channels import NoticeChannelsView
from app.web.settings.office_hours import Holidays, Hours, OfficeRanges
from app.web.settings.picklists import (
    AccountTypes,
    ComplaintCategories,
    LeadSources,
    LeadStatuses,
    TicketStatuses,
    TicketSubjects,
)
from app.web.settings.queue_page import QueueView
from app.web.settings.retention import RetentionView
from app.web.settings.role_matrix import RoleMatrix
from app.web.settings.roles import Groups, Permissions, PermissionViews, Roles, ViewMenus
from app.web.settings.round_robin import RoundRobinView
from app.web.settings.sla_policies import SlaPolicies
from app.web.settings.support_pages import SupportPages
from app.web.settings.users import Users
from app.web.settings.webhooks import WebhooksView


class MenuEntry(NamedTuple):
    """One entry of the menu."""

    name: str
    label: Any
    view: Any
    icon: str
    url: str


USERS_AND_ROLES = (
    MenuEntry("users", _("Users"), Users, "users", "/users/list/"),
    MenuEntry("roles-matrix", _("Roles"), RoleMatrix, "shield", "/roles/matrix/"),
    MenuEntry("groups", _("Groups"), Groups, "users-group", "/groups/list/"),
    MenuEntry("users-can", _("My permissions"), EffectiveRightsView, "user-question", "/users/can/"),
)
#: Part of Settings, except for "Support pages", which has permissions of its own.
BUSINESS = (
    MenuEntry("settings-business", _("Business settings"), Business, "adjustments-horizontal", "/settings/business/"),
    MenuEntry("settings-brand", _("Brand"), BrandView, "palette", "/settings/brand/"),
    MenuEntry("settings-hours", _("Office hours"), Hours, "clock", "/settings/hours/"),
    MenuEntry("settings-holidays", _("Holidays"), Holidays, "calendar-event", "/settings/holidays/list/"),
    MenuEntry("settings-fields", _("Custom fields"), CustomFieldsView, "writing", "/settings/fields/"),
    MenuEntry("settings-lists", _("Lists"), ListSetupsView, "layout-list", "/settings/lists/"),
    MenuEntry("turns", _("Round robin"), RoundRobinView, "repeat", "/turns/"),
    MenuEntry("settings-sla", _("SLA policies"), SlaPolicies, "hourglass", "/settings/sla/list/"),
    MenuEntry("settings-lead-statuses", _("Lead statuses"), LeadStatuses, "progress", "/settings/lead-statuses/list/"),
    MenuEntry(
        "settings-ticket-statuses", _("Ticket statuses"), TicketStatuses, "progress", "/settings/ticket-statuses/list/"
    ),
    MenuEntry(
        "settings-ticket-subjects", _("Ticket subjects"), TicketSubjects, "tag", "/settings/ticket-subjects/list/"
    ),
    MenuEntry("settings-complaints", _("Complaints"), ComplaintSettingsView, "scale", "/settings/complaints/"),
    MenuEntry(
        "settings-disclosure", _("Monthly disclosure"), DisclosureSettingsView, "file-text", "/settings/disclosure/"
    ),
    MenuEntry(
        "settings-personal-data",
        _("Personal data"),
        PersonalDataSettingsView,
        "user-question",
        "/settings/personal-data/",
    ),
    MenuEntry(
        "settings-complaint-categories",
        _("Complaint categories"),
        ComplaintCategories,
        "tag",
        "/settings/complaint-categories/list/",
    ),
    MenuEntry("settings-account-types", _("Account types"), AccountTypes, "wallet", "/settings/account-types/list/"),
    MenuEntry("settings-lead-sources", _("Lead sources"), LeadSources, "route", "/settings/lead-sources/list/"),
    MenuEntry("settings-support-pages", _("Support pages"), SupportPages, "lifebuoy", "/settings/support-pages/list/"),
    MenuEntry(
        "settings-message-templates",
        _("Message templates"),
        MessageTemplates,
        "template",
        "/settings/message-templates/list/",
    ),
)
#: "Undelivered" is part of Messages.
MESSAGES_AND_CALLS = (
    MenuEntry("channels", _("Channels"), ChannelsView, "plug", "/settings/channels/"),
    MenuEntry(
        "notice-channels",
        _("Notifications by SMS and WhatsApp"),
        NoticeChannelsView,
        "bell",
        "/settings/notice-channels/",
    ),
    MenuEntry("undelivered", _("Undelivered"), UndeliveredView, "alert-triangle", "/undelivered/"),
    MenuEntry("mails", _("Emails to sort out"), UnassignedMailsView, "mail-x", "/mails/"),
    MenuEntry("do-not-disturb", _("Do-not-disturb lists"), DndListsView, "phone-off", "/settings/do-not-disturb/"),
    MenuEntry("caller-ids", _("Calls by number"), CallerReportView, "phone-outgoing", "/settings/caller-ids/"),
)
SYSTEM = (
    MenuEntry("health", _("Health"), HealthView, "heart-rate-monitor", "/health/"),
    MenuEntry("self-test", _("Self-test"), SelfTestView, "circle-check", "/self-test/"),
    MenuEntry("jobs", _("Jobs"), JobsView, "clock-play", "/jobs/"),
    MenuEntry("queue", _("Queue"), QueueView, "stack-2", "/queue/"),
    MenuEntry("backups", _("Backups"), BackupsView, "database", "/backups/"),
    MenuEntry("files", _("Files"), FileSettingsView, "paperclip", "/settings/files/"),
    MenuEntry("legal-holds", _("Legal holds"), LegalHoldsView, "lock", "/settings/legal-holds/"),
    MenuEntry("retention", _("Retention"), RetentionView, "archive", "/settings/retention/"),
    MenuEntry("webhooks", _("Webhooks"), WebhooksView, "webhook", "/webhooks/"),
    MenuEntry("audit", _("Audit"), Audit, "history", "/audit/"),
)

#: Views without a menu entry: another page links to them.
LINKED = (OfficeRanges, ConsoleView)


class MenuGroup(NamedTuple):
    """A category of FAB's menu that is shown on the settings page."""

    name: str
    label: Any
    entries: tuple[MenuEntry, ...]


GROUPS = (
    MenuGroup("users-and-roles", _("Users and roles"), USERS_AND_ROLES),
    MenuGroup("business", _("Business"), BUSINESS),
    MenuGroup("messages-and-calls", _("Messages and calls"), MESSAGES_AND_CALLS),
    MenuGroup("system", _("System"), SYSTEM),
)
NAMES = frozenset(group.name for group in GROUPS)
#: Attribute of FAB's security manager -> our screen; the manager registers these itself.
FAB_SCREENS = {
    "userdbmodelview": Users,
    "rolemodelview": Roles,
    "groupmodelview": Groups,
    "permissionmodelview": Permissions,
    "viewmenumodelview": ViewMenus,
    "permissionviewmodelview": PermissionViews,
    "userstatschartview": None,
}


def links() -> list[tuple[Any, list[tuple[Any, str, str]]]]:
    """The settings page: (group, [(label, icon, URL)]); add-ons join a group by using it as their category."""
    menu = current_app.appbuilder.menu  # type: ignore[attr-defined]
    return [
        (group.label, [(item.label, item.icon, item.get_url()) for item in menu.find(group.name).childs])
        for group in GROUPS
    ]
