"""One YAML file as nodes that know their line and column (``spec/layout.md`` 2).

Called by the layout loader. Knows YAML and nothing of layouts. The nodes are PyYAML's own: aliases are the very same
node in several places, so nothing may ever change one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MOST_NODES = 2_000_000

TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = frozenset(
    TAG + each for each in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp", "value")
)
CONVERTED_TAGS = frozenset(TAG + each for each in ("int", "float", "bool", "null"))
MERGE = TAG + "merge"

NO_SCALAR = object()

_constructor = yaml.constructor.SafeConstructor()


@dataclass(frozen=True, slots=True)
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
                for source in _merge_sources(value):
                    for name, entry in self.entries(source).items():
                        merged.setdefault(name, entry)
                continue
            if key.value in own:
                self._on_duplicate(Duplicate(key.value, place_of(key), place_of(own[key.value].key)))
            own[key.value] = Entry(key, value)
        return {**{name: entry for name, entry in merged.items() if name not in own}, **own} if merged else own


def place_of(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def scalar_value(node: Node) -> object:
    """Text, integer, float, boolean or None, as YAML 1.1 reads it; a date stays the text it was written as.

    A list and a mapping have none: ``NO_SCALAR``.
    """
    if not isinstance(node, ScalarNode):
        return NO_SCALAR
    if node.tag not in CONVERTED_TAGS:
        return node.value
    value: object = _constructor.construct_object(node)
    return value


def read_document(text: str, on_duplicate: Callable[[Duplicate], None]) -> Document:
    """Raises YamlError for whatever is no single, safe, plain YAML document."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as problem:
        raise _described(problem) from problem
    except yaml.reader.ReaderError as problem:
        raise _forbidden_character(text) from problem
    except RecursionError as problem:
        raise YamlError("nested too deeply", START) from problem
    if root is not None:
        _check(root)
    return Document(root, on_duplicate, slow=loader is yaml.SafeLoader)


def decode(data: bytes) -> str:
    """UTF-8, with or without a byte order mark."""
    if len(data) > LARGEST_FILE_BYTES:
        raise YamlError(f"the file is larger than {LARGEST_FILE_BYTES >> 20} MiB", START)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = data[: problem.start].decode("utf-8-sig")
        raise YamlError("this character is not UTF-8; save the file as UTF-8", _end_of(before)) from problem


def _end_of(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))


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
    """The mappings under ``<<``: of a list the first has the last word."""
    for source in value.value if isinstance(value, SequenceNode) else [value]:
        if not isinstance(source, MappingNode):
            raise YamlError("<< takes a mapping or a list of mappings, most often an alias", place_of(source))
        yield source


def _check(root: Node) -> None:
    """Tags are plain, values convert, nothing contains itself, and the whole is of a sane size."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()

    def size(node: Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if node.tag not in PLAIN_TAGS:
            raise YamlError(f"the tag {_shown_tag(node.tag)} is not allowed: layouts are plain data", place_of(node))
        if isinstance(node, ScalarNode):
            _check_scalar(node)
            return 1
        if id(node) in inside:
            raise YamlError("an alias stands inside the very node it repeats", place_of(node))
        inside.add(id(node))
        count = 1
        if isinstance(node, MappingNode):
            for key, value in node.value:
                count += size(key) + size(value)
        else:
            for member in node.value:
                count += size(member)
        inside.discard(id(node))
        sizes[id(node)] = count
        if count > MOST_NODES:
            raise YamlError(f"more than {MOST_NODES:,} nodes, aliases included", place_of(node))
        return count

    try:
        size(root)
    except RecursionError as problem:
        raise YamlError("nested too deeply", START) from problem


def _check_scalar(node: ScalarNode) -> None:
    if node.tag not in CONVERTED_TAGS:
        return
    try:
        scalar_value(node)
    except (ValueError, KeyError, IndexError) as problem:
        kind = node.tag.removeprefix(TAG)
        raise YamlError(f'"{node.value[:40]}" cannot be read as {kind}; quote it', place_of(node)) from problem


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(TAG) if tag.startswith(TAG) else tag
