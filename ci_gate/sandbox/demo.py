"""The story that ``ci-gate demo`` tells: four changes of one project, and the votes that they get.

A good change, a bad one, one that does not merge, and one whose test fails for a reason outside until somebody
comments ``recheck-DEMO``. Each step is told as it happens; the votes in the end are read back from the Gerrit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ci_gate.sandbox.gerrit_values import Change
from ci_gate.sandbox.jenkins import Build
from ci_gate.sandbox.world import CI_ACCOUNT, World

PROJECT = "example/project"
JOB = "gate-example-project-unit"
STEP_S = 30.0
FILES = {
    "greeting.py": 'def greeting(name):\n    return f"Hello, {name}!"\n',
    "test.sh": 'set -e\npython3 -c \'from greeting import greeting; assert greeting("you") == "Hello, you!"\'\n',
}
NEEDS_NETWORK = 'test -e "$NETWORK" || { echo "the network is down"; exit 1; }\n'

Tell = Callable[[str], None]


class DemoError(Exception):
    """A step did not happen; the text says which, with the end of the service's log."""


@dataclass(slots=True)
class Act:
    """One change of the story, and the votes that it is to get, one after the other."""

    title: str
    expected: list[int]
    change: Change | None = None

    @property
    def number(self) -> int:
        if self.change is None:
            raise DemoError(f"{self.title} was never uploaded")
        return self.change.number


class Demo:
    """``tell`` gets a line for each step, without its time."""

    def __init__(self, folder: Path, examples: Path, tell: Tell) -> None:
        self.world = World(folder, examples)
        self.acts = [
            Act("a good change", [1]),
            Act("a bad change", [-1]),
            Act("a conflicting change", [-1]),
            Act("a flaky change", [-1, 1]),
        ]
        self._network = folder / "network-is-up"
        self._tell = tell
        self._told: set[str] = set()

    async def prepare(self) -> None:
        """Start everything; the world must be entered."""
        gerrit, jenkins = self.world.gerrit, self.world.jenkins
        gerrit.create_project(PROJECT, FILES)
        self._tell(f"Gerrit runs at port {gerrit.port}, with the project {PROJECT}")
        await self.world.start_service()
        self._tell("ci-gate serve runs, and listens to Gerrit's events")
        jenkins.add_job(JOB, f'NETWORK="{self._network}"; . ./test.sh')
        await jenkins.start()
        await jenkins.ready()
        self._tell(f"Jenkins runs, and offers the job {JOB} over Gearman")
        self._tell(f"the status page is at {self.world.url}")

    async def play(self) -> None:
        """The four changes, one after the other. Raises DemoError."""
        good, bad, conflicting, flaky = self.acts
        await self._upload(good, {"greeting.py": FILES["greeting.py"] + "\n\n# Greets.\n"})
        await self._upload(bad, {"greeting.py": 'def greeting(name):\n    return "Goodbye!"\n'})
        base = self.world.gerrit.head(PROJECT)
        self.world.gerrit.push(PROJECT, {"README": "Greets people.\n"}, "Add a README", by="dev")
        self._tell("dev pushes a README to master, which the next change does not know of")
        await self._upload(conflicting, {"README": "Says hello.\n"}, parent=base)
        await self._upload(flaky, {"test.sh": NEEDS_NETWORK + FILES["test.sh"]})
        self._network.touch()
        self._tell("the network is up again")
        self.world.gerrit.comment(flaky.number, by="dev", message="recheck-DEMO")
        self._tell(f'dev comments "recheck-DEMO" on change {flaky.number}')
        await self._vote_comes(flaky, flaky.expected[-1])

    def votes(self) -> list[tuple[Act, int | None]]:
        """What the Gerrit holds now for each change."""
        return [(act, self.world.gerrit.votes(act.number, "Verified").get(CI_ACCOUNT)) for act in self.acts]

    async def _upload(self, act: Act, files: dict[str, str], parent: str | None = None) -> None:
        message = f"Make {act.title}\n"
        act.change = self.world.gerrit.create_change(PROJECT, files, message, by="dev", parent=parent)
        self._tell(f"dev uploads {act.title} as {act.number},1")
        await self._vote_comes(act, act.expected[0])

    async def _vote_comes(self, act: Act, expected: int) -> None:
        """Tell of the build, if there is one, and of the vote that follows."""
        ends_at = time.monotonic() + STEP_S
        while self._vote(act) != expected:
            for build in self.world.jenkins.builds:
                if build.parameters.get("ZUUL_CHANGE") == str(act.number) and build.uuid not in self._told:
                    self._told.add(build.uuid)
                    self._tell_build(build)
            if time.monotonic() > ends_at:
                raise DemoError(
                    f"{act.title} got no vote of {expected:+d}; the service says:\n{self.world.end_of_log()}"
                )
            await asyncio.sleep(0.01)
        message = self.world.gerrit.messages(act.number)[-1].text
        for line in message.strip().splitlines():
            self._tell(f"    | {line}".rstrip())

    def _vote(self, act: Act) -> int | None:
        return self.world.gerrit.votes(act.number, "Verified").get(CI_ACCOUNT)

    def _tell_build(self, build: Build) -> None:
        ref = build.parameters.get("ZUUL_REF", "")
        self._tell(f"    Jenkins runs {build.job} #{build.number} on {ref}")
