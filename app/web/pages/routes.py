"""Decorators for the routes of pages, which check the permission and show refusals as pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name

from app.web.core.fab_access import signed_in
from app.web.pages.refusals import refuse_as_page

_Method = Callable[..., Any]


def page_route(url: str, methods: Sequence[str] = ("GET",), permission: str = "") -> Callable[[_Method], _Method]:
    """A page at `url` below the view's `route_base`, for people with FAB's permission on the view.

    `permission`: its name in the view's `VERBS`; by default the method's. What the method refuses
    (`fab_access.REFUSABLE`) becomes an error page, or a message on the page with the form.
    """

    def decorate(method: _Method) -> _Method:
        named = permission_name(permission or method.__name__)(method)
        routed: _Method = expose(url, methods=methods)(has_access(refuse_as_page(named)))
        return routed

    return decorate


def signed_in_route(url: str, methods: Sequence[str] = ("GET",)) -> Callable[[_Method], _Method]:
    """A page at `url` below the view's `route_base`, for everybody who is signed in; refusals as in `page_route`."""

    def decorate(method: _Method) -> _Method:
        routed: _Method = expose(url, methods=methods)(signed_in(refuse_as_page(method)))
        return routed

    return decorate
