"""CONTENTS: every method of the predecessor that is still answered. What is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.web.compat import client, telephone, visitor
from app.web.compat.arguments import Arguments


@dataclass(frozen=True)
class Method:
    """A function behind a name."""

    function: Callable[[Arguments], Any]
    #: Changes something: refuses GET, commits at the end.
    writes: bool = False
    #: Also for who is not signed in.
    guest: bool = False


_CLIENT = "frappe.client."
_SYNC = "crm.api.mobile_sync."
METHODS: dict[str, Method] = {
    "login": Method(visitor.login, writes=True, guest=True),
    "logout": Method(visitor.logout, guest=True),
    "ping": Method(visitor.ping, guest=True),
    "frappe.auth.get_logged_user": Method(visitor.logged_user),
    _CLIENT + "get_list": Method(client.get_list),
    _CLIENT + "get_count": Method(client.get_count),
    _CLIENT + "get": Method(client.get),
    _CLIENT + "get_value": Method(client.get_value),
    _CLIENT + "insert": Method(client.insert, writes=True),
    _CLIENT + "insert_many": Method(client.insert_many, writes=True),
    _CLIENT + "save": Method(client.save, writes=True),
    _CLIENT + "set_value": Method(client.set_value, writes=True),
    _CLIENT + "bulk_update": Method(client.bulk_update, writes=True),
    _CLIENT + "delete": Method(client.delete, writes=True),
    _SYNC + "sync_call_logs": Method(telephone.sync_call_logs, writes=True),
    _SYNC + "get_user_call_logs": Method(telephone.user_call_logs),
    _SYNC + "get_sync_stats": Method(telephone.sync_stats),
    _SYNC + "get_user_profile": Method(telephone.user_profile),
    "crm.api.app_update.get_app_version": Method(telephone.app_version, guest=True),
    "crm.api.app_update.get_update_settings": Method(telephone.update_settings, guest=True),
}
