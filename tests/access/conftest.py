"""`office`, as in the domain's tests: access rules need no web either."""

from tests.domain.conftest import office

__all__ = ["office"]
