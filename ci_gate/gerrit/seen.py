"""Which happenings have become events already, whether the stream told of them or a look found them.

An event of the stream and what a query shows of the same happening have no name in common: the stream's time may be
a little later. So the two are paired, one to one, by what happened and roughly when (gerrit-wire.md 10).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from ci_gate.gerrit.events import LOCAL_BRANCHES
from ci_gate.model.event import Event

ONCE = frozenset({"patchset-created", "draft-published", "change-merged"})
"""What happens once to a patch set, or to a change: no time is compared."""

WITHOUT_PATCH_SET = frozenset(
    {"change-merged", "change-abandoned", "change-restored", "wip-state-changed", "private-state-changed"}
)
"""What happens to a change as a whole: not every event names a patch set, and a query only tells which one it was by
times in whole seconds."""

CLOCKS_APART_S = 60.0
COUNT_OF_COMMENTS = re.compile(r"\n\n\(\d+ comments?\)(?=\n\n|\s*$)")


@dataclass(slots=True)
class _Happening:
    """``told_at``: by the stream, ``found_at``: as Gerrit dates it; Gerrit's clock, seconds. None: not yet."""

    text: str = ""
    told_at: float | None = None
    found_at: float | None = None

    @property
    def at(self) -> float:
        known = self.found_at if self.found_at is not None else self.told_at
        return known if known is not None else 0.0


class Seen:
    """The happenings of one connection, of the time that looks go back to."""

    def __init__(self) -> None:
        self._happenings: dict[Hashable, list[_Happening]] = {}

    def tell(self, event: Event, *, may_repeat: bool = False) -> bool:
        """The stream brought an event: is it news? A look may have found it before.

        ``may_repeat``: one of the same moment is the same one, sent again.
        """
        key, at = key_of(event), float(event.created_on or 0)
        if may_repeat and any(each.told_at == at for each in self._alike(event)):
            return False
        waiting = [each for each in self._alike(event) if each.told_at is None]
        match = _nearest(waiting, at, key)
        if match is not None:
            match.told_at = at
            return False
        self._happenings.setdefault(key, []).append(_Happening(_words(event), told_at=at))
        return True

    def find(self, events: Iterable[Event]) -> list[Event]:
        """A look found these, all there are of a change in its time, in their order: those that are news."""
        taken: list[_Happening] = []
        return [event for event in events if self._is_news(event, taken)]

    def _is_news(self, event: Event, taken: list[_Happening]) -> bool:
        """``taken`` are paired with others of the same look."""
        key, at = key_of(event), float(event.created_on or 0)
        free = [each for each in self._alike(event) if not any(each is other for other in taken)]
        match = next((each for each in free if each.found_at == at or _is_once(key)), None)
        if match is None:
            match = _nearest([each for each in free if each.found_at is None], at, key)
        news = match is None
        if match is None:
            match = _Happening(_words(event))
            self._happenings.setdefault(key, []).append(match)
        match.found_at = at
        taken.append(match)
        return news

    def replay(self, events: Iterable[Event]) -> list[Event]:
        """These are a stream's own events, kept by Gerrit, in their order: those that were neither told nor found."""
        taken: list[_Happening] = []
        return [event for event in events if self._is_untold(event, taken)]

    def _is_untold(self, event: Event, taken: list[_Happening]) -> bool:
        key, at = key_of(event), float(event.created_on or 0)
        free = [each for each in self._alike(event) if not any(each is other for other in taken)]
        match = next((each for each in free if each.told_at == at), None)
        if match is None:
            match = _nearest([each for each in free if each.told_at is None], at, key)
        news = match is None
        if match is None:
            match = _Happening(_words(event))
            self._happenings.setdefault(key, []).append(match)
        match.told_at = at
        taken.append(match)
        return news

    def restore(self, event: Event) -> None:
        """Of the journal: it was taken before this start."""
        at = float(event.created_on or 0)
        happening = _Happening(_words(event))
        if event.caught_up:
            happening.found_at = at
        else:
            happening.told_at = at
        self._happenings.setdefault(key_of(event), []).append(happening)

    def forget(self, before: float) -> None:
        """What no look goes back to any more."""
        for key, happenings in list(self._happenings.items()):
            kept = [each for each in happenings if each.at >= before]
            if kept:
                self._happenings[key] = kept
            else:
                del self._happenings[key]

    def _alike(self, event: Event) -> list[_Happening]:
        text = _words(event)
        return [each for each in self._happenings.get(key_of(event), ()) if each.text == text]

    def __len__(self) -> int:
        return sum(map(len, self._happenings.values()))


def key_of(event: Event) -> Hashable:
    """What happened, without its time."""
    if event.type == "ref-updated":
        return event.type, event.project, full_ref(event), event.newrev
    if event.type == "comment-added":
        who = event.account
        person = (who.username or who.email or who.name) if who else None
        return event.type, event.number, event.patchset, person, (event.comment or "").partition("\n")[0].strip()
    if event.type in WITHOUT_PATCH_SET:
        return event.type, event.number
    return event.type, event.number, event.patchset


def _words(event: Event) -> str:
    """Without the number of inline comments, which stream and query do not give alike."""
    return COUNT_OF_COMMENTS.sub("", event.comment or "").strip()


def full_ref(event: Event) -> str:
    """However the connection names branches."""
    ref = event.ref or ""
    return ref if ref.startswith("refs/") else LOCAL_BRANCHES + ref


def _nearest(happenings: Iterable[_Happening], at: float, key: Hashable) -> _Happening | None:
    apart = {id(each): abs(each.at - at) for each in happenings}
    near = [each for each in happenings if _is_once(key) or apart[id(each)] <= CLOCKS_APART_S]
    return min(near, key=lambda each: apart[id(each)], default=None)


def _is_once(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[0] in ONCE
