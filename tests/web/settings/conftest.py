"""Fixtures of the tests of settings."""

from tests.web.settings_app import filled_app, site  # noqa: F401
