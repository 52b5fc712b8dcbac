"""THE LAW: who may do what to which rows and sees which fields, spelled once and applied by the session."""

from app.access.fast_paging import MOST_BRANCHES, count_by_person, ids_by_person
from app.access.people import forget, load_person, person, touch, version_query
from app.access.person import ADMIN, Denied, Person
from app.access.row_rules import MODULE_OF, RULES, guarded, visible
from app.access.session_filter import get_visible, reaches_row
from app.access.system_session import SYSTEM, act_as, acting, acting_as, as_system
from app.access.visibility import sighted

__all__ = [
    "ADMIN",
    "MODULE_OF",
    "MOST_BRANCHES",
    "RULES",
    "SYSTEM",
    "Denied",
    "Person",
    "act_as",
    "acting",
    "acting_as",
    "as_system",
    "count_by_person",
    "forget",
    "get_visible",
    "guarded",
    "ids_by_person",
    "load_person",
    "person",
    "reaches_row",
    "sighted",
    "touch",
    "version_query",
    "visible",
]
