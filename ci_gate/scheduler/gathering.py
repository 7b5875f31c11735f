"""What a refresh has to find out beside the change itself: what it needs, and what needs it (scheduler.md 3.2).

Each change is looked at once in a gathering, and each search is made once, so that a chain or a diamond of N changes
costs O(N) questions. Pure bookkeeping: ``intake.py`` sends the questions and brings the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ci_gate.model.change import Change, ChangeDetails, ChangeKey, RelatedChange
from ci_gate.model.search import Search, SearchKind
from ci_gate.scheduler.footers import depends_on, host_of
from ci_gate.scheduler.records import Records

Question = str | Search
"""The number of a change, or a search."""


@dataclass(slots=True, eq=False)
class Gathering:
    """``looks_behind``: changes that need this one are of interest, even if nothing of them is known here.

    ``addresses``: footers may name changes by their addresses as well.

    ``asked`` are the questions so far; ``unanswered`` those among them that wait, be they under way (``sent``) or
    ``failed``. ``told_by`` are the tickets whose answers told of each change, by number. ``relied_on`` are records that
    were known, so that nobody was asked for them.
    """

    connection: str
    records: Records
    looks_behind: bool
    addresses: bool
    details: dict[str, ChangeDetails] = field(default_factory=dict)
    told_by: dict[str, int] = field(default_factory=dict)
    found: dict[Search, tuple[str, ...]] = field(default_factory=dict)
    asked: set[Question] = field(default_factory=set)
    unanswered: dict[Question, None] = field(default_factory=dict)
    sent: set[Question] = field(default_factory=set)
    failed: set[Question] = field(default_factory=set)
    relied_on: set[ChangeKey] = field(default_factory=set)

    # --- questions and answers ---

    def to_send(self) -> list[Question]:
        """Questions that nobody has been asked yet; from now on they count as sent."""
        new = [each for each in self.unanswered if each not in self.sent and each not in self.failed]
        self.sent.update(new)
        return new

    def learn(self, details: ChangeDetails, ticket: int) -> None:
        """A change has been looked at: ask for what it leads to."""
        self.asked.add(details.number)
        self.unanswered.pop(details.number, None)
        if details.number in self.details:
            return
        self.details[details.number], self.told_by[details.number] = details, ticket
        if details.status == "MERGED":
            return  # its relations stay as they were
        for question in self._leads(details):
            self._ask(question)

    def not_there(self, question: Question) -> None:
        """There is no such change, or Gerrit refuses the search."""
        self.unanswered.pop(question, None)
        if isinstance(question, Search):
            self.found[question] = ()

    def learn_found(self, search: Search, found: Iterable[ChangeDetails], ticket: int) -> None:
        self.unanswered.pop(search, None)
        is_reverse = search.kind is not SearchKind.CHANGE_ID
        name = search.value.rpartition("/")[2]
        hits = [each for each in found if each.is_open and (not is_reverse or name in self._named_by(each))]
        self.found[search] = tuple(each.number for each in hits)
        for each in hits:
            if is_reverse or not self._known(each.number, each.current_patchset):
                self.learn(each, ticket)

    def _ask(self, question: Question) -> None:
        if question not in self.asked:
            self.asked.add(question)
            self.unanswered[question] = None

    def _leads(self, details: ChangeDetails) -> Iterator[Question]:
        for parent in details.depends_on:
            if not self._known(parent.number, parent.patchset):
                yield parent.number
        for each in self._named_by(details):
            yield each if each.isdigit() else Search(SearchKind.CHANGE_ID, each)
        if not self.looks_behind:
            yield from self._known_mentions(details)
            return
        for child in details.needed_by:
            if not self._known(child.number, child.patchset):
                yield child.number
        yield from self._reverse_searches(details)

    def _named_by(self, details: ChangeDetails) -> tuple[str, ...]:
        """Change-Ids, and numbers of changes, that its message says it needs."""
        return depends_on(details.commit_message, host_of(details.url) if self.addresses else None)

    def _reverse_searches(self, details: ChangeDetails) -> Iterator[Search]:
        if details.change_id:
            yield Search(SearchKind.MENTIONS, details.change_id)
        if self.addresses:
            yield Search(SearchKind.MENTIONS_ADDRESS, f"{details.project}/+/{details.number}")

    def _known_mentions(self, details: ChangeDetails) -> Iterator[str]:
        """Items whose message names this change have to learn of its new patch set."""
        naming = self.records.naming
        for key in (*naming.get(details.change_id or "", ()), *naming.get(details.number, ())):
            if key in self.records.users and key.connection == self.connection:
                yield key.number

    def _known(self, number: str, patchset: str | None) -> bool:
        key = ChangeKey(self.connection, number, patchset or "")
        if key not in self.records.by_key:
            return False
        self.relied_on.add(key)
        return True

    # --- what it comes to ---

    def changes(self, wanted: Iterable[ChangeKey]) -> list[Change]:
        """The records of all that was looked at: current patch sets, known ones, ``wanted`` ones, and parents."""
        keys = dict.fromkeys(wanted)
        for details in self.details.values():
            if details.current_patchset is not None:
                keys[self._key(details.number, details.current_patchset)] = None
            keys |= dict.fromkeys(self.records.of_change(self.connection, details.number))
            keys |= dict.fromkeys(self._key(each.number, each.patchset) for each in details.depends_on)
        made = (self._record(key) for key in keys)
        return [each for each in made if each is not None]

    def _record(self, key: ChangeKey) -> Change | None:
        details = self.details.get(key.number)
        if details is None:
            return None
        if details.status == "MERGED":
            former = self.records.change(key)
            related = (former.needs, former.needed_by) if former else ((), ())
        else:
            related = (tuple(self._needs(details)), tuple(self._needed_by(details)))
        return Change.of(details, key.patchset, *related)

    def _needs(self, details: ChangeDetails) -> dict[ChangeKey, None]:
        needs: dict[ChangeKey, None] = {}
        for parent in details.depends_on:
            key = self._key(parent.number, parent.patchset)
            if self._exists(parent) and not self._is_merged(key):
                needs[key] = None
        for each in self._named_by(details):
            if each.isdigit():
                named = self.details.get(each)
                numbers: tuple[str, ...] = (each,) if named is not None and named.is_open else ()
            else:
                numbers = self.found.get(Search(SearchKind.CHANGE_ID, each), ())
            for number in numbers:
                needs |= self._current(number)
        return needs

    def _needed_by(self, details: ChangeDetails) -> dict[ChangeKey, None]:
        needed_by: dict[ChangeKey, None] = {}
        for child in details.needed_by:
            if child.is_current and self._is_open(child):
                needed_by[self._key(child.number, child.patchset)] = None
        for search in self._reverse_searches(details):
            for number in self.found.get(search, ()):
                needed_by |= self._current(number)
        return needed_by

    def _key(self, number: str, patchset: str) -> ChangeKey:
        return ChangeKey(self.connection, number, patchset)

    def _current(self, number: str) -> dict[ChangeKey, None]:
        """The key of a change's current patch set, as far as it is known."""
        details = self.details.get(number)
        if details is not None:
            return {self._key(number, details.current_patchset): None} if details.current_patchset else {}
        known = (self.records.change(key) for key in self.records.of_change(self.connection, number))
        return {each.key: None for each in known if each is not None and each.is_current}

    def _exists(self, related: RelatedChange) -> bool:
        details = self.details.get(related.number)
        if details is not None:
            return details.patch_set(related.patchset) is not None
        return self._known(related.number, related.patchset)

    def _is_merged(self, key: ChangeKey) -> bool:
        details = self.details.get(key.number)
        if details is not None:
            return details.status == "MERGED"
        record = self.records.change(key)
        return record is not None and record.is_merged

    def _is_open(self, related: RelatedChange) -> bool:
        details = self.details.get(related.number)
        if details is not None:
            return details.is_open and details.current_patchset == related.patchset
        record = self.records.change(self._key(related.number, related.patchset))
        return record is not None and record.is_open and record.is_current


def cycle_from(start: ChangeKey, needs: Callable[[ChangeKey], Iterable[ChangeKey]]) -> tuple[ChangeKey, ...]:
    """The members of a cycle that can be reached by needs from here, in order; empty if there is none.

    Without recursion: chains may be thousands of changes long.
    """
    on_path: dict[ChangeKey, None] = {start: None}
    done: set[ChangeKey] = set()
    open_ends = [iter(tuple(needs(start)))]
    while open_ends:
        following = next(open_ends[-1], None)
        if following is None:
            open_ends.pop()
            done.add(on_path.popitem()[0])
        elif following in on_path:
            path = list(on_path)
            return tuple(path[path.index(following) :])
        elif following not in done:
            on_path[following] = None
            open_ends.append(iter(tuple(needs(following))))
    return ()
