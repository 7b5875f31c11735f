"""Refs, timers and the service's own triggers: ``spec/walkthroughs.md``, sections F and G, W76 and W79."""

from __future__ import annotations

import pytest
from gate_world import LAYOUT, earlier, layout_of, layout_with, new_world, play

from ci_gate.scheduler.effects import Merge, SearchChanges, SetTimer
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import QueryFailed, TimeCame

NEW = "projects:\n  - {name: demo/new, check: [one]}"
WITH_NEW = layout_with(("projects:", NEW))


def test_w44_post_and_release():
    world = new_world()
    play(
        world,
        (
            lambda: world.ref_updated("demo/app", "master", "1", "2"),
            "update repository demo/app; launch publish for ref master",
            "post: master",
        ),
        (lambda: world.ref_updated("demo/app", "master", "0", "2"), "", "post: master"),
        (
            lambda: world.ref_updated("demo/app", "master", "2", "3"),
            "update repository demo/app; launch publish for ref master",
            "post: master | post: master",
        ),
        (
            lambda: world.ref_updated("demo/app", "refs/tags/1.0", "0", "4"),
            "update repository demo/app; launch tarball for ref refs/tags/1.0",
            "post: master | post: master | release: refs/tags/1.0",
        ),
        (
            lambda: world.ref_updated("demo/app", "refs/tags/v1", "0", "5"),
            "",
            "post: master | post: master | release: refs/tags/1.0",
        ),
        (
            lambda: world.ref_updated("demo/app", "master", "3", "0"),
            "",
            "post: master | post: master | release: refs/tags/1.0",
        ),
        (
            lambda: world.ends("tarball", "demo/app", "FAILURE"),
            "mail to rel@demo: failure: tarball FAILURE",
            "post: master | post: master",
        ),
        (lambda: world.ends("publish", "demo/app"), "", "post: master"),
    )


def test_w45_timer():
    world = new_world()
    play(
        world,
        (
            lambda: world.step(TimeCame(world.at, "0 2 * * *")),
            "update repository demo/one; launch soak for project demo/one",
            "nightly: demo/one",
        ),
        (lambda: world.ends("soak", "demo/one"), "mail to qa@demo: success: soak SUCCESS", ""),
    )


def test_a_timer_that_fires_while_its_item_is_inside_starts_no_second_one():
    world = new_world()
    world.step(TimeCame(world.at, "0 2 * * *"))
    assert world.step(TimeCame(world.at, "0 2 * * *")) == []
    assert world.step(TimeCame(world.at, "0 3 * * *")) == []


def test_w48_reload_adds_a_job():
    more = layout_with(("projects:", "projects:\n  - {name: demo/new, check: [one, extra]}"))
    world = new_world(layout=WITH_NEW)
    world.create("A", "demo/new")
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (lambda: world.reload(more), "launch extra for [A] on z1", "check: A"),
        (lambda: world.ends("one", "A"), "", "check: A"),
        (
            lambda: world.ends("extra", "A"),
            "report A: success (Verified=+1): one SUCCESS, extra SUCCESS",
            "",
        ),
    )


def test_w49_reload_removes_the_project():
    world = new_world(layout=WITH_NEW)
    world.create("A", "demo/new")
    world.create("B", needs="A")
    world.uploaded("A")
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z2; merge A→z2 B→z3; launch one for [A B] on z3",
            "check: A | check: A (dead), B (on A)",
        ),
        (lambda: world.reload(layout_of()), "cancel one of A", "check: A (dead), B (on A)"),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+1): one SUCCESS", ""),
    )


def test_w50_reload_while_a_merge_is_under_way():
    world = new_world()
    earlier(world, "A")
    world.create("B")
    world.answers_merges = False
    play(
        world,
        (lambda: world.approved("B"), "report B: start (Verified=+0); merge A→z1 B→z2", "gate: A, B (on A)"),
        (lambda: world.reload(layout_of()), "", "gate: A, B (on A)"),
    )
    (merge,) = world.outstanding(Merge)
    play(world, (lambda: world.step(world.merge_answer(merge)), "launch one for [A B] on z2", "gate: A, B (on A)"))


def test_w51_parent_entered():
    again = """  - name: again
    manager: IndependentPipelineManager
    trigger: {zuul: [{event: parent-change-enqueued, pipeline: ^gate$}]}
    success: {gerrit: {Again: 1}}
jobs:"""
    demo_z = "projects:\n  - {name: demo/z, check: [one], gate: [one], again: [one]}"
    world = new_world(layout=layout_with(("jobs:", again), ("projects:", demo_z)))
    world.create("A", "demo/z")
    world.create("B", "demo/z", on="A", ready=False)
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (
            lambda: world.approved("A"),
            (
                "report A: start (Verified=+0); merge A→z2; merge A→z3; merge A→z3 B→z4; launch one for [A] on z2; "
                "launch one for [A B] on z4"
            ),
            "check: A | gate: A | again: A (dead), B (on A)",
        ),
    )


CONFLICTS = layout_with(
    (
        "jobs:",
        """  - name: conflicts
    manager: IndependentPipelineManager
    trigger: {zuul: [{event: project-change-merged}]}
    merge-failure: {gerrit: {Verified: -1}}
jobs:""",
    ),
    ("gate: [one],        nightly", "gate: [one], conflicts: [noop], nightly")
    if "gate: [one],        nightly" in LAYOUT
    else ("gate: [one], nightly", "gate: [one], conflicts: [noop], nightly"),
)


def test_a_merge_lets_the_other_open_changes_of_the_project_be_looked_at():
    world = new_world(layout=CONFLICTS)
    earlier(world, "A")
    for name in ("B", "C"):
        world.create(name, ready=False)
    world.create("D", "demo/lib", ready=False)
    world.unmergeable.add("C")
    told = world.ends("one", "A")
    assert told[0] == "report A: success (Verified=+2 submit): one SUCCESS"
    assert sorted(told[1:]) == ["merge B→z3", "merge C→z2", "report C: merge failure (Verified=-1)"]


def test_the_search_for_the_others_is_repeated_until_it_is_answered():
    world = new_world(layout=CONFLICTS)
    earlier(world, "A")
    world.create("B", ready=False)
    world.answers_queries = False
    world.ends("one", "A")
    (search,) = world.outstanding(SearchChanges)
    world.pending.remove(search)
    world.step(QueryFailed(world.at, search.ticket, "no answer"))
    (timer,) = [each for each in world.outstanding(SetTimer) if each.timer.startswith("merged:")]
    world.answers_queries = True
    assert world.fire_timers(timer.at) == ["merge B→z2"]


def test_w76_a_filter_by_branch_does_not_keep_a_tag_from_the_next_pipeline():
    edits = (("ref: '^(?!refs/).*$'", "branch: master"),)
    world = new_world(layout=layout_with(*edits))
    told = world.ref_updated("demo/app", "refs/tags/1.0", "0", "4")
    assert told == ["update repository demo/app", "launch tarball for ref refs/tags/1.0"]


def test_w79_after_a_reload_a_child_is_still_pulled_in_behind_its_parent():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.uploaded("A")
    play(
        world,
        (lambda: world.reload(layout_of()), "", "check: A"),
        (
            lambda: world.approved("A"),
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z2; merge A→z2 B→z3; "
                "launch one for [A] on z2; launch one for [A B] on z3"
            ),
            "check: A | gate: A, B (on A)",
        ),
    )


@pytest.mark.parametrize("event", ["parent-change-enqueued", "project-change-merged"])
def test_of_a_filter_for_both_internal_events_each_counts(event):
    both = """  - name: both
    manager: IndependentPipelineManager
    trigger: {zuul: [{event: [parent-change-enqueued, project-change-merged]}]}
jobs:"""
    world = new_world(
        layout=layout_with(("jobs:", both), ("projects:", "projects:\n  - {name: demo/z, gate: [one], both: [one]}"))
    )
    world.create("A", "demo/z")
    on = {"on": "A"} if event == "parent-change-enqueued" else {}
    world.create("B", "demo/z", ready=False, **on)
    world.approved("A")
    if not on:
        world.ends("one", "A")
    accepted = [each.text for each in world.decisions if each.pipeline == "both" and each.code is Code.ACCEPTED]
    assert f"the event {event} is accepted by a filter of trigger zuul" in accepted


def test_a_split_of_a_queue_leaves_changes_of_one_project_together():
    together = layout_with(("gate: [one, two]", "gate: [one, two]"))
    split = layout_with(("gate: [one, two]", "gate: [two]"))
    world = new_world(layout=together)
    world.create("A")
    world.create("B", "demo/pair")
    world.approved("A")
    world.approved("B")
    assert world.reload(split) == ["cancel one of B"]
    world.create("C", "demo/pair")
    play(
        world,
        (
            lambda: world.approved("C"),
            "report C: start (Verified=+0); merge A→z1 B→z2 C→z3; launch two for [A B C] on z3",
            "gate: A, B (on A), C (on B)",
        ),
    )
    for job, name in (("one", "A"), ("two", "B"), ("two", "C")):
        world.ends(job, name)
    world.create("D", "demo/pair")
    world.create("E")
    world.approved("D")
    world.approved("E")
    assert world.queues_text() == "gate: E | gate: D"
