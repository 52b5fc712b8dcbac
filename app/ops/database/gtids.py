"""GTIDs of MariaDB: positions in the stream of changes, and those committed by the current context.

A position is {domain: number of the last change}; the server that wrote it is irrelevant for waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

Position = dict[int, int]
#: The commits of this context, as @@last_gtid returns them; "?" for unknown ones. None = not recorded.
COMMITTED: ContextVar[list[str] | None] = ContextVar("committed", default=None)
UNKNOWN = "?"


def parsed(text: str | None) -> Position:
    """The position in "0-1-42" or "0-1-42,1-2-7" (domain-server-number). Raises ValueError for anything else."""
    position: Position = {}
    for each in (text or "").split(","):
        if each.strip():
            domain, _server, number = map(int, each.strip().split("-"))
            position[domain] = max(number, position.get(domain, 0))
    return position


def covers(position: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    """Whether the position includes everything in `wanted`."""
    return all(position.get(domain, 0) >= number for domain, number in wanted.items())


def union(one: Mapping[int, int], other: Mapping[int, int]) -> Position:
    """The position that includes both."""
    return {domain: max(one.get(domain, 0), other.get(domain, 0)) for domain in {*one, *other}}


def as_text(position: Mapping[int, int]) -> str:
    """The position for MASTER_GTID_WAIT, which compares only domain and number."""
    return ",".join(f"{domain}-1-{number}" for domain, number in sorted(position.items()))


def latest(texts: list[str]) -> Position | None:
    """The position after these commits; None if one of them is unknown."""
    if UNKNOWN in texts:
        return None
    position: Position = {}
    for text in texts:
        for domain, number in parsed(text).items():
            position[domain] = max(number, position.get(domain, 0))
    return position
