"""One YAML file as nodes that know their line and column (``spec/layout.md`` 2).

Called by the layout loader. Knows YAML and nothing of layouts. The nodes are PyYAML's own: aliases are the very same
node in several places, so nothing may ever change one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MOST_NODES = 2_000_000
"""Aliases included; a list or a mapping counts twice, for where it begins and where it ends."""
MOST_INDICATORS = 2 * MOST_NODES
INDICATORS = ",:-?[{"
"""There is no node but the outermost without one of these."""
NODES_AN_INDICATOR = 4  # at most: in ``[key: value]`` the colon makes a mapping, a key and a value
DEEPEST = 200
"""Levels of nesting, aliases included: far from where recursion ends, in Python or in libyaml."""
LARGEST_INTEGER_BITS = 63
LIBYAML_WITH_LIMIT = (0, 2, 5)
"""From here on libyaml nests a thousand levels and no more."""
STREAM_EVENTS = 4  # where the stream and its one document begin and end
LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

TAG = "tag:yaml.org,2002:"
STRING, SEQUENCE, MAPPING, MERGE = (TAG + each for each in ("str", "seq", "map", "merge"))
PLAIN_TAGS = frozenset(
    [STRING, SEQUENCE, MAPPING, MERGE, *(TAG + each for each in ("int", "float", "bool", "null", "timestamp", "value"))]
)
IMPLICIT: Mapping[str, list[tuple[str, re.Pattern[str]]]] = yaml.resolver.Resolver.yaml_implicit_resolvers
"""By the first character of a plain scalar: what it may be, other than text."""

NO_SCALAR = object()

_constructor = yaml.constructor.SafeConstructor()
CONVERSIONS: dict[str, Callable[[ScalarNode], object]] = {
    TAG + "int": _constructor.construct_yaml_int,
    TAG + "float": _constructor.construct_yaml_float,
    TAG + "bool": _constructor.construct_yaml_bool,
    TAG + "null": _constructor.construct_yaml_null,
}


class Place(NamedTuple):
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


Entry = tuple[ScalarNode, Node]
"""Key and value."""


class Duplicate(NamedTuple):
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
        for entry in node.value:
            key = entry[0]
            if not isinstance(key, ScalarNode):
                raise YamlError("a key must be plain text", place_of(key))
            if key.tag == MERGE:
                merged.update(self._merged(entry[1]))
                continue
            if key.value in own:
                self._on_duplicate(Duplicate(key.value, place_of(key), place_of(own[key.value][0])))
            own[key.value] = entry
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
    parser: Any = getattr(yaml, "CSafeLoader", None)
    try:
        if parser is not None:
            _check_size(text, parser)
        composing = _Composing if parser and _libyaml_version() >= LIBYAML_WITH_LIMIT else _CountingDepth
        composer = type("Composer", (composing, parser or yaml.SafeLoader), {})(text)
        try:
            root = composer.get_single_node()
        finally:
            composer.dispose()
    except yaml.MarkedYAMLError as problem:
        raise _described(problem) from problem
    except yaml.reader.ReaderError as problem:
        raise _forbidden_character(text) from problem
    if root is not None:
        _Check().whole(root)
    return Document(root, on_duplicate, slow=parser is None)


def _libyaml_version() -> tuple[int, ...]:
    from yaml._yaml import get_version  # noqa: PLC0415  # only there with libyaml

    return tuple(get_version())


def _check_size(text: str, parser: Any) -> None:
    """Refuse what is far too large before nodes are made of it, which takes libyaml a tenth of the time."""
    indicators = sum(map(text.count, INDICATORS))
    if indicators > MOST_INDICATORS:
        raise YamlError(f"more than {MOST_INDICATORS:,} commas, colons, dashes and opening brackets", START)
    if indicators * NODES_AN_INDICATOR >= MOST_NODES and parser(text).raw_parse() - STREAM_EVENTS > MOST_NODES:
        raise _too_many(None)


class _Composing:
    """What PyYAML asks of a loader at each node: its tag, and leave to go deeper."""

    def resolve(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool]) -> str:
        """As PyYAML's own, which looks further for features that layouts do not use."""
        if kind is ScalarNode:
            if implicit[0]:
                text = value or ""
                for tag, expression in IMPLICIT.get(text[:1], ()):
                    if expression.match(text):
                        return tag
            return STRING
        return SEQUENCE if kind is SequenceNode else MAPPING

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        """Nothing to do: libyaml itself refuses what is nested so deep that its loader would overrun the stack."""

    def ascend_resolver(self) -> None:
        """As above."""


class _CountingDepth(_Composing):
    """For parsers without a limit of their own, whose recursion would end badly."""

    _depth = 0

    def descend_resolver(self, parent: Node | None, index: object) -> None:
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


def _too_many(node: Node | None) -> YamlError:
    return YamlError(f"more than {MOST_NODES:,} nodes, aliases included", place_of(node) if node else START)


class _Check:
    """Tags are plain, values convert, nothing contains itself, and the whole is of a sane size."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}
        self._inside: set[int] = set()

    def whole(self, root: Node) -> None:
        if isinstance(root, ScalarNode):
            self._scalar(root)
        else:
            self._extent(root, 1)

    def _extent(self, node: Node, depth: int) -> tuple[int, int]:
        """How many nodes a list or mapping is, and how many levels of them, aliases included."""
        known = self._known.get(id(node))
        if known is not None:
            return known
        if depth > DEEPEST:
            raise _too_deep(node)
        if node.tag not in PLAIN_TAGS:
            raise _bad_tag(node)
        if id(node) in self._inside:
            raise YamlError("an alias stands inside the very node it repeats", place_of(node))
        self._inside.add(id(node))
        count, levels = 2, 1
        children: Iterable[Node] = chain.from_iterable(node.value) if isinstance(node, MappingNode) else node.value
        for child in children:
            if isinstance(child, ScalarNode):
                if child.tag is not STRING:
                    self._scalar(child)
                count += 1
            else:
                child_count, child_levels = self._extent(child, depth + 1)
                count += child_count
                levels = max(levels, child_levels + 1)
        self._inside.discard(id(node))
        self._known[id(node)] = count, levels
        if count > MOST_NODES:
            raise _too_many(node)
        if levels > DEEPEST:
            raise _too_deep(node)
        return count, levels

    def _scalar(self, node: ScalarNode) -> None:
        if node.tag not in PLAIN_TAGS:
            raise _bad_tag(node)
        if node.tag not in CONVERSIONS:
            return
        try:
            value = scalar_value(node)
        except (ValueError, OverflowError, LookupError) as problem:
            kind = node.tag.removeprefix(TAG)
            raise YamlError(f'"{node.value[:40]}" cannot be read as {kind}; quote it', place_of(node)) from problem
        if isinstance(value, int) and value.bit_length() > LARGEST_INTEGER_BITS:
            raise YamlError(f'"{node.value[:40]}" is too large a number; quote it if it is none', place_of(node))


def _bad_tag(node: Node) -> YamlError:
    return YamlError(f"the tag {_shown_tag(node.tag)} is not allowed: layouts are plain data", place_of(node))


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(TAG) if tag.startswith(TAG) else tag
