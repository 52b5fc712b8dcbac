"""CONTENTS: what a manager may turn. Masters, office hours and holidays, SLA policies, business settings."""

from __future__ import annotations

from flask_babel import lazy_gettext

from app.web.settings.business_settings import Business
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
from app.web.settings.round_robin import TurnsView
from app.web.settings.sla_policies import SlaPolicies

#: (label, view class, icon, address) for the menu; "Support pages" follows the module of that name.
SCREENS = (
    (lazy_gettext("Business settings"), Business, "adjustments-horizontal", "/settings/business/"),
    (lazy_gettext("Office hours"), Hours, "clock", "/settings/hours/"),
    (lazy_gettext("Office hours list"), OfficeRanges, "clock-hour-4", "/settings/office-ranges/list/"),
    (lazy_gettext("Holidays"), Holidays, "calendar-event", "/settings/holidays/list/"),
    (lazy_gettext("Round robin"), TurnsView, "repeat", "/turns/"),
    (lazy_gettext("SLA policies"), SlaPolicies, "hourglass", "/settings/sla/list/"),
    (lazy_gettext("Lead statuses"), LeadStatuses, "progress", "/settings/lead-statuses/list/"),
    (lazy_gettext("Ticket statuses"), TicketStatuses, "progress", "/settings/ticket-statuses/list/"),
    (lazy_gettext("Ticket subjects"), TicketSubjects, "tag", "/settings/ticket-subjects/list/"),
    (lazy_gettext("Account types"), AccountTypes, "wallet", "/settings/account-types/list/"),
    (lazy_gettext("Lead sources"), LeadSources, "route", "/settings/lead-sources/list/"),
    (lazy_gettext("Support pages"), SupportPages, "lifebuoy", "/settings/support-pages/list/"),
    (lazy_gettext("Message templates"), MessageTemplates, "template", "/settings/message-templates/list/"),
)
