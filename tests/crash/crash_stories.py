"""What people do during a crash test. Each story knows what has to come of it, however often the service dies."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crash_site import ONE, PUSHED, TWO, CrashSite, when

CHECKED, GATED, STARTED, NOT_MERGED = "Checked.", "Gated.", "Starting gate jobs.", "All tests passed, but"


@dataclass
class Expected:
    """What there has to be in the end.

    ``checks``: reports of the check pipeline by change and patch set; ``replaced``: patch sets that may have one, for
    another came; ``merged``, in an order in which a later one may stand on an earlier; ``failed`` in the gate.
    """

    checks: Counter[tuple[int, int]] = field(default_factory=Counter)
    replaced: set[tuple[int, int]] = field(default_factory=set)
    merged: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)


class Stories:
    def __init__(self, site: CrashSite, chance: random.Random) -> None:
        self.site = site
        self.chance = chance
        self.expected = Expected()
        self._uploads = 0

    def begin(self, count: int) -> list[asyncio.Task[None]]:
        """``count`` stories, each beside the others."""
        choices: Sequence[Callable[[random.Random], Awaitable[None]]] = [
            self.checked_again,
            self.replaced,
            self.gated,
            self.gated,
            self.gated_across,
            *([] if self.site.apart else [self.broken]),
            self.pushed,
        ]
        order = [choices[index % len(choices)] for index in range(count)]
        self.chance.shuffle(order)
        return [asyncio.create_task(self._later(each, random.Random(self.chance.random()))) for each in order]

    async def _later(self, story: Callable[[random.Random], Awaitable[None]], chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0.0, 4.0))
        await story(chance)

    # --- single steps ---

    async def _upload(self, project: str = ONE, *, broken: bool = False, needs: object = None, **options: object):
        self._uploads += 1
        files = {f"file-{self._uploads}": "x\n", **({"broken": "x\n"} if broken else {})}
        message = f"Change number {self._uploads}\n"
        if needs is not None:
            message += f"\nDepends-On: {needs.change_id}\n"
        change = await asyncio.to_thread(
            lambda: self.site.gerrit.create_change(project, files, message, by="dev", **options)
        )
        self.expected.checks[change.number, 1] += 1
        return change

    async def _checked(self, number: int, patch_set: int) -> None:
        wanted = self.expected.checks[number, patch_set]
        await when(
            lambda: self.site.reports(number, CHECKED).count(patch_set) >= wanted,
            f"{wanted} reports of check on {number},{patch_set}",
        )

    async def _say(self, number: int, message: str = "", votes: Mapping[str, int] | None = None, by: str = "boss"):
        await asyncio.to_thread(lambda: self.site.gerrit.comment(number, by=by, message=message, votes=votes))

    async def _approve(self, number: int) -> None:
        await self._say(number, votes={"Code-Review": 2, "Workflow": 1})

    async def _merged(self, numbers: Sequence[int]) -> None:
        self.expected.merged += numbers
        for number in numbers:
            await when(lambda number=number: not self.site.gerrit.change(number).is_open, f"{number} to be merged")

    # --- stories ---

    async def checked_again(self, chance: random.Random) -> None:
        change = await self._upload()
        for _ in range(chance.randrange(1, 3)):
            await self._checked(change.number, 1)
            self.expected.checks[change.number, 1] += 1
            await self._say(change.number, "recheck", by="dev")
        await self._checked(change.number, 1)
        await self._new_patch_set(change.number)
        await self._checked(change.number, 2)

    async def replaced(self, chance: random.Random) -> None:
        """A patch set that another replaces, at any time before its report or after."""
        change = await self._upload()
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        self.expected.replaced.add((change.number, 1))
        await self._new_patch_set(change.number)
        await self._checked(change.number, 2)

    async def _new_patch_set(self, number: int) -> None:
        await asyncio.to_thread(lambda: self.site.gerrit.create_patch_set(number, {f"more-{number}": "y\n"}))
        self.expected.checks[number, 2] += 1

    async def gated(self, chance: random.Random) -> None:
        """Changes on top of each other in one project."""
        first = await self._upload(ONE)
        chain = [first]
        for _ in range(chance.randrange(0, 3)):
            chain.append(await self._upload(ONE, parent=chain[-1]))
        for each in chain:
            await self._approve(each.number)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
        await self._merged([each.number for each in chain])

    async def gated_across(self, chance: random.Random) -> None:
        """One that depends on one of another project."""
        first = await self._upload(TWO)
        second = await self._upload(ONE, needs=first)
        for each in (first, second):
            await self._approve(each.number)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
        await self._merged([first.number, second.number])

    async def broken(self, chance: random.Random) -> None:
        """One whose build fails, in the check and in the gate."""
        change = await self._upload(chance.choice([ONE, TWO]), broken=True)
        await self._approve(change.number)
        self.expected.failed.append(change.number)
        await when(lambda: self.site.reports(change.number, GATED), f"{change.number} to fail in the gate")

    async def pushed(self, chance: random.Random) -> None:
        for _ in range(chance.randrange(1, 4)):
            revision = await asyncio.to_thread(
                lambda: self.site.gerrit.push(PUSHED, {f"file-{chance.random()}": "x\n"}, "Push", by="dev")
            )
            self.expected.pushed.append(revision)
            await when(lambda revision=revision: revision in self.site.pushes_recorded(), f"a build of {revision}")
