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
