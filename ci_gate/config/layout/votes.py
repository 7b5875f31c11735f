"""Votes in layouts: what an event must carry, and what the votes on a change must be (``spec/layout.md`` 5.4)."""

from __future__ import annotations

import re

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import Entry, Place, place_of, scalar_value
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, read_fields
from ci_gate.config.layout.reader import Reader, described, is_unwritten, shortened, spot
from ci_gate.config.problems import Level
from ci_gate.model.labels import normal_label
from ci_gate.model.layout import VoteRequirement

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
TIME = re.compile(r"([0-9]{1,9})([smhdw])")
INTEGER = re.compile(r"\s*[-+]?[0-9]{1,9}\s*")


def read_event_votes(reader: Reader, node: Node | None, key: Node | None) -> tuple[tuple[str, int], ...]:
    """``approval`` of a trigger: (normal label, value); all must be there. A repeated label keeps its last value."""
    if node is None:
        return ()
    votes: dict[str, tuple[int, Place]] = {}
    for mapping in _mappings(reader, "approval", "a mapping of labels to numbers", node, key):
        for name, (label_key, label_value) in reader.document.entries(mapping).items():
            value = vote_value(reader, name, label_key, label_value)
            if value is None:
                continue
            label = normal_label(name)
            if label in votes:
                line = votes[label][1].line
                text = f'key "{name}" is given twice; the value on line {line} is ignored'
                reader.report("duplicate-key", place_of(label_key), text)
            votes[label] = (value, place_of(label_key))
    return tuple((label, value) for label, (value, _) in votes.items())


def vote_value(reader: Reader, name: str, key: Node, node: Node) -> int | None:
    """One vote as a number; text such as ``"+2"`` counts as the number."""
    number = as_integer(node)
    if number is not None:
        return number
    if is_unwritten(node):
        reader.mistyped(name, "a whole number", node, key)
    else:
        text = f"{name}: {described(node)} is not allowed; allowed: one whole number, the vote on that label"
        reader.report("bad-value", place_of(node), text, about="a vote")
    return None


def read_vote_requirements(
    reader: Reader, name: str, node: Node | None, key: Node | None
) -> tuple[VoteRequirement, ...]:
    """A mapping or a list of mappings, each to be met by a single vote."""
    if node is None:
        return ()
    found = []
    for mapping in _mappings(reader, name, "a mapping or a list of mappings", node, key):
        fields = read_fields(reader, mapping, schema.VOTE, f"an entry of {name}")
        if fields is not None:
            found.append(_requirement(reader, fields))
    return tuple(found)


def _requirement(reader: Reader, fields: Fields) -> VoteRequirement:
    email = fields[schema.VOTE_EMAIL]
    if schema.VOTE_OLD_EMAIL in fields:
        if email is None:
            email = fields[schema.VOTE_OLD_EMAIL]
        else:
            place = fields.key_place(schema.VOTE_OLD_EMAIL)
            reader.report("deprecated-ignored", place, "email-filter is ignored because email is given")
    return VoteRequirement(
        username=fields[schema.VOTE_USERNAME],
        email=email,
        newer_than_s=_seconds(reader, fields, schema.NEWER_THAN),
        older_than_s=_seconds(reader, fields, schema.OLDER_THAN),
        labels=_labels(reader, fields),
    )


def _seconds(reader: Reader, fields: Fields, key: Key[Node | None]) -> float | None:
    node = fields.value(key)
    if node is None:
        return None
    place = fields.value_place(key)
    if not isinstance(node, ScalarNode) or is_unwritten(node):
        reader.mistyped(key.name, "a time such as 48h", node, fields.key_node(key))
        return None
    found = TIME.fullmatch(node.value)
    if found is None:
        hint = "use a whole number and s, m, h, d or w, e.g. 48h"
        text = f'{key.name}: "{shortened(node.value)}" is not a time; {hint}'
        reader.report("bad-time", place, text, about=node.value)
        return None
    return float(int(found[1]) * SECONDS[found[2]])


def _labels(reader: Reader, fields: Fields) -> tuple[tuple[str, frozenset[int]], ...]:
    """One vote must have a value that each spelling of its label allows."""
    labels: dict[str, frozenset[int]] = {}
    for name, entry in fields.others.items():
        label, values = normal_label(name), _allowed_values(reader, name, entry)
        if labels.keys() - {label}:
            text = f"{name} has no effect: one vote cannot be on two labels; give each label an entry of its own"
            reader.report("no-effect", place_of(entry[0]), text)
        labels[label] = labels.get(label, values) & values
    return tuple(labels.items())


def _allowed_values(reader: Reader, name: str, entry: Entry) -> frozenset[int]:
    key, node = entry
    members = node.value if isinstance(node, SequenceNode) else [node]
    values = set()
    for member in members:
        number = as_integer(member)
        if number is not None:
            values.add(number)
            if isinstance(scalar_value(member), str):
                text = f"{name} must be a whole number, not {described(member)}; read as {number}"
                reader.report("bad-type", place_of(member), text, about="a vote", level=Level.WARNING)
        elif is_unwritten(member):
            reader.mistyped(name, "a whole number or a list of them", member, key)
        else:
            known = ", ".join(each.name for each in schema.VOTE.keys if each is not schema.VOTE_OLD_EMAIL)
            text = f'"{name}" is taken as a review label, whose value must be a whole number, not {described(member)}'
            reader.report("bad-value", spot(member, key), f"{text}; other keys: {known}", about="a label")
    return frozenset(values)


def as_integer(node: Node) -> int | None:
    """A number, or text that is one; None for all else."""
    value = scalar_value(node)
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mappings(reader: Reader, name: str, wanted: str, node: Node, key: Node | None) -> list[MappingNode]:
    members = node.value if isinstance(node, SequenceNode) else [node]
    found = []
    for member in members:
        if isinstance(member, MappingNode):
            found.append(member)
        else:
            reader.mistyped(name, wanted, member, key if member is node else None)
    return found
