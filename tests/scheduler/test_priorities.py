"""``priority`` and ``limit`` (additions.md): two hundred changes of a bot do not hold up people."""

from __future__ import annotations

import pytest
from gate_world import layout_with, new_world, play

from ci_gate.model.change import Account
from ci_gate.model.commands import Promote
from ci_gate.scheduler.effects import CancelBuild, LaunchBuild, Merge
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import Commanded
from ci_gate.scheduler.turns import MERGES_AT_ONCE

CHECK = "  - name: check\n    manager: IndependentPipelineManager\n"
BOT = Account("Renewer", "bot@example.org", "renew-bot")
ADA = Account("Ada", "ada@example.org", "ada")
BOTS_LAST = "    priority:\n      - {owner: -bot$, value: -10}\n      - {comment: (?m)^recheck$, value: 5}\n"


def layout(priority: str = BOTS_LAST, limit: str = ""):
    return layout_with((CHECK, CHECK + priority + limit))


def launched(world) -> list[str]:
    return [world._refs_of[each.request.uuid] for each in world.all_effects if isinstance(each, LaunchBuild)]


def create(world, *names: str, owner: Account = BOT, project: str = "demo/one") -> None:
    for name in names:
        world.create(name, project, owner=owner)


def test_of_each_function_one_build_waits_at_the_job_server_and_people_go_first():
    world = new_world(layout=layout())
    create(world, "A", "B", "C")
    create(world, "D", owner=ADA)
    for name in "ABCD":
        world.uploaded(name)
    assert launched(world) == ["one of A"]
    world.begins("one", "A")
    assert launched(world) == ["one of A", "one of D"]
    world.begins("one", "D")
    world.begins("one", "B")
    assert launched(world) == ["one of A", "one of D", "one of B", "one of C"]


def test_other_functions_do_not_wait():
    world = new_world(layout=layout())
    create(world, "A", "B")
    create(world, "C", project="demo/lib")
    for name in "ABC":
        world.uploaded(name)
    assert launched(world) == ["one of A", "lib-unit of C"]


def test_the_end_of_a_build_that_never_began_lets_the_next_go():
    world = new_world(layout=layout())
    create(world, "A", "B")
    world.uploaded("A")
    world.uploaded("B")
    world.ends("one", "A", "NOT_REGISTERED")
    assert launched(world) == ["one of A", "one of B"]


def test_a_build_that_waits_here_is_cancelled_without_a_word_to_the_job_server():
    world = new_world(layout=layout())
    create(world, "A", "B", "C")
    for name in "ABC":
        world.uploaded(name)
    world.abandon("B")
    assert not [each for each in world.all_effects if isinstance(each, CancelBuild)]
    world.abandon("A")
    assert [world._refs_of[each.uuid] for each in world.all_effects if isinstance(each, CancelBuild)] == ["one of A"]
    assert launched(world) == ["one of A", "one of C"]


def test_the_precedence_of_pipelines_comes_before_the_value():
    world = new_world(layout=layout("    priority: [{value: 100}]\n"))
    create(world, "A", "B")
    world.uploaded("A")
    world.uploaded("B")
    world.create("C")
    world.approved("C")
    world.begins("one", "A")
    assert launched(world) == ["one of A", "one of C"]


def test_merges_beyond_what_mergers_do_at_once_wait_and_people_go_first():
    world = new_world(layout=layout(), answers_merges=False)
    bots = "ABCDEFGHIJ"
    create(world, *bots)
    create(world, "K", owner=ADA)
    for name in (*bots, "K"):
        world.uploaded(name)
    waiting = world.outstanding(Merge)
    assert len(waiting) == MERGES_AT_ONCE
    world.pending.remove(waiting[0])
    world.step(world.merge_answer(waiting[0]))
    assert world.outstanding(Merge)[-1].request.number == "11"


def test_merges_of_a_dependent_pipeline_keep_the_order_of_the_queue():
    gate = "    manager: DependentPipelineManager\n"
    values = "    priority: [{owner: ada, value: 5}]\n"
    world = new_world(layout=layout_with((gate, gate + values)), answers_merges=False)
    names = "ABCDEFGHIJK"
    for name in names:
        world.create(name, owner=ADA if name == "K" else BOT)
        world.approved(name)
    asked = []
    while waiting := world.outstanding(Merge):
        asked.append(waiting[0].request.number)
        world.pending.remove(waiting[0])
        world.step(world.merge_answer(waiting[0]))
    assert asked == [str(number) for number in range(1, len(names) + 1)]


def test_a_limit_holds_back_those_below_zero_and_nobody_else():
    world = new_world(layout=layout(limit="    limit: 1\n"))
    create(world, "A", "B")
    create(world, "C", owner=ADA)
    play(
        world,
        (lambda: world.uploaded("A"), "merge A→z1; launch one for [A] on z1", "check: A"),
        (lambda: world.uploaded("B"), "", "check: A | check: B (outside)"),
        (lambda: world.uploaded("C"), "merge C→z2", "check: A | check: B (outside) | check: C"),
        (lambda: world.begins("one", "A"), "launch one for [C] on z2", "check: A | check: B (outside) | check: C"),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+1): one SUCCESS; merge B→z3",
            "check: B | check: C",
        ),
    )
    assert Code.WAITS_FOR_LIMIT in world.codes()


def test_of_those_that_the_limit_holds_back_the_best_goes_first():
    values = "    priority:\n      - {owner: -bot$, topic: ^urgent, value: -1}\n      - {owner: -bot$, value: -10}\n"
    world = new_world(layout=layout(values, "    limit: 1\n"))
    create(world, "A", "B")
    world.create("C", owner=BOT, topic="urgent-fix")
    for name in "ABC":
        world.uploaded(name)
    world.ends("one", "A")
    assert launched(world) == ["one of A", "one of C"]


def test_a_waiting_item_that_leaves_frees_nothing_and_is_not_let_in_later():
    world = new_world(layout=layout(limit="    limit: 1\n"))
    create(world, "A", "B", "C")
    for name in "ABC":
        world.uploaded(name)
    world.abandon("B")
    assert launched(world) == ["one of A"]
    world.ends("one", "A")
    assert launched(world) == ["one of A", "one of C"]
    assert not world.scheduler._state.pipelines["check"].waiting_low


def test_a_reload_without_priorities_and_limit_lets_everything_go():
    world = new_world(layout=layout(limit="    limit: 2\n"))
    create(world, "A", "B", "C")
    for name in "ABC":
        world.uploaded(name)
    assert launched(world) == ["one of A"]
    world.reload(layout(""))
    assert launched(world) == ["one of A", "one of B", "one of C"]
    assert "outside" not in world.queues_text()


def test_a_reload_with_a_higher_limit_lets_the_best_go():
    values = "    priority:\n      - {owner: -bot$, hashtag: ^soon$, value: -1}\n      - {owner: -bot$, value: -10}\n"
    world = new_world(layout=layout(values, "    limit: 1\n"))
    create(world, "A", "B")
    world.create("C", owner=BOT, hashtags=("later", "soon"))
    for name in "ABC":
        world.uploaded(name)
    world.begins("one", "A")
    world.reload(layout(values, "    limit: 2\n"))
    assert launched(world) == ["one of A", "one of C"]


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("owner: ^renew-bot$", 7),
        ("owner: bot@example", 7),
        ("owner: ^Renewer$", 7),
        ("owner: ^ada$", 0),
        ("topic: ^renew", 7),
        ("topic: '^$'", 0),
        ("hashtag: ^two$", 7),
        ("hashtag: three", 0),
        ("comment: (?m)^recheck", 7),
        ("comment: please", 0),
        ("owner: ada, topic: renew", 0),
        ("owner: bot, topic: renew, hashtag: one, comment: recheck", 7),
    ],
)
def test_the_first_entry_whose_every_expression_is_found_gives_the_value(entry, value):
    world = new_world(layout=layout(f"    priority: [{{{entry}, value: 7}}]\n"))
    world.create("A", owner=BOT, topic="renewals", hashtags=("one", "two"))
    world.comment("A", "recheck")
    (item,) = world.scheduler._state.pipelines["check"].live.values()
    assert item.value == value


def test_a_value_stays_with_an_item_that_is_promoted():
    gate = "    manager: DependentPipelineManager\n"
    values = "    priority: [{comment: 'Workflow', value: 5}]\n"
    world = new_world(layout=layout_with((gate, gate + values)))
    for name in "AB":
        world.create(name)
        world.approved(name)
    world.step(Commanded(world.at, 1, Promote("gate", ("2,1",))))
    assert [each.value for each in world.scheduler._state.pipelines["gate"].live.values()] == [5, 5]
