"""Small layouts with the outcome that each must have: ``cases/expected.yaml`` says which (``spec/validate-cases``)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ci_gate.config.layout import JobList, load_layout
from ci_gate.config.problems import Level, RefusedError

CASES = Path(__file__).parent / "cases"
EXPECTED = yaml.safe_load((CASES / "expected.yaml").read_text(encoding="utf-8"))
USUAL_CONNECTIONS = {"gerrit": "gerrit", "smtp": "smtp"}


@pytest.mark.parametrize("case", EXPECTED, ids=[each["file"] for each in EXPECTED])
def test_a_case_has_its_outcome(case):
    loaded, problems = outcome(case)
    assert (loaded is not None) == (case["expect"] == "accept"), [str(each) for each in problems]
    check_problems(case["problems"], problems)
    check_effects(case.get("effects", {}), loaded)


def outcome(case):
    connections = case.get("connections", USUAL_CONNECTIONS)
    try:
        lists = [JobList(case["available_jobs"])] if "available_jobs" in case else []
        loaded = load_layout(CASES / case["file"], connections=connections, available_jobs=lists)
    except RefusedError as refused:
        return None, refused.problems
    return loaded.layout, loaded.problems


def check_problems(expected, problems):
    wanted = [(each["level"], each["code"], each["line"], each["column"]) for each in expected]
    found = [
        (str(each.level), each.code, each.line, each.column)
        for each in problems
        if each.level is not Level.NOTE or (str(each.level), each.code, each.line, each.column) in wanted
    ]
    assert found == wanted, [str(each) for each in problems]
    for each in expected:
        place = (each["code"], each["line"], each["column"])
        texts = [one.text for one in problems if (one.code, one.line, one.column) == place]
        assert any(each["text"].lower() in text.lower() for text in texts), texts


def check_effects(effects, layout):
    for pipeline, trees in effects.get("trees", {}).items():
        for project, tree in trees.items():
            assert shown(layout.projects[project].trees[pipeline]) == tree
    for name, attributes in effects.get("jobs", {}).items():
        for attribute, value in attributes.items():
            assert job_attribute(layout.jobs[name], attribute) == value, (name, attribute)
    for pipeline, queues in effects.get("queues", {}).items():
        found = [{"name": each.display_name, "projects": list(each.projects)} for each in layout.queues[pipeline]]
        assert found == queues


def shown(tree):
    return [[node.job, shown(node.children)] if node.children else node.job for node in tree]


def job_attribute(job, attribute):
    if attribute == "tags":
        return sorted(job.tags)
    if attribute == "branch":
        return [each.source for each in job.branches]
    return getattr(job, attribute)
