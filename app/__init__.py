"""The CRM: `create_app` is the only place where its parts are wired together."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

import config
from app import access, models  # noqa: F401  (all tables must be known before the mappers are used)
from app.extensions import appbuilder, csrf, db, migrate, socketio
from app.ops import database


def create_app(settings: config.Settings | None = None, **overrides: object) -> Flask:
    """A ready application. `overrides` are Flask configuration keys, for tests."""
    settings = settings or config.load()
    app = Flask(__name__)
    app.config.update(config.flask_config(settings))
    app.config.update(overrides)
    db.init_app(app)
    migrate.init_app(app, db, directory=str(config.ROOT / "migrations"))
    access.install(Session)
    with app.app_context():
        database.tune(db.engine)
    return app
