"""Warnings about a saved record: what was kept or proposed instead of being written, as sentences for the person."""

from __future__ import annotations

from flask import g, request
from flask_babel import gettext as _


def add(sentence: str) -> None:
    """Remember a remark on what this request saves; the same one only once."""
    if sentence not in g.setdefault("save_remarks", []):
        g.save_remarks.append(sentence)


def pop_all() -> list[str]:
    """The warnings of this request, which are then forgotten."""
    return list(g.pop("save_remarks", []))


def warn_of_proposal() -> None:
    """Remark that contact fields became a proposal."""
    add(_("You can't change this customer. The new contact details are a proposal in the timeline."))


def warn_of_ignored_fields(names: list[str]) -> None:
    """Warn that fields were sent which can't be written this way."""
    if names:
        add(_("These fields were not saved: %(names)s.", names=", ".join(names)))


def warn_of_unlinked_number(row: object, values: dict[str, object]) -> None:
    """Remark over REST that a number opens no customer; the same whether the number is known or not.

    Not on pages and in the predecessor's API, which would show it with nearly every new lead.
    """
    if values.get("mobile") and getattr(row, "customer_id", None) is None and request.path.startswith("/api/v1/"):
        add(
            _(
                "If this number belongs to a customer you can't see, their owner or a manager decides about the link. "
                "You can also ask for a record with an assignment request."
            )
        )
