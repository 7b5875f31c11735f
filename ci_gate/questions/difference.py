"""What an edit of a layout changes: which jobs projects gain and lose, by pipeline and branch, and what jobs become.

For reviewers: the text of an edit says little about its effect where patterns and templates reach far. Whether files
permit a job is left out of account: a job counts where the branch permits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ci_gate.model.change import Change, ChangeKey
from ci_gate.model.layout import Job, Layout
from ci_gate.questions.matrix import described_job
from ci_gate.scheduler.jobs import jobs_for

USUAL_BRANCHES = ("master", "main")
PLAIN_BRANCH = re.compile(r"\^?([\w/.-]+)\$?")
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class JobsChanged:
    """``branches`` is None where it is so on every branch that either layout names."""

    project: str
    pipeline: str
    branches: tuple[str, ...] | None
    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttributeChanged:
    """An attribute of a job that both layouts know, in the layout's words; None: the default."""

    job: str
    attribute: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Difference:
    jobs: tuple[JobsChanged, ...]
    attributes: tuple[AttributeChanged, ...]

    @property
    def is_empty(self) -> bool:
        return not self.jobs and not self.attributes


def difference(old: Layout, new: Layout) -> Difference:
    """From the old layout to the new one."""
    branches = _branches(old, new)
    before, after = _by_branch_alone(old), _by_branch_alone(new)
    projects = sorted({*old.projects, *new.projects})
    changed = [each for project in projects for each in _of_project(before, after, project, branches)]
    return Difference(tuple(changed), tuple(_attributes(old, new)))


def _branches(*layouts: Layout) -> list[str]:
    """The usual ones, and all that some expression names outright."""
    named = dict.fromkeys(USUAL_BRANCHES)
    for layout in layouts:
        expressions = [one for job in layout.jobs.values() for one in job.branches]
        expressions += [one for pipeline in layout.pipelines for each in pipeline.triggers for one in each.branches]
        for each in expressions:
            found = PLAIN_BRANCH.fullmatch(each.source)
            if found:
                named[found[1]] = None
    return list(named)


def _by_branch_alone(layout: Layout) -> Layout:
    jobs = {name: job._replace(files=(), skip_if=()) for name, job in layout.jobs.items()}
    return replace(layout, jobs=jobs)


def _of_project(before: Layout, after: Layout, project: str, branches: list[str]) -> Iterator[JobsChanged]:
    trees = [each.projects[project].trees for each in (before, after) if project in each.projects]
    for pipeline in dict.fromkeys(name for each in trees for name in each):
        by_change: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        for branch in branches:
            was, is_now = (_names(each, project, pipeline, branch) for each in (before, after))
            gained = tuple(name for name in is_now if name not in was)
            lost = tuple(name for name in was if name not in is_now)
            by_change.setdefault((gained, lost), []).append(branch)
        for (gained, lost), where in by_change.items():
            if gained or lost:
                everywhere = len(where) == len(branches)
                yield JobsChanged(project, pipeline, None if everywhere else tuple(where), gained, lost)


def _names(layout: Layout, project: str, pipeline: str, branch: str) -> dict[str, None]:
    change = Change(ChangeKey("gerrit", "1", "1"), project, branch, "refs/changes/01/1/1")
    jobs: Iterable[Job] = jobs_for(layout, layout.tree(project, pipeline) or (), change)
    return {each.name: None for each in jobs}


def _attributes(old: Layout, new: Layout) -> Iterator[AttributeChanged]:
    for name in sorted(old.jobs.keys() & new.jobs.keys()):
        if old.jobs[name] == new.jobs[name]:
            continue
        before, after = described_job(old.jobs[name]), described_job(new.jobs[name])
        for attribute in dict.fromkeys([*before, *after]):
            if before.get(attribute) != after.get(attribute):
                yield AttributeChanged(name, attribute, before.get(attribute), after.get(attribute))
