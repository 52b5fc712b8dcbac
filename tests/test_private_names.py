"""Private names of packages are used in a few modules only, and behave as the CRM expects."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import flask
import markupsafe
import pytest
from flask import Flask
from markupsafe import Markup

from app.lib import html_escape
from app.web.core import flask_internals

ROOT = Path(__file__).parents[1]
#: Module -> the private names that it imports from packages. SQLAlchemy's: tests/ops/test_sqlalchemy_internals.py.
PRIVATE = {
    "app/csrf.py": {"flask_wtf.csrf._FlaskFormCSRF"},
    "app/domain/files/xlsx_shared_strings.py": {"openpyxl.worksheet._read_only.ReadOnlyWorksheet"},
    "app/lib/html_escape.py": {"markupsafe._escape_inner"},
    "app/web/core/flask_internals.py": {"flask.globals._cv_app", "flask.globals._cv_request"},
    "app/web/pages/submitted_data.py": {"flask_wtf.form._Auto", "flask_wtf.form._is_submitted"},
}


def _private_imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 and node.module != "__future__":
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    names = {name for name in found if not name.startswith("app.")}
    return {name for name in names if any(re.match(r"_(?!_)", part) for part in name.split("."))}


def test_private_names_of_packages_are_imported_by_these_modules_only() -> None:
    files = list((ROOT / "app").rglob("*.py"))
    found = {str(path.relative_to(ROOT)): _private_imports(path.read_text(encoding="utf-8")) for path in files}
    assert {name: names for name, names in found.items() if names} == PRIVATE


class Icon:
    """An object with HTML of its own."""

    def __html__(self) -> str:
        return "<svg></svg>"


@pytest.mark.parametrize(
    "value", ["", "plain", "<b>'\"&</b>", 12, 1.5, None, Markup("<i>x</i>"), Icon(), "મરાઠી <हिन्दी>"]
)
def test_text_is_escaped_as_by_markupsafe_but_into_a_plain_string(value: Any) -> None:
    escaped = html_escape.escape(value)
    assert escaped == str(markupsafe.escape(value))
    assert isinstance(escaped, str) and (type(escaped) is str or isinstance(value, Markup))


def test_the_contexts_of_flask_are_those_of_the_thread(app: Flask) -> None:
    assert flask_internals.app_context() is None and flask_internals.request_context() is None
    with app.app_context():
        context = flask_internals.app_context()
        assert context is not None and context.app is app and context.g is flask.g._get_current_object()
        assert flask_internals.request_context() is None
    with app.test_request_context("/leads/"):
        request = flask_internals.request_context()
        assert request is not None and request.request.path == "/leads/"


def test_proxies_pass_on_attributes_as_before() -> None:
    flask_internals.shorten_proxies()
    app = Flask("proxies")
    with app.test_request_context("/here"):
        flask.g.word = "kept"
        assert flask.g.word == "kept" and flask.request.path == "/here" and flask.current_app.name == "proxies"
        assert getattr(flask.g, "missing", None) is None
        with pytest.raises(AttributeError):
            _ = flask.request.missing
    with pytest.raises(RuntimeError, match="outside of application context"):
        flask.g.word = "lost"
    with pytest.raises(RuntimeError, match="outside of request context"):
        _ = flask.request.path
