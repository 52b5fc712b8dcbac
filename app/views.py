"""CONTENTS: what the CRM shows. Menu, screens, REST resources, doors; register(appbuilder)."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.api.manager import SwaggerView
from flask_babel import lazy_gettext as _

from app.web.api import openapi
from app.web.records.calls import CallResource, CallScreen
from app.web.records.customers import CustomerResource, CustomerScreen
from app.web.records.leads import LeadResource, LeadScreen
from app.web.records.messages import MessageResource, MessageScreen
from app.web.records.notes import NotesView
from app.web.records.tasks import TaskResource, TaskScreen
from app.web.records.tickets import TicketResource, TicketScreen
from app.web.records.timeline import ActivityResource
from app.web.settings import jobs, settings_menu
from app.web.workday import bell, colleagues, my_settings, notice_preferences, search, telephones
from app.web.workday.my_day import HomeView
from app.web.workday.notices import NoticeResource
from app.web.workday.requests import MOST_COUNTED, RequestResource, RequestScreen, waiting_count

#: (name, label, icon, url, module that must be readable; "" = everybody's)
MENU = (
    ("day", _("My day"), "sun", "/", ""),
    ("leads", _("Leads"), "target-arrow", "/leads/", "Leads"),
    ("tickets", _("Tickets"), "lifebuoy", "/tickets/", "Tickets"),
    ("customers", _("Customers"), "users", "/customers/", "Customers"),
    ("tasks", _("Tasks"), "checkbox", "/tasks/", "Tasks"),
    ("calls", _("Calls"), "phone", "/calls/", "Call Logs"),
    ("messages", _("Messages"), "messages", "/messages/", "Messages"),
    ("requests", _("Requests"), "clipboard-check", "/requests/", "Requests"),
)
NEW = (
    (_("Lead"), "target-arrow", "/leads/add", "Leads"),
    (_("Ticket"), "lifebuoy", "/tickets/add", "Tickets"),
    (_("Customer"), "users", "/customers/add", "Customers"),
    (_("Call"), "phone", "/calls/add", "Call Logs"),
    (_("Message"), "messages", "/messages/add", "Messages"),
)
SCREENS = (LeadScreen, TicketScreen, CustomerScreen, TaskScreen, CallScreen, MessageScreen, RequestScreen)
RESOURCES = (
    LeadResource,
    TicketResource,
    CustomerResource,
    TaskResource,
    CallResource,
    ActivityResource,
    MessageResource,
    RequestResource,
    NoticeResource,
    colleagues.UserResource,
)
PLAIN = (
    bell.BellView,
    notice_preferences.ChoicesView,
    my_settings.MeView,
    NotesView,
    colleagues.PeopleView,
    telephones.PhoneView,
    search.SearchView,
    jobs.SettingsView,
)
INDEX = HomeView


def menu(person: Any, path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sidebar and the "+ New" menu of this person."""
    entries = [
        {
            "name": name,
            "label": label,
            "icon": icon,
            "url": url,
            "badge": None,
            "group": "main",
            "active": path == url if url == "/" else path.startswith(url),
        }
        for name, label, icon, url, module in MENU
        if not module or person.may(module, "read")
    ]
    for entry in entries:
        if entry["name"] == "requests" and (count := waiting_count(person)):
            entry |= {"badge": f"{count - 1}+" if count == MOST_COUNTED else count, "url": "/requests/?tab=waiting"}
    if person.may("Settings", "read"):
        under = ("/settings", "/roles", "/users", "/jobs", "/queue", "/audit", "/groups", "/turns", "/webhooks")
        entries.append(
            {
                "name": "settings",
                "label": _("Settings"),
                "icon": "settings",
                "url": "/settings/",
                "badge": None,
                "group": "settings",
                "active": path.startswith(under),
            }
        )
    new = [
        {"label": label, "icon": icon, "url": url} for label, icon, url, module in NEW if person.may(module, "create")
    ]
    return entries, new


def register(appbuilder: Any) -> None:
    """Put every screen, resource and door into FAB."""
    for view in dict.fromkeys((*SCREENS, *PLAIN, *settings_menu.views())):
        appbuilder.add_view_no_menu(view)
    for resource in (*RESOURCES, openapi.OpenApi):
        appbuilder.add_api(resource)
    appbuilder.add_view_no_menu(SwaggerView)
