"""Flask's application and response, with less work for each request."""

from __future__ import annotations

from itertools import chain
from typing import Any

from flask import Flask, Response
from flask.globals import request_ctx
from werkzeug.datastructures import Headers

#: Headers, in lower case, that Werkzeug completes when a response is sent.
_COMPLETED = frozenset(("location", "content-location"))


class Answer(Response):
    """A response. Its headers are sent as they are if nothing would be completed; Flask's copies them one by one."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers to be sent."""
        status = self.status_code
        if status >= 200 and status not in (204, 304):
            names = {name.lower() for name, _value in self.headers}
            if "content-length" in names and names.isdisjoint(_COMPLETED):
                return self.headers
        return super().get_wsgi_headers(environ)


class Application(Flask):
    """The application. No hook or view of it is a coroutine, for which Flask looks each time that it calls one."""

    response_class = Answer

    def ensure_sync(self, func: Any) -> Any:
        """The function itself."""
        return func

    def preprocess_request(self) -> Any:
        """Call the hooks before a request. Returns the response of the first one that has one."""
        asked = request_ctx.request
        names = (None, *reversed(asked.blueprints))
        if self.url_value_preprocessors:
            for each in chain.from_iterable(self.url_value_preprocessors.get(name, ()) for name in names):
                each(asked.endpoint, asked.view_args)
        for name in names:
            for hook in self.before_request_funcs.get(name, ()):
                response = hook()
                if response is not None:
                    return response
        return None

    def process_response(self, response: Any) -> Any:
        """Call the hooks after a request, then send the session's cookie if that has changed."""
        context: Any = request_ctx._get_current_object()  # type: ignore[attr-defined]
        for hook in context._after_request_functions:
            response = hook(response)
        for name in (*context.request.blueprints, None):
            for hook in reversed(self.after_request_funcs.get(name, ())):
                response = hook(response)
        if not self.session_interface.is_null_session(context._session):
            self.session_interface.save_session(self, context._session, response)
        return response
