"""Of all jobs with one mutex, one build runs at a time (layout.md 6.4)."""

from __future__ import annotations

from scripted_world import World, layout, project

from ci_gate.model.layout import Job


def site():
    jobs = {name: Job(name, mutex="lab") for name in ("one", "two")}
    return World(layout(jobs=jobs, projects=(project("demo/one", check=["one", "two"]),)))


def launches(told):
    return [each for each in told if each.startswith("launch")]


def test_the_second_job_waits_for_the_first():
    world = site()
    assert launches(world.upload("A")) == ["launch one for [A] on z1"]
    assert launches(world.ends("one", "A")) == ["launch two for [A] on z1"]


def test_other_changes_wait_as_well_and_go_in_their_order():
    world = site()
    world.upload("A")
    assert launches(world.upload("B")) == []
    assert launches(world.ends("one", "A")) == ["launch two for [A] on z1"]
    assert launches(world.ends("two", "A")) == ["launch one for [B] on z2"]


def test_a_change_that_leaves_gives_it_free():
    world = site()
    world.upload("A")
    world.upload("B")
    told = world.new_patch_set("A")
    assert "cancel one of A" in told
    assert [each for each in launches(told) if "[B]" in each] == ["launch one for [B] on z2"]
