"""The known name that a mistyped one most likely meant, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

SIMILAR_ENOUGH = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar of the known names; None if none is similar. ``_`` for ``-`` and capitals do not count."""
    from difflib import get_close_matches  # noqa: PLC0415  # takes its time, and healthy files never need it

    by_form = {_form(each): each for each in known}
    found = get_close_matches(_form(name), by_form, n=1, cutoff=SIMILAR_ENOUGH)
    return by_form[found[0]] if found else None


def _form(name: str) -> str:
    return name.lower().replace("_", "-")
