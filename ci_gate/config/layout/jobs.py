"""Attributes of jobs: entries and patterns, and how they combine for one job (``spec/layout.md`` 6)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from yaml.nodes import Node, ScalarNode, SequenceNode

from ci_gate.config.document import Place, place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, check_pattern, read_fields, title
from ci_gate.config.layout.name_index import NameIndex
from ci_gate.config.layout.names import BLANK, Names, report_job_name
from ci_gate.config.layout.reader import Reader
from ci_gate.config.problems import Level
from ci_gate.config.report_patterns import IN_REPORTS
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, SkipIf, Swift

EXPRESSION_SIGNS = re.compile(r"[*+?$|()\[\]\\^]")
COMMIT_MESSAGE = "/COMMIT_MSG"
LEAST_ATTEMPTS = 1

REPLACING: Mapping[str, Key[Any]] = {
    "voting": schema.VOTING,
    "mutex": schema.MUTEX,
    "parameter_function": schema.FUNCTION,
    "branches": schema.JOB_BRANCH,
    "files": schema.FILES,
    "success_message": schema.JOB_SUCCESS_TEXT,
    "failure_message": schema.JOB_FAILURE_TEXT,
    "success_pattern": schema.SUCCESS_PATTERN,
    "failure_pattern": schema.FAILURE_PATTERN,
}
"""Attributes whose later value replaces the earlier one, unless it is empty."""


Numbers = tuple[int, ...]
"""Of entries, as they stand in the file."""


@dataclass(slots=True, eq=False)
class Rule:
    """One entry under ``jobs``. ``expression`` is set for a pattern; ``replaces`` is what it replaces in a job."""

    name: str
    fields: Fields
    expression: Expression | None
    replaces: dict[str, Any]
    swift: tuple[Swift, ...]

    @property
    def place(self) -> Place:
        return self.fields.value_place(schema.JOB_NAME)


class JobRules:
    """All entries under ``jobs``, in the order of the file."""

    def __init__(self, reader: Reader, node: Node | None, key: Node | None) -> None:
        self._reader = reader
        self.rules = _read_rules(reader, node, key)
        self.exact = {rule.name: rule for rule in self.rules if rule.expression is None}

    def jobs(self, used: Collection[str]) -> dict[str, Job]:
        """``used``, the jobs that projects have, and all that have an entry, with everything that their entry and the
        patterns that reach them say."""
        reached = self._reached([*used, *(name for name in self.exact if name not in used)])
        self._check(set().union(*{reached[name] for name in used}))
        attributes = {numbers: self._combine(numbers) for numbers in set(reached.values())}
        return {name: Job(name, **attributes[numbers]) for name, numbers in reached.items()}

    def _reached(self, names: Collection[str]) -> dict[str, Numbers]:
        """By job: the numbers of the entries that reach it. An entry of its own takes the patterns above it; a job
        without one takes all."""
        reached: dict[str, Numbers] = dict.fromkeys(names, ())
        index = NameIndex(names)
        done = set()
        for number, rule in enumerate(self.rules):
            if rule.expression is None:
                reached[rule.name] += (number,)
                done.add(rule.name)
                continue
            for name in index.matching(rule.expression):
                if name not in done:
                    reached[name] += (number,)
                else:
                    text = f'"{rule.name}" does not reach the job "{name}", whose entry is above it'
                    self._reader.report("pattern-after-job", rule.place, text)
        return reached

    def _combine(self, numbers: Numbers) -> dict[str, Any]:
        """The attributes of a job that these entries reach, in order."""
        values: dict[str, Any] = {}
        tags: frozenset[str] = frozenset()
        swift: dict[str, Swift] = {}
        hold = False
        for rule in [self.rules[number] for number in numbers]:
            values.update(rule.replaces)
            tags |= frozenset(rule.fields[schema.TAGS])
            swift.update({each.name: each for each in rule.swift})
            if schema.HOLD in rule.fields:
                if hold and not rule.fields[schema.HOLD]:
                    text = "hold-following-changes has no effect: a pattern has set it, and nothing can unset it"
                    self._reader.report("no-effect", rule.fields.key_place(schema.HOLD), text)
                hold = hold or rule.fields[schema.HOLD]
        return values | {"hold_following_changes": hold, "tags": tags, "swift": tuple(swift.values())}

    def _check(self, at_work: Collection[int]) -> None:
        for number, rule in enumerate(self.rules):
            if number in at_work:
                continue
            if rule.expression is not None:
                self._reader.report("unused", rule.place, f'job pattern "{rule.name}" is unused: it reaches no job')
                continue
            self._reader.report("unused", rule.place, f'job "{rule.name}" is unused: no project has it')
            if EXPRESSION_SIGNS.search(rule.name):
                text = f'job name "{rule.name}" looks like a regular expression, but only names that start with ^ are'
                self._reader.report("regex-without-caret", rule.place, text)


def _read_rules(reader: Reader, node: Node | None, key: Node | None) -> list[Rule]:
    if node is None:
        return []
    names = Names(reader, "job")
    rules = []
    for member in reader.members("jobs", node, "a list of jobs", key):
        fields = read_fields(reader, member, schema.JOB, title(reader, member, "job"))
        if fields is not None:
            name = names.read(fields, schema.JOB_NAME)
            rules.append(_rule(reader, fields, name))
    return [each for each in rules if each.name]


def _rule(reader: Reader, fields: Fields, name: str) -> Rule:
    is_pattern = name.startswith("^")
    expression = None
    if is_pattern:
        node = fields.value(schema.JOB_NAME)
        expression = reader.compiled("name", name, node) if node is not None else None
        if BLANK.search(name):
            text = f'"{name}" is not a job name: it must not contain blanks'
            reader.report("bad-job-name", fields.value_place(schema.JOB_NAME), text)
        # A broken pattern reaches nothing; it is no job of that name either.
        expression = expression or Expression(r"(?!)")
    elif name:
        report_job_name(reader, name, fields.value_place(schema.JOB_NAME))
    _check_files(reader, fields)
    for key in (schema.SUCCESS_PATTERN, schema.FAILURE_PATTERN):
        check_pattern(reader, fields, key, IN_REPORTS, "reports link to the worker's URL instead")
    return Rule(name, fields, expression, _replaces(reader, fields, is_pattern=is_pattern), _swift(reader, fields))


def _replaces(reader: Reader, fields: Fields, *, is_pattern: bool) -> dict[str, Any]:
    replaces = {
        attribute: fields[key]
        for attribute, key in REPLACING.items()
        if key in fields and (fields[key] or key is schema.VOTING)
    }
    skip_if = _skip_if(reader, fields)
    if skip_if:
        replaces["skip_if"] = skip_if
    for key in (schema.ATTEMPTS, schema.QUEUE_NAME):
        if is_pattern and key in fields:
            text = f"{key.name} has no effect in a pattern; set it in an entry of the job's own"
            reader.report("no-effect", fields.key_place(key), text)
    if is_pattern:
        return replaces
    if fields[schema.QUEUE_NAME]:
        replaces["queue_name"] = fields[schema.QUEUE_NAME]
    attempts = fields[schema.ATTEMPTS]
    if attempts < LEAST_ATTEMPTS:
        text = f'attempts: "{attempts}" is not allowed, and acts as 1; allowed: 1 or more'
        reader.report("bad-value", fields.value_place(schema.ATTEMPTS), text, level=Level.WARNING)
    replaces["attempts"] = max(attempts, LEAST_ATTEMPTS)
    return replaces


def _check_files(reader: Reader, fields: Fields) -> None:
    node = fields.value(schema.FILES)
    if node is None:
        return
    matching = {each.source for each in fields[schema.FILES] if each.match(COMMIT_MESSAGE)}
    for member in node.value if isinstance(node, SequenceNode) else [node]:
        if isinstance(member, ScalarNode) and member.value in matching:
            text = f"files: this matches every change ({COMMIT_MESSAGE} is in each file list)"
            reader.report("always-true", place_of(member), text)


def _skip_if(reader: Reader, fields: Fields) -> tuple[SkipIf, ...]:
    node = fields.value(schema.SKIP_IF)
    if node is None:
        return ()
    found = []
    for member in reader.members("skip-if", node, "a list of mappings", fields.key_node(schema.SKIP_IF)):
        entry = read_fields(reader, member, schema.SKIP, "an entry of skip-if")
        if entry is None:
            continue
        skip = SkipIf(entry[schema.SKIP_PROJECT], entry[schema.SKIP_BRANCH], entry[schema.SKIP_FILES])
        if not entry.others and skip == SkipIf() and not (set(entry.entries) - set(entry.values)):
            reader.report("always-true", place_of(member), "skip-if: an empty entry matches every change")
        found.append(skip)
    return tuple(found)


def _swift(reader: Reader, fields: Fields) -> tuple[Swift, ...]:
    node = fields.value(schema.SWIFT)
    if node is None:
        return ()
    reader.report("unused", fields.key_place(schema.SWIFT), "swift is unused: uploads to Swift are not offered")
    found = []
    for member in node.value if isinstance(node, SequenceNode) else [node]:
        key = fields.key_node(schema.SWIFT) if member is node else None
        entry = read_fields(reader, member, schema.DESTINATION, "a swift destination", key)
        if entry is None:
            continue
        found.append(
            Swift(
                name=entry[schema.SWIFT_NAME],
                container=entry[schema.CONTAINER],
                expiry=entry[schema.EXPIRY],
                max_file_size=entry[
                    schema.MAX_FILE_SIZE if schema.MAX_FILE_SIZE in entry else schema.OLD_MAX_FILE_SIZE
                ],
                max_file_count=entry[
                    schema.MAX_FILE_COUNT if schema.MAX_FILE_COUNT in entry else schema.OLD_MAX_FILE_COUNT
                ],
                logserver_prefix=entry[
                    schema.LOGSERVER_PREFIX if schema.LOGSERVER_PREFIX in entry else schema.OLD_LOGSERVER_PREFIX
                ],
            )
        )
    return tuple(found)
