"""Pictures of the state: what the status page gets (scheduler.md, outputs.md 1)."""

from __future__ import annotations

from scripted_world import World, layout, project

from ci_gate.model.layout import Job
from ci_gate.model.options import SchedulerSettings


def items(world):
    view = world.scheduler.view()
    return [item for each in view.pipelines for queue in each.queues for head in queue.heads for item in head]


def test_an_item_shows_its_jobs_in_tree_order_with_their_builds():
    world = World()
    world.upload("A", "demo/app")
    world.starts("unit", "A", number=7)
    (item,) = items(world)
    assert [each.job.name for each in item.jobs] == ["lint", "unit", "integ", "perf"]
    assert [each.build is not None for each in item.jobs] == [True, True, False, False]
    assert item.jobs[1].build.number == 7
    assert item.ref.startswith("Z")


def test_a_picture_is_drawn_again_only_when_its_item_was_touched():
    world = World()
    world.upload("A", "demo/app")
    world.upload("B", "demo/app")
    before = items(world)
    world.starts("unit", "A")
    after = items(world)
    assert after[0] is not before[0]
    assert after[1] is before[1]


def test_a_job_links_to_its_pattern_else_its_worker_else_itself():
    options = SchedulerSettings(url_pattern="http://logs/{change.number}/{build.parameters[LOG_PATH]}")
    world = World(options=options)
    world.upload("A")
    world.starts("one", "A")
    (item,) = items(world)
    assert item.jobs[0].report_url == f"http://logs/1/{item.jobs[0].build.parameters['LOG_PATH']}"


def test_a_broken_pattern_falls_back():
    job = Job("one", success_pattern="http://{change.nothing}/")
    world = World(layout(jobs={"one": job}, projects=(project("demo/one", check=["one", "two"]),)))
    world.upload("A")
    world.ends("one", "A")
    (item,) = items(world)
    assert item.jobs[0].report_url == "one"


def test_nothing_is_left_when_everything_is_done():
    world = World()
    world.upload("A")
    world.ends("one", "A")
    assert items(world) == []
