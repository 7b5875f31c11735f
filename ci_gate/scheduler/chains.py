"""The changes that a build set is about, front to back, and the texts that its builds get of them.

A change that joins a long queue adds itself to what is known of the one ahead: nothing is gone through again.
"""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.change import Change, SubjectKey

BETWEEN_NAMES, BETWEEN_IDS = "^", " "


@dataclass(frozen=True, slots=True)
class Chain:
    """``names`` and ``ids`` are ``ZUUL_CHANGES`` and ``ZUUL_CHANGE_IDS`` (gearman-jenkins.md 3)."""

    changes: tuple[Change, ...] = ()
    names: str = ""
    ids: str = ""

    def with_next(self, change: Change) -> Chain:
        name, key = f"{change.project}:{change.branch}:{change.refspec}", str(change.key)
        if not self.changes:
            return Chain((change,), name, key)
        names, ids = f"{self.names}{BETWEEN_NAMES}{name}", f"{self.ids}{BETWEEN_IDS}{key}"
        return Chain((*self.changes, change), names, ids)

    def beginning_with(self, key: SubjectKey) -> Chain | None:
        """Without what has been merged in front since; None if this change is not in it."""
        gone = next((index for index, change in enumerate(self.changes) if change.key == key), None)
        if not gone:
            return None if gone is None else self
        names, ids = self.names.split(BETWEEN_NAMES, gone)[gone], self.ids.split(BETWEEN_IDS, gone)[gone]
        return Chain(self.changes[gone:], names, ids)


EMPTY = Chain()
