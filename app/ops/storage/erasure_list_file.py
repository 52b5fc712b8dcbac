"""The list of erasures: a file outside the database, so that a restored backup doesn't bring back who was erased.

One JSON object per line, without personal data: the record's number, table and id, the request's number, when it was
confirmed, and the last day of the accounts. Each server has its own file in its instance folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAME = "erasures.jsonl"
#: What each line has.
KEYS = ("number", "table", "id", "request", "confirmed_on", "accounts_ended_on")
Entry = dict[str, Any]


class ErasureListFile:
    """The file in this folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def entries(self) -> dict[str, Entry]:
        """Number of the record -> its last line; lines that aren't ours are skipped."""
        try:
            lines = self.path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        return by_number(filter(None, map(_parsed, lines)))

    def add(self, entries: Iterable[Entry]) -> int:
        """Add those that the file lacks, or has otherwise. Returns how many. Raises OSError."""
        known = self.entries()
        new = [each for each in entries if known.get(each["number"]) != each]
        if new:
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
                file.write("".join(json.dumps(each, sort_keys=True) + "\n" for each in new))
                file.flush()
                os.fsync(file.fileno())
        return len(new)


def by_number(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Number of the record -> its entry; of several, the one that was confirmed last, or else stands last.

    The last day of the accounts is entered later: an entry of the same confirmation without it takes nothing away.
    """
    found: dict[str, Entry] = {}
    for each in entries:
        if set(KEYS) <= set(each):
            before = found.get(str(each["number"]), each)
            is_later = str(each["confirmed_on"]) >= str(before["confirmed_on"])
            found[str(each["number"])] = _with_day(each, before) if is_later else before
    return found


def _with_day(entry: Entry, before: Entry) -> Entry:
    is_same = entry["request"] == before["request"]
    day = entry["accounts_ended_on"] or (before["accounts_ended_on"] if is_same else None)
    return entry | {"accounts_ended_on": day}


def _parsed(line: str) -> Entry | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return {name: found[name] for name in KEYS} if isinstance(found, dict) and set(KEYS) <= set(found) else None
