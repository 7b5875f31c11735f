"""Two Gerrits in one service: each has its stream, its commands and its pipelines, and neither waits for the other."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.gerrit import SandboxGerrit
from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

ACCOUNT = "second-ci"
SECOND_PROJECT = "second/project"
SECOND_JOB = "gate-second-project-unit"
LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{{event: patchset-created}}, {{event: comment-added, comment_filter: (?im)^\\s*recheck-VENDOR\\s*$}}]
    success: {{gerrit: {{Verified: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
  - name: check-second
    manager: IndependentPipelineManager
    source: second
    trigger:
      second: [{{event: patchset-created}}, {{event: comment-added, comment_filter: (?im)^\\s*recheck-VENDOR\\s*$}}]
    success: {{second: {{Verified: 1}}}}
    failure: {{second: {{Verified: -1}}}}
  - name: announce
    manager: IndependentPipelineManager
    source: second
    trigger:
      second: [{{event: comment-added, comment_filter: announce}}]
    success: {{second: {{Code-Review: 1}}}}
projects:
  - name: {PROJECT}
    check: [{JOB}]
  - name: {SECOND_PROJECT}
    check-second: [{SECOND_JOB}]
    announce: [noop]
"""


@dataclass
class TwoGerrits:
    site: Site
    second: SandboxGerrit

    def upload_to_second(self, files: dict[str, str] | None = None):
        return self.second.create_change(SECOND_PROJECT, files or {"file": "x\n"}, "Change\n", by="dev")

    async def second_votes(self, number: int, value: int) -> None:
        await when(lambda: self.second.votes(number, "Verified").get(ACCOUNT) == value, f"{value:+d} on {number}")

    def ours_at_second(self, number: int) -> list[str]:
        return [each.text for each in self.second.messages(number) if each.by.username == ACCOUNT]

    def connections(self) -> dict[str, str]:
        found = self.site.status()["ci_gate"]["connections"]
        return {each["name"]: each["state"] for each in found if each["kind"] == "Gerrit stream"}


@pytest.fixture
async def two(tmp_path) -> AsyncIterator[TwoGerrits]:
    with SandboxGerrit(tmp_path / "second") as second:
        key = second.create_account(ACCOUNT, name="Second CI", votes={"Verified": (-1, 1)})
        second.create_account("dev", may_push=True, may_abandon=True)
        second.create_project(SECOND_PROJECT, {"README": "x\n"})
        values = {
            "driver": "gerrit",
            "server": "127.0.0.1",
            "port": str(second.port),
            "user": ACCOUNT,
            "sshkey": str(key),
            "baseurl": "http://127.0.0.1",
        }
        settings = {("connection second", name): value for name, value in values.items()}
        async with World(tmp_path / "world", EXAMPLES, layout=LAYOUT, settings=settings) as world:
            site = Site(world)
            site.jenkins.add_job(SECOND_JOB, "test ! -e broken")
            await site.start()
            await when(lambda: second.listeners, "the stream of the second one")
            yield TwoGerrits(site, second)
            second.faults.clear()


async def test_changes_of_one_number_are_kept_apart(two):
    two.site.jenkins.hold(JOB)
    two.site.jenkins.hold(SECOND_JOB)
    change, other = two.site.upload(), two.upload_to_second({"broken": "x\n"})
    assert change.number == other.number
    builds = await when(lambda: len(two.site.jenkins.builds) == 2 and two.site.jenkins.builds, "both builds")
    assert {each.job: each.parameters["ZUUL_PROJECT"] for each in builds} == {
        JOB: PROJECT,
        SECOND_JOB: SECOND_PROJECT,
    }
    two.site.jenkins.release(SECOND_JOB)
    await two.second_votes(other.number, -1)
    assert two.site.ours(change.number) == [], "its own build still runs"
    two.site.jenkins.release(JOB)
    await two.site.vote(change.number, +1)
    await two.site.nothing_left()
    assert (len(two.site.ours(change.number)), len(two.ours_at_second(other.number))) == (1, 1)


async def test_each_is_asked_over_its_own_connection_as_its_own_account(two):
    change, other = two.site.upload(), two.upload_to_second()
    await two.site.vote(change.number, +1)
    await two.second_votes(other.number, +1)
    two.second.comment(other.number, by="dev", message="announce")
    await when(lambda: two.second.votes(other.number, "Code-Review").get(ACCOUNT) == 1, "the other pipeline's vote")
    await two.site.nothing_left()
    assert {each.username for each in two.second.received} == {ACCOUNT}
    assert not [each.line for each in two.second.received if PROJECT in re.findall(r"project ([\w/]+)", each.line)]
    assert not [each.line for each in two.site.gerrit.received if SECOND_PROJECT in each.line]
    assert two.second.connections.count(ACCOUNT) == 2, "one for events, one for commands"
    loads = {each["name"]: each for each in two.site.status()["ci_gate"]["gerrit_commands"]}
    assert loads.keys() == {"gerrit", "second"}
    assert all(each["last_minute"] > 0 and each["budget"] == 600 for each in loads.values())


async def test_one_that_is_down_holds_up_nobody_and_is_caught_up_with(two):
    missed = two.upload_to_second()
    await two.second_votes(missed.number, +1)
    two.second.stop()
    await when(lambda: two.connections() == {"gerrit": "up", "second": "connecting"}, "the loss")
    fresh = two.upload_to_second({"fresh": "x\n"})
    two.second.comment(missed.number, by="dev", message="recheck-DEMO")
    for number in range(3):
        change = two.site.upload({f"file-{number}": "x\n"})
        await two.site.vote(change.number, +1)
    two.second.start()
    await two.second_votes(fresh.number, +1)
    await when(lambda: len(two.ours_at_second(missed.number)) == 2, "the report on the recheck")
    await two.site.nothing_left()
    assert len(two.ours_at_second(fresh.number)) == 1


async def test_one_that_hangs_in_every_answer_holds_up_nobody(two):
    two.second.faults.freeze()
    other = two.upload_to_second()
    for number in range(3):
        change = two.site.upload({f"file-{number}": "x\n"})
        await two.site.vote(change.number, +1)
    two.second.faults.thaw()
    await two.second_votes(other.number, +1)
    await two.site.nothing_left()
