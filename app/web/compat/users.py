"""User names in the predecessor's API: responses contain email addresses; requests may contain these or user names."""

from __future__ import annotations

from typing import Any

from app import access
from app.web.core.viewer import Viewer


def name_of(user_id: int | None, viewer: Viewer) -> str | None:
    """The name of a user in this API: the email address, or the user name of a user without one; None for no user.

    A returned name always identifies the same user: an address that is another user's user name is not used.
    """
    card = viewer.lookups.person(user_id)
    if card is None:
        return None
    address = viewer.lookups.addresses.get(card["id"], "")
    is_own = "@" in address and viewer.lookups.find_person(address) == card["id"]
    return address if is_own else str(card["username"])


def refuse_limited_key(person: access.Person) -> None:
    """Raise Denied for a key that is limited to modules other than that of colleagues; people are not limited so."""
    if person.scope is not None:
        person.refuse_unless("Dashboard", "read")


def name_in_cookies(user: Any) -> str:
    """The name of a user who just signed in, before there is a viewer."""
    return str(user.email) if "@" in (user.email or "") else str(user.username)


def active_users(viewer: Viewer) -> list[dict[str, Any]]:
    """The public fields of active colleagues, sorted by full name; nobody else is known to this API."""
    found = [_public(key, viewer) for key in viewer.lookups.active if key in viewer.lookups.people]
    return sorted(found, key=lambda each: (str(each["full_name"]).casefold(), each["name"]))


def _public(key: int, viewer: Viewer) -> dict[str, Any]:
    card, name = viewer.lookups.people[key], name_of(key, viewer)
    first, _space, last = str(card["full_name"]).partition(" ")
    return {
        "name": name,
        "doctype": "User",
        "docstatus": 0,
        "idx": 0,
        "email": name,
        "username": card["username"],
        "full_name": card["full_name"],
        "first_name": first,
        "last_name": last,
        "user_image": None,
        "user_type": "System User",
        "enabled": 1,
    }
