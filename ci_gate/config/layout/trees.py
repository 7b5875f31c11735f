"""Job lists of projects and templates, as written (``spec/layout.md`` 7): lenient about shapes, strict about names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import Place, place_of, scalar_value
from ci_gate.config.layout.reader import Reader, described, spot
from ci_gate.model.layout import JobNode


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A job where it is written. ``node`` is where it is named; children run after it."""

    name: str
    node: ScalarNode
    children: tuple[Leaf, ...] = ()


def read_tree(reader: Reader, name: str, node: Node, key_place: Place) -> tuple[Leaf, ...]:
    """A job list; ``name`` is the pipeline's or the parent job's. Names are not checked here."""
    if isinstance(node, SequenceNode):
        return tuple(leaf for member in node.value for leaf in _member(reader, name, member))
    if isinstance(node, MappingNode):
        text = f"{name} should be a list; read as a list of the jobs in this mapping"
        reader.report("lenient-shape", place_of(node), text, about="mapping")
        return tuple(_parents(reader, node))
    if isinstance(scalar_value(node), str):
        text = f'{name} should be a list; read as the one job "{node.value}"'
        reader.report("lenient-shape", place_of(node), text, about=node.value)
        return tuple(_member(reader, name, node))
    wanted = "a list of jobs"
    reader.report("bad-type", spot(node, key_place), f"{name} must be {wanted}, not {described(node)}", about=wanted)
    return ()


def _member(reader: Reader, name: str, node: Node) -> Iterator[Leaf]:
    if isinstance(node, SequenceNode):
        text = f"{name} should be a list of jobs, not of lists; read as if the jobs of this list stood here"
        reader.report("lenient-shape", place_of(node), text, about="list")
        for member in node.value:
            yield from _member(reader, name, member)
    elif isinstance(node, MappingNode):
        yield from _parents(reader, node)
    elif isinstance(node, ScalarNode) and isinstance(scalar_value(node), str):
        yield Leaf(node.value, node)
    else:
        reader.mistyped(f"a job of {name}", "a string", node)


def _parents(reader: Reader, node: MappingNode) -> Iterator[Leaf]:
    for name, entry in reader.document.entries(node).items():
        if not isinstance(scalar_value(entry.key), str):
            reader.mistyped("a job's name", "a string", entry.key)
            continue
        yield Leaf(name, entry.key, read_tree(reader, name, entry.value, place_of(entry.key)))


def joined(leaves: Collection[Leaf]) -> tuple[Leaf, ...]:
    """Equal jobs of one level are one job, at the first place; their children are joined in order."""
    if not leaves:  # as below most jobs
        return ()
    first: dict[str, Leaf] = {}
    children: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        first.setdefault(leaf.name, leaf)
        children.setdefault(leaf.name, []).extend(leaf.children)
    return tuple(Leaf(name, leaf.node, joined(children[name])) for name, leaf in first.items())


def walk(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    """Every job of a tree, each before its children."""
    for leaf in leaves:
        yield leaf
        yield from walk(leaf.children)


def as_nodes(leaves: Collection[Leaf]) -> tuple[JobNode, ...]:
    return () if not leaves else tuple(JobNode(leaf.name, as_nodes(leaf.children)) for leaf in leaves)
