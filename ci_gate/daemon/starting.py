"""What keeps the service from starting, told to the operator."""

from __future__ import annotations


class StartError(Exception):
    """The service cannot start. The text is one line for the operator, with what to do."""
