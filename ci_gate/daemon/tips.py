"""Where branches stand upstream, as events and mergers have told: then no merger has to look for every change.

What is told here is only a hint. A merger that has another commit there looks upstream, and a gate's merges always do.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from ci_gate.model.event import Event
from ci_gate.model.merge import MergeAnswer, MergeRequest

TRUSTED_S = 300.0
REMEMBERED = 20_000

_BRANCHES = "refs/heads/"


class BranchTips:
    """``complete_since`` (connection): since when no event can have been missed; None while some may be.

    Times are seconds since the epoch.
    """

    def __init__(self, complete_since: Callable[[str], float | None], clock: Callable[[], float] = time.time) -> None:
        self._complete_since = complete_since
        self._clock = clock
        self._tips: OrderedDict[tuple[str, str, str], tuple[str, float]] = OrderedDict()

    def take(self, event: Event) -> None:
        """Only updates of branches tell anything."""
        if event.type != "ref-updated" or None in (event.project, event.ref, event.newrev):
            return
        ref = str(event.ref)
        branch = ref.removeprefix(_BRANCHES)
        if branch != ref or not ref.startswith("refs/"):
            self._remember((event.connection, str(event.project), branch), str(event.newrev), self._clock())

    def tip(self, connection: str, project: str, branch: str) -> str | None:
        """None if it is not known, or was not heard of for long."""
        known, since = self._tips.get((connection, project, branch)), self._complete_since(connection)
        if known is None or since is None:
            return None
        commit, at = known
        return commit if at >= max(since, self._clock() - TRUSTED_S) else None

    def learn(self, request: MergeRequest, answer: MergeAnswer, asked_at: float) -> None:
        """A merger has looked, at some time after ``asked_at``; an event that came later knows better."""
        key = (request.connection, request.project, request.branch)
        if answer.tip is not None and self._tips.get(key, ("", 0.0))[1] < asked_at:
            self._remember(key, answer.tip, asked_at)

    def _remember(self, key: tuple[str, str, str], commit: str, at: float) -> None:
        self._tips[key] = (commit, at)
        self._tips.move_to_end(key)
        if len(self._tips) > REMEMBERED:
            self._tips.popitem(last=False)
