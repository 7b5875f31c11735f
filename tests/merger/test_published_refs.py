"""How long published states live, and what keeping house does (merger.md 5)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from merger_world import ENVIRONMENT, ZUUL_URL, git, merge_chain, out, request

from ci_gate.config.settings import MergerSettings
from ci_gate.merger import maintenance
from ci_gate.merger.clearing import clear_refs
from ci_gate.model.merge import MergeOutcome

DAY_S = 86_400.0
SETTINGS = MergerSettings(zuul_url=ZUUL_URL, ref_retention_s=14 * DAY_S)


@pytest.fixture
def upstream(world):
    return world.project("p1")


def age(world, build_set: str, days: float) -> None:
    """As if the state was last of use so many days ago."""
    record = world.git_dir() / ".ci-gate" / "states" / f"{build_set}.json"
    os.utime(record, (time.time() - days * DAY_S,) * 2)


def age_ref(repository: Path, ref: str, days: float) -> None:
    os.utime(repository / ref, (time.time() - days * DAY_S,) * 2)


async def test_a_state_is_deleted_when_its_retention_is_over(world, upstream):
    merger = world.merger(settings=SETTINGS)
    for name, days in (("Z1", 13), ("Z2", 15)):
        await merger.merge(request(upstream.change({name: "x\n"}), name))
        age(world, name, days)
    await merger.retain([])
    assert set(world.refs("p1")) == {"master/Z1"}


async def test_a_state_is_never_deleted_while_its_item_is_inside(world, upstream):
    merger = world.merger(settings=SETTINGS)
    await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
    age(world, "Z1", 100)
    await merger.retain(["Z1"])
    assert set(world.refs("p1")) == {"master/Z1"}


async def test_the_retention_begins_when_the_item_was_last_inside(world, upstream):
    merger = world.merger(settings=SETTINGS)
    await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
    age(world, "Z1", 100)
    await merger.retain(["Z1"])
    await merger.retain([])
    assert set(world.refs("p1")) == {"master/Z1"}


async def test_a_chains_states_are_deleted_in_all_its_projects(world, upstream):
    other = world.project("p2")
    merger = world.merger(settings=SETTINGS)
    await merge_chain(
        merger, request(upstream.change({"a": "x\n"}), "Z1"), request(other.change({"b": "x\n"}), "Z2")
    )
    for name in ("Z1", "Z2"):
        age(world, name, 15)
    await merger.retain([])
    assert world.refs("p1") == world.refs("p2") == {}


async def test_a_deleted_state_can_be_made_again(world, upstream):
    merger = world.merger(settings=SETTINGS)
    asked = request(upstream.change({"a": "x\n"}), "Z1")
    first = await merger.merge(asked)
    age(world, "Z1", 15)
    await merger.retain([])
    assert (await merger.merge(asked)).commit == first.commit
    assert set(world.refs("p1")) == {"master/Z1"}


async def test_a_state_that_is_deleted_while_it_is_fetched_still_arrives(world, upstream, tmp_path):
    """An old client asks for what it saw advertised, whatever happened since."""
    merger = world.merger(settings=SETTINGS)
    upstream.push({"b": "x\n"})
    answer = await merger.merge(request(upstream.change({"a": "x\n"}, onto="stable"), "Z1"))
    git(world.repository("p1"), "update-ref", "-d", "refs/zuul/master/Z1")
    git(tmp_path, "init", "-q", "client")
    for version in ("0", "2"):
        speaking = ("-c", f"protocol.version={version}")
        git(tmp_path / "client", *speaking, "fetch", "-q", str(world.repository("p1")), answer.commit)


async def test_clearing_by_age_takes_states_of_ours_and_of_the_merger_before_us(world, upstream):
    merger = world.merger(settings=SETTINGS)
    for name, days in (("Z1", 10), ("Z2", 40)):
        await merger.merge(request(upstream.change({name: "x\n"}), name))
        age(world, name, days)
    repository = world.repository("p1")
    for name, days in (("Zpeer1", 10), ("Zpeer2", 40)):
        git(repository, "update-ref", f"refs/zuul/stable/1.2/{name}", upstream.tip())
        age_ref(repository, f"refs/zuul/stable/1.2/{name}", days)
    (cleared,) = clear_refs(world.git_dir(), 30 * DAY_S)
    assert (cleared.project, cleared.refs, cleared.kept) == ("p1", 2, 2)
    assert set(world.refs("p1")) == {"master/Z1", "stable/1.2/Zpeer1"}


async def test_clearing_can_only_count_and_look_at_chosen_projects(world, upstream):
    other = world.project("group/p2")
    merger = world.merger(settings=SETTINGS)
    for name, project in (("Z1", upstream), ("Z2", other)):
        await merger.merge(request(project.change({"a": "x\n"}), name))
        age(world, name, 40)
    (cleared,) = clear_refs(
        world.git_dir(), 30 * DAY_S, is_wanted=lambda project: project == "group/p2", only_count=True
    )
    assert (cleared.project, cleared.refs) == ("group/p2", 1)
    assert set(world.refs("group/p2")) == {"master/Z2"}


async def test_clearing_finds_the_clones_of_the_merger_before_us_and_what_lies_inside_them(tmp_path, world, upstream):
    for where in ("p1", "p1/inner"):
        subprocess.run(
            ["git", "clone", "-q", str(upstream.path), str(world.git_dir() / where)], check=True, env=ENVIRONMENT
        )
    assert [each.project for each in clear_refs(world.git_dir(), DAY_S)] == ["p1", "p1/inner"]


async def test_packing_keeps_every_state(world, upstream):
    merger = world.merger()
    commits = {}
    for number in range(3):
        name = f"Z{number}"
        commits[f"master/{name}"] = (await merger.merge(request(upstream.change({name: "x\n"}), name))).commit
    repository = merger._engine.repository("p1")  # nothing tells from outside whether refs are packed
    await maintenance.pack_refs(repository)
    assert not list((world.repository("p1") / "refs" / "zuul").rglob("Z*"))
    assert world.refs("p1") == commits


async def test_an_idle_repository_keeps_no_processes_and_works_again_when_asked(world, upstream, monkeypatch):
    monkeypatch.setattr(maintenance, "IDLE_S", 0.0)
    merger = world.merger()
    await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
    repository = merger._engine.repository("p1")  # see above
    await maintenance.tidy(repository)
    assert not repository.is_awake
    assert (await merger.merge(request(upstream.change({"b": "x\n"}), "Z2"))).outcome is MergeOutcome.MERGED


@pytest.mark.parametrize("collected_days_ago", [None, 8])
async def test_merging_goes_on_while_a_repository_is_maintained(world, upstream, collected_days_ago):
    merger = world.merger()
    await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
    repository = merger._engine.repository("p1")  # see above
    if collected_days_ago:
        (repository.private / "collected").touch()
        os.utime(repository.private / "collected", (time.time() - collected_days_ago * DAY_S,) * 2)
    under_way = asyncio.create_task(maintenance.maintain(repository))
    chain = [request(upstream.change({f"f{number}": "x\n"}), f"Y{number}") for number in range(5)]
    assert (await merge_chain(merger, *chain)).outcome is MergeOutcome.MERGED
    await under_way
    assert (await merger.merge(replace(chain[0], ref="Y9"))).outcome is MergeOutcome.MERGED
    assert len(world.refs("p1")) == 7
    assert "bad" not in out(world.repository("p1"), "fsck", "--no-dangling")


async def test_maintenance_is_due_daily_and_only_where_there_is_a_repository(world, upstream, monkeypatch):
    monkeypatch.setattr(maintenance, "IDLE_S", 0.0)
    merger = world.merger()
    await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
    repository = merger._engine.repository("p1")  # see above
    await maintenance.maintain_if_due(repository)
    first = (repository.private / "maintained").stat().st_mtime
    await maintenance.maintain_if_due(repository)
    assert (repository.private / "maintained").stat().st_mtime == first
    nowhere = merger._engine.repository("nowhere")
    await maintenance.maintain_if_due(nowhere)
    assert not nowhere.private.exists()
