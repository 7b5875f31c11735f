"""Project templates and their calls (``spec/layout.md`` 8)."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode

from ci_gate.config.document import Place, place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Table, read_fields, report_unknown_key
from ci_gate.config.layout.names import Names, is_job_name, report_job_name, why_no_job_name
from ci_gate.config.layout.reader import Reader, is_bare, shortened
from ci_gate.config.layout.trees import Leaf, Source, read_tree, walk
from ci_gate.config.nearest import nearest

PARAMETER = re.compile(r"(?![0-9]+$)[^.\[]+")
"""What a field may hold that is neither a position nor asks for a part of the value."""
WIDEST_FIELD = 3  # digits of a width
SHORT_NAME = "name"


class BadFormatError(Exception):
    """Not a template string; the text says why."""


class Template(NamedTuple):
    """``trees``: pipeline to job list, with the strings as written. ``parameters``: what a call must give.

    ``is_plain``: filled in with names of jobs, every string is the name of a job.
    """

    name: str
    trees: Mapping[str, tuple[Leaf, ...]]
    parameters: frozenset[str]
    is_plain: bool
    name_node: Node


class Call(NamedTuple):
    """A template and the values for it; the nodes are for positions."""

    template: Template
    name_node: Node
    values: Mapping[str, str]
    nodes: Mapping[str, Node]


def read_templates(
    reader: Reader, node: Node | None, key: Node | None, pipelines: Collection[str]
) -> dict[str, Template]:
    if node is None:
        return {}
    names = Names(reader, "template")
    found: dict[str, Template] = {}
    for member in reader.members("project-templates", node, "a list of templates", key):
        fields = read_fields(reader, member, schema.PROJECT_TEMPLATE, "a project template")
        if fields is not None:
            name = names.read(fields, schema.TEMPLATE_NAME)
            template = _template(reader, fields, name, pipelines)
            if name:
                found[name] = template
    return found


def _template(reader: Reader, fields: Fields, name: str, pipelines: Collection[str]) -> Template:
    what = f'template "{name}"'
    if "{" in name or "}" in name:
        text = f'"{shortened(name)}": not a valid template string: a template\'s own name has no fields'
        reader.report("bad-format", fields.value_place(schema.TEMPLATE_NAME), text)
    trees = {}
    parameters: set[str] = set()
    for pipeline, (key, value) in fields.others.items():
        if pipeline in schema.RESERVED_PIPELINE_NAMES:
            report_unknown_key(reader, key, pipeline, schema.PROJECT_TEMPLATE, what)
            continue
        if check_pipeline(reader, key, what, pipelines, schema.PROJECT_TEMPLATE):
            tree = read_tree(reader, pipeline, value, key)
            trees[pipeline] = _template_strings(reader, tree, parameters)
    is_plain = all(_is_plain(leaf.name) for tree in trees.values() for leaf in walk(tree))
    name_node = fields.value(schema.TEMPLATE_NAME) or fields.node
    return Template(name, trees, frozenset(parameters - {SHORT_NAME}), is_plain, name_node)


def check_pipeline(reader: Reader, key: ScalarNode, what: str, pipelines: Collection[str], table: Table) -> bool:
    """Report a key that should name a pipeline and does not. Is there a job list under it, as far as can be told?

    ``table`` has the other keys: whoever misspells one of them writes no jobs there.
    """
    if is_bare(key):
        reader.mistyped("the name of a pipeline", "a string", key)
        return True
    name = key.value
    if name in pipelines:
        return True
    meant = nearest(name, [*pipelines, *table.by_name])
    hint = f'did you mean "{meant}"? ' if meant else ""
    text = f'unknown pipeline "{shortened(name)}" in {what}; {hint}defined pipelines: {", ".join(pipelines) or "none"}'
    reader.report("unknown-pipeline", place_of(key), text, about=name)
    return meant is None or meant in pipelines


def _template_strings(reader: Reader, leaves: Iterable[Leaf], parameters: set[str]) -> tuple[Leaf, ...]:
    """Adds the parameters that the names use; a broken one is reported and left out."""
    found = []
    for leaf in leaves:
        children = _template_strings(reader, leaf.children, parameters)
        try:
            parameters |= parameters_of(leaf.name)
        except BadFormatError as problem:
            text = f'"{shortened(leaf.name)}": not a valid template string: {problem}'
            reader.report("bad-format", place_of(leaf.node), text)
        else:
            found.append(Leaf(leaf.name, leaf.node, children))
    return tuple(found)


def parameters_of(text: str) -> set[str]:
    """The names of the fields of a Python format string. Raises BadFormatError."""
    if "{" not in text and "}" not in text:
        return set()
    found = set()
    try:
        for _, field, spec, _ in string.Formatter().parse(text):
            if field is None:
                continue
            if not PARAMETER.fullmatch(field):
                raise BadFormatError(f'"{{{field}}}" is not a name of a parameter')
            if any(len(digits) > WIDEST_FIELD for digits in re.findall(r"\d+", spec or "")):
                raise BadFormatError(f'the width in "{spec}" is too large')
            found.add(field)
            found |= parameters_of(spec or "")
        text.format_map(dict.fromkeys(found, "x"))
    except (ValueError, LookupError, RecursionError) as problem:
        raise BadFormatError(str(problem)) from problem
    return found


def _is_plain(text: str) -> bool:
    """Are its fields without a format, and what stands between them fit for the name of a job?"""
    pieces = list(string.Formatter().parse(text))
    return all(not spec and conversion is None for _, _, spec, conversion in pieces) and is_job_name(
        "".join(literal + ("x" if field is not None else "") for literal, field, _, _ in pieces)
    )


def read_calls(reader: Reader, project: Fields, what: str, templates: Mapping[str, Template]) -> list[Call]:
    """``template`` of a project, in order."""
    node = project.value(schema.TEMPLATE)
    if node is None:
        return []
    form = "a list of mappings, such as `- name: TEMPLATE`"
    calls = []
    for member in reader.members("template", node, form, project.key_node(schema.TEMPLATE)):
        if not isinstance(member, MappingNode):
            reader.mistyped("a member of template", "a mapping, such as `name: TEMPLATE`", member)
            continue
        call = _call(reader, member, what, templates)
        if call is not None:
            calls.append(call)
    return calls


def _call(reader: Reader, node: MappingNode, what: str, templates: Mapping[str, Template]) -> Call | None:
    entries = reader.document.entries(node)
    if SHORT_NAME not in entries:
        reader.report("missing-key", place_of(node), "name is missing in a template call")
        return None
    name_key, name_node = entries[SHORT_NAME]
    name = reader.text("name", name_node, name_key)
    template = templates.get(name) if name is not None else None
    if name is not None and template is None:
        meant = nearest(name, templates)
        hint = f'did you mean "{meant}"?' if meant else f"known templates: {', '.join(templates) or 'none'}"
        text = f'unknown template "{shortened(name)}" in {what}; {hint}'
        reader.report("unknown-template", place_of(name_node), text, about=name)
    if template is None:
        return None
    if len(entries) == 1 and not template.parameters:  # nearly always
        return Call(template, name_node, {}, {})
    values = {}
    nodes = {}
    for parameter, (key, given) in entries.items():
        if parameter == SHORT_NAME:
            continue
        if parameter not in template.parameters:
            text = f'template "{template.name}" does not use the parameter "{shortened(parameter)}"'
            known = f"; its parameters: {', '.join(sorted(template.parameters))}" if template.parameters else ""
            reader.report("unknown-parameter", place_of(key), text + known)
            continue
        value = reader.text(parameter, given, key)
        values[parameter] = value if value is not None else "x"
        nodes[parameter] = given
    for missing in sorted(template.parameters.difference(entries)):
        text = f'template "{template.name}" needs the parameter "{missing}"'
        reader.report("missing-parameter", place_of(name_node), text)
        values[missing] = "x"  # so that the rest can be checked
    return Call(template, name_node, values, nodes)


def expand(reader: Reader, call: Call, project: str) -> Iterator[tuple[str, Source]]:
    """The job lists of a call, by pipeline. ``{name}`` is the part of the project's name after the last /."""
    values = {**call.values, SHORT_NAME: project.rpartition("/")[2]}
    is_plain = call.template.is_plain and all(map(is_job_name, values.values()))
    for name, tree in call.template.trees.items():
        yield name, Source(tree, values) if is_plain else Source(tuple(_expanded(reader, call, tree, values)))


def _expanded(reader: Reader, call: Call, leaves: Iterable[Leaf], values: Mapping[str, str]) -> Iterator[Leaf]:
    """Name by name, with a problem for each that is none."""
    for leaf in leaves:
        name = leaf.name
        if "{" in name or "}" in name:
            formatted = _formatted(reader, call, leaf, values)
            if formatted is None:
                continue
            name = formatted
        if not is_job_name(name):
            report_job_name(reader, name, _culprit(call, leaf, name), about=leaf.name)
            continue
        yield Leaf(name, leaf.node, tuple(_expanded(reader, call, leaf.children, values)))


def _formatted(reader: Reader, call: Call, leaf: Leaf, values: Mapping[str, str]) -> str | None:
    try:
        return leaf.name.format_map(values)
    except ValueError as problem:  # parameters within a field's format
        text = f'"{shortened(leaf.name)}": not a valid template string with these parameters: {problem}'
        reader.report("bad-format", place_of(call.name_node), text)
        return None


def _culprit(call: Call, leaf: Leaf, name: str) -> Place:
    """What makes an expanded name bad: a value of the call, else the template's text, else the call."""

    def is_bad(text: str) -> bool:
        if why_no_job_name(name) is None:  # only its beginning is bad
            return text.startswith("^")
        return why_no_job_name(text) is not None and (text != "" or name == "")

    for parameter in sorted(parameters_of(leaf.name) & set(call.values)):
        if is_bad(call.values[parameter]):
            return place_of(call.nodes.get(parameter, call.name_node))
    blank = leaf.name.format_map(dict.fromkeys(parameters_of(leaf.name), "x"))
    return place_of(leaf.node if is_bad(blank) else call.name_node)
