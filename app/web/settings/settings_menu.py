"""CONTENTS: the settings menu, by group, and the screens that replace FAB's own."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _

from app.web.settings.audit import Audit
from app.web.settings.business_settings import Business
from app.web.settings.dead_letters import QueueView
from app.web.settings.effective_rights import EffectiveRightsView
from app.web.settings.jobs import JobsView
from app.web.settings.masters import (
    AccountTypes,
    LeadSources,
    LeadStatuses,
    MessageTemplates,
    SupportPages,
    TicketStatuses,
    TicketSubjects,
)
from app.web.settings.office_hours import Holidays, Hours, OfficeRanges
from app.web.settings.role_matrix import RoleMatrix
from app.web.settings.roles import Groups, Permissions, PermissionViews, Roles, ViewMenus
from app.web.settings.round_robin import TurnsView
from app.web.settings.sla_policies import SlaPolicies
from app.web.settings.users import Users
from app.web.settings.webhooks import WebhooksView


class Entry(NamedTuple):
    """One entry of the menu."""

    label: Any
    view: Any
    icon: str
    url: str


USERS_AND_ROLES = (
    Entry(_("Users"), Users, "users", "/users/list/"),
    Entry(_("Roles"), RoleMatrix, "shield", "/roles/matrix/"),
    Entry(_("All roles"), Roles, "shield-lock", "/roles/list/"),
    Entry(_("Groups"), Groups, "users-group", "/groups/list/"),
    Entry(_("My permissions"), EffectiveRightsView, "user-question", "/users/can/"),
)
#: Part of Settings, except for "Support pages", which has permissions of its own.
BUSINESS = (
    Entry(_("Business settings"), Business, "adjustments-horizontal", "/settings/business/"),
    Entry(_("Office hours"), Hours, "clock", "/settings/hours/"),
    Entry(_("Office hours list"), OfficeRanges, "clock-hour-4", "/settings/office-ranges/list/"),
    Entry(_("Holidays"), Holidays, "calendar-event", "/settings/holidays/list/"),
    Entry(_("Round robin"), TurnsView, "repeat", "/turns/"),
    Entry(_("SLA policies"), SlaPolicies, "hourglass", "/settings/sla/list/"),
    Entry(_("Lead statuses"), LeadStatuses, "progress", "/settings/lead-statuses/list/"),
    Entry(_("Ticket statuses"), TicketStatuses, "progress", "/settings/ticket-statuses/list/"),
    Entry(_("Ticket subjects"), TicketSubjects, "tag", "/settings/ticket-subjects/list/"),
    Entry(_("Account types"), AccountTypes, "wallet", "/settings/account-types/list/"),
    Entry(_("Lead sources"), LeadSources, "route", "/settings/lead-sources/list/"),
    Entry(_("Support pages"), SupportPages, "lifebuoy", "/settings/support-pages/list/"),
    Entry(_("Message templates"), MessageTemplates, "template", "/settings/message-templates/list/"),
)
SYSTEM = (
    Entry(_("Jobs"), JobsView, "clock-play", "/jobs/"),
    Entry(_("Queue"), QueueView, "stack-2", "/queue/"),
    Entry(_("Webhooks"), WebhooksView, "webhook", "/webhooks/"),
    Entry(_("Audit"), Audit, "history", "/audit/"),
)
GROUPS = ((_("Users and roles"), USERS_AND_ROLES), (_("Business"), BUSINESS), (_("System"), SYSTEM))
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


def views() -> list[Any]:
    """The views of the menu, except for those that FAB's security manager registers."""
    entries = [entry for _label, group in GROUPS for entry in group]
    return [entry.view for entry in entries if entry.view not in FAB_SCREENS.values()]


def links() -> list[tuple[Any, list[tuple[Any, str, str]]]]:
    """The settings page: (group, [(label, icon, URL)])."""
    return [(label, [(entry.label, entry.icon, entry.url) for entry in group]) for label, group in GROUPS]
