"""A person with their rights: what their roles allow, whose rows they reach, which fields are masked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.base import RuleBroken, translatable
from app.domain.people import permissions
from app.lib.lru_cache import LruCache
from app.lib.masking import masked

ADMIN = "Admin"
#: Per person and process: compiled statements, and lists about which something is cached for a while.
MAX_STATEMENTS, MAX_LISTS = 120, 300
#: Values derived from their rights: the menu in a language or two, what they may change of each record.
MAX_DERIVED = 60


class Denied(RuleBroken):
    """The person's role may not do this at all (403)."""


@dataclass(frozen=True, eq=False)
class Person:
    """A signed-in person with their rights; cached until something about access changes."""

    id: int
    username: str
    full_name: str
    roles: frozenset[str]
    #: (module, verb) -> level; "none" is left out.
    levels: dict[tuple[str, str], str]
    #: field -> hidden, last4 or full.
    masks: dict[str, str]
    #: The person, and users on leave who named them their delegate.
    own_ids: frozenset[int]
    #: own_ids, and everyone who reports to one of them, directly or through others.
    team_ids: frozenset[int]
    #: FAB's (permission, view) pairs.
    fab_permissions: frozenset[tuple[str, str]]
    time_zone: str | None = None
    locale: str | None = None
    #: Whether a role of theirs demands a second factor that they have not set up.
    owes_two_factor: bool = False
    #: A view as another user: reads only.
    read_only: bool = False
    #: Modules and verbs an API key is limited to; None = no limit.
    scope: frozenset[str] | None = None
    #: The version of access under which this was read.
    version: int = 0
    #: Loader criteria by table, built on first use; never shared with a copy of other scope.
    row_criteria: dict[str, Any] = field(init=False, default_factory=dict)
    #: Compiled statements with this person's access rules, see access.compiled_statements. Not shared either.
    compiled_statements: LruCache[Any, Any] = field(init=False, default_factory=lambda: LruCache(MAX_STATEMENTS))
    #: Lists whose scan was stopped -> until when another way is used at once, monotonic seconds.
    slow_scans: LruCache[Any, float] = field(init=False, default_factory=lambda: LruCache(MAX_LISTS))
    #: Lists whose count stopped at its cap -> until when that is remembered, monotonic seconds.
    capped_counts: LruCache[Any, float] = field(init=False, default_factory=lambda: LruCache(MAX_LISTS))
    #: Record -> (until when the answer holds, whether people in reach hold very many records that make its rows
    #: visible).
    many_held: LruCache[Any, tuple[float, bool]] = field(init=False, default_factory=lambda: LruCache(MAX_LISTS))
    #: What pages derive from these rights alone, such as the entries of the menu; not shared.
    derived: LruCache[Any, Any] = field(init=False, default_factory=lambda: LruCache(MAX_DERIVED))
    #: Scope of an API key -> the same person limited by it, with compiled statements of its own.
    scoped: dict[frozenset[str], Person] = field(init=False, default_factory=dict)
    #: The same person as others view them, in a list of at most one.
    _viewed: list[Person] = field(init=False, default_factory=list)

    def within(self, scope: frozenset[str]) -> Person:
        """The person as limited by an API key of this scope; an empty scope limits nothing."""
        if not scope:
            return self
        if scope not in self.scoped:
            self.scoped[scope] = replace(self, scope=scope)
        return self.scoped[scope]

    def viewed(self) -> Person:
        """The person as an admin views them: reads only, with compiled statements of its own."""
        if not self._viewed:
            self._viewed.append(replace(self, read_only=True, owes_two_factor=False))
        return self._viewed[0]

    @property
    def is_admin(self) -> bool:
        """Whether they hold the Admin role."""
        return ADMIN in self.roles

    @property
    def is_manager(self) -> bool:
        """Whether they may reopen ended records and undo a conversion: an admin, or anyone who may assign in a team."""
        return self.is_admin or self.level("Leads", "assign") != "none" or self.level("Tickets", "assign") != "none"

    def level(self, module: str, verb: str) -> str:
        """The level of a verb on a module: none, own, team or all."""
        if self.read_only and verb != "read":
            return "none"
        if self.scope is not None and f"{module}.{verb}" not in self.scope and module not in self.scope:
            return "none"
        return "all" if self.is_admin else self.levels.get((module, verb), "none")

    def may(self, module: str, verb: str) -> bool:
        """Whether the person may do this to any row at all."""
        return self.level(module, verb) != "none"

    def reach(self, module: str, verb: str = "read") -> frozenset[int] | None:
        """The ids of the users whose rows the verb reaches; empty = nobody's, None = everybody's."""
        level = self.level(module, verb)
        return {"none": frozenset(), "own": self.own_ids, "team": self.team_ids, "all": None}[level]

    def mask(self, field_name: str) -> str:
        """The mask of a masked or restricted custom field: hidden, last4 or full. Every other field is full."""
        if not permissions.is_masked(field_name):
            return "full"
        return "full" if self.is_admin else self.masks.get(field_name, "hidden")

    def mask_value(self, field_name: str, value: Any) -> Any:
        """The value as this person may see it."""
        level = self.mask(field_name)
        return value if level == "full" or value is None else masked(str(value), level)

    def refuse_unless(self, module: str, verb: str) -> None:
        """Raise Denied when the person may not do this to any row."""
        if not self.may(module, verb):
            raise Denied(
                translatable(
                    "Your role doesn't allow this (%(module)s: %(verb)s). Ask your manager if you need it.",
                    module=module,
                    verb=verb,
                )
            )
