"""The worked examples of independent pipelines: ``spec/walkthroughs.md``, sections A, E and what of I is theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_world import THE_LAYOUT, layout_with, new_world, play
from scripted_world import World, check_pipeline, gerrit_filter, layout, project, vote, votes

from ci_gate.model.build import BuildEnd
from ci_gate.model.change import Account, Vote
from ci_gate.model.layout import Job, Pipeline
from ci_gate.model.merge import MergeOutcome
from ci_gate.scheduler.effects import Merge
from ci_gate.scheduler.inputs import BuildEnded
from ci_gate.scheduler.oracle import Answer

TREE = "merge A→z1; launch lint for [A] on z1; launch unit for [A] on z1"
ANYONE = Account("Anyone", "any@example.org", "anyone")


def in_world(*changes: tuple[str, str], **given: object):
    """Gerrit has these changes, by name and project."""
    world = new_world(**given)
    for name, project_name in changes:
        world.create(name, project_name)
    return world


def test_w1_tree_of_jobs_all_succeed():
    world = in_world(("A", "demo/app"))
    play(
        world,
        (lambda: world.uploaded("A"), TREE, "check: A"),
        (lambda: world.ends("lint", "A"), "", "check: A"),
        (
            lambda: world.ends("unit", "A"),
            "launch integ for [A] on z1; launch perf for [A] on z1",
            "check: A",
        ),
        (lambda: world.ends("perf", "A", "FAILURE"), "", "check: A"),
        (
            lambda: world.ends("integ", "A"),
            ("report A: success (Verified=+1): lint SUCCESS, unit SUCCESS, integ SUCCESS, perf FAILURE"),
            "",
        ),
    )


def test_w2_a_parent_fails():
    world = in_world(("A", "demo/app"))
    play(
        world,
        (lambda: world.uploaded("A"), TREE, "check: A"),
        (lambda: world.ends("unit", "A", "FAILURE"), "", "check: A (failing)"),
        (
            lambda: world.ends("lint", "A"),
            "report A: failure (Verified=-1): lint SUCCESS, unit FAILURE, integ SKIPPED, perf SKIPPED",
            "",
        ),
    )


def test_w3_a_new_patch_set_replaces_the_old_one():
    world = in_world(("A", "demo/lib"))
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch lib-unit for [A] on z1", "check: A"),
        (lambda: world.begins("lib-unit", "A"), "", "check: A"),
    )
    stopped = world.requests["lib-unit", "A"]
    play(
        world,
        (
            lambda: world.new_patch_set("A"),
            "stop lib-unit of A; merge A2→z2; launch lib-unit for [A2] on z2",
            "check: A2",
        ),
        (lambda: world.step(BuildEnded(world.at, BuildEnd(stopped, "SUCCESS"))), "", "check: A2"),
        (lambda: world.ends("lib-unit", "A2"), "report A2: success (Verified=+1): lib-unit SUCCESS", ""),
    )


def test_w4_recheck():
    world = in_world(("A", "demo/one"))
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (lambda: world.comment("A", "recheck"), "", "check: A"),
        (lambda: world.ends("one", "A", "FAILURE"), "report A: failure (Verified=-1): one FAILURE", ""),
        (lambda: world.comment("A", "please recheck"), "", ""),
        (lambda: world.comment("A", "Recheck"), "merge A→z2; launch one for [A] on z2", "check: A"),
        (lambda: world.ends("one", "A"), "report A: success (Verified=+1): one SUCCESS", ""),
    )


def test_w5_the_change_conflicts_with_its_branch():
    world = in_world(("A", "demo/app"), unmergeable={"A"})
    play(world, (lambda: world.uploaded("A"), "merge A→z1; report A: merge failure (Verified=-1)", ""))
    (report,) = world.sent()
    assert "\n- " not in report.report.message


def test_w11_which_jobs_apply():
    world = new_world()
    world.create("A", "demo/filters", files=("/COMMIT_MSG", "doc/a.md", "src/x.c"))
    world.create("B", "demo/filters", files=("/COMMIT_MSG", "doc/a.txt", "README.md"))
    world.create("C", "demo/filters", files=("/COMMIT_MSG", "README.md"), branch="old/1.0")
    world.create("D", "demo/filters", files=("/COMMIT_MSG",))
    play(
        world,
        (
            lambda: world.uploaded("A"),
            ("merge A→z1; launch lint for [A] on z1; launch manual for [A] on z1; launch slow-tests for [A] on z1"),
            "check: A",
        ),
        (
            lambda: world.uploaded("B"),
            "merge B→z2; launch lint for [B] on z2; launch manual for [B] on z2",
            "check: A | check: B",
        ),
        (
            lambda: world.uploaded("C"),
            "merge C→z3; launch lint for [C] on z3; launch old-only for [C] on z3",
            "check: A | check: B | check: C",
        ),
        (
            lambda: world.uploaded("D"),
            "merge D→z4; launch lint for [D] on z4; launch slow-tests for [D] on z4",
            "check: A | check: B | check: C | check: D",
        ),
    )


TRUSTED = """  - name: trusted
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: comment-added}]}
    require: {approval: [{username: '^boss$', Code-Review: [1, 2]}]}
    success: {gerrit: {Trusted: 1}}
jobs:"""


def test_w14_approval_requirement_of_a_pipeline():
    demo_t = "projects:\n  - {name: demo/t, check: [one], trusted: [one]}"
    world = in_world(("A", "demo/t"), layout=layout_with(("jobs:", TRUSTED), ("projects:", demo_t)))

    def comment_with(*standing: Vote) -> list[str]:
        world.change("A", votes=standing)
        return world.comment("A", "hello", account=ANYONE)

    bigboss, boss = (Account(name, f"{name}@example.org", name) for name in ("bigboss", "boss"))
    loud = vote("Code-Review", 2, bigboss, world.at)
    other = vote("Verified", 1, boss, world.at)
    play(
        world,
        (comment_with, "", ""),
        (lambda: comment_with(loud), "", ""),
        (lambda: comment_with(loud, other), "", ""),
        (
            lambda: comment_with(loud, other, vote("Code-Review", 1, boss, world.at)),
            "merge A→z1; launch one for [A] on z1",
            "trusted: A",
        ),
    )


def test_w40_a_worker_vanishes():
    world = in_world(("A", "demo/one"))
    uuids = []

    def noting(told: list[str]) -> list[str]:
        uuids.append(world.requests["one", "A"])
        return told

    play(
        world,
        (lambda: noting(world.uploaded("A")), "merge A→z1; launch one for [A] on z1", "check: A"),
        (lambda: noting(world.ends("one", "A", None)), "launch one for [A] on z1", "check: A"),
        (
            lambda: noting(world.ends("one", "A", None, reason="connection lost")),
            "launch one for [A] on z1",
            "check: A",
        ),
        (lambda: world.ends("one", "A"), "report A: success (Verified=+1): one SUCCESS", ""),
    )
    assert len(set(uuids)) == 3


def test_w41_results_that_are_not_success():
    world = in_world(*((name, "demo/one") for name in "ABC"))
    for name in "ABC":
        world.uploaded(name)
    play(
        world,
        (
            lambda: world.ends("one", "A", "UNSTABLE"),
            "report A: failure (Verified=-1): one UNSTABLE",
            "check: B | check: C",
        ),
        (lambda: world.ends("one", "B", "ABORTED"), "report B: failure (Verified=-1): one ABORTED", "check: C"),
        (
            lambda: world.ends("one", "C", "SOMETHING_ELSE"),
            "report C: failure (Verified=-1): one SOMETHING_ELSE",
            "",
        ),
    )


@pytest.mark.parametrize("result", ["success", "NOT_BUILT", "SUCCESS "])
def test_only_exactly_success_is_success(result):
    world = World()
    world.upload("A")
    assert world.ends("one", "A", result) == [f"report A: Build failed. (Verified=-1); one {result}"]


def test_w42_nobody_offers_the_job():
    world = in_world(("A", "demo/app"))

    def uploaded() -> list[str]:
        """What the Gearman adapter answers at once when nobody offers a job; launches never reach the server."""
        told = world.uploaded("A")
        for job in ("lint", "unit"):
            told += world.ends(job, "A", "NOT_REGISTERED")
        return [each for each in told if not each.startswith("launch")]

    play(
        world,
        (
            uploaded,
            (
                "merge A→z1; report A: failure (Verified=-1): lint NOT_REGISTERED, unit NOT_REGISTERED, "
                "integ SKIPPED, perf SKIPPED"
            ),
            "",
        ),
    )


# --- where ci-gate differs (section I) ---


def test_w65_the_merge_worker_dies_with_an_exception():
    world = in_world(("A", "demo/one"), merge_outcomes=[MergeOutcome.INTERNAL] * 4)
    play(world, (lambda: world.uploaded("A"), "merge A→z1", "check: A"))
    for _ in range(2):
        play(world, (lambda: world.waits_for("merge"), "merge A→z1", "check: A"))
    play(
        world,
        (lambda: world.waits_for("merge"), "merge A→z1; report A: technical problem ()", ""),
    )
    (report,) = world.sent()
    assert "the merger had a problem of its own" in report.report.message
    assert not report.report.message.startswith("Merge Failed")


def test_w65_when_a_repeat_succeeds_nobody_learns_of_the_trouble():
    world = in_world(("A", "demo/one"), merge_outcomes=[MergeOutcome.INTERNAL] * 3)
    world.uploaded("A")
    for _ in range(2):
        world.waits_for("merge")
    assert world.waits_for("merge") == ["merge A→z1", "launch one for [A] on z1"]
    assert world.ends("one", "A") == ["report A: success (Verified=+1): one SUCCESS"]


def test_w67_children_of_a_job_that_does_not_apply():
    project_line = "projects:\n  - {name: demo/p, check: [{manual: [kid]}, lint]}"
    world = new_world(layout=layout_with(("projects:", project_line)))
    world.create("A", "demo/p", files=("/COMMIT_MSG", "src/x.c"))
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch lint for [A] on z1", "check: A"),
        (lambda: world.ends("lint", "A"), "report A: success (Verified=+1): lint SUCCESS", ""),
    )


def test_w71_a_filter_on_people_and_an_event_without_an_account():
    edit = ("comment: (?mi)^recheck$", "comment: (?mi)^recheck$\n          username: ^joe$")
    world = in_world(("A", "demo/one"), layout=layout_with(edit))
    play(world, (lambda: world.comment("A", "recheck", account=None), "", ""))
    refused = [each.text for each in world.decisions if each.pipeline == "check"]
    assert refused == ["the event has no account, the filter asks for one"]
    play(world, (lambda: world.comment("A", "recheck"), "merge A→z1; launch one for [A] on z1", "check: A"))


def test_w73_a_project_without_jobs_in_the_pipeline():
    world = in_world(("A", "demo/none"), layout=layout_with(("projects:", NO_CHECK)))
    play(world, (lambda: world.uploaded("A"), "", ""))


def test_w73_with_a_start_reporter_a_start_report():
    edits = (("success: {gerrit: {Verified: 1}}", "start: {gerrit: {Verified: 0}}"), ("projects:", NO_CHECK))
    world = in_world(("A", "demo/none"), layout=layout_with(*edits))
    play(world, (lambda: world.uploaded("A"), "report A: start (Verified=+0)", ""))


NO_CHECK = "projects:\n  - {name: demo/none, gate: [one]}"


def test_w77_an_empty_result_counts_as_no_result():
    world = in_world(("A", "demo/one"))
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (lambda: world.ends("one", "A", ""), "launch one for [A] on z1", "check: A"),
        (lambda: world.ends("one", "A"), "report A: success (Verified=+1): one SUCCESS", ""),
    )


class Raises:
    """A parameter function that raises, whenever it is called."""

    calls = 0

    def edit_parameters(self, _item: object, _job: Job, parameters: dict[str, object]) -> Answer:
        self.calls += 1
        return Answer(parameters, error="KeyError: 'node'")


def test_w78_the_parameter_function_raises():
    functions = Raises()
    jobs = {**THE_LAYOUT.jobs, "lint": Job("lint", parameter_function="set_node")}
    world = in_world(("A", "demo/app"), layout=replace(THE_LAYOUT, jobs=jobs), oracle=functions)
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch unit for [A] on z1", "check: A (failing)"),
        (lambda: world.comment("A", "nice"), "", "check: A (failing)"),
        (
            lambda: world.ends("unit", "A", "FAILURE"),
            "report A: failure (Verified=-1): lint EXCEPTION, unit FAILURE, integ SKIPPED, perf SKIPPED",
            "",
        ),
    )
    assert functions.calls == 1
    (report,) = world.sent()
    assert "set_node: KeyError: 'node'" in report.report.message


# --- what the tables leave out ---


def test_two_independent_pipelines_test_one_change_each_for_itself():
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


def test_merge_answers_may_come_in_any_order():
    world = World(answers_merges=False)
    world.upload("A")
    world.upload("B", "demo/lib")
    first, second = world.outstanding(Merge)
    assert world.step(world.merge_answer(second)) == ["launch lib-unit for [B] on z2"]
    assert world.step(world.merge_answer(first)) == ["launch one for [A] on z1"]


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


def test_a_start_report_is_sent_even_where_no_job_applies():
    world = World(layout(check_pipeline(start=votes(Verified=0))))
    assert world.upload("A", "demo/nothing") == ["report A: Starting check jobs. (Verified=+0)"]
    assert world.queues() == {}


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
