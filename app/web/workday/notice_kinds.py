"""The kinds of notices as pages show them: in which group of the preferences, what they are called there, their icon.

For a new kind: its entry in `app/domain/notifications/notices.py` (KINDS), here, and its texts in
`app/notice_texts.py` (TEXTS, EVENTS); what happens calls `notices.notify`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _l


class NoticeKind(NamedTuple):
    """How pages show one kind."""

    label: Any
    icon: str
    tone: str


#: (title, kind -> how it is shown), in display order.
GROUPS: tuple[tuple[Any, dict[str, NoticeKind]], ...] = (
    (
        _l("My work"),
        {
            "assigned": NoticeKind(_l("A lead or ticket is assigned to me"), "user-check", "blue"),
            "unassigned": NoticeKind(_l("One of my leads or tickets is reassigned"), "user-share", "gray"),
            "task_assigned": NoticeKind(_l("A task is assigned to me"), "checkbox", "blue"),
            "task_taken": NoticeKind(_l("One of my overdue tasks is reassigned"), "repeat", "gray"),
            "task_due": NoticeKind(_l("One of my tasks is due soon"), "alarm", "amber"),
            "task_overdue": NoticeKind(_l("One of my tasks is overdue"), "alarm", "red"),
            "status": NoticeKind(_l("The status of one of my records changes"), "arrow-right", "slate"),
            "missed_call": NoticeKind(_l("I missed a call"), "phone-x", "red"),
            "message": NoticeKind(_l("A customer writes in one of my conversations"), "message", "blue"),
            "rekyc": NoticeKind(_l("The KYC of one of my customers has to be renewed"), "calendar-event", "amber"),
            "export": NoticeKind(_l("An export of mine is ready, or failed"), "file-export", "blue"),
            "import": NoticeKind(_l("An import of mine is finished, or one gives me records"), "file-import", "blue"),
            "report": NoticeKind(
                _l("A report of mine couldn't be sent to somebody, or was paused"), "chart-pie", "amber"
            ),
        },
    ),
    (
        _l("Requests"),
        {
            "request": NoticeKind(_l("A request is waiting for my decision"), "clipboard-check", "amber"),
            "request_approved": NoticeKind(_l("A request is approved"), "circle-check", "green"),
            "request_rejected": NoticeKind(_l("A request is rejected"), "circle-x", "red"),
            "request_expired": NoticeKind(_l("One of my requests expires"), "hourglass", "gray"),
            "request_withdrawn": NoticeKind(_l("A request is withdrawn"), "arrow-back-up", "gray"),
            "link": NoticeKind(_l("A record waits for its link to one of my customers"), "link", "amber"),
            "link_confirmed": NoticeKind(_l("One of my records is linked to its customer"), "link", "green"),
        },
    ),
    (
        _l("Service levels"),
        {
            "sla_warning": NoticeKind(_l("A response or resolution is due soon"), "clock-hour-4", "amber"),
            "sla_breach": NoticeKind(_l("A response or resolution is overdue"), "flag", "red"),
            "sla_escalated": NoticeKind(_l("An overdue record in my team is escalated to me"), "trending-up", "red"),
        },
    ),
    (
        _l("Compliance"),
        {
            "complaint": NoticeKind(_l("A complaint of mine needs something, or its clock reaches me"), "scale", "red"),
            "complaint_list": NoticeKind(_l("The daily list of complaints"), "scale", "amber"),
            "disclosure": NoticeKind(_l("The monthly disclosure of complaints is due"), "calendar-event", "amber"),
            "compliance": NoticeKind(
                _l("An order lacks evidence, or a data request or data breach is due"), "scale", "amber"
            ),
        },
    ),
    (
        _l("Notes"),
        {
            "mention": NoticeKind(_l("Someone mentions me in a note"), "at", "violet"),
            "comment": NoticeKind(_l("Someone adds a note to one of my records"), "message-2", "teal"),
        },
    ),
    (
        _l("System"),
        {
            "security": NoticeKind(
                _l("My two-factor sign-in changes, or a recovery code is used"), "shield-lock", "amber"
            ),
            "exhausted": NoticeKind(_l("No one is available for an overdue task"), "alert-triangle", "red"),
            "job_lag": NoticeKind(_l("Background jobs are delayed"), "server", "red"),
            "backup": NoticeKind(_l("A backup or a restore drill failed or is late"), "database", "red"),
            "audit": NoticeKind(_l("The audit log was altered"), "shield-check", "red"),
            "health": NoticeKind(_l("A health limit is exceeded, or met again"), "heart-rate-monitor", "amber"),
            "webhook": NoticeKind(_l("A webhook was paused or turned off"), "webhook", "red"),
        },
    ),
)
KINDS = {kind: shown for _title, kinds in GROUPS for kind, shown in kinds.items()}
