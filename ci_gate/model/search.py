"""Searches among a Gerrit's changes (``spec/gerrit-wire.md`` 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SearchKind(StrEnum):
    """What a search's ``value`` is."""

    CHANGE_ID = "change-id"
    MENTIONS = "mentions"
    MENTIONS_ADDRESS = "mentions-address"
    OPEN_IN_PROJECT = "open-in-project"


@dataclass(frozen=True, slots=True)
class Search:
    """Changes with a Change-Id; those whose message has it, or the address of ``PROJECT/+/NUMBER``; the open ones of a
    project.
    """

    kind: SearchKind
    value: str
