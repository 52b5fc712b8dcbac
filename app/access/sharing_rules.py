"""Which saved views, boards and reports a person sees: their own, and those shared with them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select

from app.access.person import Person
from app.access.rule_conditions import inside
from app.models import Board, Report, ReportRun, ReportSchedule, Role, SavedView, User


def saved_views(person: Person) -> ColumnElement[bool]:
    """The person's own views, and those shared with everybody, one of their roles, or the team of a manager above them.

    Only of lists that they may open.
    """
    of_a_role = and_(SavedView.audience == "role", SavedView.role_id.in_(_roles_of(person)))
    of_a_team = and_(SavedView.audience == "team", SavedView.owner_id.in_(_teams_of(person)))
    shared = or_(SavedView.audience == "all", of_a_role, of_a_team)
    return or_(SavedView.owner_id == person.id, shared)


def _roles_of(person: Person) -> Any:
    """The ids of the person's roles, as a query."""
    return select(Role.id).where(Role.name.in_(sorted(person.roles)))


def _teams_of(person: Person) -> Any:
    """The managers whose teams the person belongs to, as a query: their own id and those of all managers above them."""
    above = select(User.id, User.manager_id).where(User.id == person.id).cte(recursive=True)
    above = above.union(select(User.id, User.manager_id).join(above, User.id == above.c.manager_id))
    return select(above.c.id)


def boards(person: Person) -> ColumnElement[bool]:
    """The person's own boards, and those shared with their roles or by a manager above them.

    Settings readers: all shared.
    """
    given = or_(
        and_(Board.audience == "role", Board.role_id.in_(_roles_of(person))),
        and_(Board.audience == "team", Board.manager_id.in_(_teams_of(person))),
    )
    if person.may("Settings", "read"):
        given = Board.audience != "me"
    return or_(Board.owner_id == person.id, given)


def reports(person: Person, report: Any = Report) -> ColumnElement[bool]:
    """The person's own reports, and those shared with everybody, one of their roles, or the team of a manager above
    them.
    """
    if not person.may("Reports", "read"):
        return false()
    shared = or_(
        report.audience == "all",
        and_(report.audience == "role", report.role_id.in_(_roles_of(person))),
        and_(report.audience == "team", report.owner_id.in_(_teams_of(person))),
    )
    return or_(report.owner_id == person.id, shared)


def of_own_report(person: Person, column: Any) -> ColumnElement[bool]:
    """Rows that belong to the person's own reports."""
    report = inside(column.parent, Report)
    return exists().where(report.id == column, report.owner_id == person.id)


def report_runs(person: Person) -> ColumnElement[bool]:
    """Runs of schedules of the person's own reports."""
    schedule = inside(ReportRun, ReportSchedule)
    return exists().where(schedule.id == ReportRun.schedule_id, of_own_report(person, schedule.report_id))
