"""Triggers of a pipeline: filters for events of Gerrit, of timers and of this service (``spec/layout.md`` 5.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial

from yaml.nodes import MappingNode, Node, SequenceNode

from ci_gate.config.document import Entry, place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, Table, read_fields
from ci_gate.config.layout.reader import Reader, shortened
from ci_gate.config.layout.timespec import MONTH, BadTimeError, check_timespec
from ci_gate.config.layout.votes import read_event_votes, read_vote_requirements
from ci_gate.config.nearest import nearest
from ci_gate.model.expression import Expression
from ci_gate.model.layout import EventFilter, VoteRequirement

COMMENTS_BEGIN = ("patch set ", "uploaded patch set ", "abandoned", "restored", "change has been ", "created a revert ")
"""All that Gerrit begins a comment with."""

REF_OF_COMMENTS = "refs/changes/01/1/meta"
"""Where Gerrit keeps them since 2.15 or so (gerrit-wire.md 3.6)."""

BEGINS_WITH_TEXT = re.compile(r"(\(\?[a-ln-z]+\))?(\^|\\A)(\\s\*| \*)*\w", re.ASCII)

FilterReader = Callable[[Reader, Fields, str], EventFilter]


def read_triggers(
    reader: Reader, node: Node | None, key: Node | None, pipeline: str, pipelines: Collection[str]
) -> tuple[EventFilter, ...]:
    """``trigger`` of a pipeline: a mapping from trigger name to a filter or a list of filters.

    ``pipelines`` are the names of all, for triggers that name one.
    """
    if node is None:
        return ()
    if not isinstance(node, MappingNode):
        reader.mistyped("trigger", "a mapping, such as `gerrit:` with a list of filters under it", node, key)
        return ()
    found: list[EventFilter] = []
    for name, entry in reader.document.entries(node).items():
        if name == "timer":
            found += _filters(reader, name, entry, schema.TIMER_FILTER, _timer_filter)
        elif name == "zuul":
            found += _filters(reader, name, entry, schema.ZUUL_FILTER, partial(_zuul_filter, pipelines))
        elif reader.has_driver(name, "gerrit"):
            found += _filters(reader, name, entry, schema.GERRIT_FILTER, _gerrit_filter)
        else:
            available = [*reader.connections_with("gerrit"), *schema.BUILT_IN_TRIGGERS]
            meant = nearest(name, available)
            hint = f'did you mean "{meant}"? ' if meant else ""
            text = f'unknown trigger "{name}" in pipeline "{pipeline}"; {hint}available: {", ".join(available)}'
            reader.report("unknown-trigger", place_of(entry[0]), text + reader.driver_text(name), about=name)
    return tuple(found)


def _filters(reader: Reader, trigger: str, entry: Entry, table: Table, read: FilterReader) -> list[EventFilter]:
    key, node = entry
    members = node.value if isinstance(node, SequenceNode) else [node]
    found = []
    for member in members:
        if not isinstance(member, MappingNode):
            wanted = "a list of filters, each a mapping"
            reader.mistyped(trigger, wanted, member, key if member is node else None)
            continue
        fields = read_fields(reader, member, table, f"a filter of the trigger {trigger}")
        if fields is not None:
            found.append(read(reader, fields, trigger))
    return found


def _gerrit_filter(reader: Reader, fields: Fields, trigger: str) -> EventFilter:
    types = _event_types(reader, fields, schema.EVENT, schema.CLASSIC_EVENTS)
    if types and set(types) <= set(schema.EVENTS_WITHOUT_SUBJECT):
        text = f"event has no effect: {', '.join(types)} names neither a change nor a ref, so nothing can start from it"
        reader.report("no-effect", fields.key_place(schema.EVENT), text)
    if fields[schema.REF] and types and "ref-updated" not in types:
        place = fields.key_place(schema.REF)
        reader.report("ref-without-ref-event", place, "ref can only be used with the event ref-updated")
    if fields[schema.BRANCH] and set(types) == {"ref-updated"}:
        place = fields.key_place(schema.BRANCH)
        text = "branch has no effect: ref-updated has no branch, so this filter never matches; use ref"
        reader.report("no-effect", place, text)
    if "ref-updated" in types and any(each.match(REF_OF_COMMENTS) for each in fields[schema.REF]):
        text = f"ref: this matches {REF_OF_COMMENTS} too, which every comment moves, also those that report on changes"
        reader.report("always-true", fields.value_place(schema.REF), f"{text}; leave refs/changes/ out")
    _check_comments(reader, fields)
    return EventFilter(
        trigger=trigger,
        types=types,
        branches=fields[schema.BRANCH],
        refs=fields[schema.REF],
        ignore_deletes=fields[schema.IGNORE_DELETES],
        comments=_new_or_old(reader, fields, schema.COMMENT, schema.OLD_COMMENT),
        emails=_new_or_old(reader, fields, schema.EMAIL, schema.OLD_EMAIL),
        usernames=_new_or_old(reader, fields, schema.USERNAME, schema.OLD_USERNAME),
        votes=read_event_votes(reader, fields.value(schema.APPROVAL), fields.key_node(schema.APPROVAL)),
        require_approval=_votes(reader, fields, schema.REQUIRE_APPROVAL),
        reject_approval=_votes(reader, fields, schema.REJECT_APPROVAL),
        scope=fields[schema.SCOPE] or None,
    )


def _check_comments(reader: Reader, fields: Fields) -> None:
    """``^recheck`` is what everybody writes first, and it finds nothing."""
    for key in (schema.COMMENT, schema.OLD_COMMENT):
        node = fields.value(key)
        members = node.value if isinstance(node, SequenceNode) else [node or fields.node]
        for expression, member in zip(fields[key], members, strict=False):
            start = _beginning(expression)
            if start and not any(_may_begin_with(each, start.lower()) for each in COMMENTS_BEGIN):
                text = f"{key.name}: this finds nothing, since comments begin with `Patch Set N:`; write (?m)^{start}"
                reader.report("never-matches", place_of(member), text)


def _beginning(expression: Expression) -> str:
    if not BEGINS_WITH_TEXT.match(expression.python_source):
        return ""
    from ci_gate.config.layout.impossible import beginning  # noqa: PLC0415  # takes its time, and few need it

    return beginning(expression.python_source)


def _may_begin_with(text: str, start: str) -> bool:
    return text.startswith(start) or start.startswith(text)


def _timer_filter(reader: Reader, fields: Fields, trigger: str) -> EventFilter:
    text = fields[schema.TIME]
    if schema.TIME in fields:
        place = fields.value_place(schema.TIME)
        form = "five or six fields: minute hour day month weekday [second]"
        try:
            parts = check_timespec(text)
        except BadTimeError as problem:
            reader.report("bad-timer", place, f'time: "{shortened(text)}" {problem}; {form}')
        else:
            if parts[MONTH] != "*":
                reader.report(
                    "timer-month", place, f'time: month "{parts[MONTH]}" is honoured here; Zuul 2.6 ignored it'
                )
    return EventFilter(trigger=trigger, types=("timer",), timespecs=(text,))


def _zuul_filter(pipelines: Collection[str], reader: Reader, fields: Fields, trigger: str) -> EventFilter:
    types = _event_types(reader, fields, schema.ZUUL_EVENT, schema.ZUUL_EVENTS)
    for expression in fields[schema.ZUUL_PIPELINE]:
        if not any(expression.match(name) for name in pipelines):
            text = f'no pipeline matches "{expression.source}"; pipelines: {", ".join(pipelines)}'
            reader.report("no-effect", fields.key_place(schema.ZUUL_PIPELINE), f"pipeline has no effect: {text}")
    if fields[schema.ZUUL_PIPELINE] and set(types) == {"project-change-merged"}:
        text = "pipeline: not allowed with project-change-merged; allowed: with parent-change-enqueued"
        reader.report("bad-value", fields.key_place(schema.ZUUL_PIPELINE), text)
    return EventFilter(
        trigger=trigger,
        types=types,
        pipelines=fields[schema.ZUUL_PIPELINE],
        require_approval=_votes(reader, fields, schema.REQUIRE_APPROVAL),
        reject_approval=_votes(reader, fields, schema.REJECT_APPROVAL),
    )


def _event_types(
    reader: Reader, fields: Fields, key: Key[tuple[str, ...]], allowed: Collection[str]
) -> tuple[str, ...]:
    """An empty list is a key that is not given, and this one has to be."""
    if key in fields and not fields[key]:
        text = f"event: nothing is named; allowed: {', '.join(allowed)}"
        reader.report("bad-value", fields.value_place(key), text)
    return fields[key]


def _new_or_old(
    reader: Reader, fields: Fields, new: Key[tuple[Expression, ...]], old: Key[tuple[Expression, ...]]
) -> tuple[Expression, ...]:
    if fields[new] and fields[old]:
        text = f"{old.name} is ignored because {new.name} is given"
        reader.report("deprecated-ignored", fields.key_place(old), text)
    return fields[new] or fields[old]


def _votes(reader: Reader, fields: Fields, key: Key[Node | None]) -> tuple[VoteRequirement, ...]:
    return read_vote_requirements(reader, key.name, fields.value(key), fields.key_node(key))
