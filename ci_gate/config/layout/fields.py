"""Tables of keys, and mappings read by them: the schema layer (``spec/layout.md``).

A key knows its name, its kind of value, its default and what it means; reading a mapping by a table checks all of it.
The same tables print the reference in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import Entry, Place, place_of, scalar_value
from ci_gate.config.layout.reader import Reader, shortened, spot
from ci_gate.config.nearest import nearest
from ci_gate.model.expression import Expression

T = TypeVar("T")
Value_co = TypeVar("Value_co", covariant=True)


class Kind(Protocol[Value_co]):
    """A kind of value. ``described`` is for messages and documents: ``a string``."""

    @property
    def described(self) -> str: ...

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> Value_co | None:
        """The value; None if it is a problem, which is then reported."""


@dataclass(frozen=True, slots=True, eq=False)
class Key(Generic[Value_co]):
    name: str
    kind: Kind[Value_co]
    default: Value_co
    help: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one kind of mapping. ``others``: names what further keys are, if any are allowed."""

    what: str
    keys: tuple[Key[object], ...]
    others: str | None = None

    def key(self, name: str) -> Key[object] | None:
        return next((each for each in self.keys if each.name == name), None)


class Fields:
    """A mapping, read by a table: ``fields[KEY]`` is the value or its default."""

    def __init__(self, node: MappingNode, table: Table, entries: Mapping[str, Entry]) -> None:
        self.node = node
        self.entries = entries
        self.values: dict[str, object] = {}
        self.others = {name: entry for name, entry in entries.items() if table.key(name) is None}

    def __getitem__(self, key: Key[T]) -> T:
        return self.values.get(key.name, key.default)  # type: ignore[return-value]  # read by this very key's kind

    def __contains__(self, key: Key[T]) -> bool:
        """Is there a usable value?"""
        return key.name in self.values

    def key_place(self, key: Key[T]) -> Place:
        return place_of(self.entries[key.name].key)

    def value_place(self, key: Key[T]) -> Place:
        entry = self.entries[key.name]
        return spot(entry.value, place_of(entry.key))

    def value(self, key: Key[T]) -> Node | None:
        entry = self.entries.get(key.name)
        return entry.value if entry else None


def read_fields(
    reader: Reader,
    node: Node,
    table: Table,
    what: str,
    key_place: Place | None = None,
    *,
    missing_at: Place | None = None,
) -> Fields | None:
    """Read a mapping by a table; ``what`` names it in messages. None if it is no mapping.

    ``missing_at`` is where missing keys are shown, by default where the mapping begins.
    """
    if not isinstance(node, MappingNode):
        reader.mistyped(what, "a mapping", node, key_place)
        return None
    fields = Fields(node, table, reader.document.entries(node))
    for key in table.keys:
        entry = fields.entries.get(key.name)
        if entry is not None:
            value = key.kind.read(reader, key.name, entry.value, place_of(entry.key))
            if value is not None:
                fields.values[key.name] = value
        elif key.required:
            text = f"{key.name} is missing in {what}"
            reader.report("missing-key", missing_at or place_of(node), text, about=key.name)
    if table.others is None:
        for name, entry in fields.others.items():
            report_unknown_key(reader, entry.key, name, table, what)
    return fields


def title(reader: Reader, node: Node, kind: str) -> str:
    """How messages call an entry of a list: by its name, if it has one."""
    entry = reader.document.entries(node).get("name") if isinstance(node, MappingNode) else None
    return f'{kind} "{shortened(entry.value.value)}"' if entry and isinstance(entry.value, ScalarNode) else f"a {kind}"


def report_unknown_key(reader: Reader, key: ScalarNode, name: str, table: Table, what: str) -> None:
    known = [each.name for each in table.keys]
    meant = nearest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"known keys: {', '.join(known)}"
    reader.report("unknown-key", place_of(key), f'unknown key "{shortened(name)}" in {what}; {hint}', about=name)


# --- kinds of values ---


@dataclass(frozen=True, slots=True)
class Text:
    described: str = "a string"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> str | None:
        return reader.text(name, node, key_place)


@dataclass(frozen=True, slots=True)
class Flag:
    described: str = "true or false"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> bool | None:
        value = scalar_value(node)
        if isinstance(value, bool):
            return value
        reader.mistyped(name, self.described, node, key_place)
        return None


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int | None = None

    @property
    def described(self) -> str:
        return "a whole number" if self.minimum is None else f"a whole number, {self.minimum} or more"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> int | None:
        value = scalar_value(node)
        if not isinstance(value, int) or isinstance(value, bool):
            reader.mistyped(name, "a whole number", node, key_place)
            return None
        if self.minimum is not None and value < self.minimum:
            reader.refused(name, str(value), f"{self.minimum} or more", place_of(node))
            return None
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    allowed: tuple[str, ...]

    @property
    def described(self) -> str:
        return f"one of {', '.join(self.allowed)}"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> str | None:
        value = reader.text(name, node, key_place)
        if value is not None and value not in self.allowed:
            reader.refused(name, value, ", ".join(self.allowed), place_of(node), near=self.allowed)
            return None
        return value


@dataclass(frozen=True, slots=True)
class Several(Generic[T]):
    """One value, or a list of them; an empty list and an empty text mean: not given."""

    one: Kind[T]

    @property
    def described(self) -> str:
        return f"{self.one.described}, or a list of them"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> tuple[T, ...] | None:
        if isinstance(node, SequenceNode):
            found = [self.one.read(reader, name, member, place_of(member)) for member in node.value]
        elif isinstance(node, MappingNode) or scalar_value(node) is None:
            reader.mistyped(name, "a string or a list of strings", node, key_place)
            return None
        elif node.value == "":
            return ()
        else:
            found = [self.one.read(reader, name, node, key_place)]
        good = tuple(each for each in found if each is not None)
        return good if len(good) == len(found) else None


@dataclass(frozen=True, slots=True)
class Regex:
    """``for_strangers``: what it is searched in may be written by anybody."""

    for_strangers: bool = False
    described: str = "a regular expression"

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> Expression | None:
        source = reader.text(name, node, key_place)
        if source is None:
            return None
        return reader.compiled(name, source, node, for_strangers=self.for_strangers)


@dataclass(frozen=True, slots=True)
class Nested:
    """A mapping or a list with a reading of its own: the value is the node."""

    described: str

    def read(self, reader: Reader, name: str, node: Node, key_place: Place) -> Node | None:
        return node
