"""The check for known vulnerabilities: failures, exceptions, and no failure without a network."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.servers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import audit  # a program of its own, not part of the product

TODAY = date(2026, 11, 26)
PIP: list[dict[str, Any]] = [
    {"name": "Flask", "version": "3.1.3", "vulns": []},
    {
        "name": "Jinja2",
        "version": "1.0",
        "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "description": "Bad."}],
    },
]
NPM = {
    "htmx.org": {"via": [{"url": "https://github.com/advisories/GHSA-aaaa", "title": "Bad."}], "range": "<2"},
    "other": {"via": ["htmx.org"], "range": "*"},
}
EXCUSE = '[[exception]]\nid = "{0}"\npackage = "{1}"\nreason = "{2}"\nuntil = {3}\n'


@pytest.mark.parametrize(
    ("excuse", "faults"),
    [
        ("", ["known vulnerability: Jinja2 1.0: CVE-2026-1, PYSEC-1. Bad."]),
        (EXCUSE.format("CVE-2026-1", "jinja2", "Not used.", "2026-12-31"), []),
        (EXCUSE.format("PYSEC-1", "Jinja2", "Not used.", "2026-11-25"), ["ended on 2026-11-25"]),
        (EXCUSE.format("CVE-2026-1", "flask", "Another package.", "2026-12-31"), ["known vulnerability"]),
    ],
)
def test_a_known_vulnerability_fails_unless_it_is_excused_in_time(excuse: str, faults: list[str]) -> None:
    said = audit.judge(audit.python_findings(PIP), audit.excuses(excuse), TODAY)
    assert len(said) == len(faults) and all(part in whole for part, whole in zip(faults, said, strict=True))


def test_an_exception_that_nothing_needs_is_named() -> None:
    excused = audit.excuses(EXCUSE.format("CVE-2020-9", "flask", "Not used.", "2026-12-31"))
    (said,) = audit.needless(audit.python_findings(PIP), excused, {"flask", "jinja2"})
    assert "nothing reports CVE-2020-9 of flask" in said


@pytest.mark.parametrize("entry", [EXCUSE.format("X", "y", " ", "2026-12-31"), EXCUSE.format("X", "y", "z", '"soon"')])
def test_an_exception_needs_a_reason_and_a_day(entry: str) -> None:
    with pytest.raises(ValueError, match="needs a reason and a day"):
        audit.excuses(entry)


def test_a_package_that_was_passed_over_counts_as_not_asked() -> None:
    assert audit.asked_about(PIP) == {"flask", "jinja2"}
    with pytest.raises(audit.NotRun, match="of 1 of 3 packages nothing is known: Dependency not found"):
        audit.asked_about([*PIP, {"name": "x", "skip_reason": "Dependency not found on PyPI"}])


def test_npm_names_the_package_that_has_the_fault() -> None:
    (found,) = audit.npm_findings(NPM)
    assert (found.package, found.names) == ("htmx.org", frozenset(["GHSA-aaaa"]))


def test_without_a_network_one_line_says_so_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away() -> None:
        raise audit.NotRun("ConnectionError")

    monkeypatch.setattr(audit, "of_python", away)
    monkeypatch.setattr(audit, "of_npm", away)
    assert audit.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: not run, the service can't be reached (ConnectionError)" for name in ("pip-audit", "npm audit")
    ]


def test_the_exceptions_of_the_product_can_be_read() -> None:
    audit.excuses(audit.EXCEPTIONS.read_text())


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-tools.txt"])
def test_every_pinned_package_has_hashes_and_no_file_names_a_registry(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[\w.-]+==\S+.*?(?=^\S|\Z)", text, re.M | re.S)
    assert pins
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert not re.search(r"https?://|--(extra-)?index-url", text)


@pytest.mark.parametrize("python", ["3.11.2", "3.12.3", "3.13.5", "3.14.0"])
def test_the_pins_are_complete_on_every_python(python: str) -> None:
    """pip refuses a package without a pin: redis wants another one on Debian 12 than on Pythons after it."""
    pins = {_key(each) for each in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.M)}
    ours = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    needed = {
        f"{pin} needs {one.name}"
        for pin in pins
        for one in map(Requirement, _requirements_of(pin))
        if (one.marker is None or one.marker.evaluate({**ours, "extra": ""})) and _key(one.name) not in pins
    }
    assert needed == set()


def _requirements_of(package: str) -> list[str]:
    """What an installed package asks for; nothing of one that is not installed yet."""
    with suppress(PackageNotFoundError):
        return requires(package) or []
    return []


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
