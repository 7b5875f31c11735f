"""Operators' commands: ``spec/walkthroughs.md`` W46 and W47, and scheduler.md 14."""

from __future__ import annotations

import pytest
from gate_world import earlier, layout_with, new_world, play

from ci_gate.model.commands import Dequeue, Enqueue, EnqueueRef, Promote
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler.effects import AnswerCommand, VerifySubmit
from ci_gate.scheduler.inputs import Commanded, SubmitVerified

OLD, NEW = "1" * 40, "2" * 40


def wants(world, command) -> list[str]:
    return world.step(Commanded(world.at, 7, command))


def answer(world) -> CommandAnswer:
    return [each for each in world.all_effects if isinstance(each, AnswerCommand)][-1].answer


def promote(*changes: str) -> Promote:
    return Promote("gate", changes)


def enqueue(world, name: str, **other: str) -> Enqueue:
    given = {"trigger": "gerrit", "pipeline": "gate", "project": "demo/one"}
    return Enqueue(**{**given, "change": f"{world.details(name).number},1", **other})


def test_w46_promote():
    world = new_world()
    earlier(world, "A", "B", "C")
    play(
        world,
        (
            lambda: wants(world, promote("3,1")),
            (
                "cancel one of A; cancel one of B; cancel one of C; merge C→z4; merge C→z4 A→z5; "
                "merge C→z4 A→z5 B→z6; launch one for [C] on z4; launch one for [C A] on z5; "
                "launch one for [C A B] on z6"
            ),
            "gate: C, A (on C), B (on A)",
        ),
        (lambda: wants(world, promote("2,1", "9,1")), "", "gate: C, A (on C), B (on A)"),
    )
    assert answer(world) == CommandAnswer(done=False, lines=("9,1 is not in gate",), valid=False)


def test_promote_keeps_times_of_entry_and_what_does_not_move():
    world = new_world()
    for name in "ABC":
        world.at += 10
        earlier(world, name)
    before = {str(item.subject.key): item.enqueued_at for item in items(world)}
    assert wants(world, promote("1,1", "3,1"))[:2] == ["cancel one of B", "cancel one of C"]
    assert {str(item.subject.key): item.enqueued_at for item in items(world)} == before
    assert wants(world, promote("1,1")) == []
    assert answer(world).lines == ("they were in this order already",)


def items(world):
    (gate,) = [each for each in world.scheduler.view().pipelines if each.name == "gate"]
    return [item for queue in gate.queues for head in queue.heads for item in head]


def test_promoting_a_child_takes_its_parents_along():
    world = new_world()
    earlier(world, "A")
    world.create("B")
    world.create("C", on="B")
    world.approved("C")
    wants(world, promote("3,1"))
    assert world.queues_text() == "gate: B, C (on B), A (on C)"
    assert answer(world).lines == ("gate: 2,1, 3,1, 1,1",)


def test_a_change_that_cannot_come_in_again_is_named():
    world = new_world()
    earlier(world, "A", "B")
    world.change("A", submit_records=())
    world.comment("A", "nice")
    wants(world, promote("2,1"))
    assert answer(world).lines == ("gate: 2,1", "1,1 did not come in again")


def test_a_head_that_is_being_reported_stays_at_the_head():
    world = new_world()
    earlier(world, "A", "B", "C")
    world.answers_reports = False
    world.ends("one", "A")
    wants(world, promote("3,1"))
    assert world.queues_text() == "gate: A, C (on A), B (on C)"


def test_a_second_head_that_is_being_reported_stays_as_well():
    world = new_world()
    for name, project in (("A", "demo/one"), ("B", "demo/pair"), ("C", "demo/one"), ("D", "demo/one")):
        world.create(name, project)
        world.approved(name)
    world.ends("one", "B", "FAILURE")
    world.ends("one", "A")
    world.answers_verification = False
    world.ends("one", "C")
    assert world.queues_text() == "gate: B (failing), C, D (on C)"
    told = wants(world, promote("2,1"))
    assert told == []
    assert answer(world).lines == ("they were in this order already",)
    told = wants(world, promote("4,1"))
    assert world.queues_text() == "gate: C, D (on C), B (on D)"
    (question,) = world.outstanding(VerifySubmit)
    world.step(SubmitVerified(world.at, question.item, merged=True))
    assert world.queues_text() == "gate: D, B (on D)"


def test_changes_of_two_queues_cannot_be_promoted_together():
    world = new_world()
    earlier(world, "A")
    world.create("B", "demo/docs")
    world.approved("B")
    assert wants(world, promote("1,1", "2,1")) == []
    assert "2,1 is in queue demo/docs, and 1,1 in" in answer(world).lines[0]


def test_w47_enqueue_by_hand():
    world = new_world(
        layout=layout_with(("precedence: high", "precedence: high\n    require: {approval: [{username: '^boss$'}]}"))
    )
    world.create("A")
    world.create("B", ready=False)
    play(
        world,
        (lambda: world.approved("A", by="other"), "", ""),
        (
            lambda: wants(world, enqueue(world, "A")),
            "report A: start (Verified=+0); merge A→z1; launch one for [A] on z1",
            "gate: A",
        ),
        (lambda: wants(world, enqueue(world, "B")), "", "gate: A"),
    )
    assert not answer(world).done
    assert answer(world).valid
    assert "Gerrit would not submit 2,1 now" in answer(world).lines[0]
    ref = EnqueueRef("gerrit", "post", "demo/app", "master", OLD, NEW, "http://review/commit")
    play(
        world,
        (
            lambda: wants(world, ref),
            "update repository demo/app; launch publish for ref master",
            "gate: A | post: master",
        ),
    )
    assert answer(world).done
    (post,) = (each for each in world.scheduler.view().pipelines if each.name == "post")
    assert post.queues[0].heads[0][0].subject.url == "http://review/commit"


@pytest.mark.parametrize(
    ("wrong", "lines"),
    [
        ({"trigger": "x"}, ("Invalid trigger: x",)),
        ({"trigger": "zuul"}, ("Invalid trigger: zuul",)),
        ({"project": "x", "pipeline": "y"}, ("Invalid project: x", "Invalid pipeline: y")),
        ({"change": "9,1"}, ("Invalid change: 9,1",)),
        ({"change": "1,7"}, ("Invalid change: 1,7",)),
        ({"change": "1"}, ("Invalid change: 1",)),
        ({"change": "x,y"}, ("Invalid change: x,y",)),
        ({"project": "demo/lib"}, ("Invalid change: 1,1",)),
    ],
)
def test_what_does_not_exist_is_named(wrong, lines):
    world = new_world()
    world.create("A")
    assert wants(world, enqueue(world, "A", **wrong)) == []
    assert answer(world) == CommandAnswer(done=False, lines=lines, valid=False)
    assert world.scheduler.view().trigger_queue_length == 0


def test_a_command_does_not_wait_behind_events():
    world = new_world(answers_queries=False)
    world.create("A")
    world.create("B")
    world.comment("A", "recheck")
    world.answers_queries = True
    assert wants(world, enqueue(world, "B"))[-1] == "launch one for [B] on z1"


def test_dequeue_takes_a_change_out_with_its_builds():
    world = new_world()
    earlier(world, "A", "B")
    told = wants(world, Dequeue("gate", "demo/one", change="1,1"))
    assert told == ["cancel one of A", "cancel one of B", "merge B→z3", "launch one for [B] on z3"]
    assert answer(world) == CommandAnswer(done=True, lines=("1,1 left gate; its builds are cancelled",))
    assert wants(world, Dequeue("gate", "demo/one", change="1,1")) == []
    assert answer(world).lines == ("1,1 of demo/one is not in gate",)


def test_dequeue_takes_all_updates_of_a_ref_out():
    world = new_world()
    world.ref_updated("demo/app", "master", "1", "2")
    world.ref_updated("demo/app", "master", "2", "3")
    told = wants(world, Dequeue("post", "demo/app", ref="master"))
    assert [each.split()[0] for each in told] == ["cancel", "cancel"]
    assert world.queues_text() == ""


def test_leading_zeros_make_no_other_change():
    world = new_world()
    earlier(world, "A", "B")
    assert "launch one for [B A] on z4" in wants(world, promote("02,01"))
    assert wants(world, Dequeue("gate", "demo/one", change="01,1")) == ["cancel one of A"]
    assert wants(world, promote("2", "x,1")) == []
    assert answer(world) == CommandAnswer(done=False, lines=("2 is not in gate",), valid=False)
