"""What is written into results databases: the record of each report, and that it waits for nobody (outputs.md 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_world import World, check_pipeline, gerrit_filter, layout, project, votes

from ci_gate.model.build import BuildUpdate
from ci_gate.model.event import Event
from ci_gate.model.layout import EventFilter, GerritReporter, Job, Pipeline, SmtpReporter, SqlReporter
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import BuildRecord, DeliveryOutcome, Mail, ResultRecord, Review
from ci_gate.scheduler import reporting
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import BuildUpdated, TimeCame

RESULTS = (SqlReporter("results", score=1),)
BAD_RESULTS = (SqlReporter("results", score=-1),)


def world_with(options: SchedulerSettings | None = None, jobs: dict | None = None, **actions: object) -> World:
    pipeline = check_pipeline(**{"success": RESULTS, "failure": BAD_RESULTS, **actions})
    return World(layout(pipeline, jobs=jobs), options=options or SchedulerSettings())


def records(world: World) -> list[ResultRecord]:
    return [each.report for each in world.sent() if isinstance(each.report, ResultRecord)]


def record(world: World) -> ResultRecord:
    (only,) = records(world)
    return only


def test_the_record_of_a_change_has_its_builds_and_the_text_without_them():
    world = world_with(
        footer_message="See https://ci.acme.test", options=SchedulerSettings(url_pattern="log/{job.name}")
    )
    world.upload("A", "demo/app")
    began = world.at
    world.starts("lint", "A")
    world.step(BuildUpdated(world.at, BuildUpdate(world.requests["lint", "A"], started=True, node_name="node-7")))
    world.at += 65
    world.ends("lint", "A")
    world.starts("unit", "A")
    world.ends("unit", "A", "FAILURE")
    told = record(world)
    assert replace(told, builds=(), zuul_ref=None) == ResultRecord(
        "results",
        pipeline="check",
        project="demo/app",
        message="Build failed.\nSee https://ci.acme.test",
        score=-1,
        change="1",
        patchset="1",
        ref="refs/changes/01/1/1",
    )
    assert told.zuul_ref is not None
    assert told.zuul_ref.startswith("Z")
    lint, unit, *skipped = told.builds
    assert lint == BuildRecord(
        world.requests["lint", "A"], "lint", "SUCCESS", True, "log/lint", began, began + 65, "node-7"
    )
    assert (unit.result, unit.started_at, unit.ended_at) == ("FAILURE", world.at, world.at)
    assert skipped == [
        BuildRecord(None, "integ", "SKIPPED", True, "log/integ"),
        BuildRecord(None, "perf", "SKIPPED", False, "log/perf"),
    ]


def test_an_empty_first_line_leaves_no_text_without_the_job_lines():
    world = world_with(success_message="")
    world.upload("A")
    world.ends("one", "A")
    assert record(world).message == ""


def test_results_are_recorded_in_the_jobs_own_words():
    jobs = {"one": Job("one", success_message="fine", failure_message="known flake")}
    world = world_with(jobs=jobs)
    for name, result in zip("ABC", ("SUCCESS", "FAILURE", "ABORTED"), strict=True):
        world.upload(name)
        world.ends("one", name, result)
    assert [each.builds[0].result for each in records(world)] == ["fine", "known flake", "ABORTED"]


@pytest.mark.parametrize("result", ["NOT_REGISTERED", "LOST"])
def test_a_build_that_never_started_has_no_times(result):
    world = world_with()
    world.upload("A")
    world.ends("one", "A", result)
    (build,) = record(world).builds
    assert (build.result, build.started_at, build.ended_at) == (result, None, None)


def test_a_noop_has_no_times():
    world = World(layout(check_pipeline(success=RESULTS), projects=(project("demo/noop", check=["noop"]),)))
    world.upload("A", "demo/noop")
    (build,) = record(world).builds
    assert (build.job, build.result, build.started_at, build.ended_at) == ("noop", "SUCCESS", None, None)


def test_a_start_is_a_record_without_ref_of_merge_and_builds():
    world = world_with(start=RESULTS)
    world.upload("A")
    told = record(world)
    assert (told.message, told.zuul_ref, told.change, told.builds) == ("Starting check jobs.", None, "1", ())


def test_a_conflict_has_the_merge_failures_text():
    world = world_with()
    world.unmergeable.add("A")
    world.upload("A")
    told = record(world)
    assert told.message.startswith("Merge Failed.")
    assert told.score == -1
    assert [(each.job, each.uuid, each.result) for each in told.builds] == [("one", None, "SKIPPED")]


def test_a_technical_problem_is_recorded_as_such():
    world = world_with(merge_failure=(SqlReporter("results", score=0),))
    world.merge_outcomes = [MergeOutcome.FETCH] * 4
    world.upload("A")
    world.fire_timers(world.at + 1000)
    assert record(world).message.startswith("This change was not tested: ")


def test_what_a_parameter_function_broke_is_in_the_report_and_not_in_the_record():
    jobs = {"one": Job("one", parameter_function="broken")}
    world = world_with(jobs=jobs, failure=(*votes(Verified=-1), *BAD_RESULTS))
    world.oracle.edit_parameters = lambda item, job, parameters: type("A", (), {"error": "KeyError: x"})
    world.upload("A")
    review, told = (each.report for each in world.sent())
    assert "parameter function broken: KeyError: x" in review.message
    assert (told.message, told.builds[0].result) == ("Build failed.", "EXCEPTION")


def test_a_ref_has_its_name_and_a_timers_item_not_even_that():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated"),), success=RESULTS)
    nightly = Pipeline(
        "nightly", triggers=(EventFilter("timer", ("timer",), timespecs=("0 2 * * *",)),), success=RESULTS
    )
    world = World(layout(post, nightly, projects=(project("demo/ref", post=["one"], nightly=["one"]),)))
    world.tell(Event("ref-updated", "gerrit", "demo/ref", ref="refs/tags/1", oldrev="0" * 40, newrev="b" * 40))
    world.ends("one", "demo/ref")
    world.step(TimeCame(world.at, "0 2 * * *"))
    world.ends("one", "demo/ref")
    known = [(each.zuul_ref, each.change, each.patchset, each.ref, len(each.builds)) for each in records(world)]
    assert known == [(None, None, None, "refs/tags/1", 1), (None, None, None, None, 1)]


# --- each for itself ---


def three_reporters() -> World:
    success = (*RESULTS, SmtpReporter("smtp", to="qa@acme.test"), *votes(Verified=1))
    world = World(layout(check_pipeline(success=success)), answers_reports=False)
    world.upload("A")
    world.ends("one", "A")
    return world


def test_gerrit_is_first_and_the_others_follow_in_the_layouts_order():
    assert [type(each.report) for each in three_reporters().sent()] == [Review, ResultRecord, Mail]


@pytest.mark.parametrize("kind", [Review, ResultRecord, Mail])
@pytest.mark.parametrize("outcome", [DeliveryOutcome.REFUSED, DeliveryOutcome.UNREACHABLE])
def test_one_that_fails_costs_the_others_nothing(kind, outcome):
    world = three_reporters()
    pending = {type(each.report): each for each in world.outstanding(SendReport)}
    assert len(pending) == 3
    world.delivers(pending[kind], outcome, "no")
    for other, report in pending.items():
        if other is not kind:
            world.delivers(report)
    stays = kind is Review and outcome is DeliveryOutcome.UNREACHABLE
    assert world.queues() == ({"check": ["A"]} if stays else {})


def test_an_item_does_not_wait_for_its_record():
    world = world_with(success=(*RESULTS, *votes(Verified=1)))
    world.answers_reports = False
    world.upload("A")
    world.ends("one", "A")
    review, told = world.outstanding(SendReport)
    world.delivers(review)
    world.delivers(told, DeliveryOutcome.UNREACHABLE, "away")
    assert world.queues() == {}


def test_records_of_one_database_leave_in_order_and_wait_until_it_is_back():
    world = world_with()
    world.answers_reports = False
    for name in "ABC":
        world.upload(name)
        world.ends("one", name)
    for _ in range(30):
        (first,) = world.outstanding(SendReport)
        assert first.report.change == "1"
        world.delivers(first, DeliveryOutcome.UNREACHABLE, "connection refused")
        world.fire_timers(world.at + 100)
    for number in "123":
        (pending,) = world.outstanding(SendReport)
        assert pending.report.change == number
        world.delivers(pending)
    assert world.scheduler.undelivered_reports() == ()


def test_a_record_that_is_refused_makes_way_for_the_next():
    world = world_with()
    world.answers_reports = False
    for name in "AB":
        world.upload(name)
        world.ends("one", name)
    (first,) = world.outstanding(SendReport)
    world.delivers(first, DeliveryOutcome.REFUSED, "the database does not take the record")
    (second,) = world.outstanding(SendReport)
    assert second.report.change == "2"
    assert [each.text for each in world.scheduler.undelivered_reports()] == ["the database does not take the record"]


def test_a_database_that_stays_away_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(reporting, "MOST_RECORDS_WAITING", 2)
    world = world_with(success=(*RESULTS, *votes(Verified=1)))
    world.answers_reports = False
    for name in "ABCD":
        world.upload(name)
        world.ends("one", name)
    assert [each.report.change for each in world.sent() if isinstance(each.report, ResultRecord)] == ["1"]
    given_up = world.scheduler.undelivered_reports()
    assert [each.subject for each in given_up] == ["3,1", "4,1"]
    assert given_up[0].text == "2 records wait for this database already"
    assert sum(isinstance(each.report, Review) for each in world.outstanding(SendReport)) == 4


def test_a_gerrit_reporter_on_a_ref_says_that_it_has_nothing_to_say():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated"),), success=(GerritReporter("gerrit"), *RESULTS))
    world = World(layout(post, projects=(project("demo/ref", post=["one"]),)))
    world.tell(Event("ref-updated", "gerrit", "demo/ref", ref="refs/tags/1", oldrev="0" * 40, newrev="b" * 40))
    world.ends("one", "demo/ref")
    assert [type(each.report) for each in world.sent()] == [ResultRecord]
    assert Code.NOT_REVIEWED in world.codes()
