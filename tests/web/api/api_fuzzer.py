"""A fuzzer that asks whether the description of the API is true: schemathesis, with the product's own exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from app import create_app
from tests.app_fixtures import settings_for
from tests.web.invalid_input import Hostile, spare_world

SPEC = "/api/v1/_openapi"
load_all_checks()
#: A wrong key is answered with 429 after a few tries, and each check of it would be one;
#: test_openapi.py looks instead.
LEFT_OUT = [CHECKS.get_one("ignored_auth")]
#: What a body of the right shape may be answered: a rule of the trade may refuse it still.
RULES = ["2xx", "304", "400", "401", "403", "404", "409", "412", "413", "422"]
#: What a body of a wrong shape may be answered.
REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "422"]
#: Tries an operation and way of making bodies; by hand, more: python -m tests.web.api.api_fuzzer 500 ana
TRIES = 2


def prober(operation: Any, headers: dict[str, str], tries: int, mode: GenerationMode) -> Any:
    """A function that tries the operation; the endpoints of signing in only thrice, and without a key."""
    sent, count = ({"Accept-Encoding": "identity"}, 3) if "/security/" in operation.path else (headers, tries)

    @settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def probe(case: Any) -> None:
        case.validate_response(case.call(headers=sent), headers=sent, excluded_checks=LEFT_OUT)

    return probe


def takes_anything(operation: Any) -> bool:
    """Whether the operation has a body, or anything in its address, that could be wrong."""
    return bool(operation.body) or any(operation.path_parameters) or any(operation.query)


def modes(operation: Any, known: Counter[tuple[str, str]]) -> list[GenerationMode]:
    """Right and wrong values for what has a body, and for what is first met of its kind; else in turn one of the two.

    Lists, records and their like are read by the same code for all resources.
    """
    kind = operation.method, "/".join(operation.path.split("/")[4:])
    known[kind] += 1
    every = [*GenerationMode]
    return every if operation.body or known[kind] == 1 else every[known[kind] % len(every) :][:1]


def fuzz(worn: Hostile, who: str, tries: int, left_out: Collection[str] = ()) -> list[str]:
    """The lies and bugs that schemathesis finds with so many tries an operation and mode.

    Nothing is tried of the resources that are left out.
    """
    known: Counter[tuple[str, str]] = Counter()
    headers = worn.crm.client(who).headers | {"Accept-Encoding": "identity"}
    schema = schemathesis.openapi.from_wsgi(SPEC, worn.crm.app, headers=headers)
    # To collect the constants of all modules takes a second, and few tries draw one of them
    schema.config.analysis.constants.enabled = tries > TRIES
    schema.config.checks.positive_data_acceptance.expected_statuses = RULES
    schema.config.checks.negative_data_rejection.expected_statuses = REFUSED
    found = []
    results: Any = schema.get_all_operations()
    for operation in (result.ok() for result in results):
        if operation.path.split("/")[3] in left_out:
            continue
        for mode in modes(operation, known):
            if operation.path.endswith("/bulk") and mode is GenerationMode.NEGATIVE:
                continue  # answers 200, and for each record whether it could be read
            if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
                continue  # finding that out takes 450 tries
            try:
                prober(operation, headers, tries, mode)()
            except FailureGroup as wrong:
                found.append(f"{operation.label} ({mode.value}): {wrong}")
            except Unsatisfiable:
                continue  # it takes nothing that could be wrong
    return found


if __name__ == "__main__":
    import sys
    import tempfile

    from tests.app_fixtures import settle

    with tempfile.TemporaryDirectory() as home:
        settle(create_app(settings_for(Path(home) / "settled"), TESTING=True))
        with spare_world(Path(home) / "settled", Path(home)) as crm:
            for lie in fuzz(Hostile(crm), sys.argv[2], int(sys.argv[1])):
                sys.stdout.write(lie + "\n\n")
