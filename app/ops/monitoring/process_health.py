"""The health of this process and the installation: notes for /healthz, and checks for the self-test."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("crm.health")

#: Topic -> what is wrong, in English.
_notes: dict[str, str] = {}


def report(topic: str, text: str) -> None:
    """Note what is wrong; replaces an earlier note on this topic."""
    _notes[topic] = text


def take_note(topic: str) -> str | None:
    """Remove the note on a topic. Returns its text."""
    return _notes.pop(topic, None)


def find_note(topic: str) -> str | None:
    """What is wrong with this topic; None if nothing is."""
    return _notes.get(topic)


def text() -> str:
    """The body of /healthz: “ok”, because the process serves, and a line for each note."""
    return "\n".join(["ok", *(f"{topic}: {state}" for topic, state in sorted(_notes.items()))])


# --- checks

#: The states of a check, from good to bad. "off" is for what isn't set up, and need not be.
OK, OFF, DEGRADED, FAILED = STATES = ("ok", "off", "degraded", "failed")


@dataclass(frozen=True)
class CheckResult:
    """The result of a check."""

    #: One of STATES.
    state: str
    #: The situation, as a sentence.
    sentence: str
    #: What to do about it, as a sentence; "" if there is nothing to do.
    advice: str = ""


Check = Callable[[], CheckResult]
#: Name -> check, in display order.
_checks: dict[str, Check] = {}


def add_check(name: str, check: Check) -> None:
    """Add a check to the self-test, run inside an app context; replaces an earlier one with this name.

    It must end within seconds.
    """
    _checks[name] = check


def checks() -> dict[str, Check]:
    """All checks by name."""
    return dict(_checks)


def run(name: str) -> CheckResult:
    """Run one check. If it raises, it has failed; the self-test must go on."""
    try:
        return _checks[name]()
    except Exception as error:
        log.exception("the check of %s broke down", name)
        return CheckResult(FAILED, f"The check broke down ({type(error).__name__}).", "See the log of the server.")
