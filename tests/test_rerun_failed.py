"""scripts/rerun_failed.py: a test that only fails beside others is listed, and all other failures count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

#: `alone` is whether the test is on its second try.
CONFTEST = """
import os, pytest
@pytest.fixture
def alone(): return os.path.exists("alone")
@pytest.fixture
def made(alone): assert alone
"""
UNSTEADY = """
import pytest
def test_a(made): pass
@pytest.mark.parametrize("n", range(7))
def test_b(n, alone): assert alone
def test_c(alone): assert not alone
"""
HALF = """
import pytest
@pytest.mark.parametrize("n", ["a b", "x::[y]"])
def test_a(n, alone): assert alone and n == "a b"
"""
NOT_FORGIVEN = {
    "nine": (
        "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_a(n, alone): assert alone",
        "more than 8",
    ),
    "skipped": ("import pytest\n@pytest.mark.skip\ndef test_b(): pass\ndef test_a(alone): assert alone", "was skipped"),
    "unreadable": ("import nothing_like_it", "test_it.py was not collected"),
    "worker dies in a test": ("import os\ndef test_a(alone): alone or os._exit(1)", "the worker gw0 died"),
    "worker dies between tests": (
        "import os, threading, time\ndef test_a(): threading.Timer(0.05, os._exit, [1]).start()\n"
        "def test_b(): time.sleep(1)\ndef test_c(): pass",
        "the worker gw0 died",
    ),
}


def run(folder: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "rerun_failed.py"), how, "kept", "-q", *arguments]
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environ)


def tried(folder: Path, tests: str, *arguments: str) -> tuple[int, int, str]:
    """The exit status of the first run and of the second try, and what the latter says."""
    for name, text in (("conftest.py", CONFTEST), ("pytest.ini", "[pytest]\n"), ("test_it.py", tests)):
        (folder / name).write_text(text)
    first = run(folder, "first", *arguments)
    (folder / "alone").touch()
    again = run(folder, "again")
    return first.returncode, again.returncode, again.stdout + again.stderr


def test_what_passes_alone_is_listed_and_fails_nothing(tmp_path: Path) -> None:
    first, again, said = tried(tmp_path, UNSTEADY)
    assert (first, again) == (1, 0) and "8 passed" in said
    names = ["test_a", *(f"test_b[{n}]" for n in range(7))]
    assert [line for line in said.splitlines() if line.startswith("Unsteady")] == [
        f"Unsteady: passed only when run alone: test_it.py::{name}" for name in names
    ]


def test_what_fails_twice_fails_the_run(tmp_path: Path) -> None:
    first, again, said = tried(tmp_path, HALF)
    assert (first, again) == (1, 1) and "1 failed, 1 passed" in said
    assert "\nUnsteady: passed only when run alone: test_it.py::test_a[a b]\n" in said
    assert "\nFailed twice: test_it.py::test_a[x::[y]]\n" in said


@pytest.mark.parametrize("case", NOT_FORGIVEN)
def test_nothing_else_gets_a_second_try(tmp_path: Path, case: str) -> None:
    tests, why = NOT_FORGIVEN[case]
    workers = ("-p", "xdist", "-n", "1") if "worker" in case else ()
    first, again, said = tried(tmp_path, tests, *workers)
    assert first == again != 0 and "No second try: " in said and why in said, said


def test_a_run_that_passes_or_has_no_outcome(tmp_path: Path) -> None:
    assert tried(tmp_path, "def test_a(): pass") == (0, 0, "")
    (tmp_path / "kept").unlink()
    done = run(tmp_path, "again")
    assert done.returncode == 1 and "ended before its end" in done.stdout
