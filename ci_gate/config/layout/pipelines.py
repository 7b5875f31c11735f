"""Pipelines (``spec/layout.md`` 5)."""

from __future__ import annotations

from collections.abc import Collection

from yaml.nodes import Node, SequenceNode

from ci_gate.config.document import place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, Table, read_fields, title
from ci_gate.config.layout.names import Names
from ci_gate.config.layout.reader import Reader
from ci_gate.config.layout.reporters import read_reporters
from ci_gate.config.layout.triggers import read_triggers
from ci_gate.config.layout.votes import read_vote_requirements
from ci_gate.model.layout import DEPENDENT, Pipeline, Priority, Requirements, Window
from ci_gate.model.modes import Precedence


def read_pipelines(reader: Reader, node: Node | None, key: Node | None) -> tuple[Pipeline, ...]:
    """In the order of the file, which is the order in which events meet them."""
    if node is None:
        return ()
    names = Names(reader, "pipeline")
    read = []
    for member in reader.members("pipelines", node, "a list of pipelines", key):
        fields = read_fields(reader, member, schema.PIPELINE, title(reader, member, "pipeline"))
        if fields is None:
            continue
        name = names.read(fields, schema.PIPELINE_NAME)
        if name in schema.RESERVED_PIPELINE_NAMES:
            text = f'name: "{name}" is not allowed: it is a key of projects; choose another name'
            reader.report("bad-value", fields.value_place(schema.PIPELINE_NAME), text)
        read.append((name, fields))
    return tuple(_pipeline(reader, fields, name, names.known) for name, fields in read)


def _pipeline(reader: Reader, fields: Fields, name: str, names: Collection[str]) -> Pipeline:
    manager = fields[schema.MANAGER]
    _check_effects(reader, fields, manager)
    return Pipeline(
        name=name,
        manager=manager,
        source=_source(reader, fields),
        triggers=read_triggers(reader, fields.value(schema.TRIGGER), fields.key_node(schema.TRIGGER), name, names),
        description=fields[schema.DESCRIPTION] or None,
        precedence=Precedence(fields[schema.PRECEDENCE]),
        success_message=fields[schema.SUCCESS_TEXT],
        failure_message=fields[schema.FAILURE_TEXT],
        merge_failure_message=fields[schema.MERGE_FAILURE_TEXT],
        footer_message=fields[schema.FOOTER],
        require=_requirements(reader, fields, schema.REQUIRE, schema.REQUIREMENTS),
        reject=_requirements(reader, fields, schema.REJECT, schema.REJECTIONS),
        start=read_reporters(reader, fields, schema.START, name),
        success=read_reporters(reader, fields, schema.SUCCESS, name),
        failure=read_reporters(reader, fields, schema.FAILURE, name),
        merge_failure=read_reporters(reader, fields, schema.MERGE_FAILURE, name),
        disabled=read_reporters(reader, fields, schema.DISABLED, name),
        dequeue_on_new_patchset=fields[schema.DEQUEUE],
        ignore_dependencies=fields[schema.IGNORE_DEPENDENCIES] and manager != DEPENDENT,
        disable_after=fields[schema.DISABLE_AFTER] or None,
        window=Window(
            size=fields[schema.WINDOW],
            floor=fields[schema.WINDOW_FLOOR],
            increase_type=fields[schema.WINDOW_INCREASE],
            increase_factor=fields[schema.WINDOW_INCREASE_FACTOR],
            decrease_type=fields[schema.WINDOW_DECREASE],
            decrease_factor=fields[schema.WINDOW_DECREASE_FACTOR],
            ceiling=fields[schema.WINDOW_CEILING] or None,
        ),
        priorities=_priorities(reader, fields),
        limit=fields[schema.LIMIT] or None,
    )


def _check_effects(reader: Reader, fields: Fields, manager: str) -> None:
    if manager == DEPENDENT and fields[schema.IGNORE_DEPENDENCIES]:
        text = "ignore-dependencies has no effect: a dependent pipeline lives by them"
        reader.report("no-effect", fields.key_place(schema.IGNORE_DEPENDENCIES), text)
    if manager == DEPENDENT and 0 < fields[schema.WINDOW] < fields[schema.WINDOW_FLOOR]:
        key = schema.WINDOW_FLOOR if schema.WINDOW_FLOOR in fields else schema.WINDOW
        text = f"{key.name} has no effect: the floor of {fields[schema.WINDOW_FLOOR]} is above the window of "
        reader.report(
            "no-effect", fields.key_place(key), f"{text}{fields[schema.WINDOW]}, so the first failure enlarges it"
        )
    if manager != DEPENDENT:
        for each in schema.WINDOW_KEYS:
            if each in fields:
                reader.report(
                    "unused", fields.key_place(each), f"{each.name} is unused: only dependent pipelines have windows"
                )


def _source(reader: Reader, fields: Fields) -> str:
    source = fields[schema.SOURCE]
    if reader.connections is None or reader.connections.get(source) == "gerrit":
        return source
    available = reader.connections_with("gerrit")
    listed = f"available: {', '.join(available)}" if available else "the configuration has none"
    if schema.SOURCE in fields:
        text = f'source "{source}" is not a Gerrit connection; {listed}{reader.driver_text(source)}'
        reader.report("unknown-connection", fields.value_place(schema.SOURCE), text)
    elif schema.SOURCE.name not in fields.entries:
        add = f"; add `source: {available[0]}`" if len(available) == 1 else ""
        text = f'source "{source}", the default, is not a Gerrit connection; {listed}{add}'
        reader.report("unknown-connection", place_of(fields.node), text)
    return source


def _requirements(reader: Reader, pipeline: Fields, key: Key[Node | None], table: Table) -> Requirements:
    node = pipeline.value(key)
    fields = read_fields(reader, node, table, key.name, pipeline.key_node(key)) if node is not None else None
    if fields is None:
        return Requirements()
    votes = schema.REQUIRED_VOTES
    return Requirements(
        is_open=fields[schema.OPEN],
        current_patchset=fields[schema.CURRENT],
        statuses=fields[schema.STATUS],
        approval=read_vote_requirements(reader, votes.name, fields.value(votes), fields.key_node(votes)),
        wip=fields[schema.WIP],
        private=fields[schema.PRIVATE],
        submittable=fields[schema.SUBMITTABLE],
    )


def _priorities(reader: Reader, pipeline: Fields) -> tuple[Priority, ...]:
    node = pipeline.value(schema.PRIORITY)
    if node is None:
        return ()
    if not isinstance(node, SequenceNode):
        reader.mistyped("priority", "a list of mappings", node, pipeline.key_node(schema.PRIORITY))
        return ()
    read = [read_fields(reader, member, schema.PRIORITY_ENTRY, "an entry of priority") for member in node.value]
    return tuple(
        Priority(
            value=fields[schema.PRIORITY_VALUE],
            owner=fields[schema.PRIORITY_OWNER],
            topic=fields[schema.PRIORITY_TOPIC],
            hashtag=fields[schema.PRIORITY_HASHTAG],
            comment=fields[schema.PRIORITY_COMMENT],
        )
        for fields in read
        if fields is not None
    )
