"""Job lists of projects and templates (``spec/layout.md`` 7): lenient about shapes, strict about names.

First as they are written, in leaves; then, templates filled in, as the trees of a project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import place_of, scalar_value
from ci_gate.config.layout.reader import Reader, described, spot
from ci_gate.model.layout import JobNode


class Leaf(NamedTuple):
    """A job where it is written. ``node`` is where it is named; children run after it."""

    name: str
    node: ScalarNode
    children: tuple[Leaf, ...] = ()


def read_tree(reader: Reader, name: str, node: Node, key: Node) -> tuple[Leaf, ...]:
    """A job list; ``name`` is the pipeline's or the parent job's. Names are not checked here."""
    if isinstance(node, SequenceNode):
        return tuple([leaf for member in node.value for leaf in _member(reader, name, member)])
    if isinstance(node, MappingNode):
        text = f"{name} should be a list; read as a list of the jobs in this mapping"
        reader.report("lenient-shape", place_of(node), text, about="mapping")
        return tuple(_parents(reader, node))
    if isinstance(scalar_value(node), str):
        text = f'{name} should be a list; read as the one job "{node.value}"'
        reader.report("lenient-shape", place_of(node), text, about=node.value)
        return tuple(_member(reader, name, node))
    wanted = "a list of jobs"
    reader.report("bad-type", spot(node, key), f"{name} must be {wanted}, not {described(node)}", about=wanted)
    return ()


def _member(reader: Reader, name: str, node: Node) -> Iterable[Leaf]:
    if isinstance(node, ScalarNode) and isinstance(scalar_value(node), str):
        return (Leaf(node.value, node),)
    if isinstance(node, MappingNode):
        return _parents(reader, node)
    if isinstance(node, SequenceNode):
        text = f"{name} should be a list of jobs, not of lists; read as if the jobs of this list stood here"
        reader.report("lenient-shape", place_of(node), text, about="list")
        return [leaf for member in node.value for leaf in _member(reader, name, member)]
    reader.mistyped(f"a job of {name}", "a string", node)
    return ()


def _parents(reader: Reader, node: MappingNode) -> Iterator[Leaf]:
    for name, (key, value) in reader.document.entries(node).items():
        if not isinstance(scalar_value(key), str):
            reader.mistyped("a job's name", "a string", key)
            continue
        yield Leaf(name, key, read_tree(reader, name, value, key))


def walk(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    """Every job of a tree, each before its children."""
    for leaf in leaves:
        yield leaf
        yield from walk(leaf.children)


class Source(NamedTuple):
    """Jobs of one level from one place. ``values``: what the fields in their names stand for, if they have any."""

    leaves: Iterable[Leaf]
    values: Mapping[str, str] | None = None


class TreeBuilder:
    """Makes the trees of all projects. ``first_named``: where each job is first named; ``parents``: those that have
    jobs below them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.first_named: dict[str, ScalarNode] = {}
        self.parents: dict[str, ScalarNode] = {}
        self._childless: dict[str, JobNode] = {}  # most jobs are; one node for each does for all trees

    def build(self, sources: Iterable[Source], what: str) -> tuple[JobNode, ...]:
        """``what`` names the project in messages. A job in several places of one tree runs once."""
        return self._level(sources, what, set())

    def _level(self, sources: Iterable[Source], what: str, met: set[str]) -> tuple[JobNode, ...]:
        nodes = []
        for name, (node, below) in _joined(sources).items():
            if name in met:
                text = f'job "{name}" is in the tree of {what} more than once; it runs once'
                self._reader.report("repeated-job", place_of(node), text, about=name)
            met.add(name)
            job = self._childless.get(name)
            if job is None:
                job = self._childless[name] = JobNode(name)
                self.first_named[name] = node
            if below:
                self.parents.setdefault(name, node)
                job = JobNode(name, self._level(below, what, met))
            nodes.append(job)
        return tuple(nodes)


def _joined(sources: Iterable[Source]) -> dict[str, tuple[ScalarNode, tuple[Source, ...]]]:
    """Equal jobs of one level are one job, at the first place; their children are joined in order."""
    found: dict[str, tuple[ScalarNode, tuple[Source, ...]]] = {}
    for leaves, values in sources:
        for text, node, children in leaves:
            name = text if values is None else text.format_map(values)
            below = (Source(children, values),) if children else ()
            known = found.get(name)
            found[name] = (node, below) if known is None else (known[0], known[1] + below)
    return found
