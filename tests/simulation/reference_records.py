"""What Gerrit tells of changes, looked up the plain way: a part of the reference manager (scheduler.md 3.2).

Written from the specification alone, and slow on purpose: every refresh goes through all that Gerrit has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ci_gate.model.change import ChangeDetails

Key = tuple[str, str]
"""Number and patch set."""

FOOTER = re.compile(r"(?im)^Depends-On: (I[0-9a-f]{40})\s*$")


@dataclass
class Record:
    key: Key
    details: ChangeDetails
    merged: bool = False
    needs: tuple[Key, ...] = ()
    needed_by: tuple[Key, ...] = ()

    @property
    def current(self) -> bool:
        return self.details.current_patchset == self.key[1]

    @property
    def ready(self) -> bool:
        """Gerrit would submit it but for our own vote: open, not WIP, and the reviewers are content."""
        content = all(label.status == "OK" for label in self.details.submit_records[0].labels[:1])
        return self.details.is_open and not self.merged and not self.details.wip and content

    @property
    def files(self) -> tuple[str, ...]:
        found = self.details.patch_set(self.key[1])
        return found.files if found else ()


class Records:
    """``gerrit`` is what Gerrit has, by number; it changes under our hands."""

    def __init__(self, gerrit: Mapping[str, ChangeDetails]) -> None:
        self.gerrit = gerrit
        self.by_key: dict[Key, Record] = {}

    def lead_to(self, number: str) -> bool:
        """Is something known of the change, or names a footer of what is known it?"""
        change_id = self.gerrit[number].change_id
        known = self.by_key.values()
        return any(each.key[0] == number or change_id in FOOTER.findall(each.details.commit_message) for each in known)

    def refresh(self, number: str, patchset: str | None, seen: set[str]) -> Record | None:
        """Ask for a change, and for whatever is not known of those related to it; each is asked for once."""
        details = self.gerrit.get(number)
        if details is None:
            return None
        key = (number, patchset or details.current_patchset or "")
        if details.patch_set(key[1]) is None:
            return None
        current = (number, details.current_patchset or "")
        sibling = self.by_key.setdefault(current, Record(current, details))
        self.by_key.setdefault(key, Record(key, details, sibling.merged, sibling.needs, sibling.needed_by))
        if number not in seen:
            seen.add(number)
            for record in self._patch_sets(number):
                record.details, record.merged = details, details.status == "MERGED"
            if details.status != "MERGED":
                needs = tuple(dict.fromkeys(self._needs(details, seen)))
                needed_by = tuple(dict.fromkeys(self._needed_by(details, seen)))
                for record in self._patch_sets(number):
                    record.needs, record.needed_by = needs, needed_by
        return self.by_key[key]

    def _patch_sets(self, number: str) -> list[Record]:
        return [each for each in self.by_key.values() if each.key[0] == number]

    def _known(self, key: Key, seen: set[str]) -> Record | None:
        """As it is known; asked for only if it is not."""
        return self.by_key.get(key) or self.refresh(*key, seen)

    def _needs(self, details: ChangeDetails, seen: set[str]) -> list[Key]:
        parents = [self._known((each.number, each.patchset), seen) for each in details.depends_on]
        found = [each.key for each in parents if each is not None and not each.merged]
        for change_id in FOOTER.findall(details.commit_message):
            for other in [each for each in self.gerrit.values() if each.change_id == change_id and each.is_open]:
                self._known((other.number, other.current_patchset), seen)
                found.append((other.number, other.current_patchset))
        return found

    def _needed_by(self, details: ChangeDetails, seen: set[str]) -> list[Key]:
        found = []
        for child in list(self.gerrit.values()):
            for parent in child.depends_on:
                if (parent.number, parent.patchset) == (details.number, details.current_patchset):
                    known = self._known((child.number, child.current_patchset), seen)
                    if known is not None and known.details.is_open and known.current:
                        found.append(known.key)
        for other in [each for each in self.gerrit.values() if each.is_open]:
            if details.change_id in FOOTER.findall(other.commit_message):
                self.refresh(other.number, other.current_patchset, seen)
                found.append((other.number, other.current_patchset))
        return found
