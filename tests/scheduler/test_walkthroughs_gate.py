"""The dependent pipeline: ``spec/walkthroughs.md``, sections B and D, and what of A and E is about it."""

from __future__ import annotations

from gate_world import earlier, layout_with, new_world, play

from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import CancelBuild, Merge, SendReport


def in_gate(world, *names: str, project: str = "demo/one") -> None:
    for name in names:
        world.create(name, project)
        world.approved(name)


def test_w12_a_change_in_two_pipelines():
    world = new_world()
    world.create("A")
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z2; launch one for [A] on z2",
            "check: A | gate: A",
        ),
    )
    gate = world.requests["one", "A"]
    play(world, (lambda: world.approved("A", by="other"), "", "check: A | gate: A"))
    check = next(uuid for uuid, told in world._refs_of.items() if told == "one of A" and uuid != gate)
    world.requests["one", "A"] = check
    play(world, (lambda: world.ends("one", "A"), "report A: success (Verified=+1): one SUCCESS", "gate: A"))


def test_w13_merge_answers_in_any_order():
    world = new_world(answers_merges=False)
    world.create("A")
    world.create("B", on="A")
    play(
        world,
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z1; merge A→z1 B→z2",
            "gate: A, B (on A)",
        ),
    )
    first, second = world.outstanding(Merge)
    play(
        world,
        (lambda: world.step(world.merge_answer(second)), "launch one for [A B] on z2", "gate: A, B (on A)"),
        (lambda: world.step(world.merge_answer(first)), "launch one for [A] on z1", "gate: A, B (on A)"),
    )


def test_w15_one_change():
    world = new_world()
    world.create("A", "demo/app")
    play(
        world,
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z1; launch lint for [A] on z1; launch unit for [A] on z1",
            "gate: A",
        ),
        (lambda: world.ends("lint", "A"), "", "gate: A"),
        (lambda: world.ends("unit", "A"), "launch integ for [A] on z1", "gate: A"),
        (
            lambda: world.ends("integ", "A"),
            "report A: success (Verified=+2 submit): lint SUCCESS, unit SUCCESS, integ SUCCESS",
            "",
        ),
    )


def test_w16_two_changes_the_second_is_ready_first():
    world = new_world()
    world.create("A")
    world.create("B")
    play(
        world,
        (lambda: world.approved("A"), "report A: start (Verified=+0); merge A→z1; launch one for [A] on z1", "gate: A"),
        (
            lambda: world.approved("B"),
            "report B: start (Verified=+0); merge A→z1 B→z2; launch one for [A B] on z2",
            "gate: A, B (on A)",
        ),
        (lambda: world.ends("one", "B"), "", "gate: A, B (on A)"),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS; report B: success (Verified=+2 submit): one SUCCESS",
            "",
        ),
    )


def test_w17_the_middle_one_fails():
    world = new_world()
    earlier(world, "A", "B")
    world.create("C")
    play(
        world,
        (
            lambda: world.approved("C"),
            "report C: start (Verified=+0); merge A→z1 B→z2 C→z3; launch one for [A B C] on z3",
            "gate: A, B (on A), C (on B)",
        ),
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "cancel one of C; merge A→z1 C→z4; launch one for [A C] on z4",
            "gate: A, B (on A, failing), C (on A)",
        ),
        (lambda: world.ends("one", "C"), "", "gate: A, B (on A, failing), C (on A)"),
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; report B: failure (Verified=-2): one FAILURE; "
                "report C: success (Verified=+2 submit): one SUCCESS"
            ),
            "",
        ),
    )


def test_w18_the_head_fails():
    world = new_world()
    earlier(world, "A", "B", "C")
    play(
        world,
        (lambda: world.begins("one", "B"), "", "gate: A, B (on A), C (on B)"),
        (
            lambda: world.ends("one", "A", "FAILURE"),
            (
                "report A: failure (Verified=-2): one FAILURE; stop one of B; cancel one of C; merge B→z4; "
                "merge B→z4 C→z5; launch one for [B] on z4; launch one for [B C] on z5"
            ),
            "gate: B, C (on B)",
        ),
    )


def test_w19_last_then_middle_then_first_fail():
    world = new_world()
    earlier(world, "A", "B", "C")
    play(
        world,
        (lambda: world.ends("one", "C", "FAILURE"), "", "gate: A, B (on A), C (on B, failing)"),
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "merge A→z1 C→z4; launch one for [A C] on z4",
            "gate: A, B (on A, failing), C (on A)",
        ),
        (
            lambda: world.ends("one", "A", "FAILURE"),
            (
                "report A: failure (Verified=-2): one FAILURE; cancel one of C; merge B→z5; merge B→z5 C→z6; "
                "launch one for [B] on z5; launch one for [B C] on z6"
            ),
            "gate: B, C (on B)",
        ),
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "report B: failure (Verified=-2): one FAILURE; cancel one of C; merge C→z7; launch one for [C] on z7",
            "gate: C",
        ),
        (lambda: world.ends("one", "C"), "report C: success (Verified=+2 submit): one SUCCESS", ""),
    )


def test_w20_a_job_of_a_non_head_fails_while_its_others_run():
    world = new_world()
    in_gate(world, "A")
    in_gate(world, "B", project="demo/pair")
    in_gate(world, "C")
    play(
        world,
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "cancel one of C; merge A→z1 C→z4; launch one for [A C] on z4",
            "gate: A, B (on A, failing), C (on A)",
        ),
        (lambda: world.ends("two", "B"), "", "gate: A, B (on A, failing), C (on A)"),
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; "
                "report B: failure (Verified=-2): one FAILURE, two SUCCESS"
            ),
            "gate: C",
        ),
    )


def test_w21_queues_do_not_disturb_each_other():
    world = new_world()
    in_gate(world, "A", project="demo/docs")
    world.create("B")
    play(
        world,
        (
            lambda: world.approved("B"),
            "report B: start (Verified=+0); merge B→z2; launch one for [B] on z2",
            "gate: A | gate: B",
        ),
        (
            lambda: world.ends("docs-build", "A", "FAILURE"),
            "report A: failure (Verified=-2): docs-build FAILURE",
            "gate: B",
        ),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+2 submit): one SUCCESS", ""),
    )


def test_w22_shared_queue_over_projects():
    world = new_world()
    world.create("A", "demo/lib")
    world.create("B", "demo/app")
    play(
        world,
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z1; launch lib-unit for [A] on z1; launch integ for [A] on z1",
            "gate: A",
        ),
        (
            lambda: world.approved("B"),
            "report B: start (Verified=+0); merge A→z1 B→z2; launch lint for [A B] on z2; launch unit for [A B] on z2",
            "gate: A, B (on A)",
        ),
        (
            lambda: world.ends("lib-unit", "A", "FAILURE"),
            "cancel lint of B; cancel unit of B; merge B→z3; launch lint for [B] on z3; launch unit for [B] on z3",
            "gate: A (failing), B",
        ),
        (
            lambda: world.ends("integ", "A"),
            "report A: failure (Verified=-2): lib-unit FAILURE, integ SUCCESS",
            "gate: B",
        ),
    )


def test_w23_gerrit_does_not_submit():
    world = new_world(refuses_to_submit={"A"})
    earlier(world, "A", "B")
    play(
        world,
        (lambda: world.ends("one", "B"), "", "gate: A, B (on A)"),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS; merge B→z3; launch one for [B] on z3",
            "gate: B",
        ),
    )


def test_w24_conflict_with_a_change_ahead():
    world = new_world()
    in_gate(world, "A")
    world.create("B")
    world.create("C")
    world.unmergeable.add("B")
    play(
        world,
        (
            lambda: world.approved("B"),
            "report B: start (Verified=+0); merge A→z1 B→z2",
            "gate: A, B (on A, failing)",
        ),
        (
            lambda: world.approved("C"),
            "report C: start (Verified=+0); merge A→z1 C→z3; launch one for [A C] on z3",
            "gate: A, B (on A, failing), C (on A)",
        ),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS; report B: merge failure (Verified=-2)",
            "gate: C",
        ),
    )


def test_w25_new_patch_set_in_the_gate():
    world = new_world()
    earlier(world, "A", "B", "C")
    play(
        world,
        (
            lambda: world.new_patch_set("B"),
            (
                "cancel one of B; cancel one of C; merge B2→z4; merge A→z1 C→z5; launch one for [B2] on z4; "
                "launch one for [A C] on z5"
            ),
            "check: B2 | gate: A, C (on A)",
        ),
    )


def test_w26_abandoned_in_the_gate():
    world = new_world()
    earlier(world, "A", "B")
    play(
        world,
        (
            lambda: world.abandon("A"),
            "cancel one of A; cancel one of B; merge B→z3; launch one for [B] on z3",
            "gate: B",
        ),
    )


def test_w27_abandoned_parent_in_the_gate():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.approved("A")
    play(
        world,
        (
            lambda: world.abandon("A"),
            "cancel one of A; cancel one of B; report B: needed change failed (Verified=-2)",
            "",
        ),
    )


def test_what_stands_on_a_deleted_change_leaves_the_gate_and_does_not_pull_it_in_again():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.approved("A")
    assert world.queues() == {"gate": ["A", "B (on A)"]}
    event = world.event("change-deleted", "A", patchset=None)
    del world.changes[event.number]
    world.tell(event)
    assert world.queues() == {}
    world.approved("B")
    assert world.queues() == {}


def test_w27_with_a_footer_in_place_of_the_parent_the_other_stays():
    world = new_world()
    world.create("A")
    world.create("B", needs="A")
    world.approved("A")
    play(
        world,
        (
            lambda: world.abandon("A"),
            "cancel one of A; cancel one of B; merge B→z3; launch one for [B] on z3",
            "gate: B",
        ),
    )


def test_w28_noop():
    world = new_world()
    world.create("A", "demo/plain")
    play(
        world,
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z1; report A: success (Verified=+2 submit): noop SUCCESS",
            "",
        ),
    )


def test_w29_no_jobs_in_a_gate():
    world = new_world()
    world.create("A", "demo/idle")
    play(world, (lambda: world.approved("A"), "report A: start (Verified=+0)", ""))


def test_w38_items_outside_the_window_wait():
    world = new_world(layout=layout_with(("precedence: high", "precedence: high\n    window: 2")))
    earlier(world, "A", "B")
    world.create("C")
    world.create("D")
    play(
        world,
        (lambda: world.approved("C"), "report C: start (Verified=+0)", "gate: A, B (on A), C (on B, outside)"),
        (
            lambda: world.approved("D"),
            "report D: start (Verified=+0)",
            "gate: A, B (on A), C (on B, outside), D (on C, outside)",
        ),
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; merge B→z2 C→z3; merge B→z2 C→z3 D→z4; "
                "launch one for [B C] on z3; launch one for [B C D] on z4"
            ),
            "gate: B, C (on B), D (on C)",
        ),
    )


def test_w39_shrinking_to_the_floor():
    world = new_world(layout=layout_with(("precedence: high", "precedence: high\n    window: 4\n    window-floor: 2")))
    earlier(world, "A", "B", "C", "D")
    world.create("E")
    play(
        world,
        (
            lambda: world.approved("E"),
            "report E: start (Verified=+0)",
            "gate: A, B (on A), C (on B), D (on C), E (on D, outside)",
        ),
        (
            lambda: world.ends("one", "A", "FAILURE"),
            (
                "report A: failure (Verified=-2): one FAILURE; cancel one of B; cancel one of C; cancel one of D; "
                "merge B→z5; merge B→z5 C→z6; launch one for [B] on z5; launch one for [B C] on z6"
            ),
            "gate: B, C (on B), D (on C, outside), E (on D, outside)",
        ),
        (
            lambda: world.ends("one", "B", "FAILURE"),
            (
                "report B: failure (Verified=-2): one FAILURE; cancel one of C; merge C→z7; merge C→z7 D→z8; "
                "launch one for [C] on z7; launch one for [C D] on z8"
            ),
            "gate: C, D (on C), E (on D, outside)",
        ),
    )


def test_w43_an_answer_for_an_outdated_merge():
    world = new_world()
    in_gate(world, "A")
    world.create("B")
    world.answers_merges = False
    play(
        world,
        (lambda: world.approved("B"), "report B: start (Verified=+0); merge A→z1 B→z2", "gate: A, B (on A)"),
        (
            lambda: world.ends("one", "A", "FAILURE"),
            "report A: failure (Verified=-2): one FAILURE; merge B→z3",
            "gate: B",
        ),
    )
    outdated, current = world.outstanding(Merge)
    play(
        world,
        (lambda: world.step(world.merge_answer(outdated)), "", "gate: B"),
        (lambda: world.step(world.merge_answer(current)), "launch one for [B] on z3", "gate: B"),
    )


# --- where ci-gate differs (section I) ---


def test_w64_a_conflict_is_no_success_though_no_job_votes():
    edits = (("check: [one],        gate: [one],", "check: [one],        gate: [perf],"),)
    world = new_world(layout=layout_with(*edits))
    world.create("A")
    world.unmergeable.add("A")
    play(
        world,
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z1; report A: merge failure (Verified=-2)",
            "",
        ),
    )
    assert world.scheduler._state.pipelines["gate"].by_project["demo/one"].window == 10


def test_w66_gerrit_is_down_when_the_head_succeeds():
    world = new_world()
    earlier(world, "A", "B")
    world.answers_reports = False
    play(
        world,
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS",
            "gate: A, B (on A)",
        ),
        (lambda: world.delivers(the_report(world), DeliveryOutcome.UNREACHABLE), "", "gate: A, B (on A)"),
        (lambda: world.ends("one", "B"), "", "gate: A, B (on A)"),
    )
    waits = []
    for _ in range(4):
        before = world.at
        play(
            world,
            (
                lambda: world.waits_for("report"),
                "report A: success (Verified=+2 submit): one SUCCESS",
                "gate: A, B (on A)",
            ),
        )
        waits.append(world.at - before)
        play(world, (lambda: world.delivers(the_report(world), DeliveryOutcome.UNREACHABLE), "", "gate: A, B (on A)"))
    assert waits == [2, 4, 8, 16]
    world.answers_reports = True
    play(
        world,
        (
            lambda: world.waits_for("report"),
            "report A: success (Verified=+2 submit): one SUCCESS; report B: success (Verified=+2 submit): one SUCCESS",
            "",
        ),
    )
    assert {world.details(name).status for name in "AB"} == {"MERGED"}


def the_report(world) -> SendReport:
    (report,) = world.outstanding(SendReport)
    return report


def test_w68_a_reload_of_the_same_layout_does_nothing():
    world = new_world()
    earlier(world, "A", "B", "C")
    world.ends("one", "B", "FAILURE")
    before = world.queues_text()
    assert world.reload(layout_with()) == []
    assert world.queues_text() == before == "gate: A, B (on A, failing), C (on A)"


def test_w75_a_stop_request_is_sent_once():
    world = new_world()
    for name, needs in (("A", ""), ("B", ""), ("C", "B"), ("D", "")):
        world.create(name, needs=needs)
    for name in "ABD":
        world.approved(name)
    world.begins("one", "C")
    world.ends("one", "B", "FAILURE")
    queues = "gate: A, B (on A, failing), C (on B, failing), D (on A)"
    play(world, *((lambda: world.comment("A", "nice"), "", queues) for _ in range(10)))
    stopped = [each.uuid for each in world.all_effects if isinstance(each, CancelBuild)]
    assert [each for each in stopped if each in world.started] == [world.requests["one", "C"]]


def test_what_gerrit_refuses_without_having_said_so_before_is_told_to_the_author():
    world = new_world(refuses_to_submit={"A"})
    world.create("A")
    world.change("A", records_decide=False)
    world.approved("A")
    world.ends("one", "A")
    *_, told = world.sent()
    assert told.report.message == ("All tests passed, but this change was not merged.\n\nGerrit did not submit it")
    assert (told.report.labels, told.report.flags) == ((), ())
    assert world.queues_text() == ""
