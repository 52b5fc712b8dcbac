"""Known vulnerabilities of the pinned packages, Python's and npm's: `scripts/audit.py`, part of `make check`.

Exits with 1 if there is one without an exception in `audit-exceptions.toml`. If a service can't be reached, it prints a
line and doesn't fail, because the check must also run offline.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import tools
from pin_hashes import pins_of

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "audit-exceptions.toml"
#: Files whose packages are installed together.
PINS = (("requirements.txt", "requirements-dev.txt"), ("requirements-tools.txt",))
SECONDS = 120


@dataclass(frozen=True)
class Finding:
    """One vulnerability of one package; `names` are all its identifiers."""

    package: str
    version: str
    names: frozenset[str]
    text: str = ""

    def __str__(self) -> str:
        text = " ".join(self.text.split())[:160]
        return f"{self.package} {self.version}: {', '.join(sorted(self.names))}. {text}"


@dataclass(frozen=True)
class Excuse:
    """One entry of audit-exceptions.toml."""

    id: str
    package: str
    reason: str
    until: date


class NotRun(Exception):
    """A service could not be reached; the message is the reason."""


def excuses(text: str) -> list[Excuse]:
    """The exceptions. Raises ValueError for one without a reason or an expiry day."""
    found = []
    for entry in tomllib.loads(text).get("exception", []):
        if not (entry.get("reason") or "").strip() or not isinstance(entry.get("until"), date):
            raise ValueError(f"{EXCEPTIONS.name}: {entry.get('id', 'an entry')} needs a reason and a day (until).")
        found.append(Excuse(entry["id"], entry["package"].lower(), entry["reason"], entry["until"]))
    return found


def judge(findings: list[Finding], excused: list[Excuse], today: date) -> list[str]:
    """The failures as sentences: findings without an exception, and expired exceptions."""
    faults = []
    for each in findings:
        excuse = next((e for e in excused if e.id in each.names and e.package == each.package.lower()), None)
        if excuse is None:
            faults.append(f"known vulnerability: {each}")
        elif excuse.until < today:
            faults.append(f"the exception for {excuse.id} ({each.package}) ended on {excuse.until}. Look at it again.")
    return faults


def needless(findings: list[Finding], excused: list[Excuse], packages: set[str]) -> list[str]:
    """Exceptions for these packages that no finding needs any more, as sentences."""
    known = {(name, each.package.lower()) for each in findings for name in each.names}
    return [
        f"{EXCEPTIONS.name}: nothing reports {each.id} of {each.package} any more. Remove the entry."
        for each in excused
        if each.package in packages and (each.id, each.package) not in known
    ]


# --- the two services


def of_python() -> tuple[list[Finding], set[str]]:
    """The findings of pip-audit, and the packages that it checked. Raises NotRun."""
    try:
        program = tools.program("pip-audit")
    except tools.Missing as missing:
        raise NotRun(str(missing)) from missing
    report: list[dict[str, Any]] = []
    for group in PINS:
        # A merged list, because pip-audit doesn't follow included files and accepts each package once.
        pins = dict.fromkeys(pin for name in group for pin in pins_of((ROOT / name).read_text()))
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(f"{pin}\n" for pin in pins))
            file.flush()
            command = [str(program), "--requirement", file.name, "--disable-pip", "--no-deps"]
            done = _run([*command, "--format", "json", "--progress-spinner", "off"])
        try:
            report += json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError) as error:
            raise NotRun(tools.last_words(done)) from error
    return python_findings(report), asked_about(report)


def asked_about(report: list[dict[str, Any]]) -> set[str]:
    """The packages that pip-audit has checked. Raises NotRun if it has skipped any."""
    skipped = [each for each in report if "skip_reason" in each]
    if skipped:
        raise NotRun(f"of {len(skipped)} of {len(report)} packages nothing is known: {skipped[0]['skip_reason'][:120]}")
    return {each["name"].lower() for each in report}


def python_findings(report: list[dict[str, Any]]) -> list[Finding]:
    """The findings in pip-audit's report."""
    return [
        Finding(each["name"], each.get("version", "?"), frozenset([v["id"], *v["aliases"]]), v.get("description", ""))
        for each in report
        for v in each.get("vulns", ())
    ]


def of_npm() -> tuple[list[Finding], set[str]]:
    """The findings of npm audit, and the packages that it checked. Raises NotRun."""
    done = _run(["npm", "audit", "--json", "--package-lock-only"])
    try:
        report = json.loads(done.stdout)
        found = report["vulnerabilities"]
    except ValueError as error:
        raise NotRun(tools.last_words(done)) from error
    except KeyError as error:
        raise NotRun(str(report.get("message") or tools.last_words(done))[:160]) from error
    lock = json.loads((ROOT / "package-lock.json").read_text())
    return npm_findings(found), {name.rpartition("node_modules/")[2].lower() for name in lock["packages"] if name}


def npm_findings(report: dict[str, Any]) -> list[Finding]:
    """The findings in npm's report, without packages that only depend on a vulnerable one."""
    return [
        Finding(name, each.get("range", "?"), frozenset([str(via["url"]).rpartition("/")[2]]), via.get("title", ""))
        for name, each in report.items()
        for via in each.get("via", ())
        if isinstance(via, dict)
    ]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(f"{command[0]}: {type(error).__name__}") from error


def main() -> int:
    """Returns 1 if anything has to be done."""
    excused, faults = excuses(EXCEPTIONS.read_text()), []
    for name, ask in (("pip-audit", of_python), ("npm audit", of_npm)):
        try:
            findings, packages = ask()
        except NotRun as trouble:
            print(f"{name}: not run, the service can't be reached ({trouble})")
            continue
        own = judge(findings, excused, datetime.now(UTC).date()) + needless(findings, excused, packages)
        print(f"{name}: {len(packages)} packages, {len(findings)} known vulnerabilities, {len(own)} to be looked at")
        faults += own
    for each in faults:
        print(f"  {each}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
