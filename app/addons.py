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

from app.domain.base import never_reuse_ids
from app.extensions import db
from app.models import CORE_TABLES


class BadAddon(Exception):
    """One sentence for the operator: which add-on cannot be used, and why."""


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
    except Exception as error:
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
        except Exception as error:
            raise BadAddon(f"CRM_ADDONS: {path} fails to register its views: {error!r}") from error
        builder.addon_managers[path] = manager


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
    """Create the add-ons' tables that do not exist yet; returns their names."""
    with app.app_context():
        existing = set(inspect(db.engine).get_table_names())
        missing = [table for table in _addon_tables() if table.name not in existing]
        if missing:
            never_reuse_ids()
            Model.metadata.create_all(db.engine, tables=missing)
        return [table.name for table in missing]


def _addon_tables() -> list[Table]:
    return [table for table in Model.metadata.sorted_tables if table.name not in CORE_TABLES]
