"""What bench.growth measures beside the operations of the benchmark: other pages, a customer with very many entries."""

from __future__ import annotations

from datetime import date

from bench import generate, server
from bench.load import Request
from bench.measured_versions import Target, key_of
from bench.operations import Operation, operations, page, rest_list

#: The customer that gets a hundredth of all timeline entries.
BUSY_CUSTOMER, SHARE_OF_ENTRIES = 1, 100
#: The number of leads that decides which deep pages are asked for.
DEEP_PAGES_OF = 100_000
_BUSY = """INSERT INTO activity (kind, at, actor_id, customer_id, payload)
    SELECT kind, at, actor_id, %s, payload FROM activity WHERE kind = 'note' ORDER BY id DESC LIMIT %s"""
#: The bench user who is made an admin, for the pages that only they see.
ADMIN = "bench_support_manager"
#: How the names of dashboards begin: their figures are kept for a minute, and measured anew.
DASHBOARD = "dashboard: "
_EVERYBODY = (generate.SALES, generate.MANAGER, generate.SUPPORT)


def add_busy_customer(target: Target, sizes: generate.Sizes) -> int:
    """Give one customer very many entries. Returns how many they have now."""
    counted = "SELECT COUNT(*) FROM activity WHERE customer_id = %s"
    with target.database.connect(server.DATABASE, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(_BUSY, (BUSY_CUSTOMER, sizes.activities // SHARE_OF_ENTRIES))
        cursor.execute(counted, (BUSY_CUSTOMER,))
        return int(cursor.fetchall()[0][0])


def all_operations(target: Target) -> list[Operation]:
    """The operations of the benchmark, then the other pages; the writes last, as they change rows.

    A deep page has the same number at each size: it reads what stands before it.
    """
    measured = operations(target, generate.Sizes.of(DEEP_PAGES_OF))
    reads, writes = [[each for each in measured if each.writes is wanted] for wanted in (False, True)]
    return [*reads, *_of_support(), *_others(), *_dashboards(), *writes]


def _of_support() -> list[Operation]:
    names = ("tickets", "tasks", "customers", "calls")
    pages = [page(f"page: {name}", generate.SUPPORT, f"/{name}/") for name in names]
    rest = [rest_list(f"REST list of {name}", generate.SUPPORT, name) for name in ("ticket", "task", "call_log")]
    boards = [
        page(f"page: board of {name}", generate.SUPPORT, f"/{name}/?layout=board") for name in ("tickets", "tasks")
    ]
    return [
        *pages,
        *rest,
        *boards,
        page("page: My day", generate.SUPPORT, "/"),
        Operation("page: a ticket", generate.SUPPORT, _tickets),
    ]


def _tickets(target: Target) -> list[Request]:
    asked = """SELECT t.id FROM ticket t JOIN ab_user u ON u.id = t.assignee_id WHERE u.username = %s
        ORDER BY t.id DESC LIMIT 200"""
    cookie = {"Cookie": target.cookies[generate.SUPPORT]}
    return [Request("GET", f"/tickets/show/{row[0]}", cookie) for row in target.query(asked, generate.SUPPORT)]


def _others() -> list[Operation]:
    who = generate.MANAGER
    return [
        page("page: board of tasks", generate.SALES, "/tasks/?layout=board"),
        page("page: month of tasks", generate.SALES, f"/tasks/?layout=calendar&span=month&from={date.today()}"),
        page(
            "page: month of own tasks",
            generate.SALES,
            f"/tasks/?layout=calendar&span=month&_flt_eq_assignee=@me&from={date.today()}",
        ),
        page("page: month of tasks", who, f"/tasks/?layout=calendar&span=month&from={date.today()}"),
        page("page: leads in groups by status", who, "/leads/?group=status"),
        page("page: board of tasks", who, "/tasks/?layout=board"),
        page("page: a customer with very many entries", who, f"/customers/show/{BUSY_CUSTOMER}"),
        page("more of the entries (htmx)", who, f"/customers/timeline/{BUSY_CUSTOMER}", **{"HX-Request": "true"}),
        Operation("REST timeline of that customer", who, _timeline),
        page("page: leads, searched for a common name", who, "/leads/?q=asha"),
        page("page: tickets, searched for a word of all titles", generate.SUPPORT, "/tickets/?q=statement"),
        page("page: tasks, searched for a word of most titles", who, "/tasks/?q=follow"),
        page("page: health", ADMIN, "/health/"),
        page("page: self-test", ADMIN, "/self-test/"),
        page("page: audit log", ADMIN, "/audit/"),
        page("page: jobs", ADMIN, "/jobs/"),
        page("page: tickets", ADMIN, "/tickets/"),
        page("page: board of tickets", ADMIN, "/tickets/?layout=board"),
        page("page: board of leads", ADMIN, "/leads/?layout=board"),
        page("panel of the bell", who, "/bell/panel", **{"HX-Request": "true"}),
        page("page: reports", who, "/reports/"),
        page("page: duplicates", who, "/duplicates/"),
    ]


def _timeline(_target: Target) -> list[Request]:
    return [
        Request(
            "GET",
            f"/api/v1/activity/?q=(filters:!((col:customer,opr:eq,value:{BUSY_CUSTOMER})))",
            key_of(generate.MANAGER),
        )
    ]


def _dashboards() -> list[Operation]:
    from app.web.dashboards.widgets import PAGES

    return [
        page(f"{DASHBOARD}{each.name}", who, f"/dashboard/{each.name}?period=month")
        for each in PAGES
        for who in _EVERYBODY
    ]
