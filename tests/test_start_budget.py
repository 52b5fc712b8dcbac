"""Limits on the CPU time of a start, which hardly depends on other programs on the machine, and on the memory then."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.session_hooks import HOOKS
from tests.servers import ROOT

#: A process that serves and has nothing to do, without what its workers share with it: tests/ops/test_server.py, and
#: for a whole installation tests/browser/test_stack.py. 151 to 153 MB since reports, files and roll-ups are there, 155
#: since custom fields and the move from the predecessor are, 142 since libraries don't load what nobody uses,
#: 4 less without their docstrings.
MAX_RESIDENT_MB = 145
#: Libraries for what few requests or none need.
LOADED_ON_DEMAND = {"aiohttp", "boto3", "requests", "urllib3", "websocket", "twilio.rest", "apscheduler"}
LOADED_ON_DEMAND |= {"PIL", "fpdf", "fontTools", "openpyxl", "markdown_it", "jsonschema", "yaml", "dateutil.parser"}
LOADED_ON_DEMAND |= {"sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.oracle", "redis.asyncio"}
LOADED_ON_DEMAND |= {"sqlalchemy_utils", "limits.aio", "twilio.twiml", "xml.etree", "xml.sax", "redis.cluster"}
LOADED_ON_DEMAND |= {"babel.messages.pofile", "wave"}
MEASURE = """
import json, resource, sys
import {module}
used, modules = resource.getrusage(resource.RUSAGE_SELF), sorted(sys.modules)
hooks = sys.modules["app.session_hooks"].HOOKS if "app" in modules else ()
event = sys.modules["sqlalchemy.event"] if hooks else None
installed = [repr(hook) for hook in hooks if event.contains(hook.target, hook.event, hook.listener)]
print(json.dumps([used.ru_utime + used.ru_stime, modules, len(hooks), installed]))
"""


@dataclass
class Import:
    """What importing a module did."""

    cpu_seconds: float
    #: Names of the modules loaded.
    modules: list[str]
    #: The number of session hooks, and those that are installed.
    hooks: int
    installed: list[str]


@functools.cache
def imported(module: str, number: int) -> Import:
    """Import a module in a process of its own; `number` tells several of them apart."""
    code = MEASURE.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return Import(*json.loads(done.stdout))


def resident_mb(pid: int | str) -> float:
    """Resident memory of a process."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


# Once in three: a disturbance only ever adds.
@pytest.mark.parametrize(("module", "seconds"), [("run", 0.5), ("app", 3.0)])
def test_imports_stay_within_their_budget_of_cpu_time(module: str, seconds: float) -> None:
    """On a quiet machine `run` takes 0.02 s, `app` 1.4 s; a busy one may double the CPU time that is counted."""
    assert any(imported(module, number).cpu_seconds <= seconds for number in range(3)), imported(module, 0).cpu_seconds


def test_run_imports_the_application_only_when_it_starts_it() -> None:
    assert not {"app", "config", "flask", "sqlalchemy"} & {*imported("run", 0).modules}


def test_a_start_loads_no_library_that_only_few_requests_need() -> None:
    assert LOADED_ON_DEMAND & {*imported("app", 0).modules} == set()


def test_importing_the_app_installs_no_session_hook() -> None:
    made = imported("app", 0)
    assert made.hooks == len(HOOKS) > 5 and made.installed == []
