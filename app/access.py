"""THE LAW: who may do what to which rows and sees which fields, spelled once and applied by the session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    case,
    event,
    exists,
    false,
    func,
    inspect,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.orm import ORMExecuteState, Session, aliased, with_loader_criteria
from sqlalchemy.sql import visitors
from sqlalchemy.sql.util import ClauseAdapter

from app.domain import permissions, team
from app.domain.base import RuleBroken
from app.lib.identity import masked
from app.models import (
    AccessVersion,
    Activity,
    ApiKey,
    Assignment,
    AssignmentRequest,
    Attachment,
    AuditEntry,
    BackupRun,
    CallLog,
    Customer,
    CustomerAccount,
    Delivery,
    ExportRun,
    FailedCall,
    FieldMask,
    ImportRun,
    JobRun,
    Lead,
    Message,
    ModulePermission,
    Notification,
    Record,
    Role,
    SavedView,
    SignIn,
    StatusChange,
    Task,
    Ticket,
    User,
)

ADMIN = "Admin"
#: Seconds after which a cached person is read again even if no version changed (leave and delegation pass by time).
PERSON_SECONDS = 30
_RANK = {level: rank for rank, level in enumerate(permissions.LEVELS)}
_OPENNESS = {level: rank for rank, level in enumerate(permissions.MASKS)}


class Denied(RuleBroken):
    """The person's role may not do this at all (403)."""


@dataclass(frozen=True, eq=False)
class Person:
    """A signed-in person as the law sees him; cached until something about access changes."""

    id: int
    username: str
    full_name: str
    roles: frozenset[str]
    #: (module, verb) -> level, only what is more than none.
    levels: dict[tuple[str, str], str]
    #: field -> hidden, last4 or full.
    masks: dict[str, str]
    #: The person and those who are on leave and named him their delegate.
    own: frozenset[int]
    #: The same, and everybody below in the reports-to tree.
    team: frozenset[int]
    #: FAB's (permission, view) pairs.
    pairs: frozenset[tuple[str, str]]
    time_zone: str | None = None
    locale: str | None = None
    #: Looks through somebody else's eyes: reads only.
    read_only: bool = False
    #: Modules and verbs an API key is limited to; None = no limit.
    scope: frozenset[str] | None = None
    #: The version of access under which this was read.
    version: int = 0
    #: Loader criteria by table, made on first use; never shared with a copy of other scope.
    law: dict[str, Any] = field(init=False, default_factory=dict)

    @property
    def is_admin(self) -> bool:
        """Holds the Admin role."""
        return ADMIN in self.roles

    @property
    def is_manager(self) -> bool:
        """May reopen what has ended and undo a conversion: an admin, or one who may assign in a team."""
        return self.is_admin or self.level("Leads", "assign") != "none" or self.level("Tickets", "assign") != "none"

    def level(self, module: str, verb: str) -> str:
        """none, own, team or all."""
        if self.read_only and verb != "read":
            return "none"
        if self.scope is not None and f"{module}.{verb}" not in self.scope and module not in self.scope:
            return "none"
        return "all" if self.is_admin else self.levels.get((module, verb), "none")

    def may(self, module: str, verb: str) -> bool:
        """Whether the verb is open to the person for any row at all."""
        return self.level(module, verb) != "none"

    def reach(self, module: str, verb: str = "read") -> frozenset[int] | None:
        """Whose rows the verb reaches: user ids, empty for none, None for everybody's."""
        level = self.level(module, verb)
        return {"none": frozenset(), "own": self.own, "team": self.team, "all": None}[level]

    def mask(self, name: str) -> str:
        """hidden, last4 or full for a masked field; every other field is full."""
        if name not in permissions.MASKED:
            return "full"
        return "full" if self.is_admin else self.masks.get(name, "hidden")

    def shown(self, name: str, value: Any) -> Any:
        """The value as this person may see it."""
        level = self.mask(name)
        return value if level == "full" or value is None else masked(str(value), level)

    def refuse_unless(self, module: str, verb: str) -> None:
        """Raise Denied with a sentence when the verb is closed."""
        if not self.may(module, verb):
            raise Denied(f"Your role does not allow this ({module}: {verb}). Ask your manager if you need it.")


# --- rows: one SQL expression per record -------------------------------------------------------------------------


def _in(column: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    if reach is None:
        return true()
    return column.in_(sorted(reach)) if reach else false()


def _reaches(record: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Assigned to or owned by somebody within reach."""
    if reach is None or not reach:
        return _in(record.owner_id, reach)
    return or_(_in(record.assignee_id, reach), _in(record.owner_id, reach))


def _leads(who: Person, lead: Any = Lead, verb: str = "read") -> ColumnElement[bool]:
    return _reaches(lead, who.reach("Leads", verb))


def _tickets(who: Person, ticket: Any = Ticket, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Tickets", verb)
    rule = _reaches(ticket, reach)
    if not reach:
        return rule
    # A ticket has several assignees; each present one reaches it.
    present = exists().where(
        Assignment.ticket_id == ticket.id, Assignment.user_id.in_(sorted(reach)), Assignment.ended_on.is_(None)
    )
    return or_(rule, present)


def _customers(who: Person, customer: Any = Customer, verb: str = "read") -> ColumnElement[bool]:
    """Those one answers for, and those of the leads and tickets that one sees."""
    reach = who.reach("Customers", verb)
    if reach is None or not reach:
        return _in(customer.owner_id, reach)
    lead, ticket = aliased(Lead), aliased(Ticket)
    rules = [_in(customer.owner_id, reach)]
    if who.may("Leads", "read"):
        rules.append(exists().where(lead.customer_id == customer.id, _leads(who, lead)))
    if who.may("Tickets", "read"):
        rules.append(exists().where(ticket.customer_id == customer.id, _tickets(who, ticket)))
    return or_(*rules)


def _parented(who: Person, row: Any, *others: ColumnElement[bool]) -> ColumnElement[bool]:
    """Rows that hang on a lead, ticket or customer are seen with it."""
    lead, ticket, customer = aliased(Lead), aliased(Ticket), aliased(Customer)
    rules = list(others)
    if hasattr(row, "lead_id") and who.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(who, lead)))
    if hasattr(row, "ticket_id") and who.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(who, ticket)))
    if hasattr(row, "customer_id") and who.may("Customers", "read"):
        rules.append(exists().where(customer.id == row.customer_id, _customers(who, customer)))
    return or_(*rules) if rules else false()


def _everything(who: Person) -> bool:
    """A reader of all leads, tickets and customers needs no look at the parents."""
    return all(who.reach(module) is None for module in ("Leads", "Tickets", "Customers"))


def _tasks(who: Person, task: Any = Task, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Tasks", verb)
    if reach is None or not reach:
        return _in(task.assignee_id, reach)
    return _parented(who, task, _in(task.assignee_id, reach))


def _calls(who: Person, call: Any = CallLog, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Call Logs", verb)
    if reach is None or not reach:
        return _in(call.employee_id, reach)
    return _parented(who, call, _in(call.employee_id, reach))


def _messages(who: Person, message: Any = Message, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Messages", verb)
    if reach is None or not reach:
        return _in(message.created_by_id, reach)
    return _parented(who, message, _in(message.created_by_id, reach))


def _nearest(who: Person, row: Any) -> ColumnElement[bool]:
    """Rows that tell of a lead or ticket are seen with that one; with the customer only those of nobody else.

    A converted lead's rows have moved into the customer's view.
    """
    lead, ticket, customer, moved = aliased(Lead), aliased(Ticket), aliased(Customer), aliased(Lead)
    rules: list[ColumnElement[bool]] = []
    if who.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(who, lead)))
    if who.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(who, ticket)))
    if who.may("Customers", "read"):
        converted = exists().where(moved.id == row.lead_id, moved.converted_on.is_not(None))
        own = and_(row.ticket_id.is_(None), or_(row.lead_id.is_(None), converted))
        rules.append(and_(own, exists().where(customer.id == row.customer_id, _customers(who, customer))))
    return or_(*rules) if rules else false()


def _activities(who: Person, line: Any = Activity, verb: str = "read") -> ColumnElement[bool]:
    if _everything(who) and who.reach("Tasks") is None:
        return true()
    return _nearest(who, line)


def _requests(who: Person, request: Any = AssignmentRequest, verb: str = "read") -> ColumnElement[bool]:
    """One's own, those about oneself, and as a manager those about one's team."""
    reach = who.reach("Requests", verb)
    if reach is None:
        return true()
    if not reach:
        return false()
    return or_(_in(request.requested_user_id, reach), _in(request.created_by_id, reach))


def _deliveries(who: Person) -> ColumnElement[bool]:
    """Those of one's own notifications."""
    told = aliased(Notification)
    return exists().where(told.id == Delivery.notification_id, told.user_id == who.id)


def _audience(who: Person) -> ColumnElement[bool]:
    return true() if who.is_admin or "Compliance" in who.roles else false()


def _admins(who: Person) -> ColumnElement[bool]:
    return true() if who.is_admin else false()


#: Record -> the rows a person sees. A record that is not here shows no rows.
RULES: dict[Any, Callable[[Person], ColumnElement[bool]]] = {
    Lead: _leads,
    Ticket: _tickets,
    Customer: _customers,
    CustomerAccount: lambda who: _parented(who, CustomerAccount),
    Task: _tasks,
    CallLog: _calls,
    Message: _messages,
    Activity: _activities,
    AssignmentRequest: _requests,
    Assignment: lambda who: _parented(who, Assignment),
    StatusChange: lambda who: _parented(who, StatusChange),
    Attachment: lambda who: _nearest(who, Attachment),
    Notification: lambda who: Notification.user_id == who.id,
    SavedView: lambda who: or_(SavedView.owner_id == who.id, SavedView.shared.is_(True)),
    ApiKey: lambda who: true() if who.is_admin else ApiKey.user_id == who.id,
    SignIn: lambda who: true() if who.is_admin else SignIn.user_id == who.id,
    AuditEntry: _audience,
    JobRun: _admins,
    FailedCall: _admins,
    Delivery: _deliveries,
    BackupRun: _admins,
    ImportRun: lambda who: true() if who.is_admin else ImportRun.created_by_id == who.id,
    ExportRun: lambda who: true() if who.is_admin else ExportRun.created_by_id == who.id,
}
#: The verbs whose rows may be fewer than those one reads.
_BY_VERB = {Lead: _leads, Ticket: _tickets, Customer: _customers, Task: _tasks, CallLog: _calls, Message: _messages,
            AssignmentRequest: _requests}  # fmt: skip
MODULE_OF = {Lead: "Leads", Ticket: "Tickets", Customer: "Customers", Task: "Tasks", CallLog: "Call Logs",
             Message: "Messages", AssignmentRequest: "Requests"}  # fmt: skip


@lru_cache(maxsize=1)
def _guarded(_mapped: int) -> dict[str, Any]:
    """Table -> record, of all that have a rule and of every Record that was forgotten and so shows no rows."""
    forgotten = [mapper.class_ for mapper in Record.registry.mappers if issubclass(mapper.class_, Record)]
    return {record.__tablename__: record for record in (*forgotten, *RULES)}


def guarded() -> dict[str, Any]:
    """Table -> record that the law guards; the rest are masters and FAB's own tables."""
    return _guarded(len(Record.registry._class_registry))


def visible(who: Person, record: Any, verb: str = "read") -> ColumnElement[bool]:
    """The WHERE for the rows of `record` that `verb` reaches; nothing for a record without a rule."""
    if verb != "read" and record in _BY_VERB:
        return _BY_VERB[record](who, record, verb)
    return RULES[record](who) if record in RULES else false()


def reaches_row(session: Session, who: Person, row: Any, verb: str) -> bool:
    """Whether the verb reaches this very row (one indexed SELECT unless the level says it at once)."""
    record = type(row)
    if who.level(MODULE_OF.get(record, ""), verb) in ("none", "all"):
        return who.may(MODULE_OF.get(record, ""), verb)
    if who.reach(MODULE_OF[record], verb) == who.reach(MODULE_OF[record]):
        return True  # the row was loaded under the same rule
    query = select(record.id).where(record.id == row.id, visible(who, record, verb))
    with as_system(session):
        return session.execute(query).first() is not None


#: With more people in reach than this, one scan of the newest rows beats a look-up for each of them.
MOST_BRANCHES = 8


def ids_by_person(who: Person, record: Any, rules: list[Any], limit: int) -> Select[Any] | None:
    """The newest visible ids that fit, looked up person by person on (assignee, id) and (owner, id).

    The same rows as `visible`, in a shape for which the database reads only `limit` index entries a branch; it
    sorts thousands of rows for one OR. None where the rule has no such shape or the rules name other tables.
    """
    parts = _parts(who, record, rules, limit)
    return select(union_all(*parts).subquery().c.id).distinct() if parts else None


def count_by_person(who: Person, record: Any, rules: list[Any], cap: int) -> Select[Any] | None:
    """How many rows `ids_by_person` would find, up to `cap`; None where it has no such shape.

    When the first branch alone reaches the cap, the database never looks at the others.
    """
    parts = _parts(who, record, rules, cap)
    if not parts:
        return None
    first = select(func.count()).select_from(parts[0].subquery()).scalar_subquery()
    each = select(union_all(*parts).subquery().c.id).distinct().limit(cap).subquery()
    every = select(func.count()).select_from(each).scalar_subquery()
    return select(case((first >= cap, literal(cap)), else_=every))


def _parts(who: Person, record: Any, rules: list[Any], limit: int) -> list[Select[Any]]:
    """One cut-short range of an index for each way in which each person in reach has a row; none without the shape."""
    reach = who.reach(MODULE_OF[record]) if record in (Lead, Ticket) else None
    if not reach or len(reach) > MOST_BRANCHES:
        return []
    row, adapt = _twin(record)
    fit = [adapt.traverse(rule) for rule in rules]
    ways = [way for user in sorted(reach) for way in _ways(row, record, user)]
    newest = [select(row.id).where(way, *fit).order_by(row.id.desc()).limit(limit) for way in ways]
    return [select(each.subquery().c.id) for each in newest]


@lru_cache
def _twin(record: Any) -> tuple[Any, ClauseAdapter]:
    """An alias of the record and what translates rules to it, made once: forty columns a time are dear.

    Aliases carry no loader criteria: each branch is the law itself.
    """
    row = aliased(record)
    return row, ClauseAdapter(inspect(row).selectable)


def _ways(row: Any, record: Any, user: int) -> list[ColumnElement[bool]]:
    """How one person reaches a row."""
    ways = [row.assignee_id == user, row.owner_id == user]
    if record is Ticket:
        present = aliased(Assignment)
        mine = select(present.ticket_id).where(present.user_id == user, present.ended_on.is_(None))
        ways.append(row.id.in_(mine.where(present.ticket_id.is_not(None))))
    return ways


# --- the session applies it -------------------------------------------------------------------------------------

_SYSTEM = object()


@contextmanager
def as_system(session: Session) -> Iterator[Session]:
    """Inside, the session sees everything: jobs, sign-in and the law's own questions."""
    before = session.info.get("who")
    session.info["who"] = _SYSTEM
    try:
        yield session
    finally:
        session.info["who"] = before


def act_as(session: Session, who: Person | None) -> None:
    """From now on the session belongs to the person (None = to nobody, who sees no rows)."""
    session.info["who"] = who


def acting(session: Session) -> Person | None:
    """The person to whom the session belongs."""
    who = session.info.get("who")
    return who if isinstance(who, Person) else None


def install(session_class: Any) -> None:
    """Make every session of the class obey the law. Idempotent."""
    if not event.contains(session_class, "do_orm_execute", _apply):
        event.listen(session_class, "do_orm_execute", _apply)
        event.listen(session_class, "after_flush", _count_access_change)


def _apply(state: ORMExecuteState) -> None:
    who = state.session.info.get("who")
    if who is _SYSTEM or state.is_column_load or not (state.is_select or state.is_update or state.is_delete):
        return
    records = _records_in(state)
    if records:
        state.statement = state.statement.options(*[_criteria(who, record) for record in records])


def _criteria(who: Person | None, record: Any) -> Any:
    if who is None:
        return with_loader_criteria(record, false(), include_aliases=False)
    key = record.__tablename__
    if key not in who.law:
        # Not for aliases: the rules' own EXISTS speak of aliases, and would be narrowed by themselves.
        who.law[key] = with_loader_criteria(record, visible(who, record), include_aliases=False)
    return who.law[key]


def _records_in(state: ORMExecuteState) -> list[Any]:
    """The records that the statement touches; all of them when loader options could bring in more."""
    statement = state.statement
    if getattr(statement, "_with_options", ()) or state.is_relationship_load:
        return list(guarded().values())
    # A plan that has put its statement together knows its tables; every other statement is searched.
    names = state.execution_options.get("law_tables") or _tables_in(statement)
    known = guarded()
    return [known[name] for name in names if name in known]


def _tables_in(statement: Any) -> set[str]:
    # Never kept on the statement: one derived from it by a further join would inherit too few tables.
    return {node.name for node in visitors.iterate(statement) if isinstance(node, Table)}


def get_visible(session: Session, record: Any, key: Any, *options: Any) -> Any:
    """The row of this id if the person sees it, else None; never answered from the identity map."""
    if isinstance(key, bool) or not isinstance(key, int) or not 0 < key < 2**31:
        return None
    return session.scalars(select(record).where(record.id == key).options(*options)).first()


# --- people, cached by the version of access ---------------------------------------------------------------------

_cache: dict[tuple[str, int], tuple[int, float, Person]] = {}
_lock = threading.Lock()


def version_query() -> Any:
    """Scalar sub-query for the version of access, to be read along with the signed-in user."""
    return select(AccessVersion.n).where(AccessVersion.id == 1).scalar_subquery()


def person(session: Session, user_id: int, version: int, now: datetime | None = None) -> Person:
    """The person as of this version of access; from the cache of this process unless something changed."""
    key = (str(session.get_bind().engine.url), user_id)
    held = _cache.get(key)
    if held is not None and held[0] == version and time.monotonic() - held[1] < PERSON_SECONDS:
        return held[2]
    with as_system(session):
        fresh = replace(load_person(session, user_id, now or datetime.now(UTC)), version=version)
    with _lock:
        if len(_cache) > 5000:
            _cache.clear()
        _cache[key] = (version, time.monotonic(), fresh)
    return fresh


def load_person(session: Session, user_id: int, now: datetime) -> Person:
    """Read everything that the law wants to know of a user; a handful of statements."""
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such user.")
    roles = {role.id: role.name for role in [*user.roles, *(r for g in user.groups for r in g.roles)]}
    own = frozenset({user_id, *_delegators(session, user_id, now)})
    below = frozenset().union(*(team.below(session, each) for each in own))
    return Person(
        id=user_id, username=user.username, full_name=user.get_full_name(), roles=frozenset(roles.values()),
        levels=_levels(session, roles), masks=_masks(session, roles), own=own, team=below,
        pairs=_pairs(session, roles), time_zone=user.time_zone, locale=user.locale,
    )  # fmt: skip


def _delegators(session: Session, user_id: int, now: datetime) -> list[int]:
    away = select(User.id).where(
        User.delegate_id == user_id, User.leave_from <= now, or_(User.leave_to.is_(None), User.leave_to > now)
    )
    return list(session.scalars(away))


def _levels(session: Session, roles: dict[int, str]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for row in session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(roles))):
        key = (row.module, row.verb)
        if _RANK[row.level] > _RANK[found.get(key, "none")]:
            found[key] = row.level
    return found


def _masks(session: Session, roles: dict[int, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in session.scalars(select(FieldMask).where(FieldMask.role_id.in_(roles))):
        if _OPENNESS[row.level] > _OPENNESS[found.get(row.field, "hidden")]:
            found[row.field] = row.level
    return found


def _pairs(session: Session, roles: dict[int, str]) -> frozenset[tuple[str, str]]:
    from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu, assoc_permissionview_role

    link = assoc_permissionview_role
    query = (
        select(Permission.name, ViewMenu.name)
        .select_from(link)
        .join(PermissionView, PermissionView.id == link.c.permission_view_id)
        .join(Permission, Permission.id == PermissionView.permission_id)
        .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
        .where(link.c.role_id.in_(roles))
    )
    return frozenset((name, view) for name, view in session.execute(query))


_STATISTICS = {"last_login", "login_count", "fail_login_count", "changed_on"}


@lru_cache
def _watched() -> tuple[Any, ...]:
    from flask_appbuilder.security.sqla.models import Group, PermissionView

    from app.domain.settings import BusinessSetting, Holiday, Master, OfficeRange, SlaTarget

    return (User, Role, Group, PermissionView, ModulePermission, FieldMask, Master, BusinessSetting, OfficeRange,
            Holiday, SlaTarget)  # fmt: skip


def _count_access_change(session: Session, _context: Any) -> None:
    """Count the version up when users, roles, permissions, masters or settings change in this flush."""
    changed = [*session.new, *session.deleted, *(row for row in session.dirty if _really_changed(row))]
    if any(isinstance(row, _watched()) for row in changed):
        touch(session)


def _really_changed(row: Any) -> bool:
    attrs = inspect(row).attrs
    return any(attr.history.has_changes() for attr in attrs if attr.key not in _STATISTICS)


def touch(session: Session) -> None:
    """Make every process read people and masters anew."""
    step = update(AccessVersion).where(AccessVersion.id == 1).values(n=AccessVersion.n + 1)
    session.execute(step, execution_options={"synchronize_session": False})


def forget() -> None:
    """Empty this process's cache (tests, and after a restore)."""
    _cache.clear()
