"""How this process and the installation are doing: notes for /healthz, and checks that the self-test runs by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("crm.health")

#: Topic -> what is wrong, in English.
_notes: dict[str, str] = {}


def report(topic: str, text: str) -> None:
    """Say what is wrong; replaces an earlier note on this topic."""
    _notes[topic] = text


def take_note(topic: str) -> str | None:
    """Remove the note on a topic. Returns what it said."""
    return _notes.pop(topic, None)


def find_note(topic: str) -> str | None:
    """What is wrong with this topic; None if nothing is."""
    return _notes.get(topic)


def text() -> str:
    """The body of /healthz: “ok”, for the process serves, and a line for each note."""
    return "\n".join(["ok", *(f"{topic}: {said}" for topic, said in sorted(_notes.items()))])


# --- checks

#: The states of a check, from good to bad. "off" is for what is not set up, and need not be.
OK, OFF, DEGRADED, FAILED = STATES = ("ok", "off", "degraded", "failed")


@dataclass(frozen=True)
class CheckResult:
    """What a check has found."""

    #: One of STATES.
    state: str
    #: What is so, as a sentence.
    sentence: str
    #: What to do about it, as a sentence; "" when there is nothing to do.
    advice: str = ""


Check = Callable[[], CheckResult]
#: Name -> check, in the order in which they are shown.
_checks: dict[str, Check] = {}


def add_check(name: str, check: Check) -> None:
    """Have the self-test run this check, inside an app context; replaces an earlier one of this name.

    It must end within seconds.
    """
    _checks[name] = check


def checks() -> dict[str, Check]:
    """All checks by name."""
    return dict(_checks)


def run(name: str) -> CheckResult:
    """Run one check. One that breaks down has failed: a self-test must not."""
    try:
        return _checks[name]()
    except Exception as error:
        log.exception("the check of %s broke down", name)
        return CheckResult(FAILED, f"The check broke down ({type(error).__name__}).", "See the log of the server.")
