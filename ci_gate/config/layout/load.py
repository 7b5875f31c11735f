"""From the text of a ``layout.yaml`` to a resolved ``Layout``, or to all that is wrong with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from yaml.nodes import MappingNode, Node

from ci_gate.config.document import (
    LARGEST_FILE_BYTES,
    START,
    Duplicate,
    YamlError,
    decode,
    place_of,
    read_document,
)
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, read_fields
from ci_gate.config.layout.includes import Functions, read_includes, resolve_functions
from ci_gate.config.layout.jobs import JobRules
from ci_gate.config.layout.pipelines import read_pipelines
from ci_gate.config.layout.projects import ProjectReader, Projects
from ci_gate.config.layout.queues import NOOP, QueueBuilder
from ci_gate.config.layout.reader import Reader, one_line
from ci_gate.config.layout.templates import read_templates
from ci_gate.config.problems import Level, Problem, RefusedError, has_errors
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, Layout


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs that there are somewhere. ``lacking`` ends the sentence about one that is not: ``job "x" is …``."""

    names: Collection[str]
    lacking: str = "not in the list of available jobs"


@dataclass(frozen=True, slots=True)
class LoadedLayout:
    """A layout without errors; ``problems`` are its warnings and notes, by position."""

    layout: Layout
    functions: Functions
    problems: tuple[Problem, ...] = ()
    expressions: tuple[Expression, ...] = ()

    def prepare(self) -> None:
        """Compile all expressions, so that no event has to wait for that."""
        for each in self.expressions:
            each.prepare()


def load_layout(
    path: Path,
    *,
    connections: Mapping[str, str] | None = None,
    noop_joins_queues: bool = False,
    available_jobs: Collection[JobList] = (),
) -> LoadedLayout:
    """Read, run the includes of, and resolve one layout.

    ``connections`` maps names to drivers; None if they are not known. ``available_jobs`` are the only jobs that
    there are. Raises RefusedError with all problems if any of them is an error.
    """
    file = str(path)
    duplicates: list[Duplicate] = []
    try:
        document = read_document(decode(_read(path)), duplicates.append)
        reader = Reader(file, document, dict(connections) if connections is not None else None)
        loaded = _load(reader, path, noop_joins=noop_joins_queues, available_jobs=available_jobs)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise RefusedError([Problem(file, 0, 0, Level.ERROR, f"cannot read the layout: {reason}")]) from problem
    except YamlError as problem:
        place, text = problem.place, f"not valid YAML: {one_line(problem.reason)}"
        raise RefusedError([Problem(file, place.line, place.column, Level.ERROR, text, "yaml")]) from problem
    for each in duplicates:
        text = f'key "{each.name}" is given twice; the value on line {each.first.line} is ignored'
        reader.report("duplicate-key", each.again, text)
    if document.slow:
        reader.report("unused", START, "PyYAML is here without libyaml: large layouts load slowly")
    problems = tuple(reader.problems)
    if loaded is None or has_errors(problems):
        raise RefusedError(problems)
    return LoadedLayout(*loaded, problems, tuple(reader.expressions))


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with path.open("rb") as file:
        return file.read(LARGEST_FILE_BYTES + 1)


def _load(
    reader: Reader, path: Path, *, noop_joins: bool, available_jobs: Collection[JobList]
) -> tuple[Layout, Functions] | None:
    root = reader.document.root
    if not isinstance(root, MappingNode):
        reader.report("top-level", place_of(root) if root else START, "the layout must be a mapping")
        return None
    top = read_fields(reader, root, schema.FILE, schema.FILE.what, missing_at=START)
    if top is None:
        return None
    included = read_includes(reader, *_section(top, schema.INCLUDES), path.resolve().parent)
    pipelines = read_pipelines(reader, *_section(top, schema.PIPELINES))
    names = [each.name for each in pipelines]
    rules = JobRules(reader, *_section(top, schema.JOBS))
    functions = resolve_functions(reader, rules, included)
    templates = read_templates(reader, *_section(top, schema.TEMPLATES), names)
    projects = ProjectReader(reader, names, templates).read(*_section(top, schema.PROJECTS))
    jobs = rules.jobs(projects.first_named)
    queues = QueueBuilder(reader, rules, jobs, noop_joins).build(pipelines, projects.by_name)
    _note_conditional_parents(reader, projects, jobs)
    if available_jobs:
        _check_available(reader, rules, projects, available_jobs)
    return Layout(pipelines, jobs, projects.by_name, queues), functions


def _section(top: Fields, key: Key[Node | None]) -> tuple[Node | None, Node | None]:
    return top.value(key), top.key_node(key)


def _note_conditional_parents(reader: Reader, projects: Projects, jobs: Mapping[str, Job]) -> None:
    for name, node in projects.parents.items():
        job = jobs[name]
        conditions = {"branch": job.branches, "files": job.files, "skip-if": job.skip_if}
        asked = ", ".join(key for key, condition in conditions.items() if condition)
        if asked:
            text = f'job "{name}" runs for some changes only ({asked}); for others, those below it do not run either'
            reader.report("conditional-parent", place_of(node), text)


def _check_available(reader: Reader, rules: JobRules, projects: Projects, lists: Collection[JobList]) -> None:
    """Every job that a project or an entry names must be in each list."""
    places = {name: rule.place for name, rule in rules.exact.items()}
    places |= {name: place_of(node) for name, node in projects.first_named.items()}
    for name, place in places.items():
        for each in lists:
            if name not in each.names and name != NOOP:
                reader.report("undefined-job", place, f'job "{name}" is {each.lacking}')
