"""The private names of Flask that the CRM uses: its context variables, without a proxy. No other module uses one.

`current_app` and `request` resolve their object for each attribute, which is too slow for nearly every request.
`tests/test_private_names.py` fails if a new version of Flask lacks them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request
from werkzeug.local import LocalProxy

#: The application context of this thread; None outside of one. A page asks hundreds of times.
app_context: Callable[[], AppContext | None] = partial(_cv_app.get, None)
#: The request context of this thread; None outside of one.
request_context: Callable[[], RequestContext | None] = partial(_cv_request.get, None)


def request_values() -> dict[str, Any]:
    """The attributes of `g`, for functions that need several. Raises RuntimeError outside of a context."""
    context = app_context()
    if context is None:
        raise RuntimeError("Flask's `g` needs an application context.")
    return context.g.__dict__


def shorten_proxies() -> None:
    """Let proxies such as `request` and `g` pass on attributes by two calls instead of four, one of a new function.

    A request reads and sets about a hundred.
    """
    proxies: Any = LocalProxy
    proxies.__getattr__, proxies.__setattr__ = _attribute, _set_attribute


def _attribute(proxy: Any, name: str) -> Any:
    return getattr(proxy._get_current_object(), name)


def _set_attribute(proxy: Any, name: str, value: Any) -> None:
    setattr(proxy._get_current_object(), name, value)
