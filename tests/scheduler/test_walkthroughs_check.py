"""The worked examples of independent pipelines: W1-W5, W11-W13, W40-W42, W44 and their rows of section I."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_world import World, check_pipeline, gerrit_filter, layout, project, votes

from ci_gate.model.build import BuildEnd
from ci_gate.model.change import Vote
from ci_gate.model.event import Event
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, Pipeline
from ci_gate.scheduler.effects import Merge
from ci_gate.scheduler.inputs import BuildEnded

MERGE_FAILED = "report A: Merge Failed. (Verified=-1)"


def test_w1_a_tree_of_jobs_runs_parents_first_and_reports_in_tree_order():
    world = World()
    assert world.upload("A", "demo/app") == [
        "merge A→z1",
        "launch lint for [A] on z1",
        "launch unit for [A] on z1",
    ]
    assert world.ends("lint", "A") == []
    assert world.ends("unit", "A") == ["launch integ for [A] on z1", "launch perf for [A] on z1"]
    assert world.ends("perf", "A", "FAILURE") == []
    assert world.ends("integ", "A") == [
        (
            "report A: Build succeeded. (Verified=+1); lint SUCCESS; unit SUCCESS; integ SUCCESS; "
            "perf FAILURE (non-voting)"
        )
    ]
    assert world.queues() == {}


def test_w2_children_of_a_failed_job_are_skipped_and_nothing_is_reported_before_all_have_ended():
    world = World()
    world.upload("A", "demo/app")
    assert world.ends("unit", "A", "FAILURE") == []
    assert world.queues() == {"check": ["A (failing)"]}
    assert world.ends("lint", "A") == [
        ("report A: Build failed. (Verified=-1); lint SUCCESS; unit FAILURE; integ SKIPPED; perf SKIPPED (non-voting)")
    ]
    assert world.queues() == {}


def test_w3_a_new_patch_set_replaces_the_old_one_whose_late_result_changes_nothing():
    world = World()
    world.upload("A", "demo/lib")
    world.starts("lib-unit", "A")
    stopped = world.requests["lib-unit", "A"]
    assert world.new_patch_set("A") == ["cancel lib-unit of A", "merge A2→z2", "launch lib-unit for [A2] on z2"]
    assert world.step(BuildEnded(world.at, BuildEnd(stopped, "SUCCESS"))) == []
    assert world.queues() == {"check": ["A2"]}
    assert world.ends("lib-unit", "A2") == ["report A2: Build succeeded. (Verified=+1); lib-unit SUCCESS"]


def test_w4_recheck_tests_again_once_the_change_has_left():
    world = World()
    world.upload("A")
    assert world.comment("A", "recheck") == []
    assert world.ends("one", "A", "FAILURE") == ["report A: Build failed. (Verified=-1); one FAILURE"]
    assert world.comment("A", "please recheck") == []
    assert world.comment("A", "Recheck") == ["merge A→z2", "launch one for [A] on z2"]
    assert world.ends("one", "A") == ["report A: Build succeeded. (Verified=+1); one SUCCESS"]


def test_w5_a_change_that_conflicts_is_reported_with_the_merge_failure_text_by_the_failure_reporters():
    world = World(unmergeable={"A"})
    assert world.upload("A", "demo/app") == ["merge A→z1", MERGE_FAILED]
    assert world.queues() == {}


def test_w11_branch_files_and_skip_if_choose_the_jobs():
    world = World()
    launched = {
        name: [each.split()[1] for each in world.upload(name, "demo/filters", **given) if "launch" in each]
        for name, given in {
            "A": {"files": ("/COMMIT_MSG", "doc/a.md", "src/x.c")},
            "B": {"files": ("/COMMIT_MSG", "doc/a.txt", "README.md")},
            "C": {"files": ("/COMMIT_MSG", "README.md"), "branch": "old/1.0"},
            "D": {"files": ("/COMMIT_MSG",)},
        }.items()
    }
    assert launched == {
        "A": ["lint", "manual", "slow-tests"],
        "B": ["lint", "manual"],
        "C": ["lint", "old-only"],
        "D": ["lint", "slow-tests"],
    }


def test_w12_two_independent_pipelines_test_one_change_each_for_itself():
    second = Pipeline(
        "trusted",
        triggers=(gerrit_filter("comment-added", votes=(("workflow", 1),)),),
        start=votes(Trusted=0),
        success=votes(Trusted=1),
    )
    world = World(layout(check_pipeline(), second, projects=(project("demo/one", check=["one"], trusted=["one"]),)))
    world.upload("A")
    in_check = world.requests["one", "A"]
    approval = world.event("comment-added", "A", votes=())
    assert world.tell(approval) == []
    assert world.tell(replace(approval, votes=(Vote("Workflow", 1),), account=None)) == [
        "report A: Starting trusted jobs. (Trusted=+0)",
        "merge A→z2",
        "launch one for [A] on z2",
    ]
    assert world.tell(replace(approval, votes=(Vote("Workflow", 1),), account=None)) == []
    assert world.step(BuildEnded(world.at, BuildEnd(in_check, "SUCCESS"))) == [
        "report A: Build succeeded. (Verified=+1); one SUCCESS"
    ]
    assert world.queues() == {"trusted": ["A"]}


def test_w13_merge_answers_may_come_in_any_order():
    world = World(answers_merges=False)
    world.upload("A")
    world.upload("B", "demo/lib")
    first, second = world.outstanding(Merge)
    assert world.step(world.merge_answer(second)) == ["launch lib-unit for [B] on z2"]
    assert world.step(world.merge_answer(first)) == ["launch one for [A] on z1"]


def test_w40_a_build_without_a_result_is_launched_again_on_the_same_ref_with_a_new_uuid():
    world = World()
    world.upload("A")
    uuids = [world.requests["one", "A"]]
    for _ in range(2):
        assert world.ends("one", "A", None) == ["launch one for [A] on z1"]
        uuids.append(world.requests["one", "A"])
    assert len(set(uuids)) == 3
    assert world.ends("one", "A") == ["report A: Build succeeded. (Verified=+1); one SUCCESS"]


def test_after_attempts_launches_the_result_is_retry_limit():
    world = World(layout(jobs={"one": Job("one", attempts=2)}))
    world.upload("A")
    assert world.ends("one", "A", None) == ["launch one for [A] on z1"]
    assert world.ends("one", "A", None) == ["report A: Build failed. (Verified=-1); one RETRY_LIMIT"]


def test_a_loss_that_is_nobodys_fault_is_not_counted_as_a_try():
    world = World(layout(jobs={"one": Job("one", attempts=1)}))
    world.upload("A")
    for _ in range(5):
        assert world.ends("one", "A", None, counted=False) == ["launch one for [A] on z1"]


def test_w77_an_empty_result_counts_as_no_result():
    world = World()
    world.upload("A")
    assert world.ends("one", "A", "") == ["launch one for [A] on z1"]


@pytest.mark.parametrize("result", ["UNSTABLE", "ABORTED", "SOMETHING_ELSE", "success"])
def test_w41_everything_but_exactly_success_is_a_failure(result):
    world = World()
    world.upload("A")
    assert world.ends("one", "A", result) == [f"report A: Build failed. (Verified=-1); one {result}"]


def test_w42_jobs_that_nobody_offers_are_reported_as_such():
    world = World()
    world.upload("A", "demo/app")
    world.ends("lint", "A", "NOT_REGISTERED")
    assert world.ends("unit", "A", "NOT_REGISTERED") == [
        (
            "report A: Build failed. (Verified=-1); lint NOT_REGISTERED; unit NOT_REGISTERED; "
            "integ SKIPPED; perf SKIPPED (non-voting)"
        )
    ]


def test_w67_children_of_a_job_that_does_not_apply_do_not_apply():
    world = World(layout(projects=(project("demo/p", check=[{"manual": ["kid"]}, "lint"]),)))
    assert world.upload("A", "demo/p", files=("/COMMIT_MSG", "src/x.c")) == [
        "merge A→z1",
        "launch lint for [A] on z1",
    ]
    assert world.ends("lint", "A") == ["report A: Build succeeded. (Verified=+1); lint SUCCESS"]


def test_w73_a_change_of_a_project_without_jobs_in_the_pipeline_causes_nothing():
    world = World()
    assert world.upload("A", "demo/nothing") == []
    assert world.queues() == {}


def test_a_start_report_is_sent_even_where_no_job_applies():
    world = World(layout(check_pipeline(start=votes(Verified=0))))
    assert world.upload("A", "demo/nothing") == ["report A: Starting check jobs. (Verified=+0)"]
    assert world.queues() == {}


def test_w44_post_jobs_run_for_ref_updates_once_for_each_new_revision():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated", refs=(Expression("^(?!refs/).*$"),)),))
    world = World(layout(post, projects=(project("demo/app", post=["publish"]),)))

    def update(old: str, new: str, ref: str = "master") -> list[str]:
        event = Event("ref-updated", "gerrit", "demo/app", ref=ref, oldrev=old * 40, newrev=new * 40)
        return world.tell(event)

    assert update("1", "2") == ["update repository demo/app", "launch publish for ref master"]
    assert update("0", "2") == []
    assert update("2", "3") == ["update repository demo/app", "launch publish for ref master"]
    assert update("0", "4", "refs/tags/v1") == []
    assert update("3", "0") == []
    assert world.ends("publish", "demo/app") == []
    assert len(world.queues()["post"]) == 1


def test_w76_a_branch_filter_on_ref_updated_does_not_keep_later_pipelines_from_seeing_a_tag():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated", branches=(Expression("master"),)),))
    release = Pipeline("release", triggers=(gerrit_filter("ref-updated", refs=(Expression("^refs/tags/"),)),))
    both = project("demo/app", post=["publish"], release=["tarball"])
    world = World(layout(post, release, projects=(both,)))
    event = Event("ref-updated", "gerrit", "demo/app", ref="refs/tags/1.0", oldrev="0" * 40, newrev="4" * 40)
    assert world.tell(event) == ["update repository demo/app", "launch tarball for ref refs/tags/1.0"]


def test_a_pipeline_without_reporters_stays_silent():
    quiet = Pipeline("quiet", triggers=(gerrit_filter("patchset-created"),))
    world = World(layout(quiet))
    assert world.upload("A", "demo/silent") == ["merge A→z1", "launch one for [A] on z1"]
    assert world.ends("one", "A", "FAILURE") == []
    assert world.queues() == {}


def test_an_abandoned_change_leaves_and_a_restored_one_is_tested_again():
    world = World()
    world.upload("A")
    assert world.abandon("A") == ["cancel one of A"]
    assert world.queues() == {}
    assert world.restore("A") == ["merge A→z2", "launch one for [A] on z2"]


def test_dequeue_on_new_patchset_false_keeps_the_old_patch_set():
    world = World(layout(check_pipeline(dequeue_on_new_patchset=False)))
    world.upload("A")
    assert world.new_patch_set("A") == ["merge A2→z2", "launch one for [A2] on z2"]
    assert world.queues() == {"check": ["A", "A2"]}


def test_noop_succeeds_without_any_worker():
    world = World(layout(projects=(project("demo/plain", check=[{"noop": ["after"]}]),)))
    assert world.upload("A", "demo/plain") == ["merge A→z1", "launch after for [A] on z1"]
    assert world.ends("after", "A") == ["report A: Build succeeded. (Verified=+1); noop SUCCESS; after SUCCESS"]
