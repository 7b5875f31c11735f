"""A layout as one YAML document: what is left when templates are filled in and patterns applied.

Loading the document gives an equal layout. It shows what the loader made of a file, and tells two files apart that
mean the same from two that do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, assert_never

import yaml

from ci_gate.config.document import STRING
from ci_gate.config.layout import schema as s
from ci_gate.config.layout.fields import Key
from ci_gate.model.expression import Expression
from ci_gate.model.layout import (
    EventFilter,
    GerritReporter,
    Job,
    JobNode,
    Layout,
    Pipeline,
    Priority,
    Project,
    Reporter,
    Requirements,
    SkipIf,
    SmtpReporter,
    SqlReporter,
    Swift,
    VoteRequirement,
    Window,
)
from ci_gate.model.merge import MergeMode

NO_FOLDING = 1_000_000
UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))

Mapped = dict[str, Any]
"""A mapping of the document: keys of the layout's language to plain data."""


def print_layout(layout: Layout, includes: Sequence[str] = ()) -> str:
    """``includes``: the Python files that have the layout's functions, as absolute paths."""
    document: Mapped = {}
    if includes:
        document[s.INCLUDES.name] = [{s.PYTHON_FILE.name: each} for each in includes]
    document[s.PIPELINES.name] = [_pipeline(each) for each in layout.pipelines]
    entries = [_job(each) for each in _with_entry(layout)]
    if entries:
        document[s.JOBS.name] = entries
    document[s.PROJECTS.name] = [_project(each) for each in layout.projects.values()]
    text: str = yaml.dump(document, Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=NO_FOLDING)
    return text


def _dumper() -> type[Any]:
    """PyYAML's, which shows text of several lines as such, and writes nothing by reference."""
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("Dumper", (base,), {"ignore_aliases": lambda *_: True})
    dumper.add_representer(str, _represent_text)
    return dumper  # type: ignore[no-any-return]  # made above


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:
    node: yaml.ScalarNode = dumper.represent_scalar(STRING, text, style="|" if "\n" in text else None)
    return node


def only_project(layout: Layout, name: str) -> Layout:
    """What there is for one project: the pipelines it is in, its jobs and itself. Queues are left out."""
    project = layout.projects[name]
    pipelines = tuple(each for each in layout.pipelines if each.name in project.trees)
    used = {job: None for tree in project.trees.values() for job in _names(tree)}
    return Layout(pipelines, {job: layout.job(job) for job in used}, {name: project})


def _with_entry(layout: Layout) -> Iterator[Job]:
    """Jobs that an entry has to make what they are, or that only have an entry."""
    used = {job for project in layout.projects.values() for tree in project.trees.values() for job in _names(tree)}
    return (each for each in layout.jobs.values() if each != Job(each.name) or each.name not in used)


def _names(tree: Iterable[JobNode]) -> Iterator[str]:
    for node in tree:
        yield node.job
        yield from _names(node.children)


def _given(values: Mapping[Key[Any], object]) -> Mapped:
    """Without what is not there. An empty text is there."""
    return {key.name: value for key, value in values.items() if value is not None and value not in ([], {})}


def _unless_default(key: Key[Any], value: object) -> object:
    return None if value == key.default or (value is None and not key.default) else value


# --- pipelines ---


def _pipeline(pipeline: Pipeline) -> Mapped:
    return _given(
        {
            s.PIPELINE_NAME: pipeline.name,
            s.DESCRIPTION: pipeline.description,
            s.MANAGER: pipeline.manager,
            s.SOURCE: _unless_default(s.SOURCE, pipeline.source),
            s.PRECEDENCE: _unless_default(s.PRECEDENCE, pipeline.precedence.value),
        }
    ) | {
        s.TRIGGER.name: _triggers(pipeline.triggers),
        **_given(
            {
                s.REQUIRE: _requirements(pipeline.require),
                s.REJECT: _requirements(pipeline.reject),
                s.START: _reporters(pipeline.start),
                s.SUCCESS: _reporters(pipeline.success),
                s.FAILURE: _reporters(pipeline.failure),
                s.MERGE_FAILURE: _reporters(pipeline.merge_failure),
                s.DISABLED: _reporters(pipeline.disabled),
                s.SUCCESS_TEXT: _unless_default(s.SUCCESS_TEXT, pipeline.success_message),
                s.FAILURE_TEXT: _unless_default(s.FAILURE_TEXT, pipeline.failure_message),
                s.MERGE_FAILURE_TEXT: _unless_default(s.MERGE_FAILURE_TEXT, pipeline.merge_failure_message),
                s.FOOTER: _unless_default(s.FOOTER, pipeline.footer_message),
                s.DEQUEUE: _unless_default(s.DEQUEUE, pipeline.dequeue_on_new_patchset),
                s.IGNORE_DEPENDENCIES: _unless_default(s.IGNORE_DEPENDENCIES, pipeline.ignore_dependencies),
                s.DISABLE_AFTER: pipeline.disable_after,
                s.PRIORITY: [_priority(each) for each in pipeline.priorities],
                s.LIMIT: pipeline.limit,
            }
        ),
        **_window(pipeline.window),
    }


def _window(window: Window) -> Mapped:
    values = {
        s.WINDOW: window.size,
        s.WINDOW_FLOOR: window.floor,
        s.WINDOW_INCREASE: window.increase_type,
        s.WINDOW_INCREASE_FACTOR: window.increase_factor,
        s.WINDOW_DECREASE: window.decrease_type,
        s.WINDOW_DECREASE_FACTOR: window.decrease_factor,
        s.WINDOW_CEILING: window.ceiling,
    }
    return _given({key: _unless_default(key, value) for key, value in values.items()})


def _priority(priority: Priority) -> Mapped:
    return _given(
        {
            s.PRIORITY_VALUE: priority.value,
            s.PRIORITY_OWNER: _source(priority.owner),
            s.PRIORITY_TOPIC: _source(priority.topic),
            s.PRIORITY_HASHTAG: _source(priority.hashtag),
            s.PRIORITY_COMMENT: _source(priority.comment),
        }
    )


def _triggers(filters: Iterable[EventFilter]) -> Mapped:
    by_trigger: Mapped = {}
    for each in filters:
        by_trigger.setdefault(each.trigger, []).append(_filter(each))
    return by_trigger


def _filter(wanted: EventFilter) -> Mapped:
    if wanted.trigger == "timer":
        return {s.TIME.name: wanted.timespecs[0]}
    votes = {
        s.REQUIRE_APPROVAL: [_votes(each) for each in wanted.require_approval],
        s.REJECT_APPROVAL: [_votes(each) for each in wanted.reject_approval],
    }
    if wanted.trigger == "zuul":
        return _given({s.ZUUL_EVENT: _short(wanted.types), s.ZUUL_PIPELINE: _sources(wanted.pipelines), **votes})
    return _given(
        {
            s.EVENT: _short(wanted.types),
            s.BRANCH: _sources(wanted.branches),
            s.REF: _sources(wanted.refs),
            s.IGNORE_DELETES: _unless_default(s.IGNORE_DELETES, wanted.ignore_deletes),
            s.COMMENT: _sources(wanted.comments),
            s.EMAIL: _sources(wanted.emails),
            s.USERNAME: _sources(wanted.usernames),
            s.APPROVAL: dict(wanted.votes),
            **votes,
            s.SCOPE: wanted.scope,
        }
    )


def _requirements(wanted: Requirements) -> Mapped:
    return _given(
        {
            s.OPEN: wanted.is_open,
            s.CURRENT: wanted.current_patchset,
            s.STATUS: _short(wanted.statuses),
            s.REQUIRED_VOTES: [_votes(each) for each in wanted.approval],
            s.WIP: wanted.wip,
            s.PRIVATE: wanted.private,
            s.SUBMITTABLE: wanted.submittable,
        }
    )


def _votes(wanted: VoteRequirement) -> Mapped:
    keys = _given(
        {
            s.VOTE_USERNAME: _source(wanted.username),
            s.VOTE_EMAIL: _source(wanted.email),
            s.NEWER_THAN: _time(wanted.newer_than_s),
            s.OLDER_THAN: _time(wanted.older_than_s),
        }
    )
    # A label that reads like a key is told apart by its capital, which does not count in labels.
    labels = {name.capitalize() if name in s.VOTE.by_name else name: sorted(values) for name, values in wanted.labels}
    return keys | {name: values[0] if len(values) == 1 else values for name, values in labels.items()}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    letter, unit = next((letter, unit) for letter, unit in UNITS if seconds % unit == 0)
    return f"{int(seconds) // unit}{letter}"


def _reporters(reporters: Iterable[Reporter]) -> Mapped:
    return {each.connection: _reporter(each) for each in reporters}


def _reporter(reporter: Reporter) -> Mapped:
    match reporter:
        case GerritReporter():
            return {**dict(reporter.labels), **dict.fromkeys(reporter.flags, True), **dict(reporter.options)}
        case SmtpReporter():
            return _given(
                {
                    s.MAIL_TO: reporter.to,
                    s.MAIL_FROM: reporter.sender,
                    s.MAIL_SUBJECT: reporter.subject,
                    # Without a configuration file, a reporter without settings would be taken for Gerrit's.
                    s.MAIL_CONNECTION: reporter.connection if reporter == SmtpReporter(reporter.connection) else None,
                }
            )
        case SqlReporter():
            return {s.SCORE.name: reporter.score}
        case _:
            assert_never(reporter)


# --- jobs and projects ---


def _job(job: Job) -> Mapped:
    return _given(
        {
            s.JOB_NAME: job.name,
            s.VOTING: _unless_default(s.VOTING, job.voting),
            s.HOLD: _unless_default(s.HOLD, job.hold_following_changes),
            s.ATTEMPTS: _unless_default(s.ATTEMPTS, job.attempts),
            s.QUEUE_NAME: job.queue_name,
            s.MUTEX: job.mutex,
            s.TAGS: _short(sorted(job.tags)),
            s.FUNCTION: job.parameter_function,
            s.JOB_BRANCH: _sources(job.branches),
            s.FILES: _sources(job.files),
            s.SKIP_IF: [_skip_if(each) for each in job.skip_if],
            s.SWIFT: [_swift(each) for each in job.swift],
            s.JOB_SUCCESS_TEXT: job.success_message,
            s.JOB_FAILURE_TEXT: job.failure_message,
            s.SUCCESS_PATTERN: job.success_pattern,
            s.FAILURE_PATTERN: job.failure_pattern,
        }
    )


def _skip_if(skip: SkipIf) -> Mapped:
    return _given(
        {
            s.SKIP_PROJECT: _source(skip.project),
            s.SKIP_BRANCH: _source(skip.branch),
            s.SKIP_FILES: _sources(skip.all_files),
        }
    )


def _swift(swift: Swift) -> Mapped:
    given = {each.name.replace("_", "-"): getattr(swift, each.name) for each in fields(swift)}
    return {name: value for name, value in given.items() if value is not None}


def _project(project: Project) -> Mapped:
    mode = project.merge_mode
    return {
        s.PROJECT_NAME.name: project.name,
        **({s.MERGE_MODE.name: mode.value} if mode is not MergeMode.MERGE_RESOLVE else {}),
        **{pipeline: [_node(each) for each in tree] for pipeline, tree in project.trees.items()},
    }


def _node(node: JobNode) -> object:
    return {node.job: [_node(each) for each in node.children]} if node.children else node.job


def _source(expression: Expression | None) -> str | None:
    return expression.source if expression else None


def _sources(expressions: Iterable[Expression]) -> list[str] | str:
    return _short([each.source for each in expressions])


def _short(texts: Sequence[str]) -> list[str] | str:
    """One text for a list of one, where that means the same."""
    return texts[0] if len(texts) == 1 and texts[0] else list(texts)
