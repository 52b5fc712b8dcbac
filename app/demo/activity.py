"""What hangs on leads and tickets: tasks, calls, messages, notes, and the bell."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from app import models
from app.demo.builder import DAYS, ZONE, OfficeBuilder, Row, stamps
from app.demo.sample_text import FAILURES, NOTES, OUTCOMES, SAYINGS, TASKS

OVER = (
    "Account Opened",
    "Account Activated",
    "Unqualified",
    "Junk",
    "Lead Expired",
    "Lead Expired (Account Opened)",
    "Resolved",
    "Closed",
)


def make_tasks(house: OfficeBuilder) -> None:
    """The first task of every record, more on some leads; takes the records' `label` and `called` away."""
    records = [*house.of(models.Lead), *house.of(models.Ticket)]
    extra = max(0, house.count("tasks") - len(records))
    weighted = [*records, *(house.some(house.of(models.Lead)) for _ in range(extra))]
    late = iter(_lateness(house))
    for n, record in enumerate(weighted):
        is_first, is_over = n < len(records), record["label"] in OVER
        fresh = timedelta(days=4) > house.now - record["created_on"]
        is_open = not is_over and (record["label"].endswith("Scheduled") or fresh or house.often(0.35))
        due = None
        if is_open and not record["label"].endswith("Scheduled"):
            due = next(late, None)
        _task(house, record, is_first, is_open, due)
    for record in records:
        record.pop("label")
        record.pop("called", None)


def _lateness(house: OfficeBuilder) -> list[tuple[str, datetime]]:
    """A handful is overdue: some for the minute job to hand on, some in their grace, some that nobody watches."""
    handed_on = [("Todo", house.now - timedelta(minutes=minutes)) for minutes in (45, 50, 70, 95, 130)]
    in_grace = [("In Progress", house.now - timedelta(minutes=minutes)) for minutes in (4, 9, 15, 22)]
    unwatched = [("Backlog", house.now - timedelta(days=days)) for days in (1, 2, 2, 4, 6)]
    return handed_on + in_grace + unwatched


def _task(house: OfficeBuilder, record: Row, is_first: bool, is_open: bool, late: tuple[str, datetime] | None) -> None:
    is_lead = "pod_id" in record
    latest = late[1] if late else house.now
    made = record["created_on"] if is_first else house.moment(record["created_on"], latest)
    made = min(made, latest - timedelta(minutes=1)) if late and made > latest else made
    by = record["created_by_id"]
    status, due, done = late[0] if late else house.some(("Todo", "Todo", "In Progress", "Backlog")), None, None
    if late:
        due = late[1]
    elif is_open:
        due = _ahead(house)
    else:
        status = house.rng.choices(("Done", "Canceled"), (90, 10))[0]
        due = made + timedelta(hours=house.rng.randint(1, 48))
        done = house.moment(made, min(due + timedelta(hours=6), house.now)) if status == "Done" else None
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    text = _title(house, record, is_first, is_lead)
    task = house.add(
        models.Task,
        title=text,
        status=status,
        version=1,
        due_on=due,
        done_on=done,
        owner_id=by,
        exhausted=False,
        priority=house.rng.choices(("Low", "Medium", "High"), (20, 55, 25))[0],
        assignee_id=record["assignee_id"],
        tried=[],
        remind_on=_remind(house, due) if is_open else None,
        **own,
        **stamps(by, made, done, by),
    )
    place = {"task_id": task["id"], "customer_id": record["customer_id"], **own}
    told = {"text": text, "what": "created", "due": due.isoformat(), "assignee": task["assignee_id"]}
    house.happened("task", made, by, place, **told)
    if done:
        house.happened(
            "task", done, record["assignee_id"], place, text=text, what="done", changes=[["status", "Todo", "Done"]]
        )
    if is_lead and is_open:
        record["next_follow_up_on"] = due


def _title(house: OfficeBuilder, record: Row, is_first: bool, is_lead: bool) -> str:
    if not is_first:
        return str(house.some(TASKS))
    if not is_lead:
        return f"Handle ticket: {record['title']}"[:200]
    return f"Follow up: {record['called']}"


def _ahead(house: OfficeBuilder) -> datetime:
    """Later today for one in five, else within the next ten days, in office hours."""
    close = datetime.combine(house.now.astimezone(ZONE).date(), time(18, 30), ZONE).astimezone(UTC)
    soon = house.now + timedelta(minutes=20)
    if soon < close and house.often(0.2):
        return house.moment(soon, close)
    return house.moment(max(soon, house.now + timedelta(hours=12)), house.now + timedelta(days=10))


def _remind(house: OfficeBuilder, due: datetime) -> datetime | None:
    """What tasks.arm would say; moments that have passed were served."""
    moments = (due - timedelta(minutes=60), due - timedelta(minutes=5), due + timedelta(hours=1))
    return next((moment for moment in moments if moment >= house.now), None)


def make_calls(house: OfficeBuilder) -> None:
    """Calls in order of time, most of them about a lead or customer."""
    leads, customers = house.of(models.Lead), house.of(models.Customer)
    by_id = {row["id"]: row for row in customers}
    plans: list[tuple[datetime, int, Row | None, Row | None]] = []
    for _ in range(house.count("calls")):
        lead = house.some(leads) if house.often(0.6) else None
        customer = by_id.get(lead["customer_id"]) if lead else (house.some(customers) if house.often(0.6) else None)
        start = max(lead["created_on"] if lead else house.now - timedelta(days=DAYS), house.now - timedelta(days=DAYS))
        plans.append((house.moment(start, house.now - timedelta(minutes=10)), len(plans), lead, customer))
    for at, n, lead, customer in sorted(plans, key=lambda plan: plan[:2]):
        _call(house, at, n, lead, customer)


def _call(house: OfficeBuilder, at: datetime, n: int, lead: Row | None, customer: Row | None) -> None:
    worker = lead["assignee_id"] if lead else house.some(house.staff["Sales User"] + house.staff["Support User"])
    peer = (customer or lead or {}).get("mobile_e164") or house.mobile()[1]
    direction = house.rng.choices(("Outgoing", "Incoming"), (70, 30))[0]
    missed = "Missed Call" if direction == "Incoming" else house.some(("No Answer", "Did Not Picked", "Busy"))
    status = "Completed" if house.often(0.68) else missed
    seconds = min(3600, int(house.rng.expovariate(1 / 140)) + 4) if status == "Completed" else 0
    own = house.of(models.User)[worker - house.of(models.User)[0]["id"]]["mobile_e164"]
    medium = house.rng.choices(("mobile", "manual"), (88, 12))[0]
    place = {"lead_id": lead["id"] if lead else None, "customer_id": customer["id"] if customer else None}
    call = house.add(
        models.CallLog,
        device_call_id=f"demo-{n}" if medium == "mobile" else None,
        direction=direction,
        status=status,
        from_number=own if direction == "Outgoing" else peer,
        to_number=peer if direction == "Outgoing" else own,
        other_e164=peer,
        started_on=at,
        ended_on=at + timedelta(seconds=seconds),
        duration_seconds=seconds,
        native={"type": direction.upper(), "duration": seconds} if medium == "mobile" else {},
        employee_id=worker,
        cold=not any(place.values()) and direction == "Outgoing",
        medium=medium,
        outcome=house.some(OUTCOMES),
        ticket_id=None,
        recording=None,
        **place,
        **stamps(worker, at + timedelta(seconds=seconds + 60)),
    )
    if any(place.values()):
        text = f"{direction} call, {status}"
        house.happened("call", call["created_on"], worker, place, text=text, call=call["id"], seconds=seconds)


def make_messages(house: OfficeBuilder) -> None:
    """Messages in order of time, then notes and comments."""
    by_id = {row["id"]: row for row in house.of(models.Customer)}
    plans = []
    for n in range(house.count("messages")):
        lead = house.some(house.of(models.Lead))
        plans.append((house.moment(lead["created_on"], house.now), n, lead, by_id.get(lead["customer_id"])))
    for at, n, lead, customer in sorted(plans, key=lambda plan: plan[:2]):
        _message(house, at, n, lead, customer)
    for _ in range(house.count("notes")):
        lead = house.some(house.of(models.Lead))
        place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        kind = house.some(("note", "note", "comment"))
        at = house.moment(lead["created_on"], house.now)
        house.happened(kind, at, lead["assignee_id"], place, text=house.some(NOTES))


def _message(house: OfficeBuilder, at: datetime, n: int, lead: Row, customer: Row | None) -> None:
    person = customer or lead
    channel = house.rng.choices(("whatsapp", "sms", "email"), (65, 20, 15))[0]
    channel = "whatsapp" if channel == "email" and not person["email"] else channel
    direction = "in" if channel == "whatsapp" and house.often(0.35) else "out"
    failed = direction == "out" and house.often(0.06)
    state = house.rng.choices(("read", "delivered", "sent"), (55, 35, 10))[0] if direction == "out" else "delivered"
    by = lead["assignee_id"] if direction == "out" else None
    place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    message = house.add(
        models.Message,
        channel=channel,
        direction=direction,
        body=house.some(SAYINGS[direction]),
        native={},
        peer=person["email"] if channel == "email" else person["mobile_e164"],
        state="failed" if failed else state,
        subject="Your account with Eshin Broking" if channel == "email" else None,
        ticket_id=None,
        cause=None,
        reason=house.some(FAILURES) if failed else None,
        tries=5 if failed else int(direction == "out"),
        due_on=at if direction == "out" else None,
        provider_id=None if failed else f"demo-{n}",
        **place,
        **stamps(by, at),
    )
    house.happened("message", at, by, place, message=message["id"], channel=channel)


def make_notices(house: OfficeBuilder) -> None:
    """The bell of each person: the latest assignments, pending requests, and what falls due."""
    told: dict[int, list[Row]] = {}
    for record, column, table in ((models.Lead, "lead_id", "leads"), (models.Ticket, "ticket_id", "ticket")):
        for row in house.of(record):
            key = f"assigned:{table}:{row['id']}:{row['created_on'].isoformat()}"
            told.setdefault(row["assignee_id"], []).append(
                {
                    "kind": "assigned",
                    "event_key": key,
                    "at": row["created_on"],
                    column: row["id"],
                    "actor_id": row["created_by_id"],
                    "payload": {"number": row["number"]},
                }
            )
    for row in house.of(models.AssignmentRequest):
        key = f"request:{row['id']}"
        told.setdefault(house.boss[row["requested_user_id"]], []).append(
            {
                "kind": "request",
                "event_key": key,
                "at": row["created_on"],
                "lead_id": row["lead_id"],
                "actor_id": row["created_by_id"],
                "payload": {"number": row["number"]},
            }
        )
    records = house.of(models.Lead) + house.of(models.Ticket)
    for leader in dict.fromkeys(house.boss.values()):
        mine = [row for row in records if house.boss[row["assignee_id"]] == leader]
        for row in mine[-4:]:
            told.setdefault(leader, []).append(_moved(row))
    for user, events in told.items():
        for event in sorted((e for e in events if e["actor_id"] != user), key=lambda e: e["at"])[-8:]:
            read = event["at"] + timedelta(hours=2) if house.now - event["at"] > timedelta(hours=26) else None
            event |= {"event_key": f"{event['event_key']}:{user}", "user_id": user, "read_on": read}
            house.add(models.Notification, **event)


def _moved(row: Row) -> Row:
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
