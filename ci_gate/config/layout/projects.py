"""Projects: their own job lists joined with those of their templates (``spec/layout.md`` 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yaml.nodes import Node, ScalarNode

from ci_gate.config.document import Place, place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, read_fields, title
from ci_gate.config.layout.names import Names, report_job_name, why_no_job_name
from ci_gate.config.layout.reader import Reader
from ci_gate.config.layout.templates import Template, check_pipeline, expand, read_calls
from ci_gate.config.layout.trees import Leaf, as_nodes, joined, read_tree, walk
from ci_gate.model.layout import Project
from ci_gate.model.merge import MergeMode


@dataclass(slots=True)
class Projects:
    """All projects. ``first_named``: where each job is first named; ``parents``: those that have jobs below them."""

    by_name: dict[str, Project] = field(default_factory=dict)
    first_named: dict[str, ScalarNode] = field(default_factory=dict)
    parents: dict[str, ScalarNode] = field(default_factory=dict)


class ProjectReader:
    """Reads the list of projects, against the pipelines and templates that exist."""

    def __init__(self, reader: Reader, pipelines: list[str], templates: Mapping[str, Template]) -> None:
        self._reader = reader
        self._pipelines = pipelines
        self._templates = templates
        self._checked: set[int] = set()  # job lists whose names have been checked: aliases share them
        self.found = Projects()

    def read(self, node: Node | None, key_place: Place) -> Projects:
        if node is None:
            return self.found
        names = Names(self._reader, "project")
        for member in self._reader.members("projects", node, "a list of projects", key_place):
            fields = read_fields(self._reader, member, schema.PROJECT, title(self._reader, member, "project"))
            if fields is not None:
                name = names.read(fields, schema.PROJECT_NAME)
                self.found.by_name[name] = self._project(fields, name)
        return self.found

    def _project(self, fields: Fields, name: str) -> Project:
        what = f'project "{name}"'
        parts: dict[str, list[Leaf]] = {}
        for call in read_calls(self._reader, fields, what, self._templates):
            for pipeline, tree in expand(self._reader, call, name).items():
                parts.setdefault(pipeline, []).extend(tree)
        for key, entry in fields.others.items():
            check_pipeline(self._reader, key, entry.key, what, self._pipelines)
            tree = read_tree(self._reader, key, entry.value, place_of(entry.key))
            parts.setdefault(key, []).extend(self._valid(tree))
        trees = {}
        for pipeline in self._pipelines:
            if pipeline in parts:
                tree = joined(parts[pipeline])
                self._look_through(tree, what)
                trees[pipeline] = as_nodes(tree)
        return Project(name, MergeMode(fields[schema.MERGE_MODE]), trees)

    def _valid(self, leaves: tuple[Leaf, ...]) -> tuple[Leaf, ...]:
        if all(why_no_job_name(leaf.name) is None and not leaf.name.startswith("^") for leaf in walk(leaves)):
            return leaves
        return tuple(
            Leaf(leaf.name, leaf.node, self._valid(leaf.children))
            for leaf in leaves
            if report_job_name(self._reader, leaf.name, place_of(leaf.node))
        )

    def _look_through(self, tree: tuple[Leaf, ...], what: str) -> None:
        """Keep where each job is first named; a job in several places of one tree runs once."""
        met = set()
        for leaf in walk(tree):
            self.found.first_named.setdefault(leaf.name, leaf.node)
            if leaf.children:
                self.found.parents.setdefault(leaf.name, leaf.node)
            if leaf.name in met:
                text = f'job "{leaf.name}" is in the tree of {what} more than once; it runs once'
                self._reader.report("repeated-job", place_of(leaf.node), text, about=leaf.name)
            met.add(leaf.name)
