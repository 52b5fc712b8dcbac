"""What roles may do: the permission matrix, the field masks, and the version that invalidates caches."""

from __future__ import annotations

from functools import lru_cache

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

MODULES = (
    "Dashboard",
    "Reports",
    "Leads",
    "Tickets",
    "Complaints",
    "Customers",
    "Tasks",
    "Call Logs",
    "Messages",
    "Support Pages",
    "Notes",
    "Requests",
    "Settings",
    "Sign-ins",
    "Audit Log",
    "Legal Holds",
    "Data Requests",
    "Data Breaches",
)
VERBS = ("read", "create", "write", "delete", "assign", "bulk", "recordings", "reveal", "export", "import", "merge")
#: Lowest first.
LEVELS = ("none", "own", "team", "all")
MASKED = ("mobile", "alternative_mobile", "email", "pan", "aadhaar", "address")
#: Column with another form of a masked value -> the name of its mask.
_MASKED_AS = {"mobile_e164": "mobile", "alternative_e164": "alternative_mobile"}
#: Most restrictive first.
MASKS = ("hidden", "last4", "full")
LEVEL_RANK = {level: rank for rank, level in enumerate(LEVELS)}
MASK_RANK = {mask: rank for rank, mask in enumerate(MASKS)}
_ROWS = ("read", "create", "write", "delete", "assign", "bulk", "export", "import")
_REGISTER = ("read", "create", "write", "export")
#: Module -> the verbs that code checks. All other cells of the matrix are not offered and have no effect.
VERBS_OF: dict[str, tuple[str, ...]] = {
    "Dashboard": ("read",),
    # "read": those shared with the person; "create": to build, save and send reports.
    "Reports": ("read", "create"),
    # "reveal": to see masked values of single records in full, with a reason. "merge": to merge records that the person
    # may also write.
    "Leads": (*_ROWS, "reveal", "merge"),
    "Tickets": (*_ROWS, "reveal", "merge"),
    # Joining complaints about one grievance is writing them.
    "Complaints": ("read", "create", "write", "assign", "bulk", "export"),
    "Customers": (*_ROWS, "reveal", "merge"),
    "Tasks": _ROWS,
    # "recordings": to listen to recordings of calls.
    "Call Logs": ("read", "create", "write", "delete", "bulk", "recordings", "export", "import"),
    "Messages": ("read", "create", "write", "bulk", "export"),
    "Support Pages": ("read", "create", "write", "delete"),
    "Notes": ("read", "create", "write", "delete"),
    "Requests": ("read", "create", "write", "bulk", "export"),
    # "import": of users.
    "Settings": ("read", "create", "write", "delete", "import"),
    # Those of others; everybody sees and ends their own.
    "Sign-ins": ("read", "delete"),
    "Audit Log": ("read",),
    # "create": to put records under a hold; "write": to release it.
    "Legal Holds": ("read", "create", "write"),
    # Nothing of a register is deleted.
    "Data Requests": _REGISTER,
    "Data Breaches": _REGISTER,
}
#: Modules whose rows have no owner: only the levels none and all apply.
WITHOUT_OWNER = (
    *("Reports", "Support Pages", "Settings", "Sign-ins", "Audit Log", "Legal Holds"),
    *("Data Requests", "Data Breaches"),
)


@lru_cache(maxsize=1000)
def is_masked(name: str) -> bool:
    """Whether roles decide how much of this field is visible; x_ and a number is a restricted custom field."""
    return name in MASKED or (name.startswith("x_") and name[2:].isdigit())


def mask_of(column: str) -> str | None:
    """The name of the mask that applies to a column of this name, or None."""
    return column if column in MASKED else _MASKED_AS.get(column)


#: Modules of records that no module of the product covers, by add_module; shared by the process.
_ADDED: dict[str, bool] = {}


def add_module(name: str, has_owner: bool = False) -> None:
    """Add a module for a record of its own to the matrix. Raises ValueError for a name that can't be stored.

    `has_owner`: whether the levels own and team apply to its record.
    """
    if not 0 < len(name) <= 32:
        raise ValueError(f"the module {name!r} must have between 1 and 32 characters")
    if name not in MODULES:
        _ADDED[name] = has_owner
        owned = ("assign",) if has_owner else ()
        VERBS_OF.setdefault(name, ("read", "create", "write", "delete", *owned, "bulk", "export"))


def is_offered(module: str, verb: str) -> bool:
    """Whether this is a cell of the matrix."""
    return verb in VERBS_OF.get(module, ())


def all_modules() -> tuple[str, ...]:
    """The modules of the product, then those that were added."""
    return (*MODULES, *_ADDED)


def has_owner(module: str) -> bool:
    """Whether the module's records belong to people, so that the levels own and team apply besides none and all."""
    return _ADDED.get(module, module not in WITHOUT_OWNER)


class ModulePermission(Model):  # type: ignore[misc]
    """One cell of the matrix; a missing row means "none"."""

    __tablename__ = "module_permission"
    __table_args__ = (UniqueConstraint("role_id", "module", "verb"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    role_id: Mapped[int] = mapped_column(ForeignKey("ab_role.id", ondelete="CASCADE"), nullable=False)
    module: Mapped[str] = mapped_column(String(32), nullable=False)
    verb: Mapped[str] = mapped_column(String(16), nullable=False)
    level: Mapped[str] = mapped_column(String(8), nullable=False)


class FieldMask(Model):  # type: ignore[misc]
    """How a role sees a field; a missing row means hidden."""

    __tablename__ = "field_mask"
    __table_args__ = (UniqueConstraint("role_id", "field"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    role_id: Mapped[int] = mapped_column(ForeignKey("ab_role.id", ondelete="CASCADE"), nullable=False)
    field: Mapped[str] = mapped_column(String(32), nullable=False)
    level: Mapped[str] = mapped_column(String(8), nullable=False)


class AccessVersion(Model):  # type: ignore[misc]
    """The version of access: one row, incremented by each change of users, roles, permissions and picklists."""

    __tablename__ = "access_version"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    n: Mapped[int] = mapped_column(Integer, nullable=False, default=1)
    #: Counts changes of saved views and list choices, which need nothing else to be read again.
    lists: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


_OWN = {"read": "own", "create": "own", "write": "own"}
_ALL = {"read": "all"}


def _cells(level: str, *verbs: str) -> dict[str, str]:
    return dict.fromkeys(verbs, level)


def _manages(*modules: str) -> dict[str, dict[str, str]]:
    return {module: _cells("team", *VERBS_OF[module]) for module in modules}


#: role -> module -> verb -> level of a new installation.
DEFAULTS: dict[str, dict[str, dict[str, str]]] = {
    "Sales Manager": {
        **_manages("Leads", "Customers", "Tasks", "Call Logs", "Messages", "Notes", "Requests"),
        "Dashboard": _cells("team", "read"),
        "Reports": _cells("all", "read", "create"),
        "Support Pages": _cells("all", "read"),
    },
    "Support Manager": {
        **_manages("Tickets", "Complaints", "Customers", "Tasks", "Call Logs", "Messages", "Notes", "Requests"),
        "Dashboard": _cells("team", "read"),
        "Reports": _cells("all", "read", "create"),
        "Support Pages": _cells("all", "read", "create", "write", "delete"),
    },
    "Sales User": {
        "Leads": _OWN | {"bulk": "own"},
        "Tasks": _OWN | {"delete": "own", "bulk": "own"},
        "Call Logs": _OWN | {"recordings": "own"},
        "Customers": {"read": "own", "write": "own"},
        "Messages": _OWN,
        "Notes": _OWN | {"delete": "own"},
        "Requests": {"read": "own", "create": "own"},
        "Dashboard": _cells("own", "read"),
        "Reports": _ALL,
        "Support Pages": _ALL,
    },
    "Support User": {
        "Tickets": _OWN | {"bulk": "own"},
        "Complaints": _OWN,
        "Tasks": _OWN | {"delete": "own", "bulk": "own"},
        "Call Logs": _OWN | {"recordings": "own"},
        "Customers": {"read": "own", "create": "own", "write": "own"},
        "Messages": _OWN,
        "Notes": _OWN | {"delete": "own"},
        "Requests": {"read": "own", "create": "own"},
        "Dashboard": _cells("own", "read"),
        "Reports": _ALL,
        "Support Pages": _ALL,
    },
    "Compliance": {module: dict(_ALL) for module in MODULES if module not in ("Settings", "Sign-ins")}
    | {
        "Call Logs": _ALL | {"recordings": "all"},
        "Complaints": _cells("all", *VERBS_OF["Complaints"]),
        "Legal Holds": _cells("all", "read", "create", "write"),
    }
    | {module: _cells("all", *_REGISTER) for module in ("Data Requests", "Data Breaches")},
}
_OPEN = dict.fromkeys(MASKED, "full") | {"pan": "last4", "aadhaar": "last4"}
DEFAULT_MASKS: dict[str, dict[str, str]] = {
    "Sales Manager": _OPEN,
    "Support Manager": _OPEN,
    "Sales User": _OPEN | {"aadhaar": "hidden"},
    "Support User": _OPEN | {"aadhaar": "hidden"},
    "Compliance": dict.fromkeys(MASKED, "last4") | {"address": "hidden"},
}
