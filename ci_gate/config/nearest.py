"""The known name that a mistyped one most likely meant, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

SIMILAR_ENOUGH = 0.7
SHORT = 4  # characters: of so few, one mistake; of more, two


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar of the known names; None if none is similar. ``_`` for ``-`` and capitals do not count."""
    from difflib import get_close_matches  # noqa: PLC0415  # takes its time, and healthy files never need it

    form = _form(name)
    by_form = {_form(each): each for each in known if each}
    found = get_close_matches(form, by_form, n=1, cutoff=SIMILAR_ENOUGH)
    if found:
        return by_form[found[0]]
    few = 1 if len(form) <= SHORT else 2
    return next((each for other, each in by_form.items() if form and _mistakes(form, other, few) <= few), None)


def _form(name: str) -> str:
    return name.lower().replace("_", "-")


def _mistakes(one: str, other: str, most: int) -> int:
    """How many letters are missing, too many, wrong or in each other's place; any number above ``most`` if more."""
    if abs(len(one) - len(other)) > most or len(other) <= most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]
