"""Sentences that count something have a form for one."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.pofile import read_po

CATALOG = Path(__file__).resolve().parent.parent / "translations" / "hi" / "LC_MESSAGES" / "messages.po"
#: Names of numbers that are counted; limits ("at most %(most)s rows") are constants of more than one.
COUNTED = re.compile(
    r"%\((count|num|n|rows|done|workers|broken|items|attempts|times|numbers|total)\)s (?!is|was|has|does|this)[a-z]+s\b"
)
#: Where the number is never one, or where another sentence stands for one.
NEVER_ONE = {
    "%(n)s days",  # the least that can be kept is more
    "%(n)s ms",
    "%(done)s rows",  # of a file that is being read
    "%(name)s had %(count)s characters and was cut.",
    "%(numbers)s numbers are known. A check is valid for %(days)s days, as set in the business settings.",
    "All %(count)s records of the list",
    "At least %(count)s characters.",
    "Counts cover the last %(n)s turns of this role.",
    "More than %(num)s pairs",
    "No jobs ran from %(since)s to %(until)s (%(num)s minutes). They are running again.",
    "The clock was set back by %(num)s minutes. Jobs are paused until %(since)s. Please check the clock.",
    "%(count)s records match this row. Please merge them, or correct them one by one.",
    "It failed %(times)s times in a row. The last reason: %(why)s",
    "The last %(n)s deliveries. How long older ones are kept: Settings → Retention.",
    "The last %(n)s emails.",
    "The last %(n)s runs. How long older ones are kept: Settings → Retention.",
    "The password is too short. Please use at least %(count)s characters.",
    "These are the first %(count)s tasks, up to %(day)s. Choose a shorter time or filter by assignee to see all.",
    "With %(count)s processes and no Redis, live updates are late.",
    "“%(title)s” is overdue by %(num)s days.",
    "%(num)s characters didn't fit and were left out: at most %(most)s are possible here.",
}


def test_what_is_counted_has_a_form_for_one() -> None:
    with CATALOG.open("rb") as file:
        texts = [message.id for message in read_po(file, locale="hi") if message.id]
    alone = {text for text in texts if isinstance(text, str) and COUNTED.search(text)}
    limits = {text for text in alone if "more than %(num)s" in text}
    assert alone - NEVER_ONE - limits == set()
