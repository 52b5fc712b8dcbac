"""Access rules: who may do what to which rows and sees which fields. The session applies them to every statement."""

from app.access.compiled_statements import CachedStatement, answer, answer_as_system, change, key_of, shape_of
from app.access.customer_rights import PersonsCustomers
from app.access.fast_paging import (
    MAX_BRANCHES,
    count_by_person,
    count_by_way,
    is_counted_by_way,
    is_scanned,
    page_by_person,
    page_of_union,
)
from app.access.index_branches import PageQuery
from app.access.index_lookups import IndexLookup, look_up, looked_up, outer_nodes, parts_of
from app.access.kept_rights import are_fewer, kept_rights
from app.access.people import (
    bump_version,
    clear_cache,
    lists_version_query,
    load_person,
    person,
    version_query,
)
from app.access.person import ADMIN, Denied, Person
from app.access.record_pairs import reached_pairs
from app.access.replica_reads import reading_from
from app.access.row_rules import MODULE_OF, RULES, add_model, guarded_tables, reads_all, visible
from app.access.session_filter import reaches_id, reaches_row, sees_row
from app.access.system_session import SYSTEM, act_as, acting, acting_as, as_system, known_version
from app.access.title_words import TitlePart
from app.access.visibility import surely_sees, users_who_see, visible_id
from app.access.visible_rows import get_visible, sees_id

__all__ = [
    "ADMIN",
    "MAX_BRANCHES",
    "MODULE_OF",
    "RULES",
    "SYSTEM",
    "CachedStatement",
    "Denied",
    "IndexLookup",
    "PageQuery",
    "Person",
    "PersonsCustomers",
    "TitlePart",
    "act_as",
    "acting",
    "acting_as",
    "add_model",
    "answer",
    "answer_as_system",
    "are_fewer",
    "as_system",
    "bump_version",
    "change",
    "clear_cache",
    "count_by_person",
    "count_by_way",
    "get_visible",
    "guarded_tables",
    "is_counted_by_way",
    "is_scanned",
    "kept_rights",
    "key_of",
    "known_version",
    "lists_version_query",
    "load_person",
    "look_up",
    "looked_up",
    "outer_nodes",
    "page_by_person",
    "page_of_union",
    "parts_of",
    "person",
    "reached_pairs",
    "reaches_id",
    "reaches_row",
    "reading_from",
    "reads_all",
    "sees_id",
    "sees_row",
    "shape_of",
    "surely_sees",
    "users_who_see",
    "version_query",
    "visible",
    "visible_id",
]
