"""The result of a trial: errors as sentences; none if the guarantees hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from app.models import Assignment, JobRun, Lead, Notification, RoundRobin, Task
from tests.resilience.scenario import Scenario


def of_reassignment(scenario: Scenario, tasks: list[int], giver: int, sellers: list[int]) -> list[str]:
    """Each task moved exactly once, evenly, and each person heard of it exactly once."""
    rows = scenario.rows(select(Task.id, Task.lead_id, Task.assignee_id, Task.tried).where(Task.id.in_(tasks)))
    taker = {task: user for task, _, user, _ in rows}
    faults = [f"task {task} was tried by {tried}" for task, _, _, tried in rows if tried != [giver]]
    faults += _once("reassignment of lead", [row[1] for row in rows], _leads_of(scenario, "overdue"))
    faults += _even(Counter(taker.values()), sellers)
    faults += _of_one_mind(scenario, {lead: user for _, lead, user, _ in rows})
    faults += _once("task_taken", [(task, giver) for task in tasks], _told(scenario, "task_taken"))
    faults += _once("task_assigned", taker.items(), _told(scenario, "task_assigned"))
    turns = scenario.rows(select(RoundRobin.turns))
    return faults + ([] if turns == [len(tasks)] else [f"{turns} turns were given for {len(tasks)} tasks"])


def of_reminders(scenario: Scenario, people: dict[int, int]) -> list[str]:
    """Each person heard of each of his due tasks exactly once; `people`: task -> user."""
    return _once("task_due", people.items(), _told(scenario, "task_due"))


def of_slots(scenario: Scenario) -> list[str]:
    """No slot of a job was run twice."""
    query = select(JobRun.job, JobRun.slot).group_by(JobRun.job, JobRun.slot).having(func.count(JobRun.id) > 1)
    return [f"{job} ran twice for {slot}" for job, slot in scenario.rows(query)]


def _leads_of(scenario: Scenario, reason: str) -> list[int]:
    return scenario.rows(select(Assignment.lead_id).where(Assignment.reason == reason))


def _told(scenario: Scenario, kind: str) -> list[tuple[int, int]]:
    return scenario.rows(select(Notification.task_id, Notification.user_id).where(Notification.kind == kind))


def _once(what: str, wanted: Iterable[Any], found: Iterable[Any]) -> list[str]:
    there, due = Counter(found), set(wanted)
    missing = [f"{what} {each} is missing" for each in due - set(there)]
    twice = [f"{what} {each} is there {count} times" for each, count in there.items() if count > 1]
    return missing + twice + [f"{what} {each} is too much" for each in set(there) - due]


def _even(shares: Counter[int], sellers: list[int]) -> list[str]:
    counts = [shares[user] for user in sellers]
    fair = max(counts) - min(counts) <= 1 and sum(counts) == sum(shares.values())
    return [] if fair else [f"the shares are {dict(shares)}"]


def _of_one_mind(scenario: Scenario, holders: dict[int, int]) -> list[str]:
    """Lead, task and the one open stretch name the same person."""
    leads = dict(scenario.rows(select(Lead.id, Lead.assignee_id).where(Lead.id.in_(holders))))
    faults = [
        f"lead {lead} is {leads[lead]}'s, its task {user}'s" for lead, user in holders.items() if leads[lead] != user
    ]
    still = (Assignment.ended_on.is_(None), Assignment.lead_id.in_(holders))
    open_ones = scenario.rows(select(Assignment.lead_id, Assignment.user_id).where(*still))
    return faults + _once("open stretch", holders.items(), open_ones)
