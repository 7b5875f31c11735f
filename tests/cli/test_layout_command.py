"""``ci-gate layout …``: what a layout decides, as people and scripts ask for it."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path

import pytest

from ci_gate.cli.main import main

LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
          branch: ^master$
  - name: gate
    manager: DependentPipelineManager
    trigger: {gerrit: [{event: comment-added, comment: '(?m)^go$'}]}
    success: {gerrit: {Verified: 2, submit: true}}
  - name: post
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: ref-updated, ref: ^refs/heads/}]}
jobs:
  - {name: docs, files: ^doc/}
  - {name: unit, queue-name: product}
  - {name: style, voting: false}
projects:
  - name: demo/app
    check: [unit, docs, style]
    gate: [unit]
    post: [publish]
  - name: demo/lib
    gate: [unit]
"""
CHANGE = {"project": "demo/app", "branch": "master", "number": 7}
PATCH_SET = {"number": 2, "ref": "refs/changes/07/7/2", "revision": "a" * 40}
COMMENT = {"type": "comment-added", "change": CHANGE, "patchSet": PATCH_SET, "comment": "Patch Set 2:\n\ngo"}
RECORD = CHANGE | {"status": "NEW", "open": True, "currentPatchSet": PATCH_SET, "patchSets": [PATCH_SET]}
SHARED = Path(__file__).parent.parent.parent.parent / "shared"


@pytest.fixture
def ask(tmp_path, capsys):
    path = tmp_path / "layout.yaml"
    path.write_text(LAYOUT)

    def ask_question(*arguments: str, status: int = 0) -> str:
        assert main(["layout", *arguments, "--layout", str(path)]) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    ask_question.folder = tmp_path
    return ask_question


def written(folder: Path, value: object) -> str:
    path = folder / f"{abs(hash(repr(value)))}.json"
    path.write_text(json.dumps(value))
    return str(path)


def test_the_jobs_of_a_project_are_listed_by_pipeline(ask):
    assert ask("jobs", "demo/app", "--files", "doc/a") == (
        "check  unit\ncheck  docs\ncheck  style (non-voting)\ngate   unit\npost   publish\n"
    )


def test_branch_files_pipeline_and_kind_are_asked_for(ask):
    assert json.loads(ask("jobs", "demo/app", "--format", "json")) == {
        "check": ["unit", "style"],
        "gate": ["unit"],
        "post": ["publish"],
    }
    assert ask("jobs", "demo/app", "--pipeline", "post", "--ref", "refs/heads/x") == "post  publish\n"
    assert ask("jobs", "demo/lib", "--pipeline", "check") == "no job runs\n"


def test_all_projects_are_listed_in_one_call(ask):
    assert ask("jobs", "--pipeline", "gate") == "demo/app  gate  unit\ndemo/lib  gate  unit\n"
    assert json.loads(ask("jobs", "--format", "json", "--ref", "refs/heads/x"))["demo/lib"] == {"gate": ["unit"]}


def test_what_is_not_in_the_layout_is_a_matter_of_usage(ask):
    assert "project demo/none is not in the layout" in ask("jobs", "demo/none", status=2)
    assert "pipeline none is not in the layout" in ask("jobs", "demo/app", "--pipeline", "none", status=2)


def test_an_event_is_met_by_each_pipeline_with_a_verdict_and_its_reason(ask):
    record = RECORD | {"submitRecords": [{"status": "NOT_READY", "labels": [{"label": "Workflow", "status": "NEED"}]}]}
    told = ask("match", written(ask.folder, COMMENT), "--change", written(ask.folder, record))
    assert told.splitlines() == [
        "check  no      the event comment-added is not among patchset-created",
        "gate   not in  Gerrit would not submit it: label Workflow: NEED",
        "post   no      the event comment-added is not among ref-updated",
    ]


def test_a_change_that_only_lacks_our_own_vote_is_ready(ask):
    record = RECORD | {"submitRecords": [{"status": "NOT_READY", "labels": [{"label": "Verified", "status": "NEED"}]}]}
    told = ask("match", written(ask.folder, COMMENT), "--change", written(ask.folder, record), "--format", "json")
    assert [each for each in json.loads(told) if each["accepted"]] == [
        {"pipeline": "gate", "accepted": True, "reason": "enters", "jobs": ["unit"]}
    ]


def test_an_event_may_come_from_standard_input(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(COMMENT | {"type": "patchset-created"})))
    assert ask("match", "-").splitlines()[0] == "check  yes  enters with 2 jobs"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type": "comment-added"}', '{"type": "project-created"}'])
def test_what_is_no_event_is_a_matter_of_usage(ask, text):
    path = ask.folder / "event.json"
    path.write_text(text)
    assert ask("match", str(path), status=2)


def test_queues_are_shown_with_their_projects(ask):
    assert ask("queues") == "gate  product  2  demo/app, demo/lib\n"
    assert json.loads(ask("queues", "--format", "json")) == {
        "gate": [{"name": "product", "projects": ["demo/app", "demo/lib"]}]
    }


def test_a_refused_layout_is_shown_with_its_errors(ask, tmp_path):
    (tmp_path / "layout.yaml").write_text(LAYOUT.replace("event: ref-updated", "event: ref-update"))
    assert "14:" in ask("queues", status=1)


def test_the_matrix_has_the_sections_that_were_asked_for(ask):
    cases = {"targets": [{"kind": "change", "branch": "master"}, {"kind": "timer"}], "filesets": [["docs", ["doc/a"]]]}
    document = json.loads(ask("matrix", "--cases", written(ask.folder, cases), "--sections", "cells,queues"))
    assert document == {
        "format": 1,
        "targets": ["change:master", "timer"],
        "filesets": ["docs"],
        "queues": {"gate": [{"name": "product", "projects": ["demo/app", "demo/lib"]}]},
        "cells": {
            "demo/app": {
                "check": {
                    "tree": ["unit", "docs", "style"],
                    "jobsets": [["unit", "docs", "style"]],
                    "grid": [[0], None],
                },
                "gate": {"tree": ["unit"], "jobsets": [["unit"]], "grid": [[0], None]},
                "post": {"tree": ["publish"], "jobsets": [], "grid": [None, None]},
            },
            "demo/lib": {"gate": {"tree": ["unit"], "jobsets": [["unit"]], "grid": [[0], None]}},
        },
    }


@pytest.mark.parametrize("cases", [{}, {"targets": 7, "filesets": []}, []])
def test_what_is_no_cases_file_is_a_matter_of_usage(ask, cases):
    assert "is no cases file" in ask("matrix", "--cases", written(ask.folder, cases), status=2)


# --- what Zuul 2.6 answered for a real layout ---

DIFFERENT_ON_PURPOSE: dict[str, str] = {}
"""Answers that differ, each with the rule of layout.md 11 that makes them so. There are none in this layout."""


def answers(document):
    """Every single answer by a name, so that two documents can be compared one by one."""
    yield "order", document["pipeline-order"]
    for name, pipeline in document["pipelines"].items():
        yield from ((f"pipeline {name} {key}", value) for key, value in pipeline.items() if value not in (None, "", {}))
    for pipeline, queues in document["queues"].items():
        yield from ((f"queue {pipeline} {project}", each) for each in queues for project in each["projects"])
    yield from ((f"job {name}", job) for name, job in document["jobs"].items())
    for project, pipelines in document["cells"].items():
        for pipeline, cell in pipelines.items():
            yield f"tree {project} {pipeline}", cell["tree"]
            sets = cell["jobsets"]
            for target, row in zip(document["targets"], cell["grid"], strict=True):
                shown = [sets[each] for each in row] if isinstance(row, list) else None if row is None else sets[row]
                yield f"cell {project} {pipeline} {target}", shown
    for event, projects in document["events"].items():
        yield from ((f"event {event} {project}", answer) for project, answer in projects.items())


@pytest.fixture
def real_matrix(tmp_path, capsys):
    """Of the real layout, under the rules of stock Zuul 2.6. Its functions are not here: none does anything."""
    text = (SHARED / "data" / "openstack-layout.yaml").read_text(encoding="utf-8")
    (tmp_path / "layout.yaml").write_text(text, encoding="utf-8")
    names = sorted(set(re.findall(r"parameter-function: (\S+)", text)))
    (tmp_path / "openstack_functions.py").write_text("".join(f"def {name}(i, j, p): pass\n" for name in names))
    conf = (SHARED / "layout-matrix" / "openstack.conf").read_text()
    (tmp_path / "ci.conf").write_text(conf + "noop_joins_queues = true\nreject_requires_votes = true\n")
    files = {"config": tmp_path / "ci.conf", "layout": tmp_path / "layout.yaml"}
    files["cases"] = SHARED / "layout-matrix" / "cases-openstack.json"

    def make(sections: str):
        options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
        assert main(["layout", "matrix", *options, "--sections", sections]) == 0
        return json.loads(capsys.readouterr().out)

    return make


def expected_matrix():
    return json.loads(gzip.decompress((SHARED / "layout-matrix" / "expected-openstack.json.gz").read_bytes()))


@pytest.mark.skipif(not SHARED.exists(), reason="the real layout lies beside the project, not in it")
def test_every_answer_for_a_real_layout_is_that_of_zuul_2_6(real_matrix):
    ours = dict(answers(real_matrix("pipelines,queues,jobs,cells,events")))
    theirs = dict(answers(expected_matrix()))
    assert len(theirs) > 80_000
    different = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert different == set(DIFFERENT_ON_PURPOSE)


def own_parameters(row):
    """By job: what Zuul itself sets. The site's functions, which are not here, changed the others."""
    return {
        job: {name: value for name, value in (row["common"] | found["params"]).items() if name.startswith("ZUUL_")}
        for job, found in row["jobs"].items()
    }


@pytest.mark.skipif(not SHARED.exists(), reason="the real layout lies beside the project, not in it")
def test_every_build_of_a_real_layout_gets_the_parameters_of_zuul_2_6(real_matrix):
    ours, theirs = real_matrix("params")["params"], expected_matrix()["params"]
    assert {(project, pipeline): list(rows) for project, found in ours.items() for pipeline, rows in found.items()} == {
        (project, pipeline): list(rows) for project, found in theirs.items() for pipeline, rows in found.items()
    }
    shown_whole = [
        (own_parameters(ours[project][pipeline][target]), own_parameters(row))
        for project, found in theirs.items()
        for pipeline, rows in found.items()
        for target, row in rows.items()
        if "jobs" in row
    ]
    assert len(shown_whole) == 104
    assert [one for one, _ in shown_whole] == [other for _, other in shown_whole]


def test_the_parameters_of_every_build_are_those_that_functions_left(ask):
    (ask.folder / "functions.py").write_text(
        "def mark(item, job, params):\n"
        "    params.update(MARK=7, ZUUL_NODE='big', KIND='change' if hasattr(item.change, 'refspec') else 'other')\n"
        "    del params['LOG_PATH']\n"
        "def fail(item, params):\n"
        "    raise KeyError(item.change.branch)\n"
    )
    layout = LAYOUT.replace("queue-name: product}", "queue-name: product, parameter-function: mark}")
    layout = layout.replace("voting: false}", "voting: false, parameter-function: fail}")
    (ask.folder / "layout.yaml").write_text("includes: [python-file: functions.py]\n" + layout)
    item = {"number": "12345", "patchset": "2", "refspec": "refs/changes/45/12345/2", "url": "https://r/12345"}
    item |= {"oldrev": "1" * 40, "newrev": "2" * 40, "commit": "c" * 40, "zuul_ref": "Z0", "zuul_url": "http://z/p"}
    cases = {"targets": [], "filesets": [["none", []]], "item": item | {"files": "none"}}
    cases["params_targets"] = [{"kind": "change", "branch": "master"}, {"kind": "ref", "ref": "refs/heads/x"}]
    found = json.loads(ask("matrix", "--cases", written(ask.folder, cases), "--sections", "params"))["params"]
    assert found["demo/app"]["check"]["change:master"]["jobs"] == {
        "unit": {"params": {}, "function": "build:unit:big"},
        "style": {"error": "KeyError: 'master'"},
    }
    common = found["demo/app"]["check"]["change:master"]["common"]
    assert (common["MARK"], common["KIND"], common["ZUUL_CHANGES"]) == (
        7,
        "change",
        "demo/app:master:refs/changes/45/12345/2",
    )
    assert "LOG_PATH" not in common
    assert found["demo/app"]["post"]["ref:refs/heads/x"]["common"] == {
        "ZUUL_UUID": "68851c4e884b540f0d5a7b44895509f8",
        "ZUUL_PROJECT": "demo/app",
        "ZUUL_PIPELINE": "post",
        "ZUUL_URL": "http://z/p",
        "ZUUL_VOTING": "1",
        "BASE_LOG_PATH": "22/" + "2" * 40,
        "LOG_PATH": "22/" + "2" * 40 + "/post/publish/68851c4",
        "ZUUL_REF": "refs/heads/x",
        "ZUUL_REFNAME": "refs/heads/x",
        "ZUUL_OLDREV": "1" * 40,
        "ZUUL_NEWREV": "2" * 40,
        "ZUUL_COMMIT": "2" * 40,
    }


def test_editors_get_a_schema_without_any_file(capsys):
    assert main(["layout", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "layout.yaml of ci-gate"
