"""What ends the cloner, each with a text for whoever reads the job's log."""

from __future__ import annotations


class UsageError(Exception):
    """The command line or the environment makes no sense: exit status 2."""


class ClonerError(Exception):
    """A project cannot be prepared: exit status 1."""
