"""Leaves docstrings of some libraries out while the application is loaded: nobody reads them there, and they take 3 MB.

All others stay: help texts and the description of the API are made of those of Flask, Flask-AppBuilder and add-ons.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from types import CodeType

#: The packages with the longest docstrings, of which the CRM shows none.
WITHOUT = {
    *("asyncio", "babel", "click", "email", "flask_jwt_extended", "flask_socketio", "ipaddress", "jinja2", "jwt"),
    *("limits", "phonenumbers", "redis", "rq", "socketio", "sqlalchemy", "twilio", "werkzeug", "wrapt", "wtforms"),
}
#: In place of a docstring: SQLAlchemy adds to its own, which must not be empty.
PLACEHOLDER = "."
#: A shorter one is not worth a copy of the code that it belongs to.
MIN_LENGTH = 80
#: Says that the first constant is the docstring; before Python 3.13, that or None is the first one of each function.
_HAS_DOCSTRING = getattr(inspect, "CO_HAS_DOCSTRING", inspect.CO_OPTIMIZED)


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Functions of the packages in WITHOUT that are imported meanwhile get no docstring."""
    read = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        code = read(loader, fullname)
        if code is None or fullname.partition(".")[0] not in WITHOUT:
            return code
        return without_docstrings(code)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SourceFileLoader.get_code = read  # type: ignore[method-assign]


def without_docstrings(code: CodeType) -> CodeType:
    """The code, in which functions have PLACEHOLDER as docstring; those of classes and modules stay."""
    constants = tuple(without_docstrings(each) if type(each) is CodeType else each for each in code.co_consts)
    if _has_docstring(code):
        constants = (PLACEHOLDER, *constants[1:])
    is_same = all(new is old for new, old in zip(constants, code.co_consts, strict=True))
    return code if is_same else code.replace(co_consts=constants)


def _has_docstring(code: CodeType) -> bool:
    """Whether it is a function with a long docstring; the first constant of a comprehension is one that it uses."""
    if not code.co_flags & _HAS_DOCSTRING or code.co_name.startswith("<") or not code.co_consts:
        return False
    return isinstance(code.co_consts[0], str) and len(code.co_consts[0]) >= MIN_LENGTH
