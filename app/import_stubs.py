"""Stubs for what libraries import and the CRM never uses: it would take a seventh of its memory.

They exist only while the libraries are imported. Afterwards everybody gets the real modules.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Treated as not installed: Socket.IO imports what only its client needs, FAB what its upload of pictures needs.
ABSENT = ("aiohttp", "requests", "websocket", "PIL")
#: Other databases, asyncio, keys of tokens in certificates, redis-py's client of a Cluster (the CRM finds masters
#: itself, app/ops/redis/redis_topology.py): modules in which each name is an empty class.
EMPTY = (
    *("sqlalchemy.dialects.mssql", "sqlalchemy.dialects.postgresql"),
    *("sqlalchemy.dialects.mysql.aiomysql", "sqlalchemy.dialects.mysql.asyncmy"),
    *("sqlalchemy.dialects.sqlite.aiosqlite", "sqlalchemy.dialects.sqlite.pysqlcipher"),
    *("redis.asyncio", "limits.aio", "cryptography.x509", "werkzeug.debug"),
    *(f"socketio.async_{name}" for name in ("client", "simple_client", "server", "manager", "namespace")),
    *("socketio.async_redis_manager", "socketio.async_aiopika_manager", "engineio.async_client"),
    *("engineio.async_server", "redis.cluster", "redis.commands.cluster", "redis.keyspace_notifications"),
    *("limits.storage.mongodb", "limits.storage.memcached", "limits.storage.redis_cluster"),
    *("socketio.kafka_manager", "socketio.kombu_manager", "socketio.zmq_manager", "socketio.tornado", "socketio.asgi"),
    *("engineio.async_drivers.asgi",),
)
#: Imported when they are first used: FAB checks requests and describes its API with them, which the CRM does itself.
DEFERRED = ("jsonschema", "yaml", "dateutil.parser", "pdb")
#: Packages whose __init__ is not run: only a module deep inside is needed, not what they import themselves.
WITHOUT_INIT = ("sqlalchemy_utils", "sqlalchemy_utils.types")
#: Where libraries hold None for what was absent, although it may be installed, and an add-on may use it through them.
HELD = {
    **{("flask_appbuilder.filemanager", name): f"PIL.{name}" for name in ("Image", "ImageOps")},
    **{("engineio.client", name): name for name in ("requests", "websocket")},
}


class Empty(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _EmptyClass(name, (), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _EmptyClass(type):
    """The type of what is in an empty module."""


class Deferred(ModuleType):
    """A module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


class _WithoutInit(ModuleType):
    """A package whose __init__ is not run."""


class _Finder:
    """Gives a stub for each of these modules and what is in it; a finder and loader of the import system."""

    def __init__(self) -> None:
        self.kinds: dict[str, type[ModuleType]] = dict.fromkeys(EMPTY, Empty) | dict.fromkeys(DEFERRED, Deferred)
        self.kinds |= dict.fromkeys(WITHOUT_INIT, _WithoutInit)
        self.made: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """The spec of a stub; None for all other modules."""
        kind = self._kind(name)
        if kind is None:
            return None
        spec = ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        if kind is _WithoutInit and (real := importlib.machinery.PathFinder.find_spec(name, path)) is not None:
            spec.submodule_search_locations = real.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stub."""
        self.made.append(spec.name)
        kind = self._kind(spec.name) or Empty
        return kind(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it is ready."""

    def _kind(self, name: str) -> type[ModuleType] | None:
        """The kind of stub for a module; what is in an empty package is empty, too."""
        within = next((each for each in EMPTY if name.startswith(f"{each}.")), name)
        return self.kinds.get(within)


@contextlib.contextmanager
def in_place() -> Iterator[None]:
    """While libraries are imported: the stubs are what they get, unless the real modules are there already."""
    absent = [name for name in ABSENT if name not in sys.modules]
    finder = _Finder()
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None = "not installed"
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in (*absent, *finder.made):
            _forget(name)
        _give_later(finder.made)


def _give_later(made: Sequence[str]) -> None:
    """Give add-ons what packages offer of these modules, and what was absent, when they use it."""
    for name in {package for each in made for package in _packages(each)} & sys.modules.keys():
        package = sys.modules[name]
        homes = {key: value.__module__ for key, value in vars(package).items() if type(value) is _EmptyClass}
        if homes:
            package.__getattr__ = partial(_imported, homes)  # type: ignore[method-assign]
        for key in homes:
            delattr(package, key)
    for (holder, name), real in HELD.items():
        module = sys.modules.get(holder)
        if getattr(module, name, real) is None and importlib.util.find_spec(real.partition(".")[0]) is not None:
            setattr(module, name, Deferred(real))


def _packages(name: str) -> list[str]:
    """The packages that a module is in, outermost first."""
    return list(itertools.accumulate(name.split(".")[:-1], "{}.{}".format))


def _imported(homes: Mapping[str, str], name: str) -> Any:
    """What a package offers under a name, from the module that has it."""
    if name not in homes:
        raise AttributeError(f"There is no {name!r} in it.")
    return getattr(importlib.import_module(homes[name]), name)


def _forget(name: str) -> None:
    """Have the real module be imported from now on, also by those who only look for it in its package."""
    module = sys.modules.pop(name, None)
    package, _, last = name.rpartition(".")
    if module is not None and getattr(sys.modules.get(package), "__dict__", {}).get(last) is module:
        setattr(sys.modules[package], last, Deferred(name))
