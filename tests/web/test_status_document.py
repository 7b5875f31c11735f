"""Golden documents: key sets, units and null rules of outputs.md 1, one situation each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from status_examples import (
    NEWREV,
    NOW,
    REF,
    UUID,
    calm,
    change,
    ended_at_once,
    finished,
    item,
    periodic,
    queue_of,
    ref_update,
    running,
    troubled,
    view_of,
    waiting,
)

from ci_gate import __version__
from ci_gate.model.change import Account
from ci_gate.model.item import JobView, PipelineView, StatusView
from ci_gate.web.status import MOST_LISTED, operations_document, status_document

NOBODY = {
    "name": "Unknown",
    "hostname": None,
    "ips": [],
    "fqdn": None,
    "program": None,
    "version": None,
    "extra": {},
}

WAITING_JOB = {
    "name": "unit",
    "voting": True,
    "result": None,
    "url": None,
    "report_url": None,
    "elapsed_time": None,
    "remaining_time": None,
    "estimated_time": None,
    "launch_time": None,
    "start_time": None,
    "end_time": None,
    "uuid": None,
    "number": None,
    "pipeline": None,
    "canceled": None,
    "retry": None,
    "node_name": None,
    "node_labels": [],
    "worker": None,
}

RUNNING_JOB = WAITING_JOB | {
    "url": "https://ci.acme.test/job/unit/77/",
    "report_url": "https://logs.acme.test/41/2041/3/gate/unit/9f8e7d6",
    "elapsed_time": 19000,
    "remaining_time": 41000,
    "estimated_time": 60.0,
    "launch_time": NOW - 19 - 1.25,
    "start_time": NOW - 19,
    "uuid": UUID,
    "number": 77,
    "pipeline": "gate",
    "canceled": False,
    "retry": False,
    "worker": NOBODY,
}

NEVER_STARTED_JOB = WAITING_JOB | {
    "launch_time": NOW - 5,
    "end_time": NOW - 5,
    "uuid": UUID,
    "pipeline": "gate",
    "canceled": False,
    "retry": False,
    "worker": NOBODY,
}

ITEM = {
    "id": "2041,3",
    "project": "acme/lib",
    "url": "https://review.acme.test/2041",
    "owner": {"name": "Ada", "email": "ada@acme.test", "username": "ada"},
    "enqueue_time": 1767225661250,
    "remaining_time": 0,
    "active": True,
    "live": True,
    "item_ahead": None,
    "items_behind": [],
    "failing_reasons": [],
    "zuul_ref": REF,
    "jobs": [],
}


def items_shown(*head):
    document = status_document(view_of(head), now=NOW, extra={})
    json.dumps(document, allow_nan=False)
    return document["pipelines"][0]["change_queues"][0]["heads"][0]


def item_shown(drawn):
    return items_shown(drawn)[0]


def job_shown(job: JobView):
    return item_shown(item(job))["jobs"][0]


# --- jobs --------------------------------------------------------------------------------------------------------


def test_a_waiting_job_has_only_its_name_and_vote():
    assert job_shown(waiting()) == WAITING_JOB


def test_a_running_job_has_times_and_no_result():
    assert job_shown(running()) == RUNNING_JOB


def test_a_launched_job_that_has_not_started_has_no_times_yet():
    launched = running()
    launched = replace(launched, build=replace(launched.build, started_at=None, number=None, url=None))
    assert job_shown(launched) == RUNNING_JOB | {
        "url": None,
        "elapsed_time": None,
        "remaining_time": None,
        "estimated_time": None,
        "start_time": None,
        "number": None,
    }


def test_a_job_without_history_has_an_estimate_of_zero_and_no_remaining_time():
    shown = job_shown(running(estimate_s=0.0))
    assert (shown["estimated_time"], shown["remaining_time"]) == (0.0, None)
    assert job_shown(running(estimate_s=None)) == shown


def test_a_job_that_takes_longer_than_estimated_has_nothing_remaining():
    assert job_shown(running(estimate_s=5.0))["remaining_time"] == 0


def test_a_clock_that_went_back_makes_no_negative_times():
    assert job_shown(running(since=NOW + 10))["elapsed_time"] == 0


def test_a_finished_job_keeps_its_times_and_says_where_it_ran():
    assert job_shown(finished()) == RUNNING_JOB | {
        "result": "SUCCESS",
        "elapsed_time": 125500,
        "remaining_time": 0,
        "launch_time": NOW - 300 - 1.25,
        "start_time": NOW - 300,
        "end_time": NOW - 300 + 125.5,
        "node_name": "node-1",
        "node_labels": ["trusty"],
        "worker": {
            "name": "jenkins-1",
            "hostname": "ci.acme.test",
            "ips": ["192.0.2.7"],
            "fqdn": "ci.acme.test",
            "program": "Jenkins",
            "version": "2.1",
            "extra": {"rack": "4"},
        },
    }


def test_a_noop_job_never_started():
    assert job_shown(ended_at_once("noop", "SUCCESS")) == NEVER_STARTED_JOB | {
        "name": "noop",
        "result": "SUCCESS",
        "report_url": "noop",
    }


def test_a_job_that_nobody_registered_never_started():
    assert job_shown(ended_at_once("ghost", "NOT_REGISTERED")) == NEVER_STARTED_JOB | {
        "name": "ghost",
        "result": "NOT_REGISTERED",
        "report_url": "ghost",
    }


def test_a_skipped_job_has_no_uuid():
    assert job_shown(ended_at_once("after", "SKIPPED", uuid=None)) == NEVER_STARTED_JOB | {
        "name": "after",
        "result": "SKIPPED",
        "report_url": "after",
        "uuid": None,
    }


def test_a_retried_job_says_so():
    retried = running()
    assert job_shown(replace(retried, build=replace(retried.build, retry=True))) == RUNNING_JOB | {"retry": True}


def test_a_cancelled_job_says_so():
    cancelled = finished(result="CANCELED")
    shown = job_shown(replace(cancelled, build=replace(cancelled.build, canceled=True)))
    assert (shown["result"], shown["canceled"]) == ("CANCELED", True)


def test_a_job_without_vote_says_so():
    assert job_shown(waiting(voting=False)) == WAITING_JOB | {"voting": False}


# --- items -------------------------------------------------------------------------------------------------------


def test_an_item_of_a_change():
    assert item_shown(item()) == ITEM


def test_an_item_of_a_ref_is_named_by_its_new_revision():
    assert item_shown(item(subject=ref_update(), ref=None)) == ITEM | {
        "id": NEWREV,
        "url": f"https://git.acme.test/acme/lib/commit/{NEWREV}",
        "owner": None,
        "zuul_ref": None,
    }


def test_an_item_of_a_timer_has_no_name():
    assert item_shown(item(subject=periodic(), ref=None)) == ITEM | {
        "id": None,
        "url": None,
        "owner": None,
        "zuul_ref": None,
    }


def test_an_item_that_is_only_context_has_no_jobs():
    shown = item_shown(item(live=False, ref=None, items_behind=("2050,1",)))
    assert shown == ITEM | {"live": False, "items_behind": ["2050,1"], "zuul_ref": None}


def test_an_item_outside_the_window_behind_another_that_fails():
    shown = item_shown(item(active=False, item_ahead="2040,1", failing_reasons=("at least one job failed",)))
    assert shown == ITEM | {
        "active": False,
        "item_ahead": "2040,1",
        "failing_reasons": ["at least one job failed"],
    }


def test_an_owner_has_only_what_gerrit_said():
    assert item_shown(item(subject=change(owner=Account(username="ci"))))["owner"] == {"username": "ci"}
    assert item_shown(item(subject=change(owner=None)))["owner"] is None


def test_a_project_that_is_not_known_has_a_name_all_the_same():
    assert item_shown(item(subject=change(project="")))["project"] == "Unknown Project"


# --- remaining time of items -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ((running("a"), running("b", estimate_s=120.0)), 101000),
        ((running("a"), finished("b")), 41000),
        ((running("a", estimate_s=0.0),), 0),
        ((finished("a"),), 0),
        ((running("a"), waiting("b")), None),
        ((running("a"), ended_at_once("noop", "SUCCESS")), None),
        ((running("a"), ended_at_once("b", "SKIPPED", uuid=None)), None),
    ],
    ids=["the longest", "what is finished is over", "no estimate", "all over", "waiting", "noop", "skipped"],
)
def test_the_remaining_time_of_an_item_is_known_once_every_job_has_started(jobs, expected):
    assert item_shown(item(*jobs))["remaining_time"] == expected


def test_no_item_ends_before_the_one_in_front_of_it():
    slow, quick = item(running(estimate_s=60.0)), item(running(estimate_s=20.0))
    assert [each["remaining_time"] for each in items_shown(slow, quick, quick)] == [41000, 41000, 41000]


def test_an_item_with_unknown_remaining_time_bounds_none_behind_it():
    slow, unknown, quick = item(running(estimate_s=60.0)), item(waiting()), item(running(estimate_s=20.0))
    assert [each["remaining_time"] for each in items_shown(slow, unknown, quick)] == [41000, None, 1000]


def test_heads_do_not_bound_each_other():
    view = view_of((item(running(estimate_s=60.0)),), (item(running(estimate_s=20.0)),))
    heads = status_document(view, now=NOW, extra={})["pipelines"][0]["change_queues"][0]["heads"]
    assert [head[0]["remaining_time"] for head in heads] == [41000, 1000]


# --- around the items --------------------------------------------------------------------------------------------


def test_an_empty_service_has_every_key_that_it_can_have():
    assert status_document(StatusView(()), now=NOW, extra={"a": 1}) == {
        "zuul_version": f"ci-gate {__version__}",
        "trigger_event_queue": {"length": 0},
        "result_event_queue": {"length": 0},
        "pipelines": [],
        "ci_gate": {"a": 1},
    }


def test_queue_lengths_and_the_time_of_the_last_load_are_shown():
    view = StatusView((), last_reconfigured=1767225600.0, trigger_queue_length=3, result_queue_length=1)
    document = status_document(view, now=NOW, extra={})
    assert document["last_reconfigured"] == 1767225600000
    assert (document["trigger_event_queue"], document["result_event_queue"]) == ({"length": 3}, {"length": 1})


def test_the_message_is_escaped_since_dashboards_insert_it_as_html():
    assert status_document(StatusView((), message="a <b> & c"), now=NOW, extra={})["message"] == ("a &lt;b&gt; &amp; c")


def test_pipelines_and_queues_are_shown_even_when_empty():
    view = StatusView((PipelineView("gate", "In order.", (queue_of(),)), PipelineView("check", None, ())))
    assert status_document(view, now=NOW, extra={})["pipelines"] == [
        {
            "name": "gate",
            "description": "In order.",
            "change_queues": [{"name": "acme/app, acme/lib", "window": 20, "heads": []}],
        },
        {"name": "check", "description": None, "change_queues": []},
    ]


# --- our own key -------------------------------------------------------------------------------------------------


def test_what_waits_and_what_was_not_delivered_is_told():
    document = operations_document(troubled())
    assert json.loads(json.dumps(document)) == document
    assert document["connections"][0]["state"] == "connecting"
    assert document["waits"][0] == {
        "name": "gerrit query 2041",
        "owner": "review",
        "since": NOW - 14,
        "deadline_s": 30.0,
    }
    assert [each["next_try_at"] for each in document["undelivered_reports"]] == [NOW + 60, None]
    assert document["problems_total"] == 1
    assert document["stalled_builds"] == [{"function": "build:unit", "builds": 2, "since": NOW - 75, "idle_workers": 4}]
    assert document["stalled_builds_total"] == 2
    assert document["builds"] == {"waiting": 2, "running": 3, "succeeded": 40, "failed": 2, "lost": 1}


def test_long_lists_are_cut_and_counted():
    many = replace(calm(), waits=troubled().waits * 200)
    document = operations_document(many)
    assert (len(document["waits"]), document["waits_total"]) == (MOST_LISTED, 400)
