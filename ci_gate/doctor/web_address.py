"""Is Gerrit's web address right, is the HTTP password accepted, and do the clocks agree?

Links in reports need the address; what was missed is looked for by Gerrit's time (gerrit-wire.md 10).
"""

from __future__ import annotations

from collections.abc import Iterator

from ci_gate.config.settings import GerritSettings
from ci_gate.doctor.check import Finding, Step, good, unknown, wrong
from ci_gate.doctor.rest import RestAnswer, RestError, get
from ci_gate.doctor.running import Once

APART_S = 30.0  # half of what the service allows for


def steps(group: str, gerrit: GerritSettings) -> Iterator[Step]:
    checks = _WebAddress(gerrit)
    yield Step(group, "web address", checks.address)
    yield Step(group, "clock", checks.clock, ("web address",))


class _WebAddress:
    def __init__(self, gerrit: GerritSettings) -> None:
        self._gerrit = gerrit
        self._answer = Once(self._ask)

    async def _ask(self) -> RestAnswer:
        """Raises RestError."""
        return await get(self._gerrit, "config/server/version")

    async def address(self) -> Finding:
        who = self._gerrit.http_user or self._gerrit.user
        section = self._gerrit.name if self._gerrit.name == "gerrit" else f"connection {self._gerrit.name}"
        try:
            await self._answer()
        except RestError as problem:
            if self._gerrit.password is None:
                return unknown(f"{problem}", f"correct [{section}] baseurl, unless only people can reach it")
            if problem.status in (401, 403):
                fix = f"make a new one in Gerrit (Settings, HTTP Credentials), and set [{section}] password to it"
                return wrong(f"the HTTP password of {who} is not accepted: {problem}", fix)
            return wrong(f"{problem}", f"correct [{section}] baseurl; there is a password for it")
        password = f"; the HTTP password of {who} is accepted" if self._gerrit.password is not None else ""
        return good(f"{self._gerrit.baseurl}{password}")

    async def clock(self) -> Finding:
        try:
            ahead = (await self._answer()).ahead_s
        except RestError:
            return unknown("Gerrit's clock is to be seen at its web address only")
        if ahead is None:
            return unknown("Gerrit's web address does not tell the time")
        if abs(ahead) > APART_S:
            where = "ahead of" if ahead > 0 else "behind"
            return wrong(
                f"Gerrit's clock is {abs(ahead):.0f} s {where} this machine's",
                "let both keep time by NTP: timedatectl set-ntp true",
            )
        return good(f"within {max(1.0, abs(ahead)):.0f} s of Gerrit's")
