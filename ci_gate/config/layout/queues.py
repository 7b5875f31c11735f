"""Shared change queues of dependent pipelines (``spec/layout.md`` 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ci_gate.config.document import Place
from ci_gate.config.layout import schema
from ci_gate.config.layout.jobs import JobRules
from ci_gate.config.layout.reader import Reader
from ci_gate.model.layout import DEPENDENT, Job, JobNode, Pipeline, Project, SharedQueue

NOOP = "noop"


@dataclass(slots=True)
class QueueBuilder:
    """Joins the projects of a pipeline whose job sets meet, and names what comes out."""

    reader: Reader
    rules: JobRules
    jobs: Mapping[str, Job]
    noop_joins: bool

    def build(
        self, pipelines: Iterable[Pipeline], projects: Mapping[str, Project]
    ) -> dict[str, tuple[SharedQueue, ...]]:
        return {each.name: self._queues(each.name, projects) for each in pipelines if each.manager == DEPENDENT}

    def _queues(self, pipeline: str, projects: Mapping[str, Project]) -> tuple[SharedQueue, ...]:
        job_sets = {
            name: _jobs(projects[name].trees[pipeline]) for name in sorted(projects) if pipeline in projects[name].trees
        }
        queues = []
        for members in _joined(
            job_sets if self.noop_joins else {name: jobs - {NOOP} for name, jobs in job_sets.items()}
        ):
            used = set().union(*(job_sets[each] for each in members))
            queues.append(SharedQueue(tuple(members), self._name(pipeline, used)))
        self._note_equal_names(pipeline, queues)
        return tuple(queues)

    def _name(self, pipeline: str, used: set[str]) -> str | None:
        """The one queue name among the jobs of a queue; two different ones are a problem at the later."""
        named = {name: queue for name in used if (queue := self.jobs[name].queue_name)}
        in_file = sorted(named, key=self._place)
        for name in in_file[1:]:
            first = in_file[0]
            if named[name] != named[first]:
                text = (
                    f'jobs "{first}" and "{name}" give the shared queue in pipeline "{pipeline}" two names, '
                    f'"{named[first]}" and "{named[name]}"; the other is on line {self._place(first).line}'
                )
                self.reader.report("queue-name-conflict", self._place(name), text)
        return named[in_file[0]] if in_file else None

    def _place(self, job: str) -> Place:
        return self.rules.exact[job].fields.value_place(schema.QUEUE_NAME)

    def _note_equal_names(self, pipeline: str, queues: list[SharedQueue]) -> None:
        by_name: dict[str, list[SharedQueue]] = {}
        for queue in queues:
            if queue.name:
                by_name.setdefault(queue.name, []).append(queue)
        for name, several in by_name.items():
            if len(several) > 1:
                rule = next(each for each in self.rules.exact.values() if each.fields[schema.QUEUE_NAME] == name)
                text = f'queue-name: pipeline "{pipeline}" has {len(several)} separate queues named "{name}"'
                self.reader.report(
                    "unused", rule.fields.value_place(schema.QUEUE_NAME), f"{text}; a name joins nothing"
                )


def _jobs(tree: Iterable[JobNode]) -> set[str]:
    found = set()
    for node in tree:
        found.add(node.job)
        found |= _jobs(node.children)
    return found


def _joined(job_sets: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of projects that share a job, transitively; each sorted, and sorted by their first."""
    group_of: dict[str, list[str]] = {}
    first_with: dict[str, str] = {}
    for project, jobs in job_sets.items():
        group_of[project] = [project]
        for job in jobs:
            other = group_of[first_with.setdefault(job, project)]
            mine = group_of[project]
            if other is not mine:
                small, large = sorted((mine, other), key=len)
                large += small
                group_of.update(dict.fromkeys(small, large))
    groups = {id(group): sorted(group) for group in group_of.values()}
    return sorted(groups.values())
