"""The gate from end to end: changes are tested on top of each other, and merged in order if they pass."""

from __future__ import annotations

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, SHORT_HOLD, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

LAYOUT = f"""
pipelines:
  - name: gate
    manager: DependentPipelineManager
    trigger: {{gerrit: [{{event: comment-added, approval: [{{Workflow: 1}}]}}]}}
    start: {{gerrit: {{Verified: 0}}}}
    success: {{gerrit: {{Verified: 2, submit: true}}}}
    failure: {{gerrit: {{Verified: -2}}}}
projects:
  - name: {PROJECT}
    gate: [{JOB}]
"""


@pytest.fixture
async def gate(tmp_path):
    settings = {("zuul", "replication_retry_interval"): "1", **SHORT_HOLD}
    async with World(tmp_path, EXAMPLES, layout=LAYOUT, settings=settings, may_submit=True) as world:
        site = Site(world)
        await site.start()
        world.gerrit.create_account("boss", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1)})
        yield site


def approve(site: Site, change) -> None:
    site.gerrit.comment(change.number, by="boss", votes={"Code-Review": 2, "Workflow": 1})


async def merged(site: Site, *changes) -> None:
    for each in changes:
        await when(lambda each=each: site.gerrit.change(each.number).status == "MERGED", f"{each.number} to be merged")


def changes_of(build) -> list[str]:
    return build.parameters["ZUUL_CHANGE_IDS"].split()


async def test_an_approved_change_is_tested_and_merged(gate):
    change = gate.upload()
    approve(gate, change)
    await merged(gate, change)
    (build,) = gate.builds(change.number)
    assert gate.gerrit.head(PROJECT) == build.commit, "what was tested is what was merged"
    assert gate.ours(change.number)[0].startswith("Starting gate jobs.")
    assert gate.vote_of(change.number) == 2
    await gate.nothing_left()


async def test_the_second_is_tested_on_the_first_and_both_merge_in_order(gate):
    gate.jenkins.hold(JOB)
    first, second = gate.upload({"a": "1\n"}), gate.upload({"b": "2\n"})
    approve(gate, first)
    approve(gate, second)
    await when(lambda: gate.builds(first.number) and gate.builds(second.number), "both builds at the same time")
    (build,) = gate.builds(second.number)
    assert changes_of(build) == [f"{first.number},1", f"{second.number},1"]
    gate.jenkins.release(JOB)
    await merged(gate, first, second)
    assert len(gate.builds(second.number)) == 1
    await gate.nothing_left()


async def test_one_that_fails_in_the_middle_is_left_out_and_the_others_merge(gate):
    gate.jenkins.add_job(JOB, "test ! -e broken")
    gate.jenkins.hold(JOB)
    first, middle, last = gate.upload({"a": "1\n"}), gate.upload({"broken": "x\n"}), gate.upload({"c": "3\n"})
    for each in (first, middle, last):
        approve(gate, each)
    await when(lambda: all(gate.builds(each.number) for each in (first, middle, last)), "all three builds")
    gate.jenkins.release(JOB)
    await merged(gate, first, last)
    await gate.vote(middle.number, -2)
    assert gate.gerrit.change(middle.number).status == "NEW"
    before, after = gate.builds(last.number)
    assert changes_of(after) == [f"{first.number},1", f"{last.number},1"]
    await gate.nothing_left()
    for build, result, other in ((before, "CANCELED", "after"), (after, "SUCCESS", "before")):
        wanted = f"Result: <b>{result}</b>", f"The builds {other} these, on another base:"
        await when(lambda said=wanted, at=build: all(each in at.description for each in said), f"{result} at Jenkins")


async def test_a_change_that_gerrit_refuses_to_submit_holds_nobody_up(gate):
    refused, other = gate.upload({"a": "1\n"}), gate.upload({"b": "2\n"})
    gate.jenkins.hold(JOB)
    approve(gate, refused)
    await gate.jenkins.running(JOB)
    gate.gerrit.comment(refused.number, by="boss", votes={"Code-Review": -2})
    approve(gate, other)
    await when(lambda: gate.builds(other.number), "the build of the other")
    gate.jenkins.release(JOB)
    await merged(gate, other)
    assert gate.gerrit.change(refused.number).status == "NEW"
    *_, told = await gate.reports(refused.number, 3)
    assert told.startswith("All tests passed, but this change was not merged.\n\n")
    assert "submit requirement 'Code-Review' is unsatisfied" in told
    assert changes_of(gate.builds(other.number)[-1]) == [f"{other.number},1"]


def needing(site: Site, other, files):
    message = f"Need the other\n\nDepends-On: {site.gerrit.change(other.number).change_id}\n"
    return site.gerrit.create_change(PROJECT, files, message, by="dev")


async def test_a_needed_change_comes_in_first_if_the_pipeline_can_tell_that_it_may(gate):
    layout = gate.world.folder / "layout.yaml"
    text = layout.read_text().replace("    start:", "    require: {approval: [{Workflow: 1}]}\n    start:")
    layout.write_text(text)
    before = gate.status()["last_reconfigured"]
    gate.world.hang_up()
    await when(lambda: gate.status()["last_reconfigured"] > before, "the new layout to be in force")
    gate.jenkins.add_job(JOB, "false")
    first = gate.upload({"a": "1\n"})
    approve(gate, first)
    await gate.vote(first.number, -2)
    gate.jenkins.add_job(JOB, "true")
    second = needing(gate, first, {"b": "2\n"})
    approve(gate, second)
    await merged(gate, first, second)
    assert changes_of(gate.builds(second.number)[-1]) == [f"{first.number},1", f"{second.number},1"]


async def test_a_needed_change_that_nobody_approved_keeps_the_other_out(gate):
    first = gate.upload({"a": "1\n"})
    second = needing(gate, first, {"b": "2\n"})
    approve(gate, second)
    approve(gate, first)
    await merged(gate, first)
    assert not gate.builds(second.number)
    gate.gerrit.comment(second.number, by="boss", message="once more", votes={"Workflow": 0})
    approve(gate, second)
    await merged(gate, second)


async def test_a_failing_change_that_somebody_merges_counts_as_merged_and_nothing_behind_it_restarts(gate):
    first, second = gate.upload({"a": "1\n"}), gate.upload({"b": "2\n"})
    gate.jenkins.add_job(JOB, f'test "$ZUUL_CHANGE" != {first.number}')
    gate.jenkins.hold(JOB)
    approve(gate, first)
    approve(gate, second)
    await when(lambda: gate.builds(first.number) and gate.builds(second.number), "both builds")
    gate.gerrit.create_account("admin", may_submit=True, votes={"Verified": (-2, 2)})
    gate.gerrit.comment(first.number, by="admin", votes={"Verified": 2})
    asked = len(gate.gerrit.received)
    gate.gerrit.submit(first.number, by="admin")
    await when(lambda: any(str(first.number) in each.line for each in gate.gerrit.received[asked:]), "a look at it")
    await when(lambda: not gate.status()["trigger_event_queue"]["length"], "the merge to be known")
    gate.jenkins.release(JOB)
    await merged(gate, second)
    assert len(gate.builds(second.number)) == 1
    assert any(each.startswith("Build failed.") for each in gate.ours(first.number))
    await gate.nothing_left()
