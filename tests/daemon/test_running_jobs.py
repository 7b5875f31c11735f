"""The list of running jobs that scripts are given: items as in status.json, with other links (outputs.md 7.1)."""

from __future__ import annotations

from ci_gate.daemon.requests import items
from ci_gate.model.build import Precedence
from ci_gate.model.change import Change, ChangeKey
from ci_gate.model.item import BuildView, ItemView, JobView, PipelineView, QueueView, StatusView
from ci_gate.model.layout import Job

BY_URL_PATTERN = "https://logs.acme.test/41/2041/3/check/unit/9f8e7d6"
OF_THE_WORKER = "https://ci.acme.test/job/unit/77/"


def links_of(*jobs: JobView) -> list[str | None]:
    change = Change(ChangeKey("review", "2041", "3"), "acme/lib", "master", "refs/changes/41/2041/3")
    item = ItemView(change, "check", Precedence.NORMAL, "acme/lib", 1767225600.0, jobs=jobs)
    pipeline = PipelineView("check", None, (QueueView("acme/lib", 0, ((item,),)),))
    (document,) = items(StatusView((pipeline,)))
    return [each["report_url"] for each in document["jobs"]]


def test_url_pattern_of_the_configuration_is_not_applied():
    running = JobView(Job("unit"), BuildView("u1", "unit", url=OF_THE_WORKER), BY_URL_PATTERN)
    unknown = JobView(Job("ghost"), BuildView("u2", "ghost", result="NOT_REGISTERED"), BY_URL_PATTERN)
    assert links_of(running, unknown, JobView(Job("waits"))) == [OF_THE_WORKER, "ghost", None]


def test_a_pattern_of_the_jobs_own_is_applied():
    job = Job("docs", success_pattern="https://docs.acme.test/{change.number}")
    well, badly = (BuildView("u1", "docs", result=result, url=OF_THE_WORKER) for result in ("SUCCESS", "FAILURE"))
    own = "https://docs.acme.test/2041"
    assert links_of(JobView(job, well, own), JobView(job, badly, BY_URL_PATTERN)) == [own, OF_THE_WORKER]
