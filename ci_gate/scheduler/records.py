"""What is known of subjects: one record each, shared by all that refer to it (scheduler.md 1.2).

Records of changes that are only related to something inside are kept too; ``sweep`` forgets those that nothing leads
to any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ci_gate.model.change import MERGED, Change, ChangeKey, Subject, SubjectKey
from ci_gate.scheduler.footers import depends_on, host_of

if TYPE_CHECKING:
    from ci_gate.scheduler.state import Item

SPARE_RECORDS = 1000  # how many may be kept without need before a sweep is worth its time

ChangeId = tuple[str, str]
"""A connection, and the number of a change there."""


@dataclass(slots=True, eq=False)
class Records:
    """``users`` are the items of a subject, ``needers`` the items that need a change.

    ``naming`` are the patch sets whose message has a footer with a Change-Id, or the address of a number. ``told_by``
    are the tickets of the latest questions that told of each change.
    """

    by_key: dict[SubjectKey, Subject] = field(default_factory=dict)
    users: dict[SubjectKey, dict[Item, None]] = field(default_factory=dict)
    needers: dict[ChangeKey, dict[Item, None]] = field(default_factory=dict)
    patch_sets: dict[ChangeId, dict[ChangeKey, None]] = field(default_factory=dict)
    naming: dict[str, dict[ChangeKey, None]] = field(default_factory=dict)
    told_by: dict[ChangeId, int] = field(default_factory=dict)
    needed_at_last_sweep: int = 0

    def __getitem__(self, key: SubjectKey) -> Subject:
        return self.by_key[key]

    def change(self, key: ChangeKey) -> Change | None:
        found = self.by_key.get(key)
        return found if isinstance(found, Change) else None

    def of_change(self, connection: str, number: str) -> Iterable[ChangeKey]:
        """The patch sets of a change of which there are records."""
        return self.patch_sets.get((connection, number), ())

    def remember(self, record: Subject) -> bool:
        """Keep a record, in place of the one before; was there anything new in it?"""
        key = record.key
        former = self.by_key.get(key)
        if former == record:
            return False
        if isinstance(record, Change) and not record.is_merged and self._is_merged(key):
            return False  # an answer from before: Gerrit takes no merge back
        self.by_key[key] = record
        if isinstance(record, Change) and isinstance(key, ChangeKey):
            self.patch_sets.setdefault((key.connection, key.number), {})[key] = None
            known = former if isinstance(former, Change) else None
            self._relink(key, known.needs if known else (), record.needs)
            self._rename(key, _named_by(known), _named_by(record))
        return True

    def _is_merged(self, key: SubjectKey) -> bool:
        """Is that known of some patch set of the change?"""
        patch_sets = self.of_change(key.connection, key.number) if isinstance(key, ChangeKey) else ()
        return any(known.is_merged for each in patch_sets if (known := self.change(each)) is not None)

    def is_news(self, change: ChangeId, ticket: int) -> bool:
        """Has no later question told of the change already? Tickets are issued in order."""
        if ticket < self.told_by.get(change, 0):
            return False
        self.told_by[change] = ticket
        return True

    def note_merged(self, change: ChangeKey) -> list[ChangeKey]:
        """Gerrit has merged it, so much is known without a query; the records in which that was news."""
        records = [each for key in self.of_change(change.connection, change.number) if (each := self.change(key))]
        return self._note(records, MERGED)

    def note_closed(self, patch_sets: Iterable[ChangeKey]) -> list[ChangeKey]:
        """They are gone from Gerrit, which is as if they were abandoned; the records in which that was news."""
        records = [each for key in patch_sets if (each := self.change(key)) is not None and not each.is_merged]
        return self._note(records, "ABANDONED")

    def _note(self, records: Iterable[Change], status: str) -> list[ChangeKey]:
        """They are open no more; of which that was news."""
        closed = [replace(each, status=status, is_open=False) for each in records]
        return [each.key for each in closed if self.remember(each)]

    def use(self, record: Subject, item: Item) -> None:
        """The item is about this subject from now on."""
        self.remember(record)
        self.users.setdefault(record.key, {})[item] = None
        if isinstance(record, Change):
            for need in record.needs:
                self.needers.setdefault(need, {})[item] = None

    def release(self, key: SubjectKey, item: Item) -> None:
        """The item has gone."""
        users = self.users[key]
        del users[item]
        if not users:
            del self.users[key]
        record = self.by_key[key]
        if isinstance(record, Change):
            for need in record.needs:
                self._unneed(need, item)
        elif key not in self.users:
            del self.by_key[key]

    def needers_of(self, key: SubjectKey) -> Iterable[Item]:
        return self.needers.get(key, ()) if isinstance(key, ChangeKey) else ()

    def _relink(self, key: ChangeKey, former: tuple[ChangeKey, ...], present: tuple[ChangeKey, ...]) -> None:
        if former == present:
            return
        for item in self.users.get(key, ()):
            for need in former:
                self._unneed(need, item)
            for need in present:
                self.needers.setdefault(need, {})[item] = None

    def _unneed(self, need: ChangeKey, item: Item) -> None:
        items = self.needers.get(need)
        if items is not None:
            items.pop(item, None)
            if not items:
                del self.needers[need]

    def _rename(self, key: ChangeKey, former: tuple[str, ...], present: tuple[str, ...]) -> None:
        if former == present:
            return
        for each in former:
            named = self.naming[each]
            del named[key]
            if not named:
                del self.naming[each]
        for each in present:
            self.naming.setdefault(each, {})[key] = None

    # --- forgetting ---

    @property
    def wants_sweep(self) -> bool:
        """Is there so much that looking through it pays?"""
        return len(self.by_key) > 2 * self.needed_at_last_sweep + SPARE_RECORDS

    def sweep(self, waited_for: Iterable[ChangeKey]) -> None:
        """Forget what neither items nor those that are waited for lead to."""
        needed = set(self._reachable([*self.users, *waited_for]))
        self.needed_at_last_sweep = len(needed)
        for key in [key for key in self.by_key if key not in needed]:
            record = self.by_key.pop(key)
            if isinstance(record, Change) and isinstance(key, ChangeKey):
                self._rename(key, _named_by(record), ())
                siblings = self.patch_sets[key.connection, key.number]
                del siblings[key]
                if not siblings:
                    del self.patch_sets[key.connection, key.number]
                    self.told_by.pop((key.connection, key.number), None)

    def _reachable(self, waiting: list[SubjectKey]) -> Iterator[SubjectKey]:
        """These, what they need, and what needs them."""
        seen = set(waiting)
        while waiting:
            key = waiting.pop()
            yield key
            record = self.by_key.get(key)
            for related in (*record.needs, *record.needed_by) if isinstance(record, Change) else ():
                if related not in seen and related in self.by_key:
                    seen.add(related)
                    waiting.append(related)


def _named_by(record: Change | None) -> tuple[str, ...]:
    return depends_on(record.commit_message, host_of(record.url)) if record else ()
