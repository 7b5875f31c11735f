"""Builds that no job server knows any more, looked for at every Jenkins that may have run them.

Each ``[jenkins NAME]`` whose ``jobs`` match is asked, whether the bridge or the Gearman plugin serves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.http import JenkinsError
from ci_gate.jenkins.watch import Found, Watch, WatchTimes
from ci_gate.model.elsewhere import Absent

log = structlog.stdlib.get_logger("ci_gate.Jenkins")


class JenkinsRecords:
    """The launcher's ``Elsewhere`` (``model/elsewhere.py``). Nothing is asked of a Jenkins before it is needed."""

    def __init__(self, jenkinses: Iterable[JenkinsSettings], times: WatchTimes | None = None) -> None:
        self._times = times or WatchTimes()
        self._watches = [Watch(each, self._times) for each in jenkinses]

    async def close(self) -> None:
        for each in self._watches:
            await each.close()

    def may_know(self, job: str) -> bool:
        return any(each.covers(job) for each in self._watches)

    async def find(self, uuid: str, job: str) -> Found | Absent:
        """Absent is certain only if every Jenkins has answered, and one of them would show builds of the job."""
        watches = [each for each in self._watches if each.covers(job)]
        asked = {asyncio.create_task(self._ask(each, uuid, job)) for each in watches}
        answers: list[Absent | None] = []
        try:
            for answer in asyncio.as_completed(asked):
                found = await answer
                if isinstance(found, Found):
                    log.info("build found", jenkins=found.watch.name, job=job, uuid=uuid)
                    return found
                answers.append(found)
        finally:
            for each in asked:
                each.cancel()
        certain = Absent.CERTAIN in answers and Absent.UNCERTAIN not in answers
        log.info("build not found", job=job, uuid=uuid, certain=certain)
        return Absent.CERTAIN if certain else Absent.UNCERTAIN

    async def _ask(self, watch: Watch, uuid: str, job: str) -> Found | Absent | None:
        try:
            async with asyncio.timeout(self._times.limit):
                return await watch.find(uuid, job)
        except TimeoutError:
            reason = f"no answer within {self._times.limit:g} s"
        except JenkinsError as problem:
            reason = str(problem)
        log.warning("build not looked for", jenkins=watch.name, job=job, uuid=uuid, reason=reason)
        return Absent.UNCERTAIN
