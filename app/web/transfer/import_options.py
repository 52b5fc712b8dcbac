"""The choices of a person who imports a file, besides the fields of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ImportOptions:
    """The person's choices besides the mapping."""

    duplicates: str = "skip"
    #: The fields by which a row matches a record.
    keys: tuple[str, ...] = ()
    #: me, column, person (`assignee_id`) or role (`role`).
    assign: str = "me"
    assignee_id: int | None = None
    role: str = ""
    #: Whether assignees are notified, once each; whether webhooks are called; whether first tasks are created.
    notifies: bool = True
    calls_webhooks: bool = False
    makes_tasks: bool = False
    #: One of import_values.DATE_ORDERS.
    dates: str = "dmy"

    def as_json(self) -> dict[str, Any]:
        """The options as JSON, stored in the row of the import."""
        return vars(self) | {"keys": list(self.keys)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ImportOptions:
        """The options as they were stored."""
        return cls(**{**stored, "keys": tuple(stored.get("keys", ()))})
