"""In which order the tests of a run come, and which of them a worker runs one after the other."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

#: These mostly wait, for processes that start, for time-outs, for a browser.
WAITING = (
    *("tests/browser", "tests/resilience", "tests/ops", "tests/web/realtime", "tests/backups"),
    *("tests/deploy/test_upgrade.py", "tests/test_outside_calls.py"),
)
#: More workers than cores, because these of them wait; more than MAX_WORKERS only get in each other's way.
MAX_WAITING, MAX_WORKERS = 2, 6
#: The longest files, which come first, the longest ahead: the end of a run must not be one worker with a long file.
#: A run of all tests prints them at its end.
LONGEST = (
    *("tests/browser", "tests/resilience/test_first_start.py", "tests/resilience/test_kills.py"),
    *("tests/web/test_bad_input.py", "tests/web/compat/test_invalid_input.py", "tests/resilience/test_clock.py"),
    *("tests/deploy/test_upgrade.py", "tests/test_outside_calls.py", "tests/web/test_access_rules.py"),
    *("tests/web/test_list_parameters.py", "tests/test_migration_steps.py", "tests/test_budgets.py"),
    *("tests/test_regular_expressions.py", "tests/web/compat/test_methods.py"),
    *("tests/web/test_search_by_index.py", "tests/access/test_fast_paging.py"),
    *("tests/ops/test_slow_clients.py", "tests/web/realtime/test_sockets.py", "tests/ops/test_queue.py"),
    *(
        "tests/resilience/test_outages.py",
        "tests/resilience/test_unresponsive_servers.py",
        "tests/ops/test_redis_topology.py",
    ),
    *("tests/ops/test_promote.py", "tests/ops/test_many_servers.py", "tests/backups/test_mechanics.py"),
    *("tests/test_migrations.py", "tests/web/settings/test_account_rules.py"),
    *("tests/web/settings/test_admin_urls.py", "tests/domain/test_office_hours.py"),
    *("tests/domain/test_reassignment.py", "tests/domain/test_audit_chain.py", "tests/test_extend_guide.py"),
    *("tests/web/api/test_generated_clients.py", "tests/test_row_budgets.py", "tests/web/api/test_openapi.py"),
    *("tests/domain/test_escalation.py", "tests/outbox/test_campaigns.py", "tests/outbox/test_mail.py"),
    *("tests/web/test_masks.py", "tests/backups/test_runs.py", "tests/web/records/test_customer_links.py"),
    *("tests/web/test_search.py", "tests/web/test_uniqueness.py", "tests/web/test_languages.py"),
    *("tests/web/compat/test_filters.py", "tests/web/security/test_security_on_mariadb.py", "tests/test_api_guide.py"),
)
#: Groups of tests of several files. Two workers can have a browser at the same time.
BROWSER_A_TO_L, BROWSER_M_TO_Z, HALL = GROUPS_THAT_WAIT = ("browser, a to l", "browser, m to z", "hall")
#: Its long fixture has a database of each kind: two workers make them at the same time.
BY_DATABASE = "tests/test_migration_steps.py"


@functools.cache
def place(path: str) -> tuple[int, bool]:
    """When the tests of a file come, as a sort key: the longest files first, then those that wait."""
    longest = (n for n, each in enumerate(LONGEST) if path.startswith(each))
    return next(longest, len(LONGEST)), not path.startswith(WAITING)


@functools.cache
def waits(group: str) -> bool:
    """Whether the tests of a group mostly wait."""
    return group.startswith((*WAITING, *GROUPS_THAT_WAIT))


def group_of(nodeid: str) -> str:
    """What a test is run with, by one worker, which then makes shared fixtures once: mostly the tests of its file.

    The browser tests of half the alphabet share a browser and an office, but for the whole stack, and some proofs a
    server.
    """
    path = nodeid.partition("::")[0]
    if path == BY_DATABASE:
        return f"{path} on MariaDB" if "[mariadb" in nodeid else path
    if path == "tests/test_servers.py":
        return BROWSER_A_TO_L
    if path.startswith("tests/browser/") and not path.endswith("test_stack.py"):
        return BROWSER_A_TO_L if path < "tests/browser/test_m" else BROWSER_M_TO_Z
    if path.endswith(("resilience/test_concurrent_requests.py", "resilience/test_live_updates.py")):
        return HALL
    return path


class WorkOrder:
    """The groups that no worker has begun."""

    def __init__(self, nodeids: Iterable[str]) -> None:
        """`nodeids` are those of all tests, in the order in which they were collected."""
        self._groups: dict[str, list[int]] = {}
        for number, nodeid in enumerate(nodeids):
            self._groups.setdefault(group_of(nodeid), []).append(number)

    def __len__(self) -> int:
        return len(self._groups)

    def take(self, others: Iterable[Iterable[str]]) -> tuple[str, list[int]] | None:
        """The next group, by name, and the numbers of its tests; None if there is none.

        `others` are the groups that each other worker has begun. One that waits if few others do; else one that
        computes, while there are any.
        """
        if not self._groups:
            return None
        is_free = sum(any(map(waits, groups)) for groups in others) < MAX_WAITING
        first = next(iter(self._groups))
        chosen = next((group for group in self._groups if waits(group) == is_free), first)
        return chosen, self._groups.pop(chosen)

    def put_back(self, group: str, numbers: Sequence[int]) -> None:
        """The rest of a group, whose worker has died, comes next."""
        if numbers:
            self._groups = {group: [*numbers], **self._groups}
