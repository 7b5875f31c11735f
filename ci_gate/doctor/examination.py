"""All checks of a site, in the order in which an operator puts things right. Begin to read here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import read_settings
from ci_gate.doctor import gearman, labels, local, outside, posts, requirements, web_address
from ci_gate.doctor.check import Check, Step, not_tried
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.gerrit_http import HttpGerrit
from ci_gate.doctor.gerrit_ssh import SshGerrit
from ci_gate.doctor.jenkins import Jenkins
from ci_gate.doctor.running import run
from ci_gate.doctor.serving import Service
from ci_gate.doctor.site import Site


async def examine(config: Path) -> AsyncGenerator[Check, None]:
    """What is found with the site of a configuration file. Nothing is changed, neither here nor elsewhere."""
    try:
        settings, problems = read_settings(config)
    except RefusedError as refused:
        yield Check(local.GROUP, "configuration", local.refused_configuration(refused, config))
        yield Check(local.GROUP, "everything else", not_tried("not tried: it needs configuration"))
        return
    site = Site(settings, problems)
    gerrits = [(HttpGerrit if each.is_http_only else SshGerrit)(site, each) for each in settings.gerrits]
    jenkinses = [Jenkins(site, each) for each in settings.jenkins]
    try:
        async with aclosing(run(_steps(site, gerrits, jenkinses))) as checks:
            async for check in checks:
                yield check
    finally:
        for gerrit in gerrits:
            await gerrit.close()
        for jenkins in jenkinses:
            jenkins.close()


def _steps(site: Site, gerrits: Sequence[Gerrit], jenkinses: list[Jenkins]) -> list[Step]:
    service = Service(site)
    found = [*local.steps(site)]
    for gerrit in gerrits:
        of_the_web = web_address.steps(gerrit)
        found += [*of_the_web, *gerrit.steps()] if gerrit.given.is_http_only else [*gerrit.steps(), *of_the_web]
        found += [*posts.steps(gerrit, service), *labels.steps(gerrit), *requirements.steps(gerrit)]
    found += service.steps()
    found += gearman.steps(site, service)
    for jenkins in jenkinses:
        found += jenkins.steps()
    return [*found, *outside.steps(site)]
