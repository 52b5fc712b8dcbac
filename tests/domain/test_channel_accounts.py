"""Provider accounts: refused values, encrypted secrets, and webhook URLs."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy.orm import Session

from app.channels.provider import AccountSetting, ProviderKind
from app.domain.base import AlreadyExists, Conflict, NotFound, RuleBroken, Stamp
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.lib.field_encryption import Vault
from tests.cases import each_case
from tests.factories import NOW

STAMP = Stamp(None, NOW)


def _make(values: Any) -> Any:
    if values.get("from") == values.get("to"):
        raise ValueError("Sender and receiver are the same.")
    return values


KIND = ProviderKind(
    "carrier",
    "Carrier",
    ("sms", "voice"),
    (
        AccountSetting(
            "from", "Sender", check=lambda value: None if value.startswith("+") else "A number begins with +."
        ),
        AccountSetting("token", "Token", is_secret=True),
        AccountSetting("region", "Region", is_required=False, default="in"),
        AccountSetting("to", "Receiver", is_required=False),
    ),
    _make,
)
VALUES = {"from": "+911", "token": "s3cret"}


def make(session: Session, vault: Vault, name: str = "Line 1", **more: Any) -> Any:
    values = more.pop("values", VALUES)
    return channel_accounts.create(session, KIND, AccountSettings(name, values, **more), STAMP, vault)


def test_secrets_are_sealed_and_kept_when_left_empty(db: Session, vault: Vault) -> None:
    account = make(db, vault)
    assert account.settings == {"from": "+911", "region": "in"} and "s3cret" not in str(account.secrets_sealed)
    changed = AccountSettings("Line 2", {"from": "+912", "token": ""}, version=account.version)
    channel_accounts.change(db, account, KIND, changed, STAMP, vault)
    assert channel_accounts.values_of(account, vault) == {"from": "+912", "region": "in", "token": "s3cret"}
    with pytest.raises(Conflict):
        channel_accounts.change(db, account, KIND, changed, STAMP, vault)


@pytest.mark.parametrize(("values", "is_refused"), [({"host": "b.in"}, True), ({"host": "a.in"}, False)])
def test_a_stored_secret_goes_to_no_other_server(
    db: Session, vault: Vault, values: dict[str, str], is_refused: bool
) -> None:
    settings = (AccountSetting("host", "Server", is_destination=True), AccountSetting("token", "Token", is_secret=True))
    kind = ProviderKind("post", "Post", ("sms",), settings, cast(Any, dict))
    first = AccountSettings("Line", {"host": "a.in", "token": "s3cret"})
    account = channel_accounts.create(db, kind, first, STAMP, vault)
    if not is_refused:
        channel_accounts.change(db, account, kind, AccountSettings("Line", values), STAMP, vault)
        return
    with pytest.raises(RuleBroken) as refused:
        channel_accounts.change(db, account, kind, AccountSettings("Line", values), STAMP, vault)
    assert list(refused.value.errors) == ["token"] and account.settings["host"] == "a.in"
    typed = AccountSettings("Line", values | {"token": "new"})
    channel_accounts.change(db, account, kind, typed, STAMP, vault)
    assert channel_accounts.values_of(account, vault) == values | {"token": "new"}


@each_case(
    "name, more, field",
    [
        ("", {}, "name"),
        ("x" * 61, {}, "name"),
        ("A", {"values": {"from": "+1"}}, "token"),
        ("A", {"values": VALUES | {"from": "12"}}, "from"),
        ("A", {"values": VALUES | {"frm": "12"}}, "frm"),
        ("A", {"values": VALUES | {"to": "+911"}}, "settings"),
        ("A", {"channels": ("fax",)}, "channels"),
        ("A", {"purpose": "any"}, "purpose"),
        ("A", {"per_second": 0}, "per_second"),
        ("A", {"per_minute": 10**6}, "per_minute"),
        ("A", {"caller_ids": (("12", "service"),)}, "caller_ids"),
        ("A", {"caller_ids": (("9820012345", "other"),)}, "caller_ids"),
        ("A", {"caller_ids": (("+911401234567", "service"),)}, "caller_ids"),
    ],
)
def test_wrong_settings_are_refused_by_field(
    db: Session, vault: Vault, name: str, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(RuleBroken) as refused:
        make(db, vault, name, **more)
    assert list(refused.value.errors) == [field]


def test_a_name_is_taken_once(db: Session, vault: Vault) -> None:
    make(db, vault)
    with pytest.raises(AlreadyExists):
        make(db, vault, " Line 1 ")
    assert channel_accounts.find(db, "Line 1").name == "Line 1"
    with pytest.raises(NotFound):
        channel_accounts.find(db, "Line 9")


def test_a_new_hook_address_ends_the_old_one(db: Session, vault: Vault) -> None:
    account = make(db, vault)
    old = channel_accounts.token_of(account, vault)
    new = channel_accounts.rotate_token(db, account, STAMP, vault)
    db.flush()
    assert channel_accounts.find_by_token(db, old) is None
    assert new == channel_accounts.token_of(account, vault)
    assert channel_accounts.find_by_token(db, new) is account
    assert channel_accounts.find_by_token(db, "\udc80") is None


def test_the_account_made_for_a_purpose_comes_first(db: Session, vault: Vault) -> None:
    any_, mine = make(db, vault, "any"), make(db, vault, "promo", purpose="promotional")
    voice, off = make(db, vault, "voice", channels=("voice",)), make(db, vault, "off", is_active=False)
    assert channel_accounts.active(db, "sms", "promotional") == [mine, any_]
    assert channel_accounts.active(db, "sms", "service") == [any_]
    assert channel_accounts.active(db, "voice", "service") == [any_, voice] and not off.is_active
