"""Warnings about a saved record, for the person: values that were kept or proposed instead of written."""

from __future__ import annotations

from typing import Any

from flask import g, request
from flask_babel import gettext as _


def add(sentence: str) -> None:
    """Add a warning about what this request saves; duplicates are ignored."""
    if sentence not in g.setdefault("save_remarks", []):
        g.save_remarks.append(sentence)


def pop_all() -> list[str]:
    """Return the warnings of this request, and clear them."""
    return list(g.pop("save_remarks", []))


def warn_of_proposal() -> None:
    """Warn that contact fields became a proposal."""
    add(_("You can't change this customer. The new contact details are a proposal in the timeline."))


def warn_of_kept_customer(row: Any) -> None:
    """Warn if the record was linked to a known customer whose data differ from what was entered."""
    if row.was_proposed:
        add(
            _(
                "It was linked to the customer who is known already. What you entered differently is a proposal in the "
                "timeline; the customer stays as they are."
            )
        )


def warn_of_ignored_fields(names: list[str]) -> None:
    """Warn that fields were sent which can't be written this way."""
    if names:
        add(_("These fields were not saved: %(names)s.", names=", ".join(names)))


def warn_of_unlinked_number(row: object, values: dict[str, object]) -> None:
    """Warn over REST that a number was not linked to a customer; the same whether the number is known or not.

    Not on pages and in the predecessor's API, which would show it with nearly every new lead.
    """
    if values.get("mobile") and getattr(row, "customer_id", None) is None and request.path.startswith("/api/v1/"):
        add(
            _(
                "If this number belongs to a customer you can't see, their owner or a manager decides about the link. "
                "You can also ask for a record with an assignment request."
            )
        )
