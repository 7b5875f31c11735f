"""What can be wrong with repositories and with where they come from (merger.md 6 and 8)."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from dataclasses import replace

import pytest
from merger_world import ENVIRONMENT, ZUUL_URL, git, lines, merge_chain, out, request

from ci_gate.config.settings import GerritSettings, MergerSettings
from ci_gate.merger.local import LocalMerger
from ci_gate.model.merge import MergeMode, MergeOutcome, MergeRequest, UpdateRequest
from ci_gate.sandbox.gerrit import SandboxGerrit


@pytest.fixture
def upstream(world):
    return world.project("p1")


async def test_asking_again_gives_the_same_commit_without_merging_again(world, upstream):
    merger = world.merger()
    change = upstream.change({"file": "x\n"})
    first = await merger.merge(request(change, "Z1"))
    upstream.push({"other": "y\n"})
    assert await merger.merge(request(change, "Z1")) == first
    assert await world.merger().merge(request(change, "Z1")) == first, "after a restart, too"


async def test_two_who_ask_at_once_get_one_answer(world, upstream):
    merger = world.merger()
    change = upstream.change({"file": "x\n"})
    first, second = await asyncio.gather(merger.merge(request(change, "Z1")), merger.merge(request(change, "Z1")))
    assert first == second
    assert first.outcome is MergeOutcome.MERGED


async def test_a_name_cannot_be_used_for_something_else(world, upstream):
    merger = world.merger()
    await merger.merge(request(upstream.change({"file": "x\n"}), "Z1"))
    again = await merger.merge(request(upstream.change({"file": "y\n"}), "Z1"))
    assert again.outcome is MergeOutcome.INTERNAL
    assert "another request" in again.detail


async def test_a_merge_has_the_configured_identity_and_the_date_of_the_younger_commit(world, upstream):
    settings = MergerSettings(zuul_url=ZUUL_URL, git_user_name="Gate", git_user_email="gate@acme.test")
    merger = world.merger(settings=settings)
    change = upstream.change({"file": "x\n"})
    upstream.push({"other": "y\n"})
    answer = await merger.merge(request(change, "Z1"))
    shown = out(world.repository("p1"), "show", "-s", "--format=%an <%ae> %cn <%ce> %at %ct", answer.commit)
    assert shown == "Gate <gate@acme.test> Gate <gate@acme.test> 1700000100 1700000100"


async def test_the_same_merge_makes_the_same_commit_on_every_host(world, upstream):
    change = upstream.change({"file": "x\n"})
    upstream.push({"other": "y\n"})
    here = await world.merger("here").merge(request(change, "Z1"))
    there = await world.merger("there").merge(request(change, "Z2"))
    assert here.commit == there.commit != change.commit


async def test_a_repository_that_lost_objects_is_made_anew(world, upstream):
    merger = world.merger()
    await merger.merge(request(upstream.change({"file": "x\n"}), "Z1"))
    objects = world.repository("p1") / "objects"
    for each in [path for path in objects.rglob("*") if path.is_file() and path.parent.name != "info"]:
        each.chmod(0o644)
        each.unlink()
    answer = await world.merger().merge(request(upstream.change({"file": "y\n"}), "Z2"))
    assert answer.outcome is MergeOutcome.MERGED


async def test_locks_that_a_killed_git_left_are_removed(world, upstream):
    merger = world.merger()
    await merger.merge(request(upstream.change({"file": "x\n"}), "Z1"))
    for name in ("packed-refs.lock", "config.lock", "refs/heads/master.lock"):
        (world.repository("p1") / name).write_text("")
    upstream.push({"other": "y\n"})
    answer = await world.merger().merge(request(upstream.change({"file": "y\n"}), "Z2"))
    assert answer.outcome is MergeOutcome.MERGED


async def test_a_clone_with_a_work_tree_is_taken_over(world, upstream):
    """As the merger before us left it."""
    where = world.git_dir() / "p1"
    where.parent.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", str(upstream.path), str(where)], check=True, env=ENVIRONMENT)
    upstream.push({"README": lines(line_9="later")})
    answer = await world.merger().merge(request(upstream.change({"file": "x\n"}), "Z1"))
    assert answer.outcome is MergeOutcome.MERGED
    assert "later" in world.show(answer.commit, "README")


async def test_an_upstream_that_is_gone_is_a_fetch_that_failed(world, upstream, tmp_path):
    change = upstream.change({"file": "x\n"})
    merger = world.merger(project_url=lambda _connection, _project: str(tmp_path / "nowhere"))
    answer = await merger.merge(request(change, "Z1"))
    assert answer.outcome is MergeOutcome.FETCH
    assert "nowhere" in answer.detail


async def test_a_project_name_that_leads_elsewhere_is_never_made_a_path(world, upstream):
    change = replace(upstream.change({"file": "x\n"}), project="../../etc")
    answer = await world.merger().merge(request(change, "Z1"))
    assert answer.outcome is MergeOutcome.INTERNAL
    assert "cannot be the name of a project" in answer.detail


async def test_an_upstream_that_never_answers_holds_up_only_its_own_project(world, upstream):
    quick = world.project("p2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"git://127.0.0.1:{silent.getsockname()[1]}/p1"
        merger = world.merger(
            project_url=lambda _, project: address if project == "p1" else str(quick.path), fetch_deadline_s=3.0
        )
        await merger.merge(request(quick.change({"a": "x\n"}), "Z0"))
        git(world.git_dir(), "init", "-q", "--bare", "p1/.git")
        stuck = asyncio.create_task(merger.merge(request(upstream.change({"file": "x\n"}), "Z1")))
        began = time.monotonic()
        answers = await asyncio.gather(
            *(merger.merge(request(quick.change({f"f{number}": "x\n"}), f"Y{number}")) for number in range(3))
        )
        assert {each.outcome for each in answers} == {MergeOutcome.MERGED}
        assert time.monotonic() - began < 3.0
        assert (await stuck).outcome is MergeOutcome.FETCH


async def test_closing_ends_what_is_under_way(world, upstream):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"git://127.0.0.1:{silent.getsockname()[1]}/p1"
        merger = world.merger(project_url=lambda _, __: address)
        under_way = asyncio.create_task(merger.merge(request(upstream.change({"file": "x\n"}), "Z1")))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await merger.close()
        await asyncio.wait([under_way], timeout=5)
        assert under_way.done()


async def test_projects_are_merged_side_by_side_and_chains_in_order(world):
    projects = [world.project(f"q{number}") for number in range(4)]
    merger = world.merger()
    chains = []
    for number, project in enumerate(projects):
        changes = [project.change({f"file{each}": "x\n"}) for each in range(3)]
        chains.append([request(change, f"Z{number}{each}") for each, change in enumerate(changes)])
    answers = await asyncio.gather(*(merge_chain(merger, *chain) for chain in chains))
    for project, answer in zip(projects, answers, strict=True):
        names = out(world.repository(project.project), "ls-tree", "--name-only", answer.commit).split()
        assert {"file0", "file1", "file2"} <= set(names)


async def test_a_gerrit_is_fetched_from_over_ssh_with_key_and_host_key(tmp_path):
    with SandboxGerrit(tmp_path / "gerrit") as gerrit:
        key = gerrit.create_account("ci")
        gerrit.create_account("dev")
        gerrit.create_project("demo/app", {"README": "x\n"})
        change = gerrit.create_change("demo/app", {"file": "y\n"}, "Change\n", by="dev")
        accepted = tmp_path / "known_hosts"
        settings = GerritSettings(
            "gerrit",
            "127.0.0.1",
            "ci",
            port=gerrit.port,
            sshkey=key,
            accepted_hosts=accepted,
            known_hosts=tmp_path / "none",
        )
        merger = LocalMerger(
            MergerSettings(git_dir=tmp_path / "git", zuul_url=ZUUL_URL), {"gerrit": settings}, relook_s=0
        )
        asked = MergeRequest(
            "Z1",
            "gerrit",
            "demo/app",
            "master",
            change.current.ref,
            str(change.number),
            "1",
            MergeMode.MERGE_RESOLVE,
        )
        assert (await merger.merge(asked)).outcome is MergeOutcome.MERGED
        assert f"[127.0.0.1]:{gerrit.port}" in accepted.read_text()
        gerrit.change_host_key()
        gerrit.stop()
        gerrit.start()
        answer = await merger.update(UpdateRequest("Z2", "gerrit", "demo/app"))
        assert answer.outcome is MergeOutcome.FETCH
        assert "host key" in answer.detail.lower()
        await merger.close()
