"""Fixtures of the end-to-end tests."""

from e2e_site import idle_site, site

__all__ = ["idle_site", "site"]
