"""Words that a layout chooses from and that go out to workers and mergers as they are."""

from __future__ import annotations

from enum import StrEnum


class Precedence(StrEnum):
    """Of a pipeline; decides the Gearman priority of its builds and merges."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class MergeMode(StrEnum):
    """How a project's changes are merged, as the layout spells it."""

    MERGE = "merge"
    MERGE_RESOLVE = "merge-resolve"
    CHERRY_PICK = "cherry-pick"
