"""What a build is sent, name for name (gearman-jenkins.md 3)."""

from __future__ import annotations

import json

import pytest
from scripted_world import World, check_pipeline, gerrit_filter, layout, project

from ci_gate.model.build import Precedence
from ci_gate.model.event import Event
from ci_gate.model.layout import Job, Pipeline
from ci_gate.scheduler.effects import LaunchBuild
from ci_gate.scheduler.oracle import Answer
from ci_gate.scheduler.parameters import ParameterError, as_texts


class Sets:
    """An oracle whose function updates the parameters."""

    def __init__(self, values=None, error=None):
        self.values, self.error, self.seen = values or {}, error, []

    def edit_parameters(self, item, job, parameters):
        self.seen.append((item, job, dict(parameters)))
        return Answer({**parameters, **self.values}, self.error)


def launched(world):
    return [each.request for each in world.all_effects if isinstance(each, LaunchBuild)]


def function_layout():
    job = Job("one", parameter_function="edit")
    return layout(jobs={"one": job}, projects=(project("demo/one", check=["one"]),))


def test_a_change_gets_exactly_these():
    world = World()
    world.upload("J", "demo/one")
    (request,) = launched(world)
    uuid = request.uuid
    ref = request.parameters["ZUUL_REF"]
    assert request.parameters == {
        "ZUUL_UUID": uuid,
        "ZUUL_PROJECT": "demo/one",
        "ZUUL_PIPELINE": "check",
        "ZUUL_URL": "http://merger/p",
        "ZUUL_VOTING": "1",
        "BASE_LOG_PATH": "10/10/1",
        "LOG_PATH": f"10/10/1/check/one/{uuid[:7]}",
        "ZUUL_BRANCH": "master",
        "ZUUL_CHANGE": "10",
        "ZUUL_PATCHSET": "1",
        "ZUUL_CHANGES": "demo/one:master:refs/changes/10/10/1",
        "ZUUL_CHANGE_IDS": "10,1",
        "ZUUL_REF": ref,
        "ZUUL_COMMIT": ref.rpartition("/Z")[2].ljust(40, "0"),
    }
    assert len(uuid) == 32
    assert ref.startswith("refs/zuul/master/Z")
    assert len(ref) == len("refs/zuul/master/Z") + 32


def test_a_one_digit_change_has_one_digit_folders():
    world = World()
    world.upload("A", "demo/one")
    assert launched(world)[0].parameters["BASE_LOG_PATH"] == "1/1/1"


def test_a_ref_gets_exactly_these():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated"),))
    world = World(layout(post, projects=(project("demo/one", post=["one"]),)))
    event = Event("ref-updated", "gerrit", project="demo/one", ref="refs/heads/x", oldrev="a" * 40, newrev="b" * 40)
    world.tell(event)
    (request,) = launched(world)
    assert request.parameters == {
        "ZUUL_UUID": request.uuid,
        "ZUUL_PROJECT": "demo/one",
        "ZUUL_PIPELINE": "post",
        "ZUUL_URL": "http://merger/p",
        "ZUUL_VOTING": "1",
        "BASE_LOG_PATH": "bb/" + "b" * 40,
        "LOG_PATH": "bb/" + "b" * 40 + f"/post/one/{request.uuid[:7]}",
        "ZUUL_REF": "refs/heads/x",
        "ZUUL_REFNAME": "refs/heads/x",
        "ZUUL_OLDREV": "a" * 40,
        "ZUUL_NEWREV": "b" * 40,
        "ZUUL_SHORT_OLDREV": "a" * 7,
        "ZUUL_SHORT_NEWREV": "b" * 7,
        "ZUUL_COMMIT": "b" * 40,
    }


@pytest.mark.parametrize("precedence", Precedence)
def test_the_pipelines_precedence_goes_with_the_build(precedence):
    world = World(layout(check_pipeline(precedence=precedence)))
    world.upload("A", "demo/one")
    assert launched(world)[0].precedence is precedence


def test_a_job_that_does_not_vote_says_so():
    world = World()
    world.upload("A", "demo/app")
    world.starts("lint", "A")
    world.ends("unit", "A")
    voting = {each.job: each.parameters["ZUUL_VOTING"] for each in launched(world)}
    assert voting == {"lint": "1", "unit": "1", "integ": "1", "perf": "0"}


def test_what_a_function_sets_is_sent_and_a_node_changes_the_function():
    oracle = Sets({"ZUUL_NODE": "big", "TIMEOUT": 30, "DEBUG": False, "NOTHING": None, "ZUUL_PROJECT": "other"})
    world = World(function_layout(), oracle=oracle)
    world.upload("A", "demo/one")
    (request,) = launched(world)
    assert request.function == "build:one:big"
    sent = {name: request.parameters[name] for name in ("TIMEOUT", "DEBUG", "NOTHING", "ZUUL_PROJECT")}
    assert sent == {"TIMEOUT": "30", "DEBUG": "false", "NOTHING": None, "ZUUL_PROJECT": "other"}


def test_a_function_sees_the_standard_parameters_and_the_item():
    oracle = Sets()
    world = World(function_layout(), oracle=oracle)
    world.upload("A", "demo/one")
    ((item, job, parameters),) = oracle.seen
    assert (item.subject.number, item.pipeline, job.name) == ("1", "check", "one")
    assert parameters["ZUUL_REF"].endswith(item.ref)


def test_a_function_that_raises_fails_that_build_and_the_report_names_it():
    world = World(function_layout(), oracle=Sets(error="KeyError: 'node'"))
    world.upload("A", "demo/one")
    assert launched(world) == []
    (report,) = world.sent()
    assert "- one : EXCEPTION\n" in report.report.message
    assert "edit" in report.report.message
    assert "KeyError: 'node'" in report.report.message
    assert world.queues() == {}


def test_a_list_from_a_function_fails_that_build_with_a_clear_reason():
    world = World(function_layout(), oracle=Sets({"NODES": ["a"]}))
    world.upload("A", "demo/one")
    (report,) = world.sent()
    assert "parameter NODES is a list" in report.report.message


@pytest.mark.parametrize("value", [1, 1.5, True, False, "text", ""])
def test_numbers_and_booleans_become_text_in_jsons_spelling(value):
    expected = value if isinstance(value, str) else json.dumps(value)
    assert as_texts({"X": value}) == {"X": expected}


@pytest.mark.parametrize("value", [[], {}, (), object(), b"bytes"])
def test_anything_else_is_refused(value):
    with pytest.raises(ParameterError, match="parameter X is a"):
        as_texts({"X": value})
