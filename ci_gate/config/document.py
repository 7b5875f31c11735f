"""One YAML file as nodes that know their line and column (``spec/layout.md`` 2).

Called by the layout loader. Knows YAML and nothing of layouts. The nodes are PyYAML's own: aliases are the very same
node in several places, so nothing may ever change one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MOST_NODES = 2_000_000
DEEPEST = 200
"""Levels of nesting, aliases included: far from where recursion ends, in Python or in libyaml."""
LARGEST_INTEGER_BITS = 63
LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = frozenset(
    TAG + each for each in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp", "value")
)
MERGE = TAG + "merge"

NO_SCALAR = object()

_constructor = yaml.constructor.SafeConstructor()
CONVERSIONS: dict[str, Callable[[ScalarNode], object]] = {
    TAG + "int": _constructor.construct_yaml_int,
    TAG + "float": _constructor.construct_yaml_float,
    TAG + "bool": _constructor.construct_yaml_bool,
    TAG + "null": _constructor.construct_yaml_null,
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column, from 1; columns count characters."""

    line: int
    column: int


START = Place(1, 1)


class YamlError(Exception):
    """The file is not a YAML document that a layout may be; ``reason`` is for people."""

    def __init__(self, reason: str, place: Place) -> None:
        self.reason = reason
        self.place = place
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Entry:
    key: ScalarNode
    value: Node


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that is given again; the earlier value is ignored."""

    name: str
    again: Place
    first: Place


class Document:
    """The nodes of one file. ``root`` is None for an empty file."""

    def __init__(self, root: Node | None, on_duplicate: Callable[[Duplicate], None], *, slow: bool = False) -> None:
        self.root = root
        self.slow = slow
        self._on_duplicate = on_duplicate
        self._entries: dict[int, dict[str, Entry]] = {}

    def entries(self, node: MappingNode) -> dict[str, Entry]:
        """A mapping's entries by the text of their keys, merge keys resolved: own entries win over merged ones."""
        known = self._entries.get(id(node))
        if known is None:
            known = self._entries[id(node)] = self._read(node)
        return known

    def _read(self, node: MappingNode) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise YamlError("a key must be plain text", place_of(key))
            if key.tag == MERGE:
                merged.update(self._merged(value))
                continue
            if key.value in own:
                self._on_duplicate(Duplicate(key.value, place_of(key), place_of(own[key.value].key)))
            own[key.value] = Entry(key, value)
        return {**{name: entry for name, entry in merged.items() if name not in own}, **own} if merged else own

    def _merged(self, value: Node) -> dict[str, Entry]:
        """What one ``<<`` brings: of several sources the first has the last word."""
        found: dict[str, Entry] = {}
        for source in _merge_sources(value):
            found = {**self.entries(source), **found}
        return found


def place_of(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def scalar_value(node: Node) -> object:
    """Text, integer, float, boolean or None, as YAML 1.1 reads it; a date stays the text it was written as.

    A list and a mapping have none: ``NO_SCALAR``.
    """
    if not isinstance(node, ScalarNode):
        return NO_SCALAR
    convert = CONVERSIONS.get(node.tag)
    return convert(node) if convert else node.value


def read_document(text: str, on_duplicate: Callable[[Duplicate], None]) -> Document:
    """Raises YamlError for whatever is no single, safe, plain YAML document."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=type("Loader", (_DepthCounter, base), {}))
    except yaml.MarkedYAMLError as problem:
        raise _described(problem) from problem
    except yaml.reader.ReaderError as problem:
        raise _forbidden_character(text) from problem
    if root is not None:
        _check(root)
    return Document(root, on_duplicate, slow=base is yaml.SafeLoader)


class _DepthCounter:
    """Stops a loader that goes too deep: libyaml's recurses in C, where no exception ends it but the stack.

    PyYAML calls these two at each node, for a feature that layouts do not use.
    """

    _depth = 0

    def descend_resolver(self, parent: Node | None, _index: object) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _too_deep(parent)

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _too_deep(node: Node | None) -> YamlError:
    return YamlError(f"nested more than {DEEPEST} levels deep", place_of(node) if node else START)


def decode(data: bytes) -> str:
    """UTF-8, with or without a byte order mark."""
    if len(data) > LARGEST_FILE_BYTES:
        raise YamlError(f"the file is larger than {LARGEST_FILE_BYTES >> 20} MiB", START)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = problem.object[: problem.start].decode()
        raise YamlError("this character is not UTF-8; save the file as UTF-8", _end_of(before)) from problem


def _end_of(text: str) -> Place:
    lines = LINE_END.split(text)
    return Place(len(lines), len(lines[-1]) + 1)


def _described(problem: yaml.MarkedYAMLError) -> YamlError:
    mark = problem.problem_mark or problem.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else START
    reason = ", ".join(each for each in (problem.context, problem.problem) if each)
    return YamlError(reason or "cannot be read", place)


def _forbidden_character(text: str) -> YamlError:
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    character = f"the character U+{ord(found.group()):04X}" if found else "a character"
    return YamlError(f"{character} is not allowed in YAML", _end_of(text[: found.start()]) if found else START)


def _merge_sources(value: Node) -> Iterator[MappingNode]:
    for source in value.value if isinstance(value, SequenceNode) else [value]:
        if not isinstance(source, MappingNode):
            raise YamlError("<< takes a mapping or a list of mappings, most often an alias", place_of(source))
        yield source


def _check(root: Node) -> None:
    """Tags are plain, values convert, nothing contains itself, and the whole is of a sane size."""
    known: dict[int, tuple[int, int]] = {}
    inside: set[int] = set()

    def extent(node: Node) -> tuple[int, int]:
        """How many nodes, and how many levels of them, aliases included."""
        if id(node) in known:
            return known[id(node)]
        if node.tag not in PLAIN_TAGS:
            raise YamlError(f"the tag {_shown_tag(node.tag)} is not allowed: layouts are plain data", place_of(node))
        if isinstance(node, ScalarNode):
            _check_scalar(node)
            return 1, 1
        if id(node) in inside:
            raise YamlError("an alias stands inside the very node it repeats", place_of(node))
        inside.add(id(node))
        count, levels = 1, 1
        for child in _children(node):
            child_count, child_levels = extent(child)
            count += child_count
            levels = max(levels, child_levels + 1)
        inside.discard(id(node))
        known[id(node)] = count, levels
        if count > MOST_NODES:
            raise YamlError(f"more than {MOST_NODES:,} nodes, aliases included", place_of(node))
        if levels > DEEPEST:
            raise _too_deep(node)
        return count, levels

    extent(root)


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    else:
        yield from node.value


def _check_scalar(node: ScalarNode) -> None:
    if node.tag not in CONVERSIONS:
        return
    try:
        value = scalar_value(node)
    except (ValueError, OverflowError, LookupError) as problem:
        kind = node.tag.removeprefix(TAG)
        raise YamlError(f'"{node.value[:40]}" cannot be read as {kind}; quote it', place_of(node)) from problem
    if isinstance(value, int) and value.bit_length() > LARGEST_INTEGER_BITS:
        raise YamlError(f'"{node.value[:40]}" is too large a number; quote it if it is none', place_of(node))


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(TAG) if tag.startswith(TAG) else tag
