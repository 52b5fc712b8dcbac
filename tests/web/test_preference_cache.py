"""Cached data of a person is what they see themselves, not what one of their limited API keys sees."""

from __future__ import annotations

from flask import g

from app.web.core.views.preference_cache import PersonCache
from app.web.transfer.run_as import acting_for
from tests.app_fixtures import Crm


def test_what_a_limited_key_sees_is_not_kept_for_its_user(crm: Crm) -> None:
    cache = PersonCache(lambda viewer: viewer.person.may("Reports", "read"))
    seen = []
    with crm.app.app_context():
        for scope in (("Leads.read",), (), ("Leads.read",), ()):
            with acting_for(crm.people["mia"].id, scope=scope) as viewer:
                g.lists_version = 1
                seen.append(cache.of(viewer))
    assert seen == [False, True, False, True]
