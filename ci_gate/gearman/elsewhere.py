"""Builds that the job server does not run any more, looked for where they may have run (gearman-jenkins.md 9).

gearmand forgets a job when its worker ends it, and keeps no result for a client that was away: to send the build again
would run it twice. So before that Jenkins is asked. What is found there belongs to it from then on: its end is taken
from there, and no job server hears of it again. All this is beside the launcher's other work.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from ci_gate.gearman.builds import Builds
from ci_gate.gearman.inquiry import ServerKind, Standing
from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.elsewhere import Absent, Elsewhere, Sighting

log = structlog.stdlib.get_logger("zuul.Gearman")


class Search:
    """``elsewhere`` None: there is nowhere to look. ``again`` has the server asked anew about unsure builds."""

    def __init__(
        self,
        builds: Builds,
        elsewhere: Elsewhere | None,
        *,
        updated: Callable[[BuildUpdate], object],
        ended: Callable[[BuildEnd], object],
        again: Callable[[], None],
    ) -> None:
        self.under_way: set[str] = set()
        self.followed: dict[str, Sighting] = {}
        self._builds = builds
        self._elsewhere = elsewhere
        self._updated = updated
        self._ended = ended
        self._again = again

    def may_know(self, job: str) -> bool:
        return self._elsewhere is not None and self._elsewhere.may_know(job)

    def of(
        self, unique: str, standing: Standing, server: ServerKind, current: Callable[[], bool]
    ) -> Coroutine[Any, Any, None] | None:
        """The search for a build, to be run beside everything else; None: the job server's word is all there is.

        Our own server keeps what builds ended with. What runs is attached to. ``current`` says whether the connection
        is still the one on which the server gave its answer.
        """
        if self._elsewhere is None or server is ServerKind.OURS or standing is Standing.RUNNING:
            return None
        request = self._builds.look_elsewhere(unique)
        if request is None or not self._elsewhere.may_know(request.job):
            return None

        def not_found(absent: Absent) -> None:
            if not current():
                self._again()
                return
            if absent is Absent.CERTAIN:
                self._builds.never_ran(unique)
            self._builds.resolve(unique, standing, server)

        self.under_way.add(unique)
        return self._search(self._elsewhere, unique, request.job, not_found)

    async def _search(self, elsewhere: Elsewhere, unique: str, job: str, not_found: Callable[[Absent], None]) -> None:
        try:
            found = await elsewhere.find(unique, job)
        finally:
            self.under_way.discard(unique)
        if isinstance(found, Absent):
            not_found(found)
            return
        if self._builds.hand_over(unique):
            self._follow(unique, found)
        else:
            found.stop()  # it was cancelled meanwhile

    def cancel(self, uuid: str) -> bool:
        """Whether it was one that is followed; nothing is heard of it any more."""
        sighting = self.followed.pop(uuid, None)
        if sighting is None:
            return False
        sighting.stop()
        return True

    def _follow(self, unique: str, sighting: Sighting) -> None:
        self.followed[unique] = sighting
        sighting.follow(self._told, self._is_over)

    def _told(self, update: BuildUpdate) -> None:
        if update.uuid in self.followed:
            self._updated(update)

    def _is_over(self, end: BuildEnd) -> None:
        if self.followed.pop(end.uuid, None) is not None:
            log.info("build ended at Jenkins", uuid=end.uuid, result=end.result)
            self._ended(end)
