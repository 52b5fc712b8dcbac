"""Add-ons: packages beside ours that bring records, screens and resources of their own.

`CRM_ADDONS=package.Manager,…` names FAB add-on managers (subclasses of `flask_appbuilder.basemanager.BaseManager`). The
tables of an add-on come from its own Alembic branch, where its manager names a folder of revisions (`migrations`), and
are created at start where it names none.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flask import Flask, current_app
from flask_appbuilder import Model
from flask_appbuilder.basemanager import BaseManager
from sqlalchemy import Table, inspect
from sqlalchemy.exc import SQLAlchemyError

from app.domain.base import never_reuse_ids
from app.extensions import db
from app.models import CORE_TABLES


class BadAddon(Exception):
    """An add-on can't be used. The message is one sentence for the operator: which add-on, and why."""


def load(paths: Iterable[str]) -> list[type[BaseManager]]:
    """The manager classes of these dotted paths. Raises BadAddon."""
    return [_load(path) for path in paths]


def _load(path: str) -> type[BaseManager]:
    module, _dot, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadAddon(f"CRM_ADDONS names {path}, which cannot be imported: {error}") from error
    except TypeError as error:
        raise BadAddon(f"CRM_ADDONS: {path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise BadAddon(f"CRM_ADDONS names {path}, which fails on import: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, BaseManager)):
        raise BadAddon(f"CRM_ADDONS names {path}, which is no subclass of flask_appbuilder.basemanager.BaseManager")
    return found


def register(builder: Any, paths: Iterable[str]) -> None:
    """Register the views of the add-ons after ours. Raises BadAddon with one sentence for what cannot be shown."""
    for path in paths:
        made = _load(path)
        try:
            manager = made(builder)
            manager.pre_process()
            manager.register_views()
            manager.post_process()
        except (TypeError, ValueError) as error:
            raise BadAddon(f"CRM_ADDONS: {path}: {error}") from error
        except (Exception, SystemExit) as error:
            raise BadAddon(f"CRM_ADDONS: {path} fails to register its views: {error!r}") from error
        builder.addon_managers[path] = manager
    if paths:
        _refuse_shared_tables()
        _refuse_alike(_names(builder))


def _refuse_shared_tables() -> None:
    """Raise BadAddon if two models map one table: FAB's Model lets the second change the columns of the first."""
    owners: dict[str, type] = {}
    for mapper in sorted(Model.registry.mappers, key=lambda each: not each.class_.__module__.startswith("app.")):
        if mapper.inherits is not None:
            continue
        first = owners.setdefault(mapper.local_table.name, mapper.class_)
        if first is not mapper.class_:
            raise BadAddon(
                f"CRM_ADDONS: {_path_of(first)} and {_path_of(mapper.class_)} both map the table "
                f"{mapper.local_table.name}; give one another __tablename__"
            )


def _path_of(model: type) -> str:
    return f"{model.__module__}.{model.__name__}"


def _names(builder: Any) -> set[str]:
    """The names that FAB stores: of modules, views and menu entries."""
    entries = [each for top in builder.menu.get_list() for each in (top, *top.childs)]
    views = [view for view in builder.baseviews if view.base_permissions]
    return {each.name for each in entries} | {str(view.class_permission_name) for view in views}


def _refuse_alike(names: Iterable[str]) -> None:
    """Raise BadAddon for names of modules, views and menu entries that MariaDB considers equal."""
    known: dict[str, str] = {}
    for name in sorted(names):
        first = known.setdefault(name.casefold().strip(), name)
        if first != name:
            raise BadAddon(
                f"CRM_ADDONS: the modules, views or menu entries “{first}” and “{name}” differ only in case; rename one"
            )


def revision_folders(paths: Iterable[str]) -> list[str]:
    """Where the add-ons' own Alembic revisions are. Raises BadAddon for a folder that does not exist."""
    folders = []
    for path, manager in zip(paths, load(paths), strict=True):
        named = getattr(manager, "migrations", None)
        if not named:
            continue
        if not Path(named).is_dir():
            raise BadAddon(f"CRM_ADDONS: {path}.migrations names {named}, which is no folder")
        folders.append(str(named))
    return folders


def add_revisions(migrate: Any) -> None:
    """Let Flask-Migrate find the add-ons' revisions beside ours. Idempotent."""
    if _with_folders not in migrate.configure_callbacks:
        migrate.configure(_with_folders)


def _with_folders(config: Any) -> Any:
    folders = revision_folders(current_app.config["CRM"].addons)
    if folders:
        own = str(Path(config.get_main_option("script_location")) / "versions")
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", "\n".join([own, *folders]))
    return config


def create_tables(app: Flask) -> list[str]:
    """Create the add-ons' tables that do not exist yet; returns their names.

    Raises BadAddon for tables that cannot be created, and for existing ones that lack a column of their model.
    """
    with app.app_context():
        try:
            missing = _missing_tables()
            _create(missing)
        except SQLAlchemyError as error:
            text = str(getattr(error, "orig", None) or error)
            raise BadAddon(f"CRM_ADDONS: the tables of the add-ons can't be created: {text}") from error
        _refuse_old_tables()
        return [table.name for table in missing]


def _missing_tables() -> list[Table]:
    existing = set(inspect(db.engine).get_table_names())
    return [table for table in _addon_tables() if table.name not in existing]


def _create(tables: list[Table]) -> None:
    never_reuse_ids()
    try:
        Model.metadata.create_all(db.engine, tables=tables)
    except SQLAlchemyError:
        if _missing_tables():  # another server may have created them meanwhile
            raise


def _refuse_old_tables() -> None:
    """Raise BadAddon if a model has columns that its table, made by an older version, lacks."""
    database = inspect(db.engine)
    for table in _addon_tables():
        stored = {column["name"].casefold() for column in database.get_columns(table.name)}
        missing = [column.name for column in table.columns if column.name.casefold() not in stored]
        if missing:
            raise BadAddon(
                f"CRM_ADDONS: the table {table.name} has no column {', '.join(missing)}, which its model has: "
                "add it by a migration of the add-on (docs/extend.md), or drop the table to have it made anew"
            )


def _addon_tables() -> list[Table]:
    return [table for table in Model.metadata.sorted_tables if table.name not in CORE_TABLES]
