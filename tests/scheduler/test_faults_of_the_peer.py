"""The faults that must not be inherited (scheduler.md 19): for each of them what shows that it is not here.

Where another file shows it, it is named in ``SHOWN_BY``; the rest is below, named after the fault.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from gate_world import earlier, layout_with, new_world, play

from ci_gate.model.merge import MergeOutcome, MergeRequest
from ci_gate.model.report import DeliveryOutcome, Mail
from ci_gate.scheduler.effects import Merge, SendReport, UpdateRepository, VerifySubmit
from ci_gate.scheduler.inputs import SubmitVerified, TimeCame

TESTS = Path(__file__).parent.parent
HERE = "scheduler/test_faults_of_the_peer.py"
CHECK, GATE = "scheduler/test_walkthroughs_check.py", "scheduler/test_walkthroughs_gate.py"
DEPENDENCIES, TRIGGERS = "scheduler/test_walkthroughs_dependencies.py", "scheduler/test_walkthroughs_triggers.py"
INTAKE, OPERATORS = "scheduler/test_intake.py", "scheduler/test_operators.py"
LAUNCHER, MERGER = "gearman/test_launcher.py", "merger/test_merger_walkthroughs.py"

SHOWN_BY = {
    1: [(GATE, "test_w64_a_conflict_is_no_success_though_no_job_votes")],
    2: [
        (CHECK, "test_w65_the_merge_worker_dies_with_an_exception"),
        (CHECK, "test_w65_when_a_repeat_succeeds_nobody_learns_of_the_trouble"),
        (HERE, "test_2_no_trouble_of_the_merger_is_told_as_a_conflict"),
    ],
    3: [
        (GATE, "test_w66_gerrit_is_down_when_the_head_succeeds"),
        (HERE, "test_3_a_report_that_fails_is_repeated_in_check_as_well"),
    ],
    4: [
        (
            "e2e/test_drain.py",
            "test_w69_the_last_report_is_sent_and_events_that_came_meanwhile_are_looked_at_after_the_next_start",
        ),
        ("e2e/test_drain.py", "test_w70_children_of_what_ends_meanwhile_run_as_well"),
    ],
    5: [
        (TRIGGERS, "test_w76_a_filter_by_branch_does_not_keep_a_tag_from_the_next_pipeline"),
        (INTAKE, "test_a_failed_query_is_tried_again_with_back_off_for_as_long_as_it_takes_and_no_event_is_lost"),
        ("scheduler/test_bad_input.py", "test_no_input_whatever_is_in_it_makes_the_scheduler_raise"),
    ],
    6: [
        (INTAKE, "test_numbers_are_decimal_text_whatever_type_they_came_in"),
        ("gerrit/test_events.py", "test_numbers_are_decimal_text_whatever_type_they_had"),
        (HERE, "test_6_a_merge_and_its_builds_know_the_patch_set"),
    ],
    7: [
        ("e2e/test_restart.py", "test_items_keep_their_place_and_their_ref_and_are_reported_once"),
        ("e2e/test_missed_events.py", "test_what_happens_while_the_service_is_down_is_found_at_its_start"),
    ],
    8: [
        (CHECK, "test_w71_a_filter_on_people_and_an_event_without_an_account"),
        ("scheduler/test_filters.py", "test_row_7_the_accounts_email_must_contain_any_expression"),
    ],
    9: [("cloner/test_cloner_checkout.py", "test_a_merger_that_cannot_be_reached_is_an_error")],
    10: [(CHECK, "test_w67_children_of_a_job_that_does_not_apply")],
    11: [
        (CHECK, "test_w77_an_empty_result_counts_as_no_result"),
        (CHECK, "test_w78_the_parameter_function_raises"),
    ],
    12: [
        (LAUNCHER, "test_an_end_without_a_result_is_a_lost_build"),
        (LAUNCHER, "test_a_restarted_server_costs_no_build_and_no_try"),
        (CHECK, "test_w40_a_worker_vanishes"),
    ],
    13: [("daemon/test_reload.py", "test_w74_reload_with_a_file_that_is_not_yaml")],
    14: [
        (HERE, "test_14_while_one_gate_waits_for_gerrit_all_else_goes_on"),
        ("e2e/test_adversity.py", "test_a_gerrit_that_falls_silent_delays_nobody_else"),
    ],
    15: [
        (MERGER, "test_w80_a_push_after_an_update_does_not_stop_merging"),
        (MERGER, "test_w81_a_tag_that_moved_upstream_moves_here"),
    ],
    16: [(HERE, "test_16_a_merge_that_fails_once_is_a_merge_of_the_change_the_next_time")],
    17: [(HERE, "test_17_a_conflict_in_a_disabled_pipeline_is_told_to_those_who_are_to_know")],
    18: [
        (GATE, "test_w68_a_reload_of_the_same_layout_does_nothing"),
        (TRIGGERS, "test_w79_after_a_reload_a_child_is_still_pulled_in_behind_its_parent"),
    ],
    19: [
        (
            "scheduler/test_cost_of_a_step.py",
            "test_what_changes_nothing_for_a_queue_costs_the_same_however_long_it_is",
        ),
        ("daemon/test_metrics.py", "test_many_items_in_one_step_are_one_gauge"),
    ],
    20: [(HERE, "test_20_a_merge_names_its_own_change_and_the_state_ahead_and_no_more")],
    21: [(DEPENDENCIES, "test_w72_each_change_of_a_diamond_is_asked_for_once")],
    22: [
        (CHECK, "test_w73_a_project_without_jobs_in_the_pipeline"),
        (GATE, "test_w29_no_jobs_in_a_gate"),
        (HERE, "test_22_a_timer_asks_for_repositories_of_projects_with_jobs_only"),
    ],
    23: [(GATE, "test_w75_a_stop_request_is_sent_once"), (HERE, "test_23_what_has_ended_is_not_cancelled")],
    24: [
        ("gearman/test_descriptions_at_jenkins.py", "test_each_build_is_described_once"),
        ("scheduler/test_descriptions.py", "test_a_build_set_is_described_once_after_its_report"),
    ],
    25: [(OPERATORS, "test_promote_keeps_times_of_entry_and_what_does_not_move")],
    26: [("merger/test_published_refs.py", "test_a_state_is_deleted_when_its_retention_is_over")],
    27: [("daemon/test_timespec_times.py", "test_the_next_time")],
    28: [(HERE, "test_28_a_conflict_of_what_has_no_jobs_is_handled_like_any_other")],
    29: [(HERE, "test_29_a_change_merged_by_hand_counts_as_merged_and_those_behind_go_on")],
}


@pytest.mark.parametrize("fault", range(1, 30))
def test_every_fault_is_shown_not_to_be_here(fault):
    for file, name in SHOWN_BY[fault]:
        assert f"def {name}(" in (TESTS / file).read_text(), f"{file} has no {name}"


@pytest.mark.parametrize("outcome", [each for each in MergeOutcome if each not in ("merged", "conflict")])
def test_2_no_trouble_of_the_merger_is_told_as_a_conflict(outcome):
    world = new_world(merge_outcomes=[outcome] * 4)
    world.create("A")
    world.uploaded("A")
    world.fire_timers(world.at + 1000)
    (report,) = world.sent()
    assert report.report.labels == ()
    assert "technical problem of the CI system, not of the change" in report.report.message


def test_3_a_report_that_fails_is_repeated_in_check_as_well():
    world = new_world(answers_reports=False)
    world.create("A")
    world.uploaded("A")
    world.ends("one", "A")
    (report,) = world.outstanding(SendReport)
    world.delivers(report, DeliveryOutcome.UNREACHABLE)
    world.answers_reports = True
    assert world.waits_for("report") == ["report A: success (Verified=+1): one SUCCESS"]
    assert world.scheduler.undelivered_reports() == ()


def test_6_a_merge_and_its_builds_know_the_patch_set():
    world = new_world()
    world.create("A")
    world.add_patch_set("A")
    world.uploaded("A")
    (merge,) = [each.request for each in world.all_effects if isinstance(each, Merge)]
    assert (merge.patchset, merge.refspec) == ("2", "refs/changes/01/1/2")
    assert world.requests["one", "A2"]


def test_14_while_one_gate_waits_for_gerrit_all_else_goes_on():
    world = new_world(answers_verification=False)
    earlier(world, "A", "B")
    world.create("C", "demo/docs")
    world.approved("C")
    world.ends("one", "A")
    assert world.outstanding(VerifySubmit)
    play(
        world,
        (lambda: world.ends("one", "B"), "", "gate: C | gate: A, B (on A)"),
        (
            lambda: world.ends("docs-build", "C", "FAILURE"),
            "report C: failure (Verified=-2): docs-build FAILURE",
            "gate: A, B (on A)",
        ),
        (
            lambda: world.step(TimeCame(world.at, "0 2 * * *")),
            "update repository demo/one; launch soak for project demo/one",
            "gate: A, B (on A) | nightly: demo/one",
        ),
    )


def test_16_a_merge_that_fails_once_is_a_merge_of_the_change_the_next_time():
    world = new_world(merge_outcomes=[MergeOutcome.INTERNAL])
    world.create("A")
    world.uploaded("A")
    assert world.waits_for("merge") == ["merge A→z1", "launch one for [A] on z1"]
    first, second = [each.request for each in world.all_effects if isinstance(each, Merge)]
    assert first == second
    assert not [each for each in world.all_effects if isinstance(each, UpdateRepository)]


IDLE = "projects:\n  - {name: demo/none, check: []}"


def test_17_a_conflict_in_a_disabled_pipeline_is_told_to_those_who_are_to_know():
    disabling = "disable-after-consecutive-failures: 1\n    disabled: {smtp: {to: ops@demo}}\n    failure: {gerrit"
    world = new_world(layout=layout_with(("failure: {gerrit", disabling), ("projects:", IDLE)), unmergeable={"B"})
    for name in "ABC":
        world.create(name, "demo/none" if name == "C" else "demo/one")
    world.uploaded("A")
    world.ends("one", "A", "FAILURE")
    play(
        world,
        (lambda: world.uploaded("B"), "merge B→z2; mail to ops@demo: merge failure", ""),
        (lambda: world.uploaded("C"), "", ""),
    )
    assert isinstance(world.sent()[-1].report, Mail)


def test_20_a_merge_names_its_own_change_and_the_state_ahead_and_no_more():
    world = new_world()
    earlier(world, "A", "B", "C")
    world.ends("one", "A", "FAILURE")
    merges = [each.request for each in world.all_effects if isinstance(each, Merge)]
    assert [(each.number, each.ahead) for each in merges[-2:]] == [("2", None), ("3", merges[-2].ref)]
    assert not any(isinstance(getattr(merges[-1], each.name), tuple | list) for each in fields(MergeRequest))


def test_22_a_timer_asks_for_repositories_of_projects_with_jobs_only():
    world = new_world()
    world.step(TimeCame(world.at, "0 2 * * *"))
    updates = [each.request.project for each in world.all_effects if isinstance(each, UpdateRepository)]
    assert updates == ["demo/one"]


def test_23_what_has_ended_is_not_cancelled():
    world = new_world()
    world.create("A", "demo/app")
    world.uploaded("A")
    world.ends("lint", "A")
    assert world.abandon("A") == ["cancel unit of A"]


def test_28_a_conflict_of_what_has_no_jobs_is_handled_like_any_other():
    world = new_world(unmergeable={"A"})
    world.create("A", "elsewhere/x")
    world.create("B", needs="A")
    world.create("C")
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z1; merge A→z1 B→z2; launch one for [A B] on z2",
            "check: A (dead, failing), B (on A)",
        ),
        (
            lambda: world.uploaded("C"),
            "merge C→z3; launch one for [C] on z3",
            "check: A (dead, failing), B (on A) | check: C",
        ),
    )


def test_29_a_change_merged_by_hand_counts_as_merged_and_those_behind_go_on():
    world = new_world()
    earlier(world, "A", "B")
    world.change("A", status="MERGED", is_open=False)
    world.tell(world.event("change-merged", "A"))
    world.answers_verification = False
    world.ends("one", "A")
    (question,) = world.outstanding(VerifySubmit)
    before = len(world.all_effects)
    world.step(SubmitVerified(world.at, question.item, merged=True))
    assert world.all_effects[before:] == []
    assert world.queues_text() == "gate: B"
    world.answers_verification = True
    assert world.ends("one", "B") == ["report B: success (Verified=+2 submit): one SUCCESS"]
