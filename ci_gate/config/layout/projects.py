"""Projects: their own job lists joined with those of their templates (``spec/layout.md`` 7 and 8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from yaml.nodes import Node, ScalarNode

from ci_gate.config.document import place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, read_fields, title
from ci_gate.config.layout.names import Names, is_job_name, report_job_name
from ci_gate.config.layout.reader import Reader
from ci_gate.config.layout.templates import Template, check_pipeline, expand, read_calls
from ci_gate.config.layout.trees import Leaf, Source, TreeBuilder, read_tree, walk
from ci_gate.model.layout import Project
from ci_gate.model.modes import MergeMode


@dataclass(slots=True)
class Projects:
    """All projects. ``first_named``: where each job is first named; ``parents``: those that have jobs below them."""

    by_name: dict[str, Project]
    first_named: Mapping[str, ScalarNode]
    parents: Mapping[str, ScalarNode]


class ProjectReader:
    """Reads the list of projects, against the pipelines and templates that exist."""

    def __init__(self, reader: Reader, pipelines: Collection[str], templates: Mapping[str, Template]) -> None:
        self._reader = reader
        self._pipelines = pipelines
        self._templates = templates
        self._called: set[str] = set()
        self._trees = TreeBuilder(reader)

    def read(self, node: Node | None, key: Node | None) -> Projects:
        found: dict[str, Project] = {}
        names = Names(self._reader, "project")
        members = self._reader.members("projects", node, "a list of projects", key) if node is not None else ()
        for member in members:
            fields = read_fields(self._reader, member, schema.PROJECT, title(self._reader, member, "project"))
            if fields is not None:
                name = names.read(fields, schema.PROJECT_NAME)
                found[name] = self._project(fields, name)
        for template in self._templates.values():
            if template.name not in self._called:
                text = f'template "{template.name}" is unused: no project calls it'
                self._reader.report("unused", place_of(template.name_node), text)
        return Projects(found, self._trees.first_named, self._trees.parents)

    def _project(self, fields: Fields, name: str) -> Project:
        what = f'project "{name}"'
        parts: dict[str, list[Source]] = {}
        for call in read_calls(self._reader, fields, what, self._templates):
            self._called.add(call.template.name)
            for pipeline, source in expand(self._reader, call, name):
                parts.setdefault(pipeline, []).append(source)
        for pipeline, (key, value) in fields.others.items():
            if check_pipeline(self._reader, key, what, self._pipelines, schema.PROJECT):
                leaves = self._valid(read_tree(self._reader, pipeline, value, key))
                parts.setdefault(pipeline, []).append(Source(leaves))
        trees = {name: self._trees.build(parts[name], what) for name in self._pipelines if name in parts}
        return Project(name, MergeMode(fields[schema.MERGE_MODE]), trees)

    def _valid(self, leaves: tuple[Leaf, ...]) -> tuple[Leaf, ...]:
        if all(is_job_name(leaf.name) for leaf in walk(leaves)):
            return leaves
        return tuple(
            Leaf(leaf.name, leaf.node, self._valid(leaf.children))
            for leaf in leaves
            if report_job_name(self._reader, leaf.name, place_of(leaf.node))
        )
