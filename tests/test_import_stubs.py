"""Stubs for modules that the CRM doesn't use are gone after a start; the real ones can be imported then."""

from __future__ import annotations

import importlib
import sys

import pytest
from flask_appbuilder import api
from flask_appbuilder.models.sqla import filters, interface

from app import extensions, import_stubs

LEAST_VALID = {"type": "integer", "minimum": 3}


def test_no_stand_in_is_left_for_others() -> None:
    assert extensions.SQLA is not None
    kinds = (import_stubs.Empty, import_stubs.Deferred)
    assert [name for name, module in sys.modules.items() if isinstance(module, kinds)] == []


@pytest.mark.parametrize("name", ["sqlalchemy.dialects.postgresql", "redis.asyncio", "redis.cluster", "werkzeug.debug"])
def test_the_real_module_can_be_imported_afterwards(name: str) -> None:
    package, _, last = name.rpartition(".")
    module = importlib.import_module(name)
    assert module.__file__ and getattr(sys.modules[package], last) is module
    assert not isinstance(module, import_stubs.Empty)


def test_a_deferred_module_works_when_it_is_used() -> None:
    api.jsonschema.validate(instance=4, schema=LEAST_VALID)
    with pytest.raises(api.jsonschema.ValidationError):
        api.jsonschema.validate(instance=2, schema=LEAST_VALID)
    assert filters.parser.parse("2026-11-28").day == 28


def test_the_type_of_a_package_that_was_not_imported_as_a_whole_is_the_packages_own() -> None:
    from sqlalchemy_utils import UUIDType

    assert UUIDType is interface.UUIDType


def test_add_ons_get_what_packages_offer_of_modules_that_were_not_imported() -> None:
    import limits
    import redis
    import socketio

    assert callable(redis.RedisCluster.get_nodes)
    assert callable(redis.asyncio.Redis.get) and limits.aio.storage.MemoryStorage
    assert callable(socketio.AsyncClient.connect) and callable(socketio.AsyncServer.emit)
    with pytest.raises(AttributeError):
        _ = socketio.Nothing


def test_add_ons_get_what_libraries_took_for_not_installed() -> None:
    """Such as pictures in columns of Flask-AppBuilder, and a client of another server's Socket.IO."""
    from engineio import client
    from flask_appbuilder import filemanager
    from PIL import Image

    assert filemanager.Image.LANCZOS is Image.LANCZOS and callable(filemanager.ImageOps.fit)
    assert callable(client.requests.Session)


def test_what_is_there_already_stays() -> None:
    real = importlib.import_module("dateutil.parser")
    with import_stubs.in_place():
        assert importlib.import_module("dateutil.parser") is real
        made = importlib.import_module("limits.aio.storage")
        assert isinstance(made, import_stubs.Empty) or made.__file__
    assert sys.modules["dateutil.parser"] is real


def test_an_empty_module_has_any_name_but_no_special_one() -> None:
    module = import_stubs.Empty("nothing")
    assert module.Anything is module.Anything and module.Anything.__module__ == "nothing"
    with pytest.raises(AttributeError):
        _ = module.__wrapped__
    with pytest.raises(AttributeError):
        _ = import_stubs.Deferred("json").__wrapped__
