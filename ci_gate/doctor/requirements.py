"""Are submit requirements to be seen? Gates have to know whether Gerrit would merge a change (gerrit-wire.md 4.6)."""

from __future__ import annotations

from collections.abc import Iterator

from ci_gate.doctor.check import Finding, Step, UnansweredError, good, unknown
from ci_gate.doctor.gerrit import Gerrit
from ci_gate.doctor.web import records
from ci_gate.gerrit.query import SAFE_VALUE, SUBMIT_REQUIREMENTS_SINCE, version_of
from ci_gate.gerrit.requirements import OPTIONS, REMEDY

MOST_PROJECTS = 40  # in the one query


def steps(gerrit: Gerrit) -> Iterator[Step]:
    yield Step(gerrit.group, "requirements", lambda: _requirements(gerrit), ("account", "This machine/layout"))


async def _requirements(gerrit: Gerrit) -> Finding | None:
    projects = [each for each in gerrit.site.projects(gerrit.given.name) if SAFE_VALUE.fullmatch(each)]
    if not projects or not gerrit.site.asks_readiness(gerrit.given.name):
        return None
    how = "without a login" if gerrit.given.password is None else f"as {gerrit.web.user}"
    among = " OR ".join(f"project:{{{each}}}" for each in projects[:MOST_PROJECTS])
    query = [("q", f"({among}) status:open"), ("n", "1"), *(("o", each) for each in OPTIONS)]
    try:
        if version_of(version := await gerrit.version()) < SUBMIT_REQUIREMENTS_SINCE:
            return good(f"submit records tell, as Gerrit {version} has no submit requirements")
        changes = records(await gerrit.web.ask("changes/", query))
    except UnansweredError as problem:
        return unknown(f"submit requirements cannot be seen {how}: {problem}", REMEDY)
    if not changes:
        return unknown(
            f"no open change of the layout's projects is to be seen {how}",
            "run it again when there is one" + (f"; if there is: {REMEDY}" if gerrit.given.password is None else ""),
        )
    if changes[0].get("submit_requirements") is None:
        return unknown(f"Gerrit shows no submit requirements {how}", REMEDY)
    return good(f"Gerrit shows submit requirements {how}")
