"""Tasks, messages, notes and notifications of leads and tickets."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from app import models
from app.demo.builder import ZONE, DemoBuilder, Row, stamps
from app.demo.sample_text import MESSAGES, NOTES, SUPPORT_PAGES, TASKS, TEMPLATES
from app.demo.ticket_text import NOTES as TICKET_NOTES
from app.domain.messaging import messages

ENDED = (
    "Account Opened",
    "Account Activated",
    "Unqualified",
    "Junk",
    "Lead Expired",
    "Lead Expired (Account Opened)",
    "Resolved",
    "Closed",
)


#: Labels of statuses in which nobody works on a lead any more.
_LEFT_ALONE = ("Unqualified", "Junk", "Lead Expired", "Lead Expired (Account Opened)")


def make_tasks(builder: DemoBuilder) -> None:
    """Make a first task for every record and more for some leads. Removes the temporary keys `label` and `called`."""
    records = [*builder.rows_of(models.Lead), *builder.rows_of(models.Ticket)]
    extra = max(0, builder.count("tasks") - len(records))
    tasks_of = [*records, *(builder.choose(builder.rows_of(models.Lead)) for _ in range(extra))]
    overdue = iter(_overdue(builder))
    for n, record in enumerate(tasks_of):
        is_first, is_over = n < len(records), record["label"] in ENDED
        fresh = timedelta(days=4) > builder.now - record["created_on"]
        is_open = not is_over and (record["label"].endswith("Scheduled") or fresh or builder.chance(0.35))
        due = None
        is_old = builder.now - record["created_on"] > timedelta(days=7)  # than any of the overdue tasks
        if is_open and is_old and not record["label"].endswith("Scheduled"):
            due = next(overdue, None)
        _task(builder, record, _TaskState(is_first, is_open, due))
    for record in records:
        if record["label"] in _LEFT_ALONE:
            builder.left_alone_on[record["id"]] = record["status_on"]
        record.pop("label")
        record.pop("called", None)


def _overdue(builder: DemoBuilder) -> list[tuple[str, datetime]]:
    """(status, due date) of the overdue tasks: to be reassigned, in their grace period, or in the backlog."""
    to_reassign = [("Todo", builder.now - timedelta(minutes=minutes)) for minutes in (45, 50, 70, 95, 130)]
    in_grace = [("In Progress", builder.now - timedelta(minutes=minutes)) for minutes in (4, 9, 15, 22)]
    in_backlog = [("Backlog", builder.now - timedelta(days=days)) for days in (1, 2, 2, 4, 6)]
    return to_reassign + in_grace + in_backlog


class _TaskState(NamedTuple):
    """Which task of its record it is, and how far it has got."""

    is_first: bool
    is_open: bool
    #: The status and due time of an overdue one.
    late: tuple[str, datetime] | None


def _task(builder: DemoBuilder, record: Row, state: _TaskState) -> None:
    is_first, is_open, late = state
    is_lead = "pod_id" in record
    latest = late[1] if late else builder.now
    made = record["created_on"] if is_first else builder.office_time(record["created_on"], latest)
    made = min(made, latest - timedelta(minutes=1)) if late and made > latest else made
    by = record["created_by_id"]
    status, due, done = _progress(builder, made, is_open, late)
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    text = _title(builder, record, is_first, is_lead)
    task = builder.add(
        models.Task,
        title=text,
        status=status,
        version=1,
        due_on=due,
        done_on=done,
        owner_id=by,
        exhausted=False,
        priority=builder.rng.choices(("Low", "Medium", "High"), (20, 55, 25))[0],
        assignee_id=record["assignee_id"],
        tried=[],
        remind_on=_next_reminder(builder, due) if is_open else None,
        **own,
        **stamps(by, made, done, by),
    )
    _write_timeline(builder, task, {"task_id": task["id"], "customer_id": record["customer_id"], **own})
    if is_lead and is_open:
        record["next_follow_up_on"] = due


def _progress(
    builder: DemoBuilder, made: datetime, is_open: bool, late: tuple[str, datetime] | None
) -> tuple[str, datetime, datetime | None]:
    """The status of a task, when it is due, and when it was done."""
    status = late[0] if late else builder.choose(("Todo", "Todo", "In Progress", "Backlog"))
    if late:
        return status, late[1], None
    if is_open:
        return status, _future_due_date(builder), None
    status = builder.rng.choices(("Done", "Canceled"), (90, 10))[0]
    due = made + timedelta(hours=builder.rng.randint(1, 48))
    done = builder.office_time(made, min(due + timedelta(hours=6), builder.now)) if status == "Done" else None
    return status, due, done


def _write_timeline(builder: DemoBuilder, task: Row, record_ids: dict[str, int]) -> None:
    text, due, done = task["title"], task["due_on"], task["done_on"]
    payload = {"text": text, "what": "created", "due": due.isoformat(), "assignee": task["assignee_id"]}
    builder.add_activity("task", task["created_on"], task["created_by_id"], record_ids, **payload)
    if done:
        changes = [["status", "Todo", "Done"]]
        builder.add_activity("task", done, task["assignee_id"], record_ids, text=text, what="done", changes=changes)


def _title(builder: DemoBuilder, record: Row, is_first: bool, is_lead: bool) -> str:
    if not is_first:
        return str(builder.choose(TASKS))
    if not is_lead:
        return f"Handle ticket: {record['title']}"[:200]
    return f"Follow up: {record['called']}"


def _future_due_date(builder: DemoBuilder) -> datetime:
    """Later today for one in five, otherwise within ten days, in office hours."""
    close = datetime.combine(builder.now.astimezone(ZONE).date(), time(18, 30), ZONE).astimezone(UTC)
    soon = builder.now + timedelta(minutes=20)
    if soon < close and builder.chance(0.2):
        return builder.office_time(soon, close)
    return builder.office_time(max(soon, builder.now + timedelta(hours=12)), builder.now + timedelta(days=10))


def _next_reminder(builder: DemoBuilder, due: datetime) -> datetime | None:
    """When the next reminder is due; earlier ones count as sent."""
    moments = (due - timedelta(minutes=60), due - timedelta(minutes=5), due + timedelta(hours=1))
    return next((moment for moment in moments if moment >= builder.now), None)


#: No provider is connected: messages sent or received by hand are noted, and nothing was delivered.
_WRITTEN_DOWN = "noted" if "noted" in messages.STATES else "sent"


def make_templates(builder: DemoBuilder) -> None:
    """Make the message templates."""
    for position, (label, channel, language, body) in enumerate(TEMPLATES, 1):
        values = {"label": label, "channel": channel, "language": language, "body": body}
        builder.add(models.MessageTemplate, **values, position=position, is_active=True)


def make_support_pages(builder: DemoBuilder) -> None:
    """Make the help pages that can be sent to customers."""
    for position, (label, path, description) in enumerate(SUPPORT_PAGES, 1):
        values = {"label": label, "url": f"https://example.com/help/{path}", "description": description}
        builder.add(models.SupportPage, **values, position=position, is_active=True)


def make_messages(builder: DemoBuilder) -> None:
    """Make messages in order of time, then notes and comments."""
    by_id = {row["id"]: row for row in builder.rows_of(models.Customer)}
    plans = []
    for n in range(builder.count("messages")):
        lead = builder.choose(builder.rows_of(models.Lead))
        at = builder.office_time(lead["created_on"], builder.work_ended_on(lead))
        plans.append((at, n, lead, by_id.get(lead["customer_id"])))
    for at, _n, lead, customer in sorted(plans, key=lambda plan: plan[:2]):
        _message(builder, at, lead, customer)
    for _ in range(builder.count("notes")):
        lead = builder.choose(builder.rows_of(models.Lead))
        record_ids = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        kind = builder.choose(("note", "note", "comment"))
        at = builder.office_time(lead["created_on"], builder.work_ended_on(lead))
        builder.add_activity(kind, at, lead["assignee_id"], record_ids, text=builder.choose(NOTES))
    _note_tickets(builder)


def _note_tickets(builder: DemoBuilder) -> None:
    """Add a note to some of the tickets on which somebody works or worked."""
    for ticket in builder.rows_of(models.Ticket):
        if ticket["replied_on"] and builder.chance(0.6):
            at = builder.office_time(ticket["replied_on"], ticket["resolved_on"] or builder.now)
            record_ids = {"ticket_id": ticket["id"], "customer_id": ticket["customer_id"]}
            builder.add_activity("note", at, ticket["assignee_id"], record_ids, text=builder.choose(TICKET_NOTES))


def _message(builder: DemoBuilder, at: datetime, lead: Row, customer: Row | None) -> None:
    person = customer or lead
    channel = builder.rng.choices(("whatsapp", "sms", "email"), (65, 20, 15))[0]
    channel = "whatsapp" if channel == "email" and not person["email"] else channel
    direction = "in" if channel == "whatsapp" and builder.chance(0.35) else "out"
    by = lead["assignee_id"] if direction == "out" else None
    record_ids = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    message = builder.add(
        models.Message,
        channel=channel,
        direction=direction,
        body=builder.choose(MESSAGES[direction]),
        native={},
        peer=person["email"] if channel == "email" else person["mobile_e164"],
        state=_WRITTEN_DOWN,
        subject="Your account with Eshin Broking" if channel == "email" else None,
        ticket_id=None,
        cause=None,
        reason=None,
        tries=0,
        due_on=None,
        happened_on=at,
        purpose="service",
        provider_id=None,
        **record_ids,
        **stamps(by, at),
    )
    payload = {"message": message["id"], "channel": channel, "direction": direction, "state": message["state"]}
    builder.add_activity("message", at, by, record_ids, **payload)


def make_notices(builder: DemoBuilder) -> None:
    """Make each user's notifications: the latest assignments, pending requests and status changes."""
    notices: dict[int, list[Row]] = defaultdict(list)
    _add_assignments(builder, notices)
    _add_requests(builder, notices)
    records = builder.rows_of(models.Lead) + builder.rows_of(models.Ticket)
    for manager in dict.fromkeys(builder.manager_of.values()):
        mine = [row for row in records if builder.manager_of[row["assignee_id"]] == manager]
        notices[manager] += [_status_notice(row) for row in mine[-4:]]
    for user, events in notices.items():
        for event in sorted((e for e in events if e["actor_id"] != user), key=lambda e: e["at"])[-8:]:
            read = event["at"] + timedelta(hours=2) if builder.now - event["at"] > timedelta(hours=26) else None
            event |= {"event_key": f"{event['event_key']}:{user}", "user_id": user}
            event["read_on"] = event.get("read_on") or read
            builder.add(models.Notification, **event)


def _add_assignments(builder: DemoBuilder, notices: dict[int, list[Row]]) -> None:
    for record, column, table in ((models.Lead, "lead_id", "leads"), (models.Ticket, "ticket_id", "ticket")):
        for row in builder.rows_of(record):
            key = f"assigned:{table}:{row['id']}:{row['created_on'].isoformat()}"
            notices[row["assignee_id"]].append(
                {
                    "kind": "assigned",
                    "event_key": key,
                    "at": row["created_on"],
                    column: row["id"],
                    "actor_id": row["created_by_id"],
                    "payload": {"number": row["number"]},
                }
            )


def _add_requests(builder: DemoBuilder, notices: dict[int, list[Row]]) -> None:
    numbers = {row["id"]: row["number"] for row in builder.rows_of(models.Lead)}
    for row in builder.rows_of(models.AssignmentRequest):
        key = f"request:{row['id']}"
        notices[builder.manager_of[row["requested_user_id"]]].append(
            {
                "kind": "request",
                "event_key": key,
                "at": row["created_on"],
                "lead_id": row["lead_id"],
                "actor_id": row["created_by_id"],
                "payload": {"number": numbers[row["lead_id"]]},
                "read_on": row["decided_on"],
            }
        )


def _status_notice(row: Row) -> Row:
    kind = "lead" if "pod_id" in row else "ticket"
    key = f"status:{kind}:{row['id']}:{row['status_on'].isoformat()}"
    return {
        "kind": "status",
        "event_key": key,
        "at": row["status_on"],
        f"{kind}_id": row["id"],
        "actor_id": row["assignee_id"],
        "payload": {"number": row["number"], "status": row["status_id"]},
    }
