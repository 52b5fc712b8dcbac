"""CONTENTS: what the CRM shows. Menu, screens, REST resources, endpoints; register(appbuilder)."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.api.manager import SwaggerView
from flask_babel import lazy_gettext as _

from app.web.api import openapi
from app.web.compliance.data_breaches import DataBreachResource, DataBreachScreen
from app.web.compliance.data_requests import DataRequestResource, DataRequestScreen
from app.web.dashboards.dashboard_boards import BoardsView
from app.web.dashboards.pages import DashboardView
from app.web.messaging.campaign_rest import CampaignResource
from app.web.messaging.campaigns import CampaignsView
from app.web.messaging.consents import ConsentResource, ConsentScreen
from app.web.messaging.conversation_rest import ConversationResource
from app.web.messaging.inbox import InboxView
from app.web.messaging.mail_pages import MailView
from app.web.messaging.mail_signatures import SignatureView
from app.web.messaging.template_picker import TemplatesView
from app.web.records.attachments.file_rest import FileResource
from app.web.records.attachments.files import FilesView
from app.web.records.attachments.profile_pictures import PicturesView
from app.web.records.complaints import ComplaintResource, ComplaintScreen
from app.web.records.customer_overview import CustomerOverview
from app.web.records.customers import CustomerResource, CustomerScreen
from app.web.records.leads import LeadResource, LeadScreen
from app.web.records.lists.saved_views import SavedViewsView
from app.web.records.merging.duplicates_page import DuplicatesView
from app.web.records.merging.merge_views import MergeView
from app.web.records.messages import MessageResource, MessageScreen
from app.web.records.note_pages import NotesView
from app.web.records.tasks import TaskResource, TaskScreen
from app.web.records.telephony.calls import CallResource, CallScreen
from app.web.records.tickets import TicketResource, TicketScreen
from app.web.records.timelines.timeline_rest import ActivityResource
from app.web.reports.complaint_disclosure import DisclosureView
from app.web.reports.pages import ReportsView
from app.web.reports.report_rest import ReportResource
from app.web.reports.schedule_pages import ReportSchedulesView
from app.web.settings import settings_menu
from app.web.settings.picklist_rest import PICKLIST_RESOURCES
from app.web.settings.settings_home import SettingsView
from app.web.transfer.export_pages import ExportsView
from app.web.transfer.export_rest import ExportResource
from app.web.transfer.import_pages import ImportsView
from app.web.transfer.predecessor.people_matching import PredecessorPeopleView
from app.web.workday import (
    bell,
    colleagues,
    first_steps,
    help_pages,
    my_settings,
    notice_preferences,
    search,
    telephones,
)
from app.web.workday.assignment_requests import RequestResource, RequestScreen
from app.web.workday.my_day import HomeView
from app.web.workday.notice_rest import NoticeResource

#: (screen, label, icon): the sidebar, in its order; add-ons come after them.
MENU = (
    (LeadScreen, _("Leads"), "target-arrow"),
    (TicketScreen, _("Tickets"), "lifebuoy"),
    (ComplaintScreen, _("Complaints"), "scale"),
    (CustomerScreen, _("Customers"), "users"),
    (TaskScreen, _("Tasks"), "checkbox"),
    (CallScreen, _("Calls"), "phone"),
    (MessageScreen, _("Messages"), "messages"),
    (RequestScreen, _("Requests"), "clipboard-check"),
)
#: The same, under the heading of the group "Compliance".
COMPLIANCE = (
    (DataRequestScreen, _("Data requests"), "user-search"),
    (DataBreachScreen, _("Data breaches"), "shield-lock"),
)
SCREENS = tuple(screen for screen, _label, _icon in (*MENU, *COMPLIANCE))
RESOURCES = (
    LeadResource,
    TicketResource,
    ComplaintResource,
    CustomerResource,
    TaskResource,
    CallResource,
    ActivityResource,
    FileResource,
    MessageResource,
    ConversationResource,
    ConsentResource,
    CampaignResource,
    RequestResource,
    DataRequestResource,
    DataBreachResource,
    NoticeResource,
    colleagues.UserResource,
    ExportResource,
    ReportResource,
    *PICKLIST_RESOURCES,
)
PLAIN = (
    ConsentScreen,
    bell.BellView,
    notice_preferences.NoticePreferencesView,
    my_settings.MySettingsView,
    NotesView,
    FilesView,
    PicturesView,
    SavedViewsView,
    MergeView,
    CustomerOverview,
    BoardsView,
    colleagues.PeopleView,
    telephones.TelephonesView,
    search.SearchView,
    MailView,
    SignatureView,
    TemplatesView,
    SettingsView,
    PredecessorPeopleView,
    ImportsView,
    ReportSchedulesView,
    help_pages.HelpView,
    first_steps.FirstStepsView,
)
INDEX = HomeView


def register(appbuilder: Any) -> None:
    """Register every screen, resource and page with FAB, and the menu with their permissions."""
    appbuilder.add_link("day", href="/", icon="sun", label=_("My day"))
    appbuilder.add_view(DashboardView, "Dashboard", href="/dashboard/", icon="chart-bar", label=_("Dashboard"))
    appbuilder.add_view(ReportsView, "Reports", href="/reports/", icon="chart-pie", label=_("Reports"))
    appbuilder.add_view(InboxView, "Inbox", href="/inbox/", icon="inbox", label=_("Inbox"))
    for screen, label, icon in MENU:
        appbuilder.add_view(screen, screen.module, href=f"{screen.route_base}/", icon=icon, label=label)
    appbuilder.add_view(CampaignsView, "Campaigns", href="/campaigns/", icon="send", label=_("Campaigns"))
    appbuilder.add_view(DuplicatesView, "Duplicates", href="/duplicates/", icon="git-merge", label=_("Duplicates"))
    label = _("Import and export")
    appbuilder.add_view(ExportsView, "Transfer", href="/exports/", icon="arrows-exchange", label=label)
    heading: dict[str, Any] = {"category": "compliance", "category_label": _("Compliance")}
    place = {"href": "/complaints-disclosure/", "icon": "file-text", "label": _("Monthly disclosure")}
    appbuilder.add_view(DisclosureView, "Disclosure", **place, **heading)
    for screen, label, icon in COMPLIANCE:
        place = {"href": f"{screen.route_base}/", "icon": icon, "label": label}
        appbuilder.add_view(screen, screen.module, **place, **heading)
    for view in (*PLAIN, *settings_menu.LINKED):
        appbuilder.add_view_no_menu(view)
    for group in settings_menu.GROUPS:
        for entry in group.entries:
            place = {"href": entry.url, "icon": entry.icon, "label": entry.label, "category": group.name}
            if entry.view in settings_menu.FAB_SCREENS.values():  # FAB's security manager has registered it
                appbuilder.add_link(entry.name, **place, category_label=group.label)
            else:
                appbuilder.add_view(entry.view, entry.name, **place, category_label=group.label)
    for resource in (*RESOURCES, openapi.OpenApi):
        appbuilder.add_api(resource)
    appbuilder.add_view_no_menu(SwaggerView)
