"""Checks of the job server: is it there, and do workers offer the layout's jobs? (gearman-jenkins.md 4.2)"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ci_gate.doctor.check import Finding, Step, counted, good, not_tried, some, unknown, wrong
from ci_gate.doctor.ports import what_is_in_the_way
from ci_gate.doctor.running import Once
from ci_gate.doctor.serving import Service
from ci_gate.doctor.site import Site
from ci_gate.gearman.inquiry import Address, InquiryError, identify, registered_functions

GROUP = "Gearman"
BUILD = "build:"
MERGE = "merger:merge"
MANAGER = "stop:"
ANSWER_S = 8.0
NOT_RUNNING = "the built-in job server runs with the service, which does not run"


def steps(site: Site, service: Service) -> Iterator[Step]:
    checks = _JobServer(site, service)
    yield Step(GROUP, "job server", checks.server)
    yield Step(GROUP, "jobs", checks.jobs, ("job server", "This machine/layout"))
    if not site.settings.merger.embedded:
        yield Step(GROUP, "mergers", checks.mergers, ("job server",))
    if not site.settings.jenkins:
        yield Step(GROUP, "Gerrit Trigger", checks.triggers, ("job server",))


class _JobServer:
    def __init__(self, site: Site, service: Service) -> None:
        self._site = site
        self._service = service
        self._address = Address(site.settings.gearman.server, site.settings.gearman.port)
        self._workers = Once(lambda: registered_functions(self._address))

    async def server(self) -> Finding:
        settings = self._site.settings
        if settings.gearman_server.start and not await self._service.runs():
            taken = await what_is_in_the_way(
                settings.gearman_server.listen_address, settings.gearman.port, "[gearman] port"
            )
            return taken or not_tried(NOT_RUNNING)
        try:
            # What says nothing at all would be taken for gear's server, which does not tell its version.
            async with asyncio.timeout(ANSWER_S):
                await self._workers()
                kind, version = await identify(self._address)
        except (InquiryError, TimeoutError) as problem:
            reason = problem if isinstance(problem, InquiryError) else f"no answer within {ANSWER_S:g} s"
            return wrong(
                f"no job server at {self._address}: {reason}",
                "see the service's log" if settings.gearman_server.start
                else "start it (ci-gate gearman, or gearman-job-server), or correct [gearman] server and port",
            )  # fmt: skip
        return good(" ".join(each for each in (kind.value, version, f"at {self._address}") if each))

    async def jobs(self) -> Finding:
        wanted = self._site.jobs
        workers = await self._workers()
        offered = {
            function.split(":")[1] for function, number in workers.items() if number and function.startswith(BUILD)
        }
        missing = [each for each in wanted if each not in offered]
        if not missing:
            return good(f"workers offer all jobs of the layout ({len(wanted):,})")
        return wrong(
            f"workers offer {len(wanted) - len(missing)} of {counted(len(wanted), 'job')} of the layout;"
            f" nobody offers {some(missing)}",
            f"connect the workers to {self._address} (Jenkins' Gearman plugin, ci-gate jenkins, ci-gate worker)"
            " and make the jobs there under these names",
            items=missing,
        )

    async def mergers(self) -> Finding:
        number = (await self._workers()).get(MERGE, 0)
        if not number:
            return wrong("[merger] embedded is off, and no merger is connected", "start ci-gate merger on some host")
        return good(counted(number, "merger"))

    async def triggers(self) -> Finding | None:
        """Something to say only where a Jenkins is connected by its Gearman plugin."""
        workers = await self._workers()
        if not any(number and function.startswith(MANAGER) for function, number in workers.items()):
            return None
        return unknown(
            "whether jobs of the Jenkins behind the plugin still carry a Gerrit Trigger is not seen",
            "they would build twice: give that Jenkins a [jenkins NAME] section,"
            " or there: ci-gate migrate gerrit-trigger JENKINS_HOME/jobs -o -",
        )
