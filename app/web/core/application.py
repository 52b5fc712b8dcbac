"""Flask's application and response, with less work for each request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from flask import Flask, Response
from flask.globals import request_ctx
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadHost
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

#: Headers, in lower case, that Werkzeug completes when a response is sent.
_COMPLETED = frozenset(("location", "content-location"))


#: What an address consists of in the WSGI environment, behind the host.
_ADDRESS = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")


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

    def create_url_adapter(self, request: Any) -> MapAdapter | None:
        """What finds the view of a request, and makes its URLs. Raises BadHost.

        Werkzeug writes the name of the host in ASCII each time, and looks for it twice.
        """
        config, routes = self.config, self.url_map
        is_usual = request is not None and config["SERVER_NAME"] is None and config["TRUSTED_HOSTS"] is None
        if not is_usual or routes.host_matching or self.subdomain_matching or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        environ = request.environ
        request.host = get_host(environ)
        root, path, query = [_decoded(environ.get(name, "")) for name in _ADDRESS]
        server, subdomain, method = _in_ascii(request.host.lower()), routes.default_subdomain, environ["REQUEST_METHOD"]
        return MapAdapter(routes, server, root, subdomain or "", environ["wsgi.url_scheme"], path, method, query)

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


@lru_cache(maxsize=100)
def _in_ascii(host: str) -> str:
    """A host and its port, as in a URL. Raises BadHost. The port may make the name too long for IDNA."""
    name, colon, port = host.partition(":")
    try:
        return f"{name.encode('idna').decode('ascii')}{colon}{port}"
    except UnicodeError as error:
        raise BadHost from error


def _decoded(text: str) -> str:
    """A text of the WSGI environment, of which each character is a byte of UTF-8."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")


def add_headers(response: Response, pairs: Sequence[tuple[str, str]]) -> None:
    """Add headers of ours that it doesn't have. Werkzeug looks in each for line breaks."""
    response.headers._list.extend(pairs)


def add_vary(response: Response, name: str) -> None:
    """Say that the response depends on this header of the request, if that isn't said yet."""
    pairs = response.headers._list
    place = next((place for place, pair in enumerate(pairs) if pair[0].lower() == "vary"), None)
    if place is None:
        pairs.append(("Vary", name))
    elif name.lower() not in {each.strip().lower() for each in pairs[place][1].split(",")}:
        pairs[place] = ("Vary", f"{pairs[place][1]}, {name}")
