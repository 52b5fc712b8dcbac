"""Access rules: who may do what to which rows and sees which fields. The session applies them to every statement."""

from app.access.compiled_statements import (
    CachedStatement,
    StatementShape,
    answer,
    answer_as_system,
    answer_without_rules,
    change,
    key_of,
    padded,
    shape_of,
)
from app.access.customer_rights import PersonsCustomers
from app.access.paging.counting_limits import asks_for_own, holds_many
from app.access.paging.day_pages import first_of_days
from app.access.paging.entry_pages import is_entry, newest_entries
from app.access.paging.exact_counts import exact_count
from app.access.paging.fast_paging import (
    DEEP_OFFSET,
    MAX_BRANCHES,
    NOT_COUNTED,
    count_by_path,
    count_by_person,
    counts_by_holders,
    finds_by_holders,
    is_counted_by_path,
    is_found_apart,
    is_scanned,
    page_by_person,
    page_of_union,
)
from app.access.paging.grouped_paging import holds_many_tickets, is_shared, pages_of_groups
from app.access.paging.holder_pages import first as first_by_holders
from app.access.paging.index_branches import PageQuery, index_of, one_holder
from app.access.paging.value_pages import first_of_holder
from app.access.person import ADMIN, Denied, Person
from app.access.read_only_sessions import set_read_only
from app.access.record_rules import reaches_all_complaints
from app.access.replica_reads import reading_from
from app.access.rights_cache import bump_version, clear_cache, lists_version_query, load_person, person, version_query
from app.access.rights_snapshots import rights_snapshot, sees_less_now
from app.access.row_rules import MODULE_OF, RULES, add_model, guarded_tables, reads_all, sees_own, visible
from app.access.search.index_lookups import look_up, look_up_planned, looked_up, outer_nodes, parts_of
from app.access.search.linked_rows import LinkedRows
from app.access.search.note_lookups import look_up_notes, notes_among_many
from app.access.search.search_conditions import IndexLookup, KeptRule
from app.access.search.search_plans import SearchPlan, plan_of
from app.access.search.word_search import TitlePart
from app.access.session_filter import reaches_id, reaches_row, sees_row
from app.access.system_session import (
    SYSTEM,
    act_as,
    acting,
    acting_as,
    as_system,
    known_version,
    system_transaction,
)
from app.access.viewing_rules import may_view_as
from app.access.visibility import sees_as_holder, users_who_see, visible_id
from app.access.visible_duplicate_pairs import PairFilter, visible_pairs
from app.access.visible_rows import get_visible, seen_number, sees_id

__all__ = [
    "ADMIN",
    "DEEP_OFFSET",
    "MAX_BRANCHES",
    "MODULE_OF",
    "NOT_COUNTED",
    "RULES",
    "SYSTEM",
    "CachedStatement",
    "Denied",
    "IndexLookup",
    "KeptRule",
    "LinkedRows",
    "PageQuery",
    "PairFilter",
    "Person",
    "PersonsCustomers",
    "SearchPlan",
    "StatementShape",
    "TitlePart",
    "act_as",
    "acting",
    "acting_as",
    "add_model",
    "answer",
    "answer_as_system",
    "answer_without_rules",
    "as_system",
    "asks_for_own",
    "bump_version",
    "change",
    "clear_cache",
    "count_by_path",
    "count_by_person",
    "counts_by_holders",
    "exact_count",
    "finds_by_holders",
    "first_by_holders",
    "first_of_days",
    "first_of_holder",
    "get_visible",
    "guarded_tables",
    "holds_many",
    "holds_many_tickets",
    "index_of",
    "is_counted_by_path",
    "is_entry",
    "is_found_apart",
    "is_scanned",
    "is_shared",
    "key_of",
    "known_version",
    "lists_version_query",
    "load_person",
    "look_up",
    "look_up_notes",
    "look_up_planned",
    "looked_up",
    "may_view_as",
    "newest_entries",
    "notes_among_many",
    "one_holder",
    "outer_nodes",
    "padded",
    "page_by_person",
    "page_of_union",
    "pages_of_groups",
    "parts_of",
    "person",
    "plan_of",
    "reaches_all_complaints",
    "reaches_id",
    "reaches_row",
    "reading_from",
    "reads_all",
    "rights_snapshot",
    "seen_number",
    "sees_as_holder",
    "sees_id",
    "sees_less_now",
    "sees_own",
    "sees_row",
    "set_read_only",
    "shape_of",
    "system_transaction",
    "users_who_see",
    "version_query",
    "visible",
    "visible_id",
    "visible_pairs",
]
