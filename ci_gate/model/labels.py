"""Names of review labels (``spec/layout.md`` 5.4)."""

from __future__ import annotations


def normal_label(name: str) -> str:
    """A label's name for comparing: ``Code Review``, ``code-review`` and ``Code-Review`` are one label."""
    return name.lower().replace(" ", "-")
