"""The supercedent manager (additions.md): the newest of a branch or ref is published, once."""

from __future__ import annotations

from gate_world import layout_of, new_world, play

from ci_gate.scheduler.explain import Code

TEXT = """
pipelines:
  - name: publish
    manager: SupercedentPipelineManager
    trigger:
      gerrit:
        - event: ref-updated
        - event: change-merged
    success: {smtp: {to: docs@demo}}
    failure: {smtp: {to: docs@demo}}
projects:
  - {name: demo/docs, publish: [upload]}
  - {name: demo/site, publish: [upload]}
"""
LAYOUT = layout_of(TEXT)


def test_one_runs_and_only_the_newest_waits():
    world = new_world(layout=LAYOUT)
    play(
        world,
        (
            lambda: world.ref_updated("demo/docs", "master", "0", "1"),
            "update repository demo/docs; launch upload for ref master",
            "publish: master",
        ),
        (lambda: world.ref_updated("demo/docs", "master", "1", "2"), "", "publish: master, master (outside)"),
        (lambda: world.ref_updated("demo/docs", "master", "2", "3"), "", "publish: master, master (outside)"),
        (
            lambda: world.ends("upload", "demo/docs"),
            "mail to docs@demo: success: upload SUCCESS; update repository demo/docs; launch upload for ref master",
            "publish: master",
        ),
    )
    running = next(iter(world.scheduler._state.pipelines["publish"].live.values()))
    assert running.subject_key.newrev == "3" * 40
    assert Code.OVERTAKEN in world.codes()
    play(world, (lambda: world.ends("upload", "demo/docs"), "mail to docs@demo: success: upload SUCCESS", ""))
    assert not world.scheduler._state.pipelines["publish"].queues


def test_branches_and_projects_do_not_wait_for_each_other():
    world = new_world(layout=LAYOUT)
    play(
        world,
        (
            lambda: world.ref_updated("demo/docs", "master", "0", "1"),
            "update repository demo/docs; launch upload for ref master",
            "publish: master",
        ),
        (
            lambda: world.ref_updated("demo/docs", "stable", "0", "1"),
            "update repository demo/docs; launch upload for ref stable",
            "publish: master | publish: stable",
        ),
        (
            lambda: world.ref_updated("demo/site", "master", "0", "1"),
            "update repository demo/site; launch upload for ref master",
            "publish: master | publish: stable | publish: master",
        ),
    )


def test_a_failure_lets_the_waiting_one_run():
    world = new_world(layout=LAYOUT)
    world.ref_updated("demo/docs", "master", "0", "1")
    world.ref_updated("demo/docs", "master", "1", "2")
    play(
        world,
        (
            lambda: world.ends("upload", "demo/docs", "FAILURE"),
            "mail to docs@demo: failure: upload FAILURE; update repository demo/docs; launch upload for ref master",
            "publish: master",
        ),
    )


def was_merged(world, name: str) -> list[str]:
    world.change(name, status="MERGED", is_open=False)
    return world.tell(world.event("change-merged", name))


def test_changes_of_a_branch_wait_for_each_other_and_stand_on_nothing_but_their_branch():
    world = new_world(layout=LAYOUT)
    for name in "ABC":
        world.create(name, "demo/docs")
    world.set_parent("B", "A")
    play(
        world,
        (
            lambda: was_merged(world, "A"),
            "merge A→z1; launch upload for [A] on z1",
            "publish: A",
        ),
        (lambda: was_merged(world, "B"), "", "publish: A, B (outside)"),
        (lambda: was_merged(world, "C"), "", "publish: A, C (outside)"),
        (
            lambda: world.ends("upload", "A"),
            "mail to docs@demo: success: upload SUCCESS; merge C→z2; launch upload for [C] on z2",
            "publish: C",
        ),
    )


def test_a_reload_keeps_the_lines():
    world = new_world(layout=LAYOUT)
    world.ref_updated("demo/docs", "master", "0", "1")
    world.ref_updated("demo/docs", "master", "1", "2")
    play(
        world,
        (lambda: world.reload(layout_of(TEXT)), "", "publish: master, master (outside)"),
        (lambda: world.ref_updated("demo/docs", "master", "2", "3"), "", "publish: master, master (outside)"),
    )
    assert len(world.scheduler._state.pipelines["publish"].queues) == 1


def test_a_reload_that_changes_the_manager_takes_everything_out():
    world = new_world(layout=LAYOUT)
    world.ref_updated("demo/docs", "master", "0", "1")
    other = layout_of(TEXT.replace("Supercedent", "Independent"))
    play(world, (lambda: world.reload(other), "cancel upload of demo/docs", ""))
