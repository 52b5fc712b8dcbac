"""An application shared by tests is reset to its initial state for each of them."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask

from app.extensions import socketio
from app.models import Lead
from app.ops.queues import queue
from app.outbox import notice_delivery
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker


def bindings() -> dict[tuple[str, str], Any]:
    """(module, name) -> the value, of all names in the product's modules."""
    modules = [(name, vars(module)) for name, module in sys.modules.items() if name.split(".")[0] in ("app", "config")]
    return {(at, name): value for at, names in modules for name, value in names.items() if not name.startswith("__")}


def rebound(before: dict[tuple[str, str], Any]) -> set[tuple[str, str]]:
    """The names whose value has changed."""
    after = bindings()
    return {place for place, value in before.items() if after[place] is not value}


def test_what_creating_an_application_binds_is_bound_again(app_with: AppMaker) -> None:
    first = app_with()
    before = bindings()
    app_with(CRM_API_LIMIT="1234 per hour")
    created, before = rebound(before), bindings()
    assert app_with() is first
    assert created == rebound(before) != set()


def test_nothing_of_an_earlier_test_remains(app_with: AppMaker) -> None:
    app = app_with()
    server, brand = socketio.server, app.config["CRM"].brand
    app.config["COUNT_SQL"] = True
    app.extensions["crm_live"], app.extensions["new"] = None, 1
    object.__setattr__(app.config["CRM"], "brand", "Spoiled")
    queue.enqueue("short", notice_delivery.send, 1)
    app_with(CRM_API_LIMIT="4321 per hour")
    assert app_with() is app
    assert "new" not in app.extensions and app.extensions["crm_live"] is not None
    assert "COUNT_SQL" not in app.config or not app.config["COUNT_SQL"]
    assert (app.config["CRM"].brand, socketio.server) == (brand, server)
    assert {each.waiting for each in queue.depths() or ()} == {0}


def test_the_database_is_put_back_first(crm: Crm) -> None:
    assert crm.count(Lead) == 0
    crm.make.lead("ana")


def test_the_database_is_put_back_again(crm: Crm) -> None:
    assert crm.count(Lead) == 0


def test_on_mariadb_it_is_put_back_first(maria: Crm) -> None:
    assert maria.count(Lead) == 0
    maria.make.lead("ana")
    maria.new_session().execute(Lead.__table__.select().with_for_update())  # it is left open


def test_on_mariadb_it_is_put_back_again(maria: Crm, maria_app: Flask) -> None:
    assert maria.count(Lead) == 0
    assert maria.app is maria_app
