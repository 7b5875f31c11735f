"""What is fetched when, and that nobody waits for what is not his (merger.md 3 and 6)."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace

import pytest
from merger_world import git, out, request
from structlog.testing import capture_logs

from ci_gate.merger.engine import CLONES_AT_ONCE
from ci_gate.merger.upstream import Origin, Upstream
from ci_gate.model.merge import MergeOutcome, MergeRequest, UpdateRequest

MERGED = MergeOutcome.MERGED


@pytest.fixture
def upstream(world):
    return world.project("p1")


@pytest.fixture
async def merger(world, upstream):
    """One that has the project, and a process for it."""
    made = world.merger(relook_s=5.0)
    await made.update(UpdateRequest("U0", "gerrit", "p1"))
    return made


def known(upstream, change, name: str, **fields: object) -> MergeRequest:
    """As the service asks that has seen the change and follows the branch."""
    return request(change, name, **{"revision": change.commit, "tip": upstream.tip(), **fields})


async def fetches(work) -> tuple[int, object]:
    """How many connections upstream saw meanwhile, and what the work came to."""
    with capture_logs() as logs:
        result = await work
    return sum(each["event"] == "fetched" for each in logs), result


async def test_a_change_that_is_there_on_a_tip_that_is_known_needs_no_fetch(upstream, merger):
    change = upstream.change({"a": "x\n"})
    assert (await fetches(merger.merge(known(upstream, change, "Z1"))))[0] == 1
    count, answer = await fetches(merger.merge(known(upstream, change, "Z2")))
    assert (count, answer.outcome) == (0, MERGED)


async def test_the_branch_is_looked_at_where_the_request_names_no_tip(upstream, merger):
    change = upstream.change({"a": "x\n"})
    await merger.merge(known(upstream, change, "Z1"))
    moved = upstream.push({"b": "x\n"})
    count, answer = await fetches(merger.merge(known(upstream, change, "Z2", tip=None)))
    assert (count, answer.tip, answer.bases[0].commit) == (1, moved, moved)


async def test_the_branch_is_looked_at_where_the_request_names_another_tip(upstream, merger):
    change = upstream.change({"a": "x\n"})
    await merger.merge(known(upstream, change, "Z1"))
    moved = upstream.push({"b": "x\n"})
    count, answer = await fetches(merger.merge(known(upstream, change, "Z2")))
    assert (count, answer.bases[0].commit) == (1, moved)


async def test_a_change_is_fetched_once_also_where_its_commit_is_not_known_before(upstream, merger):
    change = upstream.change({"a": "x\n"})
    await merger.merge(known(upstream, change, "Z1", revision=None))
    assert (await fetches(merger.merge(known(upstream, change, "Z2", revision=None))))[0] == 0


async def test_changes_that_wait_are_fetched_over_one_connection(upstream, merger):
    changes = [upstream.change({f"f{number}": "x\n"}) for number in range(20)]
    asked = [known(upstream, change, f"Z{change.number}") for change in changes]
    count, answers = await fetches(asyncio.gather(*(merger.merge(each) for each in asked)))
    assert {each.outcome for each in answers} == {MERGED}
    assert count <= 4, "the first may go ahead; what came while a fetch was under way goes with the next"


async def test_a_long_new_chain_is_fetched_over_one_connection(upstream, merger):
    changes = [upstream.change({f"f{number}": "x\n"}) for number in range(20)]
    names = [f"Z{change.number}" for change in changes]
    chain = [
        known(upstream, change, name, ahead=names[depth - 1] if depth else None, depth=depth + 1)
        for depth, (change, name) in enumerate(zip(changes, names, strict=True))
    ]
    count, answers = await fetches(asyncio.gather(*(merger.merge(each) for each in chain)))
    assert answers[-1].outcome is MERGED
    assert count <= 4, "what came while a fetch was under way goes with the next"


async def test_one_that_is_missing_takes_nothing_from_those_that_are_there(world, upstream):
    merger = world.merger(relook_s=0.0)
    await merger.update(UpdateRequest("U0", "gerrit", "p1"))
    changes = [upstream.change({f"f{number}": "x\n"}) for number in range(4)]
    gone = changes[2]
    git(upstream.path, "update-ref", "-d", gone.ref)
    answers = await asyncio.gather(*(merger.merge(known(upstream, each, f"Z{each.number}")) for each in changes))
    outcomes = [each.outcome for each in answers]
    assert outcomes == [MERGED, MERGED, MergeOutcome.MISSING_REF, MERGED]
    assert answers[2].detail == f"{gone.ref} of p1 is not there"


async def test_a_change_that_comes_a_little_late_is_waited_for(upstream, merger):
    change = upstream.change({"a": "x\n"})
    git(upstream.path, "update-ref", "-d", change.ref)
    waiting = asyncio.create_task(merger.merge(known(upstream, change, "Z1")))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    git(upstream.path, "update-ref", change.ref, change.commit)
    assert (await waiting).outcome is MERGED


async def test_a_branch_that_is_missing_is_not_waited_for(upstream, merger):
    began = time.monotonic()
    answer = await merger.merge(request(upstream.change({"a": "x\n"}), "Z1", branch="nowhere"))
    assert answer.outcome is MergeOutcome.MISSING_BRANCH
    assert time.monotonic() - began < 3.0


async def test_another_commit_under_the_changes_ref_is_not_merged_for_it(world, upstream):
    merger = world.merger(relook_s=0.0)
    change, other = upstream.change({"a": "x\n"}), upstream.change({"b": "x\n"})
    answer = await merger.merge(known(upstream, replace(change, ref=other.ref), "Z1"))
    assert answer.outcome is MergeOutcome.MISSING_REF
    assert answer.detail == f"{other.ref} of p1 is {other.commit}, not {change.commit}"


async def test_branches_and_tags_follow_upstream_whatever_became_of_them(world, upstream, merger):
    git(upstream.path, "branch", "topic")
    git(upstream.path, "tag", "-a", "-m", "x", "v1")
    await merger.update(UpdateRequest("U1", "gerrit", "p1"))
    git(upstream.path, "branch", "-D", "topic")
    git(upstream.path, "branch", "topic/two")
    git(upstream.path, "tag", "-d", "v1")
    upstream.push({"a": "x\n"})
    git(upstream.path, "tag", "-a", "-m", "y", "v1")
    git(upstream.path, "branch", "-f", "stable", "master")
    await merger.update(UpdateRequest("U2", "gerrit", "p1"))
    listing = ("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    assert out(world.repository("p1"), *listing) == out(upstream.path, *listing)


async def test_a_default_branch_that_is_gone_leaves_head_on_one_that_is_there(world, upstream, merger):
    git(upstream.path, "branch", "-m", "master", "trunk")
    await merger.update(UpdateRequest("U1", "gerrit", "p1"))
    assert out(world.repository("p1"), "symbolic-ref", "HEAD") == "refs/heads/trunk"


async def test_a_project_that_is_empty_is_cloned_and_has_no_branch(world):
    empty = world.project("empty")
    change = empty.change({"a": "x\n"})
    for branch in ("master", "stable"):
        git(empty.path, "update-ref", "-d", f"refs/heads/{branch}")
    answer = await world.merger().merge(request(change, "Z1"))
    assert (answer.outcome, answer.detail) == (MergeOutcome.MISSING_BRANCH, "empty has no branch master")


async def test_a_fetch_looks_only_at_branches_however_many_states_are_published(world, upstream, merger, tmp_path):
    """What upstream is told: the commits of branches, and nothing of build sets."""
    upstream.push({"other": "x\n"})
    answer = await merger.merge(request(upstream.change({"a": "x\n"}, onto="stable"), "Z1"))
    before = upstream.tip()
    upstream.push({"later": "x\n"})
    trace = tmp_path / "trace"
    origin = Origin(str(upstream.path), {"GIT_TRACE_PACKET": str(trace)})
    await Upstream("p1", world.repository("p1"), tmp_path / "scratch", 60.0).fetch(origin, branches=True, change=None)
    haves = [line.rpartition("have ")[2] for line in trace.read_text().splitlines() if "> have " in line]
    assert before in haves
    assert answer.commit not in haves


async def test_clones_that_never_end_hold_up_no_other_project(world, upstream):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"git://127.0.0.1:{silent.getsockname()[1]}/x"
        merger = world.merger(project_url=lambda _, project: str(upstream.path) if project == "p1" else address)
        change = upstream.change({"a": "x\n"})
        await merger.update(UpdateRequest("U0", "gerrit", "p1"))
        stuck = [
            asyncio.create_task(merger.merge(replace(request(change, f"Y{number}"), project=f"new{number}")))
            for number in range(2 * CLONES_AT_ONCE)
        ]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(10):
            assert (await merger.merge(request(change, "Z1"))).outcome is MERGED
        assert not any(each.done() for each in stuck)
        await merger.close()
        await asyncio.wait(stuck)
