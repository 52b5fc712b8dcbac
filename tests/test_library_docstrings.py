"""Some libraries are loaded without the docstrings of their functions; all others, such as add-ons, with them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader

from library_docstrings import PLACEHOLDER, left_out, without_docstrings
from tests.servers import ROOT

SOURCE = f'''
def documented():
    """{"What it does. " * 9}"""
    def inner():
        """{"What is in it. " * 9}"""
        return "x"
    return "{"A long text that is no docstring. " * 9}", inner

def short():
    """Returns 1."""
    return 1

def joined(names):
    return ["{"A long text that a comprehension uses. " * 9}" for _ in names]

def plain():
    return "{"A long text of a function without a docstring. " * 9}"

class Documented:
    """{"A class. " * 12}"""
'''
LOADED = """
import json, run
with run._imports():
    import app
import sqlalchemy, flask.cli, flask_appbuilder.api as api, marshmallow
shown = [marshmallow.Schema.load, flask.cli.run_command, api.ModelRestApi.get_list_headless, app.create_app]
found = [sqlalchemy.select, *shown]
print(json.dumps([each.__doc__ for each in found] + [flask.cli.run_command.help]))
"""


def test_only_long_docstrings_of_functions_are_left_out() -> None:
    whole: dict[str, object] = {}
    less: dict[str, object] = {}
    code = compile(SOURCE, "source.py", "exec")
    exec(code, whole)  # noqa: S102  # our own text
    exec(without_docstrings(code), less)  # noqa: S102
    documented, inner = less["documented"], less["documented"]()[1]  # type: ignore[operator]
    assert documented.__doc__ == inner.__doc__ == PLACEHOLDER and inner() == "x"  # type: ignore[attr-defined]
    assert less["documented"]()[0] == whole["documented"]()[0]  # type: ignore[operator]
    assert less["short"].__doc__ == "Returns 1." and less["Documented"].__doc__ == whole["Documented"].__doc__  # type: ignore[attr-defined]
    assert less["joined"]("ab") == whole["joined"]("ab") and less["plain"]() == whole["plain"]()  # type: ignore[operator]


def test_modules_that_are_imported_later_have_theirs() -> None:
    before = SourceFileLoader.get_code
    with left_out():
        assert SourceFileLoader.get_code is not before
    assert SourceFileLoader.get_code is before


def test_our_own_and_those_that_are_shown_stay() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, check=True, capture_output=True, text=True)
    select, *shown = json.loads(done.stdout)
    assert select == PLACEHOLDER
    assert all(each is None or len(each) > len(PLACEHOLDER) for each in shown) and len(shown[-1]) > 20
