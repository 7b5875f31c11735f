"""Searching with a deadline, for expressions that no linear engine can take: look-arounds, references back.

A search that takes too long counts as not found, and is told in the log with its expression, so that no comment can
hold the service up. That answer depends on the clock: ``limits.py`` keeps it for the journal.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import regex

from ci_gate.config.layout.limits import found_in_time
from ci_gate.model.expression import UNICODE_WANTED, Search

ESCAPE = re.compile(r"\\.", re.DOTALL)
# What ``re`` takes literally and ``regex`` does not: "{e<=1}" allows errors there, "[:alpha:]" names a class.
ONLY_IN_REGEX = re.compile(r"\{(?!\d+(,\d*)?\}|,\d+\})|\[:")


def timed_search(source: str) -> Search | None:
    """Does it match anywhere in a text, as ``re.search`` would say, if that can be told in time? None: not at all."""
    compiled = _compiled(source)
    return _in_time(source, compiled.search) if compiled else None


def timed_match(source: str) -> Search | None:
    """The same from the first character on, as ``re.match`` would say."""
    compiled = _compiled(source)
    return _in_time(source, compiled.match) if compiled else None


def _compiled(source: str) -> regex.Pattern[str] | None:
    if ONLY_IN_REGEX.search(ESCAPE.sub("", source)):
        return None
    unicode_wanted = UNICODE_WANTED.match(source) is not None
    try:
        return regex.compile(source, regex.VERSION0 | (regex.UNICODE if unicode_wanted else regex.ASCII))
    except regex.error:
        return None


def _in_time(source: str, ask: Callable[..., object]) -> Search:
    return lambda text: found_in_time(source, text, ask)
