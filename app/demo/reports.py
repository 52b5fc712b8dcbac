"""Three reports of a manager, shared with everybody; one of them is sent every Monday."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app import models
from app.demo.builder import DemoBuilder, stamps
from app.domain.report_schedules import ScheduleTimes, read_times

#: The office's time zone in the demo data.
_ZONE = "Asia/Kolkata"
REPORTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "Leads by month and source",
        "lead",
        {
            "groups": [{"column": "created_on", "by": "month"}, {"column": "source", "by": ""}],
            "figures": [{"of": "count", "column": ""}],
            "chart": "bar",
        },
    ),
    (
        "Talk time by person, last 30 days",
        "call_log",
        {
            "period": {"column": "started_on", "span": "last_30"},
            "groups": [{"column": "employee", "by": ""}],
            "figures": [
                {"of": "count", "column": ""},
                {"of": "sum", "column": "duration_seconds"},
                {"of": "median", "column": "duration_seconds"},
            ],
            "sort": "figure:1",
            "descending": True,
            "chart": "bar",
        },
    ),
    (
        "Open leads with their customers",
        "lead",
        {
            "columns": ["number", "name", "status", "source", "next_follow_up_on", "assignee", "customer.kyc_status"],
            "figures": [{"of": "count", "column": ""}],
            "sort": "next_follow_up_on",
        },
    ),
)


def make_reports(builder: DemoBuilder) -> None:
    """Make the reports, pin the first for its owner, and schedule it."""
    owner = next(each["id"] for each in builder.rows_of(models.User) if each["manager_id"] is None)
    made = builder.now - timedelta(days=12)
    rows = [
        builder.add(
            models.Report,
            owner_id=owner,
            label=label,
            kind=kind,
            definition=definition | {"limit": 200},
            audience="all",
            role_id=None,
            **stamps(owner, made),
        )
        for label, kind, definition in REPORTS
    ]
    builder.add(models.ReportPin, user_id=owner, report_id=rows[0]["id"])
    times: ScheduleTimes = read_times("weekly", "09:30", "0")
    builder.add(
        models.ReportSchedule,
        report_id=rows[1]["id"],
        rhythm=times.rhythm,
        at="09:30",
        day=0,
        format="xlsx",
        readers=[owner],
        next_on=times.after(builder.now, _ZONE),
        failures=0,
        **stamps(owner, made),
    )
