"""Modules of the permission matrix, including those of add-ons."""

from __future__ import annotations

import pytest

from app.domain.people import permissions

EVERY = ("read", "create", "write", "delete")


@pytest.fixture(autouse=True)
def only_the_products_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds is gone after it."""
    monkeypatch.setattr(permissions, "_ADDED", {})
    monkeypatch.setattr(permissions, "VERBS_OF", dict(permissions.VERBS_OF))


@pytest.mark.parametrize(
    "has_owner, verbs", [(False, (*EVERY, "bulk", "export")), (True, (*EVERY, "assign", "bulk", "export"))]
)
def test_an_added_module_has_verbs_by_whether_its_records_have_owners(has_owner: bool, verbs: tuple[str, ...]) -> None:
    permissions.add_module("Plugins", has_owner)
    assert permissions.all_modules() == (*permissions.MODULES, "Plugins")
    assert (permissions.VERBS_OF["Plugins"], permissions.has_owner("Plugins")) == (verbs, has_owner)


def test_an_added_module_has_no_owner_by_default_and_one_of_the_product_stays_as_it_is() -> None:
    before = permissions.VERBS_OF["Leads"]
    permissions.add_module("Plugins")
    permissions.add_module("Leads")
    permissions.add_module("Plugins", True)
    assert permissions.VERBS_OF["Leads"] == before and permissions.all_modules().count("Leads") == 1
    assert permissions.VERBS_OF["Plugins"] == (*EVERY, "bulk", "export")


@pytest.mark.parametrize("name, is_valid", [("", False), ("x", True), ("x" * 32, True), ("x" * 33, False)])
def test_a_modules_name_fits_its_column(name: str, is_valid: bool) -> None:
    if is_valid:
        permissions.add_module(name)
        return
    with pytest.raises(ValueError, match="between 1 and 32"):
        permissions.add_module(name)


@pytest.mark.parametrize("module, expected", [("Leads", True), ("Settings", False), ("Support Pages", False)])
def test_settings_and_support_pages_have_no_owner(module: str, expected: bool) -> None:
    assert permissions.has_owner(module) is expected
