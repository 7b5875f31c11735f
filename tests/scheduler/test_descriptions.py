"""What Jenkins shows beside builds (gearman-jenkins.md 5): their build set and its result, and nothing but text."""

from __future__ import annotations

import pytest
from gate_world import THE_LAYOUT, GateWorld
from scripted_world import World, check_pipeline, layout, project

from ci_gate.model.build import BuildEnd, BuildUpdate, NumberedBuild
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.descriptions import MOST_AHEAD
from ci_gate.scheduler.effects import DescribeBuilds, SendReport
from ci_gate.scheduler.inputs import BuildEnded, BuildUpdated

A_CHANGE = '<a href="https://review/1">1,1</a>'


def gate(**known: object) -> GateWorld:
    world = GateWorld(THE_LAYOUT)
    for name in ("A", "B"):
        world.create(name, "demo/pair", url=f"https://review/{ord(name) - ord('A') + 1}", **known)
    return world


def descriptions(world: World) -> list[DescribeBuilds]:
    return [each for each in world.all_effects if isinstance(each, DescribeBuilds)]


def told(world: World) -> list[str]:
    return [each.html for each in descriptions(world)]


def begins(world: World, job: str, name: str, number: int, url: str | None = None) -> None:
    update = BuildUpdate(world.requests[job, name], started=True, number=number, manager="jenkins-1", url=url)
    world.step(BuildUpdated(world.at, update))


def test_a_build_set_is_described_once_after_its_report():
    world = gate()
    world.approved("A")
    begins(world, "one", "A", 7, "https://jenkins/one/7/")
    begins(world, "two", "A", 12)
    assert not descriptions(world)
    world.ends("one", "A")
    world.ends("two", "A", "FAILURE")
    (described,) = descriptions(world)
    assert described.builds == (NumberedBuild("one", "jenkins-1", 7), NumberedBuild("two", "jenkins-1", 12))
    assert described.html == (
        f"<p>{A_CHANGE} of demo/pair, pipeline gate, branch master</p><p>Result: <b>FAILURE</b></p>"
        '<ul><li><a href="https://jenkins/one/7/">one</a>: SUCCESS</li><li>two: FAILURE</li></ul>'
    )
    final = [each for each in world.all_effects if isinstance(each, SendReport)][-1]
    assert world.all_effects.index(described) > world.all_effects.index(final)


def test_only_what_a_manager_knows_is_described_and_all_is_listed():
    world = GateWorld(THE_LAYOUT)
    world.create("A", "demo/app")
    world.uploaded("A")
    begins(world, "unit", "A", 3)
    world.ends("lint", "A")  # its worker never said a number
    world.ends("unit", "A", "FAILURE")
    (described,) = descriptions(world)
    assert described.builds == (NumberedBuild("unit", "jenkins-1", 3),)
    assert "<li>lint: SUCCESS</li><li>unit: FAILURE</li><li>integ: SKIPPED</li>" in described.html
    assert "<li>perf: SKIPPED (non-voting)</li>" in described.html


def test_what_no_worker_has_begun_has_nothing_to_describe():
    world = gate()
    world.approved("A")
    world.step(BuildEnded(world.at, BuildEnd(world.requests["one", "A"], "NOT_REGISTERED")))
    world.ends("two", "A")
    assert world.queues_text() == ""
    assert not descriptions(world)


def test_builds_are_linked_as_in_the_report():
    options = SchedulerSettings(url_pattern="https://logs/{change.number}/{job.name}")
    world = World(layout(check_pipeline(), projects=(project("demo/one", check=["one"]),)), options=options)
    world.upload("A")
    begins(world, "one", "A", 7, "https://jenkins/one/7/")
    world.ends("one", "A")
    assert '<ul><li><a href="https://logs/1/one">one</a>: SUCCESS</li></ul>' in told(world)[0]


def test_of_what_is_tested_again_both_build_sets_are_described_and_each_names_the_other():
    world = gate()
    world.approved("A")
    world.approved("B")
    begins(world, "one", "B", 7)
    world.ends("one", "B")
    begins(world, "two", "B", 8)
    world.ends("two", "A", "FAILURE")
    world.ends("one", "A")
    (canceled,) = descriptions(world)
    mine = "<ul><li>one: SUCCESS</li><li>two: CANCELED</li></ul>"
    assert canceled.builds == (NumberedBuild("one", "jenkins-1", 7), NumberedBuild("two", "jenkins-1", 8))
    assert canceled.html.endswith(f", together with {A_CHANGE}</p><p>Result: <b>CANCELED</b></p>{mine}")
    begins(world, "one", "B", 9)
    world.ends("one", "B")
    world.ends("two", "B")
    _, again, last = descriptions(world)
    following = "<ul><li>one: SUCCESS</li><li>two: SUCCESS</li></ul>"
    assert again.builds == canceled.builds
    assert again.html == f"{canceled.html}<p>The builds after these, on another base:</p>{following}"
    assert last.builds == (NumberedBuild("one", "jenkins-1", 9),)
    assert last.html.endswith(f"<b>SUCCESS</b></p>{following}<p>The builds before these, on another base:</p>{mine}")


def test_an_attempt_that_never_began_leaves_the_one_before_it_as_the_former():
    world = gate()
    world.create("C", "demo/pair")
    for name in "ABC":
        world.approved(name)
    begins(world, "one", "C", 7)
    world.ends("one", "A", "FAILURE")
    world.ends("two", "A")
    world.ends("one", "B", "FAILURE")  # the second attempt of C had nothing begun
    world.ends("two", "B")
    begins(world, "one", "C", 8)
    world.ends("one", "C")
    world.ends("two", "C")
    first, again, last = descriptions(world)
    assert [each.builds[0].number for each in (first, again, last)] == [7, 7, 8]
    assert again.html.startswith(first.html)


def test_what_is_withdrawn_is_described_too():
    world = gate()
    world.uploaded("A")
    begins(world, "one", "A", 7)
    world.new_patch_set("A")
    (described,) = descriptions(world)
    assert described.builds == (NumberedBuild("one", "jenkins-1", 7),)
    assert "<b>CANCELED</b></p><ul><li>one: CANCELED</li></ul>" in described.html


def test_what_leaves_since_its_need_cannot_be_met_is_described_too():
    world = GateWorld(THE_LAYOUT)
    world.create("A", "elsewhere/x")
    world.change("A", status="ABANDONED", is_open=False)
    world.create("B", "demo/pair", needs="A", url="https://review/1")
    world.approved("B")
    begins(world, "one", "B", 7)
    world.restore("A")
    assert world.queues_text() == ""
    (described,) = descriptions(world)
    assert described.builds == (NumberedBuild("one", "jenkins-1", 7),)
    assert "<ul><li>one: CANCELED</li><li>two: CANCELED</li></ul>" in described.html


@pytest.mark.parametrize("more", [0, 1, 4])
def test_changes_ahead_are_named_the_nearest_of_many(more):
    world = GateWorld(THE_LAYOUT)
    names = [chr(ord("A") + number) for number in range(MOST_AHEAD + more + 1)]
    for name in names:
        world.create(name, url=f"https://review/{name}")
        world.approved(name)
    begins(world, "one", names[-1], 7)
    world.abandon(names[-1])
    (html,) = told(world)
    assert html.count("<a ") == MOST_AHEAD + 1
    assert (f", together with {more} more, <a" in html) == (more > 0)
    assert f"https://review/{names[-2]}" in html


def test_nothing_from_outside_is_more_than_text():
    evil = '"><script>&'
    pipelines = (check_pipeline(name=f"check{evil}"),)
    known = project(f"demo/{evil}", **{f"check{evil}": [f"one{evil}"]})
    options = SchedulerSettings(url_pattern=f"https://logs/{evil}")
    world = World(layout(*pipelines, projects=(known,)), options=options)
    world.upload("A", f"demo/{evil}", branch=evil, url=f"https://review/{evil}")
    begins(world, f"one{evil}", "A", 7)
    world.ends(f"one{evil}", "A", evil)
    (html,) = told(world)
    assert html.count("&quot;&gt;&lt;script&gt;&amp;") == 7  # change, project, pipeline, branch, link, job, result
    assert evil not in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//review/7"])
def test_what_is_no_web_address_is_not_linked(url):
    world = GateWorld(THE_LAYOUT)
    world.create("A", url=url)
    world.uploaded("A")
    begins(world, "one", "A", 7, url)
    world.ends("one", "A")
    (html,) = told(world)
    assert "<a" not in html
    assert "<li>one: SUCCESS</li>" in html


def test_a_ref_is_told_with_its_revisions():
    world = GateWorld(THE_LAYOUT)
    world.ref_updated("demo/app", "master", "a", "b")
    uuid = next(uuid for (name, _), uuid in world.requests.items() if name == "publish")
    world.step(BuildUpdated(world.at, BuildUpdate(uuid, started=True, number=7, manager="m")))
    world.step(BuildEnded(world.at, BuildEnd(uuid, "SUCCESS")))
    (html,) = told(world)
    assert "master from aaaaaaa to bbbbbbb" in html
    assert " of demo/app, pipeline post</p>" in html
