"""What the checks look at: settings and layout, and what they ask of Gerrits and job servers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ci_gate.config.layout.queues import NOOP
from ci_gate.config.settings import Settings
from ci_gate.model.labels import normal_label
from ci_gate.model.layout import DEPENDENT, GerritReporter, JobNode, Layout, Pipeline, Reporter


@dataclass(slots=True)
class Site:
    """``layout`` is there once the layout was found good. ``variables`` are those of the environment."""

    settings: Settings
    problems: tuple[object, ...] = ()
    layout: Layout | None = None
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def config(self) -> Path:
        return self.settings.path

    def pipelines(self, connection: str) -> list[Pipeline]:
        """Those that take their changes from a connection."""
        return [each for each in (self.layout.pipelines if self.layout else ()) if each.source == connection]

    def projects(self, connection: str) -> list[str]:
        """The projects of its pipelines."""
        names = {each.name for each in self.pipelines(connection)}
        found = self.layout.projects.items() if self.layout else ()
        return sorted(name for name, project in found if names & project.trees.keys())

    def votes(self, connection: str) -> dict[str, dict[str, set[int]]]:
        """By project and label, as the layout spells it: the values that its pipelines' reports may give."""
        found: dict[str, dict[str, set[int]]] = {}
        for pipeline in self.pipelines(connection):
            given = _votes_of(pipeline, connection)
            for name, project in self.layout.projects.items() if self.layout and given else ():
                if pipeline.name in project.trees:
                    of_project = found.setdefault(name, {})
                    for label, values in given.items():
                        of_project.setdefault(label, set()).update(values)
        return dict(sorted(found.items()))

    def submits(self, connection: str) -> bool:
        """Does any pipeline let Gerrit merge?"""
        return any(
            "submit" in each.flags
            for pipeline in self.pipelines(connection)
            for each in _reporters(pipeline, connection)
        )

    def asks_readiness(self, connection: str) -> bool:
        """Does any pipeline want to know whether Gerrit would submit a change?"""
        return any(
            each.manager == DEPENDENT or each.require.submittable is not None or each.reject.submittable is not None
            for each in self.pipelines(connection)
        )

    @property
    def jobs(self) -> list[str]:
        """Those that any project runs, and that a worker has to offer."""
        found: set[str] = set()
        for project in self.layout.projects.values() if self.layout else ():
            for tree in project.trees.values():
                found |= set(_names(tree))
        return sorted(found - {NOOP})


def _votes_of(pipeline: Pipeline, connection: str) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for each in _reporters(pipeline, connection):
        for label, value in each.labels:
            found.setdefault(normal_label(label), set()).add(value)
    return found


def _reporters(pipeline: Pipeline, connection: str) -> Iterator[GerritReporter]:
    actions: tuple[tuple[Reporter, ...], ...] = (
        pipeline.start, pipeline.success, pipeline.failure, pipeline.merge_failure, pipeline.disabled,
    )  # fmt: skip
    for reporters in actions:
        for each in reporters:
            if isinstance(each, GerritReporter) and each.connection == connection:
                yield each


def _names(tree: tuple[JobNode, ...]) -> Iterator[str]:
    for each in tree:
        yield each.job
        yield from _names(each.children)
