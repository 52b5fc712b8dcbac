"""THE LAW: who may do what to which rows and sees which fields, spelled once and applied by the session."""

from app.access.newest import MOST_BRANCHES, count_by_person, ids_by_person
from app.access.people import forget, load_person, person, touch, version_query
from app.access.rows import MODULE_OF, RULES, guarded, visible
from app.access.session import act_as, acting, get_visible, install, reaches_row
from app.access.sight import sighted
from app.access.system import SYSTEM, as_system
from app.access.who import ADMIN, Denied, Person

__all__ = [
    "ADMIN", "MODULE_OF", "MOST_BRANCHES", "RULES", "SYSTEM", "Denied", "Person", "act_as", "acting", "as_system",
    "count_by_person", "forget", "get_visible", "guarded", "ids_by_person", "install", "load_person", "person",
    "reaches_row", "sighted", "touch", "version_query", "visible",
]  # fmt: skip
