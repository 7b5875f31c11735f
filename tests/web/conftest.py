"""Fixtures of the tests of merged states over HTTP."""

from git_site import git_dir, serve, server

__all__ = ["git_dir", "serve", "server"]
