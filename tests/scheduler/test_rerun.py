"""``scope: failed`` (additions.md): run again only what failed, if nothing else has changed."""

from __future__ import annotations

from gate_world import LAYOUT, layout_with, new_world, play

from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.explain import Code

RECHECK = "          comment: (?mi)^recheck$\n"
ONLY_FAILED = "        - {event: comment-added, comment: '(?mi)^recheck-failed$', scope: failed}\n"
THE_LAYOUT = layout_with((RECHECK, RECHECK + ONLY_FAILED))


def reported_with_a_failed_job(**given):
    """A of demo/app: lint and perf succeeded, integ failed."""
    world = new_world(layout=THE_LAYOUT, **given)
    world.create("A", "demo/app")
    world.uploaded("A")
    for job, result in (("lint", "SUCCESS"), ("unit", "SUCCESS"), ("perf", "SUCCESS"), ("integ", "FAILURE")):
        world.ends(job, "A", result)
    return world


def test_jobs_that_succeeded_keep_their_result_and_the_others_run_again():
    world = reported_with_a_failed_job()
    play(
        world,
        (lambda: world.comment("A", "recheck-failed"), "merge A→z2; launch integ for [A] on z2", "check: A"),
        (
            lambda: world.ends("integ", "A"),
            "report A: success (Verified=+1): lint SUCCESS, unit SUCCESS, integ SUCCESS, perf SUCCESS",
            "",
        ),
    )
    assert world.codes().count(Code.KEPT) == 3


def test_a_plain_recheck_runs_all_jobs():
    world = reported_with_a_failed_job()
    play(
        world,
        (
            lambda: world.comment("A", "recheck"),
            "merge A→z2; launch lint for [A] on z2; launch unit for [A] on z2",
            "check: A",
        ),
    )


def test_all_jobs_run_when_the_branch_has_moved():
    world = reported_with_a_failed_job()
    world.tips["master"] = "1" * 40
    play(
        world,
        (
            lambda: world.comment("A", "recheck-failed"),
            "merge A→z2; launch lint for [A] on z2; launch unit for [A] on z2",
            "check: A",
        ),
    )
    assert Code.ALL_AGAIN in world.codes()


def test_all_jobs_run_when_it_stands_on_another_change_now():
    world = new_world(layout=THE_LAYOUT)
    world.create("A", "demo/lib")
    world.create("B", "demo/one", on="A")
    world.uploaded("B")
    world.ends("one", "B")
    world.change("A", patch_sets=world.details("A").patch_sets)
    world.change("B", depends_on=())
    play(
        world,
        (lambda: world.comment("B", "recheck-failed"), "merge B→z3; launch one for [B] on z3", "check: B"),
    )


def test_all_jobs_run_without_an_earlier_report_of_this_patch_set():
    world = reported_with_a_failed_job()
    world.new_patch_set("A")
    world.abandon("A")
    world.restore("A")
    world.abandon("A")
    world.change("A", status="NEW", is_open=True)
    play(
        world,
        (
            lambda: world.comment("A", "recheck-failed"),
            "merge A2→z4; launch lint for [A2] on z4; launch unit for [A2] on z4",
            "check: A2",
        ),
    )


def test_without_a_failure_the_report_comes_again_at_once():
    world = new_world(layout=THE_LAYOUT)
    world.create("A")
    world.uploaded("A")
    world.ends("one", "A")
    play(
        world,
        (
            lambda: world.comment("A", "recheck-failed"),
            "merge A→z2; report A: success (Verified=+1): one SUCCESS",
            "",
        ),
    )


def test_what_was_kept_is_kept_once_more():
    world = reported_with_a_failed_job()
    world.comment("A", "recheck-failed")
    world.ends("integ", "A", "FAILURE")
    play(
        world,
        (lambda: world.comment("A", "recheck-failed"), "merge A→z3; launch integ for [A] on z3", "check: A"),
    )
    world.ends("integ", "A")
    last = [each.report.message for each in world.all_effects if isinstance(each, SendReport)][-1]
    assert last.count("SUCCESS") == 4


def test_nothing_is_remembered_where_no_filter_asks_for_it():
    world = new_world()
    world.create("A")
    world.uploaded("A")
    world.ends("one", "A", "FAILURE")
    assert not world.scheduler._state.reported_before
    assert "scope" not in LAYOUT
