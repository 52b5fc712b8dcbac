"""CONTENTS: what can be imported: records, users, everything of the predecessor."""

from __future__ import annotations

from app.web.transfer import import_records, import_users
from app.web.transfer.import_kind import ImportKind
from app.web.transfer.predecessor.import_kind import PredecessorKind


def kinds() -> dict[str, ImportKind]:
    """Name → kind, in the order of the page."""
    every: tuple[ImportKind, ...] = (*import_records.KINDS, import_users.UserKind(), PredecessorKind())
    return {each.name: each for each in every}
