"""The catalog of dashboards: each number, chart and table with its figures; and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.messaging.messages import CHANNELS
from app.domain.telephony.calls import STATUSES as CALL_STATUSES
from app.models import CallLog, Lead, Message, Task, Ticket
from app.web.dashboards.widget_kinds import (
    MAX_BARS,
    Breakdown,
    HeatMap,
    MeanWidget,
    NumberWidget,
    PeopleBars,
    PeopleTable,
    RateWidget,
    ReferralTable,
    StepsWidget,
    TrendWidget,
    Widget,
)
from app.web.records.call_fields import STATUS_WORDS
from app.web.records.lists.figure_labels import LABELS
from app.web.records.message_words import CHANNEL_WORDS, STATE_WORDS


def _number(name: str, help_: Any = None) -> NumberWidget:
    return NumberWidget(name=name, label=LABELS[name], help=help_)


def _breach(late: str, whole: str) -> RateWidget:
    return RateWidget(part=late, whole=whole, label=LABELS[late], help=_("Of those created with an SLA clock."))


_MOST = _("At most %(most)s people: those with the most.", most=MAX_BARS)
#: Name -> widget. Saved boards contain the names.
CATALOG: dict[str, Widget] = {
    # leads
    "leads": _number("leads"),
    "leads_lost": _number("leads_lost"),
    "accounts_opened": _number("accounts_opened"),
    "accounts_activated": _number("accounts_activated"),
    "leads_taken": _number("leads_taken", _("Given to the person, or created by them, in the period.")),
    "conversion": RateWidget(
        part="leads_converted",
        whole="leads",
        label=_("Conversion rate"),
        help=_("Of the leads created: those whose account is opened or activated now."),
    ),
    "lead_reply": MeanWidget(seconds="lead_reply_seconds", count="leads_contacted", label=LABELS["lead_reply_seconds"]),
    "lead_funnel": StepsWidget(
        names=("leads", "leads_contacted", "leads_converted", "leads_lost"),
        label=_("From lead to account"),
        is_funnel=True,
    ),
    "leads_by_status": Breakdown(
        name="leads", column=Lead.status_id, filter="status", picklist="lead_status", label=_("Leads by status")
    ),
    "leads_by_source": Breakdown(
        name="leads", column=Lead.source_id, filter="source", picklist="lead_source", label=_("Leads by source")
    ),
    "lost_by_status": Breakdown(
        name="leads_lost",
        column=Lead.status_id,
        filter="status",
        picklist="lead_status",
        label=_("Why leads were lost"),
    ),
    # tickets
    "tickets": _number("tickets"),
    "tickets_resolved": _number("tickets_resolved"),
    "resolution": RateWidget(
        part="tickets_ended",
        whole="tickets",
        label=_("Resolution rate"),
        help=_("Of the tickets created: those that are resolved or closed now."),
    ),
    "ticket_reply": MeanWidget(
        seconds="ticket_reply_seconds", count="tickets_answered", label=LABELS["ticket_reply_seconds"]
    ),
    "tickets_by_status": Breakdown(
        name="tickets", column=Ticket.status_id, filter="status", picklist="ticket_status", label=_("Tickets by status")
    ),
    "tickets_by_priority": Breakdown(
        name="tickets", column=Ticket.priority, filter="priority", label=_("Tickets by priority")
    ),
    "created_trend": TrendWidget(names=("leads", "tickets"), label=_("Leads and tickets created")),
    # tasks
    "tasks": _number("tasks"),
    "tasks_done": _number("tasks_done"),
    "tasks_done_late": _number("tasks_done_late", _("Done after they were due.")),
    "tasks_overdue": _number("tasks_overdue", _("Open and past their due time at this moment.")),
    "completion": RateWidget(
        part="tasks_completed",
        whole="tasks",
        label=_("Completion rate"),
        help=_("Of the tasks created: those that are done now."),
    ),
    "tasks_by_priority": Breakdown(name="tasks", column=Task.priority, filter="priority", label=_("Tasks by priority")),
    # calls
    "calls": _number("calls"),
    "calls_in": _number("calls_in"),
    "calls_out": _number("calls_out"),
    "calls_completed": _number("calls_completed"),
    "calls_missed": _number("calls_missed", _("Incoming calls that nobody answered.")),
    "calls_missed_returned": _number("calls_missed_returned", _("Missed calls whose number was reached since.")),
    "calls_not_picked": _number("calls_not_picked", _("Outgoing calls that nobody answered.")),
    "calls_cold": _number("calls_cold"),
    "talk_time": _number("talk_seconds"),
    "talk_time_in": _number("talk_seconds_in"),
    "talk_time_out": _number("talk_seconds_out"),
    "talk_time_cold": _number("talk_seconds_cold"),
    "numbers": _number("numbers", _("Different numbers in the period.")),
    "numbers_new": _number("numbers_new", _("Numbers without an earlier call.")),
    "callback": RateWidget(part="calls_missed_returned", whole="calls_missed", label=_("Called back")),
    "calls_heat_map": HeatMap(name="calls", label=_("Calls by weekday and hour")),
    "calls_by_status": Breakdown(
        name="calls",
        column=CallLog.status,
        filter="status",
        words=STATUS_WORDS,
        options=CALL_STATUSES,
        label=_("Calls by status"),
    ),
    "calls_trend": TrendWidget(names=("calls_in", "calls_out"), label=_("Incoming and outgoing calls")),
    # referrals
    "referred": _number("leads_referred"),
    "referred_converted": _number("leads_referred_converted"),
    "referral_rate": RateWidget(
        part="leads_referred_converted",
        whole="leads_referred",
        label=_("Conversion of referred leads"),
    ),
    "referral_share": RateWidget(
        part="leads_referred_converted",
        whole="leads_converted",
        label=_("Referred among the converted"),
    ),
    "referral_funnel": StepsWidget(
        names=("leads", "leads_referred", "leads_referred_converted"),
        label=_("From lead to referred account"),
        is_funnel=True,
    ),
    "referred_by_source": Breakdown(
        name="leads_referred",
        column=Lead.source_id,
        filter="source",
        picklist="lead_source",
        label=_("Referred leads by source"),
    ),
    "referral_trend": TrendWidget(
        names=("leads_referred", "leads_referred_converted"), label=_("Referred leads over time")
    ),
    "referral_table": ReferralTable(label=_("Who refers")),
    # SLA
    "lead_breach": _breach("lead_replies_late", "leads_with_sla"),
    "ticket_breach": _breach("ticket_replies_late", "tickets_with_sla"),
    "resolution_breach": _breach("ticket_resolutions_late", "tickets_with_sla"),
    "late_trend": TrendWidget(
        names=("lead_replies_late", "ticket_replies_late", "ticket_resolutions_late"), label=_("Missed due times")
    ),
    "lead_replies": StepsWidget(
        names=("lead_replies_in_time", "lead_replies_late", "lead_replies_waiting"), label=_("First response to leads")
    ),
    "ticket_replies": StepsWidget(
        names=("ticket_replies_in_time", "ticket_replies_late", "ticket_replies_waiting"),
        label=_("First response to tickets"),
    ),
    "ticket_resolutions": StepsWidget(
        names=("tickets_ended_in_time", "ticket_resolutions_late"), label=_("Resolution of tickets")
    ),
    "late_by_priority": Breakdown(
        name="ticket_replies_late", column=Ticket.priority, filter="priority", label=_("Late responses by priority")
    ),
    # messages
    "messages_sent": _number("messages_sent"),
    "messages_failed": _number("messages_failed", _("Failed for good, or nobody knows whether they arrived.")),
    "messages_in": _number("messages_in"),
    "answered": RateWidget(
        part="messages_answered",
        whole="messages_in",
        label=_("Answered"),
        help=_("Of the messages received: those that somebody has answered since."),
    ),
    "answer_times": StepsWidget(
        names=(
            "messages_in",
            "messages_answered",
            "messages_answered_same_day",
            "messages_answered_soon",
            "messages_answered_quick",
        ),
        label=_("Answered within"),
        is_funnel=True,
    ),
    "messages_by_channel": Breakdown(
        name="messages_out",
        column=Message.channel,
        filter="channel",
        words=CHANNEL_WORDS,
        options=CHANNELS,
        label=_("Written by channel"),
    ),
    "messages_by_state": Breakdown(
        name="messages_out", column=Message.state, filter="state", words=STATE_WORDS, label=_("Written by state")
    ),
    "messages_trend": TrendWidget(names=("messages_out", "messages_in"), label=_("Written and received")),
    # people
    "people": PeopleTable(label=_("Each person")),
    "people_leads": PeopleBars(
        record=Lead, names=("leads_taken", "leads_taken_converted"), label=_("Leads by person"), help=_MOST
    ),
    "people_tickets": PeopleBars(
        record=Ticket, names=("tickets", "tickets_ended"), label=_("Tickets by person"), help=_MOST
    ),
    "people_tasks": PeopleBars(
        record=Task, names=("tasks_done", "tasks_done_late"), label=_("Tasks by person"), help=_MOST
    ),
    "people_calls": PeopleBars(record=CallLog, names=("calls",), label=_("Calls by person"), help=_MOST),
}


#: The numbers beside My day.
TODAY = ("calls", "talk_time", "tasks_done", "leads_taken", "accounts_opened", "tickets_resolved")


@dataclass(frozen=True)
class DashboardPage:
    """One page of dashboards."""

    name: str
    label: Any
    widgets: tuple[str, ...]
    #: Modules of which the person must be able to read one.
    modules: tuple[str, ...] = ()
    #: Whether it needs other people's figures.
    is_of_team: bool = False


PAGES = (
    DashboardPage(
        "analytics",
        _("Analytics"),
        (
            *("leads", "conversion", "accounts_opened", "accounts_activated", "tickets", "resolution", "ticket_reply"),
            *("calls", "calls_missed", "tasks_done", "tasks_overdue", "lead_reply"),
            *("created_trend", "leads_by_status", "leads_by_source", "lead_funnel", "lost_by_status"),
            *("tickets_by_status", "tickets_by_priority"),
        ),
    ),
    DashboardPage(
        "mine",
        _("My numbers"),
        (
            *("leads_taken", "leads", "conversion", "accounts_opened", "tickets", "resolution", "ticket_reply"),
            *("tasks_done", "completion", "tasks_overdue", "calls", "talk_time"),
            *("created_trend", "leads_by_status", "tickets_by_status", "tasks_by_priority", "calls_heat_map"),
        ),
    ),
    DashboardPage(
        "team",
        _("Team"),
        ("people", "people_leads", "people_calls", "people_tickets", "people_tasks"),
        is_of_team=True,
    ),
    DashboardPage(
        "calls",
        _("Calls"),
        (
            *("calls", "calls_in", "calls_out", "calls_completed", "calls_cold"),
            *("talk_time", "talk_time_in", "talk_time_out", "talk_time_cold", "calls_not_picked"),
            *("calls_missed", "calls_missed_returned", "callback", "numbers", "numbers_new"),
            *("calls_heat_map", "calls_trend", "calls_by_status"),
        ),
        ("Call Logs",),
    ),
    DashboardPage(
        "referrals",
        _("Referrals"),
        (
            *("referred", "referred_converted", "referral_rate", "referral_share"),
            *("referral_trend", "referral_funnel", "referred_by_source", "referral_table"),
        ),
        ("Leads",),
    ),
    DashboardPage(
        "sla",
        _("SLA"),
        (
            *("lead_breach", "ticket_breach", "resolution_breach"),
            *("lead_reply", "ticket_reply", "resolution", "tickets_resolved"),
            *("late_trend", "lead_replies", "ticket_replies", "ticket_resolutions", "late_by_priority"),
        ),
        ("Leads", "Tickets"),
    ),
    DashboardPage(
        "messages",
        _("Messages"),
        (
            *("messages_sent", "messages_failed", "messages_in", "answered"),
            *("messages_trend", "answer_times", "messages_by_channel", "messages_by_state"),
        ),
        ("Messages",),
    ),
)
