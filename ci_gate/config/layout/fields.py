"""Tables of keys, and mappings read by them: the schema layer (``spec/layout.md``).

A key knows its name, its kind of value, its default and what it means; reading a mapping by a table checks all of it.
The same tables print the reference in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import Entry, Place, place_of, scalar_value
from ci_gate.config.layout.reader import Reader, shortened, spot
from ci_gate.config.nearest import nearest
from ci_gate.config.report_patterns import Names, why_never
from ci_gate.model.expression import Expression

T = TypeVar("T")
Value_co = TypeVar("Value_co", covariant=True)


class Kind(Protocol[Value_co]):
    """A kind of value. ``described`` is for messages and documents: ``a string``."""

    @property
    def described(self) -> str: ...

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> Value_co | None:
        """The value; None if it is a problem, which is then reported."""


class Key(Generic[Value_co]):
    """A key of a mapping: its name, its kind of value, its default and what it means."""

    __slots__ = ("default", "help", "kind", "name", "required")

    def __init__(
        self, name: str, kind: Kind[Value_co], default: Value_co, help_text: str, required: bool = False
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help_text
        self.required = required


class Table:
    """The keys of one kind of mapping. ``others``: names what further keys are, if any are allowed."""

    def __init__(self, what: str, keys: tuple[Key[object], ...], others: str | None = None) -> None:
        self.what = what
        self.keys = keys
        self.others = others
        self.by_name = {key.name: key for key in keys}
        self.required = tuple(key for key in keys if key.required)


class Fields:
    """A mapping, read by a table: ``fields[KEY]`` is the value or its default; ``others`` are further keys."""

    __slots__ = ("entries", "node", "others", "values")

    def __init__(self, node: MappingNode, entries: Mapping[str, Entry]) -> None:
        self.node = node
        self.entries = entries
        self.values: dict[str, object] = {}
        self.others: dict[str, Entry] = {}

    def __getitem__(self, key: Key[T]) -> T:
        return self.values.get(key.name, key.default)  # type: ignore[return-value]  # read by this very key's kind

    def __contains__(self, key: Key[T]) -> bool:
        """Is there a usable value?"""
        return key.name in self.values

    def key_place(self, key: Key[T]) -> Place:
        return place_of(self.entries[key.name][0])

    def value_place(self, key: Key[T]) -> Place:
        key_node, value = self.entries[key.name]
        return spot(value, key_node)

    def key_node(self, key: Key[T]) -> Node | None:
        entry = self.entries.get(key.name)
        return entry[0] if entry else None

    def value(self, key: Key[T]) -> Node | None:
        entry = self.entries.get(key.name)
        return entry[1] if entry else None


def read_fields(
    reader: Reader,
    node: Node,
    table: Table,
    what: str,
    key: Node | None = None,
    *,
    missing_at: Place | None = None,
) -> Fields | None:
    """Read a mapping by a table; ``what`` names it in messages. None if it is no mapping.

    ``missing_at`` is where missing keys are shown, by default where the mapping begins.
    """
    if not isinstance(node, MappingNode):
        reader.mistyped(what, "a mapping", node, key)
        return None
    fields = Fields(node, reader.document.entries(node))
    for name, entry in fields.entries.items():
        known = table.by_name.get(name)
        if known is None:
            fields.others[name] = entry
            continue
        value = known.kind.read(reader, name, entry[1], entry[0])
        if value is not None:
            fields.values[name] = value
    for each in table.required:
        if each.name not in fields.entries:
            text = f"{each.name} is missing in {what}"
            reader.report("missing-key", missing_at or place_of(node), text, about=each.name)
    if table.others is None:
        for name, (key_node, _) in fields.others.items():
            report_unknown_key(reader, key_node, name, table, what)
    return fields


def title(reader: Reader, node: Node, kind: str) -> str:
    """How messages call an entry of a list: by its name, if it has one."""
    entry = reader.document.entries(node).get("name") if isinstance(node, MappingNode) else None
    return f'{kind} "{shortened(entry[1].value)}"' if entry and isinstance(entry[1], ScalarNode) else f"a {kind}"


def report_unknown_key(reader: Reader, key: ScalarNode, name: str, table: Table, what: str) -> None:
    known = [each.name for each in table.keys]
    meant = nearest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"known keys: {', '.join(known)}"
    reader.report("unknown-key", place_of(key), f'unknown key "{shortened(name)}" in {what}; {hint}', about=name)


def check_pattern(reader: Reader, fields: Fields, key: Key[str] | Key[str | None], names: Names, instead: str) -> None:
    """Warn of a format string that can never be filled in."""
    pattern = fields.values.get(key.name)
    why = why_never(pattern, names) if isinstance(pattern, str) else None
    if why is not None:
        text = f"{key.name}: {why}; it can never be filled in, and {instead}"
        reader.report("bad-pattern", fields.value_place(key), text, about=why)


# --- kinds of values ---


class Text:
    described = "a string"

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> str | None:
        return reader.text(name, node, key)


class Flag:
    described = "true or false"

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> bool | None:
        value = scalar_value(node)
        if isinstance(value, bool):
            return value
        reader.mistyped(name, self.described, node, key)
        return None


class Integer:
    def __init__(self, minimum: int | None = None) -> None:
        self.minimum = minimum
        self.described = "a whole number" if minimum is None else f"a whole number, {minimum} or more"

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> int | None:
        value = scalar_value(node)
        if not isinstance(value, int) or isinstance(value, bool):
            reader.mistyped(name, "a whole number", node, key)
            return None
        if self.minimum is not None and value < self.minimum:
            reader.refused(name, str(value), f"{self.minimum} or more", place_of(node))
            return None
        return value


class Choice:
    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        self.described = f"one of {', '.join(allowed)}"

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> str | None:
        value = reader.text(name, node, key)
        if value is not None and value not in self.allowed:
            reader.refused(name, value, ", ".join(self.allowed), place_of(node), near=self.allowed)
            return None
        return value


class Several(Generic[T]):
    """One value, or a list of them; an empty list and an empty text mean: not given."""

    def __init__(self, one: Kind[T]) -> None:
        self.one = one
        self.described = f"{one.described}, or a list of them"

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> tuple[T, ...] | None:
        if isinstance(node, SequenceNode):
            found = [self.one.read(reader, name, member, member) for member in node.value]
        elif isinstance(node, MappingNode) or scalar_value(node) is None:
            reader.mistyped(name, "a string or a list of strings", node, key)
            return None
        elif node.value == "":
            return ()
        else:
            found = [self.one.read(reader, name, node, key)]
        good = tuple(each for each in found if each is not None)
        return good if len(good) == len(found) else None


class Regex:
    """``for_strangers``: what it is searched in may be written by anybody."""

    described = "a regular expression"

    def __init__(self, *, for_strangers: bool = False) -> None:
        self.for_strangers = for_strangers

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> Expression | None:
        source = reader.text(name, node, key)
        if source is None:
            return None
        return reader.compiled(name, source, node, for_strangers=self.for_strangers)


class Nested:
    """A mapping or a list with a reading of its own: the value is the node."""

    def __init__(self, described: str) -> None:
        self.described = described

    def read(self, reader: Reader, name: str, node: Node, key: Node) -> Node | None:
        return node
