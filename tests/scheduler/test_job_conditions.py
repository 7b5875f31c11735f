"""``branch``, ``files`` and ``skip-if``: which jobs run for which subject (layout.md 6.5-6.7)."""

from __future__ import annotations

import pytest

from ci_gate.model.change import Change, ChangeKey, Periodic, PeriodicKey, RefKey, RefUpdate
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, JobNode, Layout, SkipIf
from ci_gate.scheduler import jobs as jobs_module
from ci_gate.scheduler.jobs import jobs_for

MESSAGE = "/COMMIT_MSG"
JOBS = [
    Job("branch", branches=(Expression("^master$"), Expression("^stable/"))),
    Job("files", files=(Expression("^docs/"), Expression("^src/"))),
    Job("both", branches=(Expression("^master$"),), files=(Expression("^docs/"),)),
    Job("not-docs", skip_if=(SkipIf(all_files=(Expression("^docs/"),)),)),
    Job("not-docs-on-stable", skip_if=(SkipIf(branch=Expression("^stable/"), all_files=(Expression("^docs/"),)),)),
    Job("not-here", skip_if=(SkipIf(project=Expression("^demo/lib$")), SkipIf(branch=Expression("^old$")))),
    Job("nowhere", skip_if=(SkipIf(),)),
]


def layout() -> Layout:
    return Layout(jobs={each.name: each for each in JOBS})


def change(*files: str, branch: str = "master", project: str = "demo/app") -> Change:
    return Change(ChangeKey("gerrit", "1", "1"), project, branch, "refs/changes/01/1/1", files=files)


def update(ref: str) -> RefUpdate:
    return RefUpdate(RefKey("gerrit", "demo/app", ref, "2" * 40), "1" * 40)


def names(asked: Layout, subject) -> list[str]:
    return [each.name for each in jobs_for(asked, [JobNode(each.name) for each in JOBS], subject)]


DOCS = (MESSAGE, "docs/a")
CASES = [
    (change(MESSAGE, "src/a"), ["branch", "files", "not-docs", "not-docs-on-stable", "not-here"]),
    (change(*DOCS), ["branch", "files", "both", "not-docs-on-stable", "not-here"]),
    (change(*DOCS, branch="stable/1"), ["branch", "files", "not-here"]),
    (change(*DOCS, branch="old"), ["files", "not-docs-on-stable"]),
    (change(*DOCS, project="demo/lib"), ["branch", "files", "both", "not-docs-on-stable"]),
    (change(MESSAGE), ["branch", "not-docs", "not-docs-on-stable", "not-here"]),
    (change("docs/a"), ["branch", "files", "both", "not-docs", "not-docs-on-stable", "not-here"]),
    (change(MESSAGE, "/MERGE_LIST"), ["branch", "not-docs", "not-docs-on-stable", "not-here"]),
    (change(), ["branch", "not-docs", "not-docs-on-stable", "not-here"]),
    (update("refs/heads/master"), ["not-docs", "not-docs-on-stable", "not-here"]),
    (update("master"), ["branch", "not-docs", "not-docs-on-stable", "not-here"]),
    (Periodic(PeriodicKey("gerrit", "demo/app")), ["not-docs", "not-docs-on-stable", "not-here"]),
]


@pytest.mark.parametrize(("subject", "wanted"), CASES)
def test_a_job_runs_where_all_of_its_conditions_permit_it(subject, wanted):
    assert names(layout(), subject) == wanted


def test_what_was_asked_before_changes_no_answer(monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_REMEMBERED", 10)
    asked = layout()
    for _ in range(2):
        for subject, wanted in CASES:
            assert names(asked, subject) == wanted


def test_refs_without_end_are_not_remembered_without_end(monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_REMEMBERED", 100)
    asked = layout()
    for number in range(100):
        names(asked, update(f"refs/tags/{number}"))
        assert len(asked.memo) <= 100


def test_a_job_below_one_that_does_not_apply_does_not_apply_either():
    asked = layout()
    tree = [JobNode("nowhere", (JobNode("not-here"),)), JobNode("branch", (JobNode("files"),))]
    assert [each.name for each in jobs_for(asked, tree, change(*DOCS))] == ["branch", "files"]
