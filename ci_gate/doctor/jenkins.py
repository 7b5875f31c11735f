"""Checks of a ``[jenkins NAME]``: account, parameters, triggers that would build twice (gearman-jenkins.md 11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from ci_gate.config.gerrit_trigger import TriggerError, read_trigger
from ci_gate.config.settings import JenkinsSettings
from ci_gate.doctor.check import Finding, Step, counted, good, some, unknown, wrong
from ci_gate.doctor.running import Once
from ci_gate.doctor.site import Site
from ci_gate.jenkins.api import UUID, Api, JenkinsJob, Overview
from ci_gate.jenkins.http import Http, JenkinsError, MissingError, RefusedError
from ci_gate.jenkins.names import JobPaths, address_of
from ci_gate.jenkins.secrets import TokenError, token_of

IN_TIME_S = 8.0  # for the list of jobs, and for the configurations of all


class Jenkins:
    """One section. ``close`` it in the end."""

    def __init__(self, site: Site, settings: JenkinsSettings) -> None:
        self._site = site
        self._settings = settings
        self._http = Http(settings)
        self._api = Api(self._http, time.time)
        self._overview = Once(self._look)

    @property
    def group(self) -> str:
        return f"Jenkins {self._settings.name}"

    def steps(self) -> Iterator[Step]:
        yield Step(self.group, "account", self._account)
        yield Step(self.group, "jobs", self._parameters, ("account", "This machine/layout"))
        yield Step(self.group, "Gerrit Trigger", self._triggers, ("account", "This machine/layout"))

    def close(self) -> None:
        self._http.close()

    async def _look(self) -> Overview:
        return await self._api.overview(JobPaths(self._settings.job_path).depth)

    async def _account(self) -> Finding:
        place = f"[jenkins {self._settings.name}]"
        try:
            await asyncio.to_thread(token_of, self._settings)
            async with asyncio.timeout(IN_TIME_S):
                overview = await self._overview()
        except TimeoutError:
            fix = f"is {place} url right, and the way to it open for this machine?"
            return wrong(f"{self._settings.url} does not answer within {IN_TIME_S:g} s", fix)
        except TokenError as problem:
            what, _, advice = str(problem).rpartition(": ")
            return wrong(what, advice)
        except RefusedError as problem:
            return wrong(
                f"{self._settings.url}: {problem}",
                f"correct user and token in {place}; the account needs Overall/Read and Job/Read, Build and Cancel",
            )
        except JenkinsError as problem:
            return wrong(
                f"cannot be asked: {problem}", f"is {place} url right ({self._settings.url}), and does it run?"
            )
        if overview.quieting_down:
            return wrong("it prepares for shutdown and starts nothing", "cancel that in Manage Jenkins, or wait")
        return good(
            f"{self._settings.url}: {self._settings.user or 'anonymous'} sees {counted(len(overview.jobs), 'job')}"
        )

    async def _ours(self) -> list[JenkinsJob]:
        """Those that the layout names, as the bridge would offer them."""
        paths, wanted = JobPaths(self._settings.job_path), set(self._site.jobs)
        found = []
        for job in (await self._overview()).jobs:
            name = paths.name_of(job.path)
            expression = self._settings.jobs
            if name and name[1] in wanted and (expression is None or expression.match(name[1])):
                found.append(job)
        return found

    async def _parameters(self) -> Finding:
        ours = await self._ours()
        disabled = ["/".join(each.path) for each in ours if not each.buildable]
        if disabled:
            return wrong(f"disabled in Jenkins: {some(disabled)}", "enable them there", items=disabled)
        undeclared = ["/".join(each.path) for each in ours if UUID not in each.parameters]
        if undeclared:
            return wrong(
                f"without the parameter {UUID}, so that they are not offered: {some(undeclared)}",
                "ci-gate jenkins --declare-parameters   adds what is missing",
                items=undeclared,
            )
        return good(f"it has {len(ours)} of the layout's {counted(len(self._site.jobs), 'job')}, with their parameters")

    async def _triggers(self) -> Finding:
        ours = await self._ours()
        carrying: list[str] = []
        unseen: dict[str, str] = {"/".join(each.path): "not in time" for each in ours}

        async def look(job: JenkinsJob) -> None:
            name = "/".join(job.path)
            try:
                config = await self._http.get_text(f"{address_of(job.path)}/config.xml")
                trigger = read_trigger(name, config)
            except (RefusedError, MissingError):
                unseen[name] = "the account lacks Job/ExtendedRead"
            except (JenkinsError, TriggerError) as problem:
                unseen[name] = str(problem)
            else:
                del unseen[name]
                if trigger is not None:
                    carrying.append(name)

        tasks = [asyncio.create_task(look(each)) for each in ours]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=IN_TIME_S)
            for task in late:
                task.cancel()
        if carrying:
            carrying.sort()
            return wrong(
                f"still started by the Gerrit Trigger plugin too, so that they build twice: {some(carrying)}",
                f"ci-gate migrate gerrit-trigger --jenkins {self._settings.name} --disable-triggers",
                items=carrying,
            )
        if unseen:
            first = next(iter(unseen))
            return unknown(
                f"the configuration of {counted(len(unseen), 'job')} cannot be read ({unseen[first]}): {some(unseen)}",
                "give the account Job/ExtendedRead (plugin Extended Read Permission) or Job/Configure",
                items=unseen,
            )
        return good(f"none of {counted(len(ours), 'job')} carries it")
